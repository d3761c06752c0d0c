"""One picture of a calibration: what it predicts of a motion it never saw, and what it estimates, how surely."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.cell.calibration import Calibration, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

WINDOW_S = 2.0
MEASURED, BEFORE, AFTER, FAINT = "#22262b", "#d9822b", "#1f6fb2", "#9aa3ad"
TITLES = {
    "command_delay_s": "delay [ms]",
    "servo_gain_scale": "servo gain / nominal",
    "joint_damping_scale": "damping / nominal",
    "armature_scale": "armature / nominal",
    "joint_friction_Nm": "Coulomb friction [N m]",
    "payload_kg": "payload [kg]",
    "payload_m": "its place [mm]",
}
SHOWN_IN = {"payload_x_m": "payload_m", "payload_y_m": "payload_m", "payload_z_m": "payload_m"}
WHAT = {"payload_kg": "mass", "payload_x_m": "x", "payload_y_m": "y", "payload_z_m": "z"}
ALONE = ("command_delay_s", "payload_kg")
MILLI = ("command_delay_s", "payload_m")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "svg.hashsalt": "rlaas",
}


def draw(calibration: Calibration, heldout: JointLog, before_rad: np.ndarray, after_rad: np.ndarray) -> bytes:
    """The picture as SVG.

    Args:
        calibration: what was found.
        heldout: the log that was not fitted.
        before_rad, after_rad: (T, k) positions that the nominal and the calibrated model predict for it.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.4), layout="constrained")
        FigureCanvasSVG(figure)
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.75, 1))
        _curves(parts[0], calibration, heldout, before_rad, after_rad)
        _estimates(parts[1], calibration.estimates)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _curves(
    figure: "SubFigure", calibration: Calibration, log: JointLog, before_rad: np.ndarray, after_rad: np.ndarray
) -> None:
    error = calibration.heldout
    figure.suptitle(
        f"Model against arm, on a motion that was not fitted: {error.mean_before_mrad:.2f} to "
        f"{error.mean_after_mrad:.2f} mrad RMS",
        x=0.01,
        ha="left",
        weight="bold",
        size=11,
    )
    shown = _busiest(log)
    t = log.time_s[shown]
    columns = -(-len(error.joints) // 2)
    axes = figure.subplots(2, columns, sharex=True, squeeze=False)
    for j, ax in zip(range(len(error.joints)), axes.flat):
        center = log.q_rad[shown, j].mean()
        ax.plot(t, 1000 * (before_rad[shown, j] - center), color=BEFORE, lw=1.2, label="model before")
        ax.plot(t, 1000 * (log.q_rad[shown, j] - center), color=MEASURED, lw=2.0, label="measured")
        ax.plot(t, 1000 * (after_rad[shown, j] - center), color=AFTER, lw=1.2, ls=(0, (4, 2)), label="calibrated model")
        name = error.joints[j].removesuffix("_joint").replace("_", " ")
        ax.set_title(f"{name}: {error.before_mrad[j]:.2f} to {error.after_mrad[j]:.2f} mrad")
        ax.margins(x=0)
    for ax in axes[:, 0]:
        ax.set_ylabel("position [mrad]")
    for ax in axes[-1]:
        ax.set_xlabel("time [s]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=3, frameon=False, borderaxespad=0.2)


def _busiest(log: JointLog) -> slice:
    """The stretch of WINDOW_S in which the joints move most, each against its own range."""
    share = np.abs(np.diff(log.q_rad, axis=0)) / np.ptp(log.q_rad, axis=0)
    motion = np.concatenate([[0.0], share.sum(axis=1)]).cumsum()
    ends = np.searchsorted(log.time_s, np.minimum(log.time_s + WINDOW_S, log.time_s[-1]))
    start = int(np.argmax(motion[ends] - motion))
    return slice(start, int(ends[start]) + 1)


def _estimates(figure: "SubFigure", estimates: tuple[Estimate, ...]) -> None:
    figure.suptitle("Estimates with 95 % intervals", x=0.01, ha="left", weight="bold", size=11)
    panels = {name: [e for e in estimates if SHOWN_IN.get(e.name, e.name) == name] for name in TITLES}
    shown = [name for name, inside in panels.items() if inside]
    axes = figure.subplots(1, len(shown), width_ratios=[0.45 if name in ALONE else 1 for name in shown])
    for ax, name in zip(axes, shown):
        _panel(ax, panels[name], 1000 if name in MILLI else 1)
        ax.set_title(TITLES[name])
    note = "dashed: nominal model     hollow: the log says little more than was assumed"
    figure.text(0.995, 0.97, note, ha="right", va="top", size=8.5, color="#59626c")


def _panel(ax: "Axes", estimates: list[Estimate], factor: float) -> None:
    for i, e in enumerate(estimates):
        color = AFTER if e.identifiable else FAINT
        down, up = factor * (e.value - e.lower_95), factor * (e.upper_95 - e.value)
        face = AFTER if e.identifiable else "white"
        ax.errorbar(
            i, factor * e.value, yerr=[[down], [up]], fmt="o", ms=5, color=color, mfc=face, capsize=3, elinewidth=1.4
        )
    ax.axhline(factor * estimates[0].nominal, color=BEFORE, lw=1.2, ls=(0, (4, 3)), zorder=0)
    ax.set_xlim(-0.6, len(estimates) - 0.4)
    labels = [(e.joint or WHAT.get(e.name, "all")).removesuffix("_joint").replace("_", " ") for e in estimates]
    ax.set_xticks(range(len(estimates)), labels, rotation=45, ha="right", rotation_mode="anchor", size=8)
