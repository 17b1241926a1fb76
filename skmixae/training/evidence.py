"""What rows say of themselves, without labels: which start suits them.

The seeds are always the same here, for these are questions about the data.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score

from .batches import Batches
from .initialisation import (
    MIXTURE_ROWS,
    NEIGHBOURS,
    SPECTRAL_ROWS,
    gaussian_model,
    gaussians_from,
    has_graph,
    kmeans_model,
    sample_rows,
    spectral_model,
)

# Gaussians are asked for where each of their parameters has so many rows: of a single
# row each, the criterion knows nothing (breast cancer: 991 parameters, 569 rows).
ROWS_FOR_A_PARAMETER = 2
# Clusters are unlike in size where the entropy of their sizes is at most so much of
# log K: of 8, 4, 2 and 1 parts it is .82, of the digits of USPS .97.
UNEVEN = 0.96
# Graph and k-means agree by the adjusted Rand index, if Gaussians found from them are
# near to both. Of 32 real tables they do so on KEEL's twonorm and banana, and wine,
# whose clusters are alike in size; on others, such as breast cancer, Gaussians are the
# same from either, but not near (.7 at most).
AGREED, NEAR = 0.95, 0.8
# Or the graph's sizes have at most so much of the entropy of k-means', and Gaussians
# found from them a likelihood that is larger by so many nats a row. Of the same tables
# KEEL's heart and ionosphere, where the graph is wrong, have .002 and .004; made
# clusters of 40, 16, 6, 2 and 1 parts have .035 to .2.
LESS_EVEN, LIKELIER = 0.8, 0.01


def share_between_parts(batches: Batches, n_clusters: int) -> float:
    """Return the share of the edges of the graph of neighbours that clusters cut.

    Those that `spectral_labels` finds. It is 0 where the graph falls into as many
    parts; and 1 where there are more, and chance says which are joined, or where rows
    are too few to tell.
    """
    rows = sample_rows(batches, SPECTRAL_ROWS, np.random.RandomState(0))
    if not has_graph(rows, n_clusters):
        return 1.0
    model = spectral_model(rows, n_clusters, np.random.RandomState(0))
    if connected_components(model.affinity_matrix_, directed=False)[0] > n_clusters:
        return 1.0
    edges = model.affinity_matrix_.tocoo()
    between = model.labels_[edges.row] != model.labels_[edges.col]
    return float(edges.data[between].sum() / edges.data.sum())


def are_gaussians(batches: Batches, n_clusters: int) -> bool:
    """Tell whether rows are as many Gaussians as clusters.

    By the Bayesian information criterion these explain the rows better than one, and
    better than twice as many: parts of a curved shape call for more. Too few rows to
    tell are not.
    """
    d, n = batches.scaling.n_coordinates, min(len(batches), MIXTURE_ROWS)
    n_parameters = n_clusters * (d + 1) * (d + 2) // 2 - 1
    if n_clusters == 1 or n < ROWS_FOR_A_PARAMETER * n_parameters:
        return False
    rows = sample_rows(batches, n, np.random.RandomState(0))
    own, *others = (
        gaussian_model(rows, k, np.random.RandomState(0)).bic(rows)
        for k in (n_clusters, 1, 2 * n_clusters)
    )
    return bool(own < min(others))


def are_unlike_in_size(batches: Batches, n_clusters: int) -> bool:
    """Tell whether clusters are unlike in size, and known from the graph of neighbours.

    Where some clusters are small, k-means cuts a large one, however far apart they are,
    and a balance of the sizes does so too. The graph does not, but may take few odd
    rows for a cluster. It is believed where k-means says the same; or where it is less
    even and explains the rows better, by the likelihood of Gaussians found from it,
    with a variance of their own along each direction.
    """
    rows = sample_rows(batches, SPECTRAL_ROWS, np.random.RandomState(0))
    if not has_graph(rows, n_clusters):
        return False
    graph, centres = (
        model(rows, n_clusters, np.random.RandomState(0)).labels_
        for model in (spectral_model, kmeans_model)
    )
    sizes = np.bincount(graph)
    if entropy(sizes) > UNEVEN * np.log(n_clusters) or sizes.min() < NEIGHBOURS:
        return False
    by_graph, by_centres = (
        gaussians_from(rows, labels, "diag") for labels in (graph, centres)
    )
    mended = by_graph.predict(rows), by_centres.predict(rows)
    near = map(adjusted_rand_score, mended, (graph, centres))
    agreed = max(adjusted_rand_score(graph, centres), adjusted_rand_score(*mended))
    if agreed > AGREED and min(near) > NEAR:
        return True
    less_even = entropy(sizes) <= LESS_EVEN * entropy(np.bincount(centres))
    return bool(
        less_even and by_graph.lower_bound_ > by_centres.lower_bound_ + LIKELIER
    )
