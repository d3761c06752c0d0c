"""Attempts as files, one each, for whoever learns from them meanwhile: whole, or not there."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.data.episode import Episode
from robot_rlaas.files import write_atomic


class Practised(NamedTuple):
    """An attempt that a policy practised.

    Attributes:
        observation: (T, observation_size) before each action.
        action: (T, action_size) what was done.
        success: as far as whoever made it could tell.
        ended: these are all of its periods: somebody who changed what was done would have cut it there.
        corrected: (T,) bool: a person had taken over.
        version: of the policy that acted.
        at_s: when it ended, in seconds of practice.
    """

    observation: np.ndarray
    action: np.ndarray
    success: bool
    ended: bool
    corrected: np.ndarray
    version: int
    at_s: float


def practised(episode: Episode, version: int, at_s: float, ended: bool = True) -> Practised:
    """What is to be learned from an episode."""
    did = episode.observation, episode.executed
    return Practised(*did, episode.success, ended, episode.corrected, version, at_s)


def keep(folder: Path, number: int, attempt: Practised) -> None:
    """Put it down, on disk when this returns."""
    file = io.BytesIO()
    np.savez_compressed(file, **attempt._asdict())
    write_atomic(_file(folder, number), file.getvalue())


def kept(folder: Path, first: int = 0) -> Iterator[Practised]:
    """The attempts from this number on, as many as there are by now."""
    while (file := _file(folder, first)).is_file():
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in Practised._fields}
        yield Practised(**{name: value if value.ndim else value.item() for name, value in arrays.items()})
        first += 1


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"
