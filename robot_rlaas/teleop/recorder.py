"""Recording as a conversation: an operator wishes, and is told how it goes and what is still lacking."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from queue import SimpleQueue
from typing import NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.episode import Episode
from robot_rlaas.env.batch import Outcome
from robot_rlaas.teleop.pilot import Goal
from robot_rlaas.teleop.session import Phase, Session

NAMED = 3  # of stages that are left and starts that are lacking, so many are named


class Wish(NamedTuple):
    """What an operator wants: a name of `Recorder.wishes`, and its numbers, if it has any."""

    name: str
    values: tuple[float, ...] = ()


Poll = Callable[[], Iterable[Wish]]  # asked once per period


class Told(NamedTuple):
    """What an operator is told, as sentences in Markdown.

    Attributes:
        now: how it goes, or what the verdict is.
        todo: the stages that are left, or what can be done now.
        data: what is kept, and what the data still lacks.
    """

    now: str
    todo: str
    data: str


class Order(Protocol):
    """Which start comes next, and which are still lacking: `starts.Starts`, or `starts.AsTheyCome`."""

    def add(self, episode: Episode) -> None:
        """One more is kept."""
        ...

    def next(self, after: int) -> int:
        """The number of the next start."""
        ...

    def lacking(self) -> list[str] | None:
        """What no success began in; None where nobody knows."""
        ...


class Recorder:
    """Attempts on one start after another, of which those that an operator keeps are stored.

    Args:
        session: the attempts.
        starts: which one comes next.
        kept: successes, and failures, that are stored already.
        wanted: successes.
        store: takes an episode, and has it on disk when it returns.
    """

    def __init__(
        self, session: Session, starts: Order, kept: tuple[int, int], wanted: int, store: Callable[[Episode], None]
    ) -> None:
        self.session, self._starts, self._wanted, self._store = session, starts, wanted, store
        self.successes, self.failures = kept
        self._number, self._just_kept = -1, False
        self.wishes: dict[str, Callable[..., None]] = {
            "record": self._record,
            "keep": self._keep,
            "discard": self._next,
            "again": self._again,
            "nudge": self._nudge,
            "goal": self._goal,
            "align": self._align,
            "grip": self._grip,
            "over": self._over,
            "speed": self._speed,
            "pace": self._pace,
            "overrule": self._overrule,
            "clear": self._clear,
        }
        self._next()

    @property
    def complete(self) -> bool:
        """As many successes are kept as are wanted."""
        return self.successes >= self._wanted

    def do(self, wish: Wish) -> None:
        """Do what is wished; what makes no sense now is left alone."""
        self.wishes[wish.name](*wish.values)

    def _record(self) -> None:
        if self.session.phase == Phase.READY:
            self.session.record()

    def _keep(self) -> None:
        if self.session.phase != Phase.ENDED or not self.session.elapsed_s:
            return
        episode = self.session.episode()
        self._store(episode)
        self._starts.add(episode)
        self.successes += episode.success
        self.failures += not episode.success
        self._next()
        self._just_kept = True

    def _next(self) -> None:
        self._number = self._starts.next(self._number)
        self._just_kept = False
        self._again()

    def _again(self) -> None:
        self.session.ready(self._number)

    def _moving(self) -> bool:
        """An operator who moves the tool records, and has taken over from a policy."""
        self._record()
        self.session.take_over()
        return self.session.phase == Phase.RECORDING

    def _nudge(self, *axes: float) -> None:
        if self._moving():
            self.session.pilot.nudge(np.array(axes), *self._seen)

    def _goal(self, x: float, y: float, z: float, yaw_rad: float) -> None:
        if self._moving():
            self.session.pilot.goal = Goal(np.array([x, y, z]), yaw_rad)

    def _align(self) -> None:
        if self._moving():
            self.session.pilot.align(*self._seen)

    def _grip(self) -> None:
        if self._moving():
            self.session.pilot.closed = not self.session.pilot.closed

    def _over(self) -> None:
        (self.session.release if self.session.taken_over else self.session.take_over)()

    def _speed(self, share: float) -> None:
        self.session.pilot.speed = share

    def _pace(self, share: float) -> None:
        self.session.place.pace = share

    def _overrule(self) -> None:
        if self.session.phase == Phase.ENDED and self.session.place.on_arm:
            self.session.overrule()

    def _clear(self) -> None:
        self.session.place.clear()

    @property
    def _seen(self) -> tuple:
        place = self.session.place
        return place.observation, place.frame

    def told(self) -> Told:
        """What to say now."""
        return Told(self._now(), self._todo(), self._data())

    def _now(self) -> str:
        session, place = self.session, self.session.place
        late = f", {session.late} late frames" if session.late else ""
        if session.outcome is not None:
            said = ", as you say" if session.overruled else ""
            remark = f"; {place.remark}" if place.remark else ""
            return verdict(session.outcome, place.cell, place.stages) + said + late + remark
        if session.phase == Phase.PREPARING:
            return f"**Not ready**: {place.doing}"
        if session.phase == Phase.READY:
            return f"{'Kept, and on disk. ' if self._just_kept else ''}**Ready**: start {self._number}"
        who = f", {'you' if session.taken_over else 'the policy'} at the controls" if session.has_policy else ""
        felt_N, allowed_N = session.felt_N, place.cell.requirements.contact_force_N.limit
        felt = f"feels **{felt_N:.0f} N**, at most {session.peak_N:.0f} so far, {allowed_N:g} allowed"
        return f"**Recording**: {session.elapsed_s:.1f} of {place.cell.task.timeout_s:g} s{who}{late}; {felt}"

    def _todo(self) -> str:
        session = self.session
        if session.outcome is not None:
            as_what = "" if session.outcome.success else " as a failure"
            again = "overrule it (B)" if session.place.on_arm else "try this start again (T)"
            bad = session.outcome.success and faults(session.outcome, session.place.cell)
            advice = " A policy learns that, too: better not keep it." if bad else ""
            return f"Keep it{as_what} (V), discard it (X), or {again}.{advice}"
        if session.phase == Phase.PREPARING:
            return "Clear the stop (C), once nothing is in the way." if session.place.stopped else ""
        if session.phase == Phase.READY:
            task_s, pace = session.place.cell.task.timeout_s, session.place.pace
            slowly = f", {task_s / pace:.0f} s at this pace" if pace < 1 else ""
            return f"Move the tool, or press R or H, to begin. The task has to be done in {task_s:g} s{slowly}."
        stages, at = session.place.stages, session.place.stage
        return f"Now: **{stages[at]}**. Then: {_few(stages[at + 1 :])}."

    def _data(self) -> str:
        failures = f", and {self.failures} failures" if self.failures else ""
        text = f"{self.successes} of {self._wanted} successes kept{failures}."
        lacking = self._starts.lacking()
        if lacking is None:
            return text
        if not lacking:
            return f"{text} Successes began in every third of every range."
        return f"{text} No success yet from: {_few(lacking)}."


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def run(
    recorder: Recorder,
    wishes: SimpleQueue[Wish],
    poll: Poll,
    show: Callable[[], None],
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Do what is wished as it comes and step what is recorded when it is due, until it is over or somebody interrupts.

    Args:
        recorder: what is wished goes there.
        wishes: of whoever has a thread of their own.
        poll: of whoever has to be asked.
        show: called after every period, and after what was done between two of them.
        over: asked as often.
    """
    session = recorder.session
    while not over():
        for wish in chain(session.place.wait(wishes), poll()):
            recorder.do(wish)
        session.step()
        show()


def verdict(outcome: Outcome, cell: CellSpec, stages: Sequence[str]) -> str:
    """How an attempt ended, by the task's own predicate, and what it has against the cell's requirements."""
    ended_s = outcome.steps * cell.period_s
    if not outcome.success:
        return f"**Failed** after {ended_s:.1f} s; got as far as: {stages[outcome.stage]}"
    found = faults(outcome, cell)
    but = f", but {' and '.join(found)}" if found else ""
    return f"**Done** in {ended_s:.1f} s, at most {outcome.peak_force_N:.0f} N{but}"


def faults(outcome: Outcome, cell: CellSpec) -> list[str]:
    """What the cell's requirements have against a success."""
    need = cell.requirements
    return [
        *(["slower than allowed"] if outcome.cycle_time_s > need.cycle_time_s.limit else []),
        *(["more force than allowed"] if outcome.peak_force_N > need.contact_force_N.limit else []),
        *(["the tool was in a keep-out box"] if outcome.keep_out else []),
    ]
