"""One recorded attempt, and how to record many at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec

SCRIPTED = "scripted"  # the operator of what no person led
START_AXES = (  # of an insertion
    *("plate_x_m", "plate_y_m", "plate_yaw_rad"),
    *("bias_x_m", "bias_y_m", "bias_yaw_rad"),
    *("hand_x_m", "hand_y_m", "hand_z_m", "hand_rx_rad", "hand_ry_rad", "hand_rz_rad"),
)


class Episode(NamedTuple):
    """One attempt of T control periods.

    Attributes:
        number: in its seed space.
        observation: (T, observation_size) before each action.
        action: (T, action_size) what the demonstrator wanted.
        executed: (T, action_size) what was done, with any noise that was injected.
        reward: (T,).
        success: by the task's own predicate.
        peak_force_N: largest contact force.
        start: (len(start_axes(cell)),) the episode's true start; no policy sees it. Empty where nobody knows it.
        stamp_s: (T,) when each observation was made, since the first.
        late: (T,) bool: the observation came more than half a period late.
        corrected: (T,) bool: an operator had taken over from a policy.
        seeds: the sequence that the start was drawn from: with the number, enough to simulate it again.
        operator: who demonstrated.
        recorded_at: when, ISO 8601; None for what a script makes again at any time.
        pictures: what each camera saw (T, height, width, 3) uint8, while it is recorded; not read back with the rest.
    """

    number: int
    observation: np.ndarray
    action: np.ndarray
    executed: np.ndarray
    reward: np.ndarray
    success: bool
    peak_force_N: float
    start: np.ndarray
    stamp_s: np.ndarray
    late: np.ndarray
    corrected: np.ndarray
    seeds: Seeds | None = None
    operator: str = SCRIPTED
    recorded_at: str | None = None
    pictures: dict[str, np.ndarray] | None = None

    def take(self, frames: slice) -> "Episode":
        """The same with these frames only."""
        per_frame = ("observation", "action", "executed", "reward", "stamp_s", "late", "corrected")
        return self._replace(**{name: getattr(self, name)[frames] for name in per_frame})


def record(
    env: Any,
    policy: Policy,
    count: int,
    noise: float,
    rng: np.random.Generator,
    on_episode: Callable[[], None],
    driver: Policy | None = None,
) -> list[Episode]:
    """Record `count` episodes of a batched environment under a policy with injected noise: see `attempts`.

    Args:
        env: a BatchEnv.
        policy: the demonstrator, with one row per row of the environment.
        count: episodes; the first `count` numbers of the environment's seed space, whatever order they end in.
        noise: largest standard deviation, as a fraction of the action's range.
        rng: for the noise alone.
        on_episode: called as each one ends.
        driver: acts in the demonstrator's place, who then only says what it would have done.

    Returns:
        The episodes in order of their numbers.
    """
    env.reset()
    first, done = int(env.episode.min()), {}
    for episode, _ in attempts(env, policy, noise, rng, driver):
        if episode.number < first + count:
            done[episode.number] = episode
            on_episode()
        if len(done) == count:
            break
    return [done[number] for number in sorted(done)]


def attempts(
    env: Any, policy: Policy, noise: float, rng: np.random.Generator, driver: Policy | None = None
) -> Iterator[tuple[Episode, Any]]:
    """Episodes of a batched environment that was just reset, and their outcomes, as they end, for ever.

    Noise makes the demonstrator show how to recover from its own mistakes (DART, arXiv 1703.09327). Its strength
    differs per row, from none to `noise`, and it is correlated over about 0.2 s. The arguments are those of `record`.
    """
    observation = env.observation
    env.tell(policy)
    policy.reset(np.arange(env.nsim))
    sigma, drift = rng.uniform(0.0, noise, (env.nsim, 1)), np.zeros((env.nsim, env.contract.action_size))
    open_rows: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(env.nsim)]
    starts = start_of(env.draw, env.cell).copy()
    while True:
        action = policy.act(observation)
        drift = 0.8 * drift + 0.6 * rng.standard_normal(drift.shape)
        driven = action if driver is None else driver.act(observation)
        executed = np.clip(driven + sigma * drift, -1.0, 1.0).astype(np.float32)  # what the file will hold
        seen = observation.copy()
        step = env.step(executed)
        for row in range(env.nsim):
            open_rows[row].append((seen[row], action[row], executed[row], step.reward[row]))
        for row, outcome in zip(step.rows, step.outcomes):
            yield episode_of(open_rows[row], outcome, starts[row], env.cell.period_s, env.seeds), outcome
            open_rows[row] = []
        policy.reset(step.rows)
        if len(step.rows):
            starts[step.rows] = start_of(env.draw.take(step.rows), env.cell)
        observation = step.observation


def start_axes(cell: CellSpec) -> tuple[str, ...]:
    """What the columns of `start_of` are called."""
    return tuple(cell.task.start_ranges) if isinstance(cell.task, HandlingTask) else START_AXES


def start_of(draw: Any, cell: CellSpec) -> np.ndarray:
    """The start of each drawn episode (n, len(start_axes(cell)))."""
    if isinstance(cell.task, HandlingTask):
        return draw.start
    columns = (
        draw.plate_xy_m,
        draw.plate_yaw_rad[:, None],
        draw.bias_xy_m,
        draw.bias_yaw_rad[:, None],
        draw.hand_m,
        draw.hand_rad,
    )
    return np.concatenate(columns, axis=1)


def episode_of(
    steps: Sequence[tuple[np.ndarray, ...]], outcome: Any, start: np.ndarray, period_s: float, seeds: Seeds | None
) -> Episode:
    """An episode in time, from (observation, action, executed, reward) per frame and how it ended."""
    observation, action, executed, reward = (np.array(column, dtype=np.float32) for column in zip(*steps))
    count = len(action)
    return Episode(
        number=outcome.episode,
        observation=observation,
        action=action,
        executed=executed,
        reward=reward,
        success=outcome.success,
        peak_force_N=outcome.peak_force_N,
        start=start.copy(),
        stamp_s=np.arange(count) * period_s,
        late=np.zeros(count, dtype=bool),
        corrected=np.zeros(count, dtype=bool),
        seeds=seeds,
    )
