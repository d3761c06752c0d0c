"""One policy for several cells beside a policy for each, with the same budget of simulated steps."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from bench.joined import Experts, Joined, about, settled
from bench.measurements import CELL, Figure
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.data.episode import Episode, record
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.learn.aggregate import aggregate
from robot_rlaas.learn.clone import clone, statistics, successes
from robot_rlaas.learn.improve import Validation, improve, make_model
from robot_rlaas.learn.network import MeanActor, export_onnx
from robot_rlaas.learn.recipe import Recipe, load_recipe, recipe_for
from robot_rlaas.learn.validate import judge, run_episodes
from robot_rlaas.learn.vec_env import BatchVecEnv
from robot_rlaas.qualify.compare import paired_proportions
from robot_rlaas.qualify.statistics import Estimate, proportion, quantile
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build

CELLS = (CELL, "peg_insertion_round", "peg_insertion_tight", "gear_meshing")
ACROSS = (CELL, "peg_insertion_tight")  # specialists that also try
BETWEEN = {"clearance_mm": 0.35, "chamfer_mm": 0.75}  # of a cell that nobody trained in
RECIPE = load_recipe("default").model_copy(update={"validate_every": 10, "validation_episodes": 256})
STEPS = 400_000  # control periods to learn from, per cell, demonstrations and aggregation included
SEED, JUDGED, ROWS = 0, 500, 100
CALLS = 5_000


class Trained(NamedTuple):
    """A network, whether it was told which cell it is in, and what it cost.

    Attributes:
        steps: control periods simulated to learn from.
        looked: control periods simulated for validation.
        core_s: processor time of all threads, from the first demonstration on.
    """

    network: bytes
    told: bool
    steps: int
    looked: int
    core_s: float

    def policy_for(self, cell: CellSpec) -> OnnxPolicy:
        """As an ordinary policy of this cell."""
        network = settled(self.network, about(cell)) if self.told else self.network
        return OnnxPolicy(network, contract_of(cell))


def train(names: Sequence[str], recipe: Recipe = RECIPE, steps: int = STEPS, seed: int = SEED) -> Trained:
    """Clone, aggregate and improve as `rlaas train` does, on the rows of one cell or of several.

    Whatever is counted once for a cell (demonstrations, episodes, steps) is there as often as there are cells; the
    rows of PPO are shared out among them. Training never ends early, so that all have the same budget.
    """
    began, count = time.process_time(), len(names)
    torch.set_num_threads(1)
    cells = [Cell.load(name) for name in names]

    def joined(rows: int, space: Space, first: int = 0, widen: float = 1.0) -> Joined:
        return Joined([cell.env(rows, Seeds(seed, space), first, widen) for cell in cells], count > 1)

    showing = joined(min(ROWS, recipe.demonstrations), Space.DEMONSTRATE)
    noise = np.random.default_rng([seed, int(Space.DEMONSTRATE)])
    amount = recipe.demonstrations * count
    good = successes(record(showing, Experts(showing), amount, recipe.demonstration_noise, noise, lambda: None))
    env = joined(recipe.simulations // count, Space.TRAIN, widen=recipe.widen)
    model = make_model(BatchVecEnv(env), recipe, *statistics(good), seed, "cpu")
    clone(model.policy, good, recipe.clone_epochs, recipe.discount, seed)
    validate = Validate(cells, lambda rows, first: joined(rows, Space.VALIDATE, first), recipe, MeanActor(model.policy))
    best = _aggregated(model.policy, names, env, good, recipe, seed, validate)
    update = recipe.rollout_steps * env.nsim
    left = steps * count - taken(showing, env) - recipe.critic_warmup * update
    settings = recipe.model_copy(update={"budget_steps": left // update * update})
    improve(model, settings, best, validate, lambda progress: None)
    network, spent_s = export_onnx(model.policy), time.process_time() - began
    return Trained(network, count > 1, taken(showing, env), validate.looked, spent_s)


def _aggregated(
    policy: object,
    names: Sequence[str],
    env: Joined,
    good: list[Episode],
    recipe: Recipe,
    seed: int,
    validate: "Validate",
) -> Validation:
    """Ask the experts of those cells whose own recipe does so."""
    cloned = validate()
    asked = [one for one, name in zip(env.envs, names) if load_recipe(recipe_for(name)).aggregate_rounds]
    if not asked:
        return cloned
    among = Joined(asked, len(names) > 1)
    more = recipe.model_copy(update={"aggregate_episodes": recipe.aggregate_episodes * len(asked)})
    return aggregate(policy, Experts(among), among, good, more, seed, cloned, validate, lambda done: None)


def taken(*envs: Joined) -> int:
    """Control periods that all their rows have lived through."""
    return round(sum(one.simulated_s / one.cell.period_s for env in envs for one in env.envs))


class Validate:
    """Judges an actor by fresh episodes, shared out among its cells, each by its cell's own requirements.

    `looked` counts control periods.
    """

    def __init__(
        self, cells: Sequence[Cell], env_from: Callable[[int, int], Joined], recipe: Recipe, actor: MeanActor
    ) -> None:
        self._cells, self._env_from, self._actor = cells, env_from, actor
        self._each, self._next, self.looked = recipe.validation_episodes // len(cells), 0, 0

    def __call__(self) -> Validation:
        env = self._env_from(min(self._each, ROWS), self._next)
        outcomes = run_episodes(env, self._actor.act, self._each * len(self._cells), [])
        self._next += self._each + env.nsim
        self.looked += taken(env)
        verdicts = [
            judge(cell.spec, [o for o in outcomes if o.episode % len(self._cells) == i])
            for i, cell in enumerate(self._cells)
        ]
        success, score = (float(np.mean([getattr(v, name) for v in verdicts])) for name in ("success", "score"))
        return Validation(success, score, good_enough=False)


class Judged(NamedTuple):
    """How a policy's fresh episodes in one cell ended, and its seconds for one observation."""

    outcomes: list[Outcome]
    inference_s: float

    @property
    def success(self) -> Estimate:
        """With one-sided bounds."""
        return proportion(sum(o.success for o in self.outcomes), len(self.outcomes))

    @property
    def force_N(self) -> float:
        """95 % of peak forces are within."""
        return quantile(np.array([o.peak_force_N for o in self.outcomes]), 0.95).value

    def better_than(self, other: "Judged") -> Estimate:
        """Success more than the other's on the same starts, with a two-sided interval of 95 %."""
        both = [(mine.success, theirs.success) for mine, theirs in zip(self.outcomes, other.outcomes)]
        return paired_proportions(both.count((True, False)), both.count((False, True)), len(both))

    def figures(self, name: str) -> dict[str, Figure]:
        return {
            f"{name}/success": Figure(self.success.value, "1", None, None),
            f"{name}/lower_95": Figure(self.success.lower, "1", None, None),
            f"{name}/force_p95": Figure(self.force_N, "N", None, None),
            f"{name}/inference": Figure(self.inference_s * 1e6, "us", None, None),
        }


def judged(spec: CellSpec, policy: OnnxPolicy) -> Judged:
    """By the same episodes, whatever the policy."""
    workcell = build(spec)
    env = BatchEnv(spec, workcell, CpuBackend(workcell, spec, ROWS), Seeds(SEED, Space.COMPARE))
    outcomes = [trial.outcome for trial in run_trials(env, policy, JUDGED, lambda ended: None)]
    one, took_s = env.observation[:1], []
    for _ in range(CALLS):
        start = time.perf_counter()
        policy.act(one)
        took_s.append(time.perf_counter() - start)
    return Judged(outcomes, median(took_s))


def between() -> CellSpec:
    """A square peg in a plate that nobody trained with."""
    cell = load_cell(CELL)
    task = cell.task.model_copy(update={"plate": cell.task.plate.model_copy(update=BETWEEN)})
    return cell.model_copy(update={"name": "between", "task": task})


def generalist() -> dict[str, Figure]:
    """Success, forces, inference and cost of four specialists and of one policy for their cells; one seed.

    The last cell is nobody's: the generalist reads its numbers, and two specialists act as in their own.
    """
    special = {name: train([name]) for name in CELLS}
    general = train(CELLS)
    figures = cost("specialists", list(special.values())) | cost("generalist", [general])
    print("  | cell | policy | succeed | at least | generalist better by | 95 % of forces within | inference |")
    print("  |---|---|---|---|---|---|---|")
    for spec in (*(load_cell(name) for name in CELLS), between()):
        mine = judged(spec, general.policy_for(spec))
        figures |= _told(spec.name, "generalist", mine, None)
        for name in (spec.name,) if spec.name in special else ACROSS:
            theirs = judged(spec, special[name].policy_for(spec))
            who = "specialist" if name == spec.name else name
            figures |= _told(spec.name, who, theirs, mine.better_than(theirs))
    return figures


def cost(name: str, trainings: list[Trained]) -> dict[str, Figure]:
    """Of these trainings together."""
    units = {"steps": "1", "looked": "1", "core_s": "s"}
    return {
        f"generalist/{name}/{key}": Figure(sum(getattr(one, key) for one in trainings), unit, None, None)
        for key, unit in units.items()
    }


def _told(cell: str, who: str, found: Judged, difference: Estimate | None) -> dict[str, Figure]:
    """A row of the table, printed, and its figures."""
    by = "{:+.1%} ({:+.1%} to {:+.1%})".format(*difference) if difference else ""
    rate, force, us = found.success, f"{found.force_N:.1f} N", f"{found.inference_s * 1e6:.1f} us"
    print(f"  | {cell} | {who} | {rate.value:.1%} | {rate.lower:.1%} | {by} | {force} | {us} |", flush=True)
    return found.figures(f"generalist/{cell}/{who}")


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"generalist": generalist}
