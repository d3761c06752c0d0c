"""The geometry of a handling cell: free parts, trays, kits, vises, doors, and a gripper that opens and closes."""

from functools import partial
from typing import Any

import mujoco
import numpy as np

from robot_rlaas.cell.fixtures import Door, Kit, Tray, Vise
from robot_rlaas.cell.handling import Grip, HandlingTask
from robot_rlaas.cell.parts import Casting, Cylinder, Workpiece
from robot_rlaas.sim.geometry import BOX, BRASS, BRIGHT, CYLINDER, ENVIRONMENT, FIRM, HELD, NO_CONTACT, fixture, hole
from robot_rlaas.sim.obstacles import add_pieces
from robot_rlaas.sim.starts import nominal, standing

FREE = ENVIRONMENT | HELD  # a free part touches everything: the gripper, what stands in the cell, other parts
ROUND_SIDES = 8  # of a round pocket
FLOOR_M = 0.004  # of trays and kits
ROLLING = (0.005, 0.0001)  # torsional and rolling friction, m
PEDESTAL_M = (0.06, 0.05)  # half the extent of what an arm stands on above a table that lies lower
GAP_M = 0.0005  # a part starts so much above what it stands on
GUARD_PITCH_M = 0.045  # between the points of the tool that must stay out of keep-out boxes
COLOURS = (BRASS, (0.28, 0.50, 0.72, 1), (0.36, 0.62, 0.45, 1), (0.75, 0.36, 0.30, 1))
DARK, PANEL = (0.25, 0.27, 0.30, 1), (0.88, 0.62, 0.14, 1)


def add(spec: mujoco.MjSpec, task: HandlingTask) -> None:
    """Put parts and fixtures into the world and set the gripper's force.

    A part is a body of its name with a free joint; its frame is the middle of its base. What stands on the table is a
    mocap body of its name, so that its place can vary per simulation; the origin is the surface that parts stand on. A
    vise's jaw and a door are slide joints and position actuators of their names: zero is closed, the end of the range
    open. The site `tip` is the gripper's grasp point.
    """
    grasp = spec.site("tool/grasp")
    grasp.parent.add_site(name="tip", pos=grasp.pos, quat=grasp.quat, group=4)
    _set_gripper(spec, task.grip)
    if task.table_mm < 0:
        height = -task.table_mm / 1000
        fixture(spec.worldbody, BOX, (0, 0, -height / 2), (*PEDESTAL_M, height / 2))
    for thing in standing(task):
        at = nominal(thing)
        body = spec.worldbody.add_body(name=thing.name, mocap=True, pos=at.p, quat=_about_z(float(at.yaw)))
        {Tray: _add_tray, Kit: _add_kit, Vise: _add_vise}[type(thing)](spec, body, thing, task)
    for thing in task.fixtures:
        if isinstance(thing, Door):
            _add_door(spec, thing)
    shapes = list(dict.fromkeys((part.shape, *part.size_mm) for part in task.parts))
    for part in task.parts:
        _add_part(spec, part, shapes.index((part.shape, *part.size_mm)))


def _set_gripper(spec: mujoco.MjSpec, grip: Grip) -> None:
    """A gripper's force is set apart from its speed: the fingers' damping follows the force."""
    gripper, share = spec.actuator("tool/gripper"), grip.force_share
    closed, open_ = gripper.ctrlrange
    gripper.ctrlrange = (closed, closed + grip.open_share * (open_ - closed))
    gripper.forcerange = share * np.array(gripper.forcerange)
    for joint in spec.joints:
        if joint.name.startswith("tool/"):
            joint.damping = joint.damping * share


def _add_part(spec: mujoco.MjSpec, part: Workpiece, number: int) -> None:
    """`number`: of its shape among the parts' shapes; parts of one shape look alike."""
    x, y, z = np.array(part.size_mm) / 1000
    body = spec.worldbody.add_body(name=part.name)
    body.add_freejoint(name=part.name)
    rgba = COLOURS[number % len(COLOURS)]
    free = {"contype": FREE, "conaffinity": FREE, "friction": (1, *ROLLING), **FIRM}
    if isinstance(part, Casting):
        body.explicitinertial, body.mass = True, np.mean(part.mass_range_kg)
        body.ipos, body.fullinertia = (
            np.array(part.mesh.centroid_mm) / 1000,
            body.mass * np.array(part.mesh.inertia_mm2) / 1e6,
        )
        add_pieces(spec, body, part.mesh, partial(fixture, **free), rgba)
        return
    round_part = isinstance(part, Cylinder)
    body.add_geom(
        name=part.name,
        type=CYLINDER if round_part else BOX,
        size=(x / 2, z / 2, 0) if round_part else (x / 2, y / 2, z / 2),
        pos=(0, 0, z / 2),
        mass=np.mean(part.mass_range_kg),
        rgba=rgba,
        **free,
    )


def _add_tray(spec: mujoco.MjSpec, body, tray: Tray, task: HandlingTask) -> None:
    widest = max(max(part.size_mm[:2]) for part in task.parts if part.start == tray.name)
    margin = widest / 2 + max(np.abs(tray.jitter_mm)) + 8
    x, y = (((n - 1) / 2 * pitch + margin) / 1000 for n, pitch in zip(tray.slots, tray.pitch_mm))
    fixture(body, BOX, (0, 0, -FLOOR_M / 2), (x, y, FLOOR_M / 2), rgba=DARK)
    rim = tray.rim_mm / 2000
    for side in (-1, 1) if rim else ():
        fixture(body, BOX, (side * (x + 0.002), 0, rim - FLOOR_M / 2), (0.002, y + 0.004, rim + FLOOR_M / 2))
        fixture(body, BOX, (0, side * (y + 0.002), rim - FLOOR_M / 2), (x, 0.002, rim + FLOOR_M / 2))


def _add_kit(spec: mujoco.MjSpec, body, kit: Kit, task: HandlingTask) -> None:
    parts = {part.name: part for part in task.parts}
    depth, wall, chamfer = kit.depth_mm / 1000, kit.wall_mm / 1000, kit.chamfer_mm / 1000
    corners = []
    for pocket in kit.pockets:
        part, yaw = parts[pocket.holds], np.deg2rad(pocket.yaw_deg)
        half = np.array(part.size_mm[:2]) / 2000 + kit.clearance_mm / 1000
        at = np.array(pocket.at_mm) / 1000
        nest = body.add_body(pos=(*at, depth), quat=_about_z(yaw))
        sides = ROUND_SIDES if isinstance(part, Cylinder) else 4
        hole(nest, tuple(half), tuple(half + chamfer + wall), depth, chamfer, sides)
        reach = np.hypot(*(half + chamfer + wall)) if yaw % (np.pi / 2) else max(half) + chamfer + wall
        corners += [at - reach, at + reach]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    fixture(body, BOX, (*(low + high) / 2, -FLOOR_M / 2), (*(high - low) / 2 + 0.004, FLOOR_M / 2))


def _add_vise(spec: mujoco.MjSpec, body, vise: Vise, task: HandlingTask) -> None:
    """A bed, a jaw that stays, and one that slides along x."""
    gap = vise.opening_mm / 1000
    thick, wide, high = np.array(vise.jaw_mm) / 1000
    drop = (vise.at_mm[2] - task.table_mm) / 1000
    half = (gap / 2 + 2 * thick, max(wide, gap) / 2, drop / 2)
    fixture(body, BOX, (thick / 2, 0, -drop / 2), half)
    fixture(body, BOX, (-(gap + thick) / 2, 0, high / 2), (thick / 2, wide / 2, high / 2), rgba=BRIGHT)
    jaw = body.add_body(name=f"{vise.name}_jaw", pos=(-gap / 2, 0, 0))
    jaw.add_joint(
        name=vise.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(1, 0, 0), range=(0, gap), armature=5, damping=200
    )
    fixture(jaw, BOX, (thick / 2, 0, high / 2 + 0.0002), (thick / 2, wide / 2, high / 2), rgba=BRIGHT)
    _drive(spec, vise.name, gap, kp=5e4, kv=1000, force_N=vise.force_N)


def _add_door(spec: mujoco.MjSpec, door: Door) -> None:
    center, size = np.array(door.center_mm) / 1000, np.array(door.size_mm) / 1000
    panel, slides = np.array(door.panel_mm) / 1000, np.array(door.slides_mm) / 1000
    travel = float(np.linalg.norm(slides))
    foot = center - (0, 0, size[2] / 2 - panel[2] / 2)
    body = spec.worldbody.add_body(name=door.name, pos=foot, gravcomp=1)
    body.add_joint(
        name=door.name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=slides / travel, range=(0, travel), armature=5
    )
    fixture(body, BOX, (0, 0, 0), panel / 2)
    body.geoms[0].rgba = PANEL
    _drive(spec, door.name, travel, kp=1e4, kv=600, force_N=150.0)
    zone = {"size": size / 2, "pos": center, "rgba": (0.9, 0.2, 0.15, 0.1), "group": 1}
    spec.worldbody.add_geom(name=f"zone_{door.name}", type=BOX, **NO_CONTACT, **zone)


def _drive(spec: mujoco.MjSpec, name: str, travel_m: float, kp: float, kv: float, force_N: float) -> None:
    drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    drive.set_to_position(kp=kp, kv=kv)
    drive.ctrlrange, drive.ctrllimited = (0, travel_m), True
    drive.forcerange, drive.forcelimited = (-force_N, force_N), True


def _about_z(yaw_rad: float) -> np.ndarray:
    return np.array([np.cos(yaw_rad / 2), 0, 0, np.sin(yaw_rad / 2)])


def views(task: HandlingTask) -> dict[str, tuple[Any, Any, float]]:
    """Cameras by name: where each is, what it looks at, and its field of view in degrees."""
    at = np.array([f.at_mm for f in standing(task)]) / 1000
    middle, span = (at.min(0) + at.max(0)) / 2, float(np.ptp(at, axis=0).max()) + 0.26
    arm_side, above = middle * (0.62, 0.9, 1.0), np.array([0.0, 0.0, 1.0])
    return {
        "cell": (middle + span * np.array([1.75, -0.95, 1.05]), arm_side + 0.13 * above, 31),
        "close": (middle + span * np.array([1.05, -0.55, 0.75]), middle + 0.03 * above, 33),
    }


def open_gripper(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Set the fingers' joints to as far as the gripper opens in this cell."""
    gripper = model.actuator("tool/gripper")
    for joint in range(model.njnt):
        if model.joint(joint).name.startswith("tool/"):
            data.qpos[model.jnt_qposadr[joint]] = min(model.jnt_range[joint, 1], gripper.ctrlrange[1])


def guarded_m(model: mujoco.MjModel) -> np.ndarray:
    """Points (m, 3) all over the open gripper's outline, in the frame of its tip."""
    data = mujoco.MjData(model)
    open_gripper(model, data)
    mujoco.mj_kinematics(model, data)
    tip, corners = data.site("tip"), []
    for geom in range(model.ngeom):
        if model.geom(geom).name.startswith("tool/"):
            center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
            signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
            world = data.geom_xpos[geom] + (center + signs * half) @ data.geom_xmat[geom].reshape(3, 3).T
            corners.append((world - tip.xpos) @ tip.xmat.reshape(3, 3))
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0)
    axes = [np.linspace(a, b, 1 + int(np.ceil((b - a) / GUARD_PITCH_M))) for a, b in zip(low, high)]
    return np.array(np.meshgrid(*axes)).reshape(3, -1).T
