"""Pictures of a ChArUco board with known truth, drawn by MuJoCo and spoiled as a camera would, with poses of an arm."""

from pathlib import Path
from typing import NamedTuple, Self

import cv2
import mujoco
import numpy as np
import yaml
from PIL import Image
from scipy.spatial.transform import Rotation

from robot_rlaas.cell.camera_calibration import BoardSpec, Mount
from robot_rlaas.sim.render import offscreen, open_gl
from robot_rlaas.vision.board import A4_BOARD, charuco, draw_board

SIZE = (640, 480)
FINER = 2  # drawn pixels in a picture's pixel, each way
DRAWN = (1480, 1140)
DRAWN_FOCAL_PX = 1200.0
TEXTURE_DPI = 100.0
MUJOCO_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
POSITION_NOISE_M, ROTATION_NOISE_RAD = 1e-4, np.deg2rad(0.02)
BLUR_PX, GRAY_NOISE = 0.7, 2.0


class TrueLens(NamedTuple):
    """A camera matrix (3, 3), pixels, and k1, k2, p1, p2, k3."""

    matrix: np.ndarray
    distortion: np.ndarray


LENS = TrueLens(
    np.array([[610.0, 0.0, 327.4], [0.0, 607.0, 233.8], [0.0, 0.0, 1.0]]), np.array([-0.1, 0.02, 5e-4, -8e-4, 0.0])
)


class Truth(NamedTuple):
    """Where the camera and the board are: in the tool and the base, or in the base and the tool.

    Attributes:
        mount: "hand" or "base".
        T_parent_camera, T_other_board: (4, 4).
        T_base_tool: (n, 4, 4), one for each picture.
    """

    mount: Mount
    T_parent_camera: np.ndarray
    T_other_board: np.ndarray
    T_base_tool: np.ndarray

    def T_camera_board(self) -> np.ndarray:
        """(n, 4, 4)."""
        if self.mount == "hand":
            return np.linalg.inv(self.T_base_tool @ self.T_parent_camera) @ self.T_other_board
        return np.linalg.inv(self.T_parent_camera) @ self.T_base_tool @ self.T_other_board


def pose(position_m, rotation_deg) -> np.ndarray:
    """(..., 3) position and rotation vector in degrees -> (..., 4, 4)."""
    position_m, rotation_deg = np.asarray(position_m), np.asarray(rotation_deg)
    T = np.zeros((*position_m.shape[:-1], 4, 4))
    T[..., :3, :3] = Rotation.from_rotvec(rotation_deg, degrees=True).as_matrix()
    T[..., :3, 3], T[..., 3, 3] = position_m, 1.0
    return T


def draw_truth(mount: Mount, rng: np.random.Generator, count: int = 15, tilt_deg: float = 35.0) -> Truth:
    """An arm with a camera or a board somewhere near its flange, and views of the board that fill the pictures."""
    looking_down = pose([0.0, 0.0, 0.0], [180.0, 0.0, 0.0])
    small = pose(rng.normal(0.0, 0.02, 3), rng.normal(0.0, 8.0, 3))
    if mount == "hand":
        T_parent_camera = pose([0.05, -0.03, 0.06], [0.0, 0.0, 90.0]) @ small
        T_other_board = pose([0.5, 0.1, 0.02], [0.0, 0.0, 30.0]) @ looking_down @ pose(*rng.normal(0.0, 0.03, (2, 3)))
    else:
        T_parent_camera = pose([0.9, 0.1, 0.8], [0.0, 0.0, 40.0]) @ looking_down @ small
        T_other_board = pose([-0.1, -0.08, 0.03], [180.0, 0.0, 0.0]) @ pose(*rng.normal(0.0, 0.03, (2, 3)))
    T_camera_board = board_views(rng, count, tilt_deg)
    if mount == "hand":
        T_base_tool = T_other_board @ np.linalg.inv(T_camera_board) @ np.linalg.inv(T_parent_camera)
    else:
        T_base_tool = T_parent_camera @ T_camera_board @ np.linalg.inv(T_other_board)
    return Truth(mount, T_parent_camera, T_other_board, T_base_tool)


def board_views(rng: np.random.Generator, count: int, tilt_deg: float = 35.0) -> np.ndarray:
    """Poses (n, 4, 4) of the board in the camera: tilted every way, turned, here and there in the picture."""
    way = 2 * np.pi * (np.arange(count) + rng.random(count)) / count
    tilt = tilt_deg * np.sqrt(rng.uniform(0.2, 1.0, count))
    tilts = Rotation.from_rotvec(np.stack([np.cos(way), np.sin(way), 0 * way], 1) * tilt[:, None], degrees=True)
    turns = Rotation.from_euler("z", rng.uniform(-60.0, 60.0, (count, 1)), degrees=True)
    T = pose(np.zeros((count, 3)), (tilts * turns).as_rotvec(degrees=True))
    distance = rng.uniform(0.34, 0.48, count)
    aside = rng.uniform(-1.0, 1.0, (count, 2)) * (0.2, 0.13)
    middle = np.array([A4_BOARD.squares_x, A4_BOARD.squares_y, 0]) * A4_BOARD.square_m / 2
    T[:, :3, 3] = np.concatenate([aside, np.ones((count, 1))], 1) * distance[:, None] - T[:, :3, :3] @ middle
    return T


class BoardRenderer:
    """Draws a board before a camera. A context manager: the OpenGL context lives in the thread that enters it.

    Raises:
        RenderingUnavailable: on entering, where there is no EGL.
    """

    def __init__(self, board: BoardSpec = A4_BOARD, lens: TrueLens = LENS) -> None:
        self._board, self._lens = board, lens

    def __enter__(self) -> Self:
        self._gl = open_gl()
        self._model = _scene(self._board)
        self._data = mujoco.MjData(self._model)
        self._scene = mujoco.MjvScene(self._model, maxgeom=100)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._context = offscreen(self._model, self._gl)
        self._maps = _lens_maps(self._lens)
        return self

    def __exit__(self, *_: object) -> None:
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def draw(self, T_base_camera: np.ndarray, T_base_board: np.ndarray) -> np.ndarray:
        """The picture (480, 640), float, 0 to 255, without noise. Poses (4, 4); the camera's frame is OpenCV's."""
        for name, T in (("camera", T_base_camera @ MUJOCO_FROM_OPENCV), ("board", T_base_board)):
            at = self._model.body(name).mocapid[0]
            self._data.mocap_pos[at] = T[:3, 3]
            self._data.mocap_quat[at] = Rotation.from_matrix(T[:3, :3]).as_quat(scalar_first=True)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, mujoco.MjvOption(), None, view, everything, self._scene)
        rect = mujoco.MjrRect(0, 0, *DRAWN)
        picture = np.empty((*DRAWN[::-1], 3), np.uint8)
        self._gl.make_current()
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(picture, None, rect, self._context)
        gray = np.ascontiguousarray(picture[::-1, :, 1]).astype(np.float32)
        return cv2.resize(cv2.remap(gray, *self._maps, cv2.INTER_LINEAR), SIZE, interpolation=cv2.INTER_AREA)

    def shoot(self, truth: Truth) -> list[np.ndarray]:
        """All pictures of a truth, without noise."""
        if truth.mount == "hand":
            pairs = ((T @ truth.T_parent_camera, truth.T_other_board) for T in truth.T_base_tool)
        else:
            pairs = ((truth.T_parent_camera, T @ truth.T_other_board) for T in truth.T_base_tool)
        return [self.draw(*pair) for pair in pairs]


def spoil(picture: np.ndarray, rng: np.random.Generator, blur_px: float = BLUR_PX) -> np.ndarray:
    """The picture blurred and with noise, uint8."""
    blurred = cv2.GaussianBlur(picture, (0, 0), blur_px)
    return np.clip(np.rint(blurred + rng.normal(0.0, GRAY_NOISE, picture.shape)), 0, 255).astype(np.uint8)


def stated_poses(
    truth: Truth,
    rng: np.random.Generator,
    position_m: float = POSITION_NOISE_M,
    rotation_rad: float = ROTATION_NOISE_RAD,
) -> np.ndarray:
    """(n, 4, 4): what the robot says of its tool."""
    count = len(truth.T_base_tool)
    stated = truth.T_base_tool.copy()
    stated[:, :3, 3] += rng.normal(0.0, position_m, (count, 3))
    stated[:, :3, :3] @= Rotation.from_rotvec(rng.normal(0.0, rotation_rad, (count, 3))).as_matrix()
    return stated


def record(folder: Path, pictures: list[np.ndarray], T_base_tool: np.ndarray, board: BoardSpec = A4_BOARD) -> Path:
    """Write what a person would have recorded: pictures (uint8), poses.yaml and board.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = []
    for i, (picture, T) in enumerate(zip(pictures, T_base_tool)):
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
        quaternion = Rotation.from_matrix(T[:3, :3]).as_quat(scalar_first=True)
        poses.append({"image": f"{i:02d}.png", "position_m": T[:3, 3].tolist(), "quaternion_wxyz": quaternion.tolist()})
    (folder / "poses.yaml").write_text(yaml.safe_dump({"poses": poses}))
    (folder / "board.yaml").write_text(yaml.safe_dump(board.model_dump()))
    return folder


def corner_truth(T_camera_board: np.ndarray, board: BoardSpec = A4_BOARD, lens: TrueLens = LENS) -> np.ndarray:
    """Where the corners of the board at a pose (4, 4) are in the picture, (m, 2), pixels."""
    corners = np.asarray(charuco(board).getChessboardCorners(), float)
    turn, _ = cv2.Rodrigues(T_camera_board[:3, :3])
    return cv2.projectPoints(corners, turn, T_camera_board[:3, 3], *lens)[0].reshape(-1, 2)


def _scene(board: BoardSpec) -> mujoco.MjModel:
    """A camera, and a board as a textured rectangle whose frame is the board's: x along its rows, z into it."""
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth, spec.visual.global_.offheight = DRAWN
    spec.visual.headlight.ambient[:], spec.visual.headlight.diffuse[:] = [0.7] * 3, [0.2] * 3
    spec.visual.headlight.specular[:] = [0.0] * 3
    spec.visual.map.znear = 0.01
    picture = draw_board(board, TEXTURE_DPI)
    texels = np.repeat(np.asarray(picture)[..., None], 3, axis=2)
    spec.add_texture(
        name="board",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=picture.width,
        height=picture.height,
        nchannel=3,
        data=texels.ravel().tolist(),
    )
    material = spec.add_material(name="board", specular=0.0, reflectance=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    texel_m = 0.0254 / picture.info["dpi"][0]
    rim_m = texel_m * (round(board.square_m / texel_m) // 2)
    low, high = np.full(2, -rim_m), np.array(picture.size) * texel_m - rim_m
    back = 0.003
    spec.add_mesh(
        name="board",
        uservert=[low[0], low[1], 0, high[0], low[1], 0, high[0], high[1], 0, low[0], high[1], 0, low[0], low[1], back],
        usertexcoord=[0, 0, 1, 0, 1, 1, 0, 1, 0, 0],
        userface=[0, 2, 1, 0, 3, 2, 0, 1, 4, 0, 4, 3],
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        smoothnormal=0,
    )
    floor = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], rgba=[0.35, 0.4, 0.45, 1])
    floor.pos[2] = -0.2
    plate = spec.worldbody.add_body(name="board", mocap=True)
    plate.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="board", material="board", contype=0, conaffinity=0)
    wrist = spec.worldbody.add_body(name="camera", mocap=True)
    wrist.add_camera(name="camera", fovy=2 * np.rad2deg(np.arctan(DRAWN[1] / 2 / DRAWN_FOCAL_PX)))
    return spec.compile()


def _lens_maps(lens: TrueLens) -> tuple[np.ndarray, np.ndarray]:
    """For every fine pixel of the picture, where in what was drawn the lens sees it."""
    width, height = SIZE[0] * FINER, SIZE[1] * FINER
    u, v = np.meshgrid((np.arange(width) + 0.5) / FINER - 0.5, (np.arange(height) + 0.5) / FINER - 0.5)
    seen = np.stack([u, v], -1).reshape(-1, 1, 2)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-9)
    rays = cv2.undistortPointsIter(seen, *lens, np.eye(3), np.eye(3), criteria).reshape(height, width, 2)
    drawn = rays * DRAWN_FOCAL_PX + (np.array(DRAWN) - 1) / 2
    return drawn[..., 0].astype(np.float32), drawn[..., 1].astype(np.float32)
