"""Time things side by side, so that a machine's moods hit all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

# The side of the square matrices whose product is the ceiling.
CEILING_SIZE, GPU_CEILING_SIZE = 2048, 8192


@dataclass(frozen=True)
class Result:
    """A figure beside its target."""

    suite: str
    name: str
    value: float
    unit: str  # "x" for a ratio to the other way, a share, "MB"
    target: float
    higher_is_better: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the figure is as good as its target."""
        return (self.value >= self.target) == self.higher_is_better or (
            self.value == self.target
        )


def seconds_of(call: Callable[[], Any]) -> float:
    """Return the seconds that a call takes, what it leaves to a GPU included."""
    settle()
    start = time.perf_counter()
    call()
    settle()
    return time.perf_counter() - start


def settle() -> None:
    """Wait for a GPU that is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def side_by_side(
    calls: dict[str, Callable[[], Any]], repeats: int, times: int = 1
) -> dict[str, float]:
    """Return the median seconds of each call, timed in turn after one of each to warm.

    With ``times``, of so many calls in a row.
    """

    def several(call: Callable[[], Any]) -> None:
        for _ in range(times):
            call()

    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            taken[name].append(seconds_of(lambda call=call: several(call)) / times)
    return {name: statistics.median(values) for name, values in taken.items()}


def matrix_product(
    dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Callable[[], torch.Tensor]:
    """Return a call of one large product, whose rate no network can exceed."""
    n = ceiling_size(device)
    a, b = (torch.randn(n, n).to(device, dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def ceiling_size(device: str) -> int:
    """Return the side of the matrices of that product."""
    return CEILING_SIZE if device == "cpu" else GPU_CEILING_SIZE


def rate(seconds: float, device: str = "cpu") -> float:
    """Return the floating-point operations a second of that product."""
    return 2 * ceiling_size(device) ** 3 / seconds
