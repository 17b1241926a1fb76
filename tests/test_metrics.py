"""Metrics with labels against brute force; scorers without labels in searches."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import accuracy_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixae.metrics import (
    certainty_scorer,
    cluster_class_matrix,
    hungarian_accuracy_score,
    hungarian_accuracy_scorer,
    purity_score,
    reconstruction_scorer,
    silhouette_scorer,
)

LABEL_FREE = [reconstruction_scorer, certainty_scorer, silhouette_scorer]


@st.composite
def labelled_rows(draw, max_label=4):
    n_samples = draw(st.integers(1, 25))
    labels = st.lists(
        st.integers(0, max_label), min_size=n_samples, max_size=n_samples
    ).map(np.array)
    return draw(labels), draw(labels)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)


def naive_accuracy(y_true, y_pred):
    """Try every way of giving each cluster a class, or none, of its own."""
    classes, clusters = sorted(set(y_true)), sorted(set(y_pred))
    names = classes + [None] * len(clusters)
    return max(
        np.mean(
            [
                dict(zip(clusters, order, strict=True))[p] == t
                for t, p in zip(y_true, y_pred, strict=True)
            ]
        )
        for order in set(permutations(names, len(clusters)))
    )


# ---------------------------------------------------------------------------
# With labels
# ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(labelled_rows(max_label=2))
def test_accuracy_is_the_best_over_all_one_to_one_maps(labels):
    assert hungarian_accuracy_score(*labels) == pytest.approx(naive_accuracy(*labels))


@given(labelled_rows(), st.permutations(["a", "bb", "c", "dd", "e"]))
def test_scores_do_not_change_when_labels_are_renamed(labels, names):
    y_true, y_pred = labels
    renamed = np.array(names)[y_pred]
    for score in (hungarian_accuracy_score, purity_score):
        assert score(y_true, renamed) == score(y_true, y_pred)
        assert score(np.array(names)[y_true], y_pred) == score(y_true, y_pred)


@given(labelled_rows())
def test_accuracy_lies_between_plain_accuracy_and_purity(labels):
    accuracy = hungarian_accuracy_score(*labels)
    assert accuracy_score(*labels) <= accuracy <= purity_score(*labels) <= 1


@given(labelled_rows())
def test_accuracy_is_symmetric(labels):
    y_true, y_pred = labels
    assert hungarian_accuracy_score(y_true, y_pred) == hungarian_accuracy_score(
        y_pred, y_true
    )


@given(labelled_rows())
def test_purity_names_each_cluster_after_its_most_frequent_class(labels):
    y_true, y_pred = labels
    right = sum(np.bincount(y_true[y_pred == k]).max() for k in set(y_pred))
    assert purity_score(y_true, y_pred) == pytest.approx(right / len(y_true))


@given(labelled_rows(), st.integers(0, 4))
def test_splitting_a_cluster_never_lowers_purity(labels, split):
    y_true, y_pred = labels
    finer = np.where((y_pred == split) & (np.arange(len(y_pred)) % 2 == 0), 5, y_pred)
    assert purity_score(y_true, finer) >= purity_score(y_true, y_pred)


@given(labelled_rows())
def test_matrix_has_every_row_once_and_the_accuracy_on_its_diagonal(labels):
    y_true, y_pred = labels
    matrix, clusters, classes, matching = cluster_class_matrix(y_true, y_pred)
    for i, cluster in enumerate(clusters):
        for j, label in enumerate(classes):
            assert matrix[i, j] == np.sum((y_pred == cluster) & (y_true == label))
    assert matrix.sum() == len(y_true)
    assert np.trace(matrix) / matrix.sum() == hungarian_accuracy_score(y_true, y_pred)
    assert list(matching.items()) == list(zip(clusters, classes, strict=False))


def test_one_cluster_per_row_has_purity_one_but_not_accuracy_one():
    y_true = [0, 0, 0, 1]
    assert purity_score(y_true, range(4)) == 1
    assert hungarian_accuracy_score(y_true, range(4)) == 0.5


def test_matched_classes_come_first_and_spare_clusters_by_their_majority():
    y_true = list("aaaaabbbbbb")
    y_pred = [0, 0, 0, 3, 3, 2, 2, 2, 2, 1, 1]
    matrix, clusters, classes, matching = cluster_class_matrix(y_true, y_pred)
    assert_array_equal(classes, ["a", "b"])
    assert_array_equal(clusters, [0, 2, 3, 1])
    assert_array_equal(matrix, [[3, 0], [0, 4], [2, 0], [0, 2]])
    assert matching == {0: "a", 2: "b"}


def test_classes_without_a_cluster_come_last():
    matrix, clusters, classes, _ = cluster_class_matrix([0, 1, 1, 2, 2, 2], [7] * 6)
    assert_array_equal(classes, [2, 0, 1])
    assert_array_equal(clusters, [7])
    assert_array_equal(matrix, [[3, 1, 2]])


@pytest.mark.parametrize("score", [hungarian_accuracy_score, purity_score])
@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [
        (pd.Series(["x", "y", "x"]), np.array([1.5, -2.0, 1.5])),
        (np.array([True, False, True]), ["b", "a", "b"]),
        (np.array([["x"], ["y"], ["x"]]), pd.Categorical([5, 9, 5])),
        (np.array(["x", "y", "x"], dtype=object), (3, 0, 3)),
    ],
)
def test_labels_may_be_of_any_type(score, y_true, y_pred):
    assert score(y_true, y_pred) == 1


@pytest.mark.parametrize(
    ("y_true", "y_pred", "error", "message"),
    [
        ([0, 1], [0], ValueError, "inconsistent numbers of samples"),
        ([], [], ValueError, "y_true must hold at least one label"),
        (None, [0], TypeError, "y_true must hold one label per row; got None"),
        ([0], None, TypeError, "y_pred must hold one label per row; got None"),
        ([0.0, np.nan], [0, 1], ValueError, "Input y_true contains NaN"),
        ([0, 1], [[0, 1], [1, 0]], ValueError, "1d array"),
    ],
)
@pytest.mark.parametrize(
    "score", [hungarian_accuracy_score, purity_score, cluster_class_matrix]
)
def test_bad_labels_get_a_clear_error(score, y_true, y_pred, error, message):
    with pytest.raises(error, match=message):
        score(y_true, y_pred)


# ---------------------------------------------------------------------------
# Scorers
# ---------------------------------------------------------------------------


def test_hungarian_scorer_finds_the_true_number_of_clusters_in_a_grid_search(blobs):
    X, y = blobs
    search = GridSearchCV(
        KMeans(random_state=0, n_init=3),
        {"n_clusters": [2, 3, 5]},
        scoring=hungarian_accuracy_scorer,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_ == {"n_clusters": 3}
    assert search.best_score_ == 1


@pytest.mark.parametrize("scorer", LABEL_FREE)
@pytest.mark.parametrize("with_labels", [False, True])
def test_label_free_scorers_work_on_a_pipeline_in_a_grid_search(
    scorer, with_labels, blobs
):
    X, y = blobs
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        {"gaussianmixture__n_components": [1, 3]},
        scoring=scorer,
        error_score="raise",
    ).fit(X, y if with_labels else None)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"gaussianmixture__n_components": 3}


@pytest.mark.parametrize("scorer", LABEL_FREE)
def test_labels_play_no_part_in_label_free_scores(scorer, blobs):
    X, y = blobs
    model = GaussianMixture(3, random_state=0).fit(X)
    assert scorer(model, X) == scorer(model, X, y) == scorer(model, X, y[::-1])


@pytest.mark.parametrize(
    ("scorer", "method"),
    list(zip(LABEL_FREE, ["score", "predict_proba", "predict"], strict=True)),
)
def test_a_missing_method_is_named(scorer, method, blobs):
    with pytest.raises(TypeError, match=f"with {method}; got AgglomerativeClustering"):
        scorer(AgglomerativeClustering(), blobs[0])


def test_reconstruction_is_the_score_of_the_estimator(blobs):
    X, _ = blobs
    model = KMeans(3, random_state=0, n_init=1).fit(X)
    assert reconstruction_scorer(model, X) == pytest.approx(-model.inertia_)


class FixedAssignment:
    """An estimator that assigns row i as row i of X says."""

    def predict_proba(self, X):
        return X


def naive_mutual_information(p):
    """Sum over rows and experts of joint * log(joint / (row * expert)), in nats."""
    n, k = p.shape
    shares = [sum(p[i, j] for i in range(n)) / n for j in range(k)]
    information = 0.0
    for i in range(n):
        for j in range(k):
            if p[i, j] > 0:
                information += p[i, j] / n * np.log(p[i, j] / shares[j])
    return information


@given(st.integers(2, 6), st.integers(1, 20), st.integers(0, 2**31))
def test_certainty_is_the_mutual_information_of_rows_and_experts(k, n, seed):
    p = np.random.default_rng(seed).dirichlet(np.full(k, 0.3), size=n)
    expected = naive_mutual_information(p) / np.log(k)
    certainty = certainty_scorer(FixedAssignment(), p.astype(np.float32))
    assert_allclose(certainty, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (np.eye(4, dtype=np.float32), 1),
        (np.full((5, 4), 0.25, dtype=np.float32), 0),
        (np.tile(np.eye(4, dtype=np.float32)[0], (5, 1)), 0),
        (np.ones((5, 1), dtype=np.float32), 0),
    ],
    ids=["sure and balanced", "undecided", "collapsed", "one cluster"],
)
def test_certainty_of_the_extreme_assignments(assignment, expected):
    assert certainty_scorer(FixedAssignment(), assignment) == expected


def test_silhouette_is_taken_in_the_space_that_the_last_step_sees(blobs):
    X, _ = blobs
    X = X * [1.0, 1e4]
    model = make_pipeline(StandardScaler(), KMeans(3, random_state=0, n_init=1)).fit(X)
    expected = silhouette_score(model[:-1].transform(X), model.predict(X))
    assert silhouette_scorer(model, X) == pytest.approx(expected)
    assert silhouette_scorer(model, X) != pytest.approx(
        silhouette_score(X, model.predict(X))
    )


def test_silhouette_of_a_collapsed_fit_is_the_worst_value(blobs):
    X, _ = blobs
    assert silhouette_scorer(KMeans(1, n_init=1).fit(X), X) == -1
    assert silhouette_scorer(KMeans(4, n_init=1).fit(X[:4]), X[:4]) == -1


@pytest.mark.rng_untouched
def test_silhouette_of_many_rows_is_deterministic_and_near_the_full_one():
    X, _ = make_blobs(5000, centers=4, cluster_std=2.0, random_state=1)
    model = KMeans(4, random_state=0, n_init=1).fit(X)
    score = silhouette_scorer(model, X)
    assert score == silhouette_scorer(model, X)
    assert score == pytest.approx(silhouette_score(X, model.predict(X)), abs=0.03)


@pytest.mark.parametrize("convert", [csr_matrix, pd.DataFrame, np.ndarray.tolist])
def test_silhouette_takes_any_kind_of_rows(convert):
    X, _ = make_blobs(2500, centers=3, random_state=0)
    model = KMeans(3, random_state=0, n_init=1).fit(X)
    expected = silhouette_scorer(model, X)
    rows = convert(X)
    refit = KMeans(3, random_state=0, n_init=1).fit(rows)
    assert silhouette_scorer(refit, rows) == pytest.approx(expected)


# -- rows of several classes each ------------------------------------------------------


def test_accuracy_of_sets_is_the_share_of_rows_that_are_right_under_the_best_map():
    true = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    assert hungarian_accuracy_score(true, true[:, [2, 0, 1]]) == 1.0
    found = true[:, [2, 0, 1]].copy()
    found[0] = [1, 1, 0]  # one wrong row
    assert hungarian_accuracy_score(true, found) == 0.75


@pytest.mark.parametrize("seed", range(3))
def test_map_of_sets_is_the_best_of_all(seed):
    rng = np.random.RandomState(seed)
    true = rng.randint(2, size=(40, 4))
    found = np.where(rng.rand(40, 4) < 0.2, 1 - true, true)[:, rng.permutation(4)]
    agreement, accuracy = max(
        ((found[:, order] == true).sum(), (found[:, order] == true).all(1).mean())
        for order in map(list, permutations(range(4)))
    )
    assert agreement > 0
    assert hungarian_accuracy_score(true, found) == pytest.approx(accuracy)


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(2, 4), (3, 4), (4, 3)])
@pytest.mark.parametrize("seed", range(20))
def test_map_of_sets_is_the_best_of_all_where_some_have_no_partner(
    n_classes, n_clusters, seed
):
    rng = np.random.RandomState(seed)
    true = rng.randint(2, size=(12, n_classes))
    found = rng.randint(2, size=(12, n_clusters)) * (np.arange(n_clusters) > 0)
    n = n_classes + n_clusters  # each class and each cluster may stay alone
    padded = np.pad(true, ((0, 0), (0, n_clusters)))
    agreements = {}
    for places in map(list, permutations(range(n), n_clusters)):
        named = np.zeros_like(padded)
        named[:, places] = found
        right = (named == padded).all(1).mean()
        agreements.setdefault((named == padded).sum(), set()).add(right)
    best = agreements[max(agreements)]
    assert any(
        hungarian_accuracy_score(true, found) == pytest.approx(one) for one in best
    )


def test_sets_of_one_class_each_have_the_accuracy_of_their_labels():
    true, found = np.array([0, 2, 0, 1]), np.array([2, 0, 3, 2])
    sets = np.eye(3, dtype=int)[true], np.eye(4, dtype=int)[found]
    assert hungarian_accuracy_score(*sets) == hungarian_accuracy_score(true, found)


def test_clusters_and_classes_without_a_partner_count_as_errors():
    true = np.array([[1, 0], [0, 1], [1, 1]])
    more = np.c_[true, [0, 0, 1]]
    assert hungarian_accuracy_score(true, more) == pytest.approx(2 / 3)
    assert hungarian_accuracy_score(more, true) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([0, 1, 1], "y_pred must hold zeros and ones of shape"),
        ([[0, 2], [1, 0], [1, 1]], "y_pred must hold zeros and ones only"),
        ([[0, 1], [1, 0]], "inconsistent numbers of samples"),
    ],
)
def test_other_than_sets_are_refused_where_sets_are_wanted(found, said):
    with pytest.raises(ValueError, match=said):
        hungarian_accuracy_score([[1, 0], [0, 1], [1, 1]], found)


def test_certainty_and_silhouette_are_of_one_cluster_each():
    class Sums(BaseEstimator):
        def predict_proba(self, X):
            return np.ones((len(X), 2))

        predict = predict_proba

    with pytest.raises(ValueError, match="add up to 2"):
        certainty_scorer(Sums(), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"one cluster each.*\(3, 2\)"):
        silhouette_scorer(Sums(), np.arange(3.0)[:, None])
