"""The principal axes of rows, to bring strong and weak directions closer together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA, TruncatedSVD

from .batches import Rows

# Axes are found on so many numbers at most, 128 MB of them: a random part of the rows.
LARGEST_SAMPLE = 1 << 25
# Weaker directions than this share of the strongest are rounding.
WEAKEST = 1e-5
# Rows in which so many values are zero are counts, as of words: a look at some tells.
ROWS_LOOKED_AT = 1000
MOSTLY_ZERO = 0.9


def mostly_zeros(rows: Rows) -> bool:
    """Tell whether nine in ten values of rows are zero."""
    some = np.linspace(0, len(rows) - 1, min(len(rows), ROWS_LOOKED_AT)).astype(int)
    return bool((rows.take(some) == 0).mean() >= MOSTLY_ZERO)


def principal_axes(
    rows: Rows, n_components: int, exponent: float, *, centered: bool, seed: int = 0
) -> NDArray[np.float32]:
    """Return axes (features, d) on which rows are whitened, fully or in part.

    Rows times the axes are coordinates along the principal directions, each divided by
    its standard deviation to the power ``exponent``, and all by one number, so that
    their mean square is one. There are d of them, ``n_components`` or fewer, where
    rows have no more directions.

    Parameters
    ----------
    rows : Rows
        The rows in their units. Many are too many: a random part of them is read.
    n_components : int
        The most directions to keep.
    exponent : float
        0 turns the rows, 1 whitens them; 0.5, in between, takes the square root of
        what tells strong from weak directions.
    centered : bool
        Whether directions are those from the mean of the rows, or from zero.
    """
    rng = np.random.RandomState(seed)
    most = max(2, LARGEST_SAMPLE // rows.n_features)
    n = min(len(rows), most)
    x = rows.take(np.sort(rng.choice(len(rows), n, replace=False)))
    x = np.asarray(x, dtype=np.float32 if x.dtype.itemsize <= 4 else np.float64)
    d = min(n_components, n - centered, rows.n_features)
    kind = PCA if centered else TruncatedSVD
    with np.errstate(invalid="ignore"):  # of rows that are all the same
        found = kind(d, random_state=rng).fit(x)
    directions, spread = found.components_, found.singular_values_ / np.sqrt(n)
    kept = spread > WEAKEST * spread.max()
    if not kept.any():  # rows are all the same
        return np.eye(rows.n_features, 1, dtype=np.float32)
    directions, spread = directions[kept], spread[kept].astype(np.float64)
    gains = spread**-exponent
    gains /= np.sqrt(np.mean((gains * spread) ** 2))
    # In the order that a file gives it back in: another would round products otherwise.
    return np.ascontiguousarray(directions.T * gains, dtype=np.float32)
