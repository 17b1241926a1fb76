"""From images as they are in X to those that are read: channels first, few pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .batches import Array, Part, Rows

# An image no wider than this is one whose colours are told last.
MOST_COLOURS = 4


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Tell whether a shape is (height, width, channels) of images."""
    return len(shape) == 3 and shape[2] <= MOST_COLOURS < min(shape[:2])


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the same rows with their channels, if any, first."""
    return (shape[2], *shape[:2]) if has_channels_last(shape) else shape


def planes(rows: Array, shape: tuple[int, ...]) -> Array:
    """Return images (b, channels, height, width) of rows (b, features) of a shape."""
    images = rows.reshape(len(rows), *shape)
    if has_channels_last(shape):
        return np.moveaxis(images, -1, 1)
    return images.reshape(len(rows), -1, *shape[-2:])


@dataclass(frozen=True)
class Conversion:
    """From images as they are in X to those that are read.

    Channels come first, and a pixel is the mean of what it covers.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)``, ``(channels, height, width)`` or ``(height, width,
        channels)`` of the images in X.
    read : tuple of int
        The same of what is read, with as many channels, and these first.
    """

    shape: tuple[int, ...]
    read: tuple[int, ...]

    def apply(self, rows: Array) -> Array:
        """Return what is read (b, features read) of images (b, features)."""
        images = _resized(planes(rows, self.shape), self._means)
        return images.reshape(len(rows), -1)

    def undo(self, rows: Array) -> Array:
        """Return images (b, features), of which ``rows`` are nearly what is read.

        Where sides are divided by whole numbers, they are; pixels are then squares.
        """
        images = rows.reshape(len(rows), -1, *self.read[-2:])
        images = _resized(images, self._squares)
        if has_channels_last(self.shape):
            images = np.moveaxis(images, 1, -1)
        return images.reshape(len(rows), -1)

    @property
    def _sides(self) -> list[tuple[int, int]]:
        whole = channels_first(self.shape)
        return list(zip(whole[-2:], self.read[-2:], strict=True))

    @cached_property
    def _means(self) -> list[NDArray[np.float64]]:
        return [_overlap(fine, coarse) for fine, coarse in self._sides]

    @cached_property
    def _squares(self) -> list[NDArray[np.float64]]:
        return [_overlap(coarse, fine) for fine, coarse in self._sides]


class ConvertedRows(Rows):
    """Images that are converted when they are asked for."""

    def __init__(self, rows: Rows, conversion: Conversion) -> None:
        super().__init__(rows.array)
        self.n_features = math.prod(conversion.read)
        self._original = rows
        self.conversion = conversion

    @property
    def original(self) -> Rows:
        """The images as they are in X."""
        return self._original

    def take(self, index: Part) -> Array:
        """Return converted rows (b, features read)."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        kept = np.result_type(self.array.dtype, np.float32)
        converted, n_seen = np.empty((len(index), self.n_features), kept), 0
        # Some at a time: of many, the pixels that nobody needs would fill the memory.
        for part in self.original.parts(self.original.n_features, index):
            some = self.conversion.apply(self.original.take(part))
            converted[n_seen : n_seen + len(some)] = some
            n_seen += len(some)
        return converted

    def take_sparse(self, index: Part) -> sparse.csr_matrix:
        """Return them as CSR rows, though they are hardly sparse."""
        return sparse.csr_matrix(self.take(index))

    @property
    def n_stored(self) -> int:
        """How many numbers a row takes."""
        return self.n_features

    @property
    def mostly_empty(self) -> bool:
        """Whether only what is stored is read: never of pixels."""
        return False

    @property
    def are_made(self) -> bool:
        """Whether taking rows is work that is worth doing once."""
        return True


def converted_rows(rows: Rows, shape: tuple[int, ...], read: tuple[int, ...]) -> Rows:
    """Return rows of a shape as the images that are read, or as they are.

    That is where both are the same, or rows are no images, whatever is read of them.
    """
    conversion = conversion_between(shape, read)
    return rows if conversion is None else ConvertedRows(rows, conversion)


def conversion_between(
    shape: tuple[int, ...], read: tuple[int, ...]
) -> Conversion | None:
    """Return what makes images of a shape those that are read, if anything does."""
    is_needed = len(shape) > 1 and shape != read
    return Conversion(shape, read) if is_needed else None


def _overlap(n: int, n_new: int) -> NDArray[np.float64]:
    """Return how a line of ``n`` equal pixels becomes one of ``n_new``, (n, n_new).

    By which share each old pixel is in each new one.
    """
    ends, new_ends = np.arange(n + 1) / n, np.arange(n_new + 1) / n_new
    first = np.maximum.outer(ends[:-1], new_ends[:-1])
    last = np.minimum.outer(ends[1:], new_ends[1:])
    return (last - first).clip(min=0) * n_new


def _resized(images: Array, by: list[NDArray[np.float64]]) -> Array:
    """Map the heights and widths of images (b, channels, height, width) by matrices.

    In float64: of the order of sums, which is another for each place of a row in a
    batch, nothing is left in float32.
    """
    down, along = by
    if all(n_old == n_new for n_old, n_new in (down.shape, along.shape)):
        return images  # each pixel is the mean of itself
    kept = np.result_type(images.dtype, np.float32)
    resized = down.T @ (images.astype(np.float64, copy=False) @ along)
    return resized.astype(kept, copy=False)
