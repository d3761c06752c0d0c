"""Judging policies: a qualification and its report, the same again, and several policies side by side."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space, key_of, sequence_json
from robot_rlaas.cell.spec import CellSpec, Variation, load_cell
from robot_rlaas.env.batch import Outcome
from robot_rlaas.env.insertion import STAGES
from robot_rlaas.files import staged_dir, write_atomic, write_json
from robot_rlaas.pipeline import Cell, Result, Watch
from robot_rlaas.policies import Loaded, load
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.compare import Difference, compare
from robot_rlaas.qualify.failures import Cluster, clusters, starts_json
from robot_rlaas.qualify.fresh import Freshness, freshness
from robot_rlaas.qualify.held_out import held_out_report, held_out_settings, sensitivity_points, sensitivity_report
from robot_rlaas.qualify.junit import junit
from robot_rlaas.qualify.report import CostMeter, PolicyIdentity, build_report, differences, passed, versions
from robot_rlaas.qualify.schema import Report
from robot_rlaas.qualify.trials import START_AXES, Trial, run_trials, stream

SIMULATIONS = 250
FAILURE_CLIPS = 5
NAMES = {"success": "success", "cycle_time_s": "cycle time [s]", "peak_force_N": "peak force [N]"}


def qualify(reference: str, policy: str | Path, seed: int, plan: Plan, out: Path, watch: Watch) -> Result:
    """Judge a policy on episodes that did not exist before it did.

    Writes report.json, report.html, report.xml (JUnit) and failures.json (the starts of the failed episodes).
    """
    cell = Cell.load(reference)
    report, trials, failures = _judge(cell, policy, seed, plan, watch)
    with staged_dir(out) as part:
        part.mkdir()
        clips, missing = _clips(cell, policy, report, part, watch)
        _write(cell, report, trials, failures, clips, missing, part)
    return _finish(report, watch)


def qualify_on_arm(
    reference: str,
    bundle: Path,
    seed: int,
    attempts: int,
    arm: str,
    plant: str,
    confirm: Callable[[list[Outcome]], list[int]] | None,
    out: Path,
    watch: Watch,
) -> Result:
    """Judge a bundle by what it does on an arm over ROS 2: the same statistics, the same report.

    Args:
        reference: the cell.
        bundle: what drives the arm.
        seed: of a virtual arm's parts.
        attempts: exactly so many.
        arm, plant: as in `deploy.run.deploy`.
        confirm: on a real arm, asks the operator which attempts failed (indices), whatever the sensors say; None where
            nobody can be asked: what the policy says of itself qualifies nothing.
        out: gets report.json, report.html, report.xml, failures.json and deployment/.
        watch: sees what happens.
    """
    from robot_rlaas.deploy.run import deploy

    cell, loaded = Cell.load(reference), load(bundle, load_cell(reference), 1)
    if loaded.kind != "bundle":
        raise InputError("an arm is driven by a bundle", file=bundle, fix="build one: 'rlaas bundle build'")
    seeds = Seeds((seed + key_of(loaded.sha256)[0]) % 2**31, Space.DEPLOY)
    meter, plan = CostMeter(), Plan(attempts, sequential=False)
    with staged_dir(out) as part:
        part.mkdir()
        deployed = deploy(
            bundle,
            part / "deployment",
            attempts=attempts,
            plant=plant,
            arm=arm,
            seed=seeds.seed,
            on_event=lambda text: watch.say(f"  {text}"),
        )
        outcomes = [_outcome(cell.spec, i, attempt) for i, attempt in enumerate(deployed.attempts)]
        for i in confirm(outcomes) if confirm else []:
            outcomes[i] = outcomes[i]._replace(success=False, cycle_time_s=float("inf"))
        unknown = np.full(len(START_AXES), np.nan)
        judgement = judge(cell.spec, (Trial(outcome, unknown) for outcome in outcomes), plan)
        failures = clusters(cell.spec, judgement.trials)
        identity = PolicyIdentity(loaded.name, loaded.sha256, f"bundle on {plant if arm == 'virtual' else 'the arm'}")
        cost, fresh = {**meter.read(), "simulated_s": 0.0}, _fresh_on_arm(arm, confirm is not None)
        report = build_report(cell.spec, identity, seeds, plan, judgement, fresh, cost, failures)
        _write(cell, report, judgement.trials, failures, [], "Attempts on an arm are not filmed.", part)
    return _finish(report, watch)


def _fresh_on_arm(arm: str, confirmed: bool) -> Freshness:
    if arm == "virtual":
        told = "the virtual arm draws its parts from a seed made from the policy's SHA-256, and counts them itself"
        return Freshness(True, (told,), ())
    if confirmed:
        return Freshness(True, ("the parts were placed after the policy was made; an operator confirmed each",), ())
    return Freshness(False, (), ("nobody confirmed what the policy says of its own attempts",))


def _outcome(cell: CellSpec, number: int, attempt: dict[str, Any]) -> Outcome:
    """An attempt as an episode. A real arm tells neither stage nor keep-out: its supervisor forbids the latter."""
    success, time_s = bool(attempt["success"]), attempt["cycle_time_s"]
    return Outcome(
        episode=number,
        success=success,
        cycle_time_s=time_s if success else float("inf"),
        peak_force_N=attempt["peak_force_N"],
        keep_out=attempt.get("keep_out", False),
        stage=attempt.get("stage", STAGES.index("done" if success else "search")),
        steps=round((time_s if success else cell.task.timeout_s) / cell.period_s),
        reward=float("nan"),
        stage_s=(float("inf"),) * (len(STAGES) - 1),
        peak_at_s=float("nan"),
    )


def _write(
    cell: Cell,
    report: dict[str, Any],
    trials: list[Trial],
    failures: list[Cluster],
    clips: list[tuple[str, str, bytes]],
    without_clips: str,
    folder: Path,
) -> None:
    from robot_rlaas.pages.qualification import qualification_page

    write_json(folder / "report.json", report)
    write_atomic(folder / "report.html", qualification_page(report, clips, without_clips))
    write_atomic(folder / "report.xml", junit(report))
    write_json(folder / "failures.json", starts_json(cell.spec, _seeds(report), trials, failures))


def _finish(report: dict[str, Any], watch: Watch) -> Result:
    _tell(report, watch)
    success, total = report["success"], report["episodes"]
    text = f"success {success['count']} of {total}, at least {success['lower_95']:.2%} with 95 % confidence"
    return Result(text, passed(report))


def reproduce(reference: str, policy: str | Path, old: Path, watch: Watch) -> Result:
    """Run a report's qualification again and say whether the same bits come out."""
    report = _read_report(old)
    cell = Cell.load(reference)
    if cell.spec.hash != report["cell_hash"]:
        raise InputError(
            f"this report is of a cell with hash {report['cell_hash']}, not {cell.spec.hash}",
            file=old,
            fix=f"name the cell file that was qualified ('{report['cell']}')",
        )
    plan = report["plan"]
    asked = Plan(plan["episodes"], plan["sequential"], plan["held_out"], plan["sensitivity"])
    new, _, _ = _judge(cell, policy, report["seed"], asked, watch, expected=report["policy"]["sha256"], file=old)
    now = versions()
    changed = [f"{k} {v} -> {now.get(k)}" for k, v in report["versions"].items() if now.get(k) != v]
    if changed:
        watch.say(f"  other versions: {', '.join(changed)}")
    found = differences(dict(report), json.loads(json.dumps(new)))
    if found:
        return Result(f"not the same: {', '.join(found)}", False)
    return Result(f"the same bits again: {report['episodes']} episodes, every figure and verdict")


def compare_policies(
    reference: str, policies: list[str], seed: int, episodes: int, every_pair: bool, out: Path | None, watch: Watch
) -> Result:
    """Run several policies on the same starts and say which difference is real."""
    cell = Cell.load(reference)
    rows = min(SIMULATIONS, episodes)
    loaded = [load(p, cell.spec, rows) for p in policies]
    names = _distinct([one.name for one in loaded])
    seeds = Seeds(seed, Space.COMPARE, key_of(*(one.sha256 for one in loaded if one.sha256)))
    outcomes = []
    for i, one in enumerate(loaded):
        count = _Count(watch, names[i], i * episodes, len(loaded) * episodes)
        outcomes.append([t.outcome for t in run_trials(cell.env(rows, seeds), one.policy, episodes, count)])
    table = compare(names, outcomes, every_pair=every_pair)
    for row in table:
        watch.say(f"  {_line(row)}")
    if out is not None:
        content = {
            "format": 1,
            "cell": cell.spec.name,
            "cell_hash": cell.spec.hash,
            "policies": [{"name": n, "path": str(p), "sha256": one.sha256, "kind": one.kind}
                         for n, p, one in zip(names, policies, loaded)],
            **sequence_json(seeds),
            "episodes": episodes,
            "versions": versions(),
            "differences": [row._asdict() for row in table],
        }  # fmt: skip
        write_json(out, content)
    real = sum(row.real for row in table)
    return Result(f"{real} of {len(table)} differences are real, on {episodes} common starts")


def _judge(
    cell: Cell, policy: str | Path, seed: int, plan: Plan, watch: Watch, expected: str = "", file: Path | None = None
) -> tuple[dict[str, Any], list[Trial], list[Cluster]]:
    rows = min(SIMULATIONS, plan.episodes)
    loaded = load(policy, cell.spec, rows)
    if expected and loaded.sha256 != expected:
        raise InputError(
            f"this report is of the policy {expected}, not of {loaded.sha256}", file=file, fix="name that policy"
        )
    seeds = Seeds(seed, Space.QUALIFY, key_of(loaded.sha256) if loaded.sha256 else ())
    fresh = freshness(seeds, loaded.sha256, loaded.provenance)
    meter = CostMeter()
    env, count = cell.env(rows, seeds), _Count(watch, "fresh episodes", 0, plan.episodes)
    judgement = judge(cell.spec, stream(env, loaded.policy, count), plan)
    outcomes = [trial.outcome for trial in judgement.trials]
    held_out = sensitivity = None

    def again(rows: int) -> Policy:
        return load(policy, cell.spec, rows).policy

    trained = _trained(cell.spec, loaded)
    settings = len(held_out_settings(cell.spec, trained))
    if plan.held_out and settings:
        count = _Count(watch, "held-out episodes", 0, settings * plan.held_out)
        held_out = held_out_report(cell.spec, trained, again, seeds, plan.held_out, outcomes, count)
    if plan.sensitivity:
        count = _Count(watch, "sensitivity", 0, sensitivity_points(cell.spec) * plan.sensitivity)
        sensitivity = sensitivity_report(cell.spec, again, seeds, plan.sensitivity, outcomes, count)
    simulated_s = sum(o.steps for o in outcomes) * cell.spec.period_s
    cost = {**meter.read(), "simulated_s": round(simulated_s, 2)}
    failures = clusters(cell.spec, judgement.trials)
    identity = PolicyIdentity(loaded.name, loaded.sha256, loaded.kind)
    report = build_report(cell.spec, identity, seeds, plan, judgement, fresh, cost, failures, held_out, sensitivity)
    return report, judgement.trials, failures


def _trained(cell: CellSpec, loaded: Loaded) -> Variation:
    """The ranges that the policy says it was trained on, or the cell's."""
    told = (loaded.provenance or {}).get("variation")
    try:
        return Variation.model_validate(told) if told else cell.variation
    except ValidationError as error:
        raise InputError(f"'{loaded.name}' says something impossible of its training ranges: {error}") from error


def _tell(report: dict[str, Any], watch: Watch) -> None:
    for row in report["requirements"]:
        value, low, high = ("-" if x is None else f"{x:.4g}" for x in (row["value"], row["lower_95"], row["upper_95"]))
        more = f"; about {row['more_needed']:,} more episodes would decide" if row["more_needed"] else ""
        watch.say(f"  {row['verdict']:<9} {row['name']}: {value} [{low}, {high}], limit {row['limit']:g}{more}")
    for entry in report["held_out"] or []:
        if entry["gap"]["lower_95"] > 0:
            less = "{value:.1%} less [{lower_95:.1%}, {upper_95:.1%}]".format(**entry["gap"])
            watch.say(f"  held-out {entry['factor']}: {entry['success']['rate']:.1%}, {less}")
    first = (report["sensitivity"] or {}).get("breaks_first")
    if first:
        watch.say(f"  breaks first: {first['factor']}, at {first['reach']:g} times its range")
    for objection in report["fresh"]["objections"]:
        watch.say(f"  not a qualification: {objection}")


def _seeds(report: dict[str, Any]) -> Seeds:
    return Seeds(report["seed"], Space[report["space"]], tuple(report["key"]))


def _clips(
    cell: Cell, policy: str | Path, report: dict[str, Any], folder: Path, watch: Watch
) -> tuple[list[tuple[str, str, bytes]], str]:
    """Films of a success and of the most typical episode of each large cluster of failures, or why there are none."""
    from robot_rlaas.qualify.clips import clip
    from robot_rlaas.sim.render import RenderingUnavailable

    numbers, good = report["per_episode"]["episode"], report["per_episode"]["success"]
    wanted = [("A success", "As it should be.", numbers[good.index(True)])] if any(good) else []
    wanted += [(f"Failure: {f['name']}", f["text"], f["medoid"]) for f in report["failures"][:FAILURE_CLIPS]]
    films = []
    for i, (title, text, episode) in enumerate(wanted):
        watch.bar("filming", i, len(wanted))
        path = folder / f"clip_{i}.mp4"
        try:
            clip(cell.spec, cell.workcell, load(policy, cell.spec, 1).policy, _seeds(report), episode, path)
        except RenderingUnavailable as error:
            return [], str(error)
        films.append((title, f"Episode {episode}. {text[0].upper()}{text[1:]}", path.read_bytes()))
        path.unlink()
    return films, ""


def _read_report(path: Path) -> Report:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(Report).validate_python(report)
    except (OSError, ValueError) as error:
        fix = "name a report.json that 'rlaas qualify' wrote"
        raise InputError(f"not a qualification report of this version ({error})", file=path, fix=fix) from error


def _distinct(names: list[str]) -> list[str]:
    return [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _line(row: Difference) -> str:
    a, b, d, low, high = ("-" if x is None else f"{x:.4g}" for x in row[4:9])
    said = f"{NAMES[row.figure]}: {row.a} {a}, {row.b} {b}; difference {d} [{low}, {high}], p {row.p:.2g}"
    return f"{'real' if row.real else 'noise':<6}{said}"


class _Count:
    """Turns ended episodes into a bar."""

    def __init__(self, watch: Watch, text: str, done: int, total: int) -> None:
        self._watch, self._text, self._done, self._total = watch, text, done, total

    def __call__(self, ended: int) -> None:
        self._done += ended
        self._watch.bar(self._text, min(self._done, self._total), self._total)
