"""A real excitation: virtual arm, supervisor, recorder and player as processes of their own, over loopback."""

import numpy as np
import pytest

from robot_rlaas.calibrate.log import read_log
from robot_rlaas.calibrate.servo.arm import Arm, ArmParameters
from robot_rlaas.calibrate.servo.excite import excitation
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_plant
from robot_rlaas.deploy.excite import record_excitation
from robot_rlaas.deploy.plan import Station
from robot_rlaas.deploy.run import DeploymentError

DOMAIN = 83


@pytest.fixture(scope="module")
def motion(workcell, cell, home_rad):
    return excitation(workcell, home_rad, 5.0, cell.control.rate_hz, np.random.default_rng(7))


@pytest.fixture
def station(workcell, cell):
    return Station(cell, workcell.chain, workcell.envelope)


@pytest.mark.realtime
@pytest.mark.timeout(90)
def test_records_what_the_arm_did(tmp_path, workcell, station, motion, home_rad):
    events, out = [], tmp_path / "fit.mcap"
    path = record_excitation(station, motion.joints, motion.targets_rad, out, domain_id=DOMAIN, on_event=events.append)
    assert path == out
    assert events[:2] == ["the motion begins", "the motion is over"]
    log = read_log(path, workcell.profile)
    assert log.time_s[-1] > 5.0
    np.testing.assert_allclose(log.q_rad[[0, -1]], np.tile(home_rad, (2, 1)), atol=0.003)
    arm, plant = Arm(workcell), load_plant("ur5e_worn", 6)
    truth = ArmParameters(*(np.array([getattr(plant, name)]) for name in ArmParameters._fields))
    before, after = (np.sqrt(np.mean((arm.predict(log, p)[0] - log.q_rad) ** 2)) for p in (arm.nominal(), truth))
    assert after < before / 2  # far less on an idle machine


@pytest.mark.realtime
@pytest.mark.timeout(60)
def test_motion_from_elsewhere_is_not_played(tmp_path, station, motion):
    with pytest.raises(DeploymentError, match=r"0\.30 rad from where the motion starts: move it home"):
        record_excitation(station, motion.joints, motion.targets_rad + 0.3, tmp_path / "fit.mcap", domain_id=DOMAIN + 1)
    assert not (tmp_path / "fit.mcap").exists()


def test_other_joints_are_refused(tmp_path, station, motion):
    with pytest.raises(InputError, match="the motion is for joints"):
        record_excitation(station, ("a", "b"), motion.targets_rad[:, :2], tmp_path / "fit.mcap")
    assert not list(tmp_path.iterdir())
