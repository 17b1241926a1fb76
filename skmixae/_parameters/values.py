"""What parameters of any kind may be."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array


def is_named(value: Any, *names: str) -> bool:
    """Tell whether a parameter, which may be an array, is one of some names."""
    return isinstance(value, str) and value in names


def layer_sizes(name: str, value: Any, *, at_least: int = 0) -> tuple[int, ...]:
    """Return a parameter that lists layer sizes as a tuple, or raise."""
    try:
        sizes = tuple(value) if not isinstance(value, str) else (value,)
    except TypeError:  # an array of no dimensions
        sizes = (None,)
    good = all(
        isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 1
        for size in sizes
    )
    if not good or len(sizes) < at_least:
        raise ValueError(
            f"The {name!r} parameter must hold integers of at least 1"
            + (f", and at least {at_least} of them" if at_least else "")
            + f". Got {value!r} instead."
        )
    return tuple(int(size) for size in sizes)


def numbers(name: str, value: Any) -> NDArray[np.float64]:
    """Return a parameter that holds numbers as an array, or raise."""
    try:
        return check_array(value, ensure_2d=False, dtype=np.float64, input_name=name)
    except TypeError as error:
        raise ValueError(
            f"The {name!r} parameter must hold finite numbers. Got {value!r} instead."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"The {name!r} parameter must hold finite numbers. {error}"
        ) from error
