"""What rows say of themselves, without labels: which start suits them.

The seeds are always the same here, for these are questions about the data.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from .batches import Batches
from .initialisation import (
    MIXTURE_ROWS,
    NEIGHBOURS,
    SPECTRAL_ROWS,
    gaussian_model,
    sample_rows,
    spectral_model,
)

# Gaussians are asked for where each of their parameters has so many rows: of a single
# row each, the criterion knows nothing (breast cancer: 991 parameters, 569 rows).
ROWS_FOR_A_PARAMETER = 2


def share_between_parts(batches: Batches, n_clusters: int) -> float:
    """Return the share of the edges of the graph of neighbours that clusters cut.

    Those that `spectral_labels` finds. It is 0 where the graph falls into as many
    parts; and 1 where there are more, and chance says which are joined, or where rows
    are too few to tell.
    """
    rows = sample_rows(batches, SPECTRAL_ROWS, np.random.RandomState(0))
    if not 1 < n_clusters < len(rows) / NEIGHBOURS:
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
