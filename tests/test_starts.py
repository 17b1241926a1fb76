"""What a fit starts from, and what of the start stays: its clusters and their sizes."""

import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_blobs,
    make_circles,
    make_moons,
)
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering, _fitting, _restarts
from skmixae._parameters import automatic_starts
from skmixae._problem import Occasion, resolve_moments, resolve_problem
from skmixae.objective import LOSSES, MixtureObjective, Reconstruction, Weights
from skmixae.objective.schedule import Constant
from skmixae.training import (
    STARTS,
    Batches,
    Evidence,
    Moments,
    Rows,
    Scaling,
    gaussians,
    initialisation,
)
from skmixae.training.graph import spectral_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CPU = torch.device("cpu")
# One blob, of which nothing but a start tells clusters.
CLOUD = np.random.default_rng(0).normal(size=(300, 3))
UNEVEN = np.repeat([0, 1, 2], [210, 60, 30])[np.argsort(np.argsort(CLOUD[:, 0]))]
RINGS, RING = make_circles(900, noise=0.04, factor=0.4, random_state=0)


def batches(X):
    rows = Rows(X)
    moments = Moments()
    for block in rows.blocks():
        moments.update(block)
    return Batches(rows, moments.scaling(LOSSES["mse"]), 128, CPU)


def start(name, X, n_clusters, seed=0):
    return STARTS[name].find(batches(X), n_clusters, np.random.RandomState(seed))


def labels(name, X, n_clusters, seed=0):
    found = start(name, X, n_clusters, seed)
    return found if found.ndim == 1 else found.argmax(1)


def small(**params):
    settings = {"n_clusters": 3, "n_experts": None, "max_epochs": 3, "random_state": 0}
    return MixAEClustering(**settings | params)


@pytest.mark.parametrize("n_rows", [4000, 300])
def test_the_spectral_start_follows_shapes_also_from_a_sample(n_rows, monkeypatch):
    monkeypatch.setattr(initialisation, "SPECTRAL_ROWS", n_rows)
    assert adjusted_rand_score(RING, labels("spectral", RINGS, 2)) > 0.98
    assert adjusted_rand_score(RING, labels("kmeans", RINGS, 2)) < 0.1


def test_the_nearest_start_follows_clusters_of_few_rows():
    line, place = np.indices((20, 12)).reshape(2, -1)
    # The fifth nearest is of the same line, and the tenth of the next one.
    X = np.c_[4.5 * line, place] + np.random.default_rng(0).normal(0, 0.02, (240, 2))
    assert adjusted_rand_score(line, labels("nearest", X, 20)) == 1
    assert adjusted_rand_score(line, labels("spectral", X, 20)) < 0.6


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_a_function_of_rows_and_seed(name):
    X = np.eye(4)[RING * 2 + RING[::-1]] if name == "topics" else RINGS
    first = labels(name, X, 4)
    assert_array_equal(first, labels(name, X, 4))
    assert_array_equal(first, labels(name, csr_array(X), 4))
    assert first.shape == (len(RINGS),)
    assert_array_equal(np.unique(first), range(4))
    whole = start(name, X, 4)
    assert whole.shape in {(len(RINGS),), (len(RINGS), 4)}
    if whole.ndim == 2:
        assert_allclose(whole.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("n_clusters", [1, 2, 4])
def test_a_start_takes_few_rows_and_equal_ones(name, n, n_clusters):
    rng = np.random.default_rng(0)
    for X in (rng.random((n, 3)), np.ones((n, 3))):
        found = labels(name, X, n_clusters)
        assert found.shape == (n,)
        assert set(found) <= set(range(n_clusters))


@pytest.mark.parametrize("name", sorted({*STARTS} - {"topics"}))  # for words
def test_a_fit_learns_its_start(name):
    X, y = make_blobs(300, n_features=4, centers=3, random_state=1)
    model = small(init=name, max_epochs=40).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95


# -- Gaussians -----------------------------------------------------------------

SPREAD = np.random.default_rng(0).normal(size=(3, 300, 2))


def sheared(distance):
    shear = [[1, -1.5], [0, 0.4]]
    return np.concatenate(
        [rows @ shear + [distance * i, 0] for i, rows in enumerate(SPREAD)]
    )


SHEARED, TOUCHING = sheared(6), sheared(1.2)
IRIS = StandardScaler().fit_transform(load_iris().data)


def test_the_mixture_start_is_a_gaussian_mixture_of_the_coordinates():
    found = start("mixture", SHEARED, 3)
    rows = np.concatenate([b.x.numpy() for b in batches(SHEARED).in_order()])
    # All are sheared alike.
    model = GaussianMixture(3, covariance_type="tied", n_init=5, reg_covar=1e-3)
    model.set_params(random_state=0).fit(rows.astype(float))
    order = found.argmax(1)[:900:300], model.predict(rows)[:900:300]
    assert_allclose(
        found[:, order[0]], model.predict_proba(rows)[:, order[1]], atol=1e-3
    )


@pytest.mark.parametrize(
    ("X", "k", "expected"),
    [
        (SHEARED, 3, True),
        (SHEARED, 2, False),  # twice as many are better
        (SHEARED, 1, False),
        (SHEARED[:300], 2, False),  # one is better
        (SHEARED[::30], 3, True),  # of one shape, which takes few parameters
        (SHEARED[::60], 3, False),  # 15 rows for 11 parameters
        (RINGS, 2, False),
        (IRIS, 3, True),
    ],
)
def test_gaussians_are_told_from_shapes(X, k, expected):
    assert Evidence(batches(X), k).are_gaussians() is expected
    assert Evidence(batches(csr_array(X)), k).are_gaussians() is expected


@pytest.mark.parametrize(
    ("params", "name", "n_experts"),
    [
        ({}, "mixture", 3),
        ({"n_experts": "auto"}, "mixture", 3),
        ({"n_experts": 5}, "spectral", 5),
        ({"n_clusters": 2, "n_experts": "auto"}, "centres", 2),
        ({"n_experts": "auto", "init": "spectral"}, "spectral", 10),
        ({"n_experts": "auto", "init": "mixture"}, "mixture", 3),
        ({"whitening": None, "n_experts": "auto"}, "random", 10),
    ],
)
def test_auto_starts_from_gaussians_where_rows_are_some(params, name, n_experts):
    model = small(**params)
    rows = Rows(TOUCHING)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert (problem.start, problem.spec.n_experts) == (name, n_experts)
    assert problem.other_starts == ()
    assert problem.weights.start == (20 if name in ("mixture", "centres") else 0)


def test_parts_of_a_graph_have_an_expert_each_and_are_held_to():
    model, rows = small(n_clusters=2, n_experts="auto"), Rows(RINGS)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert (problem.start, problem.spec.n_experts) == ("parts", 2)
    assert (problem.other_starts, problem.weights.start) == ((), 100)


class Said(NamedTuple):
    """Evidence that says what it is told to."""

    cut: float = 1.0
    gaussians: bool = False
    round: bool = False
    unlike: bool = False
    odd: bool = False
    few: bool = False
    even: bool = False
    indicators: bool = False
    classes: bool = False
    categories: bool = False
    alike: bool = False
    mixed: bool = False
    follows: bool = False
    fewer: bool = False

    def are_fewer_than_features(self):
        return self.fewer

    def are_mixed(self):
        return self.mixed

    def graph_follows_values(self):
        return self.follows

    def are_seen_alike(self):
        return self.alike

    def are_indicators(self):
        return self.indicators

    def are_categories(self):
        return self.categories

    def are_latent_classes(self):
        return self.classes

    def share_between_parts(self):
        return self.cut

    def are_gaussians(self):
        return self.gaussians

    def are_round(self):
        return self.round

    def are_unlike_in_size(self):
        return self.unlike

    def has_odd_rows(self):
        return self.odd

    def are_of_few_values(self):
        return self.few

    def graph_is_even(self):
        return self.even


LATENT = ("latent_classes",)


@pytest.mark.parametrize(
    ("width", "said", "spare", "starts"),
    [
        # Rings are Gaussians too, by the criterion.
        (2, Said(0.0, True, True, True), True, ("parts",)),
        (2, Said(0.0007, True, True, True), True, ("mixture",)),
        (2, Said(0.0007, False, True, True), True, ("centres",)),
        (2, Said(0.0007, False, False, True), True, ("uneven",)),
        (2, Said(0.0007, True, odd=True), True, ("mixture",)),
        (2, Said(0.0007, odd=True), True, ("round",)),
        (2, Said(0.006, odd=True), False, ("round",)),
        (2, Said(0.0, True, True, True, few=True), True, ("round",)),
        (2, Said(few=True, indicators=True, classes=True), True, LATENT),
        (200, Said(indicators=True, classes=True), False, LATENT),
        (2, Said(0.0, indicators=True, categories=True), True, ("plain",)),
        (2, Said(0.0, indicators=True), True, ("parts",)),
        (2, Said(0.0, True, mixed=True, follows=True), False, ("plain",)),
        (2, Said(0.0, mixed=True, follows=True, classes=True), True, LATENT),
        (2, Said(0.0, mixed=True, categories=True), True, ("parts",)),
        (2, Said(0.0, follows=True), True, ("parts",)),
        (2, Said(0.0, mixed=True, follows=True, few=True), True, ("round",)),
        (200, Said(0.0, True, False, True, mixed=True, follows=True), True, ("plain",)),
        (2, Said(0.0, classes=True, categories=True), True, ("parts",)),
        (70, Said(odd=True, few=True), True, ("round",)),
        (200, Said(odd=True, few=True), True, ("kmeans",)),
        (2, Said(0.0007), False, ("spectral",)),
        (2, Said(0.004), False, ("spectral",)),
        (2, Said(0.006), False, ("spectral", "kmeans")),
        (2, Said(0.006), True, ("spectral",)),
        (2, None, True, ("spectral",)),
        (2, None, False, ("spectral", "kmeans")),
        (70, Said(0.0, True, True, True), True, ("parts",)),
        (70, Said(0.006, False, True, True), True, ("centres",)),
        (70, Said(0.006, False, False, True), True, ("uneven",)),
        (70, Said(0.006), True, ("spectral",)),
        (200, Said(0.0, True, True, True), True, ("centres",)),
        (200, Said(0.0, True, False, True), True, ("uneven",)),
        (200, Said(0.0, True), True, ("kmeans",)),
        (200, Said(0.0, True, even=True), True, ("spectral",)),
        (200, Said(0.0, True, even=True), False, ("kmeans",)),
        (200, Said(0.006, False, True, even=True), True, ("centres",)),
        (200, Said(fewer=True), False, ("plain",)),
        (200, Said(fewer=True), True, ("plain",)),
        (200, Said(fewer=True, even=True), True, ("spectral",)),
        (200, Said(0.006, False, True, fewer=True), False, ("centres",)),
        (70, Said(fewer=True), False, ("spectral", "kmeans")),
        (200, None, True, ("kmeans",)),
        (None, Said(0.0, True, True, True), True, ("random",)),
    ],
)
def test_what_rows_say_of_themselves_decides_the_start(width, said, spare, starts):
    """Without anything said, each cluster may not have one expert by itself."""
    one_each, said = said is not None, said or Said(0.0, True, True, True)
    asked = {"one_each": one_each, "spare": spare, "words": False, "counts": False}
    assert automatic_starts(width, 20, said, **asked) == (starts, False)


def test_counts_of_few_rows_start_from_directions():
    asked = {"one_each": True, "spare": False, "words": False, "counts": True}
    assert automatic_starts(200, 20, Said(fewer=True), **asked).in_turn == ("kmeans",)


def test_few_rows_of_many_features_start_as_they_are():
    """Sixty samples of three tissues, each with thirty of 500 genes at work."""
    rng, y = np.random.default_rng(7), np.repeat([0, 1, 2], 20)
    X = rng.normal(size=(60, 500))
    for k in range(3):
        X[y == k, 30 * k : 30 * (k + 1)] += 1.5
    model = MixAEClustering(3, max_epochs=10, random_state=0).fit(X)
    assert model.init_ == "plain"
    assert adjusted_rand_score(y, model.labels_) == 1
    whitened = model.set_params(init="kmeans").fit(X)
    assert adjusted_rand_score(y, whitened.labels_) < 0.8


@pytest.mark.parametrize("one_each", [True, False])
def test_one_start_is_enough_and_tells_sizes_where_two_see_the_same(one_each):
    asked = {"one_each": one_each, "words": False, "counts": False}
    said = Said(0.006, alike=True)
    found = automatic_starts(2, 2, said, spare=False, **asked)
    assert found == (("spectral",), True)
    assert not automatic_starts(2, 2, said, spare=True, **asked).tell_sizes


@pytest.mark.parametrize(
    ("width", "directions", "even", "counts", "spare", "starts"),
    [
        (70, 21, False, False, True, ("kmeans",)),
        (70, 21, True, False, True, ("spectral",)),
        (70, 21, True, True, True, ("spectral",)),
        (70, 21, False, True, True, ("kmeans",)),
        (70, 21, False, False, False, ("spectral", "kmeans")),
        (200, 21, True, False, True, ("spectral",)),
        (200, 21, True, True, True, ("kmeans",)),
    ],
)
def test_crowded_rows_start_from_k_means(
    width, directions, even, counts, spare, starts
):
    said = Said(even=even)
    asked = {"counts": counts, "words": False, "spare": spare}
    for one_each in (True, False):
        found = automatic_starts(width, directions, said, one_each=one_each, **asked)
        assert found == (starts, False)


def test_values_that_repeat_are_no_gaussians():
    """However likely Gaussians without a width make them."""
    X, _ = make_blobs(900, n_features=3, centers=3, random_state=0)
    X = StandardScaler().fit_transform(X)
    assert Evidence(batches(X), 3).are_gaussians()
    rare = np.random.default_rng(0).random(900) < 0.01
    assert not Evidence(batches(np.c_[X, 10.0 * rare]), 3).are_gaussians()


@pytest.mark.parametrize("seed", range(3))
def test_gaussians_are_the_likeliest_of_those_from_k_means_and_from_the_graph(seed):
    X, y = unlike(10)  # of which k-means cuts the large one, with some seeds
    rows = np.concatenate([b.x.numpy() for b in batches(X).in_order()]).astype(float)
    graph = spectral_model(rows, 5, RandomState(seed)).labels_
    for shape in gaussians.SHAPES:
        centres = GaussianMixture(
            5, covariance_type=shape, n_init=5, reg_covar=1e-3,
            random_state=RandomState(seed),
        ).fit(rows)  # fmt: skip
        others = centres, gaussians.gaussians_from(rows, graph, shape)
        model = gaussians.likeliest(rows, 5, shape, graph, RandomState(seed))
        likeliest = max(other.lower_bound_ for other in others)
        assert model.lower_bound_ > likeliest - 2 * model.tol
        assert adjusted_rand_score(y, model.predict(rows)) > 0.99


CENTRES = 7 * np.eye(3)


def gaussian_rows(shape, n=900):
    """Rows in three Gaussians of a shape, and of which each is."""
    rng, y = np.random.default_rng(0), np.arange(n) % 3
    own = rng.normal(size=(3, 3, 3)) + 2 * np.eye(3)  # a shape for each
    spread = {
        "full": own,
        "tied": own[:1].repeat(3, axis=0),
        "diag": np.array([np.diag(scales) for scales in rng.uniform(0.2, 3, (3, 3))]),
        "spherical": np.array([0.4, 1.0, 2.0])[:, None, None] * np.eye(3),
    }[shape]
    return CENTRES[y] + np.einsum("nij,nj->ni", spread[y], rng.normal(size=(n, 3))), y


@pytest.mark.parametrize("shape", gaussians.SHAPES)
def test_gaussians_are_of_the_shape_that_rows_have(shape):
    X, y = gaussian_rows(shape)
    scaling = Scaling(np.zeros(3), 1.0)
    found = gaussians.best_gaussians(X, 3, scaling, RandomState(0))
    assert found.model.covariance_type == shape
    assert adjusted_rand_score(y, found.predict(X)) > 0.85
    assert Evidence(batches(X), 3).are_gaussians() is True


def whitened(X):
    """Return batches of rows that are whitened as the default does."""
    model, rows = small(), Rows(X)
    return Batches(rows, resolve_moments(model, rows).scaling(LOSSES["mse"]), 128, CPU)


def test_round_gaussians_are_round_in_the_units_of_the_features():
    """Whitening would make other clusters of them, and another criterion."""
    rng, y = np.random.default_rng(1), np.arange(1000) % 4
    X = (np.array([[0, 0], [3.4, 0], [9, 1.4], [9, -1.4]])[y]) + rng.normal(
        size=(1000, 2)
    )
    some = whitened(X)
    rows = np.concatenate([b.x.numpy() for b in some.in_order()]).astype(float)
    found = gaussians.gaussians_of(rows, 4, some.scaling, RandomState(0))
    assert gaussians.lowest(found) in (found["round"], found["tied"])
    assert found["round"].criterion < found["spherical"].criterion
    plain = GaussianMixture(4, covariance_type="spherical", n_init=5, random_state=0)
    plain.fit(X)
    own = found["round"].predict(rows)
    assert adjusted_rand_score(plain.predict(X), own) > 0.98
    # In units of one scale, which the whitening's turns and divisions change.
    axes = some.scaling.axes.astype(float) / some.scaling.scale
    shift = 2 * len(X) * np.log(abs(np.linalg.det(axes)))
    assert_allclose(found["round"].criterion, plain.bic(X) + shift, rtol=5e-3)
    assert Evidence(some, 4).are_gaussians() is True


def test_shapes_are_asked_of_rows_enough():
    X, _ = gaussian_rows("full", 60)
    asked = gaussians.gaussians_of(X, 3, Scaling(np.zeros(3), 1.0), RandomState(0))
    assert set(asked) == {"full", "tied", "diag", "spherical"}
    asked = gaussians.gaussians_of(X[:50], 3, Scaling(np.zeros(3), 1.0), RandomState(0))
    assert set(asked) == {"tied", "diag", "spherical"}
    few = gaussians.best_gaussians(X[:4], 3, Scaling(np.zeros(3), 1.0), RandomState(0))
    assert few.model.covariance_type == "spherical"


def test_one_more_is_asked_of_the_same_shape_also_where_rows_are_few_for_it():
    """Or simpler ones alone would be no rivals, and any rows be Gaussians."""
    X = np.random.default_rng(0).exponential(size=(420, 20))
    evidence = Evidence(batches(X), 5)
    own = gaussians.lowest(evidence._shapes_of(5))
    assert own.name == "diag"
    enough = evidence._shapes_of(6)
    assert "diag" not in enough
    assert own.criterion < gaussians.lowest(enough).criterion
    assert evidence._shapes_of(6, "diag")["diag"].criterion < own.criterion
    assert evidence.are_gaussians() is False


def test_where_odd_rows_would_be_one_more_there_are_no_gaussians():
    y = np.arange(800) % 4
    X = 8 * np.eye(4)[y] + np.random.default_rng(0).standard_t(3, size=(800, 4))
    assert Evidence(batches(X), 4).are_gaussians() is False
    assert Evidence(batches(X), 4).are_round() is True


def test_gaussians_of_their_own_shape_are_some_also_where_they_have_parts():
    """Such as sexes, of which each species of crabs has two."""
    rng, y = np.random.default_rng(0), np.arange(800) % 2
    sex = np.arange(800) // 2 % 2
    X = rng.normal(size=(800, 3)) * [1, 0.3, 0.3] + np.outer(sex, [3.2, 0, 0])
    X += np.outer(y, [0, 2.5, 0])
    evidence = Evidence(batches(X), 2)
    four = gaussians.lowest(evidence._shapes_of(4)).criterion
    two = gaussians.lowest(evidence._shapes_of(2))
    assert four < two.criterion
    assert evidence.are_gaussians() is True
    assert adjusted_rand_score(y, labels("mixture", X, 2)) > 0.99


# -- clusters that are unlike in size ----------------------------------------------


def unlike(n_features, std=None, seed=1):
    """Five clusters of 40, 16, 6, 2 and 1 in 65 rows, as far apart as centres are."""
    sizes = [1000, 400, 150, 50, 25]
    std = std or 3 * (n_features / 10) ** 0.45
    return make_blobs(sizes, n_features, cluster_std=std, random_state=seed)


@pytest.mark.parametrize("n_features", [20, 70, 150])
def test_clusters_unlike_in_size_are_told_and_found(n_features):
    X, y = unlike(n_features)
    assert Evidence(batches(X), 5).are_unlike_in_size() is True
    found = start("uneven", X, 5).argmax(1)
    assert adjusted_rand_score(y, found) > 0.99


@pytest.mark.parametrize(
    ("X", "k"),
    [
        (make_blobs([300] * 4, 20, cluster_std=4, random_state=0)[0], 4),  # alike
        (CLOUD, 2),
        (CLOUD, 1),
        (IRIS, 3),
        (RINGS, 2),
        (np.random.default_rng(0).normal(size=(400, 6)) ** 3, 2),  # with odd rows
        (unlike(20)[0][::60], 5),  # too few
    ],
)
def test_clusters_that_are_alike_or_none_are_not_unlike_in_size(X, k):
    assert Evidence(batches(X), k).are_unlike_in_size() is False


@pytest.mark.parametrize("n_features", [70, 150])
def test_auto_keeps_clusters_unlike_in_size(n_features):
    X, y = unlike(n_features)
    # Without its noise, the graph falls into parts.
    model = MixAEClustering(5, n_components=60, random_state=0)
    rows = Rows(X)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    told = "uneven" if n_features > 100 else "mixture"  # of which few are asked
    assert (problem.start, problem.spec.n_experts) == (told, 5)
    assert (problem.comparison.n_init, problem.weights.start) == (1, 20)
    assert problem.balance.as_even_as_start is (told == "uneven")
    model.set_params(max_epochs=20).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.98


# -- clusters that k-means finds as well -------------------------------------------


def with_odd_rows(n_features):
    """Four clusters, some of whose rows are far from all: no Gaussians."""
    rng = np.random.default_rng(0)
    y = np.repeat(range(4), 150)
    centres = np.zeros((4, n_features))
    centres[:, :2] = [[0, 0], [12, 0], [0, 12], [12, 12]]
    return centres[y] + 0.7 * rng.standard_t(3, (600, n_features)), y


@pytest.mark.parametrize("n_features", [2, 10, 70, 150])
def test_clusters_of_the_graph_and_of_k_means_are_held_to_where_they_are_one(
    n_features,
):
    X, y = with_odd_rows(n_features)
    assert Evidence(batches(X), 4).are_round() is True
    model = MixAEClustering(4, random_state=0)
    rows = Rows(X)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    # Of few features they are parts of the graph, or Gaussians, too.
    others = {"parts", "mixture"} if n_features <= 50 else set()
    assert problem.start in {"centres"} | others
    assert (problem.comparison.n_init, problem.spec.n_experts) == (1, 4)
    model.set_params(max_epochs=30).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.95


def test_gaussians_of_which_odd_rows_have_one_are_no_clusters():
    """The likeliest five have one for 20 odd rows, and one for two of five clusters."""
    y = np.repeat(range(5), 150)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5, 4))[y] * 9 + rng.normal(size=(750, 4))
    X[::38] += 20 * rng.normal(size=(20, 4))
    rows = np.concatenate([b.x.numpy() for b in batches(X).in_order()]).astype(float)
    scaling = Scaling(np.zeros(4), 1.0)
    found = gaussians.best_gaussians(rows, 5, scaling, RandomState(0))
    assert adjusted_rand_score(y, found.predict(rows)) < 0.8
    assert Evidence(batches(X), 5).are_round() is True
    assert Evidence(batches(X), 5).are_gaussians() is False


@pytest.mark.parametrize("seed", range(4))
def test_centres_are_found_with_every_seed_where_the_graph_knows_them(seed):
    X, y = unlike(150)  # k-means by itself cuts the largest with most seeds
    assert adjusted_rand_score(y, labels("centres", X, 5, seed)) > 0.99


def sheared():
    """Three long clusters side by side: k-means is right about nine rows in ten."""
    X, y = make_blobs(1500, random_state=170)
    return X @ [[0.6, -0.6], [-0.4, 0.8]], y


@pytest.mark.parametrize(
    ("X", "k"),
    [
        (RINGS, 2),
        (CLOUD, 3),
        (CLOUD, 1),
        (unlike(20)[0], 5),
        (CLOUD[:9], 2),
        (sheared()[0], 3),
    ],
)
def test_clusters_that_they_see_differently_are_not_round(X, k):
    assert Evidence(batches(X), k).are_round() is False


# -- wide rows whose graph tells clusters ------------------------------------------


def wide_moons(n_rows=1500, noise=0.15):
    """Two half-moons in a plane of 150 features, in each of which there is noise."""
    rng = np.random.default_rng(0)
    X, y = make_moons(n_rows, noise=0.05, random_state=0)
    plane = np.linalg.qr(rng.normal(size=(150, 2)))[0]
    return X @ plane.T * 9 + noise * rng.normal(size=(n_rows, 150)), y


# In many directions, odd rows; the graph has nine of them for one of two clusters.
CROWDED = np.random.default_rng(0).normal(size=(1500, 150)) ** 3


@pytest.mark.parametrize(
    ("X", "k", "even"),
    [
        (wide_moons()[0], 2, True),
        (RINGS, 2, True),
        (CROWDED, 2, False),
        (RINGS.repeat(30, axis=0)[::2], 2, True),  # none is a piece by itself
        (np.concatenate([CLOUD, CLOUD + 50, CLOUD - 50]), 2, False),  # in pieces
        (CLOUD[:15], 2, False),  # no graph
    ],
)
def test_the_graph_is_even_where_it_sets_no_few_rows_apart(X, k, even):
    assert Evidence(batches(X), k).graph_is_even() is even


def test_auto_starts_from_the_graph_where_it_tells_clusters_of_wide_rows():
    X, y = wide_moons()
    assert adjusted_rand_score(y, KMeans(2, random_state=0).fit_predict(X)) < 0.6
    model = MixAEClustering(2, random_state=0, max_epochs=30)
    for rows, (init, n_experts, n_init) in [
        (X, ("spectral", 10, 1)),
        (X[::3], ("kmeans", 2, 5)),  # no experts to spare
        (CROWDED, ("kmeans", 2, 5)),
        (np.where(X > 3, -X, 0), ("kmeans", 2, 5)),  # mostly zeros, but no counts
    ]:
        seen = Rows(rows)
        problem = resolve_problem(model, seen, resolve_moments(model, seen))
        assert problem.start == init
        assert (problem.spec.n_experts, problem.comparison.n_init) == (
            n_experts,
            n_init,
        )
        assert problem.balance.as_even_as_start is (init == "kmeans")
        assert problem.stays_even is (init == "kmeans")
    assert adjusted_rand_score(y, model.fit_predict(X)) > 0.99


@pytest.mark.parametrize("even", [True, False])
def test_rows_of_few_features_may_be_crowded_too(even, monkeypatch):
    monkeypatch.setattr(Evidence, "graph_is_even", lambda self: even)
    cloud = np.random.default_rng(0).normal(size=(1500, 30))
    for asked, expected in [
        ({}, ("spectral", 10, 1, False) if even else ("kmeans", 2, 5, True)),
        ({"init": "kmeans"}, ("kmeans", 10, 1, False)),  # asks nothing of the rows
    ]:
        model, rows = MixAEClustering(2, **asked), Rows(cloud)
        problem = resolve_problem(model, rows, resolve_moments(model, rows))
        found = (problem.start, problem.spec.n_experts, problem.comparison.n_init)
        assert (*found, problem.balance.as_even_as_start) == expected


# -- several starts ----------------------------------------------------------------

TAILED = np.random.default_rng(0).standard_t(2, size=(200, 3))  # with odd rows
DRAWN = np.random.default_rng(0).choice(len(RINGS), len(RINGS))  # some more than once


def of_few_values():
    """Marks from 0 to 13 in two subjects, of two kinds of people."""
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=600)
    marks = rng.normal(np.where(kind, 9, 4)[:, None], 1.8, (600, 2)).round()
    return marks.clip(0, 13), kind


FEW_VALUES = of_few_values()[0]


def with_a_few_apart():
    """A cloud, on which k-means finds halves, and few rows that are not far off."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.normal(size=(700, 2)), rng.normal(size=(20, 2)) / 9 + 3.5]
    )


@pytest.mark.parametrize(
    ("X", "k", "odd"),
    [
        (with_a_few_apart(), 2, True),
        (CLOUD, 2, False),
        (RINGS, 2, False),
        (RINGS[::2].repeat(2, axis=0), 2, False),
        (IRIS, 3, False),
        (with_a_few_apart()[:15], 2, False),  # no graph
        (np.zeros((50, 3)), 2, False),
    ],
)
def test_a_graph_of_one_cluster_and_few_rows_has_odd_rows(X, k, odd):
    assert Evidence(batches(X), k).has_odd_rows() is odd


@pytest.mark.parametrize(
    ("X", "few"),
    [
        (FEW_VALUES, True),
        (np.unique(FEW_VALUES, axis=0), False),  # the same, but all unlike
        (IRIS[DRAWN[:150] % 150], False),
        (CLOUD, False),
        (RINGS[DRAWN], False),
        (load_digits().data[DRAWN], False),
        (load_digits().data[:400].repeat(3, axis=0), False),
        (np.zeros((50, 3)), False),
    ],
)
def test_rows_that_are_often_the_same_and_of_few_values_are_told(X, few):
    assert Evidence(batches(X), 2).are_of_few_values() is few


def test_rows_of_few_values_are_clustered_as_k_means_has_them():
    X, kind = of_few_values()
    model = MixAEClustering(2, random_state=0)
    rows = Rows(X)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert (problem.start, problem.other_starts) == ("round", ())
    assert (problem.spec.n_experts, problem.weights.start) == (2, 20)
    assert problem.balance.as_even_as_start
    by_centres = KMeans(2, n_init=10, random_state=0).fit_predict(X)
    found = model.set_params(max_epochs=30).fit_predict(X)
    assert adjusted_rand_score(by_centres, found) > 0.8
    least = adjusted_rand_score(kind, by_centres) - 0.05
    assert adjusted_rand_score(kind, found) > least


@pytest.mark.parametrize(
    ("X", "k", "expected"),
    [
        (RINGS, 2, 0),
        (RINGS, 1, 1),
        (np.concatenate([CLOUD, CLOUD + 50, CLOUD - 50]), 3, 0),
        (np.concatenate([CLOUD, CLOUD + 50, CLOUD - 50]), 2, 1),  # which are joined?
        (CLOUD[:20], 2, 1),  # each row has ten neighbours
        (RINGS[DRAWN], 2, 0),
        (RINGS.repeat(12, axis=0)[::7], 2, 0),  # a row is no neighbour of itself
    ],
)
def test_clusters_that_are_parts_of_the_graph_cut_no_edge_of_it(X, k, expected):
    assert Evidence(batches(X), k).share_between_parts() == expected


def test_few_rows_are_no_part_of_the_graph_for_that_they_cut_few_edges():
    evidence = Evidence(batches(with_a_few_apart()), 2)
    labels, graph, _ = evidence._graph
    few = np.bincount(labels).min() / len(labels)
    assert few < 0.03
    cut = graph.toarray()[labels[:, None] != labels].sum() / graph.sum()
    assert evidence.share_between_parts() == pytest.approx(cut / (2 * few))


def test_shapes_are_found_though_rows_are_there_twice():
    """By bootstraps, or by tables that were joined."""
    rows = np.concatenate([RINGS, RINGS[DRAWN], RINGS])
    model = MixAEClustering(2, random_state=0).fit(rows)
    assert model.init_ == "parts"
    once = MixAEClustering(2, random_state=0).fit(RINGS)
    assert adjusted_rand_score(model.predict(RINGS), once.labels_) == 1


@pytest.mark.parametrize("X", [CLOUD, TAILED])
def test_clusters_that_are_no_parts_cut_edges(X):
    assert 0.01 < Evidence(batches(X), 2).share_between_parts() < 1


@pytest.mark.parametrize(
    ("X", "params", "starts"),
    [
        (TAILED, {}, ["spectral", "kmeans"]),
        (TAILED, {"n_init": 1}, ["spectral"]),
        (TAILED, {"n_init": 3}, ["spectral", "kmeans", "spectral"]),
        (TAILED, {"init": "spectral"}, ["spectral"]),
        (TAILED, {"init": "kmeans", "n_init": 2}, ["kmeans", "kmeans"]),
        (TAILED, {"n_clusters": 1}, ["random"]),
        (TAILED, {"n_experts": 5}, ["spectral"]),
        (TAILED, {"n_experts": "auto"}, ["spectral", "kmeans"]),
        (RINGS, {}, ["parts"]),
        (RINGS, {"n_experts": "auto"}, ["parts"]),
        (RINGS, {"n_experts": 5}, ["spectral"]),
    ],
)
def test_restarts_take_turns_among_the_starts(X, params, starts):
    model, rows = small(**{"n_clusters": 2} | params), Rows(X)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert [restart.start for restart in problem.restarts()] == starts


@pytest.mark.usefixtures("one_thread")  # one after another
@pytest.mark.parametrize("handicap", [0.0, 1e9])
def test_another_start_must_be_better_by_a_margin(handicap, monkeypatch):
    monkeypatch.setattr("skmixae._problem.problem.MARGIN", handicap)
    seen = []
    fit_once = _restarts.fit_once

    def spy(problem, *args, **kwargs):
        outcome = fit_once(problem, *args, **kwargs)
        objective = outcome.whole.objective
        seen.append((objective + outcome.handicap, objective))
        return outcome

    monkeypatch.setattr(_restarts, "fit_once", spy)
    model = small(n_clusters=2, n_init=4, max_epochs=20).fit(TAILED)
    assert [pair[0] - pair[1] for pair in seen] == [0, handicap] * 2
    assert model.objective_ == min(seen)[1]


@pytest.mark.parametrize(
    ("init", "told"), [("random", [True, False]), ("kmeans", [False] * 3)]
)
def test_only_a_random_start_knows_nothing_at_first(init, told, monkeypatch):
    seen, train = [], _fitting.train

    def spy(*args, is_decided, **kwargs):
        seen.append(is_decided is not None)
        return train(*args, is_decided=is_decided, **kwargs)

    monkeypatch.setattr(_fitting, "train", spy)
    model = small(n_clusters=2, n_experts=4, init=init, n_init=1, max_epochs=10)
    model.set_params(warm_start=True).fit(TAILED)
    assert seen == told
    seen.clear()
    model.fit(TAILED)
    assert set(seen) == {False}


def test_images_from_the_graph_are_compared_as_others_are_by_half_of_the_balance():
    model, rows = small(n_clusters=2, input_shape=(8, 8)), Rows(load_digits().data)
    model.set_params(batch_entropy_weight=8.0)

    def judged(**params):
        model.set_params(**params)
        problem = resolve_problem(model, rows, resolve_moments(model, rows))
        assert {restart.handicap for restart in problem.restarts()} == {0}
        assert problem.judging._replace(batch_entropy=8.0) == problem.weights
        return [restart.judging.batch_entropy for restart in problem.restarts()]

    assert judged(n_init="auto") == [4, 4, 4, 4]
    assert judged(n_init=2) == [4, 4]
    assert judged(n_init=1) == [8]
    assert judged(n_init=2, init="kmeans") == [8, 8]


def test_where_nothing_starts_again_the_balance_counts_whole():
    rows = Rows(load_digits().data)
    model = small(n_clusters=2, input_shape=(8, 8), init="random", n_init=3)
    moments = resolve_moments(model, rows)
    whole = resolve_problem(model, rows, moments)
    assert whole.judging != whole.weights
    model.input_shape_, model._network_spec = whole.reading.shape, whole.spec
    model._fitted_loss = whole.loss.name
    for occasion in set(Occasion) - {Occasion.FIT}:
        problem = resolve_problem(model, rows, moments, occasion)
        assert problem.judging == problem.weights


def test_of_several_starts_the_most_even_is_not_for_that_the_best():
    model, rows = small(n_clusters=2, batch_entropy_weight=8.0), Rows(TAILED)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert len(problem.restarts()) == 2
    judged = {restart.judging for restart in problem.restarts()}
    assert judged == {problem.weights._replace(batch_entropy=1.0)}
    model.set_params(init="kmeans", n_init=2)  # seeds of one start
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert problem.judging == problem.weights


# -- clusters that are seen alike --------------------------------------------------


def few_with_tails():
    """Some 280 rows in three clusters unlike in size, with odd ones between them."""
    rng, y = RandomState(2), np.repeat([0, 1, 2], [200, 60, 20])
    return rng.standard_t(2.5, (len(y), 3)) + 5 * np.eye(3)[y], y


@pytest.mark.parametrize(
    ("X", "k", "expected"),
    [
        (few_with_tails()[0], 3, True),
        (RINGS, 2, False),
        (TAILED, 2, False),
        (CLOUD, 3, False),
        (CLOUD[:9], 2, False),  # no graph
    ],
)
def test_few_rows_may_be_seen_alike_by_the_graph_and_k_means(X, k, expected):
    assert Evidence(batches(X), k).are_seen_alike() is expected


def test_auto_keeps_sizes_of_clusters_that_are_seen_alike():
    X, y = few_with_tails()
    model = small(max_epochs="auto", n_experts="auto").fit(X)
    assert model.init_ == "spectral"
    assert adjusted_rand_score(y, model.labels_) > 0.85
    evened = model.set_params(cluster_sizes=None).fit(X)
    assert adjusted_rand_score(y, evened.labels_) < 0.6


# -- holding to the start --------------------------------------------------------


def test_a_start_that_counts_is_kept():
    found = GaussianMixture(3, n_init=5, random_state=0).fit_predict(IRIS)
    model = small(max_epochs="auto").fit(IRIS)
    assert adjusted_rand_score(found, model.labels_) > 0.9
    left = small(max_epochs="auto", init="mixture", start_weight=0.0).fit(IRIS)
    assert adjusted_rand_score(found, left.labels_) < 0.9


@pytest.mark.parametrize("weight", [0.0, 0.5, 20.0])
def test_divergence_from_the_start_is_a_term_of_the_history(weight):
    model = small(init=UNEVEN, start_weight=weight, max_epochs=30).fit(CLOUD)
    learned, start = model.history_[3:], model.history_["start"]
    assert_allclose(learned["start_weight"], weight)
    assert (start[:3] == 0).all()  # while it is taught
    assert (learned["start"] > 0).all() == (weight > 0)
    without = model.set_params(start_weight=0.0).fit(CLOUD).history_[3:]["total"]
    assert (without == learned["total"]).all() == (weight == 0)


def test_a_stronger_weight_stays_closer_to_the_start():
    ends = [
        (small(init=UNEVEN, start_weight=w, max_epochs=60).fit(CLOUD).labels_ == UNEVEN)
        for w in (0.0, 1.0, 100.0)
    ]
    close = [float(end.mean()) for end in ends]
    assert close == sorted(close)
    assert close[-1] > 0.95


def test_a_weight_of_no_start_is_refused_and_has_no_meaning_further_on():
    with pytest.raises(ValueError, match="needs clusters to start from"):
        small(init="random", start_weight=1.0).fit(CLOUD)
    with pytest.raises(ValueError, match="needs clusters to start from"):
        small(whitening=None, start_weight=1.0).fit(CLOUD)
    model = small(init=UNEVEN, start_weight=1.0, warm_start=True).fit(CLOUD)
    assert (model.fit(CLOUD).history_["start_weight"] == 0).all()
    chunk = small(start_weight=1.0).partial_fit(CLOUD)
    assert (chunk.history_["start_weight"] == 0).all()


@pytest.mark.parametrize("name", [name for name, start in STARTS.items() if start.held])
def test_a_start_that_is_held_to_has_an_expert_for_each_cluster(name):
    X = CLOUD - CLOUD.min()
    with pytest.raises(ValueError, match=f"init='{name}', which needs one expert"):
        small(init=name, n_experts=5).fit(X)
    model = small(init=name, n_experts=5, start_weight=0.0).fit(X)
    assert len(model.expert_labels_) == 5
    assert len(small(init=name, n_experts="auto").fit(X).expert_labels_) == 3


@pytest.mark.parametrize("init", ["kmeans", "parts", "random"])
def test_the_start_is_told(init):
    assert small(init=init).fit(CLOUD).init_ == init


def test_the_start_that_is_kept_is_told(capsys):
    model = MixAEClustering(3, max_epochs=3, random_state=0, verbose=1).fit(CLOUD)
    starts = re.findall(
        r"start ./. \((\w+)\): objective (\S+) ", capsys.readouterr().out
    )
    assert model.init_ in dict(starts)
    assert model.set_params(init=model.labels_).fit(CLOUD).init_ == "given"
    model.set_params(init="auto", warm_start=True)
    assert model.fit(CLOUD).init_ == "given"  # it goes on
    few = MixAEClustering(3).partial_fit(CLOUD[:29])
    assert few.init_ == few.partial_fit(CLOUD).init_ == "random"
    stream = MixAEClustering(3, init="kmeans").partial_fit(CLOUD)
    assert stream.init_ == stream.partial_fit(CLOUD[:5]).init_ == "kmeans"


# -- sizes ---------------------------------------------------------------------


@pytest.mark.parametrize("evenness", [0.2, 0.7, 1.0])
def test_evenness_caps_what_is_rewarded_of_a_batch(evenness):
    objective = MixtureObjective(
        Reconstruction(LOSSES["mse"], 1.0),
        Constant(Weights(1, 1, 1, 0)),
        evenness=evenness,
    )
    for scale in (0.1, 1.0, 9.0):
        logits = scale * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        logits[:, 0] += scale
        usage = logits.softmax(-1).mean(0)
        entropy = -(usage * usage.log()).sum() / np.log(4)
        ceiling = 1 - 3 / (2 * 64 * np.log(4))
        got = objective.balance(logits.softmax(-1))
        assert_allclose(got, min(float(entropy), ceiling, evenness), rtol=1e-5)


def test_sizes_of_the_start_are_not_evened_out():
    def spread(sizes):
        model = small(init=UNEVEN, cluster_sizes=sizes, max_epochs=60).fit(CLOUD)
        shares = model.predict_proba(CLOUD).mean(0)
        return -(shares * np.log(shares)).sum()

    assert spread("start") < spread(None)


def test_a_warm_start_is_as_even_as_what_it_goes_on_from(monkeypatch):
    seen = []
    evenness = _fitting.evenness
    monkeypatch.setattr(
        _fitting, "evenness", lambda sizes: seen.append(sizes) or evenness(sizes)
    )
    model = small(init=UNEVEN, cluster_sizes="start", warm_start=True).fit(CLOUD)
    assert_allclose(seen.pop(), [0.7, 0.2, 0.1], atol=1e-6)
    before = np.bincount(model.labels_, minlength=3) / len(CLOUD)
    model.fit(CLOUD)
    assert_allclose(np.sort(seen.pop()), np.sort(before))


@pytest.mark.parametrize("n_features", [90, 150])
def test_a_warm_start_has_no_sizes_of_a_random_start_to_keep(n_features, monkeypatch):
    X = np.random.default_rng(0).normal(size=(90, n_features))
    model = small(init="random", n_init=1, warm_start=True)
    seen, evenness = [], _fitting.evenness
    monkeypatch.setattr(
        _fitting, "evenness", lambda sizes: seen.append(sizes) or evenness(sizes)
    )
    model.fit(X).fit(X)
    assert not seen


@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
def test_clusters_that_a_fit_started_from_stay_as_unlike_in_size(way):
    X, y = unlike(20)
    model = small(n_clusters=5, max_epochs=20, warm_start=True).fit(X)
    assert model.init_ == "mixture"
    for _ in range(3 if way == "warm_start" else 20):
        model = model.partial_fit(X) if way == "partial_fit" else model.fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.99


def test_auto_estimates_sizes_where_wide_rows_start_from_clusters(monkeypatch):
    seen = []
    evenness = _fitting.evenness
    monkeypatch.setattr(
        _fitting, "evenness", lambda sizes: seen.append(sizes) or evenness(sizes)
    )
    wide = np.random.default_rng(0).normal(size=(60, 101))
    small(n_init=1).fit(wide)
    assert len(seen) == 1
    for others in (
        {"init": "random"}, {"cluster_sizes": None}, {"n_experts": 4},
        {"n_clusters": 1}, {"cluster_sizes": [0.5, 0.3, 0.2]},
    ):  # fmt: skip
        small(n_init=1, **others).fit(wide)
    small().fit(CLOUD)
    assert len(seen) == 1


def test_sizes_of_no_start_are_refused():
    with pytest.raises(ValueError, match="needs clusters to start from"):
        small(init="random", cluster_sizes="start").fit(CLOUD)
    with pytest.raises(ValueError, match="needs one expert for each cluster"):
        small(n_experts=4, cluster_sizes="start").fit(CLOUD)
    with pytest.raises(ValueError, match="needs clusters to start from"):
        small(init="random", cluster_sizes="start").partial_fit(CLOUD)
    small(cluster_sizes="start").partial_fit(CLOUD).partial_fit(CLOUD)
