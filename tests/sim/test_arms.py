"""The shipped arms: kinematics from the published tables, masses, limits, servos, and where five joints reach."""

import mujoco
import numpy as np
import pytest

from robot_rlaas.assets import data_dir
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.control.kinematics import Pose, forward, solve, tool_pose
from robot_rlaas.sim.model import serial_chain

ASSETS = data_dir("sim_assets")
HOME_RAD = {
    "ur5e": (0.3, -1.6, 1.9, -1.8, -1.5, 0.4),
    "ur10e": (0.3, -1.6, 1.9, -1.8, -1.5, 0.4),
    "fr3": (0.3, -0.6, 0.2, -2.2, 0.3, 1.9, 0.7),
    "so101": (0.3, -0.3, 0.6, 0.9, 0.4),
}
MASS_KG = {
    "ur5e": 3.761 + 8.058 + 2.846 + 1.37 + 1.3 + 0.365,
    "ur10e": 7.369 + 13.051 + 3.989 + 2.1 + 1.98 + 0.615,
    "fr3": 2.3966 + 2.9274653 + 2.9355370 + 2.2449014 + 2.6155956 + 2.3271208 + 1.8170377 + 0.6271433,
    "so101": 0.147 + 0.100006 + 0.103 + 0.104 + 0.079 + 0.005,  # 5 g of the link that is the gripper
}
TORQUE_NM = {
    "ur5e": (150, 150, 150, 28, 28, 28),
    "ur10e": (330, 330, 150, 56, 56, 56),
    "fr3": (87, 87, 87, 87, 12, 12, 12),
    "so101": (2.94,) * 5,
}
ARMS = tuple(HOME_RAD)
each = pytest.mark.parametrize("arm", ARMS)

# Denavit-Hartenberg: alpha, a, d. Universal Robots: distal. Franka: Craig's, with the flange as an eighth row.
UR = {
    "ur5e": (0.1625, -0.425, -0.3922, 0.1333, 0.0997, 0.0996),
    "ur10e": (0.1807, -0.6127, -0.57155, 0.17415, 0.11985, 0.11655),
}
FR3 = (
    (0, 0, 0.333),
    (-np.pi / 2, 0, 0),
    (np.pi / 2, 0, 0.316),
    (np.pi / 2, 0.0825, 0),
    (-np.pi / 2, -0.0825, 0.384),
    (np.pi / 2, 0, 0),
    (np.pi / 2, 0.088, 0),
    (0, 0, 0.107),
)
# so101_new_calib.urdf: each joint's origin in its parent, xyz in m and rpy in rad. The first is its frame `baseframe`.
SO101 = (
    ((0.020791, 0.0157608, 0.0324817), (0, 0, 0)),
    ((0.0207909, -0.0230745, 0.0948817), (-np.pi, 0, np.pi / 2)),
    ((-0.0303992, -0.0182778, -0.0542), (-np.pi / 2, -np.pi / 2, 0)),
    ((-0.11257, -0.028, 0), (0, 0, np.pi / 2)),
    ((-0.1349, 0.0052, 0), (0, 0, -np.pi / 2)),
    ((0, -0.0611, 0.0181), (np.pi / 2, 0, np.pi)),
)


def _move(xyz: tuple = (0, 0, 0), rpy: tuple = (0, 0, 0)) -> np.ndarray:
    """A homogeneous transform (4, 4) as URDF means it: rotations about the fixed x, y, z axes."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(rpy), np.cos(rpy)
    T = np.eye(4)
    T[:3, :3] = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    T[:3, 3] = xyz
    return T


def _published(arm: str, q: np.ndarray) -> np.ndarray:
    """The flange's pose (4, 4) in the root's frame, from the published table."""
    if arm in UR:
        d1, a2, a3, d4, d5, d6 = UR[arm]
        rows = zip((np.pi / 2, 0, 0, np.pi / 2, -np.pi / 2, 0), (0, a2, a3, 0, 0, 0), (d1, 0, 0, d4, d5, d6))
        T = _move(rpy=(0, 0, np.pi))  # the ROS description's base_link is turned against the controller's base
        for (alpha, a, d), angle in zip(rows, q):
            T = T @ _move((0, 0, d), (0, 0, angle)) @ _move((a, 0, 0), (alpha, 0, 0))
        return T
    if arm == "fr3":
        T = np.eye(4)
        for (alpha, a, d), angle in zip(FR3, np.append(q, -np.pi / 4)):
            T = T @ _move((a, 0, 0), (alpha, 0, 0)) @ _move((0, 0, d), (0, 0, angle))
        return T
    T = _move(rpy=(0, 0, np.pi / 2)) @ np.linalg.inv(_move(*SO101[0]))  # that frame looks along -y, this root along x
    x_is_y = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]])
    for origin, angle in zip(SO101[1:], q):
        T = T @ _move(*origin) @ _move(rpy=(0, 0, angle))
    return T @ x_is_y


def _model(arm: str) -> mujoco.MjModel:
    model = mujoco.MjModel.from_xml_path(str(ASSETS / "arms" / f"{arm}.xml"))
    model.opt.timestep, model.opt.integrator = 0.005, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    return model


def _names(model: mujoco.MjModel) -> tuple[str, ...]:
    return tuple(model.joint(i).name for i in range(model.njnt))


@each
def test_kinematics_are_the_published_ones(arm: str):
    model = _model(arm)
    chain, data = serial_chain(model, _names(model), "flange"), mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for q in (
        np.zeros(model.nq),
        np.array(HOME_RAD[arm]),
        *rng.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1], (20, model.nq)),
    ):
        expected = _published(arm, q)
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        assert data.site("flange").xpos == pytest.approx(expected[:3, 3], abs=1e-5)
        assert data.site("flange").xmat == pytest.approx(expected[:3, :3].flatten(), abs=1e-5)
        pose = tool_pose(chain, q[None])
        assert pose.p[0] == pytest.approx(expected[:3, 3], abs=1e-5)
        assert pose.R[0] == pytest.approx(expected[:3, :3], abs=1e-5)


def test_kinematics_at_poses_worked_out_by_hand():
    """Sums of link lengths where the arms are straight."""
    at = {arm: _model(arm) for arm in ARMS}
    flange = {}
    for arm, model in at.items():
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        flange[arm] = data.site("flange").xpos
    assert flange["ur5e"] == pytest.approx((-0.425 - 0.3922, -0.1333 - 0.0996, 0.1625 - 0.0997) * np.array((-1, -1, 1)))
    assert flange["ur10e"] == pytest.approx((0.6127 + 0.57155, 0.17415 + 0.11655, 0.1807 - 0.11985))
    assert flange["fr3"] == pytest.approx((0.088, 0, 0.333 + 0.316 + 0.384 - 0.107), abs=1e-6)
    assert flange["so101"] == pytest.approx(
        (0.0388353 + 0.0303992 + 0.028 + 0.1349 + 0.0611, 0.0181 - 0.0182778, 0.0624 + 0.0542 + 0.11257 + 0.0052),
        abs=1e-5,
    )


@each
def test_masses_torques_and_names_are_the_published_ones(arm: str):
    model = _model(arm)
    assert model.body_mass.sum() == pytest.approx(MASS_KG[arm], abs=1e-5)
    assert model.jnt_actfrcrange[:, 1] == pytest.approx(TORQUE_NM[arm])
    assert [model.actuator(i).name for i in range(model.nu)] == list(_names(model))
    assert np.array_equal(model.jnt_axis, np.tile((0.0, 0.0, 1.0), (model.njnt, 1)))
    assert not model.geom_contype.any()
    moving = model.body_weldid > 0
    assert (model.body_gravcomp[moving] == 1).all()


@each
def test_the_profile_is_about_this_arm(arm: str):
    model, profile = _model(arm), load_hardware(arm)
    assert profile.arm == arm
    assert profile.joints == _names(model)
    limit = np.array(profile.position_limit_rad)
    if arm != "fr3":
        assert model.jnt_range == pytest.approx(limit)
    assert (model.jnt_range[:, 0] <= limit[:, 0]).all()
    assert (limit[:, 1] <= model.jnt_range[:, 1]).all()
    assert ((limit[:, 0] < HOME_RAD[arm]) & (HOME_RAD[arm] < limit[:, 1])).all()


def test_an_fr3_may_be_this_fast_wherever_its_profile_lets_it_go():
    """Franka's position-dependent limit: sqrt(2 a (q_max - q)) - offset towards an end, with these a and offsets."""
    profile, span = load_hardware("fr3"), _model("fr3").jnt_range
    offset = np.array([0.6599, 0.2517, 0.2000, 0.3533, 0.5757, 0.4878, 0.4628])
    braking = np.array([6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0])
    limit = np.array(profile.position_limit_rad)
    for room in (span[:, 1] - limit[:, 1], limit[:, 0] - span[:, 0]):
        assert (np.sqrt(2 * braking * room) - offset >= profile.velocity_limit_rad_s).all()


def test_an_arm_may_lack_a_force_sensor():
    assert load_hardware("so101").topics.wrench is None
    assert load_hardware("ur5e").topics.wrench == "/force_torque_sensor_broadcaster/wrench"


@each
def test_servos_follow_a_slow_sine_and_settle_after_a_step(arm: str):
    model = _model(arm)
    home, dt = np.array(HOME_RAD[arm]), model.opt.timestep
    for joint in range(model.nu):
        data = mujoco.MjData(model)
        data.qpos[:], data.ctrl[:] = home, home
        worst = 0.0
        for t in np.arange(0, 4, dt):
            data.ctrl[joint] = home[joint] + 0.3 * np.sin(2 * np.pi * 0.25 * t)
            mujoco.mj_step(model, data)
            worst = max(worst, np.abs(data.qpos - data.ctrl).max())
        assert np.rad2deg(worst) < 2
        data.ctrl[joint] = home[joint] + 0.1
        highest = home[joint]
        for _ in range(round(2 / dt)):
            mujoco.mj_step(model, data)
            highest = max(highest, data.qpos[joint])
        assert np.abs(data.qvel).max() < 1e-3
        assert data.qpos == pytest.approx(data.ctrl, abs=1e-3)
        assert highest < home[joint] + 0.115  # little overshoot


def test_five_joints_reach_straight_down_over_the_table():
    """SO-101: top-down at any yaw, 0.10 to 0.24 m around the pan axis and up to 60 mm above the table."""
    spec = mujoco.MjSpec.from_file(str(ASSETS / "arms" / "so101.xml"))
    tool = mujoco.MjSpec.from_file(str(ASSETS / "tools" / "so101_gripper.xml"))
    spec.attach(tool, prefix="tool/", site=spec.site("flange"))
    names = tuple(a.name for a in spec.actuators if not a.name.startswith("tool/"))
    chain = serial_chain(spec.compile(), names, "tool/grasp")
    radius, azimuth, height, yaw = (
        axis.ravel()
        for axis in np.meshgrid(
            np.linspace(0.10, 0.24, 8), np.linspace(-1, 1, 5), np.linspace(0.01, 0.06, 3), np.linspace(-1.2, 1.2, 5)
        )
    )
    p = np.stack([0.0388 + radius * np.cos(azimuth), radius * np.sin(azimuth), height], axis=1)
    c, s, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    R = np.moveaxis(np.array([[-s, c, zero], [c, s, zero], [zero, zero, -one]]), 2, 0)
    q, error = solve(chain, Pose(R, p), np.tile((0.0, -0.3, 0.6, 1.27, 0.0), (len(p), 1)))
    assert error.max() < 1e-6
    assert ((chain.lower_rad <= q) & (q <= chain.upper_rad)).all()
    pose, J = forward(chain, q)
    assert pose.p == pytest.approx(p, abs=1e-6)
    assert J.shape == (len(p), 6, 5)
