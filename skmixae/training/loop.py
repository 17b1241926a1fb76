"""The one training loop. It knows neither the objective nor the network it runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .adam import AdamW
from .batches import Batches, exact_on
from .step import Book, Objective, ReplayedStep, TrainingStep

# Tells by the mean terms of an epoch whether it is one to compare with others.
IsDecided: TypeAlias = Callable[[dict[str, float]], bool]


class Monitor(Protocol):
    """Somebody who follows the epochs, and may end them."""

    def begin_epoch(self) -> None:
        """Take note that an epoch begins."""

    def end_epoch(self, report: EpochReport) -> bool:
        """Take note of an epoch; return True to stop training."""


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    ``learning_rate_decay`` is the share of the learning rate that is left in the last
    epoch; it falls geometrically. ``replay`` has steps recorded and replayed, see
    `ReplayedStep`.
    """

    max_epochs: int
    learning_rate: float
    learning_rate_decay: float = 1.0
    weight_decay: float = 0.0
    tol: float = 0.0
    n_iter_no_change: int | None = None
    precision: torch.dtype = torch.float32
    replay: bool = False

    def split(self, share: float) -> tuple[TrainingPlan, TrainingPlan]:
        """Return plans for the first ``share`` of the epochs, and for the others."""
        first = max(1, round(share * self.max_epochs))
        return (
            replace(self, max_epochs=first, learning_rate_decay=1.0),
            replace(self, max_epochs=self.max_epochs - first),
        )

    def refined(self, share: float) -> tuple[TrainingPlan, TrainingPlan | None]:
        """Return plans for all but the last ``share`` of the epochs, and for those.

        The latter start at the full learning rate again, and let it fall twice as far.
        """
        last = min(round(share * self.max_epochs), self.max_epochs - 1)
        if last < 1:
            return self, None
        return (
            replace(self, max_epochs=self.max_epochs - last),
            replace(
                self, max_epochs=last, learning_rate_decay=self.learning_rate_decay**2
            ),
        )

    def progress(self, epoch: int) -> float:
        """Return how far training is in an epoch: 0 in the first, 1 in the last."""
        return epoch / max(self.max_epochs - 1, 1)

    def optimizer(self, network: nn.Module) -> AdamW:
        """Return Adam with decoupled weight decay over the network's parameters."""
        return AdamW(
            network.parameters(),
            self.learning_rate,
            weight_decay=self.weight_decay,
            capturable=self.replay,
        )

    def new_step(
        self,
        network: nn.Module,
        objective: Objective,
        generator: torch.Generator,
        book: Book,
    ) -> TrainingStep | ReplayedStep:
        """Return a step of training with a fresh optimiser."""
        step = TrainingStep(
            network, objective, self.optimizer(network), generator, book, self.precision
        )
        return ReplayedStep(step, generator.device) if self.replay else step


class EpochReport(NamedTuple):
    """A row of the history."""

    terms: dict[str, float]
    learning_rate: float
    usage: NDArray[np.float64]  # (k,), share of rows for each expert
    label_change: float  # share of rows whose label changed since the last epoch


@dataclass
class TrainingRun:
    """What a run of training leaves behind, also when it ends early."""

    history: list[EpochReport] = field(default_factory=list)
    best_objective: float = math.inf
    best_epoch: int = -1
    decided: bool = False  # whether the best epoch was
    stopped: str = "max_epochs"
    merged: bool = False  # whether labels are of clusters that experts are merged into

    @property
    def kept(self) -> EpochReport | None:
        """The epoch whose weights were kept: the best, or the last where none was."""
        return self.history[self.best_epoch] if self.history else None

    def is_bettered(self, objective: float, *, decided: bool, tol: float) -> bool:
        """Tell whether an epoch with an objective is better than the best until now."""
        if decided != self.decided:
            return decided and math.isfinite(objective)
        return objective < self.best_objective - tol

    def after(self, first: TrainingRun) -> TrainingRun:
        """Return this run with the one before it, whose best weights it began with."""
        n_first, is_better = len(first.history), self.best_epoch >= 0
        return replace(
            self,
            history=first.history + self.history,
            best_epoch=n_first + self.best_epoch if is_better else first.best_epoch,
        )


class TrainingDiverged(FloatingPointError):
    """The loss or the weights are no longer finite."""


@dataclass
class Randomness:
    """The two sources of randomness of a run, both its own."""

    rows: np.random.Generator  # the order of the rows
    tensors: torch.Generator  # noise and directions, on the device

    @classmethod
    def from_seed(cls, seed: int, device: torch.device) -> Randomness:
        """Return fresh sources."""
        generator = torch.Generator(device).manual_seed(seed)
        return cls(np.random.default_rng(seed), generator)


class LabelBook:
    """The last label of each row, to see how many still move; on the device.

    Labels are of experts, or of ``clusters`` (c, k) that they are merged into.
    """

    def __init__(
        self,
        n_rows: int,
        n_experts: int,
        device: torch.device,
        clusters: Tensor | None = None,
    ) -> None:
        self.clusters = None if clusters is None else clusters.float()
        small = torch.int16 if n_experts < 2**15 else torch.int32
        self.labels = torch.full((n_rows,), -1, dtype=small, device=device)
        self.n_changed = torch.zeros((), dtype=torch.int64, device=device)
        self.is_empty = True
        # A pass may be of millions of rows.
        self.usage = torch.zeros(n_experts, dtype=exact_on(device), device=device)

    def note(self, index: Tensor, assignment: Tensor) -> None:
        """Record a batch's assignments (b, k)."""
        shares = assignment
        if self.clusters is not None:
            shares = assignment @ self.clusters.T
        labels = shares.argmax(-1).to(self.labels.dtype)
        self.n_changed += (self.labels[index] != labels).sum()
        self.labels[index] = labels
        self.usage += assignment.sum(0)

    def close(self) -> tuple[NDArray[np.float64], float]:
        """Return usage and share of changed labels of the pass, and start anew.

        In the first pass there is no label before, and the share is NaN.
        """
        # A copy: on a processor the numbers would be those that start anew.
        usage = self.usage.cpu().numpy().astype(np.float64)
        changed = self.n_changed.item()
        self.usage.zero_()
        self.n_changed.zero_()
        n_rows = usage.sum()
        share = math.nan if self.is_empty else changed / n_rows
        self.is_empty = False
        return usage / n_rows, share


class Record:
    """The terms of each step of a pass, on the device.

    To read a number in the loop would wait for its step to end; and small tensors kept
    one by one would hold the memory between them.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.rows: Tensor | None = None  # (capacity, terms)
        self.weights: list[int] = []

    def note(self, terms: Any, n_rows: int) -> None:
        """Record the terms, a named tuple of scalars, of a batch of ``n_rows``."""
        row = torch.stack(tuple(terms)).detach()
        n = len(self.weights)
        if self.rows is None:
            self.names = terms._fields
            self.rows = row.new_empty(64, len(row))
        elif n == len(self.rows):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)])
        self.rows[n] = row
        self.weights.append(n_rows)

    def table(self) -> NDArray[np.float64]:
        """Return the terms of all steps, (steps, terms)."""
        assert self.rows is not None
        return self.rows[: len(self.weights)].cpu().double().numpy()

    def means(self) -> dict[str, float]:
        """Return the mean of each term over the rows."""
        means = np.average(self.table(), 0, self.weights)
        return dict(zip(self.names, means.tolist(), strict=True))


class Validation(NamedTuple):
    """Rows that are held out, and what evaluates them."""

    evaluate: Callable[[Any, Tensor], Any]  # a batch of them; returns ``terms``
    batches: Batches

    def terms(self, network: nn.Module) -> dict[str, float]:
        """Return the mean terms over the batches, in evaluation mode."""
        network.eval()
        record = Record()
        for _, x in self.batches.in_order():
            record.note(self.evaluate(network, x).terms, len(x))
        return record.means()


class Snapshot:
    """A copy of the best weights, kept beside the network and written in place."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.state = {k: v.clone() for k, v in network.state_dict().items()}

    def take(self) -> None:
        """Copy the network's weights."""
        for name, value in self.network.state_dict().items():
            self.state[name].copy_(value)

    def restore(self) -> None:
        """Put the copied weights back."""
        self.network.load_state_dict(self.state)


def train(
    network: nn.Module,
    objective: Objective,
    batches: Batches,
    plan: TrainingPlan,
    randomness: Randomness,
    *,
    n_experts: int,
    clusters: Tensor | None = None,
    validation: Validation | None = None,
    monitor: Monitor | None = None,
    is_decided: IsDecided | None = None,
) -> TrainingRun:
    """Train until the plan says stop; the network is left with its best weights.

    Those are of the epoch with the lowest objective. ``is_decided`` tells by the terms
    of an epoch whether it is one to compare; the others are worse than any that is.
    ``clusters`` (c, k) says which experts each has, if they are merged by now.

    Raises
    ------
    TrainingDiverged
        If a term or a weight is no longer finite. The exception's ``training_run`` says
        what had been done, and the network has the best weights from before.
    """
    run = TrainingRun(merged=clusters is not None)
    book = LabelBook(len(batches.rows), n_experts, batches.device, clusters)
    step = plan.new_step(network, objective, randomness.tensors, book)
    best = Snapshot(network)
    try:
        for epoch in range(plan.max_epochs):
            if monitor is not None:
                monitor.begin_epoch()
            progress = plan.progress(epoch)
            rate = plan.learning_rate * plan.learning_rate_decay**progress
            step.optimizer.set_rate(rate)
            terms = train_epoch(
                network, step, batches, randomness.rows, progress=progress, epoch=epoch
            )
            monitored = terms["objective"]
            if validation is not None:
                monitored = validation.terms(network)["objective"]
                terms["validation_objective"] = monitored
            run.history.append(EpochReport(terms, rate, *book.close()))
            decided = is_decided is None or is_decided(terms)
            if run.is_bettered(monitored, decided=decided, tol=plan.tol):
                run.best_objective, run.best_epoch = monitored, epoch
                run.decided = decided
                best.take()
            if monitor is not None and monitor.end_epoch(run.history[-1]):
                run.stopped = "callback"
                break
            patience = plan.n_iter_no_change
            if patience is not None and epoch - run.best_epoch >= patience:
                run.stopped = "no_change"
                break
    except BaseException as error:
        # Interrupted or diverged: the best weights so far are better than the last.
        error.training_run = run  # type: ignore[attr-defined]
        raise
    finally:
        best.restore()
        network.zero_grad(set_to_none=True)  # as large as the weights, and of no use
    return run


def train_epoch(
    network: nn.Module,
    step: TrainingStep | ReplayedStep,
    batches: Batches,
    order: np.random.Generator,
    *,
    progress: float,
    epoch: int,
) -> dict[str, float]:
    """Pass over the batches once, in random order; return the mean terms."""
    network.train()
    record = Record()
    for index, x in batches.shuffled(order):
        record.note(step(index, x, progress), len(x))
    _check_finite(network, record.table(), record.names, epoch)
    return record.means()


def _check_finite(
    network: nn.Module, terms: NDArray[np.float64], names: tuple[str, ...], epoch: int
) -> None:
    bad = np.argwhere(~np.isfinite(terms))
    # The first column is the total: name a term of it where one is to blame.
    if len(bad):
        step = bad[0, 0]
        blamed = [names[i] for s, i in bad if s == step and i >= 2] or [names[0]]
        raise TrainingDiverged(
            f"Training diverged in epoch {epoch + 1}, step {step + 1} of {len(terms)}: "
            f"{', '.join(blamed)} became {terms[step, bad[0, 1]]}. The weights of the "
            "best epoch before it are kept. Lower learning_rate, or look for rows of "
            "extreme size."
        )
    total = sum(parameter.detach().sum() for parameter in network.parameters())
    if not torch.isfinite(torch.as_tensor(total)):
        raise TrainingDiverged(
            f"Training diverged at the end of epoch {epoch + 1}: a weight of the "
            "network is no longer finite. The weights of the best epoch before it are "
            "kept. Lower learning_rate."
        )
