"""The plate's pose from where a print's corners are seen, with a covariance, or a reason why it is not good enough.

The covariance adds up, as independent: what the residuals say of the corners, the calibration's lens and camera, the
arm under a camera on the wrist, how surely the print is where the file says. How the plate rests, where the file knows
that, takes some of it away.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.perception import Eye
from robot_rlaas.vision.locate import Located, locate
from robot_rlaas.vision.poses import carried, in_parent, moved, step_between
from robot_rlaas.vision.target import Target

CORNER_PX, FREEDOM = 0.03, 6  # no corner is found better; the calibration's noise is worth so many residuals
MOST_RESIDUAL_PX = 0.5  # root mean square: beyond it, the print is not the one of the file
RIVAL = 16.0  # squared residuals, in units of the noise: a second pose that fits no worse than that is as good
AGREES = 16.3  # 99.9 % of chi square with 3 degrees of freedom
TOGETHER = 22.5  # the same with 6


class Refused(NamedTuple):
    """Why there is no pose: a word that stays the same, and words for people."""

    cause: str
    text: str


class Camera(NamedTuple):
    """Where a camera is: its pose in the base (4, 4), and the covariance (6, 6) about the base frame's axes."""

    T_base_camera: np.ndarray
    covariance: np.ndarray


class Fit(NamedTuple):
    """The plate's pose.

    Attributes:
        T_base_plate: (4, 4) the hole's frame in the base, m.
        covariance: (6, 6) of a shift, m, and a turn, rad, about the base frame's axes.
        corners: how many it rests on.
        residual_px: root mean square.
    """

    T_base_plate: np.ndarray
    covariance: np.ndarray
    corners: int
    residual_px: float


class Resting(NamedTuple):
    """A plate's pose and covariance with what is known of how it rests.

    Attributes:
        T_base_plate, covariance: see `Seen`.
        chi2: how far what was seen is from that, with 3 degrees of freedom.
        off: (3,) the same as height, m, and tilts about x and y, rad.
    """

    T_base_plate: np.ndarray
    covariance: np.ndarray
    chi2: float
    off: np.ndarray


class PlatePose:
    """Fits the plate's pose.

    Args:
        eye: the perception file and its calibration.
        target: the print on the plate.
        height_m: of the hole in the base frame, as the cell says.
    """

    def __init__(self, eye: Eye, target: Target, height_m: float) -> None:
        self._spec, self._target, self._height_m = eye.spec, target, height_m
        lens = eye.calibration.lens
        self.lens = lens.parameters()
        self._corner_px = max(eye.calibration.noise.corner_px, CORNER_PX)
        self._lens_std = np.array([*lens.focal_std_px, *lens.center_std_px, *lens.distortion_std])

    def fit(self, ids: np.ndarray, at_px: np.ndarray, camera: Camera) -> Fit | Refused:
        """The pose that explains where the target's points `ids` (m,) are seen (m, 2)."""
        count = len(ids)
        if count < self._target.least:
            text = f"only {count} corners of the print are seen in every picture; {self._target.least} are needed"
            return Refused("few_corners", text)
        poses = locate(self._target.points_m[ids], at_px, self.lens)
        if not poses:
            return Refused("no_fit", "no pose explains where the print's corners are seen")
        residual_px = float(np.sqrt(poses[0].squares_px2 / count))
        if residual_px > MOST_RESIDUAL_PX:
            text = f"the print does not fit: residuals of {residual_px:.2f} pixels; is it as the file says, and flat?"
            return Refused("no_fit", text)
        freedom = FREEDOM + 2 * count - 6
        noise_px2 = (FREEDOM * self._corner_px**2 + poses[0].squares_px2) / (freedom - 2)
        rivals = [p for p in poses if p.squares_px2 - poses[0].squares_px2 < RIVAL * noise_px2]
        resting = [self._rest(*self._in_base(pose, camera, noise_px2)) for pose in rivals]
        fits = [rest for rest in resting if rest.chi2 <= AGREES]
        if not fits:
            return _does_not_rest(resting[0], self._height_m)
        if any(_apart(fits[0], other) > TOGETHER for other in fits[1:]):
            return Refused("ambiguous", "two poses explain the picture alike: tilt the camera, or use a larger print")
        return self._sure(Fit(fits[0].T_base_plate, fits[0].covariance, count, residual_px))

    def _in_base(self, pose: Located, camera: Camera, noise_px2: float) -> tuple[np.ndarray, np.ndarray]:
        """The plate in the base (4, 4), and the covariance (6, 6) of all that is unsure but how it rests."""
        target, T = self._spec.target, camera.T_base_camera @ pose.T_camera_points
        in_camera = noise_px2 * pose.by_pixels @ pose.by_pixels.T
        in_camera += pose.by_lens @ np.diag(self._lens_std**2) @ pose.by_lens.T
        mounted = np.diag(np.repeat([target.at_std_mm / 1000, np.deg2rad(target.rpy_std_deg)], 3) ** 2)
        return T, (
            in_parent(camera.T_base_camera[:3, :3], in_camera)
            + carried(T[:3, 3] - camera.T_base_camera[:3, 3], camera.covariance)
            + carried(-T[:3, :3] @ self._target.middle_m, in_parent(T[:3, :3], mounted))
        )

    def _rest(self, T: np.ndarray, P: np.ndarray) -> Resting:
        """A step of a Kalman filter: what the camera says, and that the plate lies level, as high as it should."""
        known, up = self._spec.plate, T[:3, 2]
        off = np.array([T[2, 3] - self._height_m, -up[1], up[0]])
        if known is None:
            return Resting(T, P, 0.0, off)
        std = np.array([known.height_std_mm / 1000, *np.deg2rad([known.tilt_std_deg] * 2)])
        H = np.eye(6)[2:5]
        S = H @ P @ H.T + np.diag(std**2)
        gain = P @ H.T @ np.linalg.inv(S)
        return Resting(
            moved(T[None], -(gain @ off)[None])[0], P - gain @ H @ P, float(off @ np.linalg.solve(S, off)), off
        )

    def _sure(self, fit: Fit) -> Fit | Refused:
        accept, std = self._spec.accept, np.sqrt(np.diag(fit.covariance))
        mm, deg = 1000 * std[:3].max(), np.rad2deg(std[3:].max())
        if mm <= accept.position_std_mm and deg <= accept.rotation_std_deg:
            return fit
        text = f"the pose is known to {mm:.2f} mm and {deg:.2f} degrees only (one standard deviation); allowed are "
        text += f"{accept.position_std_mm:g} mm and {accept.rotation_std_deg:g}: go nearer, or use a larger print"
        return Refused("unsure", text)


def _apart(a: Resting, b: Resting) -> float:
    """How far two poses are apart, in units of the first one's covariance."""
    step = step_between(a.T_base_plate[None], b.T_base_plate[None])[0]
    return float(step @ np.linalg.solve(a.covariance, step))


def _does_not_rest(rest: Resting, height_m: float) -> Refused:
    height_mm, tilt_deg = 1000 * rest.off[0], np.rad2deg(np.linalg.norm(rest.off[1:]))
    text = f"the plate is seen {height_mm:+.1f} mm from the cell's height of {1000 * height_m:g} mm, tilted by "
    text += f"{tilt_deg:.2f} degrees: compare print, calibration and cell file with the station"
    return Refused("not_level", text)
