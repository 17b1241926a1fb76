"""What rows are read as, and their moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._parameters import (
    asked_shape,
    check_architecture,
    is_image,
    is_named,
    is_series,
    may_find_shape,
    resolve_components,
    resolve_directions,
    resolve_pixels,
    resolve_shape,
    resolve_whitening,
)
from ..objective import LOSSES
from ..training import (
    Moments,
    Rows,
    converted_rows,
    mostly_zeros,
    principal_axes,
    shape_of,
)


def measure(rows: Rows, before: Moments | None = None) -> Moments:
    """Return the moments of all rows, and of those measured before."""
    moments = Moments() if before is None else replace(before)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in rows.stored_blocks():
            moments.update(block if before is None else before.bounded(block))
    if np.isnan(moments.lowest):
        raise ValueError("X contains NaN.")  # if nobody looked for it before
    if not np.isfinite(moments.scatter):
        raise ValueError(
            "The squares of values in X are too large to add up: they are from "
            f"{moments.lowest:.6g} to {moments.highest:.6g}. Divide them by a number."
        )
    return moments


class Seen(NamedTuple):
    """Rows as they are read, and the shape that they were recognised to have."""

    rows: Rows
    shape: tuple[int, ...] | None


def look_at(estimator: Any, rows: Rows) -> Seen:
    """Return rows as they are read: images with colours first, and few pixels."""
    e = estimator
    found = shape_of(rows) if may_find_shape(e) else None
    shape = resolve_shape(asked_shape(e.input_shape, found), rows.n_features)
    read = resolve_pixels(e.max_pixels, shape, e.architecture)
    return Seen(converted_rows(rows, shape, read), found)


def resolve_moments(
    estimator: Any,
    rows: Rows,
    found: tuple[int, ...] | None = None,
    before: Moments | None = None,
) -> Moments:
    """Measure rows, after those measured ``before``, and find how to read them.

    What they were ``found`` to be, and the axes of whitening, are those of the first
    rows: a network has learned them.
    """
    e, moments = estimator, measure(rows, before)
    loss = LOSSES[e.reconstruction_loss]
    if before is not None:
        # What is beyond the axes is in units of a scale that follows the stream.
        scaling = moments.scaling(loss)
        if scaling.cuts:
            excess = sum(
                scaling.excess(before.bounded(block)).sum() for block in rows.blocks()
            )
            moments.beyond *= before.n_rows / moments.n_rows
            moments.beyond += float(excess) / moments.n_rows
        return moments
    moments.shape = found
    power = whitening_of(e, moments)
    counts = mostly_zeros(rows) and e.n_active == 1  # lengths of sums tell something
    directions = resolve_directions(e.directions, power, counts=counts)
    moments.whitening, moments.n_components = power, noted(e.n_components)
    moments.directions = directions
    if power is not None and len(rows) > 1:
        scaling = moments.plain_scaling(loss)
        least, most, share = resolve_components(
            e.n_components, rows.n_features, int(e.n_clusters)
        )
        moments.axes, beyond = principal_axes(
            rows, scaling, most, power, share=share, least=least,
            noise=keeps_noise(e, directions),
        )  # fmt: skip
        moments.beyond = 0.0 if directions else beyond
    return moments


def keeps_noise(estimator: Any, directions: bool) -> bool:
    """Tell whether directions are kept along which rows are as noise is.

    If directions are asked for. Words that are rare are no noise, whatever they look
    like; and rows that are drawn have as much of it as others.
    """
    e = estimator
    is_asked = not is_named(e.n_components, "auto")
    return is_asked or directions or e.expert != "plain"


def whitening_of(estimator: Any, moments: Moments) -> float | None:
    """Return the power of the whitening of rows that are, or are no, images."""
    e = estimator
    shape = asked_shape(e.input_shape, moments.shape)
    return resolve_whitening(e.whitening, shape, e.architecture, e.reconstruction_loss)


def noted(n_components: int | str) -> int:
    """Return the number that "auto" is noted as, or the number itself."""
    return 0 if isinstance(n_components, str) else int(n_components)


@dataclass(frozen=True)
class Reading:
    """As what rows are read, and by which experts."""

    shape: tuple[int, ...]  # of rows as they are in X
    read: tuple[int, ...]  # of the same, or of what images are averaged to
    width: int | None  # of the coordinates that are read instead, if any
    architecture: Any
    image: bool
    series: bool

    @property
    def ordered(self) -> bool:
        """Whether values that are beside each other belong together."""
        return self.image or self.series


def resolve_reading(estimator: Any, rows: Rows, moments: Moments) -> Reading:
    """Return as what an estimator reads rows, or raise where they are not that."""
    e, axes = estimator, moments.axes  # of rows that are whitened
    asked = asked_shape(e.input_shape, moments.shape)
    shape = resolve_shape(asked, rows.original.n_features)
    check_architecture(e.architecture, shape)
    return Reading(
        shape=shape,
        read=resolve_pixels(e.max_pixels, shape, e.architecture),
        width=None if axes is None else axes.shape[1],
        architecture=e.architecture,
        image=is_image(shape, e.architecture),
        series=is_series(asked, shape, e.architecture),
    )
