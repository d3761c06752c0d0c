"""The environment: many episodes of one cell at once, each reset as soon as it ends."""

from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolController, ToolState
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.control.rotation import matrix_from_vector
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.env import insertion
from robot_rlaas.sim.backend import Backend, Physics
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.variation import NOTHING, Beyond, Draw, draw


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
        stage_s: when each of insertion.STAGES[1:] was first reached; infinite for a stage that never was.
        peak_at_s: end of the control period with the largest contact force; zero without contact.
    """

    episode: int
    success: bool
    cycle_time_s: float
    peak_force_N: float
    keep_out: bool
    stage: int
    steps: int
    reward: float
    stage_s: tuple[float, ...]
    peak_at_s: float


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

    Episode numbers are handed out in order, starting at `first_episode`; an episode's randomness depends on `seeds` and
    its number alone. `beyond` is as in `sim.variation.draw`.
    """

    def __init__(
        self,
        cell: CellSpec,
        workcell: Workcell,
        backend: Backend,
        seeds: Seeds,
        first_episode: int = 0,
        beyond: Beyond = NOTHING,
    ) -> None:
        self.cell, self.workcell, self.backend = cell, workcell, backend
        self.contract = insertion.contract(cell)
        self.nsim = backend.nsim
        self.controller = ToolController(workcell.chain, cell.control, workcell.envelope, backend.nsim)
        self.seeds, self._beyond, self._next = seeds, beyond, first_episode
        self._home = np.deg2rad(np.array(cell.robot.home_deg))
        n = backend.nsim
        self.episode = np.zeros(n, dtype=np.int64)
        self._steps = np.zeros(n, dtype=np.int64)
        self._peak, self._peak_at_s, self._return = np.zeros(n), np.zeros(n), np.zeros(n)
        self._keep_out, self._stage = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
        self._stage_s = np.full((n, len(insertion.STAGES) - 1), np.inf)
        self._tare, self._last_action = np.zeros((n, 6)), np.zeros((n, self.contract.action_size))
        self._potential, self._touch = np.zeros(n), insertion.untouched(n)
        self.observation = np.zeros((n, self.contract.observation_size), dtype=np.float32)
        self._R_hand = np.zeros((n, 3, 3))
        self._hole, self._task = _poses(n), _poses(n)
        self._tool = ToolState(_poses(n), np.zeros((n, 6)))
        self._draw = Draw(*(np.zeros((n, *row.shape[1:])) for row in draw(cell, seeds, np.zeros(1))))

    def reset(self) -> np.ndarray:
        """Start a new episode in every row -> observations (n, observation_size)."""
        self._begin(np.arange(self.nsim))
        return self.observation

    def step(self, action: np.ndarray) -> Step:
        """Take actions (n, action_size) for one control period."""
        self.controller.command(action, self._tool, self._task.R)
        physics = self.backend.step(self.controller.setpoints(self.backend.substeps))
        self._steps += 1
        self._last_action = np.clip(np.nan_to_num(action), -1.0, 1.0)
        look = self._look(np.arange(self.nsim), physics)
        self._tool, observation, at = look.tool, look.observation, look.at
        peak = np.maximum(self._peak, physics.contact_N)
        terms = self._reward(look, peak)
        reward = np.sum(list(terms.values()), axis=0)
        self._note(look, peak, reward)
        timeout = self._steps >= self.cell.horizon
        done = at.done | timeout | physics.bad
        rows = np.flatnonzero(done)
        outcomes = [self._outcome(int(i), bool(at.done[i] and not physics.bad[i])) for i in rows]
        self.observation = observation
        if len(rows):
            self.observation = observation.copy()
            self._begin(rows)
        return Step(self.observation, reward, terms, done, done & ~at.done, observation, outcomes, rows)

    @property
    def draw(self) -> Draw:
        """The present episodes' draws, one row per simulation."""
        return self._draw

    @property
    def stage(self) -> np.ndarray:
        """(n,) the furthest stage of each present episode, an index into insertion.STAGES."""
        return self._stage

    def _begin(self, ids: np.ndarray) -> None:
        """Start the next episodes in these rows."""
        self.episode[ids] = np.arange(self._next, self._next + len(ids))
        self._next += len(ids)
        fresh = draw(self.cell, self.seeds, self.episode[ids], self._beyond)
        _put(self._draw, ids, fresh)
        bias = (fresh.plate_xy_m + fresh.bias_xy_m, fresh.plate_yaw_rad + fresh.bias_yaw_rad)
        _put(self._hole, ids, insertion.task_frame(self.cell, fresh.plate_xy_m, fresh.plate_yaw_rad))
        _put(self._task, ids, insertion.task_frame(self.cell, *bias))
        self._R_hand[ids] = matrix_from_vector(fresh.hand_rad)
        q = np.broadcast_to(self._home, (len(ids), len(self._home)))
        physics = self.backend.reset(ids, fresh, q)
        self.controller.reset(q, ids)
        self._steps[ids], self._stage[ids], self._keep_out[ids] = 0, 0, False
        self._peak[ids] = self._peak_at_s[ids] = self._return[ids] = 0.0
        self._stage_s[ids] = np.inf
        self._tare[ids], self._last_action[ids] = physics.wrench, 0.0
        self._touch[ids] = insertion.untouched(len(ids))
        look = self._look(ids, physics)
        _put(self._tool.measured, ids, look.tool.measured)
        self._tool.lead[ids] = look.tool.lead
        self.observation[ids] = look.observation
        self._potential[ids] = insertion.potential(self.cell, look.at)

    def _look(self, ids: np.ndarray, physics: Physics) -> "_Look":
        """What the policy sees and what is true, for the rows `ids`; `physics` has one row per id."""
        d, steps = self._draw, self._steps[ids]
        tool = self.controller.state(physics.q_rad + d.joint_noise_rad[ids, steps], ids)
        wrench = self._tare[ids] - physics.wrench + d.wrench_noise[ids, steps]
        seen = (_rows(self._task, ids), tool, wrench, self._last_action[ids], steps, self._touch[ids])
        features, self._touch[ids] = insertion.observe(self.cell, *seen)
        true_tool = tool_pose(self.workcell.chain, physics.q_rad)
        length_m = self.cell.task.peg.length_mm / 1000
        tip = insertion.peg_tip(true_tool, d.hand_m[ids], self._R_hand[ids], length_m)
        at = insertion.progress(self.cell, _rows(self._hole, ids), tip)
        keep_out = inside_keep_out(self.workcell.envelope, true_tool)
        return _Look(tool, self.contract.pack(features), at, keep_out)

    def _reward(self, look: "_Look", peak: np.ndarray) -> dict[str, np.ndarray]:
        potential = insertion.potential(self.cell, look.at)
        force = insertion.force_cost(self.cell, peak) - insertion.force_cost(self.cell, self._peak)
        change = potential - self._potential
        self._potential = potential
        return insertion.reward_terms(change, force, look.at.done, look.keep_out, self._last_action)

    def _note(self, look: "_Look", peak: np.ndarray, reward: np.ndarray) -> None:
        time_s = self._steps * self.cell.period_s
        self._peak_at_s = np.where(peak > self._peak, time_s, self._peak_at_s)
        self._peak = peak
        self._keep_out |= look.keep_out
        self._stage = np.maximum(self._stage, look.at.stage)
        reached = self._stage[:, None] > np.arange(self._stage_s.shape[1])
        self._stage_s = np.where(reached, np.minimum(self._stage_s, time_s[:, None]), self._stage_s)
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
            stage_s=tuple(self._stage_s[row].tolist()),
            peak_at_s=float(self._peak_at_s[row]),
        )


class _Look(NamedTuple):
    tool: ToolState
    observation: np.ndarray
    at: insertion.Progress
    keep_out: np.ndarray


def _put(into: Any, ids: np.ndarray, rows: Any) -> None:
    for mine, theirs in zip(into, rows):
        mine[ids] = theirs


def _rows(pose: Pose, ids: np.ndarray) -> Pose:
    return Pose(pose.R[ids], pose.p[ids])


def _poses(count: int) -> Pose:
    return Pose(np.zeros((count, 3, 3)), np.zeros((count, 3)))
