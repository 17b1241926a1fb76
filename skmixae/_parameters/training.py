"""Parameters of the training: its length, its device and its precision."""

from __future__ import annotations

import math

import torch

from .rows import NARROW_ROWS

# "auto" epochs: so many, unless they make fewer or more steps than what is enough.
EPOCHS, FEWEST_EPOCHS = 40, 10
FEWEST_STEPS, ENOUGH_STEPS = 300, 5000
# Images and series, changed in ways that keep what they show, need more steps: 1000 to
# 2500 images of MNIST had assignments that were not sure after 300, and .40 to .79 with
# the seed, where 1200 steps gave .76 to .85.
FEWEST_STEPS_OF_ORDERED = 1000
# Of very many experts each has so few rows of a batch that they need more, so many for
# each: of sixty things that turn, 120 had .63 after 1000 steps, .67 after 1500 and .74
# after 3000.
STEPS_OF_AN_EXPERT = 25


def resolve_epochs(
    max_epochs: int | str,
    n_rows: int,
    batch_size: int,
    *,
    n_experts: int = 1,
    ordered: bool = False,
) -> int:
    """Return how many epochs "auto" means: 40, more on few rows and fewer on many."""
    if not isinstance(max_epochs, str):
        return int(max_epochs)
    steps = math.ceil(n_rows / batch_size)  # of an epoch
    lowest = math.ceil(fewest_steps(n_experts, ordered=ordered) / steps)
    highest = max(FEWEST_EPOCHS, math.ceil(ENOUGH_STEPS / steps))
    return max(lowest, min(EPOCHS, highest))


def fewest_steps(n_experts: int, *, ordered: bool) -> int:
    """Return how many steps of training are enough for a few rows."""
    if not ordered:
        return FEWEST_STEPS
    return max(FEWEST_STEPS_OF_ORDERED, STEPS_OF_AN_EXPERT * n_experts)


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
