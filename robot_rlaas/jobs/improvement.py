"""Failure-driven improvement: judge a policy, train where it fails, judge it again, until every requirement passes."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.files import sha256_file, write_json
from robot_rlaas.jobs import pipeline, qualification, training
from robot_rlaas.jobs.ledger import key_of
from robot_rlaas.jobs.pipeline import Result, Watch
from robot_rlaas.jobs.rounds import KEY, claim, finished
from robot_rlaas.qualify.claims import Plan
from robot_rlaas.qualify.report import CostMeter, passed

if TYPE_CHECKING:
    from robot_rlaas.learn.recipe import Recipe
    from robot_rlaas.qualify.focus import Focus

TABLE, ROUND = "improve.json", "round.json"
MOST_ADVISED = 3  # clusters for which demonstrations are asked


class Options(NamedTuple):
    """What an improvement is made of.

    Attributes:
        cell: shipped name or path.
        policy: a policy directory.
        recipe: of each round's training; its budget is the most that one round takes.
        rounds: at most so many.
        budget_steps: control periods simulated for learning, over all rounds; none begins when they are spent.
        share: of the training's episodes that begin where the policy is likely to fail; 0 is plain PPO.
        episodes: of each qualification.
        seed: of everything that is drawn; each round takes the next one.
        out: gets a directory per round and improve.json. What is finished there is kept.
    """

    cell: str
    policy: Path
    recipe: "Recipe"
    rounds: int
    budget_steps: int
    share: float
    episodes: int
    seed: int
    out: Path


class Judged(NamedTuple):
    """A qualification: success with its lower bound, failures by cluster and by stage, the verdict."""

    success: float
    lower_95: float
    clusters: dict[str, int]
    stages: dict[str, int]
    passed: bool


class Round(NamedTuple):
    """One row of the table.

    Attributes:
        round: its number, from 1.
        share: of the training's episodes that began where the policy before was likely to fail.
        risk, chosen_risk: see `qualify.focus.Focus`; None where too few failed to tell.
        steps: control periods simulated for learning.
        before, after: the policy before and the one that was trained.
        add: demonstrations that a person should add, in words.
        kept: whether the trained policy is the one to go on with.
        policy: the directory of that one.
        qualification: of that one.
        wall_s, core_s: what the round cost.
    """

    round: int
    share: float
    risk: float | None
    chosen_risk: float | None
    steps: int
    before: Judged
    after: Judged
    add: list[str]
    kept: bool
    policy: str
    qualification: str
    wall_s: float
    core_s: float


def improve(options: Options, watch: Watch) -> Result:
    """Go round until every requirement passes, or rounds or budget end.

    Raises:
        InputError: if there is no such cell or policy, or `out` holds rounds of another improvement.
    """
    o, policy, report = options, options.policy, options.out / "round_00" / "qualification"
    if not (policy / "policy.json").is_file():
        raise InputError("not a policy directory", file=policy, fix="train one: 'rlaas train'")
    o.out.mkdir(parents=True, exist_ok=True)
    rounds, steps = list[Round](), 0
    first = now = _judged(o, policy, o.seed, report, watch)
    watch.say(f"round 0: {_words(now)}")
    _write_table(o, first, rounds)
    while not now.passed and len(rounds) < o.rounds and steps < o.budget_steps:
        number = len(rounds) + 1
        folder = o.out / f"round_{number:02d}"
        recipe = o.recipe.model_copy(update={"budget_steps": min(o.budget_steps - steps, o.recipe.budget_steps)})
        key = key_of(_made_from(o, policy, recipe), number)
        claim(folder / ROUND, key)
        done = finished(folder / ROUND, key, _read_round)
        if done is None:
            done = _round(o, number, recipe, policy, report, now, folder, watch)
            write_json(folder / ROUND, {KEY: key, **_json(done)})
        rounds.append(done)
        steps += done.steps
        policy, report = Path(done.policy), Path(done.qualification)
        now = done.after if done.kept else now
        _write_table(o, first, rounds)
        watch.say(_row(done))
    for line in [] if now.passed else _advice(o, report):
        watch.say(f"  add demonstrations: {line}")
    return Result(f"{len(rounds)} rounds, {steps:,} steps: {_words(now)}; policy {policy}", now.passed)


def _round(
    o: Options, number: int, recipe: "Recipe", policy: Path, report: Path, now: Judged, folder: Path, watch: Watch
) -> Round:
    from robot_rlaas.learn.checkpoint import path_of
    from robot_rlaas.qualify.focus import focus_of

    meter, seed, spec = CostMeter(), o.seed + number, load_cell(o.cell)
    seeds, drawn = Seeds(seed, Space.TRAIN), pipeline.widened(spec, recipe.widen)
    focus = focus_of(spec, drawn, seeds, _read(report), o.share) if o.share else None
    watch.say(f"round {number}: {_mixture(focus)}")
    demonstrations, trained, judged = folder / "demonstrations", folder / "policy", folder / "qualification"
    if not demonstrations.exists():
        pipeline.demonstrate(o.cell, recipe, seed, demonstrations, watch)
    if not trained.exists():
        training.train(
            *(o.cell, demonstrations, recipe, seed, "cpu", trained, watch),
            start=policy,
            resume=path_of(trained).exists(),
            focus=focus,
        )
    after = _judged(o, trained, seed, judged, watch)
    better = after.passed or after.lower_95 > now.lower_95
    cost = meter.read()
    return Round(
        round=number,
        share=focus.share if focus else 0.0,
        risk=focus and focus.risk,
        chosen_risk=focus and focus.chosen_risk,
        steps=_steps(trained, recipe),
        before=now,
        after=after,
        add=_advice(o, report),
        kept=better,
        policy=str(trained if better else policy),
        qualification=str(judged if better else report),
        wall_s=cost["wall_s"],
        core_s=cost["core_s"],
    )


def _mixture(focus: "Focus | None") -> str:
    if focus is None:
        return "all episodes are drawn as ever"
    return (
        f"{focus.share:.0%} of the episodes begin where it is likely to fail: {focus.chosen_risk:.0%} of these starts "
        f"would, {focus.risk:.0%} of all"
    )


def _judged(o: Options, policy: Path, seed: int, out: Path, watch: Watch) -> Judged:
    """By a qualification on episodes that the policy's own hash draws; one that is there for this policy is kept."""
    sha256 = sha256_file(policy / "policy.onnx")
    if not (out / "report.json").is_file() or _asked(_read(out)) != (sha256, load_cell(o.cell).hash, seed, o.episodes):
        qualification.qualify(o.cell, policy, seed, Plan(o.episodes, sequential=False, held_out=0), out, watch)
    report, stages = _read(out), dict[str, int]()
    for cluster in report["failures"]:
        stages[cluster["kind"]] = stages.get(cluster["kind"], 0) + cluster["count"]
    success, clusters = report["success"], {one["name"]: one["count"] for one in report["failures"]}
    return Judged(success["rate"], success["lower_95"], clusters, stages, passed(report))


def _asked(report: dict[str, Any]) -> tuple[str, str, int, int]:
    return report["policy"]["sha256"], report["cell_hash"], report["seed"], report["plan"]["episodes"]


def _advice(o: Options, report: Path) -> list[str]:
    """Which demonstrations a person should add: the most typical start of each large cluster, as it is set up."""
    from robot_rlaas.data.episode import start_axes, start_of
    from robot_rlaas.data.quality.coverage import axes_named, in_words
    from robot_rlaas.sim.variation import draw

    spec, content = load_cell(o.cell), _read(report)
    seeds = Seeds(content["seed"], Space[content["space"]], tuple(content["key"]))
    found = []
    for cluster in content["failures"][:MOST_ADVISED]:
        starts = start_of(draw(spec, seeds, np.array([cluster["medoid"]])), spec)
        axes = [axis for axis in axes_named(spec, list(start_axes(spec)), starts) if axis.placed]
        start = {axis.name: float(starts[0, axis.column] * axis.scale) for axis in axes}
        share = cluster["count"] / content["episodes"]
        found.append(f"{cluster['name']}, {share:.1%} of episodes: such as {in_words(start, axes)} ({cluster['text']})")
    return found


def _made_from(o: Options, policy: Path, recipe: "Recipe") -> list[Any]:
    settings = json.loads(recipe.model_dump_json())
    return [load_cell(o.cell).hash, sha256_file(policy / "policy.onnx"), settings, o.share, o.episodes, o.seed]


def _write_table(o: Options, first: Judged, rounds: list[Round]) -> None:
    start = {"policy": str(o.policy), "judged": first._asdict()}
    write_json(o.out / TABLE, {"format": 1, "start": start, "rounds": [_json(one) for one in rounds]})


def _read_round(content: dict[str, Any]) -> Round:
    both: dict[str, Any] = {name: Judged(**content[name]) for name in ("before", "after")}
    return Round(**{name: content[name] for name in Round._fields} | both)


def _steps(policy: Path, recipe: "Recipe") -> int:
    """Control periods that PPO simulated, the critic's warm-up included; validation is not learned from."""
    with (policy / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    return int(rows[-1]["steps"]) + recipe.critic_warmup * recipe.rollout_steps * recipe.simulations if rows else 0


def _read(report: Path) -> dict[str, Any]:
    return json.loads((report / "report.json").read_text())


def _json(done: Round) -> dict[str, Any]:
    return {**done._asdict(), "before": done.before._asdict(), "after": done.after._asdict()}


def _words(judged: Judged) -> str:
    failures = ", ".join(f"{name} {count}" for name, count in judged.clusters.items()) or "none"
    verdict = "every requirement passes" if judged.passed else "not every requirement passes"
    return f"success {judged.success:.1%} (at least {judged.lower_95:.2%}), failures: {failures}: {verdict}"


def _row(done: Round) -> str:
    """The round in one line."""
    kept = "" if done.kept else "; worth no more, the one before is kept"
    return f"round {done.round}: {_words(done.after)}{kept}; {done.steps:,} steps, {done.wall_s:.0f} s"
