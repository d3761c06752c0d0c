"""Which simulators there are."""

import re

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell

CPU = "cpu"


def backend_of(simulator: str, workcell: Workcell, cell: CellSpec, nsim: int) -> Backend:
    """The backend of this name, for `nsim` simulations.

    Args:
        simulator: "cpu", or MuJoCo Warp on one of its devices: "warp:cuda", "warp:cuda:1", "warp:cpu".
        workcell: from `sim.model.build`.
        cell: the cell it was built from.
        nsim: how many.

    Raises:
        InputError: if there is no such backend here, or it cannot simulate this cell. None stands in for another.
    """
    if simulator == CPU:
        return CpuBackend(workcell, cell, nsim)
    named = re.fullmatch(r"warp:(cpu|cuda(?::\d+)?)", simulator)
    if named is None:
        allowed = f"'{CPU}', 'warp:cuda', 'warp:cuda:1' and so on, and 'warp:cpu'"
        raise InputError(f"the simulator is '{simulator}'; allowed are {allowed}", fix=f"name '{CPU}'")
    try:
        from robot_rlaas.sim.warp import WarpBackend
    except ImportError as error:
        message = f"the simulator '{simulator}' needs MuJoCo Warp ({error})"
        raise InputError(message, fix=f"pip install 'robot_rlaas[warp]', or name '{CPU}'") from error
    return WarpBackend(workcell, cell, nsim, named[1])
