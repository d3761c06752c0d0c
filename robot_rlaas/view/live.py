"""An arm on a page as it is measured, and as a ghost where it is wanted."""

from typing import Any

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.insertion.task import task_frame
from robot_rlaas.sim.measured import NOWHERE, Measured
from robot_rlaas.sim.model import build
from robot_rlaas.view.scene import Bodies, add_shape

AMBER = (0.95, 0.60, 0.08, 0.40)
APART_RAD = 0.01  # nearer to the arm than that, the ghost would only blur it


class LiveArm:
    """A cell on a page that is told where its arm is, and what else is known.

    Args:
        server: viser's.
        cell: what is shown.

    Attributes:
        workcell, backend, frame: see `Shown`. Whoever sees the plate sets the frame; whoever sees parts, or hears of
            vises, doors and gripper, tells `backend`.
    """

    def __init__(self, server: Any, cell: CellSpec) -> None:
        self.workcell, self._server = build(cell), server
        self.backend, self._wanted = Measured(cell, self.workcell), Measured(cell, self.workcell)
        self._handles = isinstance(cell.task, HandlingTask)
        self.frame = NOWHERE if self._handles else task_frame(cell, np.zeros((1, 2)), np.zeros(1))
        self._bodies, self._apart = Bodies(server, self), False
        home = np.deg2rad(np.array(cell.robot.home_deg))
        places = [self._poses(home + turn)[0].copy() for turn in (0.0, 0.1)]
        moved = {i for i in range(len(places[0])) if not np.allclose(places[0][i], places[1][i])}
        self._ghosts = {i: server.scene.add_frame(f"/wanted_{i}", show_axes=False, visible=False) for i in moved}
        for n, shape in enumerate(self._bodies.scene.shapes):
            if shape.body in moved:
                add_shape(server, f"/wanted_{shape.body}/shape_{n}", shape._replace(rgba=AMBER))
        self.show(home, None)

    def show(self, at_rad: np.ndarray | None, wanted_rad: np.ndarray | None) -> None:
        """Move the arm to where it is (k,), and the ghost to where it is wanted if that is elsewhere. None: unknown."""
        if at_rad is None:
            return
        self.backend.put(at_rad, None if self._handles else self.frame)
        self._bodies.show()
        apart = wanted_rad is not None and bool(np.abs(wanted_rad - at_rad).max() > APART_RAD)
        with self._server.atomic():
            if apart and wanted_rad is not None:
                positions, turns = self._poses(wanted_rad)
                for i, ghost in self._ghosts.items():
                    ghost.position, ghost.wxyz = positions[i], turns[i]
            if apart is not self._apart:
                self._apart = apart
                for ghost in self._ghosts.values():
                    ghost.visible = apart

    def _poses(self, q_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._wanted.put(q_rad, None if self._handles else self.frame)
        return self._bodies.scene.poses(self._wanted)
