"""What the checks of all kinds of cells share."""

from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.sim.model import Workcell

REACH_TOLERANCE = 1e-4  # of position in m and orientation in rad
TILT_DEG = 5.0


class Finding(NamedTuple):
    """One thing that was checked and holds."""

    what: str
    figure: str


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


def enough_time(cell: CellSpec, way_mm: float) -> Finding:
    """The cycle time has room for a way at the largest step of the tool.

    Raises:
        InputError: if that alone takes longer.
    """
    speed = cell.control.step_mm * cell.control.rate_hz
    shortest, limit = way_mm / speed, cell.requirements.cycle_time_s.limit
    if shortest > limit:
        raise InputError(
            f"requirements.cycle_time_s.limit is {limit} s, but the way alone takes {shortest:.1f} s at "
            f"{speed:.0f} mm/s (control.step_mm times control.rate_hz)",
            key="requirements.cycle_time_s.limit",
            fix="allow more time or larger steps",
        )
    return Finding("the cycle time can be met", f"the way alone takes {shortest:.1f} s of {limit:g} s")
