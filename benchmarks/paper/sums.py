"""The paper's multilabel outlook: images that are the sum of two digits, told apart.

``python -m benchmarks.paper.sums --out FILE``: a line a run, those that are there are
not run again.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF

import skmixae
from benchmarks._report import positive, spread
from benchmarks.paper import fits
from benchmarks.quality import results, runs
from benchmarks.quality.tables import grouped, latest, markdown
from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_score

N_SOURCES, N_ROWS = 2, 4000


def digit_sums(n_classes: int, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of images of two digits, and which two, as zeros and ones (n, c).

    The digits are drawn first: ``n_classes`` of the ten, other ones with each seed.
    """
    rng = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    chosen = np.sort(rng.choice(10, n_classes, replace=False))
    members = np.zeros((n_rows, n_classes), dtype=int)
    rows = np.zeros((n_rows, images.shape[1]))
    for row, member in zip(rows, members, strict=True):
        for c in rng.choice(n_classes, N_SOURCES, replace=False):
            row += images[rng.choice(np.flatnonzero(digits == chosen[c]))]
            member[c] = 1
    return rows, members


def most_active(activations: np.ndarray) -> np.ndarray:
    """Return ones where a row (k,) of activations has its largest, else zeros."""
    found = np.zeros(activations.shape, dtype=int)
    largest = np.argsort(-activations, axis=1, kind="stable")[:, :N_SOURCES]
    np.put_along_axis(found, largest, 1, axis=1)
    return found


def _nmf(rows: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    model = NMF(n_classes, init="nndsvda", max_iter=500, random_state=seed)
    parts = model.fit_transform(rows)
    return most_active(parts * np.linalg.norm(model.components_, axis=1))


def _taught(rows: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    # The start is learned in the first tenth of the epochs, and in one at least: of a
    # single epoch nothing is left for training on.
    return _mixae(rows, n_classes, seed, max_epochs=1, n_init=1)


def _mixae(rows: np.ndarray, n_classes: int, seed: int, **settings: int) -> np.ndarray:
    model = MixAEClustering(n_classes, n_active=N_SOURCES, random_state=seed)
    return model.set_params(**settings).fit_predict(rows)


METHODS: dict[str, tuple[str, Callable[[np.ndarray, int, int], np.ndarray]]] = {
    "nmf": ("non-negative factors, the two most active", _nmf),
    "start": ("one epoch, which learns the start: k-means of sums", _taught),
    "mixae": ("`n_active=2`, and nothing else set", _mixae),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper.sums",
        description="Tell apart the two digits that images are the sum of.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="lines are appended")
    add("--classes", nargs="+", type=positive, default=[4, 5, 6, 10], metavar="C")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    add("--seeds", type=positive, default=3, help="how many, from 0 (default: 3)")
    add("--rows", type=positive, default=N_ROWS, help=f"default: {N_ROWS}")
    add("--threads", type=positive, default=1, help="of a run (default: 1)")
    options = parser.parse_args(arguments)
    there = results.read([options.out]) if options.out.exists() else []
    keys = {results.key(line) for line in there}
    try:
        for line in plan(options):
            if results.key(line) not in keys:
                line |= run(line, options.threads)
                results.append(line, options.out)
                print(
                    f"{line['dataset']}  {line['method']}  seed {line['seed']}  "
                    f"accuracy {line['accuracy']:.3f} in {line['seconds']:.1f} s"
                )
    except KeyboardInterrupt:
        print(f"Interrupted; {options.out} is whole. Start again to go on.")
        return 130
    print("", table(results.read([options.out])), sep="\n")
    return 0


def plan(options: argparse.Namespace) -> list[results.Line]:
    """Return the lines of all runs, as far as they are known beforehand."""
    return [
        {
            "dataset": f"sums of {n_classes} digits",
            "n_classes": n_classes,
            "limit": options.rows,
            "method": method,
            "parameters": {},
            "seed": seed,
            "version": f"skmixae {skmixae.__version__}",
        }
        for n_classes in options.classes
        for method in options.methods
        for seed in range(options.seeds)
    ]


def run(line: results.Line, threads: int) -> results.Line:
    """Run a method, and score the end of it: the first look at the digits."""
    rows, members = digit_sums(line["n_classes"], line["limit"], line["seed"])
    _, find = METHODS[line["method"]]
    with warnings.catch_warnings(), fits.limited(threads):
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        found = find(rows, line["n_classes"], line["seed"])
        seconds = time.perf_counter() - start
    return {
        **runs.state_of_code(),
        **runs.NOTHING,
        "machine": runs.machine(threads),
        "versions": fits.versions(),
        "seconds": seconds,
        "accuracy": hungarian_accuracy_score(members, found),
    }


def table(lines: list[results.Line]) -> str:
    """Return the accuracy of each method on each number of digits."""
    ordered = sorted(latest(lines), key=lambda line: line["n_classes"])
    by_data = grouped(ordered, lambda line: line["dataset"])
    found = {
        data: grouped(there, lambda line: line["method"])
        for data, there in by_data.items()
    }
    rows = [
        [
            f"`{method}`: {about}",
            *(
                spread([line["accuracy"] for line in there.get(method, [])], 3)
                for there in found.values()
            ),
        ]
        for method, (about, _) in METHODS.items()
    ]
    return markdown(["", *found], rows)


if __name__ == "__main__":
    sys.exit(main())
