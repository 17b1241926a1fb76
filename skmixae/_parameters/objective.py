"""Parameters of the objective: balance, sizes and consistency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..consistency import MEMBERS, Consistency, Masking, as_member
from ..training import STARTS
from .values import is_named, numbers

# The weight of the batch entropy, by "auto", up to so many clusters; with more it is
# less. On Reuters, with 65 classes of which one has nearly half of the rows, the whole
# weight came out below k-means. The size of a batch has no part in it: digits, in
# batches of 32, are at .94 with the whole, and at .69 with a quarter. Images and series
# have the whole of however many: with less, sixty clusters became three.
BALANCE_WEIGHT, CLUSTERS_FOR_BALANCE = 8.0, 256 / 12
# Of counts, as of words, "auto" hides this share.
HIDDEN_WORDS = 0.5


def resolve_balance(
    batch_entropy_weight: float | str, n_clusters: int, *, ordered: bool = False
) -> float:
    """Return the weight of the batch entropy: of many clusters, few are alike."""
    if isinstance(batch_entropy_weight, str):
        share = 1.0 if ordered else min(1.0, CLUSTERS_FOR_BALANCE / n_clusters)
        return BALANCE_WEIGHT * share
    return float(batch_entropy_weight)


def resolve_schedule(schedule: str, *, sizes_are_told: bool) -> str:
    """Return the name of a schedule; "auto" lets sizes be what they are, if unknown."""
    if schedule != "auto":
        return schedule
    return "constant" if sizes_are_told else "fading"


def resolve_sizes(
    cluster_sizes: Any, n_clusters: int, n_experts: int
) -> NDArray[np.float32] | None:
    """Return known cluster sizes as an array of K proportions, or raise."""
    if cluster_sizes is None or is_named(cluster_sizes, "auto"):
        return None
    if n_experts > n_clusters:
        raise ValueError(
            "The 'cluster_sizes' parameter needs one expert for each cluster. Got "
            f"n_experts={n_experts} for n_clusters={n_clusters}; leave n_experts=None."
        )
    if isinstance(cluster_sizes, str):  # those of the start
        return None
    sizes = numbers("cluster_sizes", cluster_sizes)
    if sizes.shape != (n_clusters,):
        raise ValueError(
            f"The 'cluster_sizes' parameter must hold one proportion for each of the "
            f"n_clusters={n_clusters} clusters. Got {sizes.tolist()}, of shape "
            f"{sizes.shape}."
        )
    if (sizes < 0).any() or not math.isclose(sizes.sum(), 1.0, abs_tol=1e-6):
        raise ValueError(
            "The 'cluster_sizes' parameter must hold proportions that are not negative "
            f"and sum to 1. Got {sizes.tolist()}, whose sum is {sizes.sum():.6g}."
        )
    return sizes.astype(np.float32)


def resolve_evenness(
    cluster_sizes: Any, start: Any, *, kept: bool, one_each: bool
) -> bool:
    """Return whether clusters are to be no more even than at the start, or raise.

    ``start`` is None where training goes on from clusters that there are already,
    ``kept`` tells whether "auto" keeps the sizes of any start, and ``one_each`` whether
    there are clusters, with an expert each.
    """
    started = not is_named(start, "random")
    if is_named(cluster_sizes, "auto"):
        named = isinstance(start, str) and start in STARTS
        kept = kept or (named and STARTS[start].keeps_sizes)
        return started and one_each and kept
    if not isinstance(cluster_sizes, str):
        return False
    if not started:
        raise ValueError(
            "cluster_sizes='start' needs clusters to start from. Got init='random', or "
            "'auto' for rows that start at random; init='kmeans' gives some."
        )
    return one_each


def resolve_consistency(
    consistency: Any, *, image: bool, series: bool, counts: bool = False
) -> tuple[Consistency, ...]:
    """Return the changes of a row that must not change its assignment, or raise."""
    asked = consistency
    if is_named(asked, "auto"):
        if counts:  # where an adversary beside it joined clusters
            asked = Masking(HIDDEN_WORDS)
        else:
            views = ["affine"] * image + ["warp"] * series
            asked = [*views, "adversarial"]
    if not isinstance(asked, list | tuple):
        asked = () if asked is None else (asked,)
    members = []
    for change in asked:
        member = as_member(change)
        if member is None:
            raise ValueError(
                "The 'consistency' parameter must be 'auto', None, a name among "
                f"{sorted(MEMBERS)}, an object of skmixae.consistency such as "
                "Jitter(), a function of rows and a generator, or a list of names, "
                f"objects and functions. Got {consistency!r} instead."
            )
        if member.of_images and not image:
            raise ValueError(
                f"consistency={consistency!r} moves images: it needs the 'input_shape' "
                "parameter as (height, width) or (channels, height, width), and not "
                "architecture='conv1d'."
            )
        if member.of_series and not series:
            raise ValueError(
                f"consistency={consistency!r} moves series: it needs the 'input_shape' "
                "parameter as (length,), or as (channels, length) with "
                "architecture='conv1d'."
            )
        members.append(member)
    return tuple(members)
