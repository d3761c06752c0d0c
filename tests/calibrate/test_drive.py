"""Fits of motor currents: against made-up drives whose truth is known, and against a real UR10e."""

from pathlib import Path

import numpy as np
import pytest
from made_up_drives import ARM, drives, log

from robot_rlaas.calibrate.drives.drive import ELEMENTS, motion, relative_error, slipping
from robot_rlaas.calibrate.drives.drive_fit import Carried, DriveFit, fit
from robot_rlaas.calibrate.drives.drive_run import at_samples, currents, fit_drive, judge, load_drive, predict_drive
from robot_rlaas.calibrate.drives.importer import import_motion, load_columns
from robot_rlaas.calibrate.drives.motion import MotionLog, check
from robot_rlaas.cell.errors import InputError

REAL = Path(__file__).parents[3] / "shared/data/ur10e_real"
LOAD_KG = 4.0


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def truth():
    return drives(np.random.default_rng(0), payload_kg=LOAD_KG)


@pytest.fixture(scope="module")
def logs(truth) -> tuple[MotionLog, MotionLog, MotionLog]:
    """One free, one with a load, one to judge on."""
    rng = np.random.default_rng(1)
    free = truth._replace(payload=np.zeros(10))
    return log(free, rng, delay_s=0.006), log(truth, rng, delay_s=0.006), log(free, rng, delay_s=0.006, noise=0.0)


@pytest.fixture(scope="module")
def found(logs) -> DriveFit:
    carried = [Carried(logs[0]), Carried(logs[1], "load", LOAD_KG)]
    return fit(ARM.chain, ARM.links, ARM.gain_Nm_A, carried, 12.5, quiet)


def test_what_sticks_is_pulled_and_what_slips_stays_pulled() -> None:
    t = np.arange(0, 6, 0.01)
    velocity = np.where(t < 1, 0.1, np.where(t < 2, -0.1, 0.0))[:, None]
    z = slipping(t, velocity)[:, 0]
    np.testing.assert_allclose(z[99], 1.0, atol=0.05)
    np.testing.assert_allclose(z[199], -1.0, atol=0.05)
    remembering = np.isinf([memory for _, memory in ELEMENTS])
    np.testing.assert_allclose(z[-1][remembering], -1.0, atol=0.05)
    np.testing.assert_allclose(z[-1][~remembering], 0.0, atol=1e-6)


def test_the_delay_is_found(found) -> None:
    assert found.current_delay_s == pytest.approx(0.006, abs=0.0015)


def test_a_known_load_makes_gains_known(found, truth) -> None:
    gains = [e for e in found.estimates if e.name == "gain"]
    shoulder, elbow = gains[1], gains[2]
    assert shoulder.identifiable
    assert elbow.identifiable
    np.testing.assert_allclose([e.value for e in gains[1:3]], truth.gain_Nm_A[1:3], rtol=0.02)
    np.testing.assert_allclose(found.payloads["load"][0], LOAD_KG, rtol=0.02)


def test_without_one_they_are_not(logs) -> None:
    alone = fit(ARM.chain, ARM.links, ARM.gain_Nm_A, [Carried(logs[0])], 12.5, quiet)
    assert not any(e.identifiable for e in alone.estimates if e.name == "gain")


def test_intervals_hold_the_truth(found, truth) -> None:
    true = np.concatenate([truth.links.ravel(), truth.payload, truth.friction.ravel(), truth.offset_A, truth.gain_Nm_A])
    told = [e.lower_95 <= value <= e.upper_95 for e, value in zip(found.estimates, true) if e.identifiable]
    assert len(told) > 60
    assert np.mean(told) >= 0.88


def test_another_motion_is_foretold(found, logs) -> None:
    judged = logs[2]
    predicted = at_samples(motion(ARM.chain, judged), judged, found.drive, found.current_delay_s)
    assert relative_error(predicted, currents(judged, check(judged, Path()))).max() < 0.05


def test_the_file_says_what_the_fit_said(tmp_path, logs) -> None:
    written = fit_drive(
        ARM.profile,
        [(Path("free.parquet"), logs[0])],
        [(Path("load.parquet"), logs[1])],
        tmp_path,
        LOAD_KG,
        on_event=quiet,
    )
    read = load_drive(tmp_path)
    assert read == written
    assert read.accepted
    assert read.heldout.mean_after < 0.25 * read.heldout.mean_before
    assert (tmp_path / "drive.svg").read_bytes().startswith(b"<?xml")
    out = tmp_path / "currents.csv"
    error = predict_drive(read, logs[1], out, payload="load")
    assert error is not None
    assert error.mean_after < 0.1
    assert len(out.read_text().splitlines()) == len(logs[1].time_s) + 1
    with pytest.raises(InputError, match="knows no load 'other'; it knows load"):
        predict_drive(read, logs[1], out, payload="other")
    for last in (0.0, 1.5):
        with pytest.raises(InputError, match="--last is"):
            predict_drive(read, logs[1], out, last=last)


def test_only_a_better_calibration_is_accepted(tmp_path, logs) -> None:
    good = tmp_path / "good"
    free = [(Path("free.parquet"), logs[0])]
    assert fit_drive(ARM.profile, free, [], good, on_event=quiet).accepted
    worse = fit_drive(ARM.profile, free, [], good, first=0.3, before=good, on_event=quiet)
    assert not worse.accepted
    assert "did not fall" in worse.reason
    assert load_drive(good).accepted
    with pytest.raises(InputError, match="was not accepted: the relative error"):
        load_drive(good / "candidate.yaml")


def test_what_would_flatter_the_result_is_refused(tmp_path, logs) -> None:
    free, load = (Path("free.parquet"), logs[0]), (Path("load.parquet"), logs[1])
    with pytest.raises(InputError, match=r"again\.parquet: the same log as free\.parquet"):
        fit_drive(ARM.profile, [free, (Path("again.parquet"), logs[0])], [], tmp_path)
    with pytest.raises(InputError, match="two have the same name"):
        fit_drive(ARM.profile, [free], [load, (Path("b/load.parquet"), logs[2])], tmp_path)
    for kg, loaded in ((4.0, []), (0.0, [load]), (float("nan"), [load])):
        with pytest.raises(InputError, match="--load-kg"):
            fit_drive(ARM.profile, [free], loaded, tmp_path, kg)
    assert not list(tmp_path.iterdir())


def test_clocks_that_are_far_apart_are_told() -> None:
    better = np.full(6, 0.1), np.full(6, 0.05)
    assert judge(0.01, *better)[0]
    accepted, reason = judge(0.06, *better)
    assert not accepted
    assert "mend the log's clocks" in reason


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda log: log._replace(current=None), "no motor currents"),
        (lambda log: log.between(0, 0.01), "at least 100 are needed"),
        (lambda log: log._replace(time_s=8.0 * log.time_s), "at least 30 Hz are needed"),
        (lambda log: log._replace(time_s=log.time_s + 5.0 * (log.time_s > 20)), "nothing for 5.0"),
        (lambda log: log._replace(position=0 * log.position), "keeps one pose"),
        (lambda log: log._replace(position=log.time_s[:, None] * np.ones(6)), "turns round 0 times"),
    ],
)
def test_a_log_that_tells_too_little_is_refused(logs, spoil, message) -> None:
    with pytest.raises(InputError, match=message):
        check(spoil(logs[0]), Path("log.parquet"))


@pytest.mark.skipif(not REAL.exists(), reason="the real UR10e logs are not here")
def test_a_real_ur10e_is_foretold(tmp_path) -> None:
    """Targets: 0.11 on the last 30 % and 0.13 on another run; plain least squares: 0.129 and 0.153."""
    columns = load_columns("ur10e_dynamic_calibration")
    long, other = (
        import_motion(REAL / f"{name}.csv", ARM.profile, columns, on_event=quiet)
        for name in ("excitation_50s_12harmonics", "excitation_unloaded")
    )
    calibration = fit_drive(ARM.profile, [(Path("long.csv"), long)], [], tmp_path, on_event=quiet)
    assert calibration.heldout.mean_after <= 0.11
    error = predict_drive(calibration, other, tmp_path / "other.csv")
    assert error is not None
    assert error.mean_after <= 0.13
