"""Judging policies: a qualification and its report, the same again, and several policies side by side."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from robot_rlaas.bundle.domain import Domain, fit
from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space, key_of, sequence_json
from robot_rlaas.cell.spec import CellSpec, Variation
from robot_rlaas.env.batch import Outcome
from robot_rlaas.files import staged_dir, write_atomic, write_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.jobs.policies import Loaded, load
from robot_rlaas.qualify.claims import Plan, judge
from robot_rlaas.qualify.compare import Difference, compare
from robot_rlaas.qualify.failures import Cluster, clusters, starts_json
from robot_rlaas.qualify.fresh import freshness
from robot_rlaas.qualify.held_out import held_out_report, held_out_settings, sensitivity_points, sensitivity_report
from robot_rlaas.qualify.junit import junit
from robot_rlaas.qualify.observed import Observed
from robot_rlaas.qualify.report import CostMeter, PolicyIdentity, build_report, differences, passed, versions
from robot_rlaas.qualify.schema import Report
from robot_rlaas.qualify.trials import Trial, run_trials, stream
from robot_rlaas.sim.backends import CPU

SIMULATIONS = 250
FAILURE_CLIPS = 5
DOMAIN_EPISODES = 1000  # whose observations are kept for the operating domain
NAMES = {
    "success": "success",
    "cycle_time_s": "cycle time [s]",
    "peak_force_N": "peak force [N]",
    "impulse_Ns": "impulse [N s]",
}


def qualify(
    reference: str, policy: str | Path, seed: int, plan: Plan, out: Path, watch: Watch, simulator: str = CPU
) -> Result:
    """Judge a policy on episodes that did not exist before it did.

    Writes report.json, report.html, report.xml (JUnit), failures.json (the starts of the failed episodes) and, for a
    bundle, domain.json (what was seen in the successful ones). `simulator` as of `sim.backends.backend_of`.
    """
    refuse_to_replace(out)
    if (out / "deployment").exists():
        raise InputError("attempts on an arm are in there: they are not replaced", file=out, fix="name another")
    cell = Cell.load(reference)
    report, trials, failures, domain = _judge(cell, policy, seed, plan, watch, simulator)
    with staged_dir(out) as part:
        part.mkdir()
        clips, missing = _clips(cell, policy, report, part, watch)
        write_report(cell, report, trials, failures, clips, missing, part)
        if domain is not None:
            write_atomic(part / "domain.json", json.dumps(domain.to_json()) + "\n")
    return finish(report, watch)


def refuse_to_replace(out: Path) -> None:
    """Only an older report may be in the way of a new one.

    Raises:
        InputError: if something else is there.
    """
    if out.exists() and not (out / "report.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError("something is there that is not a report: it is not replaced", file=out, fix="name another")


def write_report(
    cell: Cell,
    report: dict[str, Any],
    trials: list[Trial],
    failures: list[Cluster],
    clips: list[tuple[str, str, bytes]],
    without_clips: str,
    folder: Path,
) -> None:
    """report.json, report.html, report.xml and failures.json, in `folder`."""
    from robot_rlaas.pages.qualification import qualification_page

    write_json(folder / "report.json", report)
    write_atomic(folder / "report.html", qualification_page(report, clips, without_clips))
    write_atomic(folder / "report.xml", junit(report))
    write_json(folder / "failures.json", starts_json(cell.spec, _seeds(report), trials, failures))


def finish(report: dict[str, Any], watch: Watch) -> Result:
    """Say what the report says; the result for the exit code."""
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
    simulator = report.get("simulator") or CPU
    expected = report["policy"]["sha256"]
    new, *_ = _judge(cell, policy, report["seed"], asked, watch, simulator, expected=expected, file=old)
    now = versions(simulator)
    changed = [f"{k} {v} -> {now.get(k)}" for k, v in report["versions"].items() if now.get(k) != v]
    if changed:
        watch.say(f"  other versions: {', '.join(changed)}")
    found = differences(report, json.loads(json.dumps(new)))
    if found:
        return Result(f"not the same: {', '.join(found)}", False)
    return Result(f"the same bits again: {report['episodes']} episodes, every figure and verdict")


def compare_policies(
    reference: str, policies: list[str], seed: int, episodes: int, every_pair: bool, out: Path | None, watch: Watch
) -> Result:
    """Run several policies on the same starts and say which difference is real."""
    if len(policies) < 2:
        raise InputError("one policy alone cannot be compared", fix="name two or more, such as 'expert'")
    if out is not None and out.is_dir():
        raise InputError("this is a directory; the comparison is a JSON file", file=out)
    cell = Cell.load(reference)
    rows = min(SIMULATIONS, episodes)
    loaded = [load(p, cell.spec, rows) for p in policies]
    names = _distinct([one.name for one in loaded])
    seeds = Seeds(seed, Space.COMPARE, key_of(*(one.sha256 for one in loaded if one.sha256)))
    outcomes = []
    for i, one in enumerate(loaded):
        count = _Count(watch, names[i], i * episodes, len(loaded) * episodes)
        with cell.env_for(one.policy, rows, seeds) as env:
            outcomes.append([t.outcome for t in run_trials(env, one.policy, episodes, count)])
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
    cell: Cell,
    policy: str | Path,
    seed: int,
    plan: Plan,
    watch: Watch,
    simulator: str,
    expected: str = "",
    file: Path | None = None,
) -> tuple[dict[str, Any], list[Trial], list[Cluster], Domain | None]:
    rows = min(SIMULATIONS, plan.episodes)
    loaded = load(policy, cell.spec, rows)
    if expected and loaded.sha256 != expected:
        raise InputError(
            f"this report is of the policy {expected}, not of {loaded.sha256}", file=file, fix="name that policy"
        )
    seeds = Seeds(seed, Space.QUALIFY, key_of(loaded.sha256) if loaded.sha256 else ())
    fresh = freshness(seeds, loaded.sha256, loaded.provenance)
    meter = CostMeter()
    observed, count = Observed(DOMAIN_EPISODES), _Count(watch, "fresh episodes", 0, plan.episodes)
    with cell.env_for(loaded.policy, rows, seeds, simulator) as env:
        judgement = judge(cell.spec, stream(env, loaded.policy, count, observed), plan)
    outcomes = [trial.outcome for trial in judgement.trials]
    seen = observed.of(o.episode for o in outcomes if o.success) if loaded.sha256 else []
    domain = fit(seen, env.contract, cell.spec.hash, loaded.sha256)
    beyond = _beyond(cell.spec, policy, loaded, seeds, plan, outcomes, simulator, watch)
    simulated_s = sum(o.steps for o in outcomes) * cell.spec.period_s + beyond.simulated_s
    cost = {**meter.read(), "simulated_s": round(simulated_s, 2)}
    failures = clusters(cell.spec, judgement.trials)
    identity = PolicyIdentity(loaded.name, loaded.sha256, loaded.kind)
    report = build_report(cell.spec, identity, seeds, plan, judgement, fresh, cost, failures, *beyond, simulator)
    return report, judgement.trials, failures, domain


class _Beyond(NamedTuple):
    """What becomes of a policy beyond ranges: see `build_report`."""

    held_out: list[dict[str, Any]] | None
    sensitivity: dict[str, Any] | None
    whose: str

    @property
    def simulated_s(self) -> float:
        """Of all these episodes."""
        parts = [*(self.held_out or []), *([self.sensitivity] if self.sensitivity else [])]
        return sum(part["simulated_s"] for part in parts)


def _beyond(
    cell: CellSpec,
    policy: str | Path,
    loaded: Loaded,
    seeds: Seeds,
    plan: Plan,
    outcomes: list[Outcome],
    simulator: str,
    watch: Watch,
) -> _Beyond:
    """Held-out factors and curves of sensitivity, where the plan asks for them."""
    held_out = sensitivity = None
    again, trained = _Again(policy, cell, loaded.sha256), _trained(loaded)
    ranges = trained or cell.variation
    settings = len(held_out_settings(cell, ranges))
    if plan.held_out and settings:
        count = _Count(watch, "held-out episodes", 0, settings * plan.held_out)
        held_out = held_out_report(cell, ranges, again, seeds, plan.held_out, outcomes, count, simulator)
    if plan.sensitivity:
        count = _Count(watch, "sensitivity", 0, sensitivity_points(cell) * plan.sensitivity)
        sensitivity = sensitivity_report(cell, again, seeds, plan.sensitivity, outcomes, count, simulator)
    return _Beyond(held_out, sensitivity, "policy" if trained else "cell")


class _Again:
    """Makes the policy anew, for other numbers of rows, and makes sure that it still is the same one."""

    def __init__(self, policy: str | Path, cell: CellSpec, sha256: str) -> None:
        self._policy, self._cell, self._sha256 = policy, cell, sha256

    def __call__(self, rows: int) -> Policy:
        loaded = load(self._policy, self._cell, rows)
        if loaded.sha256 != self._sha256:
            raise InputError(
                "the policy was replaced while it was judged", file=Path(self._policy), fix="judge it again"
            )
        return loaded.policy


def _trained(loaded: Loaded) -> Variation | None:
    """The ranges that the policy says it was trained on, if it does."""
    told = (loaded.provenance or {}).get("variation")
    try:
        return Variation.model_validate(told) if told else None
    except ValidationError as error:
        raise InputError(f"'{loaded.name}' says something impossible of its training ranges: {error}") from error


def _tell(report: dict[str, Any], watch: Watch) -> None:
    for row in report["requirements"]:
        value, low, high = ("-" if x is None else f"{x:.4g}" for x in (row["value"], row["lower_95"], row["upper_95"]))
        more = f"; a plan with about {row['more_needed']:,} more episodes would decide" if row["more_needed"] else ""
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
    films, again = [], _Again(policy, cell.spec, report["policy"]["sha256"])
    for i, (title, text, episode) in enumerate(wanted):
        watch.bar("filming", i, len(wanted))
        path = folder / f"clip_{i}.mp4"
        try:
            film = clip(cell.spec, cell.workcell, again(1), _seeds(report), episode, path)
        except RenderingUnavailable as error:
            return [], str(error)
        told = f"Episode {episode}. {text[0].upper()}{text[1:]}"
        if film.outcome.success != good[numbers.index(episode)]:
            alone = "Run alone, it ended otherwise: this policy's arithmetic depends on how many rows it sees."
            told += f" {alone}" if report["simulator"] == CPU else " Filmed on the CPU, it ended otherwise."
        films.append((title, told, path.read_bytes()))
        path.unlink()
    return films, ""


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        TypeAdapter(Report).validate_python(report)
    except (OSError, ValueError) as error:
        fix = "name a report.json that 'rlaas qualify' wrote"
        raise InputError(f"not a qualification report of this version ({error})", file=path, fix=fix) from error
    if report["space"] != Space.QUALIFY.name:
        raise InputError("this report is of attempts on an arm, which nothing can repeat", file=path)
    return report


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
