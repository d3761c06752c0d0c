"""What an operator is told, from what the processes say of themselves."""

from typing import Any

import numpy as np

from robot_rlaas.operate.situation import LOST_S, SILENT_S, Now, Situation

FREE = {"latched": None, "held": None, "why": "", "ready": True, "violations": 0, "peak_force_N": 12.0}
RUNS = {"phase": "running the policy", "finished": False, "active": True, "problem": "", "results": [], "domain": None}
GOOD = {"success": True, "cycle_time_s": 3.0, "peak_force_N": 30.0}


def running(**policy: Any) -> Situation:
    """Free to move at 10 s, with a target that came just then."""
    situation = Situation(3, False, ("a", "b"))
    situation.supervised(FREE, 10.0)
    situation.acted(RUNS | policy, 9.0)
    situation.wanted(10.0)
    return situation


def test_a_supervisor_that_is_silent_for_too_long_makes_all_of_it_stale():
    situation = running()
    assert situation.headline(10.0 + LOST_S).tone != "lost"
    gone = situation.told(10.0 + LOST_S + 0.01)
    assert (gone["tone"], gone["title"]) == ("lost", "No connection to the supervisor")
    assert "emergency stop" in gone["text"]
    assert gone["can"] == {"stop": True, "reset": False, "start": False, "pause": False}
    assert Situation(1, False, ()).headline(0.0).title == "Waiting for the supervisor"


def test_a_stop_comes_before_all_else_but_a_lost_supervisor():
    situation = running(finished=True)
    why = "stopped: the operator pressed STOP"
    situation.supervised(FREE | {"latched": "operator", "why": why}, 10.0)
    told = situation.told(10.0)
    assert (told["tone"], told["title"]) == ("stop", "Stopped by the operator")
    assert told["stage"] == "stopped"
    assert told["text"].startswith("Stopped: the operator pressed STOP. The arm stands")
    assert "move back" not in told["text"]
    assert told["can"]["reset"]
    assert not told["can"]["start"]
    situation.supervised(FREE | {"latched": "force", "why": "stopped: the wrist feels too much"}, 10.0)
    assert situation.headline(10.0).title == "Stopped"
    assert "may soon move back a little" in situation.headline(10.0).text


def test_a_hold_goes_on_by_itself():
    situation = running()
    situation.supervised(FREE | {"held": "force", "why": "held: the wrist feels too much"}, 10.0)
    assert situation.headline(10.0).tone == "hold"
    assert not situation.told(10.0)["can"]["reset"]


def test_an_attempt_in_progress():
    told = running(results=[GOOD]).told(10.0)
    assert (told["tone"], told["title"], told["text"]) == ("run", "Attempt 2 of 3", "The arm is running the policy.")
    assert (told["made"], told["total"], told["succeeded"]) == (1, 3, 1)
    assert told["can"] == {"stop": True, "reset": False, "start": False, "pause": True}


def test_a_policy_that_sends_nothing_is_called_silent():
    situation = running()
    assert situation.headline(10.0 + SILENT_S).tone == "run"
    assert situation.headline(10.0 + SILENT_S + 0.01).title == "The policy is silent"


def test_a_policy_that_was_paused_can_be_started_and_one_that_never_ran_cannot():
    situation = running()
    situation.acted(RUNS | {"active": False}, 10.0)
    assert situation.headline(10.0).title == "Paused"
    assert situation.told(10.0)["can"]["start"]
    fresh = Situation(3, False, ())
    fresh.supervised(FREE, 10.0)
    fresh.acted(RUNS | {"active": False}, 10.0)
    assert fresh.headline(10.0).title == "Not started"
    assert not fresh.told(10.0)["can"]["start"]
    fresh.acted(RUNS | {"active": False, "problem": "the bundle was exchanged"}, 10.0)
    assert fresh.headline(10.0).text == "The bundle was exchanged."


def test_the_end_says_how_many_succeeded_and_that_nothing_is_current_any_more():
    situation = running(finished=True, results=[GOOD, GOOD, GOOD | {"success": False}])
    assert situation.headline(10.0).title == "All 3 attempts are done: 2 succeeded"
    assert not situation.told(10.0)["ended"]
    situation.end()
    told = situation.told(1e6)
    assert (told["tone"], told["ended"], told["can"]["stop"]) == ("over", True, False)
    early = running(results=[GOOD])
    early.end()
    assert early.headline(10.0).title == "Ended after 1 of 3 attempts: 1 succeeded"


def test_a_virtual_arm_counts_for_itself():
    situation = Situation(2, True, ())
    situation.acted(RUNS | {"results": [GOOD]}, 10.0)
    assert situation.attempts == []
    situation.scored({"attempts": [GOOD, GOOD, GOOD]})
    assert situation.attempts == [GOOD, GOOD]


def test_the_last_stop_stays_and_other_events_do_not_hide_it():
    situation, event = running(), {"cause": "force", "line": "held: too much", "by": "supervisor", "last_s": 5.0}
    situation.happened(event | {"what": "held"})
    situation.happened(event | {"what": "resumed"})
    assert situation.told(10.0)["last_stop"] == event | {"what": "held"}


def test_joints_are_told_in_degrees_and_what_is_not_known_is_left_out():
    situation = running()
    situation.now = Now(np.deg2rad([10.0, -20.0]), np.deg2rad([11.004, -20.0]), None)
    assert situation.told(10.0)["joints"] == [
        {"name": "a", "at": 10.0, "wanted": 11.0, "through": None},
        {"name": "b", "at": -20.0, "wanted": -20.0, "through": None},
    ]
