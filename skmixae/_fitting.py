"""From a resolved problem and rows to a trained mixture. Knows no estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import entropy
from torch import Tensor

from ._outcome import Candidate, Outcome
from ._problem import Problem, own_randomness
from .inference import Inference
from .network import MixtureOfAutoencoders, subsets
from .objective.mixture import OTHERS, MixtureObjective, Parts, weigh
from .objective.terms import experts_of
from .training import (
    ONE_AT_A_TIME,
    STARTS,
    Agglomeration,
    Batches,
    IsDecided,
    Moments,
    Monitor,
    Objective,
    Randomness,
    SharedRows,
    Target,
    Teaching,
    TrainingDiverged,
    TrainingPlan,
    TrainingRun,
    Validation,
    agglomerate,
    shared_rows,
    subset_labels,
    train,
)

# Share of the epochs that a start from labels or probabilities is learned in.
TEACHING_SHARE = 0.1


class Follower(Monitor, Protocol):
    """Somebody who follows the epochs of a fit, and its phases."""

    def begin_refinement(self, tree: Agglomeration) -> None:
        """Take note that from now on the clusters of experts are trained."""


def fit_once(
    problem: Problem,
    network: MixtureOfAutoencoders,
    batches: Batches,
    moments: Moments,
    seed: int,
    monitor: Follower | None = None,
    *,
    clusters: NDArray[np.integer] | None = None,
) -> Outcome:
    """Train a network, from the problem's start or on from where it is.

    The latter if ``clusters`` says which cluster each of its experts is of so far. Of a
    fit that is interrupted, or diverges, there is what was good before it, if anything.
    """
    fit = _Fit(problem, network, batches, moments, seed, monitor, clusters)
    try:
        with own_randomness(seed, problem):
            fit.train()
        return Outcome(fit.conclude(), handicap=problem.handicap)
    except BaseException as error:
        fit.note(getattr(error, "training_run", TrainingRun()))
        return Outcome(fit.salvage(), error, problem.handicap)


class _Fit:
    """The phases of a fit: a start is taught, experts part, clusters are refined."""

    def __init__(
        self,
        problem: Problem,
        network: MixtureOfAutoencoders,
        batches: Batches,
        moments: Moments,
        seed: int,
        monitor: Follower | None,
        clusters: NDArray[np.integer] | None,
    ) -> None:
        self.problem, self.network = problem, network
        self.everything, self.moments = batches, moments
        self.seed, self.monitor, self.clusters = seed, monitor, clusters
        self.randomness = Randomness.from_seed(seed, problem.device)
        self.batches, self.held_out = _split(
            self.everything, problem.validation_fraction, self.randomness.rows
        )
        self.run = TrainingRun()
        self.tree: Agglomeration | None = None

    def train(self) -> None:
        """Go through the phases, until one is ended by a callback."""
        problem = self.problem
        rows = self.everything.rows
        plan = problem.plan_for(rows, self.moments)
        objective = problem.objective(rows, self.moments)
        target = None
        if self.clusters is None:
            target = find_start(problem, self.everything, self.seed)
        # Those of a start, or of a fit before, know something from the first epoch on.
        fresh = target is None and self.clusters is None
        if problem.balance.as_even_as_start:
            objective.evenness = evenness(self._sizes(target, objective))
        if target is not None:
            lessons, plan = plan.split(TEACHING_SHARE)
            self._phase(lessons, Teaching(objective, target))
            if problem.weights.start:
                objective.log_start = target.logarithms
            target = None  # of all rows, and needed no longer where it does not count
        refining: TrainingPlan | None = None
        if problem.spec.n_experts > problem.n_clusters:
            plan, refining = plan.refined(problem.refinement)
        n_taught = len(self.run.history)
        is_decided = objective.schedule.is_decided if fresh else None
        self._phase(plan, objective, self._validation(objective), is_decided)
        if refining is not None and self.run.stopped != "callback":
            n_epochs = len(self.run.history) - n_taught
            self.tree = self._merged()
            if self.monitor is not None:
                self.monitor.begin_refinement(self.tree)
            clusters = experts_of(torch.from_numpy(self.tree.clusters))
            clusters = clusters.to(problem.device)
            settled = objective.schedule.settled(plan.progress(n_epochs - 1))
            refined = replace(objective, clusters=clusters, schedule=settled)
            validation = self._validation(refined)
            self._phase(refining, refined, validation, clusters=clusters)

    def note(self, run: TrainingRun) -> None:
        """Take note of a phase, on top of those before it."""
        self.run = run.after(self.run)

    def conclude(self, *, ours: bool = False) -> Candidate:
        """Name the experts as they are now, and survey the rows.

        Where experts are merged by a change of rows, by one of ``ours``, if so asked.
        """
        return conclude(
            self.problem, self.network, self.everything, self.moments, self.run,
            self.tree or self._merged(ours=ours), keep_names=self.clusters is not None,
        )  # fmt: skip

    def salvage(self) -> Candidate | None:
        """Conclude with the best epoch before an error, if there was a good one."""
        if self.run.best_epoch < 0:
            return None
        # What broke training off may be code of the user's, by which experts would be
        # merged, and which fails again. Who fitted is told of the first error.
        for ours in (False, True):
            try:
                return self.conclude(ours=ours)
            except TrainingDiverged:
                break
            except Exception:
                continue
        return None

    def _phase(
        self,
        plan: TrainingPlan,
        objective: Objective,
        validation: Validation | None = None,
        is_decided: IsDecided | None = None,
        clusters: Tensor | None = None,
    ) -> None:
        if plan.max_epochs and self.run.stopped != "callback":
            run = train(
                self.network, objective, self.batches, plan, self.randomness,
                n_experts=self.problem.spec.n_experts, clusters=clusters,
                validation=validation, monitor=self.monitor, is_decided=is_decided,
            )  # fmt: skip
            self.note(run)

    def _validation(self, objective: MixtureObjective) -> Validation | None:
        """Return how an objective is watched, if rows are held out."""
        held_out = self.held_out
        return None if held_out is None else Validation(objective.evaluate, held_out)

    def _sizes(self, target: Target | None, objective: MixtureObjective) -> NDArray:
        """Return the proportions (k,) of the clusters that training starts from."""
        if target is not None:
            return target.sizes()
        inference = Inference(
            self.network, self.everything.scaling, objective.reconstruction
        )
        return inference.sizes(self.everything) / len(self.everything)

    def _merged(self, *, ours: bool = False) -> Agglomeration:
        """Merge the experts; clusters that there were before keep their numbers."""
        tree = merge_experts(
            self.problem, self.network, self.everything, self.moments, ours=ours
        )
        return tree if self.clusters is None else tree.aligned(self.clusters)


def find_start(problem: Problem, batches: Batches, seed: int) -> Target | None:
    """Return what is taught first, or None for a random start."""
    start, spec = problem.start, problem.spec
    if isinstance(start, str):
        if start == "random":
            return None
        rng = np.random.RandomState(seed)
        if spec.n_active > 1:
            members = subsets(spec.n_experts, spec.n_active).numpy()
            start = subset_labels(batches, members, rng)
        else:
            with ONE_AT_A_TIME:
                start = STARTS[start].find(batches, spec.n_experts, rng)
    return Target.of(start, spec.n_members, problem.device)


def evenness(sizes: NDArray) -> float:
    """Return the entropy of proportions (k,), in units of log K."""
    return float(entropy(sizes) / np.log(len(sizes)))


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
        # Not sorted: where X is, by class, a batch of neighbours is of one cluster.
        batches.narrowed(order[:n_held]),
    )


def conclude(
    problem: Problem,
    network: MixtureOfAutoencoders,
    batches: Batches,
    moments: Moments,
    run: TrainingRun,
    tree: Agglomeration,
    *,
    keep_names: bool,
) -> Candidate:
    """Survey the rows of a trained network whose experts are merged by ``tree``.

    The experts are put in an order that gives clusters a meaning, unless labels are to
    keep the one that they had.
    """
    objective = problem.plain_objective(moments)
    inference = Inference(
        network, batches.scaling, objective.reconstruction, tree.clusters
    )
    order = None
    with own_randomness(0, problem):
        if not keep_names:
            order, tree = _named(problem, inference.sizes(batches), tree)
            _reorder(network, run, order)
            inference.clusters = tree.clusters
        try:
            survey = inference.survey(batches)
        except BaseException:
            if order is not None:  # who asks again finds all as it was
                _reorder(network, run, np.argsort(order))
            raise
    usage = np.bincount(tree.clusters, weights=survey.usage).astype(np.float32)
    balance = objective.balance(
        torch.from_numpy(usage[None]).to(problem.device), n_rows=len(batches)
    )
    parts = Parts(
        torch.tensor(survey.reconstruction),
        torch.tensor(survey.sample_entropy),
        balance.cpu(),
        # As training met them: over all rows again, the adversary would cost an epoch.
        *(torch.tensor(run.kept.terms[name] if run.kept else 0.0) for name in OTHERS),
    )
    total = float(weigh(problem.judging, parts))
    if not np.isfinite(total):
        raise TrainingDiverged(
            f"Training diverged: the objective over all rows is {total}. Lower "
            "learning_rate, or look for rows of extreme size."
        )
    start = None if keep_names else problem.start_name
    return Candidate(inference, moments, run, survey, total, tree, start)


def _reorder(
    network: MixtureOfAutoencoders, run: TrainingRun, order: NDArray[np.intp]
) -> None:
    """Put the experts of a network, and those of its history, in an order."""
    device = next(network.parameters()).device
    network.permute_experts(torch.from_numpy(order).to(device))
    run.history = [r._replace(usage=r.usage[order]) for r in run.history]


def merge_experts(
    problem: Problem,
    network: MixtureOfAutoencoders,
    batches: Batches,
    moments: Moments,
    remembered: SharedRows | None = None,
    *,
    ours: bool = False,
) -> Agglomeration:
    """Merge the experts into clusters; of as many experts each is a cluster.

    These rows say how, and others before them that are ``remembered``; and how they are
    assigned when they are changed, by no code of the user's if by one of ``ours``.
    """
    m = problem.spec.n_experts
    if m == problem.n_clusters:
        return Agglomeration(np.arange(m), np.empty((0, 2), np.intp), np.empty(0))
    # A seed of its own: the same network has the same clusters whenever it is asked.
    randomness = Randomness.from_seed(0, problem.device)
    with own_randomness(0, problem):
        view = problem.view(batches.rows, moments, ours=ours)
        joint = shared_rows(network, batches, view, randomness)
    if remembered is not None:
        joint = remembered.after(joint, len(batches))
    return agglomerate(joint, problem.n_clusters, evenly=problem.stays_even)


def _named(
    problem: Problem, sizes: NDArray[np.intp], tree: Agglomeration
) -> tuple[NDArray[np.intp], Agglomeration]:
    """Return the order of experts that gives labels a meaning, and their tree in it.

    Labels given to start from keep their numbers, also where one between them is
    unused; else the largest cluster comes first, or the clusters follow the known
    sizes, and unused ones come last, so that labels have no gap.
    """
    ranking = np.argsort(-sizes, kind="stable")  # of the clusters
    if not isinstance(problem.start, str) and len(sizes) == problem.spec.n_experts:
        ranking = np.arange(len(sizes))
    elif problem.balance.sizes is not None and sizes.all():
        by_size = ranking
        ranking = np.empty_like(by_size)
        ranking[np.argsort(-problem.balance.sizes, kind="stable")] = by_size
    rank = np.argsort(ranking)
    order = np.argsort(rank[tree.clusters], kind="stable")
    return order, tree.renamed(order, rank)
