"""Who is told of a fit: scikit-learn's callbacks (from 1.9) and the console."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from .training import Agglomeration, EpochReport

try:
    from sklearn.callback import CallbackSupportMixin

    HAS_CALLBACKS = True
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    HAS_CALLBACKS = False


class FitMonitor:
    """Follows a fit: restarts, and epochs within them.

    Parameters
    ----------
    estimator : object
        The estimator being fitted.
    X, y : array-like
        What it is fitted on, and what a callback may want to score it by.
    n_restarts, max_epochs : int
        The tasks to announce. Of a single restart only the epochs are announced.
    attributes : callable
        Turns a network, and what its experts are merged by if they are, into the fitted
        attributes of an estimator that predicts with it; called only for a callback
        that asks.
    verbose : int
        1 prints a line for each restart, 2 one for each epoch.
    note : str
        A line to print first, where anything is printed.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_restarts: int,
        max_epochs: int,
        attributes: Callable[[nn.Module, Agglomeration | None], dict[str, Any]],
        verbose: int,
        note: str | None = None,
    ) -> None:
        self.about = {"estimator": estimator, "X": X, "y": y}
        self.verbose = int(verbose)
        self.n_restarts, self.max_epochs = n_restarts, max_epochs
        self.attributes = attributes
        self.n_epochs = self.n_begun = 0
        self.tree: Agglomeration | None = None
        if note:
            self.note(note)
        if HAS_CALLBACKS:
            n_tasks = max_epochs if n_restarts == 1 else n_restarts
            self.root = estimator._init_callback_context(max_subtasks=n_tasks)
            self.root.call_on_fit_task_begin(**self.about)

    @property
    def listens(self) -> bool:
        """Whether somebody is told of each epoch."""
        callbacks = getattr(self.about["estimator"], "_skl_callbacks", ())
        return self.verbose >= 2 or (HAS_CALLBACKS and bool(callbacks))

    def begin_restart(self, network: nn.Module, start: str | None = None) -> None:
        """Take note that training starts, or goes on where ``start`` is None."""
        self.network, self.tree = network, None
        self.n_epochs, self.start = 0, start
        self.n_begun += 1
        if HAS_CALLBACKS:
            self.parent = self.root
            if self.n_restarts > 1:
                self.parent = self.root.subcontext(
                    task_name="restart", max_subtasks=self.max_epochs
                ).call_on_fit_task_begin(**self.about)

    def begin_refinement(self, tree: Agglomeration) -> None:
        """Take note that from now on the clusters of experts are trained."""
        self.tree = tree

    def begin_epoch(self) -> None:
        """Take note that an epoch begins."""
        if HAS_CALLBACKS:
            self.epoch = self.parent.subcontext(task_name="epoch")
            self.epoch.call_on_fit_task_begin(**self.about)

    def end_epoch(self, report: EpochReport) -> bool:
        """Take note of an epoch; True when a callback wants training to stop."""
        self.n_epochs += 1
        if self.verbose >= 2:
            terms = "  ".join(
                f"{name} {report.terms[name]:.4f}"
                for name in (
                    "objective", "reconstruction", "sample_entropy",
                    "batch_entropy", "consistency",
                )
            )  # fmt: skip
            first = math.isnan(report.label_change)
            moved = "" if first else f"  labels changed {report.label_change:.1%}"
            self._say(f"epoch {self.n_epochs}/{self.max_epochs}  {terms}{moved}")
        if not HAS_CALLBACKS:
            return False
        return self._told(self.epoch)

    def end_restart(self, objective: float, n_epochs: int, tree: Agglomeration) -> bool:
        """Take note of a trained mixture; True when no other should follow."""
        self.tree = tree
        if self.verbose >= 1:
            start = "" if self.start is None else f" ({self.start})"
            self._say(
                f"start {self.n_begun}/{self.n_restarts}{start}: objective "
                f"{objective:.4f} after {n_epochs} epochs"
            )
        if not HAS_CALLBACKS or self.n_restarts == 1:
            return False
        return self._told(self.parent)

    def note(self, line: str) -> None:
        """Print a line, where anything is printed."""
        if self.verbose:
            self._say(line)

    def end(self, network: nn.Module, tree: Agglomeration) -> None:
        """Take note of the end of the fit, and of what is kept."""
        self.network, self.tree = network, tree
        if HAS_CALLBACKS:
            self._told(self.root)

    def _told(self, task: Any) -> bool:
        """Tell callbacks that a task ended; True when one wants no other to follow."""
        return bool(
            task.call_on_fit_task_end(
                **self.about,
                reconstruction_attributes=lambda: self.attributes(
                    self.network, self.tree
                ),
            )
        )

    def _say(self, line: str) -> None:
        tell(self.about["estimator"], line)


def tell(estimator: Any, line: str) -> None:
    """Print a line about an estimator."""
    print(f"[{type(estimator).__name__}] {line}", flush=True)
