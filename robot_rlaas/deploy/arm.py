"""What a supervisor knows of an arm beyond its kinematics and its envelope."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.control.capsules import Capsules

ARRAYS = ("torque_Nm", "jerk_rad_s3")
QUIET_S, QUIET_MESSAGES = 0.06, 4


class Arm(NamedTuple):
    """One arm.

    Attributes:
        torque_Nm: (k,) joint torques that stop it; None where it does not tell them.
        jerk_rad_s3: (k,) as its maker allows; None where he does not say.
        quiet_s: a sensor silent for so long is too late to go on.
        capsules: its shape; None leaves the tool's guarded points as all that keeps clear of anything.
        feels: it measures a wrench at its wrist. Without, no force stops it, only the torque of a joint.
    """

    torque_Nm: np.ndarray | None = None
    jerk_rad_s3: np.ndarray | None = None
    quiet_s: float = QUIET_S
    capsules: Capsules | None = None
    feels: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain content."""
        lists = {key: None if (value := getattr(self, key)) is None else value.tolist() for key in ARRAYS}
        rest = {"quiet_s": self.quiet_s, "feels": self.feels}
        return {**lists, **rest, "capsules": self.capsules.to_json() if self.capsules else None}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Arm":
        """The inverse of `to_json`."""
        arrays = {key: None if content[key] is None else np.array(content[key]) for key in ARRAYS}
        capsules = Capsules.from_json(content["capsules"]) if content["capsules"] else None
        return Arm(**arrays, quiet_s=content["quiet_s"], capsules=capsules, feels=content["feels"])


UNKNOWN = Arm()


def arm_of(profile: HardwareProfile, joints: tuple[str, ...], capsules: Capsules | None) -> Arm:
    """What a hardware profile says, in the order of these joints, and what is known of the arm's shape."""
    own = profile.ordered(joints)
    torque, jerk = (None if v is None else np.array(v) for v in (own.torque_limit_Nm, own.jerk_limit_rad_s3))
    quiet_s = max(QUIET_S, QUIET_MESSAGES / profile.state_rate_hz)
    return Arm(torque, jerk, quiet_s, capsules, profile.topics.wrench is not None)
