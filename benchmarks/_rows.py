"""The rows that benchmarks cluster; what is here reads no labels but to count them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

# A full covariance has features squared numbers for each cluster: of wider rows only
# the variances are fitted.
FULL_COVARIANCE_FEATURES = 256


@dataclass(frozen=True)
class Problem:
    """The rows to cluster, and what the scorer alone reads."""

    name: str
    rows: Any  # (n, features), dense or CSR
    classes: np.ndarray  # (n,)
    input_shape: tuple[int, ...] | None
    n_clusters: int
    n_rows_in_all: int


def new_problem(
    name: str,
    rows: Any,
    classes: np.ndarray,
    input_shape: tuple[int, ...] | None,
    max_rows: int | None = None,
) -> Problem:
    """Take all rows, or some drawn at random, the same each time."""
    n = rows.shape[0]
    if max_rows is not None and max_rows < n:
        kept = np.sort(np.random.default_rng(0).permutation(n)[:max_rows])
        rows, classes = rows[kept], classes[kept]
    return Problem(name, rows, classes, input_shape, len(np.unique(classes)), n)


def covariance_type(n_features: int) -> str:
    """Return the covariances that GaussianMixture can have of such rows."""
    return "diag" if n_features > FULL_COVARIANCE_FEATURES else "full"


def densified(rows: Any, most_bytes: int) -> Any:
    """Return sparse rows as an array, if that is not too large."""
    if not issparse(rows):
        return rows
    size = rows.shape[0] * rows.shape[1] * rows.dtype.itemsize
    if size > most_bytes:
        raise MemoryError(f"takes dense rows only, here of {size / 1e9:.1f} GB")
    return rows.toarray()
