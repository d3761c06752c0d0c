"""Episodes as a contact file foretells them: the next part's friction and offset, where plates lie and how level.

A value is drawn as the next of those that were seen: from Student's t, which is what a normal population of unknown
mean and deviation leaves (Gelman et al., Bayesian Data Analysis, 3rd ed., 2013, section 3.2). Logs show what camera and
hand do wrong together, not each. So the pair that was drawn from the cell's ranges is moved until its sum is the one
learned, each by its share of the variance (Matheron's rule, as in Chilès and Delfiner, Geostatistics, 1999): what the
log tells holds, and the split stays as uncertain as the ranges say.
"""

from collections.abc import Collection

import numpy as np

from robot_rlaas.cell.contact import ContactReport, Learned
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.rotation import about_z, matrix_from_vector
from robot_rlaas.sim.draws import Draw

TRIES = 64
MM, DEG = 1e-3, np.pi / 180
FLIP = np.array([1.0, -1.0])  # the tool points down: its y is against the plate's


def as_learned(
    drawn: Draw,
    cell: CellSpec,
    found: ContactReport,
    generators: list[np.random.Generator],
    beyond: Collection[str],
) -> Draw:
    """The drawn episodes with what was accepted in the contact file in place of the cell's ranges.

    Args:
        drawn: n episodes, from the ranges.
        cell: whose ranges they are.
        found: its contact file.
        generators: of the episodes. They are not used up, so that the rest of an episode stays what it is.
        beyond: factors that are drawn by hand all the same.
    """
    own = [rng.spawn(1)[0] for rng in generators]
    for name, xy, factor in (("plate_xy_m", True, "plate_xy_mm"), ("plate_yaw_rad", False, "plate_yaw_deg")):
        middle = found.accepted("plate_x_mm", "plate_y_mm") if xy else found.accepted("plate_yaw_deg")
        if middle and factor not in beyond:
            place = np.array([[_mean(one, rng) for one in middle] for rng in own])
            place -= np.mean(getattr(cell.variation, factor))
            shifted = getattr(drawn, name) + (MM * place if xy else DEG * place[:, 0])
            drawn = drawn._replace(**{name: shifted})
    offset = found.accepted("offset_x_mm", "offset_y_mm")
    if offset and not {"plate_bias_mm", "hand_offset_mm"} & set(beyond):
        drawn = _with_offset(drawn, cell, np.array([[MM * _next(one, rng) for one in offset] for rng in own]))
    friction = found.accepted("friction")
    if friction and "friction" not in beyond:
        drawn = drawn._replace(friction=np.array([_positive(friction[0], rng) for rng in own]))
    height = found.accepted("plate_z_mm")
    if height:
        drawn = drawn._replace(plate_z_m=MM * np.array([_stands(height[0], rng) for rng in own]))
    tilt = found.accepted("plate_tilt_x_deg", "plate_tilt_y_deg")
    if tilt:
        drawn = drawn._replace(plate_tilt_rad=DEG * np.array([[_stands(one, rng) for one in tilt] for rng in own]))
    return drawn


def offset_m(drawn: Draw, length_m: float) -> np.ndarray:
    """Where the tip has to be led against where the hole is seen (n, 2), in the frame of the hole as seen."""
    R = about_z(drawn.plate_yaw_rad + drawn.bias_yaw_rad)[:, :2, :2]
    lever = length_m * matrix_from_vector(drawn.hand_rad)[:, :2, 2]  # a tilted part: its tip is elsewhere
    return -(np.einsum("nji,nj->ni", R, drawn.bias_xy_m) + FLIP * (drawn.hand_m[:, :2] + lever))


def _with_offset(drawn: Draw, cell: CellSpec, wanted_m: np.ndarray) -> Draw:
    """Bias and place in the hand moved until their sum is the offset (n, 2) that is wanted."""
    gap = wanted_m - offset_m(drawn, cell.task.part.length_mm * MM)
    camera, hand = (np.ptp(getattr(cell.variation, name)) ** 2 for name in ("plate_bias_mm", "hand_offset_mm"))
    share = camera / (camera + hand) if camera + hand else 1.0
    R = about_z(drawn.plate_yaw_rad + drawn.bias_yaw_rad)[:, :2, :2]
    moved = np.concatenate([(1 - share) * FLIP * gap, np.zeros((len(gap), 1))], axis=1)
    return drawn._replace(
        bias_xy_m=drawn.bias_xy_m - share * np.einsum("nij,nj->ni", R, gap), hand_m=drawn.hand_m - moved
    )


def _mean(one: Learned, rng: np.random.Generator) -> float:
    """What the mean may be."""
    return one.value + one.deviation / np.sqrt(one.parts) * rng.standard_t(one.parts - 1)


def _stands(one: Learned, rng: np.random.Generator) -> float:
    """How a plate may stand that stays as it is."""
    return _mean(one, rng) + rng.uniform(-one.hidden, one.hidden)


def _next(one: Learned, rng: np.random.Generator) -> float:
    """What the next part may have."""
    spread = one.deviation * np.sqrt(1 + 1 / one.parts)
    return one.value + spread * rng.standard_t(one.parts - 1) + rng.uniform(-one.hidden, one.hidden)


def _positive(one: Learned, rng: np.random.Generator) -> float:
    tries = (_next(one, rng) for _ in range(TRIES))
    return next((value for value in tries if value > 0.0), one.value)
