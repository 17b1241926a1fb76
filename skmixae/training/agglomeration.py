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

from .batches import Batches, exact_on
from .loop import Randomness

ALL = slice(None)
# An expert is moved for more than this: less is rounding.
LEAST_GAIN = 1e-9  # nats
# Of the entropy of the clusters' sizes so much is taken off what they tell, times the
# share of what experts could tell that they do: of experts that know next to nothing
# yet, it would be all, and one cluster have everything. With none of it, or with some
# added, large clusters of digits and USPS made uneven were split and small ones joined;
# with half as much again, two of even digits were joined now and then.
SIZES = 1 / 3
# So many rows for each expert say how experts of a stream are merged. By those of a
# chunk alone, experts that hardly changed were merged anew and anew: of rows of digits,
# 300 at a time, their clusters were between .75 and .91 right from one pass to another.
# Of all rows ever seen, most would tell of experts as they no longer are.
ROWS_REMEMBERED = 500


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
        shared = (here.T @ there).to(exact_on(x.device))
        total = shared if total is None else total.add_(shared)
    joint = total.cpu().double().numpy() / len(batches)
    return (joint + joint.T) / 2


class SharedRows:
    """How experts share the rows of a stream, of which the last count.

    Parameters
    ----------
    counts : ndarray of shape (m, m)
        How many rows each pair of experts shares, as yet.
    """

    def __init__(self, counts: NDArray[np.float64]) -> None:
        self.counts = counts

    @classmethod
    def of_clusters(
        cls, clusters: NDArray[np.integer], sizes: NDArray[np.floating], n_rows: int
    ) -> SharedRows:
        """Return those of which rows and views have any expert of their cluster.

        ``sizes`` (m,) are proportions of the experts, merged into ``clusters`` (m,).
        """
        sizes = sizes.astype(np.float64)
        shares = sizes / np.bincount(clusters, sizes)[clusters].clip(min=1e-12)
        within = clusters[:, None] == clusters
        return cls(n_rows * within * sizes[:, None] * shares)

    def after(self, joint: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
        """Take note of a joint (m, m) of more rows, and return that of all."""
        most = ROWS_REMEMBERED * len(joint)
        self.counts = self.counts * min(1.0, most / max(self.counts.sum(), 1.0))
        self.counts += n_rows * joint
        return self.counts / self.counts.sum()


def agglomerate(
    joint: NDArray[np.float64], n_clusters: int, *, evenly: bool
) -> Agglomeration:
    """Merge experts so that their clusters tell most about one another.

    The information that a row's cluster carries about the cluster of its view is the
    mutual information of ``joint``, H(c) - H(c | c'). Each step merges the pair that
    loses least of it (the agglomerative information bottleneck of Slonim and Tishby,
    1999): experts that share rows across their border, and small ones before large.

    It is largest for clusters of one size, also where the rows have others. So some of
    H(c), the entropy of the sizes, is taken off: see ``SIZES``. Or, ``evenly``, all of
    it is added, as training rewards it.

    What is merged early may have been better placed elsewhere, once all is merged. So
    experts then move to other clusters, see `exchanged`, and the tree is that of these.

    Parameters
    ----------
    joint : ndarray of shape (m, m)
        Symmetric; entry (a, b) is the probability that a row belongs to expert a and
        its view to expert b.
    n_clusters : int
        Where to cut.
    evenly : bool
        Whether clusters are wished to be of one size.

    Returns
    -------
    agglomeration : Agglomeration
        The whole tree; its clusters are numbered by their first expert.
    """
    joint = joint.astype(np.float64)
    within = np.zeros(len(joint), dtype=np.intp)
    # What is added tells small from large in an early merger. It has no part in the
    # exchange: of experts that know little yet, it would make clusters even, no more.
    sizes, later = (-1.0, 0.0) if evenly else [SIZES * told(joint)] * 2
    tree = _merged(joint, within, n_clusters, sizes)
    clusters = exchanged(joint, tree.clusters, later)
    if (clusters == tree.clusters).all():
        return tree
    return _merged(joint, clusters, n_clusters, sizes)


def told(joint: NDArray[np.float64]) -> float:
    """Return the information of a joint (m, m), as a share of the most there can be."""
    entropy = -xlogx(joint.sum(1)).sum()
    information = xlogx(joint).sum() + 2 * entropy
    return float(information / entropy) if entropy > 0 else 0.0


def exchanged(
    joint: NDArray[np.float64], clusters: NDArray[np.intp], sizes: float
) -> NDArray[np.intp]:
    """Move experts to other clusters (m,), for as long as that gains something.

    The sequential information bottleneck of Slonim, Friedman and Tishby (2002): an
    expert is taken out of its cluster and put where least is lost, always the one that
    gains most by it. No cluster is left without an expert. On MNIST, one seed in five
    had an expert of nines with the fours.
    """
    clusters = clusters.copy()
    while True:
        member = np.eye(clusters.max() + 1)[clusters]
        shared = member.T @ joint  # (k, m)
        groups = shared @ member
        best, move = LEAST_GAIN, None
        for expert, cluster in enumerate(clusters):
            if np.count_nonzero(clusters == cluster) == 1:
                continue
            itself = joint[expert, expert]
            lost = _lost_by_joining(groups, shared[:, expert], itself, cluster, sizes)
            gain = lost[cluster] - lost.min()
            if gain > best:
                best, move = gain, (expert, lost.argmin())
        if move is None:
            return clusters
        clusters[move[0]] = move[1]


def _merged(
    joint: NDArray[np.float64],
    within: NDArray[np.intp],
    n_clusters: int,
    sizes: float,
) -> Agglomeration:
    """Merge experts of the same label ``within`` (m,) until the cut, and then all."""
    m = len(joint)
    groups, nodes = _Groups(joint), list(range(m))
    clusters = np.zeros(m, dtype=np.intp)
    children, distances = [], []
    for node in range(m, 2 * m):
        if len(groups) == n_clusters:
            within = np.zeros_like(within)
            for cluster, members in enumerate(sorted(groups.members)):
                clusters[members] = cluster
        if len(groups) == 1:
            break
        lost = groups.lost()
        price = lost - sizes * entropy_lost(groups.joint)
        price[within[:, None] != within] = np.inf
        a, b = sorted(int(i) for i in np.unravel_index(price.argmin(), price.shape))
        children.append(sorted((nodes[a], nodes.pop(b))))
        distances.append(lost[a, b])
        nodes[a] = node
        within = np.delete(within, b)
        groups.merge(a, b)
    tree = np.array(children, dtype=np.intp).reshape(-1, 2)
    return Agglomeration(clusters, tree, np.array(distances))


class _Groups:
    """Groups of experts: their joint (m, m), and what merging any two takes from it."""

    def __init__(self, joint: NDArray[np.float64]) -> None:
        self.joint = joint
        self.members = [[expert] for expert in range(len(joint))]
        # Not made anew by each merge: there are as many sums as pairs, of many terms.
        self.added = np.array([sums_added(group, joint) for group in joint])

    def __len__(self) -> int:
        return len(self.members)

    def lost(self) -> NDArray[np.float64]:
        """Return the information that merging each pair loses, (m, m)."""
        return information_lost(self.joint, self.added)

    def merge(self, a: int, b: int) -> None:
        """Make one group, a, of two, of which b is the later."""
        for column in self.joint[:, a], self.joint[:, b]:
            self.added -= xlogx(column[:, None] + column)
        joint = self.joint.copy()
        joint[a] += joint[b]
        joint[:, a] += joint[:, b]
        self.joint = joint = np.delete(np.delete(joint, b, 0), b, 1)
        self.added = np.delete(np.delete(self.added, b, 0), b, 1)
        self.added += xlogx(joint[:, a, None] + joint[:, a])
        self.added[a] = self.added[:, a] = sums_added(joint[a], joint)
        self.members[a] = sorted(self.members[a] + self.members.pop(b))


def _lost_by_joining(
    groups: NDArray[np.float64],
    shared: NDArray[np.float64],
    itself: float,
    cluster: int,
    sizes: float,
) -> NDArray[np.float64]:
    """Return what is lost where an expert, taken out, joins a cluster, (k,).

    ``groups`` (k, k) is the joint of clusters, ``shared`` (k,) that of the expert with
    them, ``itself`` that with itself, ``cluster`` where it is, and ``sizes`` the share
    of the entropy of sizes that is taken off.
    """
    k = len(groups)
    others = shared.copy()
    others[cluster] -= itself
    apart = np.pad(groups, (0, 1))
    apart[cluster, :k] -= others
    apart[:k, cluster] -= others
    apart[cluster, cluster] -= itself
    apart[k, :k] = apart[:k, k] = others
    apart[k, k] = itself
    apart = apart.clip(min=0)  # rounding leaves less than nothing of what was all
    last = slice(k, k + 1)
    lost = information_lost(apart, sums_added(apart[k], apart), last)
    return (lost - sizes * entropy_lost(apart, last))[0, :k]


def sums_added(
    group: NDArray[np.float64], joint: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sums (m,) of x log x over a row of ``joint`` added to each."""
    return xlogx(group + joint).sum(1)


def information_lost(
    joint: NDArray[np.float64], added: NDArray[np.float64], of: slice = ALL
) -> NDArray[np.float64]:
    """Return what merging groups ``of`` with each takes from the information, in nats.

    With f(x) = x log x, the mutual information is the sum of f over the joint, less
    that over both of its (equal) marginals. What merging a group with itself loses is
    infinite.

    Parameters
    ----------
    joint : ndarray of shape (m, m)
        Symmetric, as that of `agglomerate`.
    added : ndarray of shape (n, m)
        The sum of f over rows a and b of the joint added up, for each pair.
    of : slice
        The n groups that are a; b are all.
    """
    itself, here, terms = joint.diagonal(), joint[of], xlogx(joint)
    # Over all columns but a and b, of which four cells become one.
    rest = terms.sum(1) - terms.diagonal()
    apart = rest[of, None] + rest - 2 * terms[of]
    across = added - xlogx(itself[of, None] + here) - xlogx(itself + here)
    cells = terms.diagonal()[of, None] + terms.diagonal() + 2 * terms[of]
    cell = itself[of, None] + itself + 2 * here
    lost = 2 * (apart - across) + cells - xlogx(cell) + 2 * entropy_lost(joint, of)
    lost[np.arange(len(here)), np.arange(len(joint))[of]] = np.inf
    return lost


def entropy_lost(joint: NDArray[np.float64], of: slice = ALL) -> NDArray[np.float64]:
    """Return what merging groups ``of`` with each takes from the entropy of sizes."""
    share = joint.sum(1)
    return xlogx(share[of, None] + share) - xlogx(share[of, None]) - xlogx(share)


def xlogx(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x log x, in nats, zero where x is."""
    return xlogy(x, x)
