"""The mixture of autoencoders: K experts and the assignment that chooses among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .assignment import AssignmentNetwork
from .autoencoder import Encoded, Experts
from .decoded import Decoded
from .parallel import BatchNorm
from .sums import SumsDecoded, product, subsets

AssignmentInput = Literal["latents", "hidden", "input"]


class MixtureOutput(NamedTuple):
    """What the mixture says of a batch."""

    logits: Tensor  # (b, k), their softmax is the assignment; of sums (b, p)
    latents: Tensor  # (b, k, d)
    decoded: Decoded  # of (b, k, features)
    divergence: Tensor | None  # (b, k), of the latents from their prior, if any


class MixtureOfAutoencoders(nn.Module):
    """K autoencoders and the network that assigns rows to them.

    Parameters
    ----------
    experts : Experts
        The autoencoders.
    assignment : AssignmentNetwork
        Reads what ``assignment_input`` names, side by side for all experts.
    assignment_input : {"latents", "hidden", "input"}
        The latents (the paper), the encoders' last hidden layers, or the rows.
    n_active : int
        How many experts a row is the sum of. With more than one, the members of the
        mixture are not the experts but their subsets of that size: a subset's logit is
        the sum of its experts', and so are its reconstruction and its divergence.
    """

    members: Tensor | None  # (p, k), the experts of each subset, if there are any

    def __init__(
        self,
        experts: Experts,
        assignment: AssignmentNetwork,
        assignment_input: AssignmentInput,
        n_active: int = 1,
    ) -> None:
        super().__init__()
        self.n_experts = assignment.n_experts
        self.experts = experts
        self.assignment = assignment
        self.assignment_input = assignment_input
        self.n_active = n_active
        members = subsets(self.n_experts, n_active) if n_active > 1 else None
        self.register_buffer("members", members, persistent=False)

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> MixtureOutput:
        """Assign, encode and decode flat rows (b, features).

        With a ``generator``, experts that are random are so.
        """
        encoded = self.experts.encode(x)
        logits = self._logits(x, encoded)
        drawn = self.experts.draw(encoded, generator)
        divergence = drawn.divergence
        if divergence is not None:
            divergence = self._of_members(divergence)
        decoded = self.decode(drawn.latents)
        return MixtureOutput(logits, encoded.latents, decoded, divergence)

    def assign(self, x: Tensor) -> Tensor:
        """Return the logits (b, k) alone: nothing is decoded."""
        if self.assignment_input == "input":
            return self._of_members(self.assignment(x).float())
        return self._logits(x, self.experts.encode(x))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (b, k) and latents (b, k, d)."""
        encoded = self.experts.encode(x)
        return self._logits(x, encoded), encoded.latents

    def decode(self, latents: Tensor) -> Decoded:
        """Decode (b, k, d), block k by expert k, to (b, k, features), or to sums."""
        decoded = self.experts.decode(latents)
        return decoded if self.members is None else SumsDecoded(decoded, self.members)

    @contextmanager
    def statistics_held(self) -> Iterator[None]:
        """Leave running statistics alone for a while: perturbed rows are not data."""
        own = [m for m in self.modules() if isinstance(m, BatchNorm)]
        custom = [m for m in self.modules() if isinstance(m, _BatchNorm)]
        tracked = [m.track_running_stats for m in custom]
        try:
            for module in own:
                module.track = False
            for other in custom:  # not momentum: their counts would go on
                other.track_running_stats = False
            yield
        finally:
            for module in own:
                module.track = True
            for other, value in zip(custom, tracked, strict=True):
                other.track_running_stats = value

    @property
    def n_multiplications(self) -> float:
        """How many a row takes, to be assigned, encoded and decoded."""
        of_assignment = sum(p.numel() for p in self.assignment.parameters())
        return self.experts.n_multiplications() + of_assignment

    @torch.no_grad()
    def permute_experts(self, order: Tensor) -> None:
        """Make expert ``order[i]`` the i-th: the same mixture under other names."""
        self.experts.permute(order)
        self.assignment.permute(order, per_expert=self.assignment_input != "input")

    def _logits(self, x: Tensor, encoded: Encoded) -> Tensor:
        read = {
            "input": x,
            "hidden": encoded.hidden,
            "latents": encoded.latents,
        }[self.assignment_input]
        # Entropies and divergences of 8-bit mantissas are too coarse to train on.
        return self._of_members(self.assignment(read.flatten(1)).float())

    def _of_members(self, x: Tensor) -> Tensor:
        """Return what members of the mixture have of experts (b, k), added up."""
        return x if self.members is None else product(x, self.members.T)
