"""Friction that falls with speed, which the fit's model lacks: told, with its size."""

import numpy as np
import pytest
from hidden_plant import RATE_HZ, follow, write_mcap

from robot_rlaas.calibrate.log import read_log
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.excite import excitation, multisine
from robot_rlaas.calibrate.servo.fit import fit
from robot_rlaas.calibrate.servo.unmodelled import in_words

SLOW_NM = np.array([0.0, 2.0, 1.5, 0.5, 0.0, 0.5])


def told_of(workcell, hidden, motion, path) -> dict[str, str]:
    """What a fit says of joints with friction at rest, by joint; the fit itself leaves hardly more than noise."""
    measured = follow(workcell, hidden, motion.setpoints(RATE_HZ), np.random.default_rng(5), SLOW_NM)
    told: list[str] = []
    found = fit(Arm(workcell), read_log(write_mcap(path, workcell, measured), workcell.profile), told.append)
    assert np.sqrt(np.mean(found.residual_rad**2)) < 2 * hidden.joint_noise_rad
    assert set(found.unmodelled) <= set(told)
    return {joint: text for joint in workcell.profile.joints for text in found.unmodelled if joint in text}


def check_sizes(named: dict[str, str], joints: tuple[str, ...]) -> None:
    for joint, slow in zip(joints, SLOW_NM):
        if joint in named:
            assert slow, f"{joint} has no such friction"
            value = float(named[joint].split(" about ")[1].split(" N m")[0])
            assert value == pytest.approx(slow, rel=0.33), named[joint]


def test_a_stribeck_plant_is_not_fitted_in_silence(tmp_path, workcell, cell, home_rad, hidden) -> None:
    """In the joints that have it and in no others, and its size to within a third."""
    rate_hz, rng = cell.control.rate_hz, np.random.default_rng(3)
    motion = excitation(workcell, home_rad, 12.0, rate_hz, rng, kinds=(multisine,))
    named, joints = told_of(workcell, hidden, motion, tmp_path / "log.mcap"), workcell.profile.joints
    check_sizes(named, joints)
    assert set(named) == {joint for joint, slow in zip(joints, SLOW_NM) if slow}


def test_the_motion_that_is_designed_tells_of_it_too(tmp_path, workcell, motions, hidden) -> None:
    """It may hold sweeps, which tell other things better and this less: not of wrist 3, where there is least."""
    named, joints = told_of(workcell, hidden, motions[0], tmp_path / "log.mcap"), workcell.profile.joints
    check_sizes(named, joints)
    assert set(named) >= {joint for joint, slow in zip(joints[:5], SLOW_NM) if slow}


def test_only_what_is_certain_is_told() -> None:
    joints, slow, error = ("a", "b", "c"), np.array([0.39, 0.41, -0.5]), np.full(3, 0.1)
    texts = in_words(joints, slow, error)
    assert [text.split(" is ")[0] for text in texts] == ["friction of b", "friction of c"]
    assert "0.41 N m (+- 0.2) more at rest" in texts[0]
    assert "0.5 N m (+- 0.2) less at rest" in texts[1]
