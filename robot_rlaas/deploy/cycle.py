"""What a policy's node does, period by period: lift, home, zero the wrench, run the policy, lift, home, next part.

No ROS object in here and no clock: `step` gets what was sensed in a period and returns the joint target of the next.
"""

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from robot_rlaas.bundle import Bundle
from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolController, ToolState
from robot_rlaas.control.joint_path import JointPath, path_to
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.handling import Handling
from robot_rlaas.deploy.job import AfterStop, Insertion, Job, Sensed
from robot_rlaas.env.gauges import Gauges, Reading
from robot_rlaas.env.tasks import contract_of

AT_HOME_RAD = 0.01
SETTLE_S = 0.4  # at home, before the wrench is zeroed
TARE_S = 0.3
RELIEF = 0.15  # of the sideways lead, per period of a lift
NO_ROTATION = np.eye(3)[None]


class Phase(StrEnum):
    """Where in its cycle the arm is."""

    WAIT = "waiting for a part"
    LIFT = "lifting"
    HOME = "homing"
    TARE = "zeroing the wrench"
    RUN = "running the policy"
    FINISHED = "finished"


class Acted(NamedTuple):
    """What the policy saw, (observation_size,), and did, (action_size,), in one period of an attempt."""

    seen: np.ndarray
    action: np.ndarray


class Result(NamedTuple):
    """One attempt as the policy's side saw it: by measured depth, wrist force and its own clock.

    `figures` are those of the cell's further limits, as far as they can be measured on an arm.
    """

    success: bool
    cycle_time_s: float | None
    peak_force_N: float
    figures: dict[str, float]


class Cycle:
    """`attempts` cycles of a policy on one arm. Call `step` once per control period.

    Args:
        cell: the cell.
        chain, envelope: of the arm.
        policy: acts on batches of one.
        attempts: how many cycles; None for ever.
        next_part: called when the arm is home and wants the next part; the plate's pose must be None from then on until
            the new part's pose is known.
        may: asked in every period in which it would go on to RUN, or to LIFT after an attempt; until it says yes, the
            arm stands.

    Attributes:
        phase: where it is.
        results: of the attempts that were brought to an end.
        observation: (1, observation_size) what was seen last, at home or in an attempt.
        acted: what the policy saw and did in the period that begins now; None where it was not asked.
        peak_N: the largest wrist force of the attempt.
    """

    def __init__(
        self,
        cell: CellSpec,
        chain: SerialChain,
        envelope: Envelope,
        policy: Policy,
        attempts: int | None,
        next_part: Callable[[], None],
        may: Callable[[Phase], bool] = lambda phase: True,
    ) -> None:
        self.cell, self.phase, self.results = cell, Phase.WAIT, list[Result]()
        self._policy, self._attempts, self._next_part = policy, attempts, next_part
        self._may = may
        self._job = job_of(cell, chain, envelope)
        self._contract = self._job.contract
        self._controller = ToolController(chain, cell.control, envelope, 1, self._job.upright)
        self._home = np.deg2rad(np.array(cell.robot.home_deg))
        self._target: np.ndarray | None = None
        self._steps, self._attempted, self._interrupted = 0, False, False
        self._since_s, self._now_s = 0.0, 0.0
        self._way: list[np.ndarray] = []  # joint angles to pass on the way home
        self._path: JointPath | None = None
        self._tare: deque[np.ndarray] = deque(maxlen=round(TARE_S / cell.period_s))
        self._zero, self._action = np.zeros(6), np.zeros((1, self._contract.action_size))
        self.observation = np.zeros((1, self._contract.observation_size), np.float32)
        self.acted: Acted | None = None
        self.peak_N = 0.0
        self._gauges = Gauges(cell, chain, envelope, 1)

    def step(self, sensed: Sensed) -> np.ndarray:
        """The joint target (k,) for the period that begins now."""
        held, self.acted = self._target, None
        self._job.sense(sensed)
        if held is None:
            self._begin_again(sensed)
            held = sensed.q_rad
        self._now_s = sensed.time_s
        tool = self._controller.state(sensed.q_rad[None])
        target = {
            Phase.WAIT: self._wait,
            Phase.LIFT: self._lift,
            Phase.HOME: self._go_home,
            Phase.TARE: self._zero_wrench,
            Phase.RUN: self._run,
            Phase.FINISHED: lambda *_: None,
        }[self.phase](sensed, tool)
        self._target = held if target is None else target
        return self._target

    @property
    def target(self) -> np.ndarray | None:
        """The target given last: sending it again holds the arm."""
        return self._target

    @property
    def stage(self) -> int:
        """The furthest of the attempt, as measured; an index into the task's stages."""
        return self._job.stage

    @property
    def grip(self) -> float | None:
        """How far the gripper is to be open, from 0 to 1; None where nothing is told to it."""
        return self._job.grip

    @property
    def machines(self) -> np.ndarray | None:
        """(moving fixtures,) where vises are to go, from 0, closed, to 1, open; None where there is none."""
        return self._job.machines

    @property
    def finished(self) -> bool:
        """All attempts were made and the arm is home."""
        return self.phase is Phase.FINISHED

    @property
    def ready(self) -> bool:
        """At home, with the wrench zeroed: an attempt can begin."""
        return self.phase is Phase.TARE and len(self._tare) == self._tare.maxlen

    def rehearse(self, steps: int = 50) -> None:
        """Go through the motions at home, so that everything is loaded before it counts. Spoils this cycle."""
        sensed = self._job.rehearsal()
        self._controller.reset(self._home[None])
        for _ in range(steps):
            tool = self._controller.state(self._home[None])
            self._run(sensed, tool)
            self._lift(sensed, tool)

    def stop(self) -> None:
        """Leave off; `step` begins again from wherever the arm stands then: with a lift, or in the attempt."""
        after = self._job.after_stop() if self.phase is Phase.RUN else AfterStop.ANEW
        self._interrupted |= after is AfterStop.ON
        if after is AfterStop.FAILED:
            self._end(False, self._now_s)
        if after is not AfterStop.ON and not self.finished:
            self._enter(Phase.WAIT, 0.0)
        self._target = self.acted = None

    def give_up(self) -> None:
        """End an attempt, also one that has not begun, without a result: the next part is the next thing."""
        if self.phase in (Phase.TARE, Phase.RUN):
            self._attempted = True
            self._enter(Phase.LIFT, 0.0)

    def _begin_again(self, sensed: Sensed) -> None:
        """From where the arm stands. The time that it stood for is not the attempt's."""
        self._controller.reset(sensed.q_rad[None])
        if self._interrupted:
            self._since_s += sensed.time_s - self._now_s
            self._interrupted = False

    def _enter(self, phase: Phase, time_s: float) -> None:
        self.phase, self._since_s = phase, time_s

    def _wait(self, sensed: Sensed, tool: ToolState) -> None:
        if self._job.knows(sensed):
            self._enter(Phase.LIFT, sensed.time_s)

    def _lift(self, sensed: Sensed, tool: ToolState) -> np.ndarray | None:
        """Straight up until nothing is in the way home; sideways pressure is let go of."""
        if self._attempted and not self._may(Phase.LIFT):
            return None
        speed = self._job.lift(sensed, tool)
        if not speed:
            self._enter(Phase.HOME, sensed.time_s)
            self._way, self._path = self._job.way_home(sensed.q_rad), None
            return None
        step_m, step_rad = self.cell.control.step_mm / 1000, np.deg2rad(self.cell.control.step_deg)
        relief_m, relief_rad = -RELIEF * tool.lead[:, :2], -RELIEF * tool.lead[:, 5:]
        action = np.concatenate([relief_m / step_m, [[speed]], relief_rad / step_rad], axis=1)
        return self._controller.command(action, tool, NO_ROTATION).target_rad[0]

    def _go_home(self, sensed: Sensed, tool: ToolState) -> np.ndarray | None:
        """By all points of the way, one path after another; each begins when nothing will be in its way."""
        if self._path is None:
            path = path_to(self._controller, self._way[0])
            if not self._job.free(path.targets):
                return None
            self._path = path
        target = self._path.next()
        if target is not None:
            return target
        there, self._path = self._way.pop(0), None
        self._controller.reset(there[None])
        if self._way:
            return there
        if self._attempted and len(self.results) == self._attempts:
            self._next_part()
            self._enter(Phase.FINISHED, sensed.time_s)
        elif self._attempted:
            self._attempted = False
            self._next_part()
            self._enter(Phase.WAIT, sensed.time_s)
        else:
            self._tare.clear()
            self._job.begin()
            self._enter(Phase.TARE, sensed.time_s)
        return self._home

    def _zero_wrench(self, sensed: Sensed, tool: ToolState) -> None:
        """At standstill, so that only weight and sensor bias are left in the reading."""
        if np.abs(sensed.q_rad - self._home).max() > AT_HOME_RAD:
            self._enter(Phase.TARE, sensed.time_s)
            self._tare.clear()
        elif sensed.time_s - self._since_s >= SETTLE_S:
            self._tare.append(sensed.wrench)
        if not self.ready:
            return
        self._zero = np.mean(self._tare, axis=0)
        self._action, self.peak_N, self._steps = np.zeros_like(self._action), 0.0, 0
        self._job.begin()
        self._see(sensed, tool)
        if self._may(Phase.RUN):
            self._gauges.begin(np.arange(1), _reading(0.0, sensed, tool))
            self._policy.reset(np.arange(1))
            self._enter(Phase.RUN, sensed.time_s + self.cell.period_s)

    def _run(self, sensed: Sensed, tool: ToolState) -> np.ndarray | None:
        wrench = (sensed.wrench - self._zero)[None]
        force_N = float(np.linalg.norm(wrench[0, :3]))
        self.peak_N = max(self.peak_N, force_N)
        self._gauges.read(np.arange(1), _reading(force_N, sensed, tool))
        self._see(sensed, tool)
        elapsed_s = sensed.time_s - self._since_s
        if self._job.done or elapsed_s > self.cell.task.timeout_s:
            self._end(self._job.done, elapsed_s)
            self._enter(Phase.LIFT, sensed.time_s)
            return self._lift(sensed, tool)
        self._steps += 1
        action = self._policy.act(self.observation)
        self._action = np.clip(np.nan_to_num(action), -1.0, 1.0)
        self._job.act(self._action)
        self.acted = Acted(self.observation[0], self._action[0])
        return self._controller.command(action, tool, self._job.R).target_rad[0]

    def _end(self, done: bool, elapsed_s: float) -> None:
        """The attempt is over."""
        figures = {limit.figure: self._gauges.of(0)[limit.figure] for limit in self._gauges.limits if limit.on_arm}
        self.results.append(Result(done, elapsed_s if done else None, self.peak_N, figures))
        self._attempted = True

    def _see(self, sensed: Sensed, tool: ToolState) -> None:
        wrench = (sensed.wrench - self._zero)[None]
        self.observation = self._contract.pack(self._job.look(sensed, tool, wrench, self._action, self._steps))


def _reading(force_N: float, sensed: Sensed, tool: ToolState) -> Reading:
    return Reading(np.array([[force_N]]), np.zeros(1), sensed.q_rad[None], tool.measured)


def job_of(cell: CellSpec, chain: SerialChain, envelope: Envelope) -> Job:
    """What the cell's kind of task asks of an arm."""
    return Handling(cell, chain, envelope) if isinstance(cell.task, HandlingTask) else Insertion(cell)


def cycle_of(
    bundle: Bundle,
    attempts: int,
    next_part: Callable[[], None],
    watched: Callable[[Policy], Policy] = lambda policy: policy,
) -> Cycle:
    """The cycle of a bundle's policy in its cell, warmed up. `watched` gets the policy and returns what acts for it.

    Raises:
        InputError: if the bundle's contract is not what this version's task means by its cell.
    """
    if bundle.contract != contract_of(bundle.cell):
        raise InputError(
            "the bundle's contract is not that of its task in this version of robot_rlaas",
            file=bundle.path / "contract.json",
            fix=f"install robot_rlaas {bundle.manifest['versions']['robot_rlaas']}, or train and bundle again",
        )
    policy, arm = bundle.policy(), (bundle.cell, bundle.chain, bundle.envelope)
    Cycle(*arm, policy, attempts, next_part).rehearse()
    return Cycle(*arm, watched(policy), attempts, next_part)
