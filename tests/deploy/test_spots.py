"""Where a tip may be pressed: on the plate's face, beside its hole, and where the arm may stand."""

import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import DOWN
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.deploy.spots import LEAST, SPOTS, STROKE_M, Spot, clear_m, face_m, spots
from robot_rlaas.env.insertion.task import task_frame
from robot_rlaas.sim.model import Workcell, build


def on(cell: CellSpec, workcell: Workcell, x_mm: float = 0.0, y_mm: float = 0.0, yaw_deg: float = 0.0) -> list[Spot]:
    plate = task_frame(cell, np.array([[x_mm, y_mm]]) / 1000, np.deg2rad([yaw_deg]))
    return spots(cell, workcell.chain, workcell.envelope, plate)


def in_plate_mm(cell: CellSpec, places: list[np.ndarray], x_mm: float, y_mm: float, yaw_deg: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    away = 1000 * np.array(places) - np.array(cell.task.plate.top_mm[:2]) - (x_mm, y_mm)
    return away @ np.array([[c, -s], [s, c]])


@pytest.mark.parametrize("at", [(0, 0, 0), (30, 30, 10), (-30, 30, -10), (30, -30, 10)])
def test_the_whole_tip_stays_on_the_face_and_beside_the_hole(workcell, shipped, at) -> None:
    found = on(shipped, workcell, *at)
    assert LEAST <= len(found) <= SPOTS
    ends = in_plate_mm(shipped, [end for spot in found for end in spot], *at)
    tip = 16 / np.sqrt(2)  # half the diagonal of the peg
    assert np.abs(ends).max() + tip < 60
    assert np.linalg.norm(ends, axis=1).min() - tip > (16 + 2 * 0.5 + 2 * 1.0) / np.sqrt(2)  # the chamfer's corner
    assert [np.linalg.norm(spot.to_m - spot.at_m) for spot in found] == pytest.approx([STROKE_M] * len(found))


def test_spots_tell_both_tilts(workcell, shipped) -> None:
    ends = in_plate_mm(shipped, [spot.at_m for spot in on(shipped, workcell)], 0, 0, 0)
    assert np.linalg.svd(ends - ends.mean(axis=0))[1][1] > 50.0  # mm: far from a line
    angles = np.arctan2(ends[:, 1], ends[:, 0])
    assert np.all(np.diff(angles) > 0)  # round the hole, once


def test_no_spot_is_in_a_keep_out_box(workcell, shipped) -> None:
    """A clamp 30 mm nearer, and the plate is pressed on its other side."""
    envelope = workcell.envelope
    nearer = workcell._replace(envelope=envelope._replace(keep_out_min_m=envelope.keep_out_min_m - [0, 0.03, 0]))
    assert in_plate_mm(shipped, [s.at_m for s in on(shipped, workcell, 0, 30)], 0, 30, 0)[:, 1].max() > 38
    beside = on(shipped, nearer, 0, 30)
    assert in_plate_mm(shipped, [s.at_m for s in beside], 0, 30, 0)[:, 1].max() < 15
    tools = Pose(np.tile(DOWN, (len(beside), 1, 1)), np.array([[*s.at_m, face_m(shipped)] for s in beside]))
    assert not inside_keep_out(nearer.envelope, tools).any()


def test_a_plate_without_room_is_refused() -> None:
    gears = load_cell("gear_meshing")
    with pytest.raises(InputError, match=r"room for 0 spots to be pressed(?s:.*)fix: press with a thinner part"):
        on(gears, build(gears))


def test_small_plates_have_room_for_small_parts() -> None:
    plug = load_cell("connector_mating")
    assert len(on(plug, build(plug))) >= LEAST


def test_over_a_shaft_the_tip_passes_higher() -> None:
    gears = load_cell("gear_meshing")
    assert (face_m(gears), clear_m(gears)) == pytest.approx((0.050, 0.080))


@pytest.fixture(scope="module")
def shipped() -> CellSpec:
    return load_cell("peg_insertion")


@pytest.fixture(scope="module")
def workcell(shipped) -> Workcell:
    return build(shipped)
