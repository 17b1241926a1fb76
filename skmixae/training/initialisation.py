"""Starting points: labels or probabilities that the mixture learns first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from sklearn.cluster import KMeans, SpectralClustering, k_means
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier, kneighbors_graph
from torch import Tensor
from torch.nn import functional as F

from ..objective.mixture import MixtureObjective, Network, Step
from ..objective.terms import expected
from .batches import Batches
from .expectation import best_mixture
from .latent_classes import Coded, Coding, LatentClasses
from .sums import additive_kmeans, nearest_sums
from .topics import as_words, best_topics

# k-means sees at most so many rows, and so many for each cluster: its centres move
# little with more, and all rows are then labelled batch by batch.
KMEANS_ROWS = 20_000
KMEANS_ROWS_PER_CLUSTER = 200
# Spectral clustering takes longer for each, and each row has so many neighbours.
SPECTRAL_ROWS = 4_000
SPECTRAL_ROWS_PER_CLUSTER = 40
NEIGHBOURS = 10
# Or from this number on as few as leave the graph in no more parts than clusters: of a
# thing that is seen from all sides, or of a face in ten photographs, the tenth nearest
# is another, and of series that are shifted the nearest are those shifted as far. Of
# twenty things that turn the graph tells .87, not .75, of forty faces .80, not .78, of
# twenty series shifted by up to 3 places 1.00, not .46. Tables want ten: KEEL's segment
# has .46, and with five .29.
FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 5, 20
# So many restarts of Lanczos are enough for noise and blobs in two to fifty directions.
# Along a line thousands would not do, but its graph is quickly factorised.
LANCZOS_RESTARTS = 80
# Gaussians are of so many rows.
MIXTURE_ROWS = 4_000
# Latent classes are looked for from so many runs of k-means, and from the graph.
LATENT_CLASS_STARTS = 10
# And topics from so many of k-means.
TOPIC_STARTS = 10
# Rows in their units, which may be wide, fill no more than this.
SAMPLE_BYTES = 1 << 27
# Of the mean variance: on a few rows that are alike, as of values with one decimal, a
# Gaussian without this would be as likely as it is narrow (iris: six beat three).
LEAST_VARIANCE = 1e-3
# A call for each batch of training would take longer than what it computes.
ROWS_LABELLED_TOGETHER = 1024
# Weight of the teaching loss, a mean cross-entropy, beside the reconstruction.
TEACHING_WEIGHT = 1.0


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
    with warnings.catch_warnings():  # of fewer rows that differ than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
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


def has_graph(
    rows: NDArray | sparse.csr_matrix, n_clusters: int, n_neighbours: int = NEIGHBOURS
) -> bool:
    """Tell whether rows are enough for a graph of neighbours with several clusters."""
    return 1 < n_clusters < (places(rows).max() + 1) / n_neighbours


def places(rows: NDArray | sparse.csr_matrix) -> NDArray[np.intp]:
    """Return the place (n,) of each row among those that differ, in order."""
    if isinstance(rows, np.ndarray):
        keys = [row.tobytes() for row in rows]
    else:
        parts = [
            np.split(part, rows.indptr[1:-1]) for part in (rows.indices, rows.data)
        ]
        keys = [i.tobytes() + x.tobytes() for i, x in zip(*parts, strict=True)]
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys])


class GraphClusters(NamedTuple):
    """Clusters of a graph of neighbours, by the names that scikit-learn gives them."""

    labels_: NDArray[np.int32]  # of all rows
    affinity_matrix_: sparse.csr_matrix  # of the rows that differ
    different: NDArray[np.intp]  # the first of each of these


def spectral_model(
    rows: NDArray[np.floating] | sparse.csr_matrix,
    n_clusters: int,
    random_state: np.random.RandomState,
    neighbours: Sequence[int] = (NEIGHBOURS,),
) -> GraphClusters:
    """Return clusters of the graph of neighbours of rows, of each so many.

    Those of `SpectralClustering`, which factorises the graph: of rows in many
    directions, whose graph has no narrow places, that takes nearly all of its time.
    Rows that are the same count once: else their neighbours would be each other.
    """
    place = places(rows)
    different = np.unique(place, return_index=True)[1]
    once = rows[different].astype(np.float64)
    graph = graph_of(once, n_clusters, neighbours)
    before = random_state.get_state()
    slowest = _slowest(graph, n_clusters, random_state)
    with warnings.catch_warnings():  # of a graph in parts: the better
        warnings.simplefilter("ignore", UserWarning)
        if slowest is None:
            random_state.set_state(before)  # as if nothing had been tried
            model = SpectralClustering(
                n_clusters, affinity="precomputed", random_state=random_state
            )
            return GraphClusters(model.fit(graph).labels_[place], graph, different)
        _, labels, _ = k_means(
            slowest, n_clusters, n_init=10, random_state=random_state
        )
    return GraphClusters(labels[place], graph, different)


def graph_of(
    rows: NDArray[np.float64] | sparse.csr_matrix,
    n_clusters: int,
    neighbours: Sequence[int],
) -> sparse.csr_matrix:
    """Return the graph of neighbours of rows that differ, of each so many.

    Of some numbers the first that leaves it in no more parts than clusters, or the
    last: of more parts, chance says which are joined.
    """
    for n in neighbours:
        near = kneighbors_graph(rows, n, include_self=True)
        graph = 0.5 * (near + near.T)
        if n in (neighbours[-1], rows.shape[0]) or n_parts(graph) <= n_clusters:
            break
    return graph


def n_parts(graph: sparse.csr_matrix) -> int:
    """Return how many parts a graph falls into."""
    return int(connected_components(graph, directed=False)[0])


def _slowest(
    graph: sparse.csr_matrix, n: int, random_state: np.random.RandomState
) -> NDArray[np.float64] | None:
    """Return the ``n`` functions (rows, n) that change least along a graph.

    Those in which `SpectralClustering` looks for clusters, but for signs and order,
    which k-means does not see. They are the first eigenvectors of the normalised
    Laplacian, by Lanczos iterations that take products alone. There are none of a graph
    in parts, for iterations find one vector of each eigenvalue, and the parts share
    one; nor where they do not converge.
    """
    if n_parts(graph) > 1:
        return None
    matrix, root = laplacian(graph, normed=True, return_diag=True)
    # All eigenvalues are between 0 and 2. Turned around, the first are the largest, and
    # what counts as converged, a share of each, is no share of zero.
    turned = 2 * sparse.identity(matrix.shape[0]) - matrix
    start = random_state.uniform(-1, 1, matrix.shape[0])  # drawn as scikit-learn does
    try:
        _, vectors = eigsh(turned, n, which="LA", v0=start, maxiter=LANCZOS_RESTARTS)
    except ArpackNoConvergence:
        return None
    return vectors / root[:, None]


def mixture_probabilities(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Return probabilities (n, k) of all rows by Gaussians, each of its own shape."""
    size = max(MIXTURE_ROWS, KMEANS_ROWS_PER_CLUSTER * n_clusters)
    rows = sample_rows(batches, size, random_state)
    model = gaussian_model(rows, min(n_clusters, len(rows)), random_state)
    return _probabilities(batches, model, n_clusters)


def _probabilities(
    batches: Batches, model: GaussianMixture, n_clusters: int
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
    with warnings.catch_warnings():  # of fewer rows that differ than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
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


def gaussian_model(
    rows: NDArray[np.float32], n: int, random_state: np.random.RandomState
) -> GaussianMixture:
    """Return Gaussians of any shape that rows are of.

    The likeliest of those found from k-means, which cuts a large cluster where others
    are small, and from the graph of neighbours, which does not.
    """
    # Of few rows that nearly are in a plane, float32 has no covariances.
    rows = rows.astype(np.float64)
    model = GaussianMixture(
        n, n_init=5, reg_covar=LEAST_VARIANCE, random_state=random_state
    )
    with warnings.catch_warnings():  # of rows that are alike, or not Gaussian
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    if not has_graph(rows, n):
        return model
    labels = spectral_model(rows, n, random_state).labels_
    other = gaussians_from(rows, labels, "full")
    # Less apart than where either ends, they are the same.
    return other if other.lower_bound_ > model.lower_bound_ + model.tol else model


def gaussians_from(
    rows: NDArray[np.floating],
    labels: NDArray[np.integer],
    shape: Literal["full", "diag"],
) -> GaussianMixture:
    """Return Gaussians found from clusters on, those of ``labels`` (n,)."""
    rows = rows.astype(np.float64)
    labels = np.unique(labels, return_inverse=True)[1]  # without gaps
    shares = np.bincount(labels) / len(labels)
    own = [rows[labels == i] for i in range(len(shares))]
    if shape == "full":
        floor = LEAST_VARIANCE * np.eye(rows.shape[1])
        spread = [np.cov(some.T, bias=True) + floor for some in own]
        precisions = np.linalg.inv(spread)
    else:
        precisions = 1 / (np.array([some.var(0) for some in own]) + LEAST_VARIANCE)
    model = GaussianMixture(
        len(shares), covariance_type=shape, reg_covar=LEAST_VARIANCE,
        means_init=[some.mean(0) for some in own], weights_init=shares,
        precisions_init=precisions, init_params="random_from_data", random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows)


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


@dataclass(frozen=True)
class Target:
    """The probabilities (n, k) that training starts from, asked for batch by batch.

    Of labels, one-hot ones: they are made for the batch alone, since for all rows they
    would take more room than most rows do.
    """

    values: Tensor  # labels (n,) or probabilities (n, k), on the device
    n_experts: int

    @classmethod
    def of(cls, start: NDArray, n_experts: int, device: torch.device) -> Target:
        """Return the target of labels (n,) or of probabilities (n, k)."""
        kept = start.astype(np.int32 if start.ndim == 1 else np.float32)
        return cls(torch.from_numpy(kept).to(device), n_experts)

    def __call__(self, index: Tensor) -> Tensor:
        """Return the probabilities (b, k) of some rows."""
        values = self.values[index]
        if values.dim() == 2:
            return values
        shares = torch.zeros(
            len(values), self.n_experts, dtype=torch.float32, device=values.device
        )
        return shares.scatter_(1, values.long().unsqueeze(1), 1.0)

    def logarithms(self, index: Tensor) -> Tensor:
        """Return their logarithms (b, k), none of them infinite."""
        shares = self(index)
        return shares.clamp(min=torch.finfo(shares.dtype).tiny).log()

    def sizes(self) -> NDArray[np.floating]:
        """Return the proportions (k,) of the experts."""
        values = self.values.cpu().numpy()
        if values.ndim == 2:
            return values.mean(0)
        return np.bincount(values, minlength=self.n_experts) / len(values)


@dataclass
class Teaching:
    """The objective of the first epochs when training does not start at random.

    Each expert learns to reconstruct its share of the rows, and the assignment network
    learns the given probabilities by cross-entropy. The terms keep their places in the
    history.
    """

    objective: MixtureObjective
    target: Target

    def step(
        self,
        network: Network,
        x: Tensor,
        index: Tensor,
        progress: float | Tensor,
        generator: torch.Generator,
    ) -> Step:
        """Return the terms of rows ``x`` (b, features) for one step of teaching."""
        target = self.target(index)
        out = network(self.objective.noisy(x, generator), generator)
        log_assignment = F.log_softmax(out.logits, -1)
        errors = self.objective.reconstruction(out.decoded, x)
        teaching = -(target * log_assignment).sum(-1).mean()
        divergence = out.divergence
        step = self.objective.assemble(
            log_assignment.detach(),
            errors.detach(),
            None if divergence is None else divergence.detach(),
        )
        total = expected(target, errors) + TEACHING_WEIGHT * teaching
        if divergence is not None:
            weight = self.objective.schedule.base.prior
            total = total + weight * expected(target, divergence)
        terms = step.terms._replace(total=total, objective=total.detach())
        return step._replace(terms=terms)
