"""The assignment network: from what it reads to logits over the experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import DenseStack
from .parallel import ParallelLinear

# Small enough that training starts with every assignment near uniform (as IMSAT does,
# arXiv 1702.08720), large enough that experts of equal skill part.
LAST_LAYER_SCALE = 1e-4
# One step of Adam moves every weight as far, and so a logit by as much as is read: of
# the hidden layers of 200 experts so far that after one epoch all rows were with a few
# of them. What is read of more experts than this counts for so much less, unless hidden
# layers, which are normalised, come between.
EXPERTS_READ_WHOLE = 40


class AssignmentNetwork(nn.Module):
    """A dense network whose softmax is the probability of each expert.

    Parameters
    ----------
    in_features : int
        What it reads: K latents side by side, as in the paper, or another view.
    hidden_layer_sizes : sequence of int
        May be empty: then the logits are linear in what is read.
    n_experts : int
        K.
    reads_experts : bool
        Whether what it reads is made by the experts, as much by each.
    """

    def __init__(
        self,
        in_features: int,
        hidden_layer_sizes: Sequence[int],
        n_experts: int,
        activation: str,
        *,
        reads_experts: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_experts = n_experts
        at_once = reads_experts and len(hidden_layer_sizes) == 0
        self.scale = min(1.0, EXPERTS_READ_WHOLE / n_experts) if at_once else 1.0
        self.hidden = DenseStack(
            1, in_features, hidden_layer_sizes, activation, generator=generator
        )
        self.last = ParallelLinear(
            1, self.hidden.out_features, n_experts, generator=generator
        )
        with torch.no_grad():
            self.last.weight.mul_(LAST_LAYER_SCALE)
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, features) to logits (b, k)."""
        if self.scale != 1.0:
            x = x * self.scale
        return self.last(self.hidden(x).flatten(1)).flatten(1)

    def permute(self, order: Tensor, *, per_expert: bool) -> None:
        """Reorder the logits and, where it reads K blocks, what is read."""
        self.last.weight.copy_(self.last.weight[:, :, order])
        self.last.bias.copy_(self.last.bias[:, order])
        if per_expert:
            first = (*self.hidden.linears, self.last)[0].weight  # (1, k * h, out)
            blocks = first.view(len(order), -1, first.shape[-1])
            blocks.copy_(blocks[order])
