"""Choosing the number of clusters: the choice, what it reports, threads, errors."""

import warnings
from itertools import combinations

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.sparse import coo_matrix
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering
from skmixae.model_selection import NClustersSelection, select_n_clusters

CENTERS = [[0, 0], [9, 0], [0, 9], [9, 9], [4.5, 4.5]]


@pytest.fixture(scope="module")
def X():
    return make_blobs(300, centers=CENTERS, random_state=0)[0]


def kmeans(**params):
    return KMeans(n_init=3, **params)


def assert_same_selection(a, b):
    for name, column in a.to_dict().items():
        assert_array_equal(column, b.to_dict()[name], err_msg=name)


# ---------------------------------------------------------------------------
# The choice
# ---------------------------------------------------------------------------


def test_well_separated_groups_are_counted(X):
    selection = select_n_clusters(kmeans(), X, range(2, 9), random_state=0)
    assert selection.best_n_clusters == 5
    assert selection.stability[selection.candidates == 5] == 1


def test_a_pipeline_is_searched_by_its_last_step(X):
    pipeline = make_pipeline(StandardScaler(), kmeans())
    selection = select_n_clusters(pipeline, X * [1, 1000], [3, 5, 8], random_state=0)
    assert selection.best_n_clusters == 5


def test_another_parameter_can_be_named(X):
    selection = select_n_clusters(
        GaussianMixture(n_init=3),
        X,
        [3, 5, 8],
        param_name="n_components",
        random_state=0,
    )
    assert selection.best_n_clusters == 5
    assert ((selection.certainty > 0) & (selection.certainty <= 1)).all()


def test_the_largest_stable_enough_candidate_is_chosen():
    nothing = np.full(4, np.nan)

    def choice(stability, tolerance):
        return NClustersSelection(
            np.arange(2, 6), np.array(stability), *[nothing] * 5, tolerance
        ).best_n_clusters

    assert choice([1.0, 0.96, 0.90, 0.5], tolerance=0.05) == 3
    assert choice([1.0, 0.96, 0.90, 0.5], tolerance=0.0) == 2
    assert choice([0.3, 0.96, 0.90, 0.95], tolerance=0.05) == 5
    assert choice([np.nan, 0.1, np.nan, 0.0], tolerance=0.05) == 3


def test_reconstruction_rises_with_the_number_of_clusters_by_itself():
    X = np.random.default_rng(0).uniform(size=(400, 2))  # no clusters at all
    selection = select_n_clusters(kmeans(), X, [2, 4, 8, 16], random_state=0)
    assert (np.diff(selection.reconstruction) > 0).all()


# ---------------------------------------------------------------------------
# What is reported
# ---------------------------------------------------------------------------


def test_stability_is_the_mean_agreement_of_pairs_of_repeats(X):
    held_out_labels = []

    class Recording(KMeans):
        def predict(self, X):
            labels = super().predict(X)
            held_out_labels.append(labels)
            return labels

    selection = select_n_clusters(Recording(n_init=1), X, [7], random_state=1)
    # silhouette_scorer calls predict first, on the same rows.
    repeats = held_out_labels[1::2]
    assert len(repeats) == 3
    pairs = [adjusted_rand_score(a, b) for a, b in combinations(repeats, 2)]
    assert selection.stability[0] == pytest.approx(np.mean(pairs))
    assert selection.stability_std[0] == pytest.approx(np.std(pairs))


def test_one_cluster_has_no_stability_and_is_chosen_only_if_alone(X):
    assert select_n_clusters(kmeans(), X, [1], random_state=0).best_n_clusters == 1
    selection = select_n_clusters(kmeans(), X, [1, 8], random_state=0)
    assert np.isnan(selection.stability[0])
    assert selection.best_n_clusters == 8


class Collapsed(KMeans):
    """Puts every row into one cluster, however many it was asked for."""

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def test_collapsed_fits_do_not_pass_for_stable(X):
    selection = select_n_clusters(Collapsed(n_init=1), X, [4], random_state=0)
    assert selection.stability == 0
    assert selection.n_clusters_used == 1
    assert selection.silhouette == -1


def test_what_an_estimator_cannot_provide_is_nan(X):
    selection = select_n_clusters(kmeans(), X, [2, 3], random_state=0)
    assert np.isnan(selection.certainty).all()
    assert np.isfinite(selection.reconstruction).all()


def test_candidates_are_sorted_and_unique(X):
    selection = select_n_clusters(kmeans(), X, iter([5, np.int64(3), 5]))
    assert_array_equal(selection.candidates, [3, 5])
    assert all(len(column) == 2 for column in selection.to_dict().values())


def test_the_table_has_a_line_per_candidate_and_marks_the_choice(X):
    selection = select_n_clusters(kmeans(), X, [1, 3, 5], random_state=0)
    header, *lines = selection.to_table().splitlines()
    assert header.split() == list(selection.to_dict())
    assert [line.startswith("*") for line in lines] == [False, False, True]
    assert len({len(line) for line in [header, *lines]}) == 1
    assert repr(selection) == (
        f"NClustersSelection(best_n_clusters=5)\n{selection.to_table()}"
    )
    assert pd.DataFrame(selection.to_dict()).shape == (3, 7)


# ---------------------------------------------------------------------------
# Reproducible, parallel, any kind of rows
# ---------------------------------------------------------------------------


@pytest.mark.rng_untouched
def test_one_seed_gives_one_result_however_many_jobs(X):
    runs = [
        select_n_clusters(
            KMeans(n_init=1, init="random"), X, [4, 7], random_state=0, n_jobs=n_jobs
        )
        for n_jobs in (None, 2)
    ]
    assert_same_selection(*runs)


def test_the_estimator_is_left_as_it_is(X):
    estimator = kmeans(n_clusters=7, random_state=3)
    select_n_clusters(estimator, X, [2, 3], random_state=0)
    assert estimator.get_params() == kmeans(n_clusters=7, random_state=3).get_params()
    assert not hasattr(estimator, "labels_")


@pytest.mark.parametrize(
    "convert", [pd.DataFrame, coo_matrix, np.ndarray.tolist, np.asfortranarray]
)
def test_all_kinds_of_rows_give_the_same_result(convert, X):
    expected = select_n_clusters(kmeans(), X, [4, 5], random_state=0)
    selection = select_n_clusters(kmeans(), convert(X), [4, 5], random_state=0)
    assert_array_equal(selection.stability, expected.stability)


class ThreadCount(KMeans):
    """Remembers, as its score, how many threads torch had in fit."""

    def fit(self, X, y=None):
        super().fit(X)
        self.n_threads_ = torch.get_num_threads()
        return self

    def score(self, X, y=None):
        return self.n_threads_


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_parallel_fits_share_the_cores_out(n_jobs, X):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # Threads as workers: the case in which joblib itself caps nothing.
        with joblib.parallel_config("threading"):
            selection = select_n_clusters(ThreadCount(), X, [2, 3], n_jobs=n_jobs)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    share = min(2, max(1, joblib.cpu_count() // n_jobs))
    assert_array_equal(selection.reconstruction, [share, share])


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"candidates": []}, ValueError, "at least one number; got none"),
        ({"candidates": [2, 0]}, ValueError, "candidates must be at least 1; got 0"),
        ({"candidates": [2.0]}, TypeError, "candidates must be integers; got 2.0"),
        ({"candidates": [True]}, TypeError, "candidates must be integers; got True"),
        ({"candidates": [2, 106]}, ValueError, "rows of one fit, 105 .*; got 106"),
        ({"n_repeats": 1}, ValueError, "n_repeats must be .* at least 2; got 1"),
        ({"test_size": 1.0}, ValueError, r"test_size must be .* \(0, 1\); got 1.0"),
        ({"tolerance": -0.1}, ValueError, "tolerance must be .* 0; got -0.1"),
        ({"tolerance": np.nan}, ValueError, "tolerance must be .* 0; got nan"),
        ({"param_name": "k"}, ValueError, "parameter of KMeans; got 'k', accepted"),
        (
            {"estimator": GaussianMixture()},
            ValueError,
            "parameter of GaussianMixture; got 'n_clusters', accepted",
        ),
        (
            {"estimator": AgglomerativeClustering()},
            TypeError,
            "must have predict.*; got AgglomerativeClustering",
        ),
        (
            {"estimator": MixAEClustering(n_active=2)},
            ValueError,
            "one for each row; got .* n_active=2",
        ),
        (
            {"estimator": make_pipeline(MixAEClustering(n_active=2))},
            ValueError,
            "one for each row; got .* mixaeclustering__n_active=2",
        ),
    ],
)
def test_bad_arguments_get_a_clear_error(arguments, error, message, X):
    arguments = {"estimator": KMeans(), "candidates": [2]} | arguments
    with pytest.raises(error, match=message):
        select_n_clusters(X=X, **arguments)


def test_a_choice_among_numbers_that_are_not_stable_is_warned_of():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 6))
    with pytest.warns(UserWarning, match="No number of clusters is stable"):
        select_n_clusters(KMeans(n_init=1), noise, [3, 4, 5], random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows, _ = make_blobs(300, centers=3, cluster_std=0.5, random_state=0)
        select_n_clusters(KMeans(n_init=3), rows, [2, 3, 4], random_state=0)
        select_n_clusters(KMeans(n_init=1), rows, [1], random_state=0)
