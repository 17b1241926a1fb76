"""Latent classes: within each, the features of a table are independent.

For features of few values, as of categories, see P. F. Lazarsfeld and N. W. Henry,
"Latent Structure Analysis", 1968.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# Features of so few values have a probability for each, if there are so many rows for
# a value. Others are normal in each class, with this variance at least, of theirs.
MOST_VALUES, ROWS_FOR_A_VALUE = 10, 5
LEAST_VARIANCE = 1e-2
# When the likelihood of a row gains less, a maximum is found.
LEAST_GAIN, MOST_ROUNDS = 1e-5, 300


class Coding:
    """Rows as categories, from features of few values, and numbers, the other ones.

    Parameters
    ----------
    rows : ndarray of shape (n, features)
        The rows whose values are listed, where they are few; another says nothing.

    Attributes
    ----------
    n_values : ndarray of shape (features,)
        How many values each feature has in these rows.
    listed : ndarray of shape (features,), bool
        Which features have few values.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self.n_values = 1 + (np.diff(np.sort(rows, axis=0), axis=0) != 0).sum(0)
        self.listed = self.n_values <= min(MOST_VALUES, len(rows) / ROWS_FOR_A_VALUE)
        self._highest = rows.max(0)
        self._runs = self._exclusive_runs(rows)
        self._values = OneHotEncoder(handle_unknown="ignore")
        self._numbers = StandardScaler()
        if self._runs:
            self._values.fit(self._categories(rows))
        if not self.listed.all():
            self._numbers.fit(rows[:, ~self.listed])

    @property
    def n_parameters(self) -> int:
        """How many numbers describe a class."""
        values = self._values.categories_ if self._runs else []
        free = sum(len(some) - 1 for some in values)
        return free + 2 * int((~self.listed).sum())

    def indicators(self, rows: NDArray[np.floating]) -> sparse.csr_matrix:
        """Return a one for the value (n, values) that each category has."""
        if not self._runs:
            return sparse.csr_matrix((len(rows), 0))
        return self._values.transform(self._categories(rows))

    def numbers(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the other features (n, others), standardised."""
        rows = rows[:, ~self.listed]
        return rows if self.listed.all() else self._numbers.transform(rows)

    def together(self, rows: NDArray[np.floating]) -> sparse.csr_matrix:
        """Return both side by side, as features of one unit."""
        return sparse.hstack(
            [self.indicators(rows), sparse.csr_matrix(self.numbers(rows))], "csr"
        )

    def _exclusive_runs(self, rows: NDArray[np.floating]) -> list[list[int]]:
        """Return runs of features that are one category each.

        Neighbours of two values, of which no row has the higher one twice, are
        indicators of a category, all of them or, as encoders may have it, all but one.
        """
        runs: list[list[int]] = []
        taken = np.zeros(len(rows), dtype=bool)
        for j in np.flatnonzero(self.listed):
            told = rows[:, j] == self._highest[j]
            follows = runs and runs[-1][-1] == j - 1 and self.n_values[j - 1] == 2
            if follows and self.n_values[j] == 2 and not (taken & told).any():
                runs[-1].append(int(j))
                taken |= told
            else:
                runs.append([int(j)])
                taken = told
        return runs

    def _categories(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return categories (n, runs), as values or numbers of indicators."""
        found = np.empty((len(rows), len(self._runs)))
        for i, run in enumerate(self._runs):
            if len(run) == 1:
                found[:, i] = rows[:, run[0]]
            else:
                told = rows[:, run] == self._highest[run]
                found[:, i] = told @ np.arange(1, len(run) + 1)
        return found


@dataclass
class LatentClasses:
    """A mixture of classes in which features are independent, found by EM.

    Parameters
    ----------
    coding : Coding
        How rows are read.

    Attributes
    ----------
    score : float
        The log-likelihood of rows together with their likeliest classes, in nats a row,
        less half of the log of its rows for each number that describes a class
        (Biernacki, Celeux and Govaert, 2000, with rows of each class by themselves). Of
        the maxima of the likelihood alone, the highest may be a large class cut in two,
        in place of two small ones.
    """

    coding: Coding
    score: float = field(default=-np.inf, init=False)

    def fit(
        self, rows: NDArray[np.floating], labels: NDArray[np.integer], n_classes: int
    ) -> LatentClasses:
        """Find classes from labels (n,) of rows (n, features) on."""
        seen = self.coding.indicators(rows), self.coding.numbers(rows)
        shares = np.eye(n_classes)[labels]
        before = -np.inf
        for _ in range(MOST_ROUNDS):
            self._learn(*seen, shares)
            joint = self._joint(*seen)
            each = logsumexp(joint, axis=1)
            shares = np.exp(joint - each[:, None])
            if (likelihood := each.mean()) - before < LEAST_GAIN:
                break
            before = likelihood
        sizes = np.bincount(joint.argmax(1), minlength=n_classes).clip(min=1)
        cost = 0.5 * self.coding.n_parameters * np.log(sizes).sum()
        self.score = float(joint.max(1).mean() - cost / len(rows))
        return self

    def bic(self, rows: NDArray[np.floating]) -> float:
        """Return the Bayesian information criterion on rows: lower is better."""
        joint = self._joint(self.coding.indicators(rows), self.coding.numbers(rows))
        n_classes = joint.shape[1]
        n_parameters = n_classes * self.coding.n_parameters + n_classes - 1
        likelihood = logsumexp(joint, axis=1).sum()
        return float(n_parameters * np.log(len(rows)) - 2 * likelihood)

    def predict_proba(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities (n, classes) of the classes of rows."""
        joint = self._joint(self.coding.indicators(rows), self.coding.numbers(rows))
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def _learn(
        self,
        values: sparse.csr_matrix,
        numbers: NDArray[np.floating],
        shares: NDArray[np.float64],
    ) -> None:
        """Estimate the classes, which have these shares (n, classes) of the rows."""
        sizes = shares.sum(0)
        self._log_sizes = np.log((sizes + 1) / (sizes + 1).sum())
        # As if each class had one row more, an average one: no value is impossible.
        counts = (values.T @ shares).T + np.asarray(values.mean(0))
        self._log_values = np.log(counts / (sizes + 1)[:, None])
        sizes = sizes[:, None].clip(min=1e-9)
        self._means = shares.T @ numbers / sizes
        squares = shares.T @ np.square(numbers) / sizes - np.square(self._means)
        self._variances = squares.clip(min=LEAST_VARIANCE)

    def _joint(
        self, values: sparse.csr_matrix, numbers: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return log-likelihoods (n, classes) of rows together with each class."""
        means, precisions = self._means, 1 / self._variances
        square = (
            np.square(numbers) @ precisions.T
            - 2 * numbers @ (means * precisions).T
            + (np.square(means) * precisions).sum(1)
        )
        normal = -0.5 * (square + np.log(2 * np.pi * self._variances).sum(1))
        return self._log_sizes + values @ self._log_values.T + normal
