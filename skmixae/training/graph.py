"""Clusters of the graph of neighbours of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from sklearn.cluster import SpectralClustering, k_means
from sklearn.neighbors import kneighbors_graph

from .silence import without_warnings

# Each row has so many neighbours.
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
    with without_warnings(UserWarning):  # of a graph in parts: the better
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
