"""How a draw becomes the state of a simulation: what the arm's dynamics are not, by kind of task."""

from typing import Protocol

import mujoco
import numpy as np
from mujoco.batch import Batch

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.handling import GAP_M
from robot_rlaas.sim.insertion import part_geoms
from robot_rlaas.sim.starts import Flat, machines, scene, standing

UP = np.array([0.0, 0.0, 1.0])


class Placing(Protocol):
    """Puts parts and fixtures where a draw says."""

    def place(self, ids: np.ndarray, start: Draw) -> np.ndarray:
        """Write the state and the model's fields of the simulations `ids`; `start` has one row per id.

        Returns:
            How far the gripper and what else moves is open (m, drives), from 0 to 1.
        """
        ...


def placing_of(cell: CellSpec, model: mujoco.MjModel, batch: Batch) -> Placing:
    """What the cell's kind of task needs."""
    kind = HandlingPlacing if isinstance(cell.task, HandlingTask) else InsertionPlacing
    return kind(cell, model, batch)


class InsertionPlacing:
    """A plate that lies anywhere, a part that sits anyhow in the hand, gears that are turned."""

    def __init__(self, cell: CellSpec, model: mujoco.MjModel, batch: Batch) -> None:
        self._qpos, self._friction = batch.bind("qpos"), batch.expand("geom_friction")
        self._mocap_pos, self._mocap_quat = batch.bind("mocap_pos"), batch.bind("mocap_quat")
        self._body_pos, self._body_quat = batch.expand("body_pos"), batch.expand("body_quat")
        self._part, self._geoms = model.body("part").id, part_geoms(model)
        self._part_m = model.body("part").pos.copy()
        self._plate_m = np.array(cell.task.plate.top_mm) / 1000
        self._drives = sum(name.startswith("tool/") for name in (model.actuator(i).name for i in range(model.nu)))
        gears = range(len(cell.task.start_ranges))
        self._turning = np.array([model.joint(f"gear_{i}").qposadr[0] for i in gears], int)

    def place(self, ids: np.ndarray, start: Draw) -> np.ndarray:
        """See `Placing.place`."""
        self._qpos[ids[:, None], self._turning] = np.deg2rad(start.start)
        turns = np.zeros((3, len(ids), 3))
        turns[0, :, 2], turns[1, :, :2], turns[2] = start.plate_yaw_rad, start.plate_tilt_rad, start.hand_rad
        yaw, tilt, hand = quaternions(turns)
        self._mocap_pos[ids, 0] = self._plate_m + np.concatenate([start.plate_xy_m, start.plate_z_m[:, None]], axis=1)
        self._mocap_quat[ids, 0] = after(yaw, tilt)
        self._body_pos[ids, self._part] = self._part_m + start.hand_m
        self._body_quat[ids, self._part] = hand
        self._friction[ids[:, None], self._geoms, 0] = start.friction[:, None]
        return np.zeros((len(ids), self._drives))


class HandlingPlacing:
    """Parts that lie in their slots, fixtures that stand a little off, pads that grip more or less."""

    def __init__(self, cell: CellSpec, model: mujoco.MjModel, batch: Batch) -> None:
        self._task = task = HandlingTask.of(cell)
        parts = [model.body(part.name).id for part in task.parts]
        self._parts, self._geoms = np.array(parts), np.flatnonzero(np.isin(model.geom_bodyid, parts))
        adr = [model.joint(part.name).qposadr[0] for part in task.parts]
        self._free = np.array(adr)[:, None] + np.arange(7)
        self._mocap = model.body_mocapid[[model.body(f.name).id for f in standing(task)]]
        self._pads = np.array([model.geom(f"tool/pad_{side}").id for side in ("left", "right")])
        self._mass_kg, self._inertia = model.body_mass[parts].copy(), model.body_inertia[parts].copy()
        self._qpos, self._friction = batch.bind("qpos"), batch.expand("geom_friction")
        self._mocap_pos, self._mocap_quat = batch.bind("mocap_pos"), batch.bind("mocap_quat")
        self._body_mass, self._body_inertia = batch.expand("body_mass"), batch.expand("body_inertia")

    def place(self, ids: np.ndarray, start: Draw) -> np.ndarray:
        """See `Placing.place`."""
        at, rows = scene(self._task, start.start), ids[:, None]
        lifted = at.parts.p + UP * GAP_M
        self._qpos[rows[:, :, None], self._free] = np.concatenate([lifted, _upright(at.parts)], axis=-1)
        self._mocap_pos[rows, self._mocap], self._mocap_quat[rows, self._mocap] = at.fixtures.p, _upright(at.fixtures)
        self._body_mass[rows, self._parts] = at.mass_kg
        self._body_inertia[rows, self._parts] = self._inertia * (at.mass_kg / self._mass_kg)[:, :, None]
        self._friction[rows, self._geoms, 0] = start.friction[:, None]
        self._friction[rows, self._pads, 0] = at.grip_friction[:, None]
        return np.concatenate([np.ones((len(ids), 1)), machines(self._task, at.phase, 0.0).at], axis=1)


def _upright(at: Flat) -> np.ndarray:
    """The quaternions (..., 4), wxyz, of poses that are turned about z alone."""
    zero = 0.0 * at.yaw
    return np.stack([np.cos(at.yaw / 2), zero, zero, np.sin(at.yaw / 2)], axis=-1)


def after(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    """One rotation and then another, about fixed axes: quaternions (n, 4), wxyz."""
    w, x, y, z = then.T
    a, b, c, d = first.T
    product = (w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c)
    return np.stack([*product, w * c - x * d + y * a + z * b, w * d + x * c - y * b + z * a], axis=-1)


def quaternions(rotvec: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), rad -> quaternions (..., 4), wxyz."""
    angle = np.sqrt((rotvec**2).sum(axis=-1, keepdims=True))
    axis = rotvec / np.where(angle < 1e-12, 1.0, angle)
    return np.concatenate([np.cos(angle / 2), axis * np.sin(angle / 2)], axis=-1)
