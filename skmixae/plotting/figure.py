"""What all pictures share: colours, sizes, and matplotlib, which only drawing needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the palette of Okabe and Ito, which the colour-blind can tell apart.
INK, ORANGE, VERMILION, FAINT = "#000000", "#E69F00", "#D55E00", "#bbbbbb"
GREEN, BLUE, PURPLE = "#009E73", "#0072B2", "#CC79A7"
FONT = 8
# Points up to which each has a marker.
MARKERS = 12
# Inches around axes: left and below for names and numbers, right, above for a title.
_LEFT, _BELOW, _RIGHT, _ABOVE = 0.95, 0.75, 0.3, 0.35
# Inches that an axis' own name and its ticks take, and points of an inch.
_NAME_OF_AXIS, _POINTS = 0.4, 72


def import_pyplot(caller: str) -> Any:
    """Import matplotlib, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. You can install it with "
            "`pip install 'skmixae[plot]'` or `pip install matplotlib`."
        ) from error
    return plt


def new_axes(
    plt: Any, width: float, height: float, *, left: float = 0.0, below: float = 0.0
) -> Any:
    """Return axes of a size in inches in a figure of its own.

    With so much room at least to the left and below.
    """
    left, below = max(left, _LEFT), max(below, _BELOW)
    whole = left + width + _RIGHT, below + height + _ABOVE
    figure = plt.figure(figsize=whole)
    corner = left / whole[0], below / whole[1]
    return figure.add_axes((*corner, width / whole[0], height / whole[1]))


def room_for(names: Iterable[Any]) -> float:
    """Return the inches that the longest of some names takes beside an axis, named."""
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), str(n), size=FONT).get_extents().width for n in names]
    return max(widths) / _POINTS + _NAME_OF_AXIS


def cluster_names(counts: Iterable[int]) -> list[str]:
    """Return the numbers of clusters, each with how many rows it has."""
    return [f"{k}  ({count:,})" for k, count in enumerate(counts)]


def shades(n: int) -> NDArray[Any]:
    """Return n colours from dark to light, (n, 4)."""
    from matplotlib import colormaps

    return colormaps["cividis"](np.linspace(0.15, 0.95, n))
