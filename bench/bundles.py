"""What it costs to trust a bundle, and whether its operating domain tells a broken cell from a sound one."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from bench.enforcement import enforced
from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.bundle import Trust, build_bundle, load_bundle
from robot_rlaas.bundle.domain import Domain
from robot_rlaas.bundle.keys import make_pair, read_private
from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.deploy.inside import LEFT_PERIODS, Inside
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.jobs import pipeline, qualification, training
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.policies import load
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.qualify.claims import Plan
from robot_rlaas.qualify.observed import Observed
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.model import build

QUALIFIED, FRESH, BROKEN, ROWS = 1000, 500, 100, 100  # episodes, and how many of them side by side
CELLS = {  # ranges far beyond what the policy was qualified on
    "friction_0.9": {"friction": (0.8, 1.0)},
    "plate_4_mm_off": {"plate_bias_mm": (3.5, 4.5)},
    "plate_60_mm_away": {"plate_xy_mm": (55, 65)},
    "part_3_mm_off": {"hand_offset_mm": (2.5, 3.5)},
}
HIDDEN = ("friction_0.9", "part_3_mm_off")  # what nobody observes, and what may go well all the same
FREEZES_AT = 10  # periods
FROZEN = {
    "frozen_force_sensor": ("force", "torque"),
    "frozen_joint_angles": ("tool_position", "tool_rotation", "lead_position", "lead_rotation"),
}


class Broken:
    """A policy that sees some features as they were in the tenth period; what it sees is noted."""

    def __init__(self, policy: Policy, env: BatchEnv, frozen: tuple[str, ...], observed: Observed) -> None:
        self._policy, self._env, self._observed = policy, env, observed
        self._frozen = np.array([f.name in frozen for f in env.contract.observation for _ in f.axes])
        self._since, self._held = np.zeros(env.nsim, dtype=int), np.zeros((env.nsim, env.contract.observation_size))

    def reset(self, ids: np.ndarray) -> None:
        self._since[ids] = 0
        self._policy.reset(ids)

    def act(self, observation: np.ndarray) -> np.ndarray:
        sound = self._since <= FREEZES_AT
        self._held[sound] = observation[sound]
        seen = np.where(self._frozen, self._held, observation).astype(np.float32)
        self._observed.note(self._env.episode, seen)
        self._since += 1
        return self._policy.act(seen)


def operating_domain() -> dict[str, Figure]:
    """A policy as `make demo` trains and qualifies it, in a signed bundle: see `domain_of`."""
    with TemporaryDirectory() as folder:
        policy, recipe = Path(folder) / "policy", load_recipe("default")
        pipeline.demonstrate(CELL, recipe, 0, Path(folder) / "demonstrations", Quiet())
        training.train(CELL, Path(folder) / "demonstrations", recipe, 0, "cpu", policy, Quiet())
        return domain_of(policy)


def domain_of(policy: Path) -> dict[str, Figure]:
    """Loading the policy's bundle, scoring with its domain, and how often that is left.

    An episode leaves it when LEFT_PERIODS observations in a row are outside. Nominal episodes are fresh ones, failures
    included; in broken ones a range is far out, or a sensor freezes after half a second.
    """
    with TemporaryDirectory() as folder:
        judged, key = Path(folder) / "judged", read_private(make_pair(Path(folder), "bench").private, str)
        qualification.qualify(CELL, policy, 0, Plan(QUALIFIED, sequential=False), judged, Quiet())
        bundle = build_bundle(policy, judged / "report.json", Path(folder) / "bundle", key=key)
        loaded, figures = load_bundle(bundle, Trust((key.public,))), _loading(bundle, Trust((key.public,)))
    domain, cell = loaded.domain, Cell.load(CELL)
    assert domain is not None
    nominal, _ = _episodes(cell, policy, 1, FRESH, ())
    figures |= {
        "operating_domain/score": at_most(_score_us(domain, nominal[0][0]), "us", 50),
        "operating_domain/size": Figure(len(domain.offsets) / domain.size, "regions", None, None),
        "operating_domain/nominal_observations_outside": at_most(
            float(np.mean(domain.scores(np.concatenate(nominal)) > 1)), "1", 0.002
        ),
        "operating_domain/nominal_episodes_left": at_most(_left(domain, nominal), "1", 0.02),
    }
    for name, ranges in CELLS.items():
        spec = cell.spec.model_copy(update={"variation": cell.spec.variation.model_copy(update=ranges)})
        figures |= _told(name, domain, *_episodes(Cell(spec, build(spec), cell.path), policy, 2, BROKEN, ()))
    for name, features in FROZEN.items():
        figures |= _told(name, domain, *_episodes(cell, policy, 2, BROKEN, features))
    return figures | enforced(loaded, CELLS)


def _episodes(
    cell: Cell, policy: Path, seed: int, count: int, frozen: tuple[str, ...]
) -> tuple[list[np.ndarray], float]:
    """What the policy sees in each episode, and how many of them succeed."""
    env, observed = cell.env(ROWS, Seeds(seed, Space.QUALIFY)), Observed(count)
    acting = Broken(load(policy, cell.spec, ROWS).policy, env, frozen, observed)
    trials = run_trials(env, acting, count, lambda ended: None)
    return observed.of(range(count)), float(np.mean([trial.outcome.success for trial in trials]))


def _told(name: str, domain: Domain, episodes: list[np.ndarray], success: float) -> dict[str, Figure]:
    left = _left(domain, episodes)
    return {
        f"operating_domain/left/{name}": Figure(left, "1", None, None) if name in HIDDEN else at_least(left, "1", 0.95),
        f"operating_domain/success/{name}": Figure(success, "1", None, None),
    }


def _left(domain: Domain, episodes: list[np.ndarray]) -> float:
    inside = Inside(domain)
    for episode in episodes:
        inside.begin()
        for observation in episode:
            inside.see(observation)
    return float(np.mean([attempt["longest"] >= LEFT_PERIODS for attempt in inside.told()["attempts"]]))


def _score_us(domain: Domain, observation: np.ndarray) -> float:
    """Median of many."""
    took = []
    for _ in range(5000):
        start = time.perf_counter()
        domain.score(observation)
        took.append(time.perf_counter() - start)
    return 1e6 * median(took)


def _loading(bundle: Path, trust: Trust) -> dict[str, Figure]:
    """Reading, verifying and parsing a signed bundle, and the import that the signature needs, as a process."""
    took = []
    for _ in range(20):
        start = time.perf_counter()
        load_bundle(bundle, trust)
        took.append(time.perf_counter() - start)
    parity = load_bundle(bundle).manifest["parity"]
    difference = parity["largest_difference"] if parity else float("nan")
    return {
        "bundle_load/verified": at_most(1e3 * median(took), "ms", 200),
        "bundle_load/import_cryptography": at_most(_import_s("cryptography.hazmat.primitives.asymmetric.ec"), "s", 0.5),
        "bundle_load/torch_against_onnx": at_most(difference, "1", 1e-5),
    }


def _import_s(module: str) -> float:
    """Beyond what the interpreter takes, median of seven."""
    both = []
    for code in ("pass", f"import {module}"):
        took = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            took.append(time.perf_counter() - start)
        both.append(median(took))
    return both[1] - both[0]


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"operating_domain": operating_domain}
