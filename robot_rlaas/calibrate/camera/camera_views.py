"""A folder of pictures with tool poses, checked: what can be used of it, and why the rest cannot."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import ValidationError

from robot_rlaas.cell.camera_calibration import BoardSpec, ImagePose, ImagePoses, RejectedView
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.vision.board import BOARD_FILE, charuco, find_corners, sharpness, steepest_edge

POSES_YAML, POSES_CSV = "poses.yaml", "poses.csv"
COLUMNS = ("image", "x_m", "y_m", "z_m", "qw", "qx", "qy", "qz")
PICTURES = (".png", ".jpg", ".jpeg")
MIN_VIEWS = 8
MIN_CORNERS = 12
MIN_SQUARE_PX = 15.0
MIN_SHARPNESS = 0.35  # a blur of 2.2 pixels
SHARP_PICTURE = 0.5  # a blur of 1.5 pixels, which hides small markers

NOT_FOUND, FEW_CORNERS, SMALL, BLURRED = "board not found", "too little of the board", "board too small", "blurred"
REMEDIES = {
    NOT_FOUND: f"check {BOARD_FILE} against the board, the light, and that the board is in the picture; with an even "
    "number of rows, boards of OpenCV before 4.6 differ: print one with `rlaas calibrate board`",
    FEW_CORNERS: "keep most of the board in the picture",
    SMALL: "go nearer, or print a larger board",
    BLURRED: "let the arm stand still for half a second before each picture, focus, and use more light",
}


class View(NamedTuple):
    """One usable picture.

    Attributes:
        image: file name.
        gray: (h, w) uint8.
        T_base_tool: (4, 4), m, as the robot says.
        board_m: (m, 3) the corners seen, in the board's frame.
        at_px: (m, 2) where they are seen.
    """

    image: str
    gray: np.ndarray
    T_base_tool: np.ndarray
    board_m: np.ndarray
    at_px: np.ndarray


class Recording(NamedTuple):
    """All that a folder holds. The poses are listed even of pictures that cannot be used."""

    board: BoardSpec
    files: tuple[Path, ...]
    views: list[View]
    rejected: list[RejectedView]


def read_recording(folder: Path) -> Recording:
    """Read board.yaml, poses.yaml or poses.csv, and the pictures that the poses name.

    Raises:
        InputError: if a file is wrong or too few pictures can be used; it says what to record instead.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, fix=f"name the one with pictures and {POSES_YAML}")
    board_file = folder / BOARD_FILE
    board = load_spec(board_file, BoardSpec)
    poses_file, poses = _poses(folder)
    grays = _pictures(folder, poses, poses_file)
    pattern = charuco(board, board_file)
    views, rejected = [], []
    for entry, gray in zip(poses, grays):
        view = _view(pattern, entry, gray)
        (views if isinstance(view, View) else rejected).append(view)
    enough(views, rejected, len(poses), folder)
    return Recording(board, (board_file, poses_file, *(folder / p.image for p in poses)), views, rejected)


def enough(views: list[View], rejected: list[RejectedView], recorded: int, folder: Path) -> None:
    """Refuse to go on with fewer than MIN_VIEWS.

    Raises:
        InputError: with how many were rejected for what, and the remedy for the most frequent reason.
    """
    if len(views) >= MIN_VIEWS:
        return
    reasons = Counter(r.reason.split(":")[0] for r in rejected)
    listed = "".join(f"; {reason} in {count}" for reason, count in reasons.most_common())
    message = f"{len(views)} of {recorded} pictures can be used{listed}; at least {MIN_VIEWS} are needed, 15 are better"
    worst = reasons.most_common(1)[0][0] if reasons else ""
    fix = REMEDIES.get(worst, "record 15 pictures, the board tilted and turned differently in each")
    raise InputError(message, file=folder, fix=fix)


def _poses(folder: Path) -> tuple[Path, tuple[ImagePose, ...]]:
    there = [folder / name for name in (POSES_YAML, POSES_CSV) if (folder / name).is_file()]
    if len(there) != 1:
        what = "there are both" if there else "there is neither"
        fix = f"keep one of them: a row per picture, with {', '.join(COLUMNS)} or its like in YAML"
        raise InputError(f"{what} {POSES_YAML} and {POSES_CSV}", file=folder, fix=fix)
    file = there[0]
    poses = load_spec(file, ImagePoses).poses if file.suffix == ".yaml" else _from_csv(file)
    twice = [name for name, count in Counter(p.image for p in poses).items() if count > 1]
    if twice:
        raise InputError(f"more than one pose for {', '.join(twice)}", file=file, fix="keep the right one")
    return file, poses


def _from_csv(file: Path) -> tuple[ImagePose, ...]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            message = f"the columns are {', '.join(rows.fieldnames or ())}; needed are {', '.join(COLUMNS)}"
            raise InputError(message, file=file, line=1, fix="write exactly these names into the first line")
        return tuple(_from_row(row, file, rows.line_num) for row in rows)


def _from_row(row: dict[str, str], file: Path, line: int) -> ImagePose:
    numbers = [row[name] for name in COLUMNS[1:]]
    try:
        content = {"image": row["image"], "position_m": numbers[:3], "quaternion_wxyz": numbers[3:]}
        return ImagePose.model_validate(content)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{reason} (the row is {', '.join(map(str, row.values()))})", file=file, line=line) from error


def _pictures(folder: Path, poses: tuple[ImagePose, ...], poses_file: Path) -> list[np.ndarray]:
    """The pictures that the poses name, grey, one size."""
    there = {p.name for p in folder.iterdir() if p.suffix.lower() in PICTURES}
    named = {p.image for p in poses}
    for names, what in ((named - there, "poses without a picture"), (there - named, "pictures without a pose")):
        if names:
            raise InputError(
                f"{what}: {', '.join(sorted(names))}", file=poses_file, fix="add the missing, or remove it"
            )
    grays = []
    for pose in poses:
        content = np.frombuffer((folder / pose.image).read_bytes(), np.uint8)
        flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        gray = cv2.imdecode(content, flags) if len(content) else None
        if gray is None:
            raise InputError("this is no PNG or JPEG picture", file=folder / pose.image, fix="record it again")
        grays.append(gray)
    sizes = Counter(gray.shape[::-1] for gray in grays)
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {w} x {h}" for (w, h), count in sizes.most_common())
        raise InputError(f"pictures of different sizes: {listed}", file=folder, fix="record all with the same settings")
    return grays


def _view(pattern: cv2.aruco.CharucoBoard, entry: ImagePose, gray: np.ndarray) -> View | RejectedView:
    corners = find_corners(pattern, gray)
    if corners is None:
        blurred = steepest_edge(gray) < SHARP_PICTURE
        reason = f"{BLURRED}: no board found, and no sharp edge" if blurred else NOT_FOUND
        return RejectedView(image=entry.image, reason=reason)
    board_m = np.asarray(pattern.getChessboardCorners(), float)
    needed = min(MIN_CORNERS, (len(board_m) + 1) // 2)
    if corners.square_px < MIN_SQUARE_PX:
        reason = f"{SMALL}: a square is {corners.square_px:.1f} pixels wide, {MIN_SQUARE_PX:g} are needed"
    elif (share := sharpness(gray, pattern, corners)) < MIN_SHARPNESS:
        reason = f"{BLURRED}: edges keep {share:.2f} of their contrast within two pixels, {MIN_SHARPNESS} are needed"
    elif len(corners.ids) < needed or pattern.checkCharucoCornersCollinear(corners.ids):
        reason = f"{FEW_CORNERS}: {len(corners.ids)} corners, {needed} not in one line are needed"
    else:
        return View(entry.image, gray, entry.matrix(), board_m[corners.ids], corners.at_px)
    return RejectedView(image=entry.image, reason=reason)
