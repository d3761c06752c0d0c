"""The operator's page in a browser, over real nodes: it shows an attempt, and STOP stops a policy that hangs."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
import rclpy
from browser import TEXT, chromium
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from robot_rlaas.bundle import load_bundle
from robot_rlaas.deploy import names
from robot_rlaas.deploy.plan import plan
from robot_rlaas.deploy.ros.process import LATCHED, RELIABLE, from_time
from robot_rlaas.deploy.run import started
from robot_rlaas.deploy.ui import LOOPBACK, Ui

# rclpy's message generator imports a parser that imports a deprecated module
pytestmark = [pytest.mark.realtime, pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")]

DOMAIN, PORT = 91, 18490
MOVES_RAD_S = 0.02
STANDS_S = 0.2  # after a stop was asked for


class Ear:
    """Hears the arm, the supervisor and what happens."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("ear", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.speeds: list[tuple[float, float]] = []
        self.supervisor: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.node.create_subscription(JointState, "/joint_states", self._measure, qos_profile_sensor_data)
        self.node.create_subscription(String, names.SUPERVISOR, self._supervised, LATCHED)
        self.node.create_subscription(
            String, names.EVENTS, lambda message: self.events.append(json.loads(message.data)), RELIABLE
        )

    def _measure(self, message: JointState) -> None:
        self.speeds.append((from_time(message.header.stamp), float(np.abs(message.velocity).max())))

    def _supervised(self, message: String) -> None:
        self.supervisor = json.loads(message.data)

    def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.supervisor, self.events)
            self.executor.spin_once(timeout_sec=0.05)

    def moves(self) -> bool:
        """At speed, for some time now."""
        return len(self.speeds) > 20 and all(speed > 0.1 for _, speed in self.speeds[-10:])

    def stops(self) -> list[dict[str, Any]]:
        """Every stop that was latched."""
        return [event for event in self.events if event["what"] == "stopped"]

    def stood_after_s(self, stopped_s: float) -> float:
        """How long it still moved after that time."""
        self.until(lambda: self.speeds[-1][0] > stopped_s + 1.0)
        after = [(at, speed) for at, speed in self.speeds if stopped_s < at < stopped_s + 1.0]
        return max([at - stopped_s for at, speed in after if speed > MOVES_RAD_S], default=0.0)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    opened = Ear()
    yield opened
    opened.close()


def test_stop_stops_an_arm_whose_policy_hangs(
    bundle: Path, trust, ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("viser")
    monkeypatch.setattr(browser, "WINDOW", "--window-size=900,640")  # software draws it
    ui, given = Ui(LOOPBACK, PORT), {"attempts": 50, "arm": "virtual", "plant": "ur5e_worn", "seed": 0}
    processes = plan(load_bundle(bundle, trust), tmp_path, domain_id=DOMAIN, ui=ui, **given)
    stop = "document.getElementById('stop').innerText"
    with started(processes, tmp_path) as running:
        ear.until(lambda: ear.supervisor.get("ready") and ear.supervisor["periods"] > 20, 40)
        with chromium(ui.address, tmp_path / "profile") as page:
            text = page.wait(TEXT, lambda text: text and "Attempt" in text)
            assert "of 50" in text

            ear.until(ear.moves)
            running["policy"].send_signal(signal.SIGSTOP)
            page.press(" ")
            ear.until(lambda: ear.supervisor["latched"] == "operator" and ear.stops())
            pressed = ear.stops()[-1]
            assert (pressed["cause"], pressed["text"]) == ("operator", "the operator pressed STOP")
            assert ear.stood_after_s(pressed["first_s"]) < STANDS_S
            page.wait(TEXT, lambda text: "Stopped by the operator" in text)
            assert page.run(stop).startswith("STOPPED")

            page.click("Reset")
            ear.until(lambda: ear.supervisor["latched"] is None)
            page.wait(TEXT, lambda text: "The policy is silent" in text)
            running["policy"].send_signal(signal.SIGCONT)
            page.wait(TEXT, lambda text: "Attempt" in text)
            ear.until(ear.moves)
            page.click("STOP")
            ear.until(lambda: len(ear.stops()) == 2)
            assert ear.stood_after_s(ear.stops()[-1]["first_s"]) < STANDS_S

            running["supervisor"].send_signal(signal.SIGSTOP)
            since_s = time.monotonic()
            page.wait(TEXT, lambda text: "No connection to the supervisor" in text, 10)
            assert time.monotonic() - since_s < 3.0  # 2 s, and a look every half a second
            running["supervisor"].send_signal(signal.SIGCONT)
            assert page.asked <= {url for url in page.asked if url.startswith(("http://127.0.0.1", "data:", "blob:"))}
    assert json.loads((tmp_path / "supervisor.json").read_text())["stops"]["operator"] == 2


def test_what_is_not_loopback_needs_the_token(bundle: Path, trust, tmp_path: Path) -> None:
    """A page with a token, seen from here; and one without, addressed by somebody else's name."""
    from robot_rlaas.operate.gate import Gate

    def status(port: int, way: str = "/", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{way}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers.get("Set-Cookie", "")
        except urllib.error.HTTPError as error:
            return error.code, ""

    wishes: list[str] = []
    with Gate("0.0.0.0", PORT + 1, "secret", "<p>page", ("<p>scene", "127.0.0.1:1"), wishes.append):
        assert status(PORT + 1)[0] == 403
        assert status(PORT + 1, "/scene/")[0] == 403
        assert status(PORT + 1, "/?token=wrong")[0] == 403
        code, cookie = status(PORT + 1, "/?token=secret")
        assert code == 200
        assert "HttpOnly" in cookie
        assert status(PORT + 1, "/scene/", Cookie=cookie.split(";")[0])[0] == 200
        assert status(PORT + 1, "/?token=secret", Origin="http://elsewhere")[0] == 403
    with Gate(LOOPBACK, PORT + 2, "", "<p>page", ("<p>scene", "127.0.0.1:1"), wishes.append):
        assert status(PORT + 2)[0] == 200
        assert status(PORT + 2, Host="elsewhere:80")[0] == 403
        assert status(PORT + 2, "/anything")[0] == 404
    assert wishes == []
