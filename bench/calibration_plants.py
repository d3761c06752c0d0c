"""Calibration and what it is good for, on virtual arms whose parameters the fitting code never sees."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.bundle import OnnxPolicy
from robot_rlaas.calibrate.log import JointLog, read_log
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import excitation, multisine
from robot_rlaas.calibrate.servo.parameters import IDENTIFIABLE, quantities, unpack
from robot_rlaas.calibrate.servo.run import calibrate
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.data.episode import record
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.jobs.calibration import FIT_S, HELD_OUT_S
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.training import ShownTraining
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.train import train
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.model import TIMESTEP_S, build

sys.path.append(str(Path(__file__).parents[1] / "tests" / "calibrate"))  # an installed package is called `tests` too
from hidden_plant import RATE_HZ, follow, known, write_mcap

PLANTS = 20
NOMINAL = {
    "joint_damping_scale": (1.0, 1.0),
    "joint_friction_Nm": (0.0, 0.0),
    "servo_gain_scale": (1.0, 1.0),
    "command_delay_s": (0.0, 0.0),
}
GAP_EPISODES = 200
HEAVY_KG = 1.5  # arms with more in the hand than that are taken through the loop
BUDGET_STEPS, AGAIN_STEPS = 1_600_000, 400_000
FRICTION_MAX_NM = np.array([3.0, 3.0, 3.0, 0.8, 0.8, 0.8])


class Calibrated(NamedTuple):
    """One arm, what was found of it, from which file, and the motion it was judged on."""

    plant: Plant
    found: Calibration
    file: Path
    heldout: JointLog
    seconds: float


def hidden_plant(seed: int) -> Plant:
    """An arm drawn at random: servos, friction, armature, delay, a payload of up to 2 kg, noise."""
    rng = np.random.default_rng([seed, 99])

    def six(low: float, high: float) -> tuple[float, ...]:
        return tuple(rng.uniform(low, high, 6).tolist())

    return Plant.model_validate(
        {
            "description": f"drawn from seed {seed}",
            "servo_gain_scale": six(0.75, 1.25),
            "joint_damping_scale": six(0.7, 1.4),
            "armature_scale": six(0.7, 1.4),
            "joint_friction_Nm": tuple((FRICTION_MAX_NM * rng.uniform(size=6)).tolist()),
            "command_delay_s": _simulated(rng.uniform(0.0, 0.04)),
            "payload_kg": rng.uniform(0.0, 2.0),
            **{f"payload_{axis}_m": rng.uniform(-0.05, 0.05) for axis in "xyz"},
            "joint_noise_rad": rng.uniform(5e-5, 2e-4),
        }
    )


def _simulated(delay_s: float) -> float:
    """MuJoCo takes a delay shorter than a time step for a whole one: it is none, so that it is what it says."""
    return delay_s if delay_s >= TIMESTEP_S else 0.0


def calibrated(cell: Cell, seed: int, out: Path) -> Calibrated:
    """Move a hidden arm twice, fit, judge: excitation, logs, fit and picture, as `rlaas calibrate` does it."""
    start = time.perf_counter()
    plant, rng = hidden_plant(seed), np.random.default_rng([seed, 8])
    home, rate = np.deg2rad(np.array(cell.spec.robot.home_deg)), cell.spec.control.rate_hz
    out.mkdir(parents=True)
    logs = []
    for name, seconds in (("fit", FIT_S), ("held_out", HELD_OUT_S)):
        kinds = None if name == "fit" else (multisine,)
        motion = excitation(cell.workcell, home, seconds, rate, rng, kinds=kinds)
        measured = follow(cell.workcell, plant, motion.setpoints(RATE_HZ), rng)
        logs.append(write_mcap(out / f"{name}.mcap", cell.workcell, measured))
    found = calibrate(cell.spec, cell.workcell, logs[0], logs[1], out, lambda text: None)
    heldout = read_log(logs[1], cell.workcell.profile)
    return Calibrated(plant, found, out / "calibration.yaml", heldout, time.perf_counter() - start)


def truth(plant: Plant, arm: Arm) -> np.ndarray:
    """The plant's parameters (p,) in the order of the estimates."""
    return np.concatenate([np.atleast_1d(getattr(plant, q.name)) for q in quantities(arm)])


def told_apart(arm: Arm, one: Calibrated) -> list[float]:
    """By how much the held-out motion changes where an unidentifiable parameter is another one, in units of the noise.

    The parameter moves from the truth by its prior's standard deviation, and the others with it as the posterior says.
    """
    of = quantities(arm)
    spread, low, high = (np.concatenate([getattr(q, end) for q in of]) for end in ("spread", "low", "high"))
    covariance, x = np.array(one.found.covariance), truth(one.plant, arm)
    unknown = [i for i, e in enumerate(one.found.estimates) if not e.identifiable]
    moved = [x, *(x + covariance[i] * spread[i] / covariance[i, i] for i in unknown)]
    q = arm.predict(one.heldout, unpack(np.clip(moved, low, high), of))
    return (np.sqrt(np.mean((q[1:] - q[0]) ** 2, axis=(1, 2))) / one.plant.joint_noise_rad).tolist()


def hidden_plants() -> dict[str, Figure]:
    """Twenty arms: tracking error before and after, coverage of the intervals, what was called unidentifiable, time."""
    cell = Cell.load(CELL)
    arm = Arm(cell.workcell)
    spread = np.concatenate([q.spread for q in quantities(arm)])
    good, accepted, falls, to_noise, seconds, changes = 0, 0, [], [], [], []
    inside, unknown_error, unknown_z = defaultdict(list), [], []
    with TemporaryDirectory() as folder:
        for seed in range(PLANTS):
            one = calibrated(cell, seed, Path(folder) / str(seed))
            error, noise_mrad, true = one.found.heldout, 1000 * one.plant.joint_noise_rad, truth(one.plant, arm)
            fall, rest = error.mean_before_mrad / error.mean_after_mrad, error.mean_after_mrad / noise_mrad
            good, accepted = good + (fall >= 5 or rest <= 2), accepted + one.found.accepted
            falls.append(fall)
            to_noise.append(rest)
            seconds.append(one.seconds)
            changes += told_apart(arm, one)
            for i, (e, value) in enumerate(zip(one.found.estimates, true)):
                if e.identifiable:
                    inside[e.name].append(e.lower_95 <= value <= e.upper_95)
                else:
                    unknown_error.append((e.value - value) / spread[i])
                    unknown_z.append((e.value - value) / np.sqrt(one.found.covariance[i][i]))
            unknown = sum(not e.identifiable for e in one.found.estimates)
            change = f"{error.mean_before_mrad:5.2f} -> {error.mean_after_mrad:.3f} mrad, {rest:.2f} of the noise"
            print(f"  {seed:2d}: {change}, {unknown} of {len(true)} unidentifiable, {one.seconds:.0f} s", flush=True)
    covered = {name: float(np.mean(each)) for name, each in inside.items()}
    hits = np.concatenate(list(inside.values()))
    known_of_all = len(hits) / (len(hits) + len(unknown_z))
    return {
        "hidden_plants/tracking": at_least(good, "arms", PLANTS),
        "hidden_plants/accepted": at_least(accepted, "arms", PLANTS),
        "hidden_plants/least_fall": Figure(min(falls), "1", None, None),
        "hidden_plants/most_left": Figure(max(to_noise), "of the noise", None, None),
        "hidden_plants/coverage": at_least(float(np.mean(hits)), "1", 0.9),
        **{f"hidden_plants/coverage/{name}": Figure(p, "1", None, None) for name, p in covered.items()},
        "hidden_plants/identified": Figure(known_of_all, "1", None, None),
        "hidden_plants/unidentifiable_told": at_most(max(changes), "of the noise", 1.0),
        "hidden_plants/unidentifiable_error": at_least(_rms(unknown_error), "of the prior's", IDENTIFIABLE),
        "hidden_plants/unidentifiable_z": Figure(_rms(unknown_z), "of the posterior's", None, None),
        "hidden_plants/seconds": at_most(max(seconds), "s", 60),
    }


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


class Policy(NamedTuple):
    """A trained network, and the cell whose simulation it was trained in."""

    network: bytes
    cell: Cell


def trained(cell: Cell, out: Path, budget_steps: int, start: Policy | None = None) -> Policy:
    """Demonstrate, clone and improve, as `rlaas train` does it; from `start` on, if there is one."""
    recipe = load_recipe("default").model_copy(update={"budget_steps": budget_steps})
    env, noise = cell.env(100, Seeds(0, Space.DEMONSTRATE)), np.random.default_rng([0, int(Space.DEMONSTRATE)])
    expert = InsertionExpert(cell.spec, env.contract, env.nsim)
    episodes = record(env, expert, recipe.demonstrations, recipe.demonstration_noise, noise, lambda: None)
    train(
        cell.spec,
        cell.env(recipe.simulations, Seeds(0, Space.TRAIN), widen=recipe.widen),
        lambda first: cell.env(recipe.simulations, Seeds(0, Space.VALIDATE), first),
        episodes,
        recipe,
        0,
        "cpu",
        out,
        {},
        ShownTraining(Quiet(), recipe.budget_steps),
        start.network if start else None,
    )
    return Policy((out / "policy.onnx").read_bytes(), cell)


def successes(policy: Policy, cell: Cell) -> float:
    """How many of GAP_EPISODES parts succeed; the parts are the same for every policy and every arm."""
    env = cell.env(100, Seeds(0, Space.COMPARE))
    trials = run_trials(env, OnnxPolicy(policy.network, env.contract), GAP_EPISODES, lambda count: None)
    return float(np.mean([trial.outcome.success for trial in trials]))


def _changed(cell: Cell, **changes: Any) -> Cell:
    spec = cell.spec.model_copy(update=changes)
    return Cell(spec, build(spec), cell.path)


def success_gap() -> dict[str, Figure]:
    """What the loop closes of the drop in success between nominal simulation and hidden arms.

    The nominal policy knows one arm, the model's; the policy of the ranges has seen arms drawn from the cell file's
    hand-made ranges. The arms with a heavy payload, whatever the policies do on them, are taken through the loop:
    calibrate, train on from the nominal policy in the calibrated simulation, count the same parts again.
    """
    cell = Cell.load(CELL)
    nominal = _changed(cell, variation=cell.spec.variation.model_copy(update=NOMINAL))
    arms = [_changed(cell, calibration=known(cell.workcell, hidden_plant(seed))) for seed in range(PLANTS)]
    heavy = [seed for seed in range(PLANTS) if hidden_plant(seed).payload_kg > HEAVY_KG]
    with TemporaryDirectory() as folder:
        first = trained(nominal, Path(folder) / "nominal", BUDGET_STEPS)
        ranges = trained(cell, Path(folder) / "ranges", BUDGET_STEPS)
        at_home, at_home_ranges = successes(first, nominal), successes(ranges, cell)
        before, wide = ([successes(policy, arm) for arm in arms] for policy in (first, ranges))
        print(f"  nominal policy: {at_home:.1%} at home, on the arms {' '.join(f'{100 * p:.1f}' for p in before)}")
        print(f"  policy of the ranges: {at_home_ranges:.1%}, on the arms {' '.join(f'{100 * p:.1f}' for p in wide)}")
        after = [_after_the_loop(cell, seed, first, arms[seed], Path(folder)) for seed in heavy]
    mean_before, mean_after = float(np.mean([before[seed] for seed in heavy])), float(np.mean(after))
    drop = at_home - mean_before
    return {
        "success_gap": at_least((mean_after - mean_before) / drop if drop > 0 else 1.0, "of the drop", 0.8),
        "success_gap/nominal": Figure(at_home, "1", None, None),
        "success_gap/before": Figure(mean_before, "1", None, None),
        "success_gap/after": Figure(mean_after, "1", None, None),
        "success_gap/ranges": Figure(float(np.mean([wide[seed] for seed in heavy])), "1", None, None),
        "success_gap/arms_with_a_drop": Figure(sum(p < at_home for p in before), "arms", None, None),
        "success_gap/arms_with_a_drop_ranges": Figure(sum(p < at_home_ranges for p in wide), "arms", None, None),
    }


def _after_the_loop(cell: Cell, seed: int, first: Policy, arm: Cell, folder: Path) -> float:
    """Success on a hidden arm once it was calibrated and the policy trained on in the calibrated simulation."""
    twin = _changed(cell, calibration=calibrated(cell, seed, folder / f"log{seed}").found)
    again = trained(twin, folder / f"again{seed}", AGAIN_STEPS, first)
    before, after = successes(first, arm), successes(again, arm)
    print(
        f"  {seed}: {before:.1%} -> {after:.1%}, in the calibrated simulation {successes(again, twin):.1%}", flush=True
    )
    return after


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "hidden_plants": hidden_plants,
    "success_gap": success_gap,
}
