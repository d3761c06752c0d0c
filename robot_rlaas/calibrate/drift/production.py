"""Production cycles of a calibrated arm: cut from recordings, and scored for every change that is suspected.

Every cycle is scored: how far the residual between measured and predicted positions leans towards each parameter
having changed. This is the local approach to change detection (Benveniste, Basseville and Moustakides, IEEE TAC 32,
1987): scores and their information are well defined where a motion excites too little for an estimate.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.bag import lost
from robot_rlaas.calibrate.log import MAX_GAP_S, JointLog, on_ticks, read_recording
from robot_rlaas.calibrate.servo.arm import REST_S, Arm, ArmParameters
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.sim.model import Workcell

CHANGE_S = 0.01  # what counts as a change of the delay,
CHANGE_KG = 0.2  # of the payload,
CHANGE = {  # and of the others, in parts of the calibrated value
    "servo_gain_scale": 0.1,
    "joint_damping_scale": 0.2,
    "joint_friction_Nm": 0.3,
    "armature_scale": 0.3,
}
LEAST_FRICTION = 0.007  # friction below this part of the torque limit changes by parts of this
LEAST_NOISE_RAD = 5e-5  # of a position
LEAST_PART = 0.1  # friction or payload that has no more than this part of a change left to lose is not watched for less
ABOVE_M = 0.002  # contact can begin no higher than this above what the peg's pose in the hand may add
LEAD_S = 0.2  # of rest before a motion
STILL_RAD = 1e-6
STILL_S = 0.3
SHORTEST_CYCLE_S = 1.0
SHORTEST_STRETCH_S = 0.5
LEAST_INFORMATION = 0.01  # of a cycle about a change: one that says less scores next to nothing


class Suspect(NamedTuple):
    """One parameter of one joint, or of the arm, changed in one direction.

    Attributes:
        name: of ArmParameters.
        joint: None for a parameter of the whole arm.
        unit: of `value` and `change`.
        value: calibrated.
        change: what counts as a change, with its sign: the unit in which scores and estimates are computed.
    """

    name: str
    joint: str | None
    unit: str
    value: float
    change: float

    def __str__(self) -> str:
        return f"{self.name} of {self.joint}" if self.joint else self.name


class Score(NamedTuple):
    """What one cycle says about p suspects.

    Attributes:
        value: (p,) leaning of the residual towards each change, over its standard deviation if residuals were white.
        response: (p,) by how much each value rises if that change is there.
        information: (p, p) by how much each value (row), before its division by a standard deviation, rises if each
            change (column) is there. Symmetric, but that no value but the delay's own rises with the delay.
    """

    value: np.ndarray
    response: np.ndarray
    information: np.ndarray


class Scorer:
    """Scores cycles of one calibrated arm in one cell.

    Args:
        cell: says how high the plate is, and how far the peg may stand out of the hand.
        workcell: built from it.
        calibration: of this arm, accepted.
    """

    def __init__(self, cell: CellSpec, workcell: Workcell, calibration: Calibration) -> None:
        self._arm, self._chain = Arm(workcell), workcell.chain
        if not calibration.accepted:
            raise InputError(f"the calibration was not accepted: {calibration.reason}", fix="calibrate again")
        if calibration.heldout.joints != self._arm.joints:
            joints = ", ".join(calibration.heldout.joints)
            message = f"the calibration is for the joints {joints}; the arm has {', '.join(self._arm.joints)}"
            raise InputError(message, fix="name the calibration of this arm")
        self.suspects, self._parameters = _hypotheses(self._arm, calibration)
        self._noise_rad = np.maximum(np.array(calibration.heldout.after_mrad) / 1000, LEAST_NOISE_RAD)
        hand_mm = np.abs(cell.variation.hand_offset_mm).max()
        self._free_m = (cell.task.plate.top_mm[2] + hand_mm) / 1000 + ABOVE_M

    def score(self, log: JointLog) -> Score | None:
        """What a cycle says, from its motion in free air; None if it has none.

        In contact the fixture moves the arm too, and no model of the arm alone predicts it. Where a stretch begins in
        motion, the samples that its initial state is read from are not scored.
        """
        residuals, changes = [], []
        for stretch in self._free(log):
            q_rad = self._arm.predict(stretch, self._parameters)
            used = stretch.time_s > stretch.time_s[0] + REST_S
            residuals.append(((stretch.q_rad - q_rad[0])[used] / self._noise_rad).ravel())
            changes.append(((q_rad[1:] - q_rad[0])[:, used] / self._noise_rad).reshape(len(self.suspects), -1))
        if not residuals:
            return None
        change = np.concatenate(changes, axis=1)
        signature = self._beside_delay(change)
        information = signature @ change.T
        scale = np.sqrt(np.diag(information) + LEAST_INFORMATION)
        return Score(signature @ np.concatenate(residuals) / scale, np.diag(information) / scale, information)

    def _beside_delay(self, change: np.ndarray) -> np.ndarray:
        """Changes of position (p, m) less what a delay explains of them, but for the delay's own.

        Delay differs from cycle to cycle with the load of the computer that commands the arm, and an arm that is late
        by a millisecond looks much like one with more friction.
        """
        delays = np.array([one.name == "command_delay_s" for one in self.suspects])
        if not delays.any():
            return change
        delay = change[delays][0]
        part = change @ delay / max(delay @ delay, 1e-12)
        return np.where(delays[:, None], change, change - part[:, None] * delay)

    def _free(self, log: JointLog) -> list[JointLog]:
        """The stretches of a log in which the peg is out of the plate's reach."""
        free = tool_pose(self._chain, log.q_rad).p[:, 2] > self._free_m
        runs = [log._replace(time_s=log.time_s[i:j], q_rad=log.q_rad[i:j]) for i, j in _runs(free)]
        return [run for run in runs if np.ptp(run.time_s) >= SHORTEST_STRETCH_S]


def _hypotheses(arm: Arm, calibration: Calibration) -> tuple[tuple[Suspect, ...], ArmParameters]:
    """What is watched, and the calibrated parameters, followed by one set per suspected change."""
    estimates = {name: [e for e in calibration.estimates if e.name == name] for name in ArmParameters._fields}
    values = arm.calibrated(calibration)._asdict()
    floor_Nm = LEAST_FRICTION * arm.torque_limit_Nm
    suspects, sets = [], [values]
    for name, found in estimates.items():
        for j, e in enumerate(found):
            size = max(e.value, floor_Nm[j]) if name == "joint_friction_Nm" else e.value
            change = {"command_delay_s": CHANGE_S, "payload_kg": CHANGE_KG}.get(name, CHANGE.get(name, 0.0) * size)
            lowest = 0.0 if name in ("joint_friction_Nm", "payload_kg") else -np.inf
            for signed in (change, max(-change, lowest - e.value)):
                if abs(signed) > LEAST_PART * change:
                    changed = values[name].copy()
                    changed.flat[j] += signed
                    sets.append({**values, name: changed})
                    suspects.append(Suspect(name, e.joint, e.unit, e.value, signed))
    stacked = {name: np.concatenate([one[name] for one in sets]) for name in values}
    return tuple(suspects), ArmParameters(**stacked)


def read_cycles(path: Path, workcell: Workcell, on_event: Callable[[str], None] = print) -> list[tuple[int, JointLog]]:
    """The cycles of a recording with the time at which each ended, ns: its motions, from rest to rest.

    Raises:
        InputError: if the file cannot be read, or holds no joint states or commands.
    """
    for line in lost(path):
        on_event(line)
    log, zero_ns = read_recording(path, workcell.profile)
    cycles = cut(on_ticks(log))
    whole = [c for c in cycles if np.isfinite(c.q_rad).all() and np.diff(c.time_s).max() <= MAX_GAP_S]
    if len(whole) < len(cycles):
        on_event(f"{path.name}: {len(cycles) - len(whole)} of {len(cycles)} cycles have gaps and are left out")
    return [(zero_ns + round(1e9 * c.time_s[-1]), c) for c in whole]


def cut(log: JointLog) -> list[JointLog]:
    """The motions of a log, each with a little of the rest before and after it."""
    moves = np.abs(np.diff(log.command_rad, axis=0)).max(axis=1) > STILL_RAD
    at_s = log.command_time_s[1:]
    cycles = []
    for i, j in _runs(_close(moves, at_s)):
        used = (log.time_s >= at_s[i] - LEAD_S) & (log.time_s <= at_s[j - 1] + LEAD_S)
        if at_s[j - 1] - at_s[i] >= SHORTEST_CYCLE_S and used.sum() > 2:
            cycles.append(log._replace(time_s=log.time_s[used], q_rad=log.q_rad[used]))
    return cycles


def _close(moves: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """The same, with holds of less than STILL_S taken for motion."""
    moves = moves.copy()
    for i, j in _runs(~moves):
        moves[i:j] = i > 0 and j < len(moves) and at_s[j - 1] - at_s[i] < STILL_S
    return moves


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of every unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(i), int(j)) for i, j in edges.reshape(-1, 2)]
