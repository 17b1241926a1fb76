"""Fits side by side: a grid search with two workers, and restarts in threads.

The search is the README's: a pipeline of StandardScaler and MixAEClustering over the
number of clusters and the entropy weights, on digits, scored by Hungarian accuracy.
Each worker gets one thread; alone, the search has those of the benchmark. Each fit
starts once: several restarts use both cores already with one worker. Workers are
started, and torch imported in them, before the clock runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import torch
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.speed.clock import Result, side_by_side
from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_scorer

GRID = {
    "cluster__n_clusters": [8, 10],
    "cluster__sample_entropy_weight": [1.0, 2.0],
    "cluster__batch_entropy_weight": [4.0, 8.0],
}


def run(repeats: int, n_rows: int = 1000, max_epochs: int = 20) -> Iterator[Result]:
    """Time the search with one worker and with two, and restarts likewise."""
    X, y = load_digits(return_X_y=True)
    n_threads = torch.get_num_threads()

    def restarts(n: int) -> None:
        torch.set_num_threads(n)
        try:
            MixAEClustering(10, n_init=3, max_epochs=max_epochs, random_state=0).fit(
                X[:n_rows]
            )
        finally:
            torch.set_num_threads(n_threads)

    def search(n_jobs: int) -> None:
        model = MixAEClustering(max_epochs=max_epochs, n_init=1, random_state=0)
        pipeline = Pipeline([("scale", StandardScaler()), ("cluster", model)])
        GridSearchCV(
            pipeline, GRID, scoring=hungarian_accuracy_scorer, cv=2, n_jobs=n_jobs
        ).fit(X[:n_rows], y[:n_rows])

    # Short trainings do not converge, nor need they: workers inherit the filter.
    with warnings.catch_warnings(), parallel_config("loky", inner_max_num_threads=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        seconds = side_by_side(
            {"1": lambda: search(1), "2": lambda: search(2)}, repeats
        )
        alone = side_by_side(
            {str(n): partial(restarts, n) for n in (1, n_threads)}, repeats
        )
    yield Result(
        "search", "GridSearchCV over 8 settings, n_jobs=2 against 1",
        seconds["1"] / seconds["2"], "x", 1.6, details={"seconds": seconds},
    )  # fmt: skip
    yield Result(
        "search", f"three restarts, {n_threads} threads against 1",
        alone["1"] / alone[str(n_threads)], "x", 1.5, details={"seconds": alone},
    )  # fmt: skip
