"""Labels of new rows, against GaussianMixture and KMeans; and the time of an import."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from benchmarks.speed.clock import Result, side_by_side
from skmixae import MixAEClustering

ROWS, FEATURES, CLUSTERS = 70_000, 784, 10
IMPORTS = {"ours": "skmixae", "peers": "torch, sklearn.cluster, sklearn.utils"}


def run(
    repeats: int, n_rows: int = ROWS, n_features: int = FEATURES
) -> Iterator[Result]:
    """Time `predict` on rows as many and as long as MNIST's, and an import."""
    rows = np.random.default_rng(0).random((n_rows, n_features), dtype=np.float32)
    some = rows[: max(1000, n_rows // 35)]  # how long a fit was is no matter here
    models = {
        "ours": MixAEClustering(
            CLUSTERS, n_experts=CLUSTERS, n_init=1, max_epochs=1, random_state=0
        ),
        "gmm": GaussianMixture(CLUSTERS, max_iter=1, reg_covar=1e-3, random_state=0),
        "kmeans": KMeans(CLUSTERS, n_init=1, random_state=0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in models.values():
            model.fit(some)
    calls = {name: partial(model.predict, rows) for name, model in models.items()}
    seconds = side_by_side(calls, repeats)
    yield Result(
        "predict", f"{n_rows:,} x {n_features}, K = {CLUSTERS}, against a full "
        "GaussianMixture", seconds["gmm"] / seconds["ours"], "x", 3.0,
        details={"seconds": seconds},
    )  # fmt: skip
    yield imports(repeats)


def imports(repeats: int) -> Result:
    """Return the time of our import over that of torch's and scikit-learn's."""

    def start(modules: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)

    calls = {name: partial(start, modules) for name, modules in IMPORTS.items()}
    seconds = side_by_side(calls, repeats)
    return Result(
        "predict", "import, against torch and scikit-learn",
        seconds["ours"] / seconds["peers"], "x", 1.1, higher_is_better=False,
        details={"seconds": seconds},
    )  # fmt: skip
