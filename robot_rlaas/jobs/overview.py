"""The page of a whole run, from what lies in its directory."""

import csv
import json
import os
from pathlib import Path
from typing import Any

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file, or None where there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def overview(out: Path, cell: CellSpec, seed: int, stages: list[Any], cost: tuple[float, float]) -> Path:
    """Write index.html over everything that lies in a run's directory."""
    from robot_rlaas.pages.overview import Attempt, LearningPoint, Overview, overview_page

    picture = out / "cell" / "cell.png"
    report, deployment = (read_json(out / p) for p in ("qualification/report.json", "deployment/deployment.json"))
    curve = out / "policy" / "progress.csv"
    rows = list(csv.DictReader(curve.read_text().splitlines())) if curve.is_file() else []
    told = deployment or {}
    attempts = told.get("attempts", [])
    page = Overview(
        cell=cell.name,
        description=cell.description,
        seed=seed,
        wall_s=cost[0],
        core_s=cost[1],
        cores=os.cpu_count() or 1,
        stages=tuple(stages),
        picture_png=picture.read_bytes() if picture.is_file() else None,
        without_picture="" if picture.is_file() else "nothing could be rendered on this machine",
        report=report,
        learning=tuple(LearningPoint(*(float(r[k]) for k in ("seconds", "success", "reward"))) for r in rows),
        attempts=tuple(Attempt(a["success"], a["cycle_time_s"], a["peak_force_N"]) for a in attempts),
        violations=deployment["violations"] if deployment else None,
        origin=told.get("origin", ""),
        trusted=told.get("trusted", True),
        attempts_left=(told.get("domain") or {}).get("attempts_left"),
        arm=f"a virtual arm ({deployment['plant']}) over ROS 2" if deployment else "the arm",
        artefacts=tuple((path, text) for path, text in ARTEFACTS if (out / path).exists()),
        versions=report["versions"] if report else None,
        **_calibration_parts(out / "calibration"),
    )
    write_atomic(out / "index.html", overview_page(page))
    return out / "index.html"


ARTEFACTS = (
    ("demonstrations", "the demonstrations, a LeRobotDataset v3"),
    ("policy", "the policy: ONNX, stock SB3 zip, learning curve"),
    ("qualification/report.html", "the qualification report"),
    ("qualification/report.json", "the same for machines"),
    ("bundle", "what goes to the robot"),
    ("deployment/log.mcap", "what the arm and the nodes said, a ROS 2 log"),
    ("calibration/calibration.yaml", "how this arm differs from the nominal one"),
)


def _calibration_parts(folder: Path) -> dict[str, Any]:
    from robot_rlaas.calibrate.servo.calibration import load
    from robot_rlaas.pages.overview import Estimate

    file = folder / "calibration.yaml"
    if not file.is_file():
        return {}
    calibration = load(file)
    error = calibration.heldout
    estimates = tuple(
        Estimate(f"{e.name} {e.joint or ''}".strip(), e.unit, e.nominal, e.value, e.lower_95, e.upper_95)
        for e in calibration.estimates
    )
    return {
        "calibration_svg": (folder / "calibration.svg").read_text(),
        "calibration": (
            f"Tracking error on a motion that the fit never saw: {error.mean_before_mrad:.2f} mrad before, "
            f"{error.mean_after_mrad:.2f} mrad after."
        ),
        "estimates": estimates,
    }
