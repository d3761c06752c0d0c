"""Pictures of prints on a plate with known truth: every ray of a lens is followed to the plate, then blur and noise."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from robot_rlaas.cell.camera_calibration import CameraCalibration
from robot_rlaas.cell.perception import Charuco, Markers, PerceptionSpec
from robot_rlaas.vision.board import dictionary_of, draw_board
from robot_rlaas.vision.lens import project
from robot_rlaas.vision.poses import inverse

SIZE, FINER = (640, 480), 3  # pixels; rays in a pixel, each way
FOCAL_PX, DISTORTION = (610.0, 607.0, 327.4, 233.8), (-0.1, 0.02, 5e-4, -8e-4, 0.0)
LENS = np.array([*FOCAL_PX, *DISTORTION])
TEXTURE_DPI = 120.0
TEXEL_MM = 25.4 / TEXTURE_DPI
BLUR_PX, GRAY_NOISE, BACKGROUND = 0.7, 2.0, 110
DOWN = np.diag([1.0, -1.0, -1.0])  # a camera that looks straight down
SURE = {"at_std_mm": 0.0, "rpy_std_deg": 0.0}
PLACES = [(0, -60, -60), (1, 60, -60), (2, 60, 60), (3, -60, 60)]
MARKERS = {"kind": "aruco", "dictionary": "DICT_4X4_50", "marker_mm": 30, **SURE}
MARKERS |= {"markers": [{"id": i, "at_mm": [x, y, 0]} for i, x, y in PLACES]}
KNOWN = {"height_std_mm": 0.5, "tilt_std_deg": 0.2}


def spec_of(target, plate=None, **accept) -> PerceptionSpec:
    camera = {"image": "/camera/image_raw", "calibration": "camera.yaml"}
    return PerceptionSpec.model_validate({"camera": camera, "target": target, "plate": plate, "accept": accept})


class Texture(NamedTuple):
    """A print, grey, on the plate: the size of a texel, m, where the print's middle is in it, and the print's pose."""

    gray: np.ndarray
    texel_m: float
    middle: np.ndarray
    T_plate_print: np.ndarray


def texture_of(target: Markers | Charuco) -> Texture:
    """The print; markers have to lie flat, none of them turned."""
    if isinstance(target, Charuco):
        image = draw_board(target.board, TEXTURE_DPI)
        gray, texel_m = np.asarray(image), 0.0254 / image.info["dpi"][0]
        return Texture(gray, texel_m, (np.array(gray.shape[::-1]) - 1) / 2, target.matrix())
    side, at = round(target.marker_mm / TEXEL_MM), np.array([marker.at_mm for marker in target.markers])
    texel_mm = target.marker_mm / side
    corner = np.floor((at[:, :2] * (1, -1) - target.marker_mm / 2) / texel_mm).astype(int)  # texels, y down
    origin = corner.min(axis=0) - side
    width, height = corner.max(axis=0) - origin + 2 * side
    gray = np.full((height, width), 255, np.uint8)
    dictionary = dictionary_of(target.dictionary)
    for marker, (x, y) in zip(target.markers, corner - origin):
        gray[y : y + side, x : x + side] = dictionary.generateImageMarker(marker.id, side)
    T = np.eye(4)
    T[2, 3] = at[0, 2] / 1000
    # where the drawn markers are differs from where they should be by less than a texel; the first one is exact
    exact = (at[0, :2] * (1, -1) - target.marker_mm / 2) / texel_mm - corner[0]
    return Texture(gray, texel_mm / 1000, -origin - exact - 0.5, T)


def rays_of(lens: np.ndarray) -> np.ndarray:
    """(h, w, 3) directions, z = 1, of all rays of a picture."""
    u, v = np.meshgrid(*((np.arange(FINER * n) + 0.5) / FINER - 0.5 for n in SIZE))
    K = np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]])
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
    xy = cv2.undistortPointsIter(np.stack([u, v], -1).reshape(-1, 1, 2), K, lens[4:], np.eye(3), np.eye(3), criteria)
    return np.concatenate([xy.reshape(*u.shape, 2), np.ones((*u.shape, 1))], axis=2)


def draw(texture: Texture, T_camera_plate: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """The picture (480, 640), float, 0 to 255, without blur and noise."""
    T_print = T_camera_plate @ texture.T_plate_print
    rows, columns = _around(texture, T_print)
    T = inverse(T_print)
    way, start = rays[rows, columns] @ T[:3, :3].T, T[:3, 3]
    far = -start[2] / way[..., 2]
    x, y = ((start[i] + far * way[..., i]) / texture.texel_m for i in (0, 1))
    maps = (x + texture.middle[0]).astype(np.float32), (texture.middle[1] - y).astype(np.float32)
    fine = np.full(rays.shape[:2], BACKGROUND, np.float32)
    fine[rows, columns] = cv2.remap(texture.gray.astype(np.float32), *maps, cv2.INTER_LINEAR, borderValue=(BACKGROUND,))
    return cv2.resize(fine, SIZE, interpolation=cv2.INTER_AREA)


def _around(texture: Texture, T_camera_print: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the rays that can meet the print."""
    height, width = texture.gray.shape
    u, v = np.array([0, width, width, 0]), np.array([0, 0, height, height])
    corners = np.stack([u - texture.middle[0], texture.middle[1] - v, 0.0 * u], axis=1) * texture.texel_m
    at_px = project(LENS, np.tile(T_camera_print, (4, 1, 1)), corners)[0]
    low, high = np.floor(at_px.min(axis=0) - 5) * FINER, np.ceil(at_px.max(axis=0) + 5) * FINER
    (left, top), (right, bottom) = np.clip([low, high], 0, np.array(SIZE) * FINER).astype(int)
    return slice(top, bottom), slice(left, right)


def spoil(picture: np.ndarray, rng: np.random.Generator, blur_px: float = BLUR_PX) -> np.ndarray:
    """The picture blurred and with noise, uint8."""
    blurred = cv2.GaussianBlur(picture, (0, 0), blur_px)
    return np.clip(np.rint(blurred + rng.normal(0.0, GRAY_NOISE, picture.shape)), 0, 255).astype(np.uint8)


def pose(at_m, R: np.ndarray) -> np.ndarray:
    """(4, 4)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, at_m
    return T


def looking_at(point_m, distance_m: float, tilt_deg: float, way_deg: float, turn_deg: float = 0.0) -> np.ndarray:
    """A camera in the base (4, 4) that has a point in the middle of its picture, tilted from straight above."""
    R = Rotation.from_euler("zxz", [way_deg, tilt_deg, turn_deg], degrees=True).as_matrix() @ DOWN
    return pose(np.asarray(point_m) - distance_m * R[:, 2], R)


def calibration(
    T: np.ndarray, parent: str = "base", std_m: float = 2e-4, std_rad: float = 3e-4, lens_std_px: float = 0.0
) -> CameraCalibration:
    """What `rlaas calibrate camera` would have found: a camera at T (4, 4) in its parent."""
    quaternion = Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True, scalar_first=True).tolist()
    at = {"position_m": T[:3, 3].tolist(), "quaternion_wxyz": quaternion}
    std = {"position_std_m": [std_m] * 3, "rotation_std_rad": [std_rad] * 3}
    fx, fy, cx, cy = FOCAL_PX
    size = {"width_px": SIZE[0], "height_px": SIZE[1]}
    lens = size | {"fx_px": fx, "fy_px": fy, "cx_px": cx, "cy_px": cy, "distortion": DISTORTION}
    lens |= {"focal_std_px": [lens_std_px] * 2, "center_std_px": [lens_std_px] * 2, "distortion_std": [0.0] * 5}
    board = {"squares_x": 10, "squares_y": 7, "square_m": 0.025, "marker_m": 0.018, "dictionary": "DICT_4X4_50"}
    content = {
        "rlaas_camera_calibration": 1,
        "mount": "hand" if parent == "tool" else "base",
        "date": "2026-01-01",
        "versions": {},
        "data": [],
        "board": board,
        "board_scale": 1.0,
        "board_scale_std": 0.0,
        "lens": lens,
        "camera": at | std | {"parent": parent, "covariance": np.diag([std_m**2] * 3 + [std_rad**2] * 3).tolist()},
        "board_pose": at,
        "noise": {"corner_px": 0.05, "robot_position_m": 1e-4, "robot_rotation_rad": 3e-4},
        "reprojection_px": 0.05,
        "closed_forms": [],
        "views": [],
        "rejected": [],
    }
    return CameraCalibration.model_validate(content)
