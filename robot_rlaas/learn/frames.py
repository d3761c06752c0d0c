"""What a student learns from: moments, with what it could see of them, where the plate lay and what the teacher did."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from robot_rlaas.cell.contract import Contract, Policy
from robot_rlaas.data.episode import attempts
from robot_rlaas.env.batch import BatchEnv


class Frames(NamedTuple):
    """Arrays of so many moments.

    Attributes:
        observation: (n, observation_size).
        pictures: camera by camera (n, height, width, 3) uint8.
        plate: (n, 3) where it truly lay, as in `turning.PLATE`.
        action: (n, action_size) what the teacher would do.
    """

    observation: np.ndarray
    pictures: dict[str, np.ndarray]
    plate: np.ndarray
    action: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Frames":
        """These of them."""
        pictures = {name: seen[rows] for name, seen in self.pictures.items()}
        return Frames(self.observation[rows], pictures, self.plate[rows], self.action[rows])

    @property
    def tensors(self) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Observation and pictures, as a student takes them."""
        return torch.as_tensor(self.observation), {name: torch.as_tensor(p) for name, p in self.pictures.items()}


def room_for(count: int, contract: Contract, cameras: Mapping[str, tuple[int, int]]) -> Frames:
    """Memory for so many moments, which is taken as they come."""
    return Frames(
        np.zeros((count, contract.observation_size), np.float32),
        {name: np.zeros((count, *px, 3), np.uint8) for name, px in cameras.items()},
        np.zeros((count, 3), np.float32),
        np.zeros((count, contract.action_size), np.float32),
    )


def plates(env: BatchEnv) -> np.ndarray:
    """Where the plates of the present episodes truly lie, (n, 3) as in `turning.PLATE`."""
    return np.column_stack([env.draw.plate_xy_m, env.draw.plate_yaw_rad]).astype(np.float32)


class _Noted:
    """A teacher, of whose moments a share is noted."""

    def __init__(
        self,
        teacher: Policy,
        env: BatchEnv,
        into: Frames,
        share: float,
        rng: np.random.Generator,
        on_frames: Callable[[int, int], None],
    ) -> None:
        self._teacher, self._env, self._into, self._share, self._rng = teacher, env, into, share, rng
        self._on_frames, self.count, self.of = on_frames, 0, len(into.action)

    def watch(self, env: BatchEnv) -> None:
        env.tell(self._teacher)

    def reset(self, ids: np.ndarray) -> None:
        self._teacher.reset(ids)

    def act(self, observation: np.ndarray) -> np.ndarray:
        action = self._teacher.act(observation)
        rows = np.flatnonzero(self._rng.random(len(action)) < self._share)[: self.of - self.count]
        to, env = slice(self.count, self.count + len(rows)), self._env
        self._into.observation[to], self._into.action[to] = observation[rows], action[rows]
        self._into.plate[to] = plates(env)[rows]
        for name, seen in env.pictures.items():
            self._into.pictures[name][to] = seen[rows]
        self.count = to.stop
        self._on_frames(self.count, self.of)
        return action


def gather(
    env: BatchEnv,
    teacher: Policy,
    into: Frames,
    share: float,
    noise: float,
    rng: np.random.Generator,
    on_frames: Callable[[int, int], None],
    driver: Policy | None = None,
) -> None:
    """Fill `into` with a share of the moments of fresh episodes.

    Args:
        env: that sees.
        teacher: acts, and labels; one row per row of `env`.
        into: what is to be filled.
        share: of all moments, at random.
        noise: injected, as in `data.episode.attempts`.
        rng: draws noise and moments.
        on_frames: hears how many there are, and of how many.
        driver: acts in the teacher's place.
    """
    env.reset()
    noted = _Noted(teacher, env, into, share, rng, on_frames)
    for _ in attempts(env, noted, noise, rng, driver):
        if noted.count == noted.of:
            break
