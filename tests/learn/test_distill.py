"""Distillation: eyes that learn where the plate lies, a hand that learns what the teacher does, and what comes out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import Notes

from robot_rlaas.bundle import OnnxPolicy, build_bundle
from robot_rlaas.bundle.parity import check_parity
from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.jobs.distillation import distill, teacher_for
from robot_rlaas.jobs.pipeline import Cell
from robot_rlaas.jobs.policies import load
from robot_rlaas.jobs.qualification import compare_policies, qualify
from robot_rlaas.learn.distill import learn_to_see
from robot_rlaas.learn.frames import Frames, gather, plates, room_for
from robot_rlaas.learn.lessons import load_lessons
from robot_rlaas.learn.student import Student
from robot_rlaas.learn.student_onnx import export_student
from robot_rlaas.qualify.claims import Plan
from robot_rlaas.sim.render import Renderer, RenderingUnavailable

COARSE = """
extends: peg_insertion_camera
name: coarse
task: {timeout_s: 2}
requirements: {cycle_time_s: {limit: 1.9}}
cameras:
  wrist: {resolution_px: [24, 24]}
  cell: {resolution_px: [32, 24]}
"""
SIZE = {"wrist": (24, 24), "cell": (24, 32)}
LESSONS = load_lessons("default").model_copy(
    update={
        **{"simulations": 12, "share": 0.5, "teacher_frames": 200, "student_rounds": 1, "student_frames": 100},
        **{"channels": (8, 16), "features": 32, "hidden": (32, 32), "batch_size": 32, "validation_episodes": 8},
        **{"eye_passes": (4, 2), "hand_passes": (4, 2)},
    }
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory) -> str:
    """A cell with small pictures and little time."""
    path = tmp_path_factory.mktemp("cells") / "coarse.yaml"
    path.write_text(COARSE)
    return str(path)


@pytest.fixture(scope="module")
def camera_cell(coarse: str) -> Cell:
    return Cell.load(coarse)


@pytest.fixture(scope="module")
def contract(camera_cell: Cell) -> Contract:
    return contract_of(camera_cell.spec)


@pytest.fixture(scope="module")
def can_render(camera_cell: Cell) -> None:
    try:
        with Renderer(camera_cell.workcell, 32, 32):
            pass
    except RenderingUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def distilled(can_render, coarse, tmp_path_factory) -> tuple[Path, Notes]:
    out, watch = tmp_path_factory.mktemp("distilled") / "policy", Notes()
    distill(coarse, "expert", LESSONS, 0, out, watch, ["wrist"])
    return out, watch


def some_student(contract: Contract) -> Student:
    torch.manual_seed(0)
    return Student(contract, SIZE, (4, 4), 8, (16,))


def some_frames(contract: Contract, count: int) -> Frames:
    frames, rng = room_for(count, contract, SIZE), np.random.default_rng(0)
    frames.observation[:] = rng.uniform(-0.01, 0.01, frames.observation.shape)
    frames.plate[:] = rng.uniform(-0.02, 0.02, frames.plate.shape)
    for pictures in frames.pictures.values():
        pictures[:] = rng.integers(0, 256, pictures.shape)
    return frames


# The student


def constant(layers: torch.nn.Sequential, answer: list[float]) -> None:
    last = layers[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    last.bias.data[:] = torch.tensor(answer)


def test_the_eyes_speak_in_metres_and_radians_and_the_hand_acts_where_they_say(contract) -> None:
    """With a gaze that ignores its input, the plate is the mean of those measured; the hand's answer is turned."""
    student, frames = some_student(contract), some_frames(contract, 6)
    student.measure(frames.observation, frames.plate)
    constant(student.gaze, [0.0, 0.0, 0.0])
    constant(student.hand, [0.5, 0.0, -2.0, 0.1])
    seen, pictures = frames.tensors
    with torch.no_grad():
        plate = student.plate(seen, pictures)
        quarter = torch.tensor([[0.0, 0.0, np.pi / 2]]).expand(6, 3)
        np.testing.assert_allclose(plate, np.tile(frames.plate.mean(0), (6, 1)), atol=1e-6)
        np.testing.assert_allclose(student.act(seen, quarter)[0], [0.0, 0.5, -2.0, 0.1], atol=1e-6)
        assert student(seen, pictures)[0, 2] == -1.0


def test_the_network_does_what_the_student_does(contract, camera_cell) -> None:
    student, frames = some_student(contract), some_frames(contract, 9)
    student.measure(frames.observation, frames.plate)
    network = export_student(student)
    assert network == export_student(student)
    policy = OnnxPolicy(network, contract, cameras=camera_cell.spec.cameras)
    assert policy.cameras == ("wrist", "cell")
    with torch.no_grad():
        expected = student(*frames.tensors).numpy()
    np.testing.assert_allclose(policy.answer(frames.observation, frames.pictures), expected, atol=2e-6)
    np.testing.assert_allclose(
        policy.answer(frames.observation[:2], frames.take(slice(2)).pictures), expected[:2], atol=2e-6
    )


def test_a_loss_that_is_no_number_ends_the_lesson(contract) -> None:
    student, frames = some_student(contract), some_frames(contract, 64)
    student.measure(frames.observation, frames.plate)
    frames.plate[7, 0] = np.nan
    before = [weight.clone() for weight in student.parameters()]
    lessons = LESSONS.model_copy(update={"batch_size": 64})
    with pytest.raises(StageError, match="lesson 0 stopped: the loss of seeing is nan"):
        learn_to_see(student, frames, lessons, 0, np.random.default_rng(0), lambda what, done, of: None)
    assert all(torch.equal(one, other) for one, other in zip(before, student.parameters()))


# What it learns from


class Still:
    """A driver that never moves."""

    def reset(self, ids: np.ndarray) -> None: ...

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 4), np.float32)


def test_frames_are_what_was_seen_where_the_plate_lay_and_what_the_teacher_would_do(can_render, camera_cell) -> None:
    with camera_cell.seeing_env(3, Seeds(0, Space.TRAIN)) as env:
        teacher = teacher_for(camera_cell.spec, "expert", 3).policy
        frames, counts = room_for(9, env.contract, SIZE), []
        gather(env, teacher, frames, 1.0, 0.0, np.random.default_rng(0), lambda done, of: counts.append(done), Still())
        assert counts[:3] == [3, 6, 9]
        seen = env.reset(episode=0)
        for period in range(3):  # of the same episodes once more
            kept = frames.take(slice(3 * period, 3 * period + 3))
            np.testing.assert_array_equal(kept.observation, seen)
            np.testing.assert_array_equal(kept.plate[:, :2], env.draw.plate_xy_m.astype(np.float32))
            np.testing.assert_array_equal(kept.action, teacher.act(seen))
            for name, pictures in env.pictures.items():
                np.testing.assert_array_equal(kept.pictures[name], pictures)
            seen = env.step(np.zeros((3, 4))).observation
    assert np.abs(frames.action).max() > 0.1


def test_eyes_learn_where_plates_lie(can_render, camera_cell) -> None:
    """Plates lie up to 30 mm away, evenly: whoever says the middle is off by 17 mm, root mean square."""
    with camera_cell.seeing_env(100, Seeds(0, Space.TRAIN)) as env:
        seen, new = (starts(env, count) for count in (500, 100))
    torch.manual_seed(0)
    student = Student(env.contract, SIZE, (8, 16), 32, (16,))
    student.measure(seen.observation, seen.plate)
    lessons = LESSONS.model_copy(update={"eye_passes": (20, 1)})
    learn_to_see(student, seen, lessons, 0, np.random.default_rng(0), lambda what, done, of: None)
    with torch.no_grad():
        off_mm = 1000 * (student.plate(*new.tensors).numpy() - new.plate)[:, :2]
    assert np.sqrt(np.mean(off_mm**2)) < 6


def starts(env: BatchEnv, count: int) -> Frames:
    """What is seen at so many starts."""
    frames = room_for(count, env.contract, SIZE)
    for first in range(0, count, env.nsim):
        rows = slice(first, first + env.nsim)
        frames.observation[rows], frames.plate[rows] = env.reset(), plates(env)
        for name, pictures in env.pictures.items():
            frames.pictures[name][rows] = pictures
    return frames


# From the command to a verdict


def test_every_lesson_is_told_and_the_best_is_kept(distilled) -> None:
    out, watch = distilled
    told = json.loads((out / "policy.json").read_text())
    lessons = told["validation"]
    assert [lessons[name]["frames"] for name in ("lesson_0", "lesson_1")] == [200, 300]
    assert max(lessons.values(), key=lambda one: one["validation"]["score"]) == lessons[told["best"]]
    assert sum("of fresh episodes; it sees the plate to" in line for line in watch.lines) == 2


def test_it_says_what_it_learned_from(distilled, camera_cell) -> None:
    out, _ = distilled
    told = json.loads((out / "policy.json").read_text())
    assert told["cell_hash"] == camera_cell.spec.hash
    assert {(s["seed"], s["space"]) for s in told["provenance"]["sequences"]} == {(0, "TRAIN"), (0, "VALIDATE")}
    assert told["provenance"]["teacher"]["name"] == "expert"
    assert told["provenance"]["variation"]["hand_offset_mm"] == [-1.3, 1.3]
    policy = OnnxPolicy(out / "policy.onnx", cameras=camera_cell.spec.cameras)
    assert check_parity(out / "parity.npz", policy).observations == 200


def test_it_sees_through_the_cameras_that_are_named(distilled, camera_cell) -> None:
    out, _ = distilled
    assert OnnxPolicy(out / "policy.onnx", cameras=camera_cell.spec.cameras).cameras == ("wrist",)
    assert sorted(np.load(out / "parity.npz")) == ["action", "observation", "wrist"]


def test_it_is_judged_by_what_it_sees(distilled, coarse, tmp_path) -> None:
    out, _ = distilled
    qualify(coarse, out, 0, Plan(6, sequential=False, held_out=1), tmp_path / "verdict", Notes())
    report = json.loads((tmp_path / "verdict" / "report.json").read_text())
    assert (report["policy"]["kind"], report["episodes"]) == ("policy", 6)
    assert report["fresh"]["objections"] == []
    assert {"camera_mm", "light_scale"} <= {entry["factor"] for entry in report["held_out"]}
    result = compare_policies(coarse, [str(out), "expert"], 0, 6, False, None, Notes())
    assert "on 6 common starts" in result.text


# What is refused


def test_a_cell_that_tells_where_its_plate_lies_needs_no_eyes(tmp_path) -> None:
    with pytest.raises(InputError, match="'peg_insertion' tells its policies where things lie"):
        distill("peg_insertion", "expert", LESSONS, 0, tmp_path / "out", Notes())
    assert not (tmp_path / "out").exists()


def test_a_camera_that_the_cell_does_not_have_is_refused(coarse, tmp_path) -> None:
    with pytest.raises(InputError, match=r"has no camera 'wirst'; it has wrist, cell\s+fix: did you mean 'wrist'"):
        distill(coarse, "expert", LESSONS, 0, tmp_path / "out", Notes(), ["wirst"])


def test_other_cameras_are_refused_by_name(contract, camera_cell, tmp_path) -> None:
    file = tmp_path / "student.onnx"
    file.write_bytes(export_student(some_student(contract)))
    assert load(file, camera_cell.spec, 1).kind == "onnx"
    wrist, cell = camera_cell.spec.cameras["wrist"], camera_cell.spec.cameras["cell"]
    with pytest.raises(InputError, match="through the camera 'cell'; what it is to act in has 'wrist'"):
        load(file, with_cameras(camera_cell.spec, {"wrist": wrist}), 1)
    wider = cell.model_copy(update={"resolution_px": (32, 32)})
    with pytest.raises(InputError, match=r"the cell's are \[n, 32, 32, 3\]"):
        load(file, with_cameras(camera_cell.spec, {"wrist": wrist, "cell": wider}), 1)
    with pytest.raises(InputError, match="through the camera 'wrist'; what it is to act in has none"):
        OnnxPolicy(file, contract)


def with_cameras(cell: CellSpec, cameras: dict[str, CameraSpec]) -> CellSpec:
    return cell.model_copy(update={"cameras": cameras})


def test_without_pictures_it_does_not_act(contract, camera_cell) -> None:
    policy = OnnxPolicy(export_student(some_student(contract)), contract, cameras=camera_cell.spec.cameras)
    env = camera_cell.env(1, Seeds(0, Space.SHOW))
    with pytest.raises(StageError, match="sees through 'wrist' and 'cell', and nobody shows it any pictures"):
        policy.act(env.reset())
    env.tell(policy)
    with pytest.raises(StageError, match="nobody shows it any pictures"):
        policy.act(env.observation)


def test_it_does_not_go_into_a_bundle_yet(distilled, tmp_path) -> None:
    out, _ = distilled
    with pytest.raises(InputError, match="cameras do not go onto an arm yet"):
        build_bundle(out, None, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
