"""How a fault is judged by what the arm said of itself."""

import numpy as np
import pytest
from supervised import ENVELOPE, HOME

from robot_rlaas.deploy.faults import Fault
from robot_rlaas.deploy.judged import State, judge, line

FAULT = Fault("a fault", ("force",))
TICK_S, BEGIN_S = 0.01, 100.0


def states(rest_s: float, speed_rad_s: float = 0.2, q_rad: np.ndarray = HOME) -> list[State]:
    """One joint moves for so long, and the arm stands for half a second."""
    count = round((rest_s + 0.5) / TICK_S)
    times = np.arange(1, count + 1) * TICK_S
    return [State(BEGIN_S + t, q_rad, speed_rad_s * (t < rest_s - 1e-9) * np.eye(6)[1]) for t in times]


@pytest.mark.parametrize("rest_s", [0.05, 0.15, 0.19])
def test_an_arm_that_rests_in_time_for_a_named_cause_has_taken_it(rest_s):
    told = judge(FAULT, BEGIN_S, states(rest_s), ("held", "force"), False, ENVELOPE)
    assert told.ok
    assert told.stop_s == pytest.approx(rest_s, abs=1e-6)
    assert told.speed_share == pytest.approx(0.2 / ENVELOPE.speed_rad_s[1])
    assert f"at rest after {1000 * rest_s:.0f} ms" in line(told)


@pytest.mark.parametrize(
    ("moved", "causes", "keep_out"),
    [
        (states(0.25), ("force",), False),
        (states(5.0)[:100], ("force",), False),
        (states(0.1), ("torque",), False),
        (states(0.1), ("force",), True),
        (states(0.1, 1.01 * ENVELOPE.speed_rad_s[1]), ("force",), False),
        (states(0.1, q_rad=ENVELOPE.upper_rad + 0.01), ("force",), False),
    ],
    ids=["late", "never", "another cause", "in a box", "too fast", "out of range"],
)
def test_what_is_no_good_end(moved, causes, keep_out):
    told = judge(FAULT, BEGIN_S, moved, causes, keep_out, ENVELOPE)
    assert not told.ok
    assert line(told).startswith("FAIL")
