"""A gentle press on a virtual arm whose plate, friction and sensors are known, through the supervisor."""

import numpy as np
import pytest
from pressing import true_height_m, write_press

from robot_rlaas.calibrate.contact.presses import is_press, read_press
from robot_rlaas.calibrate.contact.run import CONTACT, learn_contact
from robot_rlaas.cell.contact import ContactReport
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.deploy.names import MOTION, PLATE
from robot_rlaas.deploy.press import HARD, Gentle, gentle_of
from robot_rlaas.deploy.spots import SPOTS, clear_m
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm
from robot_rlaas.sim.model import build

QUIET = Plant(description="as the model says", joint_noise_rad=5e-5, force_noise_N=0.5, torque_noise_Nm=0.02)


@pytest.fixture(scope="module")
def report(tmp_path_factory, cell, workcell, pressed) -> ContactReport:
    out = tmp_path_factory.mktemp("out")
    written = learn_contact(cell, workcell, [pressed.path], PLATE, MOTION, out, lambda _: None)
    assert load_spec(out / CONTACT, ContactReport) == written
    return written


def _of(report, name):
    return next(figure for figure in report.figures if figure.name.startswith(name))


def test_it_is_gentle_and_ends_at_home(pressed, home_rad) -> None:
    assert not pressed.trouble
    assert [line.split(":")[0] for line in pressed.told] == [f"spot {i + 1} of {SPOTS}" for i in range(SPOTS)]
    assert Gentle().force_N < pressed.peak_N < HARD * Gentle().force_N
    assert pressed.supervisor.counts.violations == 0
    np.testing.assert_allclose(pressed.arm.tick(None).q_rad, home_rad, atol=5e-3)


def test_the_plate_is_where_it_truly_is(report, cell, askew, slippery) -> None:
    height = _of(report, "height")
    true_mm = 1000 * true_height_m(slippery, askew, 2) - cell.task.plate.face_mm
    assert height.lower_95 < true_mm < height.upper_95
    assert height.value == pytest.approx(true_mm, abs=0.06)
    assert height.upper_95 - height.lower_95 < 0.25
    for axis, true_deg in (("x", askew.plate_tilt_x_deg), ("y", askew.plate_tilt_y_deg)):
        tilt = _of(report, f"tilt of the plate's face about {axis}")
        assert tilt.value == pytest.approx(true_deg, abs=0.03)
        assert not tilt.within


def test_friction_and_the_sensor_are_what_they_are(report, slippery, askew) -> None:
    assert _of(report, "friction").value == pytest.approx(0.12, abs=0.015)
    assert _of(report, "noise of the wrist's force").value == pytest.approx(0.5, rel=0.1)
    assert _of(report, "noise of the wrist's torque").value == pytest.approx(0.02, rel=0.1)
    silent = VirtualArm(slippery, askew.model_copy(update={"force_noise_N": 0.0, "torque_noise_Nm": 0.0}), 2)
    at_rest = [silent.tick(None) for _ in range(100)][-1].wrench
    stated = [figure.value for figure in report.figures if "states at rest" in figure.name]
    np.testing.assert_allclose(stated[:3], at_rest[:3], atol=0.15)
    np.testing.assert_allclose(stated[3:], at_rest[3:], atol=0.02)
    assert np.abs(at_rest[:2]).max() > 1.0  # of bias: no weight pulls there


def test_what_was_found_takes_the_cells_place(report) -> None:
    learned = {one.name: one for one in report.learned}
    assert set(learned) == {"plate_z_mm", "plate_tilt_x_deg", "plate_tilt_y_deg", "friction"}
    assert all(one.accepted for one in learned.values())
    assert abs(learned["plate_z_mm"].value - 3.0) < learned["plate_z_mm"].hidden
    assert report.pressed == SPOTS
    assert (report.attempts, report.inserted) == (0, 0)
    findings = "\n".join(report.findings)
    assert "correct task.plate.top_mm by +" in findings
    assert "tilt of the plate's face about y is -0." in findings
    words = "\n".join(report.undetermined)
    assert "show only in sum" in words
    assert "only another orientation of the tool" in words


def test_no_touch_is_said_and_the_arm_goes_home(cell, tmp_path, home_rad) -> None:
    low = QUIET.model_copy(update={"plate_z_mm": -9.0})
    pressed = write_press(tmp_path / "low.mcap", cell, low, 0, Gentle(depth_m=0.003))
    assert pressed.trouble.startswith("no touch at spot 1 down to 3 mm below where the plate should be: measure its")
    assert "correct task.plate.top_mm, or search deeper with --depth-mm" in pressed.trouble
    assert pressed.peak_N == 0.0
    np.testing.assert_allclose(pressed.arm.tick(None).q_rad, home_rad, atol=3e-3)
    with pytest.raises(InputError, match=r"no spot was pressed(?s:.*)rlaas calibrate press"):
        read_press(pressed.path, build(cell), PLATE, MOTION)


def test_something_in_the_way_makes_the_arm_lift_and_stand(cell, workcell, tmp_path) -> None:
    """A plate so high that it is met where nothing is looked for."""
    high = QUIET.model_copy(update={"plate_z_mm": 8.0})
    pressed = write_press(tmp_path / "high.mcap", cell, high, 0, Gentle(depth_m=0.003))
    assert "N, allowed were 8 N: look at the way there, free the arm and move it home" in pressed.trouble
    assert pressed.peak_N < HARD * Gentle().force_N
    tip = tool_pose(workcell.chain, pressed.arm.tick(None).q_rad[None]).p[0]
    assert tip[2] == pytest.approx(clear_m(cell), abs=2e-3)


def test_an_interrupted_press_lifts_off(cell, workcell, tmp_path) -> None:
    pressed = write_press(tmp_path / "left.mcap", cell, QUIET, 0, Gentle(depth_m=0.002), leave_after=1)
    assert len(pressed.told) == 1
    assert pressed.seconds < 40.0
    tip = tool_pose(workcell.chain, pressed.arm.tick(None).q_rad[None]).p[0]
    assert tip[2] == pytest.approx(clear_m(cell), abs=1e-3)


def test_an_arm_eight_times_as_stiff_is_pressed_no_harder(cell, tmp_path) -> None:
    """The first spot tells how stiff it is; from then on the tip goes down more slowly."""
    stiff = QUIET.model_copy(update={"servo_gain_scale": 8.0, "joint_damping_scale": 3.0})
    pressed = write_press(tmp_path / "stiff.mcap", cell, stiff, 0, Gentle(depth_m=0.002), leave_after=2)
    assert len(pressed.told) == 2, pressed.trouble
    assert pressed.peak_N < HARD * Gentle().force_N


def test_the_supervisor_stops_what_presses_too_hard(cell, tmp_path) -> None:
    """Whatever the press thinks that it feels: a wrench that always reads zero never tells it to stop."""
    low = QUIET.model_copy(update={"force_noise_N": 0.1})
    pressed = write_press(tmp_path / "deaf.mcap", cell, low, 0, Gentle(depth_m=0.005), deaf=True)
    assert pressed.trouble == "force"
    assert pressed.peak_N < 2 * HARD * Gentle().force_N


@pytest.mark.parametrize(("force_N", "depth_mm", "what"), [(2.0, 5.0, "force of 2 N"), (8.0, 30.0, "depth of 30 mm")])
def test_what_is_not_gentle_is_refused(force_N, depth_mm, what) -> None:
    with pytest.raises(InputError, match=f"a {what}; allowed are"):
        gentle_of(force_N, depth_mm)
    assert gentle_of(6.0, 4.0) == Gentle(6.0, 0.004)


def test_a_deployment_is_no_press(pressed, logs) -> None:
    assert is_press(pressed.path, MOTION)
    assert not is_press(logs[0], MOTION)


def test_two_presses_are_not_mixed(cell, workcell, pressed, tmp_path) -> None:
    with pytest.raises(InputError, match=r"2 logs of a press(?s:.*)another part"):
        learn_contact(cell, workcell, [pressed.path, pressed.path], PLATE, MOTION, tmp_path)
