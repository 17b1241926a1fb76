"""Pieces that every network here is made of: activations and stacks of dense layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .parallel import ALL, BatchNorm, ParallelLinear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,  # in place, see BatchNorm
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class DenseStack(nn.Module):
    """K stacks of linear map, batch normalisation and activation; at least one layer.

    Parameters
    ----------
    shared : bool, default=False
        Whether the first layers all read the same rows, see `ParallelLinear`.

    Attributes
    ----------
    out_features : int
        The size of the last layer.
    """

    def __init__(
        self,
        n_experts: int,
        in_features: int,
        layer_sizes: Sequence[int],
        activation: str,
        *,
        shared: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList()
        self.norms = nn.ModuleList()
        for size in layer_sizes:
            self.linears.append(
                ParallelLinear(
                    n_experts, in_features, size, shared=shared, generator=generator
                )
            )
            self.norms.append(
                BatchNorm(n_experts * size, n_experts, ACTIVATIONS[activation])
            )
            in_features, shared = size, False
        self.out_features = in_features

    def forward(self, x: Tensor, experts: slice = ALL) -> Tensor:
        """Map shared rows (b, in) or each expert's own (b, k, in) to (b, k, out)."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = norm(linear(x, experts), experts)
        return x
