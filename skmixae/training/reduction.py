"""Images of many pixels, averaged to fewer: those of coarser pixels, as areas cover."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .batches import Array, Part, Rows


@dataclass(frozen=True)
class Reduction:
    """From images of one size to the means of what each pixel of another covers.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)`` or ``(channels, height, width)`` of the images.
    reduced : tuple of int
        The same of what they are averaged to; of as many channels.
    """

    shape: tuple[int, ...]
    reduced: tuple[int, ...]

    def apply(self, rows: Array) -> Array:
        """Return the means (b, reduced features) of images (b, features)."""
        return _resized(rows, self.shape, *self._means)

    def undo(self, rows: Array) -> Array:
        """Return images (b, features) of which ``rows`` are nearly the means.

        Where sides are divided by whole numbers, they are; pixels are then squares.
        """
        return _resized(rows, self.reduced, *self._pixels)

    @property
    def _sides(self) -> list[tuple[int, int]]:
        return list(zip(self.shape[-2:], self.reduced[-2:], strict=True))

    @cached_property
    def _means(self) -> list[NDArray[np.float64]]:
        return [_overlap(fine, coarse) for fine, coarse in self._sides]

    @cached_property
    def _pixels(self) -> list[NDArray[np.float64]]:
        return [_overlap(coarse, fine) for fine, coarse in self._sides]


class ReducedRows(Rows):
    """Images that are averaged to fewer pixels when they are asked for."""

    def __init__(self, rows: Rows, reduction: Reduction) -> None:
        super().__init__(rows.array)
        self.n_features = math.prod(reduction.reduced)
        self._original = rows
        self.reduction = reduction

    @property
    def original(self) -> Rows:
        """The images with all of their pixels."""
        return self._original

    def take(self, index: Part) -> Array:
        """Return reduced rows (b, features)."""
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        kept = np.result_type(self.array.dtype, np.float32)
        reduced, n_seen = np.empty((len(index), self.n_features), kept), 0
        # Some at a time: of many, the pixels that nobody needs would fill the memory.
        for part in self.original.parts(self.original.n_features, index):
            some = self.reduction.apply(self.original.take(part))
            reduced[n_seen : n_seen + len(some)] = some
            n_seen += len(some)
        return reduced

    def take_sparse(self, index: Part) -> sparse.csr_matrix:
        """Return them as CSR rows, though they are hardly sparse."""
        return sparse.csr_matrix(self.take(index))

    @property
    def n_stored(self) -> int:
        """How many numbers a row takes."""
        return self.n_features

    @property
    def mostly_empty(self) -> bool:
        """Whether only what is stored is read: never of means."""
        return False

    @property
    def are_made(self) -> bool:
        """Whether taking rows is work that is worth doing once."""
        return True


def reduced_rows(rows: Rows, shape: tuple[int, ...], read: tuple[int, ...]) -> Rows:
    """Return rows of a shape as images of another, or as they are.

    That is where both are the same, or rows are no images, whatever is read of them.
    """
    reduction = reduction_between(shape, read)
    return rows if reduction is None else ReducedRows(rows, reduction)


def reduction_between(
    shape: tuple[int, ...], read: tuple[int, ...]
) -> Reduction | None:
    """Return what makes images of a shape those that are read, if anything does."""
    is_needed = len(shape) > 1 and shape != read
    return Reduction(shape, read) if is_needed else None


def _overlap(n: int, n_new: int) -> NDArray[np.float64]:
    """Return how a line of ``n`` equal pixels becomes one of ``n_new``, (n, n_new).

    By which share each old pixel is in each new one.
    """
    ends, new_ends = np.arange(n + 1) / n, np.arange(n_new + 1) / n_new
    first = np.maximum.outer(ends[:-1], new_ends[:-1])
    last = np.minimum.outer(ends[1:], new_ends[1:])
    return (last - first).clip(min=0) * n_new


def _resized(
    rows: Array,
    shape: tuple[int, ...],
    down: NDArray[np.float64],
    along: NDArray[np.float64],
) -> Array:
    """Map the heights and widths of images (b, features), each by a matrix.

    In float64: of the order of sums, which is another for each place of a row in a
    batch, nothing is left in float32.
    """
    images = rows.reshape(len(rows), -1, *shape[-2:]).astype(np.float64, copy=False)
    resized = down.T @ (images @ along)
    kept = np.result_type(rows.dtype, np.float32)
    return resized.reshape(len(rows), -1).astype(kept, copy=False)
