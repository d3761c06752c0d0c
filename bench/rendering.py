"""What the cameras of a cell cost, against MuJoCo's own renderer in a loop, and whether their pictures tell enough.

`python -m bench.rendering HOW` is one round of one way to draw, in a process of its own: OpenGL settles on its threads
when it is first used.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import mujoco
import numpy as np

from bench.measurements import Figure, at_least, at_most
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.sim.scenery import dress
from robot_rlaas.sim.seeing import SeeingBackend
from robot_rlaas.sim.shapes import mirror

CELL = "peg_insertion_camera"
FEW, MANY = 1, 64
WAYS = "batched", "plain", "plain_bare"
PICTURES, PERIODS, ROUNDS = 64, 30, 3
TRAINED, TESTED, BATCH, EPOCHS, RATE = 2000, 500, 32, 25, 3e-3


def speed() -> dict[str, Figure]:
    """Pictures of 96 x 96 pixels per second of one core, the best of rounds in turns; their share of a control step.

    Time is the processor's, of all threads together, so that other work on the machine hardly counts. The plain loop is
    `mujoco.Renderer` on the same dressed cell: as it comes, and without shadows and reflections.
    """
    rounds = [{how: _in_a_process(how) for how in WAYS} for _ in range(ROUNDS)]
    best = {how: {name: max(one[how][name] for one in rounds) for name in rounds[0][how]} for how in WAYS}
    batched = best["batched"]
    told = {f"render/{how}": Figure(best[how]["pictures_per_s"], "1/s", None, None) for how in WAYS[1:]}
    for count in (FEW, MANY):
        share = median(one["batched"][f"share_{count}"] for one in rounds)
        told[f"render/{count}"] = Figure(batched[f"pictures_per_s_{count}"], "1/s", None, None)
        told[f"render/share_of_step/{count}"] = Figure(share, "1", None, None)
    for how, goal in zip(WAYS[1:], (100.0, 10.0)):
        ratio = batched[f"pictures_per_s_{MANY}"] / best[how]["pictures_per_s"]
        told[f"render/{MANY}_over_{how}"] = at_least(ratio, "1", goal)
    return told


def _in_a_process(how: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.rendering", how]
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)


def _plain(bare: bool) -> dict[str, float]:
    cell = Cell.load(CELL)
    env = cell.env(MANY, Seeds(0, Space.SHOW))
    env.reset()
    model = dress(cell.workcell.spec).compile()
    data, at = mujoco.MjData(model), env.backend.poses()
    width, height = next(iter(cell.spec.cameras.values())).resolution_px
    with mujoco.Renderer(model, height, width) as renderer:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION) if bare else ():
            renderer.scene.flags[flag] = False
        start = time.process_time()
        for i in range(PICTURES // 2):
            mirror(model, data, at, i % MANY)
            mujoco.mj_camlight(model, data)
            for name in cell.spec.cameras:
                renderer.update_scene(data, f"camera/{name}")
                renderer.render()
        return {"pictures_per_s": PICTURES / (time.process_time() - start)}


def _batched() -> dict[str, float]:
    told = {}
    for count in (FEW, MANY):
        blind = _seconds_per_step(Cell.load(CELL).env(count, Seeds(0, Space.SHOW)))
        with _seeing(count) as (env, drawing_s):
            seeing = _seconds_per_step(env)
            pictures = len(env.cell.cameras) * count * (PERIODS + 1)
            told[f"pictures_per_s_{count}"] = pictures / sum(drawing_s)
            told[f"share_{count}"] = 1 - blind / seeing
    return told


@contextmanager
def _seeing(count: int) -> Iterator[tuple[BatchEnv, list[float]]]:
    """An environment that sees, and a list that gets the processor's seconds of all drawing."""
    drawing_s: list[float] = []
    with Cell.load(CELL).seeing_env(count, Seeds(0, Space.SHOW)) as env:
        assert isinstance(env.backend, SeeingBackend)
        painter = env.backend.painter
        paint = painter.paint

        def timed(*arguments):
            start = time.process_time()
            pictures = paint(*arguments)
            drawing_s.append(time.process_time() - start)
            return pictures

        painter.paint = timed
        yield env, drawing_s


def _seconds_per_step(env: BatchEnv) -> float:
    """Of the processor, with an arm that is told to stand still, so that no episode ends."""
    env.reset()
    action = np.zeros((env.nsim, env.contract.action_size))
    start = time.process_time()
    for _ in range(PERIODS):
        env.step(action)
    return (time.process_time() - start) / PERIODS


def readable() -> dict[str, Figure]:
    """How well a small network, trained on 2,000 starts, tells from one picture of each camera where the plate lies.

    Root mean square over 500 other starts, with everything varied that the cell varies, the cameras' poses included.
    """
    import torch

    pictures, plates = starts(TRAINED + TESTED)
    torch.manual_seed(0)
    scale = plates.std(axis=0)
    x = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).float() / 255 - 0.5
    y = torch.from_numpy(plates / scale).float()
    network = _network(pictures.shape[1])
    steps = EPOCHS * (TRAINED // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(TRAINED).split(BATCH)[: TRAINED // BATCH]:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        off = (network(x[TRAINED:]) - y[TRAINED:]).numpy() * scale
    x_mm, y_mm, yaw_deg = np.sqrt((off**2).mean(axis=0)).tolist()
    return {
        "render/readable/x": at_most(x_mm, "mm", 1.0),
        "render/readable/y": at_most(y_mm, "mm", 1.0),
        "render/readable/yaw": at_most(yaw_deg, "deg", 1.0),
    }


def starts(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, cameras, height, width, 3) of so many starts, and x, mm, y, mm, and yaw, deg, of the plates."""
    pictures, plates = [], []
    with Cell.load(CELL).seeing_env(MANY, Seeds(0, Space.SHOW)) as env:
        assert isinstance(env.backend, SeeingBackend)
        for _ in range(-(-count // MANY)):
            env.reset()
            pictures.append(np.stack(list(env.backend.pictures.values()), axis=1))
            plates.append(np.column_stack([1000 * env.draw.plate_xy_m, np.rad2deg(env.draw.plate_yaw_rad)]))
    return np.concatenate(pictures)[:count], np.concatenate(plates)[:count]


def _network(cameras: int):
    """Four convolutions for each camera, then two layers for all."""
    from torch import cat, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.eyes = nn.ModuleList(nn.Sequential(*_convolutions()) for _ in range(cameras))
            self.head = nn.Sequential(nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 3))

        def forward(self, x):
            return self.head(cat([eye(x[:, i]) for i, eye in enumerate(self.eyes)], dim=1))

    def _convolutions():
        for before, after, size in ((3, 16, 5), (16, 32, 3), (32, 32, 3), (32, 32, 3)):
            yield from (nn.Conv2d(before, after, size, stride=2, padding=size // 2), nn.ReLU())
        yield nn.Flatten()

    return Network()


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"render/speed": speed, "render/readable": readable}

if __name__ == "__main__":
    way = sys.argv[1]
    print(json.dumps(_batched() if way == "batched" else _plain(bare=way == "plain_bare")))
