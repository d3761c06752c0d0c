"""Which library an array belongs to."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace


def namespace(array: Any) -> Any:
    """The array API's functions for this array. NumPy has them all itself, and is not asked about every time."""
    return np if type(array) is np.ndarray else array_namespace(array)
