"""Cameras in the cell file: where they look, how their lenses draw, when their pictures come."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robot_rlaas.cell.cameras import Camera, CameraSpec, stated
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.kinds import insertion_only
from robot_rlaas.cell.spec import CellSpec, load_cell

CONTROL_HZ = 20.0
LENS = {"width_px": 640, "height_px": 480, "fx_px": 610.0, "fy_px": 607.0, "cx_px": 327.4, "cy_px": 233.8}
FOUND = {  # as `rlaas calibrate camera` writes it
    "rlaas_camera_calibration": 1,
    "mount": "hand",
    "date": "2026-01-01",
    "versions": {},
    "data": [],
    "board": {"squares_x": 10, "squares_y": 7, "square_m": 0.025, "marker_m": 0.018, "dictionary": "DICT_5X5_100"},
    "board_scale": 1.0,
    "board_scale_std": 0.0,
    "lens": LENS
    | {"distortion": [-0.1, 0.02, 0.0, 0.0, 0.0], "focal_std_px": [1, 1], "center_std_px": [1, 1]}
    | {"distortion_std": [0.0] * 5},
    "camera": {
        "parent": "tool",
        "position_m": [0.0, -0.09, 0.04],
        "quaternion_wxyz": [0.9238795, -0.3826834, 0.0, 0.0],
        "position_std_m": [0.001] * 3,
        "rotation_std_rad": [0.002] * 3,
        "covariance": np.diag([1e-6] * 3 + [4e-6] * 3).tolist(),
    },
    "board_pose": {"position_m": [0.5, 0.0, 0.0], "quaternion_wxyz": [1.0, 0.0, 0.0, 0.0]},
    "noise": {"corner_px": 0.1, "robot_position_m": 0.0, "robot_rotation_rad": 0.0},
    "reprojection_px": 0.2,
    "closed_forms": [],
    "views": [],
    "rejected": [],
}


def camera(**keys: Any) -> CameraSpec:
    usual = {"mount": "cell", "at_mm": [1000, 0, 0], "resolution_px": [96, 64], "fov_deg": 90}
    return stated(Camera.model_validate(usual | keys), CONTROL_HZ)


def cell_with(folder: Path, cameras: dict[str, Any], **sections: Any) -> CellSpec:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"extends": "peg_insertion", "name": "mine", "cameras": cameras, **sections}))
    return load_cell(str(file))


# Where they look


def test_a_camera_in_the_cell_looks_at_a_point_with_up_at_the_top() -> None:
    T = camera(look_at_mm=[0, 0, 0]).pose.matrix()
    right, down, forward = T[:3, :3].T
    np.testing.assert_allclose(T[:3, 3], [1, 0, 0])
    np.testing.assert_allclose(forward, [-1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(right, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(down, [0, 0, -1], atol=1e-12)


def test_on_the_hand_the_flange_is_at_the_top() -> None:
    wrist = camera(mount="hand", at_mm=[0, -90, 40], look_at_mm=[0, 0, 200])
    T = wrist.pose.matrix()
    points = np.array([[0, 0, 0.2], [0, 0, 0.15], [0, 0, 0.25]]) - T[:3, 3]
    (middle, towards_flange, away) = wrist.project(points @ T[:3, :3])
    np.testing.assert_allclose(middle, wrist.center_px)
    assert towards_flange[1] < middle[1] < away[1]


def test_angles_turn_about_fixed_axes() -> None:
    np.testing.assert_allclose(camera(rpy_deg=[180, 0, 0]).pose.matrix()[:3, :3], np.diag([1, -1, -1]), atol=1e-12)
    turned = camera(rpy_deg=[90, 0, 90]).pose.matrix()[:3, :3]  # first about x: z is -y; then about z: that is x
    np.testing.assert_allclose(turned @ [0, 0, 1], [1, 0, 0], atol=1e-12)


# How their lenses draw


def test_the_field_of_view_is_vertical() -> None:
    seen = camera(rpy_deg=[0, 0, 0])
    assert seen.focal_px == (32.0, 32.0)  # 64 / 2 / tan(45 deg)
    assert seen.center_px == (47.5, 31.5)
    edge = seen.project(np.array([[0, 1.0, 1.0], [0, -1.0, 1.0], [0, 0, -1.0]]))
    np.testing.assert_allclose(edge[:2], [[47.5, 63.5], [47.5, -0.5]])
    assert np.isnan(edge[2]).all()


def test_a_calibrated_lens_is_scaled_as_its_pictures_are(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(FOUND))
    both = {"whole": {"calibration": "camera.yaml"}}
    both["small"] = both["whole"] | {"resolution_px": [320, 120], "rate_hz": 10, "latency_s": 0.06}
    cell = cell_with(tmp_path, both)
    whole, small = cell.cameras["whole"], cell.cameras["small"]
    assert (whole.resolution_px, whole.focal_px, whole.center_px) == ((640, 480), (610.0, 607.0), (327.4, 233.8))
    assert small.focal_px == (305.0, 151.75)
    points = np.array([[0.1, 0.05, 1.0], [-0.2, 0.1, 0.7]])
    edges = (whole.project(points) + 0.5) * [0.5, 0.25] - 0.5  # a pixel's middle is a whole number, its edge is not
    np.testing.assert_allclose(small.project(points), edges)
    assert whole.mount == "hand"
    assert whole.pose.position_m == (0.0, -0.09, 0.04)
    assert whole.covariance is not None
    assert whole.distortion == (-0.1, 0.02, 0.0, 0.0, 0.0)


def test_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text(yaml.safe_dump(FOUND | {"mount": "foot"}))
    with pytest.raises(InputError, match=r"camera\.yaml:.*'mount' is 'foot'"):
        cell_with(tmp_path, {"wrist": {"calibration": "camera.yaml"}})


# When their pictures come


@pytest.mark.parametrize(
    ("rate_hz", "latency_s", "periods"),
    [(None, 0.0, (1, 0)), (10, 0.05, (2, 1)), (5, 0.051, (4, 2)), (20, 0.03, (1, 1)), (20, 0.15, (1, 3))],
)
def test_rate_and_latency_are_control_periods(rate_hz: float | None, latency_s: float, periods: tuple) -> None:
    seen = camera(rpy_deg=[0, 0, 0], rate_hz=rate_hz, latency_s=latency_s)
    assert seen.periods(CONTROL_HZ) == periods


# What the cell makes of them


def test_a_camera_can_be_changed_and_taken_out(tmp_path: Path) -> None:
    shipped = load_cell("peg_insertion_camera")
    file = tmp_path / "mine.yaml"
    changes = {"wrist": {"resolution_px": [128, 96]}, "cell": None}
    file.write_text(yaml.safe_dump({"extends": "peg_insertion_camera", "name": "mine", "cameras": changes}))
    mine = load_cell(str(file))
    assert list(mine.cameras) == ["wrist"]
    assert mine.cameras["wrist"].resolution_px == (128, 96)
    assert mine.cameras["wrist"].pose == shipped.cameras["wrist"].pose


def test_cells_without_cameras_keep_their_hash_and_others_come_back_from_their_content() -> None:
    blind, seeing = load_cell("peg_insertion"), load_cell("peg_insertion_camera")
    assert "cameras" not in blind.model_dump()
    assert not {"light_scale", "camera_mm"} & blind.model_dump()["variation"].keys()
    assert "observed" not in blind.model_dump()["task"]["plate"]
    again = CellSpec.model_validate(seeing.model_dump(mode="json"))
    assert again == seeing
    assert again.hash == seeing.hash
    plain = seeing.model_copy(update={"cameras": {}})
    assert plain.hash != seeing.hash


def test_a_cell_whose_plate_nobody_observes_does_not_go_onto_an_arm() -> None:
    insertion_only(load_cell("peg_insertion"))
    with pytest.raises(InputError, match="nobody observes the plate of the cell 'peg_insertion_camera'"):
        insertion_only(load_cell("peg_insertion_camera"))
