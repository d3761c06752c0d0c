"""What can be proven of a cell before any training."""

from itertools import product
from pathlib import Path

import mujoco
import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import naming_lines
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.control.safety import Envelope, inside_keep_out
from robot_rlaas.sim.check_cameras import check_cameras
from robot_rlaas.sim.check_handling import check_doors, check_passing, check_reach, check_time
from robot_rlaas.sim.check_obstacles import clear_of_obstacles, meshes_found
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.findings import PENETRATION_M, REACH_TOLERANCE, Finding, enough_time, range_words, upright
from robot_rlaas.sim.geometry import OBSTACLE_NAME
from robot_rlaas.sim.model import Workcell, build
from robot_rlaas.sim.surfaces import arm_links
from robot_rlaas.sim.variation import draw

SAMPLES = 64
ABOVE_M = 0.005


def check(cell: CellSpec, path: Path) -> tuple[Workcell, list[Finding]]:
    """Compile the cell and check what training relies on.

    Args:
        cell: from `path`.
        path: its file, for the line numbers of errors.

    Raises:
        InputError: at the first thing that does not hold, with file, line, value and what to change.
    """
    with naming_lines(path):
        workcell = build(cell)
        model = workcell.model
        compiled = f"{model.nbody} bodies, {model.ngeom} geoms, {model.nu} actuators"
        _home(cell, workcell)
        upright(cell, workcell)
        kind = _handling if isinstance(cell.task, HandlingTask) else _insertion
        found = [*meshes_found(cell), *kind(cell, workcell), *check_cameras(cell, workcell)]
        return workcell, [Finding("the model compiles", compiled), *found]


def _insertion(cell: CellSpec, workcell: Workcell) -> list[Finding]:
    reach, apart = _reach(cell, workcell), _nothing_touches(cell, workcell)
    height_m = _above_plate(cell, workcell)
    apart = apart._replace(figure=f"{apart.figure}, {height_m * 1000:.0f} mm above the plate")
    return [reach, apart, _time(cell)]


def _handling(cell: CellSpec, workcell: Workcell) -> list[Finding]:
    reach = check_reach(cell, workcell)
    check_doors(cell, workcell)
    passing = check_passing(cell, workcell)
    return [reach, *passing, _nothing_touches(cell, workcell), check_time(cell)]


def _home(cell: CellSpec, workcell: Workcell) -> None:
    """The arm can stand where it starts."""
    home, limits = np.deg2rad(np.array(cell.robot.home_deg)), workcell.envelope
    margin = cell.requirements.joint_margin
    if margin and (limits.lower_rad >= limits.upper_rad).any():
        joint = workcell.chain.joints[np.argmin(limits.upper_rad - limits.lower_rad)]
        raise InputError(
            f"requirements.joint_margin.margin_deg is {margin.margin_deg:g}: it leaves nothing of the range of {joint}",
            key="requirements.joint_margin.margin_deg",
            fix="make it smaller",
        )
    for i in np.flatnonzero((home < limits.lower_rad) | (home > limits.upper_rad)):
        low, high = np.rad2deg([limits.lower_rad[i], limits.upper_rad[i]])
        joint, kept = workcell.chain.joints[i], " with the joint margin kept" if margin else ""
        raise InputError(
            f"robot.home_deg is {list(cell.robot.home_deg)}: {joint} can turn from {low:.0f} to {high:.0f} deg{kept}",
            key="robot.home_deg",
            fix="choose a home pose within the joint limits" + (", or a smaller joint margin" if margin else ""),
        )


def _corners(cell: CellSpec) -> np.ndarray:
    """(8, 3): x, y, yaw of the plate at the corners of its variation, m and rad."""
    v = cell.variation
    xy, yaw = np.array(v.plate_xy_mm) / 1000, np.deg2rad(v.plate_yaw_deg)
    return np.array(list(product(xy, xy, yaw)))


def _reach(cell: CellSpec, workcell: Workcell) -> Finding:
    """Above the hole and at full depth, at every corner of the plate's variation; no obstacle is in the way there."""
    corners = _corners(cell)
    top = np.array(cell.task.plate.top_mm) / 1000
    home = np.deg2rad(np.array(cell.robot.home_deg))
    turn, flat = about_z(corners[:, 2]), np.concatenate([corners[:, :2], np.zeros((len(corners), 1))], axis=1)
    R, plate = turn @ tool_pose(workcell.chain, home[None]).R, Pose(turn, top + flat)
    margin = np.inf
    for height in (cell.task.start_height_mm / 1000, -cell.task.depth_mm / 1000):
        p = plate.p + np.array([0, 0, height])
        q, error = solve(workcell.chain, Pose(R, p), np.broadcast_to(home, (len(corners), len(home))))
        limits = workcell.envelope
        outside = (q < limits.lower_rad) | (q > limits.upper_rad)
        blocked = inside_keep_out(limits, tool_pose(workcell.chain, q))

        def where(i: int, height: float = height) -> str:
            x, y = corners[i, :2] * 1000
            displaced = f"with the plate displaced by x {x:+.0f} mm, y {y:+.0f} mm"
            return f"{displaced} and the tool {height * 1000:+.0f} mm above"

        for i in np.flatnonzero((error > REACH_TOLERANCE) | outside.any(1) | blocked):
            if error[i] <= REACH_TOLERANCE and not outside[i].any():
                raise _in_the_way(cell, limits, tool_pose(workcell.chain, q[i : i + 1]), where(i))
            joints = [workcell.chain.joints[j] for j in np.flatnonzero(outside[i])]
            why = f"{', '.join(joints)} would leave {range_words(cell)}" if joints else "it is out of reach"
            raise InputError(
                f"task.plate.top_mm is {list(cell.task.plate.top_mm)}: {where(i)}, {why}",
                key="task.plate.top_mm",
                fix="move the plate, narrow variation.plate_xy_mm, or change robot.home_deg",
            )
        clear_of_obstacles(cell, workcell, q, where, plate)
        room = np.minimum(q - limits.lower_rad, limits.upper_rad - q).min()
        margin = min(margin, float(room))
    return Finding(
        "every plate pose is reachable", f"{len(corners)} corners, {np.rad2deg(margin):.0f} deg joint margin"
    )


def _in_the_way(cell: CellSpec, limits: Envelope, tool: Pose, where: str) -> InputError:
    """Which keep-out box the tool is in."""
    corners = zip(limits.keep_out_min_m, limits.keep_out_max_m)
    boxes = (limits._replace(keep_out_min_m=low[None], keep_out_max_m=high[None]) for low, high in corners)
    i = next(i for i, box in enumerate(boxes) if inside_keep_out(box, tool).any())
    return InputError(
        f"keep_out '{cell.keep_out[i].name}' is in the way: {where}, the tool is inside it",
        key=f"keep_out.{i}",
        fix="make the box smaller, or move it or the plate",
    )


def _nothing_touches(cell: CellSpec, workcell: Workcell) -> Finding:
    """Nothing penetrates anything at the start."""
    home = np.deg2rad(np.array(cell.robot.home_deg))
    starts = draw(cell, Seeds(0, Space.SHOW), np.arange(SAMPLES))
    backend = CpuBackend(workcell, cell, SAMPLES)
    backend.reset(np.arange(SAMPLES), starts, np.broadcast_to(home, (SAMPLES, len(home))))
    for i in range(SAMPLES):
        data = backend.batch.get_data(i)
        mujoco.mj_forward(backend.batch.get_model(i), data)
        deepest = float(min(data.contact.dist, default=0.0))
        if deepest < -PENETRATION_M:
            raise _inside(cell, workcell, data.contact, -deepest)
    return Finding("nothing touches at the start", f"{SAMPLES} starts")


def _inside(cell: CellSpec, workcell: Workcell, contact, deep_m: float) -> InputError:
    """What is inside what: tool or link in a part of the cell, or one thing in the cell in another."""
    model = workcell.model
    names = [model.body(model.geom_bodyid[geom]).name for geom in contact.geom[np.argmin(contact.dist)]]
    links = [name for name in names if name in arm_links(workcell.spec)]
    if links:  # it collides because it is named
        return InputError(
            f"requirements.untouched names '{links[0]}', which at the start is {deep_m * 1000:.1f} mm inside something",
            key="requirements.untouched.surfaces",
            fix="take it out, or move robot.home_deg away from it",
        )
    meshes = [f"{OBSTACLE_NAME}{obstacle.name}" for obstacle in cell.obstacles]
    for name in (name for name in names if name in meshes):
        other = next(iter(n for n in names if n != name), name)
        what = "the tool" if other.startswith("tool/") or other == "part" else f"'{other}'"
        return InputError(
            f"at the start {what} is {deep_m * 1000:.1f} mm inside the obstacle '{name.removeprefix(OBSTACLE_NAME)}'",
            key=f"obstacles.{meshes.index(name)}.at_mm",
            fix="move it; if its mesh has room there, make its mesh_tolerance_mm smaller",
        )
    if any(name.startswith("tool/") or name == "part" for name in names):
        return InputError(
            f"robot.home_deg is {list(cell.robot.home_deg)}: at the start the tool is {deep_m * 1000:.1f} mm "
            "inside a part of the cell",
            key="robot.home_deg",
            fix="move robot.home_deg away from it",
        )
    return InputError(
        f"at the start '{names[0]}' is {deep_m * 1000:.1f} mm inside '{names[1]}'",
        key="task.fixtures",
        fix="leave more room round where the parts start",
    )


def _above_plate(cell: CellSpec, workcell: Workcell) -> float:
    """How far above the plate the tool starts, m."""
    tool = tool_pose(workcell.chain, np.deg2rad(np.array(cell.robot.home_deg))[None])
    height = float(tool.p[0, 2] - cell.task.plate.top_mm[2] / 1000)
    if height < ABOVE_M:
        raise InputError(
            f"robot.home_deg is {list(cell.robot.home_deg)}: the part starts {height * 1000:.0f} mm above the plate; "
            f"allowed are {ABOVE_M * 1000:.0f} mm or more",
            key="robot.home_deg",
            fix="choose a home pose above the plate",
        )
    return height


def _time(cell: CellSpec) -> Finding:
    """A lower bound on the cycle time from the largest step of the tool."""
    reach = float(np.abs(cell.variation.plate_xy_mm).max()) * np.sqrt(2)
    x, y, z = cell.task.plate.top_mm
    ends = np.array([(x, y, z + cell.task.start_height_mm), (x, y, z - cell.task.depth_mm)])
    return enough_time(cell, float(np.hypot(reach, ends[0, 2] - ends[1, 2])), ends)
