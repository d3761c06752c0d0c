"""Which simulators there are."""

import re

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.painting import GlPainter
from robot_rlaas.sim.seeing import SeeingBackend

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


def seeing_backend_of(simulator: str, workcell: Workcell, cell: CellSpec, nsim: int, threads: int = 0) -> SeeingBackend:
    """The backend of this name, taking the pictures of the cell's cameras; enter it before its first reset.

    Args:
        simulator, workcell, cell, nsim: as of `backend_of`. MuJoCo Warp draws on its own device.
        threads: of the CPU's simulation and drawing; 0 takes all cores.

    Raises:
        InputError: as `backend_of`; and if the cell has no cameras.
    """
    if not cell.cameras:
        fix = "add `cameras` to its file, or ask for no pictures"
        raise InputError(f"the cell '{cell.name}' has no cameras", key="cameras", fix=fix)
    if simulator == CPU:
        drawn = GlPainter(cell, workcell, nsim, threads)
        return SeeingBackend(CpuBackend(workcell, cell, nsim, threads), drawn, cell)
    backend = backend_of(simulator, workcell, cell, nsim)
    from robot_rlaas.sim.warp_painting import WarpPainter

    return SeeingBackend(backend, WarpPainter(cell, workcell, nsim, simulator.partition(":")[2]), cell)
