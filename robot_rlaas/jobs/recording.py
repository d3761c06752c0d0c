"""Demonstrations by people: a cell under an operator's hands, and a dataset that grows by what they keep."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.episode import start_axes
from robot_rlaas.data.lerobot import warm_up
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.jobs.growing import Growing, Settings, come_first, made_by, recorder_at
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.jobs.recording_arm import at_arm
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.backends import seeing_backend_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.render import Renderer, RenderingUnavailable
from robot_rlaas.sim.shapes import Shown
from robot_rlaas.teleop.recorder import Poll, Recorder, run
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.simulated import Simulated
from robot_rlaas.teleop.starts import Starts

PICTURE_PX, VIEW = (320, 240), "cell"


@contextmanager
def simulation(cell: Cell) -> Iterator[Backend]:
    """One simulation, which takes the pictures of the cell's cameras if it has any.

    Raises:
        InputError: if it has, and this machine cannot draw.
    """
    if not cell.spec.cameras:
        yield CpuBackend(cell.workcell, cell.spec, 1, nthread=1)
        return
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(seeing_backend_of("cpu", cell.workcell, cell.spec, 1, threads=1))
        except RenderingUnavailable as error:
            raise InputError(f"the cell '{cell.spec.name}' has cameras, and there is {error}") from error
        yield backend


def recorder_of(cell: Cell, backend: Backend, settings: Settings, out: Path, clock: Callable[[], float]) -> Recorder:
    """A recorder that stores into `out`, on top of what is there; `backend` is the cell's `simulation`."""
    dataset = Growing(out, cell.spec, made_by(settings), start_axes(cell.spec))
    seeds = Seeds(settings.seed, Space.DEMONSTRATE)
    place = Simulated(BatchEnv(cell.spec, cell.workcell, backend, seeds, restart=False), clock)
    return recorder_at(place, settings, dataset, Starts(cell.spec, seeds, dataset.kept, settings.starts))


@contextmanager
def _in_simulation(cell: Cell, settings: Settings, out: Path) -> Iterator[tuple[Recorder, Shown]]:
    with simulation(cell) as backend:
        recorder = recorder_of(cell, backend, settings, out, time.monotonic)
        assert isinstance(recorder.session.place, Simulated)
        yield recorder, recorder.session.place.env


def record(reference: str, settings: Settings, out: Path, watch: Watch) -> Result:
    """Let somebody demonstrate on a page of this machine until Ctrl-C; what they keep is in `out`.

    Raises:
        InputError: if `out` holds another dataset, or something that is needed is not installed.
        DeploymentError: if a process of the arm ends.
    """
    from robot_rlaas.teleop.page import Page
    from robot_rlaas.view.scene import Bodies, address, page_server

    if settings.arm and settings.starts:
        raise InputError("an arm's starts are not chosen: parts lie where they were put", fix="leave out --starts")
    cell = Cell.load(reference)
    watch.say("  loading LeRobot")
    warm_up()
    come_first()
    with ExitStack() as stack:
        where = at_arm(cell, settings, out, watch) if settings.arm else _in_simulation(cell, settings, out)
        recorder, shown = stack.enter_context(where)
        polls = [stack.enter_context(hand) for hand in _hands(settings, recorder.session)]
        pictures = stack.enter_context(_pictures(cell, recorder.session, shown, watch))
        server = stack.enter_context(page_server(settings.port, cell.spec.name))
        page = Page(server, Bodies(server, shown, "close"), recorder, pictures)
        watch.say(f"{address(server)} (Ctrl-C ends it)")
        run(recorder, page.wishes, lambda: chain.from_iterable(poll() for poll in polls), page.show)
    stored = recorder.successes + recorder.failures
    text = f"{recorder.successes} of {settings.episodes} wanted successes"
    return Result(f"{out}: {stored} episodes, {text}" if stored else "nothing was kept")


def _hands(settings: Settings, session: Session) -> Iterator[AbstractContextManager[Poll]]:
    """What moves the tool beside the page."""
    if settings.device:
        from robot_rlaas.teleop.devices import device

        yield device(settings.device, settings.options, session)
    if settings.twist:
        from robot_rlaas.teleop.twist import twists

        yield twists(settings.twist, session.place.cell.control, settings.domain_id)


@contextmanager
def _pictures(
    cell: Cell, session: Session, shown: Shown, watch: Watch
) -> Iterator[Callable[[], dict[str, np.ndarray]]]:
    """What the cell's cameras see, or, where it has none and the machine can draw, the cell as a whole."""
    if cell.spec.cameras:
        yield lambda: session.place.pictures
        return
    with ExitStack() as stack:
        try:
            renderer = stack.enter_context(Renderer(cell.workcell, *PICTURE_PX, shadows=False, smooth=False))
        except RenderingUnavailable as error:
            watch.say(f"  no picture: {error}")
            yield dict
            return
        yield lambda: {VIEW: renderer.draw(shown.backend, 0, VIEW)}
