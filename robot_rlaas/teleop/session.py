"""One attempt at a time, under an operator's hands: started, stepped in real time, judged, taken or left."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.data.episode import Episode, simulated, start_of
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.sim.seeing import SeeingBackend
from robot_rlaas.teleop.pilot import Pilot

FIRST = np.zeros(1, np.int64)  # the environment's only row


class Phase(Enum):
    """READY at a start, RECORDING, or ENDED by the task's own verdict."""

    READY = "ready"
    RECORDING = "recording"
    ENDED = "ended"


class Session:
    """One row of a simulated cell in real time. A period that comes late is late, and none is left out.

    Args:
        env: of one row, and does not restart.
        pilot: turns what the operator wants into actions.
        operator: who it is.
        clock: s, of the wall.
        policy: acts unless the operator has taken over; without one, the operator does everything.

    Attributes:
        phase: see `Phase`.
        pace: simulated seconds per second.
        due_s: by the clock, when the next period is due.
        taken_over: the operator acts, not the policy.
        late: how many periods of this attempt came late.
        outcome: how the attempt ended, if it has.
    """

    def __init__(
        self, env: BatchEnv, pilot: Pilot, operator: str, clock: Callable[[], float], policy: Policy | None = None
    ) -> None:
        self.env, self.pilot, self._operator, self._clock, self._policy = env, pilot, operator, clock, policy
        self.phase, self.pace, self.due_s = Phase.READY, 1.0, 0.0
        self.taken_over, self.late = policy is None, 0
        self.outcome: Outcome | None = None
        if policy is not None:
            env.tell(policy)
        self._pictures: dict[str, list[np.ndarray]] = {}
        self._frames: list[tuple[np.ndarray, ...]] = []
        self._stamp_s: list[float] = []
        self._late: list[bool] = []
        self._corrected: list[bool] = []
        self._recorded_at = ""

    @property
    def elapsed_s(self) -> float:
        """Simulated time since the start."""
        return len(self._frames) * self.env.cell.period_s

    @property
    def has_policy(self) -> bool:
        """There is a policy to take over from."""
        return self._policy is not None

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """What each of the cell's cameras saw last (height, width, 3) uint8."""
        backend = self.env.backend
        return {name: seen[0] for name, seen in backend.pictures.items()} if isinstance(backend, SeeingBackend) else {}

    def ready(self, number: int) -> None:
        """Stand at the start of an episode, whatever was before."""
        self.env.reset(episode=number)
        self._start = start_of(self.env.draw, self.env.cell)[0].copy()
        self.phase, self.outcome, self.late = Phase.READY, None, 0
        self.taken_over = self._policy is None
        if self._policy is not None:
            self._policy.reset(FIRST)
        self.pilot.start(self.env.observation, self.env.task.frame)
        self._pictures = {name: [] for name in self.pictures}
        for frames in (self._frames, self._stamp_s, self._late, self._corrected):
            frames.clear()

    def record(self) -> None:
        """Begin."""
        self.phase, self.due_s = Phase.RECORDING, self._clock()
        self._last_s = self.due_s
        self._recorded_at = datetime.now(UTC).isoformat(timespec="seconds")

    def take_over(self) -> None:
        """The operator acts from now on, beginning where the tool is."""
        if not self.taken_over:
            self.taken_over = True
            self.pilot.start(self.env.observation, self.env.task.frame)

    def release(self) -> None:
        """The policy, if there is one, acts from now on."""
        self.taken_over = self._policy is None

    def step(self) -> None:
        """One control period, now."""
        period_s = self.env.cell.period_s
        now_s = self._clock()
        passed_s = self.pace * (now_s - self._last_s)
        late = len(self._frames) > 0 and passed_s > 1.5 * period_s
        self.late += late
        self.due_s = (now_s if late else self.due_s) + period_s / self.pace
        self._last_s = now_s
        observation = self.env.observation[0].copy()
        for name, taken in self.pictures.items():
            self._pictures[name].append(taken)
        action = self._action()
        step = self.env.step(action)
        self._frames.append((observation, action[0], action[0], step.reward[0]))
        self._stamp_s.append(self._stamp_s[-1] + passed_s if self._stamp_s else 0.0)
        self._late.append(late)
        self._corrected.append(self.has_policy and self.taken_over)
        if step.outcomes:
            self.outcome, self.phase = step.outcomes[0], Phase.ENDED

    def _action(self) -> np.ndarray:
        """(1, action_size), float32 and within bounds: what the file will hold is what is done."""
        observation = self.env.observation
        if self._policy is None or self.taken_over:
            return self.pilot.act(observation, self.env.task.frame)
        return np.clip(np.nan_to_num(self._policy.act(observation)), -1.0, 1.0).astype(np.float32)

    def episode(self) -> Episode:
        """The attempt that has ended."""
        made = simulated(self._frames, self.outcome, self._start, self.env.cell.period_s, self.env.seeds)
        return made._replace(
            stamp_s=np.array(self._stamp_s),
            late=np.array(self._late),
            corrected=np.array(self._corrected),
            operator=self._operator,
            recorded_at=self._recorded_at,
            pictures={name: np.array(taken) for name, taken in self._pictures.items()} or None,
        )
