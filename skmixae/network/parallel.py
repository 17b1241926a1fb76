"""Layers that hold K experts in one set of tensors and apply them side by side."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ALL",
    "PARALLEL_LAYERS",
    "BatchNorm",
    "ParallelConv",
    "ParallelConvTranspose",
    "ParallelLinear",
    "autocast",
    "on_processor",
    "without_autocast",
]

# Products with an odd number of outputs round a row by its place in the batch. To
# predict, outputs are filled up to a multiple of this; training need not pay for it.
OUTPUTS_TOGETHER = 16
# The weight given to the newest batch in the running statistics, torch's own default.
RUNNING_MOMENTUM = 0.1
# Layers apply all of their experts, or the slice of them that they are asked for.
ALL = slice(None)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    """Draw as ``nn.Linear`` does, from a generator of our own."""
    bound = 1.0 / math.sqrt(max(fan_in, 1))
    weights = torch.empty(shape, dtype=torch.float32)
    return weights.uniform_(-bound, bound, generator=generator)


def _permute(order: Tensor, *tensors: Tensor) -> None:
    """Reorder the first dimension of tensors, in place."""
    for values in tensors:
        values.copy_(values[order])


class _Casts(threading.local):
    """Weights as products take them, each with the weight itself; of one thread."""

    kept: dict[int, tuple[Tensor, Tensor]] | None = None


_CASTS = _Casts()


@contextmanager
def autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Compute products in a precision, and all else as it is given.

    Each weight is cast once while this lasts. ``torch.autocast`` would do that, too,
    but threads share what it keeps, and one that ends throws away that of the others:
    how gradients are rounded would depend on who is faster.
    """
    if precision is torch.float32:
        yield
        return
    _CASTS.kept = {}
    try:
        with torch.autocast(device.type, precision):
            yield
    finally:
        _CASTS.kept = None


@contextmanager
def without_autocast() -> Iterator[None]:
    """Compute as tensors are given, whatever whoever calls has asked torch for."""
    with ExitStack() as disabled:
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                disabled.enter_context(torch.autocast(kind, enabled=False))
        yield


def on_processor() -> AbstractContextManager[Any]:
    """Make tensors of which no more is said on the processor, whatever the default."""
    elsewhere = torch.get_default_device().type != "cpu"
    return torch.device("cpu") if elsewhere else nullcontext()


def _cast(weight: Tensor) -> Tensor:
    """Return a weight as products take it."""
    kept, device = _CASTS.kept, weight.device.type
    if (
        kept is None
        or not (weight.is_leaf and torch.is_grad_enabled())
        or not torch.is_autocast_enabled(device)
    ):
        return weight
    if id(weight) not in kept:
        kept[id(weight)] = weight, weight.to(torch.get_autocast_dtype(device))
    return kept[id(weight)][1]


class ParallelLinear(nn.Module):
    """K linear maps as one weight ``[K, in, out]`` and one batched product.

    Parameters
    ----------
    n_experts, in_features, out_features : int
        K and the sizes of each map.
    shared : bool, default=False
        Whether all maps read the same rows. It changes no value, only how the weight
        lies in memory: the K maps are then one wide matrix, without a copy.
    generator : torch.Generator
        Where the initial weights come from.
    """

    def __init__(
        self,
        n_experts: int,
        in_features: int,
        out_features: int,
        *,
        shared: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        weight = _uniform(
            (in_features, n_experts, out_features), in_features, generator
        ).transpose(0, 1)
        # A gradient is made as the weight lies, or copied to lie so in each step.
        self.weight = nn.Parameter(weight if shared else weight.contiguous())
        self.bias = nn.Parameter(
            _uniform((n_experts, out_features), in_features, generator)
        )

    def forward(self, x: Tensor, experts: slice = ALL) -> Tensor:
        """Map shared rows (b, in) or each expert's own (b, k, in) to (b, k, out)."""
        weight, bias = self._filled()
        if experts != ALL:
            weight, bias = weight[experts], bias[experts]
        if x.dim() == 2:
            wide = weight.transpose(0, 1).reshape(x.shape[1], -1)  # (in, k * out)
            out = torch.addmm(bias.reshape(-1), x, wide).view(len(x), *bias.shape)
        else:
            out = torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), _cast(weight))
            out = out.transpose(0, 1)
        return out[..., : self.weight.shape[-1]]  # (b, k, out)

    def apply_one(self, x: Tensor, expert: Tensor) -> Tensor:
        """Map each row of (b, k, in) by the expert (b,) of its own, to (b, out)."""
        weight, bias = self._filled()
        # One wide product in which the other experts' inputs are zeros: its sums are in
        # the same order for each row, whichever experts the other rows have.
        others = torch.arange(x.shape[1], device=x.device) != expert.unsqueeze(-1)
        chosen = x.masked_fill(others.unsqueeze(-1), 0).transpose(1, 2)  # (b, in, k)
        wide = weight.transpose(0, 1).reshape(-1, weight.shape[-1])  # (in * k, out)
        return (chosen.flatten(1) @ wide + bias[expert])[:, : self.weight.shape[-1]]

    def _filled(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias; to predict, with outputs filled up with zeros."""
        missing = 0 if self.training else -self.weight.shape[-1] % OUTPUTS_TOGETHER
        if not missing:
            return self.weight, self.bias
        return F.pad(self.weight, (0, missing)), F.pad(self.bias, (0, missing))

    def permute(self, order: Tensor) -> None:
        """Reorder the experts."""
        _permute(order, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the sizes in ``print(module)``."""
        return "n_experts={}, in_features={}, out_features={}".format(
            *self.weight.shape
        )


class _ParallelConvBase(nn.Module):
    """The weights of K convolutions, one group each."""

    def __init__(
        self,
        n_experts: int,
        in_channels: int,
        out_channels: int,
        *,
        n_dims: int,
        kernel_size: int = 3,
        stride: int = 2,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        kernel = (kernel_size,) * n_dims
        fan_in = in_channels * kernel_size**n_dims
        self.stride = stride
        self.padding = kernel_size // 2
        self.weight = nn.Parameter(
            _uniform(
                (n_experts, *self._channels(in_channels, out_channels), *kernel),
                fan_in,
                generator,
            )
        )
        self.bias = nn.Parameter(_uniform((n_experts, out_channels), fan_in, generator))

    @staticmethod
    def _channels(in_channels: int, out_channels: int) -> tuple[int, int]:
        raise NotImplementedError

    def permute(self, order: Tensor) -> None:
        """Reorder the experts."""
        _permute(order, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the sizes in ``print(module)``."""
        return f"weight={list(self.weight.shape)}, stride={self.stride}"


class ParallelConv(_ParallelConvBase):
    """K convolutions, ``[K, out, in, *kernel]``, as one grouped convolution."""

    @staticmethod
    def _channels(in_channels: int, out_channels: int) -> tuple[int, int]:
        return out_channels, in_channels

    def forward(self, x: Tensor, experts: slice = ALL) -> Tensor:
        """Map shared images (b, c, *s) or grouped ones (b, k * c, *s)."""
        weight = self.weight[experts]
        n_experts, _, in_channels = weight.shape[:3]
        # Images that all experts share need no groups: one convolution, wide in output.
        groups = 1 if x.shape[1] == in_channels else n_experts
        convolution = torch.conv2d if x.dim() == 4 else torch.conv1d
        return convolution(
            x,
            weight.flatten(0, 1),
            self.bias[experts].flatten(),
            stride=self.stride,
            padding=self.padding,
            groups=groups,
        )  # (b, k * out, *s')


class ParallelConvTranspose(_ParallelConvBase):
    """K transposed convolutions, ``[K, in, out, *kernel]``, in one grouped call."""

    @staticmethod
    def _channels(in_channels: int, out_channels: int) -> tuple[int, int]:
        return in_channels, out_channels

    def forward(self, x: Tensor, size: tuple[int, ...], experts: slice = ALL) -> Tensor:
        """Enlarge (b, k * c, *s) to (b, k * out, *size)."""
        weight = self.weight[experts]
        kernel = weight.shape[-1]
        smallest = [
            (n - 1) * self.stride - 2 * self.padding + kernel for n in x.shape[2:]
        ]
        convolution = torch.conv_transpose2d if x.dim() == 4 else torch.conv_transpose1d
        return convolution(
            x,
            weight.flatten(0, 1),
            self.bias[experts].flatten(),
            stride=self.stride,
            padding=self.padding,
            output_padding=[n - m for n, m in zip(size, smallest, strict=True)],
            groups=len(weight),
        )


class BatchNorm(nn.Module):
    """Batch normalisation over channels, whose running statistics can be held still.

    It differs from ``nn.BatchNorm1d`` in three ways that clustering needs: the first
    updates are plain averages, so a fit of a few steps predicts with the statistics of
    its data and not with the initial ones; a batch of one row is normalised with the
    running statistics instead of failing; and ``track = False`` leaves the running
    statistics alone, for passes over perturbed rows.

    Parameters
    ----------
    n_channels : int
        The size of dimension 1 of the input once flattened to (b, channels, ...).
    n_experts : int
        Whose channels these are, side by side.
    activation : callable, optional
        Applied to what is normalised. It may work in place: on the tensor that was just
        made, and not on a view of it, whose gradient would be copied.
    """

    running_mean: Tensor
    running_var: Tensor
    n_updates: Tensor

    def __init__(
        self,
        n_channels: int,
        n_experts: int = 1,
        activation: Callable[[Tensor], Tensor] | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.n_experts = n_experts
        self.activation = activation
        # Whatever torch's default is.
        zeros = partial(torch.zeros, dtype=torch.float32)
        ones = partial(torch.ones, dtype=torch.float32)
        self.weight = nn.Parameter(ones(n_channels))
        self.bias = nn.Parameter(zeros(n_channels))
        self.eps = eps
        self.track = True
        self.register_buffer("running_mean", zeros(n_channels))
        self.register_buffer("running_var", ones(n_channels))
        self.register_buffer("n_updates", zeros(()))

    def forward(self, x: Tensor, experts: slice = ALL) -> Tensor:
        """Normalise (b, channels, ...), or (b, k, d) with k * d channels."""
        weight, bias = self._of(self.weight, experts), self._of(self.bias, experts)
        n_values = x.numel() // len(weight)
        # Experts' features side by side are channels; images have theirs already.
        flat = x.flatten(1) if n_values == len(x) else x
        if self.training and n_values > 1:
            out, mean, inverse_std = torch.native_batch_norm(
                flat, weight, bias, None, None, True, 0.0, self.eps
            )
            if self.track:
                self._update(mean, inverse_std, n_values, experts)
        else:
            out, _, _ = torch.native_batch_norm(
                flat,
                weight,
                bias,
                self._of(self.running_mean, experts),
                self._of(self.running_var, experts),
                False,
                0.0,
                self.eps,
            )
        if self.activation is not None:
            out = self.activation(out)
        return out.view(x.shape)

    def _of(self, values: Tensor, experts: slice) -> Tensor:
        """Return the values (channels,) of some experts, a view."""
        if experts == ALL:
            return values
        return values.view(self.n_experts, -1)[experts].view(-1)

    def permute(self, order: Tensor) -> None:
        """Reorder the experts, whose channels lie side by side."""
        channels = (self.weight, self.bias, self.running_mean, self.running_var)
        _permute(order, *(values.view(len(order), -1) for values in channels))

    @torch.no_grad()
    def _update(
        self, mean: Tensor, inverse_std: Tensor, n_values: int, experts: slice
    ) -> None:
        if not experts.start:  # of slices of the experts, the first counts
            self.n_updates += 1
        momentum = (1.0 / self.n_updates).clamp(min=RUNNING_MOMENTUM)
        dtype = self.running_var.dtype
        variance = inverse_std.to(dtype).pow(-2).sub_(self.eps)
        variance *= n_values / (n_values - 1)
        self._of(self.running_mean, experts).lerp_(mean.to(dtype), momentum)
        self._of(self.running_var, experts).lerp_(variance, momentum)


# The layers whose first dimension, or blocks of channels, are the experts.
PARALLEL_LAYERS = (ParallelLinear, ParallelConv, ParallelConvTranspose, BatchNorm)
