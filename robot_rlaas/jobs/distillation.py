"""Distillation, wired together: from a teacher that knows where the plate lies to a policy directory that sees it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.cell.extends import naming_lines
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import staged_dir, write_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.jobs.policies import load

if TYPE_CHECKING:
    from robot_rlaas.learn.distill import Distilled, Lesson
    from robot_rlaas.learn.lessons import Lessons

FORMAT = 1
COMPARED = 200  # moments on which the exported network is to do what the trained one does


class Teacher(NamedTuple):
    """Who teaches.

    Attributes:
        policy: for the cell, to be told by `BatchEnv.tell`.
        name, sha256: as of `policies.Loaded`.
        sequences: that it learned from.
    """

    policy: Policy
    name: str
    sha256: str
    sequences: list[Any]


def distill(
    reference: str,
    teacher: str,
    lessons: "Lessons",
    seed: int,
    out: Path,
    watch: Watch,
    cameras: Sequence[str] = (),
) -> Result:
    """Let `teacher`, the scripted expert or a policy for the same cell with an observed plate, make a policy that sees.

    It sees through `cameras`, or through all that the cell has. Writes policy.onnx, policy.json, and parity.npz, as
    `learn.train.train` does.

    Raises:
        InputError: if something observes the cell's plate, it has no such cameras, or the teacher cannot be used.
    """
    from robot_rlaas.learn.distill import distill as distill_policy

    cell = Cell.load(reference)
    with naming_lines(cell.path):
        _only_seen(cell.spec)
        seen = replace(cell, spec=_through(cell.spec, cameras))
    named, rows = teacher_for(cell.spec, teacher, lessons.simulations), lessons.simulations
    training, validation = Seeds(seed, Space.TRAIN), Seeds(seed, Space.VALIDATE)
    with (
        seen.seeing_env(rows, training, widen=lessons.widen) as env,
        seen.seeing_env(rows, validation) as validation_env,
    ):
        made = distill_policy(seen.spec, env, validation_env, named.policy, lessons, seed, Shown(watch))
        own = [sequence_json(training), sequence_json(validation)]
        provenance = {
            "teacher": {"name": named.name, "sha256": named.sha256},
            "sequences": [*own, *(sequence for sequence in named.sequences if sequence not in own)],
            "variation": env.cell.variation.model_dump(mode="json"),
            "calibrated": cell.spec.calibration is not None,
        }
        description = {
            "format": FORMAT,
            "kind": "seeing",
            "contract": env.contract.to_json(),
            "cell": json.loads(cell.spec.model_dump_json()),
            "cell_hash": cell.spec.hash,
            "seed": seed,
            "lessons": json.loads(lessons.model_dump_json()),
            "validation": {f"lesson_{one.number}": _lesson_json(one) for one in made.lessons},
            "best": f"lesson_{made.best.number}",
            "simulated_s": round(env.simulated_s + validation_env.simulated_s, 3),
            "provenance": provenance,
        }
    _write(made, description, seen.spec, seed, out)
    return Result(f"validated success: {made.best.validation.success:.1%}, after lesson {made.best.number}")


def _only_seen(cell: CellSpec) -> None:
    if isinstance(cell.task, HandlingTask) or cell.task.plate.observed:
        raise InputError(
            f"the cell '{cell.name}' tells its policies where things lie: no policy has to see it",
            key="task.plate.observed",
            fix="train it with 'rlaas train', or say `plate: {observed: false}`, as 'peg_insertion_camera' does",
        )
    for name in ("observation", "action"):
        if name in cell.cameras:
            message = "networks call so what is no picture"
            raise InputError(f"a camera '{name}': {message}", key=f"cameras.{name}", fix="call it 'wrist' or the like")


def _through(cell: CellSpec, names: Sequence[str]) -> CellSpec:
    """The cell with these of its cameras, in its order; with all, if none is named."""
    for name in names:
        if name not in cell.cameras:
            message = f"the cell '{cell.name}' has no camera '{name}'; it has {', '.join(cell.cameras)}"
            raise InputError(message, key="cameras", fix=did_you_mean(name, cell.cameras))
    kept = {name: camera for name, camera in cell.cameras.items() if not names or name in names}
    return cell.model_copy(update={"cameras": kept})


def teacher_for(cell: CellSpec, reference: str, rows: int) -> Teacher:
    """The scripted expert, or a policy for the same cell with an observed plate.

    Raises:
        InputError: as `policies.load`.
    """
    from robot_rlaas.env.insertion.told import Told, observed

    loaded = load(reference, observed(cell), rows)
    sequences = (loaded.provenance or {}).get("sequences") or []
    return Teacher(Told(cell, loaded.policy), loaded.name, loaded.sha256, sequences)


def _lesson_json(lesson: "Lesson") -> dict[str, Any]:
    return {**lesson._asdict(), "validation": lesson.validation._asdict()}


def _write(made: "Distilled", description: dict[str, Any], cell: CellSpec, seed: int, out: Path) -> None:
    from robot_rlaas.bundle import OnnxPolicy
    from robot_rlaas.bundle.parity import PARITY, check_parity
    from robot_rlaas.learn.student_onnx import actions_of, export_student

    rows = np.random.default_rng(seed).permutation(len(made.frames.action))[:COMPARED]
    compared = made.frames.take(rows)
    with staged_dir(out) as part:
        part.mkdir()
        (part / "policy.onnx").write_bytes(export_student(made.student))
        acts = actions_of(made.student, compared)
        arrays: dict[str, Any] = {"observation": compared.observation, "action": acts, **compared.pictures}
        np.savez_compressed(part / PARITY, **arrays)
        check_parity(part / PARITY, OnnxPolicy(part / "policy.onnx", cameras=cell.cameras))
        write_json(part / "policy.json", description)


class Shown(NamedTuple):
    """Shows how a student gets on."""

    watch: Watch

    def doing(self, what: str, done: int, of: int) -> None:
        """See `learn.distill.Watch`."""
        self.watch.bar(what, done, of)

    def learned(self, lesson: "Lesson") -> None:
        """See `learn.distill.Watch`."""
        self.watch.say(
            f"  {lesson.seconds:4.0f} s, {lesson.frames:,} frames: {lesson.validation.success:.1%} of fresh episodes; "
            f"it sees the plate to {lesson.off_mm:.2f} mm and {lesson.off_deg:.2f} degrees"
        )
