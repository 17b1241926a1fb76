"""Experts with a prior, as a user of the estimator meets them: new rows are drawn."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs

from skmixae import MixAEClustering
from skmixae.objective import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_blobs(400, 6, centers=3, cluster_std=0.8, random_state=0)
KINDS = ["variational", "adversarial"]


def small(n_clusters=3, **parameters):
    settings = {
        "hidden_layer_sizes": (24,), "latent_dim": 2, "batch_size": 32,
        "max_epochs": 60, "init": "kmeans", "n_experts": None, "n_init": 1,
        "random_state": 0, "device": "cpu",
    }  # fmt: skip
    return MixAEClustering(n_clusters, **(settings | parameters))


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return small(expert=request.param).fit(X)


def own_latents(model, rows):
    """Return the latents of rows (n, d) under the expert of each."""
    codes = model.transform(rows).reshape(len(rows), -1, 2)
    return codes[np.arange(len(rows)), np.abs(codes).sum(-1).argmax(1)]


def distance_of_draws(model):
    """Return how far the mean of a cluster's draws is from its rows', at most."""
    rows, labels = model.sample(2000, random_state=0)
    return max(
        np.abs(rows[labels == c].mean(0) - X[model.labels_ == c].mean(0)).max()
        for c in range(3)
    )


def test_rows_drawn_are_like_those_of_their_cluster(fitted):
    rows, labels = fitted.sample(2000, random_state=0)
    assert rows.shape == (2000, 6)
    assert rows.dtype == np.float32
    assert (fitted.predict(rows) == labels).mean() > 0.95
    assert distance_of_draws(fitted) < 2.5  # of centres 11 to 18 apart
    for cluster in range(3):
        assert 0.1 < rows[labels == cluster].std(0).max() < 3  # of rows, .8


def test_rows_drawn_have_the_noise_of_rows(fitted):
    """Which plain experts are not asked to reconstruct."""
    assert fitted._moments.axes.shape == (6, 6)
    assert small(max_epochs=1).fit(X)._moments.axes.shape == (6, 2)
    rows, labels = fitted.sample(2000, random_state=0)
    within = [rows[labels == c] - rows[labels == c].mean(0) for c in range(3)]
    assert np.linalg.matrix_rank(np.concatenate(within), tol=1.0) > 2


def test_clusters_are_drawn_by_their_sizes(fitted):
    _, labels = fitted.sample(6000, random_state=1)
    shares = np.bincount(labels, minlength=3) / 6000
    assert_allclose(shares, fitted.cluster_sizes_, atol=0.03)


@pytest.mark.parametrize("n_experts", [None, 6])
def test_a_stream_is_drawn_from_by_the_rows_of_all_its_chunks(n_experts):
    model = small(expert="variational", n_experts=n_experts)
    for _ in range(20):
        model.partial_fit(X)
    before = model.predict(X)
    assert len(np.unique(before)) == 3
    model.partial_fit(X[before == 0])
    assert model.cluster_sizes_.max() > 0.9
    _, labels = model.sample(2000, random_state=0)
    assert np.bincount(labels, minlength=3).min() > 400
    assert model.sample(2, cluster=1)[0].shape == (2, 6)


def test_latents_of_rows_follow_the_prior(fitted):
    latents = own_latents(fitted, X)
    variance = latents.var(0)
    if fitted.expert == "variational":  # that of the means, and that around them
        experts, scaled = (
            fitted.module_.experts,
            fitted._moments.scaling(LOSSES["mse"]).apply(X),
        )
        with torch.no_grad():
            hidden = experts.encode(torch.from_numpy(scaled)).hidden
            around = experts.to_log_variance(hidden).exp().numpy()
        variance = variance + around[np.arange(len(X)), fitted.labels_].mean(0)
    assert_allclose(latents.mean(0), 0, atol=0.4)
    assert_allclose(variance, 1, atol=0.6)


def test_without_its_weight_the_prior_is_not_followed(fitted):
    assert fitted.prior_weight == 1
    free = small(expert=fitted.expert, prior_weight=0.0).fit(X)
    assert distance_of_draws(fitted) < distance_of_draws(free) / 1.5
    assert (free.history_["prior_weight"] == 0).all()


def test_one_cluster_can_be_drawn_from(fitted):
    for cluster in range(3):
        _, labels = fitted.sample(20, cluster=cluster, random_state=0)
        assert_array_equal(labels, cluster)
    assert_array_equal(fitted.sample(5, cluster=True)[1], 1)


def test_same_seed_draws_the_same_rows_and_another_seed_others(fitted):
    assert_array_equal(fitted.sample(9, random_state=3)[0],
                       fitted.sample(9, random_state=3)[0])  # fmt: skip
    assert not np.array_equal(
        fitted.sample(9, random_state=3)[0], fitted.sample(9, random_state=4)[0]
    )


@pytest.mark.rng_untouched
def test_drawing_with_a_seed_leaves_global_randomness_alone(fitted):
    fitted.sample(5, random_state=0)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_is_reproducible(kind):
    one, other = (small(expert=kind, max_epochs=3).fit(X) for _ in range(2))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.history_["prior"], other.history_["prior"])


def test_clusters_are_found_as_with_plain_experts(fitted):
    plain = small().fit(X)
    assert_array_equal(np.sort(fitted.cluster_sizes_), np.sort(plain.cluster_sizes_))
    assert len(np.unique(fitted.labels_ * 3 + Y)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_total_has_the_weighted_divergence_from_the_prior(kind):
    # One batch an epoch: means of products are products of means.
    model = small(
        expert=kind, prior_weight=3.0, batch_size=400, max_epochs=6, init="random"
    ).fit(X)
    h = model.history_
    balance = np.minimum(h["batch_entropy"], 1 - 2 / (2 * 400 * np.log(3)))
    others = (
        h["reconstruction"] + 2 * h["sample_entropy"]
        - h["batch_entropy_weight"] * balance + 20 * h["consistency"]
    )  # fmt: skip
    assert np.abs(h["prior"]).min() > 0
    assert_allclose(h["total"], others + 3 * h["prior"], atol=1e-4)


def test_plain_experts_cannot_be_drawn_from():
    model = small(max_epochs=2).fit(X)
    assert not hasattr(model, "sample")
    assert not hasattr(small(), "sample")
    assert hasattr(small(expert="variational"), "sample")
    with pytest.raises(AttributeError, match="sample") as caught:
        model.sample(3)
    assert "expert='variational'" in str(caught.value.__cause__)
    # What was fitted decides, not what a parameter was set to since.
    assert not hasattr(model.set_params(expert="variational"), "sample")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n_samples": 0}, ValueError),
        ({"n_samples": 2.5}, TypeError),
        ({"cluster": 3}, ValueError),
        ({"cluster": -1}, ValueError),
        ({"cluster": "a"}, TypeError),
    ],
)
def test_bad_arguments_are_refused_by_their_names(fitted, arguments, error):
    with pytest.raises(error, match=next(iter(arguments))):
        fitted.sample(**arguments)


def test_an_empty_cluster_is_no_surprise(fitted):
    model = clone(fitted)
    model.__setstate__(fitted.__getstate__())
    model.expert_sizes_ = np.array([0.5, 0.5, 0.0], dtype=np.float32)
    model.cluster_sizes_ = np.array([0.5, 0.5, 0.0])
    assert model.sample(50, random_state=0)[1].max() == 1
    with pytest.raises(ValueError, match="cluster=2 has no rows"):
        model.sample(3, cluster=2)
    # Assigned in part, but to no row first of all.
    model.expert_sizes_ = np.array([0.49, 0.49, 0.02], dtype=np.float32)
    with pytest.raises(ValueError, match="cluster=2 has no rows"):
        model.sample(3, cluster=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "parameters",
    [
        {"n_experts": 6},
        {"reconstruction_loss": "cosine"},
        {"input_shape": (2, 3), "architecture": "conv1d", "conv_channels": (4,)},
        {"whitening": None},
        {"init": "random"},
        {"n_clusters": 1},
    ],
    ids=lambda p: next(iter(p)),
)
def test_rows_can_be_drawn_whatever_the_network(kind, parameters):
    model = small(**{"expert": kind, "max_epochs": 3, **parameters}).fit(X)
    rows, labels = model.sample(40, random_state=0)
    assert rows.shape == (40, 6)
    assert np.isfinite(rows).all()
    assert set(labels) <= set(range(model.n_clusters))
    if parameters == {"reconstruction_loss": "cosine"}:
        assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_rows_drawn_are_in_the_range_of_the_cross_entropy():
    unit = (X - X.min()) / np.ptp(X)
    model = small(expert="variational", reconstruction_loss="bce", max_epochs=3)
    rows, _ = model.fit(unit).sample(50, random_state=0)
    assert rows.min() >= 0
    assert rows.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_stream_and_warm_start_go_on_with_a_prior(kind):
    model = small(expert=kind, max_epochs=4, warm_start=True).fit(X)
    assert model.fit(X).partial_fit(X[:90]).sample(4, random_state=0)[0].shape == (4, 6)
    with pytest.raises(ValueError, match="expert"):
        model.set_params(expert="plain").fit(X)


def test_copies_draw_the_same_rows(fitted, round_trips):
    for copy in round_trips(fitted):
        for mine, its in zip(
            fitted.sample(7, random_state=0),
            copy.sample(7, random_state=0),
            strict=True,
        ):
            assert_array_equal(mine, its)
