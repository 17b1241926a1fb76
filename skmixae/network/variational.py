"""Variational experts: each row is encoded to a Gaussian, near the prior."""

from __future__ import annotations

import torch

from .autoencoder import Drawn, Encoded, Experts
from .parallel import ParallelLinear
from .prior import PriorExperts, standard_normal

# The noise of an observation that a weight of one stands for, as a share of the data's
# variance: the lower bound of the evidence divides the squared error by twice that.
NOISE = 0.1
# Beyond, a variance is that of the prior to the first digit, or one of nothing.
LOG_VARIANCES = (-10.0, 5.0)


class VariationalExperts(PriorExperts):
    """Variational autoencoders (Kingma and Welling, arXiv 1312.6114).

    A row's latents are a Gaussian with the encoded latents as its mean. In training one
    draw of it is decoded; the divergence from the prior, per feature of a row and times
    twice the noise's variance, is the rest of the lower bound of the evidence.

    Parameters
    ----------
    plain : Experts
        The autoencoders themselves.
    n_experts, latent_dim, n_features : int
        Their number, and the sizes of latents and of a row.
    """

    def __init__(
        self,
        plain: Experts,
        n_experts: int,
        latent_dim: int,
        n_features: int,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__(plain)
        self.scale = 2 * NOISE / n_features
        self.to_log_variance = ParallelLinear(
            n_experts, plain.hidden_features, latent_dim, generator=generator
        )

    def draw(self, encoded: Encoded, generator: torch.Generator | None) -> Drawn:
        """Return a draw of each Gaussian, or its mean, and its divergence."""
        mean = encoded.latents.float()  # (b, k, d)
        log_variance = (
            self.to_log_variance(encoded.hidden).float().clamp(*LOG_VARIANCES)
        )
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        latents = mean
        if generator is not None:
            noise = standard_normal(mean, generator)
            latents = mean + (0.5 * log_variance).exp() * noise
        return Drawn(latents, self.scale * divergence.sum(-1))
