"""The principal axes of rows, to bring strong and weak directions closer together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, svd

from .batches import Rows, Scaling
from .noise import ROWS_TO_TELL, are_gaussian, n_above_noise

# Axes are found on so many rows at most, a random part of more.
MOST_ROWS = 50_000
# Of more features than this, the matrix of their covariances would take more than 128
# MB; rows are then as many as take up that much, and their singular vectors are found.
WIDEST = 4096
# Weaker directions than this share of the strongest are rounding.
WEAKEST = 1e-6
# Of more directions than a quarter of the rows, all are found nearly as soon.
ROWS_FOR_A_DIRECTION = 4
# So many rows are asked whether directions are noise: of more, none is quite Gaussian.
ROWS_ASKED = 4000
# Rows in which so many values are zero are counts, as of words: a look at some tells.
ROWS_LOOKED_AT = 1000
MOSTLY_ZERO = 0.9


def mostly_zeros(rows: Rows) -> bool:
    """Tell whether nine in ten values of rows are zero."""
    some = np.linspace(0, len(rows) - 1, min(len(rows), ROWS_LOOKED_AT)).astype(int)
    n_zeros = sum(int((block == 0).sum()) for block in rows.blocks(some))
    return n_zeros >= MOSTLY_ZERO * len(some) * rows.n_features


def principal_axes(
    rows: Rows,
    scaling: Scaling,
    n_components: int,
    exponent: float,
    *,
    share: float = 1.0,
    least: int = 0,
    noise: bool = True,
) -> tuple[NDArray[np.float32], float]:
    """Return axes (features, d) on which scaled rows are whitened, fully or in part.

    Rows times the axes are coordinates along their principal directions, each divided
    by its standard deviation to the power ``exponent``, and all by one number, so that
    their mean square is one. There are d of them, ``n_components`` or fewer, where rows
    have no more directions. Beside them, what is beyond is returned, in the mean over
    the rows, see `Whitening.excess`.

    Parameters
    ----------
    rows : Rows
        The rows in their units.
    scaling : Scaling
        What is done to them before, which gives them their centre.
    n_components : int
        The most directions to keep.
    exponent : float
        0 turns the rows, 1 whitens them; 0.5, in between, takes the square root of
        what tells strong from weak directions.
    share : float
        The share of the variance that is enough: what is beyond is cut as well.
    least : int
        How many directions are kept before any is cut for that.
    noise : bool
        Whether those are kept, too, along which rows are as noise is.
    """
    n, n_features = len(rows), rows.n_features
    most = MOST_ROWS
    if n_features > WIDEST:
        most = max(2, WIDEST**2 // n_features)
    index = np.arange(n)
    if n > most:
        index = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    if len(index) < n_features:
        directions, spread, rest = _of_few(rows, index, scaling, n_components)
    else:
        directions, spread = _of_many(rows, index, scaling)
        rest = 0.0
    kept = (spread > WEAKEST * spread[0]) & (np.arange(len(spread)) < n_components)
    variance = np.square(spread)
    before = np.cumsum(variance) - variance  # what stronger directions have
    kept &= (before < share * (variance.sum() + rest)) | (
        np.arange(len(spread)) < least
    )
    if not kept.any():  # rows are all the same
        return np.eye(n_features, 1, dtype=np.float32), 0.0
    if not noise:
        found = directions[:, kept], variance[kept]
        kept[_n_telling(rows, index, scaling, *found) :] = False
    cut = variance[~kept].sum() + rest
    directions, spread = directions[:, kept], spread[kept]
    # Signs that do not depend on how the directions were found.
    strongest = directions[np.abs(directions).argmax(0), np.arange(len(spread))]
    gains = spread**-exponent
    gains /= np.sqrt(np.mean((gains * spread) ** 2))
    # In the order that a file gives it back in: another would round products otherwise.
    axes = np.ascontiguousarray(
        directions * (gains * np.sign(strongest)), dtype=np.float32
    )
    return axes, float(cut * gains.max() ** 2 / len(gains))


def _n_telling(
    rows: Rows,
    index: NDArray[np.intp],
    scaling: Scaling,
    directions: NDArray[np.float64],
    variances: NDArray[np.float64],
) -> int:
    """Return how many of the strongest directions (features, d) are no noise.

    All, if the others are none, or if there is nothing else: noise is what stays when
    something stands out.
    """
    n, n_seen = len(variances), len(index)
    n_above = n_above_noise(variances, n_seen)
    if n_seen < ROWS_TO_TELL or not 0 < n_above < n:
        return n
    asked = index[np.linspace(0, n_seen - 1, min(n_seen, ROWS_ASKED)).astype(int)]
    axes = directions[:, n_above:]
    blocks = (scaling.centered(block) @ axes for block in rows.blocks(asked))
    return n_above if are_gaussian(np.concatenate(list(blocks)), axes) else n


def _of_many(
    rows: Rows, index: NDArray[np.intp], scaling: Scaling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return principal directions (features, features) and spread, block by block."""
    scatter = np.zeros((rows.n_features, rows.n_features))
    for block in rows.blocks(index):
        scaled = scaling.centered(block).astype(np.float64, copy=False)
        scatter += scaled.T @ scaled
    variances, directions = eigh(scatter / len(index))
    spread = np.sqrt(variances[::-1].clip(min=0))
    return directions[:, ::-1], spread


def _of_few(
    rows: Rows, index: NDArray[np.intp], scaling: Scaling, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return principal directions (features, d), spread and the variance beyond them.

    Those of the rows at once: all, or where ``most`` is far less, so many. Products of
    rows tell which subspace these are in, but of a spread they have half the digits:
    directions and spread are found anew in it. What is beyond is measured as well, for
    a difference of two sums would be their rounding where nothing is.
    """
    block = scaling.centered(rows.take(index)).astype(np.float64, copy=False)
    n, rest = len(block), 0.0
    if ROWS_FOR_A_DIRECTION * most > n:
        _, singular, directions = svd(block, full_matrices=False)
    else:
        _, strongest = eigh(block @ block.T, subset_by_index=[n - most, n - 1])
        # From the strongest on: a weak one then loses what it has of strong ones.
        basis, _ = qr(block.T @ strongest[:, ::-1], mode="economic")
        along = block @ basis
        _, singular, turn = svd(along, full_matrices=False)
        directions = turn @ basis.T
        rest = float(np.square(block - along @ basis.T).sum() / n)
    return directions.T, singular / np.sqrt(n), rest
