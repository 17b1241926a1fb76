"""Experts merged into clusters, by how much rows and their neighbours share them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Agglomeration(NamedTuple):
    """A tree of m experts, cut into clusters."""

    clusters: NDArray[np.intp]  # (m,), the cluster of each expert
    children: NDArray[np.intp]  # (m - 1, 2), as scikit-learn's AgglomerativeClustering
    affinities: NDArray[np.float64]  # (m - 1,), at each merge


def agglomerate(joint: NDArray[np.float64], n_clusters: int) -> Agglomeration:
    """Merge experts, the pair of highest affinity first.

    The affinity of two groups of experts is how much more often than by chance a row
    belongs to one while a changed view of it belongs to the other. It is 1 for groups
    that share rows as independent ones would, and small for groups with an empty border
    between them. Groups merge by adding up their rows and columns, so the affinity of a
    merged pair is exactly that of its union.

    Parameters
    ----------
    joint : ndarray of shape (m, m)
        Symmetric; entry (a, b) is the probability that a row belongs to expert a and
        its view to expert b.
    n_clusters : int
        Where to cut.

    Returns
    -------
    agglomeration : Agglomeration
        The whole tree; its clusters are numbered by their first expert.
    """
    m = len(joint)
    joint = joint.astype(np.float64)
    groups = [[expert] for expert in range(m)]
    nodes = list(range(m))
    clusters = np.arange(m)
    children, affinities = [], []
    for step in range(m - 1):
        if len(groups) == n_clusters:
            for cluster, members in enumerate(sorted(groups)):
                clusters[members] = cluster
        affinity = _affinity(joint)
        a, b = sorted(np.unravel_index(affinity.argmax(), affinity.shape))
        children.append(sorted((nodes[a], nodes[b])))
        affinities.append(affinity[a, b])
        joint[a] += joint[b]
        joint[:, a] += joint[:, b]
        joint = np.delete(np.delete(joint, b, 0), b, 1)
        groups[a] = sorted(groups[a] + groups.pop(b))
        nodes[a] = m + step
        nodes.pop(b)
    if n_clusters == 1:
        clusters[:] = 0
    return Agglomeration(
        clusters, np.array(children, dtype=np.intp).reshape(-1, 2), np.array(affinities)
    )


def _affinity(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratio of shared rows to what chance would share, without the diagonal."""
    share = joint.sum(1)
    chance = np.outer(share, share)
    # Experts without rows share nothing with anyone: they go first, with anyone.
    affinity = np.full_like(joint, np.inf)
    np.divide(joint, chance, out=affinity, where=chance > 0)
    np.fill_diagonal(affinity, -np.inf)
    return affinity
