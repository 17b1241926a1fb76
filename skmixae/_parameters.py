"""What the estimator's parameters may be, alone and together."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions

from .consistency import MEMBERS, Consistency, Masking, as_member
from .network import ACTIVATIONS, ARCHITECTURES, EXPERT_KINDS
from .objective import RECONSTRUCTION_ERRORS, SCHEDULES
from .training import STARTS, Evidence

POSITIVE_INT = Interval(Integral, 1, None, closed="left")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
SIZES = ["array-like"]
CHANGES = [Consistency, callable, list, tuple, None]

CONSTRAINTS: dict[str, list[Any]] = {
    "n_clusters": [POSITIVE_INT],
    "n_experts": [POSITIVE_INT, StrOptions({"auto"}), None],
    "n_active": [POSITIVE_INT],
    "latent_dim": [POSITIVE_INT, StrOptions({"auto"})],
    "architecture": [StrOptions({"auto", *ARCHITECTURES}), callable],
    "expert": [StrOptions(set(EXPERT_KINDS))],
    "hidden_layer_sizes": SIZES,
    "conv_channels": SIZES,
    "assignment_hidden_layer_sizes": [StrOptions({"auto"}), *SIZES],
    "assignment_input": [StrOptions({"latents", "hidden", "input"})],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "input_shape": [StrOptions({"auto"}), *SIZES, None],
    "whitening": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), None],
    "n_components": [POSITIVE_INT, StrOptions({"auto"})],
    "directions": ["boolean", StrOptions({"auto"})],
    "input_noise": [NON_NEGATIVE],
    "reconstruction_loss": [StrOptions(set(RECONSTRUCTION_ERRORS))],
    "sample_entropy_weight": [NON_NEGATIVE],
    "batch_entropy_weight": [NON_NEGATIVE, StrOptions({"auto"})],
    "entropy_schedule": [StrOptions({"auto", *SCHEDULES})],
    "cluster_sizes": ["array-like", StrOptions({"auto", "start"}), None],
    "consistency": [StrOptions({"auto", *MEMBERS}), *CHANGES],
    "consistency_weight": [NON_NEGATIVE],
    "start_weight": [NON_NEGATIVE, StrOptions({"auto"})],
    "prior_weight": [NON_NEGATIVE],
    "distillation_weight": [NON_NEGATIVE],
    "max_epochs": [POSITIVE_INT, StrOptions({"auto"})],
    "batch_size": [POSITIVE_INT],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "learning_rate_decay": [Interval(Real, 0, 1, closed="right")],
    "weight_decay": [NON_NEGATIVE],
    "tol": [NON_NEGATIVE],
    "n_iter_no_change": [POSITIVE_INT, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
    "refinement": [Interval(Real, 0, 1, closed="left")],
    "n_init": [POSITIVE_INT, StrOptions({"auto"})],
    "init": [StrOptions({"auto", "random", *STARTS}), "array-like"],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "device": [str],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "verbose": ["verbose"],
}

# Partial whitening, by "auto": on HAR and 20 newsgroups a half found better clusters
# than none and all of it, and on digits and wine it does no harm.
WHITENING = 0.5
# Of rows of more features than this, experts to spare are not merged well, and one
# each depends on the start: "auto" is one each, and restarts from k-means, as many as
# this and as pass so many rows.
WIDE_ROWS = 100
# Sums start as often: of twice as many clusters as are active, all that are not have
# the same sum, so that starts tie, and half of them are wrong.
RESTARTS, RESTARTED_ROWS = 5, 60_000
# Of rows of so few features distances mean what they say, and so does the graph of
# neighbours: "auto" starts from it. On breast cancer and circles a random start failed
# with some seeds; on 64 pixels it was the better one.
NARROW_ROWS = 50
# Clusters that cut no more than this share of the edges of that graph are nearly its
# parts (of 15 tables, all but KEEL's segment, with .0024, cut more), and with no more
# than the other they are (rings, spirals and half-moons .0000, on 300 rows .0003;
# Gaussians, sheared until they touch, .0007).
NEARLY_PARTS, PARTS = 0.005, 0.0005
# How much lower the objective must be from another start than the first, in restarts
# that try some: seeds differ by as much.
MARGIN = 0.15
# What holds rows to what training started from, by "auto". To Gaussians, as much as to
# what they are when changed a little: with none, iris went from .97 back to .79. To the
# parts of a graph, more: nothing lies between them. With none, three rings were at an
# adjusted Rand index of .50, and two spirals of three turns at .18.
HOLDING = {
    "mixture": 20.0, "round": 20.0, "centres": 20.0, "uneven": 20.0, "parts": 100.0
}  # fmt: skip
# Starts whose sizes "auto" keeps, however many features there are: the balance would
# cut what they show whole.
AS_EVEN = ("round", "centres", "uneven")
# "auto" keeps so many principal directions at most, and of rows that are not narrow
# those with so much of the variance: the weak ones of 64 pixels, half whitened, cost
# .08 of the accuracy. Text does not come that far.
COMPONENTS, VARIANCE_KEPT = 100, 0.9
# Of counts, as of words, "auto" hides this share.
HIDDEN_WORDS = 0.5
# The weight of the batch entropy, by "auto", up to so many clusters; with more it is
# less. On Reuters, with 65 classes of which one has nearly half of the rows, the whole
# weight came out below k-means. The size of a batch has no part in it: digits, in
# batches of 32, are at .94 with the whole, and at .69 with a quarter.
BALANCE_WEIGHT, CLUSTERS_FOR_BALANCE = 8.0, 256 / 12
# "auto" experts for each cluster: so many, where there are so many rows for each of
# them (with 57, on breast cancer, the wrong ones were merged). On MNIST 20 experts
# joined 4 and 9 with some seeds, where 40 did not.
EXPERTS, ROWS_FOR_AN_EXPERT = 2, 75
MORE_EXPERTS, ROWS_FOR_MORE = 4, 1000
# "auto" epochs: so many, unless they make fewer or more steps than what is enough.
EPOCHS, FEWEST_EPOCHS = 40, 10
FEWEST_STEPS, ENOUGH_STEPS = 300, 5000
# Of images and series, changed in ways that keep what they show, an expert learns from
# fewer rows, but in more steps: 1000 to 2500 images of MNIST had assignments that were
# not sure after 300, and .40 to .79 with the seed, where 1200 steps gave .76 to .85.
# What few of them lead to depends on the start, and the objective knows which is good.
ORDERED_FOR_AN_EXPERT, FEWEST_STEPS_OF_ORDERED = 25, 1000
ORDERED_RESTARTS, ORDERED_RESTARTED_ROWS = 3, 3500
# Dimensions of an input_shape that each architecture reads.
SHAPES = {"conv1d": (1, 2), "conv2d": (2, 3)}


def layer_sizes(name: str, value: Any, *, at_least: int = 0) -> tuple[int, ...]:
    """Return a parameter that lists layer sizes as a tuple, or raise."""
    sizes = tuple(value) if not isinstance(value, str) else (value,)
    good = all(
        isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 1
        for size in sizes
    )
    if not good or len(sizes) < at_least:
        raise ValueError(
            f"The {name!r} parameter must hold integers of at least 1"
            + (f", and at least {at_least} of them" if at_least else "")
            + f". Got {value!r} instead."
        )
    return tuple(int(size) for size in sizes)


def may_find_shape(estimator: Any) -> bool:
    """Tell whether rows may be found to have a shape: nothing is asked of vectors."""
    e = estimator
    asked = (e.input_shape, e.whitening, e.n_components, e.directions)
    return (
        all(is_named(value, "auto") for value in asked)
        and e.architecture in ("auto", "mlp", "conv2d")
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
    flat = input_shape is None and architecture not in SHAPES and loss == "mse"
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


def resolve_components(n_components: int | str, n_features: int) -> tuple[int, float]:
    """Return how many directions are kept at most, and what share of the variance."""
    if not isinstance(n_components, str):
        return int(n_components), 1.0
    return COMPONENTS, 1.0 if n_features <= NARROW_ROWS else VARIANCE_KEPT


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
    most, enough = RESTARTS, RESTARTED_ROWS
    if ordered:
        most, enough = ORDERED_RESTARTS, ORDERED_RESTARTED_ROWS
    return max(1, min(most, enough // n_rows))


def resolve_architecture(architecture: Any, shape: tuple[int, ...]) -> Any:
    """Return the architecture's name or factory, or raise where the shape is wrong."""
    if architecture == "auto":
        return "conv2d" if len(shape) == 3 else "mlp"
    if architecture in SHAPES and len(shape) not in SHAPES[architecture]:
        wanted = {
            "conv1d": "(length,) or (channels, length)",
            "conv2d": "(height, width) or (channels, height, width)",
        }[architecture]
        raise ValueError(
            f"architecture={architecture!r} needs the 'input_shape' parameter as "
            f"{wanted}. Got {shape if len(shape) > 1 else None}."
        )
    return architecture


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


def _numbers(name: str, value: Any) -> NDArray[np.float64]:
    """Return a parameter that holds numbers as an array, or raise."""
    try:
        return check_array(value, ensure_2d=False, dtype=np.float64, input_name=name)
    except ValueError as error:
        raise ValueError(
            f"The {name!r} parameter must hold finite numbers. {error}"
        ) from error


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
    sizes = _numbers("cluster_sizes", cluster_sizes)
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
    cluster_sizes: Any, start: Any, *, wide: bool, one_each: bool
) -> bool:
    """Return whether clusters are to be no more even than at the start, or raise.

    ``start`` is None where training goes on from clusters that there are already, and
    ``one_each`` tells whether there are some, with an expert each.
    """
    started = not is_named(start, "random")
    if is_named(cluster_sizes, "auto"):
        of_all_sizes = isinstance(start, str) and start in AS_EVEN
        return started and one_each and (wide or of_all_sizes)
    if not isinstance(cluster_sizes, str):
        return False
    if not started:
        raise ValueError(
            "cluster_sizes='start' needs clusters to start from. Got init='random', or "
            "'auto' for rows that start at random; init='kmeans' gives some."
        )
    return one_each


def is_named(value: Any, name: str) -> bool:
    """Tell whether a parameter, which may be an array, is a name."""
    return isinstance(value, str) and value == name


def is_held(init: Any) -> bool:
    """Tell whether training holds to a start, by its name."""
    return isinstance(init, str) and init in HOLDING


def automatic_starts(
    width: int | None, evidence: Evidence | None, *, spare: bool
) -> tuple[str, ...]:
    """Return the starts that suit rows of a width, None if not whitened.

    They depend on what rows say of themselves, if each cluster may have one expert, and
    on whether there are experts to ``spare``.
    """
    if width is None:
        return ("random",)
    narrow = width <= NARROW_ROWS
    shown = None if evidence is None else shown_start(evidence, narrow=narrow)
    if shown is not None:
        return (shown,)
    if not narrow:
        return ("kmeans",) if width > WIDE_ROWS else ("random",)
    sure = spare or (evidence and evidence.share_between_parts() <= NEARLY_PARTS)
    return ("spectral",) if sure else ("spectral", "kmeans")


def shown_start(evidence: Evidence, *, narrow: bool) -> str | None:
    """Return the start whose clusters rows show, which are then held to, if any.

    What is asked first may look like what is asked later: each of two rings is a
    Gaussian too, with a hole.
    """
    if narrow:
        if evidence.are_of_few_values():
            return "round"
        if evidence.share_between_parts() <= PARTS:
            return "parts"
        if evidence.are_gaussians():
            return "mixture"
    if evidence.are_round():
        return "centres"
    if evidence.are_unlike_in_size():
        return "uneven"
    return "round" if narrow and evidence.has_odd_rows() else None


def resolve_balance(batch_entropy_weight: float | str, n_clusters: int) -> float:
    """Return the weight of the batch entropy: of many clusters, few are alike."""
    if isinstance(batch_entropy_weight, str):
        return BALANCE_WEIGHT * min(1.0, CLUSTERS_FOR_BALANCE / n_clusters)
    return float(batch_entropy_weight)


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
        return HOLDING[start] if held else 0.0
    if start_weight and is_named(start, "random"):
        raise ValueError(
            f"start_weight={start_weight!r} needs clusters to start from. Got "
            "init='random', or 'auto' for rows that start at random; init='kmeans' "
            "gives some."
        )
    return float(start_weight)


def resolve_start(init: Any, n_rows: int, n_clusters: int) -> NDArray | str:
    """Return ``init`` as labels (n,), probabilities (n, K) or a name, or raise."""
    if isinstance(init, str):
        return init
    start = _numbers("init", init)
    names = ", ".join(map(repr, ("auto", "random", *STARTS)))
    if len(start) != n_rows or start.shape[1:] not in {(), (n_clusters,)}:
        raise ValueError(
            f"The 'init' parameter must be {names}, labels of shape ({n_rows},) or "
            f"probabilities of shape ({n_rows}, {n_clusters}). Got an array of shape "
            f"{start.shape}."
        )
    if start.ndim == 1:
        if not np.isin(start, np.arange(n_clusters)).all():
            raise ValueError(
                "Labels in the 'init' parameter must be integers from 0 to "
                f"n_clusters - 1 = {n_clusters - 1}. Got values from {start.min()} to "
                f"{start.max()}."
            )
    elif (start < 0).any() or not np.allclose(start.sum(1), 1.0, atol=1e-3):
        raise ValueError(
            "Probabilities in the 'init' parameter must not be negative and must sum "
            "to 1 in each row."
        )
    return start


def resolve_schedule(schedule: str, *, sizes_are_told: bool) -> str:
    """Return the name of a schedule; "auto" lets sizes be what they are, if unknown."""
    if schedule != "auto":
        return schedule
    return "constant" if sizes_are_told else "fading"


def resolve_device(device: str) -> torch.device:
    """Return the torch device, the fastest at hand for "auto", or raise."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return torch.device(next(name for name, here in available.items() if here))
    accepted = "'auto', 'cpu', 'cuda' (or 'cuda:1' and so on) or 'mps'"
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in available:
        raise ValueError(
            f"The 'device' parameter must be {accepted}. Got {device!r} instead."
        )
    n_gpus = torch.cuda.device_count() if resolved.type == "cuda" else 1
    if not available[resolved.type] or (resolved.index or 0) >= n_gpus:
        raise ValueError(
            f"device={device!r} is not available to torch on this machine."
        )
    return resolved


def device_at_hand(device: str) -> torch.device:
    """Return the device asked for, or the processor where it is not there."""
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def resolve_precision(
    precision: str, device: torch.device, n_features: int
) -> torch.dtype:
    """Return the type that products are computed in while training."""
    if precision != "auto":
        return getattr(torch, precision)
    # Products of narrow rows are too small to pay for the casts: of tables of 2 to 30
    # features, fits were as good in bfloat16, and none was faster.
    fast = n_features > NARROW_ROWS and multiplies_bfloat16(device)
    return torch.bfloat16 if fast else torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell whether the device has an instruction for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False
    # torch has no public names for them yet, and older releases have none at all.
    names = "_is_amx_tile_supported", "_is_avx512_bf16_supported"
    return any(getattr(torch.cpu, name, bool)() for name in names)


def resolve_epochs(
    max_epochs: int | str, n_rows: int, batch_size: int, *, ordered: bool = False
) -> int:
    """Return how many epochs "auto" means: 40, more on few rows and fewer on many."""
    if not isinstance(max_epochs, str):
        return int(max_epochs)
    steps = math.ceil(n_rows / batch_size)  # of an epoch
    fewest = FEWEST_STEPS_OF_ORDERED if ordered else FEWEST_STEPS
    lowest = math.ceil(fewest / steps)
    highest = max(FEWEST_EPOCHS, math.ceil(ENOUGH_STEPS / steps))
    return max(lowest, min(EPOCHS, highest))
