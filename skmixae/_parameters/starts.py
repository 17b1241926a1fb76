"""Parameters of where training starts, how often, and what holds to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..training import STARTS, Evidence
from .rows import WIDE_ROWS
from .values import is_named, numbers

# Wide rows start so often, or as often as passes so many of them. So do sums: of twice
# as many clusters as are active, all that are not have the same sum, so that starts
# tie, and half of them are wrong.
RESTARTS, RESTARTED_ROWS = 5, 60_000
# What few images or series lead to depends on the start, and the objective knows what
# is good. One start more is from the graph of few neighbours: of twelve things that
# turn before a camera it has .74, which random weights (.59) do not find, nor the graph
# of ten neighbours (.64); of digits, which it mixes, it does no harm.
ORDERED_RESTARTS, ORDERED_RESTARTED_ROWS = 3, 7500
# Two of them that agree so well (adjusted Rand index) have found what there is: of
# digits and of 2,500 of USPS the best until then was as good as the best of three,
# after 2.2 and 2.5 fits. Of 1,000 of MNIST, whose fits have .75 in common, all are
# tried.
AGREEMENT = 0.9
# Of those whose objective is so near the lowest, the one most like the others is better
# than the lowest: of 1,000 of USPS .857 (.820), of MNIST .843 (.830), and of uneven
# digits .743 (.727). Batch entropy counts half: else the lowest is the most even
# one. By half of it the graph's of things that turn is .26 below the others, and kept.
NEARLY_LOWEST, LIKENED_BALANCE = 0.15, 0.5
# More clusters than this are found from the graph alone: of 20, 60 and 100 things that
# turn random weights found .76, .54 and .47, and the graph .89, .68 and .64; of 26
# letters, many or few, they found .70 and .47, and the graph .70 and .56. The objective
# does not tell: with both the random start is kept as often. Those graphs were of ten
# neighbours of each row; of few they tell such clusters better, and of ten digits or
# ten faces as well, or as badly.
MANY_CLUSTERS = 15
# Clusters that cut no more than this share of the edges of that graph are nearly its
# parts (of 15 tables, all but KEEL's segment, with .0024, cut more), and with no more
# than the other they are (rings, spirals and half-moons .0000, on 300 rows .0003;
# Gaussians, sheared until they touch, .0007).
NEARLY_PARTS, PARTS = 0.005, 0.0005
# Of fewer rows for each cluster a first chunk of a stream is no start: of 40 rows of
# HAR, which has six, k-means led to .64, and random weights to .71.
CHUNK_ROWS = 10
# In more directions than this, crowds of rows may be neighbours of most others.
FEW_DIRECTIONS = 20
# Where restarts try several starts, these tell sizes, and the most even is not for that
# the best: the batch entropy counts so much less where they are compared. Whole, it
# decided alone. From another start than the first, the objective must be lower by more
# than seeds differ.
JUDGED_BALANCE, MARGIN = 0.125, 0.05


class Starts(NamedTuple):
    """What training starts from, and what is known of it."""

    in_turn: tuple[Any, ...]  # which restarts try
    tell_sizes: bool = False  # whether clusters are as large as what they show


def resolve_restarts(
    n_init: int | str,
    n_rows: int,
    *,
    varied: bool,
    n_starts: int,
    ordered: bool = False,
    sums: bool = False,
) -> int:
    """Return the number of restarts.

    "auto" is some for ``sums``, and where starts are ``varied`` or rows are ``ordered``
    and not many; else one from each start.
    """
    if not isinstance(n_init, str):
        return int(n_init)
    if sums:
        return RESTARTS
    if not (varied or ordered):
        return n_starts
    if ordered:
        return max(n_starts, _ordered_restarts(n_rows))
    return max(1, min(RESTARTS, RESTARTED_ROWS // n_rows))


def _ordered_restarts(n_rows: int) -> int:
    """Return how often images or series start from random weights."""
    return max(1, min(ORDERED_RESTARTS, ORDERED_RESTARTED_ROWS // n_rows))


def ordered_starts(n_rows: int, n_clusters: int) -> Starts:
    """Return the starts that suit images or series: of few, the graph's comes last."""
    if n_clusters > MANY_CLUSTERS:
        return Starts(("nearest",))
    n_random = _ordered_restarts(n_rows)
    return Starts(("random",) * n_random + ("nearest",) * (n_random > 1))


def is_held(init: Any) -> bool:
    """Tell whether training holds to a start, by its name."""
    return isinstance(init, str) and init in STARTS and STARTS[init].held > 0


def check_start(init: Any, lowest: float) -> None:
    """Raise where rows, of which ``lowest`` is the least value, cannot start so."""
    if is_named(init, "topics") and lowest < 0:
        raise ValueError(
            "init='topics' needs counts of words or their like, none of which is "
            f"negative. Got values from {lowest:.6g}; use init='kmeans'."
        )


def automatic_starts(
    width: int | None,
    n_directions: int,
    evidence: Evidence,
    *,
    counts: bool,
    words: bool,
    one_each: bool,
    spare: bool,
) -> Starts:
    """Return the starts that suit rows of a width, None if not whitened.

    They depend on the directions that are kept of them, on what they say of themselves,
    on whether they are ``counts``, read as directions, and ``words``, none of which is
    negative, on whether each cluster may have one expert, and on whether there are
    experts to ``spare``.
    """
    if width is None:
        return Starts(("random",))
    wide = width > WIDE_ROWS
    words = words and counts
    shown = shown_start(evidence, wide=wide, words=words) if one_each else None
    if shown is not None:
        return Starts((shown,))
    crowds = spare and (wide or n_directions > FEW_DIRECTIONS)
    alone = wide and (counts or not spare)
    if alone or (crowds and not evidence.graph_is_even()):
        plain = one_each and not counts and evidence.are_fewer_than_features()
        return Starts(("plain" if plain else "kmeans",))
    nearly = one_each and evidence.share_between_parts() <= NEARLY_PARTS
    if spare or nearly:
        return Starts(("spectral",))
    if evidence.are_seen_alike():
        return Starts(("spectral",), tell_sizes=True)
    return Starts(("spectral", "kmeans"))


def shown_start(evidence: Evidence, *, wide: bool, words: bool) -> str | None:
    """Return the start whose clusters rows show, which are then held to, if any.

    What is asked first may look like what is asked later: each of two rings is a
    Gaussian too, with a hole.
    """
    indicators, mixed = evidence.are_indicators(), evidence.are_mixed()
    if (indicators or mixed) and evidence.are_latent_classes():
        return "latent_classes"
    if indicators and evidence.are_categories():
        return "plain"
    if words:
        return "topics"
    if not wide and evidence.are_of_few_values():
        return "round"
    if mixed and evidence.graph_follows_values():
        return "plain"
    if not wide:
        if evidence.share_between_parts() <= PARTS:
            return "parts"
        if evidence.are_gaussians():
            return "mixture"
    if evidence.are_round():
        return "centres"
    if evidence.are_unlike_in_size():
        return "uneven"
    return "round" if not wide and evidence.has_odd_rows() else None


def resolve_start_weight(
    start_weight: float | str, start: Any, n_clusters: int, n_experts: int
) -> float:
    """Return the weight of the divergence from the start, or raise where is none."""
    held = is_held(start)
    if held and start_weight and n_experts > n_clusters:
        raise ValueError(
            f"Training holds to init={start!r}, which needs one expert for each "
            f"cluster. Got n_experts={n_experts} for n_clusters={n_clusters}; leave "
            "n_experts=None, or set start_weight=0."
        )
    if isinstance(start_weight, str):
        return STARTS[start].held if held else 0.0
    if start_weight and is_named(start, "random"):
        raise ValueError(
            f"start_weight={start_weight!r} needs clusters to start from. Got "
            "init='random', or 'auto' for rows that start at random; init='kmeans' "
            "gives some."
        )
    return float(start_weight)


def resolve_start(init: Any, n_rows: int, n_experts: int) -> NDArray | str:
    """Return ``init`` as labels (n,), probabilities (n, M) or a name, or raise."""
    if isinstance(init, str):
        return init
    start = numbers("init", init)
    names = ", ".join(map(repr, ("auto", "random", *STARTS)))
    if len(start) != n_rows or start.shape[1:] not in {(), (n_experts,)}:
        raise ValueError(
            f"The 'init' parameter must be {names}, labels of shape ({n_rows},) or "
            f"probabilities of shape ({n_rows}, {n_experts}). Got an array of shape "
            f"{start.shape}."
        )
    if start.ndim == 1:
        if not np.isin(start, np.arange(n_experts)).all():
            raise ValueError(
                "Labels in the 'init' parameter must be integers from 0 to "
                f"{n_experts - 1}, one for each expert. Got values from {start.min()} "
                f"to {start.max()}."
            )
    elif (start < 0).any() or not np.allclose(start.sum(1), 1.0, atol=1e-3):
        raise ValueError(
            "Probabilities in the 'init' parameter must not be negative and must sum "
            "to 1 in each row."
        )
    return start
