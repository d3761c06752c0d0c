"""Practice on an arm: here its place, its time and who attends it; in a process of its own, the learner.

The policy that acts is the newest one that the learner has put down when an attempt begins. What it learns from is what
the arm itself measures: a virtual arm's own score is not looked at.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from subprocess import Popen
from typing import NamedTuple

import numpy as np

from robot_rlaas.bundle import OnnxPolicy
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.data.attempts import keep, kept, practised
from robot_rlaas.data.episode import Episode
from robot_rlaas.deploy import names
from robot_rlaas.deploy.demonstration import OnArm
from robot_rlaas.deploy.run import DeploymentError, look_after, require_ros, started
from robot_rlaas.deploy.station import Process
from robot_rlaas.jobs.growing import SPEED, come_first
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.jobs.practising import RECENT, Options, checked, words
from robot_rlaas.jobs.recording_arm import Watched, may_be_demonstrated, place_at
from robot_rlaas.learn.explore import Explorer
from robot_rlaas.teleop.pilot import Pilot
from robot_rlaas.teleop.recorder import Recorder, Wish, run
from robot_rlaas.teleop.session import Phase, Session
from robot_rlaas.teleop.starts import AsTheyCome

CLONE_S, AGAIN_S = 180.0, 0.1  # at most, until the learner has something that can act; between two looks
LAST_WORD_S = 60.0  # at most, until it has left the policy


class AtArm(NamedTuple):
    """Where it is practised.

    Attributes:
        arm, plant, domain_id: as in `deploy.run.deploy`.
        page: the port of a page in the browser where somebody can take over; None for none.
        operator: who does so.
    """

    arm: str
    plant: str
    domain_id: int | None
    page: int | None = None
    operator: str = "operator"


def practise_on_arm(options: Options, at: AtArm, watch: Watch) -> Result:
    """Practise in real time.

    Raises:
        InputError: as `practising.practise`, or if ROS 2 is not installed.
        DeploymentError: if the learner or a process of the arm ends.
    """
    o, cell = options, Cell.load(options.cell)
    require_ros()
    may_be_demonstrated(cell.spec)
    checked(o, cell.spec)
    come_first()
    with learning(o, at, watch) as learner, ExitStack() as stack:
        done = len(list(kept(o.attempts)))
        how = {"plant": at.plant, "seed": o.seed + done, "domain_id": at.domain_id}
        place = stack.enter_context(place_at(cell, at.arm, o.out, watch, scored=False, **how))
        attended = Attended(o, at, place, done, learner, watch)
        wishes, show = SimpleQueue[Wish](), _nothing
        if at.page is not None:
            wishes, show = stack.enter_context(_page(at.page, cell, place, attended.recorder, watch))
        run(attended.recorder, wishes, attended.poll, show, attended.over)
    return Result(f"{len(attended.told)} attempts in {o.minutes:g} min: {words(attended.told)}")


def _nothing() -> None:
    """There is no page to show it on."""


@contextmanager
def learning(options: Options, at: AtArm, watch: Watch) -> Iterator[Mapping[str, Popen[bytes]]]:
    """The learner's process, from when there is something that can act until it has left the policy."""
    o = options
    parts = [sequence_json(Seeds(o.seed, Space.DEPLOY))] if at.arm == "virtual" else []
    params = {**o._asdict(), "demonstrations": str(o.demonstrations), "out": str(o.out), "sequences": parts}
    params["recipe"] = json.loads(o.recipe.model_dump_json())
    process = Process("learner", "robot_rlaas.jobs.practice_learner", params, {"OMP_NUM_THREADS": "1"})
    o.told.unlink(missing_ok=True)
    watch.say("  the learner begins in a process of its own")
    with started([process], o.folder, LAST_WORD_S) as running:
        deadline = time.monotonic() + CLONE_S
        while not o.told.is_file():
            look_after(running, o.folder)
            if time.monotonic() > deadline:
                raise DeploymentError(f"the learner has nothing that can act after {CLONE_S:.0f} s")
            time.sleep(AGAIN_S)
        yield running
        watch.say("  the learner leaves the policy")


class Attended:
    """Lets one attempt follow the other, hands each to the learner, and lets its newest network act in the next.

    Attributes:
        recorder: of the attempts.
        told: whether each of them succeeded.
    """

    def __init__(
        self, options: Options, at: AtArm, place: OnArm, done: int, learner: Mapping[str, Popen[bytes]], watch: Watch
    ) -> None:
        self._o, self._place, self._done, self._learner, self._watch = options, place, done, learner, watch
        self._clears = at.arm == "virtual"  # nobody can be hurt by it
        self._version, self._waits, self.told = -1, False, list[bool]()
        rng = np.random.default_rng([options.seed, int(Space.DEPLOY), done])
        self._explorer = Explorer(OnnxPolicy(options.network, place.contract), options.recipe.noise_std[1], rng)
        pilot = Pilot(place.cell.control, place.contract)
        pilot.speed = SPEED
        most = round(60 * options.minutes / place.cell.task.timeout_s)
        session = Session(place, pilot, at.operator, self._explorer)
        self.recorder = Recorder(session, AsTheyCome(done), (0, 0), most, self._hand_over)
        self._began_s = time.monotonic()

    @property
    def passed_s(self) -> float:
        """How long it has been practised."""
        return time.monotonic() - self._began_s

    def over(self) -> bool:
        """The time is up, and no attempt is under way or not handed over yet."""
        under_way = self.recorder.session.phase in (Phase.RECORDING, Phase.ENDED)
        return self.passed_s > 60 * self._o.minutes and not under_way

    def poll(self) -> Iterator[Wish]:
        """See `teleop.recorder.Poll`: what somebody would wish who lets everything take its course."""
        look_after(self._learner, self._o.folder)
        session = self.recorder.session
        if session.phase is Phase.READY:
            self._renew()
            yield Wish("record")
        elif session.phase is Phase.ENDED:
            yield Wish("keep" if session.elapsed_s else "discard")
        elif session.phase is Phase.PREPARING and self._clears and self._place.stopped:
            yield Wish("clear")
        self._tell_stop()

    def _tell_stop(self) -> None:
        """A real arm waits for somebody."""
        stopped = self._place.stopped and not self._clears
        if stopped and not self._waits:
            self._watch.say(f"  {self._place.doing}; to go on: {names.RESET}")
        self._waits = stopped

    def _renew(self) -> None:
        """Let the newest network act."""
        version = json.loads(self._o.told.read_text())["version"]
        if version != self._version:
            self._explorer.policy = OnnxPolicy(self._o.network, self._place.contract)
            self._version = version

    def _hand_over(self, episode: Episode) -> None:
        """As far as what was wished was done: the supervisor may have changed it, or stopped the arm."""
        place = self._place
        known = slice(int(np.searchsorted(episode.stamp_s, place.changed_after_s)))
        part = episode.take(known)
        if len(part.action):
            ended = place.stopped_in_it or len(part.action) == len(episode.action)
            attempt = practised(part, self._version, self.passed_s, ended)
            keep(self._o.attempts, self._done, attempt)
            self._done += 1
        self.told.append(episode.success)
        total_s = 60 * self._o.minutes
        self._watch.bar(f"practising: {words(self.told)}", min(self.passed_s, total_s), total_s)
        if len(self.told) % RECENT == 0:
            self._watch.say(f"  {self.passed_s / 60:.1f} min, attempt {len(self.told)}: {words(self.told)}")


@contextmanager
def _page(
    port: int, cell: Cell, place: OnArm, recorder: Recorder, watch: Watch
) -> Iterator[tuple[SimpleQueue[Wish], Callable[[], None]]]:
    """Where somebody can take over: what is wished there, and what shows it how it goes."""
    from robot_rlaas.teleop.page import Page
    from robot_rlaas.view.scene import Bodies, address, page_server

    with page_server(port, cell.spec.name) as server:
        page = Page(server, Bodies(server, Watched(cell, place), "close"), recorder, dict)
        watch.say(f"  {address(server)}: move the tool there to take over")
        yield page.wishes, page.show
