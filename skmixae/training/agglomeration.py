"""Experts merged into clusters, by how much rows and their neighbours share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .batches import Batches
from .loop import Randomness


class Agglomeration(NamedTuple):
    """A tree of m experts, cut into clusters."""

    clusters: NDArray[np.intp]  # (m,), the cluster of each expert
    children: NDArray[np.intp]  # (m - 1, 2), as scikit-learn's AgglomerativeClustering
    affinities: NDArray[np.float64]  # (m - 1,), at each merge

    def renamed(self, order: NDArray[np.intp], rank: NDArray[np.intp]) -> Agglomeration:
        """Return the tree of experts in another order, its clusters renumbered."""
        m, place = len(order), np.argsort(order)
        children = self.children.copy()
        leaves = children < m
        children[leaves] = place[children[leaves]]
        children.sort(axis=1)
        return self._replace(clusters=rank[self.clusters][order], children=children)

    def aligned(self, before: NDArray[np.integer]) -> Agglomeration:
        """Give clusters the numbers ``before`` (m,) of those most alike in experts."""
        n = self.clusters.max() + 1
        common = np.zeros((n, n), dtype=np.intp)
        np.add.at(common, (self.clusters, before), 1)
        _, rank = linear_sum_assignment(common, maximize=True)
        return self._replace(clusters=rank[self.clusters])


@torch.inference_mode()
def shared_rows(
    network: Any,
    batches: Batches,
    view: Callable[[Tensor, torch.Generator], Tensor],
    randomness: Randomness,
) -> NDArray[np.float64]:
    """Return how often experts share a row, (m, m): one of it, one of its view.

    ``network.assign`` gives logits (b, m), and ``view`` changes rows at random.
    """
    network.eval()
    total: Any = 0.0
    for _, x in batches.shuffled(randomness.rows):
        here = network.assign(x).softmax(-1)  # (b, m)
        there = network.assign(view(x, randomness.tensors)).softmax(-1)
        total = total + (here.T @ there).double()
    joint = total.cpu().numpy() / len(batches)
    return (joint + joint.T) / 2


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
    """Return the ratio of shared rows to what chance would share; no self-affinity."""
    share = joint.sum(1)
    chance = np.outer(share, share)
    # Experts without rows share nothing with anyone: they go first, with anyone.
    affinity = np.full_like(joint, np.inf)
    np.divide(joint, chance, out=affinity, where=chance > 0)
    np.fill_diagonal(affinity, -np.inf)
    return affinity
