"""Experts whose latents follow a prior, so that new rows can be drawn from it."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import Encoded, Experts, permute_layers
from .decoded import Decoded


class PriorExperts(Experts):
    """Experts of any architecture, with a standard normal prior of their latents.

    A new kind is a subclass with `draw`; its own layers stand beside ``plain``.

    Parameters
    ----------
    plain : Experts
        The autoencoders themselves.
    """

    def __init__(self, plain: Experts) -> None:
        super().__init__()
        self.plain = plain
        self.hidden_features = plain.hidden_features

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        return self.plain.encode(x)

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        return self.plain.decode(latents)

    def permute(self, order: Tensor) -> None:
        """Make expert ``order[i]`` the i-th."""
        self.plain.permute(order)
        for child in self.children():
            if child is not self.plain:
                permute_layers(child, order)


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw numbers of a tensor's shape from the prior."""
    return torch.randn(
        like.shape, generator=generator, dtype=like.dtype, device=like.device
    )
