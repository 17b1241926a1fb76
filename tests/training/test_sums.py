"""K-means of sums."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from skmixae.network import subsets
from skmixae.training.sums import additive_kmeans, nearest_sums


def sums_of_centres(k=5, m=2, n=400, seed=0, noise=0.1):
    rng = np.random.RandomState(seed)
    centres, members = 3 * rng.randn(k, 8), subsets(k, m).numpy()
    labels = rng.randint(len(members), size=n)
    return members[labels] @ centres + noise * rng.randn(n, 8), labels, centres, members


@pytest.mark.parametrize(("k", "m"), [(5, 2), (7, 2)])
def test_centres_are_found_that_rows_are_sums_of(k, m):
    rows, _, centres, members = sums_of_centres(k, m)
    found = additive_kmeans(rows, members, np.random.RandomState(0))
    distance = np.linalg.norm(found[:, None] - centres, axis=-1)
    assert distance.min(1).max() < 0.2
    assert len(set(distance.argmin(1))) == k


def test_nearest_sum_equals_a_loop():
    rows, _, centres, members = sums_of_centres(n=30)
    labels, error = nearest_sums(rows, members @ centres)
    distances = [[np.sum((r - m @ centres) ** 2) for m in members] for r in rows]
    np.testing.assert_array_equal(labels, np.argmin(distances, 1))
    assert error == pytest.approx(np.mean(np.min(distances, 1)))


def test_with_one_centre_each_it_is_kmeans():
    rows, _ = make_blobs(300, 4, centers=3, random_state=0)
    members = subsets(3, 1).numpy()
    centres = additive_kmeans(rows, members, np.random.RandomState(0))
    _, error = nearest_sums(rows, members @ centres)
    expected = KMeans(3, n_init=10, random_state=0).fit(rows).inertia_ / len(rows)
    assert error == pytest.approx(expected, rel=0.01)


def test_same_seed_gives_the_same_centres():
    rows, _, _, members = sums_of_centres()
    one, other = (
        additive_kmeans(rows, members, np.random.RandomState(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


def test_fewer_rows_than_centres_are_no_obstacle():
    rows, _, _, members = sums_of_centres(n=3)
    assert np.isfinite(additive_kmeans(rows, members, np.random.RandomState(0))).all()
