"""One individual arm in a handling cell: its gripper, its vises and doors, and a camera that follows the parts."""

from collections.abc import Mapping

import numpy as np

from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import Plant
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import Pose, tool_pose
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.virtual_arm.arm import Reading, Sensors
from robot_rlaas.deploy.virtual_arm.score import Attempt, Call, Scorekeeper
from robot_rlaas.env.handling.camera import Camera
from robot_rlaas.env.handling.judge import Gates, Judge, Truth, seats_of, truth
from robot_rlaas.env.handling.plan import plan_of
from robot_rlaas.sim.backend import Physics
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import build
from robot_rlaas.sim.starts import Flat, machines, scene
from robot_rlaas.sim.variation import draw

ONE = np.arange(1)
AT_HOME_M = 0.02  # so near home the tool is out of the way of whoever lays parts


class _Judged:
    """See `score.Truth`. It is judged once per control period, as in simulation.

    Args:
        episode: its number.
        judge, gates: of the cell.
        seats: (1, seats) where parts are to stand.
        every: ticks of a control period.
        home_m: (1, 3) where the tool is at home.
        envelope: of the arm.
    """

    def __init__(
        self, episode: int, judge: Judge, gates: Gates, seats: Flat, every: int, home_m: np.ndarray, envelope: Envelope
    ) -> None:
        self._episode, self._judge, self._gates, self._seats = episode, judge, gates, seats
        self._every, self._home_m, self._envelope = every, home_m, envelope
        self._stage, self._lost, self._ticks, self._contact_N = np.zeros(1, int), np.zeros(1, int), 0, np.zeros(1)
        self._call = Call(0, False, False, False, False)
        self.now: Physics | None = None

    @property
    def episode(self) -> int:
        """See `score.Truth`."""
        return self._episode

    def call(self, cell: CellSpec, tool: Pose) -> Call:
        """See `score.Truth.call`. Clear is a tool at home."""
        assert self.now is not None
        self._contact_N, self._ticks = np.maximum(self._contact_N, self.now.contact_N), self._ticks + 1
        trespass = bool(self._gates.trespass(self._envelope, tool, self.now.openings)[0])
        clear = float(np.linalg.norm(tool.p - self._home_m)) < AT_HOME_M
        self._call = self._call._replace(keep_out=trespass, clear=clear)
        if self._ticks % self._every == 0:
            now = truth(tool, self.now)._replace(contact_N=self._contact_N)
            verdict = self._judge.judge(self._stage, self._lost, self._seats, now)
            self._stage, self._lost, self._contact_N = verdict.stage, verdict.lost, np.zeros(1)
            done, failed = bool(verdict.done[0]), bool(verdict.failed[0])
            self._call = self._call._replace(stage=int(verdict.stage[0]), done=done, failed=failed)
        return self._call


class VirtualHandlingArm:
    """See `VirtualArm`. Parts lie anew for every attempt; doors go on by their own clocks.

    Attributes:
        gripper: as the hardware profile names it.
        seen: what a picture of the last tick shows, by the part's name: its base's position (3,), m, and turn about z,
            rad; nothing of a part that the tool hides. None between two pictures.
    """

    def __init__(self, cell: CellSpec, plant: Plant, seed: int) -> None:
        self.cell, self._task = cell, HandlingTask.of(cell)
        self.workcell = build(cell)
        self.profile = self.workcell.profile
        self.gripper = self.profile.moved_gripper
        self._seed, self._ticks, self._sensors = seed, 0, Sensors(plant, seed)
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, int(Space.DEPLOY), 0, 3]))
        self.tick_s = 1.0 / self.profile.state_rate_hz
        self._backend = CpuBackend(self.workcell, cell, 1, nthread=1)
        self._substeps = max(1, round(self.tick_s / self.workcell.model.opt.timestep))
        self._every = max(1, round(cell.period_s / self.tick_s))
        bind, self._arm = self._backend.batch.bind, slice(len(self.profile.joints))
        self._qvel, self._effort = bind("qvel"), bind("qfrc_actuator")
        self._names = [fixture.name for fixture in self._task.moving]
        self._home = np.deg2rad(np.array([cell.robot.home_deg]))
        self._held, self._grip = self._home[0], 1.0
        self._plan, self._told = plan_of(self._task), np.ones(len(self._names))
        first = _worn(draw(cell, Seeds(seed, Space.DEPLOY), ONE), plant, len(self.profile.joints))
        self._phase = scene(self._task, first.start).phase
        self._physics = self._backend.reset(ONE, first, self._home)
        self._camera, self._bias = Camera(self._task, 1, cell.period_s), np.zeros((1, len(self._task.parts), 3))
        self.score = Scorekeeper(cell, self.workcell.chain, self.workcell.envelope, self._open(0, first))
        self.seen: dict[str, tuple[np.ndarray, float]] | None = self._look(first=True)

    @property
    def time_s(self) -> float:
        """Time of the arm since its start."""
        return self._ticks * self.tick_s

    @property
    def openings(self) -> dict[str, float]:
        """From 0, closed, to 1, open, by the fixture's name."""
        return dict(zip(self._names, self._physics.openings[0].tolist()))

    @property
    def gripper_position(self) -> float:
        """Of its joint."""
        steps = np.linspace(0, 1, len(self.gripper.aperture_mm))
        share = np.interp(1000 * self._physics.aperture_m[0], self.gripper.aperture_mm, steps)
        return self.gripper.position(float(share))

    def truth(self) -> Truth:
        """Where everything is after the last tick."""
        return truth(tool_pose(self.workcell.chain, self._physics.q_rad), self._physics)

    def grip(self, position: float) -> None:
        """The gripper is to go there, at its own speed."""
        self._grip = self.gripper.share(position) / self._task.grip.open_share

    def drive(self, told: Mapping[str, float]) -> None:
        """Vises are to go there, from 0, closed, to 1, open. Doors are told nothing."""
        for i, fixture in enumerate(self._task.moving):
            if not isinstance(fixture, Door):
                self._told[i] = told.get(fixture.name, self._told[i])

    def tick(self, command_rad: np.ndarray | None) -> Reading:
        """See `VirtualArm.tick`."""
        self._held = self._held if command_rad is None else command_rad
        doors = machines(self._task, self._phase, self.time_s).told[0]
        opening = np.concatenate([[self._grip], np.minimum(self._told, doors)])[None]
        self._physics = now = self._backend.step(np.tile(self._held, (1, self._substeps, 1)), opening)
        self._ticks += 1
        self._judged.now = now
        self.seen = self._look(first=False) if self._ticks % self._every == 0 else None
        q = now.q_rad[0]
        self.score.watch(self.time_s, q, float(now.contact_N[0]), float(now.touch_N[0]))
        velocity, effort = self._qvel[0, self._arm].copy(), self._effort[0, self._arm].copy()
        return self._sensors.read(self.time_s, q, velocity, effort, now.wrench[0])

    def next_part(self) -> Attempt | None:
        """Close the books of this attempt and lay parts anew.

        Returns:
            The closed attempt, or None, and nothing happens, while the arm is not at home.
        """
        if not self.score.clear:
            return None
        episode = self.score.current.episode + 1
        fresh = draw(self.cell, Seeds(self._seed, Space.DEPLOY), np.array([episode]))
        self._backend.lay(ONE, fresh)
        self._physics = self._physics._replace(parts=self._backend.parts(ONE))
        attempt = self.score.next(self._open(episode, fresh))
        self.seen = self._look(first=True)
        return attempt

    def _open(self, episode: int, fresh: Draw) -> "_Judged":
        at = scene(self._task, fresh.start)
        self._bias = at.bias
        home, gates = tool_pose(self.workcell.chain, self._home).p, Gates(self._task)
        judge = Judge(self._task, self._plan, self.cell.period_s)
        seats = seats_of(self._plan, at.fixtures)
        self._judged = _Judged(episode, judge, gates, seats, self._every, home, self.workcell.envelope)
        return self._judged

    def _look(self, first: bool) -> dict[str, tuple[np.ndarray, float]]:
        noise = self._rng.standard_normal(self._bias.shape)
        sighting = self._camera.look(ONE, np.array([first]), self.truth(), self._bias, noise)
        rows = [i for i in range(len(self._task.parts)) if sighting.fresh[0, i]]
        return {self._task.parts[i].name: (sighting.p[0, i], float(sighting.yaw[0, i])) for i in rows}


def _worn(nominal: Draw, plant: Plant, joints: int) -> Draw:
    """A draw with the dynamics of one individual instead of those that vary."""

    def each(value: float | tuple[float, ...]) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, float), (1, joints)).copy()

    return nominal._replace(
        gain_scale=each(plant.servo_gain_scale),
        damping_scale=each(plant.joint_damping_scale),
        joint_friction_Nm=each(plant.joint_friction_Nm),
        armature_scale=each(plant.armature_scale),
        delay_s=np.array([plant.command_delay_s]),
        payload_kg=np.array([plant.payload_kg]),
        payload_m=np.array([[plant.payload_x_m, plant.payload_y_m, plant.payload_z_m]]),
    )
