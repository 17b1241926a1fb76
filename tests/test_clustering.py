"""Curved clusters, which no centre can tell apart. No tuned number anywhere."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from skmixae import MixAEClustering

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEEDS = range(3)


def moons(seed):
    return make_moons(400, noise=0.06, random_state=seed)


def circles(seed):
    return make_circles(400, noise=0.04, factor=0.4, random_state=seed)


def bent_sheets(seed):
    """Three parabolic sheets in space, one above the other."""
    rng = np.random.default_rng(seed)
    y, u = rng.integers(0, 3, 400), rng.uniform(-2, 2, (400, 2))
    sheets = np.c_[u, 0.6 * u[:, 0] ** 2 + 1.2 * y]
    return sheets + rng.normal(scale=0.05, size=sheets.shape), y


MANIFOLDS = {"half-moons": moons, "circles": circles, "bent sheets": bent_sheets}


@pytest.mark.parametrize("name", MANIFOLDS)
def test_curved_manifolds_are_told_apart_better_than_by_kmeans(name):
    ours, kmeans = [], []
    for seed in SEEDS:
        X, y = MANIFOLDS[name](seed)
        n_clusters = y.max() + 1
        model = MixAEClustering(n_clusters, random_state=seed)
        ours.append(adjusted_rand_score(y, model.fit_predict(X)))
        centres = KMeans(n_clusters, n_init=10, random_state=seed)
        kmeans.append(adjusted_rand_score(y, centres.fit_predict(X)))
    assert np.mean(ours) > np.mean(kmeans)


def test_what_kmeans_can_tell_apart_is_told_apart():
    for seed in SEEDS:
        X, y = make_blobs(
            300, centers=[[0, 0], [9, 0], [0, 9], [9, 9]], random_state=seed
        )
        labels = MixAEClustering(4, random_state=seed).fit_predict(X)
        assert adjusted_rand_score(y, labels) > 0.95
