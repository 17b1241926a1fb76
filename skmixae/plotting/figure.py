"""What all pictures share: colours, sizes, and matplotlib, which only drawing needs."""

from __future__ import annotations

from typing import Any

# Of the palette of Okabe and Ito, which the colour-blind can tell apart.
INK, ORANGE, VERMILION, FAINT = "#000000", "#E69F00", "#D55E00", "#bbbbbb"
GREEN, BLUE, PURPLE = "#009E73", "#0072B2", "#CC79A7"
FONT = 8
# Points up to which each has a marker.
MARKERS = 12


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
