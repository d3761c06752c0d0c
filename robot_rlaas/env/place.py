"""Where somebody demonstrates: what a simulated cell and an arm have in common."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from robot_rlaas.cell.contract import Contract, Policy
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.env.batch import Outcome

Act = Callable[[np.ndarray], np.ndarray]  # an observation (1, observation_size) to an action (1, action_size)
Said = TypeVar("Said")


class Period(NamedTuple):
    """One control period of an attempt.

    Attributes:
        observation: (observation_size,) before the action.
        action: (action_size,) what was wanted, and given to the controller.
        reward: of the action; 0 where nobody can tell.
        stamp_s: when the observation was made, on a clock that goes on for the whole attempt.
        late: it came more than half a period late.
        pictures: what each camera saw then (height, width, 3) uint8.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: float
    stamp_s: float
    late: bool
    pictures: dict[str, np.ndarray]


class Place(Protocol):
    """One attempt after another, in real time. `step` is called after every `wait`.

    Attributes:
        cell, contract: what is done there, and what the vectors mean.
        stages: of the task.
        on_arm: it is no simulation: time has one pace, a stop may have to be cleared, a verdict may be wrong.
        pace: simulated seconds per second.
        outcome: how the attempt ended, by the task's own verdict; None until then.
    """

    cell: CellSpec
    contract: Contract
    stages: tuple[str, ...]
    on_arm: bool
    pace: float
    outcome: Outcome | None

    @property
    def seeds(self) -> Seeds | None:
        """The sequence that starts are drawn from; None where nobody draws them."""
        ...

    @property
    def observation(self) -> np.ndarray:
        """(1, observation_size) what was seen last."""
        ...

    @property
    def frame(self) -> Pose:
        """The frame that actions are given in, as observed, one row."""
        ...

    @property
    def stage(self) -> int:
        """The furthest stage of the attempt, an index into `stages`."""
        ...

    @property
    def start(self) -> np.ndarray:
        """The attempt's true start; empty where nobody knows it."""
        ...

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """What each of the cell's cameras saw last (height, width, 3) uint8."""
        ...

    @property
    def ready(self) -> bool:
        """An attempt can begin."""
        ...

    @property
    def doing(self) -> str:
        """What happens until then."""
        ...

    @property
    def stopped(self) -> bool:
        """Nothing moves until somebody clears a stop."""
        ...

    @property
    def remark(self) -> str:
        """What else there is to say of the attempt; empty if nothing."""
        ...

    def tell(self, policy: Policy) -> None:
        """See `BatchEnv.tell`."""
        ...

    def begin(self, number: int) -> None:
        """Leave what was and go to a start: that of this number, where they can be chosen."""
        ...

    def go(self) -> None:
        """The attempt begins with the coming period."""
        ...

    def clear(self) -> None:
        """Clear a stop of the arm."""
        ...

    def wait(self, queue: SimpleQueue[Said]) -> Iterator[Said]:
        """Hand on what comes until a period is due, or, between attempts, for about as long."""
        ...

    def step(self, act: Act) -> Period | None:
        """What is to be done now. In an attempt that is one period of it, and `act` is asked for the action."""
        ...
