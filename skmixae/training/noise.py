"""Principal directions that are noise: rows are one round Gaussian along them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kurtosistest, norm

# Fewer rows tell too little of their shape. Of 36 tables in which nothing is noise, all
# directions stayed in each of 265 draws of 300 and 600 rows; of 150 rows some were cut
# in one of 175, of 75 in one of 20, and of 40 in one of 7.
ROWS_TO_TELL = 200
# What noise shows once in a thousand is taken for something else. So far beyond its
# limit, in units of Tracy and Widom, the strongest direction of noise is once in 200.
CHANCE, BEYOND_THE_EDGE = 1e-3, 2.4
# Features are looked at so many at once: of wide rows all would take gigabytes.
FEATURES_TOGETHER = 256


def n_above_noise(variances: NDArray[np.float64], n_rows: int) -> int:
    """Return how many of the strongest directions noise of ``n_rows`` does not explain.

    Noise that varies as much in all directions does not look so in a sample: its
    principal directions spread between two limits (Marchenko and Pastur, 1967; how far
    beyond, Tracy and Widom, 1996). The others lie within these. They must be most of
    all: of few, any look like noise. Else all directions are returned.
    """
    n = len(variances)
    for n_above in range((n + 1) // 2):
        rest = variances[n_above:]
        weakest, strongest = _limits(n - n_above, n_rows)
        if weakest <= rest[-1] / rest.mean() and rest[0] / rest.mean() <= strongest:
            return n_above
    return n


def _limits(n_directions: int, n_rows: int) -> tuple[float, float]:
    """Return between which variances principal directions of unit noise are."""
    few, many = np.sqrt(sorted((n_directions, n_rows)))
    apart, together = many - few, many + few
    highest = together**2 + BEYOND_THE_EDGE * together * (1 / few + 1 / many) ** (1 / 3)
    lowest = apart**2 - BEYOND_THE_EDGE * apart * (1 / few - 1 / many) ** (1 / 3)
    if n_directions >= n_rows:  # rows have no more directions than they are
        lowest = 0.0
    return lowest / n_rows, highest / n_rows


def are_gaussian(x: NDArray[np.float64], axes: NDArray[np.float64]) -> bool:
    """Tell whether rows, of these coordinates (n, d) on axes (features, d), are.

    All coordinates together, by their kurtosis (Mardia, 1970), and each feature, as far
    as the axes have it: one with two values would be lost among the others.
    """
    n, d = x.shape
    x = x - x.mean(0)
    lengths = np.einsum("nd,nd->n", x @ np.linalg.inv(x.T @ x / n), x)
    expected, variance = d * (d + 2) * (n - 1) / (n + 1), 8 * d * (d + 2) / n
    unusual = abs(np.square(lengths).mean() - expected) / np.sqrt(variance)
    if 2 * norm.sf(unusual) < CHANCE:
        return False
    axes = axes[np.linalg.norm(axes, axis=1) > 1e-6]  # of others nothing is there
    parts = range(0, len(axes), FEATURES_TOGETHER)
    each = (kurtosistest(x @ axes[i : i + FEATURES_TOGETHER].T).pvalue for i in parts)
    return bool(min(p.min() for p in each) * len(axes) >= CHANCE)
