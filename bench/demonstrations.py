"""What inspection of demonstrations finds, what cleaning is worth, and how fast datasets are read."""

import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, reduce
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from bench.defects import CAMERA, STATE, Defect, Scene
from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data import edit
from robot_rlaas.data.episode import Episode, record, start_axes
from robot_rlaas.data.lerobot import append_episode, read_dataset, write_dataset
from robot_rlaas.data.lineage import Lineage, Made, attempt_of, lineage_of
from robot_rlaas.data.opened import Opened, open_dataset
from robot_rlaas.data.quality.findings import Data, Finding, Severity
from robot_rlaas.data.quality.inspection import inspect
from robot_rlaas.data.quality.rules import DEFAULT_RULES
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import contract_of, expert_of
from robot_rlaas.jobs import demos, pipeline, qualification, training
from robot_rlaas.jobs.overview import read_json
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.qualify.claims import Plan
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build
from robot_rlaas.sim.render import Renderer
from robot_rlaas.sim.variation import draw

CELLS = {CELL: 100, "machine_tending": 60}  # cell -> episodes
SEEDS, SHARE = range(3), 0.05
FILMED, PICTURE_PX = 40, 96
CLEANED = 400  # episodes
NOISE = 0.1
OPENED, ITEMS = 100_000, 3_000  # frames


class Score(NamedTuple):
    """Of how many defective episodes how many were found, and of how many good ones how many were blamed."""

    found: int
    of: int
    blamed: int
    good: int
    by: Counter


NOTHING = Score(0, 0, 0, 0, Counter())


def both(a: Score, b: Score) -> Score:
    return Score(a.found + b.found, a.of + b.of, a.blamed + b.blamed, a.good + b.good, a.by + b.by)


@cache
def dataset(cell_name: str, count: int) -> tuple[Lineage, list[Episode]]:
    """Scripted episodes of a cell, as `rlaas demos generate` records them."""
    cell = pipeline.Cell.load(cell_name)
    env = cell.env(min(count, 100), Seeds(0, Space.DEMONSTRATE))
    expert = expert_of(cell.spec, env.contract, env.nsim)
    episodes = record(env, expert, count, NOISE, np.random.default_rng(0), lambda: None)
    return lineage_of(cell.spec, env.contract, start_axes(cell.spec), Made(by="a bench")), episodes


def opened(lineage: Lineage, episodes: list[Episode]) -> Opened:
    """As if they had been read from disk."""
    whole = lineage.model_copy(update={"episodes": tuple(attempt_of(e) for e in episodes)})
    contract = contract_of(lineage.spec)
    return Opened(Path("bench"), whole, contract, dict(enumerate(episodes)), (), {}, {})


def spoil(
    lineage: Lineage, episodes: list[Episode], kinds: dict[str, Defect], rng: np.random.Generator
) -> tuple[list[Episode], dict[int, str]]:
    """Each defect in a share of the episodes -> all episodes, and the kind of each defective one."""
    number = max(1, round(SHARE * len(episodes)))
    chosen = rng.choice(np.arange(1, len(episodes)), number * len(kinds), replace=False)
    kind_of = {int(i): kind for i, kind in zip(chosen, [kind for kind in kinds for _ in range(number)])}
    spoilt, contract, control = list(episodes), contract_of(lineage.spec), lineage.spec.control
    for i, kind in kind_of.items():
        earlier = [e for j, e in enumerate(episodes[:i]) if j not in kind_of] or episodes[:1]
        spoilt[i] = kinds[kind](episodes[i], Scene(contract, control, earlier, rng))
    return spoilt, kind_of


def scores(findings: tuple[Finding, ...], kind_of: dict[int, str], count: int) -> dict[str, Score]:
    """By kind; what is blamed on good episodes is counted with each kind that was there."""
    found: dict[int, list[str]] = {}
    for finding in findings:
        if finding.severity is not Severity.NOTE and finding.episode is not None:
            found.setdefault(finding.episode, []).append(finding.check)
    blamed, result = sum(i not in kind_of for i in found), dict[str, Score]()
    for i in set(found) - kind_of.keys():
        print(f"  blamed: episode {i} for {found[i]}", flush=True)
    for kind in dict.fromkeys(kind_of.values()):
        mine = [i for i in kind_of if kind_of[i] == kind]
        by = Counter(check for i in mine for check in set(found.get(i, ["nothing"])))
        result[kind] = Score(sum(i in found for i in mine), len(mine), blamed, count - len(kind_of), by)
    return result


def seeded_defects() -> dict[str, Figure]:
    """Defects in 5 % of the episodes, one kind after the other: the share that is found, and good episodes blamed.

    State defects are looked for without simulating the episodes again, as on an arm; then once more with it, all kinds
    in one dataset.
    """
    figures, every = {}, NOTHING
    for cell in CELLS:
        lineage, episodes = dataset(cell, CELLS[cell])
        for kind, defect in STATE.items():
            total = NOTHING
            for seed in SEEDS:
                rng = np.random.default_rng([seed, *kind.encode()])
                spoilt, kind_of = spoil(lineage, episodes, {kind: defect}, rng)
                found = inspect(Data(opened(lineage, spoilt)), {})
                total = both(total, scores(found.findings, kind_of, len(spoilt))[kind])
            every = both(every, _told(f"{cell}/{kind}", total))
            figures[f"seeded_defects/{cell}/{kind}"] = at_least(total.found / total.of, "1", 0.95)
        figures |= _with_replay(cell)
    for kind, total in _on_disk().items():
        every = both(every, _told(kind, total))
        figures[f"seeded_defects/{CELL}/{kind}"] = at_least(total.found / total.of, "1", 0.95)
    return figures | {
        "seeded_defects/found": at_least(every.found / every.of, "1", 0.95),
        "seeded_defects/false_alarms": at_most(every.blamed / every.good, "1", 0.02),
    }


def _told(name: str, total: Score) -> Score:
    by = ", ".join(f"{check} {count}" for check, count in total.by.most_common())
    print(f"  {name}: {total.found} of {total.of} ({by}); blamed {total.blamed} of {total.good}", flush=True)
    return total


def _with_replay(cell: str) -> dict[str, Figure]:
    lineage, episodes = dataset(cell, CELLS[cell])
    spoilt, kind_of = spoil(lineage, episodes, STATE, np.random.default_rng(0))
    data = Data(opened(lineage, spoilt))
    found = inspect(data, demos.simulate_again(data, Quiet()))
    each = list(scores(found.findings, kind_of, len(spoilt)).values())
    total = reduce(both, each)._replace(blamed=each[0].blamed, good=each[0].good)
    _told(f"{cell}, all kinds, with replay", total)
    return {
        f"seeded_defects/{cell}/with_replay": at_least(total.found / total.of, "1", 0.95),
        f"seeded_defects/{cell}/with_replay/false_alarms": at_most(total.blamed / max(total.good, 1), "1", 0.02),
    }


def _on_disk() -> dict[str, Score]:
    """Defects of pictures and of files, in a dataset with a camera."""
    totals: dict[str, Score] = {}
    lineage, episodes = dataset(CELL, CELLS[CELL])
    filmed = list(film(lineage, episodes[:FILMED]))
    for seed in SEEDS[:2]:
        rng = np.random.default_rng(seed)
        spoilt, kind_of = spoil(lineage, filmed, CAMERA, rng)
        cut = round(SHARE * FILMED)
        last = range(FILMED - 2 * cut, FILMED)
        kind_of = {i: kind for i, kind in kind_of.items() if i not in last}
        spoilt[last.start :] = filmed[last.start :]
        with TemporaryDirectory() as folder:
            path = Path(folder) / "filmed"
            size = {"close": (PICTURE_PX, PICTURE_PX)}
            write_dataset(path, lineage, spoilt[: last.start], cameras=size)
            for episode in spoilt[last.start :]:
                append_episode(path, episode)
            for i, suffix in zip(last, ["parquet"] * cut + ["mp4"] * cut):
                file = sorted(path.glob(f"{'data' if suffix == 'parquet' else 'videos'}/**/*.{suffix}"))[i - FILMED]
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
                kind_of[i] = "truncated_frames" if suffix == "parquet" else "truncated_film"
            found = inspect(Data(open_dataset(path)), {})
        for kind, score in scores(found.findings, kind_of, FILMED).items():
            totals[kind] = both(totals.get(kind, NOTHING), score)
    return totals


def film(lineage: Lineage, episodes: list[Episode]) -> Iterator[Episode]:
    """The same episodes with what a camera close to the hole saw."""
    spec, workcell = lineage.spec, build(lineage.spec)
    with Renderer(workcell, PICTURE_PX, PICTURE_PX, shadows=False, smooth=False) as renderer:
        for episode in episodes:
            assert episode.seeds is not None
            backend, taken = CpuBackend(workcell, spec, 1), []
            env = BatchEnv(spec, workcell, backend, episode.seeds, restart=False)
            env.reset(starts=draw(spec, episode.seeds, np.array([episode.number])))
            for action in episode.executed:
                taken.append(renderer.draw(backend, 0, "close"))
                env.step(action[None])
            yield episode._replace(pictures={"close": np.stack(taken)})


def cleaning() -> dict[str, Figure]:
    """Success of the clone of clean data, of data with each of twelve defects in 5 % of it, and of that data cleaned.

    Cleaning simulates again what it can and leaves out the rest. What the mere number of episodes does is told by clean
    data without the episodes that cleaning leaves out.
    """
    lineage, episodes = dataset(CELL, CLEANED)
    spoilt, kind_of = spoil(lineage, episodes, STATE, np.random.default_rng(1))
    data = Data(opened(lineage, spoilt))
    again = demos.simulate_again(data, Quiet())
    found = inspect(data, again)
    kept, _ = edit.clean(data.opened, found.findings, DEFAULT_RULES, again)
    parts = {
        "clean": episodes,
        "clean_as_few": [episodes[one.episode] for one in kept],
        "spoilt": [e for i, e in enumerate(spoilt) if kind_of.get(i) != "nan"],  # training refuses them
        "cleaned": [one.anew or spoilt[one.episode].take(slice(0, one.frames)) for one in kept],
    }
    figures, least = {}, 0.0
    for name, part in parts.items():
        rate, lower, upper = cloned(lineage, part)
        print(f"  {name}: {len(part)} episodes, {rate:.3f} ({lower:.3f} to {upper:.3f})", flush=True)
        least = lower if name == "clean" else least
        figures[f"cleaning/{name}"] = at_least(rate, "1", least) if name == "cleaned" else Figure(rate, "1", None, None)
    return figures


def cloned(lineage: Lineage, episodes: list[Episode]) -> tuple[float, float, float]:
    """Success of their clone on 1,000 fresh episodes, with its bounds."""
    recipe = load_recipe("default").model_copy(update={"budget_steps": 1, "aggregate_rounds": 0})
    with TemporaryDirectory() as folder:
        out, watch = Path(folder), Quiet()
        write_dataset(out / "demos", lineage, episodes)
        training.train(CELL, out / "demos", recipe, 0, "cpu", out / "policy", watch)
        plan = Plan(1000, sequential=False)
        qualification.qualify(CELL, out / "policy" / "clone.onnx", 0, plan, out / "report", watch)
        report = read_json(out / "report" / "report.json")
    assert report is not None
    success = report["success"]
    return success["rate"], success["lower_95"], success["upper_95"]


def open_dataset_time() -> dict[str, Figure]:
    """Seconds to open 100,000 frames for training, medians of five; and a pass over them against LeRobot's items."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    lineage, episodes = dataset(CELL, CELLS[CELL])
    contract = contract_of(lineage.spec)
    times = -(-OPENED // sum(len(e.action) for e in episodes))
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "demos"
        write_dataset(path, lineage, episodes * times)
        opening = [_seconds(lambda: read_dataset(path, contract)) for _ in range(5)]
        read = read_dataset(path, contract)
        observation, action = (np.concatenate([getattr(e, part) for e in read]) for part in ("observation", "action"))
        rng = np.random.default_rng(0)
        passing = [_seconds(lambda: _pass(observation, action, rng)) / len(action) for _ in range(5)]
        stock = LeRobotDataset(repo_id="local/demos", root=path, video_backend="pyav")
        items = _seconds(lambda: [stock[i] for i in range(ITEMS)]) / ITEMS
        shutil.rmtree(path)
    print(
        f"  {len(action):,} frames; per frame {1e6 * median(passing):.2f} us, LeRobot {1e6 * items:.0f} us", flush=True
    )
    return {
        "open_dataset/seconds": at_most(median(opening), "s", 2.0),
        "open_dataset/pass_over_lerobot": at_least(items / median(passing), "1", 20.0),
    }


def _pass(observation: np.ndarray, action: np.ndarray, rng: np.random.Generator) -> float:
    """Every frame once, in shuffled batches, as behaviour cloning takes them."""
    order, total = rng.permutation(len(action)), 0.0
    for some in np.array_split(order, len(order) // 256):
        total += float(observation[some][:, 0].sum() + action[some][:, 0].sum())
    return total


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "seeded_defects": seeded_defects,
    "cleaning": cleaning,
    "open_dataset": open_dataset_time,
}
