"""The calibration file: written whole or not at all, read strictly."""

from pathlib import Path

import yaml

from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.strict_yaml import load_spec
from robot_rlaas.files import write_atomic

HEAD = "# How one arm differs from the nominal model of its cell. Scales multiply the nominal value.\n"


def save(calibration: Calibration, path: Path) -> None:
    """Write a calibration as YAML."""
    text = yaml.safe_dump(
        calibration.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=160, allow_unicode=True
    )
    write_atomic(path, (HEAD + text).encode())


def load(path: Path) -> Calibration:
    """The inverse of `save`.

    Raises:
        InputError: with file, line, value and what is allowed.
    """
    return load_spec(path, Calibration)
