"""The fits alone, on corners that are projected instead of drawn."""

import numpy as np
import pytest
from camera_scene import LENS, board_views, corner_truth, draw_truth, pose, stated_poses
from scipy import stats

from robot_rlaas.calibrate.camera import hand_eye_fit
from robot_rlaas.calibrate.camera.camera_lens import LensFit, fit_lens
from robot_rlaas.calibrate.camera.camera_views import View
from robot_rlaas.calibrate.camera.hand_eye import check_turns, find_hand_eye, tool_poses
from robot_rlaas.calibrate.camera.hand_eye_fit import State, fit_all
from robot_rlaas.cell.errors import InputError
from robot_rlaas.vision.board import A4_BOARD, charuco
from robot_rlaas.vision.poses import moved, step_between

BLANK = np.zeros((480, 640), np.uint8)
BOARD_M = np.asarray(charuco(A4_BOARD).getChessboardCorners(), float)
TRUE_LENS = np.array([*LENS.matrix[[0, 1, 0, 1], [0, 1, 2, 2]], *LENS.distortion])
CORNER_PX = 0.05


def seen(T_camera_board, T_base_tool, rng, every=1) -> list[View]:
    """Views in which the corners, or one in `every`, are seen with noise."""
    corners = [(corner_truth(T) + rng.normal(0.0, CORNER_PX, (54, 2)))[::every] for T in T_camera_board]
    return [View(f"{i}", BLANK, T, BOARD_M[::every], at) for i, (T, at) in enumerate(zip(T_base_tool, corners))]


def lens_only(T_camera_board, rng, count=15) -> list[View]:
    return seen(T_camera_board, np.tile(np.eye(4), (count, 1, 1)), rng)


@pytest.mark.parametrize("mount", ["hand", "base"])
@pytest.mark.parametrize("noise", [(1e-4, 3e-4), (1e-3, 1e-3)], ids=["good arm", "poor arm"])
def test_uncertainty_covers_the_truth(mount, noise):
    inside, errors = [], []
    for seed in range(20):
        rng = np.random.default_rng([seed, 1])
        truth = draw_truth(mount, rng)
        T_camera_board = truth.T_camera_board()
        views = seen(T_camera_board, stated_poses(truth, rng, *noise), rng, every=4)
        lens = LensFit(TRUE_LENS, np.arange(9) != 8, T_camera_board, 1e-3)
        fit = fit_all(mount, views, lens, truth.T_parent_camera, truth.T_other_board)
        error = step_between(fit.state.X[None], truth.T_parent_camera[None])[0]
        inside.append(error @ np.linalg.solve(fit.covariance, error) < stats.chi2.ppf(0.95, 6))
        errors.append(fit.noise / np.array([CORNER_PX, *noise]))
    assert np.mean(inside) >= 0.8  # of 20, fewer than 16 once in 390 times
    np.testing.assert_allclose(np.median(errors, axis=0), 1.0, atol=0.1)


@pytest.mark.parametrize("mount", ["hand", "base"])
def test_derivatives(mount):
    rng = np.random.default_rng(0)
    truth = draw_truth(mount, rng, count=3)
    problem = hand_eye_fit._Problem(mount, seen(truth.T_camera_board(), truth.T_base_tool, rng))
    state = State(TRUE_LENS, truth.T_parent_camera, truth.T_other_board, truth.T_camera_board())
    _, J = problem.linearise(state)
    for i in range(J.shape[1]):
        change = 1e-6 * np.eye(J.shape[1])[i]
        high, low = (problem.linearise(problem.stepped(state, s * change))[0] for s in (1.0, -1.0))
        np.testing.assert_allclose(J[:, i], (high - low) / 2e-6, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mount", ["hand", "base"])
def test_closed_form_and_robust_fit_without_noise(mount):
    truth = draw_truth(mount, np.random.default_rng(1))
    T_camera_board = truth.T_camera_board()
    np.testing.assert_allclose(
        tool_poses(mount, truth.T_parent_camera, truth.T_other_board, T_camera_board), truth.T_base_tool, atol=1e-12
    )
    found = find_hand_eye(mount, truth.T_base_tool, T_camera_board, 0.0)
    np.testing.assert_allclose(found.X, truth.T_parent_camera, atol=1e-7)
    np.testing.assert_allclose(found.B, truth.T_other_board, atol=1e-7)
    for X in found.closed_forms.values():
        np.testing.assert_allclose(X, truth.T_parent_camera, atol=1e-6)
    assert not found.outliers().any()


def test_blunders_do_not_pull():
    rng = np.random.default_rng(2)
    truth = draw_truth("hand", rng)
    said = stated_poses(truth, rng)
    said[[0, 4], :3, 3] += [[0.03, 0.0, 0.0], [0.0, -0.005, 0.0]]
    said[9] = moved(said[9:10], np.array([[0.0, 0.0, 0.0, 0.02, 0.0, 0.0]]))[0]
    found = find_hand_eye("hand", said, truth.T_camera_board(), 1e-3)
    assert list(np.flatnonzero(found.outliers())) == [0, 4, 9]
    assert np.abs(step_between(found.X[None], truth.T_parent_camera[None])[0, :3]).max() < 5e-4


def test_steps_are_what_moves():
    T = board_views(np.random.default_rng(3), 5)
    step = np.random.default_rng(4).normal(0.0, 0.3, (5, 6))
    np.testing.assert_allclose(step_between(T, moved(T, step)), step, atol=1e-9)


@pytest.mark.parametrize("turns_deg", [np.zeros((9, 3)), np.outer(np.linspace(-60, 60, 9), [0.0, 0.6, 0.8])])
def test_parallel_axes_are_refused(turns_deg):
    with pytest.raises(InputError, match="8 are needed about two"):
        check_turns(pose(np.zeros((9, 3)), turns_deg))


def test_a_view_that_does_not_fit_is_left_out():
    rng = np.random.default_rng(5)
    views = lens_only(board_views(rng, 15), rng)
    views[6] = views[6]._replace(at_px=views[6].at_px + rng.normal(0.0, 2.0, (54, 2)))
    found, kept, rejected = fit_lens(views)
    assert [r.image for r in rejected] == ["6"]
    assert "does not fit the others: reprojection error" in rejected[0].reason
    assert len(kept) == len(found.T_camera_board) == 14
    np.testing.assert_allclose(found.lens[:4], TRUE_LENS[:4], atol=1.5)
    assert not found.free[8]  # these pictures show no k3


def test_a_bent_board_is_refused():
    rng = np.random.default_rng(6)
    views = [v._replace(at_px=v.at_px + rng.normal(0.0, 2.0, (54, 2))) for v in lens_only(board_views(rng, 15), rng)]
    with pytest.raises(InputError, match="the board does not fit: reprojection errors up to"):
        fit_lens(views)


@pytest.mark.parametrize("tilt_deg", [0.01, 1.0, 2.0, 3.0])
def test_views_that_leave_the_lens_open_are_refused(tilt_deg):
    rng = np.random.default_rng(7)
    with pytest.raises(InputError, match=r"the focal length is known to [\d.]+ %; 1 % are needed"):
        fit_lens(lens_only(board_views(rng, 15, tilt_deg), rng))


def test_corners_in_the_middle_of_the_picture_are_refused():
    rng = np.random.default_rng(7)
    middle = board_views(rng, 15)
    middle[:, :3, 3] = [0.0, 0.0, 0.9] - middle[:, :3, :3] @ [0.125, 0.0875, 0.0]
    with pytest.raises(InputError, match=r"cover \d+ % of the picture; 25 % are needed"):
        fit_lens(lens_only(middle, rng))
