"""Gaussians that rows are of."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from .graph import has_graph, spectral_model
from .silence import without_warnings

# Of the mean variance: on a few rows that are alike, as of values with one decimal, a
# Gaussian without this would be as likely as it is narrow (iris: six beat three).
LEAST_VARIANCE = 1e-3


def gaussian_model(
    rows: NDArray[np.float32], n: int, random_state: np.random.RandomState
) -> GaussianMixture:
    """Return Gaussians of any shape that rows are of.

    The likeliest of those found from k-means, which cuts a large cluster where others
    are small, and from the graph of neighbours, which does not.
    """
    # Of few rows that nearly are in a plane, float32 has no covariances.
    rows = rows.astype(np.float64)
    model = GaussianMixture(
        n, n_init=5, reg_covar=LEAST_VARIANCE, random_state=random_state
    )
    with without_warnings(ConvergenceWarning):  # of rows alike, or not Gaussian
        model.fit(rows)
    if not has_graph(rows, n):
        return model
    labels = spectral_model(rows, n, random_state).labels_
    other = gaussians_from(rows, labels, "full")
    # Less apart than where either ends, they are the same.
    return other if other.lower_bound_ > model.lower_bound_ + model.tol else model


def gaussians_from(
    rows: NDArray[np.floating],
    labels: NDArray[np.integer],
    shape: Literal["full", "diag"],
) -> GaussianMixture:
    """Return Gaussians found from clusters on, those of ``labels`` (n,)."""
    rows = rows.astype(np.float64)
    labels = np.unique(labels, return_inverse=True)[1]  # without gaps
    shares = np.bincount(labels) / len(labels)
    own = [rows[labels == i] for i in range(len(shares))]
    if shape == "full":
        floor = LEAST_VARIANCE * np.eye(rows.shape[1])
        spread = [np.cov(some.T, bias=True) + floor for some in own]
        precisions = np.linalg.inv(spread)
    else:
        precisions = 1 / (np.array([some.var(0) for some in own]) + LEAST_VARIANCE)
    model = GaussianMixture(
        len(shares), covariance_type=shape, reg_covar=LEAST_VARIANCE,
        means_init=[some.mean(0) for some in own], weights_init=shares,
        precisions_init=precisions, init_params="random_from_data", random_state=0,
    )  # fmt: skip
    with without_warnings(ConvergenceWarning):
        return model.fit(rows)
