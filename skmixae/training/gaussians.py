"""Gaussians that rows are of: as many as are asked for, of a shape that suits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from .batches import Scaling, Whitening
from .graph import has_graph, spectral_model
from .silence import without_warnings

# Of the mean variance: on a few rows that are alike, as of values with one decimal, a
# Gaussian without this would be as likely as it is narrow (iris: six beat three).
LEAST_VARIANCE = 1e-3
# Shapes are asked about where each of their parameters has so many rows: of a single
# row each, the criterion knows nothing (breast cancer: 991 parameters, 569 rows).
ROWS_FOR_A_PARAMETER = 2
# Runs from k-means, of which the likeliest is kept.
RUNS = 5

# What covariances may be: each its own, one for all, along the directions alone, or the
# same in all of them, as rows are read or, "round", as they are.
Shape: TypeAlias = Literal["full", "tied", "diag", "spherical"]
SHAPES: tuple[Shape, ...] = ("full", "tied", "diag", "spherical")
ROUND = "round"


@dataclass(frozen=True)
class Gaussians:
    """Gaussians found in rows (n, d), each direction of which is stretched before.

    Parameters
    ----------
    name : str
        Of the shape.
    model : GaussianMixture
        Of the stretched rows.
    stretch : ndarray of shape (d,)
        By how much.
    criterion : float
        The Bayesian information criterion, of the rows as they were: the lower, the
        better they explain them, for what they take.
    """

    name: str
    model: GaussianMixture
    stretch: NDArray[np.float64]
    criterion: float

    @classmethod
    def of(
        cls,
        name: str,
        model: GaussianMixture,
        rows: NDArray,
        stretch: NDArray[np.float64],
    ) -> Gaussians:
        """Return a model of rows (n, d) that it has seen stretched."""
        shift = 2 * len(rows) * np.log(stretch).sum()
        return cls(name, model, stretch, model.bic(rows * stretch) - shift)

    @property
    def narrowest(self) -> float:
        """The least variance along any direction, over what each has at least."""
        covariances = self.model.covariances_
        if self.model.covariance_type in ("full", "tied"):
            covariances = np.linalg.eigvalsh(covariances)
        return float(covariances.min() / self.model.reg_covar)

    def predict_proba(self, rows: NDArray) -> NDArray[np.float64]:
        """Return the probability of each for rows (n, d)."""
        return self.model.predict_proba(rows * self.stretch)

    def predict(self, rows: NDArray) -> NDArray[np.intp]:
        """Return the likeliest for each of rows (n, d)."""
        return self.model.predict(rows * self.stretch)


def gaussians_of(
    rows: NDArray[np.floating],
    n: int,
    scaling: Scaling,
    random_state: np.random.RandomState,
    also: str | None = None,
) -> dict[str, Gaussians]:
    """Return ``n`` Gaussians that rows (n, d), scaled so, are of, of each shape.

    Of those shapes that there are rows enough to ask about, if of any, and ``also`` of
    this one.
    """
    # Of few rows that nearly are in a plane, float32 has no covariances.
    exact = rows.astype(np.float64)
    graph = None
    if has_graph(exact, n):
        graph = spectral_model(exact, n, random_state).labels_
    found = {}
    for name, (shape, stretch) in _readings(exact, scaling).items():
        wanted = ROWS_FOR_A_PARAMETER * n_parameters(shape, n, rows.shape[1])
        if len(rows) >= wanted or name == also:
            model = likeliest(exact * stretch, n, shape, graph, random_state)
            found[name] = Gaussians.of(name, model, exact, stretch)
    return found


def best_gaussians(
    rows: NDArray[np.floating],
    n: int,
    scaling: Scaling,
    random_state: np.random.RandomState,
) -> Gaussians:
    """Return those of the shape that rows call for; of too few rows, "spherical" ones.

    By the Bayesian information criterion.
    """
    found = gaussians_of(rows, n, scaling, random_state)
    if found:
        return lowest(found)
    exact = rows.astype(np.float64)
    model = likeliest(exact, n, "spherical", None, random_state)
    return Gaussians.of("spherical", model, exact, np.ones(rows.shape[1]))


def lowest(found: Mapping[str, Gaussians]) -> Gaussians:
    """Return those of the lowest criterion."""
    return min(found.values(), key=lambda each: each.criterion)


def n_parameters(shape: Shape, n: int, d: int) -> int:
    """Return how many numbers describe n Gaussians of a shape in d directions."""
    covariances = {
        "full": n * d * (d + 1) // 2,
        "tied": d * (d + 1) // 2,
        "diag": n * d,
        "spherical": n,
    }
    return covariances[shape] + n * d + n - 1


def _readings(
    rows: NDArray[np.float64], scaling: Scaling
) -> dict[str, tuple[Shape, NDArray[np.float64]]]:
    """Return the shapes by name, each with how directions are stretched for it (d,).

    Round clusters are round in the units that features have, which whitening changes.
    """
    as_read = np.ones(rows.shape[1])
    readings: dict[str, tuple[Shape, NDArray[np.float64]]] = {
        shape: (shape, as_read) for shape in SHAPES
    }
    if isinstance(scaling, Whitening) and not scaling.directions:
        back = 1 / np.linalg.norm(scaling.axes.astype(np.float64), axis=0)
        # Of the same spread as rows are read, of which the least variance is a part.
        spread = rows.var(0)
        if spread.any():
            back *= np.sqrt(spread.sum() / (spread * back**2).sum())
            readings[ROUND] = ("spherical", back)
    return readings


def likeliest(
    rows: NDArray[np.float64],
    n: int,
    shape: Shape,
    graph: NDArray[np.integer] | None,
    random_state: np.random.RandomState,
) -> GaussianMixture:
    """Return the likeliest of Gaussians found from k-means and from a graph's clusters.

    K-means cuts a large cluster where others are small, and the ``graph`` of neighbours
    does not.
    """
    model = GaussianMixture(
        n,
        covariance_type=shape,
        n_init=RUNS if n > 1 else 1,
        reg_covar=LEAST_VARIANCE,
        random_state=random_state,
    )
    with without_warnings(ConvergenceWarning):  # of rows alike, or not Gaussian
        model.fit(rows)
    if graph is None:
        return model
    other = gaussians_from(rows, graph, shape)
    # Less apart than where either ends, they are the same.
    return other if other.lower_bound_ > model.lower_bound_ + model.tol else model


def gaussians_from(
    rows: NDArray[np.floating], labels: NDArray[np.integer], shape: Shape
) -> GaussianMixture:
    """Return Gaussians found from clusters on, those of ``labels`` (n,)."""
    rows = rows.astype(np.float64)
    labels = np.unique(labels, return_inverse=True)[1]  # without gaps
    own = [rows[labels == i] for i in range(labels.max() + 1)]
    shares = np.bincount(labels) / len(labels)
    model = GaussianMixture(
        len(own), covariance_type=shape, reg_covar=LEAST_VARIANCE,
        means_init=[some.mean(0) for some in own], weights_init=shares,
        precisions_init=_precisions(own, shares, shape),
        init_params="random_from_data", random_state=0,
    )  # fmt: skip
    with without_warnings(ConvergenceWarning):
        return model.fit(rows)


def _precisions(
    own: list[NDArray[np.float64]], shares: NDArray[np.float64], shape: Shape
) -> NDArray[np.float64]:
    """Return the precisions of clusters of rows, as `GaussianMixture` has them."""
    if shape in ("diag", "spherical"):
        variances = np.array([some.var(0) for some in own]) + LEAST_VARIANCE
        return 1 / (variances if shape == "diag" else variances.mean(1))
    d = own[0].shape[1]
    floor = LEAST_VARIANCE * np.eye(d)
    spread = np.array([np.cov(some.T, bias=True).reshape(d, d) + floor for some in own])
    if shape == "tied":
        spread = np.average(spread, axis=0, weights=shares)
    return np.linalg.inv(spread)
