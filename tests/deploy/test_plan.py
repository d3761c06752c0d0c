"""Which processes are started, with what; and that they need nothing they should not need."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from plate_scene import MARKERS, calibration, spec_of

from robot_rlaas.assets import data_dir
from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import Driver, HardwareProfile, Line, load_hardware
from robot_rlaas.cell.perception import PerceptionSpec, load_perception
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.plan import plan

GIVEN = {"attempts": 3, "arm": "virtual", "plant": "ur5e_worn", "seed": 1, "domain_id": 62}


NAMES = ["virtual_arm", "watchdog", "supervisor", "recorder", "policy", "conductor"]


def test_a_virtual_arm_gets_six_processes_on_a_domain_of_its_own(bundle, trust, tmp_path):
    processes = plan(load_bundle(bundle, trust), tmp_path, **GIVEN)
    assert [p.name for p in processes] == NAMES
    for process in processes:
        assert process.environment["ROS_DOMAIN_ID"] == "62"
        assert process.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert process.argv(tmp_path)[1:3] == ["-m", process.module]
    assert sorted(p.stem for p in (tmp_path / "params").iterdir()) == sorted(p.name for p in processes)


def test_a_real_arm_keeps_its_ros_environment(bundle, trust, tmp_path):
    processes = plan(load_bundle(bundle, trust), tmp_path, **GIVEN | {"arm": "real", "domain_id": None})
    assert [p.name for p in processes] == NAMES[1:]
    assert not any(name.startswith("ROS") for p in processes for name in p.environment)
    assert {p.name: p.params for p in processes}["policy"]["next_part"] == ""
    with pytest.raises(InputError, match="ROS_DOMAIN_ID"):
        plan(load_bundle(bundle, trust), tmp_path, **GIVEN | {"arm": "real"})


def of_profile(bundle, folder: Path, **changes):
    """The bundle, of an arm with another hardware profile."""
    content = load_hardware("ur5e").model_dump(mode="json", exclude_none=True) | changes
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    robot = bundle.cell.robot.model_copy(update={"hardware": str(folder / "own.yaml")})
    return replace(bundle, cell=bundle.cell.model_copy(update={"robot": robot}))


def test_a_real_arm_without_a_ros_driver_gets_one_at_the_port_that_is_named(bundle, trust, tmp_path):
    driver = {"type": "so101_follower", "port": "/dev/nothing", "id": "left"}
    real, changes = {"arm": "real", "domain_id": None}, {"driver": driver, "other_controllers": {}}
    loaded = of_profile(load_bundle(bundle, trust), tmp_path, **changes)
    processes = plan(loaded, tmp_path, **GIVEN | real, line=Line("/dev/null"))
    assert [p.name for p in processes] == ["driver", *NAMES[1:]]
    assert processes[0].environment["HF_HUB_OFFLINE"] == "1"
    told = HardwareProfile.model_validate(processes[0].params["profile"]).driver
    assert told == Driver(type="so101_follower", port="/dev/null", id="left")
    assert [p.name for p in plan(loaded, tmp_path, **GIVEN)] == NAMES
    with pytest.raises(InputError, match="there is no port /dev/nothing"):
        plan(loaded, tmp_path, **GIVEN | real)
    with pytest.raises(InputError, match="'ur5e' has no driver of LeRobot's"):
        plan(load_bundle(bundle, trust), tmp_path, **GIVEN | real, line=Line("/dev/null"))


def test_an_arm_is_moved_through_the_controller_that_is_named(bundle, trust, tmp_path):
    loaded, topic = load_bundle(bundle, trust), "/scaled_joint_trajectory_controller/joint_trajectory"
    params = {p.name: p.params for p in plan(loaded, tmp_path, **GIVEN, line=Line(controller="trajectory"))}
    for name in ("virtual_arm", "watchdog", "supervisor", "policy"):
        assert params[name]["topics"]["command"] == topic
    told = {params[name]["command_type"] for name in ("virtual_arm", "watchdog")}
    assert told == {"trajectory_msgs/msg/JointTrajectory"}
    assert params["recorder"]["topics"][topic]["type"] == "trajectory_msgs/msg/JointTrajectory"
    params = {p.name: p.params for p in plan(loaded, tmp_path, **GIVEN, line=Line(controller="forward"))}
    assert params["watchdog"]["topics"]["command"] == "/forward_position_controller/commands"


@pytest.mark.parametrize("name", ["trajectory", "servo"])
def test_a_controller_that_the_arm_does_not_have_is_refused(bundle, trust, tmp_path, name):
    loaded = of_profile(load_bundle(bundle, trust), tmp_path, other_controllers={})
    with pytest.raises(
        InputError, match=rf"of the ur5e has no controller '{name}'; it has forward\n  fix: .*other_con"
    ):
        plan(loaded, tmp_path, **GIVEN, line=Line(controller=name))


def test_a_policy_needs_an_arm_that_feels(bundle, trust, tmp_path):
    topics = {"wrench": None}
    with pytest.raises(InputError, match="measures no wrench at its wrist: no policy"):
        plan(of_profile(load_bundle(bundle, trust), tmp_path, topics=topics), tmp_path, **GIVEN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "gazebo"}, "virtual, real"),
        ({"plant": "ur5e_wron"}, "ur5e_worn"),
        ({"attempts": 0}, "at least one"),
        ({"domain_id": 500}, "0 to 101"),
        ({"log_mb": 0}, "a log of 0 MB"),
        ({"log_mb": float("nan")}, "a log of nan MB"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(bundle, trust, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        plan(load_bundle(bundle, trust), tmp_path, **GIVEN | change)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_nobody_was_asked_about_starts_nothing(bundle, trust, tmp_path):
    with pytest.raises(InputError, match="not asked who vouches"):
        plan(load_bundle(bundle), tmp_path, **GIVEN)
    processes = {p.name: p.params for p in plan(load_bundle(bundle, trust), tmp_path, **GIVEN)}
    said = str(load_bundle(bundle, trust).origin)
    assert said.startswith("signed by tester")
    assert processes["policy"]["origin"] == processes["recorder"]["metadata"]["bundle_origin"] == said


def envelopes(bundle) -> dict[str, Envelope]:
    """The limits that each process is given."""
    params = {p.name: p.params for p in arm_processes_of(bundle)}
    return {name: Envelope.from_json(content["envelope"]) for name, content in params.items() if "envelope" in content}


def arm_processes_of(bundle):
    return plan(bundle, Path("out"), **GIVEN)


def test_a_bundle_with_wider_limits_widens_nothing(bundle, trust):
    loaded = load_bundle(bundle, trust)
    own = loaded.envelope
    wide = own._replace(
        lower_rad=own.lower_rad - 1,
        upper_rad=own.upper_rad + 1,
        speed_rad_s=9 * own.speed_rad_s,
        acceleration_rad_s2=9 * own.acceleration_rad_s2,
        force_N=9 * own.force_N,
        keep_out_min_m=np.zeros((0, 3)),
        keep_out_max_m=np.zeros((0, 3)),
    )
    for name, envelope in envelopes(replace(loaded, envelope=wide)).items():
        for one, other in zip(envelope, own):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_everybody_gets_the_tightest_limits_and_knows_whose_they_are(bundle, trust):
    loaded = load_bundle(bundle, trust)
    slow = loaded.envelope._replace(speed_rad_s=np.full(6, 0.5))
    found = envelopes(replace(loaded, envelope=slow))
    assert set(found) == {"watchdog", "supervisor", "policy"}
    for envelope in found.values():
        np.testing.assert_array_equal(envelope.speed_rad_s, slow.speed_rad_s)
    processes = {p.name: p.params for p in arm_processes_of(replace(loaded, envelope=slow))}
    origin = processes["supervisor"]["limits"]["origin"]
    assert (origin["speed_rad_s"], origin["force_N"]) == ("bundle", "hardware profile and cell")


def test_joints_keep_their_own_limits_and_places_whatever_order_the_controller_has(bundle, trust, tmp_path):
    """A hardware profile here that lists its joints in another order than the one the bundle was built with."""
    loaded = load_bundle(bundle, trust)
    profile = load_hardware("ur5e")
    backwards = profile.ordered(profile.joints[::-1]).model_copy(
        update={"velocity_limit_rad_s": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "torque_limit_Nm": (1, 2, 3, 4, 5, 6)}
    )
    (tmp_path / "backwards.yaml").write_text(yaml.safe_dump(backwards.model_dump(mode="json")))
    robot = loaded.cell.robot.model_copy(update={"hardware": str(tmp_path / "backwards.yaml")})
    processes = arm_processes_of(replace(loaded, cell=loaded.cell.model_copy(update={"robot": robot})))
    params = {p.name: p.params for p in processes}
    assert params["watchdog"]["joints"] == params["watchdog"]["controller_joints"][::-1]
    np.testing.assert_array_equal(params["supervisor"]["envelope"]["speed_rad_s"], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    np.testing.assert_array_equal(params["supervisor"]["arm"]["torque_Nm"], [6, 5, 4, 3, 2, 1])


@pytest.mark.parametrize(("mount", "chained"), [("base", False), ("tool", True)])
def test_a_perception_file_adds_a_process_that_the_policy_asks(bundle, trust, tmp_path, mount, chained):
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(calibration(np.eye(4), mount).model_dump(mode="json")))
    file, loaded = tmp_path / "plate.yaml", load_bundle(bundle, trust)
    file.write_text(yaml.safe_dump(spec_of(MARKERS).model_dump(mode="json", exclude_none=True)))
    real = GIVEN | {"arm": "real", "domain_id": None}
    processes = {p.name: p for p in plan(loaded, tmp_path, **real, perception=file)}
    assert list(processes) == [*NAMES[1:4], "perception", *NAMES[4:]]
    assert processes["policy"].params["next_part"] == "/rlaas/look"
    params = json.loads(json.dumps(processes["perception"].params))
    assert (params["chain"] is not None) == chained
    assert params["height_m"] == loaded.cell.task.plate.top_mm[2] / 1000
    assert PerceptionSpec.model_validate(params["perception"]) == load_perception(file).spec
    with pytest.raises(InputError, match="for a real one"):
        plan(loaded, tmp_path, **GIVEN, perception=file)


def test_only_the_virtual_arm_loads_a_simulator_and_nobody_loads_torch():
    code = """
import importlib, sys
nodes = "supervisor_node watchdog_node recorder_node policy_node perception_node conductor driver_node"
for name in nodes.split():
    importlib.import_module("robot_rlaas.deploy.ros." + name)
import robot_rlaas.deploy.run
heavy = {"mujoco", "torch", "lerobot", "stable_baselines3", "matplotlib", "gymnasium"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_launch_file_starts_the_plans_processes():
    """ros2 launch cannot be installed from a package index, so its file is read, not run."""
    file = data_dir("launch") / "deploy.launch.py"
    tree = ast.parse(Path(file).read_text())
    imported = {(n.module, a.name) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert {("robot_rlaas.deploy.plan", "plan"), ("robot_rlaas.bundle", "load_bundle")} <= imported
    loads = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "load_bundle"]
    assert [getattr(n.args[1].func, "id", "") for n in loads] == ["Trust"]
    assert "generate_launch_description" in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "plan"]
    assert {k.arg for k in calls[0].keywords} == {*GIVEN, "ui", "domain", "perception", "log_mb", "line"}
