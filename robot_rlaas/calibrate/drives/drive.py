"""From motion to motor current: rigid-body dynamics, friction with a memory of the way, drive gains.

Friction before and after a change of direction depends on the way since then, not on the speed: it is modelled by
elements that stick and slip (Prandtl and Iwan's model; for robots: Ruderman, Hoffmann and Bertram, IEEE Trans.
Industrial Electronics 56(10), 2009), each an elastic way, its rise, after which it slips (Dahl, AIAA Journal
14(12), 1976), with or without forgetting at rest: a servo's dither lets a stuck joint relax. While it slips, viscous
friction falls off with speed (a harmonic drive's grease) and part of it grows with the load on the teeth.
"""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from robot_rlaas.calibrate.drives.motion import MotionLog
from robot_rlaas.calibrate.drives.rigid_body import regressor
from robot_rlaas.control.kinematics import SerialChain

RATE_HZ = 100.0
FILTER_HZ = 8.0
ELEMENTS = ((5e-5, 0.2), (5e-5, np.inf), (3e-4, np.inf), (3e-3, np.inf))  # rise, rad, and memory, s
SPEEDS = (0.1, 0.5)  # rad/s, of viscous friction that saturates
FRICTION = (
    ("armature", "kg m^2"),
    ("viscous", "N m s/rad"),
    *((f"curve_{i}", "N m") for i in range(len(SPEEDS))),
    *((f"slip_{i}", "N m") for i in range(len(ELEMENTS))),
    ("load", "1"),
)
"""Name and unit of a joint's friction parameters, all at least zero."""


class Motion(NamedTuple):
    """A log made regular and smooth: T samples at RATE_HZ, k joints.

    Attributes:
        time_s: (T,) from the log's start.
        velocity, acceleration: (T, k), rad/s and rad/s^2.
        regressor: (T, k, 10 k), N m per unit of the links' parameters.
        slip: (T, k, elements) in [-1, 1]: how far each element of friction is pulled.
    """

    time_s: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    regressor: np.ndarray
    slip: np.ndarray


class Drive(NamedTuple):
    """Parameters of an arm's dynamics and drives, k joints.

    Attributes:
        links: (k, 10), in the order of `rigid_body.PARAMETERS`.
        friction: (k, len(FRICTION)).
        gain_Nm_A: (k,).
        offset_A: (k,).
        payload: (10,), in the last joint's frame: zero without a load.
    """

    links: np.ndarray
    friction: np.ndarray
    gain_Nm_A: np.ndarray
    offset_A: np.ndarray
    payload: np.ndarray


def smooth(values: np.ndarray) -> np.ndarray:
    """Samples (T, ...) at RATE_HZ without what is faster than FILTER_HZ, in phase."""
    return np.asarray(sosfiltfilt(butter(4, FILTER_HZ, fs=RATE_HZ, output="sos"), values, axis=0))


def resample(log: MotionLog, values: np.ndarray, late_s: float = 0.0) -> np.ndarray:
    """Values (T, k) at the log's times plus `late_s`, smoothed, at the times of its `Motion`."""
    grid = _grid(log) + log.time_s[0] + late_s
    return smooth(np.stack([np.interp(grid, log.time_s, column) for column in values.T], axis=1))


def motion(chain: SerialChain, log: MotionLog) -> Motion:
    """What the current depends on."""
    time_s = _grid(log)
    own_s = log.time_s - log.time_s[0]
    position, velocity = (smooth(CubicSpline(own_s, values)(time_s)) for values in (log.position, log.velocity))
    acceleration = np.gradient(velocity, 1.0 / RATE_HZ, axis=0)
    slip = slipping(log.time_s, log.velocity)
    flat = slip.reshape(len(slip), -1)
    slip = smooth(np.stack([np.interp(time_s, own_s, column) for column in flat.T], axis=1))
    matrix = regressor(chain, position, velocity, acceleration)
    return Motion(time_s, velocity, acceleration, matrix, slip.reshape(len(time_s), -1, len(ELEMENTS)))


def slipping(time_s: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """How far each element of friction is pulled, in [-1, 1]: velocities (T, k) -> (T, k, elements).

    An element follows dz = (v - |v| z) dt / rise - z dt / memory, solved exactly for the mean velocity of an interval.
    From the velocities, not the positions: theirs is the finer resolution, and zero at rest is zero.
    """
    rise, memory = np.array(ELEMENTS).T
    middle = 0.5 * (velocity[1:] + velocity[:-1])[:, :, None] / rise
    rate = np.abs(middle) + 1.0 / memory
    goal = middle / np.maximum(rate, 1e-12)
    keep = np.exp(-rate * np.diff(time_s)[:, None, None])
    z = np.zeros((len(time_s), velocity.shape[1], len(rise)))
    for i in range(len(middle)):
        z[i + 1] = goal[i] + (z[i] - goal[i]) * keep[i]
    return z


def columns(motion: Motion, torque_Nm: np.ndarray) -> np.ndarray:
    """What a joint's friction parameters are multiplied with: (T, k, len(FRICTION)).

    Args:
        torque_Nm: (T, k) of the rigid bodies, for the part of friction that grows with it.
    """
    v = motion.velocity
    return np.concatenate(
        [
            np.stack([motion.acceleration, v, *(np.tanh(v / speed) for speed in SPEEDS)], axis=-1),
            motion.slip,
            (motion.slip[:, :, 0] * np.abs(torque_Nm))[:, :, None],
        ],
        axis=-1,
    )


def torque_Nm(motion: Motion, drive: Drive) -> np.ndarray:
    """Torques (T, k) of the rigid bodies and the load."""
    links = drive.links.copy()
    links[-1] += drive.payload
    return motion.regressor @ links.ravel()


def predict(motion: Motion, drive: Drive) -> np.ndarray:
    """Motor currents (T, k), A, low-passed."""
    torque = torque_Nm(motion, drive)
    friction = np.einsum("tkf,kf->tk", columns(motion, torque), drive.friction)
    return (torque + friction) / drive.gain_Nm_A + drive.offset_A


def relative_error(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Root mean square of the difference over that of the measured values, both (T, k), per joint."""
    return np.sqrt(np.mean((predicted - measured) ** 2, axis=0) / np.mean(measured**2, axis=0))


def _grid(log: MotionLog) -> np.ndarray:
    return np.arange(0.0, log.time_s[-1] - log.time_s[0], 1.0 / RATE_HZ)
