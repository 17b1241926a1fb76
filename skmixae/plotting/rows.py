"""Rows as pictures need them: their shape, some of them, and dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse


def row_shape(estimator: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape of the rows, and whether they are images, as fit takes them."""
    if estimator.input_shape is None:
        return (estimator.n_features_in_,), False
    shape = tuple(np.atleast_1d(estimator.input_shape).tolist())
    return shape, len(shape) > 1 and estimator.architecture != "conv1d"


def sliceable(X: Any) -> Any:
    """Return X in a format that rows can be taken of."""
    return X.tocsr() if issparse(X) and X.format != "csr" else X


def dense(rows: Any) -> NDArray[Any]:
    """Return rows as an array."""
    return rows.toarray() if issparse(rows) else np.asarray(rows)
