"""Convolutional experts for images and for series, as grouped convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .autoencoder import Encoded, Experts
from .decoded import Decoded
from .layers import ACTIVATIONS, DenseStack
from .parallel import (
    ALL,
    BatchNorm,
    ParallelConv,
    ParallelConvTranspose,
    ParallelLinear,
)

# On a processor, experts are applied so many at a time that no tensor of so many rows
# has more bytes than this. C libraries give larger ones back to the system when they
# are done with, and each step would find its pages anew: 40 experts on 28 x 28 pixels
# take three times as long in one piece.
LARGEST_TENSOR = 2**25
TYPICAL_ROWS = 256


class ConvolutionalExperts(Experts):
    """K autoencoders of strided convolutions around the dense layers.

    Each convolution halves the resolution; the decoder mirrors the encoder and ends at
    the exact size of the input, odd sizes included.

    Parameters
    ----------
    input_shape : sequence of int
        ``(height, width)`` or ``(channels, height, width)`` for ``n_dims=2``,
        ``(length,)`` or ``(channels, length)`` for ``n_dims=1``.
    channels : sequence of int
        Output channels of each expert's convolutions.
    hidden_layer_sizes : sequence of int
        Dense layers between the convolutions and the latents.
    """

    def __init__(
        self,
        n_experts: int,
        input_shape: Sequence[int],
        latent_dim: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        *,
        channels: Sequence[int],
        n_dims: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_experts = n_experts
        in_channels, self.sizes = _sizes(input_shape, n_dims, len(channels))
        self.channels = (in_channels, *channels)
        steps = list(pairwise(self.channels))
        self.convs = nn.ModuleList(
            ParallelConv(n_experts, i, o, n_dims=n_dims, generator=generator)
            for i, o in steps
        )
        activate = ACTIVATIONS[activation]
        self.conv_norms = nn.ModuleList(
            BatchNorm(n_experts * o, n_experts, activate) for _, o in steps
        )
        n_flat = channels[-1] * math.prod(self.sizes[-1])
        self.encoder = DenseStack(
            n_experts, n_flat, hidden_layer_sizes, activation, generator=generator
        )
        self.hidden_features = self.encoder.out_features
        self.to_latents = ParallelLinear(
            n_experts, self.hidden_features, latent_dim, generator=generator
        )
        self.decoder = DenseStack(
            n_experts, latent_dim, (*hidden_layer_sizes[::-1], n_flat), activation,
            generator=generator,
        )  # fmt: skip
        back = [(o, i) for i, o in reversed(steps)]
        self.deconvs = nn.ModuleList(
            ParallelConvTranspose(n_experts, i, o, n_dims=n_dims, generator=generator)
            for i, o in back
        )
        self.deconv_norms = nn.ModuleList(
            BatchNorm(n_experts * o, n_experts, activate) for _, o in back[:-1]
        )
        self.groups = _groups(n_experts, self.channels, self.sizes)

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        x = x.view(-1, self.channels[0], *self.sizes[0])
        hidden = torch.cat([self._encoded(x, some) for some in self._some(x)], 1)
        return Encoded(hidden, self.to_latents(hidden))

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        groups = self._some(latents)
        rows = torch.cat([self._decoded(latents[:, some], some) for some in groups], 1)
        return Decoded(rows)

    def n_multiplications(self) -> float:
        """Return how many a row takes: of a convolution, one for each weight and place.

        There are as many places as in the smaller image, on either way.
        """
        places = [math.prod(size) for size in self.sizes[1:]]
        total = super().n_multiplications()
        for layers, numbers in (self.convs, places), (self.deconvs, places[::-1]):
            for layer, n in zip(layers, numbers, strict=True):
                total += (n - 1) * layer.get_parameter("weight").numel()
        return total

    def _some(self, x: Tensor) -> list[slice]:
        """Return the experts that are applied together."""
        return self.groups if x.device.type == "cpu" else [ALL]

    def _encoded(self, x: Tensor, experts: slice) -> Tensor:
        """Return the last hidden layers (b, k, h) of some experts."""
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            x = norm(conv(x, experts), experts)  # (b, k * c, *s)
        n_features = self.channels[-1] * math.prod(self.sizes[-1])
        return self.encoder(x.view(len(x), -1, n_features), experts)

    def _decoded(self, latents: Tensor, experts: slice) -> Tensor:
        """Return what some experts decode their latents (b, k, d) to."""
        x = self.decoder(latents, experts)  # (b, k, c * s)
        x = x.reshape(len(x), -1, *self.sizes[-1])  # (b, k * c, *s)
        *inner, last = zip(self.deconvs, self.sizes[-2::-1], strict=True)
        for (deconv, size), norm in zip(inner, self.deconv_norms, strict=True):
            x = norm(deconv(x, size, experts), experts)
        deconv, size = last
        return deconv(x, size, experts).view(*latents.shape[:2], -1)


def _groups(
    n_experts: int, channels: Sequence[int], sizes: Sequence[tuple[int, ...]]
) -> list[slice]:
    """Return slices of the experts, of nearly as many each, whose tensors are small.

    By the sizes of the network alone: of a row's company its numbers know nothing.
    """
    largest = max(c * math.prod(s) for c, s in zip(channels, sizes, strict=True))
    most = max(1, LARGEST_TENSOR // (4 * TYPICAL_ROWS * largest))  # experts
    n_groups = math.ceil(n_experts / most)
    bounds = [n_experts * i // n_groups for i in range(n_groups + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def _sizes(
    input_shape: Sequence[int], n_dims: int, n_convolutions: int
) -> tuple[int, list[tuple[int, ...]]]:
    """Return the input's channels and the spatial size before and after each stride."""
    shape = tuple(input_shape)
    channels = shape[0] if len(shape) > n_dims else 1
    sizes = [shape[-n_dims:]]
    for _ in range(n_convolutions):
        sizes.append(tuple(math.ceil(size / 2) for size in sizes[-1]))
    return channels, sizes
