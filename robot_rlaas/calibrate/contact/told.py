"""A value and how surely it is known."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Told(NamedTuple):
    """A value with its standard error, and the degrees of freedom that this was estimated with."""

    value: float
    error: float
    freedom: int

    @property
    def half_95(self) -> float:
        """Half width of the 95 % interval, by Student's t."""
        return float(stats.t.ppf(0.975, self.freedom) * self.error)


def mean_of(values: np.ndarray) -> Told:
    """The mean (n,) of what was seen one by one."""
    return Told(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1)
