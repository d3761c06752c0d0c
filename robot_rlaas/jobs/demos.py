"""What is done with demonstrations, wired together: `rlaas demos` calls it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space, key_of
from robot_rlaas.files import write_atomic, write_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch, counter

if TYPE_CHECKING:
    from robot_rlaas.data.episode import Episode
    from robot_rlaas.data.quality.coverage import Candidates
    from robot_rlaas.data.quality.findings import Data
    from robot_rlaas.data.quality.inspection import Inspection
    from robot_rlaas.data.quality.replay import Again

CANDIDATES = 2000  # episodes of a sequence among which the next starts are looked for
NEXT_SEED = 1000  # of that sequence: not one that anybody records demonstrations from by default
AUGMENT_ROWS = 64  # attempts side by side
MOST_NAMED = 8  # episodes in a line


def look(path: Path, watch: Watch, replay: bool = True) -> "tuple[Data, Inspection, dict[int, Again]]":
    """Open a dataset and look for everything that may be wrong with it; how its episodes went this time, if asked."""
    from robot_rlaas.data.opened import open_dataset
    from robot_rlaas.data.quality.findings import Data
    from robot_rlaas.data.quality.inspection import inspect

    watch.bar("reading", 0, 1)
    data = Data(open_dataset(path))
    again = simulate_again(data, watch) if replay else {}
    found = inspect(data, again, candidates(data), lambda name, done, total: watch.bar(f"{name}", done, total))
    return data, found, again


def simulate_again(data: "Data", watch: Watch) -> "dict[int, Again]":
    """Every episode of the dataset that was simulated, run again from its start and its actions, if those are known."""
    from robot_rlaas.data.quality.replay import simulate
    from robot_rlaas.env.batch import BatchEnv
    from robot_rlaas.sim.cpu import CpuBackend
    from robot_rlaas.sim.model import build
    from robot_rlaas.sim.variation import draw

    drawn = {i: e for i, e in data.opened.episodes.items() if e.seeds and np.isfinite(e.executed).all()}
    if not drawn:
        return {}
    spec, workcell = data.spec, build(data.spec)

    def env_of(episodes: "list[Episode]") -> BatchEnv:
        seeds, numbers = episodes[0].seeds, np.array([e.number for e in episodes])
        assert seeds is not None
        env = BatchEnv(spec, workcell, CpuBackend(workcell, spec, len(episodes)), seeds, restart=False)
        env.reset(starts=draw(spec, seeds, numbers))
        return env

    return simulate(drawn, env_of, lambda done: watch.bar("simulating again", done, len(drawn)))


def candidates(data: "Data") -> "Candidates | None":
    """Starts that could be recorded next; None for a dataset whose true starts nobody knows."""
    from robot_rlaas.data.episode import start_of
    from robot_rlaas.data.quality.coverage import Candidates
    from robot_rlaas.sim.variation import draw

    if not data.opened.lineage.start_axes:
        return None
    seeds, numbers = Seeds(NEXT_SEED, Space.DEMONSTRATE), np.arange(CANDIDATES)
    pieces = [start_of(draw(data.spec, seeds, some), data.spec) for some in np.array_split(numbers, 20)]
    return Candidates(seeds, numbers, np.concatenate(pieces))


def inspect(path: Path, out: Path, replay: bool, watch: Watch) -> Result:
    """Say what is good and bad about a dataset; leave inspection.json and inspection.html."""
    from robot_rlaas.pages.inspection import inspection_page

    if out.resolve() == path.resolve():
        raise InputError("an inspection is no part of the dataset", file=out, fix="name another --out")
    data, found, _ = look(path, watch, replay)
    counts, cover = found.content["counts"], found.content["coverage"]
    frames = f"{counts['episodes']} episodes, {counts['frames']:,} frames, {counts['successes']} successful"
    watch.say(f"{frames}; {counts['replayed']} simulated again")
    for line in summary(found):
        watch.say(f"  {line}")
    for start in cover["next"]:
        watch.say(f"  record next: {start['text']}{_number(start)}")
    numbers = [str(start["number"]) for start in cover["next"] if start["sequence"]]
    if numbers:
        options = f"--seed {NEXT_SEED} --starts {' '.join(numbers)}"
        watch.say(f"  with: rlaas demos record {data.spec.name} --out {path} {options}")
    page = inspection_page(found.content, data.spec.requirements.contact_force_N.limit)
    write_json(out / "inspection.json", found.content)
    write_atomic(out / "inspection.html", page)
    verdict = "nothing is wrong" if found.clean else f"{counts['bad']} episodes are bad, {counts['trim']} are to be cut"
    return Result(f"{verdict}: {out / 'inspection.html'}", found.clean)


def _number(start: dict[str, Any]) -> str:
    return f" (episode {start['number']} of seed {start['sequence']['seed']})" if start["sequence"] else ""


def summary(found: "Inspection") -> list[str]:
    """One line per kind of finding: the worst first, with its episodes, or with what it says if there is only one."""
    kinds: dict[tuple[str, str], list[Any]] = {}
    for finding in found.findings:
        kinds.setdefault((finding.severity, finding.check), []).append(finding)
    lines = []
    for (severity, check), same in kinds.items():
        episodes = sorted({f.episode for f in same if f.episode is not None})
        some = ", ".join(map(str, episodes[:MOST_NAMED])) + (
            f" and {len(episodes) - MOST_NAMED} more" * (len(episodes) > MOST_NAMED)
        )
        where = f"episode{'s' * (len(episodes) > 1)} {some}: " if episodes else ""
        lines.append(f"{severity:4} {check}: {where}{same[0].text}{' (the first)' if len(episodes) > 1 else ''}")
    return lines


def clean(path: Path, out: Path, rules: Sequence[str], replay: bool, mend: bool, watch: Watch) -> Result:
    """Write a new dataset without the episodes and frames that a rule is against, or with them simulated again."""
    from robot_rlaas.data import edit

    edit.check_rules(rules)
    edit.fresh(out)
    data, found, again = look(path, watch, replay)
    kept, left_out = edit.clean(data.opened, found.findings, rules, again if mend else {})
    settings = {"rules": list(rules), "replay": replay, "mend": mend}
    edit.write(out, kept, "rlaas demos clean", settings, left_out, counter(watch, "writing", len(kept)))
    for line in left_out:
        watch.say(f"  {line}")
    return Result(f"{len(kept)} of {len(data.opened.lineage.episodes)} episodes kept: {out}")


def merge(paths: Sequence[Path], out: Path, watch: Watch) -> Result:
    """One dataset of several."""
    from robot_rlaas.data import edit
    from robot_rlaas.data.opened import open_dataset

    opened = [open_dataset(path) for path in paths]
    edit.same_kind(opened)
    kept = [one for dataset in opened for one in edit.whole(dataset)]
    edit.write(out, kept, "rlaas demos merge", {}, (), counter(watch, "writing", len(kept)))
    return Result(f"{len(kept)} episodes of {len(paths)} datasets: {out}")


def split(path: Path, share: float, seed: int, out: Path, rest: Path, watch: Watch) -> Result:
    """Two datasets of one, by whole episodes."""
    from robot_rlaas.data import edit
    from robot_rlaas.data.opened import open_dataset

    parts = edit.split(open_dataset(path), share, seed)
    for kept, target in zip(parts, (out, rest)):
        left = [
            f"episode {one.episode} is in {rest.name if target == out else out.name}"
            for part in parts
            for one in part
            if part is not kept
        ]
        settings = {"share": share, "seed": seed}
        edit.write(
            target, kept, "rlaas demos split", settings, left, counter(watch, f"writing {target.name}", len(kept))
        )
    return Result(f"{len(parts[0])} episodes in {out}, {len(parts[1])} in {rest}")


def relabel(path: Path, episodes: Sequence[int], success: bool, because: str, out: Path, watch: Watch) -> Result:
    """The dataset with another outcome for some episodes."""
    from robot_rlaas.data import edit
    from robot_rlaas.data.opened import open_dataset

    kept, lines = edit.relabel(open_dataset(path), episodes, success, because)
    settings = {"episodes": list(episodes), "success": success, "because": because}
    edit.write(out, kept, "rlaas demos relabel", settings, lines, counter(watch, "writing", len(kept)))
    return Result(f"{len(lines)} of {len(kept)} episodes relabelled: {out}")


def export(path: Path, kind: str, out: Path, watch: Watch) -> Result:
    """The dataset for other tools."""
    from robot_rlaas.data.export import to_lerobot, to_mcap
    from robot_rlaas.data.opened import open_dataset

    opened = open_dataset(path)
    if kind == "lerobot":
        to_lerobot(opened, out)
    else:
        to_mcap(opened, out, counter(watch, "writing", len(opened.episodes)))
    return Result(f"{len(opened.episodes)} episodes as {kind}: {out}")


def augment(path: Path, count: int, tries: int, noise: float, seed: int, out: Path, watch: Watch) -> Result:
    """Write a dataset of new attempts that do again what the successful episodes of another did."""
    from robot_rlaas.data.augment import augment as attempt
    from robot_rlaas.data.episode import start_axes
    from robot_rlaas.data.lerobot import read_dataset, write_dataset
    from robot_rlaas.data.lineage import Made, lineage_of, parent_of, read_lineage
    from robot_rlaas.env.tasks import contract_of
    from robot_rlaas.sim.model import build

    lineage = read_lineage(path)
    if out.resolve() == path.resolve():
        message = "a dataset cannot take the place of one that it is made of"
        raise InputError(message, file=out, fix="name another --out")
    contract, parent = contract_of(lineage.spec), parent_of(path, lineage)
    episodes = read_dataset(path, contract)
    sources = [episode for episode in episodes if episode.success]
    left_out = [f"episode {i} failed: nothing is taken from it" for i, e in enumerate(episodes) if not e.success]
    if not sources:
        raise InputError("none of its episodes succeeded: there is nothing to do again", file=path, fix="record others")
    cell = Cell(lineage.spec, build(lineage.spec), path)
    env = cell.env(min(AUGMENT_ROWS, tries), Seeds(seed, Space.AUGMENT, key_of(parent.sha256)))
    rng = np.random.default_rng([seed, int(Space.AUGMENT)])

    def show(kept: int, tried: int) -> None:
        watch.bar(f"attempting: {kept} of {tried} succeeded", kept, count)

    done = attempt(env, sources, count, tries, noise, rng, show)
    rate = f"{len(done.kept)} of {done.tried} attempts succeeded"
    lost = [f"  {stage}: {past} of {came} got past it" for stage, came, past in done.past]
    if not done.kept:
        raise StageError("\n".join([f"{rate}; nothing is written", *lost]))
    for line in lost:
        watch.say(line)
    made = Made(
        by="rlaas demos augment",
        settings={"seed": seed, "tries": tries, "noise": noise, "tried": done.tried},
        parents=(parent,),
        left_out=tuple(left_out),
    )
    new = lineage_of(lineage.spec, contract, start_axes(lineage.spec), made)
    write_dataset(out, new, done.kept, counter(watch, "writing", len(done.kept)))
    short = "" if len(done.kept) == count else f", {count} were wanted"
    return Result(f"{rate}: {len(done.kept)} episodes from {len(sources)}{short}: {out}", not short)
