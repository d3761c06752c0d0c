"""Arms that are not shipped: a URDF, an MJCF in Menagerie's manner, and what is wrong with others."""

from itertools import pairwise
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.sim.arms import load_arm
from robot_rlaas.sim.model import build

UR5E = data_dir("sim_assets") / "arms" / "ur5e.xml"
CELL = load_cell("peg_insertion")
SHIPPED = build(CELL)
JOINTS = SHIPPED.chain.joints


def with_arm(path: Path | str) -> CellSpec:
    return CELL.model_copy(update={"robot": CELL.robot.model_copy(update={"arm": str(path)})})


def rpy(R: np.ndarray) -> str:
    """Roll, pitch and yaw as a URDF has them; without roll where the pitch is a right angle."""
    if abs(R[2, 0]) > 1 - 1e-9:
        return f"0 {-np.sign(R[2, 0]) * np.pi / 2} {np.arctan2(-R[0, 1], R[1, 1])}"
    return f"{np.arctan2(R[2, 1], R[2, 2])} {-np.arcsin(R[2, 0])} {np.arctan2(R[1, 0], R[0, 0])}"


def urdf_of_the_ur5e(path: Path, tool_link: str = "tool0") -> Path:
    """The shipped arm as a URDF whose links' axes lie along x instead of z; a flange link without a joint."""
    model = mujoco.MjModel.from_xml_path(str(UR5E))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    lying = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # its x axis is the joint's z
    frames = [(np.eye(3), np.zeros(3))]
    frames += [(data.xmat[model.joint(j).bodyid[0]].reshape(3, 3) @ lying, data.joint(j).xanchor) for j in JOINTS]
    frames.append((data.site("flange").xmat.reshape(3, 3), data.site("flange").xpos))
    links, bars = ["base", *(f"link_{i}" for i in range(6)), tool_link], []
    for i, name in enumerate(links):
        inertial = (
            '<inertial><mass value="2"/><inertia ixx="0.02" iyy="0.02" izz="0.02" ixy="0" ixz="0" iyz="0"/></inertial>'
        )
        bars.append(f'<link name="{name}">{inertial if 0 < i < 7 else ""}</link>')
    for i, (before, after) in enumerate(pairwise(frames)):
        p, R = before[0].T @ (after[1] - before[1]), before[0].T @ after[0]
        between = f'<parent link="{links[i]}"/><child link="{links[i + 1]}"/>'
        origin = f'<origin xyz="{p[0]} {p[1]} {p[2]}" rpy="{rpy(R)}"/>{between}'
        if i < 6:
            limit = '<axis xyz="1 0 0"/><limit lower="-6.2832" upper="6.2832" effort="150" velocity="3"/>'
            bars.append(f'<joint name="{JOINTS[i]}" type="revolute">{origin}{limit}</joint>')
        else:
            bars.append(f'<joint name="fixed" type="fixed">{origin}</joint>')
    path.write_text(f'<robot name="mine">{"".join(bars)}</robot>')
    return path


def like_menagerie(path: Path) -> Path:
    """Its names: `attachment_site`, actuators called otherwise than their joints, a keyframe."""
    text = UR5E.read_text().replace('name="flange"', 'name="attachment_site"')
    for joint in JOINTS:
        text = text.replace(f'<position name="{joint}"', f'<position name="{joint.removesuffix("_joint")}"')
    keyframe = '<keyframe><key name="home" qpos="0 -1.5 1.5 -1.5 -1.5 0"/></keyframe></mujoco>'
    path.write_text(text.replace("</mujoco>", keyframe))
    return path


@pytest.mark.parametrize("make", [urdf_of_the_ur5e, like_menagerie])
def test_the_same_arm_in_another_file_moves_alike(tmp_path: Path, make) -> None:
    workcell = build(with_arm(make(tmp_path / "mine.xml")))
    q = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 6))
    mine, shipped = tool_pose(workcell.chain, q), tool_pose(SHIPPED.chain, q)
    np.testing.assert_allclose(mine.p, shipped.p, atol=2e-5)
    np.testing.assert_allclose(mine.R, shipped.R, atol=2e-5)


def test_an_arm_without_servos_gets_some_that_follow(tmp_path: Path) -> None:
    workcell = build(with_arm(urdf_of_the_ur5e(tmp_path / "mine.urdf")))
    model = workcell.model
    data, home = mujoco.MjData(model), np.deg2rad(np.array(CELL.robot.home_deg))
    data.qpos[:6] = home
    goal = home + np.array([0.1, -0.15, 0.1, 0.1, 0.1, 0.1])  # up, away from the plate
    for _ in range(300):
        data.ctrl[:6] = goal
        mujoco.mj_step(model, data)
    assert np.abs(data.qpos[:6] - goal).max() < 0.002
    assert np.abs(data.qvel[:6]).max() < 0.01


def test_what_cannot_be_an_arm_is_refused(tmp_path: Path) -> None:
    cases = {
        "nobody knows where a tool goes": urdf_of_the_ur5e(tmp_path / "a.urdf", "end"),
        "the joints are shoulder_pan_joint": UR5E.read_text()
        .replace('name="elbow_joint"', 'name="knee"')
        .replace('joint="elbow_joint"', 'joint="knee"'),
        "is no position servo": UR5E.read_text().replace(
            '<position name="elbow_joint" joint="elbow_joint" class="size3"/>',
            '<motor name="elbow_joint" joint="elbow_joint"/>',
        ),
    }
    for i, (reason, content) in enumerate(cases.items()):
        path = content if isinstance(content, Path) else tmp_path / f"{i}.xml"
        if isinstance(content, str):
            path.write_text(content)
        with pytest.raises(InputError, match=reason):
            load_arm(str(path), JOINTS)


def test_menagerie_is_asked_only_by_name_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mujoco_menagerie", None)
    with pytest.raises(InputError, match="pip install mujoco-menagerie"):
        load_arm("menagerie:universal_robots_ur5e", JOINTS)
