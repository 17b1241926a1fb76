"""Whether rows of numbers have an order: unrolled images, and series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .batches import Rows

# The sides of an image have so many pixels at least, and one is so many times as long
# as the other at most.
SHORTEST_SIDE, MOST_OBLONG = 8, 2
# Series are longer than this: of fewer features, neighbours may be alike by chance.
SHORTEST_SERIES = 50
# Of wider rows nobody asks whether they are series, of which experts read all, nor
# images, of which they do not: 256 x 256 pixels in three colours.
WIDEST = 1 << 14
WIDEST_IMAGE = 3 << 16
# The look is at so many rows and pixels at most, and at so many values and products: of
# wide rows there are then fewer, but no fewer than are enough to tell.
ROWS_SEEN = PIXELS_SEEN = 1000
FEWEST_ROWS_SEEN = 42
VALUES_SEEN = 1 << 21
PRODUCTS_SEEN = 1 << 24
# So many features are most like one that they touch: of an image, with so many of these
# beside them, and so many above or below; of a series, all before them or after.
# Handwritten digits have .8 and .2 at least, photographs 1.0 and .14, and anything else
# that was tried .1 of one of them at most. Series have .56 to 1.0, of which the least
# are six channels of moves, and other tables of their width .27 at most.
TOUCHING, EITHER_WAY = 0.5, 0.1
# Of rows of which three values each belong together, all may be most like one of the
# same three (photographs 1.0). Of a series two in three are.
CHANNELS, OF_ONE_PIXEL = 3, 0.9
# Pixels that vary by no more than so much of what the strongest does are of a border:
# of one colour, but for the noise of a scan.
FAINT = 0.1


def shape_of(rows: Rows) -> tuple[int, ...] | None:
    """Return the shape of rows that have an order, None of those that have none.

    It is the height and width of grey images, with three channels before them or after,
    as the features have them. A width is right if most features are most correlated
    with one that they touch in an image of that width; of colours, if so it is in each
    channel. Series have such neighbours in one direction alone, and with a wrong width
    so have images. The shape of a series is its length.
    """
    n = rows.n_features
    may_be_image = bool(_sides(n) or _sides(n // CHANNELS)) and n <= WIDEST_IMAGE
    may_be_series = SHORTEST_SERIES < n <= WIDEST
    if not may_be_image and not may_be_series:
        return None
    x = _centred(rows)
    pairs = _most_alike(x)
    shape = (_image_of(pairs, n) or _colours_of(x)) if may_be_image else None
    if shape or not may_be_series:
        return shape
    along, _ = _touching(pairs, width=n)
    one, other = pairs // CHANNELS
    is_series = along >= TOUCHING and (one == other).mean() < OF_ONE_PIXEL
    return (n,) if is_series else None


def _image_of(pairs: NDArray[np.intp], n_pixels: int) -> tuple[int, int] | None:
    """Return the height and width of grey images, if features are their pixels."""
    touching = {s: _touching(pairs, width=s[1]) for s in _sides(n_pixels)}
    if not touching:
        return None
    found = max(touching, key=lambda s: sum(touching[s]))
    beside, above = touching[found]
    is_image = beside + above >= TOUCHING and min(beside, above) >= EITHER_WAY
    return found if is_image else None


def _colours_of(x: NDArray[np.float64]) -> tuple[int, ...] | None:
    """Return the shape of images of three channels, if the features (n, f) are such."""
    if x.shape[1] % CHANNELS:
        return None
    size = _size_of([x[:, i::CHANNELS] for i in range(CHANNELS)])
    if size is not None:
        return (*size, CHANNELS)
    size = _size_of(np.split(x, CHANNELS, axis=1))
    return None if size is None else (CHANNELS, *size)


def _size_of(channels: list[NDArray[np.float64]]) -> tuple[int, int] | None:
    """Return the height and width that all channels (n, pixels) have, if they do."""
    sizes = {_image_of(_most_alike(x), x.shape[1]) for x in channels}
    return sizes.pop() if len(sizes) == 1 else None


def varying_window(
    rows: Rows, shape: tuple[int, ...]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the part of images (channels, height, width) that their border is around.

    Where it begins and ends, as shares of the width, and of the height. It is the whole
    where all images are the same.
    """
    height, width = shape[1:]
    varying = _is_varying(_centred(rows).std(0)).reshape(shape)
    _, down, along = np.nonzero(varying if varying.any() else ~varying)
    return (
        (along.min() / width, (along.max() + 1) / width),
        (down.min() / height, (down.max() + 1) / height),
    )


def _sides(n_features: int) -> list[tuple[int, int]]:
    """Return all heights and widths that an image of so many pixels may have."""
    longest = int(np.sqrt(n_features * MOST_OBLONG))
    return [
        (n_features // width, width)
        for width in range(SHORTEST_SIDE, longest + 1)
        if n_features % width == 0
        and n_features // width >= SHORTEST_SIDE
        and n_features // width <= MOST_OBLONG * width
    ]


def _most_alike(x: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return pairs (2, pixels): a feature, and the one most correlated with it.

    Of centred rows (n, features).
    """
    spread = x.std(0)
    varying = np.flatnonzero(_is_varying(spread))
    if len(varying) < x.shape[1] // 4:  # too few to tell
        return np.zeros((2, 0), dtype=np.intp)
    z = (x[:, varying] / spread[varying]).astype(np.float32)
    most = min(len(varying), PIXELS_SEEN, PRODUCTS_SEEN // max(1, len(varying)))
    seen = np.linspace(0, len(varying) - 1, most).astype(int)
    alike = z[:, seen].T @ z
    alike[np.arange(len(seen)), seen] = -np.inf
    return np.stack([varying[seen], varying[alike.argmax(1)]])


def _is_varying(spread: NDArray[np.float64]) -> NDArray[np.bool_]:
    return spread > FAINT * spread.max()


def _centred(rows: Rows) -> NDArray[np.float64]:
    """Return some rows, evenly spread over all, each feature less its mean."""
    n = len(rows)
    affordable = max(FEWEST_ROWS_SEEN, VALUES_SEEN // rows.n_features)
    n_seen = min(n, ROWS_SEEN, affordable)
    x = rows.take(np.linspace(0, n - 1, n_seen).astype(int)).astype(np.float64)
    x -= x.mean(0)
    return x


def _touching(pairs: NDArray[np.intp], width: int) -> tuple[float, float]:
    """Return which shares of pairs (2, pixels) are beside one another, and above."""
    if not pairs.size:
        return 0.0, 0.0
    (row, column), (other_row, other_column) = (divmod(p, width) for p in pairs)
    down, along = abs(row - other_row), abs(column - other_column)
    beside = ((down == 0) & (along == 1)).mean()
    above = ((down == 1) & (along == 0)).mean()
    return float(beside), float(above)
