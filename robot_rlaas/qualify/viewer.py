"""A cell as a 3D page on this machine: move the joints, turn every knob of the variation, watch the scripted expert."""

import queue
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.draws import Draw
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.variation import draw
from robot_rlaas.view.scene import VIEWS, Bodies, address, page_server

EPISODES = 24
MM, DEG = 1e-3, np.pi / 180
FIELDS = {  # factor of the cell's variation -> field of Draw, its axes, and what a unit of the factor is there
    "plate_xy_mm": ("plate_xy_m", "xy", MM),
    "plate_yaw_deg": ("plate_yaw_rad", "", DEG),
    "plate_bias_mm": ("bias_xy_m", "xy", MM),
    "plate_bias_deg": ("bias_yaw_rad", "", DEG),
    "hand_offset_mm": ("hand_m", "xyz", MM),
    "hand_offset_deg": ("hand_rad", "xyz", DEG),
    "friction": ("friction", "", 1.0),
    "joint_damping_scale": ("damping_scale", "", 1.0),
    "joint_friction_Nm": ("joint_friction_Nm", "", 1.0),
    "servo_gain_scale": ("gain_scale", "", 1.0),
    "command_delay_s": ("delay_s", "", 1.0),
}


class Knob(NamedTuple):
    """One number of a draw, in the unit of its label, within what the cell allows."""

    label: str
    low: float
    high: float
    field: str
    axis: int | None
    scale: float

    def get(self, start: Draw) -> float:
        """Its value in a draw of one row; where every joint has its own, their mean."""
        row = getattr(start, self.field)[0]
        return float(np.mean(row if self.axis is None else row[self.axis])) / self.scale

    def shown(self, start: Draw) -> float:
        """The same as a slider has it: rounded, and within its ends also where a calibration draws beyond them."""
        return float(np.clip(round(self.get(start), 3), self.low, self.high))

    def set(self, start: Draw, value: float) -> Draw:
        """The draw with another value; where every joint has its own, all get it."""
        column = getattr(start, self.field).copy()
        column[(0,) if self.axis is None else (0, self.axis)] = value * self.scale
        return start._replace(**{self.field: column})


def knobs(cell: CellSpec) -> list[Knob]:
    """Of everything that the cell varies, but what only its cameras see."""
    found = []
    for factor, (field, axes, scale) in FIELDS.items():
        low, high = getattr(cell.variation, factor)
        for i, axis in enumerate(axes or " "):
            found.append(Knob(f"{factor} {axis}".strip(), low, high, field, i if axes else None, scale))
    for i, (name, (low, high)) in enumerate(cell.task.start_ranges.items()):
        found.append(Knob(name, low, high, "start", i, 1.0))
    return [knob for knob in found if knob.low < knob.high]


def serve(cell: CellSpec, workcell: Workcell, port: int, seed: int, say: Callable[[str], None]) -> None:
    """Serve the page on the loopback address until somebody presses Ctrl-C.

    Args:
        cell, workcell: what to show.
        port: the first to try; the next free one is taken.
        seed: of the episodes to choose from.
        say: is told the page's address.

    Raises:
        InputError: if viser is not installed.
    """
    with page_server(port, cell.name) as server:
        page = _Page(server, _World(server, cell, workcell, seed))
        say(f"{address(server)} (Ctrl-C ends it)")
        while True:
            page.do(page.wishes.get())


class _World:
    """One episode, and its bodies on the page."""

    def __init__(self, server: Any, cell: CellSpec, workcell: Workcell, seed: int) -> None:
        self.cell, self.workcell, self.seeds = cell, workcell, Seeds(seed, Space.SHOW)
        self._backend = CpuBackend(workcell, cell, 1, nthread=1)
        self.env = BatchEnv(cell, workcell, self._backend, self.seeds, restart=False)
        self.bodies = Bodies(server, self.env)

    def put(self, start: Draw, q_rad: np.ndarray | None = None) -> None:
        """Begin the episode of this draw; `q_rad` (k,) lets the arm stand elsewhere than at home."""
        self.env.reset(starts=start)
        if q_rad is not None:
            self._backend.reset(np.zeros(1, np.int64), start, q_rad[None])
        self.bodies.show()


class _Page:
    """The controls. What somebody does there becomes a wish, and one thread does them: MuJoCo is not for several."""

    def __init__(self, server: Any, world: _World) -> None:
        self.wishes: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._world = world
        self._start = self._episode(0)
        gui, chain, limits = server.gui, world.workcell.chain, world.workcell.envelope
        self._text = gui.add_markdown(world.cell.description)
        view = gui.add_dropdown("view", VIEWS)
        view.on_update(lambda event: world.bodies.look(event.client.camera, view.value))
        with gui.add_folder("Episode"):
            self._choice = gui.add_dropdown("start", [str(i) for i in range(EPISODES)])
            self._wish("episode", self._choice)
            self._play = gui.add_button("Play the scripted expert")
            self._play.on_click(lambda _: self.wishes.put(("play", 0.0)))
        with gui.add_folder("Variation"):
            self._knobs = {knob.label: (knob, self._slider(gui, knob)) for knob in knobs(world.cell)}
        home = world.cell.robot.home_deg
        with gui.add_folder("Joints [deg]"):
            ends = zip(chain.joints, *(np.rad2deg(end).round(1) for end in (limits.lower_rad, limits.upper_rad)), home)
            self._joints = [gui.add_slider(name, low, high, 0.1, at) for name, low, high, at in ends]
            for joint in self._joints:
                self._wish("joint", joint)
        world.put(self._start)

    def _episode(self, number: int) -> Draw:
        return draw(self._world.cell, self._world.seeds, np.array([number]))

    def _slider(self, gui: Any, knob: Knob) -> Any:
        step = 10.0 ** np.floor(np.log10((knob.high - knob.low) / 50))
        slider = gui.add_slider(knob.label, knob.low, knob.high, step, knob.shown(self._start))
        self._wish(knob.label, slider)
        return slider

    def _wish(self, name: str, control: Any) -> None:
        def made(event: Any) -> None:
            if event.client is not None:  # what the page itself sets is no wish
                self.wishes.put((name, float(event.target.value)))

        control.on_update(made)

    def do(self, wish: tuple[str, float]) -> None:
        """Do one wish."""
        name, value = wish
        if name == "play":
            self._run()
            return
        if name == "episode":
            self._start = self._episode(int(value))
            for knob, slider in self._knobs.values():
                slider.value = knob.shown(self._start)
        elif name != "joint":
            self._start = self._knobs[name][0].set(self._start, value)
        self._world.put(self._start, np.deg2rad([joint.value for joint in self._joints]))

    def _run(self) -> None:
        """The scripted expert from here, in real time, until it ends or somebody wishes something else."""
        env = self._world.env
        expert = expert_of(self._world.cell, env.contract, 1)
        self._world.put(self._start)
        for joint, home in zip(self._joints, self._world.cell.robot.home_deg):
            joint.value = home
        env.tell(expert)
        expert.reset(np.zeros(1, np.int64))
        began, outcomes, steps = time.monotonic(), [], 0
        while not outcomes and self.wishes.empty():
            outcomes = env.step(expert.act(env.observation)).outcomes
            steps += 1
            self._world.bodies.show()
            stage = env.task.stages[int(env.stage[0])]
            self._text.content = f"**{stage}**, {steps * env.cell.period_s:.2f} s"
            time.sleep(max(0.0, began + steps * env.cell.period_s - time.monotonic()))
        for outcome in outcomes:
            ending = "done" if outcome.success else f"not done, got as far as {env.task.stages[outcome.stage]}"
            self._text.content = (
                f"**{ending}**, {steps * env.cell.period_s:.2f} s, at most {outcome.peak_force_N:.0f} N"
            )
