"""The plate's pose from pictures with known truth: as near as it says, or a reason why there is none."""

from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from plate_scene import (
    DISTORTION,
    DOWN,
    FOCAL_PX,
    KNOWN,
    LENS,
    MARKERS,
    PLACES,
    SIZE,
    SURE,
    calibration,
    draw,
    looking_at,
    pose,
    rays_of,
    spec_of,
    spoil,
    texture_of,
)
from scipy import stats
from scipy.spatial.transform import Rotation

from robot_rlaas.assets import data_dir
from robot_rlaas.bundle.flange import chain_to_flange
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.perception import Eye, load_perception
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.control.kinematics import tool_pose
from robot_rlaas.deploy.perception import Perception, Picture, Seen
from robot_rlaas.deploy.plate_pose import Refused
from robot_rlaas.vision.lens import lens_of, project
from robot_rlaas.vision.locate import locate
from robot_rlaas.vision.picture import gray_of
from robot_rlaas.vision.poses import carried, inverse, moved, step_between
from robot_rlaas.vision.target import target_of

HEIGHT_M, MIDDLE_M = 0.02, np.array([0.45, 0.1, 0.02])
RATE_HZ, ARRIVES_S = 10.0, 0.03
BOARD = {"kind": "charuco", "dictionary": "DICT_4X4_50", "squares_x": 5, "squares_y": 4, "square_mm": 30}
BOARD |= {"marker_mm": 23, "at_mm": [0, 100, 0], **SURE}
ONE = MARKERS | {"marker_mm": 50, "markers": [{"id": 3, "at_mm": [0, 60, 0]}]}
CALIBRATED_M, CALIBRATED_RAD = 2e-4, 3e-4
CHAIN = chain_to_flange(load_cell("peg_insertion"))
HOME = np.deg2rad(np.array(load_cell("peg_insertion").robot.home_deg))
FROM_ABOVE = looking_at(MIDDLE_M, 0.8, 25.0, 40.0)
FLAT = pose(MIDDLE_M, np.eye(3))


@pytest.fixture(scope="module")
def rays():
    cv2.setNumThreads(1)
    return rays_of(LENS)


@pytest.fixture(scope="module")
def shown(rays):
    """A clean picture of the flat plate from above, by target."""
    pictures = {}

    def show(target) -> np.ndarray:
        key = repr(target)
        if key not in pictures:
            pictures[key] = draw(texture_of(spec_of(target).target), inverse(FROM_ABOVE) @ FLAT, rays)
        return pictures[key]

    return show


def watch(perception: Perception, pictures, q=None) -> list:
    """What is said from the asking on, picture by picture; with joint angles (k,), an arm that rests there."""
    said = []
    perception.ask(0.0)
    for at_s, gray in zip(count(0.4, 1 / RATE_HZ), pictures):
        for now_s in np.arange(at_s - 0.4, at_s + 0.011, 0.01) if q is not None else ():
            perception.measure(CHAIN.joints, list(q), now_s)
        refused = perception.see(Picture(gray, round(at_s * 1e9)), at_s + ARRIVES_S)
        said.append(refused or perception.look(at_s + ARRIVES_S))
    return said


def fixed(target, plate=None, **accept) -> Perception:
    """A camera in the cell."""
    return Perception(Eye(spec_of(target, plate, **accept), calibration(FROM_ABOVE)), HEIGHT_M)


def spoiled(clean: np.ndarray, number: int = 5, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [spoil(clean, rng) for _ in range(number)]


def cause(said) -> str:
    assert isinstance(said, Refused), said
    assert len(said.text) > 20
    return said.cause


def plate_somewhere(rng, known: bool) -> np.ndarray:
    """Anywhere on the table; with what is said to be known of how it rests, as far from that as it says."""
    at = MIDDLE_M + np.append(rng.uniform(-0.03, 0.03, 2), 0.0)
    T = pose(at, Rotation.from_euler("z", rng.uniform(-10, 10), degrees=True).as_matrix())
    std = np.array([0, 0, 5e-4, *np.deg2rad([0.2, 0.2]), 0]) if known else np.zeros(6)
    return moved(T[None], (std * rng.normal(size=6))[None])[0]


@pytest.mark.parametrize(
    ("target", "plate", "mount"),
    [(BOARD, None, "base"), (ONE, KNOWN, "base"), (MARKERS, None, "hand")],
    ids=["board", "one marker, level", "markers, wrist"],
)
def test_truth_lies_within_the_stated_covariance(rays, target, plate, mount):
    """40 places, cameras that are not quite where the calibration says, 0.8 m away, 640 x 480."""
    spec = spec_of(target, plate, pictures=3, position_std_mm=3.0, rotation_std_deg=1.0)
    texture, rng = texture_of(spec.target), np.random.default_rng(5)
    chi2, errors = [], []
    for _ in range(40):
        T_plate = plate_somewhere(rng, plate is not None)
        nominal = looking_at(MIDDLE_M, 0.8, rng.uniform(10, 40), rng.uniform(0, 360), rng.uniform(-30, 30))
        off = np.repeat([CALIBRATED_M, CALIBRATED_RAD], 3) * rng.normal(size=6)
        if mount == "base":
            eye, chain, q = Eye(spec, calibration(nominal)), None, None
            T_camera = moved(nominal[None], off[None])[0]
        else:
            q = HOME + rng.uniform(-0.2, 0.2, 6)
            at = tool_pose(CHAIN, q[None])
            T_flange = pose(at.p[0], at.R[0])
            in_hand = inverse(T_flange) @ nominal
            eye, chain = Eye(spec, calibration(in_hand, "tool")), CHAIN
            noise = np.repeat([1e-4, 3e-4], 3) * rng.normal(size=6)
            T_camera = moved(T_flange[None], noise[None])[0] @ moved(in_hand[None], off[None])[0]
        pictures = spoiled(draw(texture, inverse(T_camera) @ T_plate, rays), 3, seed=int(rng.integers(1 << 30)))
        said = [s for s in watch(Perception(eye, HEIGHT_M, chain), pictures, q) if s is not None]
        seen = said[-1]
        if not isinstance(seen, Seen):
            assert cause(seen) in ("ambiguous", "few_corners", "not_found", "not_level")
            continue
        error = step_between(seen.T_base_plate[None], T_plate[None])[0]
        chi2.append(float(error @ np.linalg.solve(seen.covariance, error)))
        errors.append(error)
    assert len(chi2) >= 34
    inside = np.mean(np.array(chi2) < stats.chi2.ppf(0.95, 6))
    assert inside >= 0.87, inside  # of 34, fewer than 30 once in 40 times
    assert 0.3 < np.mean(chi2) / 6 < 1.4  # nor does it say much less than it knows
    assert 1000 * np.sqrt(np.mean(np.square(errors), axis=0))[:2].max() < 0.7


def test_the_pose_is_told_once_with_the_last_pictures_stamp(shown):
    perception = fixed(MARKERS, KNOWN)
    pictures = spoiled(shown(MARKERS), 7)
    said = watch(perception, pictures)
    assert [s is None for s in said] == [True] * 4 + [False] + [True] * 2
    assert said[4].stamp_ns == 800_000_000
    assert (said[4].pictures, said[4].corners) == (5, 16)
    assert not perception.looking
    assert isinstance(watch(perception, pictures)[4], Seen)  # asked again


def test_pictures_from_before_the_asking_do_not_count(shown):
    perception = fixed(MARKERS)
    perception.ask(10.0)
    assert perception.see(Picture(spoiled(shown(MARKERS))[0], 9_900_000_000), 10.05) is None
    assert perception.look(10.05) is None
    assert cause(perception.look(12.1)) == "silent"


@pytest.mark.parametrize(
    ("stamp_s", "words"), [(9.2, "old: .*0.80 s ago"), (10.5, "future: .*0.50 s ahead")], ids=["old", "ahead"]
)
def test_stamps_of_another_time_are_refused(shown, stamp_s, words):
    perception = fixed(MARKERS)
    perception.ask(9.0)
    said = perception.see(Picture(spoiled(shown(MARKERS))[0], round(stamp_s * 1e9)), 10.0)
    kind, text = words.split(": .*")
    assert cause(said) == kind
    assert text in said.text


def test_a_frozen_camera_is_refused(shown):
    perception, gray = fixed(MARKERS), spoiled(shown(MARKERS))[0]
    perception.ask(0.0)
    said = []
    for _ in range(2):
        said.append(perception.see(Picture(gray, 10**8), 0.15))
        perception.look(0.15)
    assert said[0] is None
    assert "repeat" in said[1].text


def test_nothing_and_too_little_are_refused(shown):
    blank = np.full(SIZE[::-1], 110, np.uint8)
    assert cause(watch(fixed(BOARD), [blank])[0]) == "not_found"
    clean = shown(BOARD).copy()
    marks = target_of(spec_of(BOARD).target).find(spoiled(clean)[0])
    lowest = np.sort(marks.at_px[:, 1])[5]
    clean[int(lowest) - 4 :] = 110  # a hand over most of the board
    assert cause(watch(fixed(BOARD), spoiled(clean))[0]) in ("few_corners", "not_found")
    other = MARKERS | {"markers": [{"id": 17, "at_mm": [0, 0, 0]}]}
    assert cause(watch(fixed(other), spoiled(shown(MARKERS)))[0]) == "not_found"


def test_another_size_is_refused(shown):
    assert (
        "320 x 240; the camera was calibrated at 640 x 480"
        in watch(fixed(BOARD), [np.zeros((240, 320), np.uint8)])[0].text
    )


def test_a_plate_that_moves_is_waited_for(shown, rays):
    texture = texture_of(spec_of(MARKERS).target)
    moves = [inverse(FROM_ABOVE) @ pose(MIDDLE_M + np.array([0.002 * i, 0, 0]), np.eye(3)) for i in range(4)]
    sliding = [spoiled(draw(texture, T, rays), 1)[0] for T in moves]
    resting = spoiled(draw(texture, moves[-1], rays), 4)
    said = watch(fixed(MARKERS), sliding + resting)
    assert [cause(s) for s in said[1:4]] == ["disagree"] * 3
    assert isinstance(said[-1], Seen)
    assert said[-1].T_base_plate[0, 3] == pytest.approx(MIDDLE_M[0] + 0.006, abs=1e-3)


def test_a_print_of_another_size_does_not_lie_where_the_plate_does(shown):
    """A single marker's wrong size reads as a wrong height; of several, they do not fit together."""
    said = watch(fixed(ONE | {"marker_mm": 48.0}, KNOWN), spoiled(shown(ONE)))
    assert cause(said[-1]) == "not_level"
    assert "mm from the cell's height of 20 mm" in said[-1].text
    assert cause(watch(fixed(MARKERS | {"marker_mm": 28.0}, KNOWN), spoiled(shown(MARKERS)))[-1]) == "no_fit"


def test_a_print_that_is_bent_does_not_fit(shown, rays):
    places = [{"id": i, "at_mm": [x + (6 if i == 2 else 0), y, 0]} for i, x, y in PLACES]
    said = watch(fixed(MARKERS | {"markers": places}), spoiled(shown(MARKERS)))
    assert cause(said[-1]) == "no_fit"
    assert "pixels" in said[-1].text


def test_what_is_not_sure_enough_is_refused(shown):
    said = watch(fixed(ONE | {"at_std_mm": 1.5}, KNOWN), spoiled(shown(ONE)))
    assert cause(said[-1]) == "unsure"
    assert "allowed are 1 mm and 0.5" in said[-1].text


def test_one_small_marker_far_away_has_two_poses(rays):
    small = ONE | {"marker_mm": 20.0}
    T_camera = pose(MIDDLE_M + np.array([0, 0.06, 0.8]), DOWN)
    tilted = moved(FLAT[None], np.array([[0, 0, 0, 0.2, 0, 0]]))[0]
    pictures = spoiled(draw(texture_of(spec_of(small).target), inverse(T_camera) @ tilted, rays))
    eye = Eye(spec_of(small, position_std_mm=50, rotation_std_deg=50), calibration(T_camera))
    assert cause(watch(Perception(eye, HEIGHT_M), pictures)[-1]) == "ambiguous"


def test_a_camera_on_the_wrist_needs_an_arm_that_rests(shown):
    at = tool_pose(CHAIN, HOME[None])
    in_hand = inverse(pose(at.p[0], at.R[0])) @ FROM_ABOVE
    eye = Eye(spec_of(MARKERS), calibration(in_hand, "tool"))
    gray = spoiled(shown(MARKERS))[0]

    def said(states, now_s):
        perception = Perception(eye, HEIGHT_M, CHAIN)
        perception.ask(0.0)
        assert perception.see(Picture(gray, 10**9), 1.03) is None
        for time_s, q in states:
            perception.measure(CHAIN.joints[::-1], list(q[::-1]), time_s)
        return perception.look(now_s)

    times_s = np.arange(0.5, 1.05, 0.01)
    assert said([(t, HOME) for t in times_s], 1.03) is None  # one of five
    assert cause(said([(t, HOME + 0.02 * t) for t in times_s], 1.03)) == "moving"
    assert said([(t, HOME) for t in times_s if t < 0.99], 1.05) is None  # they may still come
    assert cause(said([(t, HOME) for t in times_s if t < 0.99], 1.4)) == "no_joints"
    assert cause(said([(t, HOME) for t in times_s if t > 0.9], 1.03)) == "no_joints"


def test_the_pose_follows_the_joints_at_the_stamp():
    """A slow arm, within what counts as rest: its angles are interpolated between two states."""
    eye = Eye(spec_of(MARKERS), calibration(np.eye(4), "tool"))
    perception = Perception(eye, HEIGHT_M, CHAIN)
    for time_s in (0.5, 0.9, 1.1):
        perception.measure(CHAIN.joints, list(HOME + 0.002 * time_s), time_s)
    at = tool_pose(CHAIN, HOME[None] + 0.002)
    np.testing.assert_allclose(perception._camera(1.0).T_base_camera, pose(at.p[0], at.R[0]), atol=1e-12)


def test_what_the_lens_does_to_the_pose():
    T, points = inverse(FROM_ABOVE) @ FLAT, target_of(spec_of(MARKERS).target).points_m
    at_px = project(LENS, np.tile(T, (len(points), 1, 1)), points)[0]
    found = locate(points, at_px, LENS)[0]
    np.testing.assert_allclose(found.T_camera_points, T, atol=1e-8)
    for i, change in enumerate([0.5, 0.5, 0.3, 0.3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-3]):
        other = locate(points, at_px, LENS + change * np.eye(9)[i])[0].T_camera_points
        step = step_between(T[None], other[None])[0]
        np.testing.assert_allclose(step, change * found.by_lens[:, i], atol=0.03 * np.abs(step).max() + 1e-9)


def test_a_covariance_on_a_lever():
    """1 mrad about z, 0.5 m along x, is 0.5 mm along y, and goes with it."""
    P = carried(np.array([0.5, 0, 0]), np.diag([0, 0, 0, 0, 0, 1e-6]))
    assert P[1, 1] == pytest.approx(0.25e-6)
    assert P[1, 5] == pytest.approx(0.5e-6)


def test_prints_lie_where_the_file_says():
    turned = {"id": 3, "at_mm": [10, 20, 5], "rpy_deg": [0, 0, 90]}
    points = target_of(spec_of(ONE | {"marker_mm": 40, "markers": [turned]}).target).points_m
    np.testing.assert_allclose(points[0], [-0.01, 0.0, 0.005], atol=1e-12)  # its top left, to the plate's lower left
    board = target_of(spec_of(BOARD).target).points_m
    np.testing.assert_allclose(board[[0, -1]], [[-0.045, 0.13, 0], [0.045, 0.07, 0]], atol=1e-9)


@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "bgr8"])
def test_pictures_as_ros_sends_them(encoding):
    color = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    rows = color[:, :, 0] if encoding == "mono8" else color.reshape(4, 15)
    padded = np.pad(rows, ((0, 0), (0, 3)))
    gray = gray_of(encoding, 5, 4, padded.shape[1], padded.tobytes())
    rgb = color if encoding == "rgb8" else color[:, :, ::-1]
    expected = color[:, :, 0] if encoding == "mono8" else rgb @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(gray, expected, atol=1)


def test_other_pictures_and_lenses_are_refused():
    with pytest.raises(ValueError, match="'yuv422'; allowed are mono8, rgb8 and bgr8"):
        gray_of("yuv422", 5, 4, 10, bytes(40))
    with pytest.raises(ValueError, match="has 10 bytes"):
        gray_of("mono8", 5, 4, 5, bytes(10))
    K = np.array([FOCAL_PX[0], 0, FOCAL_PX[2], 0, FOCAL_PX[1], FOCAL_PX[3], 0, 0, 1])
    np.testing.assert_array_equal(lens_of("plumb_bob", K, np.array(DISTORTION)), LENS)
    with pytest.raises(ValueError, match="'equidistant'"):
        lens_of("equidistant", K, np.zeros(4))
    with pytest.raises(ValueError, match="no calibration"):
        lens_of("plumb_bob", np.zeros(9), np.zeros(5))


def test_the_shipped_example_can_be_read(tmp_path):
    example = (data_dir("hardware") / "perception" / "plate.yaml").read_text()
    (tmp_path / "plate.yaml").write_text(example)
    with pytest.raises(InputError, match=r"plate\.yaml:\d+: camera\.calibration .* there is no such file"):
        load_perception(tmp_path / "plate.yaml")
    write_calibration(tmp_path)
    assert target_of(load_perception(tmp_path / "plate.yaml").spec.target).points_m.shape == (16, 3)


def write_calibration(folder: Path) -> None:
    (folder / "camera.yaml").write_text(yaml.safe_dump(calibration(FROM_ABOVE).model_dump(mode="json")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": {**ONE, "dictionary": "DICT_9X9"}}, "'dictionary' is 'DICT_9X9'; allowed: DICT_4X4_100"),
        ({"target": {**ONE, "markers": [{"id": 50, "at_mm": [0, 0, 0]}]}}, "no marker 50 in DICT_4X4_50; .* 0 to 49"),
        ({"target": {**ONE, "markers": 2 * ONE["markers"]}}, r"'target.markers.1.id' is 3: another marker has it"),
        ({"target": {**BOARD, "marker_mm": 31}}, "does not fit into a square of 30 mm"),
        ({"target": {**BOARD, "squares": 5}}, r"unknown key 'target.squares'; allowed here: .*squares_x"),
        ({"target": {**BOARD, "kind": "chess"}}, "allowed are aruco, charuco"),
        ({"accept": {"pictures": 1}}, "'accept.pictures' is 1"),
    ],
)
def test_wrong_files_are_refused_with_their_line(tmp_path, change, words):
    write_calibration(tmp_path)
    content = {"camera": {"image": "/image", "calibration": "camera.yaml"}, "target": BOARD} | change
    (tmp_path / "plate.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=words) as caught:
        target_of(load_perception(tmp_path / "plate.yaml").spec.target, tmp_path / "plate.yaml")
    assert caught.value.file == tmp_path / "plate.yaml"
