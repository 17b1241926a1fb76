"""What whitened rows mean for the estimator: shapes, views, streams, refusals."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skmixae import MixAEClustering
from skmixae._problem import Occasion
from skmixae.consistency import Jitter, Masking
from skmixae.objective import LOSSES
from skmixae.objective.consistency import mask
from skmixae.training import Rows, Whitening

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def table(n=120, n_features=130, seed=0):
    """Three groups in a few strong directions of many features."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 3
    hidden = rng.normal(size=(n, 6)) + 4 * np.eye(6)[group]
    return hidden @ rng.normal(size=(6, n_features)) + 0.1 * rng.normal(
        size=(n, n_features)
    )


def words(n=200, n_features=150, seed=0):
    """Counts of words, most of them zero."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(n_features, 0.05), 3)
    return np.stack([rng.multinomial(15, topics[i % 3]) for i in range(n)]) * 1.0


def small(**params):
    settings = {"n_clusters": 3, "max_epochs": 3, "random_state": 0}
    return MixAEClustering(**settings | params)


def test_how_a_fit_starts_depends_on_how_wide_rows_are(monkeypatch):
    import skmixae._restarts as module

    seen = []
    fit_once = module.fit_once

    def spy(problem, *args, **kwargs):
        seen.append(problem)
        return fit_once(problem, *args, **kwargs)

    monkeypatch.setattr(module, "fit_once", spy)
    noise = np.random.default_rng(0).normal(size=(140, 130))  # of which nothing is told
    small(max_epochs=1).fit(noise)
    assert len(seen) == 5
    assert {(p.spec.n_experts, p.start) for p in seen} == {(3, "kmeans")}
    for width in (20, 60):
        seen.clear()
        small(max_epochs=1).fit(noise[:, :width])
        starts = [(p.spec.n_experts, p.start) for p in seen]
        assert starts == [(3, "spectral"), (3, "kmeans")]
    seen.clear()
    small(max_epochs=1).fit(table())
    assert [(p.spec.n_experts, p.start) for p in seen] == [(3, "centres")]
    seen.clear()
    small(max_epochs=1, n_init=2, init="random", n_experts=4).fit(table())
    assert [(p.spec.n_experts, p.start) for p in seen] == [(4, "random")] * 2


@pytest.mark.parametrize("n_experts", [3, 6])
def test_rows_are_scaled_once_in_a_fit(n_experts, monkeypatch):
    n_scaled = []
    of = Whitening.of

    def counted(self, rows, part):
        scaled = of(self, rows, part)
        n_scaled.append(len(scaled))
        return scaled

    monkeypatch.setattr(Whitening, "of", counted)
    X = table()
    small(n_init=1, init="kmeans", n_experts=n_experts).fit(X)
    assert sum(n_scaled) == len(X)


def test_rows_come_back_in_their_own_features():
    X = table()
    model = small(max_epochs=150, n_init=1, learning_rate=0.01).fit(X)
    rebuilt = model.reconstruct(X)
    assert rebuilt.shape == X.shape
    assert np.square(X - rebuilt).mean() < 0.5 * X.var()
    assert_allclose(model.inverse_transform(model.transform(X)), rebuilt, rtol=1e-4)
    assert model.predict_proba(X).shape == (len(X), 3)


def test_labels_do_not_depend_on_the_container_of_words():
    X = words()
    dense, sparse = small(n_init=1).fit(X), small(n_init=1).fit(csr_array(X))
    assert_array_equal(dense.labels_, sparse.labels_)


def test_answers_do_not_depend_on_the_container_of_words():
    """Which are read by what is stored, and dense ones in full."""
    X = words()
    X[:, 75:] = 0
    model = small(n_init=1).fit(X)
    assert Rows(csr_array(X)).mostly_empty
    assert model._moments.directions
    assert_array_equal(model.predict(csr_array(X)), model.predict(X))
    for method in ("predict_proba", "score_samples", "transform"):
        ask = getattr(model, method)
        assert_allclose(ask(csr_array(X)), ask(X), rtol=1e-4, atol=1e-5)


def test_words_count_by_their_direction():
    X = words()
    model = small(n_init=1).fit(X)
    longer = X * np.arange(1, len(X) + 1)[:, None]
    assert_allclose(
        model.predict_proba(longer), model.predict_proba(X), rtol=1e-3, atol=1e-5
    )
    lengths = small(n_init=1, directions=False).fit(X)
    assert not np.allclose(lengths.predict_proba(longer), lengths.predict_proba(X))


def test_words_are_hidden_before_rows_are_whitened():
    """The same as a function of one's own that hides them in the units of X."""

    def hide(rows, generator):
        assert rows.shape[1:] == (150,)
        return mask(rows, generator, 0.5)

    X = words()
    ours, own, auto = (
        small(n_init=1, consistency=c).fit(X).history_["consistency"]
        for c in (Masking(0.5), hide, "auto")
    )
    assert_allclose(ours, own, rtol=1e-3)
    assert_array_equal(ours, auto)


def test_a_step_is_made_after_rows_are_whitened():
    """Its length is of the spread of what the network reads."""
    X = table()
    model = small(n_init=1, consistency=Jitter(0.3)).fit(X)
    problem = model._problem(Rows(X), model._moments, Occasion.WARM_FIT)
    view = problem.view(Rows(X), model._moments)
    x = torch.from_numpy(model._moments.scaling(LOSSES["mse"]).apply(X))
    seen = view(x, torch.arange(len(x)), torch.Generator().manual_seed(0)) - x
    assert seen.shape == x.shape
    typical = 0.3 * x.var(0, correction=0).sum().sqrt()
    assert_allclose(seen.norm(dim=1).mean(), typical, rtol=0.05)


def test_a_stream_keeps_the_axes_of_its_first_chunk():
    X = table()
    model = small().partial_fit(X[:60])
    axes = model._moments.axes.copy()
    model.partial_fit(X[60:])
    assert_array_equal(model._moments.axes, axes)
    assert model._moments.n_rows == len(X)


def test_a_stream_may_begin_with_few_rows():
    X = table()
    model = small().partial_fit(X[:3])
    assert model.partial_fit(X).predict(X).shape == (len(X),)


@pytest.mark.parametrize("data", [table, words])
def test_whitened_estimators_survive_a_file(data, tmp_path):
    X = data()
    model = small(n_init=1).fit(X)
    model.save(tmp_path / "model.safetensors")
    again = MixAEClustering.load(tmp_path / "model.safetensors")
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert_array_equal(again.reconstruct(X), model.reconstruct(X))


@pytest.mark.parametrize(
    "params",
    [
        {"input_shape": (10, 13)},
        {"architecture": "conv1d", "input_shape": (130,)},
        {"reconstruction_loss": "cosine"},
    ],
)
def test_whitening_is_refused_where_it_has_no_meaning(params):
    X = table()
    with pytest.raises(ValueError, match=r"whitening=0\.5 mixes the features"):
        small(whitening=0.5, **params).fit(X)
    small(n_init=1, max_epochs=1, **params).fit(X)  # "auto" leaves rows as they are


def test_directions_are_refused_of_rows_that_are_not_whitened():
    with pytest.raises(ValueError, match="directions=True is of whitened rows"):
        small(whitening=None, directions=True).fit(table())


@pytest.mark.parametrize(
    ("n_features", "n_clusters", "kept"),
    [(50, 3, 50), (51, 3, 20), (140, 3, 20), (140, 15, 30), (140, 60, 100)],
)
def test_weak_directions_are_left_out_of_rows_that_are_not_narrow(
    n_features, n_clusters, kept
):
    """But for two directions for each cluster, and 20."""
    rng = np.random.default_rng(0)
    strong = 10 * rng.normal(size=(400, 3)) @ rng.normal(size=(3, n_features))
    X = strong + rng.standard_t(4, size=(400, n_features))  # noise would be Gaussian
    few = {"n_init": 1, "max_epochs": 1, "hidden_layer_sizes": (8,)}
    model = small(n_clusters=n_clusters, **few).fit(X)
    assert model._moments.axes.shape == (n_features, kept)
    asked = small(n_init=1, max_epochs=1, n_components=7).fit(X)
    assert asked._moments.axes.shape == (n_features, 7)


@pytest.mark.parametrize(("params", "kept"), [({}, 2), ({"n_components": 7}, 7)])
def test_noise_is_left_out_unless_directions_are_asked_for(params, kept):
    rng = np.random.default_rng(0)
    X = 0.1 * rng.normal(size=(300, 12))
    X[:, :3] += 2 * np.eye(3)[rng.integers(3, size=300)]  # in a plane
    model = small(max_epochs=1, **params).fit(X)
    assert model._moments.axes.shape == (12, kept)


def test_words_are_no_noise():
    X = np.random.default_rng(0).poisson(0.05, size=(400, 20)) * 1.0
    X[:, 0] *= 10
    assert small(max_epochs=1).fit(X)._moments.axes.shape == (20, 20)
