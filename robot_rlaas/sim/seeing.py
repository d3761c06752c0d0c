"""A simulator that also takes the pictures of the cell's cameras: at their rates, and as late as they arrive."""

from typing import Self

import numpy as np

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Backend, Physics, Poses, Snapshot, Spare
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.looks import looks_of
from robot_rlaas.sim.painting import Painter


class SeeingBackend:
    """Simulations of a cell with cameras. A context manager: it opens and closes its painter.

    The first pictures of an episode are there at its start: the arm has stood there for a while.

    Args:
        backend: simulates.
        painter: draws `backend`.
        cell: whose cameras see.

    Attributes:
        pictures: those that have arrived last, camera by camera (n, height, width, 3), uint8. Never overwritten:
            whoever keeps them keeps them as they are.
        final: the same before any simulation was reset since the last step: the last pictures of ended episodes.
    """

    def __init__(self, backend: Backend, painter: Painter, cell: CellSpec) -> None:
        self.nsim, self.substeps = backend.nsim, backend.substeps
        self.inner, self.painter, self._cell = backend, painter, cell
        self._steps, self._rows = np.zeros(self.nsim, int), np.arange(self.nsim)
        self._rolls = {name: _Roll(cell, name, self.nsim) for name in cell.cameras}
        self.pictures = self.final = {name: roll.seen(self._steps) for name, roll in self._rolls.items()}

    def __enter__(self) -> Self:
        self.painter.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.painter.__exit__(*error)

    def reset(self, ids: np.ndarray, start: Draw, q_rad: np.ndarray) -> Physics:
        """See `Backend.reset`."""
        physics = self.inner.reset(ids, start, q_rad)
        self._look_first(ids, start)
        return physics

    def spare(self, count: int) -> Spare:
        """See `Backend.spare`: nobody looks at what is only made ready."""
        return self.inner.spare(count)

    def adopt(self, ids: np.ndarray, snapshot: Snapshot) -> None:
        """See `Backend.adopt`."""
        self.inner.adopt(ids, snapshot)
        self._look_first(ids, snapshot.start)

    def _look_first(self, ids: np.ndarray, start: Draw) -> None:
        """Take the pictures that are there at the start of these simulations."""
        self._steps[ids] = 0
        self.painter.begin(ids, looks_of(self._cell, start.looks))
        first, pictures = self.painter.paint(self.inner.poses(), dict.fromkeys(self._rolls, ids)), {}
        for name, roll in self._rolls.items():
            roll.begin(ids, first[name])
            pictures[name] = self.pictures[name].copy()
            pictures[name][ids] = first[name]
        self.pictures = pictures

    def step(self, setpoints_rad: np.ndarray, opening: np.ndarray | None = None) -> Physics:
        """See `Backend.step`."""
        physics = self.inner.step(setpoints_rad, opening)
        self._steps += 1
        due = {name: self._rows[self._steps % roll.every == 0] for name, roll in self._rolls.items()}
        for name, taken in self.painter.paint(self.inner.poses(), due).items():
            self._rolls[name].take(due[name], self._steps[due[name]], taken)
        self.pictures = self.final = {name: roll.seen(self._steps) for name, roll in self._rolls.items()}
        return physics

    def poses(self) -> Poses:
        """See `Backend.poses`."""
        return self.inner.poses()


class _Roll:
    """The pictures of one camera that are on their way, the newest of every simulation included.

    A picture that is taken in period k * every stands in slot k, counted round.
    """

    def __init__(self, cell: CellSpec, name: str, nsim: int) -> None:
        camera = cell.cameras[name]
        self.every, self._late = camera.periods(cell.control.rate_hz)
        self._slots = -(-self._late // self.every) + 1
        width, height = camera.resolution_px
        self._taken = np.zeros((nsim, self._slots, height, width, 3), np.uint8)

    def begin(self, rows: np.ndarray, first: np.ndarray) -> None:
        """These simulations (m,) start with these pictures."""
        self._taken[rows] = first[:, None]

    def take(self, rows: np.ndarray, periods: np.ndarray, taken: np.ndarray) -> None:
        """Pictures of these simulations (m,), so many control periods (m,) after their starts."""
        self._taken[rows, periods // self.every % self._slots] = taken

    def seen(self, periods: np.ndarray) -> np.ndarray:
        """The pictures that have arrived by now, so many control periods (n,) after the start."""
        arrived = np.maximum(periods - self._late, 0) // self.every
        return self._taken[np.arange(len(self._taken)), arrived % self._slots]
