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
        forces_N: (n, time steps) net contact force on the tool at each; `contact_N` is the largest.
        touch_N: (n,) largest force of a single contact with what the cell wants never touched; zero where it names
            nothing.
    """

    q_rad: np.ndarray
    wrench: np.ndarray
    contact_N: np.ndarray
    bad: np.ndarray
    parts: np.ndarray
    aperture_m: np.ndarray
    openings: np.ndarray
    forces_N: np.ndarray
    touch_N: np.ndarray


class Poses(NamedTuple):
    """Where everything stands in n simulations, as a picture needs to know it. Views: they change with the next step.

    Attributes:
        qpos: (n, nq) of all joints.
        mocap_pos, mocap_quat: (n, mocap bodies, 3) and (n, mocap bodies, 4).
        body_pos, body_quat: (n, bodies, 3) and (n, bodies, 4) in their parents.
    """

    qpos: np.ndarray
    mocap_pos: np.ndarray
    mocap_quat: np.ndarray
    body_pos: np.ndarray
    body_quat: np.ndarray


class Posed(Protocol):
    """What knows where everything stands."""

    def poses(self) -> Poses:
        """Where everything stands now."""
        ...


class Snapshot(NamedTuple):
    """Simulations as they stand, for another backend of the same cell. One row per simulation.

    Attributes:
        state: (m, size) MuJoCo's state, as an integrator needs it.
        fields: (m, ...) what a draw writes of the model, by name.
        told: (m, drives) where the drives have been told to be.
        start: what was drawn for them.
    """

    state: np.ndarray
    fields: dict[str, np.ndarray]
    told: np.ndarray
    start: Draw


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

    def spare(self, count: int) -> "Spare":
        """`count` more simulations of the cell, in which starts are made ready that `adopt` takes over."""
        ...

    def adopt(self, ids: np.ndarray, snapshot: Snapshot) -> None:
        """Put the simulations `ids` (sorted, unique) where others stood, bit for bit; one row per id."""
        ...

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """Advance all by one control period.

        Args:
            setpoints_rad: (n, substeps, k) of the arm's joints.
            opening: (n, 1 + moving fixtures) where the gripper, vises and doors are to go, from 0, closed, to 1, open;
                None or (n, 0) where nothing moves but the arm.
        """
        ...

    def poses(self) -> Poses:
        """Where everything stands now."""
        ...


class Spare(Backend, Protocol):
    """Simulations that can be copied."""

    def snapshot(self, ids: np.ndarray, start: Draw) -> Snapshot:
        """The simulations `ids`, which were reset with these draws, one row per id."""
        ...
