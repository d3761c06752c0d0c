"""One picture of a drive calibration: currents that were not fitted, measured and predicted, joint by joint."""

import io

import numpy as np

from robot_rlaas.calibrate.servo.plot import AFTER, FAINT, MEASURED, STYLE
from robot_rlaas.cell.drive import DriveCalibration


def draw(calibration: DriveCalibration, time_s: np.ndarray, measured: np.ndarray, predicted: np.ndarray) -> bytes:
    """The picture as SVG.

    Args:
        calibration: what was found.
        time_s: (T,) from the start of the log.
        measured, predicted: (T, k) low-passed currents of the part that was not fitted, A.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    error = calibration.heldout
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 6.4), layout="constrained")
        FigureCanvasSVG(figure)
        figure.suptitle(
            f"Motor currents that were not fitted: relative error {error.mean_before:.3f} before, "
            f"{error.mean_after:.3f} now",
            x=0.01,
            ha="left",
            weight="bold",
            size=11,
        )
        axes = figure.subplots(2, -(-len(error.joints) // 2), sharex=True, squeeze=False)
        for j, ax in zip(range(len(error.joints)), axes.flat):
            ax.plot(time_s, measured[:, j], color=MEASURED, lw=1.6, label="measured")
            ax.plot(time_s, predicted[:, j], color=AFTER, lw=1.1, label="predicted")
            ax.plot(time_s, predicted[:, j] - measured[:, j], color=FAINT, lw=0.8, label="difference")
            name = error.joints[j].removesuffix("_joint").replace("_", " ")
            ax.set_title(f"{name}: {error.after[j]:.3f}")
            ax.margins(x=0)
        for ax in axes[:, 0]:
            ax.set_ylabel("current [A]")
        for ax in axes[-1]:
            ax.set_xlabel("time [s]")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=3, frameon=False)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
