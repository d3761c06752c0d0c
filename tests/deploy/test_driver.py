"""An arm through LeRobot's own driver of Feetech servos, which are emulated on a pseudo terminal."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from feetech_bus import STEPS, Servos
from so101 import STEP_RAD, calibrate, plugged, put, where

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Driver, Gripper, HardwareProfile, Line, load_hardware
from robot_rlaas.deploy.driver import FAILURES, ArmLost, DrivenArm, driven

pytest.importorskip("scservo_sdk")

HERE = np.array([0.1, -0.5, 0.8, 1.2, -0.3])


@pytest.fixture(autouse=True)
def calibrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = calibrate(tmp_path / "calibration")
    monkeypatch.setattr("lerobot.utils.constants.HF_LEROBOT_CALIBRATION", folder)
    return folder


@pytest.fixture
def servos() -> Servos:
    servos = Servos()
    put(servos, HERE)
    return servos


@pytest.fixture
def arm(servos: Servos) -> Iterator[DrivenArm]:
    with plugged(servos) as profile, driven(profile) as arm:
        yield arm


def settled(arm: DrivenArm, q_rad: np.ndarray) -> np.ndarray:
    arm.read()
    arm.command(q_rad.tolist(), time.monotonic())
    time.sleep(0.1)
    reading = arm.read()
    assert reading is not None
    return reading.q_rad


def test_it_reads_radians_torques_and_the_time(arm: DrivenArm, servos: Servos) -> None:
    servos.draw(2, 100)
    servos.draw(3, 200 | 1 << 15)
    before_ns = time.time_ns()
    first = arm.read()
    assert first is not None
    assert before_ns < first.at_ns < time.time_ns()
    np.testing.assert_allclose(first.q_rad, HERE, atol=STEP_RAD)
    np.testing.assert_array_equal(first.velocity_rad_s, 0)
    np.testing.assert_allclose(first.effort_Nm, [0, 0.65 * 1.09, -1.3 * 1.09, 0, 0])


def test_the_velocity_is_the_difference_between_two_readings(arm: DrivenArm, servos: Servos) -> None:
    first = arm.read()
    for i in range(1, 6):
        servos.let_go(i)
    put(servos, HERE + 0.02)
    time.sleep(0.02)
    second = arm.read()
    assert first is not None
    assert second is not None
    seconds = (second.at_ns - first.at_ns) * 1e-9
    np.testing.assert_allclose(second.velocity_rad_s, (second.q_rad - first.q_rad) / seconds)
    assert 0 < second.velocity_rad_s[0] < 1


def test_the_answer_to_another_question_is_no_reading(arm: DrivenArm, servos: Servos) -> None:
    """Servos that answer too late: positions are asked for, and what comes are the currents that were asked for."""
    assert arm.read() is not None
    servos.mistake = True
    assert arm.read() is None
    assert "a reading that leaps" in arm.failed
    servos.mistake = False
    assert arm.read() is not None


def test_it_stands_until_it_is_told_to_move_whatever_its_servos_were_told_before(servos: Servos) -> None:
    for i in range(1, 7):
        servos.send(i, 1000)
    with plugged(servos) as profile, driven(profile) as arm:
        time.sleep(0.1)
        reading = arm.read()
        assert reading is not None
        np.testing.assert_allclose(reading.q_rad, HERE, atol=STEP_RAD)
        assert all(servos.torque(i) for i in range(1, 7))
        np.testing.assert_allclose(settled(arm, HERE + 0.08), HERE + 0.08, atol=2 * STEP_RAD)


def test_zeros_and_senses_of_rotation(servos: Servos) -> None:
    changes = {"zero_deg": {"shoulder_lift": 10.0}, "turned": ("shoulder_lift", "wrist_roll")}
    with plugged(servos, **changes) as profile, driven(profile) as arm:
        reading = arm.read()
        assert reading is not None
        expected = HERE.copy()
        expected[1], expected[4] = -(HERE[1] - np.deg2rad(10)), -HERE[4]
        np.testing.assert_allclose(reading.q_rad, expected, atol=STEP_RAD)
        turn = 0.05 * (np.eye(5)[1] + np.eye(5)[4])
        settled(arm, expected + turn)
        np.testing.assert_allclose(where(servos), HERE - turn, atol=2 * STEP_RAD)


def test_a_gripper_that_the_profile_names_goes_from_closed_to_open(servos: Servos) -> None:
    gripper = Gripper(joint="gripper", closed=-0.2, open=1.8, aperture_mm=(0, 94))
    servos.turn(6, round(0.25 * STEPS))
    with plugged(servos) as profile, driven(profile.model_copy(update={"gripper": gripper})) as arm:
        reading = arm.read()
        assert reading is not None
        assert reading.gripper == pytest.approx(0.3, abs=1e-3)
        arm.grip(0.8)
        time.sleep(0.1)
        assert (arm.refused, servos.goal(6)) == ("", round(0.5 * STEPS) - 1)
        for nonsense in (1.9, float("nan")):
            arm.grip(nonsense)
            assert "gripper: a command of" in arm.refused
        assert servos.goal(6) == round(0.5 * STEPS) - 1
        other = gripper.model_copy(update={"joint": "hand"})
        assert "has no hand" in refused(profile.model_copy(update={"gripper": other}))


def test_only_commands_near_the_arm_reach_it(arm: DrivenArm, servos: Servos) -> None:
    arm.command(HERE.tolist(), 0.0)
    assert arm.refused == "a command before the arm was read"
    arm.read()
    for command, why in [
        (HERE + 0.2 * np.eye(5)[0], "shoulder_pan: a first command 0.20 rad away from the arm, allowed are 0.1 rad"),
        (HERE[:4], "a command of 4 values, or one that is no number"),
        (HERE * np.nan, "a command of 5 values, or one that is no number"),
        (HERE + 0.5 * np.eye(5)[3], "wrist_flex: a command beyond the position limit"),
    ]:
        arm.command(command.tolist(), 1.0)
        assert arm.refused == why
    assert [servos.goal(i) for i in range(1, 6)] == [servos.at(i) for i in range(1, 6)]
    arm.command((HERE + 0.09).tolist(), 1.0)
    arm.command((HERE + 0.2).tolist(), 1.1)
    assert arm.refused == "", "it is under way"
    arm.command((HERE + 0.4).tolist(), 1.2)
    assert "a command 0.40 rad away" in arm.refused
    arm.command((HERE + 0.2).tolist(), 2.0)
    assert "a first command" in arm.refused, "it stood meanwhile"


def test_a_bus_that_falls_silent_is_told_and_then_the_arm_is_lost(arm: DrivenArm, servos: Servos) -> None:
    servos.silent = True
    assert arm.read() is None
    assert "no status packet" in arm.failed
    servos.silent = False
    time.sleep(0.1)
    assert arm.read() is not None
    assert arm.failed == ""
    servos.silent = True
    for _ in range(FAILURES - 1):
        assert arm.read() is None
    with pytest.raises(ArmLost, match=f"does not answer, {FAILURES} times in a row.*no status packet"):
        arm.read()
    servos.silent = False
    time.sleep(0.1)


@pytest.mark.parametrize(("at_end", "powered"), [("hold", True), ("release", False)])
def test_at_its_end_the_arm_is_held_or_let_go_as_the_profile_says(servos: Servos, at_end: str, powered: bool) -> None:
    with plugged(servos, at_end=at_end) as profile:
        with driven(profile):
            assert servos.torque(1)
        assert [servos.torque(i) for i in range(1, 7)] == [powered] * 6


def refused(profile: HardwareProfile) -> str:
    with pytest.raises(InputError) as error, driven(profile):
        pass
    return str(error.value)


def test_a_servo_of_another_model_or_none(servos: Servos) -> None:
    servos.become(3, 1284)
    with plugged(servos) as profile:
        assert "3 (elbow_flex): expected 777, found 1284" in refused(profile)
    assert not any(servos.torque(i) for i in range(1, 7)), "nothing was powered"
    servos.silent = True
    with plugged(servos) as profile:
        assert "'so101_follower' does not answer: FeetechMotorsBus motor check failed" in refused(profile)


def test_an_arm_that_is_not_calibrated(servos: Servos, calibrations: Path) -> None:
    with plugged(servos, id="other") as profile:
        told = refused(profile)
    assert "there is no" in told
    assert "lerobot-calibrate --robot.type=so101_follower" in told
    assert [p.name for p in calibrations.rglob("*.json")] == ["so101.json"]
    servos.limit(2, 900, 3000)
    with plugged(servos) as profile:
        assert "its servos hold another calibration than its file" in refused(profile)
    assert not any(servos.torque(i) for i in range(1, 7))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": "/dev/nothing"}, "'so101_follower' does not answer.*/dev/nothing"),
        ({"type": "so101_folower"}, "LeRobot has no robot 'so101_folower'.*did you mean 'so101_follower'"),
        ({"options": {"speed": 3}}, "speed.*driver.options in the hardware profile"),
    ],
)
def test_what_cannot_be_used_is_told(servos: Servos, changes: dict, words: str) -> None:
    with plugged(servos, **changes) as profile:
        assert re.search(words, refused(profile), re.DOTALL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"turned": ["elbow"]}, "driver names elbow; the joints are shoulder_pan"),
        ({"at_end": "drop"}, "at_end"),
        ({"zero_deg": {"elbow_flex": "middle"}}, "zero_deg"),
    ],
)
def test_a_profile_whose_driver_makes_no_sense(tmp_path: Path, changes: dict, words: str) -> None:
    content = load_hardware("so101").model_dump(mode="json", exclude_none=True)
    content["topics"]["wrench"] = None
    content["driver"] |= changes
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=words):
        load_hardware(str(tmp_path / "mine.yaml"))


def test_a_line_says_where_and_which_and_leaves_the_rest() -> None:
    driver = Driver(type="so101_follower", port="/dev/ttyACM0", id="so101")
    assert driver.at(Line()) == driver
    assert driver.at(Line(port="/dev/ttyUSB1")) == driver.model_copy(update={"port": "/dev/ttyUSB1"})
    assert driver.at(Line(id="left")).id == "left"
