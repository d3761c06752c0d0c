"""Whether friction falls with speed, which Coulomb's and viscous friction do not.

Motions that tell inertia and gain are fast, and a fit without this friction hardly leaves more than noise: it takes
damping and friction for something else, and its intervals are too narrow. So it is tested for. To first order, how much
friction at rest would explain of what the fit left, beyond what its own parameters can explain: Rao's score test, on
the whitened residuals, whose variance is one (Rao, Proc. Cambridge Philosophical Society 44, 1948).
"""

from collections.abc import Callable

import numpy as np

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.parameters import DIFFERENCE, quantities, unpack

STEP = 1e-3  # of the finite difference, in parts of the torque limit
CERTAIN = 4.0  # standard errors: one in 2,600 calibrations of six joints without such friction


def slow_friction(
    arm: Arm, log: JointLog, x: np.ndarray, whiten: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Friction at rest beyond that of moving joints, as the residuals of a fit have it.

    Args:
        arm: the nominal arm.
        log: that was fitted.
        x: (p,) the parameters at the optimum, in the order of `quantities`.
        whiten: predicted positions (n, T, k), rad -> (n, N) their residuals, white and of variance one.

    Returns:
        (k,) and its standard error (k,), N m.
    """
    of, k = quantities(arm), len(arm.joints)
    nominal, spread = (np.concatenate([getattr(q, end) for q in of]) for end in ("nominal", "spread"))
    step_Nm = STEP * arm.torque_limit_Nm
    white = whiten(arm.predict(log, unpack(x + DIFFERENCE * np.eye(len(x) + 1, len(x), -1), of)))
    slow = whiten(arm.predict(log, unpack(np.tile(x, (k + 1, 1)), of), np.diag(np.append(0.0, step_Nm))[:, 1:]))
    jacobian = np.concatenate([(white[1:] - white[0]).T / DIFFERENCE, np.diag(1 / spread)])
    effect = np.concatenate([(slow[1:] - slow[0]).T / step_Nm, np.zeros((len(x), k))])
    left = np.append(white[0], (x - nominal) / spread)
    effect -= jacobian @ np.linalg.lstsq(jacobian, effect)[0]  # what the fit's own parameters could have explained
    covariance = np.linalg.inv(effect.T @ effect)
    return -covariance @ effect.T @ left, np.sqrt(np.diag(covariance))


def in_words(joints: tuple[str, ...], slow_Nm: np.ndarray, error_Nm: np.ndarray) -> tuple[str, ...]:
    """A sentence for each joint whose friction certainly falls with speed, or rises."""
    certain = np.abs(slow_Nm) > CERTAIN * error_Nm
    return tuple(
        f"friction of {joint} is about {abs(slow):.2g} N m (+- {2 * error:.1g}) {'more' if slow > 0 else 'less'} "
        "at rest than Coulomb's and viscous friction can say: its intervals are too narrow"
        for joint, slow, error, tell in zip(joints, slow_Nm, error_Nm, certain)
        if tell
    )
