"""Fit a mixture once, and note how it came about.

The labels of the data are read when the fit has ended: what is noted meanwhile is
noted without them, and scored afterwards.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from benchmarks._report import score
from benchmarks._rows import Problem
from benchmarks.paper.store import Arrays
from benchmarks.quality import results, runs, worker
from benchmarks.quality.methods import Task
from skmixae.metrics import hungarian_accuracy_score, purity_score
from skmixae.plotting import ClusterSamplesDisplay
from skmixae.plotting.figure import import_pyplot
from skmixae.plotting.rows import row_shape, sliceable

# Rows whose latents are kept, at so many epochs.
WATCHED_ROWS, SNAPSHOTS = 1000, 5
# What is kept of each epoch: the paper's three terms, and what pictures need beside.
KEPT = ("reconstruction", "sample_entropy", "batch_entropy", "expert_share")


class Recorder:
    """A callback that notes the clusters of all rows, and the latents of some.

    It is told of no classes, and never asks the fit to stop. Of several restarts the
    one is returned whose clusters the estimator kept.

    Parameters
    ----------
    rows : array-like of shape (n, n_features)
        What is clustered.
    watched : array-like of shape (n_watched, n_features)
        What latents are noted of.
    """

    def __init__(self, rows: Any, watched: Any):
        self.rows, self.watched = rows, watched
        self._epochs: list[tuple[np.ndarray, np.ndarray]] = []
        self._restarts: list[list[tuple[np.ndarray, np.ndarray]]] = []

    def setup(self, estimator: Any, context: Any) -> None:
        """Take note that a fit begins."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Take note that a fit has ended."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Take note that a task begins."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Note an epoch; a restart has ended, or the only one."""
        if context.task_name == "epoch":
            labels = fitted_estimator.predict(self.rows)
            latents = fitted_estimator.encode(self.watched)
            self._epochs.append(
                (labels.astype(np.uint16), latents.reshape(len(latents), -1))
            )
        elif self._epochs:
            self._restarts.append(self._epochs)
            self._epochs = []

    def of(self, labels: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return labels and latents, epoch by epoch, of the restart that was kept."""
        # Any epoch of a restart may be the one whose weights were kept.
        kept = max(
            self._restarts,
            key=lambda epochs: max(adjusted_rand_score(labels, x) for x, _ in epochs),
        )
        of_labels, of_latents = zip(*kept, strict=True)
        return list(of_labels), list(of_latents)


def perform(
    run: runs.Run, problem: Problem, threads: int
) -> tuple[results.Line, Arrays]:
    """Fit, then score.

    Parameters
    ----------
    run : Run
        Data set, method and seed; ``n_clusters`` may be among the method's parameters.
    problem : Problem
        The rows, and the classes that are read at the end.
    threads : int
        Of the processor.

    Returns
    -------
    line : dict
        The outcome, as a line of `benchmarks.quality` has it, and lists of an entry
        an epoch. Seconds include those of noting.
    arrays : dict of ndarray
        What figures are drawn of: ``probabilities`` (n, k), ``classes`` (n,), from 0,
        ``latents`` (n_snapshots, n_watched, d) at ``snapshots``, epochs from 1, of the
        rows ``watched``; ``samples``, ``reconstructions`` and ``certainties``, cluster
        by cluster, ``n_shown`` each.
    """
    n, n_features = problem.rows.shape
    task = Task(problem.n_clusters, n, n_features, problem.input_shape, run.seed)
    estimator = run.variant.method.build(task).set_params(**run.variant.parameters)
    watched = np.sort(np.random.default_rng(0).permutation(n)[:WATCHED_ROWS])
    recorder = Recorder(problem.rows, sliceable(problem.rows)[watched])
    line = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **runs.state_of_code()}
    with warnings.catch_warnings(record=True) as caught, limited(threads):
        warnings.simplefilter("always")
        start = time.perf_counter()
        estimator.set_callbacks(recorder).fit(problem.rows)
        seconds = time.perf_counter() - start
        arrays = {
            "probabilities": estimator.predict_proba(problem.rows),
            "watched": watched,
            **shown_samples(estimator, problem),
        }
    labels, latents = recorder.of(estimator.labels_)
    arrays |= snapshots(latents)
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    shape, image = row_shape(estimator)
    _, arrays["classes"] = np.unique(problem.classes, return_inverse=True)
    line |= runs.NOTHING | worker.on_gpu()
    line |= {
        "machine": runs.machine(threads),
        "versions": versions(),
        "n_rows": n,
        "n_features": n_features,
        "n_classes": problem.n_clusters,
        "n_clusters": int(estimator.n_clusters),
        "n_clusters_found": len(np.unique(estimator.labels_)),
        "input_shape": shape,
        "image": image,
        "n_experts": len(estimator.expert_labels_),
        "seconds": seconds,
        "objective": float(estimator.objective_),
        "estimator": " ".join(repr(estimator).split()),
        "warnings": list(dict.fromkeys(told)),
        "epochs": {
            **{name: estimator.history_[name].tolist() for name in KEPT},
            **scores_of(problem.classes, labels),
        },
        **score(problem.classes, estimator.labels_),
        "purity": purity_score(problem.classes, estimator.labels_),
    }
    return line, arrays


def versions() -> dict[str, str]:
    """Return the versions of the packages that are used, and of the one that draws."""
    return worker.versions() | {"matplotlib": version("matplotlib")}


def scores_of(classes: np.ndarray, labels: list[np.ndarray]) -> dict[str, list[float]]:
    """Score the labels of each epoch."""
    return {
        "accuracy": [hungarian_accuracy_score(classes, x) for x in labels],
        "purity": [purity_score(classes, x) for x in labels],
    }


def snapshots(latents: list[np.ndarray]) -> Arrays:
    """Choose epochs, more of the early ones, in which most happens."""
    n = len(latents)
    epochs = np.unique(np.geomspace(1, n, SNAPSHOTS).round().astype(int))
    return {"snapshots": epochs, "latents": np.stack([latents[e - 1] for e in epochs])}


def shown_samples(estimator: Any, problem: Problem) -> Arrays:
    """Choose samples of each cluster as the display of the package does."""
    display = ClusterSamplesDisplay.from_estimator(estimator, problem.rows)
    import_pyplot("benchmarks.paper").close(display.figure_)
    return {
        "samples": np.concatenate(display.samples),
        "reconstructions": np.concatenate(display.reconstructions),
        "certainties": np.concatenate(display.certainties),
        "n_shown": np.array([len(rows) for rows in display.samples]),
    }


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Compute with so many threads, and then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
