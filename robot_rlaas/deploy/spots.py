"""Where on a plate a tip may be pressed: inside its upper face, away from hole, shafts, gears and keep-out boxes."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.insertion import CylinderPart, GearPart, Part
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, SerialChain, solve, tool_pose
from robot_rlaas.control.safety import Envelope, inside_keep_out

SPOTS, LEAST = 6, 4  # spots of a press: a plane takes three, and what is left over says how surely
APART_M = 0.008
STROKE_M = 0.008
CLEAR_M = 0.010  # above the plate's highest point: so high the tip goes from spot to spot
GRID_M = 0.003
REACHED = 1e-4  # error of the inverse kinematics, m and rad mixed
SIDES = np.array([(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)])


class Spot(NamedTuple):
    """Where the tip goes down, and to where it slides from there: (2,) each, m, in the base frame."""

    at_m: np.ndarray
    to_m: np.ndarray


def face_m(cell: CellSpec) -> float:
    """The height of the plate's upper face by what the cell and its contact file say, in the base frame."""
    learned = cell.contact.accepted("plate_z_mm") if cell.contact else ()
    return (cell.task.plate.face_mm + sum(one.value for one in learned)) / 1000


def clear_m(cell: CellSpec) -> float:
    """The height at which a tip passes over everything on the plate."""
    plate = cell.task.plate
    return face_m(cell) + (plate.top_mm[2] - plate.face_mm) / 1000 + CLEAR_M


def spots(cell: CellSpec, chain: SerialChain, envelope: Envelope, plate: Pose) -> list[Spot]:
    """Up to SPOTS spots as far from each other as they can be, in the order of their direction from the plate's middle.

    Args:
        cell: for the plate, the part, and what camera and hand may do wrong.
        chain, envelope: of the arm; the tool stands as it does at home.
        plate: the hole's frame as the camera sees it, one row.

    Raises:
        InputError: if there is room for fewer than LEAST.
    """
    at, to = (plate.p[0, :2] + end @ plate.R[0, :2, :2].T for end in _room(cell))
    free = _reached(cell, chain, envelope, at) & _reached(cell, chain, envelope, to)
    at, to = at[free], to[free]
    away = at - plate.p[0, :2]
    chosen = _spread(away)
    if len(chosen) < LEAST:
        raise InputError(
            f"there is room for {len(chosen)} spots to be pressed on the plate of '{cell.name}', at least {LEAST} are "
            "needed: beside hole, shaft and gears, away from its edges and from keep-out boxes",
            key="task.plate.size_mm",
            fix="press with a thinner part or pin in the hand: a cell file with that part, on the same plate",
        )
    around = sorted(chosen, key=lambda i: float(np.arctan2(away[i, 1], away[i, 0])))
    return [Spot(at[i], to[i]) for i in around]


def _room(cell: CellSpec) -> tuple[np.ndarray, np.ndarray]:
    """Where a tip may go down and slide to (n, 2) each, m, in the frame of the hole as seen."""
    half = np.array(cell.task.plate.size_mm[:2]) / 2000
    keep = _radius_m(cell.task.part) + _slack_m(cell)
    x, y = (np.arange(-h + keep, h - keep + 1e-9, GRID_M) for h in half)
    at = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    free = np.zeros((len(SIDES), len(at)), bool)
    for i, side in enumerate(SIDES):
        way = [at + share * STROKE_M * side for share in (0.0, 0.5, 1.0)]
        free[i] = np.all([np.all(np.abs(p) <= half - keep, axis=1) & _beside(cell, p, keep) for p in way], axis=0)
    some = free.any(axis=0)
    return at[some], (at + STROKE_M * SIDES[free.argmax(axis=0)])[some]


def _beside(cell: CellSpec, at: np.ndarray, keep_m: float) -> np.ndarray:
    """Whether places (n, 2) are so far from what stands on the plate, and from its hole."""
    plate, part = cell.task.plate, cell.task.part
    discs: list[tuple[np.ndarray, float]] = [(np.zeros(2), _hole_m(cell))]
    for gear in plate.shaft.neighbours if plate.shaft and isinstance(part, GearPart) else ():
        angle = np.deg2rad(gear.direction_deg)
        middle = gear.distance_mm / 1000 * np.array([np.cos(angle), np.sin(angle)])
        discs.append((middle, part.module_mm * (gear.teeth + 2) / 2000))
    return np.all([np.linalg.norm(at - middle, axis=1) >= radius + keep_m for middle, radius in discs], axis=0)


def _hole_m(cell: CellSpec) -> float:
    """The radius of the disc that the hole and its chamfer, or the shaft, lie in."""
    plate, part = cell.task.plate, cell.task.part
    if isinstance(part, GearPart):
        return part.bore_mm / 2000
    return _across_m(part, 2 * (plate.clearance_mm + plate.chamfer_mm))


def _radius_m(part: Part) -> float:
    """The radius of the disc that the part's tip lies in, however it is turned."""
    return part.module_mm * (part.teeth + 2) / 2000 if isinstance(part, GearPart) else _across_m(part, 0.0)


def _across_m(part: Part, wider_mm: float) -> float:
    """Half of what a section measures from corner to corner, when its sides are so much longer."""
    x, y = (extent + wider_mm for extent in part.section_mm)
    return (x if isinstance(part, CylinderPart) else float(np.hypot(x, y))) / 2000


def _slack_m(cell: CellSpec) -> float:
    """How far aside of where it is thought to be a tip may touch, by what camera and hand may do wrong."""
    vary, length_mm = cell.variation, cell.task.part.length_mm
    arms = {"plate_bias_mm": 1.0, "hand_offset_mm": 1.0, "hand_offset_deg": np.deg2rad(length_mm)}
    arms["plate_bias_deg"] = np.deg2rad(max(cell.task.plate.size_mm[:2]) / 2)
    return float(sum(np.sqrt(2) * arm * np.abs(getattr(vary, name)).max() for name, arm in arms.items())) / 1000


def _reached(cell: CellSpec, chain: SerialChain, envelope: Envelope, at: np.ndarray) -> np.ndarray:
    """Whether the arm can stand at places (n, 2) in the base frame, on the plate and clear of it, outside all boxes."""
    home = np.deg2rad(np.array(cell.robot.home_deg))
    R = np.broadcast_to(tool_pose(chain, home[None]).R, (len(at), 3, 3))
    grown = envelope._replace(
        keep_out_min_m=envelope.keep_out_min_m - CLEAR_M, keep_out_max_m=envelope.keep_out_max_m + CLEAR_M
    )
    reached = np.ones(len(at), bool)
    for height_m in (face_m(cell), clear_m(cell)):
        p = np.concatenate([at, np.full((len(at), 1), height_m)], axis=1)
        q, error = solve(chain, Pose(R, p), np.broadcast_to(home, (len(at), len(home))))
        reached &= (error < REACHED) & np.all((q > envelope.lower_rad) & (q < envelope.upper_rad), axis=1)
        reached &= ~inside_keep_out(grown, tool_pose(chain, q))
    return reached


def _spread(at: np.ndarray) -> list[int]:
    """The furthest place (n, 2) from the middle, and then always the one furthest from all that were taken."""
    if not len(at):
        return []
    chosen = [int(np.argmax(np.linalg.norm(at, axis=1)))]
    while len(chosen) < SPOTS:
        gap = np.min([np.linalg.norm(at - at[i], axis=1) for i in chosen], axis=0)
        if gap.max() < APART_M:
            break
        chosen.append(int(np.argmax(gap)))
    return chosen
