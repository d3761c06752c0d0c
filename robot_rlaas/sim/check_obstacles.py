"""Whether obstacles leave room for the job, and how true to their meshes they are."""

from collections.abc import Callable, Iterator

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.meshes import Mesh
from robot_rlaas.cell.parts import Casting
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.sim.findings import PENETRATION_M, Finding
from robot_rlaas.sim.geometry import OBSTACLE_NAME, quaternion
from robot_rlaas.sim.handling import open_gripper
from robot_rlaas.sim.model import Workcell


def meshes_found(cell: CellSpec) -> Iterator[Finding]:
    """What became of every mesh: how large it is, what it is made of, how much of it is filled."""
    if isinstance(cell.task, HandlingTask):
        meshes = [(part.name, part.mesh) for part in cell.task.parts if isinstance(part, Casting)]
    else:
        meshes = [("housing", cell.task.part.housing.mesh)] if cell.task.part.housing else []
    for name, mesh in [*meshes, *((obstacle.name, obstacle.mesh) for obstacle in cell.obstacles)]:
        yield _found(name, mesh)


def _found(name: str, mesh: Mesh) -> Finding:
    filled = sum(ConvexHull(piece).volume for piece in mesh.pieces) / mesh.volume_mm3
    count, size = len(mesh.pieces), " x ".join(f"{extent:.0f}" for extent in mesh.size_mm)
    volume = f"{100 * filled:.1f} % of its volume, {mesh.volume_mm3 / 1000:.4g} cm3"
    return Finding(f"'{name}', {size} mm", f"{count} convex piece{'s'[: count > 1]}, {volume}")


def clear_of_obstacles(
    cell: CellSpec, workcell: Workcell, q: np.ndarray, what: Callable[[int], str], plate: Pose | None = None
) -> None:
    """No obstacle is where the tool and what it holds have to go.

    Args:
        cell, workcell: with or without obstacles.
        q: (n, joints) of the poses that the job needs, rad; a gripper is open there.
        what: says which pose the i-th is.
        plate: where an insertion's plate is in each.

    Raises:
        InputError: about the first that is in the way.
    """
    if not cell.obstacles:
        return
    model = workcell.model
    data, names = mujoco.MjData(model), [model.body(model.geom_bodyid[i]).name for i in range(model.ngeom)]
    obstacles = [f"{OBSTACLE_NAME}{obstacle.name}" for obstacle in cell.obstacles]
    which = np.array([obstacles.index(name) if name in obstacles else -1 for name in names])
    joints = [model.joint(name).qposadr[0] for name in workcell.chain.joints]
    if isinstance(cell.task, HandlingTask):
        open_gripper(model, data)
    for i, row in enumerate(q):
        data.qpos[joints] = row
        if plate is not None:
            data.mocap_pos[0], data.mocap_quat[0] = plate.p[i], quaternion(plate.R[i])
        mujoco.mj_forward(model, data)
        for pair, distance in zip(data.contact.geom, data.contact.dist):
            number, others = which[pair].max(), [names[geom] for geom in pair if which[geom] < 0]
            if number >= 0 and distance < -PENETRATION_M and _of_the_tool(model, others[0]):
                obstacle = cell.obstacles[number]
                raise InputError(
                    f"obstacle '{obstacle.name}' is in the way: {what(i)}, the tool is {-distance * 1000:.1f} mm "
                    "inside it",
                    key=f"obstacles.{number}.at_mm",
                    fix="move it or what the job needs; if its mesh has room there, make its mesh_tolerance_mm smaller",
                )


def _of_the_tool(model: mujoco.MjModel, body: str) -> bool:
    """Whether a body is the hand or hangs on it."""
    number, hand = model.body(body).id, model.body("tool/hand").id
    while number not in (hand, 0):
        number = model.body_parentid[number]
    return number == hand
