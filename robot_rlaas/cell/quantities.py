"""The kinds of values that cell files are made of."""

from typing import Annotated

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
