"""What the paper measures of data and of assignments. Logarithms are natural."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr

from benchmarks._rows import Problem


def counts(problem: Problem) -> dict[str, Any]:
    """Count the rows, the features and the classes, from the largest to the least."""
    _, sizes = np.unique(problem.classes, return_counts=True)
    n, n_features = problem.rows.shape
    return {
        "n_rows": n,
        "n_features": n_features,
        "n_classes": len(sizes),
        "class_sizes": np.sort(sizes)[::-1].tolist(),
    }


def one_hot(labels: np.ndarray, n: int) -> np.ndarray:
    """Return labels from 0 to n - 1 as certain assignments, (n_rows, n)."""
    return np.eye(n)[labels]


def entropy(shares: np.ndarray) -> float:
    """Return the entropy of shares, in nats."""
    return float(entr(np.asarray(shares, dtype=np.float64)).sum())


def batch_entropy(assignment: np.ndarray) -> float:
    """Return the entropy of the mean assignment, all rows as one batch, in nats."""
    return entropy(assignment.mean(axis=0, dtype=np.float64))


def sample_entropy(assignment: np.ndarray) -> float:
    """Return the mean entropy of the rows' assignments, in nats."""
    return float(entr(assignment.astype(np.float64)).sum(axis=1).mean())


def second_moment(assignment: np.ndarray) -> np.ndarray:
    """Return the mean of p p^T over rows p, (k, k): the paper's sample covariance.

    Its diagonal says how much each cluster is used, what is beside it which clusters
    share rows. Of certain assignments only the diagonal is left, the shares.
    """
    p = assignment.astype(np.float64)  # (n, k)
    return p.T @ p / len(p)
