"""The plate's upper face from pressed spots: a plane, how far it gives, and the friction of a tip on it.

The tip's place comes from the joints' angles, which have the servos' give in them. What is left is the give of all that
lies between the joints and the plate.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.contact.presses import PRESS, PressLog
from robot_rlaas.calibrate.contact.told import Told, mean_of
from robot_rlaas.cell.errors import InputError

LEAST_SPOTS = 4
DEG = 180 / np.pi  # of a slope: they are small
TOLD_DEG = 0.5  # a slope whose interval is wider to either side is not told


class Face(NamedTuple):
    """What a press tells of the plate's upper face.

    Attributes:
        height_m: of the nominal tip when it meets the face at the hole's middle, in the base frame.
        tilt_deg: about the base frame's x and y; empty where the spots lie too much on a line to tell both.
        line_deg: the direction of that line, from the base frame's x about z.
        rise_deg: of the face along it.
        give_m_N: how much the tip goes down per force.
        friction: of the tip; None where it slid at fewer than two spots.
    """

    height_m: Told
    tilt_deg: tuple[Told, ...]
    line_deg: float
    rise_deg: Told
    give_m_N: Told
    friction: Told | None


class _Fit(NamedTuple):
    """Least squares: (p,) and (p, p)."""

    value: np.ndarray
    covariance: np.ndarray
    freedom: int

    def told(self, i: int, scale: float = 1.0) -> Told:
        """One of them, in another unit."""
        return Told(float(scale * self.value[i]), float(scale * np.sqrt(self.covariance[i, i])), self.freedom)


def fit_face(log: PressLog) -> Face:
    """Fit a plane to the spots.

    Raises:
        InputError: if they are too few.
    """
    if len(log.spots) < LEAST_SPOTS:
        message = f"{len(log.spots)} spots were pressed; at least {LEAST_SPOTS} are needed"
        raise InputError(message, fix=PRESS)
    give, noise_m2 = _give(log)
    tip_m = np.array([np.mean([rest.tip_m for rest in spot.rests], axis=0) for spot in log.spots]) - log.hole_m
    load_N = np.array([np.mean([rest.force_N[2] for rest in spot.rests]) for spot in log.spots])
    at_m, height_m = tip_m[:, :2], tip_m[:, 2] + give.value * load_N
    axes = np.linalg.svd(at_m - at_m.mean(axis=0))[2]  # along the spots and across
    axes *= np.where(axes[:, 1:] < 0, -1.0, 1.0)
    fit = _fit(at_m @ axes.T, height_m, noise_m2)
    if np.rad2deg(fit.told(2).half_95) > TOLD_DEG:
        axes = axes[:1]
        fit = _fit(at_m @ axes.T, height_m, noise_m2)
    slope = _Fit(axes.T @ fit.value[1:], axes.T @ fit.covariance[1:, 1:] @ axes, fit.freedom)
    height = fit.told(0)
    about_x, about_y = slope.told(1, DEG), slope.told(0, DEG)
    return Face(
        height_m=Told(
            float(height.value + log.hole_m[2]), float(np.hypot(height.error, load_N.mean() * give.error)), fit.freedom
        ),
        tilt_deg=(about_x, about_y._replace(value=-about_y.value)) if len(axes) > 1 else (),
        line_deg=float(np.rad2deg(np.arctan2(axes[0, 1], axes[0, 0]))),
        rise_deg=fit.told(1, DEG),
        give_m_N=give,
        friction=_friction(log, slope.value),
    )


def _fit(at_m: np.ndarray, height_m: np.ndarray, noise_m2: float) -> _Fit:
    """Height at the origin, and slope along each column of (n, m); no surer than heights with this variance allow."""
    design = np.column_stack([np.ones(len(at_m)), at_m])
    value, *_ = np.linalg.lstsq(design, height_m)
    freedom = len(design) - design.shape[1]
    variance = float(np.sum((height_m - design @ value) ** 2)) / freedom
    return _Fit(value, max(variance, noise_m2) * np.linalg.inv(design.T @ design), freedom)


def _give(log: PressLog) -> tuple[Told, float]:
    """From the two loads at each spot; and the variance, by that, of what they say together of the spot's height."""
    more, less = (np.array([[spot.rests[i].tip_m[2], spot.rests[i].force_N[2]] for spot in log.spots]) for i in (0, -1))
    down_m, load_N = (less - more)[:, 0], (more - less)[:, 1]
    value = float(down_m @ load_N / (load_N @ load_N))
    freedom = len(log.spots) - 1
    variance = float(np.sum((down_m - value * load_N) ** 2)) / freedom
    return Told(value, float(np.sqrt(variance / (load_N @ load_N))), freedom), variance / 4


def _friction(log: PressLog, slope: np.ndarray) -> Told | None:
    """What is along the face over what is against it, stroke by stroke; strokes of a spot are one figure."""
    normal = np.array([*-slope, 1.0]) / np.sqrt(1.0 + slope @ slope)
    found = []
    for spot in log.spots:
        if len(spot.slides):
            against = spot.slides @ normal
            along = np.linalg.norm(spot.slides - against[:, None] * normal, axis=1)
            found.append(np.mean(along / against))
    if len(found) < 2:
        return None
    return mean_of(np.array(found))
