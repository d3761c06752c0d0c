"""Distillation: a teacher that knows where the plate lies makes a student that has to see it.

The first lesson is the teacher's own episodes. In further ones the student acts, in part, and the teacher says at every
moment what it would have done there (DAgger; Ross, Gordon and Bagnell 2011, arXiv 1011.0686). The simulation's truth
teaches the eyes; the hand learns what the teacher does, given what the eyes say.
"""

import copy
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import StageError
from robot_rlaas.cell.seeds import Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.learn.aggregate import EXPERT_SHARE, Mixture
from robot_rlaas.learn.frames import Frames, gather, plates, room_for
from robot_rlaas.learn.improve import Validation
from robot_rlaas.learn.lessons import Lessons
from robot_rlaas.learn.student import Student
from robot_rlaas.learn.validate import judge, run_episodes

CHUNK = 512  # frames that are looked at together
HAND_BATCH = 256


class Lesson(NamedTuple):
    """What a student is worth after a lesson.

    Attributes:
        number: from 0, the teacher's own.
        of: the last one's number.
        seconds: since the first one began.
        frames: learned from so far.
        off_mm, off_deg: root mean square of how wrong it sees the plate, in one direction, in the validation.
        validation: on fresh episodes.
    """

    number: int
    of: int
    seconds: float
    frames: int
    off_mm: float
    off_deg: float
    validation: Validation


class Watch(Protocol):
    """Whoever wants to see how a student gets on."""

    def doing(self, what: str, done: int, of: int) -> None:
        """So much of the present work is done."""
        ...

    def learned(self, lesson: Lesson) -> None:
        """A lesson is over."""
        ...


class Distilled(NamedTuple):
    """The best student, which lesson made it, all lessons, and the frames that they were learned from."""

    student: Student
    best: Lesson
    lessons: list[Lesson]
    frames: Frames


def distill(
    cell: CellSpec, env: BatchEnv, validation_env: BatchEnv, teacher: Policy, lessons: Lessons, seed: int, watch: Watch
) -> Distilled:
    """Teach a student, and keep what it was after its best lesson.

    Args:
        cell: validation judges by its requirements.
        env: where teacher and student act; it sees.
        validation_env: of a seed space of its own; it sees, too.
        teacher: one row per row of `env`; what it is told, `env` tells it.
        lessons: settings.
        seed: of the weights, the mixture, the noise and the order of frames.
        watch: hears of progress.

    Raises:
        StageError: if a loss is no number.
    """
    torch.set_num_threads(1)  # the same bits whatever the number of cores, and none waits for another
    torch.manual_seed(seed)
    rng, began, told = np.random.default_rng([seed, int(Space.TRAIN)]), time.perf_counter(), list[Lesson]()
    cameras = {name: (camera.resolution_px[1], camera.resolution_px[0]) for name, camera in cell.cameras.items()}
    student = Student(env.contract, cameras, lessons.channels, lessons.features, lessons.hidden)
    store, filled = room_for(lessons.frames, env.contract, cameras), 0
    best, weights = None, {}
    for number in range(lessons.student_rounds + 1):
        filled = _act(env, teacher, student, store, filled, lessons, number, rng, watch)
        frames = store.take(slice(filled))
        if number == 0:
            student.measure(frames.observation, frames.plate)
        learn_to_see(student, frames, lessons, number, rng, watch.doing)
        learn_to_act(student, frames, lessons, number, rng, watch.doing)
        validation, off = _validate(cell, validation_env, student, lessons.validation_episodes)
        lesson = Lesson(number, lessons.student_rounds, time.perf_counter() - began, filled, *off, validation)
        told.append(lesson)
        watch.learned(lesson)
        if best is None or validation.score > best.validation.score:
            best, weights = lesson, copy.deepcopy(student.state_dict())
    assert best is not None
    student.load_state_dict(weights)
    return Distilled(student, best, told, store.take(slice(filled)))


def _act(
    env: BatchEnv,
    teacher: Policy,
    student: Student,
    store: Frames,
    filled: int,
    lessons: Lessons,
    number: int,
    rng: np.random.Generator,
    watch: Watch,
) -> int:
    """Gather a lesson's frames behind those that are there, and say how many there are then."""
    to = filled + (lessons.student_frames if number else lessons.teacher_frames)
    driver = Mixture(teacher, Seeing(student, env), EXPERT_SHARE**number, rng) if number else None
    noise, who = (0.0, "student") if number else (lessons.noise, "teacher")

    def on_frames(done: int, of: int) -> None:
        watch.doing(f"frames of the {who}", done, of)

    gather(env, teacher, store.take(slice(filled, to)), lessons.share, noise, rng, on_frames, driver)
    return to


class Seeing:
    """A student at work in an environment. `off` gets by how much it sees the plates wrong, (n, 3) per period."""

    def __init__(self, student: Student, env: BatchEnv) -> None:
        self._student, self._env, self.off = student, env, list[np.ndarray]()

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. It has no past."""

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = torch.as_tensor(observation)
        plate = self._student.plate(seen, {name: torch.as_tensor(p) for name, p in self._env.pictures.items()})
        self.off.append(plate.numpy() - plates(self._env))
        return self._student.act(seen, plate).clamp(-1.0, 1.0).numpy()


def _validate(cell: CellSpec, env: BatchEnv, student: Student, count: int) -> tuple[Validation, tuple[float, float]]:
    """What fresh episodes say, and by how much the eyes are off in them: mm and degrees."""
    seeing = Seeing(student, env)
    validation = judge(cell, run_episodes(env, seeing.act, count, []))
    x, y, yaw = np.sqrt(np.mean(np.concatenate(seeing.off) ** 2, axis=0)).tolist()
    return validation, (1e3 * float(np.hypot(x, y)) / 2**0.5, float(np.rad2deg(yaw)))


def learn_to_see(
    student: Student,
    frames: Frames,
    lessons: Lessons,
    number: int,
    rng: np.random.Generator,
    watch: Callable[[str, int, int], None],
) -> None:
    """Fit the eyes to where the plates truly lay.

    Raises:
        StageError: if the loss is no number.
    """
    passes, rate, size = lessons.eye_passes[number > 0], lessons.eye_rate[number > 0], lessons.batch_size
    each = -(-len(frames.action) // size)
    weights = [*student.eyes.parameters(), *student.gaze.parameters()]
    optimiser = torch.optim.AdamW(weights, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=passes * each)
    wanted = student.plates(torch.as_tensor(frames.plate))
    for done, rows in enumerate(_batches(rng, len(frames.action), size, passes)):
        watch("learning to see", done, passes * each)
        seen = student.plates(student.plate(*frames.take(rows).tensors))
        _step((seen - wanted[rows]).square().mean(), optimiser, schedule, "seeing", number)


def learn_to_act(
    student: Student,
    frames: Frames,
    lessons: Lessons,
    number: int,
    rng: np.random.Generator,
    watch: Callable[[str, int, int], None],
) -> None:
    """Fit the hand to what the teacher did, given where the eyes say that the plates lie.

    Raises:
        StageError: if the loss is no number.
    """
    observation, wanted = torch.as_tensor(frames.observation), torch.as_tensor(frames.action)
    plate, passes = _looked(student, frames), lessons.hand_passes[number > 0]
    each = -(-len(wanted) // HAND_BATCH)
    optimiser = torch.optim.Adam(student.hand.parameters(), lr=lessons.hand_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, passes * each)
    for done, rows in enumerate(_batches(rng, len(wanted), HAND_BATCH, passes)):
        watch("learning to act", done, passes * each)
        error = student.act(observation[rows], plate[rows]) - wanted[rows]
        _step(error.square().mean(), optimiser, schedule, "acting", number)


def _batches(rng: np.random.Generator, count: int, size: int, passes: int):
    """Rows of every batch: each frame once per pass, in a new order."""
    for _ in range(passes):
        order = rng.permutation(count)
        yield from (order[i : i + size] for i in range(0, count, size))


def _step(loss: torch.Tensor, optimiser: torch.optim.Optimizer, schedule, what: str, number: int) -> None:
    if not torch.isfinite(loss):
        raise StageError(
            f"lesson {number} stopped: the loss of {what} is {float(loss.detach())}; nothing was learned from it"
        )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()


@torch.no_grad()
def _looked(student: Student, frames: Frames) -> torch.Tensor:
    """Where the eyes say that the plates of all frames lie, (n, 3)."""
    parts = [frames.take(slice(i, i + CHUNK)) for i in range(0, len(frames.action), CHUNK)]
    return torch.cat([student.plate(*part.tensors) for part in parts])
