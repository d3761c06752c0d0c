"""A cell as Gymnasium sees it: one episode at a time, or many side by side."""

from contextlib import ExitStack
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
from robot_rlaas.env.spaces import contract_spaces
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.render import Renderer

Info = dict[str, Any]
Camera = Literal["cell", "close"]


class CellEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One arm in its cell, one episode at a time.

    Episode n of a seed is the same bits here, in row n of a `CellVectorEnv` and in a `BatchEnv`. `reset(seed=s)` starts
    episode 0 of the seed s, every `reset()` after it the next one, and `reset(options={"episode": n})` episode n.
    Without any seed, one is drawn.

    `terminated` is the task's own end, `truncated` the timeout or a simulation that diverged. Every step's info has
    `is_success`, `episode_number`, `stage` (the furthest so far, an index) and `reward_terms`; that of the last step
    also has `outcome`, the fields of `env.batch.Outcome`.

    Args:
        cell: a shipped name, the path of a cell file, or a loaded cell.
        render_mode: "rgb_array" for pictures from `render`.
        space: what the episodes are for, a name of `cell.seeds.Space`.
        camera: which one draws: the whole cell, or close to the task.
        size_px: (width, height) of its pictures.

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
    ) -> None:
        self.batch, self._space = _batch(cell, 1, 1, restart=False), _space(space)
        self.observation_space, self.action_space = contract_spaces(self.batch.contract)
        self.render_mode, self.metadata = render_mode, _metadata(self.batch.cell)
        self._camera, self._running = _Camera(self.batch, camera, size_px), False

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

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Start an episode -> observation (observation_size,) float32 and info.

        Raises:
            InputError: if options["episode"] is no episode's number.
        """
        super().reset(seed=seed)
        episode = _first_episode(seed, options)
        observation = self.batch.reset(Seeds(self.np_random_seed, self._space), episode)
        self._running = True
        return observation[0].copy(), {"episode_number": int(self.batch.episode[0])}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
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
        return step.observation[0].copy(), float(step.reward[0]), done and not truncated, truncated, info

    def render(self) -> np.ndarray | None:
        """The cell as it is now, (height, width, 3) uint8 RGB; None without a render mode.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        return self._camera.draw(0) if self.render_mode else None

    def close(self) -> None:
        """Free the OpenGL context, if there is one."""
        self._camera.close()


class CellVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`num_envs` arms in cells of their own, stepped together by one `BatchEnv`.

    A row whose episode ends starts the next one in the same step: its observation is the new episode's first, and the
    old one's last observation and info stand in `final_obs` and `final_info`. After `reset(seed=s)`, the rows run the
    episodes 0, 1, ... of the one seed s; `options={"episode": n}` lets them begin at episode n. Infos are as `CellEnv`
    has them, in Gymnasium's vector form.

    Args:
        num_envs: rows.
        cell, render_mode, space, camera, size_px: as in `CellEnv`.
        threads: of the simulation; 0 takes all cores. Results do not depend on it.

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
        threads: int = 0,
    ) -> None:
        self.num_envs, self._space = num_envs, _space(space)
        self.batch = _batch(cell, num_envs, threads, restart=True)
        self.single_observation_space, self.single_action_space = contract_spaces(self.batch.contract)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self.metadata = _metadata(self.batch.cell) | {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._camera = _Camera(self.batch, camera, size_px)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        """Start an episode in every row -> observations (num_envs, observation_size) float32 and infos.

        Raises:
            InputError: if options["episode"] is no episode's number, or the seed not one number.
        """
        if not (seed is None or isinstance(seed, int | np.integer)):
            raise InputError(f"seed={seed!r}: the rows are episodes of one seed", fix="give one number")
        super().reset(seed=seed)
        episode = _first_episode(seed, options)
        observation = self.batch.reset(Seeds(self.np_random_seed or 0, self._space), episode)
        return observation.copy(), self._told({"episode_number": self.batch.episode.copy()}, self._rows(True))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Take actions (num_envs, action_size) in [-1, 1] for one control period -> Gymnasium's five, batched."""
        step = self.batch.step(np.asarray(actions))
        infos = self._told({"episode_number": self.batch.episode.copy()}, self._rows(True))
        if not step.done.all():
            terms = {name: values.astype(float) for name, values in step.terms.items()}
            now = {"is_success": self._rows(False), "stage": self.batch.stage.copy(), "reward_terms": terms}
            infos |= self._told(now, ~step.done)
        for row, outcome in zip(step.rows.tolist(), step.outcomes):
            last = {
                "final_obs": step.final_observation[row].copy(),
                "final_info": _info(self.batch, step, row, outcome),
            }
            infos = self._add_info(infos, last, row)
        return step.observation.copy(), step.reward, step.done & ~step.truncated, step.truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """All cells as they are now, (height, width, 3) uint8 RGB each; None without a render mode.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        return tuple(self._camera.draw(row) for row in range(self.num_envs)) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Free the OpenGL context, if there is one."""
        self._camera.close()

    def _rows(self, value: bool) -> np.ndarray:
        return np.full(self.num_envs, value)

    def _told(self, values: Info, rows: np.ndarray) -> Info:
        """Gymnasium's vector form: beside every entry, a mask of the rows (num_envs,) that have it."""
        told: Info = {}
        for name, value in values.items():
            told[name] = self._told(value, rows) if isinstance(value, dict) else value
            told[f"_{name}"] = rows.copy()
        return told


class _Camera:
    """Draws the simulations of a batch. The OpenGL context is opened with the first picture."""

    def __init__(self, batch: BatchEnv, camera: str, size_px: tuple[int, int]) -> None:
        self._batch, self._camera, self._open = batch, camera, ExitStack()
        self._closed_renderer = Renderer(batch.workcell, *size_px, shadows=False)
        self._renderer: Renderer | None = None

    def draw(self, row: int) -> np.ndarray:
        if self._renderer is None:
            self._renderer = self._open.enter_context(self._closed_renderer)
        backend = self._batch.backend
        assert isinstance(backend, CpuBackend)
        return self._renderer.draw(backend, row, self._camera)

    def close(self) -> None:
        self._open.close()
        self._renderer = None


def _batch(cell: str | CellSpec, count: int, threads: int, restart: bool) -> BatchEnv:
    spec = cell if isinstance(cell, CellSpec) else load_cell(str(cell))
    workcell = build(spec)
    backend = CpuBackend(workcell, spec, count, threads)
    return BatchEnv(spec, workcell, backend, Seeds(0, Space.TRAIN), restart=restart)


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
    return info | ended | {"outcome": outcome._asdict()}
