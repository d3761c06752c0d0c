"""A film of one episode, run again alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.acting import env_for
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.render import Renderer, text_strip, write_video

WIDTH_PX, HEIGHT_PX, INSET_PX, STRIP_PX = 480, 360, 132, 26
HOLD_S = 1.0
STRIP, FRAME, CALM = (32, 36, 42), (110, 116, 124), (235, 238, 242)
FORCE, ALARM = (120, 180, 220), (255, 130, 110)


class Clip(NamedTuple):
    """A film and how the filmed episode ended: compare it with the outcome that was to be shown."""

    path: Path
    outcome: Outcome


def clip(
    cell: CellSpec,
    workcell: Workcell,
    policy: Policy,
    seeds: Seeds,
    episode: int,
    path: Path,
) -> Clip:
    """Run one episode again and film it: the hole close by, the whole cell in a corner, time, force and stage below.

    Args:
        policy: a fresh one, for one row.
        path: of the MP4.

    Raises:
        RenderingUnavailable: where there is no EGL.
    """
    outcomes: list[Outcome] = []
    near = Renderer(workcell, WIDTH_PX, HEIGHT_PX, shadows=False)
    far = Renderer(workcell, 2 * INSET_PX, INSET_PX * 3 // 2, shadows=False, smooth=False)  # shrunk, hence smooth
    with near, far:
        camera = _Camera(workcell, cell, near, far)
        with env_for(policy, cell, workcell, camera, seeds, first_episode=episode) as env:
            write_video(_frames(env, camera, policy, outcomes), path, round(cell.control.rate_hz))
    return Clip(path, outcomes[0])


def _frames(env: BatchEnv, camera: "_Camera", policy: Policy, outcomes: list[Outcome]) -> Iterator[np.ndarray]:
    """One frame per control period; the last one is held. Leaves the outcome in `outcomes`."""
    env.reset()
    env.tell(policy)
    policy.reset(np.zeros(1, dtype=np.int64))
    steps, limit_N = 0, env.cell.requirements.contact_force_N.limit
    while not outcomes:
        outcomes += env.step(policy.act(env.observation)).outcomes
        steps += 1
        stage = env.task.stages[outcomes[0].stage if outcomes else int(env.stage[0])]
        yield _write(camera.picture, steps * env.cell.period_s, camera.contact_N, limit_N, stage)
    last = _write(camera.picture, steps * env.cell.period_s, camera.contact_N, limit_N, _ending(env, outcomes[0]))
    for _ in range(round(HOLD_S * env.cell.control.rate_hz)):
        yield last


def _ending(env: BatchEnv, outcome: Outcome) -> str:
    return "success" if outcome.success else f"not done: got as far as {env.task.stages[outcome.stage]}"


class _Camera(CpuBackend):
    """One simulation, which takes a picture after every step, before the environment starts the next episode."""

    def __init__(self, workcell: Workcell, cell: CellSpec, near: Renderer, far: Renderer) -> None:
        super().__init__(workcell, cell, 1, nthread=1)
        self._near, self._far = near, far
        self.picture, self.contact_N = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8), 0.0

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """See `Backend.step`."""
        physics = super().step(setpoints_rad, opening)
        picture = Image.fromarray(self._near.draw(self, 0, "close"))
        wide = Image.fromarray(self._far.draw(self, 0, "cell"))
        inset = wide.reduce(2)
        picture.paste("white", (8, 8, inset.width + 12, inset.height + 12))
        picture.paste(inset, (10, 10))
        self.picture, self.contact_N = np.asarray(picture), float(physics.contact_N[0])
        return physics


def _write(picture: np.ndarray, time_s: float, contact_N: float, limit_N: float, stage: str) -> np.ndarray:
    """Time, contact force (a full bar is the cell's limit) and stage, on a strip below the picture."""
    alarm = contact_N > limit_N
    force = ALARM if alarm else CALM
    texts = [(10, f"{time_s:.2f} s", CALM), (76, f"{contact_N:.0f} N", force), (-10, stage, CALM)]
    image, top = Image.fromarray(picture), HEIGHT_PX - STRIP_PX
    image.paste(text_strip(WIDTH_PX, STRIP_PX, STRIP, texts), (0, top))
    pen, full = ImageDraw.Draw(image), 126 + round(min(contact_N / limit_N, 1.0) * 100)
    pen.rectangle((126, top + 10, 226, top + 16), outline=FRAME)
    pen.rectangle((126, top + 10, full, top + 16), fill=ALARM if alarm else FORCE)
    return np.asarray(image)
