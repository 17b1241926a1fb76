"""Reconstruction losses: whatever one differs in is told here, once.

Errors are in units of predicting the mean, so that 1 is an expert no better than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

# A row or a reconstruction shorter than this has no direction.
SHORTEST = 1e-8


class Decoded(Protocol):
    """What the errors need of K reconstructions of each row."""

    def rows(self) -> Tensor:
        """Return the reconstructions, (b, k, features)."""

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, k) of rows ``x`` (b, features) to theirs."""

    def products(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return products with ``x`` (b, features) and with themselves, (b, k) each."""

    def sparing(self, shares: Tensor) -> Decoded:
        """Return the same for squared distances that are weighted by (b, k)."""


class Means(Protocol):
    """What the references need of the moments of rows."""

    mean: NDArray[np.floating]  # (features,)
    mean_direction: NDArray[np.floating]  # (features,)


def as_decoded(decoded: Tensor) -> Tensor:
    """Return what decoders put out as it is."""
    return decoded


@dataclass(frozen=True)
class Loss:
    """A reconstruction loss, and what follows from it elsewhere.

    By default it reads rows that are centred and scaled.

    Parameters
    ----------
    name : str
        What users and files call it.
    error : callable
        Gives the error (b, k) of K reconstructions, see `Decoded`, of rows (b,
        features).
    reference : callable
        Gives the error of predicting the mean of every feature, of moments of rows.
    activation : callable
        Turns what decoders put out (b, features) into rows.
    limits : tuple of float, optional
        The least and the greatest value that it is made for. Values are then read as
        they are.
    directions : bool
        Whether rows count by their directions alone. They are not centred, which would
        change the angles, and ``activation`` gives rows of length one.
    squared : bool
        Whether errors are squared distances and nothing else. They add up over axes, by
        which rows may then be whitened, and need not be exact where no weight is.
    """

    name: str
    error: Callable[[Decoded, Tensor], Tensor]
    reference: Callable[[Means], float]
    activation: Callable[[Tensor], Tensor] = as_decoded
    limits: tuple[float, float] | None = None
    directions: bool = False
    squared: bool = False


@dataclass(frozen=True)
class Reconstruction:
    """How far a row is from its reconstruction, in units of predicting the mean."""

    loss: Loss
    reference: float

    def __call__(self, decoded: Decoded, rows: Tensor) -> Tensor:
        """Return errors (b, k) of decoded rows against rows (b, features)."""
        return self.loss.error(decoded, rows) / self.reference


def squared_error(decoded: Decoded, rows: Tensor) -> Tensor:
    """Mean squared error over the features."""
    return decoded.squared_distance(rows) / rows.shape[-1]  # (b, k)


def cross_entropy_error(decoded: Decoded, rows: Tensor) -> Tensor:
    """Binary cross-entropy of logits ``decoded`` and rows in [0, 1]."""
    logits = decoded.rows()
    rows = rows.unsqueeze(1).expand_as(logits)
    error = F.binary_cross_entropy_with_logits(logits, rows, reduction="none")
    return error.mean(-1)  # (b, k)


def cross_entropy_of_mean(moments: Means) -> float:
    """Binary cross-entropy of each feature's mean and its values, in the mean."""
    p = moments.mean.clip(1e-12, 1 - 1e-12)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def cosine_error(decoded: Decoded, rows: Tensor) -> Tensor:
    """One minus the cosine of the angle between a row and its reconstruction."""
    product, square = decoded.products(rows)  # (b, k)
    lengths = _length(square) * _length(rows.square().sum(-1, keepdim=True))
    return 1.0 - product / lengths


def _length(square: Tensor) -> Tensor:
    """Return lengths, none of them zero, from their squares."""
    return square.clamp(min=SHORTEST**2).sqrt()


def cosine_of_mean(moments: Means) -> float:
    """One minus the cosine of the angle between the mean and a row, in the mean."""
    norm = np.linalg.norm(moments.mean)
    cosine = moments.mean_direction @ moments.mean / norm if norm else 0.0
    return float(1.0 - cosine)


def direction(decoded: Tensor) -> Tensor:
    """Bring what decoders put out to length one."""
    return F.normalize(decoded, dim=-1)


LOSSES = {
    loss.name: loss
    for loss in (
        Loss(
            "mse",
            squared_error,
            reference=lambda moments: 1.0,  # by the choice of the scale
            squared=True,
        ),
        Loss(
            "bce",
            cross_entropy_error,
            cross_entropy_of_mean,
            activation=Tensor.sigmoid,
            limits=(0.0, 1.0),
        ),
        Loss(
            "cosine",
            cosine_error,
            cosine_of_mean,
            activation=direction,
            directions=True,
        ),
    )
}
