"""From resolved parameters and rows to a trained mixture. Knows no estimator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ._parameters import (
    is_image,
    layer_sizes,
    resolve_architecture,
    resolve_consistency,
    resolve_device,
    resolve_epochs,
    resolve_precision,
    resolve_shape,
    resolve_sizes,
    resolve_start,
)
from .inference import Inference, Survey
from .network import MixtureOfAutoencoders, NetworkSpec, build_network
from .objective import (
    ADVERSARIAL_RADIUS,
    SCHEDULES,
    AdversarialConsistency,
    AffineConsistency,
    MixtureObjective,
    Reconstruction,
    Terms,
    Weights,
)
from .objective.mixture import weigh
from .objective.schedule import Constant
from .training import (
    Batches,
    EpochReport,
    Moments,
    Randomness,
    Rows,
    Teaching,
    TrainingPlan,
    TrainingRun,
    as_probabilities,
    kmeans_labels,
    train,
    train_epoch,
)
from .training.loop import LabelBook, Monitor, Snapshot

# Share of the epochs that a start from labels or probabilities is learned in.
TEACHING_SHARE = 0.1
# An expert that gets less than this share of an even share is as good as unused; above
# this sample entropy (1 is uniform), or this share of changing labels, nothing is decided.
UNUSED_SHARE = 0.1
UNIFORM_ENTROPY = 0.9
MOVING_SHARE = 0.1


@dataclass(frozen=True)
class Problem:
    """Everything that a fit needs to know, resolved and checked."""

    spec: NetworkSpec
    loss: str
    weights: Weights
    schedule: str
    sizes: NDArray[np.float32] | None
    input_noise: float
    adversarial: bool
    image_shape: tuple[int, int, int] | None  # of the affine views, where wanted
    plan: TrainingPlan
    batch_size: int
    validation_fraction: float | None
    start: NDArray | str  # labels or probabilities, or the name of a way to start
    device: torch.device

    def objective(
        self, moments: Moments, schedule: Constant | None = None
    ) -> MixtureObjective:
        """Return the objective for rows of these moments."""
        device = self.device
        regularisers: list[Any] = []
        # Of an experiment without the weight, or of one expert, nothing is computed.
        if self.weights.consistency and self.spec.n_experts > 1:
            if self.adversarial:
                regularisers.append(AdversarialConsistency(ADVERSARIAL_RADIUS))
            if self.image_shape is not None:
                scaling = moments.scaling(self.loss)
                center = torch.from_numpy(scaling.center / scaling.scale)
                regularisers.append(
                    AffineConsistency(self.image_shape, center.float().to(device))
                )
        return MixtureObjective(
            Reconstruction(self.loss, moments.reference(self.loss)),
            schedule or SCHEDULES[self.schedule](self.weights),
            None if self.sizes is None else torch.from_numpy(self.sizes).to(device),
            self.input_noise,
            regularisers,
        )

    def check_range(self, moments: Moments) -> None:
        """Raise where the rows are not in the range that the loss is made for."""
        if self.loss == "bce" and not 0 <= moments.lowest <= moments.highest <= 1:
            raise ValueError(
                "reconstruction_loss='bce' needs features from 0 to 1. Got values from "
                f"{moments.lowest:.6g} to {moments.highest:.6g}: scale them, with "
                "MinMaxScaler for example, or use 'mse'."
            )


def resolve_problem(
    estimator: Any, n_rows: int, n_features: int, spec: NetworkSpec | None = None
) -> Problem:
    """Check an estimator's parameters together and resolve them for its rows.

    With ``spec`` given, the network is there already and its parameters are not read.
    """
    e = estimator
    k = e.n_clusters if spec is None else spec.n_experts
    shape = resolve_shape(e.input_shape, n_features)
    architecture = resolve_architecture(e.architecture, shape)
    start = resolve_start(e.init, n_rows, k)
    device = resolve_device(e.device)
    image = is_image(shape, architecture)
    return Problem(
        spec=spec or resolve_spec(e, shape, architecture),
        loss=e.reconstruction_loss,
        weights=Weights(
            1.0, e.sample_entropy_weight, e.batch_entropy_weight, e.consistency_weight
        ),
        schedule=e.entropy_schedule,
        sizes=resolve_sizes(e.cluster_sizes, k),
        input_noise=e.input_noise,
        **resolve_consistency(e.consistency, shape, image),
        plan=TrainingPlan(
            max_epochs=resolve_epochs(e.max_epochs, n_rows, e.batch_size),
            learning_rate=e.learning_rate,
            learning_rate_decay=e.learning_rate_decay,
            weight_decay=e.weight_decay,
            tol=e.tol,
            n_iter_no_change=e.n_iter_no_change,
            precision=resolve_precision(e.precision, device),
        ),
        batch_size=e.batch_size,
        validation_fraction=e.validation_fraction,
        start=e.init if start is None else start,
        device=device,
    )


def resolve_spec(
    estimator: Any, shape: tuple[int, ...], architecture: Any
) -> NetworkSpec:
    """Return the sizes of the network that an estimator asks for."""
    e = estimator
    return NetworkSpec(
        n_experts=e.n_clusters,
        input_shape=shape,
        latent_dim=e.latent_dim,
        architecture=architecture,
        hidden_layer_sizes=layer_sizes(
            "hidden_layer_sizes", e.hidden_layer_sizes, at_least=1
        ),
        conv_channels=layer_sizes("conv_channels", e.conv_channels, at_least=1),
        assignment_hidden_layer_sizes=layer_sizes(
            "assignment_hidden_layer_sizes", e.assignment_hidden_layer_sizes
        ),
        assignment_input=e.assignment_input,
        activation=e.activation,
    )


@dataclass
class Candidate:
    """A trained mixture, and what it makes of its rows."""

    inference: Inference
    moments: Moments
    run: TrainingRun
    survey: Survey
    objective: float  # of all rows, with the weights as configured and no consistency


def measure(rows: Rows, before: Moments | None = None) -> Moments:
    """Return the moments of all rows, and of those measured before."""
    moments = Moments() if before is None else replace(before)
    for block in rows.blocks():
        moments.update(block)
    return moments


def new_network(problem: Problem, seed: int) -> MixtureOfAutoencoders:
    """Build a network on the problem's device, its weights drawn from ``seed``."""
    with own_randomness(seed, problem):
        network = build_network(problem.spec, torch.Generator().manual_seed(seed))
    return network.to(problem.device)


def fit_once(
    problem: Problem,
    network: MixtureOfAutoencoders,
    rows: Rows,
    moments: Moments,
    seed: int,
    monitor: Monitor | None = None,
    *,
    warm: bool = False,
) -> Candidate:
    """Train a network, from the problem's start or, ``warm``, on from where it is.

    An interruption or divergence carries in its attribute ``candidate`` what was good
    before it, or None.
    """
    run = TrainingRun()
    try:
        with own_randomness(seed, problem):
            run = _train(problem, network, rows, moments, seed, monitor, warm=warm)
    except BaseException as error:
        run = getattr(error, "training_run", run)
        error.candidate = (  # type: ignore[attr-defined]
            conclude(problem, network, rows, moments, run, warm=warm)
            if run.best_epoch >= 0
            else None
        )
        raise
    return conclude(problem, network, rows, moments, run, warm=warm)


def _train(
    problem: Problem,
    network: MixtureOfAutoencoders,
    rows: Rows,
    moments: Moments,
    seed: int,
    monitor: Monitor | None,
    *,
    warm: bool,
) -> TrainingRun:
    randomness = Randomness.from_seed(seed, problem.device)
    scaling = moments.scaling(problem.loss)
    batches = Batches(rows, scaling, problem.batch_size, problem.device)
    batches, validation = _split(batches, problem.validation_fraction, randomness.rows)
    objective = problem.objective(moments)
    shared: dict[str, Any] = {"n_experts": problem.spec.n_experts, "monitor": monitor}
    start = None if warm else _start(problem, batches, seed)
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
    second = train(
        network, objective, batches, rest, randomness,
        validation=validation, **shared,
    )  # fmt: skip
    second.history[:0] = first.history
    return second


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
    warm: bool,
) -> Candidate:
    """Name the experts of a trained network, and survey its rows."""
    objective = problem.objective(moments)
    scaling = moments.scaling(problem.loss)
    inference = Inference(network, scaling, objective.reconstruction)
    if not warm:  # a network that had labels before keeps their meaning
        labels = inference.labels(rows)
        order = _names(problem, np.bincount(labels, minlength=problem.spec.n_experts))
        network.permute_experts(torch.from_numpy(order).to(problem.device))
        run.history = [r._replace(usage=r.usage[order]) for r in run.history]
    survey = inference.survey(rows)
    usage = torch.from_numpy(survey.usage).to(problem.device)
    balance = objective.balance(usage[None], n_rows=len(rows))
    total = weigh(
        problem.weights,
        torch.tensor(survey.reconstruction),
        torch.tensor(survey.sample_entropy),
        balance.cpu(),
        torch.tensor(0.0),
    )
    return Candidate(inference, moments, run, survey, float(total))


def _names(problem: Problem, counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the experts in the order of the labels that they are to have.

    Labels given to start from keep their experts; else the largest cluster comes
    first, or the clusters follow the known sizes. Unused experts come last, so that
    labels have no gap.
    """
    if not isinstance(problem.start, str):
        return np.argsort(counts == 0, kind="stable")
    by_count = np.argsort(-counts, kind="stable")
    if problem.sizes is None or (counts == 0).any():
        return by_count
    order = np.empty_like(by_count)
    order[np.argsort(-problem.sizes, kind="stable")] = by_count
    return order


class Stream:
    """Training over chunks as they come: what one pass leaves for the next.

    Parameters
    ----------
    problem : Problem
        As of the first chunk.
    network : MixtureOfAutoencoders
        The network that is trained, in place.
    seed : int
        Each pass derives its own randomness from it.
    """

    def __init__(
        self, problem: Problem, network: MixtureOfAutoencoders, seed: int
    ) -> None:
        self.seed, self.n_passes = seed, 0
        self.network = network
        self.optimizer = problem.plan.optimizer(network)
        self.schedule = SCHEDULES[problem.schedule](problem.weights)

    def train(self, problem: Problem, rows: Rows, moments: Moments) -> EpochReport:
        """Pass once over a chunk; an error leaves the network as it was."""
        seed = int(
            np.random.SeedSequence([self.seed, self.n_passes]).generate_state(1)[0]
        )
        device, k = problem.device, problem.spec.n_experts
        scaling = moments.scaling(problem.loss)
        batches = Batches(rows, scaling, problem.batch_size, device)
        book = LabelBook(len(rows), k, device)
        before = Snapshot(self.network)
        self.schedule.base = problem.weights
        try:
            with own_randomness(seed, problem):
                terms = train_epoch(
                    self.network,
                    problem.objective(moments, self.schedule),
                    batches,
                    self.optimizer,
                    Randomness.from_seed(seed, device),
                    book,
                    progress=min(
                        self.n_passes / max(problem.plan.max_epochs - 1, 1), 1
                    ),
                    precision=problem.plan.precision,
                    epoch=self.n_passes,
                )
        except BaseException:
            before.restore()
            raise
        self.n_passes += 1
        usage, _ = book.close()
        # Rows of a stream are seen once: there is no label before to compare with.
        return EpochReport(terms, problem.plan.learning_rate, usage, float("nan"))

    def state(self) -> dict[str, Any]:
        """Return plain numbers and arrays, from which `restore` goes on."""
        moments = self.optimizer.state_dict()["state"]
        magnitudes = getattr(self.schedule, "magnitudes", None)
        return {
            "seed": self.seed,
            "n_passes": self.n_passes,
            "magnitudes": None if magnitudes is None else magnitudes.cpu().numpy(),
            "optimizer": {
                f"{i}.{name}": np.asarray(torch.as_tensor(value).cpu())
                for i, values in moments.items()
                for name, value in values.items()
            },
        }

    def restore(self, state: dict[str, Any]) -> Stream:
        """Take up where ``state`` was noted."""
        self.seed, self.n_passes = state["seed"], state["n_passes"]
        if state["magnitudes"] is not None:
            magnitudes = torch.from_numpy(state["magnitudes"].copy())
            device = next(self.network.parameters()).device
            self.schedule.magnitudes = magnitudes.to(device)  # type: ignore[attr-defined]
        parameters = self.optimizer.param_groups[0]["params"]
        for key, value in state["optimizer"].items():
            i, name = key.split(".")
            saved = torch.tensor(value)
            if saved.dim():  # in the parameter's own layout, which the optimiser wants
                saved = torch.empty_like(parameters[int(i)]).copy_(saved)
            self.optimizer.state[parameters[int(i)]][name] = saved
        return self


def history(reports: list[EpochReport], n_experts: int) -> NDArray[np.void]:
    """Return the history as a structured array, one row an epoch."""
    names = [*Terms._fields, *dict.fromkeys(k for r in reports for k in r.terms)]
    fields = [(name, np.float64) for name in dict.fromkeys(names)]
    table = np.full(
        len(reports),
        np.nan,
        dtype=[
            *fields,
            ("learning_rate", np.float64),
            ("expert_share", np.float64, (n_experts,)),
            ("label_change", np.float64),
        ],
    )
    for row, report in zip(table, reports, strict=True):
        for name, value in report.terms.items():
            row[name] = value
        row["learning_rate"] = report.learning_rate
        row["expert_share"] = report.usage
        row["label_change"] = report.label_change
    return table


def extended(before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.void]:
    """Append rows to a history, whose columns may be others than the new rows'."""
    table = np.zeros(len(before) + len(after), dtype=before.dtype)
    for name in before.dtype.names or ():
        new = after[name] if name in (after.dtype.names or ()) else np.nan
        table[name][: len(before)], table[name][len(before) :] = before[name], new
    return table


def degeneracies(candidate: Candidate) -> list[str]:
    """Say in words what went wrong with a clustering, and which parameter to turn."""
    usage, survey = candidate.survey.usage, candidate.survey
    k, found = len(usage), []
    if k == 1:
        return found
    if survey.sample_entropy > UNIFORM_ENTROPY:
        found.append(
            "assignments are still close to uniform (sample entropy "
            f"{survey.sample_entropy:.2f} of log K): raise max_epochs, learning_rate or "
            "sample_entropy_weight"
        )
    else:
        counts = np.bincount(survey.labels, minlength=k)
        unused = (counts == 0) | (usage < UNUSED_SHARE / k)
        if unused.any():
            found.append(
                f"{unused.sum()} of {k} experts are unused: raise batch_entropy_weight "
                "or max_epochs, lower sample_entropy_weight, or ask for fewer n_clusters"
            )
    last = candidate.run.history[-1] if candidate.run.history else None
    if last is not None and last.label_change > MOVING_SHARE:
        found.append(
            f"{last.label_change:.0%} of the labels still changed in the last epoch: "
            "raise max_epochs, or lower learning_rate or learning_rate_decay"
        )
    return found


@contextmanager
def own_randomness(seed: int, problem: Problem) -> Iterator[None]:
    """Seed torch's global generator for a user's own modules, and put it back after.

    Everything of ours draws from generators of its own; a factory's layers cannot.
    """
    if not callable(problem.spec.architecture):
        yield
        return
    devices = [problem.device] if problem.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
