"""What the environment needs from a simulator: many simulations of one cell, reset and stepped together."""

from typing import NamedTuple, Protocol

import numpy as np

from robot_rlaas.sim.draws import Draw


class Physics(NamedTuple):
    """The truth after a control period. Arrays over simulations.

    Attributes:
        q_rad: (n, k) joint angles.
        wrench: (n, 6) force N and torque N m of the tool's load on the wrist, in the wrist frame, averaged over the
            period; it includes the tool's weight.
        contact_N: (n,) largest net contact force on the tool within the period.
        bad: (n,) bool: the simulation diverged.
        parts: (n, free parts, 7) position of each part's base, m, and its quaternion, wxyz.
        aperture_m: (n,) the gap between the pads of a gripper that moves.
        openings: (n, moving fixtures) vises and doors, from 0, closed, to 1, open.
    """

    q_rad: np.ndarray
    wrench: np.ndarray
    contact_N: np.ndarray
    bad: np.ndarray
    parts: np.ndarray
    aperture_m: np.ndarray
    openings: np.ndarray


class Backend(Protocol):
    """n simulations of one cell."""

    nsim: int
    substeps: int

    def reset(self, ids: np.ndarray, start: Draw, q_rad: np.ndarray) -> Physics:
        """Put the simulations `ids` (sorted, unique) at rest at q_rad (m, k) with these draws; others are untouched.

        Returns:
            Their physics, one row per id.
        """
        ...

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """Advance all by one control period.

        Args:
            setpoints_rad: (n, substeps, k) of the arm's joints.
            opening: (n, 1 + moving fixtures) where the gripper, vises and doors are to go, from 0, closed, to 1, open;
                None or (n, 0) where nothing moves but the arm.
        """
        ...
