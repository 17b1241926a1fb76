"""Experts merged into clusters, against a loop over rows and groups."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skmixae.training import (
    Batches,
    Randomness,
    Rows,
    Scaling,
    agglomerate,
    shared_rows,
)
from skmixae.training.agglomeration import (
    ROWS_REMEMBERED,
    SIZES,
    SharedRows,
    information_lost,
    sums_added,
)

EITHER_WAY = pytest.mark.parametrize("evenly", [True, False])
cut = partial(agglomerate, evenly=False)


class Gate(torch.nn.Module):
    """Assigns by a fixed linear map."""

    def __init__(self, n_features, n_experts):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(n_features, n_experts, generator=generator)

    def assign(self, x):
        return x @ self.weight


def random_joint(m, seed):
    joint = np.random.default_rng(seed).random((m, m)) ** 4
    return (joint + joint.T) / (2 * joint.sum())


def as_groups(clusters):
    """Return sets of experts."""
    return {frozenset(np.flatnonzero(clusters == c).tolist()) for c in set(clusters)}


def naive_exchange(joint, groups, weight):
    """Move the expert that gains most, until none does."""
    while True:
        moves = []
        for one in groups:
            for expert in one if len(one) > 1 else ():
                for other in groups - {one}:
                    changed = {one - {expert}, other | {expert}}
                    moves.append((groups - {one, other}) | changed)
        told = partial(naive_value, joint, weight)
        best = max(moves, key=told, default=groups)
        if told(best) <= told(groups) + 1e-9:
            return groups
        groups = best


def naive_groups(joint, n_clusters, weight):
    """Merge sets of experts, computing what is lost from the experts anew."""
    groups = [{expert} for expert in range(len(joint))]
    while len(groups) > n_clusters:
        a, b = min(
            ((a, b) for a in range(len(groups)) for b in range(a)),
            key=lambda pair: -naive_value(joint, weight, merged(groups, *pair)),
        )
        groups = merged(groups, a, b)
    return {frozenset(group) for group in groups}


def merged(groups, a, b):
    others = [group for i, group in enumerate(groups) if i not in (a, b)]
    return [*others, groups[a] | groups[b]]


def naive_value(joint, weight, groups):
    """Information, and the entropy of the groups' sizes with a weight."""
    sizes = [sum(joint[i].sum() for i in group) for group in groups]
    entropy = -sum(size * np.log(size) for size in sizes if size > 0)
    return naive_information(joint, groups) + weight * entropy


def naive_share(joint):
    """The information of the experts as a share of their entropy."""
    experts = [{i} for i in range(len(joint))]
    most = -sum(row.sum() * np.log(row.sum()) for row in joint if row.sum() > 0)
    return naive_information(joint, experts) / most if most > 0 else 0


def naive_information(joint, groups):
    """Mutual information of the groups of rows and those of their views."""
    total = 0.0
    for one in groups:
        for other in groups:
            shared = sum(joint[i, j] for i in one for j in other)
            chance = sum(joint[i].sum() for i in one) * sum(
                joint[j].sum() for j in other
            )
            if shared > 0:
                total += shared * np.log(shared / chance)
    return total


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 9), seed=st.integers(0, 1000), evenly=st.booleans(), data=st.data()
)
def test_clusters_equal_those_of_a_naive_loop(m, seed, evenly, data):
    n_clusters = data.draw(st.integers(1, m))
    joint = random_joint(m, seed)
    groups = as_groups(agglomerate(joint, n_clusters, evenly=evenly).clusters)
    first, then = (1, 0) if evenly else (-SIZES * naive_share(joint),) * 2
    greedy = naive_groups(joint, n_clusters, first)
    assert groups == naive_exchange(joint, greedy, then)


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 9), seed=st.integers(0, 1000), evenly=st.booleans(), data=st.data()
)
def test_each_merge_takes_what_the_tree_says(m, seed, evenly, data):
    n_clusters = data.draw(st.integers(1, m))
    joint = random_joint(m, seed)
    tree = agglomerate(joint, n_clusters, evenly=evenly)
    nodes = {i: {i} for i in range(m)}
    for node, (pair, distance) in enumerate(
        zip(tree.children, tree.distances, strict=True), start=m
    ):
        before = naive_information(joint, list(nodes.values()))
        nodes[node] = nodes.pop(pair[0]) | nodes.pop(pair[1])
        after = naive_information(joint, list(nodes.values()))
        assert distance == pytest.approx(before - after, abs=1e-9)
        if len(nodes) == n_clusters:
            groups = {frozenset(group) for group in nodes.values()}
            assert groups == as_groups(tree.clusters)


@EITHER_WAY
def test_an_expert_merged_too_early_moves_to_where_it_belongs(evenly):
    """Joints of which the greedy merger is not the best; all partitions tell that."""
    n_moved = 0
    for seed in range(60):
        joint = random_joint(6, seed)
        first, then = (1, 0) if evenly else (-SIZES * naive_share(joint),) * 2
        greedy = naive_groups(joint, 3, first)
        groups = as_groups(agglomerate(joint, 3, evenly=evenly).clusters)
        gain = naive_value(joint, then, groups) - naive_value(joint, then, greedy)
        assert gain >= -1e-9
        n_moved += groups != greedy
        assert gain > 1e-9 or groups == greedy
    assert 0 < n_moved < 60


@EITHER_WAY
@pytest.mark.parametrize("n_clusters", [1, 2, 5, 7])
def test_tree_is_whole_wherever_it_is_cut(n_clusters, evenly):
    tree = agglomerate(random_joint(7, 0), n_clusters, evenly=evenly)
    assert tree.children.shape == (6, 2)
    assert_array_equal(np.sort(tree.children.ravel()), np.arange(12))
    assert_array_equal(np.unique(tree.clusters), np.arange(n_clusters))


@pytest.mark.parametrize("m", [2, 5])
def test_information_lost_is_the_difference_of_what_there_is(m):
    joint = random_joint(m, 7)
    joint /= joint.sum()
    groups = [{i} for i in range(m)]
    added = np.array([sums_added(group, joint) for group in joint])
    before, lost = naive_information(joint, groups), information_lost(joint, added)
    last = information_lost(joint, added[1:2], slice(1, 2))
    assert_allclose(last, lost[1:2], atol=1e-12)
    for a in range(m):
        assert lost[a, a] == np.inf
        for b in range(a):
            after = naive_information(joint, merged(groups, a, b))
            assert lost[a, b] == pytest.approx(before - after, abs=1e-12)
            assert lost[a, b] == pytest.approx(lost[b, a], abs=1e-12)
            assert lost[a, b] >= -1e-12


def joint_of(sizes, n_experts, kept):
    """Return a joint of experts, so many of each class, and the classes (m,).

    A view keeps a share of the rows in their class, of which each expert of it gets as
    much, and the rest goes to all classes alike.
    """
    classes = np.repeat(np.arange(len(sizes)), n_experts)
    share = np.repeat(np.divide(sizes, n_experts), n_experts) / np.sum(sizes)
    same = classes[:, None] == classes
    within = same / same.sum(1, keepdims=True)
    elsewhere = np.full_like(within, 1 / len(classes))
    return share[:, None] * (kept * within + (1 - kept) * elsewhere), classes


@pytest.mark.parametrize("kept", [0.6, 0.9])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1), (1, 1, 1, 1, 8, 8), (1, 2, 4, 8, 16), (1, 1, 60)]
)
def test_experts_of_one_class_are_merged_whatever_its_size(sizes, kept):
    n_experts = np.maximum(1, np.divide(sizes, min(sizes)).astype(int) // 2)
    joint, classes = joint_of(sizes, n_experts, kept)
    groups = as_groups(cut((joint + joint.T) / 2, len(sizes)).clusters)
    assert groups == as_groups(classes)


def test_experts_that_know_nothing_do_not_become_one_cluster():
    """Nothing tells them apart; whatever is merged, it is not all that there is."""
    rng = np.random.default_rng(0)
    share = np.full(8, 1 / 8)
    joint = np.outer(share, share) + 1e-5 * (noise := rng.random((8, 8))) / noise.sum()
    joint = (joint + joint.T) / (2 * joint.sum())
    assert np.bincount(cut(joint, 3).clusters).max() <= 4


def test_joint_is_left_as_it_was():
    joint = random_joint(5, 1)
    before = joint.copy()
    cut(joint, 2)
    assert_array_equal(joint, before)


def test_experts_without_rows_join_others_and_make_no_cluster():
    joint = np.zeros((4, 4))
    joint[0, 0], joint[2, 2] = 0.6, 0.4
    clusters = cut(joint, 2).clusters
    assert clusters[0] != clusters[2]
    assert set(clusters) == {0, 1}


def test_renamed_tree_is_the_tree_of_the_reordered_experts():
    joint = random_joint(6, 2)
    order = np.random.default_rng(3).permutation(6)
    tree = cut(joint, 3)
    other = cut(joint[np.ix_(order, order)], 3)
    renamed = tree.renamed(order, np.arange(3))
    assert_array_equal(renamed.children, other.children)
    assert_allclose(renamed.distances, other.distances)
    same = renamed.clusters[:, None] == renamed.clusters
    assert_array_equal(same, other.clusters[:, None] == other.clusters)


def test_aligned_clusters_take_the_numbers_of_those_they_share_most_experts_with():
    tree = cut(random_joint(7, 4), 3)
    numbers = np.array([2, 0, 1])
    before = numbers[tree.clusters]
    assert_array_equal(tree.aligned(before).clusters, before)
    before[0] = (before[0] + 1) % 3  # one expert that moved does not change the names
    if np.bincount(tree.clusters)[tree.clusters[0]] > 2:
        assert_array_equal(tree.aligned(before).clusters, numbers[tree.clusters])


def test_shared_rows_equal_a_loop_over_rows():
    X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
    batches = Batches(
        Rows(X), Scaling(np.zeros(4), 1.0), 16, torch.device("cpu")
    )  # fmt: skip
    gate = Gate(4, 3)

    def doubled(x, index, generator):
        assert_array_equal(x, X[index])
        return 2 * x

    joint = shared_rows(gate, batches, doubled, Randomness.from_seed(0, batches.device))
    expected = np.zeros((3, 3))
    for row in torch.from_numpy(X):
        p = gate.assign(row).softmax(-1).double().numpy()
        q = gate.assign(2 * row).softmax(-1).double().numpy()
        expected += (np.outer(p, q) + np.outer(q, p)) / 2
    assert_allclose(joint, expected / len(X), rtol=1e-5)
    assert joint.sum() == pytest.approx(1.0, abs=1e-6)
    assert_array_equal(joint, joint.T)


def test_shared_rows_of_chunks_are_those_of_all_their_rows():
    chunks, sizes = [random_joint(5, seed) for seed in range(3)], [10, 300, 70]
    shared = SharedRows(np.zeros((5, 5)))
    for joint, n_rows in zip(chunks, sizes, strict=True):
        together = shared.after(joint, n_rows)
    expected = np.tensordot(sizes, chunks, 1) / sum(sizes)
    assert_allclose(together, expected / expected.sum())
    assert shared.counts.sum() == pytest.approx(sum(sizes))


def test_shared_rows_long_ago_count_no_more():
    shared, most = SharedRows(np.zeros((4, 4))), 4 * ROWS_REMEMBERED
    shared.after(random_joint(4, 0), 10**6)
    joint = random_joint(4, 1)
    for _ in range(20):
        together = shared.after(joint, most)
        assert shared.counts.sum() == pytest.approx(2 * most)
    assert_allclose(together, joint, atol=1e-5)


@pytest.mark.parametrize("n_clusters", [1, 2, 5])
def test_shared_rows_of_clusters_are_merged_into_them(n_clusters):
    rng = np.random.default_rng(n_clusters)
    clusters = rng.permutation(np.arange(12) % n_clusters)
    sizes = rng.dirichlet(np.ones(12)).astype(np.float32)
    sizes[clusters.argmax()] = 0.0  # an expert that has no rows
    shared = SharedRows.of_clusters(clusters, sizes, 500)
    assert_allclose(shared.counts.sum(1), 500 * sizes.astype(float), rtol=1e-6)
    assert_allclose(shared.counts, shared.counts.T)
    joint = shared.after(np.full((12, 12), 1 / 144), 20)  # rows that tell nothing
    tree = agglomerate(joint, n_clusters, evenly=False)
    assert_array_equal(tree.aligned(clusters).clusters[sizes > 0], clusters[sizes > 0])
