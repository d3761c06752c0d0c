"""A motion that tells an arm's parameters apart: all joints at once through many frequencies, or one after the other.

Slow motions leave gain, damping, inertia and delay entangled; friction needs changes of direction. In a multisine every
joint gets tones of its own up to 7.5 Hz (Swevers et al., IEEE Trans. Robotics and Automation 13(5), 1997) and smooth
steps between random positions; in a sweep each joint in its turn swings as far as the limits allow while the others
hold still, which tells friction better, and at its end all creep through changes of direction at once, which shows
whether friction falls with speed. Of several motions of both kinds the one is taken that is expected to tell most:
whose information matrix at typical parameters has the largest determinant (D-optimal design).
The motion is a sequence of joint targets at the control rate, like a policy's, so it passes through the same
supervisor to the same controllers.
"""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.log import JointLog
from robot_rlaas.calibrate.servo.arm import Arm
from robot_rlaas.calibrate.servo.parameters import information, quantities, typical
from robot_rlaas.cell.errors import InputError
from robot_rlaas.control.interpolate import setpoint
from robot_rlaas.control.kinematics import forward, points, tool_pose
from robot_rlaas.control.safety import Envelope, filter_target, inside_keep_out
from robot_rlaas.sim.model import Workcell

LIFT_M = 0.15  # the motion happens so far above home
LIFT_SPEED = 0.15  # of the speed limit, on the way there and back
CANDIDATES = 6
SLOWEST_HZ, FASTEST_HZ = (0.3, 1.5), (5.0, 7.5)  # where a candidate's tones begin and end
TONES = 12
TONE_RAD = 0.003  # of the fastest tone, and
STEP_RAD = (0.02, 0.2)  # of the random steps: only their ratio counts, the limits set the size
STEP_S = (0.5, 1.5)
SWEEP_HZ, SWEEP_CYCLES = 1.5, 3  # about, and at least: a log of fewer reversals is refused
SWEEP_RAD = 0.1  # before it is scaled to the limits
CREEP, CREEP_RAD, CREEP_CYCLES = 0.3, 0.015, (2.0, 4.5)  # share of a sweep, at its end; each joint has its own cycles
RISEN = 0.1  # of the way up: sweeps begin here, or the lift would cost a quarter of the motion
NOISE_RAD = 1e-4  # of the log that a candidate is expected to give
SHARE = 0.9  # of the limits of speed and acceleration
TORQUE_SHARE = 0.7  # of the torque limits: a real servo may need more than the nominal one, and must not saturate
MARGIN_M = 0.01  # kept from the tool to the plate's upper face and to keep-out boxes


Kind = Callable[[np.ndarray, float, int, np.random.Generator], np.ndarray]  # see `sweep`


class Excitation(NamedTuple):
    """A motion that starts and ends at rest at home.

    Attributes:
        joints: names, k of them.
        rate_hz: of the targets: the cell's control rate.
        targets_rad: (N, k).
    """

    joints: tuple[str, ...]
    rate_hz: float
    targets_rad: np.ndarray

    def setpoints(self, rate_hz: float) -> np.ndarray:
        """What the arm receives at a controller's rate, a multiple of the targets' -> (T, k), rad."""
        count = round(rate_hz / self.rate_hz)
        phase = (np.arange(count) + 1.0)[:, None] / count
        past = np.concatenate([self.targets_rad[:1], self.targets_rad[:1], self.targets_rad])[:, None]
        return setpoint((past[:-2], past[1:-1], past[2:]), phase).reshape(-1, past.shape[-1])


def excitation(
    workcell: Workcell,
    home_rad: np.ndarray,
    duration_s: float,
    rate_hz: float,
    rng: np.random.Generator,
    candidates: int = CANDIDATES,
    kinds: Sequence[Kind] | None = None,
    floor_m: float | None = None,
) -> Excitation:
    """Draw motions, scale each until it fits, and take the one that tells most.

    Args:
        workcell: for the limits, the torques of its nominal arm and what the tool must stay clear of.
        home_rad: (k,) where it starts and ends.
        duration_s: in all, with the way up and back.
        rate_hz: the cell's control rate.
        rng: which motions.
        candidates: how many are drawn; with one there is no choice, and nothing is spent on it.
        kinds: what they are, in turn: multisines and sweeps, unless it says otherwise.
        floor_m: the height in the base frame above which nothing is in the way; by default the plate's upper face.

    Returns:
        A motion that the safety filter leaves as it is, that asks for at most 70 % of each actuator's torque, and
        whose tool stays clear of the floor and of keep-out boxes.

    Raises:
        InputError: if it is too short, or if there is no room for it.
    """
    period = 1.0 / rate_hz
    path, part = _lift(workcell, home_rad, round(duration_s * rate_hz), period)
    arm, floor_m = Arm(workcell), _plate_m(workcell) if floor_m is None else floor_m
    draws = islice(cycle(kinds or (multisine, sweep)), candidates)
    swings = (draw(part, period, len(home_rad), rng) for draw in draws)
    motions = [motion for swing in swings if (motion := _fitted(workcell, arm, rate_hz, path, swing, floor_m))]
    if not motions:
        fix = "move robot.home_deg away from plate, boxes, speed zones and joint limits"
        raise InputError("no excitation fits at home", fix=fix)
    return motions[0] if len(motions) == 1 else max(motions, key=lambda motion: worth(arm, motion))


def worth(arm: Arm, motion: Excitation) -> float:
    """How much a log of the motion is expected to tell, in nats: half the log determinant of the information gained."""
    setpoints = motion.setpoints(5 * motion.rate_hz)
    time_s = np.arange(len(setpoints)) / (5 * motion.rate_hz)
    log, of = JointLog(time_s, np.repeat(setpoints[:1], len(time_s), axis=0), time_s, setpoints), quantities(arm)
    gained = information(arm, log, of, typical(arm, of), NOISE_RAD)
    return 0.5 * float(np.linalg.slogdet(np.eye(len(gained)) + gained)[1])


def _fitted(
    workcell: Workcell, arm: Arm, rate_hz: float, path: np.ndarray, swing: np.ndarray, floor_m: float
) -> Excitation | None:
    """Path and swing (N, k), rad, with the swing of each joint scaled until all limits hold; None if they never do."""
    joints = workcell.chain.joints
    for _ in range(12):  # towards the limits from either side, half way each time: the joints load each other
        swing = swing / np.sqrt(demand(arm, Excitation(joints, rate_hz, path + swing), workcell.envelope))
    for _ in range(30):
        motion = Excitation(joints, rate_hz, path + swing)
        share = demand(arm, motion, workcell.envelope)
        fits = bool(np.all(share <= 1.0))
        if fits and is_clear(workcell, motion, floor_m) and passes_filter(workcell, motion):
            return motion
        swing = swing * (0.95 if fits else np.minimum(0.97 / share, 1.0))
    return None


def _plate_m(workcell: Workcell) -> float:
    return float(workcell.model.body("plate").pos[2])


def is_clear(workcell: Workcell, motion: Excitation, floor_m: float) -> bool:
    """Whether the tool keeps its margin from what lies below the floor and from the keep-out boxes all the way."""
    envelope = workcell.envelope
    tool = tool_pose(workcell.chain, motion.setpoints(5 * motion.rate_hz))
    grown = envelope._replace(
        keep_out_min_m=envelope.keep_out_min_m - MARGIN_M, keep_out_max_m=envelope.keep_out_max_m + MARGIN_M
    )
    lowest = points(tool, envelope.guarded_m)[:, :, 2].min()
    return bool(lowest > floor_m + MARGIN_M and not inside_keep_out(grown, tool).any())


def passes_filter(workcell: Workcell, motion: Excitation) -> bool:
    """Whether the safety filter leaves every target as it is: then each was sent before the next one is filtered."""
    past = np.concatenate([motion.targets_rad[:1], motion.targets_rad[:1], motion.targets_rad])
    before, last, wanted = past[:-2], past[1:-1], past[2:]
    filtered = filter_target(workcell.chain, workcell.envelope, 1.0 / motion.rate_hz, last, last - before, wanted)
    return not (filtered.limited.any() or filtered.blocked.any() or filtered.slowed.any())


def least_s(workcell: Workcell, home_rad: np.ndarray) -> float:
    """How long an excitation takes at least: the way up and back, and a moment there."""
    return 2 * _way_up(workcell, home_rad)[1] + 2.0


def _way_up(workcell: Workcell, home_rad: np.ndarray) -> tuple[np.ndarray, float]:
    """From home to a pose above it: (k,) rad, and the seconds that it takes."""
    above, goal_m = home_rad.copy(), tool_pose(workcell.chain, home_rad[None]).p[0, 2] + LIFT_M
    for _ in range(10):
        pose, J = forward(workcell.chain, above[None])
        up = J[0, 2]
        above = above + up / (up @ up + 1e-6) * (goal_m - pose.p[0, 2])  # the shortest way up in joint space
    way = above - home_rad
    return way, float(1.875 * np.max(np.abs(way) / workcell.envelope.speed_rad_s) / LIFT_SPEED)


def _lift(workcell: Workcell, home_rad: np.ndarray, count: int, period_s: float) -> tuple[np.ndarray, np.ndarray]:
    """From home to a pose above it and back: (count, k) rad, and how far up (count,), from 0 to 1."""
    way, lift_s = _way_up(workcell, home_rad)
    least = least_s(workcell, home_rad)
    if count * period_s < least:
        raise InputError(f"an excitation of {count * period_s:.1f} s is too short", fix=f"take {least:.1f} s or more")
    t = np.arange(count) * period_s
    to_end = np.maximum(np.minimum(t, t[-1] - 3 * period_s - t), 0.0)  # the spline needs three targets to end at home
    part = _quintic(to_end / lift_s)
    return home_rad + way * part[:, None], part


def sweep(part: np.ndarray, period_s: float, joints: int, rng: np.random.Generator) -> np.ndarray:
    """One joint after the other, in random order, swings there and back while the others rest; then all creep.

    Args:
        part: (N,) how far up the arm is, from 0 to 1.
        period_s: between two samples.
        joints: how many.
        rng: in which order.

    Returns:
        (N, joints), rad; zero where the arm has hardly risen yet.
    """
    up = np.cumsum(part >= RISEN) - 1
    share = up / up[-1]
    turns = np.clip(share / (1 - CREEP), 0.0, 1.0) * joints
    creep = np.clip((share - 1 + CREEP) / CREEP, 0.0, 1.0)
    cycles = max(SWEEP_CYCLES, round(SWEEP_HZ * (1 - CREEP) * up[-1] * period_s / joints))
    swings = np.zeros((len(part), joints))
    for turn, (joint, slow) in enumerate(zip(rng.permutation(joints), np.linspace(*CREEP_CYCLES, joints))):
        at = np.clip(turns - turn, 0.0, 1.0)
        swings[:, joint] = SWEEP_RAD * _swing(at, cycles) + CREEP_RAD * _swing(creep, slow)
    return swings


def _swing(at: np.ndarray, cycles: float) -> np.ndarray:
    """A sine of so many cycles while `at` goes from 0 to 1, which grows from rest and dies down to rest."""
    return _quintic(2 * cycles * np.minimum(at, 1 - at)) * np.sin(2 * np.pi * cycles * at)


def multisine(part: np.ndarray, period_s: float, joints: int, rng: np.random.Generator) -> np.ndarray:
    """Multisines and steps (N, joints), rad, of one random spectrum, that grow with the height (N,) `part`."""
    t = np.arange(len(part)) * period_s
    slowest, step_rad, step_s = (np.exp(rng.uniform(*np.log(ends))) for ends in (SLOWEST_HZ, STEP_RAD, STEP_S))
    fastest = rng.uniform(*FASTEST_HZ)
    columns = []
    for _ in range(joints):
        tones = np.geomspace(slowest, fastest, TONES) * rng.uniform(0.93, 1.07, TONES)
        size = TONE_RAD * (fastest / tones) ** 0.7  # more would drown the fast tones, which gains and inertia need
        sines = (size * np.sin(2 * np.pi * tones * t[:, None] + rng.uniform(0, 2 * np.pi, TONES))).sum(axis=1)
        knots = np.arange(0, t[-1] + 2 * step_s, step_s)
        heights = rng.uniform(-step_rad, step_rad, len(knots))
        columns.append(sines + _steps(t - rng.uniform(0, step_s), knots, heights))
    return part[:, None] ** 2 * np.stack(columns, axis=1)


def _steps(t: np.ndarray, knots: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """From height to height in half of each interval, resting in the other half."""
    i = np.clip(np.searchsorted(knots, t, side="right"), 1, len(knots) - 1)
    part = _quintic((t - knots[i - 1]) / (0.5 * (knots[1] - knots[0])))
    return heights[i - 1] + (heights[i] - heights[i - 1]) * part


def _quintic(x: np.ndarray) -> np.ndarray:
    """From 0 to 1, at rest at both ends."""
    x = np.clip(x, 0.0, 1.0)
    return x**3 * (10 - 15 * x + 6 * x * x)


def demand(arm: Arm, motion: Excitation, envelope: Envelope) -> np.ndarray:
    """The largest part (k,) that the motion takes of what it may take: speed, acceleration, range, torque."""
    step = np.diff(motion.targets_rad, axis=0) * motion.rate_hz
    torque_Nm = arm.peak_torque_Nm(motion.setpoints(5 * motion.rate_hz), 5 * motion.rate_hz)
    outside = np.any((motion.targets_rad > envelope.upper_rad) | (motion.targets_rad < envelope.lower_rad), axis=0)
    parts = [
        np.abs(step).max(0) / (SHARE * envelope.speed_rad_s),
        np.abs(np.diff(step, axis=0) * motion.rate_hz).max(0) / (SHARE * envelope.acceleration_rad_s2),
        torque_Nm / (TORQUE_SHARE * arm.torque_limit_Nm),
        1.1 * outside,
    ]
    return np.max(parts, axis=0)
