"""Experts merged into clusters, by how much rows and their neighbours share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy
from torch import Tensor

from .batches import Batches
from .loop import Randomness


class Agglomeration(NamedTuple):
    """A tree of m experts, cut into clusters."""

    clusters: NDArray[np.intp]  # (m,), the cluster of each expert
    children: NDArray[np.intp]  # (m - 1, 2), as scikit-learn's AgglomerativeClustering
    distances: NDArray[np.float64]  # (m - 1,), nats lost at each merge

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
    view: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    randomness: Randomness,
) -> NDArray[np.float64]:
    """Return how often experts share a row, (m, m): one of it, one of its view.

    ``network.assign`` gives logits (b, m), and ``view`` changes rows at random, given
    them, their indices and a generator.
    """
    network.eval()
    total: Any = None
    for index, x in batches.shuffled(randomness.rows):
        here = network.assign(x).softmax(-1)  # (b, m)
        there = network.assign(view(x, index, randomness.tensors)).softmax(-1)
        shared = (here.T @ there).double()
        total = shared if total is None else total.add_(shared)
    joint = total.cpu().numpy() / len(batches)
    return (joint + joint.T) / 2


def agglomerate(joint: NDArray[np.float64], n_clusters: int) -> Agglomeration:
    """Merge experts so that their clusters tell most about one another, evenly.

    The information that a row's cluster carries about the cluster of its view is the
    mutual information of ``joint``. Each step merges the pair that loses least of it
    (the agglomerative information bottleneck of Slonim and Tishby, 1999) and of the
    entropy of the clusters' sizes together: experts that share rows across their
    border, and small ones before large ones. The second is what training rewards too;
    without it, one seed of digits in five joined two of its largest clusters.

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
    clusters = np.zeros(m, dtype=np.intp)
    children, distances = [], []
    for node in range(m, 2 * m):
        if len(groups) == n_clusters:
            for cluster, members in enumerate(sorted(groups)):
                clusters[members] = cluster
        if len(groups) == 1:
            break
        lost = information_lost(joint) + entropy_lost(joint)
        a, b = sorted(np.unravel_index(lost.argmin(), lost.shape))
        children.append(sorted((nodes[a], nodes[b])))
        distances.append(lost[a, b])
        joint[a] += joint[b]
        joint[:, a] += joint[:, b]
        joint = np.delete(np.delete(joint, b, 0), b, 1)
        groups[a] = sorted(groups[a] + groups.pop(b))
        nodes[a] = node
        nodes.pop(b)
    tree = np.array(children, dtype=np.intp).reshape(-1, 2)
    return Agglomeration(clusters, tree, np.array(distances))


def information_lost(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what merging each pair takes from the mutual information, (m, m), in nats.

    With f(x) = x log x, the information is the sum of f over the joint, less that over
    both of its (equal) marginals. The diagonal is infinite: nothing merges with itself.
    """
    share, itself = joint.sum(1), joint.diagonal()
    terms = xlogy(joint, joint)
    # Rows a and b added up, over all columns; the four cells of a and b themselves
    # become one, and are taken out and put back as such.
    columns = joint[:, None] + joint
    added = xlogy(columns, columns).sum(2)
    corner = itself[:, None] + joint
    added -= xlogy(corner, corner) + xlogy(corner, corner).T
    apart = terms.sum(1)
    apart = apart[:, None] + apart - terms.diagonal()[:, None] - terms.diagonal()
    apart -= 2 * terms
    cell = itself[:, None] + itself + 2 * joint
    cells = terms.diagonal()[:, None] + terms.diagonal() + 2 * terms
    marginal = xlogy(share, share)
    both = share[:, None] + share
    lost = 2 * (apart - added) + cells - xlogy(cell, cell)
    lost += 2 * (xlogy(both, both) - marginal[:, None] - marginal)
    np.fill_diagonal(lost, np.inf)
    return lost


def entropy_lost(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what merging each pair takes from the entropy of the sizes, (m, m)."""
    share = joint.sum(1)
    both, terms = share[:, None] + share, xlogy(share, share)
    return xlogy(both, both) - terms[:, None] - terms
