"""A demonstrator's line to a virtual arm and its supervisor in simulated time."""

import numpy as np

from robot_rlaas.cell.hardware import load_plant
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy.cycle import Sensed
from robot_rlaas.deploy.plan import Station
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.supervisor import Supervisor
from robot_rlaas.deploy.virtual_arm.arm import VirtualArm

TICK_S, LATE_S = 0.01, 0.003


class Line:
    """A `Wire` to a virtual arm and its supervisor: `listen` lets time pass until the next beat."""

    def __init__(self, cell: CellSpec, scored: bool = True) -> None:
        self.arm = VirtualArm(cell, load_plant("ur5e_worn", 6), 0)
        chain, envelope = self.arm.workcell.chain, self.arm.workcell.envelope
        self.station = Station(self.arm.cell, chain, envelope)
        self.supervisor = Supervisor(chain, envelope, cell.period_s, TICK_S)
        self.sampler = Sampler(chain.joints, cell.period_s, 1 / TICK_S)
        self.sampler.plate, self._scored = self.arm.observed_plate, scored
        self.sensed: Sensed | None = None
        self.sent: list[np.ndarray] = []
        self._command, self._waiting = None, list[tuple[float, np.ndarray]]()

    @property
    def score(self):
        return self.arm.score.to_json() if self._scored else None

    @property
    def stopped(self) -> str:
        return self.supervisor.why if self.supervisor.latched else ""

    @property
    def stepped_in(self) -> int:
        return self.supervisor.counts.violations

    def stepped_in_after(self, time_s: float) -> float:
        ended = [max(event.first_s, time_s) for event in self.supervisor.journal if event.last_s >= time_s]
        return min(ended, default=np.inf)

    def listen(self) -> None:
        while self.sensed is None:
            self.tick()

    def tick(self) -> None:
        reading = self.arm.tick(self._command)
        now_s, joints = reading.time_s, self.station.chain.joints
        while self._waiting and self._waiting[0][0] <= now_s:
            at_s, target = self._waiting.pop(0)
            self.supervisor.receive(joints, list(target), LATE_S, at_s)
        self.supervisor.feel(reading.wrench[:3], now_s)
        self.supervisor.measure(joints, reading.q_rad, now_s)
        self._command = self.supervisor.tick(now_s)
        self.sampler.feel(reading.wrench)
        self.sensed = self.sampler.measure(joints, reading.q_rad, now_s) or self.sensed

    def take(self) -> Sensed | None:
        sensed, self.sensed = self.sensed, None
        return sensed

    def send(self, target_rad: np.ndarray) -> None:
        self.sent.append(target_rad)
        self._waiting.append((self.arm.time_s + LATE_S, target_rad))

    def next_part(self) -> None:
        assert self.arm.next_part() is not None
        self.sampler.plate = self.arm.observed_plate

    def clear(self) -> None:
        self.supervisor.reset(self.arm.time_s)
