"""A made-up UR10e: drives drawn from what is plausible, and logs of its motor currents."""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter

from robot_rlaas.calibrate.drives.drive import FRICTION, Drive, motion, predict
from robot_rlaas.calibrate.drives.drive_run import nominal
from robot_rlaas.calibrate.drives.motion import MotionLog
from robot_rlaas.calibrate.drives.rigid_body import from_shape, to_shape
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.hardware import load_hardware

ARM = nominal(load_hardware("ur10e"))
NOISE_A = np.array([0.08, 0.12, 0.06, 0.02, 0.02, 0.02])
RATE_HZ = 125


def drives(rng: np.random.Generator, payload_kg: float = 0.0) -> Drive:
    """Links, friction and gains near the published arm's."""
    shape = to_shape(ARM.links)
    shape += rng.normal(0, [0.15, *3 * [0.03], *6 * [0.0]], shape.shape)
    torque = np.array([25.0, 60.0, 25.0, 5.0, 4.0, 4.0])
    scale = {"armature": 0.05, "viscous": 0.3, "curve_0": 0.1, "curve_1": 0.1, "slip_2": 0.15, "slip_3": 0.1}
    friction = np.array([[scale.get(name, 0.0) * t for name, _ in FRICTION] for t in torque])
    friction[:, -1] = 0.05
    load = from_shape(np.array([[np.log(max(payload_kg, 1e-9)), 0.03, 0.0, 0.1, *3 * [np.log(0.05)], *3 * [0.0]]]))[0]
    return Drive(
        links=from_shape(shape),
        friction=friction * rng.uniform(0.6, 1.4, friction.shape),
        gain_Nm_A=np.array(ARM.gain_Nm_A) * rng.uniform(0.93, 1.07, 6),
        offset_A=0.005 * rng.normal(size=6),
        payload=load if payload_kg else np.zeros(10),
    )


def log(
    drive: Drive, rng: np.random.Generator, seconds: float = 40.0, delay_s: float = 0.0, noise: float = 1.0
) -> MotionLog:
    """A Fourier excitation on an irregular clock; the currents carry coloured noise and come `delay_s` late."""
    gaps = rng.choice([0.006, 0.008, 0.012], round(seconds * RATE_HZ))
    t = np.cumsum(gaps)
    rates = 2 * np.pi * 0.05 * np.arange(1, 9)
    phase, size = rng.uniform(0, 2 * np.pi, (8, 6)), rng.uniform(0.2, 1.0, (8, 6))
    size *= 0.9 / np.sum(size * rates[:, None], axis=0) * np.array([1.6, 1.2, 1.4, 1.6, 1.6, 1.8])
    middle = np.array([0.0, -1.4, 0.9, -1.0, -1.5, 0.0])
    angle = rates[:, None] * t[:, None, None] + phase.T[:, :, None].transpose(2, 1, 0)
    position = middle + np.sum(size * np.sin(angle), axis=1)
    velocity = np.sum(size * rates[:, None] * np.cos(angle), axis=1)
    made = MotionLog(
        ARM.profile.joints, t, position, velocity, None, DataFile(file="made up", sha256=rng.bytes(32).hex())
    )
    moved = motion(ARM.chain, made)
    current = CubicSpline(moved.time_s + t[0] + delay_s, predict(moved, drive))(t)
    white = rng.normal(size=current.shape)
    colour = lfilter([1.0], [1.0, -0.9], white, axis=0) * np.sqrt(1 - 0.9**2)
    return made._replace(current=current + noise * NOISE_A * np.asarray(colour))
