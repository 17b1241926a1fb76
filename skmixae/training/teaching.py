"""Labels or probabilities that a network is taught before it trains on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..objective.mixture import MixtureObjective, Network, Step
from ..objective.terms import expected

# Weight of the teaching loss, a mean cross-entropy, beside the reconstruction.
TEACHING_WEIGHT = 1.0


@dataclass(frozen=True)
class Target:
    """The probabilities (n, k) that training starts from, asked for batch by batch.

    Of labels, one-hot ones: they are made for the batch alone, since for all rows they
    would take more room than most rows do.
    """

    values: Tensor  # labels (n,) or probabilities (n, k), on the device
    n_experts: int

    @classmethod
    def of(cls, start: NDArray, n_experts: int, device: torch.device) -> Target:
        """Return the target of labels (n,) or of probabilities (n, k)."""
        kept = start.astype(np.int32 if start.ndim == 1 else np.float32)
        return cls(torch.from_numpy(kept).to(device), n_experts)

    def __call__(self, index: Tensor) -> Tensor:
        """Return the probabilities (b, k) of some rows."""
        values = self.values[index]
        if values.dim() == 2:
            return values
        shares = torch.zeros(
            len(values), self.n_experts, dtype=torch.float32, device=values.device
        )
        return shares.scatter_(1, values.long().unsqueeze(1), 1.0)

    def logarithms(self, index: Tensor) -> Tensor:
        """Return their logarithms (b, k), none of them infinite."""
        shares = self(index)
        return shares.clamp(min=torch.finfo(shares.dtype).tiny).log()

    def sizes(self) -> NDArray[np.floating]:
        """Return the proportions (k,) of the experts."""
        values = self.values.cpu().numpy()
        if values.ndim == 2:
            return values.mean(0)
        return np.bincount(values, minlength=self.n_experts) / len(values)


@dataclass
class Teaching:
    """The objective of the first epochs when training does not start at random.

    Each expert learns to reconstruct its share of the rows, and the assignment network
    learns the given probabilities by cross-entropy. The terms keep their places in the
    history.
    """

    objective: MixtureObjective
    target: Target

    def step(
        self,
        network: Network,
        x: Tensor,
        index: Tensor,
        progress: float | Tensor,
        generator: torch.Generator,
    ) -> Step:
        """Return the terms of rows ``x`` (b, features) for one step of teaching."""
        target = self.target(index)
        out = network(self.objective.noisy(x, generator), generator)
        log_assignment = F.log_softmax(out.logits, -1)
        errors = self.objective.reconstruction(out.decoded, x)
        teaching = -(target * log_assignment).sum(-1).mean()
        divergence = out.divergence
        step = self.objective.assemble(
            log_assignment.detach(),
            errors.detach(),
            None if divergence is None else divergence.detach(),
        )
        total = expected(target, errors) + TEACHING_WEIGHT * teaching
        if divergence is not None:
            weight = self.objective.schedule.base.prior
            total = total + weight * expected(target, divergence)
        terms = step.terms._replace(total=total, objective=total.detach())
        return step._replace(terms=terms)
