"""What a press says of the cell: figures for a person, what it leaves open, and what the simulation may take over.

A press meets the plate with one part. How far that stands out of the hand adds to the plate's height, and how parts
differ in friction does not show at all. So the height is taken over with what the cell allows for the hand on top, and
the friction as the middle of parts that differ as much as the cell says; and both only where the cell's own ranges
cannot explain what was felt.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.contact.face import Face
from robot_rlaas.calibrate.contact.figures import figure_of, friction_allowed, noise
from robot_rlaas.calibrate.contact.learned import ERROR, STRONG_NATS, said
from robot_rlaas.calibrate.contact.presses import PressLog
from robot_rlaas.calibrate.contact.told import Told, mean_of
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.contact import ContactFigure, Learned, Quantity
from robot_rlaas.cell.insertion import CylinderPart
from robot_rlaas.cell.spec import CellSpec

TILTS: tuple[Quantity, ...] = ("plate_tilt_x_deg", "plate_tilt_y_deg")
CERTAIN = float(np.sqrt(2 * STRONG_NATS))  # standard errors
STIFF = 0.5  # of a give: known no better than that, it is not told


class _Range(NamedTuple):
    """What the cell explains: from `middle` minus to plus `half`, and how unsure that is (standard deviation)."""

    middle: float
    half: float
    unsure: float

    @property
    def ends(self) -> tuple[float, float]:
        reach = self.half + CERTAIN * self.unsure
        return self.middle - reach, self.middle + reach

    def beyond(self, told: Told) -> float:
        """How far a value is out of it, in standard errors."""
        return max(abs(told.value - self.middle) - self.half, 0.0) / float(np.hypot(self.unsure, told.error))


def pressed_figures(cell: CellSpec, log: PressLog, face: Face) -> tuple[ContactFigure, ...]:
    """Height, tilts, friction, stiffness, and the wrist's readings at rest, against what the cell says."""
    out_mm, explained = _stands_out_mm(cell, face), _height_mm(cell, face)
    explained = explained._replace(middle=explained.middle + out_mm.middle)
    found = [figure_of("height of the plate's face under the tip", "mm", _felt_mm(cell, face), explained.ends)]
    for axis, name, tilt in zip("xy", TILTS, face.tilt_deg):
        found.append(figure_of(f"tilt of the plate's face about {axis}", "deg", tilt, _tilt_deg(cell, name).ends))
    if face.friction:
        found.append(figure_of("friction of the tip on the plate", "1", face.friction, friction_allowed(cell)))
    if _stiffness_is_told(face.give_m_N):
        found.append(_stiffness(face.give_m_N))
    raw = np.array([spot.still.mean(axis=0) for spot in log.spots])
    for i, (what, axis) in enumerate((what, axis) for what in ("force", "torque") for axis in "xyz"):
        unit = "N" if what == "force" else "N m"
        found.append(figure_of(f"{what} that the wrist states at rest, {axis}", unit, mean_of(raw[:, i])))
    return (*found, *noise(cell, [spot.still for spot in log.spots]))


def open_questions(cell: CellSpec, face: Face) -> tuple[str, ...]:
    """What the press cannot tell, and what would."""
    out_mm, felt_mm = _stands_out_mm(cell, face), _felt_mm(cell, face)
    middle, half = felt_mm.value - out_mm.middle, out_mm.half + felt_mm.half_95
    found = [
        "the plate's height and how far the part stands out of the hand show only in sum: the plate itself is "
        f"{middle - half:+.2f} to {middle + half:+.2f} mm from where the cell file has it; to know it better press "
        "with a pin of known length, and a cell file whose variation.hand_offset_mm says so"
    ]
    if not face.tilt_deg:
        found.append(
            f"the pressed spots lie on a line, {face.line_deg:.0f} deg from the base's x: along it the face rises by "
            f"{face.rise_deg.value:.2f} deg (+- {face.rise_deg.half_95:.2g}), across it nobody knows; press with a "
            "thinner part, for which there is room on both sides of the hole"
        )
    if not face.friction:
        found.append("the tip hardly slid, so its friction is not known: press with less force")
    if not _stiffness_is_told(face.give_m_N):
        most_m_N = max(face.give_m_N.value, 0.0) + face.give_m_N.half_95
        found.append(
            f"how stiff hand, part and plate are is lost in the noise of the joints: more than {1e-3 / most_m_N:.0f} "
            "N/mm; press with more force to know it (the servos' give shows in the joints, and is not in this)"
        )
    found.append(
        "what the wrist states at rest is its sensor's offset and the weight that it does not know of: only another "
        "orientation of the tool would tell them apart"
    )
    return tuple(found)


def learn_pressed(cell: CellSpec, face: Face) -> tuple[Learned, ...]:
    """What takes the place of the cell's word: only with evidence of STRONG_NATS against it."""
    felt_mm, explained = _felt_mm(cell, face), _height_mm(cell, face)
    height_mm = felt_mm._replace(value=felt_mm.value - _stands_out_mm(cell, face).middle)
    (height,) = _learned(("plate_z_mm",), (height_mm,), (explained,))
    found = [height.model_copy(update={"hidden": short(explained.half, 5)})]
    if face.tilt_deg:
        found += _learned(TILTS, face.tilt_deg, [_tilt_deg(cell, name) for name in TILTS])
    if face.friction:
        low, high = friction_allowed(cell)
        explained = _Range((low + high) / 2, (high - low) / 2, ERROR["friction"])
        (friction,) = _learned(("friction",), (face.friction,), (explained,))
        words = f"{friction.reason}; it was one part: how parts differ stays as the cell says"
        spread = short(said(cell, "friction").spread, 5)
        found.append(friction.model_copy(update={"deviation": spread, "reason": words}))
    return tuple(found)


def _learned(names: Sequence[Quantity], values: Sequence[Told], explained: Sequence[_Range]) -> list[Learned]:
    """Quantities that are accepted together or not at all."""
    nats = sum(one.beyond(told) ** 2 for told, one in zip(values, explained)) / 2
    rest = "" if nats >= STRONG_NATS else f"; {STRONG_NATS} are needed"
    return [
        Learned(
            name=name,
            value=short(told.value, 5),
            deviation=short(told.error * np.sqrt(told.freedom + 1), 5),
            parts=told.freedom + 1,
            accepted=nats >= STRONG_NATS,
            reason=f"evidence of {nats:.1f} nats against what the cell says{rest}",
        )
        for name, told in zip(names, values)
    ]


def _felt_mm(cell: CellSpec, face: Face) -> Told:
    """The tip's height on the plate, above what the cell file says of the plate's."""
    felt = face.height_m
    return Told(1000 * felt.value - cell.task.plate.face_mm, 1000 * felt.error, felt.freedom)


def _height_mm(cell: CellSpec, face: Face) -> _Range:
    """What the cell explains of the plate's height."""
    before = said(cell, "plate_z_mm")
    return _Range(before.middle, _stands_out_mm(cell, face).half, before.spread)


def _tilt_deg(cell: CellSpec, name: Quantity) -> _Range:
    before = said(cell, name)
    return _Range(before.middle, 0.0, before.spread)


def _stands_out_mm(cell: CellSpec, face: Face) -> _Range:
    """By how much the lowest point of the tip may be below the nominal tip: moved, and turned, in the hand."""
    part, vary = cell.task.part, cell.variation
    x, y = (extent / 2 for extent in part.section_mm)
    near, far = (x, x) if isinstance(part, CylinderPart) else (min(x, y), float(np.hypot(x, y)))
    tilt = np.deg2rad(float(np.linalg.norm([told.value for told in face.tilt_deg])))
    loose = np.deg2rad(np.sqrt(2) * float(np.abs(vary.hand_offset_deg).max()))
    low, high = near * max(tilt - loose, 0.0), far * (tilt + loose)
    middle = float(np.mean(vary.hand_offset_mm)) + (low + high) / 2
    return _Range(middle, (float(np.ptp(vary.hand_offset_mm)) + high - low) / 2, 0.0)


def _stiffness_is_told(give_m_N: Told) -> bool:
    return give_m_N.half_95 < STIFF * give_m_N.value


def _stiffness(give_m_N: Told) -> ContactFigure:
    """The inverse of the give."""
    low, value, high = (short(1e-3 / (give_m_N.value + end * give_m_N.half_95), 5) for end in (1.0, 0.0, -1.0))
    name = "stiffness along the press"
    return ContactFigure(name=name, unit="N/mm", value=value, lower_95=low, upper_95=high, allowed=None, within=True)
