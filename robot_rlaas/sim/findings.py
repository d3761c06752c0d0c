"""What the checks of all kinds of cells share."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.sim.model import Workcell

REACH_TOLERANCE = 1e-4  # of position in m and orientation in rad
TILT_DEG = 5.0
PENETRATION_M = 1e-4


class Finding(NamedTuple):
    """One thing that was checked and holds."""

    what: str
    figure: str


def range_words(cell: CellSpec) -> str:
    """What a joint must not leave."""
    return "its range less the joint margin" if cell.requirements.joint_margin else "its range"


def upright(cell: CellSpec, workcell: Workcell) -> None:
    """The tool starts pointing down.

    Raises:
        InputError: if it does not.
    """
    tool = tool_pose(workcell.chain, np.deg2rad(np.array(cell.robot.home_deg))[None])
    tilt = float(np.rad2deg(np.arccos(np.clip(-tool.R[0, 2, 2], -1, 1))))
    if tilt > TILT_DEG:
        raise InputError(
            f"robot.home_deg is {list(cell.robot.home_deg)}: the tool starts tilted by {tilt:.1f} deg; allowed are "
            f"{TILT_DEG:g} deg or less",
            key="robot.home_deg",
            fix="choose a home pose with the tool pointing down",
        )


def enough_time(cell: CellSpec, way_mm: float, points_mm: np.ndarray) -> Finding:
    """The cycle time has room for a way at the largest step of the tool, and slower where a speed zone asks for that.

    Args:
        cell: what is required.
        way_mm: how long the way is at the least.
        points_mm: (p, 3) what the tool reaches on it, one after the other.

    Raises:
        InputError: if the way alone takes longer.
    """
    speed, limit = cell.control.step_mm * cell.control.rate_hz, cell.requirements.cycle_time_s.limit
    slow_s = _slow_s(cell, points_mm, speed)
    shortest = way_mm / speed + slow_s
    zones = f" and slower in requirements.speed_zones, {slow_s:.1f} s more" if slow_s else ""
    if shortest > limit:
        raise InputError(
            f"requirements.cycle_time_s.limit is {limit} s, but the way alone takes {shortest:.1f} s at "
            f"{speed:.0f} mm/s (control.step_mm times control.rate_hz){zones}",
            key="requirements.cycle_time_s.limit",
            fix="allow more time or larger steps" + (", or a faster or smaller zone" if slow_s else ""),
        )
    return Finding("the cycle time can be met", f"the way alone takes {shortest:.1f} s of {limit:g} s")


def _slow_s(cell: CellSpec, points_mm: np.ndarray, speed_mm_s: float) -> float:
    """How much longer a way takes, at the least, because its points lie in speed zones.

    Between two points in a zone the tool either stays inside, slow all the way between them, or leaves it and comes
    back by the shortest ways out and in.
    """
    zones, most = cell.requirements.speed_zones, np.zeros(len(points_mm) - 1)
    way_mm = np.linalg.norm(np.diff(points_mm, axis=0), axis=1)
    for zone in zones.zones if zones else ():
        inside_mm = np.array(zone.size_mm) / 2 - np.abs(points_mm - np.array(zone.center_mm))
        depth_mm = np.maximum(inside_mm.min(axis=1), 0.0)
        more_s_mm = max(1.0 / zone.speed_mm_s - 1.0 / speed_mm_s, 0.0)
        most = np.maximum(most, np.minimum(depth_mm[:-1] + depth_mm[1:], way_mm) * more_s_mm)
    return float(most.sum())
