"""Fit dynamics, friction and drive gains to motor currents: a posterior around the published arm.

A few steps of Gauss and Newton, each a linear least squares problem with bounds, end at its mode; priors keep what the
motion does not show at the nominal arm. Links are fitted in coordinates in which each is made of matter. The residuals
of neighbouring samples belong together, so they count only as often as they are independent (the integrated
autocorrelation time; Sokal, 1997). The delay between currents and motion comes first: it passes for friction.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls

from robot_rlaas.calibrate.drives.drive import FRICTION, Drive, Motion, columns, motion, predict, resample, torque_Nm
from robot_rlaas.calibrate.drives.motion import MotionLog, check
from robot_rlaas.calibrate.drives.rigid_body import PARAMETERS, from_shape, shape_slope, to_shape
from robot_rlaas.calibrate.servo.parameters import IDENTIFIABLE
from robot_rlaas.cell.calibration import Estimate
from robot_rlaas.control.kinematics import SerialChain

DELAYS_S = np.arange(-0.048, 0.0481, 0.006)
THIN = 5  # what is low-passed at 8 Hz needs no 100 samples a second
STEPS = 4  # of Gauss and Newton
ROUNDS = 3  # of the noise
GAIN_SPREAD = 0.1  # standard deviations of the priors: of a gain, relative
LINK_SPREAD = (0.2, *3 * [0.05], *3 * [0.3], *3 * [0.3])  # of a shape's coordinates, the last ones relative to the size
LOAD_SHAPE = (0.25, 0.05, 0.04)  # a load before it is seen: parts of the limit, m from the flange, m in size
LOAD_SPREAD = (1.0, *3 * [0.15], *3 * [0.7], *3 * [0.7])
KNOWN_MASS_SPREAD = 0.005
FRICTION_SPREAD = {"armature": 0.3, "viscous": 2.0, "load": 0.3}  # in parts of the joint's typical torque; others 1
OFFSET_SPREAD = 0.03  # in parts of the joint's typical current


class Carried(NamedTuple):
    """A log and the load on the flange while it was recorded: a name for it, and its mass if it is known."""

    log: MotionLog
    payload: str | None = None
    payload_kg: float | None = None


class DriveFit(NamedTuple):
    """What logs say about an arm.

    Attributes:
        drive: the estimates, without a load.
        payloads: name of each load -> its ten inertial parameters in the last joint's frame.
        current_delay_s: how much later a log states a current than the motion it belongs to.
        estimates: in the order of the covariance; what lies at its bound of zero has no spread.
        covariance: (p, p).
    """

    drive: Drive
    payloads: dict[str, np.ndarray]
    current_delay_s: float
    estimates: tuple[Estimate, ...]
    covariance: np.ndarray


class _Data(NamedTuple):
    """What is fitted, log by log: motions, the names of their loads, and currents (T, k), A."""

    motions: list[Motion]
    payloads: list[str | None]
    currents: list[np.ndarray]


class _Layout(NamedTuple):
    """Where in the vector things stand, and its prior: links, loads, friction, offsets, gains.

    Links and loads are shapes (see `rigid_body.to_shape`), gains are logarithms.
    """

    k: int
    payloads: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    low: np.ndarray

    @property
    def bodies(self) -> slice:
        return slice(0, 10 * (self.k + len(self.payloads)))

    @property
    def friction(self) -> slice:
        return slice(self.bodies.stop, self.bodies.stop + len(FRICTION) * self.k)

    @property
    def offset(self) -> slice:
        return slice(self.friction.stop, self.friction.stop + self.k)

    @property
    def gain(self) -> slice:
        return slice(self.offset.stop, self.offset.stop + self.k)

    def payload(self, name: str) -> int:
        """The load's number among the bodies."""
        return self.k + self.payloads.index(name)

    def drive(self, x: np.ndarray, payload: str | None = None) -> Drive:
        bodies = from_shape(x[self.bodies].reshape(-1, 10))
        return Drive(
            links=bodies[: self.k],
            friction=x[self.friction].reshape(self.k, -1),
            gain_Nm_A=np.exp(x[self.gain]),
            offset_A=x[self.offset],
            payload=bodies[self.payload(payload)] if payload else np.zeros(10),
        )

    def natural(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vector in the units of its estimates, and the slope of that (p, p)."""
        value, slope = x.copy(), np.eye(len(x))
        shapes = x[self.bodies].reshape(-1, 10)
        value[self.bodies] = from_shape(shapes).ravel()
        slope[self.bodies, self.bodies] = block_diag(*shape_slope(shapes))
        value[self.gain] = np.exp(x[self.gain])
        slope[self.gain, self.gain] = np.diag(value[self.gain])
        return value, slope


def fit(
    chain: SerialChain,
    nominal: np.ndarray,
    gain_Nm_A: Sequence[float],
    logs: Sequence[Carried],
    payload_limit_kg: float,
    on_event: Callable[[str], None] = print,
) -> DriveFit:
    """Estimate links, friction, gains, offsets and loads.

    Args:
        chain: k joints up to the flange.
        nominal: (k, 10) the published arm's links, in the order of `rigid_body.PARAMETERS`.
        gain_Nm_A: (k,) nominal joint torque per current.
        logs: with currents; with the same name, the load was the same.
        payload_limit_kg: what a load may weigh at most.
        on_event: gets a line about each step.
    """
    currents = [check(carried.log, carried.log.source.file) for carried in logs]
    motions = [_thin(motion(chain, carried.log)) for carried in logs]
    typical = np.sqrt(np.mean(np.concatenate([resample(c.log, i) for c, i in zip(logs, currents)]) ** 2, axis=0))
    layout = _layout(nominal, np.array(gain_Nm_A), typical, logs, payload_limit_kg)
    names = [carried.payload for carried in logs]

    def data(delay_s: float) -> _Data:
        late = [resample(carried.log, current, delay_s)[::THIN] for carried, current in zip(logs, currents)]
        return _Data(motions, names, late)

    noise = 0.1 * typical
    x, _ = _solve(layout, data(0.0), noise, layout.mean)
    costs = [_solve(layout, data(float(delay)), noise, x, steps=1)[1] for delay in DELAYS_S]
    delay_s = _minimum(DELAYS_S, np.array(costs))
    on_event(f"currents are stated {1000 * delay_s:.1f} ms after their motion")
    late = data(delay_s)
    H = np.eye(len(x))
    for _ in range(ROUNDS):
        x, _ = _solve(layout, late, noise, x)
        residual = [predict(m, layout.drive(x, name)) - y for m, name, y in zip(*late)]
        noise = _noise(residual)
        H, _ = _normal(layout, late, noise, x)
        rms = np.sqrt(np.mean(np.concatenate(residual) ** 2, axis=0)) / typical
        on_event(f"relative error {rms.mean():.4f} on what is fitted")
    free = x > layout.low
    covariance = np.zeros_like(H)
    covariance[np.ix_(free, free)] = np.linalg.inv(H[np.ix_(free, free)])
    estimates, covariance = _estimates(layout, x, covariance, 1.0 / np.sqrt(np.diag(H)), chain.joints)
    payloads = {name: layout.drive(x, name).payload for name in layout.payloads}
    return DriveFit(layout.drive(x), payloads, delay_s, estimates, covariance)


def _thin(moved: Motion) -> Motion:
    return Motion(*(field[::THIN] for field in moved))


def _layout(
    nominal: np.ndarray, gain: np.ndarray, typical_A: np.ndarray, logs: Sequence[Carried], payload_limit_kg: float
) -> _Layout:
    k = len(nominal)
    links = to_shape(nominal)
    names = tuple(dict.fromkeys(carried.payload for carried in logs if carried.payload))
    known = {carried.payload: carried.payload_kg for carried in logs if carried.payload_kg}
    part, far, size = LOAD_SHAPE
    loads = [
        [np.log(known.get(name, part * payload_limit_kg)), 0.0, 0.0, far, *3 * [np.log(size)], *3 * [0.0]]
        for name in names
    ]
    bodies = np.concatenate([links, np.array(loads).reshape(-1, 10)])
    spread = np.array([*k * [LINK_SPREAD], *len(names) * [LOAD_SPREAD]])
    spread[:, 7:] *= np.exp(bodies[:, 4:7].mean(axis=1, keepdims=True))
    for i, name in enumerate(names):
        if name in known:
            spread[k + i, 0] = KNOWN_MASS_SPREAD
    torque = gain * typical_A
    friction = np.array([[1.0 if name == "load" else t for name, _ in FRICTION] for t in torque])
    friction *= [FRICTION_SPREAD.get(name, 1.0) for name, _ in FRICTION]
    low = np.full(bodies.size + friction.size + 2 * k, -np.inf)
    low[bodies.size : bodies.size + friction.size] = 0.0
    return _Layout(
        k,
        names,
        mean=np.concatenate([bodies.ravel(), np.zeros(friction.size + k), np.log(gain)]),
        spread=np.concatenate([spread.ravel(), friction.ravel(), OFFSET_SPREAD * typical_A, np.full(k, GAIN_SPREAD)]),
        low=low,
    )


def _solve(
    layout: _Layout,
    data: _Data,
    noise_A: np.ndarray,
    x: np.ndarray,
    steps: int = STEPS,
) -> tuple[np.ndarray, float]:
    """The posterior's mode from x on, and twice its negative logarithm there, but for a constant."""
    for _ in range(steps):
        H, g = _normal(layout, data, noise_A, x)
        x = layout.spread * _bounded(
            H * layout.spread * layout.spread[:, None], (g + H @ x) * layout.spread, layout.low == 0.0
        )
    residual = [(predict(m, layout.drive(x, p)) - y) / noise_A for m, p, y in zip(*data)]
    prior = (x - layout.mean) / layout.spread
    return x, float(sum(np.sum(r**2) for r in residual) + prior @ prior)


def _bounded(H: np.ndarray, r: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The least of x H x / 2 - r x with some of x (p,) at least zero: the others are eliminated first."""
    free = ~positive
    ahead = cho_solve(cho_factor(H[np.ix_(free, free)]), np.column_stack([H[np.ix_(free, positive)], r[free]]))
    L = np.linalg.cholesky(H[np.ix_(positive, positive)] - H[np.ix_(positive, free)] @ ahead[:, :-1])
    goal = solve_triangular(L, r[positive] - H[np.ix_(positive, free)] @ ahead[:, -1], lower=True)
    x = np.empty(len(r))
    x[positive] = nnls(L.T, goal)[0]
    x[free] = ahead[:, -1] - ahead[:, :-1] @ x[positive]
    return x


def _normal(
    layout: _Layout,
    data: _Data,
    noise_A: np.ndarray,
    x: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Information (p, p) and the score (p,) of the data and the prior at x."""
    k, f = layout.k, len(FRICTION)
    H = np.diag(layout.spread**-2)
    g = (layout.mean - x) / layout.spread**2
    slopes = shape_slope(x[layout.bodies].reshape(-1, 10))
    links = block_diag(*slopes[:k])
    for moved, payload, current in zip(*data):
        drive = layout.drive(x, payload)
        torque = torque_Nm(moved, drive)
        parts = columns(moved, torque)
        predicted = (torque + np.einsum("tkf,kf->tk", parts, drive.friction)) / drive.gain_Nm_A
        for j in range(k):
            body = moved.regressor[:, j] / drive.gain_Nm_A[j]
            at = [np.arange(10 * k), np.arange(f) + layout.friction.start + f * j]
            J = [body @ links, parts[:, j] / drive.gain_Nm_A[j], np.ones((len(torque), 1)), -predicted[:, j, None]]
            at += [[layout.offset.start + j], [layout.gain.start + j]]
            if payload:
                number = layout.payload(payload)
                J.append(body[:, -10:] @ slopes[number])
                at.append(np.arange(10) + 10 * number)
            J, at = np.hstack(J) / noise_A[j], np.concatenate(at).astype(int)
            residual = (current[:, j] - predicted[:, j] - drive.offset_A[j]) / noise_A[j]
            H[np.ix_(at, at)] += J.T @ J
            g[at] += J.T @ residual
    return H, g


def _noise(residuals: Sequence[np.ndarray]) -> np.ndarray:
    """Standard deviations per joint, larger by how many neighbouring samples tell the same."""
    result = []
    for j in range(residuals[0].shape[1]):
        weighted = []
        for residual in residuals:
            r = residual[:, j]
            power = np.abs(np.fft.rfft(r, 2 * len(r))) ** 2
            lags = np.fft.irfft(power)[: len(r)]
            rho = lags / lags[0]
            end = int(np.argmax(rho < 0.05))
            weighted.append((np.mean(r**2) * max(2 * rho[:end].sum() - 1, 1.0), len(r)))
        variance, count = np.array(weighted).T
        result.append(np.sqrt(np.average(variance, weights=count)))
    return np.array(result)


def _minimum(at: np.ndarray, values: np.ndarray) -> float:
    """Where a parabola through the least value and its neighbours is lowest."""
    i = int(np.clip(np.argmin(values), 1, len(at) - 2))
    a, b, c = values[i - 1 : i + 2]
    bend = a - 2 * b + c
    return float(at[i] + 0.5 * (a - c) / bend * (at[1] - at[0])) if bend > 0 else float(at[np.argmin(values)])


def _estimates(
    layout: _Layout, x: np.ndarray, covariance: np.ndarray, alone: np.ndarray, joints: tuple[str, ...]
) -> tuple[tuple[Estimate, ...], np.ndarray]:
    """The estimates and their covariance in natural units.

    What lies at its bound of zero has no spread in it; `alone` (p,), the spread if all else were known, bounds it.
    """
    names = [(name, joint, unit) for joint in joints for name, unit in PARAMETERS]
    names += [(f"{load}_{name}", None, unit) for load in layout.payloads for name, unit in PARAMETERS]
    names += [(name, joint, unit) for joint in joints for name, unit in FRICTION]
    names += [("offset", joint, "A") for joint in joints] + [("gain", joint, "N m/A") for joint in joints]
    (nominal, before), (value, after) = layout.natural(layout.mean), layout.natural(x)
    covariance = after @ covariance @ after.T
    spread = np.where(x > layout.low, np.sqrt(np.diag(covariance)), alone)
    told = spread <= IDENTIFIABLE * np.sqrt((before * layout.spread) ** 2 @ np.ones(len(x)))
    estimates = tuple(
        Estimate(
            name=name,
            joint=joint,
            unit=unit,
            nominal=nominal[i],
            value=value[i],
            lower_95=max(value[i] - 1.96 * spread[i], layout.low[i]),
            upper_95=value[i] + 1.96 * spread[i],
            identifiable=bool(told[i]),
        )
        for i, (name, joint, unit) in enumerate(names)
    )
    return estimates, covariance
