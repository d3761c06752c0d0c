"""Demonstrations by people: a cell under an operator's hands, and a dataset that grows by what they keep."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode, start_axes
from robot_rlaas.data.lerobot import append_episode, read_dataset, warm_up, write_dataset
from robot_rlaas.data.lineage import Made, lineage_of, read_lineage
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.place import Place
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.backends import seeing_backend_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.render import Renderer, RenderingUnavailable
from robot_rlaas.sim.shapes import Shown
from robot_rlaas.teleop.pilot import Pilot
from robot_rlaas.teleop.recorder import Order, Poll, Recorder, run
from robot_rlaas.teleop.session import Session
from robot_rlaas.teleop.simulated import Simulated
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
        arm, plant, line: as in `deploy.run.deploy`, to record at an arm; without one, in simulation.
        starts: numbers of starts that come before all others; an arm has none.
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
    arm: str | None = None
    plant: str = "ur5e_worn"
    starts: tuple[int, ...] = ()
    line: Line = AS_THE_PROFILE_SAYS


class Growing:
    """A dataset that grows by one episode at a time.

    Args:
        path: its directory; it is made when the first episode comes.
        cell: of every episode.
        made: how a new one comes about.
        start_axes: as in the lineage.

    Attributes:
        kept: the episodes that were there.

    Raises:
        InputError: if another dataset is there, or something else.
    """

    def __init__(self, path: Path, cell: CellSpec, made: Made, start_axes: tuple[str, ...]) -> None:
        contract = contract_of(cell)
        self._path, self._lineage = path, lineage_of(cell, contract, start_axes, made)
        sizes_px = {name: camera.resolution_px for name, camera in cell.cameras.items()}
        self._cameras = {name: (height, width) for name, (width, height) in sizes_px.items()}
        self.kept: list[Episode] = []
        if path.exists():
            there = read_lineage(path)
            if there.cell_hash != cell.hash:
                message = f"it holds episodes of another cell than {cell.name} as it is now"
                raise InputError(message, file=path, fix="name another --out, and merge what belongs together")
            if (was := _where(there.made)) != (now := _where(made)):
                message = f"its episodes were recorded {was}; these would be recorded {now}"
                raise InputError(message, file=path, fix="name another --out")
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
    dataset = Growing(out, cell.spec, made_by(settings), start_axes(cell.spec))
    seeds = Seeds(settings.seed, Space.DEMONSTRATE)
    place = Simulated(BatchEnv(cell.spec, cell.workcell, backend, seeds, restart=False), clock)
    return recorder_at(place, settings, dataset, Starts(cell.spec, seeds, dataset.kept, settings.starts))


def recorder_at(place: Place, settings: Settings, dataset: Growing, order: Order) -> Recorder:
    """A recorder at this place that stores into `dataset`, on top of what is there."""
    from robot_rlaas.jobs.policies import load

    pilot = Pilot(place.cell.control, place.contract)
    pilot.speed = SPEED
    policy = load(settings.policy, place.cell, 1).policy if settings.policy else None
    good = sum(episode.success for episode in dataset.kept)
    stored = (good, len(dataset.kept) - good)
    return Recorder(Session(place, pilot, settings.operator, policy), order, stored, settings.episodes, dataset.store)


def made_by(settings: Settings, whose: dict[str, Any] | None = None) -> Made:
    """How a dataset comes about; `whose` says which arm it is of."""
    policy = {"policy": settings.policy} if settings.policy else {}
    return Made(by="rlaas demos record", settings=policy | (whose or {}))


def _where(made: Made) -> str:
    arm = made.settings.get("arm")
    told = ", ".join(f"{key} {made.settings[key]}" for key in ("plant", "hardware") if made.settings.get(key))
    return f"on the {arm} arm ({told})" if arm else "in simulation"


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
    from robot_rlaas.jobs.recording_arm import at_arm
    from robot_rlaas.teleop.page import Page
    from robot_rlaas.view.scene import Bodies, address, page_server

    if settings.arm and settings.starts:
        raise InputError("an arm's starts are not chosen: parts lie where they were put", fix="leave out --starts")
    cell = Cell.load(reference)
    watch.say("  loading LeRobot")
    warm_up()
    with suppress(PermissionError):
        os.nice(PRIORITY)
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
