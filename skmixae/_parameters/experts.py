"""Parameters of the experts and of the assignment network."""

from __future__ import annotations

import math
from typing import Any

from .rows import SHAPES
from .values import is_named, layer_sizes

# "auto" experts for each cluster: so many, where there are so many rows for each of
# them (with 57, on breast cancer, the wrong ones were merged). On MNIST 20 experts
# joined 4 and 9 with some seeds, where 40 did not.
EXPERTS, ROWS_FOR_AN_EXPERT = 2, 75
MORE_EXPERTS, ROWS_FOR_MORE = 4, 1000
# Of images and series, changed in ways that keep what they show, an expert learns from
# fewer rows.
ORDERED_FOR_AN_EXPERT = 25


def check_architecture(architecture: Any, shape: tuple[int, ...]) -> None:
    """Raise where rows are not of a shape that an architecture reads."""
    if is_named(architecture, *SHAPES) and len(shape) not in SHAPES[architecture]:
        wanted = {
            "conv1d": "(length,) or (channels, length)",
            "conv2d": "(height, width) or (channels, height, width)",
        }[architecture]
        raise ValueError(
            f"architecture={architecture!r} needs the 'input_shape' parameter as "
            f"{wanted}. Got {shape if len(shape) > 1 else None}."
        )


def resolve_assignment(sizes: Any, reads: str, architecture: Any) -> tuple[int, ...]:
    """Return the assignment network's hidden layers.

    On top of the encoders' hidden layers "auto" adds none: a linear map of what they
    see follows the experts, and on digits and USPS it found better clusters than one
    with layers of its own. Latents and rows need some.
    """
    name = "assignment_hidden_layer_sizes"
    if not isinstance(sizes, str):
        return layer_sizes(name, sizes)
    return () if reads == "hidden" and not callable(architecture) else (128,)


def resolve_experts(
    n_experts: int | str | None,
    n_clusters: int,
    n_rows: float,
    *,
    one_each: bool,
    ordered: bool = False,
) -> int:
    """Return the number of experts, or raise where they are fewer than the clusters.

    "auto" is twice the clusters and at least 10, where each has 75 rows to learn, or 25
    ``ordered`` ones, and up to four times the clusters, where each has 1000 (of a
    stream, nobody knows). With fewer, experts to spare learn their rows by heart, and
    nothing tells which to merge. It is as many as the clusters for a single one and
    where ``one_each``: something is said of each cluster's expert.
    """
    if n_experts == "auto":
        spare = n_clusters > 1 and not one_each
        some = max(EXPERTS * n_clusters, 10)
        spare = spare and n_rows >= some * (
            ORDERED_FOR_AN_EXPERT if ordered else ROWS_FOR_AN_EXPERT
        )
        known = n_rows if math.isfinite(n_rows) else 0
        more = min(MORE_EXPERTS * n_clusters, known // ROWS_FOR_MORE)
        return int(max(n_clusters, some, more) if spare else n_clusters)
    if n_experts is None:
        return int(n_clusters)
    if int(n_experts) < n_clusters:
        raise ValueError(
            "The 'n_experts' parameter must be 'auto', None or at least n_clusters="
            f"{n_clusters}. Got {n_experts}."
        )
    return int(n_experts)


def resolve_active(estimator: Any) -> int:
    """Return how many experts a row is the sum of, or raise where that cannot be."""
    e, m, k = estimator, estimator.n_active, estimator.n_clusters
    if m == 1:
        return 1
    if m >= k:
        raise ValueError(
            f"The 'n_active' parameter must be less than n_clusters={k}. Got {m}."
        )
    if e.n_experts not in ("auto", None, k):
        raise ValueError(
            f"n_active={m} needs one expert for each cluster. Got n_experts="
            f"{e.n_experts} for n_clusters={k}; leave n_experts=None."
        )
    if not (e.cluster_sizes is None or is_named(e.cluster_sizes, "auto")):
        raise ValueError(
            f"n_active={m} has no place for the 'cluster_sizes' parameter: leave it. "
            f"Got {e.cluster_sizes!r}."
        )
    if not isinstance(e.init, str) or e.init not in ("auto", "random", "kmeans"):
        raise ValueError(
            f"With n_active={m} the 'init' parameter must be 'auto', 'random' or "
            f"'kmeans'. Got {e.init!r}."
        )
    return int(m)


def resolve_latent_dim(latent_dim: int | str, shape: tuple[int, ...]) -> int:
    """Return the latent dimension: "auto" is 10, and less than the features at most."""
    if isinstance(latent_dim, str):
        return max(1, min(10, math.prod(shape) - 1))
    return int(latent_dim)
