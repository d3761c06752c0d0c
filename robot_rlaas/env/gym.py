"""A cell as Gymnasium sees it: one episode at a time, or many side by side."""

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.env.batch import BatchEnv, Outcome, Step
from robot_rlaas.env.pictures import Film, Observation, Sight
from robot_rlaas.env.spaces import action_space, observation_space
from robot_rlaas.sim.backends import CPU, seeing_backend_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build

Info = dict[str, Any]
Camera = Literal["cell", "close"]


class CellEnv(gymnasium.Env[Observation, np.ndarray]):
    """One arm in its cell, one episode at a time.

    Episode n of a seed is the same bits here, in row n of a `CellVectorEnv` and in a `BatchEnv`. `reset(seed=s)` starts
    episode 0 of the seed s, every `reset()` after it the next one, and `reset(options={"episode": n})` episode n.
    Without any seed, one is drawn.

    `terminated` is the task's own end, `truncated` the timeout or a simulation that diverged. Every step's info has
    `is_success`, `episode_number`, `stage` (the furthest so far, an index) and `reward_terms`; that of the last step
    also has `outcome`, the fields of `env.batch.Outcome` and its figures.

    Args:
        cell: a shipped name, the path of a cell file, or a loaded cell.
        render_mode: "rgb_array" for pictures from `render`.
        space: what the episodes are for, a name of `cell.seeds.Space`.
        camera: which one draws for `render`: the whole cell, or close to the task.
        size_px: (width, height) of its pictures.
        cameras: observe what the cell's own cameras see. The observation then is a dict: the vector under "state", and
            under each camera's name its picture (height, width, 3), uint8. Without, nothing is drawn or paid for.

    Raises:
        InputError: with file, line, value and what to do, if the cell cannot be used or a name is unknown.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        cell: str | CellSpec,
        *,
        render_mode: str | None = None,
        space: str = "TRAIN",
        camera: Camera = "cell",
        size_px: tuple[int, int] = (320, 240),
        cameras: bool = False,
    ) -> None:
        self.batch, self._space = _batch(cell, 1, 1, False, cameras), _space(space)
        self.observation_space = observation_space(self.batch.contract, self.batch.cell.cameras if cameras else {})
        self.action_space = action_space(self.batch.contract)
        self.render_mode, self.metadata = render_mode, _metadata(self.batch.cell)
        self._film, self._sight, self._running = Film(self.batch, camera, size_px), Sight(self.batch), False

    @property
    def task(self) -> str:
        """The cell's name."""
        return self.batch.cell.name

    @property
    def task_description(self) -> str:
        """The task in a sentence."""
        return self.batch.cell.description

    @property
    def _max_episode_steps(self) -> int:
        """Steps until the timeout, under the name that LeRobot and Gymnasium's TimeLimit use."""
        return self.batch.cell.horizon

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        """Start an episode -> observation (observation_size,) float32, or with pictures, and info.

        Raises:
            InputError: if options["episode"] is no episode's number.
            RenderingUnavailable: with cameras, where there is no EGL.
        """
        super().reset(seed=seed)
        episode = _first_episode(seed, options)
        self._sight.open()
        observation = self.batch.reset(Seeds(self.np_random_seed, self._space), episode)
        self._running = True
        return _first(self._sight.now(observation)), {"episode_number": int(self.batch.episode[0])}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, Info]:
        """Take an action (action_size,) in [-1, 1] for one control period -> Gymnasium's five.

        Raises:
            ResetNeeded: if no episode is running.
        """
        if not self._running:
            raise ResetNeeded("no episode is running: call reset()")
        step = self.batch.step(np.asarray(action)[None])
        done, truncated = bool(step.done[0]), bool(step.truncated[0])
        self._running = not done
        info = _info(self.batch, step, 0, step.outcomes[0] if done else None)
        observation = self._sight.last(step.observation, 0)
        return observation, float(step.reward[0]), done and not truncated, truncated, info

    def render(self) -> np.ndarray | None:
        """The cell as it is now, (height, width, 3) uint8 RGB; None without a render mode.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        return self._film.draw(0) if self.render_mode else None

    def close(self) -> None:
        """Free the OpenGL contexts, if there are any."""
        self._film.close()
        self._sight.close()


class CellVectorEnv(VectorEnv[Observation, np.ndarray, np.ndarray]):
    """`num_envs` arms in cells of their own, stepped together by one `BatchEnv`.

    A row whose episode ends starts the next one in the same step: its observation is the new episode's first, and the
    old one's last observation and info stand in `final_obs` and `final_info`. After `reset(seed=s)`, the rows run the
    episodes 0, 1, ... of the one seed s; `options={"episode": n}` lets them begin at episode n. Infos are as `CellEnv`
    has them, in Gymnasium's vector form.

    Args:
        num_envs: rows.
        cell, render_mode, space, camera, size_px, cameras: as in `CellEnv`.
        threads: of simulation and drawing; 0 takes all cores. Results do not depend on it.

    Raises:
        InputError: as `CellEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 20,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        cell: str | CellSpec,
        *,
        render_mode: str | None = None,
        space: str = "TRAIN",
        camera: Camera = "cell",
        size_px: tuple[int, int] = (320, 240),
        cameras: bool = False,
        threads: int = 0,
    ) -> None:
        self.num_envs, self._space = num_envs, _space(space)
        self.batch = _batch(cell, num_envs, threads, True, cameras)
        pictured = self.batch.cell.cameras if cameras else {}
        self.single_observation_space = observation_space(self.batch.contract, pictured)
        self.single_action_space = action_space(self.batch.contract)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self.metadata = _metadata(self.batch.cell) | {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._film, self._sight = Film(self.batch, camera, size_px), Sight(self.batch)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        """Start an episode in every row -> observations (num_envs, observation_size) float32, or with pictures, infos.

        Raises:
            InputError: if options["episode"] is no episode's number, or the seed not one number.
            RenderingUnavailable: with cameras, where there is no EGL.
        """
        if not (seed is None or isinstance(seed, int | np.integer)):
            raise InputError(f"seed={seed!r}: the rows are episodes of one seed", fix="give one number")
        super().reset(seed=seed)
        episode = _first_episode(seed, options)
        self._sight.open()
        observation = self.batch.reset(Seeds(self.np_random_seed or 0, self._space), episode)
        return self._sight.now(observation), self._told({"episode_number": self.batch.episode.copy()}, self._rows(True))

    def step(self, actions: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Take actions (num_envs, action_size) in [-1, 1] for one control period -> Gymnasium's five, batched."""
        step = self.batch.step(np.asarray(actions))
        infos = self._told({"episode_number": self.batch.episode.copy()}, self._rows(True))
        if not step.done.all():
            terms = {name: values.astype(float) for name, values in step.terms.items()}
            now = {"is_success": self._rows(False), "stage": self.batch.stage.copy(), "reward_terms": terms}
            infos |= self._told(now, ~step.done)
        for row, outcome in zip(step.rows.tolist(), step.outcomes):
            last = {
                "final_obs": self._sight.last(step.final_observation, row),
                "final_info": _info(self.batch, step, row, outcome),
            }
            infos = self._add_info(infos, last, row)
        return self._sight.now(step.observation), step.reward, step.done & ~step.truncated, step.truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """All cells as they are now, (height, width, 3) uint8 RGB each; None without a render mode.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        return tuple(self._film.draw(row) for row in range(self.num_envs)) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Free the OpenGL contexts, if there are any."""
        self._film.close()
        self._sight.close()

    def _rows(self, value: bool) -> np.ndarray:
        return np.full(self.num_envs, value)

    def _told(self, values: Info, rows: np.ndarray) -> Info:
        """Gymnasium's vector form: beside every entry, a mask of the rows (num_envs,) that have it."""
        told: Info = {}
        for name, value in values.items():
            told[name] = self._told(value, rows) if isinstance(value, dict) else value
            told[f"_{name}"] = rows.copy()
        return told


def _batch(cell: str | CellSpec, count: int, threads: int, restart: bool, cameras: bool) -> BatchEnv:
    spec = cell if isinstance(cell, CellSpec) else load_cell(str(cell))
    workcell = build(spec)
    sees = seeing_backend_of(CPU, workcell, spec, count, threads) if cameras else None
    backend = sees or CpuBackend(workcell, spec, count, threads)
    return BatchEnv(spec, workcell, backend, Seeds(0, Space.TRAIN), restart=restart)


def _first(observation: Observation) -> Observation:
    """The first row's."""
    if isinstance(observation, dict):
        return {name: rows[0] for name, rows in observation.items()}
    return observation[0]


def _space(name: str) -> Space:
    if name not in Space.__members__:
        raise InputError(f"space={name!r}; allowed are {', '.join(Space.__members__)}")
    return Space[name]


def _metadata(cell: CellSpec) -> Info:
    return CellEnv.metadata | {"render_fps": round(cell.control.rate_hz)}


def _first_episode(seed: int | None, options: Info | None) -> int | None:
    """The number to begin with; None goes on counting. Other options are other tools' own."""
    episode = (options or {}).get("episode", None if seed is None else 0)
    if episode is None:
        return None
    if not isinstance(episode, int | np.integer) or episode < 0:
        raise InputError(f'options["episode"] is {episode!r}', fix="give a whole number from 0")
    return int(episode)


def _info(batch: BatchEnv, step: Step, row: int, outcome: Outcome | None) -> Info:
    """One row's info, as it was before the row began its next episode."""
    info: Info = {
        "episode_number": int(batch.episode[row]),
        "is_success": False,
        "stage": int(batch.stage[row]),
        "reward_terms": {name: float(values[row]) for name, values in step.terms.items()},
    }
    if outcome is None:
        return info
    ended = {"episode_number": outcome.episode, "is_success": outcome.success, "stage": outcome.stage}
    return info | ended | {"outcome": outcome.flat}
