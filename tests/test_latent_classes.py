"""Tables of categories: when rows are one, and the classes that are found in them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.preprocessing import OneHotEncoder

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
RNG = np.random.default_rng(1)
SEVEN_BITS = RNG.integers(0, 2, (500, 7)).astype(float)


@pytest.mark.parametrize(
    ("X", "k", "are_some"),
    [
        (VALUES.astype(np.float32), 3, True),
        (indicators(VALUES), 3, True),
        (np.c_[indicators(VALUES), RNG.normal(size=(1200, 6))], 3, True),
        (np.c_[VALUES[:, :6], RNG.normal(size=(1200, 6))], 3, False),
        (indicators(categories(n_values=18)[0]), 3, True),  # nine in ten are zero
        (RNG.poisson(0.04 * RNG.gamma(1, size=(300, 1)), (300, 100)), 3, False),
        (load_iris().data, 3, False),
        (RNG.normal(size=(40, 5)), 2, False),
        (RNG.normal(size=(7, 5)), 2, False),
        (SEVEN_BITS, 2, True),
        (SEVEN_BITS, 10, False),  # 128 rows that differ, 70 parameters
        (np.ones((50, 3)), 2, False),
    ],
)
def test_tables_of_categories_are_told_from_numbers_and_words(X, k, are_some):
    assert Evidence(batches(np.asarray(X, dtype=np.float64)), k).are_categories() is (
        are_some
    )


def dependent(n=600, seed=0):
    """Draw answers of two kinds of people, of whom either answers alike, or not."""
    rng = np.random.default_rng(seed)
    kind, mood = rng.integers(2, size=(2, n))
    likely = 0.1 + 0.45 * kind + 0.35 * mood
    return (rng.random((n, 12)) < likely[:, None]).astype(float), kind


@pytest.mark.parametrize(
    ("X", "k", "are_some"),
    [(VALUES, 3, True), (VALUES, 2, False), (dependent()[0], 2, False)],
)
def test_classes_are_told_from_features_that_depend_on_each_other(X, k, are_some):
    assert Evidence(batches(X.astype(float)), k).are_latent_classes() is are_some


def test_categories_of_no_classes_are_clustered_as_k_means_has_their_indicators():
    X, _ = dependent()
    by_centres = KMeans(2, n_init=10, random_state=0).fit_predict(X)
    model = MixAEClustering(2, max_epochs=30, random_state=0).fit(X)
    assert hungarian_accuracy_score(by_centres, model.labels_) > 0.95


@pytest.mark.parametrize("name", ["categories", "latent_classes"])
def test_starts_read_indicators_as_the_categories_that_they_are_of(name):
    given = batches(VALUES.astype(float)), batches(indicators(VALUES).astype(float))
    one, other = (STARTS[name](rows, 3, np.random.RandomState(0)) for rows in given)
    assert_allclose(one, other, atol=1e-6)


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
    X = VALUES.astype(np.float32)
    model, rows = MixAEClustering(3, random_state=0), Rows(X)
    problem = resolve_problem(model, rows, resolve_moments(model, rows))
    assert (problem.start, problem.other_starts) == ("latent_classes", ())
    assert (problem.spec.n_experts, problem.weights.start) == (3, 20)
    assert problem.as_even_as_start


def test_all_rows_have_probabilities_by_classes_of_a_sample(monkeypatch):
    monkeypatch.setattr(initialisation, "SPECTRAL_ROWS", 300)
    given = batches(VALUES.astype(np.float32))
    found = STARTS["latent_classes"](given, 3, np.random.RandomState(0))
    assert hungarian_accuracy_score(CLASSES, found.argmax(1)) > 0.95


@pytest.mark.parametrize("n_numbers", [0, 2])
def test_probabilities_are_those_of_independent_features(n_numbers):
    """Against a loop over rows, classes and features."""
    rng = np.random.default_rng(0)
    X = np.c_[categories(90, n_features=3)[0], rng.normal(size=(90, n_numbers))]
    labels = rng.integers(0, 2, 90)
    model = LatentClasses(Coding(X))
    seen = model.coding.indicators(X), model.coding.numbers(X)
    model._learn(*seen, np.eye(2)[labels])
    scaled = (X - X.mean(0)) / X.std(0)
    expected = np.empty((90, 2))
    for i, row in enumerate(X):
        for c in range(2):
            own = labels == c
            p = (own.sum() + 1) / 92
            for j in range(3):
                everywhere = (X[:, j] == row[j]).mean()
                p *= ((X[own, j] == row[j]).sum() + everywhere) / (own.sum() + 1)
            for j in range(3, 3 + n_numbers):
                mean, spread = scaled[own, j].mean(), scaled[own, j].std()
                p *= norm.pdf(scaled[i, j], mean, spread)
            expected[i, c] = p
    expected /= expected.sum(1, keepdims=True)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_features=st.integers(1, 6),
    n_values=st.integers(2, 5),
    n_classes=st.integers(1, 4),
)
def test_classes_explain_rows_better_than_what_they_were_found_from(
    seed, n_features, n_values, n_classes
):
    X, _ = categories(60, n_features=n_features, n_values=n_values, seed=seed)
    labels = np.random.default_rng(seed).integers(0, n_classes, 60)

    def explained(rounds):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("skmixae.training.latent_classes.MOST_ROUNDS", rounds)
            model = LatentClasses(Coding(X)).fit(X, labels, n_classes)
        joint = model._joint(model.coding.indicators(X), model.coding.numbers(X))
        # The rows, and one more of each class, by which values are smoothed.
        prior = np.asarray(model.coding.indicators(X).mean(0)) * model._log_values
        sizes = model._log_sizes
        return np.logaddexp.reduce(joint, axis=1).sum() + prior.sum() + sizes.sum()

    assert explained(30) >= explained(1) - 1e-6


def test_a_value_that_was_not_seen_says_nothing():
    X = VALUES[:, :5].astype(float)
    model = latent_class_model(X, 3, np.random.RandomState(0))
    rows = X[:20].copy()
    rows[:, 2] = 99
    found = model.predict_proba(rows)
    assert np.isfinite(found).all()
    rows[:, 2] = -99
    assert_allclose(found, model.predict_proba(rows))


@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
@pytest.mark.parametrize("standardised", [False, True])
def test_indicators_of_a_category_are_one_feature(drop, standardised):
    values, y = categories(400, n_features=6, n_values=4)
    values[:, 2] //= 2
    X = OneHotEncoder(sparse_output=False, drop=drop).fit_transform(values)
    X = (X - X.mean(0)) / X.std(0) if standardised else X
    by_values, by_indicators = (
        LatentClasses(Coding(rows)).fit(rows, y, 3) for rows in (values, X)
    )
    assert_allclose(by_indicators.score, by_values.score)
    assert_allclose(by_indicators.predict_proba(X), by_values.predict_proba(values))


def test_a_large_class_cut_in_two_has_a_lower_score_than_small_ones_found():
    values, y = categories(2000, (0.53, 0.26, 0.13, 0.06, 0.02), 20)
    cut = np.where(y == 0, np.arange(2000) % 2, y + 1)
    cut[y == 4] = 4  # the two smallest are one
    truth, other = (
        LatentClasses(Coding(values)).fit(values, labels, 5) for labels in (y, cut)
    )
    assert truth.score > other.score
