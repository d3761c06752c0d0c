"""From logs of motor currents to a drive calibration file, and from that file to the currents of another motion."""

import csv
import datetime
import io
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
import yaml

from robot_rlaas.assets import data_dir, find
from robot_rlaas.calibrate.drives.drive import (
    ELEMENTS,
    FRICTION,
    RATE_HZ,
    SPEEDS,
    Drive,
    Motion,
    motion,
    predict,
    relative_error,
    resample,
)
from robot_rlaas.calibrate.drives.drive_fit import DELAYS_S, Carried, DriveFit, fit
from robot_rlaas.calibrate.drives.drive_plot import draw
from robot_rlaas.calibrate.drives.motion import MotionLog, check, usable
from robot_rlaas.calibrate.drives.rigid_body import PARAMETERS, inertial_parameters
from robot_rlaas.calibrate.rounding import short, short_estimate
from robot_rlaas.cell.drive import CurrentError, DriveCalibration, DriveLog
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import serial_chain

DRIVE, CANDIDATE = "drive.yaml", "candidate.yaml"
HEAD = "# Dynamics, friction and drive gains of one arm, fitted to its motor currents.\n"
PAYLOAD_KG = 5.0  # the most a load may weigh, where the profile does not say


class Nominal(NamedTuple):
    """The published arm: its kinematics up to the flange, its links (k, 10) and what its profile says."""

    profile: HardwareProfile
    chain: SerialChain
    links: np.ndarray
    gain_Nm_A: tuple[float, ...]


def nominal(profile: HardwareProfile) -> Nominal:
    """The arm of a hardware profile.

    Raises:
        InputError: if the profile states no drive gains, or there is no model of the arm.
    """
    if profile.drive_gain_Nm_A is None:
        fix = "add joint torque per motor current to it, one per joint: within 10 % will do"
        raise InputError(f"the hardware profile of the {profile.arm} lacks drive_gain_Nm_A", fix=fix)
    model = mujoco.MjModel.from_xml_path(str(find(profile.arm, data_dir("sim_assets") / "arms", ".xml")))
    chain = serial_chain(model, profile.joints, "flange")
    return Nominal(profile, chain, inertial_parameters(model, profile.joints), profile.drive_gain_Nm_A)


def fit_drive(
    profile: HardwareProfile,
    free: Sequence[tuple[Path, MotionLog]],
    loaded: Sequence[tuple[Path, MotionLog]],
    out: Path,
    load_kg: float | None = None,
    first: float = 0.7,
    before: Path | None = None,
    on_event: Callable[[str], None] = print,
) -> DriveCalibration:
    """Fit logs, judge on the end of the first one, and write `drive.yaml` and `drive.svg` into `out`.

    What is not accepted becomes `candidate.yaml` instead, and leaves an accepted one as it is.

    Args:
        profile: of the arm.
        free: files and logs without a load on the flange, at least one.
        loaded: with a load, each with one of its own, named after its file.
        out: directory.
        load_kg: mass of the loads, if known: what makes the drive gains known.
        first: share of the first log that is fitted; the rest of it is what the result is judged on.
        before: the drive calibration that this one has to beat (default: the published arm without friction).
        on_event: gets a line about each step.

    Raises:
        InputError: if a log cannot be used; nothing is written then.
    """
    if not 0.1 <= first <= 0.95:
        raise InputError(f"--first is {first}; 0.1 to 0.95 of a log can be fitted")
    arm = nominal(profile)
    _must_differ([*free, *loaded])
    _must_be_loads(loaded, load_kg)
    old, old_delay_s = _before(before, arm)
    path, judged = free[0]
    carried = [Carried(log if i else log.between(0.0, first)) for i, (_, log) in enumerate(free)]
    carried += [Carried(log, path.stem, load_kg) for path, log in loaded]
    for (file, _), one in zip([*free, *loaded], carried):
        check(one.log, file)
    limit_kg = arm.profile.payload_limit_kg or PAYLOAD_KG
    found = fit(arm.chain, arm.links, arm.gain_Nm_A, carried, limit_kg, on_event)
    part = range(round(first * len(judged.time_s)), len(judged.time_s))
    measured = currents(judged, check(judged, path))
    moved = motion(arm.chain, judged)
    was = at_samples(moved, judged, old, old_delay_s)
    now = at_samples(moved, judged, found.drive, found.current_delay_s)
    errors = [relative_error(predicted[part], measured[part]) for predicted in (was, now)]
    accepted, reason = judge(found.current_delay_s, *errors)
    calibration = DriveCalibration(
        rlaas_drive=1,
        hardware=arm.profile,
        elements=ELEMENTS,
        speeds_rad_s=SPEEDS,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={"python": platform.python_version()} | {p: version(p) for p in ("robot_rlaas", "mujoco", "numpy")},
        logs=tuple(_log(one) for one in carried),
        heldout=_current_error(judged, *errors),
        accepted=accepted,
        reason=reason,
        current_delay_s=short(found.current_delay_s),
        not_told=not_told(found, load_kg is not None and bool(loaded)),
        estimates=tuple(map(short_estimate, found.estimates)),
        covariance=short(found.covariance, 3),
    )
    picture = draw(calibration, judged.time_s[part] - judged.time_s[0], measured[part], now[part])
    _write(calibration, picture, out)
    for line in calibration.not_told:
        on_event(f"not told: {line}")
    on_event(f"{'accepted' if accepted else 'not accepted'}: {reason}")
    return calibration


def _write(calibration: DriveCalibration, picture: bytes, out: Path) -> None:
    content = yaml.safe_dump(
        calibration.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=10_000, allow_unicode=True
    )
    name = DRIVE if calibration.accepted else CANDIDATE
    write_atomic(out / name, HEAD + content)
    write_atomic((out / name).with_suffix(".svg"), picture)


def load_drive(path: Path) -> DriveCalibration:
    """A drive calibration file, or the one in a directory.

    Raises:
        InputError: with file, line, value and what is allowed; if it was not accepted, or is of another friction model.
    """
    file = path / DRIVE if path.is_dir() else path
    calibration = load_spec(file, DriveCalibration)
    if not calibration.accepted:
        raise InputError(f"this calibration was not accepted: {calibration.reason}", file=file, fix="fit another")
    if (calibration.elements, calibration.speeds_rad_s) != (ELEMENTS, SPEEDS):
        raise InputError("made by a version with another model of friction", file=file, fix="fit its logs again")
    return calibration


def predict_drive(
    calibration: DriveCalibration, log: MotionLog, out: Path, payload: str | None = None, last: float = 1.0
) -> CurrentError | None:
    """Write measured and predicted currents of a log as CSV, at its own times.

    Args:
        calibration: from `load_drive`.
        log: of the same kind of arm; its currents are not looked at but for the comparison.
        out: the CSV file: time, then measured (where there are) and predicted current of each joint, A.
        payload: name of the load on the flange, one of the calibration's.
        last: share of the log, at its end, that is written and judged; friction is followed from the start.

    Returns:
        The relative error, both currents low-passed; before is that of the published arm. None without currents.

    Raises:
        InputError: if the calibration knows no such load.
    """
    if not 0 < last <= 1:
        raise InputError(f"--last is {last}; a share above 0 and up to 1 of the log can be foretold")
    arm = nominal(calibration.hardware)
    usable(log, log.source.file)
    drive = to_drive(calibration, arm.profile.joints, payload)
    moved = motion(arm.chain, log)
    predicted = at_samples(moved, log, drive, calibration.current_delay_s)
    rows = range(len(log.time_s) - round(last * len(log.time_s)), len(log.time_s))
    columns = {"time_s": log.time_s}
    for j, joint in enumerate(arm.profile.joints):
        if log.current is not None:
            columns[f"{joint}.measured_A"] = log.current[:, j]
        columns[f"{joint}.predicted_A"] = predicted[:, j]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [f"{column[i]:.6g}" if n else f"{column[i]:.6f}" for n, column in enumerate(columns.values())] for i in rows
    )
    write_atomic(out, text.getvalue())
    if log.current is None:
        return None
    published, measured = at_samples(moved, log, _published(arm), 0.0), currents(log, log.current)
    errors = [relative_error(x[rows], measured[rows]) for x in (published, predicted)]
    return _current_error(log, *errors)


def at_samples(moved: Motion, log: MotionLog, drive: Drive, delay_s: float) -> np.ndarray:
    """Predicted currents (T, k), A, at the log's times, as stated `delay_s` after their motion."""
    own_s = log.time_s - log.time_s[0] - delay_s
    return np.stack([np.interp(own_s, moved.time_s, column) for column in predict(moved, drive).T], axis=1)


def currents(log: MotionLog, current: np.ndarray) -> np.ndarray:
    """Low-passed currents (T, k), A, at the log's times."""
    regular = resample(log, current)
    grid = np.arange(len(regular)) / RATE_HZ
    own_s = log.time_s - log.time_s[0]
    return np.stack([np.interp(own_s, grid, column) for column in regular.T], axis=1)


def to_drive(calibration: DriveCalibration, joints: tuple[str, ...], payload: str | None = None) -> Drive:
    """The calibration's estimates as parameters.

    Raises:
        InputError: if it has no load of that name.
    """
    values = {(e.name, e.joint): e.value for e in calibration.estimates}
    loads = [log.payload for log in calibration.logs if log.payload]
    if payload and payload not in loads:
        known = f"it knows {', '.join(loads)}" if loads else "it was fitted without loads"
        raise InputError(f"the calibration knows no load '{payload}'; {known}", fix="fit a log with it: --loaded LOG")
    return Drive(
        links=np.array([[values[name, joint] for name, _ in PARAMETERS] for joint in joints]),
        friction=np.array([[values[name, joint] for name, _ in FRICTION] for joint in joints]),
        gain_Nm_A=np.array([values["gain", joint] for joint in joints]),
        offset_A=np.array([values["offset", joint] for joint in joints]),
        payload=np.array([values[f"{payload}_{name}", None] for name, _ in PARAMETERS]) if payload else np.zeros(10),
    )


def judge(current_delay_s: float, before: np.ndarray, after: np.ndarray) -> tuple[bool, str]:
    """Whether a calibration replaces the one before, from relative errors (k,) on what was not fitted, and why."""
    if not DELAYS_S[0] < current_delay_s < DELAYS_S[-1]:
        return False, f"currents and motion are {1000 * DELAYS_S[-1]:.0f} ms or more apart: mend the log's clocks"
    change = f"from {before.mean():.3f} to {after.mean():.3f}"
    if after.mean() >= before.mean():
        return False, f"the relative error of the currents that were not fitted did not fall: {change}"
    return True, f"the relative error of the currents that were not fitted fell {change}"


def _current_error(log: MotionLog, before: np.ndarray, after: np.ndarray) -> CurrentError:
    return CurrentError(
        source=log.source,
        joints=log.joints,
        before=short(before),
        after=short(after),
        mean_before=short(before.mean()),
        mean_after=short(after.mean()),
    )


def _must_differ(logs: Sequence[tuple[Path, MotionLog]]) -> None:
    """The end of the first log is judged on: it must not be fitted under another name."""
    seen: dict[str, Path] = {}
    for path, log in logs:
        if log.source.sha256 in seen:
            raise InputError(f"the same log as {seen[log.source.sha256]}", file=path, fix="name it once")
        seen[log.source.sha256] = path


def _must_be_loads(loaded: Sequence[tuple[Path, MotionLog]], load_kg: float | None) -> None:
    if len({path.stem for path, _ in loaded}) < len(loaded):
        raise InputError("loads are named after their logs; two have the same name", fix="rename one of the files")
    if load_kg is not None and not (loaded and 0 < load_kg < np.inf):
        raise InputError(f"--load-kg {load_kg} is to be the mass, above zero, of what --loaded logs carry")


def not_told(found: DriveFit, load_known: bool) -> tuple[str, ...]:
    """What the logs leave open, in words."""
    lines = []
    links = [e for e in found.estimates if e.joint and e.name in dict(PARAMETERS)]
    open_links = sum(not e.identifiable for e in links)
    if open_links:
        lines.append(
            f"{open_links} of {len(links)} parameters of links one by one: only combinations of them move a motor, "
            "the rest stays at the published arm"
        )
    if not load_known:
        lines.append(
            "masses and gains apart: all gains and all loads could be larger together; "
            "a log with a load of known mass would tell (--loaded LOG --load-kg KG)"
        )
    for name, _ in FRICTION:
        joints = [str(e.joint) for e in found.estimates if e.name == name and not e.identifiable]
        if joints:
            lines.append(f"{name} of {', '.join(joints)}")
    return tuple(lines)


def _before(path: Path | None, arm: Nominal) -> tuple[Drive, float]:
    if path is None:
        return _published(arm), 0.0
    calibration = load_drive(path)
    return to_drive(calibration, arm.profile.joints), calibration.current_delay_s


def _published(arm: Nominal) -> Drive:
    k = len(arm.profile.joints)
    return Drive(arm.links, np.zeros((k, len(FRICTION))), np.array(arm.gain_Nm_A), np.zeros(k), np.zeros(10))


def _log(one: Carried) -> DriveLog:
    seconds = float(one.log.time_s[-1] - one.log.time_s[0])
    return DriveLog(source=one.log.source, seconds=seconds, payload=one.payload, payload_kg=one.payload_kg)
