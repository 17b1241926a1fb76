"""Starting points: labels or probabilities that the mixture learns first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier

from .batches import Batches
from .expectation import best_mixture
from .gaussians import Gaussians, best_gaussians, gaussians_from
from .graph import (
    FEWEST_NEIGHBOURS,
    MOST_NEIGHBOURS,
    NEIGHBOURS,
    has_graph,
    spectral_model,
)
from .latent_classes import Coded, Coding, LatentClasses
from .silence import without_warnings
from .sums import additive_kmeans, nearest_sums
from .topics import as_words, best_topics

# k-means sees at most so many rows, and so many for each cluster: its centres move
# little with more, and all rows are then labelled batch by batch.
KMEANS_ROWS = 20_000
KMEANS_ROWS_PER_CLUSTER = 200
# Spectral clustering takes longer for each.
SPECTRAL_ROWS = 4_000
SPECTRAL_ROWS_PER_CLUSTER = 40
# Gaussians are of so many rows.
MIXTURE_ROWS = 4_000
# Latent classes are looked for from so many runs of k-means, and from the graph.
LATENT_CLASS_STARTS = 10
# And topics from so many of k-means.
TOPIC_STARTS = 10
# Rows in their units, which may be wide, fill no more than this.
SAMPLE_BYTES = 1 << 27
# A call for each batch of training would take longer than what it computes.
ROWS_LABELLED_TOGETHER = 1024


def kmeans_labels(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.int32]:
    """Return labels (n,) of all rows by k-means centres of a sample of them."""
    size = max(KMEANS_ROWS, KMEANS_ROWS_PER_CLUSTER * n_clusters)
    rows = sample_rows(batches, size, random_state)
    model = kmeans_model(rows, min(n_clusters, len(rows)), random_state)
    return _looked_at(batches, model.predict)


def kmeans_model(
    rows: NDArray[np.float32] | sparse.csr_matrix,
    n_clusters: int,
    random_state: np.random.RandomState,
) -> KMeans:
    """Return the best of some runs of k-means."""
    model = KMeans(n_clusters, n_init=10, copy_x=False, random_state=random_state)
    with without_warnings(ConvergenceWarning):  # of few rows that differ
        return model.fit(rows)


def subset_labels(
    batches: Batches, members: NDArray[np.float32], random_state: np.random.RandomState
) -> NDArray[np.intp]:
    """Return the subset (n,) among ``members`` (p, k) of each row, as sums of centres.

    What k-means is to rows of one cluster each; of a sample of the rows, too.
    """
    size = max(KMEANS_ROWS, KMEANS_ROWS_PER_CLUSTER * members.shape[1])
    rows = sample_rows(batches, size, random_state)
    sums = members @ additive_kmeans(rows, members, random_state)
    return _looked_at(batches, lambda rows: nearest_sums(rows, sums)[0])


def spectral_labels(
    batches: Batches,
    n_clusters: int,
    random_state: np.random.RandomState,
    neighbours: Sequence[int] = (NEIGHBOURS,),
) -> NDArray[np.int32]:
    """Return labels (n,) by spectral clustering of the graph of neighbours of a sample.

    The other rows have the label of the nearest row of the sample. Clusters are then
    of any shape, where centres and a random start find round ones.
    """
    seen = _seen_by_graph(batches, n_clusters, random_state, neighbours)
    if seen is None:
        return kmeans_labels(batches, n_clusters, random_state)
    return _looked_at(batches, KNeighborsClassifier(1).fit(*seen).predict)


def nearest_labels(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.int32]:
    """Return labels (n,) by spectral clustering of the graph of few neighbours."""
    few = range(FEWEST_NEIGHBOURS, MOST_NEIGHBOURS + 1)
    return spectral_labels(batches, n_clusters, random_state, few)


def centred_labels(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.int32]:
    """Return labels (n,) by k-means, begun at the graph's clusters of a sample.

    From elsewhere it may not find them, where they are unlike in size.
    """
    seen = _seen_by_graph(batches, n_clusters, random_state)
    if seen is None:
        return kmeans_labels(batches, n_clusters, random_state)
    rows, labels = seen
    centres = np.array([rows[labels == i].mean(0) for i in np.unique(labels)])
    model = KMeans(len(centres), init=centres, n_init=1, copy_x=False)
    return _looked_at(batches, model.fit(rows).predict)


def uneven_probabilities(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return probabilities (n, k) by Gaussians found from the graph of neighbours.

    Each has a variance of its own along each direction: they mend what the graph takes
    wrongly, and keep clusters that are unlike in size.
    """
    seen = _seen_by_graph(batches, n_clusters, random_state)
    if seen is None:
        return mixture_probabilities(batches, n_clusters, random_state)
    return _probabilities(batches, gaussians_from(*seen, "diag"), n_clusters)


def _seen_by_graph(
    batches: Batches,
    n_clusters: int,
    random_state: np.random.RandomState,
    neighbours: Sequence[int] = (NEIGHBOURS,),
) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
    """Return a sample of the rows and its spectral labels, if they are enough."""
    size = max(SPECTRAL_ROWS, SPECTRAL_ROWS_PER_CLUSTER * n_clusters)
    rows = sample_rows(batches, size, random_state)
    if not has_graph(rows, n_clusters, neighbours[0]):
        return None
    return rows, spectral_model(rows, n_clusters, random_state, neighbours).labels_


def mixture_probabilities(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return probabilities (n, k) of all rows by Gaussians of the shape that suits."""
    size = max(MIXTURE_ROWS, KMEANS_ROWS_PER_CLUSTER * n_clusters)
    rows = sample_rows(batches, size, random_state)
    n = min(n_clusters, len(rows))
    model = best_gaussians(rows, n, batches.scaling, random_state)
    return _probabilities(batches, model, n_clusters)


def _probabilities(
    batches: Batches, model: GaussianMixture | Gaussians, n_clusters: int
) -> NDArray[np.float32]:
    """Return probabilities (n, k) of all rows by some Gaussians."""
    return _padded(_looked_at(batches, model.predict_proba), n_clusters)


def _padded(probabilities: NDArray, n_clusters: int) -> NDArray[np.float32]:
    """Return probabilities (n, k) with zeros for clusters that are not."""
    missing = n_clusters - probabilities.shape[1]
    return np.pad(probabilities.astype(np.float32), ((0, 0), (0, missing)))


def plain_labels(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.int32]:
    """Return labels (n,) of all rows by k-means of rows as they are, not whitened.

    Along principal directions rare values of a category would count for more.
    """
    rows = rows_as_they_are(batches, n_clusters, random_state)
    model = kmeans_model(rows, min(n_clusters, len(rows)), random_state)
    return np.concatenate([model.predict(block) for block in batches.rows.blocks()])


def topic_probabilities(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return probabilities (n, k) of all rows by topics of a sample of them."""
    size = max(KMEANS_ROWS, KMEANS_ROWS_PER_CLUSTER * n_clusters)
    sample = sample_of(batches, size, random_state)
    words = sparse.vstack([as_words(b) for b in batches.rows.sparse_blocks(sample)])
    coordinates = rows_of(batches, sample)
    n = min(n_clusters, len(sample))
    starts = quick_kmeans(coordinates, n, TOPIC_STARTS, random_state)
    model = best_topics(words, starts, n)
    blocks = batches.rows.sparse_blocks(n_found=n)
    found = np.concatenate([model.predict_proba(as_words(b)) for b in blocks])
    return _padded(found, n_clusters)


def latent_class_probabilities(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return probabilities (n, k) of all rows by latent classes of a sample of them."""
    rows = rows_as_they_are(batches, n_clusters, random_state)
    coding = Coding(rows)
    n = min(n_clusters, len(rows))
    model = latent_class_model(coding.read(rows), n, random_state)
    blocks = (coding.read(some) for some in batches.rows.blocks())
    found = np.concatenate([model.predict_proba(block) for block in blocks])
    return _padded(found, n_clusters)


def latent_class_model(
    coded: Coded,
    n: int,
    random_state: np.random.RandomState,
    *,
    from_graph: bool = True,
) -> LatentClasses:
    """Return the best classes of those found from k-means and from the graph."""
    codes = coded.together()
    starts = quick_kmeans(codes, n, LATENT_CLASS_STARTS, random_state)
    if from_graph and has_graph(codes, n):
        starts.append(spectral_model(codes, n, random_state).labels_)
    return best_mixture(LatentClasses, coded, starts, n)


def quick_kmeans(
    rows: NDArray[np.floating] | sparse.csr_matrix,
    n: int,
    n_runs: int,
    random_state: np.random.RandomState,
) -> list[NDArray[np.int32]]:
    """Return the labels of some runs of k-means, good and bad."""
    with without_warnings(ConvergenceWarning):  # of few rows that differ
        return [
            KMeans(n, n_init=1, random_state=random_state).fit(rows).labels_
            for _ in range(n_runs)
        ]


def rows_as_they_are(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.floating]:
    """Return a sample of the rows in their units, fewer of wide ones."""
    size = max(SPECTRAL_ROWS, SPECTRAL_ROWS_PER_CLUSTER * n_clusters)
    affordable = max(1, SAMPLE_BYTES // (8 * batches.rows.n_features))
    sample = sample_of(batches, min(size, affordable), random_state)
    return batches.rows.take(sample)


def sample_rows(
    batches: Batches, size: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return scaled rows, at most ``size`` of them."""
    return rows_of(batches, sample_of(batches, size, random_state))


def sample_of(
    batches: Batches, size: int, random_state: np.random.RandomState
) -> NDArray[np.intp]:
    """Return the numbers of rows, at most ``size`` of them, in order."""
    n = len(batches)
    return np.sort(random_state.choice(n, min(n, size), replace=False))


def rows_of(batches: Batches, sample: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the scaled rows of these numbers."""
    rows = np.empty((len(sample), batches.scaling.n_coordinates), dtype=np.float32)
    some, n_seen = batches.narrowed(sample), 0
    for _, x in some.in_order():
        rows[n_seen : n_seen + len(x)] = x.cpu().numpy()
        n_seen += len(x)
    return rows


def _looked_at(batches: Batches, look: Callable[[NDArray], NDArray]) -> NDArray:
    """Return what a function says of each row, batch by batch."""
    some = batches.in_order(ROWS_LABELLED_TOGETHER)
    return np.concatenate([look(batch.x.cpu().numpy()) for batch in some])


class Start(NamedTuple):
    """A way to start that is known by a name, and what "auto" makes of it."""

    find: Callable[[Batches, int, np.random.RandomState], NDArray]  # labels or shares
    held: float = 0.0  # how much training holds to it
    keeps_sizes: bool = False  # whether clusters are to be no more even


# To Gaussians training holds as much as to what rows are when changed a little: with
# none, iris went from .97 back to .79. To the parts of a graph, more: nothing lies
# between them. With none, three rings were at an adjusted Rand index of .50, and two
# spirals of three turns at .18. To topics, less: of newsgroups they are mended.
# Sizes are kept where the balance would cut what a start shows whole.
STARTS = {
    "kmeans": Start(kmeans_labels),
    "round": Start(kmeans_labels, held=20.0, keeps_sizes=True),
    "centres": Start(centred_labels, held=20.0, keeps_sizes=True),
    "spectral": Start(spectral_labels),
    "nearest": Start(nearest_labels),
    "parts": Start(spectral_labels, held=100.0),
    "mixture": Start(mixture_probabilities, held=20.0),
    "uneven": Start(uneven_probabilities, held=20.0, keeps_sizes=True),
    "plain": Start(plain_labels, held=20.0, keeps_sizes=True),
    "latent_classes": Start(latent_class_probabilities, held=20.0, keeps_sizes=True),
    "topics": Start(topic_probabilities, held=5.0, keeps_sizes=True),
}
