"""The journal: what goes on without a pause is one event, told at once and then once a second; memory is bounded."""

import math

from robot_rlaas.deploy.events import KEPT, Event, Journal

FAST = Event("limited", "speed", "too fast", "elbow_joint", 2.0, 1.5, "rad/s")


def test_a_line_says_what_which_joint_how_much_and_why():
    assert FAST.line == "limited elbow_joint: too fast (2 rad/s, allowed 1.5)"
    assert Event("stopped", "recorder", "the disk is full").line == "stopped: the disk is full"
    assert FAST._replace(times=3).line.endswith(", 3 times")


def test_what_goes_on_is_one_event_with_its_worst_amount():
    journal = Journal()
    for i, value in enumerate((2.0, 4.0, 3.0)):
        journal.note(FAST._replace(value=value), 10 + 0.05 * i)
    journal.note(FAST._replace(joint="wrist_1_joint"), 10.1)
    assert [(e.joint, e.times, e.value) for e in journal] == [("elbow_joint", 3, 4.0), ("wrist_1_joint", 1, 2.0)]
    assert [(e.first_s, e.last_s) for e in journal] == [(10, 10.1), (10.1, 10.1)]
    journal.note(FAST, 11.2)
    assert [e.times for e in journal] == [3, 1, 1]


def test_the_nearest_distance_is_the_worst():
    journal = Journal()
    for value in (0.008, 0.002, 0.005):
        journal.note(Event("blocked", "collision", "near", "", value, 0.01, "m"), 0.0)
    assert [e.value for e in journal] == [0.002]


def test_it_is_told_at_once_and_then_once_a_second():
    journal, told = Journal(), []
    for i in range(41):
        now_s = 0.05 * i
        journal.note(FAST, now_s)
        told += [(round(now_s, 2), event.times) for event in journal.untold(now_s)]
    assert told == [(0.0, 1), (1.0, 21), (2.0, 41)]
    assert journal.untold(2.5) == []


def test_memory_is_bounded():
    journal = Journal()
    for i in range(3 * KEPT):
        journal.note(FAST, 10.0 * i)
        journal.untold(10.0 * i)
    assert (len(journal), journal.dropped) == (KEPT, 2 * KEPT)


def test_json_has_no_nan_and_times_of_the_readers_clock():
    journal = Journal()
    journal.note(Event("reset", "force", "somebody reset the stop"), 5.0)
    (content,) = journal.to_json(100.0)
    assert (content["value"], content["first_s"]) == (None, 105.0)
    assert not any(isinstance(v, float) and math.isnan(v) for v in content.values())
