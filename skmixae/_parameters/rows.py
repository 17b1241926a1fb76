"""Parameters of the rows: their shape, and how they are whitened."""

from __future__ import annotations

import math
from typing import Any

from ..objective import LOSSES
from ..training import channels_first
from .values import is_named, layer_sizes

# Partial whitening, by "auto": on HAR and 20 newsgroups a half found better clusters
# than none and all of it, and on digits and wine it does no harm.
WHITENING = 0.5
# Of rows of more features than this, experts to spare are not merged well, and one
# each depends on the start: "auto" is one each, and restarts from k-means, unless the
# graph of neighbours is even. Of others distances mean what they say, and so does that
# graph, but for rows of many directions (starts.py): "auto" starts from it. On breast
# cancer and circles a random start failed with some seeds.
WIDE_ROWS = 100
# "auto" keeps so many principal directions at most, and where rows are not narrow no
# more than have so much of the variance: the weak ones of 64 pixels, half whitened,
# cost .08 of the accuracy. Text does not come that far.
NARROW_ROWS = 50
COMPONENTS, VARIANCE_KEPT = 100, 0.9
# But two for each cluster, and so many at least: what a trained network sees has most
# of its variance in as many directions as it was taught classes, less one. With 8 and 5
# of these, and a start from k-means, clusters of digits were at .964 and .567, with 20
# at .984 and .725.
LEAST_COMPONENTS, COMPONENTS_PER_CLUSTER = 20, 2
# "auto" reads no more pixels of an image: experts as wide as images take as long. The
# field reads objects and faces of 64 and 128 pixels a side at 32, too.
MOST_PIXELS = 32 * 32
# Dimensions of an input_shape that each architecture reads.
SHAPES = {"conv1d": (1, 2), "conv2d": (2, 3)}


def may_find_shape(estimator: Any) -> bool:
    """Tell whether rows may be found to have a shape: nothing is asked of vectors."""
    e = estimator
    asked = (e.input_shape, e.whitening, e.n_components, e.directions)
    return (
        all(is_named(value, "auto") for value in asked)
        and e.architecture in ("mlp", "conv2d")
        and e.n_active == 1  # sums were tried as vectors alone
    )


def asked_shape(input_shape: Any, found: tuple[int, ...] | None) -> Any:
    """Return what ``input_shape`` says, or for "auto" what was found; None of vectors.

    It is yet to be checked.
    """
    return found if is_named(input_shape, "auto") else input_shape


def resolve_shape(input_shape: Any, n_features: int) -> tuple[int, ...]:
    """Return the shape of a row, or raise where it does not multiply out."""
    if input_shape is None:
        return (n_features,)
    shape = layer_sizes("input_shape", input_shape, at_least=1)
    if len(shape) > 3:
        raise ValueError(
            "The 'input_shape' parameter must have one to three dimensions, such as "
            f"(28, 28), (3, 32, 32) or (9, 128). Got {shape}."
        )
    if math.prod(shape) != n_features:
        raise ValueError(
            f"The 'input_shape' parameter {shape} multiplies out to "
            f"{math.prod(shape)} features, but X has {n_features}."
        )
    return shape


def resolve_pixels(
    max_pixels: int | str | None, shape: tuple[int, ...], architecture: Any
) -> tuple[int, ...]:
    """Return the shape that rows are read with.

    Of images that is with their channels first, and no more than so many pixels.
    Experts of a user's own may be made for images of one size: "auto" leaves them.
    """
    if not is_image(shape, architecture):
        return shape
    shape = channels_first(shape)
    if max_pixels is None:
        return shape
    if isinstance(max_pixels, str):
        if callable(architecture):
            return shape
        max_pixels = MOST_PIXELS
    *channels, height, width = shape
    if height * width <= max_pixels:
        return shape
    # The same for both, up to whole pixels: of 48 x 48 images 32 x 32, not 31 x 31.
    gain = math.sqrt(max_pixels / (height * width)) + 1e-9
    height = min(max(1, int(gain * height)), max_pixels)
    return (*channels, height, min(max(1, int(gain * width)), max_pixels // height))


def is_image(shape: tuple[int, ...], architecture: Any) -> bool:
    """Tell whether rows are images, and not vectors or series."""
    return len(shape) in SHAPES["conv2d"] and architecture != "conv1d"


def is_series(asked: Any, shape: tuple[int, ...], architecture: Any) -> bool:
    """Tell whether rows are series: a shape is asked for, or convolutions are."""
    ordered = asked is not None or architecture == "conv1d"
    return ordered and not is_image(shape, architecture)


def resolve_whitening(
    whitening: float | str | None, input_shape: Any, architecture: Any, loss: str
) -> float | None:
    """Return the power of the whitening of rows, None for none of it, or raise."""
    is_vector = input_shape is None and not is_named(architecture, *SHAPES)
    flat = is_vector and LOSSES[loss].squared
    if whitening == "auto":
        return WHITENING if flat and not callable(architecture) else None
    if whitening is not None and not flat:
        raise ValueError(
            f"whitening={whitening!r} mixes the features of a row: it needs "
            "input_shape=None, an architecture without convolutions and "
            f"reconstruction_loss='mse'. Got input_shape={input_shape!r}, architecture="
            f"{architecture!r} and reconstruction_loss={loss!r}; leave whitening=None."
        )
    return None if whitening is None else float(whitening)


def resolve_components(
    n_components: int | str, n_features: int, n_clusters: int
) -> tuple[int, int, float]:
    """Return how many directions are kept, at least and at most, by what variance."""
    if not isinstance(n_components, str):
        return 0, int(n_components), 1.0
    least = max(LEAST_COMPONENTS, COMPONENTS_PER_CLUSTER * n_clusters)
    return least, COMPONENTS, 1.0 if n_features <= NARROW_ROWS else VARIANCE_KEPT


def resolve_directions(
    directions: bool | str, whitening: float | None, *, counts: bool
) -> bool:
    """Return whether whitened rows count by their direction alone, or raise."""
    if isinstance(directions, str):
        return counts and whitening is not None
    if directions and whitening is None:
        raise ValueError(
            "directions=True is of whitened rows, and these are not: give 'whitening' "
            "a number from 0 to 1, or use reconstruction_loss='cosine'."
        )
    return bool(directions)
