"""One picture of a watch: the CUSUMs of every parameter over the last cycles, the threshold, and what has changed."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_rlaas.calibrate.drift.production import Suspect
from robot_rlaas.calibrate.drift.watch import Watch
from robot_rlaas.calibrate.servo.plot import FAINT, MEASURED, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {
    "command_delay_s": "delay",
    "servo_gain_scale": "servo gain",
    "joint_damping_scale": "damping",
    "joint_friction_Nm": "Coulomb friction",
    "armature_scale": "armature",
    "payload_kg": "payload",
}
ALARM = "#c0392b"
JOINTS = ("#1f6fb2", "#d9822b", "#3f8f5b", "#8d5fb0", "#7a5c42", "#3aa6a6")
COLUMNS = 3


def draw(watch: Watch, suspects: tuple[Suspect, ...]) -> bytes:
    """The picture as SVG, for a watch whose reference is complete and that has scored a cycle since."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.name for one in suspects))
    joints = list(dict.fromkeys(one.joint for one in suspects if one.joint))
    number = np.array([cycle.number for cycle in watch.recent])
    levels = np.array([cycle.level for cycle in watch.recent])
    rows = -(-len(names) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.2 + 2.4 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes: Any = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for ax, name in zip(axes.flat, names):
            for one, level in zip(suspects, levels.T):
                if one.name == name:
                    color = JOINTS[joints.index(one.joint) % len(JOINTS)] if one.joint else MEASURED
                    ax.plot(number, np.sign(one.change) * level, lw=1.4, color=color, label=_label(one.joint))
            _frame(ax, watch, name)
        for ax in axes.flat[len(names) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel("CUSUM [nats]")
        for ax in axes.flat[max(0, len(names) - COLUMNS) : len(names)]:
            ax.set_xlabel("cycle")
            ax.tick_params(labelbottom=True)
        _legend(figure, axes)
        figure.suptitle(_title(watch), x=0.01, ha="left", weight="bold", size=11)
        note = "above zero: more     below: less     dashed: the threshold"
        figure.text(0.995, 0.985, note, ha="right", va="top", size=8.5, color="#59626c")
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _frame(ax: "Axes", watch: Watch, name: str) -> None:
    """Threshold, zero, and the alarm if it is about this parameter."""
    ax.axhline(0.0, color=FAINT, lw=0.6, zorder=0)
    for side in (-1, 1):
        ax.axhline(side * watch.threshold, color=ALARM, lw=1.0, ls=(0, (4, 3)), zorder=0)
    ax.set_title(TITLES.get(name, name))
    ax.margins(x=0)
    ax.set_ylim(-1.45 * watch.threshold, 1.45 * watch.threshold)
    found = watch.found
    if found and found.name == name:
        ax.axvspan(max(found.since, watch.recent[0].number), found.cycle, color=ALARM, alpha=0.10, lw=0)
        text = f"{_label(found.joint)} {found.change / found.calibrated:+.0%}" if found.calibrated else "changed"
        at = (found.cycle, np.sign(found.change) * 1.22 * watch.threshold)
        ax.annotate(text, at, ha="right", va="center", color=ALARM, weight="bold")


def _legend(figure: Any, axes: Any) -> None:
    found: dict[str, Any] = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            found.setdefault(label, handle)
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found), frameon=False)


def _label(joint: str | None) -> str:
    return joint.removesuffix("_joint").replace("_", " ") if joint else "whole arm"


def _title(watch: Watch) -> str:
    found = watch.found
    if not found:
        return f"No change in {watch.cycles} cycles"
    unit = "" if found.unit in ("", "1") else f" {found.unit}"
    size = f"{found.change:+.3g}{unit} ({found.lower_95:+.3g} to {found.upper_95:+.3g})"
    what = f"{TITLES.get(found.name, found.name)}, {_label(found.joint)}: {size}"
    return f"{what} since cycle {found.since}"
