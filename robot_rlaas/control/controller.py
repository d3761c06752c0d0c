"""From a policy's action to joint targets: tool step -> leash -> inverse kinematics -> safety filter."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.spec import Control
from robot_rlaas.control.arrays import namespace
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import Pose, SerialChain, forward, joint_step, pose_error, tool_pose
from robot_rlaas.control.rotation import DOWN, about_z, clip_norm, matrix_from_vector, rotate, rotation_vector
from robot_rlaas.control.safety import Envelope, Filtered, filter_target

Array = Any
ACTION_AXES = ("x", "y", "z", "yaw")


class ToolState(NamedTuple):
    """What the controller knows of the tool in one period.

    Attributes:
        measured: the tool's pose from the measured joints.
        lead: (n, 6) commanded minus measured pose, m and rad, base frame. It grows when something holds the tool back.
    """

    measured: Pose
    lead: Array


class Standing(NamedTuple):
    """An arm at rest.

    Attributes:
        q_rad: (n, k) joint angles.
        tool: the tool's pose, and
        J: (n, 6, k) its Jacobian there, as of `kinematics.forward`.
    """

    q_rad: Array
    tool: Pose
    J: Array

    @staticmethod
    def at(chain: SerialChain, q: Array) -> "Standing":
        """At the joint angles q (n, k)."""
        return Standing(q, *forward(chain, q))


class ToolController:
    """Batched controller of n arms. One instance is one set of n references; it holds no other state.

    Args:
        chain: kinematics up to the tool point.
        control: rates and step sizes.
        envelope: limits that the safety filter enforces.
        count: how many arms.
        upright: the tool points straight down and is brought back to that; without, it keeps the tilt that it has, also
            what it got where a joint was too slow.
    """

    def __init__(
        self, chain: SerialChain, control: Control, envelope: Envelope, count: int, upright: bool = False
    ) -> None:
        self.chain, self.control, self.envelope, self._upright = chain, control, envelope, upright
        self.period_s = 1.0 / control.rate_hz
        self._targets = np.zeros((3, count, len(chain.joints)))
        self._reference, self._J = forward(chain, self._targets[2])

    def reset(self, q: Array, ids: Array | None = None) -> None:
        """Stand still at the joint angles q (m, k), for all arms or for those in `ids`."""
        self.stand(Standing.at(self.chain, q), ids)

    def stand(self, there: Standing, ids: Array | None = None) -> None:
        """As `reset`; if `there` has one row, it is for all of them."""
        rows = slice(None) if ids is None else ids
        self._targets[:, rows], self._J[rows] = there.q_rad, there.J
        self._reference.R[rows], self._reference.p[rows] = there.tool

    @property
    def targets(self) -> Array:
        """(3, n, k): the last three joint targets, oldest first, rad."""
        return self._targets

    def state(self, q_measured: Array, ids: Array | None = None) -> ToolState:
        """Where the tool is, and how far its reference is ahead of it: for all arms, or for those in `ids`."""
        return self.state_at(tool_pose(self.chain, q_measured), ids)

    def state_at(self, measured: Pose, ids: Array | None = None) -> ToolState:
        """As `state`, from the tool's measured pose."""
        rows = slice(None) if ids is None else ids
        reference = Pose(self._reference.R[rows], self._reference.p[rows])
        return ToolState(measured, pose_error(reference, measured))

    def command(self, action: Array, state: ToolState, R_base_task: Array) -> Filtered:
        """Take one step of the tool.

        Args:
            action: (n, 4) in [-1, 1]: steps along the task frame's x, y, z and about its z, as fractions of
                `step_mm` and `step_deg`. Values outside are clipped; a NaN stands still.
            state: from `state`, in the same period.
            R_base_task: (n, 3, 3) the task frame, as observed. Its z is the base frame's.

        Returns:
            The joint targets for the coming period and what the safety filter changed.
        """
        xp = namespace(action)
        action = xp.minimum(xp.maximum(xp.where(xp.isfinite(action), action, 0.0), -1.0), 1.0)
        step_m = rotate(R_base_task, action[:, :3] * (self.control.step_mm / 1000))
        lead_m = clip_norm(state.lead[:, :3] + step_m, self.control.leash_mm / 1000)
        turned = about_z(action[:, 3] * np.deg2rad(self.control.step_deg)) @ matrix_from_vector(state.lead[:, 3:])
        lead_rad = clip_norm(rotation_vector(turned), np.deg2rad(self.control.leash_deg))
        R = matrix_from_vector(lead_rad) @ state.measured.R
        wanted = Pose(_pointing_down(R) if self._upright else R, state.measured.p + lead_m)
        before, last = self._targets[1], self._targets[2]
        q = last + joint_step(self._J, pose_error(wanted, self._reference))
        filtered = filter_target(self.chain, self.envelope, self.period_s, last, last - before, q)
        self._targets = np.concatenate([self._targets[1:], filtered.target_rad[None]])
        self._reference, self._J = filtered.tool, filtered.J
        return filtered

    def setpoints(self, count: int) -> Array:
        """The setpoints at `count` equal instants of the present period -> (n, count, k), rad."""
        before, last, now = self._targets
        by_instant = setpoint((before, last, now), (np.arange(count) + 1.0)[:, None, None] / count)
        return namespace(now).permute_dims(by_instant, (1, 0, 2))


def _pointing_down(R: Array) -> Array:
    """The rotations of (n, 3, 3) with the same turn about the base's z, and their own z straight down."""
    xp = namespace(R)
    return about_z(xp.atan2(R[:, 1, 0], R[:, 0, 0])) @ xp.asarray(DOWN)
