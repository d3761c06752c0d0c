"""What a person should know of the attempts: figures with intervals, what the cell allows for, and what to do."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from robot_rlaas.calibrate.contact.attempts import Attempt, Seat, friction
from robot_rlaas.calibrate.contact.learned import Said, said
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.contact import ContactFigure
from robot_rlaas.cell.spec import CellSpec

LEAST_SLIDES = 3  # attempts that slid, for a figure of friction


def figures(cell: CellSpec, attempts: Sequence[Attempt], seats: Sequence[Seat]) -> tuple[ContactFigure, ...]:
    """Where pegs sat, friction, and the wrist's noise, against what the cell allows for."""
    vary, sense, slack = cell.variation, cell.sensing, cell.task.plate.clearance_mm
    offset = np.array([seat.offset_mm for seat in seats])
    found = []
    for i, name in enumerate(("offset_x_mm", "offset_y_mm")):
        found += _offset_and_scatter(
            f"hole, seen against found, {'xy'[i]}", "mm", offset[:, i], said(cell, name), slack
        )
    turn = np.rad2deg(2 * slack / max(cell.task.part.section_mm))
    spread = np.sqrt((np.ptp(vary.plate_bias_deg) ** 2 + np.ptp(vary.hand_offset_deg) ** 2) / 12 + turn**2 / 3)
    middle = float(np.mean(vary.hand_offset_deg) - np.mean(vary.plate_bias_deg))
    turns = np.array([seat.turn_deg for seat in seats])
    found += _offset_and_scatter("hole, seen against found, yaw", "deg", turns, Said(middle, float(spread)), turn)
    mu = np.array([one for one in map(friction, attempts) if one is not None])
    if len(mu) >= LEAST_SLIDES:
        middle, spread = said(cell, "friction")
        learned = cell.contact.accepted("friction") if cell.contact else ()
        allowed = (middle - 2 * spread, middle + 2 * spread) if learned else vary.friction
        found.append(_mean("friction of peg and plate", "1", mu, allowed))
    noise = np.array([attempt.still.std(axis=0, ddof=1) for attempt in attempts])
    for name, unit, part, most in (
        ("noise of the wrist's force", "N", noise[:, :3], sense.force_noise_N),
        ("noise of the wrist's torque", "N m", noise[:, 3:], sense.torque_noise_Nm),
    ):
        found.append(_mean(name, unit, np.sqrt(np.mean(part**2, axis=1)), (0.0, 1.1 * most)))
    return tuple(found)


def _offset_and_scatter(name: str, unit: str, values: np.ndarray, cell: Said, slack: float) -> list[ContactFigure]:
    """The mean, which should be the cell's up to the clearance, and the scatter, which the cell should cover."""
    count = len(values)
    scatter = float(values.std(ddof=1))
    bounds = scatter * np.sqrt((count - 1) / stats.chi2.ppf([0.975, 0.025], count - 1))
    return [
        _mean(f"{name}: mean", unit, values, (cell.middle - slack, cell.middle + slack)),
        ContactFigure(
            name=f"{name}: scatter",
            unit=unit,
            value=short(scatter, 5),
            lower_95=short(bounds[0], 5),
            upper_95=short(bounds[1], 5),
            allowed=(0.0, short(cell.spread, 5)),
            within=bool(bounds[0] <= cell.spread),
        ),
    ]


def _mean(name: str, unit: str, values: np.ndarray, allowed: tuple[float, float]) -> ContactFigure:
    """The mean with Student's interval; within what is allowed unless the whole interval lies outside."""
    count, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return ContactFigure(
        name=name,
        unit=unit,
        value=short(mean, 5),
        lower_95=short(mean - half, 5),
        upper_95=short(mean + half, 5),
        allowed=(short(allowed[0], 5), short(allowed[1], 5)),
        within=mean + half >= allowed[0] and mean - half <= allowed[1],
    )


def finding(figure: ContactFigure) -> str:
    """What is out of what the cell allows for, and what to do."""
    value = f"{figure.name} is {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g})"
    if figure.name.endswith("mean"):
        return f"{value}: the camera or the tool is out of line; calibrate the camera, or correct the tool's length"
    if figure.name.endswith("scatter"):
        return f"{value}, more than variation.plate_bias and hand_offset cover ({figure.allowed[1]:.3g}): widen them"
    where = "variation.friction" if figure.name.startswith("friction") else "sensing"
    low, high = figure.allowed
    return f"{value}, outside of what {where} says ({low:.3g} to {high:.3g}): correct it, and train again"
