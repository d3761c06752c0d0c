"""Which processes are started, with what; and that they need nothing they should not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.bundle import load_bundle
from robot_rlaas.cell.errors import InputError
from robot_rlaas.deploy.plan import plan

GIVEN = {"attempts": 3, "arm": "virtual", "plant": "ur5e_worn", "seed": 1, "domain_id": 62}


def test_a_virtual_arm_gets_five_processes_on_a_domain_of_its_own(bundle, tmp_path):
    processes = plan(load_bundle(bundle), tmp_path, **GIVEN)
    assert [p.name for p in processes] == ["virtual_arm", "supervisor", "recorder", "policy", "conductor"]
    for process in processes:
        assert process.environment["ROS_DOMAIN_ID"] == "62"
        assert process.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert process.argv(tmp_path)[1:3] == ["-m", process.module]
    assert sorted(p.stem for p in (tmp_path / "params").iterdir()) == sorted(p.name for p in processes)


def test_a_real_arm_keeps_its_ros_environment(bundle, tmp_path):
    processes = plan(load_bundle(bundle), tmp_path, **GIVEN | {"arm": "real", "domain_id": None})
    assert [p.name for p in processes] == ["supervisor", "recorder", "policy", "conductor"]
    assert not any(name.startswith("ROS") for p in processes for name in p.environment)
    assert processes[2].params["next_part"] == ""
    with pytest.raises(InputError, match="ROS_DOMAIN_ID"):
        plan(load_bundle(bundle), tmp_path, **GIVEN | {"arm": "real"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arm": "gazebo"}, "virtual, real"),
        ({"plant": "ur5e_wron"}, "ur5e_worn"),
        ({"attempts": 0}, "at least one"),
        ({"domain_id": 500}, "0 to 101"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(bundle, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        plan(load_bundle(bundle), tmp_path, **GIVEN | change)
    assert list(tmp_path.iterdir()) == []


def test_only_the_virtual_arm_loads_a_simulator_and_nobody_loads_torch():
    code = """
import importlib, sys
for name in ("supervisor_node", "recorder_node", "policy_node", "conductor"):
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
    assert "generate_launch_description" in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "plan"]
    assert {k.arg for k in calls[0].keywords} == set(GIVEN)
