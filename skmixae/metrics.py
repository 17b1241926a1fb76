"""How good is a clustering, with and without the true labels.

With labels, for reports: :func:`hungarian_accuracy_score`, :func:`purity_score`,
:func:`cluster_class_matrix`, and :data:`hungarian_accuracy_scorer` for
:class:`~sklearn.model_selection.GridSearchCV`.

Without labels, for choosing: :func:`reconstruction_scorer`, :func:`certainty_scorer`
and :func:`silhouette_scorer`. Each is a callable ``(estimator, X, y=None) -> float``,
higher is better, and goes straight into ``scoring=``. Each sees one side of a
clustering only, so know what it cannot choose:

=============== ============================== ====================================
scorer          can compare                    cannot choose
=============== ============================== ====================================
reconstruction  seeds, widths, learning rates  n_clusters, latent_dim: more capacity
                at one capacity                reconstructs better whatever the data
certainty       seeds, entropy weights; shows  the clusters themselves: any confident
                collapse and indecision        and balanced split scores 1
silhouette      partitions of round clusters,  curved or nested clusters, for which
                also for different n_clusters  wrong round pieces score higher
=============== ============================== ====================================
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import entr
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer, silhouette_score
from sklearn.pipeline import Pipeline
from sklearn.utils import (
    assert_all_finite,
    check_consistent_length,
    column_or_1d,
    resample,
)

__all__ = [
    "ClusterClassMatrix",
    "certainty_scorer",
    "cluster_class_matrix",
    "hungarian_accuracy_score",
    "hungarian_accuracy_scorer",
    "purity_score",
    "reconstruction_scorer",
    "silhouette_scorer",
]

# The silhouette takes all pairs of rows: 2000 rows of 784 features cost 0.1 s, and the
# mean over them has a standard error below 0.01.
_SILHOUETTE_ROWS = 2000

# ---------------------------------------------------------------------------
# With true labels
# ---------------------------------------------------------------------------


class ClusterClassMatrix(NamedTuple):
    """How many rows of each class fell into each cluster, matches on the diagonal.

    Attributes
    ----------
    matrix : ndarray of shape (n_clusters, n_classes), int64
        Number of rows; ``matrix[i, j]`` counts those of class ``classes[j]`` in cluster
        ``clusters[i]``.
    clusters : ndarray of shape (n_clusters,)
        Label of each row of the matrix: first the matched ones, then, where there are
        more clusters than classes, the others, by the class that fills most of them.
    classes : ndarray of shape (n_classes,)
        Label of each column: first the matched ones, sorted, then, where there are more
        classes than clusters, the others, sorted.
    matching : dict
        From cluster label to class label: the one-to-one pairs, ``min(n_clusters,
        n_classes)`` of them, that together cover most rows.
    """

    matrix: NDArray[np.int64]
    clusters: NDArray[Any]
    classes: NDArray[Any]
    matching: dict[Any, Any]


def _check_labels(y: ArrayLike, name: str) -> NDArray[Any]:
    """Validate one vector of labels of any type."""
    if y is None:
        raise TypeError(f"{name} must hold one label per row; got None.")
    labels = column_or_1d(y)
    if len(labels) == 0:
        raise ValueError(f"{name} must hold at least one label; got an empty array.")
    assert_all_finite(labels, input_name=name)
    return labels


def _contingency(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Count pairs (n_clusters, n_classes); also the sorted clusters and classes."""
    y_true, y_pred = _check_labels(y_true, "y_true"), _check_labels(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    classes, class_index = np.unique(y_true, return_inverse=True)
    clusters, cluster_index = np.unique(y_pred, return_inverse=True)
    shape = (len(clusters), len(classes))
    # One bincount over pairs of labels: no loop, and no n-by-n mask.
    pairs = np.ravel_multi_index((cluster_index, class_index), shape)
    counts = np.bincount(pairs, minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.int64, copy=False), clusters, classes


def hungarian_accuracy_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Accuracy under the best one-to-one map from clusters to classes.

    Known in the field as clustering accuracy, ACC. Each cluster is given at most one
    class and each class at most one cluster, so that the number of rows in a cluster
    of their own class is largest (the Hungarian method); rows of clusters or classes
    that are left over count as errors.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True classes: integers, strings, or anything that can be sorted. For rows of
        several classes each, zeros and ones of shape (n_samples, n_classes).
    y_pred : array-like of shape (n_samples,)
        Clusters, with labels of any kind, more or fewer than there are classes; zeros
        and ones of shape (n_samples, n_clusters), where ``y_true`` has such.

    Returns
    -------
    accuracy : float
        Share of rows in (0, 1]; 1 means the same partition. Of rows of several classes
        each, the share whose whole set is right, under the map that agrees most often.

    Raises
    ------
    TypeError
        If the labels are missing (None).
    ValueError
        If the labels are empty, not finite, or of different lengths.

    See Also
    --------
    purity_score : Many clusters may share a class; never smaller, and rises with
        the number of clusters.
    cluster_class_matrix : The counts behind the score.

    Notes
    -----
    The number of clusters must be that of the classes for the score to be comparable
    with published ones. It is not corrected for chance: for K balanced classes
    arbitrary labels score about 1 / K, and somewhat more on few rows.

    References
    ----------
    .. [1] Y. Yang, D. Xu, F. Nie, S. Yan, Y. Zhuang, "Image Clustering Using Local
       Discriminant Models and Global Integration", IEEE Transactions on Image
       Processing 19 (10), 2010.

    Examples
    --------
    >>> from skmixae.metrics import hungarian_accuracy_score
    >>> hungarian_accuracy_score(["a", "a", "b", "b"], [1, 1, 0, 0])
    1.0
    >>> hungarian_accuracy_score([0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 1])
    0.8333
    """
    if np.ndim(y_true) == 2 and np.shape(y_true)[1] > 1:
        return _set_accuracy(y_true, y_pred)
    counts, _, _ = _contingency(y_true, y_pred)
    matched = linear_sum_assignment(counts, maximize=True)
    return float(counts[matched].sum() / counts.sum())


def _set_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of rows whose set of classes is right, of zeros and ones."""
    true, found = (
        _check_indicators(y_true, "y_true"),
        _check_indicators(y_pred, "y_pred"),
    )
    check_consistent_length(true, found)
    # The map that agrees most often is that of most ones in common: how many ones each
    # cluster and each class has is the same under all, with a partner or without.
    cluster, its_class = linear_sum_assignment(found.T @ true, maximize=True)
    n_classes = true.shape[1] + found.shape[1]  # those without a partner stay alone
    named = np.zeros((2, len(true), n_classes), dtype=np.int64)
    named[0, :, : true.shape[1]] = true
    alone = true.shape[1] + np.arange(found.shape[1])
    alone[cluster] = its_class
    named[1][:, alone] = found
    return float((named[0] == named[1]).all(1).mean())


def _check_indicators(y: ArrayLike, name: str) -> NDArray[np.int64]:
    """Validate zeros and ones (n, k), ones where a row is of a class."""
    indicators = np.asarray(y)
    if indicators.ndim != 2 or len(indicators) == 0:
        raise ValueError(
            f"{name} must hold zeros and ones of shape (n_samples, n_classes), one "
            f"row at least; got an array of shape {indicators.shape}."
        )
    if not np.isin(indicators, [0, 1]).all():
        raise ValueError(f"{name} must hold zeros and ones only.")
    return indicators.astype(np.int64)


def purity_score(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Accuracy when every cluster is named after its most frequent class.

    Several clusters may take the same class, so purity is never smaller than
    :func:`hungarian_accuracy_score`, splitting a cluster never lowers it, and one
    cluster per row scores 1: compare it only between partitions into equally many
    clusters. (The MIXAE paper calls the two measures equivalent; they are not.)

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True classes, of any type that can be sorted.
    y_pred : array-like of shape (n_samples,)
        Clusters, of any type that can be sorted.

    Returns
    -------
    purity : float
        Share of rows in (0, 1].

    Raises
    ------
    TypeError
        If the labels are missing (None).
    ValueError
        If the labels are empty, not finite, or of different lengths.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schütze, "Introduction to Information
       Retrieval", Cambridge University Press, 2008, section 16.3.

    Examples
    --------
    >>> from skmixae.metrics import hungarian_accuracy_score, purity_score
    >>> y_true, y_pred = ["a", "a", "a", "b"], [0, 1, 1, 2]
    >>> purity_score(y_true, y_pred)
    1.0
    >>> hungarian_accuracy_score(y_true, y_pred)
    0.75
    """
    counts, _, _ = _contingency(y_true, y_pred)
    return float(counts.max(axis=1).sum() / counts.sum())


def cluster_class_matrix(y_true: ArrayLike, y_pred: ArrayLike) -> ClusterClassMatrix:
    """Count the rows of each class in each cluster, with the best matches diagonal.

    Clusters are matched with classes as in :func:`hungarian_accuracy_score`; the
    trace of the matrix divided by its sum is that score.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True classes, of any type that can be sorted.
    y_pred : array-like of shape (n_samples,)
        Clusters, of any type that can be sorted.

    Returns
    -------
    result : ClusterClassMatrix
        Named tuple ``(matrix, clusters, classes, matching)``.

    Raises
    ------
    TypeError
        If the labels are missing (None).
    ValueError
        If the labels are empty, not finite, or of different lengths.

    Examples
    --------
    >>> from skmixae.metrics import cluster_class_matrix
    >>> y_true = ["cat", "cat", "cat", "dog", "dog"]
    >>> result = cluster_class_matrix(y_true, [1, 1, 0, 0, 0])
    >>> result.matrix
    array([[2, 0],
           [1, 2]])
    >>> result.matching
    {1: 'cat', 0: 'dog'}
    """
    counts, clusters, classes = _contingency(y_true, y_pred)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    by_class = np.argsort(columns)
    rows, columns = rows[by_class], columns[by_class]
    n_matched = len(rows)

    columns = np.append(columns, np.setdiff1d(np.arange(len(classes)), columns))
    spare = np.setdiff1d(np.arange(len(clusters)), rows)
    majority = counts[np.ix_(spare, columns)].argmax(axis=1)
    rows = np.append(rows, spare[np.argsort(majority, kind="stable")])

    clusters, classes = clusters[rows], classes[columns]
    matched = zip(
        clusters[:n_matched].tolist(), classes[:n_matched].tolist(), strict=True
    )
    return ClusterClassMatrix(
        counts[np.ix_(rows, columns)], clusters, classes, dict(matched)
    )


hungarian_accuracy_scorer = make_scorer(hungarian_accuracy_score)
"""Scorer ``(estimator, X, y) -> float`` of :func:`hungarian_accuracy_score`.

For reports such as ``cross_val_score(..., scoring=hungarian_accuracy_scorer)``. It
reads the true labels: parameters chosen with it are chosen with supervision.
"""

# ---------------------------------------------------------------------------
# Without labels: scorers (estimator, X, y=None) -> float, higher is better
# ---------------------------------------------------------------------------


def _check_has(estimator: BaseEstimator, method: str, scorer: str) -> None:
    if not hasattr(estimator, method):
        raise TypeError(
            f"{scorer} needs an estimator with {method}; "
            f"got {type(estimator).__name__}, which has none."
        )


def reconstruction_scorer(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None
) -> float:
    """How well the fitted experts reconstruct rows: ``estimator.score(X)``.

    It can tell a good start from a bad one and a fitting learning rate from another,
    on held-out rows, **at one capacity**. It cannot choose ``n_clusters`` or
    ``latent_dim``: more experts, or larger ones, reconstruct better whatever the data
    are. Nor can it see whether the assignment means anything: experts that have all
    learnt the same autoencoder score well.

    Parameters
    ----------
    estimator : estimator
        Fitted, with a ``score`` where higher is better, or a pipeline that ends in one.
    X : array-like of shape (n_samples, n_features)
        Rows, held-out ones for an honest comparison.
    y : ignored
        The labels play no part.

    Returns
    -------
    score : float
        Higher is better, in the units of ``estimator.score``.

    Raises
    ------
    TypeError
        If the estimator has no ``score``.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skmixae.metrics import reconstruction_scorer
    >>> X = [[0.0], [1.0], [9.0], [10.0]]
    >>> reconstruction_scorer(KMeans(2, random_state=0).fit(X), X)
    -1.0
    """
    _check_has(estimator, "score", "reconstruction_scorer")
    # Never with y: a score that reads labels would no longer be free of them.
    return float(estimator.score(X))


def certainty_scorer(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None
) -> float:
    """How sure and how balanced the assignments are: mutual information over log K.

    The entropy of the mean assignment minus the mean entropy of the assignments,
    ``H(mean p) - mean H(p)``, is the mutual information of rows and experts. Divided
    by log K it is 1 when every row is surely of one expert and all experts take
    equally many rows, and 0 when all rows are treated alike: all on one expert
    (collapse) or spread over them in the same way (indecision). K = 1 scores 0.

    It can compare seeds and entropy weights and shows both of those failures. It
    cannot tell a meaningful split from an arbitrary one, which can be just as sure and
    balanced, and it penalises a correct clustering of unequal clusters. It does not
    choose ``n_clusters`` either: small numbers are easier to be sure of.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``predict_proba``, or a pipeline that ends in one.
    X : array-like of shape (n_samples, n_features)
        Rows.
    y : ignored
        The labels play no part.

    Returns
    -------
    certainty : float
        Between 0 and 1, higher is better.

    Raises
    ------
    TypeError
        If the estimator has no ``predict_proba``.
    ValueError
        If the probabilities do not add up to one, as of rows that are sums of clusters.

    References
    ----------
    .. [1] A. Krause, P. Perona, R. Gomes, "Discriminative Clustering by Regularized
       Information Maximization", NeurIPS 2010.

    Examples
    --------
    >>> from sklearn.mixture import GaussianMixture
    >>> from skmixae.metrics import certainty_scorer
    >>> X = [[0.0], [1.0], [99.0], [100.0]]
    >>> certainty_scorer(GaussianMixture(2, random_state=0).fit(X), X)
    1.0
    """
    _check_has(estimator, "predict_proba", "certainty_scorer")
    assignment = np.asarray(estimator.predict_proba(X))  # (n, k)
    n_clusters = assignment.shape[1]
    if n_clusters == 1:
        return 0.0
    total = assignment.sum(axis=1).mean()
    if not math.isclose(total, 1.0, rel_tol=1e-3):
        raise ValueError(
            "certainty_scorer is for rows of one cluster each. Got probabilities that "
            f"add up to {total:.3g}."
        )
    batch_entropy = entr(assignment.mean(axis=0, dtype=np.float64)).sum()
    sample_entropy = entr(assignment).sum(axis=1).mean(dtype=np.float64)
    # Rounding can leave [0, 1] by the last digit.
    certainty = (batch_entropy - sample_entropy) / math.log(n_clusters)
    return float(np.clip(certainty, 0.0, 1.0))


def silhouette_scorer(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None
) -> float:
    """How much closer rows are to their own cluster than to the next one.

    The mean silhouette of ``estimator.predict(X)``, by Euclidean distance **between
    the rows that the last step of a pipeline is given**, not between latents: these
    are other coordinates in every fit, so that scores in them could not be compared,
    and a network can stretch them. For the same reason search over the parameters of
    the clusterer, not over those of the preprocessing.

    It can compare partitions into different numbers of clusters. It prefers round,
    compact, well separated clusters: on curved or nested ones a wrong partition into
    round pieces scores higher than the true one, so there it cannot choose. In hundreds
    of features distances are much alike and all scores lie near 0.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``predict``, or a pipeline that ends in one.
    X : array-like of shape (n_samples, n_features)
        Rows; of more than 2000, the same 2000 drawn at random are used in every call.
    y : ignored
        The labels play no part.

    Returns
    -------
    silhouette : float
        Between -1 and 1, higher is better. The silhouette is not defined for one
        cluster or for a cluster per row: these score -1, the worst, so that a
        collapsed fit is never chosen.

    Raises
    ------
    TypeError
        If the estimator has no ``predict``.
    ValueError
        If rows have several clusters each, as those that are sums of clusters.

    References
    ----------
    .. [1] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and
       validation of cluster analysis", Journal of Computational and Applied
       Mathematics 20, 1987.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from skmixae.metrics import silhouette_scorer
    >>> X = [[0.0], [1.0], [99.0], [100.0]]
    >>> silhouette_scorer(KMeans(2, random_state=0).fit(X), X)
    0.9899
    >>> silhouette_scorer(KMeans(1, random_state=0).fit(X), X)
    -1.0
    """
    _check_has(estimator, "predict", "silhouette_scorer")
    rows = X if hasattr(X, "shape") else np.asarray(X)
    if rows.shape[0] > _SILHOUETTE_ROWS:
        rows = resample(rows, replace=False, n_samples=_SILHOUETTE_ROWS, random_state=0)
    labels = np.asarray(estimator.predict(rows))
    if labels.ndim > 1:
        raise ValueError(
            "silhouette_scorer is for rows of one cluster each. Got labels of shape "
            f"{labels.shape}."
        )
    if not 2 <= len(np.unique(labels)) < len(labels):
        return -1.0
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        rows = estimator[:-1].transform(rows)
    return float(silhouette_score(rows, labels))
