"""The kinds of values that cell files are made of."""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat

from robot_rlaas.cell.calibration import LONGEST_DELAY_S, NonNegative

Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Delay = Annotated[float, Field(ge=0, le=LONGEST_DELAY_S)]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the lower end comes first: [low, high]")
    return pair


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[NonNegative, NonNegative], AfterValidator(_ordered)]
DelayRange = Annotated[tuple[Delay, Delay], AfterValidator(_ordered)]


def rotation_of(rpy_deg: Triple) -> np.ndarray:
    """Roll, pitch and yaw about fixed axes, as in a URDF -> a rotation (3, 3)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(np.deg2rad(rpy_deg)), np.sin(np.deg2rad(rpy_deg))
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    return about_z @ about_y @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
