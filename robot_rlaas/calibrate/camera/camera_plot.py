"""One picture of a camera calibration: corners as seen and as reprojected, and what is left over, view by view."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_rlaas.calibrate.camera.camera_views import View
from robot_rlaas.calibrate.camera.hand_eye_fit import Fit
from robot_rlaas.calibrate.servo.plot import AFTER, BEFORE, FAINT, MEASURED, STYLE
from robot_rlaas.cell.camera_calibration import CameraCalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110
MAGNIFIED = 200
RIM_PX = 40


def draw(calibration: CameraCalibration, views: list[View], fit: Fit) -> bytes:
    """The picture as PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    errors = [view.reprojection_px for view in calibration.views]
    order = np.argsort(errors)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 8.4), layout="constrained")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        top, bottom = (part.subplots(1, 3) for part in parts)
        for ax, name, i in zip(top, ("best", "median", "worst"), (order[0], order[len(order) // 2], order[-1])):
            _corners(ax, views[i], fit.corners_px[i])
            ax.set_title(f"{name}: {views[i].image}, {len(views[i].at_px)} corners, {errors[i]:.3f} px RMS")
        handles, labels = top[0].get_legend_handles_labels()
        parts[0].legend(handles, labels, loc="outside lower left", ncols=3, frameon=False)
        _residuals(bottom[0], np.concatenate(fit.corners_px), calibration.noise.corner_px)
        _per_view(bottom[1], calibration)
        _robot(bottom[2], calibration)
        figure.suptitle(_title(calibration), x=0.01, ha="left", weight="bold", size=11)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def _title(calibration: CameraCalibration) -> str:
    camera = calibration.camera
    position = ", ".join(
        f"{1000 * value:.2f} ± {1960 * std:.2f}" for value, std in zip(camera.position_m, camera.position_std_m)
    )
    turn = np.rad2deg(1.96 * max(camera.rotation_std_rad))
    return f"Camera in the {camera.parent}: {position} mm, turned to within {turn:.3f}° about every axis (95 %)"


def _corners(ax: "Axes", view: View, seen_minus_reprojected_px: np.ndarray) -> None:
    reprojected = view.at_px - seen_minus_reprojected_px
    ax.imshow(view.gray, cmap="gray", vmin=0, vmax=255)
    ax.plot(*view.at_px.T, "o", ms=6, mfc="none", mec=BEFORE, mew=1.1, label="corner as seen")
    ax.plot(*reprojected.T, "+", ms=5, mec="#35c2ff", mew=1.1, label="reprojected")
    ends = view.at_px + MAGNIFIED * (reprojected - view.at_px)
    lines = np.stack([view.at_px, ends, np.full_like(ends, np.nan)], axis=1).reshape(-1, 2)
    ax.plot(*lines.T, color="#e5383b", lw=1.3, label=f"their difference, {MAGNIFIED} times")
    _zoom(ax, view)


def _zoom(ax: "Axes", view: View) -> None:
    """Show what surrounds the corners, in the shape of the whole picture."""
    size = np.array(view.gray.shape[::-1], float)
    low, high = view.at_px.min(axis=0), view.at_px.max(axis=0)
    share = min(1.0, float(((high - low + 2 * RIM_PX) / size).max()))
    middle = np.clip((low + high) / 2, share * size / 2, size * (1 - share / 2))
    (left, up), (right, down) = middle - share * size / 2, middle + share * size / 2
    ax.set(xlim=(left, right), ylim=(down, up), xticks=[], yticks=[])


def _residuals(ax: "Axes", corners_px: np.ndarray, noise_px: float) -> None:
    ax.plot(*corners_px.T, ".", ms=3, color=AFTER, alpha=0.6)
    angle = np.linspace(0.0, 2 * np.pi, 100)
    radius = 2.4477 * noise_px  # holds 95 % of a Gaussian in the plane
    ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=MEASURED, lw=1.2)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="x [px]", ylabel="y [px]", title=f"Seen minus reprojected; circle: 95 %, {noise_px:.3f} px")


def _per_view(ax: "Axes", calibration: CameraCalibration) -> None:
    """Bars for the views used, crosses for those left out."""
    errors = {view.image: view.reprojection_px for view in calibration.views}
    names = sorted([*errors, *(view.image for view in calibration.rejected)])
    used = [i for i, name in enumerate(names) if name in errors]
    left_out = [i for i, name in enumerate(names) if name not in errors]
    ax.bar(used, [errors[names[i]] for i in used], color=AFTER)
    ax.plot(left_out, np.zeros(len(left_out)), "x", color="#e5383b", clip_on=False, label="left out; see camera.yaml")
    ax.axhline(calibration.reprojection_px, color=MEASURED, lw=1, ls=(0, (4, 3)))
    ax.set_ylim(0.0, 1.2 * max(errors.values()))
    if left_out:
        ax.legend(loc="upper right", frameon=False)
    ax.set_xticks(range(len(names)), [name.rsplit(".", 1)[0] for name in names], rotation=90, size=8)
    ax.set(ylabel="reprojection error, RMS [px]", title=f"Views; dashed: all, {calibration.reprojection_px:.3f} px")


def _robot(ax: "Axes", calibration: CameraCalibration) -> None:
    views, noise = calibration.views, calibration.noise
    at = np.arange(len(views))
    ax.bar(at - 0.2, [1000 * v.position_error_m for v in views], width=0.4, color=AFTER, label="position")
    ax.set_ylabel("position [mm]", color=AFTER)
    ax.set_xticks(at, [v.image.rsplit(".", 1)[0] for v in views], rotation=90, size=8)
    other = ax.twinx()
    other.spines["right"].set_visible(True)
    other.bar(at + 0.2, [np.rad2deg(v.rotation_error_rad) for v in views], width=0.4, color=FAINT, label="rotation")
    other.set_ylabel("rotation [deg]", color="#59626c")
    position, rotation = 1000 * noise.robot_position_m, np.rad2deg(noise.robot_rotation_rad)
    ax.set_title(f"Robot against pictures; noise {position:.3f} mm, {rotation:.3f}°")
