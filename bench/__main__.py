"""`python -m bench [NAME]`: run all measurements, or those whose name starts with NAME."""

import json
import sys
from pathlib import Path

from bench import (
    augmentation,
    bundles,
    calibration_camera,
    calibration_contact,
    calibration_drift,
    calibration_drives,
    calibration_offsets,
    calibration_plants,
    demonstrations,
    deployment,
    distillation,
    generalist,
    improvement,
    interfaces,
    learners,
    measurements,
    practice,
    recording,
    rendering,
    safety_fuzz,
    simulation,
    statistics,
    warp,
)
from robot_rlaas.files import write_json

MEASUREMENTS = {
    name: measure
    for part in (
        measurements,
        simulation,
        statistics,
        interfaces,
        calibration_drives,
        calibration_camera,
        calibration_drift,
        calibration_plants,
        calibration_contact,
        calibration_offsets,
        demonstrations,
        augmentation,
        learners,
        generalist,
        improvement,
        practice,
        recording,
        rendering,
        distillation,
        warp,
        bundles,
        safety_fuzz,
        deployment,
    )
    for name, measure in part.MEASUREMENTS.items()
}
RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = {name: measure for name, measure in MEASUREMENTS.items() if name.startswith(only)}
    if not chosen:
        print(f"no measurement '{only}'; there are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name, measure in chosen.items():
        print(f"{name} ...", flush=True)
        for key, figure in measure().items():
            results[key] = figure._asdict()
            goal = "" if figure.goal is None else f", goal {figure.goal:g}: {'met' if figure.ok else 'MISSED'}"
            print(f"  {key}: {figure.value:.4g} {figure.unit}{goal}", flush=True)
            write_json(RESULTS, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
