"""The environment: many episodes of one cell at once, each reset as soon as it ends."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.kinematics import Pose, forward
from robot_rlaas.control.rotation import matrix_from_vector
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.env import insertion
from robot_rlaas.sim.backend import Backend, Physics
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.variation import Draw, draw

Array = Any


class Outcome(NamedTuple):
    """How one episode ended.

    Attributes:
        episode: its number in its seed space.
        success: the task's own predicate held before the timeout.
        cycle_time_s: from start to success; infinite without success.
        peak_force_N: largest contact force.
        keep_out: the tool entered a keep-out box.
        stage: the furthest stage, an index into insertion.STAGES.
        steps: control periods.
        reward: sum of rewards.
    """

    episode: int
    success: bool
    cycle_time_s: float
    peak_force_N: float
    keep_out: bool
    stage: int
    steps: int
    reward: float


class Step(NamedTuple):
    """What one step of the batch returned. Rows of ended episodes already show the next episode's first observation.

    Attributes:
        observation: (n, observation_size) float32.
        reward: (n,).
        terms: the reward's named parts, (n,) each.
        done: (n,) bool: the episode ended, by success or timeout.
        truncated: (n,) bool: it ended by timeout.
        final_observation: (n, observation_size): the observation before any reset.
        outcomes: one per ended episode, in the order of their rows.
        rows: the rows they ended in.
    """

    observation: np.ndarray
    reward: np.ndarray
    terms: dict[str, np.ndarray]
    done: np.ndarray
    truncated: np.ndarray
    final_observation: np.ndarray
    outcomes: list[Outcome]
    rows: np.ndarray


class BatchEnv:
    """`backend.nsim` episodes of a cell side by side.

    Episode numbers are handed out in order, starting at `first_episode`; an episode's randomness depends on (seed,
    space, number) alone.
    """

    def __init__(
        self, cell: CellSpec, workcell: Workcell, backend: Backend, seed: int, space: Space, first_episode: int = 0
    ) -> None:
        self.cell, self.workcell, self.backend = cell, workcell, backend
        self.contract = insertion.contract(cell)
        self.nsim = backend.nsim
        self.controller = ToolController(workcell.chain, cell.control, workcell.envelope, backend.nsim)
        self._seed, self._space, self._next = seed, space, first_episode
        self._home = np.deg2rad(np.array(cell.robot.home_deg))
        n = backend.nsim
        self.episode = np.zeros(n, dtype=np.int64)
        self._steps = np.zeros(n, dtype=np.int64)
        self._peak, self._return = np.zeros(n), np.zeros(n)
        self._keep_out, self._stage = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
        self._tare, self._last_action = np.zeros((n, 6)), np.zeros((n, self.contract.action_size))
        self._potential = np.zeros(n)
        self.observation = np.zeros((n, self.contract.observation_size), dtype=np.float32)

    def reset(self) -> np.ndarray:
        """Start a new episode in every row -> observations (n, observation_size)."""
        ids = np.arange(self.nsim)
        self._draw = draw(self.cell, self._seed, self._space, self._hand_out(self.nsim))
        self._frames()
        self._start(ids)
        return self.observation

    def step(self, action: np.ndarray) -> Step:
        """Take actions (n, action_size) for one control period."""
        filtered = self.controller.command(action, self._tool, self._task.R)
        del filtered
        physics = self.backend.step(self.controller.setpoints(self.backend.substeps))
        self._steps += 1
        self._last_action = np.clip(np.nan_to_num(action), -1.0, 1.0)
        observation, at, keep_out = self._look(physics)
        terms, reward = self._reward(at, physics, keep_out)
        self._note(at, physics, keep_out, reward)
        timeout = self._steps >= self.cell.horizon
        done = at.done | timeout | physics.bad
        truncated = done & ~at.done
        rows = np.flatnonzero(done)
        outcomes = [self._outcome(int(i), bool(at.done[i] and not physics.bad[i])) for i in rows]
        self.observation = observation
        if len(rows):
            fresh = draw(self.cell, self._seed, self._space, self._hand_out(len(rows)))
            for mine, theirs in zip(self._draw, fresh):
                mine[rows] = theirs
            self._frames()
            self.episode[rows] = np.arange(self._next - len(rows), self._next)
            self.observation = observation.copy()
            self._start(rows)
        return Step(self.observation, reward, terms, done, truncated, observation, outcomes, rows)

    @property
    def draw(self) -> Draw:
        """The present episodes' draws, one row per simulation."""
        return self._draw

    def _hand_out(self, count: int) -> np.ndarray:
        numbers = np.arange(self._next, self._next + count)
        self._next += count
        if count == self.nsim:
            self.episode = numbers.copy()
        return numbers

    def _frames(self) -> None:
        d = self._draw
        self._hole = insertion.task_frame(self.cell, d.plate_xy_m, d.plate_yaw_rad)
        self._task = insertion.task_frame(self.cell, d.plate_xy_m + d.bias_xy_m, d.plate_yaw_rad + d.bias_yaw_rad)
        self._R_hand = matrix_from_vector(d.hand_rad)

    def _start(self, ids: np.ndarray) -> None:
        q = np.broadcast_to(self._home, (len(ids), len(self._home)))
        physics = self.backend.reset(ids, self._draw.take(ids), q)
        self.controller.reset(q, ids)
        self._steps[ids] = 0
        self._peak[ids] = self._return[ids] = 0.0
        self._keep_out[ids], self._stage[ids] = False, 0
        self._tare[ids], self._last_action[ids] = physics.wrench, 0.0
        everyone = Physics(
            _scatter(self._q, ids, physics.q_rad) if hasattr(self, "_q") else physics.q_rad,
            _scatter(self._tare.copy(), ids, physics.wrench),
            np.zeros(self.nsim),
            np.zeros(self.nsim, bool),
        )
        observation, at, _ = self._look(everyone)
        self.observation[ids] = observation[ids]
        self._potential[ids] = insertion.potential(self.cell, at)[ids]

    def _look(self, physics: Physics) -> tuple[np.ndarray, insertion.Progress, np.ndarray]:
        rows = np.arange(self.nsim)
        self._q = physics.q_rad
        q_measured = physics.q_rad + self._draw.joint_noise_rad[rows, self._steps]
        self._tool = self.controller.state(q_measured)
        wrench = -(physics.wrench - self._tare) + self._draw.wrench_noise[rows, self._steps]
        features = insertion.observe(self._task, self._tool, wrench, self._last_action)
        true_tool, _ = forward(self.workcell.chain, physics.q_rad)
        length = self.cell.task.peg.length_mm / 1000
        tip = insertion.peg_tip(true_tool, self._draw.hand_m, length, self._R_hand)
        at = insertion.progress(self.cell, self._hole, tip)
        keep_out = inside_keep_out(self.workcell.chain, self.workcell.envelope, physics.q_rad)
        return self.contract.pack(features), at, keep_out

    def _reward(self, at, physics: Physics, keep_out: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        after = insertion.potential(self.cell, at)
        terms = insertion.reward_terms(
            self.cell, self._potential, after, at, physics.contact_N, keep_out, self._last_action
        )
        self._potential = after
        return terms, np.sum(list(terms.values()), axis=0)

    def _note(self, at, physics: Physics, keep_out: np.ndarray, reward: np.ndarray) -> None:
        self._peak = np.maximum(self._peak, physics.contact_N)
        self._keep_out |= keep_out
        self._stage = np.maximum(self._stage, at.stage)
        self._return += reward

    def _outcome(self, row: int, success: bool) -> Outcome:
        steps = int(self._steps[row])
        return Outcome(
            episode=int(self.episode[row]),
            success=success,
            cycle_time_s=steps * self.cell.period_s if success else float("inf"),
            peak_force_N=float(self._peak[row]),
            keep_out=bool(self._keep_out[row]),
            stage=int(self._stage[row]),
            steps=steps,
            reward=float(self._return[row]),
        )


def _scatter(values: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[ids] = rows
    return values


__all__ = ["BatchEnv", "Outcome", "Pose", "Step"]
