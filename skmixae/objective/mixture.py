"""The objective of the mixture of autoencoders, put together from its terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from . import terms
from .consistency import Regulariser, View
from .losses import Reconstruction
from .schedule import SURE, Constant, Weights


class Network(Protocol):
    """What the objective needs of a network."""

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Any:
        """Return ``logits`` (b, k), ``decoded``, see `losses.Decoded`, ``divergence``.

        The last is of the latents from their prior, (b, k), or None.
        """

    def assign(self, x: Tensor) -> Tensor:
        """Return logits (b, k)."""

    def statistics_held(self) -> AbstractContextManager[None]:
        """Hold running statistics still."""


class Parts(NamedTuple):
    """What the objective is the sum of, scalars, each times its weight."""

    reconstruction: Tensor
    sample_entropy: Tensor
    batch_entropy: Tensor  # as far as it is rewarded
    consistency: Tensor
    start: Tensor
    prior: Tensor
    distillation: Tensor


# Those that not every objective has.
OTHERS = ("consistency", "start", "prior", "distillation")


class Terms(NamedTuple):
    """The terms of one batch, scalars; a row of the history once averaged."""

    total: Tensor  # what is differentiated, with the weights of the moment
    objective: Tensor  # the same with the weights as configured: comparable over time
    reconstruction: Tensor
    sample_entropy: Tensor
    batch_entropy: Tensor  # or the agreement with known sizes, in its place
    consistency: Tensor
    start: Tensor  # divergence from it
    prior: Tensor  # divergence of latents from it
    distillation: Tensor  # divergence from what the errors say
    reconstruction_weight: Tensor
    sample_entropy_weight: Tensor
    batch_entropy_weight: Tensor
    consistency_weight: Tensor
    start_weight: Tensor
    prior_weight: Tensor
    distillation_weight: Tensor


class Step(NamedTuple):
    """What a step of training needs to know."""

    terms: Terms
    assignment: Tensor  # (b, k)


@dataclass
class MixtureObjective:
    """Reconstruction, two entropies, and what else the assignment or latents follow.

    ``total = R + alpha * sample_entropy - beta * batch_entropy + gamma * consistency +
    delta * start + epsilon * prior + zeta * distillation``, with the batch entropy
    counted up to its finite-batch ceiling.

    Parameters
    ----------
    reconstruction : Reconstruction
        The error of a row under each expert.
    schedule : Constant
        Gives the weights of the terms; the only state here.
    sizes : Tensor of shape (k,), optional
        Known proportions of the clusters, which replace the batch entropy, as far as
        assignments are sure: while they are uniform, even ones do.
    input_noise : float
        Standard deviation of the noise on what the encoders read.
    regularisers : sequence of callables
        Each returns the divergence of the assignment under a change that it finds.
    views : sequence of callables
        Each changes rows, under which the divergence is added.
    clusters : Tensor of shape (c, k), optional
        Which experts each cluster has, once experts are merged: entropies, balance and
        consistency are then those of the clusters.
    evenness : float
        The most batch entropy that is rewarded.
    log_start : callable, optional
        Returns logarithms of assignments (b, k) for the indices (b,) of a batch, from
        which the divergence is added.
    members : Tensor of shape (p, k), optional
        The experts of each subset of ``n_active``, where rows are sums: everything is
        then of subsets, and only the balance is of experts.
    """

    reconstruction: Reconstruction
    schedule: Constant
    sizes: Tensor | None = None
    input_noise: float = 0.0
    regularisers: Sequence[Regulariser] = ()
    views: Sequence[View] = ()
    clusters: Tensor | None = None
    evenness: float = 1.0
    log_start: Callable[[Tensor], Tensor] | None = None
    members: Tensor | None = None
    n_active: int = 1

    def step(
        self,
        network: Network,
        x: Tensor,
        index: Tensor,
        progress: float | Tensor,
        generator: torch.Generator,
    ) -> Step:
        """Return the terms of rows ``x`` (b, features) for one step of training."""
        out = network(self.noisy(x, generator), generator)
        log_assignment = F.log_softmax(out.logits, -1)  # (b, k)
        others = {
            "consistency": self._consistency(
                network, x, index, self._merged(log_assignment).detach(), generator
            )
        }
        decoded = out.decoded
        if self._only_weighted:
            decoded = decoded.sparing(log_assignment.detach().exp())
        errors = self.reconstruction(decoded, x)  # (b, k)
        if self.log_start is not None:
            others["start"] = terms.divergence(self.log_start(index), log_assignment)
        return self.assemble(
            log_assignment, errors, out.divergence, progress=progress, **others
        )

    @torch.no_grad()
    def evaluate(self, network: Network, x: Tensor) -> Step:
        """Return the terms of rows ``x`` that are functions of them alone."""
        out = network(x)
        log_assignment = F.log_softmax(out.logits, -1)
        errors = self.reconstruction(out.decoded, x)
        return self.assemble(log_assignment, errors, out.divergence)

    @property
    def _only_weighted(self) -> bool:
        """Whether errors are squared ones that nothing but their weighted sum reads."""
        return self.reconstruction.loss.squared and not self.schedule.base.distillation

    def balance(self, shares: Tensor, n_rows: int | None = None) -> Tensor:
        """Return what is rewarded of a batch (b, k): even use, or the known sizes.

        ``n_rows`` says how many rows shares already averaged stand for.
        """
        ceiling = self._ceiling(shares, n_rows or len(shares))
        return self._rewarded(shares).clamp(max=ceiling)

    def _ceiling(self, shares: Tensor, n_rows: int) -> float:
        n_draws = n_rows * self.n_active
        ceiling = terms.batch_entropy_ceiling(shares.shape[-1], n_draws)
        return min(self.evenness, ceiling)

    def _shares(self, assignment: Tensor) -> Tensor:
        """Return what experts have (b, k) of an assignment to members (b, p)."""
        if self.members is None:
            return assignment
        with torch.autocast(assignment.device.type, enabled=False):
            return assignment @ self.members / self.n_active

    def _merged(self, log_assignment: Tensor) -> Tensor:
        """Return logarithms (b, c) of what clusters have of the experts' (b, k)."""
        if self.clusters is None:
            return log_assignment
        return terms.merged(log_assignment, self.clusters)

    def _rewarded(self, shares: Tensor, sure: float | Tensor = 1.0) -> Tensor:
        """Return what is rewarded of (b, c); known sizes count as far as rows are sure.

        While rows belong to no expert, to give them all the known proportions would
        agree with these, and no row would gain by being another than the others.
        """
        if self.sizes is None:
            return terms.batch_entropy(shares)
        asked = sure * self.sizes + (1 - sure) / len(self.sizes)
        return terms.size_agreement(shares, asked)

    def _distillation(self, errors: Tensor, log_merged: Tensor) -> Tensor:
        """Return how far an assignment (b, c) is from what errors (b, k) say."""
        # Experts are not to err more where that would suit the assignment.
        log_target = terms.responsibilities(errors.detach().float())
        return terms.divergence(self._merged(log_target), log_merged)

    def noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return rows as the encoders read them while training."""
        if not self.input_noise:
            return x
        noise = torch.randn(
            x.shape, generator=generator, dtype=x.dtype, device=x.device
        )
        return x + self.input_noise * noise

    def _consistency(
        self,
        network: Network,
        x: Tensor,
        index: Tensor,
        log_assignment: Tensor,  # (b, c)
        generator: torch.Generator,
    ) -> Tensor:
        def assign(rows: Tensor) -> Tensor:
            logits = network.assign(rows)
            if self.clusters is None:
                return logits
            return self._merged(F.log_softmax(logits, -1))

        total = x.new_zeros(())
        with network.statistics_held():
            for regulariser in self.regularisers:
                total = total + regulariser(assign, x, log_assignment, generator)
            for view in self.views:
                # Places of a long series need more digits than bfloat16 has.
                with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                    changed = view(x, index, generator)
                moved = F.log_softmax(assign(changed), -1)
                total = total + terms.divergence(log_assignment, moved)
        return total

    def assemble(
        self,
        log_assignment: Tensor,
        errors: Tensor,
        divergence: Tensor | None = None,
        *,
        progress: float | Tensor | None = None,
        **others: Tensor,
    ) -> Step:
        """Weigh the terms, the ``others`` by their names; those not given are zero.

        ``divergence`` (b, k) is that of the latents from their prior, if they have one.
        ``progress=None`` weighs as configured, unobserved.
        """
        assignment = log_assignment.exp()
        log_merged = self._merged(log_assignment)
        shares = self._shares(log_merged.exp())  # (b, c)
        entropy = terms.sample_entropy(log_merged)
        sure = 1.0 if progress is None else _sureness(entropy.detach())
        rewarded = self._rewarded(shares, sure)
        if divergence is not None:
            others["prior"] = terms.expected(assignment, divergence)
        if self.schedule.base.distillation:
            others["distillation"] = self._distillation(errors, log_merged)
        none = errors.new_zeros(())
        parts = Parts(
            terms.expected(assignment, errors),
            entropy,
            rewarded.clamp(max=self._ceiling(shares, len(shares))),
            *(others.get(name, none) for name in OTHERS),
        )
        base = self.schedule.base
        weights = base if progress is None else self.schedule.at(progress)
        if progress is not None:
            entropies = parts.sample_entropy, rewarded
            self.schedule.observe(parts.reconstruction, entropies)
        row = Terms(
            weigh(weights, parts),
            weigh(base, parts).detach(),
            *(part.detach() for part in parts._replace(batch_entropy=rewarded)),
            *(as_scalar(w, errors) for w in weights),
        )
        return Step(row, self._shares(assignment.detach()))


def _sureness(entropy: Tensor) -> Tensor:
    """Return how sure assignments of an entropy are: 0 if uniform, 1 if as `SURE`."""
    return ((1 - entropy) / (1 - SURE)).clamp(0, 1)


def as_scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Return a number on the device of a tensor, without waiting for it."""
    return value if isinstance(value, Tensor) else like.new_full((), value)


def weigh(weights: Weights, parts: Parts) -> Tensor:
    """Add the terms up: balance is rewarded, the others are paid for."""
    return (
        weights.reconstruction * parts.reconstruction
        + weights.sample_entropy * parts.sample_entropy
        - weights.batch_entropy * parts.batch_entropy
        + weights.consistency * parts.consistency
        + weights.start * parts.start
        + weights.prior * parts.prior
        + weights.distillation * parts.distillation
    )
