"""An arm as a place to demonstrate at: the cycle of a policy's node, with somebody's hand in the policy's place.

What is seen, in which frame, with which zero of the wrench, and what becomes of an action is that cycle's business: a
policy that learns from it sees on the arm what it saw here. No ROS object in here.
"""

from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.deploy.cycle import Cycle, Phase, Sensed
from robot_rlaas.deploy.plan import Station
from robot_rlaas.env.batch import Outcome
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.place import Act, Period, Said

SCORED_S = 0.5  # so long it is waited for the virtual arm's word on an attempt that is over


class Wire(Protocol):
    """What connects with the arm.

    Attributes:
        score: what the virtual arm says of its attempts (`Scorekeeper.to_json`); None where nobody keeps a score.
    """

    score: dict[str, Any] | None

    @property
    def stopped(self) -> str:
        """Why the supervisor lets nothing move; empty while it does."""
        ...

    @property
    def stepped_in(self) -> int:
        """How often the supervisor changed or refused something, so far."""
        ...

    def stepped_in_after(self, time_s: float) -> float:
        """When it first did so after that time, on the clock of the arm's stamps; infinite if it did not."""
        ...

    def listen(self) -> None:
        """Until the next beat, but not for long without one."""
        ...

    def take(self) -> Sensed | None:
        """What was sensed in the period that has just ended, once."""
        ...

    def send(self, target_rad: np.ndarray) -> None:
        """A joint target (k,) for the supervisor."""
        ...

    def next_part(self) -> None:
        """Ask for the next part."""
        ...

    def clear(self) -> None:
        """Ask the supervisor to end a stop."""
        ...


class OnArm:
    """See `Place`. Starts are numbered, but where parts lie is not for us to say.

    When an attempt is over the arm stands where it is, until the next `begin`: then it lifts the part, goes home, asks
    for the next one and zeroes the wrench.

    Args:
        station: the arm.
        wire: to it.
        scored: an attempt ends by the virtual arm's word, where there is one, and not by what was measured.

    Attributes:
        q_rad: (k,) where the joints were last.
    """

    def __init__(self, station: Station, wire: Wire, scored: bool = True) -> None:
        cell, arm = station.cell, (station.chain, station.limits.envelope)
        self.cell, self.contract, self.stages = cell, insertion.contract(cell), insertion.STAGES
        self.on_arm, self.pace = True, 1.0
        self.outcome: Outcome | None = None
        self.seeds, self.start, self.pictures = None, np.zeros(0), dict[str, np.ndarray]()
        self.frame = insertion.task_frame(cell, np.zeros((1, 2)), np.zeros(1))
        self.q_rad = np.deg2rad(np.array(cell.robot.home_deg))
        self._wire, self._act, self._scored = wire, _still, scored
        Cycle(cell, *arm, self, None, lambda: None).rehearse()
        self._cycle = Cycle(cell, *arm, self, None, wire.next_part, self._may)
        self._number, self._go, self._leave, self._running = 0, False, False, False
        self._trouble = ""
        self._verdict: Outcome | None = None
        self._done: tuple[np.ndarray, np.ndarray] | None = None
        self._steps, self._first_s, self._last_s = 0, 0.0, 0.0
        self._over_s, self._before = np.inf, 0

    @property
    def observation(self) -> np.ndarray:
        """See `Place`."""
        return self._cycle.observation

    @property
    def stage(self) -> int:
        """See `Place`. As measured."""
        return min(self._cycle.stage, len(self.stages) - 2)

    @property
    def ready(self) -> bool:
        """See `Place`."""
        return self._cycle.ready and not self._wire.stopped

    @property
    def doing(self) -> str:
        """See `Place`."""
        return self._wire.stopped or str(self._cycle.phase)

    @property
    def stopped(self) -> bool:
        """See `Place`."""
        return bool(self._wire.stopped)

    @property
    def remark(self) -> str:
        """See `Place`. What stopped the arm, or how often the supervisor changed or refused what was wanted."""
        times = self._wire.stepped_in - self._before
        return self._trouble or (f"the supervisor stepped in, {times} times" if times else "")

    @property
    def stopped_in_it(self) -> bool:
        """A stop ended the attempt."""
        return bool(self._trouble)

    @property
    def changed_after_s(self) -> float:
        """How long after the attempt's first observation the supervisor first changed something; infinite if never."""
        return self._wire.stepped_in_after(self._first_s) - self._first_s

    def tell(self, policy: Policy) -> None:
        """See `Place`. There is no truth to tell."""

    def begin(self, number: int) -> None:
        """See `Place`."""
        self._number, self.outcome, self._running, self._trouble = number, None, False, ""
        self._verdict, self._go, self._leave = None, False, True
        self._cycle.give_up()

    def go(self) -> None:
        """See `Place`."""
        self._go, self._leave, self._running = True, False, True
        self._steps, self._over_s, self._before = 0, np.inf, self._wire.stepped_in
        self._counted = len(self._cycle.results)

    def clear(self) -> None:
        """See `Place`."""
        if self._wire.stopped:
            self._wire.clear()

    def wait(self, queue: SimpleQueue[Said]) -> Iterator[Said]:
        """See `Place`."""
        self._wire.listen()
        try:
            while True:
                yield queue.get_nowait()
        except Empty:
            pass

    def hold(self) -> None:
        """The last target once more: whoever leaves says so."""
        if self._cycle.target is not None:
            self._wire.send(self._cycle.target)

    def step(self, act: Act) -> Period | None:
        """See `Place`."""
        if stopped := self._wire.stopped:
            self._stop(stopped)
        sensed = self._wire.take()
        if sensed is None or stopped:
            return None
        self.q_rad, self._act, self._done = sensed.q_rad, act, None
        self.frame = self.frame if sensed.plate is None else sensed.plate
        if self._verdict is None:
            self._judge(sensed.time_s)
        else:  # the arm was told to stand: nobody minds if storing an episode takes a while
            self.outcome, self._verdict = self._verdict, None
        self._wire.send(self._cycle.step(sensed))
        return self._period(sensed.time_s)

    def _period(self, time_s: float) -> Period | None:
        """What was done since `step` began, if the cycle asked for an action."""
        if self._done is None:
            return None
        late = self._steps > 0 and time_s - self._last_s > 1.5 * self.cell.period_s
        self._first_s = self._first_s if self._steps else time_s
        self._steps, self._last_s = self._steps + 1, time_s
        observation, action = self._done
        return Period(observation, action, 0.0, time_s, late, {})

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy`: the cycle asks for its action here."""
        action = self._act(observation)
        self._done = observation[0].copy(), action[0]
        return action

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy`."""

    def _may(self, phase: Phase) -> bool:
        return self._go if phase is Phase.RUN else self._leave

    def _stop(self, why: str) -> None:
        """What was begun is over, as a failure; once the stop is cleared the part is lifted."""
        if self._running:
            self._trouble, self.outcome = why, self._outcome(success=False)
            self._running = self._go = False
        self._cycle.give_up()
        self._cycle.stop()

    def _judge(self, time_s: float) -> None:
        """Whether the attempt is over, and how it ended, by the virtual arm's word or else by what was measured."""
        score = self._wire.score if self._scored else None
        told = score is not None and bool(score["ended"])
        if not self._running or not (told or len(self._cycle.results) > self._counted):
            return
        self._over_s = min(self._over_s, time_s)
        if score is None:
            self._end(self._outcome(self._cycle.results[-1].success))
        elif told or time_s > self._over_s + SCORED_S:
            self._end(self._outcome(score["current"]["success"], score["current"]))
            self._cycle.give_up()

    def _end(self, verdict: Outcome) -> None:
        self._verdict, self._running, self._go = verdict, False, False

    def _outcome(self, success: bool, scored: dict[str, Any] | None = None) -> Outcome:
        """In control periods from the first; forces are the virtual arm's, or else the wrist's."""
        time_s, never = self._steps * self.cell.period_s, float("inf")
        told = scored or {}
        return Outcome(
            episode=self._number,
            success=success,
            cycle_time_s=time_s if success else never,
            peak_force_N=max(told.get("peak_force_N", 0.0), 0.0 if success and told else self._cycle.peak_N),
            keep_out=told.get("keep_out", False),
            stage=len(self.stages) - 1 if success else self.stage,
            steps=self._steps,
            reward=0.0,
            stage_s=(never,) * (len(self.stages) - 1),
            peak_at_s=float("nan"),
        )


def _still(observation: np.ndarray) -> np.ndarray:
    return np.zeros((1, 4), np.float32)
