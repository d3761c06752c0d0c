"""From streams of joint states and wrenches to one reading per control period."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.deploy.around import Around, Surroundings
from robot_rlaas.deploy.job import Sensed


class Sampler:
    """Picks the joint state that falls on the beat of the control rate and averages the wrench between two beats.

    The beat follows the stamps of the joint states, so the policy keeps step with the arm's own clock. An arm that does
    not `feel`, which measures no wrench, has one that is no number.

    Attributes:
        plate: the hole's frame as observed, one row; None while it is not known.
    """

    def __init__(
        self,
        joints: tuple[str, ...],
        period_s: float,
        state_rate_hz: float,
        feels: bool = True,
        around: Surroundings | None = None,
    ) -> None:
        self._joints, self._period_s, self._rate_hz = joints, period_s, state_rate_hz
        self._stamps_s: deque[float] = deque(maxlen=round(state_rate_hz))
        self._names: Sequence[str] = ()
        self._feels, self._sum, self._count = feels, np.zeros(6), 0
        self._due_s: float | None = None
        self.plate: Pose | None = None
        self._around = around

    def feel(self, wrench: Sequence[float]) -> None:
        """Take in a wrench (6,), N and N m."""
        self._sum = self._sum + wrench
        self._count += 1

    def measure(self, names: Sequence[str], position_rad: Sequence[float], stamp_s: float) -> Sensed | None:
        """Take in a joint state in any order -> what was sensed in the period, if this state falls on the beat."""
        self._names = names
        if self._around is not None:
            self._around.measure(names, position_rad)
        self._stamps_s.append(stamp_s)
        if self._due_s is not None and stamp_s < self._due_s - 0.5 / self._rate_hz:
            return None
        at = dict(zip(names, position_rad))
        if (self._feels and not self._count) or not all(name in at for name in self._joints):
            return None
        late = self._due_s is None or stamp_s > self._due_s + self._period_s
        self._due_s = (stamp_s if late or self._due_s is None else self._due_s) + self._period_s
        wrench = self._sum / self._count if self._count else np.full(6, np.nan)
        self._sum, self._count = np.zeros(6), 0
        return Sensed(stamp_s, np.array([at[name] for name in self._joints]), wrench, self.plate, self._now())

    def forget(self) -> None:
        """The next part is asked for: where the last one was says nothing."""
        self.plate = None
        if self._around is not None:
            self._around.forget()

    def expect(self) -> None:
        """The next part is laid."""
        if self._around is not None:
            self._around.expect()

    def _now(self) -> Around | None:
        return self._around.now() if self._around is not None else None

    def check(self, now_s: float) -> None:
        """Whether the arm's joint states are what the bundle needs.

        Raises:
            InputError: if they do not come, lack a joint, or come at another rate than the hardware profile says.
        """
        recent = [s for s in self._stamps_s if s > now_s - 1.0]
        if len(recent) < 3:
            raise InputError("no joint states arrive", fix="start the arm's driver; check topic, domain and QoS")
        missing = [name for name in self._joints if name not in self._names]
        if missing:
            raise InputError(
                f"the joint states lack {missing}; they have {list(self._names)}",
                fix="correct `joints` in the hardware profile (tf_prefix?)",
            )
        rate_hz = (len(recent) - 1) / (recent[-1] - recent[0])
        if not 0.8 < rate_hz / self._rate_hz < 1.25:
            raise InputError(
                f"joint states come at {rate_hz:.0f} Hz; the hardware profile says {self._rate_hz:.0f} Hz",
                fix="correct state_rate_hz in the hardware profile, or the driver's publish rate",
            )
