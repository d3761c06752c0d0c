"""Holes, shafts and gears are as wide as the cell file says, and let through what fits."""

import mujoco
import numpy as np
import pytest

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.sim.model import build

SHAPES = ("peg_insertion", "peg_insertion_round", "connector_mating", "gear_meshing")


class Bench:
    """One cell's model, with the part wherever a test wants it: its tip in the hole's frame, m."""

    def __init__(self, cell: CellSpec) -> None:
        self.model = build(cell).model
        self.data = mujoco.MjData(self.model)
        self._part = self.model.body("part").id
        self._tip_m = cell.task.part.length_mm / 1000
        self._home = np.deg2rad(np.array(cell.robot.home_deg))

    def deepest_m(self, x: float, y: float, z: float, yaw_rad: float = 0.0, gears_rad: tuple[float, ...] = ()) -> float:
        """The deepest penetration with the part held there, upright; zero without contact."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        data.qpos[: len(self._home)] = self._home
        for i, angle in enumerate(gears_rad):
            data.joint(f"gear_{i}").qpos = angle
        mujoco.mj_kinematics(model, data)
        hand = data.body(model.body_parentid[self._part])
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([1.0, -1.0, -1.0])
        origin = data.mocap_pos[0] + (x, y, z) - R @ (0, 0, self._tip_m)
        R_hand = hand.xmat.reshape(3, 3)
        model.body_pos[self._part] = R_hand.T @ (origin - hand.xpos)
        mujoco.mju_mat2Quat(model.body_quat[self._part], (R_hand.T @ R).flatten())
        mujoco.mj_forward(model, data)
        return -float(min(data.contact.dist, default=0.0))


@pytest.mark.parametrize("name", SHAPES)
def test_the_clearance_is_the_clearance(name: str) -> None:
    """Half of it to each side is free, half more than it is not; in x, in y and halfway between."""
    cell = load_cell(name)
    bench, clearance = Bench(cell), cell.task.plate.clearance_mm / 1000
    depth = -min(cell.task.depth_mm, 8.0) / 1000  # gears: above the neighbours
    assert bench.deepest_m(0, 0, depth) <= 1e-9
    for direction in (0.0, np.pi / 2) if name != "peg_insertion_round" else (0.0, np.pi / 12, np.pi / 2):
        towards = np.array([np.cos(direction), np.sin(direction)])
        assert bench.deepest_m(*(0.9 * clearance * towards), depth) <= 1e-6
        assert bench.deepest_m(*(1.3 * clearance * towards), depth) >= 0.2 * clearance


@pytest.mark.parametrize("name", SHAPES)
def test_the_chamfer_catches_what_the_hole_does_not(name: str) -> None:
    cell = load_cell(name)
    plate, bench = cell.task.plate, Bench(cell)
    aside = (plate.clearance_mm + 0.5 * plate.chamfer_mm) / 1000
    assert bench.deepest_m(aside, 0, -0.4 * plate.chamfer_mm / 1000) <= 1e-6
    assert bench.deepest_m(aside, 0, -0.9 * plate.chamfer_mm / 1000) >= 0.1 * plate.chamfer_mm / 1000


def test_gears_mesh_where_teeth_face_gaps_and_only_there() -> None:
    cell = load_cell("gear_meshing")
    bench, seated = Bench(cell), -cell.task.depth_mm / 1000
    gears = cell.task.plate.shaft.neighbours
    pitch = [2 * np.pi / gear.teeth for gear in gears]
    assert bench.deepest_m(0, 0, seated, gears_rad=(0.0, 0.0)) <= 1e-6
    assert bench.deepest_m(0, 0, seated, gears_rad=(0.5 * pitch[0], 0.0)) > 1e-4
    assert bench.deepest_m(0, 0, seated, gears_rad=(0.0, 0.5 * pitch[1])) > 1e-4
    assert bench.deepest_m(0, 0, seated, 2 * np.pi / cell.task.part.teeth) <= 1e-6, "turned by one tooth"
    assert bench.deepest_m(0, 0, -0.009, gears_rad=(0.5 * pitch[0], 0.0)) <= 1e-6, "above the neighbours"


def _with(cell: CellSpec, **task) -> dict:
    content = cell.model_dump(mode="json")
    content["task"] |= task
    return content


def test_what_cannot_be_built_is_refused(tmp_path) -> None:
    gear, peg = load_cell("gear_meshing"), load_cell("peg_insertion")
    far = gear.task.plate.model_dump(mode="json")
    far["shaft"]["neighbours"][0]["distance_mm"] = 33
    for content, reason in (
        (_with(gear, plate=far), "20 teeth stands 33.0 mm away"),
        (_with(peg, part=gear.task.part.model_dump(mode="json")), "a gear goes onto a plate with a `shaft`"),
        (_with(gear, part=peg.task.part.model_dump(mode="json")), "a gear goes onto a plate with a `shaft`"),
        (_with(gear, depth_mm=25), "more than the shaft is high"),
    ):
        with pytest.raises(ValueError, match=reason):
            CellSpec.model_validate(content)


def test_an_arm_of_seven_joints_needs_seven_angles() -> None:
    cell = load_cell("connector_mating")
    short = cell.model_copy(update={"robot": cell.robot.model_copy(update={"home_deg": cell.robot.home_deg[:6]})})
    with pytest.raises(InputError, match=r"6 angles.*7 joints"):
        build(short)
