"""What insertions and a press teach, what sweeps are worth, and whether friction that falls with speed is told."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.calibration_plants import hidden_plant, truth
from bench.measurements import CELL, Figure, at_least, at_most
from robot_rlaas.calibrate.contact.attempts import read_attempts, seat
from robot_rlaas.calibrate.contact.face import fit_face
from robot_rlaas.calibrate.contact.learned import learn
from robot_rlaas.calibrate.contact.pressed import learn_pressed
from robot_rlaas.calibrate.contact.presses import read_press
from robot_rlaas.calibrate.contact.run import learn_contact
from robot_rlaas.calibrate.log import read_log
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import Kind, excitation, multisine
from robot_rlaas.calibrate.servo.fit import Fit, fit
from robot_rlaas.cell.contact import ContactReport, Learned
from robot_rlaas.cell.hardware import Plant, load_plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.deploy.names import MOTION, PLATE
from robot_rlaas.deploy.press import Gentle
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.qualify.trials import run_trials
from robot_rlaas.sim.learned import as_learned, offset_m
from robot_rlaas.sim.model import build
from robot_rlaas.sim.variation import draw

sys.path.append(str(Path(__file__).parents[1] / "tests" / "calibrate"))  # an installed package is called `tests` too
from hidden_plant import RATE_HZ, follow, write_mcap
from insertions import write_insertions
from pressing import true_height_m, write_press

LOGS, PARTS, DRAWS = 8, 20, 4000
EPISODES = 400
ARMS = 6
OUT_OF_LINE = {"plate_bias_mm": (1.3, 1.8), "friction": (0.1, 0.6)}  # a camera that errs, which the cell's file denies
PRESSES = 12
EXCESS = 1.0  # friction at rest, beyond Coulomb's, in parts of it


def contact_foretells() -> dict[str, Figure]:
    """Logs of 20 parts each: how many of all parts lie within the 95 % that the estimate of one log foretells.

    And a camera that is out of line: the expert's success on the arm, in the simulation of the cell's ranges, and in
    that of the cell which names what 40 parts of the arm showed.
    """
    cell, plant = Cell.load(CELL), load_plant("ur5e_worn", 6)
    changed = cell.spec.model_copy(update={"variation": cell.spec.variation.model_copy(update=OUT_OF_LINE)})
    with TemporaryDirectory() as folder:
        covered = _covered(cell, plant, Path(folder) / "log.mcap")
        log = write_insertions(Path(folder) / "out_of_line.mcap", changed, plant, range(2 * PARTS))
        report = learn_contact(cell.spec, cell.workcell, [log], PLATE, MOTION, Path(folder), lambda text: None)
    arm, ranges = report.inserted / report.attempts, _success(cell)
    learned = cell.spec.model_copy(update={"contact": report})
    foretold = _success(Cell(learned, build(learned), cell.path))
    return {
        "contact_foretells/next_parts_within_95": at_least(covered, "1", 0.9),
        "contact_foretells/arm": Figure(arm, "of the parts", None, None),
        "contact_foretells/ranges": Figure(ranges, "of the parts", None, None),
        "contact_foretells/learned": Figure(foretold, "of the parts", None, None),
        "contact_foretells/gap_closed": at_least((ranges - foretold) / (ranges - arm), "1", 0.5),
    }


def _covered(cell: Cell, plant: Plant, path: Path) -> float:
    numbers, length_m = range(LOGS * PARTS), cell.spec.task.part.length_mm / 1000
    attempts = read_attempts(write_insertions(path, cell.spec, plant, numbers), cell.workcell, PLATE)
    true = [draw(cell.spec, Seeds(number, Space.DEPLOY), np.zeros(1, int)) for number in numbers]
    true_m = np.concatenate([offset_m(one, length_m) for one in true])
    generators = [np.random.default_rng(i) for i in range(DRAWS)]
    some = draw(cell.spec, Seeds(0, Space.COMPARE), np.arange(DRAWS))
    shares = []
    for group in range(LOGS):
        seen = attempts[PARTS * group : PARTS * (group + 1)]
        seats = [sat for sat in (seat(cell.spec, attempt) for attempt in seen) if sat is not None]
        learned = [one.model_copy(update={"accepted": True}) for one in learn(cell.spec, seen, seats)]
        report = _report(tuple(one for one in learned if one.name.startswith("offset")))
        drawn_m = offset_m(as_learned(some, cell.spec, report, generators, ()), length_m)
        low, high = np.quantile(drawn_m, [0.025, 0.975], axis=0)
        shares.append(np.mean((true_m > low) & (true_m < high)))
    return float(np.mean(shares))


def gentle_press() -> dict[str, Figure]:
    """Twelve hidden arms press on a plate that stands off and askew: what is found, how surely, and how gently."""
    cell, gentle = Cell.load(CELL), Gentle()
    errors, inside, stands, peaks = [], [], [], []
    with TemporaryDirectory() as folder:
        for seed in range(PRESSES):
            rng = np.random.default_rng([seed, 77])
            plant, mu = _askew(seed, rng), rng.uniform(0.15, 0.6)
            vary = cell.spec.variation.model_copy(update={"friction": (mu, mu)})
            arm = cell.spec.model_copy(update={"variation": vary})
            pressed = write_press(Path(folder) / f"{seed}.mcap", arm, plant, seed, gentle)
            assert not pressed.trouble, pressed.trouble
            face = fit_face(read_press(pressed.path, cell.workcell, PLATE, MOTION))
            height_mm = 1000 * (face.height_m.value - true_height_m(arm, plant, seed))
            tilts = face.tilt_deg[0].value - plant.plate_tilt_x_deg, face.tilt_deg[1].value - plant.plate_tilt_y_deg
            errors.append((height_mm, *tilts, face.friction.value - mu))
            halves = 1000 * face.height_m.half_95, *(tilt.half_95 for tilt in face.tilt_deg), face.friction.half_95
            inside.append(np.abs(errors[-1]) <= halves)
            plate = next(one for one in learn_pressed(cell.spec, face) if one.name == "plate_z_mm")
            stands.append(abs(plate.value - plant.plate_z_mm) <= plate.hidden + 1000 * face.height_m.half_95)
            peaks.append(pressed.peak_N)
            told = ", ".join(f"{error:+.3f} (+- {half:.3f})" for error, half in zip(errors[-1], halves))
            print(f"  {seed:2d}: {told}, peak {pressed.peak_N:.1f} N in {pressed.seconds:.0f} s", flush=True)
    height, tilt_x, tilt_y, friction = np.sqrt(np.mean(np.square(errors), axis=0))
    return {
        "gentle_press/height_error": Figure(float(height), "mm", None, None),
        "gentle_press/tilt_error": Figure(float(np.hypot(tilt_x, tilt_y) / np.sqrt(2)), "deg", None, None),
        "gentle_press/friction_error": Figure(float(friction), "1", None, None),
        "gentle_press/coverage": at_least(float(np.mean(inside)), "1", 0.9),
        "gentle_press/plate_within_what_is_learned": at_least(float(np.mean(stands)), "1", 0.9),
        "gentle_press/peak_force": at_most(max(peaks) / gentle.force_N, "of the asked force", 3.0),
    }


def _askew(seed: int, rng: np.random.Generator) -> Plant:
    """A hidden arm whose plate is up to 3 mm off and 1 degree askew, and whose wrist sensor errs."""
    z, x, y = rng.uniform(-1.0, 1.0, 3)
    senses = {"force_noise_N": 1.0, "torque_noise_Nm": 0.05, "force_bias_N": 2.0, "torque_bias_Nm": 0.1}
    stands = {"plate_z_mm": 3 * z, "plate_tilt_x_deg": x, "plate_tilt_y_deg": y}
    return hidden_plant(seed).model_copy(update={**senses, **stands})


def _report(learned: tuple[Learned, ...]) -> ContactReport:
    about = {"rlaas_contact": 1, "cell": CELL, "cell_hash": "0" * 64, "date": "", "logs": (), "figures": ()}
    return ContactReport.model_validate({**about, "attempts": 0, "inserted": 0, "findings": (), "learned": learned})


def _success(cell: Cell) -> float:
    env = cell.env(100, Seeds(0, Space.COMPARE))
    trials = run_trials(env, expert_of(cell.spec, env.contract, env.nsim), EPISODES, lambda count: None)
    return float(np.mean([trial.outcome.success for trial in trials]))


def excitation_kinds() -> dict[str, Figure]:
    """Six hidden arms: intervals after 12 s of the better of multisines and sweeps, over those of multisines alone."""
    cell = Cell.load(CELL)
    arm = Arm(cell.workcell)
    found = {None: [], (multisine,): []}
    for seed in range(ARMS):
        for kinds, fits in found.items():
            fits.append(_fitted(cell, arm, seed, kinds))
    both, alone = (np.array([np.sqrt(np.diag(one.covariance)) for one in fits]) for fits in found.values())
    names = [e.name for e in found[None][0].estimates]
    error = {
        kinds: np.array([[e.value for e in one.estimates] - truth(hidden_plant(i), arm) for i, one in enumerate(fits)])
        for kinds, fits in found.items()
    }
    friction = [name == "joint_friction_Nm" for name in names]
    rms = [float(np.sqrt(np.mean(each[:, friction] ** 2))) for each in error.values()]
    ratio = np.exp(np.mean(np.log(both / alone), axis=0))
    narrower = {name: float(np.mean([r for r, n in zip(ratio, names) if n == name])) for name in dict.fromkeys(names)}
    return {
        **{f"excitation_kinds/{name}": Figure(value, "1", None, None) for name, value in narrower.items()},
        "excitation_kinds/friction_error": Figure(rms[0], "N m", None, None),
        "excitation_kinds/friction_error_multisines": Figure(rms[1], "N m", None, None),
    }


def _fitted(cell: Cell, arm: Arm, seed: int, kinds: tuple[Kind, ...] | None, excess: float = 0.0) -> Fit:
    plant, rng = hidden_plant(seed), np.random.default_rng([seed, 8])
    home = np.deg2rad(np.array(cell.spec.robot.home_deg))
    motion = excitation(cell.workcell, home, 12.0, cell.spec.control.rate_hz, rng, kinds=kinds)
    slow_Nm = excess * np.array(plant.joint_friction_Nm)
    with TemporaryDirectory() as folder:
        measured = follow(cell.workcell, plant, motion.setpoints(RATE_HZ), rng, slow_Nm)
        log = read_log(write_mcap(Path(folder) / "log.mcap", cell.workcell, measured), cell.workcell.profile)
    return fit(arm, log, lambda text: None)


def slow_friction() -> dict[str, Figure]:
    """Six hidden arms with as much friction again at rest, and without: in how many joints that is told."""
    cell = Cell.load(CELL)
    arm = Arm(cell.workcell)
    told, false = (
        [len(_fitted(cell, arm, seed, None, excess).unmodelled) for seed in range(ARMS)] for excess in (EXCESS, 0.0)
    )
    return {
        "slow_friction/arms_told": at_least(sum(count > 0 for count in told), "arms", ARMS),
        "slow_friction/joints_told": at_least(sum(told) / (ARMS * len(arm.joints)), "of the joints", 0.8),
        "slow_friction/false_alarms": at_most(sum(false), "joints", 0),
    }


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {
    "contact_foretells": contact_foretells,
    "gentle_press": gentle_press,
    "excitation_kinds": excitation_kinds,
    "slow_friction": slow_friction,
}
