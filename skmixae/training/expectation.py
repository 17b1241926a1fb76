"""Mixtures of distributions, found by expectation maximisation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

# When the likelihood of a row gains less, a maximum is found. Of several starts the one
# that is best after the first rounds goes on.
LEAST_GAIN, FIRST_ROUNDS, MOST_ROUNDS = 1e-5, 30, 300

Seen = TypeVar("Seen")  # rows, as a kind of mixture reads them


class Mixture(ABC, Generic[Seen]):
    """Distributions of which each row is from one; a new kind has two methods.

    Parameters
    ----------
    rows : Seen
        The rows to explain, n of them.
    labels : ndarray of shape (n,)
        The distributions that they are taken to be from at first.
    n_parts : int
        The number of distributions.

    Attributes
    ----------
    score : float
        How well the rows are explained, in nats a row: of several, the highest.
    """

    score: float

    def __init__(self, rows: Seen, labels: NDArray[np.integer], n_parts: int) -> None:
        self._maximise(rows, np.eye(n_parts)[labels])
        self.improve(rows, FIRST_ROUNDS)

    def improve(self, rows: Seen, n_rounds: int = MOST_ROUNDS) -> None:
        """Go on until rows are hardly likelier by another round."""
        before = -np.inf
        for _ in range(n_rounds):
            joint = self._joint(rows)
            each = logsumexp(joint, axis=1)
            if (likelihood := each.mean()) - before < LEAST_GAIN:
                break
            before = likelihood
            self._maximise(rows, np.exp(joint - each[:, None]))
        self.score = self._score(self._joint(rows))

    def predict_proba(self, rows: Seen) -> NDArray[np.float64]:
        """Return the probabilities (n, parts) that rows are from each distribution."""
        joint = self._joint(rows)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def _maximise(self, rows: Seen, shares: NDArray[np.float64]) -> None:
        sizes = shares.sum(0)
        self._log_sizes = np.log((sizes + 1) / (sizes + 1).sum())
        self._learn(rows, shares)

    def _joint(self, rows: Seen) -> NDArray[np.float64]:
        """Return log-likelihoods (n, parts) of rows together with each part."""
        return self._log_sizes + self._log_likelihoods(rows)

    def _score(self, joint: NDArray[np.float64]) -> float:
        return float(logsumexp(joint, axis=1).mean())

    @abstractmethod
    def _learn(self, rows: Seen, shares: NDArray[np.float64]) -> None:
        """Estimate the distributions, which have these shares (n, parts) of rows."""

    @abstractmethod
    def _log_likelihoods(self, rows: Seen) -> NDArray[np.float64]:
        """Return the log-likelihoods (n, parts) of rows in each distribution."""


Kind = TypeVar("Kind", bound=Mixture)


def best_mixture(
    kind: Callable[[Seen, NDArray[np.integer], int], Kind],
    rows: Seen,
    starts: Iterable[NDArray[np.integer]],
    n_parts: int,
) -> Kind:
    """Return the best mixture of those found from some labels (n,)."""
    models = [kind(rows, labels, n_parts) for labels in starts]
    best = max(models, key=lambda model: model.score)
    best.improve(rows)
    return best
