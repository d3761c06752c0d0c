"""A policy that sees: eyes that say where the plate lies, and a hand that acts in the frame of the hole they saw."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from robot_rlaas.cell.contract import Contract
from robot_rlaas.env.insertion.turning import PLATE, Turning, into_hole, out_of_hole
from robot_rlaas.learn.network import SMALLEST_STD

Tensor = torch.Tensor
FIRST_KERNEL, KERNEL, STRIDE = 5, 3, 2


class Student(nn.Module):
    """Pictures and an observation in the nominal frame -> an action in the nominal frame.

    The plate's pose is all that passes from the eyes to the hand. So the eyes learn from the simulation's truth, which
    is the quickest teacher they can have, and the hand is as small as a policy that is told the pose.

    Args:
        contract: of the observation and the action.
        cameras: height and width of each one's pictures.
        channels: of each eye's convolutions, every one of which halves the picture.
        features: that each eye makes of a picture, and that are made of them all together.
        hidden: widths of the hand's hidden layers.
    """

    def __init__(
        self,
        contract: Contract,
        cameras: Mapping[str, tuple[int, int]],
        channels: tuple[int, ...],
        features: int,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        size, out = contract.observation_size, contract.action_size
        self.cameras: dict[str, tuple[int, int]] = dict(cameras)
        self.eyes = nn.ModuleList(_eye(px, channels, features) for px in cameras.values())
        self.gaze = nn.Sequential(
            nn.Linear(len(cameras) * features + size, features), nn.ReLU(), nn.Linear(features, len(PLATE))
        )
        widths = (size, *hidden)
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.Tanh())]
        self.hand = nn.Sequential(*layers, nn.Linear(widths[-1], out))
        self.into, self.back = _Turn(into_hole(contract)), _Turn(out_of_hole(contract))
        self.seen, self.turned = Scale(size), Scale(size)
        self.plates = Scale(len(PLATE))

    def plate(self, observation: Tensor, pictures: Mapping[str, Tensor]) -> Tensor:
        """Where the plate seems to lie, (n, 3) as in PLATE: from observations (n, size) and, camera by camera,
        pictures (n, height, width, 3) uint8."""
        looks = [eye(_light(pictures[name])) for name, eye in zip(self.cameras, self.eyes)]
        return self.plates.undo(self.gaze(torch.cat([*looks, self.seen(observation)], dim=1)))

    def act(self, observation: Tensor, plate: Tensor) -> Tensor:
        """The action (n, action_size), not clipped, for plates (n, 3)."""
        return self.back(self.hand(self.turned(self.into(observation, plate))), plate)

    def forward(self, observation: Tensor, pictures: Mapping[str, Tensor]) -> Tensor:
        """The action (n, action_size) in [-1, 1]."""
        return self.act(observation, self.plate(observation, pictures)).clamp(-1.0, 1.0)

    def measure(self, observation: np.ndarray, plate: np.ndarray) -> None:
        """Take the scales of everything from observations (n, size) and the true poses (n, 3) of their plates."""
        seen, where = torch.as_tensor(observation), torch.as_tensor(plate, dtype=torch.float32)
        self.seen.measure(seen)
        self.turned.measure(self.into(seen, where))
        self.plates.measure(where)


class Scale(nn.Module):
    """(x - mean) / std, and back, with constants from data (n, size)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def measure(self, data: Tensor) -> None:
        """Take the constants."""
        self.mean.copy_(data.mean(0))
        self.std.copy_(data.std(0).clamp(min=SMALLEST_STD))

    def forward(self, x: Tensor) -> Tensor:
        """(n, size), scaled."""
        return (x - self.mean) / self.std

    def undo(self, x: Tensor) -> Tensor:
        """The inverse."""
        return x * self.std + self.mean


class _Turn(nn.Module):
    """A `Turning` as a layer."""

    def __init__(self, turning: Turning) -> None:
        super().__init__()
        self.shift: Tensor
        self.still: Tensor
        self.cosine: Tensor
        self.sine: Tensor
        for name, matrix in turning._asdict().items():
            self.register_buffer(name, torch.as_tensor(matrix, dtype=torch.float32))

    def forward(self, v: Tensor, plate: Tensor) -> Tensor:
        u, yaw = v + plate @ self.shift, plate[:, 2:]
        return u @ self.still + yaw.cos() * (u @ self.cosine) + yaw.sin() * (u @ self.sine)


def _eye(size_px: tuple[int, int], channels: tuple[int, ...], features: int) -> nn.Sequential:
    layers = list[nn.Module]()
    height, width = size_px
    for i, (before, after) in enumerate(pairwise((3, *channels))):
        kernel = KERNEL if i else FIRST_KERNEL
        layers += [nn.Conv2d(before, after, kernel, STRIDE, kernel // 2), nn.ReLU()]
        height, width = -(-height // STRIDE), -(-width // STRIDE)
    layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, features), nn.ReLU()]
    eye = nn.Sequential(*layers)
    return cast(Any, eye).to(memory_format=torch.channels_last)  # its type stubs know no memory format


def _light(pictures: Tensor) -> Tensor:
    """(n, height, width, 3) uint8 -> (n, 3, height, width), from -0.5 to 0.5, laid out as it came: that is quicker."""
    return pictures.permute(0, 3, 1, 2).float() / 255.0 - 0.5
