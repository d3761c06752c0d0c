"""Measures what a cell's further limits are about: by the truth in simulation, by what is sensed on an arm."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.limits import further_limits
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, SerialChain
from robot_rlaas.control.safety import Envelope, joint_range, tool_corners, zone_use

Array = Any


class Reading(NamedTuple):
    """What a control period brought. One row per episode that is read.

    Attributes:
        forces_N: (m, steps) contact force at each time step of the period.
        touch_N: (m,) largest force on what must never be touched.
        q_rad: (m, k) and
        tool: at its end.
    """

    forces_N: Array
    touch_N: Array
    q_rad: Array
    tool: Pose


class Gauge(Protocol):
    """One figure, of `count` episodes.

    Attributes:
        memory: (count, ...) each: all that is kept of them.
    """

    memory: tuple[Array, ...]

    def begin(self, ids: Array, now: Reading) -> None:
        """Episodes start in the rows `ids`; `now` has one row per id."""
        ...

    def read(self, ids: Array, now: Reading) -> Array:
        """(m,) the figure of this period."""
        ...


class Gauges:
    """All that a cell's further limits need, of `count` episodes side by side; nothing where it has none.

    Attributes:
        figures: (count,) each, by name: the largest of each present episode so far.
    """

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        self.limits = further_limits(cell)
        self.figures = {limit.figure: np.zeros(count) for limit in self.limits}
        self._gauges = {name: GAUGES[name](cell, chain, envelope, count) for name in self.figures}

    @property
    def memory(self) -> tuple[Array, ...]:
        """(count, ...) each: all that is kept of the episodes."""
        return *self.figures.values(), *(kept for gauge in self._gauges.values() for kept in gauge.memory)

    def begin(self, ids: Array, now: Reading) -> None:
        """Episodes start in the rows `ids`, which are as `now` says, one row per id."""
        for name, gauge in self._gauges.items():
            self.figures[name][ids] = 0.0
            gauge.begin(ids, now)

    def read(self, ids: Array, now: Reading) -> None:
        """Take in a control period of the rows `ids`.

        What is no number, because a simulation diverged, is passed over.
        """
        for name, gauge in self._gauges.items():
            self.figures[name][ids] = np.fmax(self.figures[name][ids], gauge.read(ids, now))

    def of(self, row: int) -> dict[str, float]:
        """The figures of one episode."""
        return {name: float(values[row]) for name, values in self.figures.items()}

    def costs(self) -> dict[str, Array]:
        """(count,) each, by the limit's name: what the figures cost so far, from 0, to 1 where a limit is broken."""
        found = {}
        for limit in self.limits:
            free, full = limit.charged or (0.0, 1.0)
            found[limit.name] = (np.clip(self.figures[limit.figure], free, full) - free) / (full - free)
        return found


class _Pressing:
    """For how long on end an episode has now pressed harder than the cell allows for long, s."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        long = cell.requirements.sustained_force
        assert long is not None
        self._force_N, self._period_s, self._for_s = long.force_N, cell.period_s, np.zeros(count)
        self.memory = (self._for_s,)

    def begin(self, ids: Array, now: Reading) -> None:
        """See `Gauge.begin`."""
        self._for_s[ids] = 0.0

    def read(self, ids: Array, now: Reading) -> Array:
        """See `Gauge.read`."""
        pressed = now.forces_N.max(axis=1) > self._force_N
        self._for_s[ids] = np.where(pressed, self._for_s[ids] + self._period_s, 0.0)
        return self._for_s[ids]


class _Impulse:
    """The integral of the contact force over the present contact, N s, at its largest within the period."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        hit = cell.requirements.contact_impulse_Ns
        assert hit is not None
        self._above_N, self._period_s, self._so_far = hit.above_N, cell.period_s, np.zeros(count)
        self.memory = (self._so_far,)

    def begin(self, ids: Array, now: Reading) -> None:
        """See `Gauge.begin`."""
        self._so_far[ids] = 0.0

    def read(self, ids: Array, now: Reading) -> Array:
        """See `Gauge.read`."""
        forces = now.forces_N
        touching, step_s = forces > self._above_N, self._period_s / forces.shape[1]
        grown = self._so_far[ids, None] + np.cumsum(np.where(touching, forces, 0.0), axis=1) * step_s
        ended = np.maximum.accumulate(np.where(touching, 0.0, grown), axis=1)  # what belongs to contacts before
        impulse = grown - ended
        self._so_far[ids] = impulse[:, -1]
        return impulse.max(axis=1)


class _ZoneSpeed:
    """The largest share of a speed zone's limit that the tool took."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        self._envelope, self._period_s, self._before = envelope, cell.period_s, np.zeros((count, 8, 3))
        self.memory = (self._before,)

    def begin(self, ids: Array, now: Reading) -> None:
        """See `Gauge.begin`."""
        self._before[ids] = tool_corners(self._envelope, now.tool)

    def read(self, ids: Array, now: Reading) -> Array:
        """See `Gauge.read`."""
        after = tool_corners(self._envelope, now.tool)
        use = zone_use(self._envelope, self._before[ids], after, self._period_s)
        self._before[ids] = after
        return use


class _IntoMargin:
    """How far a joint is in its margin, degrees."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        room = cell.requirements.joint_margin
        assert room is not None
        self._margin_deg = room.margin_deg
        self._lower, self._upper = joint_range(chain, load_hardware(cell.robot.hardware).position_limit_rad)
        self.memory = ()

    def begin(self, ids: Array, now: Reading) -> None:
        """See `Gauge.begin`."""

    def read(self, ids: Array, now: Reading) -> Array:
        """See `Gauge.read`."""
        room_rad = np.minimum(now.q_rad - self._lower, self._upper - now.q_rad).min(axis=1)
        return np.maximum(self._margin_deg - np.rad2deg(room_rad), 0.0)


class _Touch:
    """The force on what must never be touched, N."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, count: int) -> None:
        self.memory = ()

    def begin(self, ids: Array, now: Reading) -> None:
        """See `Gauge.begin`."""

    def read(self, ids: Array, now: Reading) -> Array:
        """See `Gauge.read`."""
        return now.touch_N


GAUGES: dict[str, Callable[[CellSpec, SerialChain, Envelope, int], Gauge]] = {
    "pressed_s": _Pressing,
    "impulse_Ns": _Impulse,
    "zone_speed": _ZoneSpeed,
    "into_margin_deg": _IntoMargin,
    "touch_N": _Touch,
}
