"""Judging a bundle by its attempts on an arm: the same statistics and the same report as in simulation."""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.bundle import Bundle, Trust, load_bundle
from robot_rlaas.bundle.contents import is_bundle
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.kinds import deployable, insertion_only
from robot_rlaas.cell.limits import further_limits
from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy.run import Deployment, deploy
from robot_rlaas.env.batch import Outcome
from robot_rlaas.files import write_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.jobs.policies import Loaded, load
from robot_rlaas.jobs.qualification import finish, refuse_to_replace, write_report
from robot_rlaas.qualify.claims import Plan, fixed_verdicts, judge, limits
from robot_rlaas.qualify.failures import clusters
from robot_rlaas.qualify.fresh import Freshness, learned_from
from robot_rlaas.qualify.report import CostMeter, PolicyIdentity, build_report
from robot_rlaas.qualify.statistics import Verdict
from robot_rlaas.qualify.trials import Trial, start_axes
from robot_rlaas.qualify.words import words_of

MOST = 1_000_000  # attempts that anybody would think of
MADE = re.compile(r"attempt (\d+) of ")  # how the line of an attempt begins


class Word(NamedTuple):
    """What an operator says against the policy's own count; attempts by index.

    Attributes:
        failed: of those that it counts as inserted.
        inserted: of those that it does not.
    """

    failed: tuple[int, ...] = ()
    inserted: tuple[int, ...] = ()


def qualify_on_arm(
    reference: str,
    bundle: Path,
    seed: int,
    attempts: int,
    arm: str,
    plant: str,
    confirm: Callable[[int], bool] | None,
    out: Path,
    watch: Watch,
    trust: Trust,
    line: Line = AS_THE_PROFILE_SAYS,
) -> Result:
    """Judge a bundle by what it does on an arm over ROS 2.

    The attempts stay in `out`/deployment, whatever happens after them, and so does every answer of the operator. Where
    only answers are missing, the same call again asks for those, and nothing moves.

    Args:
        reference: the cell, which must be the bundle's.
        bundle: what drives the arm.
        seed: of a virtual arm's parts, together with the policy's SHA-256.
        attempts: exactly so many.
        arm, plant, line: as in `deploy.run.deploy`.
        confirm: on a real arm, gets the number of each attempt, from 1, as soon as it was made, and asks the operator
            whether the part was inserted; EOFError is no answer. None where nobody can be asked. What the policy says
            of itself qualifies nothing.
        out: gets deployment/, and then report.json, report.html, report.xml and failures.json.
        watch: sees what happens.
        trust: whose bundles may drive an arm.

    Raises:
        InputError: before anything moves.
        DeploymentError: if the attempts cannot be finished.
    """
    folder, real = out / "deployment", arm == "real"
    unanswered = real and (folder / "deployment.json").is_file() and not (out / "report.json").exists()
    if not unanswered:
        refuse_to_replace(out)
        if real and folder.exists():
            raise InputError("there are attempts of a real arm already", file=folder, fix="name another --out")
    cell = Cell.load(reference)
    (insertion_only if real else deployable)(cell.spec)  # a person is asked whether a part was inserted
    content, loaded = _load(bundle, cell.spec, trust)
    seeds = Seeds(0 if real else (seed + key_of(loaded.sha256)[0]) % 2**31, Space.DEPLOY)
    operator = _Operator(confirm if real else None, attempts, folder / "operator.json", watch)
    meter = CostMeter()
    if unanswered:
        watch.say(f"  nothing moves: the attempts in {folder} are judged")
        deployed = Deployment(**json.loads((folder / "deployment.json").read_text()))
    else:
        _announce(cell.spec, attempts, real, confirm is not None, watch)
        deployed = deploy(
            bundle,
            folder,
            trust=trust,
            attempts=attempts,
            plant=plant,
            arm=arm,
            seed=seeds.seed,
            line=line,
            on_event=operator.hear,
        )
    if deployed.bundle_sha256 != content.sha256:
        raise StageError(f"{bundle} changed while it was read: the attempts are not of the policy {loaded.sha256}")
    if len(deployed.attempts) != attempts:
        raise InputError(f"{len(deployed.attempts)} attempts were made, not {attempts}", file=folder)
    word = operator.word([bool(attempt["success"]) for attempt in deployed.attempts])
    identity = PolicyIdentity(loaded.name, loaded.sha256, "bundle on the arm" if real else f"bundle on {plant}")
    fresh = _of_real(cell.spec, deployed, loaded, seeds, word) if real else _of_virtual(loaded, seeds)
    fresh = fresh._replace(statements=(*fresh.statements, f"the bundle is {content.origin}"))
    report = _reported(cell, deployed, word, real, identity, seeds, fresh, meter, out)
    return finish(report, watch)


def _reported(
    cell: Cell,
    deployed: Deployment,
    word: Word | None,
    real: bool,
    identity: PolicyIdentity,
    seeds: Seeds,
    fresh: Freshness,
    meter: CostMeter,
    out: Path,
) -> dict[str, Any]:
    """Judge the attempts, with the operator's word on them, and write the report."""
    outcomes = corrected([outcome_of(cell.spec, i, a) for i, a in enumerate(deployed.attempts)], word, cell.spec)
    plan, unknown = Plan(len(outcomes), sequential=False), np.full(len(start_axes(cell.spec)), np.nan)
    judgement = judge(cell.spec, (Trial(outcome, unknown) for outcome in outcomes), plan)
    failures = clusters(cell.spec, judgement.trials, _kinds(outcomes, word) if real else None)
    cost = {**meter.read(), "simulated_s": 0.0}
    report = build_report(cell.spec, identity, seeds, plan, judgement, fresh, cost, failures)
    if real:
        _leave_open(report, cell.spec, deployed.supervisor["blocked"])
    write_report(cell, report, judgement.trials, failures, [], "Attempts on an arm are not filmed.", out)
    return report


def least_attempts(cell: CellSpec) -> int | None:
    """The least number of attempts that pass every requirement if all of them are flawless; None beyond MOST."""
    need = limits(cell)

    def enough(n: int) -> bool:
        return set(fixed_verdicts(dict.fromkeys(need, n), n, need).values()) == {Verdict.PASS}

    return bisect_left(range(MOST), True, lo=1, key=enough) if enough(MOST) else None


def outcome_of(cell: CellSpec, number: int, attempt: dict[str, Any]) -> Outcome:
    """An attempt of deployment.json as an episode. A real arm tells neither stage nor keep-out nor what was touched."""
    success, time_s = bool(attempt["success"]), attempt["cycle_time_s"]
    stages = words_of(cell).stages
    done, stuck = len(stages) - 1, len(stages) - 2
    told = attempt.get("figures", {})
    return Outcome(
        episode=number,
        success=success,
        cycle_time_s=time_s if success else float("inf"),
        peak_force_N=attempt["peak_force_N"],
        keep_out=attempt.get("keep_out", False),
        stage=done if success else min(attempt.get("stage", 0), stuck),
        steps=round((time_s if success else cell.task.timeout_s) / cell.period_s),
        reward=float("nan"),
        stage_s=(*(float("inf"),) * stuck, time_s if success else float("inf")),
        peak_at_s=float("nan"),
        figures={limit.figure: told.get(limit.figure, 0.0) for limit in further_limits(cell)},
    )


def corrected(outcomes: Sequence[Outcome], word: Word | None, cell: CellSpec) -> list[Outcome]:
    """The outcomes as the operator saw them. What was inserted unnoticed counts as inserted at the timeout."""
    result, timeout_s, stages = list(outcomes), cell.task.timeout_s, words_of(cell).stages
    for i in word.failed if word else ():
        never = (float("inf"),) * (len(stages) - 1)
        result[i] = result[i]._replace(success=False, cycle_time_s=float("inf"), stage=len(stages) - 2, stage_s=never)
    for i in word.inserted if word else ():
        late = (*result[i].stage_s[:-1], timeout_s)
        result[i] = result[i]._replace(success=True, cycle_time_s=timeout_s, stage=len(stages) - 1, stage_s=late)
    return result


def ask(number: int, read: Callable[[str], str] = input) -> bool:
    """Ask the operator whether the part of an attempt was inserted.

    Raises:
        EOFError: if there is no answer.
    """
    while (answer := read(f"Was the part of attempt {number} inserted? y or n: ").strip().lower()) not in ("y", "n"):
        print(f"'{answer}': neither y nor n")
    return answer == "y"


class _Operator:
    """Is asked after each attempt; what has been answered is in a file at once."""

    def __init__(self, confirm: Callable[[int], bool] | None, attempts: int, file: Path, watch: Watch) -> None:
        self._confirm, self._attempts, self._file, self._watch = confirm, attempts, file, watch
        self._inserted: dict[str, bool] = json.loads(file.read_text()) if confirm and file.is_file() else {}

    def hear(self, event: str) -> None:
        """A line of the deployment. The last attempt is asked for after it, when nothing can be lost any more."""
        self._watch.say(f"  {event}")
        made = MADE.match(event)
        if made and int(made[1]) < self._attempts:
            self._ask(int(made[1]))

    def _ask(self, number: int) -> None:
        if self._confirm is None or str(number) in self._inserted:
            return
        try:
            self._inserted[str(number)] = self._confirm(number)
            write_json(self._file, self._inserted)
        except EOFError:
            self._confirm = None
            self._watch.say("\n  no answer: this is a trial, not a qualification")

    def word(self, successes: Sequence[bool]) -> Word | None:
        """What was said against the policy's own count, once whoever was left out was asked; None without an answer."""
        for number in range(1, len(successes) + 1):
            self._ask(number)
        if self._confirm is None:
            return None
        inserted = [self._inserted[str(number)] for number in range(1, len(successes) + 1)]
        said = list(enumerate(zip(successes, inserted)))
        return Word(tuple(i for i, (a, b) in said if a and not b), tuple(i for i, (a, b) in said if b and not a))


def _load(bundle: Path, cell: CellSpec, trust: Trust) -> tuple[Bundle, Loaded]:
    """The bundle, if it may drive an arm here, and its policy."""
    if not is_bundle(bundle):
        raise InputError("an arm is driven by a bundle", file=bundle, fix="build one: 'rlaas bundle build'")
    content = load_bundle(bundle, trust)
    if content.cell.hash != cell.hash:
        raise InputError(
            f"this bundle is for a cell '{content.cell.name}' with hash {content.cell.hash}, not {cell.hash}",
            file=bundle,
            fix="name the cell that it was built for, or build a bundle for this one",
        )
    return content, load(bundle, cell, 1)


def _announce(cell: CellSpec, attempts: int, real: bool, asked: bool, watch: Watch) -> None:
    least = least_attempts(cell)
    if least is None or attempts < least:
        enough = f"{least:,} flawless ones" if least else f"more than {MOST:,} flawless ones"
        watch.say(f"  {attempts:,} attempts can only end in FAIL or UNDECIDED: PASS takes at least {enough}")
    if real and asked:
        watch.say("  you will be asked after each attempt whether its part was inserted: answer, then place the next")
    elif real:
        watch.say("  nobody can be asked at this terminal: this will be a trial, not a qualification")


def _kinds(outcomes: Sequence[Outcome], word: Word | None) -> dict[int, str]:
    """How attempts on a real arm failed, as far as anybody saw."""
    rejected = word.failed if word else ()
    return {o.episode: "rejected" if o.episode in rejected else "unseen" for o in outcomes if not o.success}


def _of_virtual(policy: Loaded, seeds: Seeds) -> Freshness:
    """Its seed takes the place of a key."""
    told = "the virtual arm draws its parts from a seed made from the policy's SHA-256, and counts its attempts itself"
    known = learned_from(seeds, policy.provenance)
    return known._replace(statements=(told, *known.statements))


def _of_real(cell: CellSpec, deployed: Deployment, policy: Loaded, seeds: Seeds, word: Word | None) -> Freshness:
    statements = [
        "the parts were placed by a person, after the policy was made: seed and seed space mean nothing here",
        *learned_from(seeds, policy.provenance).statements,
        f"forces are the wrist sensor's means over {1e3 * cell.period_s:g} ms; "
        f"its largest reading between the first target and the end was {deployed.supervisor['peak_force_N']:.1f} N",
        "keep-out is judged by the targets that the supervisor refused, not by where the arm was measured",
    ]
    if word is None:
        return Freshness(False, tuple(statements), ("nobody confirmed what the policy says of its own attempts",))
    confirmed = "an operator confirmed every attempt"
    if word.failed or word.inserted:
        confirmed += (
            f": {len(word.failed)} that the policy counts had failed, and {len(word.inserted)} that it does not count "
            "were inserted, which is taken for insertion at the timeout"
        )
    return Freshness(True, (*statements, confirmed), ())


def _leave_open(report: dict[str, Any], cell: CellSpec, blocked: int) -> None:
    """Take out of a real arm's report what nobody measured: stages, touches, and keep-out where targets were refused.

    `blocked` are periods of the whole deployment in which a target led into a box: none means none in any attempt, but
    from some nobody can tell how many attempts they belong to.
    """
    episodes = report["per_episode"]
    episodes["stage"] = ["done" if success else None for success in episodes["success"]]
    nobody = "no sensor of the arm tells"
    unseen = {limit.name: (limit.figure, nobody) for limit in further_limits(cell) if not limit.on_arm}
    if blocked:
        refused = f"the supervisor refused targets in {blocked} periods, in nobody knows how many attempts"
        unseen["keep_out"] = "keep_out", refused
    for row in report["requirements"]:
        if row["name"] in unseen:
            column, why = unseen[row["name"]]
            episodes[column] = [None] * len(episodes[column])
            nothing = dict.fromkeys(("value", "lower_95", "upper_95"))
            row.update(text=f"{row['text']}: {why}", verdict=str(Verdict.UNDECIDED), **nothing)
