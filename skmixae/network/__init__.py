"""Networks of torch: experts, assignment and their mixture. Knows no scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .adversarial import AdversarialExperts
from .assignment import AssignmentNetwork
from .autoencoder import DenseExperts, Encoded, Experts
from .convolutional import ConvolutionalExperts
from .custom import CustomExperts, ExpertFactory
from .decoded import Decoded
from .layers import ACTIVATIONS
from .mixture import (
    AssignmentInput,
    MixtureOfAutoencoders,
    MixtureOutput,
)
from .sums import subsets
from .variational import VariationalExperts

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "EXPERT_KINDS",
    "Decoded",
    "Encoded",
    "Experts",
    "MixtureOfAutoencoders",
    "MixtureOutput",
    "NetworkSpec",
    "build_network",
    "subsets",
]


@dataclass(frozen=True)
class NetworkSpec:
    """All that is needed to build a mixture again: sizes and names, no tensors."""

    n_experts: int
    input_shape: tuple[int, ...]
    latent_dim: int
    architecture: str | ExpertFactory
    hidden_layer_sizes: tuple[int, ...]
    conv_channels: tuple[int, ...]
    assignment_hidden_layer_sizes: tuple[int, ...]
    assignment_input: AssignmentInput
    activation: str
    expert: str = "plain"
    n_active: int = 1

    @property
    def n_members(self) -> int:
        """How many members the mixture has: experts, or subsets of them."""
        return math.comb(self.n_experts, self.n_active)

    @property
    def n_features(self) -> int:
        """The length of a flat row."""
        return math.prod(self.input_shape)


def _dense(spec: NetworkSpec, generator: torch.Generator) -> Experts:
    return DenseExperts(
        spec.n_experts, spec.input_shape, spec.latent_dim, spec.hidden_layer_sizes,
        spec.activation, generator=generator,
    )  # fmt: skip


def _convolutional(n_dims: int) -> Callable[[NetworkSpec, torch.Generator], Experts]:
    def build(spec: NetworkSpec, generator: torch.Generator) -> Experts:
        return ConvolutionalExperts(
            spec.n_experts, spec.input_shape, spec.latent_dim, spec.hidden_layer_sizes,
            spec.activation, channels=spec.conv_channels, n_dims=n_dims,
            generator=generator,
        )  # fmt: skip

    return build


# A new kind of expert is one file with an ``Experts`` and one line here.
ARCHITECTURES: dict[str, Callable[[NetworkSpec, torch.Generator], Experts]] = {
    "mlp": _dense,
    "conv1d": _convolutional(1),
    "conv2d": _convolutional(2),
}


def _plain(experts: Experts, spec: NetworkSpec, generator: torch.Generator) -> Experts:
    return experts


def _variational(
    experts: Experts, spec: NetworkSpec, generator: torch.Generator
) -> Experts:
    return VariationalExperts(
        experts, spec.n_experts, spec.latent_dim, spec.n_features, generator=generator
    )


def _adversarial(
    experts: Experts, spec: NetworkSpec, generator: torch.Generator
) -> Experts:
    return AdversarialExperts(
        experts, spec.n_experts, spec.latent_dim, generator=generator
    )


# What becomes of the latents of any architecture; a new way is one file and a line too.
EXPERT_KINDS: dict[str, Callable[[Experts, NetworkSpec, torch.Generator], Experts]] = {
    "plain": _plain,
    "variational": _variational,
    "adversarial": _adversarial,
}


def build_network(
    spec: NetworkSpec, generator: torch.Generator
) -> MixtureOfAutoencoders:
    """Build a mixture with weights drawn from ``generator``."""
    if callable(spec.architecture):
        experts: Experts = CustomExperts(
            spec.n_experts, spec.input_shape, spec.latent_dim, factory=spec.architecture
        )
    else:
        experts = ARCHITECTURES[spec.architecture](spec, generator)
    experts = EXPERT_KINDS[spec.expert](experts, spec, generator)
    read_features = {
        "input": spec.n_features,
        "hidden": spec.n_experts * experts.hidden_features,
        "latents": spec.n_experts * spec.latent_dim,
    }[spec.assignment_input]
    assignment = AssignmentNetwork(
        read_features, spec.assignment_hidden_layer_sizes, spec.n_experts,
        spec.activation, reads_experts=spec.assignment_input != "input",
        generator=generator,
    )  # fmt: skip
    return MixtureOfAutoencoders(
        experts, assignment, spec.assignment_input, spec.n_active
    )
