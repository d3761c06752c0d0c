"""Run fresh episodes and keep, for each, how it ended and how it started."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv, Outcome
from robot_rlaas.qualify.observed import Observed
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.starts import scene

ARM_AXES = ("friction", "delay_ms", "joint_friction_Nm", "gain_scale", "damping_scale")
START_AXES = (  # of an insertion
    *("plate_x_mm", "plate_y_mm", "plate_yaw_deg"),
    *("bias_x_mm", "bias_y_mm", "bias_yaw_deg"),
    *("hand_x_mm", "hand_y_mm", "hand_z_mm"),
    *("hand_rx_deg", "hand_ry_deg", "hand_rz_deg"),
    *ARM_AXES,
)


class Trial(NamedTuple):
    """One qualification episode.

    Attributes:
        outcome: how it ended.
        start: (len(start_axes(cell)),) how it started.
    """

    outcome: Outcome
    start: np.ndarray


def stream(
    env: BatchEnv, policy: Policy, on_episodes: Callable[[int], None], observed: Observed | None = None
) -> Iterator[Trial]:
    """Run the environment's episodes without end and yield them in order of their numbers. `observed` sees them all.

    In that order, because an episode must not be left out or come late because it takes long: whoever stops early would
    count too many quick ones.
    """
    observation = env.reset()
    env.tell(policy)
    policy.reset(np.arange(env.nsim))
    coming = int(env.episode.min())
    starts = starts_of(env.draw, env.cell)
    done: dict[int, Trial] = {}
    while True:
        if observed is not None:
            observed.note(env.episode, observation)
        step = env.step(policy.act(observation))
        for row, outcome in zip(step.rows, step.outcomes):
            done[outcome.episode] = Trial(outcome, starts[row].copy())
        policy.reset(step.rows)
        if len(step.rows):
            starts[step.rows] = starts_of(env.draw.take(step.rows), env.cell)
        observation = step.observation
        on_episodes(len(step.rows))
        while coming in done:
            yield done.pop(coming)
            coming += 1


def run_trials(env: BatchEnv, policy: Policy, count: int, on_episodes: Callable[[int], None]) -> list[Trial]:
    """The environment's first `count` episodes, run to their ends."""
    return list(islice(stream(env, policy, on_episodes), count))


def start_axes(cell: CellSpec) -> tuple[str, ...]:
    """What the columns of `starts_of` are called."""
    if not isinstance(cell.task, HandlingTask):
        return START_AXES
    return (*(name for name in cell.task.start_ranges if "_slot_" not in name), *ARM_AXES)


def starts_of(d: Draw, cell: CellSpec | None = None) -> np.ndarray:
    """The start of each drawn episode (n, axes); what is drawn per joint appears as its mean over joints.

    Args:
        d: the draws.
        cell: that they are of; an insertion cell's need not be told.
    """
    mm, deg = 1e3, 180 / np.pi
    if cell is not None and isinstance(cell.task, HandlingTask):
        of_task = _handling_columns(d, cell.task)
    else:
        of_task = (
            d.plate_xy_m * mm,
            d.plate_yaw_rad[:, None] * deg,
            d.bias_xy_m * mm,
            d.bias_yaw_rad[:, None] * deg,
            d.hand_m * mm,
            d.hand_rad * deg,
        )
    columns = (
        *of_task,
        d.friction[:, None],
        d.delay_s[:, None] * 1e3,
        d.joint_friction_Nm.mean(axis=1, keepdims=True),
        d.gain_scale.mean(axis=1, keepdims=True),
        d.damping_scale.mean(axis=1, keepdims=True),
    )
    return np.concatenate(columns, axis=1)


def _handling_columns(d: Draw, task: HandlingTask) -> list[np.ndarray]:
    """What was drawn, but for the parts' places: those are where they truly lay, in the base frame."""
    column, at = dict(zip(task.start_ranges, d.start.T)), scene(task, d.start)
    for i, part in enumerate(task.parts):
        x, y, _ = 1e3 * at.parts.p[:, i].T
        yaw = np.rad2deg(at.parts.yaw[:, i])
        column |= {f"{part.name}_x_mm": x, f"{part.name}_y_mm": y, f"{part.name}_yaw_deg": yaw}
    return [column[name][:, None] for name in task.start_ranges if "_slot_" not in name]
