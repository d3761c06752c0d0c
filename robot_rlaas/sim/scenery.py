"""What makes a cell look like a cell: light, floor, bench, materials. Only pictures use it, never the physics."""

import mujoco
import numpy as np

from robot_rlaas.sim.geometry import (
    BOX,
    BRIGHT,
    CYLINDER,
    DARK,
    KEEP_OUT_NAME,
    SOLID_NAME,
    SPEED_ZONE_NAME,
    STEEL,
    look,
)

Color = tuple[float, float, float, float]

BENCH: Color = (0.92, 0.92, 0.91, 1)
PROFILE: Color = (0.60, 0.63, 0.66, 1)
RED: Color = (0.80, 0.17, 0.13, 1)
KEEP_OUT: Color = (0.93, 0.28, 0.16, 0.13)
ZONE: Color = (0.93, 0.28, 0.16, 0.05)
SLOW: Color = (0.93, 0.62, 0.08, 0.10)
FLOOR_Z = -0.80


def dress(spec: mujoco.MjSpec) -> mujoco.MjSpec:
    """A copy of a cell's spec with lights, background, bench and materials. Bodies, joints and poses stay as they are.

    Args:
        spec: `Workcell.spec`.
    """
    spec = spec.copy()
    _lights(spec)
    _background(spec)
    _materials(spec)
    _bench(spec)
    for body in spec.bodies:
        in_the_world = body.parent and body.parent.name in ("plate", "world") and body.name not in _arm(spec)
        if body.name in ("plate", "part") or in_the_world:
            for geom in body.geoms:
                geom.material = "metal"
    for geom in spec.geoms:
        if geom.name.startswith(KEEP_OUT_NAME):
            _keep_out(spec, geom)
        if geom.name.startswith("zone_"):
            geom.rgba = ZONE
            _edges(spec.worldbody, np.array(geom.pos), np.array(geom.size[:3]))
        if geom.name.startswith(SPEED_ZONE_NAME):
            geom.rgba = SLOW
            _edges(spec.worldbody, np.array(geom.pos), np.array(geom.size[:3]), SLOW)
    return spec


def _arm(spec: mujoco.MjSpec) -> set[str]:
    """The body that the arm stands on."""
    return {body.name for body in spec.worldbody.bodies if body.find_child("tool/hand")}


def _lights(spec: mujoco.MjSpec) -> None:
    visual = spec.visual
    spec.stat.extent, spec.stat.center = 1.0, (0.3, 0, 0.1)  # what the shadow map covers
    visual.headlight.ambient = (0.44, 0.44, 0.45)
    visual.headlight.diffuse = (0.16, 0.16, 0.16)
    visual.headlight.specular = (0.05, 0.05, 0.05)
    visual.quality.shadowsize = 4096
    visual.map.shadowclip = 1.0
    world = spec.worldbody
    directional = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    key = (0.46, 0.46, 0.44)
    world.add_light(type=directional, pos=(0.83, -0.63, 1.6), dir=(-0.35, 0.42, -1), diffuse=key, specular=(0.3,) * 3)
    fill = (0.20, 0.20, 0.22)
    world.add_light(
        type=directional, pos=(1, 1, 1.5), dir=(-0.6, -0.7, -0.5), diffuse=fill, specular=(0,) * 3, castshadow=False
    )


def _background(spec: mujoco.MjSpec) -> None:
    sky = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=256, height=1536)
    sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = (0.97, 0.975, 0.98), (0.74, 0.77, 0.81)
    floor = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, pos=(0, 0, FLOOR_Z), size=(0, 0, 1))
    floor.contype = floor.conaffinity = 0
    floor.material = "floor"
    spec.visual.rgba.haze = (0.90, 0.91, 0.925, 1)
    spec.visual.map.haze = 0.6


def _materials(spec: mujoco.MjSpec) -> None:
    tiles = spec.add_texture(name="tiles", type=mujoco.mjtTexture.mjTEXTURE_2D, width=512, height=512)
    tiles.builtin, tiles.mark = mujoco.mjtBuiltin.mjBUILTIN_FLAT, mujoco.mjtMark.mjMARK_EDGE
    tiles.rgb1, tiles.markrgb = (0.71, 0.73, 0.75), (0.66, 0.68, 0.70)
    floor = spec.add_material(name="floor", texuniform=True, texrepeat=(1.6, 1.6), specular=0.0)
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    spec.add_material(name="bench", rgba=BENCH, specular=0.15, shininess=0.2)
    spec.add_material(name="metal", specular=0.55, shininess=0.45)


def _bench(spec: mujoco.MjSpec) -> None:
    """A bench under the table plate, a frame of profiles, and the arm's mounting plate."""
    table = spec.geom("table")
    table.material, table.rgba = "bench", BENCH
    center, half = np.array(table.pos), np.array(table.size[:3])
    low, inset = center[2] - half[2], 0.045
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = center[:2] + (half[:2] - inset) * (sx, sy)
            height = (low - FLOOR_Z) / 2
            _look(spec.worldbody, "box", (x, y, low - height), (0.022, 0.022, height), PROFILE)
    for side in (-1, 1):
        rail_y, rail_x = center[1] + side * (half[1] - inset), center[0] + side * (half[0] - inset)
        _look(spec.worldbody, "box", (center[0], rail_y, low - 0.024), (half[0] - inset, 0.02, 0.022), PROFILE)
        _look(spec.worldbody, "box", (rail_x, center[1], low - 0.024), (0.02, half[1] - inset, 0.022), PROFILE)
    top = center[2] + half[2]
    _look(spec.worldbody, "box", (0, 0, top + 0.006), (0.11, 0.11, 0.006), STEEL)
    for sx in (-1, 1):
        for sy in (-1, 1):
            _look(spec.worldbody, "cylinder", (0.09 * sx, 0.09 * sy, top + 0.014), (0.007, 0.004, 0), DARK)


def _keep_out(spec: mujoco.MjSpec, zone) -> None:
    """Show the zone translucent, and what stands in it as a toggle clamp on the table."""
    zone.rgba = KEEP_OUT
    _edges(spec.worldbody, np.array(zone.pos), np.array(zone.size[:3]))
    solid = spec.geom(zone.name.replace(KEEP_OUT_NAME, SOLID_NAME, 1))
    solid.group = 3
    table = spec.geom("table")
    (x, y, _), (half_x, half_y, half_z) = solid.pos, solid.size[:3]
    ground, top = table.pos[2] + table.size[2], solid.pos[2] + half_z
    world = spec.worldbody
    _look(world, "box", (x, y, ground + 0.006), (half_x, half_y, 0.006), DARK)
    post = (top - ground) * 0.36
    _look(world, "box", (x - half_x * 0.45, y, ground + post), (half_x * 0.18, half_y * 0.5, post), STEEL)
    arm_z = ground + 2 * post
    _look(world, "box", (x + half_x * 0.15, y, arm_z), (half_x * 0.75, half_y * 0.22, 0.007), BRIGHT)
    _look(world, "cylinder", (x + half_x * 0.75, y, arm_z - 0.018), (0.006, 0.022, 0), STEEL)
    _look(world, "cylinder", (x + half_x * 0.75, y, arm_z - 0.042), (0.011, 0.006, 0), DARK)
    handle = (x - half_x * 0.45, y, arm_z, x - half_x * 0.75, y, top)
    grip = world.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=handle, size=(0.010, 0, 0), rgba=RED)
    grip.contype = grip.conaffinity = 0


def _edges(body, center: np.ndarray, half: np.ndarray, color: Color = KEEP_OUT) -> None:
    for axis in range(3):
        one, two = (a for a in range(3) if a != axis)
        for s, t in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            at, size = center.copy(), np.full(3, 0.0007)
            at[one] += s * half[one]
            at[two] += t * half[two]
            size[axis] = half[axis]
            _look(body, "box", at, size, (*color[:3], 0.8))


def _look(body, shape: str, pos, size, rgba: Color) -> None:
    """Of metal, for the eye."""
    look(body, {"box": BOX, "cylinder": CYLINDER}[shape], pos, size, rgba=rgba).material = "metal"
