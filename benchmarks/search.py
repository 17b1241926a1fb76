"""Seconds of a grid search with two workers against one, side by side.

    python -m benchmarks.search [--repeats 3] [--rows 1000]

The search is the README's: a pipeline of StandardScaler and MixAEClustering over the
number of clusters and the entropy weights, on digits, scored by Hungarian accuracy.
Each worker gets one thread; alone, the search may use all. Workers are started, and
torch imported in them, before the clock runs. The ratio is the result: seconds depend
on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_scorer

GRID = {
    "cluster__n_clusters": [8, 10],
    "cluster__sample_entropy_weight": [1.0, 2.0],
    "cluster__batch_entropy_weight": [4.0, 8.0],
}


def seconds(n_jobs: int, n_rows: int, max_epochs: int) -> float:
    """Return the seconds that the search takes with some workers."""
    X, y = load_digits(return_X_y=True)
    model = MixAEClustering(max_epochs=max_epochs, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("cluster", model)])
    search = GridSearchCV(
        pipeline, GRID, scoring=hungarian_accuracy_scorer, cv=2, n_jobs=n_jobs
    )
    start = time.perf_counter()
    search.fit(X[:n_rows], y[:n_rows])
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> float:
    """Time both, print the medians and their ratio, and return the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    # Short trainings do not converge, nor need they: workers inherit the filter.
    warnings.simplefilter("ignore", ConvergenceWarning)
    times: dict[int, list[float]] = {1: [], 2: []}
    with parallel_config("loky", inner_max_num_threads=1):
        seconds(2, 200, 1)  # starts the workers
        for _ in range(options.repeats):
            for n_jobs, taken in times.items():
                taken.append(seconds(n_jobs, options.rows, options.epochs))
    one, two = (statistics.median(taken) for taken in times.values())
    print(f"torch threads in the parent: {torch.get_num_threads()}")
    print(f"n_jobs=1: {one:.1f} s   n_jobs=2: {two:.1f} s   ratio {one / two:.2f}")
    return one / two


if __name__ == "__main__":
    main()
