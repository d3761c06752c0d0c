"""A gentle press: down onto the plate until it is felt, a rest, a short slide, up, and on to the next spot.

A guarded move, closed over the felt wrench once per control period. The tip goes down so slowly that what it does
until a touch is noticed (the mean of a period, the setpoints' lag, the arm's delay) presses little more than was asked
for. How stiff arm and plate are is not known beforehand; the first press tells. No ROS object in here and no clock, as
in `cycle`.
"""

from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.controller import ToolController
from robot_rlaas.control.joint_path import path_to
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.rotation import rotate
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.cycle import Sensed
from robot_rlaas.deploy.spots import Spot, clear_m, face_m, spots

FORCE_N, DEPTH_MM = (5.0, 20.0), (1.0, 10.0)  # what may be asked for
TOO_MUCH, HARD = 2.0, 3.0  # times the asked force: the tip is lifted off; the supervisor stops the arm
TOUCH, SLIDE = 0.4, 0.6  # of the asked force: from here on it creeps; while sliding
MOVE_M_S, LOWER_M_S, LIFT_M_S = 0.030, 0.005, 0.015
SEARCH_M_S, SLIDE_M_S, CREEP = 0.001, 0.005, 0.25  # down, at most; along the plate; of the first, once it touches
NOTICED_S = 0.25  # from a touch until the setpoints stop
NEAR_M = 0.003  # above the nearest place that was felt: from here on the plate is searched for
SLIPPED_M = 0.0015  # so much lower than where it touched, and a sliding tip has found a hole or an edge
SETTLE_S, TARE_S, REST_S, EASE_S = 0.4, 0.8, 0.8, 0.6
REGULATION = 2.0  # of the error in force, per second
UNKNOWN_N_M, STIFFNESS_N_M = 3e4, (2e3, 2e5)  # of arm and plate together: before the first press, and at all
PLATE_S, LATE_S = 30.0, 2.0  # patience: for the plate's pose, and with a move beyond the time that it takes
THERE_M = 1e-5
LEVEL = np.eye(3)[None]

Steps = Iterator[np.ndarray]  # joint targets (k,), rad, one per period


class Gentle(NamedTuple):
    """How hard it presses, and how far above and below the nominal plate it searches."""

    force_N: float = 8.0
    depth_m: float = 0.005


def gentle_of(force_N: float, depth_mm: float) -> Gentle:
    """How hard and how deep, as somebody asks for it.

    Raises:
        InputError: if that is not gentle, or can hardly be felt.
    """
    asked = (("force", force_N, "N", FORCE_N), ("depth", depth_mm, "mm", DEPTH_MM))
    for name, value, unit, (low, high) in asked:
        if not low <= value <= high:
            raise InputError(f"a {name} of {value:g} {unit}; allowed are {low:g} to {high:g} {unit}")
    return Gentle(force_N, depth_mm / 1000)


class Trouble(Exception):
    """It cannot go on; the message says why, and what to do. Where the way is not `free`, the arm does not go home."""

    def __init__(self, text: str, free: bool = False) -> None:
        super().__init__(text)
        self.free = free


class Press:
    """Presses a tip onto a plate at a few spots. See `Motion`; call `step` once per control period.

    Args:
        cell: an insertion cell.
        chain, envelope: of the arm.
        gentle: how.
        tell: gets a line per spot.
    """

    def __init__(
        self, cell: CellSpec, chain: SerialChain, envelope: Envelope, gentle: Gentle, tell: Callable[[str], None]
    ) -> None:
        self.start_rad, self.finished, self.trouble = np.deg2rad(np.array(cell.robot.home_deg)), False, ""
        self.doing: dict[str, Any] = {"doing": "wait"}
        self._cell, self._chain, self._envelope, self._gentle, self._tell = cell, chain, envelope, gentle, tell
        self._controller = ToolController(chain, cell.control, envelope, 1, upright=True)
        self._controller.reset(self.start_rad[None])
        self._target, self._zero, self._limit_N = self.start_rad, np.zeros(6), np.inf
        self._stiffness_N_m = UNKNOWN_N_M
        self._felt: list[np.ndarray] = []  # where the tip rested on the plate
        self._steps: Steps = self._press()

    def step(self, sensed: Sensed) -> np.ndarray:
        """See `Motion.step`."""
        self._sensed, self._tool = sensed, self._controller.state(sensed.q_rad[None])
        self._force_N = rotate(self._tool.measured.R, (sensed.wrench - self._zero)[None, :3])[0]
        force_N = float(np.linalg.norm(self._force_N))
        try:
            if force_N > self._limit_N:
                raise Trouble(f"felt {force_N:.0f} N, allowed were {self._limit_N:.0f} N: {self._what_now()}")
            target = next(self._steps, None)
        except Trouble as trouble:
            self.trouble, self._steps = str(trouble), self._end(home=trouble.free)
            target = next(self._steps, None)
        self.finished = target is None
        self._target = self._target if target is None else target
        return self._target

    def leave(self) -> None:
        """See `Motion.leave`. The tip is lifted off, then the arm stands."""
        self._steps = self._end(home=False)

    def _press(self) -> Steps:
        places = yield from self._look()
        yield from self._tare({})
        for number, spot in enumerate(places, start=1):
            yield from self._at_spot(number, len(places), spot)
        yield from self._end(home=True)

    def _at_spot(self, number: int, count: int, spot: Spot) -> Steps:
        here, expected_m = {"spot": number}, self._expected(spot)
        near_m = NEAR_M if self._felt else self._gentle.depth_m
        self._limit_N = self._gentle.force_N
        yield from self._go([*spot.at_m, clear_m(self._cell)], MOVE_M_S)
        yield from self._go([*spot.at_m, expected_m + near_m], LOWER_M_S)
        free_m = yield from self._tare(here)
        self._limit_N = TOO_MUCH * self._gentle.force_N
        yield from self._down(expected_m - self._gentle.depth_m, f"spot {number}")
        pressed_m = yield from self._rest({**here, "doing": "rest"})
        up_N, tip_m = float(self._force_N[2]), self._tool.measured.p[0].copy()
        self._stiffness_N_m = float(np.clip(up_N / max(free_m - pressed_m, 1e-6), *STIFFNESS_N_M))
        self._felt.append(tip_m)
        off_mm = 1000 * (tip_m[2] - face_m(self._cell))
        side = "above" if off_mm > 0 else "below"
        self._tell(f"spot {number} of {count}: {abs(off_mm):.2f} mm {side} where the cell has it, felt {up_N:.1f} N")
        yield from self._ease()
        yield from self._rest({**here, "doing": "rest"})
        for stroke, end_m in enumerate((spot.to_m, spot.at_m)):
            yield from self._slide(end_m, {**here, "doing": "slide", "stroke": stroke})
        yield from self._go([*spot.at_m, clear_m(self._cell)], LIFT_M_S)

    def _look(self) -> Generator[np.ndarray, None, list[Spot]]:
        """Wait for the plate's pose -> where it can be pressed."""
        since_s = self._sensed.time_s
        while self._sensed.plate is None:
            if self._sensed.time_s - since_s > PLATE_S:
                raise Trouble("nobody says where the plate is: start what publishes its pose", free=True)
            yield self._moved(np.zeros(3))
        try:
            return spots(self._cell, self._chain, self._envelope, self._sensed.plate)
        except InputError as error:
            raise Trouble(f"{error.message}; {error.fix}", free=True) from error

    def _expected(self, spot: Spot) -> float:
        """At what height the plate should be felt."""
        if not self._felt:
            return face_m(self._cell)
        return float(min(self._felt, key=lambda tip_m: np.linalg.norm(tip_m[:2] - spot.at_m))[2])

    def _tare(self, here: dict[str, Any]) -> Generator[np.ndarray, None, float]:
        """What is felt at rest in free air is zero from here on -> the lead's z there, m."""
        yield from self._still(SETTLE_S)
        self.doing = {**here, "doing": "tare"}
        wrenches, leads = [], []
        for _ in range(self._periods(TARE_S)):
            yield self._moved(np.zeros(3))
            wrenches.append(self._sensed.wrench)
            leads.append(self._tool.lead[0, 2])
        self.doing = {**here, "doing": "move"}
        self._zero = np.mean(wrenches, axis=0)
        return float(np.mean(leads))

    def _down(self, lowest_m: float, where: str) -> Steps:
        """Down until the asked force is felt."""
        asked_N = self._gentle.force_N
        slowly_m_s = min(SEARCH_M_S, TOUCH * asked_N / (self._stiffness_N_m * NOTICED_S))
        while self._force_N[2] < asked_N:
            if self._reference_m[2] < lowest_m:
                deep_mm = 1000 * self._gentle.depth_m
                raise Trouble(
                    f"no touch at {where} down to {deep_mm:g} mm below where the plate should be: measure its height "
                    "and correct task.plate.top_mm, or search deeper with --depth-mm",
                    free=True,
                )
            speed_m_s = CREEP * slowly_m_s if self._force_N[2] > TOUCH * asked_N else slowly_m_s
            yield self._moved(np.array([0.0, 0.0, -speed_m_s]))

    def _rest(self, doing: dict[str, Any]) -> Generator[np.ndarray, None, float]:
        """Stand still -> the lead's z at the end, m."""
        yield from self._still(SETTLE_S)
        self.doing = doing
        leads = []
        for _ in range(self._periods(REST_S)):
            yield self._moved(np.zeros(3))
            leads.append(self._tool.lead[0, 2])
        self.doing = {**doing, "doing": "move"}
        return float(np.mean(leads))

    def _ease(self) -> Steps:
        """To the force of a slide."""
        for _ in range(self._periods(EASE_S)):
            yield self._pressing(np.zeros(2))

    def _slide(self, end_m: np.ndarray, doing: dict[str, Any]) -> Steps:
        """To a place on the plate (2,), under the force of a slide."""
        way_m, lowest_m = end_m - self._reference_m[:2], self._felt[-1][2] - SLIPPED_M
        count = max(1, round(float(np.linalg.norm(way_m)) / (SLIDE_M_S * self._cell.period_s)))
        self.doing = doing
        for _ in range(count):
            yield self._pressing(way_m / (count * self._cell.period_s))
            if self._tool.measured.p[0, 2] < lowest_m:
                raise Trouble(f"the sliding tip sank in: {self._what_now()}")
        self.doing = {**doing, "doing": "move"}

    def _end(self, home: bool) -> Steps:
        """Up, if it is not clear of the plate, and home or not."""
        self._limit_N, self.doing = np.inf, {"doing": "move"}
        x, y, z = self._reference_m
        if z < clear_m(self._cell):
            yield from self._go([x, y, clear_m(self._cell)], LIFT_M_S)
        if home:
            path = path_to(self._controller, self.start_rad)
            while (target := path.next()) is not None:
                yield target
        for _ in range(self._periods(SETTLE_S)):  # targets that cease in motion are a fault
            yield self._target

    def _go(self, goal_m: list[float], speed_m_s: float) -> Steps:
        """Straight to a place (3,)."""
        far_m = float(np.linalg.norm(goal_m - self._reference_m))
        for _ in range(self._periods(2 * far_m / speed_m_s + LATE_S)):
            gap_m = goal_m - self._reference_m
            far_m = float(np.linalg.norm(gap_m))
            if far_m < THERE_M:
                return
            yield self._moved(gap_m * min(1.0 / self._cell.period_s, speed_m_s / far_m))
        raise Trouble("the arm does not get where it shall: a joint limit or a keep-out box holds it back")

    def _still(self, seconds: float) -> Steps:
        for _ in range(self._periods(seconds)):
            yield self._moved(np.zeros(3))

    def _pressing(self, velocity_m_s: np.ndarray) -> np.ndarray:
        """Along the plate (2,), regulated towards the force of a slide."""
        over_N = self._force_N[2] - SLIDE * self._gentle.force_N
        up_m_s = REGULATION * over_N / self._stiffness_N_m
        return self._moved(np.array([*velocity_m_s, np.clip(up_m_s, -SEARCH_M_S, SEARCH_M_S)]))

    def _moved(self, velocity_m_s: np.ndarray) -> np.ndarray:
        """The target (k,) after a period at this velocity (3,) of the tool, in the base frame."""
        step = velocity_m_s * self._cell.period_s / (self._cell.control.step_mm / 1000)
        return self._controller.command(np.append(step, 0.0)[None], self._tool, LEVEL).target_rad[0]

    @property
    def _reference_m(self) -> np.ndarray:
        """(3,) where the tool is told to be."""
        return self._tool.measured.p[0] + self._tool.lead[0, :3]

    def _periods(self, seconds: float) -> int:
        return max(1, round(seconds / self._cell.period_s))

    def _what_now(self) -> str:
        spot = self.doing.get("spot")
        return f"look at {f'spot {spot}' if spot else 'the way there'}, free the arm and move it home"
