"""The handling task in simulation: what sensors make of the truth, the robot's account of that, and the judgement."""

from typing import Any

import numpy as np

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.handling.account import Account, Measured
from robot_rlaas.env.handling.camera import Camera
from robot_rlaas.env.handling.judge import Gates, Judge, seats_of, truth
from robot_rlaas.env.task import Look, View
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.starts import Flat, machines, scene

Array = Any


class Handling:
    """The handling task of a cell, for `count` episodes side by side.

    Two accounts are kept of the stage: what the robot can know, which is what the policy sees and vises act upon, and
    what is true, which is what is judged.
    """

    def __init__(self, cell: CellSpec, count: int) -> None:
        task = HandlingTask.of(cell)
        self._account = Account(cell, count)
        self.contract, self.frame = self._account.contract, self._account.frame
        self.stages, self.upright = (*task.labels, "done"), True
        self._cell, self._task, self._plan = cell, task, self._account.plan
        self._judge, self._gates = Judge(task, self._plan, cell.period_s), Gates(task)
        self._camera = Camera(task, count, cell.period_s)
        self._stage, self._lost = np.zeros(count, int), np.zeros(count, int)
        self._phase, self.machines = np.zeros((count, self._gates.count)), np.ones((count, len(task.moving)))
        seats = len(self._plan.seat_fixture)
        self._seats = Flat(np.zeros((count, seats, 3)), np.zeros((count, seats)))
        self._bias = np.zeros((count, len(task.parts), 3))
        self._noise = np.zeros((count, cell.horizon + 1, len(task.parts), 3))

    @property
    def believed(self) -> Array:
        """(count,) the stage that the robot takes itself to be at."""
        return self._account.believed

    @property
    def memory(self) -> tuple[Array, ...]:
        """See `Task.memory`."""
        known = *self._account.memory, *self._camera.memory
        return *known, self._stage, self._lost, self._phase, self.machines, *self._seats, self._bias, self._noise

    def begin(self, ids: Array, draw: Draw) -> None:
        """See `Task.begin`."""
        at = scene(self._task, draw.start)
        self._seats.p[ids], self._seats.yaw[ids] = seats_of(self._plan, at.fixtures)
        self._bias[ids], self._noise[ids], self._phase[ids] = at.bias, draw.sight_noise, at.phase
        self._stage[ids], self._lost[ids] = 0, 0
        self._account.begin(ids)

    def look(self, view: View) -> Look:
        """See `Task.look`."""
        ids, now = view.ids, truth(view.true_tool, view.physics)
        sighting = self._camera.look(ids, view.steps == 0, now, self._bias[ids], self._noise[ids, view.steps])
        sensed = view.tool, view.wrench, now.aperture_m, now.openings, sighting
        features = self._account.look(ids, Measured(*sensed, view.last_action, view.steps))
        seats = Flat(self._seats.p[ids], self._seats.yaw[ids])
        verdict = self._judge.judge(self._stage[ids], self._lost[ids], seats, now)
        self._stage[ids], self._lost[ids] = verdict.stage, verdict.lost
        by_itself = machines(self._task, self._phase[ids], view.steps * self._cell.period_s).told
        self.machines[ids] = np.minimum(self._account.told(ids), by_itself)
        trespass = self._gates.trespass(view.envelope, view.true_tool, now.openings)
        return Look(features, verdict.done, verdict.failed, verdict.stage, verdict.potential, trespass)
