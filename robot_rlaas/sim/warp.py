"""The second backend: MuJoCo Warp, on a CUDA device, or on Warp's CPU device, slowly, to test the same code.

An episode's start is made by the CPU backend and uploaded, so that on both backends it is the same numbers. From there
on everything runs on the device, in single precision. Only `sim.backends.backend_of` imports this module: Warp and its
kernels take seconds to load.

Contacts are found as MuJoCo finds them, as far as single precision goes. By default, MuJoCo Warp looks for those of two
boxes by the expanding polytope algorithm, which takes another normal where a part meets an edge: in 14 % of the states
in which a peg touches its plate, and in 31 of 2,000 episodes that cost the scripted expert its success. MuJoCo's test
of separating axes, which it has too, differs from the CPU's in 1 of 360 states. Round shapes have only that algorithm:
with its tolerance of 1 um it finds fewer contacts or none in 12 to 19 % of states, most of them shallow, and with
0.1 um in 5 to 12 %.
"""

import dataclasses
from typing import Any, NamedTuple

import mujoco_warp as mjw
import numpy as np
import warp as wp
from mujoco.batch import MODEL_FIELDS

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Physics, Poses, Snapshot, Spare
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import Workcell

wp.config.log_level = wp.LOG_WARNING  # it greets on standard output, which belongs to the commands

# Room per simulation. The shipped cells' experts use up to 20 contacts and 68 constraint rows.
CONTACTS, CONSTRAINTS = 64, 192
CCD_TOLERANCE_M = 1e-7
STATE = ("time", "qpos", "qvel", "act", "history", "qacc_warmstart", "ctrl", "mocap_pos", "mocap_quat")
DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0")
PICTURES = ("cam_pos0", "cam_poscom0", "cam_mat0", "light_pos0", "light_poscom0", "light_dir0")
SHORTCUTS = ("body_sameframe", "dof_M0")  # MuJoCo's own: MuJoCo Warp 4.0 computes without them
TOLD = ~(mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS)  # those are limits of the CPU's solver too
EPA_FULL = mjw.OverflowType.EPA_HORIZON


class Tensors(NamedTuple):
    """Torch tensors that share the device's memory, float32: they change with every step.

    Attributes:
        qpos: (n, nq) after the last control period.
        qvel: (n, nv).
        sensordata: (substeps, n, nsensordata) of its time steps: force, N, and torque, N m, on the wrist, net contact
            force, N, and the positions of the drives.
    """

    qpos: Any
    qvel: Any
    sensordata: Any


class WarpBackend:
    """`nsim` simulations of a workcell on a Warp device.

    All launches of a control period are captured as one graph, on CUDA a CUDA graph, in the first period, and replayed
    from then on. The same starts and setpoints give the same bits again on the same device.

    Args:
        workcell: from `sim.model.build`.
        cell: the cell it was built from.
        nsim: how many.
        device: as Warp names it: "cpu", "cuda", "cuda:1".

    Attributes:
        inexact: control periods of one simulation in which the contact of something else than two boxes may have been
            missed, because a buffer of MuJoCo Warp's, whose size is fixed, was full.

    Raises:
        InputError: where the cell needs what MuJoCo Warp cannot do.
    """

    def __init__(self, workcell: Workcell, cell: CellSpec, nsim: int, device: str = "cpu") -> None:
        self.nsim, self.inexact, self._device = nsim, 0, _device(device)
        self._cell_name, self._host = cell.name, CpuBackend(workcell, cell, nsim)
        self.substeps = self._host.substeps
        drawn = set(self._host.drawn)
        self._per_simulation = sorted(drawn | set(DERIVED))
        self._refuse(drawn - _readable())
        mj = workcell.model
        with wp.ScopedDevice(self._device):
            try:
                self._model = mjw.put_model(mj, batch_sizes=dict.fromkeys(self._per_simulation, nsim))
                self._data = mjw.make_data(mj, nworld=nsim, nconmax=CONTACTS, njmax=CONSTRAINTS)
            except (NotImplementedError, ValueError) as error:
                raise self._refusal(str(error)) from error
            self._model.opt.warn_overflow = 0  # `step` tells it
            self._model.opt.deterministic = True
            self._model.opt.disableflags |= mjw.DisableBit.NATIVECCD  # this and the next: see the module
            self._model.opt.ccd_tolerance.fill_(CCD_TOLERANCE_M)
            self._controls: Any = wp.zeros((self.substeps, nsim, mj.nu), dtype=float)
            self._sensordata: Any = wp.zeros((self.substeps, nsim, mj.nsensordata), dtype=float)
            self._rows: dict[str, Any] = {name: _as_rows(getattr(self._data, name), nsim) for name in STATE}
            self._rows |= {name: _as_rows(getattr(self._model, name), nsim) for name in self._per_simulation}
        self._graph: Any = None

    def reset(self, ids: np.ndarray, start: Draw, q_rad: np.ndarray) -> Physics:
        """See `Backend.reset`."""
        physics = self._host.reset(ids, start, q_rad)
        self._upload(ids)
        return physics

    def spare(self, count: int) -> Spare:
        """See `Backend.spare`."""
        return self._host.spare(count)

    def adopt(self, ids: np.ndarray, snapshot: Snapshot) -> None:
        """See `Backend.adopt`."""
        self._host.adopt(ids, snapshot)
        self._upload(ids)

    def _upload(self, ids: np.ndarray) -> None:
        """What the host has of these simulations, to the device."""
        batch = self._host.batch
        known = {*self._per_simulation, *PICTURES, *SHORTCUTS}
        self._refuse({name for name in MODEL_FIELDS if batch.expanded(name) is not None} - known)
        with wp.ScopedDevice(self._device):
            chosen = wp.array(ids, dtype=int)
            for name, rows in self._rows.items():
                values = batch.bind(name) if name in STATE else batch.expanded(name)
                if values is not None and values.size:
                    wp.copy(rows[chosen], wp.array(values[ids].reshape(len(ids), -1), dtype=float))

    def poses(self) -> Poses:
        """See `Backend.poses`."""
        return self._host.poses()._replace(qpos=self._data.qpos.numpy().astype(float))

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """See `Backend.step`.

        Raises:
            StageError: if there were more contacts or constraints than there is room for.
        """
        with wp.ScopedDevice(self._device):
            self._controls.assign(self._host.controls(setpoints_rad, opening).swapaxes(0, 1))
            if self._graph is None:
                self._period()  # as it is: it loads the kernels
                self._graph = self._captured()
            else:
                wp.capture_launch(self._graph)
            sensordata, q = self._sensordata.numpy(), self._data.qpos.numpy()
            self._count(self._data.overflow.numpy())
        return self._host.physics(sensordata.swapaxes(0, 1).astype(float), q.astype(float))

    @property
    def tensors(self) -> Tensors:
        """What training on the device needs, without a copy."""
        return Tensors(*(wp.to_torch(array) for array in (self._data.qpos, self._data.qvel, self._sensordata)))

    def _count(self, flags: np.ndarray) -> None:
        """What the period's flags (n,) say, which then are cleared."""
        bits = int(np.bitwise_or.reduce(flags)) & TOLD
        if bits & ~EPA_FULL:
            raise StageError(
                f"the cell '{self._cell_name}' overflows MuJoCo Warp's buffers of {CONTACTS} contacts and "
                f"{CONSTRAINTS} constraint rows per simulation: {mjw.OverflowType(bits)!r}\n"
                "  fix: raise CONTACTS and CONSTRAINTS in robot_rlaas/sim/warp.py, or simulate on 'cpu'"
            )
        if bits:
            self.inexact += int(np.count_nonzero(flags & EPA_FULL))
            self._data.overflow.zero_()

    def _period(self) -> None:
        """Launch one control period."""
        for k in range(self.substeps):
            wp.copy(self._data.ctrl, self._controls[k])
            mjw.step(self._model, self._data)
            wp.copy(self._sensordata[k], self._data.sensordata)

    def _captured(self) -> Any:
        """The graph of one control period; capturing runs nothing."""
        with wp.ScopedCapture() as capture:
            self._period()
        return capture.graph

    def _refuse(self, fields: set[str]) -> None:
        if fields:
            raise self._refusal(f"it cannot vary {', '.join(sorted(fields))} from simulation to simulation")

    def _refusal(self, why: str) -> InputError:
        return InputError(f"MuJoCo Warp cannot simulate the cell '{self._cell_name}': {why}", fix="simulate on 'cpu'")


def _device(name: str) -> Any:
    try:
        return wp.get_device(name)
    except (ValueError, RuntimeError) as error:
        there = ", ".join(device.alias for device in wp.get_devices())
        raise InputError(
            f"Warp finds no device '{name}' on this computer; it finds {there}", fix="simulate on 'cpu'"
        ) from error


def _readable() -> set[str]:
    """The fields that MuJoCo Warp reads per simulation."""
    return {f.name for f in dataclasses.fields(mjw.Model) if getattr(f.type, "shape", (0,))[0] == "*"}


def _as_rows(array: Any, nsim: int) -> Any:
    """The same memory as floats (nsim, size)."""
    size = array.size * wp.types.type_size(array.dtype) // nsim
    return wp.array(ptr=array.ptr, dtype=float, shape=(nsim, size), device=array.device)
