"""What rows say of themselves, without labels: which start suits them.

The seeds are always the same here, for these are questions about the data.
"""

from __future__ import annotations

import numpy as np

from .batches import Batches
from .initialisation import (
    MIXTURE_ROWS,
    NEIGHBOURS,
    SPECTRAL_ROWS,
    gaussian_model,
    sample_rows,
    spectral_model,
)

# Parts of the graph of neighbours have no more than this share of its edges between
# them: two rings .000, half-moons .001; of tables that have none, .02 and more.
EDGES_BETWEEN_PARTS = 0.005
# Gaussians are asked for where each of their parameters has so many rows: of a single
# row each, the criterion knows nothing (breast cancer: 991 parameters, 569 rows).
ROWS_FOR_A_PARAMETER = 2


def are_in_parts(batches: Batches, n_clusters: int) -> bool:
    """Tell whether the graph of neighbours falls into as many parts as clusters.

    By the share of its edges between the clusters that `spectral_labels` finds. Where
    it does not, these clusters are a few odd rows and the rest as often as not.
    """
    rows = sample_rows(batches, SPECTRAL_ROWS, np.random.RandomState(0))
    if not 1 < n_clusters < len(rows) / NEIGHBOURS:
        return False
    model = spectral_model(rows, n_clusters, np.random.RandomState(0))
    edges = model.affinity_matrix_.tocoo()
    between = model.labels_[edges.row] != model.labels_[edges.col]
    return bool(edges.data[between].sum() <= EDGES_BETWEEN_PARTS * edges.data.sum())


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
