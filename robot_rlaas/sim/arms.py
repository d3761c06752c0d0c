"""Arms by shipped name, from anybody's MJCF or URDF, or from MuJoCo Menagerie, all brought into one form."""

import re
from pathlib import Path

import mujoco
import numpy as np

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.cell.extends import MENAGERIE

KEY = "robot.arm"  # of the cell file
FLANGES = ("flange", "attachment_site", "tool0")  # as here, as in Menagerie, as in ROS descriptions
SERVO_HZ = 8.0  # of the servos of a model that has none, critically damped: a guess, until the arm is calibrated
ROTOR = 0.05  # as much of a guess: its rotors' inertia, as a share of the largest inertia that a joint moves


def load_arm(reference: str, joints: tuple[str, ...]) -> mujoco.MjSpec:
    """An arm that a tool can be attached to.

    It has a site `flange`, a position servo named after each joint, weight that its controller compensates, and
    geometry for the eye only: what collides is the tool.

    Args:
        reference: a shipped name, the path of an MJCF or URDF file, or "menagerie:NAME".
        joints: of the hardware profile, in order. They are all that the model may have.

    Raises:
        InputError: if the file cannot be used, and why.
    """
    path = _menagerie(reference) if reference.startswith(MENAGERIE) else find(reference, _arms(), ".xml")
    spec = load_model(path)
    if path.parent == _arms():
        return spec
    for key in list(spec.keys):
        spec.delete(key)
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
    _name_flange(spec, path)
    _servos(spec, joints, path)
    return spec


def load_model(path: Path) -> mujoco.MjSpec:
    """Parse and compile a model alone, so that an error names its own file.

    Raises:
        InputError: with file and line, where MuJoCo says what is wrong.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        spec.compiler.fusestatic = False  # a URDF's flange is a link without a joint
        spec.copy().compile()
    except ValueError as error:
        quoted = re.findall(r"'([^']+)'", str(error))
        lines = path.read_text(errors="replace").splitlines()
        line = next((i for i, text in enumerate(lines, 1) if any(q in text for q in quoted)), None)
        fix = "put the file where the model expects it, or correct its name" if "opening file" in str(error) else ""
        raise InputError(f"not a usable model: {error}", file=path, line=line, fix=fix) from error
    return spec


def _arms() -> Path:
    return data_dir("sim_assets") / "arms"


def _menagerie(reference: str) -> Path:
    """The model's file; it is fetched once, from the network, because the cell file asks for it by name."""
    name = reference.removeprefix(MENAGERIE)
    try:
        import mujoco_menagerie
    except ImportError as error:
        fix = "pip install mujoco-menagerie, or name the path of a model"
        raise InputError(f"'{reference}' needs the package mujoco-menagerie", fix=fix, key=KEY) from error
    arms = [robot.name for robot in mujoco_menagerie.robots("arm")]
    if name not in arms:
        message = f"MuJoCo Menagerie has no arm '{name}'; it has {', '.join(arms)}"
        raise InputError(message, fix=did_you_mean(name, arms), key=KEY)
    robot = mujoco_menagerie.get(name)
    try:
        return robot.xml(robot.default_model)
    except mujoco_menagerie.MenagerieError as error:
        fix = "fetch it where there is a network (mujoco_menagerie.prefetch), or name the path of a model"
        message = f"'{reference}' is not in the cache and cannot be fetched: {error}"
        raise InputError(message, fix=fix, key=KEY) from error


def _name_flange(spec: mujoco.MjSpec, path: Path) -> None:
    for name in FLANGES:
        site, body = spec.site(name), spec.body(name)
        if site is not None:
            site.name = "flange"
            return
        if body is not None:
            body.add_site(name="flange")
            return
    sites = ", ".join(site.name for site in spec.sites) or "none"
    raise InputError(
        f"nobody knows where a tool goes: there is no site or link called {', '.join(FLANGES)}; its sites: {sites}",
        file=path,
        fix="add a site 'flange' to the last link, z pointing away from the arm",
    )


def _servos(spec: mujoco.MjSpec, joints: tuple[str, ...], path: Path) -> None:
    """One position servo per joint, in order, named after it."""
    present = [joint.name for joint in spec.joints]
    if present != list(joints):
        raise InputError(
            f"the joints are {', '.join(present) or 'none'}; the hardware profile has {', '.join(joints)}",
            fix="name the profile of this arm, in this order, and a model without a gripper",
            file=path,
        )
    driven = {actuator.target: actuator for actuator in spec.actuators}
    for actuator in list(spec.actuators):
        if actuator.target not in joints:
            spec.delete(actuator)
    inertia = _inertia(spec.copy().compile())
    rotor = ROTOR * inertia.max()
    for i, joint in enumerate(joints):
        servo = driven.get(joint)
        if servo is None:
            if spec.joint(joint).armature == 0:
                spec.joint(joint).armature = rotor
                inertia[i] += rotor
            gain = inertia[i] * (2 * np.pi * SERVO_HZ) ** 2
            damping = 2 * np.sqrt(gain * inertia[i])
            servo = spec.add_actuator(target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT, biastype=_AFFINE)
            servo.gainprm[0], servo.biasprm[1], servo.biasprm[2] = gain, -gain, -damping
        elif servo.biastype != _AFFINE or not np.isclose(servo.gainprm[0], -servo.biasprm[1]):
            what = f"the actuator of '{joint}' is no position servo"
            raise InputError(what, file=path, fix="use <position> actuators, or none: then servos are added")
        servo.name = joint


_AFFINE = mujoco.mjtBias.mjBIAS_AFFINE


def _inertia(model: mujoco.MjModel) -> np.ndarray:
    """(nv,) what each joint moves with the arm at its zero pose, kg m^2."""
    data, M = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, M)
    return np.diag(M).copy()
