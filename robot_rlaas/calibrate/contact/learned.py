"""From attempts to what the cell may be simulated with: the mean and scatter of what differs from part to part.

A quantity takes the place of the cell's ranges only if the parts foretell each other better than the cell did: every
part is left out once, and its log density under the others (Student's t) is compared with its density under what the
cell says (Vehtari, Gelman and Gabry, Statistics and Computing 27, 2017). It takes strong evidence, 20 to 1 in all (Kass
and Raftery, J. American Statistical Association 90, 1995): parts as the cell says them must not replace it by chance.
"""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from scipy import stats

from robot_rlaas.calibrate.contact.attempts import Attempt, Seat, friction
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.contact import Learned, Quantity
from robot_rlaas.cell.spec import CellSpec

ENOUGH = 10  # parts
STRONG_NATS = 3.0
MOST = 0.5  # of the attempts have to insert: where the peg sat in the others, nobody saw
ERROR = {"friction": 0.02, "offset": 0.15, "plate": 1.0}  # of one part's figure, on a virtual arm; mm, degrees
STANDS = {  # of a plate that the cell says is level and as high as top_mm: nobody need mind so much, mm and degrees
    "plate_z_mm": 0.1,
    "plate_tilt_x_deg": 0.1,
    "plate_tilt_y_deg": 0.1,
}
GROUPS: tuple[tuple[Quantity, ...], ...] = (
    ("friction",),
    ("offset_x_mm", "offset_y_mm"),
    ("plate_x_mm", "plate_y_mm"),
    ("plate_yaw_deg",),
)


class Said(NamedTuple):
    """What the cell says of a quantity as the logs show it: its mean and standard deviation from part to part."""

    middle: float
    spread: float


def said(cell: CellSpec, name: Quantity) -> Said:
    """What a cell says of a quantity: its contact file, or its ranges where that says nothing."""
    found = cell.contact.accepted(name) if cell.contact else ()
    kind, vary = name.split("_")[0], cell.variation
    if name in STANDS:
        before = found[0] if found else None
        unsure = np.hypot(before.deviation / np.sqrt(before.parts), before.hidden / np.sqrt(3)) if before else 0.0
        return Said(before.value if before else 0.0, float(np.hypot(unsure, STANDS[name])))
    if kind == "plate":
        low, high = vary.plate_yaw_deg if name == "plate_yaw_deg" else vary.plate_xy_mm
        middle = found[0].value if found else (low + high) / 2
        return Said(middle, float(np.hypot((high - low) / np.sqrt(12), ERROR[kind])))
    if found:
        return Said(found[0].value, float(np.hypot(found[0].deviation * np.sqrt(1 + 1 / found[0].parts), ERROR[kind])))
    if kind == "friction":
        return Said(float(np.mean(vary.friction)), float(np.hypot(np.ptp(vary.friction) / np.sqrt(12), ERROR[kind])))
    side = -1.0 if name == "offset_x_mm" else 1.0  # the tool points down: its y is against the plate's
    tilt_mm = cell.task.part.length_mm * np.deg2rad(vary.hand_offset_deg)
    widths = [*map(np.ptp, (vary.plate_bias_mm, vary.hand_offset_mm, tilt_mm)), 2 * cell.task.plate.clearance_mm]
    middle = -np.mean(vary.plate_bias_mm) + side * np.mean(vary.hand_offset_mm)
    return Said(float(middle), float(np.sqrt(np.sum(np.square(widths)) / 12)))


def learn(cell: CellSpec, attempts: Sequence[Attempt], seats: Sequence[Seat]) -> tuple[Learned, ...]:
    """What these attempts tell of the next one; nothing of what fewer than two of them show."""
    values = _values(cell, attempts, seats)
    return tuple(one for group in GROUPS for one in _group(cell, group, values, len(seats) / len(attempts)))


def _values(cell: CellSpec, attempts: Sequence[Attempt], seats: Sequence[Seat]) -> dict[Quantity, np.ndarray]:
    """Each quantity of every part that shows it."""
    offset = np.array([seat.offset_mm for seat in seats])
    place = 1000 * np.array([seat.place_m for seat in seats]) - cell.task.plate.top_mm[:2]
    yaw = np.rad2deg([attempt.hole_yaw_rad for attempt in attempts])
    mu = np.array([one for one in map(friction, attempts) if one is not None])
    return dict(zip(get_args(Quantity), (mu, *offset.T, *place.T, yaw)))


def _group(
    cell: CellSpec, names: tuple[Quantity, ...], values: dict[Quantity, np.ndarray], inserted: float
) -> list[Learned]:
    """Quantities that are accepted together or not at all."""
    parts, hidden = len(values[names[0]]), cell.task.plate.clearance_mm if names[0] == "offset_x_mm" else 0.0
    if parts < 2:
        return []
    accepted, reason = _judged(cell, names, values, inserted)
    return [
        Learned(
            name=name,
            value=short(values[name].mean(), 5),
            deviation=short(values[name].std(ddof=1), 5),
            parts=parts,
            hidden=hidden,
            accepted=accepted,
            reason=reason,
        )
        for name in names
    ]


def _judged(
    cell: CellSpec, names: tuple[Quantity, ...], values: dict[Quantity, np.ndarray], inserted: float
) -> tuple[bool, str]:
    """Whether the parts foretell each other better than the cell does, and why."""
    parts = len(values[names[0]])
    if parts < ENOUGH:
        return False, f"{parts} parts show it, at least {ENOUGH} are needed"
    if inserted < MOST and names != ("friction",):
        return False, f"{inserted:.0%} of the attempts inserted, at least {MOST:.0%} are needed"
    if names == ("offset_x_mm", "offset_y_mm") and all(_hidden(cell, name, values[name]) for name in names):
        return False, f"the clearance of {cell.task.plate.clearance_mm} mm hides it"
    gain = sum(_gain(values[name], said(cell, name), names[0].startswith("plate")) for name in names)
    if gain < STRONG_NATS:
        return False, f"evidence of {gain:.1f} nats against what the cell says; {STRONG_NATS} are needed"
    rest = "" if inserted == 1.0 or names == ("friction",) else f"; {1 - inserted:.0%} did not insert, perhaps of more"
    return True, f"evidence of {gain:.1f} nats against what the cell says{rest}"


def _hidden(cell: CellSpec, name: Quantity, values: np.ndarray) -> bool:
    """Whether a tip that is free within its clearance would look the same."""
    slack, vary = cell.task.plate.clearance_mm, cell.variation
    reach = (np.ptp(vary.plate_bias_mm) + np.ptp(vary.hand_offset_mm)) / 2
    return bool(slack >= reach and abs(values.mean() - said(cell, name).middle) <= slack)


def _gain(values: np.ndarray, before: Said, middle_only: bool) -> float:
    """Log density (nats) of each part under the others, less that under what the cell said; the sum of all parts."""
    count = len(values)
    mean = (values.sum() - values) / (count - 1)
    rest = np.array([np.delete(values, i).std(ddof=1) for i in range(count)])
    if middle_only:
        after = stats.norm.logpdf(values, mean, np.hypot(before.spread, rest / np.sqrt(count - 1)))
    else:
        after = stats.t.logpdf(values, count - 2, mean, np.maximum(rest, 1e-6) * np.sqrt(1 + 1 / (count - 1)))
    return float(np.sum(after - stats.norm.logpdf(values, before.middle, before.spread)))
