"""What a fit is: repeatable, complete, honest about how it went, and hard to upset."""

import pickle
import random
import warnings

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skmixae._fitting
from skmixae import MixAEClustering
from skmixae._callbacks import FitMonitor
from skmixae._parameters import resolve_epochs, resolve_experts
from skmixae._parameters.starts import MANY_CLUSTERS
from skmixae._problem import resolve_moments, resolve_problem
from skmixae.inference import Inference
from skmixae.metrics import hungarian_accuracy_scorer
from skmixae.objective import schedule
from skmixae.training import Rows, TrainingDiverged

quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_blobs(90, n_features=6, centers=3, random_state=0)


def small(**params):
    defaults = {
        "n_clusters": 3,
        "n_experts": None,
        "latent_dim": 2,
        "hidden_layer_sizes": (8,),
        "conv_channels": (4,),
        "assignment_hidden_layer_sizes": (8,),
        "max_epochs": 5,
        "batch_size": 32,
        "learning_rate": 1e-2,
        "init": "random",  # epochs in which a start is learned are unlike the others
        "random_state": 0,
    }
    return MixAEClustering(**defaults | params)


def healthy(**params):
    """A model that trains for long enough to be sure of these rows."""
    return small(**{"max_epochs": 60} | params)


def bits(model, rows=X):
    """Return all that a fit decides, for a comparison to the last bit."""
    return joblib.hash((model.predict_proba(rows), model.history_, model.labels_))


class DropoutExpert(nn.Module):
    """An expert of a user's own, whose layers draw from torch's global generator."""

    def __init__(self, n_in, n_latent):
        super().__init__()
        self.down = nn.Sequential(nn.Dropout(0.3), nn.Linear(n_in, n_latent))
        self.up = nn.Sequential(nn.Linear(n_latent, n_in), nn.Dropout(0.1))

    def encode(self, rows):
        return self.down(rows)

    def decode(self, latents):
        return self.up(latents)


def dropout_expert(shape, latent_dim):
    return DropoutExpert(*shape, latent_dim)


class NoisyExpert(DropoutExpert):
    """One that draws when it predicts, too."""

    def encode(self, rows):
        latents = self.down(rows)
        return latents + 0.5 * torch.randn_like(latents)


def noisy_expert(shape, latent_dim):
    return NoisyExpert(*shape, latent_dim)


@pytest.fixture(scope="module")
def fitted():
    return healthy(device="cpu").fit(X)


# ---------------------------------------------------------------------------
# Attributes
# ---------------------------------------------------------------------------


def test_fit_returns_itself_and_sets_attributes_of_the_documented_kind(fitted):
    assert isinstance(fitted, MixAEClustering)
    assert fitted.labels_.dtype == np.int32
    assert fitted.labels_.shape == (90,)
    assert fitted.n_iter_ == len(fitted.history_) == 60
    assert_allclose(fitted.cluster_sizes_, np.bincount(fitted.labels_) / 90)
    assert isinstance(fitted.objective_, float)
    assert fitted.n_features_in_ == 6
    assert not hasattr(fitted, "feature_names_in_")
    assert isinstance(fitted.module_, nn.Module)
    assert not any(m.training for m in fitted.module_.modules())


def test_largest_cluster_comes_first_and_labels_have_no_gap():
    rows = make_blobs([60, 30, 10], n_features=4, random_state=1)[0]
    for n_clusters in (3, 5):
        model = healthy(n_clusters=n_clusters, batch_entropy_weight=0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows)
        counts = np.bincount(model.labels_, minlength=n_clusters)
        assert (np.diff(counts) <= 0).all()


def test_labels_are_those_that_predict_and_fit_predict_give(fitted):
    assert_array_equal(fitted.labels_, fitted.predict(X))
    assert_array_equal(fitted.labels_, clone(fitted).fit_predict(X))
    assert_array_equal(fitted.labels_, fitted.predict_proba(X).argmax(1))


def test_probabilities_sum_to_one(fitted):
    p = fitted.predict_proba(X)
    assert p.shape == (90, 3)
    assert (p >= 0).all()
    assert_allclose(p.sum(1), 1, atol=1e-6)


def test_outputs_are_float32_and_finite(fitted):
    for method in ("predict_proba", "transform", "reconstruct",
                   "reconstruction_errors", "score_samples"):  # fmt: skip
        out = getattr(fitted, method)(X)
        assert out.dtype == np.float32, method
        assert np.isfinite(out).all(), method


# ---------------------------------------------------------------------------
# Transform, reconstruct, score
# ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_inverse_transform_of_transform_is_the_reconstruction(loss):
    rows = (X - X.min()) / np.ptp(X)
    model = small(reconstruction_loss=loss).fit(rows)
    assert_array_equal(
        model.inverse_transform(model.transform(rows)), model.reconstruct(rows)
    )


@quiet
def test_with_cosine_loss_inverse_transform_gives_the_direction():
    model = small(reconstruction_loss="cosine").fit(X)
    back, rows = model.inverse_transform(model.transform(X)), model.reconstruct(X)
    assert_allclose(np.linalg.norm(rows, axis=1), np.linalg.norm(X, axis=1), rtol=1e-4)
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert_allclose(back, directions, atol=1e-5)


def test_codes_are_zero_outside_the_block_of_the_rows_expert(fitted):
    codes = fitted.transform(X).reshape(90, 3, 2)
    own = np.eye(3, dtype=bool)[fitted.labels_]
    assert (codes[~own] == 0).all()
    assert (codes[own] != 0).any(1).all()


def test_columns_are_named_by_expert_and_latent(fitted):
    names = fitted.get_feature_names_out()
    assert list(names[:3]) == ["expert0_latent0", "expert0_latent1", "expert1_latent0"]
    assert len(names) == fitted.transform(X).shape[1]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_gives_a_frame_with_those_names(fitted, library):
    pytest.importorskip(library)
    model = clone(fitted).fit(X)
    frame = model.set_output(transform=library).transform(X)
    assert type(frame).__module__.startswith(library)
    assert list(frame.columns) == list(model.get_feature_names_out())
    assert_array_equal(frame.to_numpy(), fitted.transform(X))


def test_reconstruction_is_in_the_units_of_the_data():
    """Errors are in units of the error of predicting the mean."""
    fitted = small(whitening=None, max_epochs=60).fit(X)
    own = fitted.reconstruction_errors(X)[np.arange(90), fitted.labels_]
    squared = np.square(fitted.reconstruct(X) - X).mean(1)
    assert_allclose(own, squared / np.square(X - X.mean(0)).mean(), rtol=1e-3)
    assert own.mean() < 1


def test_score_is_the_mean_of_score_samples_and_those_are_the_best_experts(fitted):
    samples = fitted.score_samples(X)
    assert_array_equal(samples, -fitted.reconstruction_errors(X).min(1))
    assert fitted.score(X) == pytest.approx(samples.mean())
    assert isinstance(fitted.score(X), float)


def test_outliers_score_lower_than_every_row(fitted):
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(20, 6))
    outliers = X.mean(0) + 100 * direction / np.linalg.norm(direction, axis=1)[:, None]
    assert fitted.score_samples(outliers).max() < fitted.score_samples(X).min()


@quiet
def test_rows_off_what_whitening_keeps_score_lower():
    """As far as from a feature that was constant, or had no part in the variance."""
    rng = np.random.default_rng(0)
    rows = np.c_[X, np.full(90, 7.0), 1e-3 * rng.normal(size=(90, 2))]
    model = small(n_components=6).fit(rows)
    scores = model.score_samples(rows)
    for feature in (6, 7):
        moved = rows.copy()
        moved[:, feature] += 50
        assert (model.score_samples(moved) < scores - 1).all()
    errors = model.reconstruction_errors(rows).min(1)
    assert_allclose(scores, -errors, atol=1e-4)


@quiet
def test_a_score_of_minus_one_is_that_of_the_mean():
    rows = np.random.default_rng(0).normal(size=(500, 80))
    model = small(n_clusters=1, max_epochs=30, n_components=10).fit(rows)
    inference = model._inference()
    energy = np.square(inference.scaling.apply(rows)).mean(1)
    mean = (energy + inference.scaling.excess(rows)) / (1 + model._moments.beyond)
    assert mean.mean() == pytest.approx(1, rel=1e-3)
    assert -1.1 < model.score(rows) < -0.5


@pytest.mark.parametrize(
    "method",
    ["predict", "predict_proba", "transform", "reconstruct", "reconstruction_errors"],
)
def test_what_is_said_of_a_row_does_not_depend_on_its_company(fitted, method):
    rows = np.tile(X, (60, 1))  # more than a batch
    together = getattr(fitted, method)(rows)
    assert_array_equal(together[:90], together[-90:])
    assert_array_equal(together[:7], getattr(fitted, method)(X[:7]))
    alone = np.concatenate([getattr(fitted, method)(row[None]) for row in X])
    assert_array_equal(together[:90], alone)
    other = clone(fitted).set_params(batch_size=7)
    other.__dict__.update({k: v for k, v in vars(fitted).items() if k[0] == "_" or
                           k.endswith("_")})  # fmt: skip
    assert_array_equal(getattr(other, method)(X), alone)


# ---------------------------------------------------------------------------
# Randomness
# ---------------------------------------------------------------------------

EVERYTHING_RANDOM = {
    "n_experts": "auto",
    "input_noise": 0.1,
    "init": "kmeans",
    "n_init": 2,
    "validation_fraction": 0.2,
}


@quiet
@pytest.mark.rng_untouched
@pytest.mark.parametrize("architecture", ["mlp", "conv1d", dropout_expert])
def test_same_seed_gives_same_bits_and_leaves_global_generators_alone(architecture):
    params = {"architecture": architecture, "max_epochs": 2, **EVERYTHING_RANDOM}
    first = bits(small(**params).fit(X))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert bits(small(**params).fit(X)) == first
    model = small(**params).partial_fit(X).partial_fit(X)
    for method in ("predict", "transform", "reconstruct", "score"):
        getattr(model, method)(X)


@quiet
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_what_experts_draw_while_a_fit_ends_is_seeded_and_put_back(fit):
    found = set()
    with torch.random.fork_rng():
        for seed in (0, 1):
            before = torch.manual_seed(seed).get_state()
            model = getattr(small(architecture=noisy_expert, max_epochs=2), fit)(X)
            assert torch.equal(torch.get_rng_state(), before)
            found.add((model.labels_.tobytes(), model.objective_))
    assert len(found) == 1


@quiet
def test_global_seeds_do_not_matter():
    params = {"architecture": dropout_expert, "max_epochs": 2}
    found = set()
    state = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    try:
        for seed in (0, 1):
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            torch.manual_seed(seed)
            found.add(bits(small(**params).fit(X)))
    finally:
        np.random.set_state(state[0])  # noqa: NPY002
        random.setstate(state[1])
        torch.set_rng_state(state[2])
    assert len(found) == 1


@quiet
def test_code_of_the_user_has_no_other_device_seeded(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    small(architecture=dropout_expert, max_epochs=2, device="cpu").fit(X)
    assert not seeded


@quiet
def test_different_seeds_differ():
    assert len({bits(small(random_state=s).fit(X)) for s in range(3)}) == 3
    assert bits(small(random_state=None).fit(X)) != bits(
        small(random_state=None).fit(X)
    )


@quiet
def test_a_random_state_instance_is_drawn_from():
    rng = np.random.RandomState(0)
    first, second = small(random_state=rng).fit(X), small(random_state=rng).fit(X)
    assert bits(first) != bits(second)
    assert bits(first) == bits(small(random_state=np.random.RandomState(0)).fit(X))
    assert bits(first) == bits(small(random_state=0).fit(X))


@quiet
def test_a_fit_does_not_depend_on_the_fit_before():
    model = small().fit(X[:50] * 3)
    assert bits(model.fit(X)) == bits(small().fit(X))


# ---------------------------------------------------------------------------
# Restarts, starts and going on
# ---------------------------------------------------------------------------


@given(
    n_rows=st.integers(1, 10**8), batch_size=st.integers(1, 4096), ordered=st.booleans()
)
def test_automatic_epochs_make_neither_too_few_nor_too_many_steps(
    n_rows, batch_size, ordered
):
    epochs = resolve_epochs("auto", n_rows, batch_size, ordered=ordered)
    steps, fewest = -(-n_rows // batch_size), 1000 if ordered else 300
    assert epochs >= 10
    assert steps * epochs >= fewest
    assert epochs <= 40 or steps * (epochs - 1) < fewest
    assert epochs in {10, 40} or steps * (epochs - 1) < 5000


def test_experts_to_spare_need_fewer_rows_that_have_an_order():
    def counts(**params):
        some = {"n_experts": "auto", "n_clusters": 4, "one_each": False} | params
        return [resolve_experts(n_rows=n, **some) for n in (249, 250, 749, 750)]

    assert counts() == [4, 4, 4, 10]
    assert counts(ordered=True) == [4, 10, 10, 10]


@pytest.mark.parametrize(
    ("n_rows", "n_init"), [(2500, 3), (2501, 2), (3750, 2), (3751, 1)]
)
def test_few_images_are_begun_more_than_once(n_rows, n_init):
    rows = Rows(np.random.default_rng(0).normal(size=(n_rows, 64)))

    def problem(**params):
        model = MixAEClustering(2, **params)
        return resolve_problem(model, rows, resolve_moments(model, rows))

    def restarts(**params):
        return [restart.start for restart in problem(**params).restarts()]

    few = ["random"] * n_init
    turns = few + ["nearest"] * (n_init > 1)
    assert restarts(input_shape=(8, 8)) == restarts(input_shape=(64,)) == turns
    assert restarts(input_shape=(8, 8), init="random") == few
    assert restarts(input_shape=(8, 8), n_init=1) == ["random"]
    assert restarts(input_shape=(8, 8), n_init=8) == (8 * turns)[:8]
    assert restarts(input_shape=(8, 8), init="kmeans") == ["kmeans"]
    assert restarts(input_shape=None) == ["spectral"]

    def comparison(**params):
        return problem(**params).comparison

    assert comparison(input_shape=(8, 8)).ends_agreed == (n_init > 1)
    assert comparison(input_shape=(8, 8), init="random").ends_agreed == (n_init > 1)
    assert not comparison(input_shape=(8, 8), n_init=4).ends_agreed
    assert not comparison(input_shape=(8, 8), init="kmeans").ends_agreed
    assert not comparison(input_shape=None).ends_agreed
    assert comparison(input_shape=(8, 8), n_init=4).by_likeness
    assert not comparison(input_shape=(8, 8), n_init=1).by_likeness
    assert not comparison(input_shape=(8, 8), init="kmeans", n_init=4).by_likeness
    assert not comparison(input_shape=None, n_init=4).by_likeness


@pytest.mark.parametrize("n_rows", [400, 4000])
def test_images_in_many_clusters_start_from_the_graph_alone(n_rows):
    rows = Rows(np.random.default_rng(0).normal(size=(n_rows, 64)))

    def restarts(k, **params):
        model = MixAEClustering(k, input_shape=(8, 8), **params)
        problem = resolve_problem(model, rows, resolve_moments(model, rows))
        return [restart.start for restart in problem.restarts()]

    assert restarts(MANY_CLUSTERS)[0] == "random"
    assert restarts(MANY_CLUSTERS + 1) == ["nearest"]
    assert restarts(MANY_CLUSTERS + 1, n_init=2) == ["nearest"] * 2
    assert set(restarts(MANY_CLUSTERS + 1, init="random")) == {"random"}


@given(n_experts=st.integers(1, 1000), n_rows=st.integers(1, 10**5))
def test_very_many_experts_have_more_steps_where_rows_have_an_order(n_experts, n_rows):
    def steps(**params):
        return resolve_epochs("auto", n_rows, 256, **params) * -(-n_rows // 256)

    assert steps(n_experts=n_experts) == steps()
    assert steps(n_experts=n_experts, ordered=True) >= 25 * n_experts
    if n_experts <= 40:
        assert steps(n_experts=n_experts, ordered=True) == steps(ordered=True)


@quiet
def test_restarts_keep_the_lowest_objective():
    gains = []
    for seed in range(3):
        objectives = [
            small(max_epochs=3, random_state=seed, n_init=n).fit(X).objective_
            for n in (1, 2, 3)
        ]
        assert (np.diff(objectives) <= 0).all()
        gains.append(objectives[0] - objectives[-1])
    assert max(gains) > 0  # the first start is not always the best


@quiet
@pytest.mark.parametrize("consistency", [None, "adversarial"])
def test_objective_weighs_the_terms_of_all_rows(consistency):
    model = small(batch_size=200, consistency=consistency).fit(X)
    p = model.predict_proba(X).astype(float)
    reconstruction = (p * model.reconstruction_errors(X)).sum(1).mean()
    sample_entropy = -(p * np.log(p)).sum(1).mean() / np.log(3)
    usage = p.mean(0)
    batch_entropy = -(usage * np.log(usage)).sum() / np.log(3)
    ceiling = 1 - 2 / (2 * 90 * np.log(3))
    expected = (
        reconstruction
        + model.sample_entropy_weight * sample_entropy
        - 8 * min(batch_entropy, ceiling)
    )
    kept = model.history_[model.history_["objective"].argmin()]
    assert (kept["consistency"] > 0) == (consistency is not None)
    expected += model.consistency_weight * kept["consistency"]
    assert model.objective_ == pytest.approx(expected, abs=1e-5)


@quiet
def test_warm_start_goes_on_from_where_it_was():
    model = healthy(warm_start=True).fit(X)
    before, first = model.labels_, model.history_
    model.set_params(max_epochs=4).fit(X)
    assert model.n_iter_ == len(model.history_) == 4
    assert model.history_["objective"][0] < first["objective"][0]
    assert model.history_["reconstruction"][0] < first["reconstruction"][:10].min()
    assert (model.labels_ == before).mean() > 0.95  # labels keep their meaning


@quiet
def test_without_warm_start_fit_starts_over(fitted):
    again = clone(fitted).fit(X).fit(X)
    assert bits(again) == bits(fitted)


@quiet
@pytest.mark.parametrize(
    "change",
    [
        {"n_clusters": 4},
        {"latent_dim": 3},
        {"hidden_layer_sizes": (9,)},
        {"architecture": "conv1d"},
        {"assignment_input": "input"},
        {"activation": "tanh"},
        {"whitening": None},
        {"whitening": 0.4},
        {"n_components": 2},
        {"directions": True},
        {"reconstruction_loss": "cosine"},
    ],
)
def test_warm_start_of_another_network_is_refused(change):
    assert_refused(small(warm_start=True).fit(X), change)


@quiet
def test_another_loss_is_refused_also_where_rows_are_not_whitened():
    """It scales them in another way, which the network has not learned."""
    model = small(warm_start=True, whitening=None).fit(X)
    assert_refused(model, {"reconstruction_loss": "cosine"})


def assert_refused(model, change):
    before, name = bits(model), next(iter(change))
    model.set_params(**change)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=rf"{name}.*warm_start"):
            method(X)
    assert bits(model) == before


@quiet
def test_labels_to_start_from_keep_their_meaning():
    order = np.array([2, 0, 1])
    start = order[Y]
    model = healthy(init=start).fit(X)
    assert adjusted_rand_score(model.labels_, start) > 0.95
    assert (model.labels_ == start).mean() > 0.95


@quiet
def test_probabilities_to_start_from_keep_their_meaning():
    start = 0.8 * np.eye(3)[np.array([1, 2, 0])[Y]] + 0.2 / 3
    model = healthy(init=start).fit(X)
    assert (model.labels_ == start.argmax(1)).mean() > 0.95


@quiet
@pytest.mark.parametrize("validation_fraction", [None, 0.3])
def test_kmeans_start_finds_what_kmeans_finds(validation_fraction):
    expected = KMeans(3, n_init=3, random_state=0).fit_predict(X)
    model = healthy(init="kmeans", validation_fraction=validation_fraction).fit(X)
    assert adjusted_rand_score(model.labels_, expected) > 0.95


@quiet
def test_a_start_is_learned_before_anything_else():
    """After the first tenth of the epochs the labels are those that were given."""
    wrong = np.random.default_rng(0).integers(0, 3, 90)
    rows = np.c_[X, 30 * np.eye(3)[wrong]]  # these rows tell which is which
    model = small(init=wrong, max_epochs=50, batch_size=8, batch_entropy_weight=0.0,
                  sample_entropy_weight=0.0, consistency=None,
                  whitening=None)  # fmt: skip
    assert (model.fit(rows).labels_ == wrong).mean() > 0.9


# ---------------------------------------------------------------------------
# Known sizes, held-out rows, stopping early
# ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_clusters_follow_the_order_of_known_sizes(order):
    sizes = np.array([0.6, 0.3, 0.1])
    rows, y = make_blobs([120, 60, 20], n_features=4, cluster_std=0.5, random_state=3)
    assert_array_equal(np.bincount(y), [120, 60, 20])
    given = sizes[order]
    model = healthy(cluster_sizes=given, init="kmeans").fit(rows)
    assert_array_equal(np.argsort(model.cluster_sizes_), np.argsort(given))
    assert adjusted_rand_score(model.labels_, y) > 0.9  # so there is something to order


@quiet
def test_known_sizes_bring_the_mean_assignment_closer_to_them():
    sizes = np.array([0.1, 0.2, 0.7])
    rows = np.random.default_rng(0).normal(size=(300, 3))  # one blob: no sizes to find

    def gap(cluster_sizes):
        model = small(cluster_sizes=cluster_sizes, max_epochs=30).fit(rows)
        return np.abs(np.sort(model.predict_proba(rows).mean(0)) - sizes).sum()

    assert gap(sizes) < gap(None)


@quiet
def test_held_out_rows_are_watched():
    model = small(validation_fraction=0.3).fit(X)
    assert np.isfinite(model.history_["validation_objective"]).all()
    assert len(model.labels_) == 90
    assert "validation_objective" not in small().fit(X).history_.dtype.names


@quiet
def test_held_out_rows_of_sorted_data_say_as_much_as_of_shuffled_data():
    """A batch of one cluster alone would have no batch entropy."""
    rows, y = make_blobs(3000, 8, centers=6, cluster_std=1.5, random_state=0)
    order = np.argsort(y, kind="stable")
    model = MixAEClustering(
        6, init="random", n_experts=None, validation_fraction=0.4, max_epochs=20,
        random_state=0,
    ).fit(rows[order])  # fmt: skip
    assert adjusted_rand_score(y[order], model.labels_) > 0.95
    assert model.history_["validation_objective"].argmin() > 10


@quiet
def test_held_out_rows_are_not_trained_on(monkeypatch):
    seen = []
    train = skmixae._fitting.train

    def spy(network, objective, batches, *args, validation=None, **kwargs):
        seen.append((set(batches.subset), set(validation.batches.subset)))
        return train(
            network, objective, batches, *args, validation=validation, **kwargs
        )

    monkeypatch.setattr(skmixae._fitting, "train", spy)
    small(validation_fraction=0.3).fit(X)
    ((trained, held),) = seen
    assert not trained & held
    assert trained | held == set(range(90))
    assert len(held) == 27


@quiet
def test_training_stops_without_improvement_and_keeps_the_best_weights():
    stopped = small(tol=1e3, n_iter_no_change=3, max_epochs=50).fit(X)
    # The first epoch is an improvement on nothing; the next three are none on it.
    assert stopped.n_iter_ == 4
    first = small(max_epochs=1).fit(X)
    assert_array_equal(stopped.predict_proba(X), first.predict_proba(X))


@quiet
def test_patience_without_need_changes_nothing():
    patient = small(n_iter_no_change=50).fit(X)
    assert bits(patient) == bits(small().fit(X))


# ---------------------------------------------------------------------------
# History
# ---------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("schedule", ["constant", "fading", "anneal", "balanced"])
@pytest.mark.parametrize("sizes", [None, [0.5, 0.3, 0.2]])
@pytest.mark.parametrize("distilled", [0.0, 0.8])
def test_total_is_the_weighted_sum_of_the_recorded_terms(schedule, sizes, distilled):
    # One batch an epoch: means of products are products of means.
    model = small(
        entropy_schedule=schedule, batch_size=90, cluster_sizes=sizes,
        distillation_weight=distilled,
    ).fit(X)  # fmt: skip
    h = model.history_
    ceiling = 1 - 2 / (2 * 90 * np.log(3))
    terms = {
        "reconstruction": h["reconstruction"],
        "sample_entropy": h["sample_entropy"],
        "batch_entropy": -np.minimum(h["batch_entropy"], ceiling),
        "consistency": h["consistency"],
        "start": h["start"],
        "prior": h["prior"],
        "distillation": h["distillation"],
    }
    assert (h["distillation"] > 0).all() == (distilled > 0)
    total = sum(h[f"{name}_weight"] * term for name, term in terms.items())
    assert_allclose(h["total"], total, atol=1e-4)
    asked = {"reconstruction": 1.0, "sample_entropy": model.sample_entropy_weight,
             "batch_entropy": 8.0,
             "consistency": model.consistency_weight, "start": 0.0,
             "prior": 1.0, "distillation": distilled}  # fmt: skip
    objective = sum(asked[name] * term for name, term in terms.items())
    assert_allclose(h["objective"], objective, atol=1e-4)


def test_history_has_what_is_documented(fitted):
    h = fitted.history_
    for name in h.dtype.names:
        assert name in MixAEClustering.__doc__ or name.endswith("_weight"), name
    assert_allclose(h["expert_share"].sum(1), 1)
    assert (h["expert_share"] >= 0).all()
    assert_allclose(h["expert_share"][-1], fitted.cluster_sizes_, atol=0.1)
    assert np.isnan(h["label_change"][0])
    assert ((h["label_change"][1:] >= 0) & (h["label_change"][1:] <= 1)).all()
    assert h["label_change"][-1] < 0.05
    assert h["objective"][-1] < h["objective"][0]


def test_learning_rate_falls_geometrically_to_its_share(fitted):
    rate = fitted.history_["learning_rate"]
    assert rate[0] == fitted.learning_rate
    assert_allclose(rate[1:] / rate[:-1], 0.3 ** (1 / 59))
    assert rate[-1] == pytest.approx(0.3 * fitted.learning_rate)


@quiet
def test_schedules_move_the_weights_as_they_say(monkeypatch):
    monkeypatch.setattr(schedule, "SURE", 0.9)
    constant, fading, anneal, balanced = (
        healthy(entropy_schedule=s, max_epochs=40).fit(X).history_
        for s in ("constant", "fading", "anneal", "balanced")
    )
    assert len(set(constant["batch_entropy_weight"])) == 1
    weight = fading["batch_entropy_weight"]
    assert (np.diff(weight) <= 0).all()
    begun = np.argmax(weight < weight[0])
    assert begun > 0
    assert (np.diff(weight[begun:]) < 0).all()
    assert len(set(fading["reconstruction_weight"])) == 1
    assert (np.diff(anneal["batch_entropy_weight"]) < 0).all()
    assert (np.diff(anneal["reconstruction_weight"]) > 0).all()
    assert len(set(balanced["sample_entropy_weight"])) > 1


@quiet
def test_what_has_faded_stays_so_when_experts_are_merged(monkeypatch):
    monkeypatch.setattr(schedule, "SURE", 1.1)  # from the beginning
    params = {"n_experts": 6, "refinement": 0.4, "max_epochs": 10, "n_init": 1}
    for name in ("fading", "anneal"):
        history = healthy(entropy_schedule=name, **params).fit(X).history_
        weight = history["batch_entropy_weight"]
        assert_allclose(weight[-5:], 0.1 * weight[0], rtol=1e-6)
        assert weight[-6] > weight[-5]


@quiet
@pytest.mark.parametrize(
    ("params", "fades"),
    [
        ({"init": "random"}, True),
        ({"init": "kmeans"}, False),
        ({"init": "kmeans", "n_experts": 6}, True),
        ({"init": "spectral", "n_experts": 6}, True),
        ({"init": "random", "cluster_sizes": [0.5, 0.3, 0.2]}, False),
        ({"init": "random", "n_active": 2}, False),
    ],
)
def test_balance_fades_by_itself_where_nothing_tells_how_large_clusters_are(
    params, fades, monkeypatch
):
    monkeypatch.setattr(schedule, "SURE", 1.1)
    weight = small(n_init=1, **params).fit(X).history_["batch_entropy_weight"]
    assert (weight[-1] < weight[0]) == fades


# ---------------------------------------------------------------------------
# Degenerate outcomes are told
# ---------------------------------------------------------------------------


def test_a_healthy_fit_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        healthy().fit(X)


def test_clusters_of_few_rows_are_told_and_are_not_called_unused():
    centers = np.array([[0, 0], [9, 0], [0, 9]])
    X, _ = make_blobs([300, 300, 4], centers=centers, random_state=0)
    model = MixAEClustering(3, init="mixture", max_epochs=20, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"1 of 3 .* have few rows \(4 of 604"):
        model.fit(X)
    assert sorted(np.bincount(model.labels_)) == [4, 300, 300]


def test_known_sizes_are_what_few_rows_are_fewer_than():
    centers = np.array([[0, 0], [9, 0], [0, 9]])
    X, _ = make_blobs([940, 36, 24], centers=centers, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MixAEClustering(
            3, cluster_sizes=[0.024, 0.94, 0.036], max_epochs=20, random_state=0
        ).fit(X)
    assert sorted(np.bincount(model.labels_)) == [24, 36, 940]
    model.set_params(cluster_sizes=[0.3, 0.4, 0.3], warm_start=True, max_epochs=1)
    with pytest.warns(ConvergenceWarning, match=r"1 of 3 .* have few rows \(24 of"):
        model.set_params(learning_rate=1e-9).fit(X)


def test_rows_that_are_all_the_same_are_told():
    with pytest.warns(ConvergenceWarning) as told:
        healthy(n_clusters=2).fit(np.full((50, 3), 0.1))
    assert [str(w.message) for w in told] == [
        "all rows are the same, so that there are no clusters among them."
    ]


def test_unused_clusters_are_told():
    model = healthy(n_clusters=6, batch_entropy_weight=0.0, sample_entropy_weight=3.0)
    with pytest.warns(ConvergenceWarning, match="clusters are unused: raise batch"):
        model.fit(X)
    assert (np.bincount(model.labels_, minlength=6) == 0).any()


def test_uniform_assignments_are_told():
    model = small(max_epochs=1, learning_rate=1e-6)
    with pytest.warns(ConvergenceWarning, match=r"close to uniform.*raise max_epochs"):
        model.fit(X)


def test_a_row_of_extreme_size_is_told_where_all_others_look_alike():
    X = np.vstack([make_blobs(200, 4, centers=3, random_state=0)[0], [[1e10] * 4]])
    with pytest.warns(ConvergenceWarning, match=r"extreme size.*from -.* to 1e\+10"):
        MixAEClustering(3, max_epochs=3, random_state=0).fit(X)
    model = small(max_epochs=1, learning_rate=1e-6)
    with pytest.warns(ConvergenceWarning) as told:
        model.fit(X[:-1])
    assert not any("extreme" in str(w.message) for w in told)


def test_what_rows_are_read_as_is_told_where_something_is_wrong():
    rows = np.cumsum(np.random.default_rng(0).normal(size=(60, 80)), axis=1)
    model = small(max_epochs=1, learning_rate=1e-6, init="random")
    with pytest.warns(ConvergenceWarning, match=r"Rows are read as series of 80; else"):
        model.fit(rows)
    model.set_params(input_shape=None)
    with pytest.warns(ConvergenceWarning) as told:
        model.fit(rows)
    assert not any("read as" in str(w.message) for w in told)


def test_moving_labels_are_told():
    model = small(max_epochs=2, learning_rate=0.1, consistency=None)
    rows = np.random.default_rng(0).normal(size=(300, 20))
    with pytest.warns(ConvergenceWarning, match=r"labels still changed.*learning_rate"):
        model.fit(rows)


@quiet
@pytest.mark.parametrize("max_epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("init", ["random", "kmeans", "spectral"])
@pytest.mark.parametrize("n_experts", [None, 6])
def test_few_epochs_are_as_many_as_asked_for(max_epochs, init, n_experts):
    """However they are shared out among a start, merging and refinement."""
    model = small(max_epochs=max_epochs, init=init, n_experts=n_experts).fit(X)
    assert model.n_iter_ == max_epochs == len(model.history_)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("max_epochs", [1, 2])
def test_one_epoch_is_not_said_to_move_labels(max_epochs):
    """With no epoch before, nothing is known of change."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        healthy(warm_start=True).fit(X).set_params(max_epochs=max_epochs).fit(X)


def test_one_cluster_is_not_degenerate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(n_clusters=1).fit(X)


def test_warning_points_to_the_line_that_fits():
    lazy = small(max_epochs=1, learning_rate=1e-6)
    for fit in (lazy.fit, lazy.fit_predict, lazy.fit_transform):
        with pytest.warns(ConvergenceWarning) as caught:
            fit(X)
        assert {w.filename for w in caught} == {__file__}


# ---------------------------------------------------------------------------
# Rows that are hard, and work
# ---------------------------------------------------------------------------

RNG = np.random.default_rng(0)
HARD = {
    "one cluster": (X, {"n_clusters": 1}),
    "one feature": (X[:, :1], {}),
    "one feature, one cluster": (X[:, :1], {"n_clusters": 1}),
    "constant feature": (np.c_[X, np.full(90, 7.0)], {}),
    "all features constant": (np.full((30, 4), 3.0), {}),
    "all features a constant with rounding": (np.full((30, 4), 0.1), {}),
    "all zero": (np.zeros((30, 4)), {}),
    "duplicate rows": (np.repeat(X[:5], 10, axis=0), {}),
    "fewer distinct rows than clusters": (np.repeat(X[:2], 10, axis=0), {}),
    "large features": (1e6 * X, {}),
    "small features": (1e-6 * X, {}),
    "huge features": (1e30 * X, {}),
    "tiny features": (1e-30 * X, {}),
    "features below float32": (1e-140 * X, {}),
    "far from zero": (X + 1e6, {}),
    "features of unlike size": (X * 10.0 ** np.arange(-3, 3), {}),
    "latent larger than the rows": (X, {"latent_dim": 20}),
    "last batch of one row": (X[:33], {"batch_size": 32}),
    "batches of one row": (X[:12], {"batch_size": 1}),
    "batches of two rows": (X[:13], {"batch_size": 2}),
    "batch of all rows": (X, {"batch_size": 10_000}),
    "as many clusters as rows": (X[:7], {"n_clusters": 7}),
    "two rows": (X[:2], {"n_clusters": 2}),
    "two rows, one held out": (X[:2], {"n_clusters": 2, "validation_fraction": 0.5}),
    "more features than rows": (RNG.normal(size=(10, 200)), {}),
}


@quiet
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("loss", "n_experts"),
    [("mse", None), ("cosine", None), ("bce", None), ("mse", "auto")],
)
@pytest.mark.parametrize("case", HARD)
def test_hard_rows_work(case, loss, n_experts):
    rows, params = HARD[case]
    params = params | {"n_experts": n_experts}
    if loss == "bce":
        spread = np.ptp(rows) or 1.0
        rows = (rows - rows.min()) / spread
    model = small(**{"max_epochs": 3, "reconstruction_loss": loss} | params).fit(rows)
    assert set(model.labels_) <= set(range(model.n_clusters))
    assert np.isfinite([row for row in model.history_["total"]]).all()
    assert np.isfinite(model.objective_)
    for method in ("predict_proba", "transform", "reconstruct", "score_samples"):
        out = getattr(model, method)(rows)
        assert len(out) == len(rows)
        assert np.isfinite(out).all(), method
        assert_array_equal(getattr(model, method)(rows[:1]), out[:1])


@quiet
@pytest.mark.parametrize("schedule", ["constant", "anneal", "balanced"])
@pytest.mark.parametrize("consistency", [None, "adversarial"])
@pytest.mark.parametrize("init", ["random", "kmeans"])
def test_one_cluster_works_in_every_way(schedule, consistency, init):
    model = small(n_clusters=1, entropy_schedule=schedule, init=init, cluster_sizes=[1],
                  consistency=consistency, max_epochs=2).fit(X)  # fmt: skip
    assert (model.labels_ == 0).all()
    assert (model.predict_proba(X) == 1).all()
    assert np.isfinite(model.history_["total"]).all()


@quiet
def test_images_and_series_of_every_shape_work():
    rows = RNG.random((20, 36))
    for shape, architecture in [
        ((6, 6), "mlp"), ((6, 6), "conv2d"), ((1, 6, 6), "mlp"),
        ((4, 3, 3), "conv2d"), ((36, 1), "conv2d"), ((36,), "conv1d"),
        ((4, 9), "conv1d"), ((36, 1), "conv1d"), (None, "conv1d"),
        (np.array([6, 6]), "conv2d"), ([2, 3, 6], "mlp"),
    ]:  # fmt: skip
        model = small(input_shape=shape, architecture=architecture, max_epochs=1)
        assert model.fit(rows).reconstruct(rows).shape == rows.shape


@quiet
@pytest.mark.parametrize(
    "dtype", ["int64", "int8", "uint8", "bool", "float16", "float32", "longdouble"]
)
def test_numbers_of_every_type_work_and_mean_the_same(dtype):
    rows = (RNG.random((40, 5)) * 2).round().astype(dtype)
    model = small(max_epochs=2).fit(rows)
    same = small(max_epochs=2).fit(rows.astype(np.float64))
    assert_allclose(
        model.predict_proba(rows), same.predict_proba(rows.astype(float)), atol=1e-5
    )


@quiet
def test_lists_work():
    assert bits(small(max_epochs=2).fit(X.tolist()), X.tolist()) == bits(
        small(max_epochs=2).fit(X)
    )


@quiet
def test_a_common_power_of_two_changes_not_a_bit():
    model = small().fit(X)
    for factor in (2.0**20, 2.0**-20, 2.0**100, 2.0**-100):
        scaled = small().fit(factor * X)
        assert_array_equal(scaled.predict_proba(factor * X), model.predict_proba(X))
        assert_array_equal(scaled.history_["total"], model.history_["total"])
        assert_array_equal(
            scaled.reconstruct(factor * X), factor * model.reconstruct(X)
        )


@quiet
@pytest.mark.parametrize("factor", [2.0**460, 2.0**-460])
@pytest.mark.parametrize("init", ["auto", "random", "latent_classes"])
def test_clusters_are_the_same_on_scales_that_float32_has_not(factor, init):
    model, scaled = (small(init=init).fit(rows) for rows in (X, factor * X))
    assert_array_equal(scaled.predict_proba(factor * X), model.predict_proba(X))


@quiet
@pytest.mark.parametrize(("scale", "shift"), [(1e6, 0), (1e-6, 0), (1, 1e6), (-3, 50)])
def test_a_common_shift_and_scale_change_nothing_but_the_rounding(scale, shift):
    # A shift of 1e6 leaves ten of float64's sixteen digits, float32 keeps seven; six
    # steps of training enlarge what is lost there.
    model = small(max_epochs=2, whitening=None).fit(X)
    rows = scale * X + shift
    moved = small(max_epochs=2, whitening=None).fit(rows)
    if scale > 0:
        assert_allclose(moved.predict_proba(rows), model.predict_proba(X), atol=1e-3)
        assert_allclose(moved.score(rows), model.score(X), atol=1e-3)
    assert np.isfinite(moved.score(rows))


@quiet
@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0), (1e6, 0), (1, 1e6)])
def test_a_common_shift_and_scale_change_nothing_in_training_on_whitened_rows(
    scale, shift
):
    # Not the score: biases ahead of a normalisation have no gradient but rounding,
    # which Adam enlarges, and running means follow them late.
    model, moved = (small(max_epochs=2).fit(rows) for rows in (X, scale * X + shift))
    for name in ("total", "reconstruction", "consistency"):
        assert_allclose(moved.history_[name], model.history_[name], atol=1e-3)
    rows = scale * X + shift
    assert_allclose(moved.predict_proba(rows), model.predict_proba(X), atol=1e-3)


@quiet
@pytest.mark.parametrize(
    "params",
    [{}, {"whitening": None}, {"n_components": 3}, {"directions": True}],
    ids=str,
)
@pytest.mark.parametrize("far", [1e19, 1e39, 1e300])
def test_rows_as_far_as_can_be_have_finite_answers(params, far):
    model = small(**params).fit(1e-3 * X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = model.predict_proba(far * X)
        scores = model.score_samples(far * X)
    assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert np.isfinite(scores).all()
    if "directions" in params:
        assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_rows_whose_squares_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"too large to add up.*Divide"):
        small().fit(1e200 * X)


@quiet
def test_a_copy_of_a_memory_map_is_as_an_array(tmp_path):
    mapped = np.memmap(tmp_path / "rows", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    assert bits(small().fit(mapped.copy())) == bits(small().fit(X))


@quiet
def test_a_fitted_network_holds_no_gradients():
    model = small().fit(X)
    assert all(p.grad is None for p in model.module_.parameters())
    model.partial_fit(X)
    assert all(p.grad is None for p in model.module_.parameters())


# ---------------------------------------------------------------------------
# Divergence and interruption
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["mlp", "conv1d", dropout_expert])
@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_divergence_says_when_and_what_to_do(architecture, loss):
    model = small(learning_rate=1e30, architecture=architecture,
                  reconstruction_loss=loss, max_epochs=20)  # fmt: skip
    with pytest.raises(
        TrainingDiverged, match=r"(in|end of) epoch \d+.*Lower learning_rate"
    ):
        model.fit(X)


@pytest.mark.parametrize("learning_rate", [30.0, 1e2, 1e4, 1e8])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_no_model_is_kept_of_which_the_objective_is_no_number(learning_rate, method):
    """Also where the last step of the last epoch was one too many."""
    model = small(learning_rate=learning_rate, max_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            getattr(model, method)(X[:32])  # one step
        except TrainingDiverged:
            assert not hasattr(model, "module_")
            return
    assert np.isfinite(model.objective_)
    assert np.isfinite(model.reconstruction_errors(X[:32])).all()


@quiet
def test_divergence_keeps_what_was_fitted_before_or_the_last_good_weights(fitted):
    model = clone(fitted).fit(X)
    model.set_params(learning_rate=1e30)
    with pytest.raises(TrainingDiverged):
        model.fit(X)
    for values in (
        model.predict_proba(X),
        model.reconstruct(X),
        model.history_["total"],
    ):
        assert np.isfinite(values).all()
    assert_array_equal(model.labels_, model.predict(X))


def break_after(monkeypatch, n_epochs, error):
    """Make the epoch after ``n_epochs`` of them, over all restarts, raise."""
    from skmixae.training import loop

    train_epoch, done = loop.train_epoch, []

    def breaking(*args, **kwargs):
        if len(done) == n_epochs:
            raise error
        done.append(1)
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(loop, "train_epoch", breaking)


INTERRUPTIONS = [KeyboardInterrupt(), TrainingDiverged("in epoch 3"), MemoryError()]


@quiet
@pytest.mark.parametrize("error", INTERRUPTIONS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("init", ["random", "kmeans"])
@pytest.mark.parametrize("n_experts", [None, "auto"])
def test_interrupted_fit_keeps_its_best_weights(monkeypatch, error, init, n_experts):
    break_after(monkeypatch, 3, error)
    model = small(max_epochs=20, init=init, n_experts=n_experts)
    with pytest.raises(type(error)) as raised:
        model.fit(X)
    assert raised.value is error
    assert model.n_iter_ == len(model.history_) == 3
    assert_array_equal(model.labels_, model.predict(X))
    assert_array_equal(model.labels_, model.predict_proba(X).argmax(1))
    assert not any(m.training for m in model.module_.modules())


@quiet
@pytest.mark.parametrize("n_experts", [None, "auto", 12])
def test_a_change_of_rows_that_fails_in_the_middle_leaves_the_best_weights(n_experts):
    """Also where experts would be merged by it."""
    n_calls = 0

    def failing(rows, generator):
        nonlocal n_calls
        n_calls += 1
        if n_calls > 7:
            raise ZeroDivisionError
        return rows + 0.1

    model = small(max_epochs=20, n_experts=n_experts, consistency=failing)
    with pytest.raises(ZeroDivisionError):
        model.fit(X)
    assert 0 < model.n_iter_ < 20
    assert_array_equal(model.labels_, model.predict(X))


@quiet
def test_interrupted_while_going_on_from_a_start_keeps_the_start(monkeypatch):
    """Five of fifty epochs teach it; the sixth, the first of the rest, breaks."""
    break_after(monkeypatch, 5, KeyboardInterrupt())
    model = small(max_epochs=50, init=Y, batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.n_iter_ == 5
    assert (model.labels_ == Y).mean() > 0.9


@quiet
def test_interrupted_before_anything_was_learned_leaves_all_as_it_was(monkeypatch):
    model = small().fit(X)
    before = bits(model)
    break_after(monkeypatch, 0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        model.fit(2 * X[:, :4])
    assert bits(model) == before
    unfitted = small()
    with pytest.raises(KeyboardInterrupt):
        unfitted.fit(X)
    assert not hasattr(unfitted, "module_")


@quiet
@pytest.mark.parametrize("n_experts", [None, "auto"])
@pytest.mark.parametrize("n_init", [1, 2])
def test_interrupted_when_all_was_learned_keeps_it(monkeypatch, n_experts, n_init):
    uninterrupted = small(max_epochs=4, n_experts=n_experts, n_init=n_init).fit(X)
    survey, surveyed = Inference.survey, []

    def breaking(self, rows):
        surveyed.append(self)
        if len(surveyed) == n_init:
            raise KeyboardInterrupt
        return survey(self, rows)

    monkeypatch.setattr(Inference, "survey", breaking)
    model = small(max_epochs=4, n_experts=n_experts, n_init=n_init)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert_array_equal(model.labels_, model.predict(X))
    assert_array_equal(model.labels_, uninterrupted.labels_)
    assert_array_equal(
        model.history_["expert_share"], uninterrupted.history_["expert_share"]
    )
    assert model.objective_ == uninterrupted.objective_


@quiet
@pytest.mark.usefixtures("one_thread")
def test_interrupted_between_restarts_keeps_the_best_so_far(monkeypatch):
    end_restart, ended = FitMonitor.end_restart, []

    def breaking(self, *args):
        ended.append(args)
        if len(ended) == 2:
            raise KeyboardInterrupt
        return end_restart(self, *args)

    monkeypatch.setattr(FitMonitor, "end_restart", breaking)
    model = small(max_epochs=4, n_init=3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert len(ended) == 2
    assert model.objective_ == min(objective for objective, *_ in ended)
    assert_array_equal(model.labels_, model.predict(X))


@quiet
@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_it_learns_where_torch_is_told_to_compute_no_gradients(off, fit):
    expected = getattr(small(), fit)(X)
    with off():
        model = getattr(small(), fit)(X)
        assert not torch.is_grad_enabled()
    assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    getattr(model.set_params(warm_start=True), fit)(X)


of_each_kind = pytest.mark.parametrize(
    "params",
    [
        {},
        {"input_noise": 0.1, "consistency": ["jitter", "masking", "adversarial"]},
        {"input_shape": (2, 3), "architecture": "conv2d"},
        {"input_shape": (6,), "consistency": "warp"},
        {"n_active": 2},
        {"expert": "variational"},
        {"expert": "adversarial"},
    ],
    ids=lambda params: "-".join(params) or "default",
)


@pytest.fixture
def _elsewhere_by_default():
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@quiet
@pytest.mark.usefixtures("_elsewhere_by_default")
@of_each_kind
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_it_computes_where_it_is_asked_to_whatever_the_default_is(
    fit, params, round_trips
):
    """No number of a tensor on "meta", which stands in for a GPU, can be read."""
    model = getattr(small(device="cpu", **params), fit)(X)
    everywhere = [model, *round_trips(model)]
    said = [[m.predict_proba(X), m.reconstruct(X), m.score(X)] for m in everywhere]
    torch.set_default_device(None)
    model = getattr(small(device="cpu", **params), fit)(X)
    expected = [model.predict_proba(X), model.reconstruct(X), model.score(X)]
    for each in said:
        for found, right in zip(each, expected, strict=True):
            assert_array_equal(found, right)


@pytest.fixture
def _double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@quiet
@pytest.mark.usefixtures("_double_by_default")
@of_each_kind
def test_it_computes_in_single_precision_whatever_the_default_is(params):
    model = small(**params).fit(X)
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}
    assert model.predict_proba(X).dtype == np.float32
    torch.set_default_dtype(torch.float32)
    expected = small(**params).fit(X)
    assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


@quiet
@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_it_computes_in_single_precision_where_torch_is_told_to_round(fit):
    expected = getattr(small(), fit)(X)
    with torch.autocast("cpu", torch.bfloat16):
        model = getattr(small(), fit)(X)
        assert bits(model) == bits(expected)
        for method in ("transform", "encode", "reconstruct", "score_samples"):
            assert_array_equal(getattr(model, method)(X), getattr(expected, method)(X))
        assert torch.is_autocast_enabled("cpu")


@quiet
@pytest.mark.usefixtures("_double_by_default")
def test_experts_of_a_factory_are_of_single_precision_whatever_the_default_is():
    model = small(architecture=dropout_expert).fit(X)
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}
    same = pickle.loads(pickle.dumps(model))
    assert_array_equal(same.predict_proba(X), model.predict_proba(X))


@quiet
@pytest.mark.parametrize("sums", [{}, {"n_active": 2}], ids=["rows", "sums"])
def test_experts_of_double_precision_become_single(sums):
    def double(shape, latent_dim):
        return DropoutExpert(*shape, latent_dim).double()

    expected = small(architecture=dropout_expert, **sums).fit(X)
    model = small(architecture=double, **sums).fit(X)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-5)


@quiet
@pytest.mark.usefixtures("one_thread")  # one after another
def test_interrupted_restarts_keep_the_best_so_far(monkeypatch):
    alone = small(max_epochs=4).fit(X)
    break_after(monkeypatch, 5, KeyboardInterrupt())
    model = small(max_epochs=4, n_init=3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.objective_ <= alone.objective_
    assert_array_equal(model.labels_, model.predict(X))


@quiet
def test_a_diverged_warm_start_keeps_the_network_it_started_from(fitted):
    model = clone(fitted).set_params(warm_start=True).fit(X)
    model.set_params(learning_rate=1e30)
    with pytest.raises(TrainingDiverged):
        model.fit(X)
    assert np.isfinite(model.predict_proba(X)).all()
    assert (model.predict(X) == fitted.labels_).mean() > 0.5


# ---------------------------------------------------------------------------
# Among other estimators
# ---------------------------------------------------------------------------


@quiet
def test_grid_search_over_clusters_and_weights_in_a_pipeline():
    name = "mixaeclustering"
    grid = {
        f"{name}__n_clusters": [2, 3],
        f"{name}__sample_entropy_weight": [0.1, 0.5],
        f"{name}__batch_entropy_weight": [0.5, 1.0],
    }
    search = GridSearchCV(
        make_pipeline(StandardScaler(), healthy(max_epochs=25, learning_rate=3e-2)),
        grid, scoring=hungarian_accuracy_scorer, cv=2, n_jobs=2,
        error_score="raise",
    ).fit(X, Y)  # fmt: skip
    assert len(search.cv_results_["params"]) == 8
    assert search.best_params_[f"{name}__n_clusters"] == 3
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict(X).shape == (90,)
    assert search.best_estimator_.transform(X).shape == (90, 6)
