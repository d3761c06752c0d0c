"""The page in a browser on which an operator demonstrates: the cell in 3D, a gizmo on the tool, keys and buttons."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

from robot_rlaas.sim.geometry import quaternion
from robot_rlaas.teleop.pilot import Goal, turned
from robot_rlaas.teleop.recorder import Recorder, Wish
from robot_rlaas.teleop.session import Phase
from robot_rlaas.view.scene import VIEWS, Bodies

BUTTONS = {  # wish -> label, key, when it makes sense
    "record": ("Record", "R", (Phase.READY,)),
    "keep": ("Keep", "V", (Phase.ENDED,)),
    "discard": ("Discard, next start", "X", tuple(Phase)),
    "again": ("Try this start again", "T", (Phase.RECORDING, Phase.ENDED)),
    "align": ("Over the goal", "H", (Phase.READY, Phase.RECORDING)),
    "grip": ("Open or close the gripper", "G", (Phase.READY, Phase.RECORDING)),
    "over": ("Take over or release", "P", (Phase.READY, Phase.RECORDING)),
    "overrule": ("Overrule the verdict", "B", (Phase.ENDED,)),
    "clear": ("Clear a stop of the arm", "C", (Phase.PREPARING, Phase.ENDED)),
}
JOGS = {  # keys -> what they say, and the axis of a nudge that they move along; the camera has W, A, S, D, Q and E
    ("I", "K"): ("away from the arm, towards it", 0),
    ("J", "L"): ("left, right", 1),
    ("U", "O"): ("up, down", 2),
    ("N", "M"): ("turn left, turn right", 3),
}
PICTURE_EVERY = 4  # periods
GIZMO_M = 0.09
UPRIGHT = ((-1e-9, 1e-9), (-1e-9, 1e-9), (-1e3, 1e3))  # rad, about x, y and z: an action can only turn about z


class Page:
    """What an operator sees and touches.

    Args:
        server: viser's.
        bodies: of the session's environment.
        recorder: what it tells is shown.
        pictures: what cameras see now (height, width, 3), by their names; always the same ones.

    Attributes:
        wishes: what somebody did there, in order; whoever runs the recorder takes them.
    """

    def __init__(
        self, server: Any, bodies: Bodies, recorder: Recorder, pictures: Callable[[], dict[str, np.ndarray]]
    ) -> None:
        self.wishes: SimpleQueue[Wish] = SimpleQueue()
        self._server, self._bodies, self._recorder, self._pictures = server, bodies, recorder, pictures
        self._periods, self._dragged, self._goal = 0, False, Goal(np.zeros(3), 0.0)
        gui = server.gui
        self._texts = [gui.add_markdown("") for _ in range(3)]
        self._buttons = {name: self._button(name) for name in BUTTONS if self._has(name)}
        pilot = recorder.session.pilot
        control = recorder.session.place.cell.control
        most_mm_s = control.step_mm * control.rate_hz
        hint = f"of the tool, 1 is {most_mm_s:.0f} mm/s; a key moves it by up to speed x {control.step_mm:g} mm"
        self._slider("speed", 0.05, pilot.speed, hint)
        if not recorder.session.place.on_arm:
            pace = recorder.session.place.pace
            self._slider("pace", 0.1, pace, "of time: below 1, the cell runs slower than the clock")
        self._images = {name: gui.add_image(seen, label=name, format="jpeg") for name, seen in pictures().items()}
        gui.add_markdown("\n".join(f"- **{' '.join(keys)}** {text}" for keys, (text, _) in JOGS.items()))
        for keys, (text, axis) in JOGS.items():
            for key, one, sign in zip(keys, text.split(", "), (1.0, -1.0)):
                self._command(f"Move the tool: {one}", key, Wish("nudge", tuple(sign * np.eye(4)[axis])))
        view = gui.add_dropdown("view", VIEWS, initial_value=VIEWS[1])
        view.on_update(lambda event: bodies.look(event.client.camera, view.value))
        self._gizmo = server.scene.add_transform_controls(
            "/goal", scale=GIZMO_M, line_width=3.0, rotation_limits=UPRIGHT, depth_test=False
        )
        self._gizmo.on_update(self._drag)
        self.show()

    def _has(self, wish: str) -> bool:
        session = self._recorder.session
        arm = session.place.on_arm
        has = {"grip": session.pilot.grips, "over": session.has_policy, "overrule": arm, "clear": arm, "again": not arm}
        return has.get(wish, True)

    def _button(self, name: str) -> Any:
        label, key, _ = BUTTONS[name]
        button = self._server.gui.add_button(f"{label} ({key})")
        button.on_click(lambda _: self.wishes.put(Wish(name)))
        self._command(label, key, Wish(name))
        return button

    def _command(self, label: str, key: str, wish: Wish) -> None:
        self._server.gui.add_command(label, hotkey=key).on_trigger(lambda _: self.wishes.put(wish))

    def _slider(self, wish: str, low: float, value: float, hint: str) -> None:
        slider = self._server.gui.add_slider(wish, low, 1.0, 0.05, value, hint=hint)
        slider.on_update(lambda event: self.wishes.put(Wish(wish, (float(event.target.value),))))

    async def _drag(self, event: Any) -> None:
        """Not in a thread of its own: the parts of a drag stay in order."""
        self._dragged = event.phase != "end"
        if event.phase == "update":
            w, _, _, z = event.target.wxyz
            self.wishes.put(Wish("goal", (*map(float, event.target.position), float(2 * np.arctan2(z, w)))))

    def show(self) -> None:
        """Bring the page up to date."""
        session, told = self._recorder.session, self._recorder.told()
        self._bodies.show()
        for text, now in zip(self._texts, told):
            _change(text, "content", now)
        for name, button in self._buttons.items():
            _change(button, "disabled", session.phase not in BUTTONS[name][2])
        if not self._dragged:
            self._put(session.pilot.goal)
        self._periods += 1
        if self._periods % PICTURE_EVERY == 0:
            for name, seen in self._pictures().items():
                self._images[name].image = seen

    def _put(self, goal: Goal) -> None:
        if goal is not self._goal:
            self._goal = goal
            with self._server.atomic():
                self._gizmo.position, self._gizmo.wxyz = goal.p, quaternion(turned(goal.yaw))


def _change(control: Any, name: str, value: object) -> None:
    """Say it only when it is news: every assignment goes to every browser."""
    if getattr(control, name) != value:
        setattr(control, name, value)
