"""Rows that are sums of several clusters, as a user of the estimator meets them."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits

from skmixae import MixAEClustering
from skmixae.inference import BATCH_BYTES
from skmixae.metrics import hungarian_accuracy_score, hungarian_accuracy_scorer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def sums(n=500, k=5, noise=0.3, seed=0):
    """Return rows that are sums of points on two of k curves, and which two."""
    rng = np.random.RandomState(seed)
    base, slope = 3 * rng.randn(k, 12), rng.randn(k, 12)
    members = np.zeros((n, k), dtype=int)
    for row in members:
        row[rng.choice(k, 2, replace=False)] = 1
    curves = base + np.tanh(rng.randn(n, k, 1)) * slope
    return (members[..., None] * curves).sum(1) + noise * rng.randn(n, 12), members


X, Y = sums()


def small(n_clusters=5, **parameters):
    settings = {
        "n_active": 2, "hidden_layer_sizes": (16,), "latent_dim": 2, "batch_size": 64,
        "max_epochs": 30, "random_state": 0,
    }  # fmt: skip
    return MixAEClustering(n_clusters, **(settings | parameters))


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return small().fit(X)


def test_clusters_that_rows_are_sums_of_are_found(fitted):
    assert hungarian_accuracy_score(Y, fitted.labels_) > 0.95
    assert hungarian_accuracy_scorer(fitted, *sums(seed=0)) > 0.95


def test_each_row_has_as_many_labels_as_are_active(fitted):
    assert fitted.labels_.shape == (500, 5)
    assert fitted.labels_.dtype == np.int32
    assert_array_equal(np.unique(fitted.labels_), [0, 1])
    assert_array_equal(fitted.labels_.sum(1), 2)
    assert_array_equal(fitted.predict(X), fitted.labels_)
    assert_array_equal(small(max_epochs=2).fit_predict(X).shape, (500, 5))


def test_sizes_are_shares_of_rows_and_the_largest_comes_first(fitted):
    assert_allclose(fitted.cluster_sizes_, fitted.labels_.mean(0))
    assert (np.diff(fitted.cluster_sizes_) <= 0).all()
    assert fitted.expert_sizes_.sum() == pytest.approx(1)
    assert_allclose(fitted.history_["expert_share"].sum(1), 1)


def test_probabilities_are_those_of_being_active(fitted):
    p = fitted.predict_proba(X)
    assert p.shape == (500, 5)
    assert_allclose(p.sum(1), 2, rtol=1e-5)
    assert p.max() <= 1 + 1e-5
    assert_array_equal(fitted.predict_expert_proba(X), p)
    sure = np.sort(p, 1)[:, -2] > 0.9
    assert sure.mean() > 0.8
    assert_array_equal((p[sure] > 0.5).astype(int), fitted.labels_[sure])


def test_rows_are_reconstructed_as_sums_and_codes_say_of_what(fitted):
    made = fitted.reconstruct(X)
    assert np.square(made - X).mean() < 0.25 * X.var()
    codes = fitted.transform(X)
    used = np.abs(codes.reshape(500, 5, -1)).sum(-1) > 0
    assert_array_equal(used.astype(int), fitted.labels_)
    assert_allclose(fitted.inverse_transform(codes), made, rtol=1e-3, atol=1e-3)


def test_error_of_a_cluster_is_that_of_the_best_sum_with_it(fitted):
    errors = fitted.reconstruction_errors(X)
    assert errors.shape == (500, 5)
    # The best of all sums has two clusters, and both have its error.
    ordered = np.sort(errors, 1)
    assert_allclose(ordered[:, 0], ordered[:, 1], rtol=1e-4, atol=1e-5)
    assert (ordered[:, 2] > ordered[:, 1] - 1e-5).all()
    assert_allclose(fitted.score_samples(X), -ordered[:, 0])


def test_digits_are_told_apart_in_their_sums():
    images, classes = load_digits(n_class=5, return_X_y=True)
    rng = np.random.RandomState(0)
    one, other = rng.randint(len(images), size=(2, 6000))
    different = classes[one] != classes[other]
    one, other = one[different][:2500], other[different][:2500]
    rows, members = images[one] + images[other], np.zeros((2500, 5), dtype=int)
    for part in (one, other):
        members[np.arange(2500), classes[part]] = 1
    model = MixAEClustering(5, n_active=2, n_init=1, random_state=0).fit(rows)
    assert hungarian_accuracy_score(members, model.labels_) > 0.75


@pytest.mark.parametrize(
    "parameters",
    [
        {"expert": "variational"},
        {"expert": "adversarial"},
        {"init": "random"},
        {"reconstruction_loss": "cosine"},
        {"input_shape": (12,), "architecture": "conv1d", "conv_channels": (4,)},
        {"consistency": None},
        {"assignment_input": "latents"},
        {"entropy_schedule": "balanced"},
        {"n_active": 3},
        {"validation_fraction": 0.2},
        {"n_experts": 5},
    ],
    ids=lambda p: next(iter(p)),
)
def test_sums_go_with_every_other_choice(parameters):
    model = small(**{"max_epochs": 2, "n_init": 1, **parameters}).fit(X)
    assert_array_equal(model.predict(X).sum(1), model.n_active)
    assert np.isfinite(model.history_["total"]).all()


def test_one_active_is_the_mixture_of_experts_itself():
    one = small(n_active=1, n_experts=None, init="kmeans", max_epochs=3).fit(X)
    other = MixAEClustering(
        5, n_experts=None, init="kmeans", hidden_layer_sizes=(16,), latent_dim=2,
        batch_size=64, max_epochs=3, random_state=0,
    ).fit(X)  # fmt: skip
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.labels_.shape == (500,)


def test_same_seed_gives_the_same_labels(fitted):
    one, other = (small(max_epochs=3).fit(X) for _ in range(2))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_restarts_are_compared_without_the_consistency():
    model = small(max_epochs=4, n_init=1).fit(X)
    kept = model.history_[model.history_["objective"].argmin()]
    assert kept["consistency"] > 0
    errors = kept["reconstruction"] + 2 * kept["sample_entropy"]
    assert model.objective_ == pytest.approx(
        errors - 8 * kept["batch_entropy"], abs=0.5
    )


def test_stream_and_warm_start_go_on_with_sums():
    model = small(max_epochs=3, warm_start=True).fit(X).fit(X)
    assert model.partial_fit(X[:100]).labels_.shape == (100, 5)
    stream = small()
    for chunk in np.array_split(X, 3):
        stream.partial_fit(chunk)
    assert_array_equal(stream.predict(X).sum(1), 2)
    with pytest.raises(ValueError, match="n_active"):
        model.set_params(n_active=1).fit(X)


def test_copies_predict_the_same(fitted, round_trips):
    for copy in round_trips(fitted):
        assert_array_equal(copy.labels_, fitted.labels_)
        assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"n_active": 5}, "less than n_clusters=5. Got 5"),
        ({"n_clusters": 1}, "less than n_clusters=1"),
        ({"n_experts": 8}, "n_experts=8"),
        ({"cluster_sizes": [0.2] * 5}, "cluster_sizes"),
        ({"cluster_sizes": "start"}, "cluster_sizes"),
        ({"init": "spectral"}, "Got 'spectral'"),
        ({"init": np.arange(500) % 5}, "'init'"),
        ({"n_clusters": 30, "n_active": 4}, "27405 ways"),
    ],
)
def test_what_sums_cannot_have_is_refused_by_its_name(parameters, said):
    with pytest.raises(ValueError, match=said):
        small(**parameters).fit(X)


def test_rows_that_are_sums_cannot_be_drawn():
    model = small(expert="variational", max_epochs=2, n_init=1).fit(X)
    with pytest.raises(AttributeError) as caught:
        model.sample(2)
    assert "n_active=2" in str(caught.value.__cause__)


def test_clone_keeps_the_number(fitted):
    assert clone(fitted).n_active == 2


def test_errors_of_many_subsets_are_looked_at_a_few_rows_at_a_time():
    rows = np.random.default_rng(0).normal(size=(30, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = small(20, n_active=3, max_epochs=1, n_init=1).fit(rows)
    inference = model._inference()
    table = inference.network.members.numel() * inference._batch_size()
    assert 4 * table <= 1.1 * BATCH_BYTES


@pytest.mark.filterwarnings("ignore")
def test_pictures_show_each_row_with_every_cluster_that_it_has(fitted):
    pytest.importorskip("matplotlib")
    from skmixae.plotting import (
        CertaintyDisplay,
        ClusterClassDisplay,
        ClusterSamplesDisplay,
    )

    samples = ClusterSamplesDisplay.from_estimator(fitted, X)
    assert_array_equal(samples.counts, fitted.labels_.sum(0))
    sure = CertaintyDisplay.from_estimator(fitted, X).certainties
    assert [len(some) for some in sure] == fitted.labels_.sum(0).tolist()
    one = deepcopy(fitted).set_params(n_active=1)  # pictures are of what was fitted
    assert len(CertaintyDisplay.from_estimator(one, X).certainties[0]) == len(sure[0])
    with pytest.raises(ValueError, match="n_active=2"):
        ClusterClassDisplay.from_estimator(one, X, Y)
