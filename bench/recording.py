"""What recording costs beside the simulation."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.measurements import CELL, Figure, at_most
from robot_rlaas.data.lerobot import warm_up
from robot_rlaas.jobs.growing import Settings
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.recording import recorder_of, simulation
from robot_rlaas.teleop.page import Page
from robot_rlaas.teleop.recorder import Recorder, Wish
from robot_rlaas.teleop.session import Phase
from robot_rlaas.view.scene import Bodies, page_server

EPISODES, PORT = 20, 18700


class Timed:
    """A function, and how long each call of it took, s."""

    def __init__(self, function: Callable) -> None:
        self._function, self.seconds = function, []

    def __call__(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        result = self._function(*arguments)
        self.seconds.append(time.perf_counter() - began)
        return result


def record_cost() -> dict[str, Figure]:
    """Milliseconds per state frame beside the simulation, medians: to note it, to show it; and to keep an episode."""
    warm_up()
    cell = Cell.load(CELL)
    with TemporaryDirectory() as folder, page_server(PORT, CELL) as server, simulation(cell) as backend:
        settings = Settings(EPISODES, "bench", policy="expert")
        recorder = recorder_of(cell, backend, settings, Path(folder) / "demos", time.monotonic)
        env = recorder.session.place.env
        page = Page(server, Bodies(server, env), recorder, dict)
        env.step = simulated = Timed(env.step)
        noted, shown, kept = _episodes(recorder, page)
    return {
        "record_cost/frame": at_most(1000 * median(a - b for a, b in zip(noted, simulated.seconds)), "ms", 1.0),
        "record_cost/page": Figure(1000 * median(shown), "ms", None, None),
        "record_cost/keep": Figure(1000 * median(kept), "ms", None, None),
    }


def _episodes(recorder: Recorder, page: Page) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each step and of each time the page is brought up to date, and of each episode but the first."""
    step, show, keep = Timed(recorder.session.step), Timed(page.show), Timed(recorder.do)
    for _ in range(EPISODES):
        recorder.do(Wish("record"))
        while recorder.session.phase == Phase.RECORDING:
            step()
            show()
        keep(Wish("keep"))
    return step.seconds, show.seconds, keep.seconds[1:]


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"record_cost": record_cost}
