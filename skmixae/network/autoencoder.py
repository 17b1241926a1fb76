"""Fully connected experts, and what every kind of expert must offer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .decoded import Decoded, decoded_linearly
from .layers import DenseStack
from .parallel import PARALLEL_LAYERS, ParallelLinear


class Encoded(NamedTuple):
    """What the encoders say of a batch."""

    hidden: Tensor  # (b, k, h), the last hidden layers
    latents: Tensor  # (b, k, d)


class Drawn(NamedTuple):
    """What is decoded of a batch, and what it costs to have it there."""

    latents: Tensor  # (b, k, d)
    divergence: Tensor | None  # (b, k), of the latents from their prior, if any


class Experts(nn.Module):
    """K autoencoders. A new kind of expert is a subclass with `encode` and `decode`.

    Attributes
    ----------
    hidden_features : int
        The size h of the encoders' last hidden layer, for the assignment network.
    """

    hidden_features: int

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        raise NotImplementedError

    def draw(self, encoded: Encoded, generator: torch.Generator | None) -> Drawn:
        """Return the latents to decode: those encoded, at random about them, ...

        Without a ``generator`` nothing is random.
        """
        return Drawn(encoded.latents, None)

    def permute(self, order: Tensor) -> None:
        """Make expert ``order[i]`` the i-th."""
        permute_layers(self, order)

    def n_multiplications(self) -> float:
        """Return how many a row takes, there and back: one for each weight."""
        return sum(p.numel() for p in self.parameters())


def permute_layers(module: nn.Module, order: Tensor) -> None:
    """Reorder the experts in all layers of a module, itself included."""
    for layer in module.modules():
        if isinstance(layer, PARALLEL_LAYERS):
            layer.permute(order)


class DenseExperts(Experts):
    """K fully connected autoencoders, the decoder mirroring the encoder."""

    def __init__(
        self,
        n_experts: int,
        input_shape: Sequence[int],
        latent_dim: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_features = math.prod(input_shape)
        self.encoder = DenseStack(
            n_experts, n_features, hidden_layer_sizes, activation, shared=True,
            generator=generator,
        )  # fmt: skip
        self.hidden_features = self.encoder.out_features
        self.to_latents = ParallelLinear(
            n_experts, self.hidden_features, latent_dim, generator=generator
        )
        self.decoder = DenseStack(
            n_experts, latent_dim, hidden_layer_sizes[::-1], activation,
            generator=generator,
        )  # fmt: skip
        self.to_rows = ParallelLinear(
            n_experts, self.decoder.out_features, n_features, generator=generator
        )

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        hidden = self.encoder(x)
        return Encoded(hidden, self.to_latents(hidden))

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        return decoded_linearly(self.decoder(latents), self.to_rows)
