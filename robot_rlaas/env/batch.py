"""The environment: many episodes of one cell at once, each reset as soon as it ends."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ACTION_AXES, Standing, ToolController, ToolState
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.control.safety import inside_keep_out
from robot_rlaas.env.gauges import Gauges, Reading
from robot_rlaas.env.outcome import Outcome, Tally
from robot_rlaas.env.reward import force_cost, reward_terms
from robot_rlaas.env.task import Look, View, poses, put
from robot_rlaas.env.tasks import task_of
from robot_rlaas.sim.backend import Backend, Physics
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.seeing import SeeingBackend
from robot_rlaas.sim.variation import NOTHING, Beyond, draw

AHEAD = 64  # episodes, at most, whose starts are made ready together


class Step(NamedTuple):
    """What one step of the batch returned. Rows of ended episodes already show the next episode's first observation.

    Attributes:
        observation: (n, observation_size) float32.
        reward: (n,).
        terms: the reward's named parts, (n,) each.
        done: (n,) bool: the episode ended, by success, failure or timeout.
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
    its number alone. `order`, if there is one, makes other numbers of them, (n,). `beyond`: see `sim.variation.draw`.

    `simulated_s` adds up what all rows have lived through, in the cell's own time.

    With `restart`, a row starts the next episode in the step that ends its last one. Without, what has ended stands as
    it is until `reset`: there are no steps beyond the end.
    """

    def __init__(
        self,
        cell: CellSpec,
        workcell: Workcell,
        backend: Backend,
        seeds: Seeds,
        first_episode: int = 0,
        beyond: Beyond = NOTHING,
        restart: bool = True,
        order: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.cell, self.workcell, self.backend = cell, workcell, backend
        n = self.nsim = backend.nsim
        self.task = task_of(cell, n)
        self.contract = self.task.contract
        self.controller = ToolController(workcell.chain, cell.control, workcell.envelope, n, self.task.upright)
        self._gauges = Gauges(cell, workcell.chain, workcell.envelope, n)
        self.seeds, self._beyond, self._next, self._restart = seeds, beyond, first_episode, restart
        self._order = order or (lambda numbers: numbers)
        self._ready: BatchEnv | None = None
        self._unused = 0
        self.simulated_s = 0.0
        self._home = Standing.at(workcell.chain, np.deg2rad([cell.robot.home_deg]))
        self._tally = Tally(n, len(self.task.stages), cell.period_s)
        self._tare, self._last_action = np.zeros((n, 6)), np.zeros((n, self.contract.action_size))
        self._potential = np.zeros(n)
        self.observation = np.zeros((n, self.contract.observation_size), dtype=np.float32)
        self._tool = ToolState(poses(n), np.zeros((n, 6)))
        self._draw = Draw(*(np.zeros((n, *row.shape[1:])) for row in draw(cell, seeds, np.zeros(1))))

    def reset(self, seeds: Seeds | None = None, episode: int | None = None, starts: Draw | None = None) -> np.ndarray:
        """Start a new episode in every row -> observations (n, observation_size).

        Args:
            seeds: go on with another sequence.
            episode: the first row's number, instead of the next one; the other rows' follow it.
            starts: what is drawn, one row per simulation, instead of what the sequence says.
        """
        self.seeds = seeds or self.seeds
        self._next = self._next if episode is None else episode
        self._begin(np.arange(self.nsim), starts)
        return self.observation

    def rejoin(self, episode: np.ndarray, steps: np.ndarray, taken: np.ndarray, coming: int) -> np.ndarray:
        """Be in the midst of episodes once more, by taking their actions again -> observations (n, observation_size).

        An episode is made of its number and its actions, so nothing else of it need be kept.

        Args:
            episode: (n,) their numbers, in the sequence `seeds`.
            steps: (n,) control periods that each has lived through.
            taken: (n, at least the largest of `steps`, action_size) the actions of each, from its start.
            coming: as the property.
        """
        rows, longest, simulated_s = np.arange(self.nsim), int(steps.max()), self.simulated_s
        self._begin(rows)
        for period in range(longest + 1):
            at = period - (longest - steps)  # a row whose episode is younger waits, so that all arrive together
            due = np.flatnonzero(at == 0)
            if len(due):
                self._begin(due, numbers=episode[due])
            if period < longest:
                self.step(np.where(at[:, None] >= 0, taken[rows, np.maximum(at, 0)], taken.dtype.type(0)))
        self._next, self._unused, self.simulated_s = coming, 0, simulated_s
        return self.observation

    def step(self, action: np.ndarray) -> Step:
        """Take actions (n, action_size) for one control period."""
        self._last_action = np.clip(np.where(np.isnan(action), 0.0, action), -1.0, 1.0)
        tool_step, grip = self._last_action[:, : len(ACTION_AXES)], self._last_action[:, len(ACTION_AXES) :]
        self.controller.command(tool_step, self._tool, self.task.frame.R)
        opening = np.concatenate([0.5 + 0.5 * grip, self.task.machines], axis=1)
        physics = self.backend.step(self.controller.setpoints(self.backend.substeps), opening)
        self._tally.steps += 1
        self.simulated_s += self.nsim * self.cell.period_s
        charged = self._gauges.costs()
        tool, keep_out, look = self._look(np.arange(self.nsim), physics)
        self._tool, observation = tool, self.contract.pack(look.features)
        peak = np.maximum(self._tally.peak_N, physics.contact_N)
        terms = self._reward(look, keep_out, peak, charged)
        reward = sum(terms.values(), np.zeros(self.nsim))
        self._tally.note(look.stage, keep_out, peak, reward)
        timeout = self._tally.steps >= self.cell.horizon
        ended = np.logical_or(look.done, look.failed)
        done = ended | timeout | physics.bad
        rows = np.flatnonzero(done)
        outcomes = [self._outcome(i, bool(look.done[i] and not physics.bad[i])) for i in rows.tolist()]
        self.observation = observation
        if self._restart and len(rows):
            self.observation = observation.copy()
            self._go_on(rows)
        return Step(self.observation, reward, terms, done, done & ~ended, observation, outcomes, rows)

    def tell(self, policy: Policy) -> None:
        """Let a policy that is told the truth, such as the expert of a cell whose plate nobody observes, look in here.

        Whoever runs a policy in an environment calls this first. To other policies it does nothing.
        """
        getattr(policy, "watch", lambda env: None)(self)

    @property
    def frame(self) -> Pose:
        """The frame that actions are given in, as observed, one row per simulation."""
        return self.task.frame

    @property
    def draw(self) -> Draw:
        """The present episodes' draws, one row per simulation."""
        return self._draw

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """What the cell's cameras see now, camera by camera (n, height, width, 3) uint8; nothing where nobody looks."""
        return self.backend.pictures if isinstance(self.backend, SeeingBackend) else {}

    @property
    def episode(self) -> np.ndarray:
        """(n,) the numbers of the present episodes."""
        return self._tally.episode

    @property
    def stage(self) -> np.ndarray:
        """(n,) the furthest stage of each present episode, an index into `task.stages`."""
        return self._tally.stage

    @property
    def steps(self) -> np.ndarray:
        """(n,) control periods since the start of each present episode."""
        return self._tally.steps

    @property
    def coming(self) -> int:
        """The number of the next episode to begin, before `order`."""
        return self._next

    def _begin(self, ids: np.ndarray, starts: Draw | None = None, numbers: np.ndarray | None = None) -> None:
        """Start the next episodes in these rows, or those of these `numbers`."""
        if numbers is None:
            numbers = self._order(np.arange(self._next, self._next + len(ids)))
            self._next, self._unused = self._next + len(ids), 0
        self._tally.begin(ids, numbers)
        fresh = draw(self.cell, self.seeds, numbers, self._beyond) if starts is None else starts
        put(self._draw, ids, fresh)
        self.task.begin(ids, fresh)
        physics = self.backend.reset(ids, fresh, np.repeat(self._home.q_rad, len(ids), axis=0))
        self.controller.stand(self._home, ids)
        self._tare[ids], self._last_action[ids] = physics.wrench, 0.0
        tool, _, look = self._look(ids, physics)
        put(self._tool.measured, ids, tool.measured)
        self._tool.lead[ids] = tool.lead
        self.observation[ids] = self.contract.pack(look.features)
        self._potential[ids] = look.potential

    def _go_on(self, ids: np.ndarray) -> None:
        """As `_begin` the next episodes in these rows, from starts that were made ready, many at a time.

        Most of what a start costs does not depend on how many there are.
        """
        if self.nsim == 1:
            return self._begin(ids)
        ready = self._ready = self._ready or self._spare()
        while len(ids):
            if not self._unused:
                ready.reset(self.seeds, self._next)
                self._unused = ready.nsim
            now, ids = ids[: self._unused], ids[self._unused :]
            there = np.arange(len(now)) + ready.nsim - self._unused
            for mine, theirs in zip(self._memory, ready._memory):
                mine[now] = theirs[there]
            self.controller.stand(self._home, now)
            self.backend.adopt(now, ready.backend.snapshot(there, self._draw.take(now)))
            self._next, self._unused = self._next + len(now), self._unused - len(now)

    def _spare(self) -> "BatchEnv":
        """Where starts are made ready."""
        backend = self.backend.spare(min(self.nsim, AHEAD))
        return BatchEnv(
            self.cell, self.workcell, backend, self.seeds, beyond=self._beyond, restart=False, order=self._order
        )

    @property
    def _memory(self) -> tuple[np.ndarray, ...]:
        """(n, ...) each: all that is kept of the episodes, but for what the controller and the backend keep."""
        own = self.observation, self._potential, self._tare, self._last_action, *self._tool.measured, self._tool.lead
        return *own, *self._draw, *self._tally.memory, *self.task.memory, *self._gauges.memory

    def _look(self, ids: np.ndarray, physics: Physics) -> tuple[ToolState, np.ndarray, Look]:
        """The tool as measured, whether it is in a keep-out box, and what the task makes of it; one row per id."""
        d, steps = self._draw, self._tally.steps[ids]
        measured_rad = physics.q_rad + d.joint_noise_rad[ids, steps]
        both = tool_pose(self.workcell.chain, np.concatenate([measured_rad, physics.q_rad]))
        count = len(ids)
        tool = self.controller.state_at(Pose(both.R[:count], both.p[:count]), ids)
        true_tool = Pose(both.R[count:], both.p[count:])
        wrench = self._tare[ids] - physics.wrench + d.wrench_noise[ids, steps]
        read = self._gauges.read if steps.any() else self._gauges.begin
        read(ids, Reading(physics.forces_N, physics.touch_N, physics.q_rad, true_tool))
        envelope = self.workcell.envelope
        look = self.task.look(View(ids, tool, wrench, self._last_action[ids], steps, true_tool, physics, envelope))
        return tool, inside_keep_out(envelope, true_tool) | look.trespass, look

    def _reward(
        self, look: Look, keep_out: np.ndarray, peak: np.ndarray, charged: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """`charged`: what the further limits had cost before this period."""
        force = force_cost(self.cell, peak) - force_cost(self.cell, self._tally.peak_N)
        further = {name: cost - charged[name] for name, cost in self._gauges.costs().items()}
        change = look.potential - self._potential
        self._potential = look.potential
        return reward_terms(change, force, further, look.done, keep_out, self._last_action)

    def _outcome(self, row: int, success: bool) -> Outcome:
        return self._tally.outcome(row, success, self._gauges.of(row))
