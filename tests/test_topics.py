"""Texts: the topics that are found in words, and when training starts from them."""

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from skmixae import MixAEClustering
from skmixae._problem import resolve_moments, resolve_problem
from skmixae.metrics import hungarian_accuracy_score
from skmixae.training import STARTS, Batches, Rows, Scaling
from skmixae.training.topics import LENGTHS, Topics, as_words, best_topics

SIZES = (0.6, 0.25, 0.1, 0.05)


def texts(n=800, sizes=SIZES, n_words=1500, seed=0, own=0.15):
    """Draw counts (n, words) of texts of unlike length, and their topics."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(sizes), n, p=sizes)
    common = rng.dirichlet(np.full(n_words, 0.3))
    topics = rng.dirichlet(np.full(n_words, 0.1), len(sizes))
    chances = (1 - own) * common + own * topics
    lengths = rng.negative_binomial(2, 0.03, n) + 5
    counts = np.array(
        [rng.multinomial(*text) for text in zip(lengths, chances[y], strict=True)]
    )
    return sparse.csr_matrix(counts.astype(np.float64)), y


def batches(X):
    scaling = Scaling(np.zeros(X.shape[1]), 1.0)
    return Batches(Rows(X), scaling, 256, torch.device("cpu"))


def topics_of(X, k, seed=0):
    return STARTS["topics"].find(batches(X), k, RandomState(seed))


COUNTS, TOPICS = texts()
WORDS = as_words(COUNTS)


def started(X, **parameters):
    model = MixAEClustering(**{"n_clusters": 4, "random_state": 0, **parameters})
    rows = Rows(X)
    return resolve_problem(model, rows, resolve_moments(model, rows))


@pytest.mark.parametrize("length", [1.0, 2.0])
def test_probabilities_are_those_of_words_drawn_one_by_one(length):
    """Against a loop over rows, topics and words."""
    X, _ = texts(60, n_words=30)
    labels = np.arange(60) % 3
    model = Topics(as_words(X), labels, 3, length=length)
    model._maximise(as_words(X), np.eye(3)[labels])
    rows = normalize(X.toarray())
    expected = np.empty((60, 3))
    for i, row in enumerate(rows):
        for k in range(3):
            own = rows[labels == k].sum(0) + 0.1 * rows.sum(0) / 3
            expected[i, k] = np.log((20 + 1) / (60 + 3))
            for w in np.flatnonzero(row):
                expected[i, k] += length * row[w] * np.log(own[w] / own.sum())
    expected = np.exp(expected - logsumexp(expected, axis=1, keepdims=True))
    assert_allclose(model.predict_proba(as_words(X)), expected, rtol=1e-9)


@pytest.mark.parametrize("length", LENGTHS)
def test_each_round_explains_better(length):
    """What is maximised has the average rows and the sizes, which smooth, beside it."""
    labels = RandomState(0).randint(0, 4, COUNTS.shape[0])
    model = Topics(WORDS, labels, 4, length=length)
    model._maximise(WORDS, np.eye(4)[labels])
    reached = []
    for _ in range(20):
        joint = model._joint(WORDS)
        each = logsumexp(joint, axis=1)
        smoothing = length * (model._average * model._log_chances).sum()
        reached.append(each.sum() + smoothing + model._log_sizes.sum())
        model._maximise(WORDS, np.exp(joint - each[:, None]))
    assert (np.diff(reached) > -1e-8 * np.abs(reached[0])).all()
    assert reached[-1] > reached[0]


@pytest.mark.parametrize("seed", range(3))
def test_topics_of_unlike_size_are_found_where_kmeans_cuts_the_largest(seed):
    X, y = texts(1500, seed=seed)
    words = TfidfTransformer().fit_transform(X)
    others = KMeans(4, n_init=10, random_state=seed).fit_predict(words)
    found = topics_of(words, 4, seed).argmax(1)
    accuracy = hungarian_accuracy_score(y, found)
    assert accuracy > 0.8
    assert accuracy > hungarian_accuracy_score(y, others) + 0.1


def test_only_the_direction_of_a_row_counts():
    scales = RandomState(0).uniform(0.1, 50, COUNTS.shape[0])
    scaled = sparse.diags(scales) @ COUNTS
    model = best_topics(WORDS, [TOPICS], 4)
    assert_allclose(
        model.predict_proba(as_words(scaled.tocsr())),
        model.predict_proba(WORDS),
        atol=1e-9,
    )


def test_rows_are_read_longer_where_topics_are_alike():
    apart, y = texts(own=0.5)
    assert best_topics(as_words(apart), [y], 4)._length == LENGTHS[0]
    assert best_topics(WORDS, [TOPICS], 4)._length > LENGTHS[0]


def test_words_of_no_row_and_rows_of_no_word_say_nothing():
    seen = WORDS[:, :800].toarray()
    seen[:, 600:] = 0.0  # words that no row has
    seen[0] = 0.0
    model = best_topics(sparse.csr_matrix(seen), [TOPICS], 4)
    new = seen[1:2].copy()
    with_unseen = new.copy()
    with_unseen[:, 650] = 3.0
    probabilities = model.predict_proba(sparse.csr_matrix(new))
    assert_allclose(
        model.predict_proba(sparse.csr_matrix(with_unseen)), probabilities, rtol=1e-9
    )
    nothing = model.predict_proba(sparse.csr_matrix(seen[:1]))
    assert_allclose(nothing[0], np.exp(model._log_sizes), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.float64])
def test_counts_of_any_type_start_from_topics(dtype):
    model = MixAEClustering(4, max_epochs=1, random_state=0)
    model.fit(COUNTS[:200].toarray().astype(dtype))
    assert model.init_ == "topics"


def test_dense_rows_have_the_same_topics():
    assert_array_equal(topics_of(COUNTS, 4), topics_of(COUNTS.toarray(), 4))


@pytest.mark.parametrize(("n", "k"), [(3, 5), (20, 1), (1, 1)])
def test_few_rows_and_one_topic(n, k):
    found = topics_of(COUNTS[:n], k)
    assert found.shape == (n, k)
    assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_rows_are_not_changed():
    X = COUNTS.copy()
    topics_of(X, 4)
    assert_array_equal(X.toarray(), COUNTS.toarray())


TFIDF = TfidfTransformer(sublinear_tf=True).fit_transform(COUNTS)


@pytest.mark.parametrize(
    ("X", "parameters", "start"),
    [
        (TFIDF, {}, "topics"),
        (COUNTS, {}, "topics"),
        (TFIDF[:, :90], {}, "topics"),
        (TFIDF.toarray(), {}, "topics"),
        (TFIDF, {"n_experts": 12}, "kmeans"),
        (-TFIDF, {}, "kmeans"),
        (TFIDF, {"directions": False}, "spectral"),
    ],
)
def test_words_start_from_topics(X, parameters, start):
    assert started(X, **parameters).start == start


def test_training_holds_to_topics_and_their_sizes():
    problem = started(TFIDF)
    assert problem.weights.start == 5.0
    assert problem.balance.as_even_as_start
    assert problem.comparison.n_init == 1
    assert problem.spec.n_experts == 4


def test_texts_are_clustered_by_topic():
    X, y = texts(1500, seed=3)
    words = TfidfTransformer().fit_transform(X)
    model = MixAEClustering(4, random_state=0).fit(words)
    others = KMeans(4, n_init=10, random_state=0).fit_predict(words)
    accuracy = hungarian_accuracy_score(y, model.labels_)
    assert accuracy > 0.8
    assert accuracy > hungarian_accuracy_score(y, others) + 0.1


def test_values_that_are_negative_are_no_words():
    with pytest.raises(ValueError, match=r"init='topics' needs counts .*-"):
        MixAEClustering(2, init="topics").fit(RandomState(0).normal(size=(50, 5)))
