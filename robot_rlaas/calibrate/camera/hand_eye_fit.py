"""Lens, camera and board in one least squares fit, with noise in the pictures and in the arm, and what is left unsure.

Unknown are the lens, the camera X and the board B (see `hand_eye`) and the board's pose in every picture. The pictures
hold the last through the corners, the arm through its stated tool poses; both err, and how much is estimated from the
residuals: variance components by Helmert's method, as in Koch, Parameter Estimation and Hypothesis Testing, 1999, 3.6.
"""

from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.camera.camera_lens import LensFit
from robot_rlaas.calibrate.camera.camera_views import View
from robot_rlaas.calibrate.camera.hand_eye import tool_poses
from robot_rlaas.cell.camera_calibration import Mount
from robot_rlaas.cell.errors import InputError
from robot_rlaas.vision.lens import project
from robot_rlaas.vision.poses import moved, step_between

MOST_STEPS = 200
SETTLED = 0.01  # of a standard deviation
FIRST_NOISE = np.array([0.1, 3e-4, 1e-3])
LEAST_NOISE = np.array([1e-3, 2e-5, 5e-5])  # no arm repeats its poses better
DIFFERENCE = 1e-6


class State(NamedTuple):
    """All that is unknown: lens (9,), X (4, 4), B (4, 4), T_camera_board (n, 4, 4)."""

    lens: np.ndarray
    X: np.ndarray
    B: np.ndarray
    T_camera_board: np.ndarray


class Fit(NamedTuple):
    """What was found.

    Attributes:
        state: the estimate.
        covariance: (6, 6) of X: shift in m and turn in rad about the parent's axes.
        lens_std: (9,).
        noise: (3,) standard deviations of corners, px, tool positions, m, and tool rotations, rad; per axis.
        corners_px: of each view (m, 2), seen minus reprojected.
        tool_steps: (n, 6) from the stated tool poses to those that the fit asks for, m and rad.
    """

    state: State
    covariance: np.ndarray
    lens_std: np.ndarray
    noise: np.ndarray
    corners_px: list[np.ndarray]
    tool_steps: np.ndarray


def fit_all(mount: Mount, views: list[View], lens: LensFit, X: np.ndarray, B: np.ndarray) -> Fit:
    """Gauss-Newton from a good start.

    The covariance is that of Student's distribution, as the noise is itself only estimated, from few views.

    Raises:
        InputError: if the fit does not settle.
    """
    problem = _Problem(mount, views)
    state, noise = State(lens.lens, X, B, lens.T_camera_board), FIRST_NOISE
    free = np.concatenate([lens.free, np.ones(12 + 6 * len(views), bool)])
    for _ in range(MOST_STEPS):
        r, J = problem.linearise(state)
        J = J[:, free]
        weight = 1.0 / noise[problem.kind]
        Jw, rw = J * weight[:, None], r * weight
        covariance = _inverse(Jw.T @ Jw)
        step = -covariance @ (Jw.T @ rw)
        redundancy = problem.count - _by_kind(np.einsum("ij,jk,ik->i", Jw, covariance, Jw, optimize=True), problem)
        squares = _by_kind((r + J @ step) ** 2, problem)
        renewed = np.maximum(np.sqrt(squares / np.maximum(redundancy, 1e-6)), LEAST_NOISE)
        state = problem.stepped(state, _spread(step, free))
        left = max((np.abs(step) / np.sqrt(np.diag(covariance))).max(), np.abs(renewed / noise - 1.0).max())
        noise = renewed
        if left < SETTLED:
            break
    else:
        message = f"the fit of camera and arm has not settled after {MOST_STEPS} steps"
        raise InputError(message, fix="record 15 or more pictures, the board tilted to all sides")
    spread = _spread(np.sqrt(np.diag(covariance)), free)
    of_X = slice(int(lens.free.sum()), int(lens.free.sum()) + 6)
    freedom = _freedom(Jw @ covariance[:, of_X], problem, redundancy)
    r, _ = problem.linearise(state)
    widened = covariance[of_X, of_X] * freedom / max(freedom - 2.0, 1e-9)
    return Fit(state, widened, spread[:9], noise, *problem.residuals_of(r))


class _Problem:
    """Residuals of n views and their derivatives. Order of the unknowns: lens, X, B, board in each view."""

    def __init__(self, mount: Mount, views: list[View]) -> None:
        self._mount: Mount = mount
        self._n = len(views)
        self._said = np.array([v.T_base_tool for v in views])
        self._board_m = np.concatenate([v.board_m for v in views])
        self._at_px = np.concatenate([v.at_px for v in views])
        self._view = np.repeat(np.arange(self._n), [len(v.at_px) for v in views])
        pixels = self._at_px.size
        self.kind = np.concatenate([np.zeros(pixels, int), np.tile([1, 1, 1, 2, 2, 2], self._n)])
        self.count = np.bincount(self.kind).astype(float)

    def linearise(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (m,), corners first, and their derivatives (m, 21 + 6 n)."""
        at_px, by_lens, by_board = project(state.lens, state.T_camera_board[self._view], self._board_m)
        pixels = (at_px - self._at_px).ravel()
        tools, (shared, own) = self._tools(state)
        J = np.zeros((pixels.size + tools.size, 21 + 6 * self._n))
        columns = 21 + 6 * np.arange(self._n)[:, None] + np.arange(6)
        J[: pixels.size, :9] = by_lens.reshape(-1, 9)
        J[np.arange(pixels.size)[:, None], np.repeat(columns[self._view], 2, axis=0)] = by_board.reshape(-1, 6)
        J[pixels.size :, 9:21] = shared.reshape(-1, 12)
        rows = pixels.size + np.arange(tools.size).reshape(-1, 6)
        J[rows[:, :, None], columns[:, None, :]] = own
        return np.concatenate([pixels, tools]), J

    def stepped(self, state: State, step: np.ndarray) -> State:
        """The state after a step (21 + 6 n,)."""
        T = np.concatenate([[state.X, state.B], state.T_camera_board])
        T = moved(T, step[9:].reshape(-1, 6))
        return State(state.lens + step[:9], T[0], T[1], T[2:])

    def residuals_of(self, r: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Residuals (m,) as seen minus reprojected corners of each view, and tool steps (n, 6)."""
        seen = -r[: self._at_px.size].reshape(-1, 2)
        return [seen[self._view == i] for i in range(self._n)], r[self._at_px.size :].reshape(-1, 6)

    def _tools(self, state: State) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        def steps(change: np.ndarray) -> np.ndarray:
            X, B = moved(np.stack([state.X, state.B]), change[:12].reshape(2, 6))
            boards = moved(state.T_camera_board, np.tile(change[12:], (self._n, 1)))
            return step_between(self._said, tool_poses(self._mount, X, B, boards))

        changes = DIFFERENCE * np.eye(18)
        J = np.stack([steps(c) - steps(-c) for c in changes], axis=2) / (2 * DIFFERENCE)
        return steps(np.zeros(18)).ravel(), (J[:, :, :12], J[:, :, 12:])


def _freedom(gain: np.ndarray, problem: _Problem, redundancy: np.ndarray) -> float:
    """Degrees of freedom of a variance that is the sum of several estimated ones (Satterthwaite 1946), the fewest.

    Args:
        gain: (m, 6) what a residual of one standard deviation does to each of six unknowns.
        problem: tells of what kind each residual is.
        redundancy: (3,) degrees of freedom of each kind's variance.
    """
    shares = np.stack([_by_kind(column, problem) for column in (gain**2).T])
    shares = shares / shares.sum(axis=1, keepdims=True)
    return float((1.0 / (shares**2 / np.maximum(redundancy, 1e-6)).sum(axis=1)).min())


def _by_kind(values: np.ndarray, problem: _Problem) -> np.ndarray:
    return np.bincount(problem.kind, values)


def _spread(values: np.ndarray, free: np.ndarray) -> np.ndarray:
    out = np.zeros(len(free))
    out[free] = values
    return out


def _inverse(H: np.ndarray) -> np.ndarray:
    """Of a symmetric matrix whose rows differ in units."""
    scale = 1.0 / np.sqrt(np.diag(H))
    return np.linalg.inv(H * np.outer(scale, scale)) * np.outer(scale, scale)
