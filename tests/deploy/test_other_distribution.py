"""Nodes of this ROS 2 distribution under an operator's script of another one: whatever is on the wire is standard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from robot_rlaas.bundle import load_bundle
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.run import started

pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

JAZZY = ("ros-rclpy[fastrtps]==7.1.6", "ros-std-msgs==5.3.*", "ros-std-srvs==5.3.*", "ros-lifecycle-msgs==2.0.*")
DOMAIN = 68
SCRIPT = Path(__file__).parent / "operator_script.py"


@pytest.fixture(scope="module")
def jazzy(tmp_path_factory) -> Path:
    """A Python with ROS 2 Jazzy and nothing of ours."""
    folder, uv = tmp_path_factory.mktemp("jazzy") / "venv", Path(sys.prefix) / "bin" / "uv"
    if not uv.is_file():
        pytest.skip("uv is not installed here: no other ROS 2 can be set up")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run([uv, "pip", "install", "-q", "--python", python, *JAZZY], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no ROS 2 Jazzy on this machine's package index: {done.stderr.strip().splitlines()[-1:]}")
    return python


def test_a_jazzy_script_starts_watches_and_stops_a_deployment(jazzy, bundle, trust, tmp_path):
    given = {"attempts": 5, "arm": "virtual", "plant": "ur5e_worn", "seed": 0, "domain_id": DOMAIN}
    processes = [p for p in plan(load_bundle(bundle, trust), tmp_path, **given) if p.name != "conductor"]
    own = {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "HOME": str(tmp_path)}
    with started(processes, tmp_path):
        done = subprocess.run([jazzy, SCRIPT], env=own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    assert str(jazzy.parent.parent) in told["rclpy"]
    assert (told["activated"], told["deactivated"]) == (True, True)
    assert told["reset"] == "was latched: nothing"
    assert (told["supervisor"]["latched"], told["supervisor"]["violations"]) == (None, 0)
    assert told["supervisor"]["periods"] > 40
    assert told["watchdog"] == {"latched": None, "failed": "", "heard": True}
    assert told["policy"]["problem"] == ""
    assert json.loads((tmp_path / "supervisor.json").read_text())["deadman"] == 0
