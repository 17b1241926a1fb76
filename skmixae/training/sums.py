"""K-means of rows that are sums: where training starts from when several are active."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Starts are many and cheap, and lead to different ends: the one of the least error is
# kept. Each stops when it gains less than this share, or after so many rounds.
N_STARTS, LEAST_GAIN, MOST_ROUNDS = 10, 1e-4, 50
# A centre that few rows have is drawn towards the mean by so many rows' weight, as a
# share of all.
RIDGE = 1e-3


def additive_kmeans(
    rows: NDArray[np.floating],
    members: NDArray[np.floating],
    random_state: np.random.RandomState,
) -> NDArray[np.float64]:
    """Return K centres (k, f) whose sums over subsets ``members`` (p, k) are near rows.

    Rows (n, f) go to the nearest of the p sums, and centres are the least squares
    solution, in turn. With subsets of one centre each this is k-means.
    """
    exact = rows.astype(np.float64)
    found = [_alternate(exact, members, random_state) for _ in range(N_STARTS)]
    return min(found, key=lambda centres_and_error: centres_and_error[1])[0]


def nearest_sums(
    rows: NDArray[np.floating], sums: NDArray[np.floating]
) -> tuple[NDArray[np.intp], float]:
    """Return the nearest of sums (p, f) to each row (n, f), and the mean error."""
    distance = np.square(sums).sum(1) - 2 * rows @ sums.T  # (n, p), less the row's own
    error = np.square(rows).sum(1).mean() + distance.min(1).mean()
    return distance.argmin(1), float(error)


def _alternate(
    rows: NDArray[np.float64],
    members: NDArray[np.floating],
    random_state: np.random.RandomState,
) -> tuple[NDArray[np.float64], float]:
    n_active, k = int(members[0].sum()), members.shape[1]
    mean = rows.mean(0) / n_active
    chosen = random_state.choice(len(rows), k, replace=len(rows) < k)
    centres, before = rows[chosen] / n_active, np.inf
    for _ in range(MOST_ROUNDS):
        labels, error = nearest_sums(rows, members @ centres)
        if error > before - LEAST_GAIN * abs(before):
            break
        before, design = error, members[labels].astype(np.float64)  # (n, k)
        gram = design.T @ design + RIDGE * len(rows) * np.eye(k)
        centres = mean + np.linalg.solve(gram, design.T @ (rows - n_active * mean))
    return centres, before
