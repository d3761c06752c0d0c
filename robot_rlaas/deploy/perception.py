"""From pictures of a print on the plate to the plate's pose in the base frame, or to a reason why there is none yet.

Asked for the next part, it waits until a few pictures in a row agree, takes the mean of where they show the print's
corners, fits the plate's pose to that and says it once. No ROS object in here and no clock.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robot_rlaas.cell.perception import Eye
from robot_rlaas.control.kinematics import SerialChain, tool_pose
from robot_rlaas.deploy.plate_pose import Camera, PlatePose, Refused
from robot_rlaas.vision.poses import carried, in_parent
from robot_rlaas.vision.target import Marks, target_of

FUTURE_S = 0.1  # of a stamp, ahead of the clock
SILENT_S = 2.0  # without a picture
STATES_S = 2.0  # of joint states that are kept
LATE_STATES_S = 0.3  # so long after a picture's stamp the joint states may come
REST_S, REST_RAD = 0.3, 2e-3  # so long before a picture the arm has to stand, and how still


class Picture(NamedTuple):
    """A grey picture (h, w), uint8, and when it was taken."""

    gray: np.ndarray
    stamp_ns: int

    @property
    def stamp_s(self) -> float:
        """When it was taken."""
        return self.stamp_ns * 1e-9


class Seen(NamedTuple):
    """The plate's pose; see `Fit`.

    Attributes:
        stamp_ns: of the last picture.
        pictures: how many it rests on.
    """

    T_base_plate: np.ndarray
    covariance: np.ndarray
    corners: int
    residual_px: float
    stamp_ns: int
    pictures: int


class Sight(NamedTuple):
    """What one picture shows, and where the camera was."""

    stamp_ns: int
    marks: Marks
    camera: Camera


class Perception:
    """Looks from `ask` until it has said one pose.

    Args:
        eye: the perception file and its calibration.
        height_m: of the hole in the base frame, as the cell says.
        chain: of the arm up to its flange, for a camera on the wrist; None for one in the cell.
    """

    def __init__(self, eye: Eye, height_m: float, chain: SerialChain | None = None) -> None:
        self._spec, self._calibration = eye
        self._target, self._chain = target_of(eye.spec.target), chain
        self._plate = PlatePose(eye, self._target, height_m)
        self._size = eye.calibration.lens.height_px, eye.calibration.lens.width_px
        self._states: deque[tuple[float, np.ndarray]] = deque()
        self._asked_s, self._heard_s, self._looking = -np.inf, -np.inf, False
        self._waiting: Picture | None = None
        self._sights: list[Sight] = []

    @property
    def looking(self) -> bool:
        """A pose is asked for and not yet said."""
        return self._looking

    def ask(self, now_s: float) -> None:
        """The next part is wanted: only pictures that are taken from now on count."""
        self._asked_s = self._heard_s = now_s
        self._looking, self._waiting, self._sights = True, None, []

    def through(self, lens: np.ndarray, size: tuple[int, int]) -> None:
        """From now on the lens is this one, (9,), for pictures of this height and width."""
        self._plate.lens, self._size = lens, size

    def measure(self, names: Sequence[str], position_rad: Sequence[float], stamp_s: float) -> None:
        """Take in measured joint angles, in any order and with other joints among them."""
        at = dict(zip(names, position_rad))
        if self._chain is None or not all(name in at for name in self._chain.joints):
            return
        if self._states and stamp_s <= self._states[-1][0]:
            self._states.clear()
        self._states.append((stamp_s, np.array([at[name] for name in self._chain.joints])))
        while self._states[0][0] < stamp_s - STATES_S:
            self._states.popleft()

    def see(self, picture: Picture, now_s: float) -> Refused | None:
        """Take in a picture; `look` says what comes of it."""
        if not self._looking:
            return None
        self._heard_s = now_s
        age_s = now_s - picture.stamp_s
        if not -FUTURE_S <= age_s <= self._spec.accept.age_s:
            text = f"a picture is stamped {abs(age_s):.2f} s {'ago' if age_s > 0 else 'ahead'}; synchronise the clocks"
            return Refused("old" if age_s > 0 else "future", f"{text}, or allow more in accept.age_s")
        if picture.stamp_s < self._asked_s or self._waiting is not None:
            return None
        if self._sights and picture.stamp_ns <= self._sights[-1].stamp_ns:
            return Refused("old", "the pictures repeat an old stamp: does the camera's driver still work?")
        if picture.gray.shape != self._size:
            (h, w), (height, width) = picture.gray.shape, self._size
            return Refused("size", f"the pictures are {w} x {h}; the camera was calibrated at {width} x {height}")
        self._waiting = picture
        return None

    def look(self, now_s: float) -> Seen | Refused | None:
        """What there is to say now: a pose, once, or why there is none yet, or nothing new."""
        if not self._looking:
            return None
        picture = self._waiting
        if picture is None:
            if now_s - self._heard_s < SILENT_S:
                return None
            return Refused("silent", f"no pictures on {self._spec.camera.image} for {SILENT_S:g} s")
        if self._chain is not None and not (self._states and self._states[-1][0] >= picture.stamp_s):
            if now_s - picture.stamp_s < LATE_STATES_S:
                return None
            self._waiting = None
            return Refused("no_joints", "no joint states from when the picture was taken: where was the camera?")
        self._waiting = None
        sight = self._sight(picture)
        if isinstance(sight, Refused):
            self._sights = []
            return sight
        self._sights.append(sight)
        shared, at_px = self._shared()
        moving = self._moving(at_px)
        if moving is not None or len(self._sights) < self._spec.accept.pictures:
            return moving
        count, self._sights = len(self._sights), []
        fit = self._plate.fit(shared, at_px.mean(axis=0), sight.camera)
        if isinstance(fit, Refused):
            return fit
        self._looking = False
        return Seen(*fit, sight.stamp_ns, count)

    def _sight(self, picture: Picture) -> Sight | Refused:
        """The print in one picture, and the camera."""
        camera = self._camera(picture.stamp_s)
        if isinstance(camera, Refused):
            return camera
        marks, least = self._target.find(picture.gray), self._target.least
        if not len(marks.ids):
            return Refused("not_found", "the print is not in the picture, or hidden, blurred or not the file's")
        if len(marks.ids) < least:
            return Refused("few_corners", f"only {len(marks.ids)} corners of the print are seen; {least} are needed")
        return Sight(picture.stamp_ns, marks, camera)

    def _camera(self, stamp_s: float) -> Camera | Refused:
        """Where the camera was."""
        camera, noise = self._calibration.camera, self._calibration.noise
        T_camera, covariance = camera.matrix(), np.array(camera.covariance)
        if self._chain is None:
            return Camera(T_camera, covariance)
        stamps_s = np.array([s for s, _ in self._states])
        q = np.array([angles for _, angles in self._states])
        if stamps_s[0] > stamp_s - REST_S:
            return Refused("no_joints", f"no joint states from the {REST_S:g} s before the picture yet")
        q_then = np.array([np.interp(stamp_s, stamps_s, joint) for joint in q.T])
        away = np.abs(q[stamps_s >= stamp_s - REST_S] - q_then).max(axis=0)
        if away.max() > REST_RAD:
            joint = self._chain.joints[int(away.argmax())]
            return Refused("moving", f"the arm moves: {joint} by {away.max():.4f} rad within {REST_S:g} s")
        pose = tool_pose(self._chain, q_then[None])
        T_flange = np.eye(4)
        T_flange[:3, :3], T_flange[:3, 3] = pose.R[0], pose.p[0]
        arm = np.diag(np.repeat([noise.robot_position_m, noise.robot_rotation_rad], 3) ** 2)
        lever_m = T_flange[:3, :3] @ T_camera[:3, 3]
        return Camera(T_flange @ T_camera, in_parent(T_flange[:3, :3], covariance) + carried(lever_m, arm))

    def _moving(self, at_px: np.ndarray) -> Refused | None:
        """Whether corners (pictures, m, 2) lie still; where they do not, the last picture is the first anew."""
        if not at_px.shape[1]:
            return None
        shift_px = float(np.sqrt(((at_px - at_px.mean(axis=0)) ** 2).sum(axis=2).mean(axis=1)).max())
        most = self._spec.accept.shift_px
        if shift_px <= most:
            return None
        self._sights = self._sights[-1:]
        return Refused("disagree", f"the plate or the camera moves: corners by {shift_px:.2f} pixels; allowed {most:g}")

    def _shared(self) -> tuple[np.ndarray, np.ndarray]:
        """The points that all pictures show: ids (m,) and where, (pictures, m, 2)."""
        shared = self._sights[0].marks.ids
        for sight in self._sights[1:]:
            shared = np.intersect1d(shared, sight.marks.ids)
        rows = [{int(n): i for i, n in enumerate(s.marks.ids)} for s in self._sights]
        at_px = [s.marks.at_px[[at[int(n)] for n in shared]] for s, at in zip(self._sights, rows)]
        return shared, np.array(at_px).reshape(len(self._sights), len(shared), 2)
