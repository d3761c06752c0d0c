"""What can be proven of a cell before any training."""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.cell.strict_yaml import line_of
from robot_rlaas.control.kinematics import Pose, solve, tool_pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell, build
from robot_rlaas.sim.variation import draw

REACH_TOLERANCE = 1e-4  # of position in m and orientation in rad
PENETRATION_M = 1e-4
SAMPLES = 64


class Finding(NamedTuple):
    """One thing that was checked and holds."""

    what: str
    figure: str


def check(cell: CellSpec, path: Path) -> tuple[Workcell, list[Finding]]:
    """Compile the cell and check what training relies on.

    Args:
        cell: from `path`.
        path: its file, for the line numbers of errors.

    Raises:
        InputError: at the first thing that does not hold, with file, line, value and what to change.
    """
    workcell = build(cell)
    model = workcell.model
    findings = [Finding("the model compiles", f"{model.nbody} bodies, {model.ngeom} geoms, {model.nu} actuators")]
    findings.append(_reach(cell, path, workcell))
    findings.append(_start(cell, path, workcell))
    findings.append(_time(cell, path))
    return workcell, findings


def _corners(cell: CellSpec) -> np.ndarray:
    """(8, 3): x, y, yaw of the plate at the corners of its variation, m and rad."""
    v = cell.variation
    xy, yaw = np.array(v.plate_xy_mm) / 1000, np.deg2rad(v.plate_yaw_deg)
    return np.array(list(product(xy, xy, yaw)))


def _reach(cell: CellSpec, path: Path, workcell: Workcell) -> Finding:
    """Above the hole and at full depth, at every corner of the plate's variation."""
    corners = _corners(cell)
    top = np.array(cell.task.plate.top_mm) / 1000
    home = np.deg2rad(np.array(cell.robot.home_deg))
    R = about_z(corners[:, 2]) @ tool_pose(workcell.chain, home[None]).R
    margin = np.inf
    for height in (cell.task.start_height_mm / 1000, -cell.task.depth_mm / 1000):
        p = top + np.concatenate([corners[:, :2], np.full((len(corners), 1), height)], axis=1)
        q, error = solve(workcell.chain, Pose(R, p), np.broadcast_to(home, (len(corners), len(home))))
        limits = workcell.envelope
        outside = (q < limits.lower_rad).any(1) | (q > limits.upper_rad).any(1)
        bad = np.flatnonzero(
            (error > REACH_TOLERANCE) | outside | inside_keep_out(limits, tool_pose(workcell.chain, q))
        )
        if len(bad):
            x, y = corners[bad[0], :2] * 1000
            raise InputError(
                f"task.plate.top_mm is {list(cell.task.plate.top_mm)}: with the plate displaced by x {x:+.0f} mm, "
                f"y {y:+.0f} mm the arm cannot take the tool to {height * 1000:+.0f} mm above it "
                f"(misses by {error[bad[0]] * 1000:.1f} mm, or joint limits or a keep-out box are in the way)",
                file=path,
                line=line_of(path, "task", "plate", "top_mm"),
                fix="move the plate, narrow variation.plate_xy_mm, or change robot.home_deg",
            )
        room = np.minimum(q - limits.lower_rad, limits.upper_rad - q).min()
        margin = min(margin, float(room))
    return Finding(
        "every plate pose is reachable", f"{len(corners)} corners, {np.rad2deg(margin):.0f} deg joint margin"
    )


def _start(cell: CellSpec, path: Path, workcell: Workcell) -> Finding:
    """Nothing penetrates at the start, and the tool is above the plate."""
    home = np.deg2rad(np.array(cell.robot.home_deg))
    starts = draw(cell, Seeds(0, Space.SHOW), np.arange(SAMPLES))
    backend = CpuBackend(workcell, cell, SAMPLES)
    backend.reset(np.arange(SAMPLES), starts, np.broadcast_to(home, (SAMPLES, len(home))))
    line = line_of(path, "robot", "home_deg")
    for i in range(SAMPLES):
        data = backend.batch.get_data(i)
        mujoco.mj_forward(backend.batch.get_model(i), data)
        deepest = float(min(data.contact.dist, default=0.0))
        if deepest < -PENETRATION_M:
            raise InputError(
                f"robot.home_deg is {list(cell.robot.home_deg)}: at the start the tool is {-deepest * 1000:.1f} mm "
                "inside a part of the cell",
                file=path,
                line=line,
                fix="move robot.home_deg away from it",
            )
    tool = tool_pose(workcell.chain, home[None])
    height = float(tool.p[0, 2] - cell.task.plate.top_mm[2] / 1000)
    tilt = float(np.rad2deg(np.arccos(np.clip(-tool.R[0, 2, 2], -1, 1))))
    if height < 0.005 or tilt > 5:
        raise InputError(
            f"robot.home_deg is {list(cell.robot.home_deg)}: the peg starts {height * 1000:.0f} mm above the plate, "
            f"tilted by {tilt:.1f} deg; allowed are 5 mm or more and 5 deg or less",
            file=path,
            line=line,
            fix="choose a home pose above the plate with the tool pointing down",
        )
    return Finding("nothing touches at the start", f"{SAMPLES} starts, {height * 1000:.0f} mm above the plate")


def _time(cell: CellSpec, path: Path) -> Finding:
    """A lower bound on the cycle time from the largest step of the tool."""
    speed = cell.control.step_mm * cell.control.rate_hz
    reach = float(np.abs(cell.variation.plate_xy_mm).max()) * np.sqrt(2)
    shortest = float(np.hypot(reach, cell.task.start_height_mm + cell.task.depth_mm)) / speed
    limit = cell.requirements.cycle_time_s.limit
    if shortest > limit:
        raise InputError(
            f"requirements.cycle_time_s.limit is {limit} s, but the way alone takes {shortest:.1f} s at "
            f"{speed:.0f} mm/s (control.step_mm times control.rate_hz)",
            file=path,
            line=line_of(path, "requirements", "cycle_time_s"),
            fix="allow more time or larger steps",
        )
    return Finding("the cycle time can be met", f"the way alone takes {shortest:.1f} s of {limit:g} s")
