"""From a resolved problem and rows to a trained mixture. Knows no estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._outcome import Candidate
from ._problem import Problem, own_randomness
from .inference import Inference
from .network import MixtureOfAutoencoders
from .objective.mixture import weigh
from .training import (
    Agglomeration,
    Batches,
    Moments,
    Monitor,
    Randomness,
    Rows,
    Teaching,
    TrainingRun,
    agglomerate,
    as_probabilities,
    fed_threads,
    kmeans_labels,
    shared_rows,
    train,
)

# Share of the epochs that a start from labels or probabilities is learned in.
TEACHING_SHARE = 0.1


def measure(rows: Rows, before: Moments | None = None) -> Moments:
    """Return the moments of all rows, and of those measured before."""
    moments = Moments() if before is None else replace(before)
    for block in rows.blocks():
        moments.update(block)
    return moments


def fit_once(
    problem: Problem,
    network: MixtureOfAutoencoders,
    rows: Rows,
    moments: Moments,
    seed: int,
    monitor: Monitor | None = None,
    *,
    clusters: NDArray[np.integer] | None = None,
) -> Candidate:
    """Train a network, from the problem's start or on from where it is.

    The latter if ``clusters`` says which cluster each of its experts is of so far.

    An interruption or divergence carries in its attribute ``candidate`` what was good
    before it, or None.
    """
    run = TrainingRun()
    try:
        threads = fed_threads(network, problem.batch_size)
        with own_randomness(seed, problem), threads:
            run = _train(
                problem, network, rows, moments, seed, monitor, clusters=clusters
            )
    except BaseException as error:
        run = getattr(error, "training_run", run)
        error.candidate = (  # type: ignore[attr-defined]
            conclude(problem, network, rows, moments, run, clusters=clusters)
            if run.best_epoch >= 0
            else None
        )
        raise
    return conclude(problem, network, rows, moments, run, clusters=clusters)


def _train(
    problem: Problem,
    network: MixtureOfAutoencoders,
    rows: Rows,
    moments: Moments,
    seed: int,
    monitor: Monitor | None,
    *,
    clusters: NDArray[np.integer] | None,
) -> TrainingRun:
    randomness = Randomness.from_seed(seed, problem.device)
    scaling = moments.scaling(problem.loss)
    everything = Batches(rows, scaling, problem.batch_size, problem.device)
    batches, validation = _split(
        everything, problem.validation_fraction, randomness.rows
    )
    objective = problem.objective(rows, moments)
    shared: dict[str, Any] = {"n_experts": problem.spec.n_experts, "monitor": monitor}
    start = None if clusters is not None else _start(problem, everything, seed)
    if start is None:
        return train(
            network, objective, batches, problem.plan, randomness,
            validation=validation, **shared,
        )  # fmt: skip
    lessons, rest = problem.plan.split(TEACHING_SHARE)
    teaching = Teaching(objective, torch.from_numpy(start).to(problem.device))
    first = train(network, teaching, batches, lessons, randomness, **shared)
    if not rest.max_epochs or first.stopped == "callback":
        return first
    try:
        second = train(
            network, objective, batches, rest, randomness,
            validation=validation, **shared,
        )  # fmt: skip
    except BaseException as error:
        if hasattr(error, "training_run"):
            error.training_run = error.training_run.after(first)
        raise
    return second.after(first)


def _start(problem: Problem, batches: Batches, seed: int) -> NDArray | None:
    """Return what is taught first, probabilities (n, k), or None for a random start."""
    start, k = problem.start, problem.spec.n_experts
    if isinstance(start, str):
        if start == "random":
            return None
        start = kmeans_labels(batches, k, np.random.RandomState(seed))
    return as_probabilities(start, k)


def _split(
    batches: Batches, fraction: float | None, rng: np.random.Generator
) -> tuple[Batches, Batches | None]:
    """Split rows into those to train on and those to watch the objective on."""
    if fraction is None:
        return batches, None
    order = rng.permutation(len(batches))
    n_held = min(max(1, round(fraction * len(batches))), len(batches) - 1)
    return (
        batches.narrowed(np.sort(order[n_held:])),
        batches.narrowed(np.sort(order[:n_held])),
    )


def conclude(
    problem: Problem,
    network: MixtureOfAutoencoders,
    rows: Rows,
    moments: Moments,
    run: TrainingRun,
    *,
    clusters: NDArray[np.integer] | None,
) -> Candidate:
    """Name the experts of a trained network, and survey its rows."""
    objective = problem.objective(rows, moments)
    scaling = moments.scaling(problem.loss)
    inference = Inference(network, scaling, objective.reconstruction)
    tree = merge_experts(problem, network, rows, moments)
    if clusters is not None:
        tree = tree.aligned(clusters)  # labels that there were keep their meaning
    else:
        inference.clusters = tree.clusters
        order, tree = _named(problem, inference.sizes(rows), tree)
        network.permute_experts(torch.from_numpy(order).to(problem.device))
        run.history = [r._replace(usage=r.usage[order]) for r in run.history]
    inference.clusters = tree.clusters
    survey = inference.survey(rows)
    usage = torch.from_numpy(survey.usage).to(problem.device)
    balance = objective.balance(usage[None], n_rows=len(rows))
    total = weigh(
        problem.weights,
        torch.tensor(survey.reconstruction),
        torch.tensor(survey.sample_entropy),
        balance.cpu(),
        # As training met it: over all rows again, the adversary would cost an epoch.
        torch.tensor(run.kept.terms["consistency"] if run.kept else 0.0),
    )
    return Candidate(inference, moments, run, survey, float(total), tree)


def merge_experts(
    problem: Problem, network: MixtureOfAutoencoders, rows: Rows, moments: Moments
) -> Agglomeration:
    """Merge the experts into clusters; of as many experts each is a cluster."""
    m = problem.spec.n_experts
    if m == problem.n_clusters:
        return Agglomeration(np.arange(m), np.empty((0, 2), np.intp), np.empty(0))
    scaling = moments.scaling(problem.loss)
    batches = Batches(rows, scaling, problem.batch_size, problem.device)
    # A seed of its own: the same network has the same clusters whenever it is asked.
    randomness = Randomness.from_seed(0, problem.device)
    with own_randomness(0, problem):
        joint = shared_rows(network, batches, problem.view(rows, moments), randomness)
    return agglomerate(joint, problem.n_clusters)


def _named(
    problem: Problem, sizes: NDArray[np.intp], tree: Agglomeration
) -> tuple[NDArray[np.intp], Agglomeration]:
    """Return the order of experts that gives labels a meaning, and their tree in it.

    Labels given to start from keep their experts; else the largest cluster comes
    first, or the clusters follow the known sizes. Unused clusters come last, so that
    labels have no gap.
    """
    ranking = np.argsort(-sizes, kind="stable")  # of the clusters
    if not isinstance(problem.start, str) and len(sizes) == problem.spec.n_experts:
        ranking = np.argsort(sizes == 0, kind="stable")
    elif problem.sizes is not None and sizes.all():
        by_size = ranking
        ranking = np.empty_like(by_size)
        ranking[np.argsort(-problem.sizes, kind="stable")] = by_size
    rank = np.argsort(ranking)
    order = np.argsort(rank[tree.clusters], kind="stable")
    return order, tree.renamed(order, rank)
