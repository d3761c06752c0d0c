"""How soon a changed arm is noticed in production, and how often an unchanged one is called changed.

Cycles are simulated whole, as on the virtual arm: zeroing the wrench, the scripted expert with its contacts, the way
home, sensor noise. Their scores are drawn again and again, since ten thousand cycles take hours to simulate.
"""

import datetime
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.measurements import CELL, Figure, at_most
from robot_rlaas.calibrate.drift.cusum import cycles_to_notice, step, update
from robot_rlaas.calibrate.drift.production import Score, Scorer, cut
from robot_rlaas.calibrate.drift.watch import REFERENCE_CYCLES, Drift, Watch, begin
from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import excitation
from robot_rlaas.calibrate.servo.fit import fit
from robot_rlaas.calibrate.servo.run import tracking_error
from robot_rlaas.cell.calibration import Calibration, DataFile
from robot_rlaas.cell.hardware import Plant, load_plant
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.deploy.cycle import Cycle, Sensed
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm
from robot_rlaas.env.insertion import task as insertion
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.sim.model import build

PLANT = "ur5e_worn"
UNCHANGED, CHANGED, OTHERS = 300, 40, 10  # cycles that are simulated: as calibrated, per joint, per joint for the rest
STRETCHES, STRETCH_CYCLES, REFERENCES = 200, 10_000, 20
TRIALS, PATIENCE = 200, 1000
SLOW_CYCLES, SLOW_LEVELS, SLOW_JOINTS = 500, 30, (4, 5)


class Bench(NamedTuple):
    """A calibrated arm, its scorer, and scores of cycles in which it has not changed."""

    scorer: Scorer
    calibration: Calibration
    plant: Plant
    unchanged: list[Score]


@cache
def bench() -> Bench:
    cell, plant = load_cell(CELL), load_plant(PLANT, 6)
    workcell = build(cell)
    calibration = calibrated(plant)
    scorer = Scorer(cell, workcell, calibration)
    return Bench(scorer, calibration, plant, scores(scorer, [plant] * UNCHANGED, first_seed=0))


def calibrated(plant: Plant) -> Calibration:
    """From two simulated excitations, one to fit, one to judge on."""
    cell = load_cell(CELL)
    workcell = build(cell)
    home_rad, rng = np.deg2rad(np.array(cell.robot.home_deg)), np.random.default_rng(0)
    logs = []
    for seconds in (12.0, 6.0):
        motion = excitation(workcell, home_rad, seconds, cell.control.rate_hz, rng)
        logs.append(follow(VirtualArm(cell, plant, 0), motion.setpoints(workcell.profile.command_rate_hz)))
    arm = Arm(workcell)
    found = fit(arm, logs[0], on_event=lambda text: None)
    before, after = (arm.predict(logs[1], parameters)[0] for parameters in (arm.nominal(), found.parameters))
    nothing = DataFile(file="simulated", sha256="0" * 64)
    return Calibration(
        rlaas_calibration=1,
        cell=cell.name,
        cell_hash=cell.hash,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={},
        fit_log=nothing,
        heldout_log=nothing,
        accepted=True,
        reason="simulated",
        heldout=tracking_error(arm.joints, logs[1], before, after),
        estimates=found.estimates,
        covariance=tuple(map(tuple, found.covariance.tolist())),
    )


def follow(arm: VirtualArm, setpoints: np.ndarray) -> JointLog:
    """What the arm measures at every tick while it follows setpoints (T, k)."""
    reading, readings = arm.tick(None), []
    for command in setpoints:
        readings.append(reading)
        reading = arm.tick(command)
    time_s = np.array([r.time_s for r in readings])
    return JointLog(time_s, np.array([r.q_rad for r in readings]), time_s, setpoints)


def production_cycle(plant: Plant, seed: int) -> JointLog:
    """One whole cycle of the scripted expert, from rest at home to rest at home, on another part for every seed."""
    cell = load_cell(CELL)
    arm = VirtualArm(cell, plant, seed)
    workcell = arm.workcell
    expert = InsertionExpert(cell, insertion.contract(cell), 1)
    cycle = Cycle(cell, workcell.chain, workcell.envelope, expert, 1, lambda: None)
    targets = np.tile(np.deg2rad(np.array(cell.robot.home_deg)), (3, 1))
    ticks = round(cell.period_s / arm.tick_s)
    reading, wrenches, rows = arm.tick(None), [np.zeros(6)], []
    while not cycle.finished:
        sensed = Sensed(reading.time_s, reading.q_rad, np.mean(wrenches, axis=0), arm.observed_plate)
        targets, wrenches = np.concatenate([targets[1:], cycle.step(sensed)[None]]), []
        for i in range(ticks):
            command = setpoint(tuple(targets), (i + 1) / ticks)
            rows.append((reading.time_s, reading.q_rad, command))
            reading = arm.tick(command)
            wrenches.append(reading.wrench)
    time_s, q_rad, command_rad = (np.array(column) for column in zip(*rows))
    return JointLog(time_s, q_rad, time_s, command_rad)


def scores(scorer: Scorer, plants: list[Plant], first_seed: int) -> list[Score]:
    """Of one cycle per plant."""
    found = (scorer.score(cut(production_cycle(plant, first_seed + i))[-1]) for i, plant in enumerate(plants))
    return [score for score in found if score is not None]


def changed(plant: Plant, name: str, joint: int, factor: float) -> Plant:
    values = list(getattr(plant, name))
    values[joint] *= factor
    return plant.model_copy(update={name: tuple(values)})


def watch_after(reference: list[Score]) -> Watch:
    """A watch whose reference is complete."""
    b = bench()
    watch = begin(b.calibration, b.scorer.suspects)
    for score in reference:
        watch = update(watch, score, b.scorer.suspects)
    return watch


def reference(rng: np.random.Generator) -> list[Score]:
    return [bench().unchanged[i] for i in rng.integers(0, len(bench().unchanged), REFERENCE_CYCLES)]


def alarms(draw: Callable[[int], Score], rng: np.random.Generator) -> Drift | None:
    """What a watch with a reference of its own finds in the cycles draw(0), draw(1), ..., if it finds something."""
    watch = watch_after(reference(rng))
    for i in range(PATIENCE):
        watch = update(watch, draw(i), bench().scorer.suspects)
        if watch.found:
            return watch.found
    return None


def noticed(pool: list[Score], name: str, joint: str | None) -> tuple[np.ndarray, float, float]:
    """Cycles to the alarm, and how often it named the parameter, alone, or among those that it cannot tell apart."""
    rng = np.random.default_rng(0)
    found = [alarms(lambda _: pool[rng.integers(len(pool))], rng) for _ in range(TRIALS)]
    cycles = np.array([f.cycle - REFERENCE_CYCLES if f else np.inf for f in found])
    full = f"{name} of {joint}" if joint else name
    first = float(np.mean([f is not None and (f.name, f.joint) == (name, joint) for f in found]))
    among = float(np.mean([f is not None and ((f.name, f.joint) == (name, joint) or full in f.alike) for f in found]))
    spread = " ".join(f"{value:5.0f}" for value in (np.median(cycles), np.percentile(cycles, 95), cycles.max()))
    print(f"  {full:<44} {spread}   {first:6.1%} {among:6.1%}", flush=True)
    return cycles, first, among


def detection() -> dict[str, Figure]:
    """+30 % friction in one joint after another; gain -10 %, delay +10 ms and a slow rise of friction besides."""
    b = bench()
    joints = b.calibration.heldout.joints
    average = np.mean([s.response for s in b.unchanged], axis=0)
    for one, rise, n in zip(b.scorer.suspects, average, cycles_to_notice(watch_after(b.unchanged[:50]).reference)):
        print(f"  {one!s:<44} {one.change:+9.3g}: {rise:6.1f} standard deviations a cycle, about {n:.0f} cycles")
    print("  changed                                      median  95 %  worst   named  among")
    results, figures = [], {}
    for j, joint in enumerate(joints):
        plants = [changed(b.plant, "joint_friction_Nm", j, 1.3)] * CHANGED
        cycles, first, among = noticed(scores(b.scorer, plants, 10_000 + 1000 * j), "joint_friction_Nm", joint)
        results.append((float(np.percentile(cycles, 95)), first, among))
        figures[f"drift/detect_cycles/{joint}"] = Figure(results[-1][0], "1", None, None)
    for j, joint in enumerate(joints):
        plants = [changed(b.plant, "servo_gain_scale", j, 0.9)] * OTHERS
        noticed(scores(b.scorer, plants, 20_000 + 1000 * j), "servo_gain_scale", joint)
    late = b.plant.model_copy(update={"command_delay_s": b.plant.command_delay_s + 0.01})
    noticed(scores(b.scorer, [late] * OTHERS, 30_000), "command_delay_s", None)
    for j in SLOW_JOINTS:
        slow(j, joints[j])
    worst, first, among = (pick(column) for pick, column in zip((max, min, min), zip(*results)))
    return {
        "drift/detect_cycles": at_most(worst, "1", 20),
        "drift/named": Figure(first, "1", None, None),
        "drift/named_among": Figure(among, "1", None, None),
        **figures,
    }


def slow(j: int, joint: str) -> None:
    """Friction that rises by 30 % over SLOW_CYCLES."""
    plant, rng = bench().plant, np.random.default_rng(0)
    rising = [changed(plant, "joint_friction_Nm", j, 1 + 0.3 * (i + 1) / SLOW_LEVELS) for i in range(SLOW_LEVELS)]
    pool = scores(bench().scorer, rising, 40_000 + 1000 * j)

    def risen(i: int) -> Score:
        """A cycle from about that far up: the very same one again and again would be no noise."""
        return pool[np.clip(i * SLOW_LEVELS // SLOW_CYCLES + rng.integers(-3, 4), 0, SLOW_LEVELS - 1)]

    found = [alarms(risen, rng) for _ in range(TRIALS // 4)]
    cycles = np.array([f.cycle - REFERENCE_CYCLES if f else np.inf for f in found])
    named = np.mean([f is not None and (f.name, f.joint) == ("joint_friction_Nm", joint) for f in found])
    print(
        f"  friction of {joint} rising over {SLOW_CYCLES} cycles: {np.median(cycles):.0f}, named {named:.0%}",
        flush=True,
    )


def false_alarms() -> dict[str, Figure]:
    """Per 10,000 cycles in which nothing changes, and with scores as bad as the theory allows."""
    b, rng = bench(), np.random.default_rng(1)
    value, response = (np.array([getattr(s, field) for s in b.unchanged]) for field in ("value", "response"))
    lag = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in value.T]
    print(f"  correlation of consecutive cycles: {np.abs(lag).max():.2f}; by chance {3.3 / len(value) ** 0.5:.2f}")
    threshold, count, levels = watch_after([]).threshold, 0, []
    each = STRETCHES // REFERENCES
    for _ in range(REFERENCES):
        adds = step(watch_after(reference(rng)).reference, value, response)
        found, highest = run(lambda adds=adds: adds[rng.integers(len(adds), size=each)], threshold)
        count, levels = count + found, [*levels, highest]
    print(f"  {count} alarms in {STRETCHES} x {STRETCH_CYCLES} cycles; up to {max(levels):.1f} of {threshold:.1f}")
    shape = (STRETCHES, len(b.scorer.suspects))
    hostile, _ = run(lambda: rng.standard_normal(shape) - 0.5, threshold)  # `step` for a z of mean 1/2 and weight 1
    return {
        "drift/false_alarms_per_10000": at_most(count / STRETCHES, "1", 1),
        "drift/false_alarms_per_10000/hostile": at_most(hostile / STRETCHES, "1", 1),
    }


def run(draw: Callable[[], np.ndarray], threshold: float) -> tuple[int, float]:
    """False alarms of CUSUMs (n, p) over STRETCH_CYCLES, begun anew after each, and the highest level there was."""
    level, count, highest = np.zeros(draw().shape), 0, 0.0
    for _ in range(STRETCH_CYCLES):
        level = np.maximum(0.0, level + draw())
        highest = max(highest, float(level.max()))
        over = level.max(axis=1) >= threshold
        count += int(over.sum())
        level[over] = 0.0
    return count, highest


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "drift/detect_cycles": detection,
    "drift/false_alarms": false_alarms,
}
