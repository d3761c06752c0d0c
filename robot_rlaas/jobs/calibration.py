"""Finding out how an arm differs from the nominal one: motions, logs, fits, and what a fit foretells."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import naming_lines
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.insertion import InsertionTask
from robot_rlaas.cell.kinds import insertion_only
from robot_rlaas.files import staged_dir
from robot_rlaas.jobs.pipeline import Cell, Result, Watch

if TYPE_CHECKING:
    from robot_rlaas.calibrate.drives.motion import MotionLog
    from robot_rlaas.cell.camera_calibration import Mount
    from robot_rlaas.cell.hardware import HardwareProfile

FIT_S, HELD_OUT_S = 12.0, 6.0
MOVED_S = 1.0  # at least, of a motion whose way up and back takes long
SPOT = re.compile(r"spot (\d+) of (\d+)")  # how the line of a pressed spot begins
MOTIONS = (("fit", FIT_S), ("held_out", HELD_OUT_S))


def _insertion(reference: str) -> Cell:
    cell = Cell.load(reference)
    insertion_only(cell.spec)
    return cell


def _in_free_air(reference: str, arm: str) -> Cell:
    """A cell whose arm moves for its own calibration: the virtual arm has a plate, a real one needs none."""
    return _insertion(reference) if arm == "virtual" else Cell.load(reference)


def calibrate(
    reference: str, out: Path, plant: str, arm: str, seed: int, watch: Watch, line: Line = AS_THE_PROFILE_SAYS
) -> Result:
    """Move an arm so that its parameters show, fit them, judge the fit on a second motion."""
    if not (out / "calibration.yaml").exists():
        _must_be_empty(out)
    cell = _in_free_air(reference, arm)
    with staged_dir(out) as part:
        part.mkdir()
        logs = _excite(cell, part, plant, arm, seed, watch, line)
        watch.bar("fitting", 2, 3)
        return _fit(cell, logs[0], logs[1], part, watch)


def excite(
    reference: str, out: Path, plant: str, arm: str, seed: int, watch: Watch, line: Line = AS_THE_PROFILE_SAYS
) -> Result:
    """Move an arm so that its parameters show, twice, and keep the logs: one to fit, one to judge on."""
    _must_be_empty(out)
    with staged_dir(out) as part:
        part.mkdir()
        logs = _excite(_in_free_air(reference, arm), part, plant, arm, seed, watch, line)
    return Result(f"{', '.join(str(out / log.name) for log in logs)}")


def fit_logs(reference: str, log: Path, heldout: Path, out: Path, watch: Watch) -> Result:
    """Fit what an arm did under its commands: delay, servo gains, damping, friction, armature, payload."""
    return _fit(Cell.load(reference), log, heldout, out, watch)


def press(
    reference: str,
    out: Path,
    plant: str,
    arm: str,
    seed: int,
    force_N: float,
    depth_mm: float,
    watch: Watch,
    line: Line = AS_THE_PROFILE_SAYS,
) -> Result:
    """Press the tip gently onto the plate at a few spots, and fit what that shows: height, tilt, friction."""
    from robot_rlaas.deploy.excite import record_press
    from robot_rlaas.deploy.plan import Station
    from robot_rlaas.deploy.press import HARD, TOO_MUCH, gentle_of
    from robot_rlaas.deploy.spots import spots
    from robot_rlaas.env.insertion.task import task_frame

    _must_be_empty(out)
    cell = _insertion(reference)
    gentle = gentle_of(force_N, depth_mm)
    station = Station(cell.spec, cell.workcell.chain, cell.workcell.envelope, line=line)
    with naming_lines(cell.path):
        nominal = task_frame(cell.spec, np.zeros((1, 2)), np.zeros(1))
        spots(cell.spec, station.chain, station.envelope, nominal)  # is there room at all?
    watch.say(
        f"  the arm goes down beside the hole until it feels {force_N:g} N, rests, slides a little, lifts, goes on; "
        f"above {TOO_MUCH * force_N:g} N it lifts off, at {HARD * force_N:g} N the supervisor stops it"
    )

    def tell(text: str) -> None:
        watch.say(f"  {text}")
        if spot := SPOT.match(text):
            watch.bar("pressing", int(spot[1]), int(spot[2]))

    with staged_dir(out) as part:
        part.mkdir()
        record_press(station, gentle, part / "press.mcap", plant=plant, arm=arm, seed=seed, on_event=tell)
        return _contact(cell, [part / "press.mcap"], part, out, watch)


def import_log(log: Path, hardware: str, columns: str | None, episode: int, out: Path, watch: Watch) -> Result:
    """Make a motion log of somebody else's log."""
    from robot_rlaas.calibrate.drives.importer import import_motion, load_columns
    from robot_rlaas.calibrate.drives.motion import save
    from robot_rlaas.cell.hardware import load_hardware

    if out.suffix != ".parquet":
        raise InputError(f"'{out}' should end in .parquet")
    mapped = load_columns(columns) if columns else None
    motion = import_motion(log, load_hardware(hardware), mapped, episode, lambda text: watch.say(f"  {text}"))
    save(motion, out)
    return Result(f"{out}")


def fit_currents(
    hardware: str,
    logs: list[Path],
    loaded: list[Path],
    load_kg: float | None,
    columns: str | None,
    first: float,
    before: Path | None,
    out: Path,
    watch: Watch,
) -> Result:
    """Fit dynamics, friction and drive gains to motor currents."""
    from robot_rlaas.calibrate.drives.drive_run import fit_drive
    from robot_rlaas.cell.hardware import load_hardware

    profile = load_hardware(hardware)
    free, carrying = (
        [(path, _motion_log(path, profile, columns, watch)) for path in paths] for paths in (logs, loaded)
    )
    watch.bar("fitting", 0, 1)
    result = fit_drive(profile, free, carrying, out, load_kg, first, before, lambda text: watch.say(f"  {text}"))
    error = result.heldout
    text = f"relative current error on what was not fitted {error.mean_before:.3f} -> {error.mean_after:.3f}"
    return Result(f"{text}, {'accepted' if result.accepted else 'not accepted'}", result.accepted)


def predict_currents(
    calibration: Path, log: Path, columns: str | None, payload: str | None, last: float, out: Path, watch: Watch
) -> Result:
    """Write the motor currents that a drive calibration expects of a motion, beside the measured ones."""
    from robot_rlaas.calibrate.drives.drive_run import load_drive, predict_drive

    drive = load_drive(calibration)
    error = predict_drive(drive, _motion_log(log, drive.hardware, columns, watch), out, payload, last)
    if error is None:
        return Result(f"{out}")
    for joint, before, after in zip(error.joints, error.before, error.after):
        watch.say(f"  {joint:<22} {after:.3f}  (published arm {before:.3f})")
    return Result(f"relative current error {error.mean_after:.4f}, mean of {len(error.joints)} joints: {out}")


def draw_board(board: Path | None, dpi: int, out: Path) -> Result:
    """Write a ChArUco board to print, and its description beside it."""
    from robot_rlaas.cell.camera_calibration import BoardSpec
    from robot_rlaas.cell.strict_yaml import load_spec
    from robot_rlaas.vision.board import A4_BOARD, save_board

    save_board(load_spec(board, BoardSpec) if board else A4_BOARD, out, dpi)
    return Result(f"{out}: print it at 100 %")


def camera(folder: Path, mount: "Mount", out: Path, watch: Watch) -> Result:
    """Find a camera's lens and its pose on the wrist or in the cell."""
    from robot_rlaas.calibrate.camera.camera import calibrate_camera, summary

    return Result(summary(calibrate_camera(folder, out, mount, lambda text: watch.say(f"  {text}"))))


def watch_drift(reference: str, calibration: Path, logs: list[Path], state: Path | None, watch: Watch) -> Result:
    """Say whether the arm still is the one that was calibrated."""
    from robot_rlaas.calibrate.drift.drift import drift
    from robot_rlaas.cell.calibration import load_accepted

    cell = _insertion(reference)
    found = drift(cell.spec, cell.workcell, load_accepted(calibration), logs, state, lambda t: watch.say(f"  {t}"))
    return Result("the arm has changed: calibrate again" if found else "still the same arm", found is None)


def contact(reference: str, logs: list[Path], out: Path, watch: Watch) -> Result:
    """Compare what deployments and a press met with what the cell file allows for."""
    return _contact(_insertion(reference), logs, out, out, watch)


def _contact(cell: Cell, logs: list[Path], part: Path, out: Path, watch: Watch) -> Result:
    """Learn into `part`, which will be `out`."""
    from robot_rlaas.calibrate.contact.run import CONTACT, learn_contact
    from robot_rlaas.deploy.names import MOTION, PLATE

    report = learn_contact(cell.spec, cell.workcell, logs, PLATE, MOTION, part, lambda text: watch.say(f"  {text}"))
    met = [f"{report.inserted} insertions of {report.attempts} attempts"] if report.attempts else []
    met += [f"{report.pressed} spots pressed"] if report.pressed else []
    learned = ", ".join(one.name for one in report.learned if one.accepted)
    use = f"; a cell file may name {out / CONTACT}, for {learned}" if learned else ""
    text = f"{', '.join(met)}: {len(report.findings) or 'no'} findings{use}"
    return Result(text, not report.findings)


def _motion_log(path: Path, profile: "HardwareProfile", columns: str | None, watch: Watch) -> "MotionLog":
    from robot_rlaas.calibrate.drives.importer import load_columns, read_any

    return read_any(
        path, profile, load_columns(columns) if columns else None, lambda text: watch.say(f"  {path.name}: {text}")
    )


def _must_be_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("something is there already: recordings are not replaced", file=out, fix="name another")


def _excite(cell: Cell, out: Path, plant: str, arm: str, seed: int, watch: Watch, line: Line) -> list[Path]:
    from robot_rlaas.calibrate.servo.excite import excitation, least_s, multisine
    from robot_rlaas.deploy.excite import record_excitation
    from robot_rlaas.deploy.plan import Station

    station = Station(cell.spec, cell.workcell.chain, cell.workcell.envelope, line=line)
    home, rng = np.deg2rad(np.array(cell.spec.robot.home_deg)), np.random.default_rng([seed, 8])
    task, logs = cell.spec.task, []
    floor_m = None if isinstance(task, InsertionTask) else task.travel_mm / 1000
    needed_s = least_s(cell.workcell, home)
    for name, seconds in MOTIONS:
        watch.bar(f"excitation: {name}", len(logs), 3)
        kinds = None if name == "fit" else (multisine,)  # judged on joints that move at once, as under a policy
        seconds, rate_hz = max(seconds, needed_s + MOVED_S), cell.spec.control.rate_hz
        motion = excitation(cell.workcell, home, seconds, rate_hz, rng, kinds=kinds, floor_m=floor_m)
        log = record_excitation(
            station,
            motion.joints,
            motion.targets_rad,
            out / f"{name}.mcap",
            plant=plant,
            arm=arm,
            seed=seed + len(logs),
            on_event=lambda text: watch.say(f"  {text}"),
        )
        logs.append(log)
    return logs


def _fit(cell: Cell, log: Path, heldout: Path, out: Path, watch: Watch) -> Result:
    from robot_rlaas.calibrate.servo.run import calibrate as fit

    result = fit(cell.spec, cell.workcell, log, heldout, out, lambda text: watch.say(f"  {text}"))
    error = result.heldout
    text = f"held-out tracking error {error.mean_before_mrad:.2f} -> {error.mean_after_mrad:.2f} mrad"
    return Result(f"{text}, {'accepted' if result.accepted else 'not accepted'}", result.accepted)
