"""Topics: in each, words have chances of their own.

A mixture of multinomials (Nigam, McCallum, Thrun and Mitchell, "Text classification
from labeled and unlabeled documents using EM", 2000), of rows that are brought to
length one. So a row with n words counts as sqrt(n) of them: words of one text repeat
and call for each other, and if each were a witness by itself, rows would be as sure of
a wrong topic as of the right one, and never leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import normalize

from .expectation import Mixture, best_mixture

# Rows are brought to the first of these lengths with which they are so sure of their
# topics, in the mean. Of many topics that are alike, sqrt(n) words tell too little.
LENGTHS, SURE = (1.0, 2**0.5, 2.0, 2**1.5, 4.0), 0.8
# Each topic has so many average rows more, as a share of what topics have in the mean:
# no word is impossible, and what few rows have in common by chance is no topic.
AVERAGE_ROWS = 0.1


def as_words(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return rows of counts, or of weights of words, as topics read them."""
    return normalize(rows.astype(np.float64), copy=False)


class Topics(Mixture[sparse.csr_matrix]):
    """A mixture of topics, which have chances for each word.

    Parameters
    ----------
    words : csr_matrix of shape (n, features)
        The rows, by `as_words`.
    labels : ndarray of shape (n,)
        The topics to begin with.
    n_topics : int
        The number of topics.
    length : float
        As how long rows are read.
    """

    def __init__(
        self,
        words: sparse.csr_matrix,
        labels: NDArray[np.integer],
        n_topics: int,
        *,
        length: float = 1.0,
    ) -> None:
        self._average = np.asarray(words.sum(0)).T * AVERAGE_ROWS / n_topics
        self._length = length
        super().__init__(words, labels, n_topics)

    def _learn(self, words: sparse.csr_matrix, shares: NDArray[np.float64]) -> None:
        counts = words.T @ shares + self._average  # (features, topics)
        chances = counts / counts.sum(0).clip(min=1e-9)
        # Words that no row has say nothing of those that do.
        self._log_chances = np.log(np.where(self._average > 0, chances, 1.0))

    def _log_likelihoods(self, words: sparse.csr_matrix) -> NDArray[np.float64]:
        return self._length * (words @ self._log_chances)


def best_topics(
    words: sparse.csr_matrix, starts: Sequence[NDArray[np.integer]], n_topics: int
) -> Topics:
    """Return the best topics found from some labels (n,), by rows that are sure."""
    for length in LENGTHS:
        kind = partial(Topics, length=length)
        sure = kind(words, starts[0], n_topics).predict_proba(words).max(1).mean()
        if sure >= SURE:
            break
    return best_mixture(kind, words, starts, n_topics)
