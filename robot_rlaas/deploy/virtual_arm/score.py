"""The score of an attempt, kept from the true geometry by whoever owns the simulation, never by the policy."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, SerialChain, tool_pose
from robot_rlaas.control.safety import Envelope, inside_keep_out
from robot_rlaas.env.gauges import Gauges, Reading
from robot_rlaas.env.insertion.task import part_tip, progress

AT_HOME_M = 0.001
STILL_M = 0.0001  # per tick
MOVED_M = 0.0005
HALF_A_TICK_S = 1e-3
CLEAR_M = 0.005


class Call(NamedTuple):
    """What is true of an attempt at one tick.

    Attributes:
        stage: an index into the task's stages.
        done, failed: the whole task is, or cannot be any more.
        keep_out: the tool is where it must not be now, besides the cell's keep-out boxes.
        clear: the next part can be laid.
    """

    stage: int
    done: bool
    failed: bool
    keep_out: bool
    clear: bool


class Truth(Protocol):
    """What decides about one attempt.

    Attributes:
        episode: its number in the seed space of deployments.
    """

    @property
    def episode(self) -> int:
        """See `Truth`."""
        ...

    def call(self, cell: CellSpec, tool: Pose) -> Call:
        """At this tick, with the tool at this true pose, one row."""
        ...


class Part(NamedTuple):
    """The true geometry of one insertion, one row: hole, and how the part sits in the hand."""

    episode: int
    hole: Pose
    hand_m: np.ndarray
    R_hand: np.ndarray

    def call(self, cell: CellSpec, tool: Pose) -> Call:
        """See `Truth.call`. Clear is a tip above the plate, by more than the noise of a contact."""
        tip = part_tip(tool, self.hand_m, self.R_hand, cell.task.part.length_mm / 1000)
        at = progress(cell, self.hole, tip)
        return Call(int(at.stage[0]), bool(at.done[0]), False, False, float(at.tip_m[0, 2]) > CLEAR_M)


class Attempt(NamedTuple):
    """How one attempt went.

    Attributes:
        episode: its number in the seed space of deployments.
        started: the tool left home.
        success: the task was done within its timeout.
        cycle_time_s: from leaving home to success; None without success.
        peak_force_N: largest contact force until success or timeout: what the cell's requirement is about.
        way_back_force_N: largest contact force after that, until the next part was called for.
        keep_out: the tool entered a keep-out box.
        stage: the furthest stage, an index into the task's stages.
        figures: until success or timeout, what the cell's further limits are about; see `env.gauges`.
    """

    episode: int
    started: bool
    success: bool
    cycle_time_s: float | None
    peak_force_N: float
    way_back_force_N: float
    keep_out: bool
    stage: int
    figures: dict[str, float]


class Scorekeeper:
    """Watches one arm tick by tick and keeps the books of its attempts."""

    def __init__(self, cell: CellSpec, chain: SerialChain, envelope: Envelope, part: Truth) -> None:
        self._cell, self._chain, self._envelope = cell, chain, envelope
        self._home_m = tool_pose(chain, np.deg2rad([cell.robot.home_deg])).p[0]
        self.closed: list[Attempt] = []
        self._gauges = Gauges(cell, chain, envelope, 1)
        self._ticks: list[tuple[float, float]] = []  # contact force and touch of the present control period, which
        self._began_s = 0.0  # began then
        self._before_m = self._home_m
        self._open(part)

    @property
    def current(self) -> Attempt:
        """The open attempt, as it stands."""
        return self._now

    @property
    def clear(self) -> bool:
        """The tool is out of the way of the next part."""
        return self._clear

    @property
    def ended(self) -> bool:
        """The open attempt succeeded, failed or ran out of time."""
        return self._ended

    def watch(self, time_s: float, q_rad: np.ndarray, contact_N: float, touch_N: float = 0.0) -> None:
        """Take in one tick.

        Args:
            time_s: now.
            q_rad: (k,) the true joint angles.
            contact_N: largest contact force since the last tick.
            touch_N: the same on what must never be touched.
        """
        tool = tool_pose(self._chain, q_rad[None])
        call = self._part.call(self._cell, tool)
        self._clear = call.clear
        self._start(time_s, tool.p[0])
        now = self._now
        keep_out = now.keep_out or call.keep_out or bool(inside_keep_out(self._envelope, tool)[0])
        if self._ended:
            now = now._replace(way_back_force_N=max(now.way_back_force_N, contact_N))
        else:
            self._ticks.append((contact_N, touch_N))
            self._gauge(time_s, q_rad, tool)
            now = now._replace(peak_force_N=max(now.peak_force_N, contact_N), figures=self._gauges.of(0))
        self._now = now._replace(keep_out=keep_out)
        if not now.started or self._ended:
            return
        elapsed_s = time_s - self._started_s
        self._now = self._now._replace(stage=max(now.stage, call.stage))
        if call.failed or elapsed_s > self._cell.task.timeout_s:
            self._ended = True
        elif call.done:
            self._ended = True
            self._now = self._now._replace(success=True, cycle_time_s=elapsed_s)

    def _gauge(self, time_s: float, q_rad: np.ndarray, tool: Pose) -> None:
        """At the end of a control period, and at first: let the gauges read it, as they do in simulation."""
        if self._began_s and time_s < self._began_s + self._cell.period_s - HALF_A_TICK_S:
            return
        forces, touches = np.array(self._ticks).T
        read = self._gauges.read if self._began_s else self._gauges.begin
        read(np.arange(1), Reading(forces[None], touches.max(keepdims=True), q_rad[None], tool))
        self._ticks.clear()
        self._began_s = time_s

    def next(self, part: Truth) -> Attempt:
        """Close the open attempt and open one for `part`. An attempt that never started counts as a failure."""
        self.closed.append(self._now)
        self._open(part)
        return self.closed[-1]

    def to_json(self) -> dict[str, Any]:
        """The closed attempts and the open one."""
        return {"attempts": [a._asdict() for a in self.closed], "current": self._now._asdict(), "ended": self._ended}

    def _open(self, part: Truth) -> None:
        self._part = part
        self._now = Attempt(part.episode, False, False, None, 0.0, 0.0, False, 0, {})
        self._ended, self._started_s, self._began_s = False, 0.0, 0.0
        self._ticks.clear()
        self._rest_m: np.ndarray | None = None
        self._clear = False

    def _start(self, time_s: float, tool_m: np.ndarray) -> None:
        """The clock starts when the tool leaves the place near home where it stood still."""
        moved = np.linalg.norm(tool_m - self._before_m)
        self._before_m = tool_m
        if self._now.started:
            return
        if np.linalg.norm(tool_m - self._home_m) < AT_HOME_M and moved < STILL_M:
            self._rest_m = tool_m
        elif self._rest_m is not None and np.linalg.norm(tool_m - self._rest_m) > MOVED_M:
            self._now, self._started_s = self._now._replace(started=True), time_s
