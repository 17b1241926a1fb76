"""Starting points: k-means on a sample, and what teaching makes of labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array, csr_matrix
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import load_digits, make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from skmixae.network import NetworkSpec, build_network
from skmixae.objective import (
    LOSSES,
    SCHEDULES,
    MixtureObjective,
    Reconstruction,
    Weights,
)
from skmixae.training import (
    Batches,
    Moments,
    Randomness,
    Rows,
    Scaling,
    Target,
    Teaching,
    TrainingPlan,
    graph,
    initialisation,
    train,
)
from skmixae.training.graph import (
    graph_of,
    has_graph,
    n_parts,
    places,
    spectral_model,
)
from skmixae.training.initialisation import kmeans_labels

CPU = torch.device("cpu")
N_CLUSTERS = 4


def blobs(n=200, n_features=3):
    """Rows about four far corners, and which corner is whose."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_CLUSTERS, size=n)
    corners = 8 * np.eye(N_CLUSTERS, n_features)
    X = corners[labels] + rng.normal(scale=0.5, size=(n, n_features))
    return X.astype(np.float32), labels


def batches_of(X, batch_size=32):
    moments = Moments()
    moments.update(X)
    return Batches(Rows(X), moments.scaling(LOSSES["mse"]), batch_size, CPU)


def make_network():
    spec = NetworkSpec(N_CLUSTERS, (3,), 2, "mlp", (8,), (2,), (16,), "hidden", "relu")
    return build_network(spec, torch.Generator().manual_seed(0))


def make_objective():
    weights = Weights(1.0, 0.1, 0.4, 0.0)
    return MixtureObjective(
        Reconstruction(LOSSES["mse"], 1.0),
        SCHEDULES["balanced"](weights),
        input_noise=0.5,
    )


def teach(start, X, n_epochs=40):
    network, teaching = make_network(), Teaching(make_objective(), start)
    trained = train(
        network, teaching, batches_of(X), TrainingPlan(n_epochs, 0.01),
        Randomness.from_seed(0, CPU), n_experts=N_CLUSTERS,
    )  # fmt: skip
    x = torch.from_numpy(batches_of(X).scaling.apply(X))
    with torch.no_grad():
        return network.eval()(x), x, trained


# ---------------------------------------------------------------------------
# k-means
# ---------------------------------------------------------------------------


def test_labels_are_those_of_kmeans():
    X, labels = blobs()
    found = kmeans_labels(batches_of(X), N_CLUSTERS, np.random.RandomState(0))
    assert found.shape == (len(X),)
    assert adjusted_rand_score(labels, found) == 1.0


@pytest.mark.rng_untouched
def test_equal_seeds_give_equal_labels():
    X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)

    def label(seed):
        return kmeans_labels(batches_of(X), 5, np.random.RandomState(seed))

    assert_array_equal(label(0), label(0))
    assert (label(0) != label(1)).any()


def test_rows_are_clustered_in_the_units_that_the_network_sees():
    X, labels = blobs()
    found = kmeans_labels(
        batches_of(1e6 + 1e3 * X), N_CLUSTERS, np.random.RandomState(0)
    )
    assert adjusted_rand_score(labels, found) == 1.0


@pytest.mark.parametrize(("n_clusters", "expected"), [(2, 50), (12, 84)])
def test_kmeans_sees_a_bounded_sample_and_labels_every_row(
    n_clusters, expected, monkeypatch
):
    seen = []

    class Counting(KMeans):
        def fit(self, X):
            seen.append(len(np.unique(X, axis=0)))
            return super().fit(X)

    monkeypatch.setattr(initialisation, "KMeans", Counting)
    monkeypatch.setattr(initialisation, "KMEANS_ROWS", 50)
    monkeypatch.setattr(initialisation, "KMEANS_ROWS_PER_CLUSTER", 7)
    X, _ = blobs()
    found = kmeans_labels(batches_of(X), n_clusters, np.random.RandomState(0))
    assert seen == [expected]  # each row once
    assert len(found) == len(X)


def test_fewer_rows_than_the_sample_are_all_used():
    X, labels = blobs(30)
    found = kmeans_labels(batches_of(X), N_CLUSTERS, np.random.RandomState(0))
    assert adjusted_rand_score(labels, found) == 1.0


# ---------------------------------------------------------------------------
# Spectral clustering
# ---------------------------------------------------------------------------


def by_sklearn(X, n_clusters, random_state):
    """What `spectral_model` is to find, and sooner."""
    model = SpectralClustering(
        n_clusters, affinity="nearest_neighbors", n_neighbors=graph.NEIGHBOURS,
        random_state=random_state,
    )  # fmt: skip
    return model.fit(X)


RNG = np.random.default_rng(0)
ANGLES, WIDTHS = np.arange(600) * 2 * np.pi / 600, RNG.uniform(1, 12, 1500)
SHAPES = {
    "noise": RNG.normal(size=(600, 12)),
    "float32": RNG.normal(size=(600, 3)).astype(np.float32),
    "blobs": make_blobs(600, 20, centers=5, cluster_std=8.0, random_state=0)[0],
    "uneven": make_blobs([400, 120, 60], 10, cluster_std=8.0, random_state=2)[0],
    "digits": load_digits().data[:900],
    "circles": make_circles(900, noise=0.1, factor=0.5, random_state=0)[0],
    # In parts.
    "apart": make_blobs(400, 5, centers=8, cluster_std=0.2, random_state=0)[0],
    "moons": make_moons(600, noise=0.05, random_state=0)[0],
    # Along a line.
    "ring": np.c_[np.cos(ANGLES), np.sin(ANGLES)],
    "spiral": np.c_[WIDTHS * np.cos(WIDTHS), WIDTHS * np.sin(WIDTHS)]
    + RNG.normal(0, 0.05, (1500, 2)),
}


@pytest.fixture
def factorised(monkeypatch):
    """Count how often scikit-learn has to factorise a graph."""
    calls = []

    class Counting(SpectralClustering):
        def fit(self, X):
            calls.append(X)
            return super().fit(X)

    monkeypatch.setattr(graph, "SpectralClustering", Counting)
    return calls


@pytest.mark.rng_untouched
@pytest.mark.parametrize("n_clusters", [2, 5, 16])
@pytest.mark.parametrize(
    "name", ["noise", "float32", "blobs", "uneven", "digits", "circles"]
)
def test_a_graph_in_one_part_has_the_clusters_that_scikit_learn_finds(
    name, n_clusters, factorised
):
    X = SHAPES[name]
    for seed in range(2):
        found = spectral_model(X, n_clusters, np.random.RandomState(seed))
        expected = by_sklearn(X, n_clusters, np.random.RandomState(seed))
        assert adjusted_rand_score(expected.labels_, found.labels_) > 0.99
        assert (found.affinity_matrix_ != expected.affinity_matrix_).nnz == 0
    assert not factorised


@pytest.mark.rng_untouched
@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize(
    ("name", "n_clusters"),
    [("apart", 8), ("apart", 4), ("apart", 12), ("moons", 2), ("spiral", 2),
     ("ring", 2)],
)  # fmt: skip
def test_a_graph_in_parts_or_along_a_line_is_left_to_scikit_learn(
    name, n_clusters, factorised
):
    X = SHAPES[name]
    for seed in range(2):
        theirs, ours = np.random.RandomState(seed), np.random.RandomState(seed)
        found = spectral_model(X, n_clusters, ours)
        expected = by_sklearn(X, n_clusters, theirs)
        assert_array_equal(found.labels_, expected.labels_)
        assert ours.uniform() == theirs.uniform()  # nothing more was drawn
    assert len(factorised) == 2


@pytest.mark.parametrize("name", ["blobs", "circles", "moons", "apart"])
def test_rows_that_are_the_same_count_once_in_a_graph(name):
    """Else their neighbours are each other, and there are no shapes."""
    X = SHAPES[name]
    once = spectral_model(X, 5, np.random.RandomState(0))
    assert_array_equal(once.different, np.arange(len(X)))
    again = np.random.default_rng(0).permutation(np.repeat(np.arange(len(X)), 12))
    numbers = np.concatenate([np.arange(len(X)), again])
    for rows in (X[numbers], csr_matrix(X[numbers]), csr_array(X[numbers])):
        found = spectral_model(rows, 5, np.random.RandomState(0))
        assert_array_equal(found.labels_, once.labels_[numbers])
        assert_array_equal(found.different, np.arange(len(X)))
        assert (found.affinity_matrix_ != once.affinity_matrix_).nnz == 0


@pytest.mark.parametrize("convert", [np.asarray, csr_matrix, csr_array])
def test_places_are_those_of_rows_that_differ(convert):
    X = np.random.default_rng(0).integers(3, size=(300, 4)).astype(float)
    place = places(convert(X))
    for i, j in np.random.default_rng(1).integers(300, size=(500, 2)):
        assert (place[i] == place[j]) == (X[i] == X[j]).all()
    first = np.unique(place, return_index=True)[1]
    assert_array_equal(first, np.sort(first))  # in order


def test_rows_of_few_places_have_no_graph():
    rows = np.repeat(np.eye(10), 90, axis=0)
    assert not has_graph(rows, 2)
    assert has_graph(rows + np.random.default_rng(0).normal(size=rows.shape), 2)


@pytest.mark.parametrize("n_clusters", [1, 4, 20])
def test_of_few_neighbours_as_many_are_taken_as_keep_the_graph_together(n_clusters):
    # Twenty groups of seven rows, five beside one another in each of four clusters.
    group = np.repeat(np.arange(20), 7)
    places = 40.0 * (group // 5) + group % 5
    rows = np.c_[places, np.random.default_rng(0).normal(0, 0.1, 140)]
    parts = [n_parts(graph_of(rows, n_clusters, [n])) for n in range(5, 60)]
    enough = next(n for n in range(5, 60) if parts[n - 5] <= n_clusters)
    found = graph_of(rows, n_clusters, range(5, 60))
    assert (found != graph_of(rows, n_clusters, [enough])).nnz == 0
    assert n_parts(graph_of(rows, n_clusters, range(2, 5))) == parts[0] == 20
    few = spectral_model(rows, 4, np.random.RandomState(0), range(5, 21)).labels_
    assert adjusted_rand_score(group // 5, few) == 1
    fewest = spectral_model(rows, 4, np.random.RandomState(0), [5]).labels_
    assert adjusted_rand_score(group // 5, fewest) < 0.9


def test_a_graph_of_few_rows_has_no_more_neighbours_than_rows():
    rows = np.array([0.0, 1.0, 2.0, 3.0, 100.0, 101.0, 102.0, 103.0])[:, None]
    assert n_parts(graph_of(rows, 1, range(2, 20))) == 1


def test_a_graph_of_fewer_neighbours_needs_fewer_rows():
    rows = np.random.default_rng(0).normal(size=(101, 3))
    assert has_graph(rows, 20, 5)
    assert not has_graph(rows, 20)
    assert not has_graph(rows[:100], 20, 5)


def test_clusters_of_a_graph_do_not_depend_on_who_finds_them(monkeypatch, factorised):
    """Of rows on the verge of converging, rounding may tell."""
    X = SHAPES["circles"]
    found = spectral_model(X, 4, np.random.RandomState(0)).labels_
    assert not factorised
    monkeypatch.setattr(graph, "LANCZOS_RESTARTS", 1)
    assert_array_equal(found, spectral_model(X, 4, np.random.RandomState(0)).labels_)
    assert factorised


@pytest.mark.parametrize("name", ["noise", "spiral"])
def test_clusters_of_a_graph_are_a_function_of_rows_and_seed(name):
    X = SHAPES[name]
    first = spectral_model(X, 4, np.random.RandomState(3)).labels_
    for rows in (X, csr_matrix(X), csr_array(X)):
        again = spectral_model(rows, 4, np.random.RandomState(3)).labels_
        assert_array_equal(first, again)


# ---------------------------------------------------------------------------
# Labels and probabilities
# ---------------------------------------------------------------------------


def target(start):
    return Target.of(np.asarray(start), N_CLUSTERS, CPU)


def test_labels_become_one_hot_and_probabilities_stay():
    labels, index = np.array([2, 0, 3, 2], dtype=np.int8), torch.tensor([3, 1, 1])
    probabilities = target(labels)(index)
    assert probabilities.dtype == torch.float32
    for row, label in zip(probabilities, labels[index.numpy()], strict=True):
        assert row.tolist() == [float(k == label) for k in range(N_CLUSTERS)]
    given = np.random.default_rng(0).dirichlet([1] * N_CLUSTERS, size=5)
    assert_array_equal(target(given)(index), given[index].astype(np.float32))


def test_a_start_has_its_sizes_and_finite_logarithms():
    labels, every = np.array([2, 0, 3, 2], dtype=np.int8), torch.arange(4)
    assert target(labels).sizes().tolist() == [0.25, 0, 0.5, 0.25]
    one_hot = np.eye(N_CLUSTERS)[labels]
    assert_array_equal(target(one_hot).sizes(), target(labels).sizes())
    logarithms = target(labels).logarithms(every)
    assert torch.isfinite(logarithms).all()
    torch.testing.assert_close(logarithms.exp(), target(one_hot)(every))


def test_labels_of_all_rows_are_kept_as_labels():
    """Probabilities of ten million rows take more room than most rows do."""
    assert target(np.zeros(1000, np.intp)).values.nbytes == 4000


# ---------------------------------------------------------------------------
# Teaching
# ---------------------------------------------------------------------------


def test_labels_are_learned_by_the_assignment_and_rows_by_their_expert():
    X, labels = blobs()
    labels = (labels + 1) % N_CLUSTERS  # any expert may be told to take any blob
    start = target(labels)
    out, x, trained = teach(start, X)
    assert_array_equal(out.logits.argmax(1), labels)
    errors = (out.decoded.rows() - x.unsqueeze(1)).square().mean(-1)
    own = errors[torch.arange(len(x)), torch.from_numpy(labels)]
    # Blobs far apart leave an expert little to do; another's blob it has never seen.
    assert own.mean() < 0.2
    assert (errors.argmin(1).numpy() == labels).mean() > 0.9
    assert (
        trained.history[-1].terms["objective"] < trained.history[0].terms["objective"]
    )


def test_probabilities_are_learned_as_they_are():
    X, labels = blobs()
    table = np.random.default_rng(1).dirichlet([2.0] * N_CLUSTERS, size=N_CLUSTERS)
    start = target(table[labels])
    out, *_ = teach(start, X)
    p = out.logits.softmax(-1)
    for k in range(N_CLUSTERS):
        mean = p[labels == k].mean(0)
        # Learned in 280 steps: nearer than 5 %, and than any other row of the table.
        assert (mean - torch.from_numpy(table[k])).abs().max() < 0.05


def test_every_row_is_taught_its_own_label_wherever_it_stands_in_a_batch():
    """Of what the loop hands over, only the index says whose label a row has."""
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = np.array([0, 1, 2, 3, 0, 1])
    index = torch.tensor([5, 2, 0, 3])
    network, objective = make_network(), replace(make_objective(), input_noise=0.0)
    step = Teaching(objective, target(labels)).step(
        network, x[index], index, 0.0, torch.Generator()
    )
    out = network(x[index])
    total = 0.0
    for row, i in enumerate(index):
        label = labels[i]
        total += (out.decoded.rows()[row, label] - x[i]).square().mean().item()
        total -= out.logits[row].log_softmax(-1)[label].item()
    assert step.terms.total.item() == pytest.approx(total / 4, rel=1e-5)
    assert step.terms.objective.item() == pytest.approx(total / 4, rel=1e-5)


def test_teaching_leaves_the_schedule_as_it_was():
    X, labels = blobs()
    objective = make_objective()
    before = objective.schedule.at(0.5)
    teaching = Teaching(objective, target(labels))
    x, index = torch.from_numpy(X[:20]), torch.arange(20)
    step = teaching.step(make_network(), x, index, 0.5, torch.Generator())
    assert objective.schedule.at(0.5) == before
    assert not step.assignment.requires_grad


def test_history_of_teaching_has_the_terms_of_the_objective():
    X, labels = blobs()
    start = target(labels)
    _, _, trained = teach(start, X, n_epochs=2)
    x, index = torch.from_numpy(X), torch.arange(len(X))
    later = make_objective().step(make_network(), x, index, 0.0, torch.Generator())
    assert list(trained.history[0].terms) == list(later.terms._fields)
    assert trained.history[0].terms["consistency"] == 0


def test_integer_rows_are_labelled_too():
    X = (10 * blobs()[0]).astype(np.int64)
    scaling = Scaling(np.zeros(3), 10.0)
    batches = Batches(Rows(X), scaling, 32, CPU)
    found = kmeans_labels(batches, N_CLUSTERS, np.random.RandomState(0))
    assert adjusted_rand_score(blobs()[1], found) == 1.0
