"""Cells as LeRobot's environment type `rlaas`: `lerobot-eval --env.type=rlaas --env.task=peg_insertion`.

LeRobot imports installed distributions whose name starts with `lerobot_env_`. Ours is in `distribution/` and does no
more than to import this module.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import freeze_after_episode_end
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_IMAGES, OBS_STATE

from robot_rlaas.cell.cameras import STATE
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.env.gym import CellEnv
from robot_rlaas.env.pictures import Observation
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.sim.render import RenderingUnavailable

SEEN = {"agent_pos": (OBS_STATE, FeatureType.STATE), "environment_state": (OBS_ENV_STATE, FeatureType.ENV)}
PIXELS = "pixels"
BLANK = np.zeros((64, 64, 3), np.uint8)


@EnvConfig.register_subclass("rlaas")
@dataclass
class RlaasEnvConfig(EnvConfig):
    """One cell. `fps` and `features` follow from its file.

    Attributes:
        task: a shipped name, or the path of a cell file.
        space: what the episodes are for, a name of `cell.seeds.Space`. LeRobot's seed s is episode 0 of the seed s.
        films: whether there is something to see on the films that `lerobot-eval` makes.
        cameras: whether policies get the pictures of the cell's cameras, as observation.images.NAME.
    """

    task: str | None = "peg_insertion"
    space: str = "VALIDATE"
    films: bool = True
    cameras: bool = False

    def __post_init__(self) -> None:
        cell = load_cell(str(self.task))
        agreed = contract_of(cell)
        self.fps = round(agreed.rate_hz)
        self.features = {ACTION: PolicyFeature(FeatureType.ACTION, (agreed.action_size,))}
        self.features |= {name: PolicyFeature(kind, (agreed.observation_size,)) for name, (_, kind) in SEEN.items()}
        self.features_map = {ACTION: ACTION} | {name: key for name, (key, _) in SEEN.items()}
        for name, camera in cell.cameras.items() if self.cameras else ():
            shape = (*camera.resolution_px[::-1], 3)
            self.features[f"{PIXELS}/{name}"] = PolicyFeature(FeatureType.VISUAL, shape)
            self.features_map[f"{PIXELS}/{name}"] = f"{OBS_IMAGES}.{name}"

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Arguments of `CellEnv`."""
        seen = {"cameras": self.cameras, "space": self.space}
        return {"cell": str(self.task), "render_mode": "rgb_array", **seen}

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, VectorEnv]]:
        """`n_envs` cells, in processes of their own if `use_async_envs` -> {"rlaas": {0: the vector environment}}.

        A cell whose episode has ended waits for LeRobot's next rollout: LeRobot steps it until the last one has ended.
        """
        makers = [freeze_after_episode_end(partial(make_env, self.films, **self.gym_kwargs))] * n_envs
        if use_async_envs and n_envs > 1:
            vector = AsyncVectorEnv(makers, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP)
        else:
            vector = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        return {self.type: {0: vector}}


def make_env(films: bool, **settings: Any) -> "LeRobotCell":
    """A cell for LeRobot; `settings` are those of `CellEnv`."""
    return LeRobotCell(CellEnv(**settings), films)


class LeRobotCell(gymnasium.ObservationWrapper):
    """A cell whose observation vector LeRobot's policies see as their state, and as the environment's state.

    It is the same vector twice: ACT needs an image or the environment's state beside the robot's, and a policy that
    needs only one of them is given only that. Pictures stand under "pixels", by their cameras' names.
    """

    def __init__(self, env: CellEnv, films: bool) -> None:
        super().__init__(env)
        self._cell, self._films = env, films
        seen, group = env.observation_space, gymnasium.spaces.Dict
        self.observation_space = group(_renamed(seen.spaces if isinstance(seen, group) else {STATE: seen}, group))

    def observation(self, observation: Observation) -> dict[str, Any]:
        """The vector (observation_size,), and pictures, under LeRobot's names."""
        return _renamed(observation if isinstance(observation, dict) else {STATE: observation}, dict)

    def render(self) -> np.ndarray | None:
        """A picture (height, width, 3), uint8: black without films.

        Raises:
            InputError: where there is no EGL.
        """
        if not self._films:
            return BLANK
        try:
            return self._cell.render()
        except RenderingUnavailable as error:
            raise InputError(f"lerobot-eval films episodes: {error}", fix="or pass --env.films=false") from error


def _renamed(seen: dict[str, Any], group: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """What is observed, or its spaces, under LeRobot's names; `group` makes one of the pictures."""
    renamed = {name: copy(seen[STATE]) for name in SEEN}
    pictures = {name: value for name, value in seen.items() if name != STATE}
    return renamed | {PIXELS: group(pictures)} if pictures else renamed
