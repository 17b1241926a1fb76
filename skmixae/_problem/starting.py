"""Where training starts, by what rows show."""

from __future__ import annotations

from typing import Any

import torch

from .._parameters import (
    CHUNK_ROWS,
    WIDE_ROWS,
    Starts,
    automatic_starts,
    check_start,
    is_held,
    is_named,
    ordered_starts,
    resolve_experts,
)
from ..objective import LOSSES
from ..training import ONE_AT_A_TIME, Batches, Evidence, Moments, Rows
from .occasion import Occasion


def resolve_starts(
    estimator: Any, rows: Rows, moments: Moments, occasion: Occasion, *, ordered: bool
) -> Starts:
    """Return the starts that restarts take in turn, the first of them first."""
    if occasion.goes_on:
        # A stream goes on with what its first chunk came to, a fit with what it
        # started from.
        told = occasion.is_chunk or was_shown_clusters(estimator)
        return Starts(("random",), tell_sizes=told)
    choose = choose_stream_start if occasion.is_chunk else choose_starts
    return choose(estimator, rows, moments, ordered=ordered)


def choose_starts(
    estimator: Any, rows: Rows, moments: Moments, *, ordered: bool
) -> Starts:
    """Return ``init``; of "auto", the names of the starts that suit the rows."""
    e, k = estimator, int(estimator.n_clusters)
    if not is_named(e.init, "auto"):
        check_start(e.init, moments.lowest)
        return Starts((e.init,))
    if k == 1:
        return Starts(("random",))
    if e.n_active > 1:
        return Starts(("kmeans",))
    if ordered:
        return ordered_starts(len(rows), k)
    scaling = moments.scaling(LOSSES[e.reconstruction_loss])
    batches = Batches(rows, scaling, int(e.batch_size), torch.device("cpu"))
    # An expert is a Gaussian, a part ...: of some to spare each would be some of one.
    may_be_one_each = e.n_experts in ("auto", None, k)
    one_each = says_something_of_each_cluster(e, "auto")
    n_experts = resolve_experts(e.n_experts, k, len(rows), one_each=one_each)
    with ONE_AT_A_TIME:
        return automatic_starts(
            None if moments.axes is None else rows.n_features,
            scaling.n_coordinates,
            Evidence(batches, k),
            counts=moments.directions,
            words=moments.lowest >= 0,
            one_each=may_be_one_each,
            spare=n_experts > k,
        )


def choose_stream_start(
    estimator: Any, rows: Rows, moments: Moments, *, ordered: bool
) -> Starts:
    """Return the start of a stream; to "auto" a first chunk of few rows shows none."""
    e = estimator
    if is_named(e.init, "auto") and len(rows) < CHUNK_ROWS * int(e.n_clusters):
        return Starts(("random",))
    starts = choose_starts(e, rows, moments, ordered=ordered)
    return starts._replace(in_turn=starts.in_turn[:1])  # one network has one start


def was_shown_clusters(fitted: Any) -> bool:
    """Tell whether a fitted estimator did not start at random, if it knows.

    What a callback is given in the course of a fit does not.
    """
    return getattr(fitted, "init_", "random") != "random"


def is_crowded(
    estimator: Any, rows: Rows, moments: Moments, init: Any, *others: str
) -> bool:
    """Tell whether experts to spare would be merged badly; one each depends on luck.

    So it is of wide rows, unless the graph of neighbours tells clusters, and where by
    "auto" k-means is all there is to start from.
    """
    if moments.axes is None:
        return False
    if is_named(estimator.init, "auto") and init == "kmeans" and not others:
        return True
    told = is_named(init, "spectral") and not moments.directions
    return rows.n_features > WIDE_ROWS and not told


def says_something_of_each_cluster(estimator: Any, init: Any) -> bool:
    """Tell whether the parameters speak of clusters, each of which has an expert then.

    Known sizes, labels to start from, starts that are held to, and sums do.
    """
    sizes = estimator.cluster_sizes
    return (
        not isinstance(init, str)
        or is_held(init)
        or estimator.n_active > 1
        or not (sizes is None or is_named(sizes, "auto"))
    )
