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
from .parallel import BatchNorm, ParallelConv, ParallelConvTranspose, ParallelLinear


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
        self.activation = ACTIVATIONS[activation]
        in_channels, self.sizes = _sizes(input_shape, n_dims, len(channels))
        self.channels = (in_channels, *channels)
        steps = list(pairwise(self.channels))
        self.convs = nn.ModuleList(
            ParallelConv(n_experts, i, o, n_dims=n_dims, generator=generator)
            for i, o in steps
        )
        self.conv_norms = nn.ModuleList(BatchNorm(n_experts * o) for _, o in steps)
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
            BatchNorm(n_experts * o) for _, o in back[:-1]
        )

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        x = x.view(-1, self.channels[0], *self.sizes[0])
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            x = self.activation(norm(conv(x)))  # (b, k * c, *s)
        hidden = self.encoder(x.view(len(x), self.n_experts, -1))
        return Encoded(hidden, self.to_latents(hidden))

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        x = self.decoder(latents)  # (b, k, c * s)
        x = x.reshape(len(x), -1, *self.sizes[-1])  # (b, k * c, *s)
        *inner, last = zip(self.deconvs, self.sizes[-2::-1], strict=True)
        for (deconv, size), norm in zip(inner, self.deconv_norms, strict=True):
            x = self.activation(norm(deconv(x, size)))
        deconv, size = last
        return Decoded(deconv(x, size).view(len(x), self.n_experts, -1))


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
