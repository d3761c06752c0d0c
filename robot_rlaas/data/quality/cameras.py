"""Pictures: sharp, lit, moving, and all there."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.opened import Video, frames
from robot_rlaas.data.quality.findings import SPREADS, Data, Finding, Severity, counted, longest_run, outlying, typical

PHASES = 10  # of an episode: pictures are compared with those of the same part of other episodes
FEWEST = 5  # episodes, or there is nothing to compare with
STILL = 0.02  # grey levels between two pictures, on average: nothing has moved
LONGER_FRAMES = 10  # a still picture that lasts so much longer than usual
SHARPNESS_LEAST, LIGHT_LEAST = np.log(2.0), 16.0  # half as sharp; a sixteenth of the range of grey levels


class Looks(NamedTuple):
    """One episode through one camera, per frame.

    Attributes:
        sharpness: logarithm of the Laplacian's variance (Pech-Pacheco et al., 2000), which blur takes away.
        light: mean grey level, 0 to 255.
        change: mean absolute difference to the picture before; zero for the first.
    """

    sharpness: np.ndarray
    light: np.ndarray
    change: np.ndarray


def cameras(data: Data) -> Iterator[Finding]:
    """Pictures that cannot be decoded, blurred, too dark or too bright, or standing still while the tool moves."""
    seen: dict[str, dict[int, Looks]] = {}
    for index, videos in data.opened.videos.items():
        if index not in data.opened.episodes:
            continue
        for video in videos:
            try:
                looks = look(video, len(data.opened.episodes[index].action))
                seen.setdefault(video.camera, {})[index] = looks
            except InputError as error:
                advice = "restore the file from a copy, or leave the episode out with 'rlaas demos clean'"
                yield Finding("pictures", Severity.BAD, index, None, f"{video.camera}: {error.message}", advice)
    for camera, looks in seen.items():
        yield from _frozen(data, camera, looks)
        if len(looks) >= FEWEST:
            yield from _odd(camera, looks)


def look(video: Video, count: int) -> Looks:
    """Measure one episode's pictures.

    Raises:
        InputError: if they cannot be decoded, or end early.
    """
    rows, before = [], None
    for picture in frames(video, count):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        change = 0.0 if before is None else float(cv2.absdiff(grey, before).mean())
        rows.append((np.log(cv2.Laplacian(grey, cv2.CV_64F).var() + 1e-3), grey.mean(), change))
        before = grey
    return Looks(*np.array(rows).T)


def _frozen(data: Data, camera: str, looks: dict[int, Looks]) -> Iterator[Finding]:
    """Pictures that stand still for far longer than in other episodes, or while the tool goes farther than in theirs.

    A coder makes slow motion into none, so standing still for a while is usual.
    """
    runs = {index: longest_run(one.change[1:] < STILL) for index, one in looks.items()}
    way_m = [_way_m(data, index, *run) for index, run in runs.items()]
    long = outlying([n for _, n in runs.values()], LONGER_FRAMES)
    far = outlying(way_m, data.spec.control.step_mm / 1000)
    for (index, (begin, n)), way, odd in zip(runs.items(), way_m, long | far):
        if odd:
            text = f"{camera}: the same picture for {(n + 1) * data.spec.period_s:.1f} s, while the tool went "
            text += f"{1000 * way:.0f} mm"
            advice = "look at the camera's driver, its cable and its bandwidth, and record it again"
            yield Finding("camera_frozen", Severity.BAD, index, (begin, begin + n), text, advice)


def _way_m(data: Data, index: int, begin: int, steps: int) -> float:
    """How far the tool gets from where it was, within so many steps."""
    if index not in data.episodes or not data.has("tool_position"):
        return 0.0
    position = data.named(index)["tool_position"][begin : begin + steps + 1]
    return float(np.linalg.norm(position - position[0], axis=1).max())


def _odd(camera: str, looks: dict[int, Looks]) -> Iterator[Finding]:
    """Episodes whose pictures differ in sharpness or light from those of the same part of the others."""
    sharp = _against_others([one.sharpness for one in looks.values()], SHARPNESS_LEAST)
    light = _against_others([one.light for one in looks.values()], LIGHT_LEAST)
    for index, blur, shift in zip(looks, sharp, light):
        if blur.odd < 0:
            text = f"{camera}: blurred in {counted(blur.frames[1] - blur.frames[0] + 1, 'frame')}: contrast of edges "
            text += f"{np.exp(blur.off / 2):.0%} of what is usual there"
            advice = "clean and focus the lens, or shorten the exposure, and record it again"
            yield Finding("blur", Severity.BAD, index, blur.frames, text, advice)
        if shift.odd:
            word = "dark" if shift.odd < 0 else "bright"
            text = f"{camera}: too {word}, by {abs(shift.off):.0f} of 255 grey levels against what is usual there"
            advice = "fix exposure, gain and white balance, and the lamps, and record it again"
            yield Finding("exposure", Severity.BAD, index, shift.frames, text, advice)


class Oddity(NamedTuple):
    """Where an episode differs: -1 below, 1 above, 0 nowhere; by how much; which frames."""

    odd: int
    off: float
    frames: tuple[int, int]


def _against_others(values: list[np.ndarray], least: float) -> list[Oddity]:
    """Compare each part of each episode with the same part of all.

    Args:
        values: per episode, (T,).
        least: smaller differences matter to nobody.
    """
    parts = [np.array([part.mean() for part in np.array_split(v, PHASES)]) for v in values if len(v) >= PHASES]
    if len(parts) < FEWEST:
        return [Oddity(0, 0.0, (0, 0))] * len(values)
    usual = np.array([typical(column) for column in np.array(parts).T])
    found = []
    for v in values:
        pieces = np.array_split(np.arange(len(v)), min(PHASES, len(v)))
        off = np.array([v[piece].mean() for piece in pieces]) - usual[: len(pieces), 0]
        odd = np.abs(off) > np.maximum(SPREADS * usual[: len(pieces), 1], least)
        if not odd.any():
            found.append(Oddity(0, 0.0, (0, 0)))
            continue
        where, worst = np.flatnonzero(odd), int(np.abs(np.where(odd, off, 0.0)).argmax())
        span = int(pieces[where[0]][0]), int(pieces[where[-1]][-1])
        found.append(Oddity(int(np.sign(off[worst])), float(off[worst]), span))
    return found
