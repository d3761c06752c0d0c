"""What reports call things: kinds of failures, axes of starts and moments of an episode, by kind of task."""

import re
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import DOWN, matrix_from_vector, transpose
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.qualify.trials import ARM_AXES, START_AXES, start_axes

Phrase = tuple[str, str, str]  # clause, format of its value, unit

FORBIDDEN = {  # counts for more than whether the job was done
    "keep_out": "entered a keep-out box",
    "touched": "touched what must never be touched",
    "fast": "was too fast in a speed zone",
    "margin": "brought a joint too near to its limit",
}
FAILURE_KINDS = {
    **FORBIDDEN,
    "approach": "never reached the plate",
    "search": "touched the plate and never found the hole",
    "insert": "found the hole and got stuck on the way in",
    "done": "diverged in simulation",
    "unseen": "not inserted; nobody saw how far it got",
    "rejected": "the operator says that it failed",
    "force": "inserted, but pressed harder than the limit",
    "impulse": "inserted, but hit harder than the limit",
    "pressed": "inserted, but pressed for too long",
    "slow": "inserted, but took longer than the limit",
}
COMBINED_AXES = ("miss_x_mm", "miss_y_mm", "miss_mm", "tilt_deg", "twist_deg")
AXES = (*START_AXES, *COMBINED_AXES)
PHRASES = {  # clause, format of its value, unit
    "plate_x_mm": ("the plate lay {} off in x", "+z.1f", " mm"),
    "plate_y_mm": ("the plate lay {} off in y", "+z.1f", " mm"),
    "plate_yaw_deg": ("the plate was turned by {}", "+z.1f", "°"),
    "bias_x_mm": ("the plate was seen {} off in x", "+z.1f", " mm"),
    "bias_y_mm": ("the plate was seen {} off in y", "+z.1f", " mm"),
    "bias_yaw_deg": ("the plate was seen turned by {} too far", "+z.1f", "°"),
    "hand_x_mm": ("the part sat {} off in x in the hand", "+z.1f", " mm"),
    "hand_y_mm": ("the part sat {} off in y in the hand", "+z.1f", " mm"),
    "hand_z_mm": ("the part sat {} off in z in the hand", "+z.1f", " mm"),
    "hand_rx_deg": ("the part was tilted by {} about x in the hand", "+z.1f", "°"),
    "hand_ry_deg": ("the part was tilted by {} about y in the hand", "+z.1f", "°"),
    "hand_rz_deg": ("the part was turned by {} in the hand", "+z.1f", "°"),
    "friction": ("friction was {}", ".2f", ""),
    "delay_ms": ("commands took {} to act", ".0f", " ms"),
    "joint_friction_Nm": ("joint friction was {}", ".2f", " N m"),
    "gain_scale": ("servo gains were {} times nominal", ".2f", ""),
    "damping_scale": ("servo damping was {} times nominal", ".2f", ""),
    "miss_x_mm": ("aimed where the hole was seen, the part was {} off in x", "+z.1f", " mm"),
    "miss_y_mm": ("aimed where the hole was seen, the part was {} off in y", "+z.1f", " mm"),
    "miss_mm": ("aimed where the hole was seen, the part was {} off", ".1f", " mm"),
    "tilt_deg": ("the part leant by {}", ".1f", "°"),
    "twist_deg": ("the part was twisted by {} against the hole", "+z.1f", "°"),
}
REACHED = ("at the plate", "in the hole", "done")  # a stage of insertion.STAGES[1:] in a sentence


class Words(NamedTuple):
    """What a cell's report calls things.

    Attributes:
        kinds: of failures: name -> what happened. Not done is called after the stage that was not.
        stages: of the task, from the start to "done".
        reached: how a sentence says that a stage of `stages[1:]` was reached.
        axes: of a start, what is combined from them last.
        phrases: how a sentence says an axis.
    """

    kinds: dict[str, str]
    stages: tuple[str, ...]
    reached: tuple[str, ...]
    axes: tuple[str, ...]
    phrases: dict[str, Phrase]

    @property
    def history(self) -> tuple[str, ...]:
        """The figures of an episode's course."""
        return (*(f"{stage}_s" for stage in self.stages[1:]), "peak_force_N", "peak_at_s")


INSERTION = Words(FAILURE_KINDS, insertion.STAGES, REACHED, AXES, PHRASES)
GENERAL_KINDS = {
    "unseen": "not done; nobody saw how far it got",
    "rejected": "the operator says that it failed",
    "force": "done, but pressed harder than the limit",
    "impulse": "done, but hit harder than the limit",
    "pressed": "done, but pressed for too long",
    "slow": "done, but took longer than the limit",
}
HANDLING_PHRASES: tuple[tuple[str, Phrase], ...] = (  # the first pattern that an axis matches
    (r"(\w+)_bias_([xy])_mm", ("{0} was seen {{}} off in {1}", "+z.1f", " mm")),
    (r"(\w+)_bias_yaw_deg", ("{0} was seen turned by {{}} too far", "+z.1f", "°")),
    (r"(\w+)_off_([xy])_mm", ("{0} stood {{}} off in {1}", "+z.1f", " mm")),
    (r"(\w+)_off_yaw_deg", ("{0} stood turned by {{}}", "+z.1f", "°")),
    (r"(\w+)_([xy])_mm", ("{0} lay at {1} = {{}}", ".0f", " mm")),
    (r"(\w+)_yaw_deg", ("{0} lay turned by {{}}", "+z.1f", "°")),
    (r"(\w+)_mass_kg", ("{0} weighed {{}}", ".3f", " kg")),
    (r"(\w+)_phase", ("{0} had done {{}} of its cycle", ".2f", "")),
    (r"grip_friction", ("the pads' friction was {{}}", ".2f", "")),
)


def words_of(cell: CellSpec) -> Words:
    """The words of the cell's kind of task."""
    if not isinstance(cell.task, HandlingTask):
        return INSERTION
    labels, axes = cell.task.labels, start_axes(cell)
    stuck = {label: f"got stuck in '{label}'" for label in labels}
    kinds = {**FORBIDDEN, **stuck, "done": FAILURE_KINDS["done"], **GENERAL_KINDS}
    phrases = {axis: PHRASES[axis] for axis in ARM_AXES} | {a: _phrase(a) for a in axes if a not in ARM_AXES}
    reached = (*(f"at '{label}'" for label in labels[1:]), "done")
    return Words(kinds, (*labels, "done"), reached, axes, phrases)


def _phrase(axis: str) -> Phrase:
    for pattern, (clause, form, unit) in HANDLING_PHRASES:
        if match := re.fullmatch(pattern, axis):
            return clause.format(*match.groups()), form, unit
    raise ValueError(f"no words for the axis '{axis}'")


def with_combined(cell: CellSpec, starts: np.ndarray) -> np.ndarray:
    """Starts (n, axes of a start) with what they add up to: one column per axis of `words_of(cell)`."""
    if isinstance(cell.task, HandlingTask):
        return starts
    return np.concatenate([starts, combined_axes(cell, starts)], axis=1)


def combined_axes(cell: CellSpec, starts: np.ndarray) -> np.ndarray:
    """What a start's displacements add up to, (n, len(START_AXES)) -> (n, len(COMBINED_AXES)).

    Let the tool stand upright at the hole as it was seen. The miss is where the part's tip then is beside the true
    hole, in its frame; the tilt is the angle between the axes of part and hole, the twist the one between their sides.
    """
    column = dict(zip(START_AXES, starts.T))

    def vector(name: str, axes: str, unit: str, scale: float) -> np.ndarray:
        return np.stack([column[f"{name}_{axis}_{unit}"] for axis in axes.split()], axis=1) * scale

    plate_xy_m, bias_xy_m = vector("plate", "x y", "mm", 1e-3), vector("bias", "x y", "mm", 1e-3)
    plate_yaw_rad, bias_yaw_rad = np.deg2rad(column["plate_yaw_deg"]), np.deg2rad(column["bias_yaw_deg"])
    R_hand = matrix_from_vector(vector("hand", "rx ry rz", "deg", np.pi / 180))
    hole = insertion.task_frame(cell, plate_xy_m, plate_yaw_rad)
    seen = insertion.task_frame(cell, plate_xy_m + bias_xy_m, plate_yaw_rad + bias_yaw_rad)
    tool = Pose(seen.R @ DOWN, seen.p)
    tip = insertion.part_tip(tool, vector("hand", "x y z", "mm", 1e-3), R_hand, cell.task.part.length_mm / 1000)
    at = insertion.progress(cell, hole, tip)
    R_hole_peg = transpose(hole.R) @ tool.R @ R_hand
    tilt_rad = np.arccos(np.clip(-R_hole_peg[:, 2, 2], -1.0, 1.0))
    twist_rad = np.arctan2(R_hole_peg[:, 1, 0], R_hole_peg[:, 0, 0])
    miss_mm, angles = 1e3 * np.stack([*at.tip_m[:, :2].T, at.lateral_m]), np.rad2deg([tilt_rad, twist_rad])
    return np.concatenate([miss_mm, angles]).T
