"""Defects that recordings really have, put into good episodes on purpose."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.spec import Control
from robot_rlaas.control.rotation import clip_norm
from robot_rlaas.data.episode import Episode


class Scene(NamedTuple):
    """What a defect may need besides the episode: the contract, the control, the other episodes, and a generator."""

    contract: Contract
    control: Control
    others: list[Episode]
    rng: np.random.Generator


Defect = Callable[[Episode, Scene], Episode]


def columns(contract: Contract, feature: str) -> slice:
    """Where a feature stands in the observation."""
    ends = np.cumsum([len(f.axes) for f in contract.observation])
    index = [f.name for f in contract.observation].index(feature)
    return slice(int(ends[index]) - len(contract.observation[index].axes), int(ends[index]))


def _stretch(episode: Episode, rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Begin and end of some frames, not the first or the last ones."""
    n = len(episode.action)
    length = int(rng.integers(low, min(high, n // 2) + 1))
    begin = int(rng.integers(2, n - length - 1))
    return begin, begin + length


def frozen_sensor(episode: Episode, scene: Scene) -> Episode:
    """Force and torque, or the tool's position, stand still for 0.4 to 2 s."""
    begin, end = _stretch(episode, scene.rng, 8, 40)
    names = [("force", "torque"), ("tool_position",), ("tool_rotation",)][scene.rng.integers(3)]
    observation = episode.observation.copy()
    for name in names:
        at = columns(scene.contract, name)
        observation[begin:end, at] = observation[begin, at]
    return episode._replace(observation=observation)


def shifted_timestamps(episode: Episode, scene: Scene) -> Episode:
    """From some frame on, or from the first, stamps are 0.1 to 0.3 s too late."""
    begin = int(scene.rng.integers(2)) * int(scene.rng.integers(2, len(episode.action) - 2))
    stamp_s = episode.stamp_s.copy()
    stamp_s[begin:] += scene.rng.uniform(0.1, 0.3)
    return episode._replace(stamp_s=stamp_s)


def shifted_observations(episode: Episode, scene: Scene) -> Episode:
    """Observations come one to three frames late beside their actions."""
    late = int(scene.rng.integers(1, 4))
    part = episode.take(slice(late, None))
    return part._replace(observation=episode.observation[:-late], stamp_s=part.stamp_s - part.stamp_s[0])


def swapped_axes(episode: Episode, scene: Scene) -> Episode:
    """x and y of what was done are exchanged, in the whole log; or x and z of where the tool was."""
    observation, position = episode.observation.copy(), columns(scene.contract, "tool_position").start
    if scene.rng.integers(2):
        observation[:, [position, position + 2]] = observation[:, [position + 2, position]]
        return episode._replace(observation=observation)
    last = columns(scene.contract, "last_action").start
    observation[:, [last, last + 1]] = observation[:, [last + 1, last]]
    order = [1, 0, *range(2, episode.action.shape[1])]
    return episode._replace(
        observation=observation, action=episode.action[:, order], executed=episode.executed[:, order]
    )


def clipped_actions(episode: Episode, scene: Scene) -> Episode:
    """The tool's steps are cut at 20 to 60 % of a full one, in the whole log."""
    level, last = scene.rng.uniform(0.2, 0.6), columns(scene.contract, "last_action").start
    observation, action, executed = (a.copy() for a in (episode.observation, episode.action, episode.executed))
    for values in (observation[:, last : last + 4], action[:, :4], executed[:, :4]):
        np.clip(values, -level, level, out=values)
    return episode._replace(observation=observation, action=action, executed=executed)


def duplicate(episode: Episode, scene: Scene) -> Episode:
    """An earlier episode once more."""
    return scene.others[scene.rng.integers(len(scene.others))]


def wrong_label(episode: Episode, scene: Scene) -> Episode:
    """A success that is called a failure, or the other way round."""
    return episode._replace(success=not episode.success)


def idle_tail(episode: Episode, scene: Scene) -> Episode:
    """The recording was stopped 1 to 4 s too late: sensors go on, nothing is done."""
    more, last = int(scene.rng.integers(20, 81)), columns(scene.contract, "last_action")
    observation = np.repeat(episode.observation[-1:], more, axis=0)
    noise = np.abs(np.diff(episode.observation, axis=0)).min(axis=0) * scene.rng.standard_normal(observation.shape)
    for axis in ("position", "rotation"):  # the reference stands still: what the tool is seen off, its lead makes up
        noise[:, columns(scene.contract, f"lead_{axis}")] = -noise[:, columns(scene.contract, f"tool_{axis}")]
    lead = columns(scene.contract, "lead_position")
    step_m = episode.executed[-1, :3] * scene.control.step_mm / 1000
    observation[:, lead] = clip_norm(observation[:, lead] + step_m, scene.control.leash_mm / 1000)
    observation[:, columns(scene.contract, "lead_rotation").stop - 1] += episode.executed[-1, 3] * np.deg2rad(
        scene.control.step_deg
    )
    observation += noise
    elapsed = _elapsed(scene.contract)
    tick = episode.observation[1, elapsed] - episode.observation[0, elapsed]
    observation[:, elapsed] = episode.observation[-1, elapsed] + tick * np.arange(1, more + 1)
    nothing = np.zeros((more, episode.action.shape[1]), dtype=np.float32)
    nothing[:, 4:] = episode.action[-1, 4:]
    observation[:, last] = np.concatenate([episode.executed[-1:], nothing[:-1]])
    period_s = episode.stamp_s[1] - episode.stamp_s[0]
    stamp_s = episode.stamp_s[-1] + period_s * np.arange(1, more + 1)
    added = {
        "observation": observation.astype(np.float32),
        "action": nothing,
        "executed": nothing,
        "reward": np.zeros(more, dtype=np.float32),
        "stamp_s": stamp_s,
        "late": np.zeros(more, dtype=bool),
        "corrected": np.zeros(more, dtype=bool),
    }
    return episode._replace(**{name: np.concatenate([getattr(episode, name), new]) for name, new in added.items()})


def _elapsed(contract: Contract) -> int:
    clock = next(f for f in contract.observation if f.name == "clock")
    return columns(contract, "clock").start + clock.axes.index("elapsed")


def dropped_frames(episode: Episode, scene: Scene) -> Episode:
    """One to five frames are missing; in half of the cases the stamps were made regular again."""
    begin, end = _stretch(episode, scene.rng, 1, 5)
    kept = np.r_[0:begin, end : len(episode.action)]
    fields = ("observation", "action", "executed", "reward", "stamp_s", "late", "corrected")
    short = episode._replace(**{name: getattr(episode, name)[kept] for name in fields})
    return short._replace(stamp_s=episode.stamp_s[: len(kept)]) if scene.rng.integers(2) else short


def repeated_frames(episode: Episode, scene: Scene) -> Episode:
    """One to five frames stand twice, with regular stamps."""
    begin, end = _stretch(episode, scene.rng, 1, 5)
    order = np.r_[0:end, begin : len(episode.action)]
    fields = ("observation", "action", "executed", "reward", "late", "corrected")
    long = episode._replace(**{name: getattr(episode, name)[order] for name in fields})
    period_s = episode.stamp_s[1] - episode.stamp_s[0]
    return long._replace(stamp_s=np.arange(len(order)) * period_s)


def nan(episode: Episode, scene: Scene) -> Episode:
    """One value is not a number."""
    part = ("observation", "action")[scene.rng.integers(2)]
    values = getattr(episode, part).copy()
    values[scene.rng.integers(len(values)), scene.rng.integers(values.shape[1])] = np.nan
    return episode._replace(**{part: values})


def teleport(episode: Episode, scene: Scene) -> Episode:
    """For one frame the tool is seen 15 to 60 mm elsewhere."""
    observation, at = episode.observation.copy(), columns(scene.contract, "tool_position")
    way = scene.rng.standard_normal(3)
    frame = scene.rng.integers(1, len(observation) - 1)
    observation[frame, at] += scene.rng.uniform(0.015, 0.06) * way / np.linalg.norm(way)
    return episode._replace(observation=observation)


def _pictures(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Defect:
    def changed(episode: Episode, scene: Scene) -> Episode:
        assert episode.pictures is not None
        return episode._replace(pictures={name: change(taken, scene.rng) for name, taken in episode.pictures.items()})

    changed.__doc__ = change.__doc__
    return changed


@_pictures
def blurred_camera(taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, by a Gaussian of 2 to 4 pixels."""
    sigma = rng.uniform(2.0, 4.0)
    return np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in taken])


@_pictures
def wrong_exposure(taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two stops and more too dark or too bright."""
    gain = rng.choice([rng.uniform(0.1, 0.25), rng.uniform(3.0, 5.0)])
    return np.clip(taken * gain, 0, 255).astype(np.uint8)


@_pictures
def frozen_camera(taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same picture for 1 s and longer."""
    begin = int(rng.integers(1, len(taken) - 22))
    end = int(rng.integers(begin + 20, len(taken)))
    held = taken.copy()
    held[begin:end] = taken[begin]
    return held


STATE: dict[str, Defect] = {
    "frozen_sensor": frozen_sensor,
    "shifted_timestamps": shifted_timestamps,
    "shifted_observations": shifted_observations,
    "swapped_axes": swapped_axes,
    "clipped_actions": clipped_actions,
    "duplicate": duplicate,
    "wrong_label": wrong_label,
    "idle_tail": idle_tail,
    "dropped_frames": dropped_frames,
    "repeated_frames": repeated_frames,
    "nan": nan,
    "teleport": teleport,
}
CAMERA: dict[str, Defect] = {
    "blurred_camera": blurred_camera,
    "wrong_exposure": wrong_exposure,
    "frozen_camera": frozen_camera,
}
