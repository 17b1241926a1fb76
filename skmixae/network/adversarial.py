"""Adversarial experts: a critic for each tells its latents from those of the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from .autoencoder import Drawn, Encoded, Experts
from .parallel import ParallelLinear
from .prior import PriorExperts, standard_normal

# The hidden layer of a critic. It reads a few latents: more units learn no more.
CRITIC_UNITS = 64
# Standard deviation of the noise on latents in training. Decoders then know what lies
# between those of the rows, where the prior is drawn from as well.
LATENT_NOISE = 0.3


class AdversarialExperts(PriorExperts):
    """Adversarial autoencoders (Makhzani et al., arXiv 1511.05644).

    What a critic achieves bounds the Jensen-Shannon divergence of the latents from the
    prior from below. In one step, critics learn to tell them apart and encoders to
    deceive the critics as they are.

    Parameters
    ----------
    plain : Experts
        The autoencoders themselves.
    n_experts, latent_dim : int
        Their number, and the size of their latents.
    """

    def __init__(
        self,
        plain: Experts,
        n_experts: int,
        latent_dim: int,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__(plain)
        self.critics = Critics(n_experts, latent_dim, generator=generator)

    def draw(self, encoded: Encoded, generator: torch.Generator | None) -> Drawn:
        """Return the latents, and by how many nats the critics tell them."""
        latents = encoded.latents
        if generator is None:  # to compare, some of the prior must be drawn
            return Drawn(latents, None)
        latents = latents + LATENT_NOISE * standard_normal(latents, generator)
        prior = standard_normal(latents, generator)
        mistaken = 0.5 * (
            F.softplus(self.critics(latents.detach()))
            + F.softplus(-self.critics(prior)).mean(0)
        )  # (b, k), the critics' cross-entropy: log 2 where they cannot tell
        told = math.log(2) - mistaken.detach()
        # The value is of the divergence, the gradients are of what each side wants: by
        # the divergence alone, encoders learn nothing from critics that are sure.
        as_they_are = {name: p.detach() for name, p in self.critics.named_parameters()}
        caught = 0.5 * F.softplus(-functional_call(self.critics, as_they_are, latents))
        return Drawn(latents, told + _gradient_of(mistaken) + _gradient_of(caught))


class Critics(nn.Module):
    """K networks that tell latents from draws of the prior.

    They read squares too: of latents of the wrong size a linear map sees nothing.
    """

    def __init__(
        self, n_experts: int, latent_dim: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.hidden = ParallelLinear(
            n_experts, 2 * latent_dim, CRITIC_UNITS, generator=generator
        )
        self.verdict = ParallelLinear(n_experts, CRITIC_UNITS, 1, generator=generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Return log-odds (b, k) that latents (b, k, d) are of the prior."""
        hidden = self.hidden(torch.cat([latents, latents.square()], -1))
        return self.verdict(F.leaky_relu(hidden, 0.2)).squeeze(-1).float()


def _gradient_of(x: Tensor) -> Tensor:
    """Return zeros that have a tensor's gradient."""
    return x - x.detach()
