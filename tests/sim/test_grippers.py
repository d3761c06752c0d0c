"""Tools with fingers that move: their figures, and whether they hold what they grip, alone and on their arm."""

from typing import NamedTuple

import mujoco
import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.sim.model import serial_chain

BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
ASSETS = data_dir("sim_assets")
DT_S = 0.005


class Tool(NamedTuple):
    """Figures of a data sheet, and a command that opens it around `part_m` with room to spare."""

    name: str
    mass_kg: float
    stroke: tuple[float, float]
    force: float  # N, or N m
    speed: float  # of the aperture, m/s; or rad/s
    part_m: float
    open_to: float


TOOLS = [
    Tool("two_finger_gripper", 0.9, (0.0, 0.085), 235, 0.150, 0.040, 0.060),
    Tool("franka_hand", 0.76, (0.0, 0.080), 70, 0.100, 0.040, 0.060),
    Tool("so101_gripper", 0.094, (-0.174533, 1.74533), 1.47, 4.72, 0.020, 0.4),
]
ARMS = {"two_finger_gripper": "ur5e", "franka_hand": "fr3", "so101_gripper": "so101"}
ABOVE = {
    "ur5e": ((-0.3, -1.6, 2.1, -2.07, -1.57, -1.87), (0.45, 0.0, 0.15)),
    "fr3": ((0.0, 0.03, 0.0, -2.57, 0.0, 2.6, 0.785), (0.45, 0.0, 0.15)),
    "so101": ((0.0, -0.04, 0.46, 1.14, 0.0), (0.22, 0.0, 0.02)),
}
each = pytest.mark.parametrize("tool", TOOLS, ids=[t.name for t in TOOLS])


class Scene:
    """A hand above a part on a table. The hand sits on a body that follows a mocap body, or on an arm."""

    def __init__(self, tool: Tool, shape: mujoco.mjtGeom, mass_kg: float, arm: str | None = None) -> None:
        spec = mujoco.MjSpec.from_file(str(ASSETS / "arms" / f"{arm}.xml")) if arm else _carriage()
        self.joints = tuple(a.name for a in spec.actuators)
        gripper = mujoco.MjSpec.from_file(str(ASSETS / "tools" / f"{tool.name}.xml"))
        at = (
            np.array(ABOVE[arm][1])
            if arm
            else (np.array([0, 0, 0.5]) + np.diag([1, -1, -1]) @ gripper.site("grasp").pos)
        )
        spec.attach(gripper, prefix="tool/", site=spec.site("flange"))
        spec.option.timestep, spec.option.integrator = DT_S, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 5
        half = tool.part_m / 2
        part = spec.worldbody.add_body(name="part", pos=at)
        part.add_freejoint()
        part.add_geom(name="part", type=shape, size=(half,) * 3, mass=mass_kg, contype=2, conaffinity=1)
        top = at - (0, 0, half + 0.01)
        spec.worldbody.add_geom(type=BOX, size=(0.02, 0.02, 0.01), pos=top, contype=1, conaffinity=2)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.gripper = self.model.actuator("tool/gripper").id
        self.hand, self.part = self.model.body("tool/hand").id, self.model.body("part").id

    def run(self, seconds: float, gripper: float) -> None:
        self.data.ctrl[self.gripper] = gripper
        mujoco.mj_step(self.model, self.data, round(seconds / DT_S))

    def in_hand_m(self) -> np.ndarray:
        """Where the part's middle is in the hand's frame (3,)."""
        mujoco.mj_kinematics(self.model, self.data)
        R = self.data.xmat[self.hand].reshape(3, 3)
        return R.T @ (self.data.xpos[self.part] - self.data.xpos[self.hand])


def _carriage() -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    down = dict(pos=(0, 0, 0.5), quat=(0, 1, 0, 0))
    spec.worldbody.add_body(name="guide", mocap=True, **down)
    body = spec.worldbody.add_body(name="carriage", gravcomp=1, mass=2, inertia=(0.01, 0.01, 0.01), **down)
    body.add_freejoint()
    body.add_site(name="flange")
    weld = spec.add_equality(name="weld", type=mujoco.mjtEq.mjEQ_WELD, objtype=mujoco.mjtObj.mjOBJ_BODY)
    weld.name1, weld.name2 = "guide", "carriage"
    weld.solref, weld.solimp = (0.01, 1), (0.999, 0.9999, 0.001, 0.5, 2)
    return spec


def _lift_m(height: float, seconds: float) -> np.ndarray:
    """Heights (n,) at every step of a motion whose speed rises and falls as a sine; it takes `seconds`."""
    s = np.arange(1, round(seconds / DT_S) + 1) * DT_S / seconds
    return height * (s - np.sin(2 * np.pi * s) / (2 * np.pi))


def _alone(tool: Tool) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_path(str(ASSETS / "tools" / f"{tool.name}.xml"))
    model.opt.timestep, model.opt.integrator = DT_S, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    return model, mujoco.MjData(model)


def _stroke(data: mujoco.MjData) -> float:
    """What `gripper` commands: the aperture in m, or the jaw's angle in rad."""
    return float(data.actuator("gripper").length[0])


@each
def test_its_figures_are_the_data_sheets(tool: Tool):
    model, _ = _alone(tool)
    assert [model.actuator(i).name for i in range(model.nu)] == ["gripper"]
    assert model.body_mass.sum() == pytest.approx(tool.mass_kg, abs=1e-6)
    assert model.actuator("gripper").ctrlrange == pytest.approx(tool.stroke)
    assert model.actuator("gripper").forcerange == pytest.approx((-tool.force, tool.force))


@each
def test_it_goes_where_it_is_told_and_no_faster_than_it_can(tool: Tool):
    model, data = _alone(tool)
    closed, opened = tool.stroke
    for target in (opened, (closed + opened) / 3, closed):
        data.ctrl[:] = target
        fastest = 0.0
        for _ in range(round(2.5 / DT_S)):
            mujoco.mj_step(model, data)
            fastest = max(fastest, abs(float(data.actuator("gripper").velocity[0])))
        assert _stroke(data) == pytest.approx(target, abs=0.002 * (opened - closed))
        assert 0.3 * tool.speed < fastest <= 1.03 * tool.speed
        assert np.abs(data.qvel).max() < 1e-3 * tool.speed


@each
def test_its_pads_close_along_y_around_the_grasp_site(tool: Tool):
    model, data = _alone(tool)
    for stroke, gap_m in ((0.02, 0.02), (tool.part_m, tool.part_m)) if model.ntendon else ((0.0971, 0.02),):
        data.qpos[:] = stroke / 2 if model.ntendon else stroke
        mujoco.mj_forward(model, data)
        left, right, grasp = data.geom("pad_left"), data.geom("pad_right"), data.site("grasp")
        thick = 2 * model.geom("pad_left").size[1]
        assert left.xpos[1] - right.xpos[1] - thick == pytest.approx(gap_m, abs=2e-4)
        assert grasp.xpos == pytest.approx((left.xpos + right.xpos) / 2, abs=1e-3)
        assert abs(left.xmat.reshape(3, 3)[1, 1]) > 0.9999  # the pads face each other
        assert data.site("fingertip").xpos[2] == pytest.approx(
            max(left.xpos[2], right.xpos[2]) + model.geom("pad_left").size[2], abs=1e-3
        )
    assert np.array_equal(data.site("wrist").xpos, (0, 0, 0))


@each
@pytest.mark.parametrize("shape", [BOX, CYLINDER], ids=["box", "cylinder"])
def test_what_it_grips_does_not_slip(tool: Tool, shape: mujoco.mjtGeom):
    scene = Scene(tool, shape, 0.05 if tool.part_m < 0.03 else 0.5)
    scene.data.qpos[7:-7] = tool.open_to / 2 if scene.model.ntendon else tool.open_to
    scene.run(0.5, tool.open_to)
    scene.run(1.0, tool.stroke[0])
    assert scene.data.actuator_force[scene.gripper] == pytest.approx(-tool.force)
    before = scene.in_hand_m()
    for height in 0.5 + _lift_m(0.25, 2.0):  # up to 0.25 m/s
        scene.data.mocap_pos[0, 2] = height
        scene.run(DT_S, tool.stroke[0])
    scene.run(5.0, tool.stroke[0])
    assert scene.data.xpos[scene.hand][2] == pytest.approx(0.75, abs=1e-3)
    assert np.abs(scene.in_hand_m() - before).max() < 0.2e-3
    scene.run(1.5, tool.open_to)
    assert scene.data.xpos[scene.part][2] < 0.5  # it lets go


@each
def test_its_arm_lifts_with_it(tool: Tool):
    arm = ARMS[tool.name]
    scene = Scene(tool, BOX, 0.05 if arm == "so101" else 0.5, arm)
    model, data = scene.model, scene.data
    k, (q, at) = len(scene.joints), ABOVE[arm]
    chain = serial_chain(model, scene.joints, "tool/grasp")
    down = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1.0]])
    path = np.array(at) + np.outer(np.append(0.0, _lift_m(0.05, 0.4)), (0, 0, 1))  # up to 0.25 m/s
    joints = [np.array([q])]
    for point in path:  # each from the one before: a redundant arm would wander
        solution, error = solve(chain, Pose(down[None], point[None]), joints[-1], iterations=10)
        assert error[0] < 1e-6
        joints.append(solution)
    joints = np.concatenate(joints[1:])
    data.qpos[:k], data.ctrl[:k] = joints[0], joints[0]
    data.qpos[k:-7] = tool.open_to / 2 if model.ntendon else tool.open_to
    scene.run(0.5, tool.open_to)
    scene.run(1.0, tool.stroke[0])
    before = scene.in_hand_m()
    for command in joints:
        data.ctrl[:k] = command
        scene.run(DT_S, tool.stroke[0])
    scene.run(3.0, tool.stroke[0])
    assert np.abs(scene.in_hand_m() - before).max() < 1e-3
    assert data.xpos[scene.part][2] == pytest.approx(at[2] + 0.05, abs=2e-3)
    assert tool_pose(chain, data.qpos[None, :k]).p[0] == pytest.approx(path[-1], abs=2e-3)
