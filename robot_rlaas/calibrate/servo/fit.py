"""Fit the arm's parameters to a log with mujoco.sysid: delay first, then everything, with honest intervals.

The residuals of a good fit are no white noise: a command that arrives late disturbs several samples, and so does
friction that is not quite Coulomb's. Taking them for white makes intervals absurdly narrow. So the fit is repeated
with the residuals of each joint whitened by an autoregressive filter estimated from the fit before (the prediction
error method with an AR noise model: Ljung, System Identification, 2nd ed., 1999, section 4.2; Cochrane and Orcutt,
1949), with Huber's weights for the outliers. What is left is white with unit variance, and the usual intervals hold.

Positions alone leave directions open: scaling a joint's gain, damping, friction and inertia together changes nothing
unless another joint's known mass pulls on it. Every parameter therefore has a broad normal prior around the nominal
value, which enters as one more residual. Where the data add little to it the estimate is marked as not identifiable,
and the directions that the prior holds are named, before the fit to first order and after it from the posterior.
"""

import io
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm, ArmParameters
from robot_rlaas.calibrate.servo.parameters import (
    DELAY_S,
    DIFFERENCE,
    IDENTIFIABLE,
    Quantity,
    information,
    labels,
    quantities,
    typical,
    undetermined,
    unpack,
)
from robot_rlaas.calibrate.servo.unmodelled import in_words, slow_friction
from robot_rlaas.cell.calibration import Estimate
from robot_rlaas.cell.errors import InputError

DELAY_SCAN_S = 0.004
AR_ORDER = 5
HUBER = 2.5  # innovations beyond so many standard deviations weigh less (Huber, 1964)
SETTLE_S = 0.5  # at the start of a log: what the joints stood under, and where in their friction, nobody measured
ROUNDS = 5
SETTLED = 0.2  # no estimate moved by more than this part of its interval in the last round
FORESEEN_NOISE_RAD = 1e-4  # of an encoder and of what no model explains, before the residuals tell
FIRST_SPREAD_RAD = 1e-3  # what the first round takes the residual for
OPTIMIZER: dict[str, Any] = {
    "eps": DIFFERENCE,
    "xtol": 1e-3,
    "mu_factor": 10**0.5,  # in few steps to where a last step helps nothing
    "max_iters": 25,
}


class Fit(NamedTuple):
    """What a log says about an arm.

    Attributes:
        estimates: in the order of the covariance.
        covariance: (p, p).
        undetermined: the directions that the prior holds, not the log, in words.
        parameters: the estimates as one set, to predict with.
        residual_rad: (T', k) predicted minus measured position, without the first SETTLE_S.
        at_bound: names of estimates that ended at a bound that is not physical: the log asks for something else.
        converged: the last round changed nothing that matters.
        unmodelled: what the residuals show that no parameter stands for, in words.
    """

    estimates: tuple[Estimate, ...]
    covariance: np.ndarray
    undetermined: tuple[str, ...]
    parameters: ArmParameters
    residual_rad: np.ndarray
    at_bound: tuple[str, ...]
    converged: bool
    unmodelled: tuple[str, ...] = ()


class _Noise(NamedTuple):
    """How residuals are made white.

    Attributes:
        ar: (k, AR_ORDER) coefficients.
        spread_rad: (k,) standard deviation of the innovations.
        weight: (T - AR_ORDER, k) in (0, 1], or 1: less for the few samples that a late command threw off.
    """

    ar: np.ndarray
    spread_rad: np.ndarray
    weight: np.ndarray

    def whiten(self, residual_rad: np.ndarray) -> np.ndarray:
        """Residuals (n, T, k) -> (n, (T - AR_ORDER) k), in units of the noise."""
        white = _filter(self.ar, residual_rad) * (self.weight / self.spread_rad)
        return white.reshape(len(residual_rad), -1)

    @staticmethod
    def of(residual_rad: np.ndarray) -> "_Noise":
        """The noise in residuals (T, k): Yule and Walker's equations, which always give a stable filter; then Huber."""
        ar = []
        for r in residual_rad.T:
            lags = np.array([r[: len(r) - i] @ r[i:] for i in range(AR_ORDER + 1)])
            ar.append(solve_toeplitz(lags[:-1] * (1 + 1e-9 * (np.arange(AR_ORDER) == 0)), lags[1:]))
        innovation = _filter(np.array(ar), residual_rad[None])[0]
        spread = 1.4826 * np.median(np.abs(innovation), axis=0)
        return _Noise(np.array(ar), spread, np.sqrt(np.minimum(1.0, HUBER * spread / np.abs(innovation))))


def _filter(ar: np.ndarray, residual_rad: np.ndarray) -> np.ndarray:
    """Innovations (n, T - AR_ORDER, k) of residuals (n, T, k)."""
    columns = [np.asarray(lfilter([1.0, *-ar[j]], 1.0, residual_rad[:, :, j], axis=1)) for j in range(len(ar))]
    return np.stack(columns, axis=2)[:, AR_ORDER:]


def fit(arm: Arm, log: JointLog, on_event: Callable[[str], None] = print) -> Fit:
    """Say what a log will not tell, then estimate delay, servo gains, damping, friction, armature and payload from it.

    Args:
        arm: the nominal arm.
        log: from `read_log`.
        on_event: gets a line about each direction that the log cannot tell, and about each round.

    Raises:
        InputError: if mujoco.sysid is not complete.
    """
    from mujoco import sysid

    if not hasattr(sysid, "optimize"):  # it imports empty without what it needs
        raise InputError("mujoco.sysid cannot be used", fix="pip install robot_rlaas[train]")
    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of friction and payloads that are zero: they may be
    of = quantities(arm)
    parameters = sysid.ParameterDict({q.name: sysid.Parameter(q.name, q.nominal, q.low, q.high) for q in of})
    delay_s = _scan_delay(arm, log, of)
    on_event(f"delay by a scan: {1000 * delay_s:.0f} ms")
    for direction in _foreseen(arm, log, of, delay_s):
        on_event(f"this log is not expected to tell {direction}")
    parameters["command_delay_s"].value = np.array([delay_s])
    parameters.move_off_bounds(fraction=0.01)
    k = len(arm.joints)
    noise = _Noise(np.zeros((k, AR_ORDER)), np.full(k, FIRST_SPREAD_RAD), np.ones(1))
    converged, covariance, half, residual = False, np.zeros((0, 0)), np.zeros(0), np.zeros((0, k))
    for round_number in range(ROUNDS):
        before = parameters.as_vector()
        residual_fn = _residual_fn(arm, log, of, noise)
        parameters, result = sysid.optimize(parameters, residual_fn, verbose=False, output=io.StringIO(), **OPTIMIZER)
        covariance, half = _intervals(residual_fn, parameters, result)
        converged = bool(np.all(np.abs(parameters.as_vector() - before) < SETTLED * half))
        residual = _residual(arm, log, unpack(parameters.as_vector()[None], of))[0]
        noise = _Noise.of(residual)
        rms = 1000 * np.sqrt(np.mean(residual**2))
        on_event(f"round {round_number + 1}: {rms:.3f} mrad between model and log")
        if converged and round_number:
            break
    found = _result(arm, of, parameters.as_vector(), covariance, half, residual, converged)
    slow = slow_friction(arm, log, parameters.as_vector(), lambda q: noise.whiten(_left(log, q)))
    for text in (unmodelled := in_words(arm.joints, *slow)):
        on_event(text)
    return found._replace(unmodelled=unmodelled)


def _residual(arm: Arm, log: JointLog, parameters: ArmParameters) -> np.ndarray:
    """Predicted minus measured positions (n, T', k), rad, from SETTLE_S on."""
    return _left(log, arm.predict(log, parameters))


def _left(log: JointLog, predicted_rad: np.ndarray) -> np.ndarray:
    settled = int(np.searchsorted(log.time_s, log.time_s[0] + SETTLE_S))
    return (predicted_rad - log.q_rad)[:, settled:]


def _scan_delay(arm: Arm, log: JointLog, of: list[Quantity]) -> float:
    """The delay that explains the log best with everything else nominal: a start that leads the fit nowhere else."""
    delays = np.arange(DELAY_S[0], DELAY_S[1], DELAY_SCAN_S)
    nominal = np.concatenate([q.nominal for q in of])
    columns = np.repeat(nominal[None], len(delays), axis=0)
    columns[:, 0] = delays
    error = _residual(arm, log, unpack(columns, of))
    return float(delays[np.argmin((error**2).sum(axis=(1, 2)))])


def _foreseen(arm: Arm, log: JointLog, of: list[Quantity], delay_s: float) -> tuple[str, ...]:
    """The directions that the log will leave to the prior, to first order at typical parameters."""
    x = typical(arm, of)
    x[0] = delay_s
    posterior = np.linalg.inv(np.eye(len(x)) + information(arm, log, of, x, FORESEEN_NOISE_RAD))
    return undetermined(posterior, labels(arm, of))


def _residual_fn(
    arm: Arm, log: JointLog, of: list[Quantity], noise: _Noise
) -> Callable[[np.ndarray, Any], tuple[list[np.ndarray], list, list]]:
    """Residuals as sysid.optimize wants them: for one vector, or for all columns of a finite difference at once."""
    nominal = np.concatenate([q.nominal for q in of])[:, None]
    spread = np.concatenate([q.spread for q in of])[:, None]

    def residual_fn(x: np.ndarray, _: Any) -> tuple[list[np.ndarray], list, list]:
        columns = x.reshape(len(x), -1)
        white = noise.whiten(_residual(arm, log, unpack(columns.T, of)))
        return [np.concatenate([white.T, (columns - nominal) / spread])], [], []

    return residual_fn


def _intervals(residual_fn: Callable, parameters: Any, result: Any) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (p, p) and half widths (p,) of 95 % intervals at the optimum."""
    from mujoco import sysid

    residuals = [r[:, 0] for r in residual_fn(parameters.as_vector(), parameters)[0]]
    covariance, half = sysid.calculate_intervals(residuals, np.asarray(result.jac))
    if not np.isfinite(half).all():
        raise InputError("the fit has no finite intervals: the log does not determine the arm's parameters")
    return covariance, half


def _result(
    arm: Arm,
    of: list[Quantity],
    x: np.ndarray,
    covariance: np.ndarray,
    half: np.ndarray,
    residual_rad: np.ndarray,
    converged: bool,
) -> Fit:
    estimates, at_bound, i = [], [], 0
    for q in of:
        for j in range(len(q.nominal)):
            joint = arm.joints[j] if len(q.nominal) > 1 else None
            estimates.append(
                Estimate(
                    name=q.name,
                    joint=joint,
                    unit=q.unit,
                    nominal=q.nominal[j],
                    value=x[i],
                    lower_95=max(x[i] - half[i], q.low[j]),
                    upper_95=min(x[i] + half[i], q.high[j]),
                    identifiable=bool(covariance[i, i] <= (IDENTIFIABLE * q.spread[j]) ** 2),
                )
            )
            edge = 1e-3 * (q.high[j] - q.low[j])
            physical = q.low[j] == 0.0
            if x[i] > q.high[j] - edge or (x[i] < q.low[j] + edge and not physical):
                at_bound.append(f"{q.name} of {joint}" if joint else q.name)
            i += 1
    spread = np.concatenate([q.spread for q in of])
    left = undetermined(covariance / np.outer(spread, spread), labels(arm, of))
    return Fit(tuple(estimates), covariance, left, unpack(x[None], of), residual_rad, tuple(at_bound), converged)
