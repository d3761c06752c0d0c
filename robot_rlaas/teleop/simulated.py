"""A simulated cell as a place to demonstrate in: one row, in real time."""

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.data.episode import start_of
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.place import Act, Period, Said
from robot_rlaas.sim.seeing import SeeingBackend


class Simulated:
    """See `Place`. A period that comes late is late, and none is left out.

    Args:
        env: of one row, and does not restart.
        clock: s, of the wall.

    Attributes:
        due_s: by the clock, when the next period is due.
    """

    def __init__(self, env: BatchEnv, clock: Callable[[], float]) -> None:
        self.env, self.cell, self.contract, self.stages = env, env.cell, env.contract, env.task.stages
        self.on_arm, self.pace, self.stopped, self.doing, self.remark = False, 1.0, False, "", ""
        self.outcome: Outcome | None = None
        self.due_s = 0.0
        self._clock, self._running, self._first = clock, False, True
        self._last_s = self._at_s = 0.0

    @property
    def seeds(self) -> Seeds:
        """See `Place`."""
        return self.env.seeds

    @property
    def observation(self) -> np.ndarray:
        """See `Place`."""
        return self.env.observation

    @property
    def frame(self) -> Pose:
        """See `Place`."""
        return self.env.frame

    @property
    def stage(self) -> int:
        """See `Place`."""
        return int(self.env.stage[0])

    @property
    def start(self) -> np.ndarray:
        """See `Place`."""
        return start_of(self.env.draw, self.cell)[0]

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """See `Place`."""
        backend = self.env.backend
        return {name: seen[0] for name, seen in backend.pictures.items()} if isinstance(backend, SeeingBackend) else {}

    @property
    def ready(self) -> bool:
        """See `Place`. It is as soon as it has begun."""
        return not self._running

    def tell(self, policy: Policy) -> None:
        """See `Place`."""
        self.env.tell(policy)

    def begin(self, number: int) -> None:
        """See `Place`."""
        self.env.reset(episode=number)
        self.outcome, self._running = None, False

    def go(self) -> None:
        """See `Place`."""
        self.due_s = self._last_s = self._clock()
        self._running, self._first, self._at_s = True, True, 0.0

    def clear(self) -> None:
        """See `Place`. There is none."""

    def wait(self, queue: SimpleQueue[Said]) -> Iterator[Said]:
        """See `Place`."""
        left_s = self._left_s if self._running else self.cell.period_s
        try:
            while True:
                yield queue.get(timeout=left_s) if left_s > 0 else queue.get_nowait()
                left_s = self._left_s if self._running else 0.0
        except Empty:
            pass

    @property
    def _left_s(self) -> float:
        return max(0.0, self.due_s - self._clock())

    def step(self, act: Act) -> Period | None:
        """See `Place`."""
        if not self._running:
            return None
        period_s, now_s = self.cell.period_s, self._clock()
        passed_s = self.pace * (now_s - self._last_s)
        late = not self._first and passed_s > 1.5 * period_s
        self.due_s = (now_s if late else self.due_s) + period_s / self.pace
        self._at_s += 0.0 if self._first else passed_s
        self._last_s, self._first = now_s, False
        observation, pictures = self.env.observation[0].copy(), self.pictures
        action = act(self.env.observation)
        step = self.env.step(action)
        if step.outcomes:
            self.outcome, self._running = step.outcomes[0], False
        return Period(observation, action[0], float(step.reward[0]), self._at_s, late, pictures)
