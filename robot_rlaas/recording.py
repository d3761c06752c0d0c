"""Demonstrations by people: a cell under an operator's hands, and a dataset that grows by what they keep."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode, start_axes
from robot_rlaas.data.lerobot import append_episode, read_dataset, warm_up, write_dataset
from robot_rlaas.data.lineage import Made, lineage_of, read_lineage
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.pipeline import Cell, Result, Watch
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.backends import seeing_backend_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.render import Renderer, RenderingUnavailable
from robot_rlaas.teleop.pilot import Pilot
from robot_rlaas.teleop.recorder import Poll, Recorder, run
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.starts import Starts

SPEED = 0.5  # to begin with
PICTURE_PX, VIEW = (320, 240), "cell"
PRIORITY = -10  # where the system allows it: other work on the machine must not make frames late


class Settings(NamedTuple):
    """What is recorded.

    Attributes:
        episodes: successes that are wanted.
        operator: who demonstrates.
        seed: of the starts.
        policy: as in `policies.load`: acts until the operator takes over.
        port: of the page; the next free one is taken.
        device, options: as in `teleop.devices.device`: moves the tool, beside the page.
        twist, domain_id: as in `teleop.twist.twists`: so does this.
    """

    episodes: int
    operator: str
    seed: int = 0
    policy: str | None = None
    port: int = 8080
    device: str | None = None
    options: tuple[str, ...] = ()
    twist: str | None = None
    domain_id: int | None = None


class Growing:
    """A dataset that grows by one episode at a time.

    Args:
        path: its directory; it is made when the first episode comes.
        cell: of every episode.
        made: how a new one comes about.

    Attributes:
        kept: the episodes that were there.

    Raises:
        InputError: if another dataset is there, or something else.
    """

    def __init__(self, path: Path, cell: CellSpec, made: Made) -> None:
        contract = contract_of(cell)
        self._path, self._lineage = path, lineage_of(cell, contract, start_axes(cell), made)
        sizes_px = {name: camera.resolution_px for name, camera in cell.cameras.items()}
        self._cameras = {name: (height, width) for name, (width, height) in sizes_px.items()}
        self.kept: list[Episode] = []
        if path.exists():
            if read_lineage(path).cell_hash != cell.hash:
                message = f"it holds episodes of another cell than {cell.name} as it is now"
                raise InputError(message, file=path, fix="name another --out, and merge what belongs together")
            self.kept = read_dataset(path, contract)

    def store(self, episode: Episode) -> None:
        """One more, on disk when this returns."""
        if self._path.exists():
            append_episode(self._path, episode)
        else:
            write_dataset(self._path, self._lineage, [episode], cameras=self._cameras)


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
    from robot_rlaas.policies import load

    made = Made(by="rlaas demos record", settings={"policy": settings.policy} if settings.policy else {})
    dataset = Growing(out, cell.spec, made)
    seeds = Seeds(settings.seed, Space.DEMONSTRATE)
    env = BatchEnv(cell.spec, cell.workcell, backend, seeds, restart=False)
    pilot = Pilot(cell.spec.control, env.contract)
    pilot.speed = SPEED
    policy = load(settings.policy, cell.spec, 1).policy if settings.policy else None
    session = Session(env, pilot, settings.operator, clock, policy)
    good = sum(episode.success for episode in dataset.kept)
    stored = (good, len(dataset.kept) - good)
    return Recorder(session, Starts(cell.spec, seeds, dataset.kept), stored, settings.episodes, dataset.store)


def record(reference: str, settings: Settings, out: Path, watch: Watch) -> Result:
    """Let somebody demonstrate on a page of this machine until Ctrl-C; what they keep is in `out`.

    Raises:
        InputError: if `out` holds another dataset, or something that is needed is not installed.
    """
    from robot_rlaas.teleop.page import Page
    from robot_rlaas.view.scene import Bodies, address, page_server

    cell = Cell.load(reference)
    watch.say("  loading LeRobot")
    warm_up()
    with suppress(PermissionError):
        os.nice(PRIORITY)
    with ExitStack() as stack:
        backend = stack.enter_context(simulation(cell))
        recorder = recorder_of(cell, backend, settings, out, time.monotonic)
        polls = [stack.enter_context(hand) for hand in _hands(settings, recorder.session)]
        pictures = stack.enter_context(_pictures(cell, recorder.session, watch))
        server = stack.enter_context(page_server(settings.port, cell.spec.name))
        page = Page(server, Bodies(server, recorder.session.env, "close"), recorder, pictures)
        watch.say(f"{address(server)} (Ctrl-C ends it)")
        run(recorder, page.wishes, lambda: chain.from_iterable(poll() for poll in polls), page.show, time.monotonic)
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

        yield twists(settings.twist, session.env.cell.control, settings.domain_id)


@contextmanager
def _pictures(cell: Cell, session: Session, watch: Watch) -> Iterator[Callable[[], dict[str, np.ndarray]]]:
    """What the cell's cameras see, or, where it has none and the machine can draw, the cell as a whole."""
    if cell.spec.cameras:
        yield lambda: session.pictures
        return
    with ExitStack() as stack:
        try:
            renderer = stack.enter_context(Renderer(cell.workcell, *PICTURE_PX, shadows=False, smooth=False))
        except RenderingUnavailable as error:
            watch.say(f"  no picture: {error}")
            yield dict
            return
        yield lambda: {VIEW: renderer.draw(session.env.backend, 0, VIEW)}
