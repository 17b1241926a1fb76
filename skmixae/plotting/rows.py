"""Rows as pictures need them: their shape, some of them, and dense."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._parameters import is_image


def at_the_end(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """Return the estimator that a pipeline ends in, and X as it reaches that.

    Anything else, which must be fitted, too, is returned as it is.
    """
    check_is_fitted(estimator)
    if not isinstance(estimator, Pipeline):
        return estimator, X
    if X is not None and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return estimator[-1], X


def row_shape(estimator: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape of the rows, and whether they are images, as fit took them."""
    shape = estimator.input_shape_
    fitted = getattr(estimator, "_network_spec", estimator)  # set_params came after
    return shape, is_image(shape, fitted.architecture)


def belonging(estimator: Any, X: Any) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return assignments (n, k), and which clusters (n, k) each row belongs to.

    One, or of rows that are sums several: their probabilities add up to how many.
    """
    assignment = estimator.predict_proba(X)
    if assignment.sum(1).mean() > 1.5:
        return assignment, estimator.predict(X).astype(bool)
    return assignment, np.eye(assignment.shape[1], dtype=bool)[assignment.argmax(1)]


def sliceable(X: Any) -> Any:
    """Return X in a format that rows can be taken of."""
    return X.tocsr() if issparse(X) and X.format != "csr" else X


def dense(rows: Any) -> NDArray[Any]:
    """Return rows as an array of numbers, which booleans are not."""
    values = rows.toarray() if issparse(rows) else np.asarray(rows)
    return values.astype(np.uint8) if values.dtype == bool else values


def check_number(n: Any, name: str = "n_samples") -> None:
    """Raise where a number of what is to be shown is not an integer of at least 1."""
    if not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(
            f"{name} must be an integer of at least 1, or left out; got {n!r}."
        )
