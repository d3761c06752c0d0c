"""Surfaces that must never be touched: who could touch them, and with what force they did."""

import mujoco
import numpy as np

from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.geometry import ENVIRONMENT, HELD, OBSTACLE_NAME, SOLID_NAME

GEOM, BODY, XBODY = mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_BODY, mujoco.mjtObj.mjOBJ_XBODY
NAME = "touch/"  # how the names of their sensors begin; the number of the surface follows
MOST_FORCE = 2  # of the contacts between two things, the sensor reports the one with the largest force
HAND = "tool/hand"
Thing = tuple[mujoco.mjtObj, str]  # a geom, a body, or a body with all that hangs on it


def add(spec: mujoco.MjSpec, cell: CellSpec) -> None:
    """Add sensors of the surfaces that the cell names, after all others.

    A link of the arm that it names gets a shape that collides; the others pass through everything, as they do in every
    cell.

    Raises:
        InputError: if there is no such surface.
    """
    never = cell.requirements.untouched
    links, found = arm_links(spec), _surfaces(spec, cell)
    for i, surface in enumerate(never.surfaces if never else ()):
        valid = [*found, *links]
        if surface.name not in valid:
            raise InputError(
                f"requirements.untouched names '{surface.name}'; in this cell there are {', '.join(valid)}",
                key=f"requirements.untouched.surfaces.{i}.name",
                fix=did_you_mean(surface.name, valid) or "name one of these",
            )
        thing = found.get(surface.name, (BODY, surface.name))
        others: list[Thing | None] = [*_touching(spec, cell, surface.by)]
        if surface.name not in found:
            for geom in spec.body(surface.name).geoms:
                geom.contype = geom.conaffinity = ENVIRONMENT | HELD
            others = others if surface.by == "tool" else [None]
        for k, other in enumerate(others):
            _add_sensor(spec, f"{NAME}{i}/{k}", thing, other)


def touch_at(model: mujoco.MjModel) -> int:
    """Where in the sensors' data the surfaces' begin."""
    names = (model.sensor(i).name for i in range(model.nsensor))
    return next((int(model.sensor_adr[i]) for i, name in enumerate(names) if name.startswith(NAME)), model.nsensordata)


def touch_N(sensordata: np.ndarray) -> np.ndarray:
    """(n,) the largest force in the surfaces' sensor data (n, steps, 3 times their number)."""
    n = len(sensordata)
    return np.sqrt((sensordata.reshape(n, -1, 3) ** 2).sum(-1).max(1)) if sensordata.size else np.zeros(n)


def arm_links(spec: mujoco.MjSpec) -> list[str]:
    """The arm's links, from its base to the one that bears the tool."""
    names, body = [], spec.body(HAND).parent
    while body.name != "world":
        names.append(body.name)
        body = body.parent
    return names[::-1]


def _surfaces(spec: mujoco.MjSpec, cell: CellSpec) -> dict[str, Thing]:
    """What stands in the cell, by the name that the cell file gives it."""
    task = cell.task
    things = [*task.fixtures, *task.parts] if isinstance(task, HandlingTask) else []
    bodies = [thing.name for thing in things] or ["plate"]
    boxes = {box.name: (GEOM, f"{SOLID_NAME}{box.name}") for box in cell.keep_out}
    meshes = {thing.name: (XBODY, f"{OBSTACLE_NAME}{thing.name}") for thing in cell.obstacles}
    return {"table": (GEOM, "table"), **boxes, **{name: (XBODY, name) for name in bodies}, **meshes}


def _touching(spec: mujoco.MjSpec, cell: CellSpec, by: str) -> list[Thing]:
    """What must not touch a surface. A part that the tool holds for good is one of the hand's bodies."""
    if isinstance(cell.task, HandlingTask):
        parts = [part.name for part in cell.task.parts] if by == "anything" else []
        return [(XBODY, HAND), *((XBODY, name) for name in parts)]
    if by == "anything":
        return [(XBODY, HAND)]
    solid = [body.name for body in spec.bodies if any(geom.contype for geom in body.geoms)]
    return [(BODY, name) for name in solid if name.startswith("tool/")]


def _add_sensor(spec: mujoco.MjSpec, name: str, thing: Thing, other: Thing | None) -> None:
    about = dict(zip(("objtype", "objname"), thing)) | (dict(zip(("reftype", "refname"), other)) if other else {})
    force = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
    spec.add_sensor(name=name, type=mujoco.mjtSensor.mjSENS_CONTACT, intprm=(force, MOST_FORCE, 1), **about)
