"""Whether friction falls with speed, which Coulomb's and viscous friction do not.

Motions that tell inertia and gain are fast, and a fit without this friction hardly leaves more than noise: it takes
damping and friction for something else, and its intervals are too narrow. So it is tested for. To first order, how much
friction at rest would explain of what the fit left, beyond what its own parameters can explain: Rao's score test, on
the whitened residuals, whose variance is one (Rao, Proc. Cambridge Philosophical Society 44, 1948).
"""

from collections.abc import Callable

import numpy as np

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm, ArmParameters

STEP = 1e-3  # of the finite difference, in parts of the torque limit
CERTAIN = 4.0  # standard errors: one in 2,600 calibrations of six joints without such friction


def slow_friction(
    arm: Arm,
    log: JointLog,
    found: ArmParameters,
    jacobian: np.ndarray,
    white: np.ndarray,
    whiten: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Friction at rest beyond that of moving joints, as the residuals of a fit have it.

    Args:
        arm: the nominal arm.
        log: that was fitted.
        found: the one set of parameters that was found.
        jacobian: (N, p) of the whitened residuals, the prior's rows last.
        white: (N,) the whitened residuals at the optimum.
        whiten: positions (n, T, k), rad -> (n, N - p).

    Returns:
        (k,) and its standard error (k,), N m.
    """
    k = len(arm.joints)
    step_Nm = STEP * arm.torque_limit_Nm
    slow = np.concatenate([np.zeros((1, k)), np.diag(step_Nm)])
    many = ArmParameters(*(np.repeat(field, k + 1, axis=0) for field in found))
    predicted = whiten(arm.predict(log, many, slow))
    effect = np.zeros((len(white), k))
    effect[: predicted.shape[1]] = ((predicted[1:] - predicted[0]) / step_Nm[:, None]).T
    effect -= jacobian @ np.linalg.lstsq(jacobian, effect)[0]  # what the fit's own parameters could have explained
    covariance = np.linalg.pinv(effect.T @ effect)
    return -covariance @ effect.T @ white, np.sqrt(np.diag(covariance))


def in_words(joints: tuple[str, ...], slow_Nm: np.ndarray, error_Nm: np.ndarray) -> tuple[str, ...]:
    """A sentence for each joint whose friction certainly falls with speed, or rises."""
    certain = np.abs(slow_Nm) > CERTAIN * error_Nm
    return tuple(
        f"friction of {joint} is {'more' if slow > 0 else 'less'} at slow speed than Coulomb's and viscous friction can "
        f"say, by about {abs(slow):.2g} N m (+- {2 * error:.1g}): its intervals are too narrow"
        for joint, slow, error, tell in zip(joints, slow_Nm, error_Nm, certain)
        if tell
    )
