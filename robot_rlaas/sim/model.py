"""From a cell to a MuJoCo model: arm, tool, what the task is about, surroundings, sensors."""

from itertools import product
from typing import NamedTuple

import mujoco
import numpy as np

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import HardwareProfile, load_hardware
from robot_rlaas.cell.own_files import unchanged
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.envelope import envelope_of
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.sim import handling, insertion, obstacles, surfaces
from robot_rlaas.sim.arms import load_arm, load_model
from robot_rlaas.sim.cameras import add_cameras
from robot_rlaas.sim.geometry import ENVIRONMENT, HELD, KEEP_OUT_NAME, NO_CONTACT, SOLID_NAME, SPEED_ZONE_NAME

TIMESTEP_S = 0.005
DELAY_SAMPLES = 20  # room for 0.1 s of command delay
RED, SLOW = (0.80, 0.25, 0.20, 1), (0.95, 0.65, 0.10, 0.2)


class Workcell(NamedTuple):
    """A compiled cell and what the controller needs to know of it.

    Attributes:
        spec: the whole cell as an MjSpec; edit and compile it to vary what MuJoCo cannot expand.
        model: compiled from it without its purely visual geoms.
        chain: kinematics up to the tool point: the nominal tip of the part in the hand, or the grasp point.
        envelope: limits of the safety filter: the tighter of hardware profile and cell.
        profile: the hardware profile that the cell names.
    """

    spec: mujoco.MjSpec
    model: mujoco.MjModel
    chain: SerialChain
    envelope: Envelope
    profile: HardwareProfile


def build(cell: CellSpec) -> Workcell:
    """Compose and compile the cell.

    Raises:
        InputError: if a file is missing or is not what it was when the cell was read, or the model does not compile.
    """
    unchanged(cell.robot.arm, cell.robot.tool, cell.robot.hardware, cell.own_files)
    assets = data_dir("sim_assets")
    profile = load_hardware(cell.robot.hardware)
    spec = load_arm(cell.robot.arm, profile.joints)
    tool = load_model(find(cell.robot.tool, assets / "tools", ".xml"))
    _options(spec)
    spec.attach(tool, prefix="tool/", site=spec.site("flange"))
    fingertip = spec.site("tool/fingertip").pos
    spec.body("tool/hand").add_body(name="payload", pos=fingertip)  # weighs nothing until it is told to
    if isinstance(cell.task, HandlingTask):
        handling.add(spec, cell.task)
    else:
        insertion.add(spec, cell.task, fingertip[2])
    _add_surroundings(spec, cell)
    obstacles.add(spec, cell.obstacles)
    add_cameras(spec, cell.cameras)
    _add_sensors(spec, len(profile.joints))
    surfaces.add(spec, cell)
    _delay_room(spec, len(profile.joints), exact=cell.calibration is not None)
    lean = spec.copy()  # what only pictures need costs a tenth of every step
    lean.compiler.discardvisual = True
    try:
        model = lean.compile()
    except ValueError as error:
        raise InputError(f"the cell '{cell.name}' does not compile: {error}") from error
    calibrated = cell.calibration.heldout.joints if cell.calibration else profile.joints
    if calibrated != profile.joints:
        raise InputError(
            f"the cell '{cell.name}' names a calibration of joints {list(calibrated)}; its arm has "
            f"{list(profile.joints)}",
            fix="name a calibration of this arm, or none",
            key="calibration",
        )
    missing = [j for j in profile.joints if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, j) < 0]
    if missing:
        raise InputError(
            f"hardware profile '{cell.robot.hardware}' names joints that the arm lacks: {missing}",
            fix="name the profile of this arm",
            key="robot.hardware",
        )
    if len(cell.robot.home_deg) != len(profile.joints):
        raise InputError(
            f"robot.home_deg has {len(cell.robot.home_deg)} angles, and the arm has {len(profile.joints)} joints: "
            f"{', '.join(profile.joints)}",
            fix="give one angle per joint",
            key="robot.home_deg",
        )
    chain = serial_chain(model, profile.joints, "tip")
    envelope = envelope_of(cell, profile, chain, _guarded_m(cell, model, fingertip[2]))
    return Workcell(spec, model, chain, envelope, profile)


def _options(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 5
    spec.visual.map.znear = 0.01


def _add_surroundings(spec: mujoco.MjSpec, cell: CellSpec) -> None:
    world = spec.worldbody
    table_z = cell.task.table_mm / 1000
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(0.35, 0, table_z - 0.02),
        size=(0.5, 0.5, 0.02),
        contype=ENVIRONMENT,
        conaffinity=HELD,
        rgba=(0.87, 0.88, 0.89, 1),
    )
    for box in cell.keep_out:
        center, half = np.array(box.center_mm) / 1000, np.array(box.size_mm) / 2000
        world.add_geom(
            name=f"{KEEP_OUT_NAME}{box.name}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=center,
            size=half,
            contype=0,
            conaffinity=0,
            group=1,
            rgba=(0.9, 0.2, 0.15, 0.22),
        )
        world.add_geom(
            name=f"{SOLID_NAME}{box.name}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=center - (0, 0, half[2] * 0.1),
            size=half * 0.8,
            contype=ENVIRONMENT,
            conaffinity=HELD,
            rgba=RED,
        )
    zones = cell.requirements.speed_zones
    for zone in zones.zones if zones else ():
        center, half = np.array(zone.center_mm) / 1000, np.array(zone.size_mm) / 2000
        slow = {"name": f"{SPEED_ZONE_NAME}{zone.name}", "group": 1, "rgba": SLOW, **NO_CONTACT}
        world.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=half, **slow)
    if isinstance(cell.task, HandlingTask):
        views = handling.views(cell.task)
    else:
        x, y, z = np.array(cell.task.plate.top_mm) / 1000
        views = {
            "cell": ((x + 1.20, y - 1.30, z + 0.76), (0.57 * x, y, z + 0.19), 29),
            "close": ((x + 0.27, y - 0.26, z + 0.24), (x, y, z + 0.028), 31),
        }
    for name, view in views.items():
        _add_camera(spec, name, *view)


def _add_camera(spec: mujoco.MjSpec, name: str, position, target, fovy: float) -> None:
    forward = np.subtract(target, position)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    spec.worldbody.add_camera(name=name, pos=position, fovy=fovy, xyaxes=[*right, *np.cross(right, forward)])


def _add_sensors(spec: mujoco.MjSpec, arm_joints: int) -> None:
    """Wrist wrench, what the robot feels; net contact force, what the part feels; where the other drives are."""
    wrist = dict(objtype=mujoco.mjtObj.mjOBJ_SITE, objname="tool/wrist")
    spec.add_sensor(name="wrist_force", type=mujoco.mjtSensor.mjSENS_FORCE, **wrist)
    spec.add_sensor(name="wrist_torque", type=mujoco.mjtSensor.mjSENS_TORQUE, **wrist)
    spec.add_sensor(
        name="contact_force",
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_XBODY,
        objname="tool/hand",
        intprm=(1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3, 1),
    )
    for drive in list(spec.actuators)[arm_joints:]:
        about = dict(objtype=mujoco.mjtObj.mjOBJ_ACTUATOR, objname=drive.name)
        spec.add_sensor(name=f"{drive.name}_position", type=mujoco.mjtSensor.mjSENS_ACTUATORPOS, **about)


def _delay_room(spec: mujoco.MjSpec, arm_joints: int, exact: bool) -> None:
    """Room for delayed arm commands; exact: a delay that is no multiple of the time step is not rounded up to one."""
    for actuator in list(spec.actuators)[:arm_joints]:
        actuator.nsample, actuator.interp = DELAY_SAMPLES, int(exact)


def serial_chain(model: mujoco.MjModel, joints: tuple[str, ...], site: str) -> SerialChain:
    """Read the kinematics from the model at its zero position; a joint's frame turns about its own z axis."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    ids = [model.joint(name).id for name in joints]
    frames = [
        (data.xmat[model.jnt_bodyid[j]].reshape(3, 3) @ _upright(model.jnt_axis[j]), data.xanchor[j]) for j in ids
    ]
    tool = (data.site(site).xmat.reshape(3, 3), data.site(site).xpos)
    R, p, before = [], [], (np.eye(3), np.zeros(3))
    for frame in [*frames, tool]:
        R.append(before[0].T @ frame[0])
        p.append(before[0].T @ (frame[1] - before[1]))
        before = frame
    limits = model.jnt_range[ids]
    k = len(joints)
    return SerialChain(joints, np.array(R[:k]), np.array(p[:k]), R[k], p[k], limits[:, 0].copy(), limits[:, 1].copy())


def _upright(axis: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) that takes z to this axis; none for z itself."""
    quat, R = np.zeros(4), np.zeros(9)
    mujoco.mju_quatZ2Vec(quat, axis)
    mujoco.mju_quat2Mat(R, quat)
    return R.reshape(3, 3)


def _guarded_m(cell: CellSpec, model: mujoco.MjModel, fingertip_m: float) -> np.ndarray:
    """Points (m, 3) of the tool, in the frame of its tip, that must stay out of keep-out boxes."""
    if isinstance(cell.task, HandlingTask):
        return handling.guarded_m(model)
    tip, housing = cell.task.part.length_mm / 1000, cell.task.part.housing
    guarded = [(x, y, -z) for x, y in _CORNERS for z in (0.0, tip, tip + 0.06, tip + fingertip_m)]
    if housing:
        low, high = np.array([housing.mesh.low_mm, housing.mesh.high_mm]) / 1000
        guarded += [(x, y, z - tip) for x, y, z in product(*zip(low, high))]
    return np.array(guarded)


_CORNERS = [(sx * 0.036, sy * 0.046) for sx in (-1, 1) for sy in (-1, 1)]
