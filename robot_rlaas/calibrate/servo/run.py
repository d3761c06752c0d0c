"""From two logs to a calibration file: fit one, judge on the other."""

import datetime
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from robot_rlaas.calibrate.bag import data_file
from robot_rlaas.calibrate.log import JointLog, read_log
from robot_rlaas.calibrate.rounding import short, short_estimate
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.calibration import save
from robot_rlaas.calibrate.servo.fit import Fit, fit
from robot_rlaas.calibrate.servo.plot import draw
from robot_rlaas.cell.calibration import Calibration, TrackingError
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import Workcell

CALIBRATION, PICTURE = "calibration.yaml", "calibration.svg"


def calibrate(
    cell: CellSpec,
    workcell: Workcell,
    log_fit: Path,
    log_heldout: Path,
    out: Path,
    on_event: Callable[[str], None] = print,
) -> Calibration:
    """Fit one log, judge on the other, and write `calibration.yaml` and `calibration.svg` into `out`.

    What it has to beat is the cell's present calibration, or the nominal model where the cell names none.

    Raises:
        InputError: if a log cannot be used, or both are the same; nothing is written then.
    """
    files = [data_file(path) for path in (log_fit, log_heldout)]
    if files[0].sha256 == files[1].sha256:
        raise InputError("the log to judge on is the log to fit", file=log_heldout, fix="record a second motion")
    for line in (line for file in files for line in file.lost):
        on_event(line)
    fitted, heldout = (read_log(path, workcell.profile) for path in (log_fit, log_heldout))
    arm = Arm(workcell)
    found = fit(arm, fitted, on_event)
    present = arm.calibrated(cell.calibration) if cell.calibration else arm.nominal()
    before, after = (arm.predict(heldout, parameters)[0] for parameters in (present, found.parameters))
    error = tracking_error(arm.joints, heldout, before, after)
    accepted, reason = judge(found, error)
    calibration = Calibration(
        rlaas_calibration=1,
        cell=cell.name,
        cell_hash=cell.hash,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={"python": platform.python_version()} | {p: version(p) for p in ("robot_rlaas", "mujoco", "numpy")},
        fit_log=files[0],
        heldout_log=files[1],
        accepted=accepted,
        reason=reason,
        heldout=error,
        estimates=tuple(map(short_estimate, found.estimates)),
        covariance=short(found.covariance),
        undetermined=found.undetermined,
        unmodelled=found.unmodelled,
    )
    write_atomic(out / PICTURE, draw(calibration, heldout, before, after))
    save(calibration, out / CALIBRATION)
    on_event(f"{'accepted' if accepted else 'not accepted'}: {reason}")
    return calibration


def tracking_error(
    joints: tuple[str, ...], log: JointLog, before_rad: np.ndarray, after_rad: np.ndarray
) -> TrackingError:
    """Root mean square of measured minus predicted positions (T, k), per joint and their mean, mrad."""
    before, after = (1000 * np.sqrt(np.mean((log.q_rad - q) ** 2, axis=0)) for q in (before_rad, after_rad))
    return TrackingError(
        joints=joints,
        before_mrad=short(before),
        after_mrad=short(after),
        mean_before_mrad=short(before.mean()),
        mean_after_mrad=short(after.mean()),
    )


def judge(found: Fit, error: TrackingError) -> tuple[bool, str]:
    """Whether the calibration may take the place of the one before, and why."""
    if found.at_bound:
        return False, f"ended at a bound, so the log asks for something the model lacks: {', '.join(found.at_bound)}"
    if not found.converged:
        return False, "the fit did not settle: record a longer motion"
    change = f"from {error.mean_before_mrad:.3f} to {error.mean_after_mrad:.3f} mrad"
    if error.mean_after_mrad >= error.mean_before_mrad:
        return False, f"the tracking error on the held-out log did not fall: {change}"
    return True, f"the tracking error on the held-out log fell {change}"
