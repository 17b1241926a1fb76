"""Latent classes: within each, the features of a table are independent.

See P. F. Lazarsfeld and N. W. Henry, "Latent Structure Analysis", 1968.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logsumexp
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .expectation import Mixture

# Numbers are normal in each class, with this variance at least, of theirs.
LEAST_VARIANCE = 1e-2


class Coded(NamedTuple):
    """A table as classes read it."""

    values: sparse.csr_matrix  # (n, values), a one for the value of each category
    numbers: NDArray[np.float64]  # (n, others), standardised
    n_parameters: int  # of a class

    def together(self) -> sparse.csr_matrix:
        """Return both side by side, as features of one unit."""
        return sparse.hstack([self.values, sparse.csr_matrix(self.numbers)], "csr")


class Coding:
    """Rows as categories, from their indicators, and numbers.

    Features of two values are indicators, and those of more are numbers, for grades
    have an order. Those of a single value say nothing, and are left out.

    Parameters
    ----------
    rows : ndarray of shape (n, features)
        The rows by which it is told; categories that they have not say nothing.

    Attributes
    ----------
    indicators : ndarray of shape (features,), bool
        Which features are indicators.
    runs : list of list of int
        Those of each category.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        lowest, self._highest = rows.min(0), rows.max(0)
        of_two = ((rows == lowest) | (rows == self._highest)).all(0)
        varied = lowest < self._highest
        self.indicators = of_two & varied
        # Of rows that are all the same, something is left to look at.
        self.numbers = ~of_two if varied.any() else ~varied
        self.runs = self._exclusive_runs(rows, varied)
        # Arrays, whatever scikit-learn is set to return elsewhere.
        encoder = OneHotEncoder(handle_unknown="ignore")
        self._values = encoder.set_output(transform="default")
        self._numbers = StandardScaler().set_output(transform="default")
        if self.runs:
            self._values.fit(self.categories(rows))
        if self.numbers.any():
            self._numbers.fit(rows[:, self.numbers].astype(np.float64))

    @property
    def n_parameters(self) -> int:
        """How many numbers describe a class of such rows."""
        values = self._values.categories_ if self.runs else []
        free = sum(len(some) - 1 for some in values)
        return free + 2 * int(self.numbers.sum())

    def read(self, rows: NDArray[np.floating]) -> Coded:
        """Return rows (n, features) as classes read them."""
        values = sparse.csr_matrix((len(rows), 0))
        if self.runs:
            values = self._values.transform(self.categories(rows))
        numbers = rows[:, self.numbers].astype(np.float64)
        if numbers.size:
            numbers = self._numbers.transform(numbers)
        return Coded(values, numbers, self.n_parameters)

    def _exclusive_runs(
        self, rows: NDArray[np.floating], varied: NDArray[np.bool_]
    ) -> list[list[int]]:
        """Return runs of indicators that are of one category each.

        Neighbours, of which no row has two, are all of a category's or, as encoders may
        have it, all but one. Between them may be those of values that no row has.
        """
        runs: list[list[int]] = []
        taken = np.zeros(len(rows), dtype=bool)
        for j in np.flatnonzero(self.indicators):
            told = rows[:, j] == self._highest[j]
            follows = runs and not varied[runs[-1][-1] + 1 : j].any()
            if follows and not (taken & told).any():
                runs[-1].append(int(j))
                taken |= told
            else:
                runs.append([int(j)])
                taken = told
        return runs

    def categories(self, rows: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return the numbers of the indicators (n, runs) that categories have.

        From 1; of rows that have none it is 0, and -1 of those that have several.
        """
        found = np.empty((len(rows), len(self.runs)), dtype=np.intp)
        for i, run in enumerate(self.runs):
            told = rows[:, run] == self._highest[run]
            number = told @ np.arange(1, len(run) + 1)
            found[:, i] = np.where(told.sum(1) > 1, -1, number)
        return found


class LatentClasses(Mixture[Coded]):
    """A mixture of classes in which features are independent.

    It is scored by the log-likelihood of rows together with their likeliest classes,
    in nats a row, less half of the log of its rows for each number that describes a
    class (Biernacki, Celeux and Govaert, 2000, with rows of each class by themselves).
    Of the maxima of the likelihood alone, the highest may be a large class cut in two,
    in place of two small ones. Values that are rare in a class are smoothed.
    """

    def __init__(
        self, coded: Coded, labels: NDArray[np.integer], n_classes: int
    ) -> None:
        self._average = np.asarray(coded.values.mean(0))
        self._n_parameters = coded.n_parameters
        super().__init__(coded, labels, n_classes)

    def bic(self, coded: Coded) -> float:
        """Return the Bayesian information criterion on rows: lower is better."""
        joint = self._joint(coded)
        n_rows, n_classes = joint.shape
        n_parameters = n_classes * self._n_parameters + n_classes - 1
        likelihood = logsumexp(joint, axis=1).sum()
        return float(n_parameters * np.log(n_rows) - 2 * likelihood)

    def _score(self, joint: NDArray[np.float64]) -> float:
        sizes = np.bincount(joint.argmax(1), minlength=joint.shape[1]).clip(min=1)
        cost = 0.5 * self._n_parameters * np.log(sizes).sum()
        return float(joint.max(1).mean() - cost / len(joint))

    def _learn(self, coded: Coded, shares: NDArray[np.float64]) -> None:
        sizes = shares.sum(0)[:, None]
        # As if each class had one row more, an average one: no value is impossible.
        counts = (coded.values.T @ shares).T + self._average
        self._log_values = np.log(counts / (sizes + 1))
        sizes = sizes.clip(min=1e-9)
        self._means = shares.T @ coded.numbers / sizes
        squares = shares.T @ np.square(coded.numbers) / sizes - np.square(self._means)
        self._variances = squares.clip(min=LEAST_VARIANCE)

    def _log_likelihoods(self, coded: Coded) -> NDArray[np.float64]:
        means, precisions = self._means, 1 / self._variances
        square = (
            np.square(coded.numbers) @ precisions.T
            - 2 * coded.numbers @ (means * precisions).T
            + (np.square(means) * precisions).sum(1)
        )
        normal = -0.5 * (square + np.log(2 * np.pi * self._variances).sum(1))
        return coded.values @ self._log_values.T + normal
