"""Limits of several origins in one: whatever a bundle says, nothing becomes wider than profile and cell allow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.envelope import envelope_of, tightest
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.sim.model import build

CELL = load_cell("peg_insertion")
WORKCELL = build(CELL)
CHAIN, ENVELOPE = WORKCELL.chain, WORKCELL.envelope
WIDE = ENVELOPE._replace(
    lower_rad=ENVELOPE.lower_rad - 1,
    upper_rad=ENVELOPE.upper_rad + 1,
    speed_rad_s=ENVELOPE.speed_rad_s * 10,
    acceleration_rad_s2=ENVELOPE.acceleration_rad_s2 * 10,
    force_N=1e6,
    keep_out_min_m=np.zeros((0, 3)),
    keep_out_max_m=np.zeros((0, 3)),
)


def test_the_cells_envelope_is_the_models():
    again = envelope_of(CELL, load_hardware(CELL.robot.hardware), CHAIN, ENVELOPE.guarded_m)
    for one, other in zip(again, ENVELOPE):
        np.testing.assert_array_equal(one, other)


def test_a_wider_bundle_widens_nothing():
    found = tightest(("hardware and cell", ENVELOPE), ("bundle", WIDE))
    for one, other in zip(found.envelope, ENVELOPE):
        np.testing.assert_array_equal(one, other)
    assert set(found.origin.values()) == {"hardware and cell"}


def test_every_origin_can_tighten_and_is_named():
    slow = ENVELOPE._replace(speed_rad_s=np.where(np.arange(6) == 2, 0.5, 9.0), force_N=60.0)
    short = ENVELOPE._replace(lower_rad=ENVELOPE.lower_rad + 0.5)
    found = tightest(("hardware and cell", ENVELOPE), ("bundle", slow), ("site", short))
    np.testing.assert_array_equal(found.envelope.speed_rad_s, [1.5, 1.5, 0.5, 1.5, 1.5, 1.5])
    np.testing.assert_array_equal(found.envelope.lower_rad, ENVELOPE.lower_rad + 0.5)
    assert found.envelope.force_N == 60.0
    assert {k: v for k, v in found.origin.items() if v != "hardware and cell"} == {
        "speed_rad_s": "bundle",
        "force_N": "bundle",
        "lower_rad": "site",
    }


def test_everybodys_boxes_and_points_count():
    other = ENVELOPE._replace(
        keep_out_min_m=np.array([[0.0, 0.0, 0.0], *ENVELOPE.keep_out_min_m]),
        keep_out_max_m=np.array([[0.1, 0.1, 0.1], *ENVELOPE.keep_out_max_m]),
        guarded_m=np.array([[0.0, 0.0, 0.3]]),
    )
    found = tightest(("cell", ENVELOPE), ("bundle", other)).envelope
    assert len(found.keep_out_min_m) == len(ENVELOPE.keep_out_min_m) + 1
    assert len(found.guarded_m) == len(ENVELOPE.guarded_m) + 1
    tool = Pose(np.eye(3)[None], np.array([[0.05, 0.05, -0.25]]))
    assert inside_keep_out(found, tool)[0]
    assert not inside_keep_out(ENVELOPE, tool)[0]


def test_the_result_cannot_be_written_to():
    found = tightest(("cell", ENVELOPE)).envelope
    with pytest.raises(ValueError, match="read-only"):
        found.speed_rad_s[0] = 9.0


@given(st.lists(st.floats(-3, 3), min_size=25, max_size=25), st.permutations(range(3)))
def test_nothing_is_ever_wider_whoever_comes_first(shifts, order):
    changed = ENVELOPE._replace(
        lower_rad=ENVELOPE.lower_rad + shifts[:6],
        upper_rad=ENVELOPE.upper_rad + shifts[6:12],
        speed_rad_s=ENVELOPE.speed_rad_s * np.exp(shifts[12:18]),
        acceleration_rad_s2=ENVELOPE.acceleration_rad_s2 * np.exp(shifts[18:24]),
        force_N=ENVELOPE.force_N * float(np.exp(shifts[24])),
    )
    all_of_them = [("a", ENVELOPE), ("b", changed), ("c", WIDE)]
    found = tightest(*(all_of_them[i] for i in order)).envelope
    for _, one in all_of_them:
        assert (found.lower_rad >= one.lower_rad).all()
        for name in ("upper_rad", "speed_rad_s", "acceleration_rad_s2", "force_N"):
            assert np.all(getattr(found, name) <= getattr(one, name))
