"""Capsules round the links of a cell's arm, from the shapes in its model: what the robot needs to know of them."""

from itertools import combinations
from typing import NamedTuple

import mujoco
import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.capsules import Capsules, axes_of, link_frames, segment_distance
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.sim.model import Workcell

MOST = 3  # capsules of one link
ROUND = 24  # points of a circle: they are moved out, so that the circle lies within the polygon
NEIGHBOURS_M = 0.03  # capsules so near each other at home are two of one joint, or meant to be so near
HAND = "tool/hand"
ELLIPSOID, SPHERE = mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_SPHERE
CAPSULE, CYLINDER = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER
BOX, MESH = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_MESH


class _Capsule(NamedTuple):
    start: np.ndarray
    end: np.ndarray
    radius: float

    @property
    def volume(self) -> float:
        return float(np.pi * self.radius**2 * (np.linalg.norm(self.end - self.start) + 4 / 3 * self.radius))


_Group = tuple[np.ndarray, _Capsule]


def capsules_of(cell: CellSpec, workcell: Workcell) -> Capsules:
    """Capsules that contain every shape of the arm, its tool and what that holds for good, and which could meet.

    What the tool does to table and plate is the task's own; the other links stay above the table.
    """
    model, chain = workcell.spec.copy().compile(), workcell.chain
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    R, p = (of[:, 0] for of in link_frames(chain, np.zeros((1, len(chain.joints)))))
    link, body, found, is_tool = list[int](), list[str](), list[_Capsule](), list[bool]()
    hand = _below(model, model.body(HAND).id)
    for number, joint in _links(model, chain.joints).items():
        geoms = range(model.body_geomadr[number], model.body_geomadr[number] + model.body_geomnum[number])
        fitted = _fitted([(_points(model, data, geom) - p[joint]) @ R[joint] for geom in geoms])
        link += [joint] * len(fitted)
        body += [model.body(number).name] * len(fitted)
        is_tool += [number in hand] * len(fitted)
        found += fitted
    capsules = Capsules(
        link=np.array(link),
        start_m=np.array([one.start for one in found]),
        end_m=np.array([one.end for one in found]),
        radius_m=np.array([one.radius for one in found]),
        body=tuple(body),
        pairs=np.zeros((0, 2), int),
        above_table=(np.array(link) > 0) & ~np.array(is_tool),
        table_m=cell.task.table_mm / 1000,
    )
    return capsules._replace(pairs=_pairs(capsules, chain, np.deg2rad(np.array(cell.robot.home_deg))))


def _links(model: mujoco.MjModel, joints: tuple[str, ...]) -> dict[int, int]:
    """Every body of the arm, and the number of the joint that moves it; -1 for what stands still with its base."""
    number = {int(model.joint(name).bodyid[0]): i for i, name in enumerate(joints)}
    root = next(iter(number))
    while model.body_parentid[root] != 0:
        root = int(model.body_parentid[root])
    links = {}
    for body in range(root, model.nbody):
        if model.body_rootid[body] == root:
            links[body] = number.get(body, links.get(int(model.body_parentid[body]), -1))
    return links


def _below(model: mujoco.MjModel, root: int) -> set[int]:
    """A body and all that hangs on it."""
    found = {root}
    for body in range(root + 1, model.nbody):
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return found


def _points(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> np.ndarray:
    """Points (m, 3), base frame, whose convex hull contains the geom."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    if kind == MESH:
        mesh = model.geom_dataid[geom]
        at = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
    elif kind == BOX:
        at = CORNERS * size
    elif kind in (SPHERE, ELLIPSOID):
        at = BALL * (size if kind == ELLIPSOID else size[0])
    else:
        length = size[1] + size[0] * (kind == CAPSULE)
        at = np.concatenate([np.column_stack([CIRCLE * size[0], np.full(ROUND, z)]) for z in (-length, length)])
    return data.geom_xpos[geom] + at @ data.geom_xmat[geom].reshape(3, 3).T


def _fitted(clouds: list[np.ndarray]) -> list[_Capsule]:
    """Capsules that contain all clouds of points: at most MOST, and no two that waste no space as one."""
    groups = [(cloud, _round(cloud)) for cloud in clouds]
    while len(groups) > 1:
        waste, one, other, joined = min(_joined(*pair) for pair in combinations(enumerate(groups), 2))
        if waste > 0 and len(groups) <= MOST:
            break
        groups = [group for i, group in enumerate(groups) if i not in (one, other)] + [joined]
    return [capsule for _, capsule in groups]


def _joined(one: tuple[int, _Group], other: tuple[int, _Group]) -> tuple[float, int, int, _Group]:
    """How much space it wastes to join two groups, their numbers, and what they become."""
    (i, (some, a)), (j, (more, b)) = one, other
    cloud = np.concatenate([some, more])
    capsule = _round(cloud)
    return capsule.volume - a.volume - b.volume, i, j, (cloud, capsule)


def _round(cloud: np.ndarray) -> _Capsule:
    """The smallest of the capsules along the cloud's principal axes that contain it."""
    axes = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)[2]
    return min((_along(cloud, np.roll(axes, -i, axis=0)) for i in range(3)), key=lambda capsule: capsule.volume)


def _along(cloud: np.ndarray, axes: np.ndarray) -> _Capsule:
    """The capsule along the first of three axes."""
    at = cloud @ axes.T
    middle = (at.min(axis=0) + at.max(axis=0)) / 2
    beside = np.linalg.norm(at[:, 1:] - middle[1:], axis=1)
    radius = float(beside.max())
    cap = np.sqrt(np.maximum(radius**2 - beside**2, 0.0))
    low, high = (at[:, 0] + cap).min(), (at[:, 0] - cap).max()
    if low > high:
        low = high = (low + high) / 2
        radius = float(np.linalg.norm(at - [low, *middle[1:]], axis=1).max())
    ends = [np.array([x, *middle[1:]]) @ axes for x in (low, high)]
    return _Capsule(ends[0], ends[1], radius)


def _pairs(capsules: Capsules, chain: SerialChain, home_rad: np.ndarray) -> np.ndarray:
    """Pairs (m, 2) of links that are no neighbours, in the chain or by how near they are at home."""
    link = capsules.link
    apart = np.array([(i, j) for i, j in combinations(range(len(link)), 2) if abs(link[i] - link[j]) > 1])
    axes = axes_of(capsules, chain, home_rad[None])[0]
    away = segment_distance(axes[apart[:, 0]], axes[apart[:, 1]]) - capsules.radius_m[apart].sum(axis=1)
    return apart[away > NEIGHBOURS_M]


def _around(count: int) -> np.ndarray:
    """Points (count, 2) of a polygon round the circle of radius 1."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) / np.cos(np.pi / count)


CIRCLE = _around(ROUND)
CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
BALL = np.array([(*(np.cos(a) * xy), np.sin(a)) for xy in CIRCLE for a in np.deg2rad(np.arange(-90, 91, 15))]) * 1.02
