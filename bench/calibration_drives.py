"""Motor currents of a real UR10e that were not fitted: dynamics with memory in the friction against least squares."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.measurements import Figure, at_most
from robot_rlaas.calibrate.drives.drive import motion, relative_error, resample
from robot_rlaas.calibrate.drives.drive_run import fit_drive, nominal, predict_drive
from robot_rlaas.calibrate.drives.importer import import_motion, load_columns
from robot_rlaas.calibrate.drives.motion import MotionLog, check
from robot_rlaas.cell.hardware import load_hardware

DATA = Path(__file__).parents[2] / "shared/data/ur10e_real"
FIRST = 0.7


def ur10e_current() -> dict[str, Figure]:
    """Relative error of the currents, mean of six joints: the last 30 % of a run and a whole other run."""
    if not DATA.exists():
        print(f"  left out: {DATA} is not here")
        return {}
    arm, columns = nominal(load_hardware("ur10e")), load_columns("ur10e_dynamic_calibration")
    long, other, loaded = (
        import_motion(DATA / f"{name}.csv", arm.profile, columns, on_event=_quiet)
        for name in ("excitation_50s_12harmonics", "excitation_unloaded", "excitation_loaded")
    )
    rows = {}
    with TemporaryDirectory() as folder:
        out = Path(folder)
        for name, carrying in (("", []), (" and the loaded run", [(Path("loaded.csv"), loaded)])):
            begin = time.perf_counter()
            fitted = fit_drive(arm.profile, [(Path("long.csv"), long)], carrying, out, first=FIRST, on_event=_quiet)
            seconds = time.perf_counter() - begin
            ahead = predict_drive(fitted, other, out / "other.csv")
            if ahead is None:
                raise RuntimeError("the other run holds no currents")
            rows[f"the first 70 %{name}"] = (fitted.heldout.mean_after, ahead.mean_after)
            print(f"  fitted the first 70 %{name}: {seconds:.1f} s", flush=True)
    rows["least squares, joint by joint"] = _least_squares(long, other)
    print("  fitted                                    last 30 %   other run")
    for name, (end, whole) in rows.items():
        print(f"  {name:<42}{end:8.4f}    {whole:8.4f}")
    end, whole = rows["the first 70 %"]
    return {
        "ur10e_current/last_30": at_most(end, "1", 0.11),
        "ur10e_current/other_run": at_most(whole, "1", 0.13),
        "ur10e_current/fit_s": Figure(seconds, "s", None, None),
    }


def _least_squares(long: MotionLog, other: MotionLog) -> tuple[float, float]:
    """What one would write otherwise: each joint's rigid bodies, viscous and Coulomb friction, unconstrained."""
    chain = nominal(load_hardware("ur10e")).chain
    (x, y), (x_other, y_other) = ((_design(chain, log), resample(log, check(log, DATA))) for log in (long, other))
    end = round(FIRST * len(y))
    errors = []
    for j in range(y.shape[1]):
        weights = np.linalg.lstsq(x[:end, j], y[:end, j], rcond=1e-9)[0]
        pairs = ((x[end:, j], y[end:, j]), (x_other[:, j], y_other[:, j]))
        errors.append([float(relative_error((a @ weights)[:, None], b[:, None])[0]) for a, b in pairs])
    last, whole = np.mean(errors, axis=0)
    return float(last), float(whole)


def _design(chain, log: MotionLog) -> np.ndarray:
    moved = motion(chain, log)
    v = moved.velocity[:, :, None]
    return np.concatenate([moved.regressor, v, np.tanh(v / 0.02), np.ones_like(v)], axis=2)


def _quiet(_: str) -> None:
    pass


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"ur10e_current": ur10e_current}
