"""The sim-to-real loop: deploy, log, calibrate, judge the policy on the arm that was found, keep it or tune it."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scipy import stats

from robot_rlaas.calibrate.contact.run import CONTACT
from robot_rlaas.calibrate.servo.run import CALIBRATION
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.contact import ContactReport
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.extends import EXTENDS
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.spec import cell_path, load_cell
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.files import sha256_file, write_atomic, write_json
from robot_rlaas.jobs import calibration, pipeline, qualification, training
from robot_rlaas.jobs.ledger import key_of
from robot_rlaas.jobs.pipeline import Result, Watch
from robot_rlaas.jobs.rounds import finished
from robot_rlaas.qualify.claims import Plan
from robot_rlaas.qualify.report import CostMeter

if TYPE_CHECKING:
    from robot_rlaas.bundle.keys import PrivateKey
    from robot_rlaas.learn.recipe import Recipe

TURN, TABLE = "turn.json", "loop.json"
CONTRADICTS = 0.01  # so few successes on the arm would be as rare as that, were the requirement met
COMPARED = 500  # common starts of a policy before and after tuning


class Options(NamedTuple):
    """What a loop is made of.

    Attributes:
        cell: shipped name or path.
        policy: a policy directory.
        recipe: of a tuning.
        turns: at most so many.
        attempts: on the arm, each turn.
        budget: episodes of each qualification, at most.
        arm: "virtual" or "real".
        plant: of the virtual arm.
        seed: of everything that is drawn; each turn takes the next one.
        out: gets a directory per turn and loop.json. Finished turns that are there are kept.
        key: signs the bundles, and is the one that the arm trusts.
        line: how the arm is reached.
    """

    cell: str
    policy: Path
    recipe: "Recipe"
    turns: int
    attempts: int
    budget: int
    arm: str
    plant: str
    seed: int
    out: Path
    key: "PrivateKey"
    line: Line = AS_THE_PROFILE_SAYS


class Judged(NamedTuple):
    """A policy's rate of success in a cell, its lower bound, and whether every requirement passes."""

    success: float
    lower_95: float
    passed: bool


class Turn(NamedTuple):
    """One row of the table.

    Attributes:
        turn: from 1.
        key: over everything that it was made from.
        arm_successes, attempts, violations: of the policy that was deployed, and
        stopped: why the virtual arm's supervisor ended it, if it did; nothing is counted then.
        error_before_mrad, error_after_mrad: tracking error on the log that was not fitted, of the calibration before
            and the new one.
        accepted: whether the new one took the other's place, and
        reason: why, or why not.
        learned: whether a contact file took the place of ranges of the cell.
        success, lower_95, passed: of the deployed policy in the cell as it is now known.
        decision: "keep"; "tune" or "record demonstrations" where a requirement does not pass; "look at the arm" where
            all pass in the model and the arm contradicts it.
        evidence: one line.
        tuned: the same of the tuned policy, if there was a tuning.
        cell, policy: what the next turn begins with.
        wall_s, core_s: what the turn cost.
    """

    turn: int
    key: str
    arm_successes: int
    attempts: int
    violations: int
    stopped: str
    error_before_mrad: float
    error_after_mrad: float
    accepted: bool
    reason: str
    learned: bool
    success: float
    lower_95: float
    passed: bool
    decision: str
    evidence: str
    tuned: Judged | None
    cell: str
    policy: str
    wall_s: float
    core_s: float


def loop(options: Options, watch: Watch) -> Result:
    """Go round until the deployed policy passes in the cell as the arm showed it, or the turns end.

    Raises:
        InputError: if there is no such cell or policy.
        StageError: if a real arm was stopped. After a look at it, the same command goes on with the same turn.
    """
    if not (options.policy / "policy.json").is_file():
        raise InputError("not a policy directory", file=options.policy, fix="train one: 'rlaas train'")
    cell, policy, turns = str(cell_path(options.cell)), options.policy, list[Turn]()
    for number in range(1, options.turns + 1):
        folder = options.out / f"turn_{number:02d}"
        key = _key(options, number, cell, policy)
        turn = finished(folder / TURN, key, _read)
        if turn is None:
            turn = _turn(options, number, cell, policy, folder, watch, key)
            write_json(folder / TURN, turn._asdict())
        turns.append(turn)
        cell, policy = turn.cell, Path(turn.policy)
        write_json(options.out / TABLE, {"format": 1, "turns": [one._asdict() for one in turns]})
        watch.say(_row(turn))
        if turn.decision in ("keep", "look at the arm"):
            break
    last = turns[-1]
    passed = last.decision in ("keep", "tune")
    text = f"{len(turns)} turns: {last.decision}; policy {last.policy}, cell {last.cell}"
    return Result(text, passed)


def _key(o: Options, number: int, cell: str, policy: Path) -> str:
    """Over everything that a turn is made from."""
    recipe = json.loads(o.recipe.model_dump_json())
    return key_of(
        number,
        load_cell(cell).hash,
        sha256_file(policy / "policy.onnx"),
        recipe,
        o.attempts,
        o.budget,
        o.arm,
        o.plant,
        o.seed,
        *filter(None, o.line),
    )


def _turn(o: Options, number: int, cell: str, policy: Path, folder: Path, watch: Watch, key: str) -> Turn:
    meter, seed = CostMeter(), o.seed + number - 1
    watch.say(f"turn {number}: {o.attempts} attempts on the {o.arm} arm")
    pipeline.build_bundle(policy, None, folder / "bundle", o.key, cell)
    deployed, stopped = _deployed(o, folder, seed, watch)
    watch.say("now the arm moves through two motions of its own, 12 s and 6 s, to be calibrated")
    calibration.calibrate(cell, folder / "calibration", o.plant, o.arm, seed, watch, o.line)
    found = load_spec(folder / "calibration" / CALIBRATION, Calibration)
    known = {"calibration": folder / "calibration" / CALIBRATION} if found.accepted else {}
    known |= _learned(cell, folder, watch)
    if known:
        cell = str(_extended(Path(cell), known, folder / "cell.yaml"))
    plan = Plan(o.budget, sequential=True, held_out=0)
    now = _judged(cell, policy, seed, plan, folder / "qualification", watch)
    if now.passed:
        decision, evidence = _confirmed(o, cell, deployed["successes"], stopped)
        tuned = None
    else:
        decision, evidence, tuned, policy = _better(o, cell, policy, seed, plan, now, folder, watch)
    cost = meter.read()
    return Turn(
        turn=number,
        key=key,
        arm_successes=deployed["successes"],
        attempts=o.attempts,
        violations=deployed["violations"],
        stopped=stopped,
        error_before_mrad=found.heldout.mean_before_mrad,
        error_after_mrad=found.heldout.mean_after_mrad,
        accepted=found.accepted,
        reason=found.reason,
        learned="contact" in known,
        success=now.success,
        lower_95=now.lower_95,
        passed=now.passed,
        decision=decision,
        evidence=evidence,
        tuned=tuned,
        cell=cell,
        policy=str(policy),
        wall_s=cost["wall_s"],
        core_s=cost["core_s"],
    )


def _confirmed(o: Options, cell: str, successes: int, stopped: str) -> tuple[str, str]:
    """What follows where every requirement passes in the model, and why: the arm may contradict it."""
    rate = load_cell(cell).requirements.success.rate
    if stats.binom.cdf(successes, o.attempts, rate) < CONTRADICTS:
        had = f"the arm had {successes} of {o.attempts} {stopped}".rstrip()
        return "look at the arm", f"the model foretells success, {had}"
    return "keep", "every requirement passes in the cell as it is now known"


def _better(
    o: Options, cell: str, policy: Path, seed: int, plan: Plan, now: Judged, folder: Path, watch: Watch
) -> tuple[str, str, Judged, Path]:
    """Tune a policy that does not pass: what follows, why, what the tuned one is worth, and which one to go on with."""
    better = _tune(o, cell, policy, seed, folder, watch)
    tuned = _judged(cell, better, seed, plan, folder / "qualification_tuned", watch)
    evidence = qualification.compare_policies(
        cell, [str(policy), str(better)], seed, min(COMPARED, o.budget), False, folder / "comparison.json", watch
    ).text
    if tuned.passed:
        return "tune", evidence, tuned, better
    evidence += f"; the starts that fail: {folder / 'qualification_tuned' / 'failures.json'}"
    return "record demonstrations", evidence, tuned, better if tuned.success > now.success else policy


def _deployed(o: Options, folder: Path, seed: int, watch: Watch) -> tuple[dict[str, Any], str]:
    """What was counted, and why it was stopped. A real arm that was stopped waits for a person: the loop ends there."""
    from robot_rlaas.bundle import Trust

    bundle, out, trust = folder / "bundle", folder / "deployment", Trust((o.key.public,))
    try:
        pipeline.deploy(bundle, out, o.attempts, o.plant, o.arm, seed, None, trust, watch, line=o.line)
    except StageError as error:
        if o.arm == "real":
            raise
        watch.say(f"  {error}")
        return {"successes": 0, "violations": 1}, str(error).splitlines()[0]
    return json.loads((folder / "deployment" / "deployment.json").read_text()), ""


def _judged(cell: str, policy: Path, seed: int, plan: Plan, out: Path, watch: Watch) -> Judged:
    result = qualification.qualify(cell, policy, seed, plan, out, watch)
    success = json.loads((out / "report.json").read_text())["success"]
    return Judged(success["rate"], success["lower_95"], result.passed)


def _tune(o: Options, cell: str, policy: Path, seed: int, folder: Path, watch: Watch) -> Path:
    watch.say("tuning the policy in the cell as it is now known")
    demonstrations = folder / "demonstrations"
    pipeline.demonstrate(cell, o.recipe, seed, demonstrations, watch)
    training.train(cell, demonstrations, o.recipe, seed, "cpu", folder / "policy", watch, start=policy)
    return folder / "policy"


def _learned(cell: str, folder: Path, watch: Watch) -> dict[str, Path]:
    """The contact file that the deployment's log gave, if anything in it may take the place of the cell's ranges."""
    watch.say("what the deployment says of parts, plates and camera:")
    try:
        calibration.contact(cell, [folder / "deployment" / "log.mcap"], folder / "contact", watch)
    except InputError as error:
        watch.say(f"  nothing: {error.message}")
        return {}
    report = load_spec(folder / "contact" / CONTACT, ContactReport)
    return {"contact": folder / "contact" / CONTACT} if any(one.accepted for one in report.learned) else {}


def _extended(cell: Path, known: dict[str, Path], out: Path) -> Path:
    """The cell with what is known now, as a cell file in another directory that extends its own."""
    named = {EXTENDS: cell, **known}
    lines = [f"{key}: {os.path.relpath(path, out.parent)}\n" for key, path in named.items()]
    write_atomic(out, "".join(["# What the arm showed.\n", *lines]))
    load_cell(str(out))
    return out


def _read(content: dict[str, Any]) -> Turn:
    tuned = content.pop("tuned")
    return Turn(**content, tuned=None if tuned is None else Judged(*tuned))


def _row(turn: Turn) -> str:
    """The turn in one line."""
    tuned = "" if turn.tuned is None else f", tuned {turn.tuned.success:.1%} (at least {turn.tuned.lower_95:.1%})"
    return (
        f"turn {turn.turn}: arm {turn.arm_successes}/{turn.attempts}, model {turn.error_before_mrad:.2f} -> "
        f"{turn.error_after_mrad:.2f} mrad {'accepted' if turn.accepted else 'refused'}, success {turn.success:.1%} "
        f"(at least {turn.lower_95:.1%}){tuned}: {turn.decision}, {turn.wall_s:.0f} s, {turn.core_s:.0f} core-s"
    )
