"""The watchdog beside the arm's controller: hands the supervisor's setpoints on, and brakes the arm when they cease.

A position controller holds the last position that it was sent, so an arm whose supervisor has died stands at once, with
a jerk, and moves on as soon as anybody sends something. The watchdog brakes it as hard as its joints may instead, looks
at every setpoint by rules of its own, and lets nothing pass after that until somebody resets it. It holds no ROS object
and reads no clock.
"""

from collections.abc import Sequence

import numpy as np

from robot_rlaas.control.interpolate import braked
from robot_rlaas.deploy.events import Event, Journal
from robot_rlaas.deploy.pace import LATE_TICKS

SILENT_TICKS = 1.5  # without a setpoint: braking begins, from the last one on and from when that came
LATCH_S = 0.2
FOREIGN_RAD = 0.06  # the first setpoint is not further than this from where the arm is


class Watchdog:
    """Watches the setpoints of one arm.

    Args:
        joints: in the order of the setpoints.
        controller_joints: in the order of the arm's controller.
        speed_rad_s, acceleration_rad_s2: (k,) limits, in the order of the setpoints.
        tick_s: between two setpoints.

    Attributes:
        latched: why nothing passes any more, or None.
        why: the same in one line; empty while setpoints pass.
    """

    def __init__(
        self,
        joints: Sequence[str],
        controller_joints: Sequence[str],
        speed_rad_s: np.ndarray,
        acceleration_rad_s2: np.ndarray,
        tick_s: float,
    ) -> None:
        self.latched: str | None = None
        self.why, self.journal = "", Journal()
        self._joints, self._order = tuple(joints), [list(joints).index(name) for name in controller_joints]
        self._speed, self._a, self.tick_s = speed_rad_s, acceleration_rad_s2, tick_s
        self._measured: np.ndarray | None = None
        self._at: np.ndarray | None = None  # the last setpoint that passed
        self._velocity = self._sent_velocity = np.zeros(len(joints))
        self._heard_s, self._awake_s = -np.inf, np.inf
        braked(self._velocity, self._velocity, self._a, 0.0)  # its first call imports for a while

    @property
    def moving(self) -> bool:
        """The last setpoint that passed was one of a motion, and braking from it is not over."""
        return bool(np.any(self._velocity))

    @property
    def velocity_rad_s(self) -> np.ndarray:
        """(k,) how fast the last command moves, in the order of the controller."""
        return self._sent_velocity[self._order]

    def starts(self, now_s: float) -> bool:
        """The next setpoint is a first one: it has to be where the arm is."""
        return self._at is None or (not self.moving and now_s - self._heard_s > LATCH_S)

    def measure(self, names: Sequence[str], position_rad: Sequence[float]) -> None:
        """Take in measured joint angles, in any order."""
        at = dict(zip(names, position_rad))
        if all(name in at for name in self._joints):
            self._measured = np.array([at[name] for name in self._joints])

    def receive(self, values: Sequence[float], now_s: float) -> np.ndarray | None:
        """Take in a setpoint -> what to send to the controller, (k,) in its order, or None if nothing may pass.

        Args:
            values: (2k,) positions, rad, and velocities, rad/s.
            now_s: time of arrival, on the clock of `tick`.
        """
        self.wake(now_s)
        if self.latched is not None:
            return None
        count = len(self._joints)
        if len(values) != 2 * count or not np.isfinite(values).all():
            return self._latch("bad_setpoint", f"a setpoint of {len(values)} values, or one that is no number", now_s)
        position, velocity = np.array(values[:count]), np.array(values[count:])
        resting = self.starts(now_s)
        if resting and self._measured is None:
            return None
        expected = self._measured if resting else self._braked(now_s)
        allowed = np.full(count, FOREIGN_RAD) if resting else (LATE_TICKS + 1) * self._speed * self.tick_s + 1e-6
        away = np.abs(position - expected)
        if (away > allowed).any():
            worst = int(np.argmax(away / allowed))
            text, amount = "a setpoint that jumps", (float(away[worst]), float(allowed[worst]), "rad")
            return self._latch("setpoint_jump", text, now_s, self._joints[worst], *amount)
        self._at, self._velocity, self._heard_s = position, velocity, now_s
        self._sent_velocity = velocity
        return position[self._order]

    def tick(self, now_s: float) -> np.ndarray | None:
        """Call when there was no setpoint for SILENT_TICKS, and every tick from then on -> what to send, or None."""
        self.wake(now_s)
        if self._at is None or not self.moving:
            return None
        silent_s = now_s - self._heard_s
        if silent_s > LATCH_S and self.latched is None:
            self._latch("supervisor_silent", "no setpoints in motion", now_s, "", silent_s, LATCH_S, "s")
        position = self._braked(now_s)
        self._sent_velocity = np.sign(self._velocity) * np.maximum(np.abs(self._velocity) - self._a * silent_s, 0.0)
        if silent_s > LATCH_S and (np.abs(self._velocity) <= self._a * silent_s).all():
            self._at, self._velocity = position, np.zeros_like(self._velocity)
        return position[self._order]

    def reset(self, now_s: float) -> str:
        """Unlatch -> what was latched, or "nothing"."""
        was, self.latched, self.why = self.latched, None, ""
        if was is not None:
            self._at = None  # the next setpoint is a first one
            self._velocity = np.zeros_like(self._velocity)
            self.journal.note(Event("reset", was, "somebody reset the stop"), now_s)
        return was or "nothing"

    def wake(self, now_s: float) -> None:
        """Call often. It notices when this process did not run for a while: the arm stands where it was sent last."""
        gap_s, self._awake_s = now_s - self._awake_s, now_s
        if gap_s > LATCH_S and self.moving and self.latched is None:
            self._velocity = np.zeros_like(self._velocity)
            self._latch(
                "watchdog_late", "the watchdog came late: the machine is too busy", now_s, "", gap_s, LATCH_S, "s"
            )

    def _braked(self, now_s: float) -> np.ndarray:
        assert self._at is not None
        silent_s = now_s - self._heard_s
        return (
            self._at if silent_s < SILENT_TICKS * self.tick_s else braked(self._at, self._velocity, self._a, silent_s)
        )

    def _latch(
        self,
        cause: str,
        text: str,
        now_s: float,
        joint: str = "",
        value: float = float("nan"),
        limit: float = float("nan"),
        unit: str = "",
    ) -> None:
        event = Event("stopped", cause, text, joint, value, limit, unit)
        self.latched, self.why = cause, event.line
        self.journal.note(event, now_s)
