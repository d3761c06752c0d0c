"""One attempt at a time, under an operator's hands: started, stepped in real time, judged, taken or left."""

from datetime import UTC, datetime
from enum import Enum

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.data.episode import Episode, episode_of
from robot_rlaas.env.batch import Outcome
from robot_rlaas.env.place import Period, Place
from robot_rlaas.teleop.pilot import Pilot

FIRST = np.zeros(1, np.int64)  # the only row


class Phase(Enum):
    """PREPARING a start, which takes an arm a while; READY at it, RECORDING, or ENDED by the task's own verdict."""

    PREPARING = "preparing"
    READY = "ready"
    RECORDING = "recording"
    ENDED = "ended"


class Session:
    """Attempts at a place, period by period.

    Args:
        place: where they happen.
        pilot: turns what the operator wants into actions.
        operator: who it is.
        policy: acts unless the operator has taken over; without one, the operator does everything.

    Attributes:
        phase: see `Phase`.
        taken_over: the operator acts, not the policy.
        outcome: how the attempt ended, if it has.
        overruled: that is what the operator says, not the task's own verdict.
    """

    def __init__(self, place: Place, pilot: Pilot, operator: str, policy: Policy | None = None) -> None:
        self.place, self.pilot, self._operator, self._policy = place, pilot, operator, policy
        self.phase, self.taken_over = Phase.PREPARING, policy is None
        self.outcome: Outcome | None = None
        self.overruled = False
        if policy is not None:
            place.tell(policy)
        self._periods: list[Period] = []
        self._corrected: list[bool] = []
        self._peak_N = 0.0
        self._recorded_at = ""

    @property
    def elapsed_s(self) -> float:
        """Time in the task since the start."""
        return len(self._periods) * self.place.cell.period_s

    @property
    def felt_N(self) -> float:
        """The force that the wrist feels now, as a policy sees it."""
        return float(np.linalg.norm(self.place.contract.unpack(self.place.observation)["force"][0]))

    @property
    def peak_N(self) -> float:
        """The largest of this attempt."""
        return self._peak_N

    @property
    def late(self) -> int:
        """How many periods of this attempt came late."""
        return sum(period.late for period in self._periods)

    @property
    def has_policy(self) -> bool:
        """There is a policy to take over from."""
        return self._policy is not None

    def ready(self, number: int) -> None:
        """Go to the start of an episode, whatever was before."""
        self.place.begin(number)
        self.phase, self.outcome, self.overruled = Phase.PREPARING, None, False
        self.taken_over = self._policy is None
        if self._policy is not None:
            self._policy.reset(FIRST)
        self._periods.clear()
        self._corrected.clear()
        self._peak_N = 0.0
        self._stand()

    def record(self) -> None:
        """Begin."""
        self.phase = Phase.RECORDING
        self.place.go()
        self._recorded_at = datetime.now(UTC).isoformat(timespec="seconds")

    def take_over(self) -> None:
        """The operator acts from now on, beginning where the tool is."""
        if not self.taken_over:
            self.taken_over = True
            self.pilot.start(self.place.observation, self.place.frame)

    def release(self) -> None:
        """The policy, if there is one, acts from now on."""
        self.taken_over = self._policy is None

    def overrule(self) -> None:
        """The operator knows better how the attempt ended; said twice, it was right after all."""
        if self.outcome is not None:
            success, time_s = not self.outcome.success, self.outcome.steps * self.place.cell.period_s
            cycle_time_s = time_s if success else float("inf")
            self.outcome = self.outcome._replace(success=success, cycle_time_s=cycle_time_s)
            self.overruled = not self.overruled

    def step(self) -> None:
        """What is to be done now, which in an attempt is one control period."""
        period = self.place.step(self._action)
        if period is not None:
            self._periods.append(period)
            self._corrected.append(self.has_policy and self.taken_over)
            self._peak_N = max(self._peak_N, self.felt_N)
        if self.phase in (Phase.PREPARING, Phase.READY):
            self._stand()
        elif self.phase is Phase.RECORDING and self.place.outcome is not None:
            self.outcome, self.phase = self.place.outcome, Phase.ENDED

    def _stand(self) -> None:
        """At the start, once and as long as that is so."""
        if not self.place.ready:
            self.phase = Phase.PREPARING
        elif self.phase is Phase.PREPARING:
            self.phase = Phase.READY
            self.pilot.start(self.place.observation, self.place.frame)

    def _action(self, observation: np.ndarray) -> np.ndarray:
        """(1, action_size), float32 and within bounds: what the file will hold is what is done."""
        if self._policy is None or self.taken_over:
            return self.pilot.act(observation, self.place.frame)
        return np.clip(np.nan_to_num(self._policy.act(observation)), -1.0, 1.0).astype(np.float32)

    def episode(self) -> Episode:
        """The attempt that has ended."""
        place, periods = self.place, self._periods
        frames = [(p.observation, p.action, p.action, np.array(p.reward)) for p in periods]
        made = episode_of(frames, self.outcome, place.start, place.cell.period_s, place.seeds)
        return made._replace(
            stamp_s=np.array([p.stamp_s - periods[0].stamp_s for p in periods]),
            late=np.array([p.late for p in periods]),
            corrected=np.array(self._corrected),
            operator=self._operator,
            recorded_at=self._recorded_at,
            pictures={name: np.array([p.pictures[name] for p in periods]) for name in place.pictures} or None,
        )
