"""A deployment in simulated time, without ROS: what enforcing the operating domain does to sound and broken cells."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bench.measurements import Figure, at_least, at_most
from robot_rlaas.bundle import Bundle
from robot_rlaas.cell.hardware import Plant, load_plant
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.envelope import envelope_of, tightest
from robot_rlaas.deploy.arm import arm_of
from robot_rlaas.deploy.cycle import Phase, Sensed, cycle_of
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm

AGE_S = 0.003  # of what arrives
SOUND, BROKEN = 100, 20  # parts
PLANT = "ur5e_worn"
MUTE = 0.0, 0.8  # a policy that says nothing for so long is slowed and not held
Sense = Callable[[Sensed, float], Sensed]  # what the policy's process senses, and for how long the policy has run


class Tried(NamedTuple):
    """One part.

    Attributes:
        success: as the arm counts it.
        slowed: periods in which the arm was slowed.
        held_s: from the first try's begin to the hold; None without one.
        holds: how many; the second one is latched.
        peak_force_N: of the attempt.
    """

    success: bool
    slowed: int
    held_s: float | None
    holds: int
    peak_force_N: float


def as_it_is(sensed: Sensed, running_s: float) -> Sensed:
    """Sound sensors."""
    return sensed


class Station:
    """Arm, policy and supervisor of a bundle, in one process and in simulated time.

    Args:
        bundle: the bundle.
        cell: how its parts differ.
        plant: how the virtual arm differs.
        seed: of the parts.
        sense: what the policy's process senses of what the arm says; the supervisor has sensors of its own.
        mute: for each part, from when on, s, and for how long the policy does not say what it sees.
    """

    def __init__(
        self,
        bundle: Bundle,
        cell: CellSpec,
        plant: Plant,
        seed: int,
        sense: Sense = as_it_is,
        mute: Callable[[int], tuple[float, float]] = lambda part: (np.inf, 0.0),
    ) -> None:
        self.arm = VirtualArm(cell, plant, seed)
        profile, chain, period_s = self.arm.profile, bundle.chain, bundle.cell.period_s
        here = envelope_of(bundle.cell, profile.ordered(chain.joints), chain, bundle.envelope.guarded_m)
        limits = tightest(("here", here), ("bundle", bundle.envelope)).envelope
        arm = arm_of(profile, chain.joints, bundle.capsules)
        self.supervisor = Supervisor(chain, limits, period_s, self.arm.tick_s, arm, bundle.domain)
        self.sampler = Sampler(chain.joints, period_s, profile.state_rate_hz)
        self.cycle = cycle_of(bundle, 10**6, self._next_part)
        self._order = [chain.joints.index(name) for name in profile.joints]
        self._command: np.ndarray | None = None
        self._sense, self._mute, self._began_s, self._asked = sense, mute, np.inf, False
        self.sampler.plate = self.arm.observed_plate

    def attempt(self, part: int) -> Tried:
        """Until the next part lies there."""
        counts, closed, spent = self.supervisor.counts, len(self.arm.score.closed), False
        slowed, holds, held_s = counts.cautious, self._held, None
        self._began_s, self._part = np.inf, part
        while len(self.arm.score.closed) == closed:
            self._tick()
            if held_s is None and self._held > holds:
                held_s = self.arm.time_s - self._began_s
            if self.supervisor.latched:
                self.supervisor.reset(self.arm.time_s)
                spent = True
            if spent:
                self.cycle.give_up()  # as soon as it is at home again
        one = self.arm.score.closed[-1]
        return Tried(one.success, counts.cautious - slowed, held_s, self._held - holds, one.peak_force_N)

    @property
    def _held(self) -> int:
        return self.supervisor.counts.holds["domain"] + self.supervisor.counts.stops["domain"]

    def _tick(self) -> None:
        reading = self.arm.tick(self._command)
        now_s, supervisor, joints = self.arm.time_s, self.supervisor, self.arm.profile.joints
        if self._asked:
            self._next_part()
        supervisor.measure(joints, reading.q_rad.tolist(), now_s, (), AGE_S, round(now_s * 1e9))
        supervisor.feel(reading.wrench.tolist(), now_s, AGE_S, round(now_s * 1e9))
        self.sampler.feel(reading.wrench.tolist())
        sensed = self.sampler.measure(joints, reading.q_rad.tolist(), now_s)
        if supervisor.held or supervisor.latched:
            self.cycle.stop()
        elif sensed is not None:
            self._step(sensed, now_s)
        setpoint = supervisor.tick(now_s)
        if setpoint is not None:
            self._command = setpoint[self._order]

    def _step(self, sensed: Sensed, now_s: float) -> None:
        running_s = now_s - self._began_s
        target = self.cycle.step(self._sense(sensed, running_s if self.cycle.phase is Phase.RUN else -np.inf))
        acted = self.cycle.acted
        if acted is not None and self._began_s == np.inf:
            self._began_s = now_s
        self.supervisor.receive(self.supervisor.chain.joints, target.tolist(), AGE_S, now_s, round(now_s * 1e9))
        since_s, for_s = self._mute(self._part)
        if not since_s <= running_s < since_s + for_s:
            self.supervisor.see(acted.seen if acted else None, AGE_S, now_s)

    def _next_part(self) -> None:
        self._asked = self.arm.next_part() is None
        self.sampler.plate = None if self._asked else self.arm.observed_plate


class Frozen:
    """A sensor that says the same for ever, half a second after the policy began, while it runs."""

    def __init__(self, what: str, after_s: float = 0.5) -> None:
        self._what, self._after_s, self._held = what, after_s, np.zeros(0)

    def __call__(self, sensed: Sensed, running_s: float) -> Sensed:
        if running_s < self._after_s or not len(self._held):
            self._held = getattr(sensed, self._what)
            return sensed
        return sensed._replace(**{self._what: self._held})


def enforced(bundle: Bundle, cells: Mapping[str, dict[str, Any]]) -> dict[str, Figure]:
    """How often sound parts are slowed or held, what a false slow costs, and how soon broken cells are held.

    Args:
        bundle: with an operating domain.
        cells: ranges of the cell's variation that the policy was not qualified on, by name.
    """
    plant = load_plant(PLANT, len(bundle.chain.joints))
    sound = _tried(Station(bundle, bundle.cell, plant, 0), SOUND)
    mute = _tried(Station(bundle, bundle.cell, plant, 0, mute=lambda part: MUTE), BROKEN)
    name = "operating_domain/enforced"
    figures = {
        f"{name}/nominal_slowed": at_most(float(np.mean([one.slowed > 0 for one in sound])), "1", 0.05),
        f"{name}/nominal_held": at_most(float(np.mean([one.holds > 0 for one in sound])), "1", 0.02),
        f"{name}/slowed_in_vain_success": at_least(float(np.mean([one.success for one in mute])), "1", 0.95),
    }
    frozen = {"frozen_joint_angles": Frozen("q_rad"), "frozen_force_sensor": Frozen("wrench")}
    stations = {kind: Station(bundle, bundle.cell, plant, 0, sense) for kind, sense in frozen.items()}
    for kind, ranges in cells.items():
        variation = bundle.cell.variation.model_copy(update=ranges)
        stations[kind] = Station(bundle, bundle.cell.model_copy(update={"variation": variation}), plant, 0)
    for kind, station in stations.items():
        held_s = [one.held_s for one in _tried(station, BROKEN) if one.held_s is not None]
        figures[f"{name}/held/{kind}"] = Figure(len(held_s) / BROKEN, "1", None, None)
        figures[f"{name}/held_after/{kind}"] = Figure(float(np.median(held_s or [np.nan])), "s", None, None)
    return figures


def _tried(station: Station, parts: int) -> list[Tried]:
    return [station.attempt(part) for part in range(parts)]
