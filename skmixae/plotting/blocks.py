"""What the pictures of samples are made of: a grid of blocks, and how rows look in one.

A new look is one class with a size, ``explain`` and ``draw``, and a line in `look_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..training import channels_first, planes
from .figure import FAINT, FONT, INK, MARKERS, ORANGE, VERMILION

# Features beyond which two lines would hide one another.
LONG = 150

# Inches: of a block's title, between blocks, around all, above them for a title, below
# them for a legend, left of them for the names of rows.
_TITLE, _GAP, _MARGIN, _TOP, _BOTTOM, _NAMES = 0.2, 0.2, 0.15, 0.35, 0.4, 0.55
# Width of a character of a heading.
_LETTER = 0.056
# Width over height that a grid of blocks comes closest to.
_PAGE = 1.3


class Grid:
    """Blocks of one size, in as many columns as make the whole shaped like a page.

    Parameters
    ----------
    n_blocks : int
        How many.
    look : Look
        What is drawn in them, which has a width, a height, and names to its left.
    """

    def __init__(self, n_blocks: int, look: Look) -> None:
        self.n_blocks, self.block = n_blocks, (look.width, look.height)
        self.names = _NAMES if look.named else 0.0
        self.step = (look.width + _GAP, look.height + _TITLE + _GAP)
        columns = np.arange(1, n_blocks + 1)
        shapes = columns * self.step[0] / (np.ceil(n_blocks / columns) * self.step[1])
        self.n_columns = int(columns[np.argmin(abs(np.log(shapes / _PAGE)))])
        n_rows = math.ceil(n_blocks / self.n_columns)
        self.width = self.names + self.n_columns * self.step[0] - _GAP
        self.height = n_rows * self.step[1] - _GAP

    def new_axes(self, plt: Any) -> Any:
        """Return axes for the whole in a figure of its own."""
        size = np.array([self.width, self.height])
        corner = np.array([_MARGIN, _MARGIN if self.names else _BOTTOM])
        whole = size + corner + np.array([_MARGIN, _TOP])
        figure = plt.figure(figsize=whole)
        return figure.add_axes((*(corner / whole), *(size / whole)))

    def divide(self, ax: Any) -> NDArray[Any]:
        """Return an axes for each block, within ``ax``, row by row."""
        ax.set_axis_off()
        blocks = np.empty(self.n_blocks, dtype=object)
        whole = np.array([self.width, self.height])
        for i in range(self.n_blocks):
            row, column = divmod(i, self.n_columns)
            left = self.names + column * self.step[0]
            bottom = self.height - (row + 1) * self.step[1] + _GAP
            corner = np.array([left, bottom]) / whole
            blocks[i] = ax.inset_axes((*corner, *(self.block / whole)))
            blocks[i].set(xticks=[], yticks=[])
            blocks[i].spines[:].set_color(FAINT)
        return blocks

    def head(self, block: Any, *parts: str) -> None:
        """Write above a block as many of the parts as it is wide enough for."""
        heading = parts[0]
        for part in parts[1:]:
            longer = f"{heading}  ·  {part}"
            if len(longer) * _LETTER > self.block[0]:
                break
            heading = longer
        block.set_title(heading, fontsize=FONT, loc="left", pad=3)


def leave_empty(block: Any) -> None:
    """Say in a block that there is nothing to draw."""
    block.text(
        0.5, 0.5, "empty", transform=block.transAxes, color="0.4", fontsize=FONT,
        style="italic", ha="center", va="center",
    )  # fmt: skip


class Images:
    """Samples above, their reconstructions below."""

    named = True
    cell = 0.42  # inches

    def __init__(
        self, samples: NDArray[Any], n_shown: int, shape: tuple[int, ...], cmap: Any
    ) -> None:
        self.shape = shape
        self.size = h, w = channels_first(shape)[-2:]
        self.gap = max(1, round(min(h, w) / 14))
        self.mosaic = (2 * h + self.gap, n_shown * (w + self.gap) - self.gap)
        self.height, self.width = (n * self.cell / min(h, w) for n in self.mosaic)
        self.cmap, self.span = cmap, _span(samples)

    def explain(self, ax: Any, first_blocks: NDArray[Any]) -> None:
        """Name the two rows."""
        _name_rows(first_blocks, (0.25, 0.75))

    def draw(self, ax: Any, samples: NDArray[Any], others: NDArray[Any]) -> None:
        """Draw all images of a block as one."""
        (h, w), mosaic = self.size, np.ones((*self.mosaic, 4))
        mosaic[:, : len(samples) * (w + self.gap) - self.gap, :3] = 0.9  # their mount
        for row, images in enumerate(map(self._pixels, (samples, others))):
            for column, image in enumerate(images):
                top, left = row * (h + self.gap), column * (w + self.gap)
                mosaic[top : top + h, left : left + w] = image
        # In units of the block, as the names of its rows are.
        ax.imshow(mosaic, extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest")
        ax.set_box_aspect(self.mosaic[0] / self.mosaic[1])

    def _pixels(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return colours, (n, h, w, 4)."""
        from matplotlib import colormaps

        low, high = self.span
        rows = np.clip((rows - low) / (high - low), 0, 1)
        images = planes(rows, self.shape)
        if images.shape[1] == 3:
            return np.insert(np.moveaxis(images, 1, -1), 3, 1, axis=-1)
        cmap = colormaps[self.cmap] if isinstance(self.cmap, str) else self.cmap
        return cmap(images.mean(axis=1, dtype=np.float64))


class Lines:
    """Each sample a line over the features, on its reconstruction or above it."""

    def __init__(
        self, samples: NDArray[Any], n_shown: int, shape: tuple[int, ...]
    ) -> None:
        self.n_shown, self.span = n_shown, _span(samples)
        self.n_channels, self.length = (1, *shape)[-2:]
        self.named = self.length > LONG and self.n_channels == 1
        self.width = n_shown * (1.9 if self.length > LONG else 0.95)
        self.height = 0.62 * math.sqrt(
            2 * self.n_channels if self.named else self.n_channels
        )

    def explain(self, ax: Any, first_blocks: NDArray[Any]) -> None:
        """Name the two rows, or the two lines."""
        if self.named:
            _name_rows(first_blocks, (-0.8, 0.5))
        else:
            _name_styles(ax, (self._style(0), self._style(1)))

    def draw(self, ax: Any, samples: NDArray[Any], others: NDArray[Any]) -> None:
        """Draw all lines of a block."""
        lowest = -1.3 if self.named else 0.0
        ax.plot(*self._path(others, lowest), **self._style(1))
        ax.plot(*self._path(samples, 0.0), **self._style(0))
        ax.set_xlim(-0.1, 1.2 * self.n_shown - 0.1)
        ax.set_ylim(lowest - 0.15, 1.2 * self.n_channels - 0.05)

    def _style(self, i: int) -> dict[str, Any]:
        """Return the style of samples (0) or of reconstructions (1)."""
        if self.named:
            return {"color": (INK, VERMILION)[i], "linewidth": 0.5}
        marker = "." if self.length <= MARKERS else ""
        style = {"color": (INK, ORANGE)[i], "linewidth": (0.9, 2.6)[i]}
        return style | {"marker": marker, "markersize": (3, 8)[i]}

    def _path(
        self, rows: NDArray[Any], lowest: float
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the lines of rows as one: cells of width 1 side by side."""
        (low, high), n, c = self.span, len(rows), self.n_channels
        y = ((rows - low) / (high - low)).reshape(n, c, self.length) + lowest
        y = y + 1.2 * np.arange(c)[::-1, None]  # the first channel on top
        x = np.linspace(0, 1, self.length) if self.length > 1 else np.array([0.5])
        return _joined(x + 1.2 * np.arange(n)[:, None, None], y)


class Points:
    """Samples in the plane, each tied to its reconstruction, before those of all."""

    named = False
    width = 3.0

    def __init__(self, samples: NDArray[Any]) -> None:
        self.samples = samples
        wide, high = np.ptp(samples, axis=0) + 1e-12
        self.height = self.width * min(max(high / wide, 0.5), 1)

    def explain(self, ax: Any, first_blocks: NDArray[Any]) -> None:
        """Name the points."""
        _name_styles(ax, (_SAMPLE_POINT, _EXPERT_POINT))

    def draw(self, ax: Any, samples: NDArray[Any], others: NDArray[Any]) -> None:
        """Draw all points of a block."""
        ties = np.stack([samples, others], axis=1)  # (n, 2 ends, 2)
        ax.plot(*self.samples.T, marker=".", markersize=3, color="0.85", linestyle="")
        ax.plot(*_joined(ties[..., 0], ties[..., 1]), color=ORANGE, linewidth=0.6)
        ax.plot(*others.T, **_EXPERT_POINT)
        ax.plot(*samples.T, **_SAMPLE_POINT)
        ax.set_aspect("equal", adjustable="datalim")


# The way rows are drawn: one of these.
Look = Images | Lines | Points


def kind_of(shape: tuple[int, ...], image: bool) -> str:
    """Return how rows of a shape are drawn."""
    if image:
        return "images"
    return "points" if shape == (2,) else "lines"


def look_of(
    samples: NDArray[Any], n_shown: int, shape: tuple[int, ...], image: bool, cmap: Any
) -> Look:
    """Return what draws samples (n, features) of a shape, ``n_shown`` in a block."""
    kind = kind_of(shape, image)
    if kind == "images":
        return Images(samples, n_shown, shape, cmap)
    return Points(samples) if kind == "points" else Lines(samples, n_shown, shape)


def default_n_samples(shape: tuple[int, ...], image: bool) -> int:
    """Return how many rows of a shape a block has room for."""
    kind = kind_of(shape, image)
    if kind == "points":
        return 200
    return 4 if kind == "lines" and shape[-1] > LONG else 8


_SAMPLE_POINT = {"color": INK, "marker": ".", "markersize": 2, "linestyle": ""}
_EXPERT_POINT = {"color": ORANGE, "marker": ".", "markersize": 8, "linestyle": ""}


def _span(rows: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value, apart from one another."""
    low, high = float(rows.min()), float(rows.max())
    return low, high if high > low else low + 1


def _joined(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Join lines, along the last axis, to one that lifts the pen between them."""
    x, y = np.broadcast_arrays(x, y)
    gaps = np.full((*y.shape[:-1], 1), np.nan)
    return np.append(x, gaps, axis=-1).ravel(), np.append(y, gaps, axis=-1).ravel()


def _name_rows(blocks: NDArray[Any], heights: tuple[float, float]) -> None:
    """Write to the left of blocks which row is which."""
    for block in blocks:
        block.set_yticks(heights, ["expert", "sample"], fontsize=FONT)
        block.tick_params(length=0)


def _name_styles(ax: Any, styles: Sequence[dict[str, Any]]) -> None:
    """Write below ``ax`` what a sample looks like, and what a reconstruction."""
    from matplotlib.lines import Line2D

    ax.legend(
        [Line2D([], [], **style) for style in styles],
        ["sample", "expert’s reconstruction"],
        loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0.6, ncols=2,
        frameon=False, fontsize=FONT,
    )  # fmt: skip
