"""How near a camera's calibrated pose is to the truth, and how often the stated uncertainty covers it."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from scipy import stats

from bench.measurements import Figure, at_least, at_most
from robot_rlaas.calibrate.camera.camera import calibrate_camera
from robot_rlaas.cell.camera_calibration import Mount
from robot_rlaas.vision.poses import step_between

sys.path.append(str(Path(__file__).parents[1] / "tests" / "calibrate"))  # where camera_scene is

REPETITIONS = 40
WITHIN_MM, WITHIN_DEG = 1.0, 0.2


def camera_pose() -> dict[str, Figure]:
    """Fifteen rendered pictures, 640 x 480, with blur, noise, a lens that distorts, and an arm that errs.

    Every repetition has its own camera pose, board pose, views and noise.
    """
    figures: dict[str, Figure] = {}
    inside: list[np.ndarray] = []
    for mount in get_args(Mount):
        errors, covariances = _repeat(mount)
        off_mm, off_deg = (np.linalg.norm(errors[:, part], axis=1) for part in (slice(3), slice(3, 6)))
        off_mm, off_deg = 1000 * off_mm, np.rad2deg(off_deg)
        squares = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(covariances), errors)
        axes = np.abs(errors) < stats.norm.ppf(0.975) * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        inside.append(axes)
        print(f"  {mount}: mean chi-square {squares.mean():.2f} of 6; inside by axis {axes.mean(axis=0).round(3)}")
        name = f"camera_pose/{mount}"
        figures |= {
            f"{name}/position_worst": at_most(float(off_mm.max()), "mm", WITHIN_MM),
            f"{name}/position_median": at_most(float(np.median(off_mm)), "mm", WITHIN_MM),
            f"{name}/rotation_worst": at_most(float(off_deg.max()), "deg", WITHIN_DEG),
            f"{name}/rotation_median": at_most(float(np.median(off_deg)), "deg", WITHIN_DEG),
            f"{name}/in_95_region": at_least(float((squares < stats.chi2.ppf(0.95, 6)).mean()), "1", 0.9),
            f"{name}/in_95_intervals": at_least(float(axes.mean()), "1", 0.9),
        }
    least = float(np.concatenate(inside).mean(axis=0).min())
    return figures | {"camera_pose/in_95_interval_least_axis": at_least(least, "1", 0.9)}


def _repeat(mount: Mount) -> tuple[np.ndarray, np.ndarray]:
    """Errors (n, 6), m and rad, and stated covariances (n, 6, 6)."""
    from camera_scene import BoardRenderer, draw_truth, record, spoil, stated_poses

    errors, covariances = [], []
    with TemporaryDirectory() as folder, BoardRenderer() as renderer:
        for seed in range(REPETITIONS):
            rng = np.random.default_rng([seed, get_args(Mount).index(mount)])
            truth = draw_truth(mount, rng)
            pictures = [spoil(picture, rng) for picture in renderer.shoot(truth)]
            recording = record(Path(folder) / f"{seed}", pictures, stated_poses(truth, rng))
            found = calibrate_camera(recording, Path(folder) / "out", mount, lambda _: None)
            errors.append(step_between(found.camera.matrix()[None], truth.T_parent_camera[None])[0])
            covariances.append(found.camera.covariance)
    return np.array(errors), np.array(covariances)


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"camera_pose": camera_pose}
