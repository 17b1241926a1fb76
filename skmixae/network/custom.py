"""Experts that a user's own factory builds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .autoencoder import Encoded, Experts
from .decoded import Decoded

ExpertFactory = Callable[[tuple[int, ...], int], nn.Module]


class CustomExperts(Experts):
    """K modules of a factory's making, applied one after the other.

    ``factory(input_shape, latent_dim)`` returns a module with two methods:
    ``encode`` maps rows (b, *input_shape) to latents (b, latent_dim), and ``decode``
    maps latents back to (b, *input_shape). Any layer that torch offers may be inside,
    which is why these experts are looped over and not stacked into one tensor.
    """

    def __init__(
        self,
        n_experts: int,
        input_shape: Sequence[int],
        latent_dim: int,
        *,
        factory: ExpertFactory,
    ) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.hidden_features = latent_dim
        modules = [factory(self.input_shape, latent_dim) for _ in range(n_experts)]
        for module in modules:
            _check_module(module)
            module.float()  # whatever torch's default is
            _check_shapes(module, self.input_shape, latent_dim)
        if len(set(modules)) < n_experts:
            raise ValueError(
                "The factory given as architecture must build a new module each time "
                "that it is called: experts that share their weights are one expert."
            )
        self.experts: Any = nn.ModuleList(modules)

    def encode(self, x: Tensor) -> Encoded:
        """Encode flat rows (b, features) by every expert."""
        x = x.view(-1, *self.input_shape)
        codes = [_single(expert.encode(x)) for expert in self.experts]
        latents = torch.stack(codes, dim=1)
        return Encoded(latents, latents)

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to flat rows (b, k, features)."""
        rows = [
            _single(expert.decode(z))
            for expert, z in zip(self.experts, latents.unbind(1), strict=True)
        ]
        return Decoded(torch.stack(rows, dim=1).flatten(2))

    def n_multiplications(self) -> float:
        """Return that nobody knows how many."""
        return math.inf

    def permute(self, order: Tensor) -> None:
        """Make expert ``order[i]`` the i-th."""
        self.experts = nn.ModuleList(self.experts[i] for i in order.tolist())


def _single(x: Tensor) -> Tensor:
    """Return what code of others made in no more than float32."""
    return x.float() if x.dtype is torch.float64 else x


def _check_module(expert: Any) -> None:
    """Raise unless a factory's expert is a module that has what experts need."""
    if not isinstance(expert, nn.Module):
        raise TypeError(
            "The factory given as architecture must return a torch.nn.Module, "
            f"got {type(expert).__name__}."
        )
    for method in ("encode", "decode"):
        if not callable(getattr(expert, method, None)):
            raise TypeError(
                f"The module that the architecture factory returned has no method "
                f"{method!r}; it needs encode(rows) and decode(latents)."
            )


def _check_shapes(module: Any, input_shape: tuple[int, ...], latent_dim: int) -> None:
    """Raise unless an expert maps rows to latents and back with the right shapes."""
    was_training = module.training
    try:
        module.eval()
        with torch.no_grad():
            rows = torch.zeros(2, *input_shape, dtype=torch.float32)
            latents = module.encode(rows)
            _check_shape("encode", latents, (2, latent_dim), rows)
            _check_shape("decode", module.decode(latents), (2, *input_shape), latents)
    finally:
        module.train(was_training)


def _check_shape(
    method: str, out: object, expected: tuple[int, ...], given: Tensor
) -> None:
    shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    # A decoder that returns rows already flat is as good: they are flattened next.
    flat = (expected[0], math.prod(expected[1:]))
    if shape not in {expected, flat}:
        raise ValueError(
            f"The architecture factory's expert returned {shape} from {method}() for "
            f"an input of shape {tuple(given.shape)}; expected {expected}."
        )
