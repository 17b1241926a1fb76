"""The terms of the objective, as pure functions of tensors.

Every term is free of scale: errors are in units of predicting the mean, see `losses`,
entropies and divergences are divided by log K. One set of weights then serves every
data set.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Errors tell experts apart in units of so much of the best one's lead. On HAR a third
# of it, three times it, and the best expert alone, did less.
TEMPERATURE = 0.3


def expected(assignment: Tensor, costs: Tensor) -> Tensor:
    """Mean over rows of costs (b, k), such as errors, weighted by (b, k)."""
    return (assignment * costs).sum(-1).mean()


# ---------------------------------------------------------------------------
# Entropies, in units of log K
# ---------------------------------------------------------------------------


def sample_entropy(log_assignment: Tensor) -> Tensor:
    """Mean entropy of the rows of (b, k): 0 when sure, 1 when uniform."""
    entropy = -(log_assignment.exp() * log_assignment).sum(-1).mean()
    return entropy / _log_n(log_assignment.shape[-1])


def batch_entropy(assignment: Tensor) -> Tensor:
    """Entropy of the mean of (b, k): 1 when experts are used alike, 0 when one is."""
    # The slope at zero is infinite, and of a dead expert's share the gradient a NaN.
    usage = assignment.mean(0).clamp(min=torch.finfo(assignment.dtype).tiny)
    return torch.special.entr(usage).sum() / _log_n(len(usage))


def batch_entropy_ceiling(n_experts: int, n_rows: int) -> float:
    """Batch entropy that a random batch of perfectly balanced clusters has on average.

    By Miller and Madow, one-hot assignments of ``n_rows`` rows drawn at random lose
    (K - 1) / (2 n_rows) nats. To push above it is to mislabel rows until every single
    batch is balanced.
    """
    if n_experts == 1:
        return 0.0
    return max(0.0, 1.0 - (n_experts - 1) / (2 * n_rows * math.log(n_experts)))


def size_agreement(assignment: Tensor, sizes: Tensor) -> Tensor:
    """One minus the divergence of the experts' shares from known sizes.

    The cross-entropy between known proportions ``sizes`` (k,) and the mean of
    ``assignment`` (b, k), less the entropy of the sizes: the paper's first extension.
    Both are sorted before they are compared, so no expert is told in advance which of
    the sizes is its own.
    """
    usage = assignment.mean(0).sort(descending=True).values
    sizes = sizes.sort(descending=True).values
    tiny = torch.finfo(usage.dtype).tiny
    divergence = (
        torch.special.xlogy(sizes, sizes) - sizes * (usage + tiny).log()
    ).sum()
    return 1.0 - divergence / _log_n(len(sizes))


def divergence(log_target: Tensor, log_assignment: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of rows (b, k) from a target (b, k)."""
    per_row = (log_target.exp() * (log_target - log_assignment)).sum(-1)
    return per_row.mean() / _log_n(log_target.shape[-1])


def responsibilities(errors: Tensor) -> Tensor:
    """Logarithms of each expert's part (b, k) in a row, by their errors (b, k) alone.

    What a mixture of experts of one noise and equal shares calls so (Jacobs, Jordan,
    Nowlan and Hinton, 1991): the softmax of minus the errors, in units of how far the
    best expert is ahead of the average one, over all rows.
    """
    behind = errors - errors.amin(-1, keepdim=True)
    unit = TEMPERATURE * behind.mean()
    return F.log_softmax(-behind / unit.clamp(min=torch.finfo(unit.dtype).tiny), -1)


def merged(log_assignment: Tensor, clusters: Tensor) -> Tensor:
    """Log-probabilities of clusters (b, c) from those of their experts (b, k).

    ``clusters`` (c, k) says which experts each has, see `experts_of`; none is empty.
    """
    own = log_assignment.unsqueeze(1).masked_fill(~clusters, -math.inf)
    return own.logsumexp(-1)


def experts_of(clusters: Tensor) -> Tensor:
    """Return which experts each cluster has (c, k), of the cluster of each (k,)."""
    return F.one_hot(clusters).T.bool()


def _log_n(n: int) -> float:
    """Log K, and 1 for a single expert, whose entropies are zero anyway."""
    return math.log(n) if n > 1 else 1.0
