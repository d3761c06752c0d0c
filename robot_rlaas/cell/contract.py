"""What goes into a policy and what comes out: the one place that describes it."""

import hashlib
import json
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.errors import InputError

Array = Any
XYZ = ("x", "y", "z")


class Feature(NamedTuple):
    """One named part of an observation or action vector.

    Attributes:
        name: what it is.
        axes: one name per component; their number is the feature's size.
        unit: SI, or "1" for a fraction.
        frame: the frame it is expressed in, or "-".
        low, high: bounds of every component. An observation is clipped to them.
    """

    name: str
    axes: tuple[str, ...]
    unit: str
    frame: str
    low: float
    high: float


class Contract(NamedTuple):
    """Ordered features of observation and action, float32, at one rate."""

    observation: tuple[Feature, ...]
    action: tuple[Feature, ...]
    rate_hz: float

    @property
    def observation_size(self) -> int:
        """Length of the observation vector."""
        return sum(len(f.axes) for f in self.observation)

    @property
    def action_size(self) -> int:
        """Length of the action vector."""
        return sum(len(f.axes) for f in self.action)

    def pack(self, values: dict[str, Array]) -> np.ndarray:
        """Named features (n, size) -> the observation vector (n, observation_size), clipped to bounds, float32."""
        low, high = bounds(self.observation)
        packed = np.concatenate([values[f.name] for f in self.observation], axis=-1)
        return np.minimum(np.maximum(packed, low), high).astype(np.float32)

    def unpack(self, vector: Array) -> dict[str, Array]:
        """The observation vector (..., observation_size) -> named features, as views."""
        ends = np.cumsum([len(f.axes) for f in self.observation])
        return {f.name: vector[..., end - len(f.axes) : end] for f, end in zip(self.observation, ends)}

    def to_json(self) -> dict[str, Any]:
        """Plain content, for datasets and bundles."""
        return {
            "rate_hz": self.rate_hz,
            "observation": [f._asdict() for f in self.observation],
            "action": [f._asdict() for f in self.action],
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Contract":
        """The inverse of `to_json`.

        Raises:
            InputError: if a key is missing or unknown.
        """
        try:
            sides = [tuple(_feature(f) for f in content[side]) for side in ("observation", "action")]
            return Contract(sides[0], sides[1], float(content["rate_hz"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"not a contract: {error}") from error

    @property
    def hash(self) -> str:
        """SHA-256 over everything a policy and a robot must agree on."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


@lru_cache
def bounds(side: tuple[Feature, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest values (size,) of a vector of these features."""
    sizes = [len(f.axes) for f in side]
    return np.repeat([f.low for f in side], sizes), np.repeat([f.high for f in side], sizes)


def components(side: tuple[Feature, ...]) -> list[str]:
    """What the components of a vector of these features are called, in its order: "feature.axis"."""
    return [f"{feature.name}.{axis}" for feature in side for axis in feature.axes]


def _feature(content: dict[str, Any]) -> Feature:
    return Feature(**{**content, "axes": tuple(content["axes"])})


class Policy(Protocol):
    """Anything that acts: scripted experts, networks, bundles, teleoperation devices. Batched.

    One that sees also has `cameras`, the names of those whose pictures it takes: `env.acting.env_for` and
    `BatchEnv.tell` are for it.
    """

    def reset(self, ids: np.ndarray) -> None:
        """Forget the past of these rows of the batch."""
        ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Observations (n, observation_size) -> actions (n, action_size), both as the contract says."""
        ...
