"""What a person should know of the attempts: figures with intervals, what the cell allows for, and what to do."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from robot_rlaas.calibrate.contact.attempts import Attempt, Seat, friction
from robot_rlaas.calibrate.contact.learned import Said, said
from robot_rlaas.calibrate.contact.told import Told, mean_of
from robot_rlaas.calibrate.rounding import short
from robot_rlaas.cell.contact import ContactFigure
from robot_rlaas.cell.spec import CellSpec

LEAST_SLIDES = 3  # attempts that slid, for a figure of friction


def figures(cell: CellSpec, attempts: Sequence[Attempt], seats: Sequence[Seat]) -> tuple[ContactFigure, ...]:
    """Where pegs sat, friction, and the wrist's noise, against what the cell allows for."""
    vary, slack = cell.variation, cell.task.plate.clearance_mm
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
        found.append(figure_of("friction of peg and plate", "1", mean_of(mu), friction_allowed(cell)))
    return (*found, *noise(cell, [attempt.still for attempt in attempts]))


def friction_allowed(cell: CellSpec) -> tuple[float, float]:
    """By the cell's contact file, or by its range where that says nothing."""
    if not (cell.contact and cell.contact.accepted("friction")):
        return cell.variation.friction
    middle, spread = said(cell, "friction")
    return middle - 2 * spread, middle + 2 * spread


def noise(cell: CellSpec, stills: Sequence[np.ndarray]) -> tuple[ContactFigure, ...]:
    """Of the wrist's readings, raw, at each of several rests (S, 6)."""
    sense, spread = cell.sensing, np.array([still.std(axis=0, ddof=1) for still in stills])
    return tuple(
        figure_of(f"noise of the wrist's {name}", unit, mean_of(np.sqrt(np.mean(part**2, axis=1))), (0.0, 1.1 * most))
        for name, unit, part, most in (
            ("force", "N", spread[:, :3], sense.force_noise_N),
            ("torque", "N m", spread[:, 3:], sense.torque_noise_Nm),
        )
    )


def _offset_and_scatter(name: str, unit: str, values: np.ndarray, cell: Said, slack: float) -> list[ContactFigure]:
    """The mean, which should be the cell's up to the clearance, and the scatter, which the cell should cover."""
    count = len(values)
    scatter = float(values.std(ddof=1))
    bounds = scatter * np.sqrt((count - 1) / stats.chi2.ppf([0.975, 0.025], count - 1))
    return [
        figure_of(f"{name}: mean", unit, mean_of(values), (cell.middle - slack, cell.middle + slack)),
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


def figure_of(name: str, unit: str, told: Told, allowed: tuple[float, float] | None = None) -> ContactFigure:
    """A value with its interval; within what is allowed unless the whole interval lies outside."""
    low, high = told.value - told.half_95, told.value + told.half_95
    return ContactFigure(
        name=name,
        unit=unit,
        value=short(told.value, 5),
        lower_95=short(low, 5),
        upper_95=short(high, 5),
        allowed=short(allowed, 5) if allowed else None,
        within=allowed is None or (high >= allowed[0] and low <= allowed[1]),
    )


def finding(figure: ContactFigure) -> str:
    """What is out of what the cell allows for, and what to do."""
    value = f"{figure.name} is {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g})"
    assert figure.allowed is not None, "what the cell does not speak of is within it"
    low, high = figure.allowed
    if figure.name.startswith("height"):
        off = figure.value - (low + high) / 2
        return f"{value}, the hand explains {low:.3g} to {high:.3g}: correct task.plate.top_mm by {off:+.1f} mm in z"
    if figure.name.startswith("tilt"):
        return f"{value}: level the plate; until then it is simulated with that tilt if the cell file names this file"
    if figure.name.endswith("mean"):
        return f"{value}: the camera or the tool is out of line; calibrate the camera, or correct the tool's length"
    if figure.name.endswith("scatter"):
        return f"{value}, more than variation.plate_bias and hand_offset cover ({high:.3g}): widen them"
    where = "variation.friction" if figure.name.startswith("friction") else "sensing"
    return f"{value}, outside of what {where} says ({low:.3g} to {high:.3g}): correct it, and train again"
