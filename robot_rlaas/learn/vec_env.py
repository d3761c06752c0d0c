"""The batched environment as stable-baselines3's VecEnv."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.spaces import action_space, observation_space
from robot_rlaas.learn.finite import check_step


class BatchVecEnv(VecEnv):
    """All rows of a BatchEnv as one VecEnv.

    Attributes:
        on_outcome: hears of every episode that ends.
        term_sums: the reward's named terms, summed over rows and steps until somebody clears them.
        taken: (n, horizon, action_size) the actions of the present episodes, from their starts: see `BatchEnv.rejoin`.
    """

    render_mode = None

    def __init__(self, env: BatchEnv) -> None:
        self.env = env
        self.on_outcome: Callable[[Outcome], object] = lambda outcome: None
        super().__init__(env.nsim, observation_space(env.contract, {}), action_space(env.contract))
        self._action = np.zeros((env.nsim, env.contract.action_size), dtype=np.float32)
        self.taken = np.zeros((env.nsim, env.cell.horizon, env.contract.action_size), dtype=np.float32)
        self.term_sums: dict[str, float] = {}

    def reset(self) -> np.ndarray:
        """Start new episodes in all rows."""
        return self.env.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Note the actions for `step_wait`."""
        self._action = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step, in SB3's shape: infos carry the final observation and SB3's own episode record.

        Raises:
            NotFinite: if something of it is no number.
        """
        self.taken[np.arange(self.num_envs), self.env.steps] = self._action
        episode = self.env.episode.copy()
        step = self.env.step(self._action)
        check_step(self.env, step, episode)
        for name, values in step.terms.items():
            self.term_sums[name] = self.term_sums.get(name, 0.0) + float(values.sum())
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, outcome in zip(step.rows, step.outcomes):
            infos[row] = {
                "terminal_observation": step.final_observation[row],
                "TimeLimit.truncated": bool(step.truncated[row]),
                "episode": {"r": outcome.reward, "l": outcome.steps, "t": 0.0},
                "is_success": outcome.success,
            }
            self.on_outcome(outcome)
        return step.observation, step.reward.astype(np.float32), step.done, infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same attribute of the one environment, for each index."""
        return [getattr(self, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: rows share one environment."""
        raise NotImplementedError("rows of a batch share one environment; set the attribute on it")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refused: rows share one environment."""
        raise NotImplementedError("rows of a batch share one environment; call it directly")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Never wrapped."""
        return [False] * len(list(self._get_indices(indices)))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Episodes are seeded where the BatchEnv is made."""
        return [None] * self.num_envs
