"""The geometry of an insertion: a part in the hand, and the plate with the hole or the shaft that it goes to."""

from functools import partial

import mujoco
import numpy as np

from robot_rlaas.cell.insertion import BoxPart, CylinderPart, GearPart, InsertionTask, Neighbour, Part, PlateSpec
from robot_rlaas.sim.geometry import (
    BOX,
    BRASS,
    BRIGHT,
    CAPSULE,
    CYLINDER,
    DARK,
    ENVIRONMENT,
    FIRM,
    HELD,
    INSIDE,
    NO_CONTACT,
    STEEL,
    UNSEEN,
    about_z,
    fixture,
    hole,
    look,
    look_of_round_hole,
    quaternion,
)
from robot_rlaas.sim.obstacles import add_pieces

GRIP_M = 0.020  # how much of the part is between the fingers
ROUND_SIDES = 12  # of a round hole: into its corners a part has 4 % more play than the clearance
TOOTH = (
    0.89  # of half the circular pitch: a straight tooth so thick fits the gap between two of its like, at full depth
)
FACING = 2  # teeth to each side of the one that faces the other gear: no others can touch it
STEEL_KG_M3 = 7850


def add(spec: mujoco.MjSpec, task: InsertionTask, fingertip_m: float) -> None:
    """Put the part into the hand and the plate into the world.

    The part is the body `part`, a child of the tool, so that its pose in the hand can vary per simulation. The plate is
    the mocap body `plate`; its frame is the middle of the hole's upper edge, or of the shaft's end. The site `tip` is
    where the part's tip is nominally.

    Args:
        spec: of the cell, with its tool.
        task: what the cell file says.
        fingertip_m: from the hand's origin to the fingers' end.
    """
    hand = spec.body("tool/hand")
    body = hand.add_body(name="part", pos=(0, 0, fingertip_m), gravcomp=1)
    tip_m = task.part.length_mm / 1000
    _add_part(body, task.part, task.plate)
    if task.part.housing:
        add_pieces(spec, body, task.part.housing.mesh, _held, DARK)
    body.add_site(name="part_tip", pos=(0, 0, tip_m), group=4)
    hand.add_site(name="tip", pos=(0, 0, fingertip_m + tip_m), group=4)
    plate = spec.worldbody.add_body(name="plate", mocap=True, pos=np.array(task.plate.top_mm) / 1000)
    plate.add_site(name="hole", group=4)
    _add_plate(spec, plate, task.plate, task.part)


def _held(body, shape, center, size, R: np.ndarray | None = None, rgba=BRASS, **more) -> None:
    collides = {"contype": HELD, "conaffinity": ENVIRONMENT, "friction": (1, 0.005, 0.0001), "rgba": rgba}
    body.add_geom(type=shape, pos=center, quat=quaternion(R), size=size, **{**collides, **FIRM, "mass": 0, **more})


def _add_part(body, part: Part, plate: PlateSpec) -> None:
    half, tip = (part.length_mm / 1000 + GRIP_M) / 2, part.length_mm / 1000
    middle, solid = (0, 0, half - GRIP_M), {"name": "part", "mass": part.mass_kg}
    if isinstance(part, BoxPart):
        x, y = part.section_mm
        _held(body, BOX, middle, (x / 2000, y / 2000, half), **solid)
    elif isinstance(part, CylinderPart):
        _held(body, CYLINDER, middle, (part.diameter_mm / 2000, half, 0), **solid)
    else:
        _add_gear(body, part, plate, tip)


def _add_gear(body, gear: GearPart, plate: PlateSpec, tip: float) -> None:
    """Bore and teeth collide; the disc between them is for the eye."""
    assert plate.shaft is not None
    half, wall = gear.face_mm / 2000, (gear.bore_mm / 2 + plate.clearance_mm) / 1000
    rim = wall + 0.003
    lower = body.add_body(name="bore", pos=(0, 0, tip))
    depth = min(gear.length_mm, plate.shaft.height_mm) / 1000
    hole(lower, (wall, wall), (rim, rim), depth, plate.chamfer_mm / 1000, ROUND_SIDES, _held)
    root = gear.module_mm * (gear.teeth - 2.5) / 2000
    disc = {"name": "part", "mass": gear.mass_kg, **NO_CONTACT}
    _held(body, CYLINDER, (0, 0, tip - half), (root, half, 0), **disc)
    _held(body, CYLINDER, (0, 0, (tip - GRIP_M) / 2 - half), (rim, (tip + GRIP_M) / 2 - half, 0), **NO_CONTACT)
    for neighbour in plate.shaft.neighbours:  # seen from the hand, which looks down, directions run the other way
        _teeth(body, gear.teeth, gear.module_mm, half, tip - half, -np.deg2rad(neighbour.direction_deg), 0.0, _held)
    _look_of_teeth(body, gear.teeth, gear.module_mm, half, tip - half, 0.0, BRASS)


def _add_plate(spec: mujoco.MjSpec, body, plate: PlateSpec, part: Part) -> None:
    outer = plate.size_mm[0] / 2000, plate.size_mm[1] / 2000
    thick, chamfer = plate.size_mm[2] / 1000, plate.chamfer_mm / 1000
    if plate.shaft is None:
        inner = tuple((extent / 2 + plate.clearance_mm) / 1000 for extent in part.section_mm)
        if isinstance(part, CylinderPart):
            hole(body, inner, outer, thick, chamfer, ROUND_SIDES, partial(fixture, group=UNSEEN))
            look_of_round_hole(spec, body, inner[0], outer, thick, chamfer)
        else:
            hole(body, inner, outer, thick, chamfer)
            _look_of_walls(body, inner, thick)
        _look_of_screws(body, outer)
        return
    assert isinstance(part, GearPart)
    height = plate.shaft.height_mm / 1000
    fixture(body, BOX, (0, 0, -height - thick / 2), (*outer, thick / 2))
    fixture(body, CYLINDER, (0, 0, -height / 2), (part.bore_mm / 2000, height / 2, 0))
    for i, neighbour in enumerate(plate.shaft.neighbours):
        _add_neighbour(body, i, neighbour, part, height)


def _look_of_walls(plate, inner, depth: float) -> None:
    """A dark inside: the hole shows."""
    x, y = inner
    look(plate, BOX, (0, 0, -depth + 0.0005), (x, y, 0.0005), rgba=INSIDE)
    for side in (-1, 1):
        look(plate, BOX, (side * x, 0, -depth / 2), (0.0001, y, depth / 2), rgba=INSIDE)
        look(plate, BOX, (0, side * y, -depth / 2), (x, 0.0001, depth / 2), rgba=INSIDE)


def _look_of_screws(plate, outer) -> None:
    """Four of them, so that the plate's pose can be read off a picture."""
    head = 0.085 * min(outer)
    for at in ((sx * 0.78 * outer[0], sy * 0.78 * outer[1]) for sx in (-1, 1) for sy in (-1, 1)):
        look(plate, CYLINDER, (*at, 0.0004), (head, 0.0006, 0), rgba=BRIGHT)
        look(plate, CYLINDER, (*at, 0.0008), (head / 2, 0.0006, 0), rgba=DARK)


def _add_neighbour(plate, i: int, neighbour: Neighbour, part: GearPart, height: float) -> None:
    """A gear that turns on the plate: a tooth of the part faces a gap of it when neither is turned."""
    angle, half = np.deg2rad(neighbour.direction_deg), part.face_mm / 2000
    centre = neighbour.distance_mm / 1000 * np.array([np.cos(angle), np.sin(angle), 0]) - (0, 0, height - half)
    gear = plate.add_body(name=f"gear_{i}", pos=centre)
    radius = part.module_mm * neighbour.teeth / 2000
    mass = STEEL_KG_M3 * np.pi * radius**2 * 2 * half
    gear.add_joint(name=f"gear_{i}", frictionloss=neighbour.friction_Nm, damping=1e-4, armature=1e-5)
    root = part.module_mm * (neighbour.teeth - 2.5) / 2000
    gear.add_geom(type=CYLINDER, size=(root, half, 0), mass=mass, rgba=STEEL, **NO_CONTACT)
    shaft = (part.bore_mm / 2000, height / 2, 0)
    gear.add_geom(type=CYLINDER, size=shaft, pos=(0, 0, height / 2 - half), mass=0, rgba=STEEL, **NO_CONTACT)
    gap = np.pi / neighbour.teeth
    _teeth(gear, neighbour.teeth, part.module_mm, half, 0.0, angle + np.pi, gap, fixture)
    _look_of_teeth(gear, neighbour.teeth, part.module_mm, half, 0.0, angle + np.pi + gap, STEEL)


def _teeth(body, teeth: int, module_mm: float, half: float, z: float, towards: float, shift: float, solid) -> None:
    """The teeth of a gear that face a direction, as boxes from root to tip; one looks right there if `shift` is 0."""
    for k in range(-FACING, FACING + 1):
        _tooth(body, teeth, module_mm, half, z, towards + shift + 2 * np.pi * k / teeth, solid)


def _tooth(body, teeth: int, module_mm: float, half: float, z: float, angle: float, solid) -> None:
    """A box whose end towards z is round, as on gears that are made to be meshed by hand: ends find their gaps."""
    low, high = module_mm * (teeth - 2.5) / 2000, module_mm * (teeth + 2) / 2000
    R, thick = about_z(angle), TOOTH * np.pi * module_mm / 4000
    center = R @ np.array([(low + high) / 2, 0, 0]) + (0, 0, z)
    solid(body, BOX, center - np.array([0, 0, thick / 2]), ((high - low) / 2, thick, half - thick / 2), R)
    lying = R @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    end = center + np.array([0, 0, half - thick])
    solid(body, CAPSULE, end, (thick, (high - low) / 2 - thick, 0), lying)


def _look_of_teeth(body, teeth: int, module_mm: float, half: float, z: float, phase: float, rgba) -> None:
    """All teeth, for the eye."""

    for k in range(teeth):
        angle = phase + 2 * np.pi * k / teeth
        _tooth(body, teeth, module_mm, half, z, angle, lambda *tooth: look(*tooth, rgba=rgba))


def part_geoms(model: mujoco.MjModel) -> np.ndarray:
    """Ids of the geoms of the part in the hand, those of its child bodies included."""
    part = model.body("part").id
    bodies = [part, *np.flatnonzero(model.body_parentid == part)]
    return np.flatnonzero(np.isin(model.geom_bodyid, bodies))
