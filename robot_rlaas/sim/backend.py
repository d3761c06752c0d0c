"""What the environment needs from a simulator: many simulations of one cell, reset and stepped together."""

from typing import NamedTuple, Protocol

import numpy as np

from robot_rlaas.sim.variation import Draw


class Physics(NamedTuple):
    """The truth after a control period. Arrays over simulations.

    Attributes:
        q_rad: (n, k) joint angles.
        wrench: (n, 6) force N and torque N m of the tool's load on the wrist, in the wrist frame, averaged over the
            period; it includes the tool's weight.
        contact_N: (n,) largest net contact force on the tool within the period.
        bad: (n,) bool: the simulation diverged.
    """

    q_rad: np.ndarray
    wrench: np.ndarray
    contact_N: np.ndarray
    bad: np.ndarray


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

    def step(self, setpoints_rad: np.ndarray) -> Physics:
        """Advance all by one control period under setpoints (n, substeps, k)."""
        ...
