import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hidden_plant import cut_off

from robot_rlaas.calibrate.servo.arm import ArmParameters
from robot_rlaas.calibrate.servo.calibration import load, save
from robot_rlaas.calibrate.servo.fit import Fit
from robot_rlaas.calibrate.servo.run import calibrate, judge
from robot_rlaas.cell.calibration import Calibration, TrackingError
from robot_rlaas.cell.errors import InputError


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory, cell, workcell, logs):
    """Judged on a log whose recorder was killed a little before the end."""
    out, events = tmp_path_factory.mktemp("calibration"), []
    heldout = cut_off(logs[1], tmp_path_factory.mktemp("killed") / "heldout.mcap", 0.9)
    return calibrate(cell, workcell, logs[0], heldout, out, on_event=events.append), out, events


def by_name(calibration: Calibration, hidden) -> dict[str, list]:
    """(estimate, truth) of every name."""
    pairs = {}
    for name in ArmParameters._fields:
        found = [e for e in calibration.estimates if e.name == name]
        pairs[name] = list(zip(found, np.atleast_1d(getattr(hidden, name))))
    return pairs


def test_recovers_the_hidden_plant(calibrated, hidden):
    pairs = by_name(calibrated[0], hidden)
    (delay, true_s), *_ = pairs["command_delay_s"]
    assert abs(delay.value - true_s) < 0.002
    gains = [(e, true) for e, true in pairs["servo_gain_scale"] if e.upper_95 - e.lower_95 < 0.1]
    assert len(gains) >= 2
    for e, true in gains:
        assert abs(e.value / true - 1) < 0.05, e
    for (gain, true_gain), (damping, true_damping) in zip(pairs["servo_gain_scale"], pairs["joint_damping_scale"]):
        assert abs(damping.value / gain.value / (true_damping / true_gain) - 1) < 0.01, gain.joint


def test_intervals_contain_the_truth(calibrated, hidden):
    inside = [e.lower_95 <= true <= e.upper_95 for pair in by_name(calibrated[0], hidden).values() for e, true in pair]
    assert len(inside) == 29
    assert np.mean(inside) >= 0.84


def test_says_what_the_log_cannot_tell(calibrated):
    """Nothing else moves when the last joint turns about the tool's own axis: only ratios show."""
    unknown = {(e.name, e.joint) for e in calibrated[0].estimates if not e.identifiable}
    assert {("armature_scale", "wrist_3_joint"), ("joint_damping_scale", "wrist_3_joint")} <= unknown
    assert ("command_delay_s", None) not in unknown
    assert len(unknown) < 10


def test_nothing_is_unmodelled_where_the_model_is_the_arm(calibrated):
    assert calibrated[0].unmodelled == ()


def test_heldout_error_falls_to_the_noise(calibrated):
    calibration, _, events = calibrated
    error = calibration.heldout
    assert error.mean_before_mrad > 5 * error.mean_after_mrad
    assert error.mean_after_mrad < 0.15  # the noise is 0.1 mrad
    assert calibration.accepted
    assert "fell from" in calibration.reason
    assert events[-1].startswith("accepted: ")


def test_what_is_missing_of_a_log_is_said_and_kept(calibrated):
    calibration, _, events = calibrated
    assert calibration.fit_log.lost == ()
    (line,) = calibration.heldout_log.lost
    assert line.startswith("heldout.mcap: cut off: what came after")
    assert line in events


def test_file_round_trip(calibrated, tmp_path):
    calibration, out, _ = calibrated
    assert load(out / "calibration.yaml") == calibration
    save(calibration, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == (out / "calibration.yaml").read_bytes()
    assert sorted(p.name for p in out.iterdir()) == ["calibration.svg", "calibration.yaml"]
    assert len(calibration.values("servo_gain_scale")) == 6
    with pytest.raises(KeyError, match="no estimate 'mass'; there are armature_scale"):
        calibration.values("mass")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("accepted: true", "accepted: perhaps", r"calibration\.yaml:\d+: 'accepted' is 'perhaps'"),
        ("reason:", "reasons:", r"unknown key 'reasons'.*did you mean 'reason'"),
        ("lower_95: ", "lower_95: 1", "lies outside its interval"),
    ],
)
def test_edited_file_is_refused(calibrated, tmp_path, old, new, message):
    text = (calibrated[1] / "calibration.yaml").read_text()
    (tmp_path / "calibration.yaml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"(?s){message}|is missing"):
        load(tmp_path / "calibration.yaml")


def test_picture_shows_every_joint(calibrated):
    root = ET.fromstring((calibrated[1] / "calibration.svg").read_bytes())
    assert root.tag.endswith("svg")
    ids = [element.get("id", "") for element in root.iter()]
    assert sum(i.startswith("axes_") for i in ids) == 13  # six joints, seven kinds of parameters


def test_same_log_twice_is_refused(tmp_path, cell, workcell, logs):
    copy = tmp_path / "copy.mcap"
    shutil.copy(logs[0], copy)
    with pytest.raises(InputError, match=r"copy\.mcap: the log to judge on is the log to fit"):
        calibrate(cell, workcell, logs[0], copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("at_bound", "converged", "after", "message"),
    [
        ((), True, 2.0, "did not fall: from 1.000 to 2.000 mrad"),
        (("armature_scale of elbow_joint",), True, 0.1, "ended at a bound.*armature_scale of elbow_joint"),
        ((), False, 0.1, "did not settle"),
    ],
)
def test_not_accepted_without_good_reason(at_bound, converged, after, message):
    nothing = np.zeros((1, 1))
    found = Fit((), nothing, (), ArmParameters(*[nothing] * 9), nothing, at_bound, converged)
    error = TrackingError(
        joints=("a",), before_mrad=(1.0,), after_mrad=(after,), mean_before_mrad=1.0, mean_after_mrad=after
    )
    accepted, reason = judge(found, error)
    assert not accepted
    assert re.search(message, reason)
