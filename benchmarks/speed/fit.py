"""What a fit costs beside its steps; and how soon it is as good as DEC at the end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from benchmarks.quality import runs
from benchmarks.quality.methods import Variant
from benchmarks.speed.clock import Result, side_by_side
from benchmarks.speed.step import NoBook
from skmixae import MixAEClustering
from skmixae._problem import new_network, resolve_moments, resolve_problem
from skmixae.training import Batches, Rows, fed_threads

ROWS, FEATURES, EPOCHS = 20_000, 64, 4
TRIED_EPOCHS = [1, 2, 4, 8, 16, 32]


def run(
    repeats: int, n_rows: int = ROWS, dataset: str | None = "usps"
) -> Iterator[Result]:
    """Time epochs with and without what is around the steps; then the race with DEC."""
    yield overhead(repeats, n_rows)
    if dataset is not None:
        yield from race(dataset)


def overhead(repeats: int, n_rows: int) -> Result:
    """Return the share of an epoch of `fit` that its steps do not take."""
    rows = np.random.default_rng(0).normal(size=(n_rows, FEATURES)).astype(np.float32)
    model = MixAEClustering(
        10, n_experts=None, whitening=None, consistency=None, random_state=0
    )
    bare = bare_epochs(model, rows)

    def fit(epochs: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(max_epochs=epochs).fit(rows)

    seconds = side_by_side(
        {
            "steps alone": lambda: bare(EPOCHS),
            "short fit": lambda: fit(EPOCHS),
            "long fit": lambda: fit(2 * EPOCHS),
        },
        repeats,
    )
    # What is done once, before and after the epochs, is in both fits.
    epoch = (seconds["long fit"] - seconds["short fit"]) / EPOCHS
    share = 1 - seconds["steps alone"] / EPOCHS / epoch
    return Result(
        "fit", f"share of an epoch beside its steps, {n_rows:,} x {FEATURES}, K = 10",
        share, "", 0.05, higher_is_better=False, details={"seconds": seconds},
    )  # fmt: skip


def bare_epochs(model: MixAEClustering, X: np.ndarray):
    """Return a call of epochs that are batches and steps, and nothing else."""
    rows = Rows(X)
    moments = resolve_moments(model, rows)
    problem = resolve_problem(model, rows, moments)
    network = new_network(problem, 0).train()
    scaling = moments.scaling(problem.loss)
    batches = Batches(rows, scaling, problem.batch_size, problem.device).holding()
    generator = torch.Generator(problem.device).manual_seed(0)
    objective = problem.objective(rows, moments)
    plan = problem.plan_for(rows, moments)
    step = plan.new_step(network, objective, generator, NoBook())
    order = np.random.default_rng(0)

    def train(epochs: int) -> None:
        with fed_threads(problem.work(network)):  # as many as a fit takes
            for _ in range(epochs):
                for index, x in batches.shuffled(order):
                    step(index, x, 0.0)

    return train


def race(dataset: str) -> Iterator[Result]:
    """Time DEC to its end, and the shortest of our fits that is as accurate."""
    with TemporaryDirectory(prefix="skmixae-speed-") as folder:
        threads = torch.get_num_threads()
        plan = runs.Plan([dataset], [], 1, Path(folder) / "none", threads=threads)
        stage = runs.Stage(plan, Path(folder))
        dec = stage.run(runs.Run(dataset, Variant("dec"), 0))
        if dec["error"]:
            print(f"DEC did not run ({dec['error']}): make peers")
            return
        tried = {}
        for epochs in TRIED_EPOCHS:
            variant = Variant("mixae", {"max_epochs": epochs})
            line = stage.run(runs.Run(dataset, variant, 0))
            tried[epochs] = (line["accuracy"], line["seconds"])
            if line["accuracy"] >= dec["accuracy"]:
                break
        else:
            print(f"No fit was as accurate as DEC, {dec['accuracy']:.3f}: {tried}")
            return
    yield Result(
        "fit", f"seconds to DEC's final accuracy on {dataset}, over DEC's",
        line["seconds"] / dec["seconds"], "x", 0.1, higher_is_better=False,
        details={"dec": (dec["accuracy"], dec["seconds"]), "ours by epochs": tried},
    )  # fmt: skip
