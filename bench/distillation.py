"""What a policy that sees is worth, and how long it takes to make."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measurements import CELL, Figure, Quiet, at_least, at_most
from robot_rlaas.jobs import pipeline, qualification, training
from robot_rlaas.jobs.distillation import distill
from robot_rlaas.jobs.overview import read_json
from robot_rlaas.learn.lessons import load_lessons
from robot_rlaas.learn.recipe import load_recipe, recipe_for
from robot_rlaas.qualify.claims import Plan

CAMERA_CELL = "peg_insertion_camera"
CAMERAS, EPISODES = ("wrist",), 500


def camera_student() -> dict[str, Figure]:
    """Success of fresh episodes of a plate that only cameras see, and minutes: of the teacher, and of the student.

    The teacher is a policy for the same cell with an observed plate, trained from nothing.
    """
    recipe, lessons, watch = load_recipe(recipe_for(CELL)), load_lessons("default"), Quiet()
    with TemporaryDirectory() as folder:
        out, start = Path(folder), time.perf_counter()
        pipeline.demonstrate(CELL, recipe, 0, out / "demonstrations", watch)
        training.train(CELL, out / "demonstrations", recipe, 0, "cpu", out / "teacher", watch)
        taught = time.perf_counter()
        distill(CAMERA_CELL, str(out / "teacher"), lessons, 0, out / "student", watch, CAMERAS)
        ended = time.perf_counter()
        plan = Plan(EPISODES, sequential=False)
        qualification.qualify(CAMERA_CELL, out / "student", 0, plan, out / "verdict", watch)
        student, report = read_json(out / "student" / "policy.json"), read_json(out / "verdict" / "report.json")
    assert student is not None
    assert report is not None
    best = student["validation"][student["best"]]
    force = next(row["value"] for row in report["requirements"] if row["name"] == "contact_force_N")
    return {
        "camera_student": at_least(report["success"]["rate"], "1", 0.9),
        "camera_student/lower_95": Figure(report["success"]["lower_95"], "1", None, None),
        "camera_student/minutes": at_most((ended - taught) / 60, "min", 40),
        "camera_student/teacher_minutes": Figure((taught - start) / 60, "min", None, None),
        "camera_student/force": Figure(force, "N", None, None),
        "camera_student/sees_x_y": Figure(best["off_mm"], "mm", None, None),
        "camera_student/sees_yaw": Figure(best["off_deg"], "deg", None, None),
    }


MEASUREMENTS: dict[str, Callable[[], dict[str, Figure]]] = {"camera_student": camera_student}
