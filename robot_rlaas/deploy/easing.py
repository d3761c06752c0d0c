"""After a stop for a force or a torque the setpoint goes back to where the arm stands, so that it presses no more.

A position controller presses with its stiffness times the way from where the arm is to where it was sent, for as long
as it is left there. So once the arm stands, the setpoint of every joint that presses is eased back to its measured
angle: slowly, once, within all limits. Which joints press, the wrist says: those that the wrench pushes from where they
were sent to where they are, so that each one's way back does work against nothing. A joint that only sags, or lags,
is left where it is. Where no wrench tells, it is the joints that strain too much themselves.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from robot_rlaas.control.kinematics import SerialChain, forward
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.senses import Senses

EASED = ("force", "torque")  # the causes of stops
SETTLED_S = 0.5  # of rest before it begins: until then the arm may lag behind
WITHIN_S = 2.0  # of rest after which it does not begin any more: nobody expects a motion then
REST_S, REST_RAD = 0.2, 0.002  # it stands when it was measured within so little for so long
NEWS_S = 0.1  # a sensor that repeated the same bits for so long may have frozen
SPEED_RAD_S = 0.05
STRAINS, RELIEVED = 0.5, 0.25  # of the limit: it begins above the one and ends below the other
MORE = 0.15  # of the limit: it is broken off when the arm presses so much harder than at the least
LEAST_RAD = 0.001


class _Seen(NamedTuple):
    """What the sensors said at one tick of a rest: angles (k,), wrench (6,), torques (k,) as shares of their limits."""

    measured: np.ndarray
    felt: np.ndarray
    torque_share: np.ndarray


class _Way(NamedTuple):
    """From where the arm was sent to where it is, (k,) each; joints that do not press stay where they were sent."""

    start: np.ndarray
    goal: np.ndarray


class Easing:
    """Says where the setpoint goes after one arm was stopped.

    Args:
        chain: the arm's kinematics; the wrench is felt in the tool's axes, at the end of the last joint.
        acceleration_rad_s2: (k,) limits: no step is so long that it could not be the last one.
        period_s: between two targets.
        tick_s: between two looks.
        senses: the arm's sensors.
        journal: is told by how much the setpoint was eased, and why it was not eased further.
    """

    def __init__(
        self,
        chain: SerialChain,
        acceleration_rad_s2: np.ndarray,
        period_s: float,
        tick_s: float,
        senses: Senses,
        journal: Journal,
    ) -> None:
        self._joints, self._wrist = chain.joints, chain._replace(p_tool=np.zeros(3))
        self._step_rad = min(SPEED_RAD_S * period_s, float(acceleration_rad_s2.min()) * period_s**2)
        self._senses, self._journal = senses, journal
        self._seen: deque[_Seen] = deque(maxlen=max(2, round(REST_S / tick_s)))
        self._cause: str | None = None
        self._way: _Way | None = None
        self._over, self._least = True, np.inf
        self._since_s = self._now_s = 0.0
        self._sent = self._wanted = np.zeros(len(chain.joints))

    @property
    def going(self) -> bool:
        """The setpoint is on its way back."""
        return self._way is not None

    @property
    def waiting(self) -> bool:
        """The arm was stopped for something that may have to be eased, and that is not decided yet."""
        return not self._over and not self.going

    def look(self, cause: str | None, sent: np.ndarray, rested_s: float, ready: bool, now_s: float) -> bool:
        """Call before every setpoint -> whether the setpoint has to stop at once.

        Args:
            cause: of the stop that is latched, or None.
            sent: (k,) the target before.
            rested_s: for how long the setpoint has been at rest.
            ready: the sensors speak, and somebody takes the setpoints.
            now_s: time.
        """
        self._sent, self._now_s = sent, now_s
        if cause != self._cause:
            self.end("the stop was reset")
            self._cause, self._over, self._since_s = cause, cause not in EASED, now_s
            self._seen.clear()
        if self._way is not None:
            return self._looks_bad(ready)
        if not self._over:
            self._wait(min(rested_s, now_s - self._since_s), ready)
        return False

    def target(self, last: np.ndarray) -> np.ndarray | None:
        """The next target (k,) on the way back from the last one (k,), or None if there is none."""
        if self._way is None:
            return None
        left = self._way.goal - last
        if self._strain <= RELIEVED or np.abs(left).max() < 1e-9:
            self.end()
        elif np.any(last != self._way.start) and np.abs(last - self._wanted).max() > 1e-9:
            self.end("a limit is in the way")
        else:
            self._wanted = last + min(1.0, self._step_rad / float(np.abs(left).max())) * left
            return self._wanted
        return None

    def end(self, why: str = "") -> None:
        """Go no further, for this stop. `why`: it is broken off."""
        way, self._way, self._over = self._way, None, True
        if way is None:
            return
        moved, wanted = np.abs(self._sent - way.start), np.abs(way.goal - way.start)
        worst = int(np.argmax(wanted))
        text = "the setpoint went back towards where the arm stands, so that it presses less"
        text += f"; broken off: {why}" if why else ""
        amount = 1e3 * float(moved[worst]), 1e3 * float(wanted[worst]), "mrad"
        self._journal.note(Event("eased", str(self._cause), text, self._joints[worst], *amount), self._now_s)

    @property
    def _strain(self) -> float:
        """What the wrist feels, or the joint that strains most, as a share of its limit."""
        return self._senses.force_share if self._cause == "force" else float(self._senses.torque_share.max())

    def _looks_bad(self, ready: bool) -> bool:
        """Whether there is a reason to break off."""
        self._least = min(self._least, self._strain)
        unsound = self._senses.unsound(self._now_s)
        if unsound is not None:
            self.end(unsound.text)
        elif not ready:
            self.end("nobody takes the setpoints")
        elif not self._strain <= self._least + MORE:
            self.end("the arm presses harder")
        return self._way is None

    def _wait(self, rested_s: float, ready: bool) -> None:
        """Look at the arm at rest, and begin when it stands."""
        if rested_s > WITHIN_S:
            self._over = True
        elif not rested_s or not ready:
            self._seen.clear()
        else:
            self._seen.append(_Seen(self._senses.measured, self._senses.felt, self._senses.torque_share))
        if self._over or rested_s < SETTLED_S or len(self._seen) < (self._seen.maxlen or 0):
            return
        measured = np.array([seen.measured for seen in self._seen])
        stands = np.ptp(measured, axis=0).max() <= REST_RAD
        live = self._senses.news_since(self._now_s - NEWS_S) and self._senses.unsound(self._now_s) is None
        if stands and live and self._strain > STRAINS:
            self._begin(measured.mean(axis=0))

    def _begin(self, measured: np.ndarray) -> None:
        """Ease the joints that press back to their measured angles (k,), if it is worth it."""
        away = measured - self._sent
        goal = self._sent + np.where(self._pressing(measured, away), away, 0.0)
        if np.abs(goal - self._sent).max() < LEAST_RAD:
            self._over = True
            return
        self._way, self._least = _Way(self._sent, goal), self._strain
        self._wanted = self._sent

    def _pressing(self, measured: np.ndarray, away: np.ndarray) -> np.ndarray:
        """(k,) bool: which joints press, of an arm that is so far away (k,), rad, from where it was sent."""
        if self._cause == "torque":
            return np.mean([seen.torque_share for seen in self._seen], axis=0) > STRAINS
        felt = np.mean([seen.felt for seen in self._seen], axis=0)
        tool, J = forward(self._wrist, measured[None])
        pushed_Nm = J[0].T @ np.concatenate([tool.R[0] @ felt[:3], tool.R[0] @ felt[3:]])
        return pushed_Nm * away > 0
