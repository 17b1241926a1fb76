"""Tables of categories: when rows are one, and the classes that are found in them."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import norm
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmixae import MixAEClustering
from skmixae._problem import resolve_moments, resolve_problem
from skmixae.metrics import hungarian_accuracy_score
from skmixae.training import STARTS, Batches, Evidence, Rows, Scaling, initialisation
from skmixae.training.initialisation import latent_class_model
from skmixae.training.latent_classes import Coding, LatentClasses


def categories(n=1200, sizes=(0.5, 0.3, 0.2), n_features=15, n_values=4, seed=0):
    """Draw categories (n, features), independent in each class, and the classes."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(sizes), n, p=sizes)
    chances = rng.dirichlet(np.ones(n_values), (len(sizes), n_features)).cumsum(-1)
    values = (rng.random((n, n_features, 1)) > chances[y]).sum(-1)
    return values.clip(max=n_values - 1), y


def indicators(values):
    return OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(values)


def batches(X):
    scaling = Scaling(np.zeros(X.shape[1]), 1.0)
    return Batches(Rows(X), scaling, 256, torch.device("cpu"))


VALUES, CLASSES = categories()
INDICATORS = indicators(VALUES)
RNG = np.random.default_rng(1)
NOISE = RNG.normal(size=(1200, 6))
# Texts of as many words each.
FIVE_WORDS = np.random.default_rng(2).random((60, 150)).argsort(1) < 5
SEVEN_BITS = RNG.integers(0, 2, (500, 7)).astype(float)


def said(X, k=3):
    return Evidence(batches(np.asarray(X, dtype=np.float64)), k)


@pytest.mark.parametrize(
    ("X", "are_some"),
    [
        (INDICATORS, True),
        (StandardScaler().fit_transform(INDICATORS), True),
        (np.c_[INDICATORS, NOISE], True),
        (np.c_[INDICATORS[:, :12], NOISE], False),
        (indicators(categories(n_values=18)[0]), True),  # nine in ten are zero
        (SEVEN_BITS, True),
        (VALUES, False),  # grades
        (RNG.poisson(0.04 * RNG.gamma(1, size=(300, 1)), (300, 100)) > 0, False),
        (FIVE_WORDS, False),
        (load_iris().data, False),
        (NOISE[:7], False),
        (np.ones((50, 3)), False),
    ],
)
def test_indicators_are_told_from_numbers_and_words(X, are_some):
    assert said(X).are_indicators() is are_some


@pytest.mark.parametrize(
    ("X", "are_some"),
    [(INDICATORS, True), (INDICATORS[:, ::4], False), (SEVEN_BITS, False)],
)
def test_categories_have_several_indicators(X, are_some):
    assert said(X).are_categories() is are_some


def dependent(n=600, seed=0):
    """Draw grades of two kinds of people, who give high ones all, or low ones."""
    rng = np.random.default_rng(seed)
    kind, mood = rng.integers(2, size=(2, n))
    likely = 0.1 + 0.45 * kind + 0.35 * mood
    return (rng.random((n, 12, 2)) < likely[:, None, None]).sum(-1)


DEPENDENT = indicators(dependent())


@pytest.mark.parametrize(
    ("X", "k", "are_some"),
    [
        (INDICATORS, 3, True),
        (INDICATORS, 2, False),
        (np.c_[INDICATORS, NOISE], 3, True),
        (DEPENDENT, 2, False),
        (SEVEN_BITS, 10, False),  # 128 rows that differ, 70 parameters
        # Grades are no classes by themselves, however exactly a class has one of them.
        (np.c_[NOISE, RNG.integers(3, size=1200)], 3, False),
        (np.c_[NOISE, RNG.integers(5, size=1200)], 5, False),
    ],
)
def test_classes_are_told_from_features_that_depend_on_each_other(X, k, are_some):
    assert said(X, k).are_latent_classes() is are_some


COIN = RNG.integers(2, size=(1200, 1))
DAYS = indicators(RNG.integers(7, size=(1200, 1)))
DRAWN = indicators(RNG.integers(20, size=(1200, 1)))


def beside(values, n_features, n_blobs=3):
    """Put values beside standardised numbers of some blobs, which they do not know."""
    X, y = make_blobs(
        len(values), n_features, centers=n_blobs, cluster_std=2, random_state=1,
        center_box=(-6, 6),
    )  # fmt: skip
    return np.c_[StandardScaler().fit_transform(X), values], y


@pytest.mark.parametrize(
    ("X", "are_some", "follows"),
    [
        (beside(COIN, 4)[0], True, True),
        (10 * beside(COIN, 4)[0], True, True),
        (beside(-3 * COIN, 40)[0], True, True),
        (beside(COIN, 40)[0], True, False),
        (beside(COIN / 5, 4)[0], True, False),
        (beside(DAYS, 4)[0], True, True),
        (beside(DRAWN, 4)[0], True, True),  # of which each value is rare
        (beside(DRAWN / 2, 4)[0], True, False),
        (beside(DRAWN[:, :1], 4)[0], False, False),
        (beside(RNG.integers(3, size=(1200, 1)), 4)[0], True, True),
        (beside(RNG.integers(5, size=(1200, 1)), 4)[0], False, False),
        (beside(RNG.normal(size=(1200, 1)), 4)[0], False, False),
        (beside(COIN[:20], 4)[0], True, False),  # too few rows for a graph
        (RNG.poisson(0.04 * RNG.gamma(1, size=(300, 1)), (300, 100)), False, None),
        (load_iris().data, False, False),
        (np.ones((50, 3)), False, False),
    ],
)
def test_categories_among_numbers_are_told_and_whether_they_cut_the_graph(
    X, are_some, follows
):
    assert said(X).are_mixed() is are_some
    if follows is not None:
        assert said(X).graph_follows_values() is follows


@pytest.mark.parametrize(
    "values",
    [
        COIN[:600],
        indicators(RNG.integers(3, size=(600, 1))),
        RNG.integers(3, size=(600, 1)),
    ],
    ids=["a coin", "a category", "grades"],
)
def test_a_feature_that_says_nothing_does_not_become_the_clusters(values):
    X, y = beside(values, 4)
    model = MixAEClustering(3, max_epochs=10, random_state=0).fit(X)
    assert model.init_ in ("latent_classes", "plain")
    right = adjusted_rand_score(y, model.labels_)
    assert right > 0.8
    by_graph = model.set_params(init="spectral", n_experts=None).fit(X)
    assert adjusted_rand_score(y, by_graph.labels_) < right - 0.1


def test_classes_are_told_by_categories_and_numbers_together():
    """Customers: neither of the two tells as much alone."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, 600, p=[0.5, 0.3, 0.2])
    numbers = np.array([[0, 0], [2, 3], [4, 0]])[kind] + rng.normal(size=(600, 2))
    chances = np.array([[6, 1, 1], [1, 6, 1], [1, 2, 5]]).cumsum(1) / 8
    city = (rng.random((600, 1)) > chances[kind]).sum(1, keepdims=True)
    X = np.c_[StandardScaler().fit_transform(numbers), indicators(city)]
    model = MixAEClustering(3, max_epochs=10, random_state=0).fit(X)
    assert model.init_ == "latent_classes"
    by_centres = KMeans(3, n_init=10, random_state=0).fit_predict(X)
    ours, theirs = (adjusted_rand_score(kind, z) for z in (model.labels_, by_centres))
    assert ours > max(theirs, 0.85)


def test_categories_of_no_classes_are_clustered_as_k_means_has_them():
    by_centres = KMeans(2, n_init=10, random_state=0).fit_predict(DEPENDENT)
    model = MixAEClustering(2, max_epochs=30, random_state=0).fit(DEPENDENT)
    assert hungarian_accuracy_score(by_centres, model.labels_) > 0.95


def test_grades_are_clustered_as_numbers():
    """Of few rows, too few to learn a probability for each grade."""
    rng = np.random.default_rng(202)
    y = rng.choice(3, 150)
    likely = rng.choice([-1.2, 0, 1.2], (3, 12))[y]
    marks = (3 + likely + 0.9 * rng.normal(size=(150, 12))).round().clip(1, 5)
    found = MixAEClustering(3, random_state=0).fit_predict(marks[:60])
    assert hungarian_accuracy_score(y[:60], found) > 0.85


def test_classes_of_unlike_size_are_found_where_k_means_cuts_the_largest():
    values, y = categories(2000, (0.53, 0.26, 0.13, 0.06, 0.02), 20)
    X = indicators(values)
    by_centres = KMeans(5, n_init=10, random_state=0).fit_predict(X)
    assert hungarian_accuracy_score(y, by_centres) < 0.9
    model = MixAEClustering(5, max_epochs=40, random_state=0).fit(X)
    assert hungarian_accuracy_score(y, model.labels_) > 0.97
    assert model.expert_labels_.tolist() == [0, 1, 2, 3, 4]
    assert model.predict_proba(X).argmax(1).tolist() == model.labels_.tolist()


@pytest.mark.parametrize("as_sparse", [False, True])
def test_indicators_may_be_sparse(as_sparse):
    values, y = categories(600, n_values=12)
    X = indicators(values)
    X = sparse.csr_array(X) if as_sparse else X
    found = MixAEClustering(3, max_epochs=30, random_state=0).fit_predict(X)
    assert hungarian_accuracy_score(y, found) > 0.97


def test_auto_holds_to_latent_classes_and_their_sizes():
    model, rows = MixAEClustering(3, random_state=0), Rows(INDICATORS)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert (problem.start, problem.other_starts) == ("latent_classes", ())
    assert (problem.spec.n_experts, problem.weights.start) == (3, 20)
    assert problem.balance.as_even_as_start


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, bool])
@pytest.mark.parametrize("init", ["auto", "latent_classes", "plain"])
def test_indicators_may_be_of_every_type(dtype, init):
    X = INDICATORS[:300].astype(dtype)
    model = MixAEClustering(3, init=init, max_epochs=30, random_state=0).fit(X)
    assert hungarian_accuracy_score(CLASSES[:300], model.labels_) > 0.9


def test_all_rows_have_probabilities_by_classes_of_a_sample(monkeypatch):
    monkeypatch.setattr(initialisation, "SAMPLE_BYTES", 300 * 8 * INDICATORS.shape[1])
    found = STARTS["latent_classes"].find(batches(INDICATORS), 3, RandomState(0))
    assert hungarian_accuracy_score(CLASSES, found.argmax(1)) > 0.95


def test_wide_rows_are_looked_at_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(initialisation, "SAMPLE_BYTES", 2**24)
    X = sparse.random(4000, 5000, 0.05, format="csr", random_state=0)
    X.data[:] = 1
    evidence = Evidence(batches(X), 3)
    tracemalloc.start()
    evidence.are_indicators()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * initialisation.SAMPLE_BYTES < X.shape[0] * X.shape[1] * 8


def classes_of(X, labels, k):
    coding = Coding(np.asarray(X, dtype=np.float64))
    coded = coding.read(X)
    model = LatentClasses(coded, labels, k)
    model.improve(coded)
    return model, coded


@pytest.mark.parametrize("n_numbers", [0, 2])
def test_probabilities_are_those_of_independent_features(n_numbers):
    """Against a loop over rows, classes and features."""
    rng = np.random.default_rng(0)
    values = categories(90, n_features=3)[0]
    numbers = rng.normal(size=(90, n_numbers))
    labels = rng.integers(0, 2, 90)
    coding = Coding(np.c_[indicators(values), numbers])
    coded = coding.read(np.c_[indicators(values), numbers])
    model = LatentClasses(coded, labels, 2)
    model._maximise(coded, np.eye(2)[labels])
    scaled = (numbers - numbers.mean(0)) / numbers.std(0)
    expected = np.empty((90, 2))
    for i, row in enumerate(values):
        for c in range(2):
            own = labels == c
            p = (own.sum() + 1) / 92
            for j in range(3):
                everywhere = (values[:, j] == row[j]).mean()
                p *= ((values[own, j] == row[j]).sum() + everywhere) / (own.sum() + 1)
            for j in range(n_numbers):
                mean, spread = scaled[own, j].mean(), scaled[own, j].std()
                p *= norm.pdf(scaled[i, j], mean, spread)
            expected[i, c] = p
    expected /= expected.sum(1, keepdims=True)
    assert_allclose(model.predict_proba(coded), expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_features=st.integers(1, 6),
    n_values=st.integers(2, 5),
    n_classes=st.integers(1, 4),
)
def test_each_round_explains_rows_better(seed, n_features, n_values, n_classes):
    values, _ = categories(60, n_features=n_features, n_values=n_values, seed=seed)
    coding = Coding(indicators(values))
    coded = coding.read(indicators(values))
    labels = np.random.default_rng(seed).integers(0, n_classes, 60)
    model = LatentClasses(coded, labels, n_classes)

    def explained():
        # The rows, and one more of each class, by which values are smoothed.
        joint = model._joint(coded)
        prior = model._average * model._log_values
        sizes = model._log_sizes
        return np.logaddexp.reduce(joint, axis=1).sum() + prior.sum() + sizes.sum()

    before = explained()
    model.improve(coded, 1)
    assert explained() >= before - 1e-6


def test_what_was_not_seen_of_a_category_says_nothing():
    coding = Coding(INDICATORS)
    model = latent_class_model(coding.read(INDICATORS), 3, RandomState(0))
    some, told_twice = INDICATORS[:20].copy(), INDICATORS[:20].copy()
    some[:, 4:8] = 0
    told_twice[:, 4:8] = 1
    found = model.predict_proba(coding.read(some))
    assert np.isfinite(found).all()
    assert_allclose(found, model.predict_proba(coding.read(told_twice)))


@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("unused", [False, True])
def test_indicators_of_a_category_are_one_feature(drop, standardised, unused):
    values, y = categories(400, n_features=6, n_values=4)
    values[:, 2] //= 2
    X = OneHotEncoder(sparse_output=False, drop=drop).fit_transform(values)
    X = (X - X.mean(0)) / X.std(0) if standardised else X
    if unused:  # values that the encoder knows and no row has
        X = np.insert(X, range(1, X.shape[1] + 1), 0.0, axis=1)
    model, coded = classes_of(X, y, 3)
    same, others = classes_of(indicators(values), y, 3)
    assert_allclose(model.score, same.score)
    assert_allclose(model.predict_proba(coded), same.predict_proba(others), atol=1e-9)


def test_a_large_class_cut_in_two_has_a_lower_score_than_small_ones_found():
    values, y = categories(2000, (0.53, 0.26, 0.13, 0.06, 0.02), 20)
    cut = np.where(y == 0, np.arange(2000) % 2, y + 1)
    cut[y == 4] = 4  # the two smallest are one
    truth, other = (classes_of(indicators(values), some, 5)[0] for some in (y, cut))
    assert truth.score > other.score


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_categories_are_read_whatever_transformers_return(output):
    pytest.importorskip(output)
    values, _ = categories(200)
    X = np.c_[indicators(values), np.random.default_rng(0).normal(size=200)]
    expected = MixAEClustering(3, max_epochs=2, random_state=0).fit(X)
    with config_context(transform_output=output):
        model = MixAEClustering(3, max_epochs=2, random_state=0).fit(X)
    assert model.init_ == expected.init_ == "latent_classes"
    assert_array_equal(model.labels_, expected.labels_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "X", [np.random.default_rng(0).normal(size=(2, 4)), np.eye(3), np.eye(5)]
)
def test_as_many_rows_of_two_values_as_clusters_are_enough(X):
    labels = MixAEClustering(len(X), max_epochs=2, random_state=0).fit(X).labels_
    assert labels.shape == (len(X),)
