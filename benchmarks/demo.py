"""Cluster a data set, and show what was found: ``python -m benchmarks.demo``.

MixAEClustering with its defaults, KMeans and GaussianMixture cluster the same rows,
with several seeds. What is told of a data set is how many classes it has and, for
MixAEClustering, the shape of its rows; labels are read by the scorer alone. There are
no other parameters, for no data set.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

import skmixae
from benchmarks._report import (
    counted,
    positive,
    processor,
    score,
    shortened,
    spread,
)
from benchmarks._rows import Problem, covariance_type, densified, new_problem
from skmixae import MixAEClustering
from skmixae.datasets import dataset_names, load_dataset
from skmixae.plotting import ClusterSamplesDisplay, TrainingHistoryDisplay

# GaussianMixture takes no sparse rows. Denser ones may take up this much memory.
DENSE_BYTES = 2 << 30


@dataclass(frozen=True)
class Method:
    """A way of clustering: its name, and how to make one for a seed."""

    name: str
    build: Callable[[int], Any]
    dense: bool = False


@dataclass
class Result:
    """What came of one method with one seed: scores, or an error."""

    method: str
    seed: int
    accuracy: float | None = None
    nmi: float | None = None
    ari: float | None = None
    seconds: float | None = None
    objective: float | None = None  # of MixAEClustering, without labels
    warnings: list[str] = field(default_factory=list)
    error: str | None = None

    def line(self) -> str:
        """Tell of it in a line."""
        head = f"seed {self.seed}   {self.method:24s}"
        if self.error:
            return f"{head} not run: {shortened(self.error, 60)}"
        return f"{head} accuracy {self.accuracy:.3f} in {self.seconds:.1f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo."""
    parser = new_parser()
    options = parser.parse_args(arguments)
    console = Console(options.quiet)
    try:
        problem = load(options.dataset, options.max_rows)
    except (OSError, ValueError) as error:  # not found, or not to be fetched
        parser.error(str(error))
    print(describe(problem), flush=True)
    results, best = compare(problem, options.seeds, console)
    protocol = describe_protocol(options.seeds, best)
    print("", table(results), *remarks(results), "", *protocol, sep="\n")
    options.out.mkdir(parents=True, exist_ok=True)
    write(problem, results, protocol, options.out / f"{problem.name}.json")
    draw(problem, best, results, options.out)


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description="Cluster a data set with MixAEClustering, KMeans and "
        "GaussianMixture, and show what was found.",
    )
    add = partial(parser.add_argument, metavar="N", type=positive)
    parser.add_argument(
        "--dataset", default="digits", choices=dataset_names(), metavar="NAME",
        help="%(choices)s (default: %(default)s)",
    )  # fmt: skip
    add("--seeds", default=5, help="how many seeds, from 0 (default: %(default)s)")
    add("--max-rows", help="cluster no more rows than these, drawn at random")
    parser.add_argument(
        "--out", default=Path("demo-output"), type=Path, metavar="DIR",
        help="folder of the pictures and results (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


# ---------------------------------------------------------------------------
# What is clustered, and how
# ---------------------------------------------------------------------------


def load(name: str, max_rows: int | None = None) -> Problem:
    """Load a data set by its name, or some of its rows."""
    dataset = load_dataset(name)
    return new_problem(
        name, dataset.data, dataset.target, dataset.input_shape, max_rows
    )


def describe(problem: Problem) -> str:
    """Say in a line what is clustered."""
    n, n_features = problem.rows.shape
    of = "" if n == problem.n_rows_in_all else f" (of {problem.n_rows_in_all:,})"
    return (
        f"{problem.name}: {n:,} rows{of} of {n_features:,} features, "
        f"{problem.n_clusters} classes"
    )


def methods(problem: Problem) -> list[Method]:
    """Return what is compared."""
    k = problem.n_clusters
    covariance = covariance_type(problem.rows.shape[1])
    return [
        Method(
            "MixAEClustering",
            lambda seed: MixAEClustering(k, random_state=seed),
        ),
        Method("KMeans", lambda seed: KMeans(k, n_init=10, random_state=seed)),
        Method(
            f"GaussianMixture ({covariance})",
            lambda seed: GaussianMixture(
                k, covariance_type=covariance, random_state=seed
            ),
            dense=True,
        ),
    ]


def compare(
    problem: Problem, n_seeds: int, console: Console
) -> tuple[list[Result], MixAEClustering]:
    """Run every method with every seed.

    Return also the MixAEClustering of the lowest objective, which reads no labels.
    """
    results: list[Result] = []
    fitted: list[MixAEClustering] = []
    for seed in range(n_seeds):
        for method in methods(problem):
            estimator = method.build(seed)
            if isinstance(estimator, MixAEClustering):
                console.follow(estimator)
                fitted.append(estimator)
            results.append(run(method, estimator, problem, seed))
            console.say(results[-1].line())
        fitted = [min(fitted, key=lambda model: model.objective_)]
    return results, fitted[0]


def run(method: Method, estimator: Any, problem: Problem, seed: int) -> Result:
    """Fit and score; what goes wrong with a baseline is a result, too."""
    result = Result(method.name, seed)
    try:
        rows = densified(problem.rows, DENSE_BYTES) if method.dense else problem.rows
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start = time.perf_counter()
            labels = estimator.fit_predict(rows)
            result.seconds = time.perf_counter() - start
    except (ValueError, MemoryError) as error:
        if isinstance(estimator, MixAEClustering):
            raise
        result.error = " ".join(str(error).split()) or type(error).__name__
        return result
    result.warnings = [
        str(w.message) for w in caught if issubclass(w.category, UserWarning)
    ]
    result.objective = getattr(estimator, "objective_", None)
    for name, value in score(problem.classes, labels).items():
        setattr(result, name, value)
    return result


# ---------------------------------------------------------------------------
# What is told
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Console:
    """Where progress is told, if at all."""

    quiet: bool

    def say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)

    def follow(self, estimator: MixAEClustering) -> None:
        """Show a bar of the epochs, on a terminal and where scikit-learn has one."""
        if self.quiet or not sys.stdout.isatty():
            return
        try:
            from sklearn.callback import ProgressBar

            estimator.set_callbacks(ProgressBar())
        except ImportError:  # scikit-learn before 1.9, or no rich
            return


def table(results: list[Result]) -> str:
    """Return the mean and standard deviation of every score, in aligned columns."""
    scores = {"accuracy": 3, "nmi": 3, "ari": 3, "seconds": 2}
    lines = [["", "accuracy", "NMI", "ARI", "seconds"]]
    for method in dict.fromkeys(result.method for result in results):
        done = [r for r in results if r.method == method and r.error is None]
        cells = [
            spread([getattr(r, score) for r in done], digits)
            for score, digits in scores.items()
        ]
        lines.append([method, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "   ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)]
        )
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def remarks(results: list[Result]) -> list[str]:
    """Return what went wrong with some method, and with how many of its seeds."""
    told = Counter(
        (r.method, ": not run: " if r.error else ": ", what)
        for r in results
        for what in dict.fromkeys([r.error] if r.error else r.warnings)
    )
    seeds = counted(len({r.seed for r in results}), "seed")
    return [
        f"{method}{verb}{shortened(what)} ({count} of {seeds})"
        for (method, verb, what), count in told.items()
    ]


def describe_protocol(n_seeds: int, model: MixAEClustering) -> list[str]:
    """Return how the numbers came about, and on what."""
    seeds = "seed 0"
    if n_seeds > 1:
        seeds = f"seeds 0 to {n_seeds - 1}, mean ± standard deviation"
    versions = ", ".join(
        f"{module.__name__} {module.__version__}"
        for module in (skmixae, torch, sklearn, np, scipy)
    )
    device = next(model.module_.parameters()).device
    threads = counted(torch.get_num_threads(), "thread")
    return [
        "Defaults (KMeans with n_init=10), the same rows and the number of classes for "
        f"all; {seeds}.",
        "Labels are read by the scorer only. Accuracy is that of the best one-to-one "
        "match of clusters and classes (Hungarian).",
        f"{processor()}, {threads}; MixAEClustering on "
        f"{device}; Python {platform.python_version()}, {versions}.",
    ]


# ---------------------------------------------------------------------------
# What is written
# ---------------------------------------------------------------------------


def write(
    problem: Problem, results: list[Result], protocol: list[str], path: Path
) -> None:
    """Write every result as JSON."""
    content = {
        "dataset": problem.name,
        "n_rows": problem.rows.shape[0],
        "n_features": problem.rows.shape[1],
        "n_clusters": problem.n_clusters,
        "protocol": protocol,
        "results": [asdict(result) for result in results],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"\nResults: {path}")


def draw(
    problem: Problem, model: MixAEClustering, results: list[Result], folder: Path
) -> None:
    """Draw the samples of each cluster, and how training went."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("No pictures: matplotlib is missing (pip install 'skmixae[plot]').")
        return
    seeds = counted(len({result.seed for result in results}), "seed")
    title = (
        f"{problem.name}: seed {model.random_state}, the lowest objective of {seeds}"
    )
    for what, display in (
        ("samples", ClusterSamplesDisplay.from_estimator(model, problem.rows)),
        ("history", TrainingHistoryDisplay.from_estimator(model)),
    ):
        path = folder / f"{problem.name}-{what}.png"
        display.ax_.set_title(title, loc="left", fontsize=9)
        display.figure_.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)
        plt.close(display.figure_)
        print(f"Picture: {path}")
    print(
        f"Pictured is the fit of seed {model.random_state}: of {seeds} that of the "
        "lowest objective, which reads no labels."
    )


if __name__ == "__main__":
    main()
