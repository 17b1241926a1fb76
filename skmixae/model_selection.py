"""Choosing the number of clusters without labels.

There is no criterion that finds "the" number of clusters in all data. What can be had
is evidence, and :func:`select_n_clusters` gathers it for several candidates at once.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skmixae.metrics import (
    certainty_scorer,
    reconstruction_scorer,
    silhouette_scorer,
)

__all__ = ["NClustersSelection", "select_n_clusters"]

# With less agreement, of 1, clusterings of both halves are not the same.
_STABLE = 0.5
# Each criterion with the method that an estimator needs for it.
_CRITERIA = {
    "reconstruction": ("score", reconstruction_scorer),
    "certainty": ("predict_proba", certainty_scorer),
    "silhouette": ("predict", silhouette_scorer),
}


@dataclass(frozen=True, eq=False, repr=False)
class NClustersSelection:
    """What :func:`select_n_clusters` found, one entry per candidate.

    Attributes
    ----------
    candidates : ndarray of shape (n_candidates,), int64
        The numbers of clusters that were tried, ascending.
    stability : ndarray of shape (n_candidates,)
        Mean adjusted Rand index between the repeats' labels of the held-out rows: 1
        when all agree, 0 when no more than by chance. NaN for one cluster, on which
        all repeats agree whatever the data.
    stability_std : ndarray of shape (n_candidates,)
        Standard deviation of that index over the pairs of repeats.
    n_clusters_used : ndarray of shape (n_candidates,)
        Mean number of different labels among the held-out rows; below the candidate,
        clusters are unused.
    reconstruction : ndarray of shape (n_candidates,)
        Mean ``score`` of the held-out rows, in the units of the estimator, or NaN. It
        rises with the number of clusters by itself: look for where it stops rising
        fast, not for its maximum.
    certainty : ndarray of shape (n_candidates,)
        Mean :func:`~skmixae.metrics.certainty_scorer` of the held-out rows, or NaN.
    silhouette : ndarray of shape (n_candidates,)
        Mean :func:`~skmixae.metrics.silhouette_scorer` of the held-out rows.
    tolerance : float
        Loss of stability accepted for a larger number of clusters.
    best_n_clusters : int
        The largest candidate whose stability is within ``tolerance`` of the best.
    """

    candidates: NDArray[np.int64]
    stability: NDArray[np.float64]
    stability_std: NDArray[np.float64]
    n_clusters_used: NDArray[np.float64]
    reconstruction: NDArray[np.float64]
    certainty: NDArray[np.float64]
    silhouette: NDArray[np.float64]
    tolerance: float

    @property
    def best_n_clusters(self) -> int:
        """The largest candidate whose stability is within ``tolerance`` of the best."""
        if np.isnan(self.stability).all():  # one cluster was the only candidate
            return int(self.candidates[-1])
        floor = np.nanmax(self.stability) - self.tolerance
        return int(self.candidates[self.stability >= floor][-1])

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Return the columns of the table, ready for a data frame.

        Returns
        -------
        columns : dict of str to ndarray of shape (n_candidates,)
            One entry per criterion, ``n_clusters`` first.
        """
        names = ("stability", "stability_std", "n_clusters_used", *_CRITERIA)
        columns: dict[str, NDArray[Any]] = {"n_clusters": self.candidates}
        return columns | {name: getattr(self, name) for name in names}

    def to_table(self) -> str:
        """Lay the criteria out as text, a line per candidate, the choice marked.

        Returns
        -------
        table : str
            Lines of equal length; ``-`` stands for what the estimator cannot provide.
        """
        columns = {
            name: [name, *map(_format_number, values)]
            for name, values in self.to_dict().items()
        }
        widths = [max(map(len, cells)) for cells in columns.values()]
        lines = [
            "  ".join(
                cell.rjust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in zip(*columns.values(), strict=True)
        ]
        best = self.best_n_clusters
        marks = ["", *("*" if k == best else "" for k in self.candidates)]
        return "\n".join(
            f"{mark:1} {line}" for mark, line in zip(marks, lines, strict=True)
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(best_n_clusters={self.best_n_clusters})\n"
            f"{self.to_table()}"
        )


def _format_number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4g}"


def select_n_clusters(
    estimator: BaseEstimator,
    X: ArrayLike,
    candidates: Iterable[int],
    *,
    n_repeats: int = 3,
    test_size: float = 0.3,
    tolerance: float = 0.05,
    param_name: str | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> NClustersSelection:
    """Try numbers of clusters on random halves of the data, without labels.

    1. A share ``test_size`` of the rows is held out, the same for all fits.
    2. Each repeat fits clones, one per candidate, on its own random half of the other
       rows, from its own seed. All candidates see the same halves and seeds.
    3. All clones label the held-out rows. A number of clusters that the data support
       gives the same labels whichever half was seen: the **stability**, the mean
       adjusted Rand index between the repeats. The scores that need no labels are
       taken of the same rows.

    The choice is the *largest* candidate whose stability is within ``tolerance`` of
    the best, since coarse partitions are often as stable as the right one. Read the
    whole table before believing it; the notes say why.

    Parameters
    ----------
    estimator : estimator
        Any with ``fit``, ``predict`` and a number of clusters as parameter, or a
        pipeline that ends in one. It is cloned, and left as it is.
    X : array-like of shape (n_samples, n_features)
        Rows: array, sparse matrix, data frame, memory map.
    candidates : iterable of int
        Numbers of clusters to try, each at least 1. They are sorted; repetitions are
        dropped.
    n_repeats : int, default=3
        Fits for each candidate, at least 2.
    test_size : float, default=0.3
        Share of the rows that is held out, in (0, 1).
    tolerance : float, default=0.05
        Loss of stability accepted for a larger number of clusters, at least 0.
    param_name : str, default=None
        Parameter that holds the number of clusters, such as ``"n_components"`` for
        :class:`~sklearn.mixture.GaussianMixture`. By default ``n_clusters``, or
        ``<last step>__n_clusters`` for a pipeline.
    n_jobs : int, default=None
        Fits at a time, as in joblib. Cores are shared out among them: torch runs
        no more threads in each fit than its share.
    random_state : int, RandomState instance or None, default=None
        Determines the held-out rows, the halves, and every parameter of the estimator
        named ``random_state``. An int gives the same result for every ``n_jobs``.

    Returns
    -------
    selection : NClustersSelection
        Criteria per candidate, ``best_n_clusters``, and a table as its ``repr``.

    Warns
    -----
    UserWarning
        If no candidate has a stability of at least .5: there may be no such clusters.

    Raises
    ------
    TypeError
        If the estimator has no ``predict``, or a candidate is not an integer.
    ValueError
        If a parameter is out of range, the estimator has no parameter for the number
        of clusters, its rows are sums of several clusters (``n_active``), or the rows
        are too few for the largest candidate.

    Notes
    -----
    What the criteria cannot do:

    - **Stability** rewards what is easy to find again: two clusters where there are
      two groups of groups. A second peak at a larger number is then worth more than
      ``best_n_clusters``. Clusters of very unequal size, or
      symmetric data that can be cut in several equally good ways, look unstable at
      the right number [2]_. And an estimator that always makes the same mistake is
      stable. Fits on few rows, or stopped early, are unstable for every candidate;
      then the table says nothing about the data.
    - **Reconstruction** (``estimator.score``: minus the inertia for KMeans, the log
      likelihood for GaussianMixture) rises with the number of clusters by itself.
    - **Certainty** and **silhouette**: see :mod:`skmixae.metrics`.

    When candidates lie close together, differences below ``stability_std`` mean
    nothing: raise ``n_repeats``.

    References
    ----------
    .. [1] T. Lange, V. Roth, M. L. Braun, J. M. Buhmann, "Stability-Based Validation
       of Clustering Solutions", Neural Computation 16 (6), 2004.
    .. [2] U. von Luxburg, "Clustering Stability: An Overview", Foundations and Trends
       in Machine Learning 2 (3), 2010.
    .. [3] R. Tibshirani, G. Walther, "Cluster Validation by Prediction Strength",
       Journal of Computational and Graphical Statistics 14 (3), 2005 (the largest
       number that is stable enough).

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from skmixae.model_selection import select_n_clusters
    >>> X, _ = make_blobs(300, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> selection = select_n_clusters(KMeans(), X, range(2, 6), random_state=0)
    >>> selection.best_n_clusters
    3
    >>> selection.stability.shape
    (4,)
    """
    name = _n_clusters_name(estimator, param_name)
    _check_one_each(estimator, name)
    numbers_of_clusters = _check_candidates(candidates)
    _check_settings(n_repeats, test_size, tolerance)
    rows = _indexable(X)
    splits = _draw_splits(rows.shape[0], n_repeats, test_size, random_state)
    if len(splits[0].train) < max(numbers_of_clusters):
        raise ValueError(
            f"candidates must not exceed the rows of one fit, {len(splits[0].train)} "
            f"of n_samples={rows.shape[0]}; got {max(numbers_of_clusters)}."
        )

    n_workers = joblib.effective_n_jobs(n_jobs)
    with _fair_share_of_threads(n_workers):
        outcomes = joblib.Parallel(n_jobs=n_jobs)(
            joblib.delayed(_fit_and_score)(
                estimator, rows, split, {name: n_clusters}, n_workers
            )
            for n_clusters in numbers_of_clusters
            for split in splits
        )
    per_candidate = [
        outcomes[start : start + n_repeats]
        for start in range(0, len(outcomes), n_repeats)
    ]
    summaries = [
        _summarise(n_clusters, repeats)
        for n_clusters, repeats in zip(numbers_of_clusters, per_candidate, strict=True)
    ]
    columns = {key: np.array([s[key] for s in summaries]) for key in summaries[0]}
    selection = NClustersSelection(
        candidates=np.array(numbers_of_clusters, dtype=np.int64),
        tolerance=float(tolerance),
        **columns,
    )
    best = selection.stability.max(initial=-1, where=~np.isnan(selection.stability))
    if -1 < best < _STABLE:
        warnings.warn(
            f"No number of clusters is stable: the best agreement is {best:.2f}, of 1. "
            "Rows may have no clusters such as the estimator finds, or be too few, or "
            "fits end too early.",
            UserWarning,
            stacklevel=2,
        )
    return selection


# ---------------------------------------------------------------------------
# Validation
# ---------------------------------------------------------------------------


def _n_clusters_name(estimator: BaseEstimator, param_name: str | None) -> str:
    """Name of the parameter that holds the number of clusters."""
    if not hasattr(estimator, "predict"):
        raise TypeError(
            "estimator must have predict, to label held-out rows; "
            f"got {type(estimator).__name__}."
        )
    name = param_name
    if name is None:
        steps = estimator.steps if isinstance(estimator, Pipeline) else []
        name = f"{steps[-1][0]}__n_clusters" if steps else "n_clusters"
    accepted = estimator.get_params()
    if name not in accepted:
        raise ValueError(
            f"param_name must be a parameter of {type(estimator).__name__}; got "
            f"{name!r}, accepted are {sorted(accepted)}."
        )
    return name


def _check_one_each(estimator: BaseEstimator, name: str) -> None:
    """Raise where rows are sums of clusters, of which no criterion can tell."""
    beside = "__".join([*name.split("__")[:-1], "n_active"])
    n_active = estimator.get_params().get(beside, 1)
    if n_active != 1:
        raise ValueError(
            "Numbers of clusters are compared by labels, one for each row; got an "
            f"estimator with {beside}={n_active!r}."
        )


def _check_candidates(candidates: Iterable[int]) -> list[int]:
    if not isinstance(candidates, Iterable):
        raise TypeError(
            f"candidates must be several integers, such as range(2, 11); got "
            f"{candidates!r}."
        )
    values = list(candidates)
    for value in values:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            raise TypeError(f"candidates must be integers; got {value!r}.")
        if value < 1:
            raise ValueError(f"candidates must be at least 1; got {value}.")
    if not values:
        raise ValueError("candidates must hold at least one number; got none.")
    return sorted({int(value) for value in values})


def _check_settings(n_repeats: int, test_size: float, tolerance: float) -> None:
    if not isinstance(n_repeats, numbers.Integral) or n_repeats < 2:
        raise ValueError(
            f"n_repeats must be an integer of at least 2; got {n_repeats}."
        )
    if not isinstance(test_size, numbers.Real) or not 0 < test_size < 1:
        raise ValueError(f"test_size must be a number in (0, 1); got {test_size}.")
    if not isinstance(tolerance, numbers.Real) or not tolerance >= 0:
        raise ValueError(f"tolerance must be a number of at least 0; got {tolerance}.")


# ---------------------------------------------------------------------------
# One fit
# ---------------------------------------------------------------------------


class _Split(NamedTuple):
    train: NDArray[np.intp]
    held_out: NDArray[np.intp]
    seed: int


class _Outcome(NamedTuple):
    labels: NDArray[Any]  # (n_held_out,)
    scores: dict[str, float]


def _draw_splits(
    n_samples: int,
    n_repeats: int,
    test_size: float,
    random_state: int | np.random.RandomState | None,
) -> list[_Split]:
    """One random half of the rows that are not held out, and a seed, per repeat."""
    rng = check_random_state(random_state)
    shuffled = rng.permutation(n_samples)
    n_held_out = max(2, round(test_size * n_samples))
    # Ascending, so that a memory map is read front to back.
    held_out, rest = np.sort(shuffled[:n_held_out]), shuffled[n_held_out:]
    return [
        _Split(
            train=np.sort(rng.choice(rest, size=len(rest) // 2, replace=False)),
            held_out=held_out,
            seed=int(rng.randint(np.iinfo(np.int32).max)),
        )
        for _ in range(n_repeats)
    ]


def _indexable(X: Any) -> Any:
    """Return X as it is where its rows can be taken, else converted."""
    if issparse(X):
        return X.tocsr()
    return X if hasattr(X, "shape") else np.asarray(X)


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    """Rows of an array, sparse matrix or data frame."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _fit_and_score(
    estimator: BaseEstimator,
    X: Any,
    split: _Split,
    params: dict[str, Any],
    n_workers: int,
) -> _Outcome:
    """Fit a clone on one half; label and score the held-out rows."""
    seeds = {
        name: split.seed
        for name in estimator.get_params()
        if name == "random_state" or name.endswith("__random_state")
    }
    candidate = clone(estimator).set_params(**seeds, **params)
    held_out = _take(X, split.held_out)
    with _fair_share_of_threads(n_workers):
        candidate.fit(_take(X, split.train))
        scores = {
            name: scorer(candidate, held_out) if hasattr(candidate, method) else np.nan
            for name, (method, scorer) in _CRITERIA.items()
        }
        return _Outcome(np.asarray(candidate.predict(held_out)), scores)


@contextmanager
def _fair_share_of_threads(n_workers: int) -> Iterator[None]:
    """Let torch use the cores divided by ``n_workers``, and no more, in this process.

    joblib caps the threads of its workers through environment variables, but not where
    the user has set these, and not for threads as workers. Two trainings of two
    threads each on two cores then spend their time waiting for one another: 28 s in
    place of 4 s was measured. ``threadpoolctl`` does not reach torch's own MKL.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(1, joblib.cpu_count() // n_workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------------
# All fits of one candidate
# ---------------------------------------------------------------------------


def _summarise(n_clusters: int, repeats: list[_Outcome]) -> dict[str, float]:
    agreement = [
        _agreement(n_clusters, a.labels, b.labels) for a, b in combinations(repeats, 2)
    ]
    used = [len(np.unique(outcome.labels)) for outcome in repeats]
    scores = {
        name: float(np.mean([outcome.scores[name] for outcome in repeats]))
        for name in _CRITERIA
    }
    return {
        "stability": float(np.mean(agreement)),
        "stability_std": float(np.std(agreement)),
        "n_clusters_used": float(np.mean(used)),
        **scores,
    }


def _agreement(n_clusters: int, a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the adjusted Rand index, but 0 in place of 1 for two collapsed fits."""
    if n_clusters == 1:
        return np.nan
    if len(np.unique(a)) == 1 and len(np.unique(b)) == 1:
        return 0.0
    return float(adjusted_rand_score(a, b))
