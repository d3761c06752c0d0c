"""Friction that falls with speed, which the fit's model lacks: told, with its size."""

import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow, write_mcap

from robot_rlaas.calibrate.log import read_log
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.fit import fit
from robot_rlaas.calibrate.servo.unmodelled import in_words

SLOW_NM = np.array([0.0, 2.0, 1.5, 0.5, 0.0, 0.0])


def test_a_stribeck_plant_is_not_fitted_in_silence(tmp_path, workcell, motions, hidden) -> None:
    """Only in the joints that have it, and its size to within a third, where the fit leaves hardly more than noise."""
    measured = follow(workcell, hidden, motions[0].setpoints(RATE_HZ), np.random.default_rng(5), SLOW_NM)
    told: list[str] = []
    log = read_log(write_mcap(tmp_path / "log.mcap", workcell, measured), workcell.profile)
    found = fit(Arm(workcell), log, told.append)
    assert np.sqrt(np.mean(found.residual_rad**2)) < 2 * hidden.joint_noise_rad
    named = {joint: text for joint in workcell.profile.joints for text in found.unmodelled if joint in text}
    assert set(named) == {joint for joint, slow in zip(workcell.profile.joints, SLOW_NM) if slow}
    for joint, slow in zip(workcell.profile.joints, SLOW_NM):
        if slow:
            value = float(named[joint].split(" about ")[1].split(" N m")[0])
            assert value == pytest.approx(slow, rel=0.33), named[joint]
    assert set(found.unmodelled) <= set(told)


def test_only_what_is_certain_is_told() -> None:
    joints, slow, error = ("a", "b", "c"), np.array([0.39, 0.41, -0.5]), np.full(3, 0.1)
    texts = in_words(joints, slow, error)
    assert [text.split(" is ")[0] for text in texts] == ["friction of b", "friction of c"]
    assert "0.41 N m (+- 0.2) more at rest" in texts[0]
    assert "0.5 N m (+- 0.2) less at rest" in texts[1]
