"""From rows of any kind to batches of tensors, without ever copying the whole.

Dense, sparse and memory-mapped rows are gathered, densified, scaled and sent to the
device a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from ..objective import Loss

Array = NDArray[np.floating]

# Rows that are measured or gathered at a time fill about this many bytes.
BLOCK_BYTES = 1 << 24
# Of CSR rows that store no more than this share of their values, only those are read.
FEW_STORED = 0.1
# A memory map is shuffled in windows of so many runs of neighbouring rows, so that the
# disk is read in runs and the order needs no memory that grows with the rows.
MAP_RUN = 64
MAP_WINDOW = 1024
# No scaled number is larger. Where some are, they are as good as infinite, and sums of
# their squares still are numbers.
FARTHEST = 1e12
# In a stream, a row that is so many times as far from the mean as rows were before (the
# root of the mean square), of so many rows at least, is read and counted as if it were
# as far as that: of 4,200 rows in three clusters one of 200 moved the others so far
# that a network, which had all of them right, had none, and stayed so.
FAR, ROWS_SEEN = 30.0, 100
# Coordinates of whitened rows, and converted images, are kept where they fill no more
# than this, and on an accelerator all rows that fill no more than this share of its
# free memory.
HELD_BYTES = 1 << 26
HELD_SHARE = 0.25


def exact_on(device: torch.device) -> torch.dtype:
    """Return the type of long sums on a device; Apple's have no double precision."""
    return torch.float32 if device.type == "mps" else torch.float64


class Batch(NamedTuple):
    """Rows on the device, and which rows they are."""

    rows: Tensor  # (b,), their indices
    x: Tensor  # (b, features)


# ---------------------------------------------------------------------------
# Scaling: one centre per feature, one scale for all, so the geometry stays
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """``(rows - center) / scale``, computed in the rows' own precision."""

    center: Array  # (features,)
    scale: float
    longest: float = field(default=np.inf, kw_only=True)  # that scaled rows may be

    @property
    def n_coordinates(self) -> int:
        """How many features scaled rows have."""
        return len(self.center)

    def apply(self, rows: Array) -> NDArray[np.float32]:
        """Scale rows (b, features), to float32."""
        # A centre of 1e6 is subtracted before the precision is given up, not after.
        return _single(self.shortened(self.centered(rows)))

    def shortened(self, rows: Array) -> Array:
        """Return scaled rows (b, features), none longer than may be."""
        rows = _near(rows)
        if np.isinf(self.longest):
            return rows
        return rows * _shrinkage(np.linalg.norm(rows, axis=1), self.longest)[:, None]

    def of(self, rows: Rows, part: Part) -> NDArray[np.float32]:
        """Return a part of rows, scaled."""
        return self.apply(rows.take(part))

    def width(self, rows: Rows) -> int:
        """Return how many numbers each row takes while it is scaled."""
        return rows.n_features

    def centered(self, rows: Array) -> Array:
        """Scale rows (b, features), in a precision of their own, float32 or more."""
        # float16 has no number of the size of FARTHEST, nor of many scales.
        rows = rows.astype(np.result_type(rows, np.float32), copy=False)
        # Most rows of words are zeros, which need no second pass in float64.
        with np.errstate(over="ignore"):  # of rows as good as infinitely far
            return (rows - self.center if self.center.any() else rows) / self.scale

    @property
    def cuts(self) -> bool:
        """Whether there is something of rows that scaled ones have not."""
        return False

    def excess(self, rows: Array) -> Array:
        """Return what is not in scaled rows (b, features), as a part of their error."""
        return np.zeros(len(rows))

    def undo(self, rows: Array) -> Array:
        """Return scaled rows (..., features) to their units, in float32."""
        original = rows.astype(np.float64) * self.scale + self.center
        most = np.finfo(np.float32).max  # of rows of float64, values may be beyond
        return original.clip(-most, most).astype(np.float32)


@dataclass(frozen=True)
class Whitening(Scaling):
    """Coordinates of centred rows along axes, see `principal_axes`."""

    axes: NDArray[np.float32]  # (features, d)
    directions: bool  # whether rows are then brought to one length

    @property
    def n_coordinates(self) -> int:
        """How many features scaled rows have."""
        return self.axes.shape[1]

    @cached_property
    def _exact_axes(self) -> NDArray[np.float64]:
        """The axes (features, d) as products take them, cast once for all batches."""
        return self.axes.astype(np.float64)

    def apply(self, rows: Array) -> NDArray[np.float32]:
        """Return coordinates (b, d) of rows (b, features)."""
        # In float64: sums are in another order for each place of a row in a batch, and
        # of what that makes of them, none is left in float32.
        centered = self.centered(rows.astype(np.float64, copy=False))
        if self.directions:  # which are the same of a shorter row
            largest = np.abs(centered).max(1, keepdims=True)
            centered = centered / (largest / FARTHEST).clip(min=1)
        return self._along(self.shortened(centered))

    def of(self, rows: Rows, part: Part) -> NDArray[np.float32]:
        """Return coordinates of a part of rows."""
        if not self._reads_stored(rows):
            return super().of(rows, part)
        some = rows.take_sparse(part)
        some.data = self.centered(some.data.astype(np.float64))
        if self.directions:
            largest = abs(some).max(1).toarray().ravel()
            shorter = (largest / FARTHEST).clip(min=1)
            some.data = some.data / np.repeat(shorter, np.diff(some.indptr))
        some.data = _near(some.data)
        if not np.isinf(self.longest):
            squares = np.asarray(some.multiply(some).sum(1)).ravel()
            shorter = _shrinkage(np.sqrt(squares), self.longest)
            some.data = some.data * np.repeat(shorter, np.diff(some.indptr))
        return self._along(some)

    def width(self, rows: Rows) -> int:
        """Return how many numbers each row takes while it is scaled."""
        if not self._reads_stored(rows):
            return super().width(rows)
        return rows.n_stored + self.n_coordinates

    def _reads_stored(self, rows: Rows) -> bool:
        """Whether what is not stored of rows stays zero, and most is not stored."""
        return rows.mostly_empty and not self.center.any()

    def _along(self, rows: Array | sparse.csr_matrix) -> NDArray[np.float32]:
        """Return coordinates (b, d) of centred rows."""
        along = rows @ self._exact_axes
        if self.directions:
            length = np.linalg.norm(along, axis=1, keepdims=True)
            # A row of zeros has no direction, and stays.
            along *= np.divide(
                self.length, length, out=np.zeros_like(length), where=length > 0
            )
        return _single(along)

    @property
    def cuts(self) -> bool:
        """Whether there is something of rows that scaled ones have not.

        Rows that count by their directions have mostly noise beyond the axes.
        """
        n_features, d = self.axes.shape
        return d < n_features and not self.directions

    def excess(self, rows: Array) -> Array:
        """Return what is beyond the axes in rows (b, features), as part of their error.

        As long as if it were on the axis on which a little is most.
        """
        if not self.cuts:
            return super().excess(rows)
        centered = _near(self.centered(rows.astype(np.float64, copy=False)))
        gains = np.linalg.norm(self._exact_axes, axis=0)
        directions = self._exact_axes / gains
        rest = np.square(centered - centered @ directions @ directions.T).sum(1)
        return rest * gains.max() ** 2 / len(gains)

    @property
    def length(self) -> float:
        """What rows are long that count by their directions."""
        return float(np.sqrt(self.n_coordinates))

    def after(self, plain: Scaling, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Return what makes coordinates of rows on a device that ``plain`` has scaled.

        In float32, for rows that are changed in each step of training.
        """
        axes = torch.from_numpy(self.axes * (plain.scale / self.scale)).to(device)
        center = (plain.center - self.center) / self.scale @ self.axes
        shift = torch.from_numpy(center.astype(np.float32)).to(device)

        def coordinates(x: Tensor) -> Tensor:
            along = torch.addmm(shift, x, axes)
            return F.normalize(along) * self.length if self.directions else along

        return coordinates

    def undo(self, rows: Array) -> Array:
        """Return coordinates (..., d) to the rows (..., features) nearest to them."""
        axes = self._exact_axes
        return super().undo(rows.astype(np.float64) @ (axes / np.square(axes).sum(0)).T)


@dataclass
class Moments:
    """Running moments of rows, merged block by block (Chan, Golub and LeVeque).

    ``axes`` and ``directions`` are those of `Whitening`, where rows are whitened, and
    ``beyond`` is the mean of its `excess`; by which power, and to how many coordinates
    at most (0 of "auto"), is noted beside, and the shape that rows were recognised to
    have, if they were.
    """

    n_rows: int = 0
    mean: Array = field(default_factory=lambda: np.zeros(1))
    scatter: float = 0.0  # sum over rows and features of squared deviations
    mean_direction: Array = field(default_factory=lambda: np.zeros(1))
    lowest: float = np.inf
    highest: float = -np.inf
    axes: NDArray[np.float32] | None = None
    beyond: float = 0.0
    directions: bool = False
    whitening: float | None = None
    n_components: int = 0
    shape: tuple[int, ...] | None = None

    def update(self, rows: Array | sparse.csr_matrix) -> None:
        """Take rows (b, features) into account."""
        some = _of_stored(rows) if sparse.issparse(rows) else _of_dense(rows)
        total = self.n_rows + some.n_rows
        share = some.n_rows / total
        step = some.mean - self.mean
        self.scatter += some.scatter
        self.scatter += np.square(step).sum() * self.n_rows * some.n_rows / total
        self.mean = self.mean + step * share
        turn = some.mean_direction - self.mean_direction
        self.mean_direction = self.mean_direction + turn * share
        # As numpy does: of Python's, NaN depends on the order.
        self.lowest = float(np.minimum(self.lowest, some.lowest))
        self.highest = float(np.maximum(self.highest, some.highest))
        self.n_rows = total

    def bounded(self, rows: Array | sparse.csr_matrix) -> Array | sparse.csr_matrix:
        """Return rows (b, features) that follow, none too far from the mean.

        Stored ones are brought nearer to zero instead, which is near the mean.
        """
        if self.n_rows < ROWS_SEEN or not self.deviation:
            return rows
        limit = FAR * self.deviation * np.sqrt(len(self.mean))
        if not sparse.issparse(rows):
            off = rows - self.mean
            with np.errstate(over="ignore"):  # of rows as good as infinitely far
                shrinkage = _shrinkage(np.linalg.norm(off, axis=1), limit)
            if (shrinkage == 1).all():
                return rows
            return self.mean + off * shrinkage[:, None]
        some = sparse.csr_matrix(rows, dtype=np.float64, copy=True)
        squares = np.asarray(some.multiply(some).sum(1)).ravel()
        squares += self.mean @ self.mean - 2 * (some @ self.mean)
        shrinkage = _shrinkage(np.sqrt(squares.clip(min=0)), limit)
        some.data *= np.repeat(shrinkage, np.diff(some.indptr))
        return some

    @property
    def variance(self) -> float:
        """The mean square of what values differ from the means of their features."""
        return self.scatter / (self.n_rows * len(self.mean))

    @property
    def deviation(self) -> float:
        """Its root; 0 of constant features."""
        # Rounding leaves these a variance of this order, and no more.
        noise = np.finfo(np.float64).eps * np.abs(self.mean).max()
        return _positive(np.sqrt(self.variance), above=noise, otherwise=0.0)

    def scaling(self, loss: Loss) -> Scaling:
        """Return what is done to rows that are to be reconstructed by a loss."""
        if self.axes is None:
            return self.plain_scaling(loss)
        plain = self.plain_scaling(loss)
        return Whitening(plain.center, plain.scale, self.axes, self.directions)

    def plain_scaling(self, loss: Loss) -> Scaling:
        """Return the scaling that a loss wants of rows that are not whitened."""
        if loss.limits is not None:  # in which rows are as they are
            return Scaling(np.zeros_like(self.mean), 1.0)
        if loss.directions or self.directions:  # a shift would change the angles
            power = self.variance + np.square(self.mean).mean()
            return Scaling(np.zeros_like(self.mean), _positive(np.sqrt(power)))
        return Scaling(self.mean, _positive(self.deviation))

    def reference(self, loss: Loss) -> float:
        """Return the error of predicting the mean of every feature."""
        return _positive(loss.reference(self), above=1e-9)


def _of_dense(rows: Array) -> Moments:
    """Return the moments of rows (b, features)."""
    rows = np.asarray(rows, dtype=np.float64)
    # From the first row on: a constant feature then has its very value as its mean.
    mean = rows[0] + (rows - rows[0]).mean(0)
    scatter = np.square(rows - mean).sum()
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    direction = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    extremes = rows.min(), rows.max()
    return Moments(len(rows), mean, scatter, direction.mean(0), *extremes)


def _of_stored(rows: sparse.csr_matrix) -> Moments:
    """Return the same of CSR rows, from what is stored and how much is not."""
    n, n_features = rows.shape
    values, columns = rows.data.astype(np.float64), rows.indices

    def added_up(values: Array | None = None) -> NDArray:
        return np.bincount(columns, values, minlength=n_features)

    n_zeros = n - added_up()
    first = rows[:1].toarray().ravel().astype(np.float64)  # on from there, as above
    mean = first + (added_up(values - first[columns]) - n_zeros * first) / n
    scatter = np.square(values - mean[columns]).sum() + n_zeros @ np.square(mean)
    row = np.repeat(np.arange(n), np.diff(rows.indptr))
    norms = np.sqrt(np.bincount(row, np.square(values), minlength=n))[row]
    direction = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    ends = np.append(values, 0.0) if n_zeros.any() else values
    extremes = ends.min(), ends.max()
    return Moments(n, mean, scatter, added_up(direction) / n, *extremes)


def _near(rows: Array) -> Array:
    """Return scaled rows, none so far off that its square is infinite."""
    return np.clip(rows, -FARTHEST, FARTHEST)


def _single(rows: Array) -> NDArray[np.float32]:
    """Return scaled rows in float32."""
    return _near(rows).astype(np.float32, copy=False)


def _shrinkage(lengths: NDArray, longest: float) -> NDArray:
    """Return by what rows of some lengths (b,) are multiplied that are too long."""
    return longest / np.maximum(lengths, longest)


def _positive(value: Any, above: float = 0.0, otherwise: float = 1.0) -> float:
    """Return a scale to divide by: 1, or ``otherwise``, where the data has none."""
    return float(value) if value > above else otherwise


# ---------------------------------------------------------------------------
# Rows and batches
# ---------------------------------------------------------------------------


# Which rows: an index of them, or a slice.
Part = NDArray[np.intp] | slice


class Rows:
    """Rows of a dense, CSR or memory-mapped array, gathered when asked for."""

    def __init__(self, array: Array | sparse.csr_array | sparse.csr_matrix) -> None:
        self.array: Any = array
        self.n_features = array.shape[1]

    def __len__(self) -> int:
        return self.array.shape[0]

    @property
    def original(self) -> Rows:
        """The rows as they are in X."""
        return self

    def take(self, index: Part) -> Array:
        """Return dense rows (b, features), a copy of them or a view."""
        rows = self._part(index)
        return np.asarray(rows.toarray() if sparse.issparse(rows) else rows)

    def take_sparse(self, index: Part) -> sparse.csr_matrix:
        """Return CSR rows, each value in one piece, which may share X's memory."""
        part = self._part(index)
        if part.dtype == np.float16:  # of which scipy makes no sparse rows
            part = part.astype(np.float32)
        rows = sparse.csr_matrix(part)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        return rows

    def _part(self, index: Part) -> Any:
        """Return some rows, whose bytes are in the order of this machine."""
        rows = self.array[index]
        return rows.astype(rows.dtype.newbyteorder("="), copy=False)

    @property
    def n_stored(self) -> int:
        """How many numbers a row takes, in the mean: with its columns, if sparse."""
        if not sparse.issparse(self.array):
            return self.n_features
        return 2 * -(-self.array.nnz // len(self))

    @property
    def mostly_empty(self) -> bool:
        """Whether rows are sparse, and store so little that only that is read."""
        if not sparse.issparse(self.array):
            return False
        return self.array.nnz <= FEW_STORED * len(self) * self.n_features

    @property
    def are_made(self) -> bool:
        """Whether taking rows is work that is worth doing once."""
        return False

    @property
    def is_mapped(self) -> bool:
        """Whether the rows lie on disk, so that neighbours are read together."""
        base = self.array
        # A copy of a memory map is one by its type, but lies in memory.
        while base is not None and getattr(base, "_mmap", None) is None:
            base = getattr(base, "base", None)
        return base is not None

    def blocks(self, index: NDArray[np.intp] | None = None) -> Iterator[Array]:
        """Yield all rows in order, or those of an index, some megabytes at a time."""
        for part in self.parts(self.n_features, index):
            yield self.take(part)

    def sparse_blocks(
        self, index: NDArray[np.intp] | None = None, *, n_found: int = 0
    ) -> Iterator[sparse.csr_matrix]:
        """Yield the same as CSR rows, of each of which so many numbers are found."""
        for part in self.parts(self.n_stored + n_found, index):
            yield self.take_sparse(part)

    def stored_blocks(self) -> Iterator[Array | sparse.csr_matrix]:
        """Yield all rows in order, CSR rows of them if they are mostly empty.

        Of those a block has more: what is found of it may be as wide as a dense row.
        """
        if not self.mostly_empty:
            yield from self.blocks()
            return
        for part in self.parts(self.n_stored):
            yield self.take_sparse(part)

    def parts(
        self, width: int, index: NDArray[np.intp] | None = None
    ) -> Iterator[Part]:
        """Yield which rows fill a block, where each takes ``width`` numbers."""
        n = len(self) if index is None else len(index)
        size = max(1, BLOCK_BYTES // (8 * max(1, width)))
        for start in range(0, n, size):
            part = slice(start, start + size)
            yield part if index is None else index[part]


@dataclass
class Batches:
    """Scaled batches of some rows on a device.

    Parameters
    ----------
    rows : Rows
        All the rows.
    scaling : Scaling
        What is done to them.
    batch_size : int
        The most rows in a batch. Batches of one pass (of memory maps, of a window)
        differ by one row at most, so none is left over with a row or two.
    device : torch.device
        Where the batches go.
    subset : ndarray of int, optional
        The rows to use, when not all.
    held : Tensor of shape (n, coordinates), optional
        All of the rows, scaled, on the device; see `holding`.
    """

    rows: Rows
    scaling: Scaling
    batch_size: int
    device: torch.device
    subset: NDArray[np.intp] | None = None
    held: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows) if self.subset is None else len(self.subset)

    def narrowed(self, subset: NDArray[np.intp]) -> Batches:
        """Return batches of some of the rows only."""
        return replace(self, subset=subset)

    def holding(self) -> Batches:
        """Return the same batches, of rows scaled once where that is worth its memory.

        On a processor those are the coordinates of whitened rows, and converted images,
        which cost much and take little; on an accelerator all that fit, which then
        travel once.
        """
        if not self.may_hold:
            return self
        n, d = len(self.rows), self.scaling.n_coordinates
        held, n_seen = torch.empty(n, d, dtype=torch.float32, device=self.device), 0
        for part in self.rows.parts(self.scaling.width(self.rows)):
            scaled = torch.from_numpy(self.scaling.of(self.rows, part))
            held[n_seen : n_seen + len(scaled)] = scaled
            n_seen += len(scaled)
        return replace(self, held=held)

    @property
    def may_hold(self) -> bool:
        """Whether all of the rows, scaled, are worth their memory on the device."""
        return 4 * len(self.rows) * self.scaling.n_coordinates <= self._affordable()

    def _affordable(self) -> float:
        """Return how many bytes may be held on the device."""
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return HELD_SHARE * free
        # Rows that are only centred would be X once more.
        is_work = isinstance(self.scaling, Whitening) or self.rows.are_made
        return HELD_BYTES if is_work else 0

    def shuffled(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every row once, in an order of ``rng``'s."""
        mapped = self.rows.is_mapped and self.subset is None
        for index in shuffled_batches(len(self), self.batch_size, rng, mapped=mapped):
            yield self._batch(index if self.subset is None else self.subset[index])

    def in_order(self, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield every row once, in order."""
        n, size = len(self), batch_size or self.batch_size
        for start in range(0, n, size):
            index = np.arange(start, min(start + size, n))
            yield self._batch(index if self.subset is None else self.subset[index])

    def at(self, rows: Tensor) -> Tensor:
        """Return the scaled rows (b, features) of an index (b,) on the device."""
        if self.held is not None:
            return self.held[rows]
        return self._from_rows(rows.cpu().numpy())

    def _batch(self, index: NDArray[np.intp]) -> Batch:
        rows = torch.from_numpy(index).to(self.device, non_blocking=True)
        held = self.held
        return Batch(rows, self._from_rows(index) if held is None else held[rows])

    def _from_rows(self, index: NDArray[np.intp]) -> Tensor:
        x = torch.from_numpy(self.scaling.of(self.rows, index))
        return x.to(self.device, non_blocking=True)


def shuffled_batches(
    n_rows: int, batch_size: int, rng: np.random.Generator, *, mapped: bool = False
) -> Iterator[NDArray[np.intp]]:
    """Yield each of ``n_rows`` indices once, in random batches of nearly equal size."""
    # Of fewer rows the order is that of rows in memory: results do not depend on where
    # they lie (joblib maps those that it passes to workers).
    if mapped and n_rows > MAP_RUN * MAP_WINDOW:
        runs = rng.permutation(-(-n_rows // MAP_RUN))
        n_windows = -(-len(runs) // MAP_WINDOW)
        windows: Iterator[NDArray[np.intp]] = (
            (runs_here[:, None] * MAP_RUN + np.arange(MAP_RUN)).ravel()
            for runs_here in np.array_split(runs, n_windows)
        )
    else:
        windows = iter([np.arange(n_rows)])
    for window in windows:
        index = window[window < n_rows]
        rng.shuffle(index)
        yield from np.array_split(index, -(-len(index) // batch_size))
