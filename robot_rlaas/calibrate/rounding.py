"""Numbers as they are written to files: what is written is what is meant."""

from typing import Any

import numpy as np

from robot_rlaas.cell.calibration import Estimate

NUMBERS = ("nominal", "value", "lower_95", "upper_95")


def short(value: Any, digits: int = 6) -> Any:
    """A number, or every one of an array or a list (as tuples), at so many significant digits."""
    if np.ndim(value):
        return tuple(short(one, digits) for one in value)
    return float(f"{value:.{digits}g}")


def short_estimate(estimate: Estimate) -> Estimate:
    """The same with short numbers."""
    return estimate.model_copy(update={name: short(getattr(estimate, name)) for name in NUMBERS})
