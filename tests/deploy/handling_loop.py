"""What the nodes of a handling cell do, without them: the arm ticks, the policy answers late, the supervisor plays."""

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose
from robot_rlaas.control.rotation import about_z
from robot_rlaas.deploy.around import Surroundings
from robot_rlaas.deploy.cycle import Cycle, Phase
from robot_rlaas.deploy.grip import GripGuard
from robot_rlaas.deploy.sampling import Sampler
from robot_rlaas.deploy.supervisor import Arm, Supervisor
from robot_rlaas.deploy.virtual_arm.handling import VirtualHandlingArm

TICK_S, LATE_S = 0.01, 0.003


class HandlingLoop:
    """One arm, its supervisor and a policy's cycle, in simulated time.

    Attributes:
        phases: those that the cycle went through.
    """

    def __init__(self, cell: CellSpec, policy: Policy, attempts: int, plant: Plant, seed: int = 0) -> None:
        self.arm = arm = VirtualHandlingArm(cell, plant, seed)
        chain, envelope, feels = arm.workcell.chain, arm.workcell.envelope, arm.profile.topics.wrench is not None
        self.feels, self.joints = feels, chain.joints
        self.supervisor = Supervisor(chain, envelope, cell.period_s, TICK_S, Arm(feels=feels))
        guarded = arm.gripper, cell.period_s, self.supervisor.counts, self.supervisor.journal
        self.guard, self.around = GripGuard(*guarded), Surroundings(cell.task, arm.gripper)
        self.sampler = Sampler(chain.joints, cell.period_s, 1 / TICK_S, feels, self.around)
        self.cycle = Cycle(cell, chain, envelope, policy, attempts, self.next_part)
        self.phases: list[Phase] = []
        self._command: np.ndarray | None = None
        self._waiting: list = []
        self._show()

    def next_part(self) -> None:
        self.sampler.forget()
        assert self.arm.next_part() is not None
        self.sampler.expect()
        self._show()

    def stop(self) -> None:
        self.supervisor.fault("operator", "the operator pressed STOP", self.arm.time_s)

    def until(self, condition, seconds: float = 60.0) -> None:
        end_s = self.arm.time_s + seconds
        while not condition():
            assert self.arm.time_s < end_s, self.phases
            self.tick()

    def run(self, seconds: float) -> None:
        end_s = self.arm.time_s + seconds
        self.until(lambda: self.arm.time_s >= end_s, seconds + 1)

    def tick(self) -> None:
        reading = self.arm.tick(self._command)
        now_s = reading.time_s
        self._show()
        while self._waiting and self._waiting[0][0] <= now_s:
            self._arrive(*self._waiting.pop(0))
        if self.feels:
            self.supervisor.feel(reading.wrench[:3], now_s)
            self.sampler.feel(reading.wrench)
        self.supervisor.measure(self.joints, reading.q_rad, now_s)
        self._command = self.supervisor.tick(now_s)
        names = *self.joints, self.arm.gripper.joint
        sensed = self.sampler.measure(names, (*reading.q_rad, self.arm.gripper_position), now_s)
        if self.supervisor.latched:
            self.cycle.stop()
        elif sensed is not None:
            target = self.cycle.step(sensed)
            self._waiting.append((now_s + LATE_S, target, self.cycle.grip, self.cycle.machines))
        if not self.phases or self.cycle.phase is not self.phases[-1]:
            self.phases.append(self.cycle.phase)

    def _arrive(self, at_s: float, target: np.ndarray, grip: float, machines: np.ndarray) -> None:
        self.supervisor.receive(self.joints, list(target), LATE_S, at_s)
        wanted = self.arm.gripper.position(grip * self.arm.cell.task.grip.open_share)
        stands = bool(self.supervisor.latched)
        passed = self.guard.receive([self.arm.gripper.joint], [wanted], LATE_S, at_s, stands)
        if passed is not None:
            self.arm.grip(passed)
        self.arm.drive(dict(zip(self.around.machines, machines)))

    def _show(self) -> None:
        for name, (p, yaw) in (self.arm.seen or {}).items():
            self.around.see(name, Pose(about_z(np.array([yaw])), p[None]))
        self.around.hear(self.arm.openings)
