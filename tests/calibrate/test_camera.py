import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from camera_scene import LENS, BoardRenderer, corner_truth, draw_truth, record, spoil, stated_poses
from PIL import Image
from scipy import stats

from robot_rlaas.calibrate.camera.camera import calibrate_camera, load, save
from robot_rlaas.cell.camera_calibration import BoardSpec, CameraCalibration
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.sim.render import RenderingUnavailable
from robot_rlaas.vision.board import A4_BOARD, charuco, draw_board, find_corners, save_board
from robot_rlaas.vision.poses import step_between

MOUNTS = ("hand", "base")


@pytest.fixture(scope="module")
def renderer():
    try:
        with BoardRenderer() as renderer:
            yield renderer
    except RenderingUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def shot(renderer):
    """Truth and clean pictures of each mount."""
    truths = {mount: draw_truth(mount, np.random.default_rng([7, i])) for i, mount in enumerate(MOUNTS)}
    return {mount: (truth, renderer.shoot(truth)) for mount, truth in truths.items()}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, shot):
    """What a person would have recorded of each mount."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(8)
    return {
        mount: record(folder / mount, [spoil(p, rng) for p in pictures], stated_poses(truth, rng))
        for mount, (truth, pictures) in shot.items()
    }


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, recordings):
    out = tmp_path_factory.mktemp("calibrated")
    return {m: (calibrate_camera(recordings[m], out / m, m, lambda _: None), out / m) for m in MOUNTS}


@pytest.fixture
def recording(tmp_path, recordings):
    """A copy to spoil, camera on the hand."""
    return Path(shutil.copytree(recordings["hand"], tmp_path / "recording"))


def error_of(calibration: CameraCalibration, truth) -> np.ndarray:
    """(6,) from the estimate to the truth, m and rad."""
    return step_between(calibration.camera.matrix()[None], truth.T_parent_camera[None])[0]


def change_pictures(folder, change, names=None):
    for path in sorted(folder.glob("*.png")) if names is None else [folder / name for name in names]:
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def change_poses(folder, change):
    """`change` gets the list of poses and changes it in place."""
    content = yaml.safe_load((folder / "poses.yaml").read_text())
    change(content["poses"])
    (folder / "poses.yaml").write_text(yaml.safe_dump(content))


def refused(folder, tmp_path, match, mount="hand"):
    with pytest.raises(InputError, match=f"(?s){match}"):
        calibrate_camera(folder, tmp_path / "out", mount, lambda _: None)
    assert not (tmp_path / "out").exists()


def test_corners_are_found_where_they_are(shot):
    rng, pattern, errors = np.random.default_rng(0), charuco(A4_BOARD), []
    truth, pictures = shot["hand"]
    for picture, T in zip(pictures, truth.T_camera_board()):
        corners = find_corners(pattern, spoil(picture, rng))
        errors.append(corners.at_px - corner_truth(T)[corners.ids])
    errors = np.concatenate(errors)
    assert len(errors) > 700
    assert np.abs(errors.mean(axis=0)).max() < 0.01  # the detector alone is off by half a pixel
    assert errors.std() < 0.06
    assert np.abs(errors).max() < 0.3


@pytest.mark.parametrize("mount", MOUNTS)
def test_finds_the_camera(mount, calibrated, shot):
    calibration, truth = calibrated[mount][0], shot[mount][0]
    error = error_of(calibration, truth)
    assert np.linalg.norm(error[:3]) < 1e-3
    assert np.linalg.norm(error[3:]) < np.deg2rad(0.2)
    assert max(calibration.camera.position_std_m) < 3e-4
    assert calibration.camera.parent == {"hand": "tool", "base": "base"}[mount]
    board = step_between(calibration.board_pose.matrix()[None], truth.T_other_board[None])[0]
    assert np.abs(board[:3]).max() < 1e-3
    assert np.abs(board[3:]).max() < np.deg2rad(0.2)


@pytest.mark.parametrize("mount", MOUNTS)
def test_stated_uncertainty_covers_the_truth(mount, calibrated, shot):
    calibration = calibrated[mount][0]
    error, covariance = error_of(calibration, shot[mount][0]), np.array(calibration.camera.covariance)
    assert error @ np.linalg.solve(covariance, error) < stats.chi2.ppf(0.999, 6)
    std = np.array([*calibration.camera.position_std_m, *calibration.camera.rotation_std_rad])
    np.testing.assert_allclose(std, np.sqrt(np.diag(covariance)), rtol=1e-6)


@pytest.mark.parametrize("mount", MOUNTS)
def test_finds_the_lens(mount, calibrated):
    lens = calibrated[mount][0].lens
    K = lens.matrix()
    found = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], *lens.distortion])
    true = np.array([*LENS.matrix[[0, 1, 0, 1], [0, 1, 2, 2]], *LENS.distortion])
    std = np.array([*lens.focal_std_px, *lens.center_std_px, *lens.distortion_std])
    assert (lens.width_px, lens.height_px) == (640, 480)
    assert np.abs(found[:4] - true[:4]).max() < 1.0
    assert np.abs(found[4] - true[4]) < 0.01
    assert (np.abs(found - true)[:8] < 4 * std[:8]).all()


@pytest.mark.parametrize("mount", MOUNTS)
def test_noise_is_told_from_the_residuals(mount, calibrated):
    noise = calibrated[mount][0].noise
    assert 0.02 < noise.corner_px < 0.06
    assert 0.6e-4 < noise.robot_position_m < 1.5e-4
    assert 0.6 < noise.robot_rotation_rad / np.deg2rad(0.02) < 1.5


def test_closed_forms_agree_with_the_result(calibrated):
    forms = calibrated["base"][0].closed_forms
    assert {form.method for form in forms} == {"park", "shah"}
    assert all(form.position_m < 2e-3 and form.rotation_rad < np.deg2rad(0.2) for form in forms)


def test_file_round_trip(calibrated, recordings, tmp_path):
    calibration, out = calibrated["hand"]
    assert load(out / "camera.yaml") == calibration
    save(calibration, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == (out / "camera.yaml").read_bytes()
    assert {f.file for f in calibration.data} == {p.name for p in recordings["hand"].iterdir()}
    (tmp_path / "again.yaml").write_text((out / "camera.yaml").read_text().replace("position_m", "positon_m", 1))
    with pytest.raises(InputError, match=r"unknown key.*positon_m|is missing"):
        load(tmp_path / "again.yaml")


def test_picture_is_drawn(calibrated):
    with Image.open(calibrated["hand"][1] / "camera.png") as picture:
        assert picture.size == (1430, 924)
        assert np.asarray(picture.convert("L")).std() > 30


def test_csv_says_the_same(recording, calibrated, tmp_path):
    poses = yaml.safe_load((recording / "poses.yaml").read_text())["poses"]
    (recording / "poses.yaml").unlink()
    with (recording / "poses.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "x_m", "y_m", "z_m", "qw", "qx", "qy", "qz"])
        rows.writerows([p["image"], *p["position_m"], *p["quaternion_wxyz"]] for p in poses)
    found = calibrate_camera(recording, tmp_path / "out", "hand", lambda _: None)
    assert found.camera == calibrated["hand"][0].camera
    text = (recording / "poses.csv").read_text()
    (recording / "poses.csv").write_text(text.replace("03.png,", "03.png,1"))
    refused(recording, tmp_path / "other", r"poses\.csv:5: position .* beyond 10 m")
    (recording / "poses.csv").write_text(text.replace("x_m", "x_mm"))
    refused(recording, tmp_path / "other", r"the columns are image, x_mm.*needed are image, x_m")


def test_exact_poses_are_no_trouble(shot, tmp_path):
    truth, pictures = shot["base"]
    rng = np.random.default_rng(1)
    folder = record(tmp_path / "recording", [spoil(p, rng) for p in pictures], truth.T_base_tool)
    found = calibrate_camera(folder, tmp_path / "out", "base", lambda _: None)
    assert np.linalg.norm(error_of(found, truth)[:3]) < 5e-4
    assert found.noise.robot_position_m < 3e-5


def test_bad_views_are_left_out_with_a_reason(recording, tmp_path, shot):
    def shift(poses):
        poses[3]["position_m"][0] += 0.01

    change_poses(recording, shift)
    change_pictures(recording, lambda p: np.full_like(p, 100), ["05.png"])
    change_pictures(recording, lambda p: cv2.GaussianBlur(p, (0, 0), 3), ["09.png"])
    events = []
    found = calibrate_camera(recording, tmp_path / "out", "hand", events.append)
    reasons = {view.image: view.reason for view in found.rejected}
    assert reasons["03.png"].startswith("contradicts the others: tool pose ")
    assert reasons["05.png"] == "board not found"
    assert reasons["09.png"].startswith("blurred")
    assert len(found.views) == 12
    assert len(reasons) == 3
    assert any(e.startswith("03.png is left out: contradicts") for e in events)
    assert np.linalg.norm(error_of(found, shot["hand"][0])[:3]) < 1e-3


def test_blurred_pictures_are_refused(recording, tmp_path):
    change_pictures(recording, lambda p: cv2.GaussianBlur(p, (0, 0), 2.5))
    refused(recording, tmp_path, "0 of 15 pictures can be used; blurred in 15.*fix: let the arm stand still")


def test_a_board_far_away_is_refused(recording, tmp_path):
    def shrunk(picture):
        small = cv2.resize(picture, (200, 150), interpolation=cv2.INTER_AREA)
        return cv2.copyMakeBorder(small, 165, 165, 220, 220, cv2.BORDER_CONSTANT, value=90)

    change_pictures(recording, shrunk)
    refused(recording, tmp_path, "of 15 pictures can be used; board too small in .*fix: go nearer")


def test_too_few_views_are_refused(recording, tmp_path):
    change_pictures(recording, lambda p: np.full_like(p, 100), [f"{i:02d}.png" for i in range(9)])
    refused(recording, tmp_path, "6 of 15 pictures can be used; board not found in 9; at least 8 are needed")


def test_another_board_is_refused(recording, tmp_path):
    board = A4_BOARD.model_copy(update={"dictionary": "DICT_5X5_50"})
    (recording / "board.yaml").write_text(yaml.safe_dump(board.model_dump()))
    refused(recording, tmp_path, r"board not found in 15.*fix: check board\.yaml")


@pytest.mark.parametrize(("factor", "match"), [(1.01, "1.0. % smaller"), (0.95, "5... % larger")])
def test_a_board_of_another_size_is_refused(recording, tmp_path, factor, match):
    size = {"square_m": factor * A4_BOARD.square_m, "marker_m": factor * A4_BOARD.marker_m}
    (recording / "board.yaml").write_text(yaml.safe_dump(A4_BOARD.model_copy(update=size).model_dump()))
    refused(recording, tmp_path, f"the board is {match} than board.yaml says.*print at 100 %")


def test_pictures_of_different_sizes_are_refused(recording, tmp_path):
    change_pictures(recording, lambda p: p[:400], ["02.png"])
    refused(recording, tmp_path, "pictures of different sizes: 14 of 640 x 480, 1 of 640 x 400")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda poses: poses.pop(), "pictures without a pose: 14.png"),
        (lambda poses: poses[0].update(image="x.png"), "poses without a picture: x.png"),
        (lambda poses: poses.append(poses[0]), "more than one pose for 00.png"),
        (lambda poses: poses[0].update(position_m=[412.0, 1.0, 2.0]), r"poses\.yaml:\d+: .*beyond 10 m"),
        (lambda poses: poses[0].update(quaternion_wxyz=[1.0, 1.0, 0.0, 0.0]), "has length 1.414; it must have 1"),
        (lambda poses: poses.reverse() or [p.update(image=f"{i:02d}.png") for i, p in enumerate(poses)], "contradict"),
    ],
    ids=["no pose", "no picture", "twice", "millimetres", "length", "wrong order"],
)
def test_wrong_poses_are_refused(recording, tmp_path, change, match):
    change_poses(recording, change)
    refused(recording, tmp_path, match)


def test_the_other_mount_is_refused(recordings, tmp_path):
    refused(recordings["hand"], tmp_path, "robot and pictures contradict each other.*fix: check --mount", "base")


def test_turning_about_one_axis_is_refused(renderer, tmp_path):
    rng = np.random.default_rng(2)
    truth = draw_truth("hand", rng, tilt_deg=12.0)
    folder = record(tmp_path / "recording", [spoil(p, rng) for p in renderer.shoot(truth)], stated_poses(truth, rng))
    refused(folder, tmp_path, "about one axis and .* about any other.*fix: tilt the tool")


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path / "nothing", tmp_path, "there is no such folder")
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(A4_BOARD.model_dump()))
    refused(tmp_path, tmp_path, r"there is neither poses\.yaml and poses\.csv")


@pytest.mark.parametrize("name", ["board.png", "board.pdf"])
def test_board_to_print(tmp_path, name):
    save_board(A4_BOARD, tmp_path / name, dpi=300)
    assert load_spec(tmp_path / "board.yaml", BoardSpec) == A4_BOARD
    if name.endswith("pdf"):
        assert (tmp_path / name).read_bytes().startswith(b"%PDF")
        return
    with Image.open(tmp_path / name) as picture:
        width_m = picture.width / picture.info["dpi"][0] * 0.0254
        found = find_corners(charuco(A4_BOARD), np.asarray(picture))
    assert abs(width_m - 11 * A4_BOARD.square_m) < 1e-3 * width_m  # ten squares and the rim
    assert list(found.ids) == list(range(54))


@pytest.mark.parametrize(("columns", "rows"), [(9, 6), (8, 5)])
def test_drawn_board_is_the_one_that_is_looked_for(columns, rows):
    board = A4_BOARD.model_copy(update={"squares_x": columns, "squares_y": rows})
    picture = cv2.GaussianBlur(np.asarray(draw_board(board, 150)), (0, 0), 1.0)
    found = find_corners(charuco(board), picture)
    side = round(board.square_m / 0.0254 * 150)
    at = charuco(board).getChessboardCorners()[:, :2] / board.square_m * side + side // 2 - 0.5
    np.testing.assert_allclose(found.at_px, at, atol=0.01)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dictionary": "DICT_9X9_9"}, "'dictionary' is 'DICT_9X9_9'; allowed: DICT_4X4_100"),
        ({"squares_x": 20, "squares_y": 20}, "20 x 20 squares need 200 markers; DICT_4X4_50 has 50"),
    ],
)
def test_impossible_boards_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        draw_board(A4_BOARD.model_copy(update=change))


def test_other_kinds_of_board_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"allowed: \.png, \.pdf"):
        save_board(A4_BOARD, tmp_path / "board.bmp")
    with pytest.raises(InputError, match="more dots per inch"):
        save_board(A4_BOARD, tmp_path / "board.png", dpi=5)
