"""What is sensed in a handling cell besides the arm: the gripper, vises and doors, and where parts are seen."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import Gripper
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.handling.account import Sighting
from robot_rlaas.env.handling.senses import tool_yaw


class Around(NamedTuple):
    """In one control period, one row each.

    Attributes:
        aperture_m: (1,) between the gripper's pads.
        openings: (1, moving fixtures) from 0, closed, to 1, open.
        sighting: (1, parts) where parts are seen; a part that was not seen in this period has its last pose.
    """

    aperture_m: np.ndarray
    openings: np.ndarray
    sighting: Sighting


class Surroundings:
    """Keeps what was heard last of each.

    Args:
        task: says what parts, vises and doors there are.
        gripper: of the arm's hardware profile.
    """

    def __init__(self, task: HandlingTask, gripper: Gripper) -> None:
        self.parts = [part.name for part in task.parts]
        self.machines = [fixture.name for fixture in task.moving]
        self._gripper = gripper
        self._aperture_m: float | None = None
        self._openings: dict[str, float] = {}
        self._seen: dict[str, tuple[np.ndarray, float]] = {}
        self._fresh: set[str] = set()
        self._closed = False

    def measure(self, names: Sequence[str], position: Sequence[float]) -> None:
        """Take in joint states, with the gripper's joint among them or not."""
        at = dict(zip(names, position))
        if self._gripper.joint in at and np.isfinite(at[self._gripper.joint]):
            self._aperture_m = self._gripper.aperture_m(at[self._gripper.joint])

    def hear(self, openings: Mapping[str, float]) -> None:
        """Take in how far vises and doors are open."""
        self._openings |= {name: share for name, share in openings.items() if np.isfinite(share)}

    def see(self, part: str, pose: Pose) -> None:
        """Take in where a part's base is seen, one row, in the base frame."""
        if not self._closed:
            self._seen[part] = pose.p[0], float(tool_yaw(pose.R)[0])
            self._fresh.add(part)

    def forget(self) -> None:
        """Parts will be laid anew: where they are seen says nothing, until `expect`."""
        self._seen.clear()
        self._fresh.clear()
        self._closed = True

    def expect(self) -> None:
        """Parts are laid anew: what is seen from now on counts."""
        self._closed = False

    def now(self) -> Around | None:
        """What is sensed in the period that ends now; None until all of it has been heard once."""
        known = set(self.parts) <= self._seen.keys() and set(self.machines) <= self._openings.keys()
        if self._aperture_m is None or not known:
            return None
        p, yaw = zip(*(self._seen[part] for part in self.parts))
        fresh = np.array([[part in self._fresh for part in self.parts]])
        self._fresh.clear()
        openings = np.array([[self._openings[name] for name in self.machines]])
        sighting = Sighting(np.array(p)[None], np.array(yaw)[None], fresh)
        return Around(np.array([self._aperture_m]), openings, sighting)
