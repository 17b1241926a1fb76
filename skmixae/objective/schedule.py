"""How the weights of the terms move while training proceeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Where a fading weight ends, and where a growing one starts, as shares of the whole.
FLOOR = 0.1
# ``balanced``: share of the old magnitude kept at each step, and how far a weight may
# go from the one that was asked for. As assignments become sure the sample entropy goes
# to zero, and equal magnitudes would otherwise need an infinite weight.
BALANCED_MEMORY = 0.95
BALANCED_RANGE = (0.1, 10.0)


class Weights(NamedTuple):
    """The factors of the terms, floats or scalar tensors."""

    reconstruction: float | Tensor
    sample_entropy: float | Tensor
    batch_entropy: float | Tensor
    consistency: float | Tensor
    start: float | Tensor = 0.0
    prior: float | Tensor = 0.0
    distillation: float | Tensor = 0.0


class Constant:
    """The weights as given, from the first step to the last."""

    def __init__(self, weights: Weights) -> None:
        self.base = weights

    def at(self, progress: float) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        return self.base

    def observe(self, reconstruction: Tensor, entropies: tuple[Tensor, Tensor]) -> None:
        """Take note of the terms of a step: (sample entropy, batch entropy)."""

    def settled(self) -> Constant:
        """Return the schedule of a phase that follows: it stays where this one ends."""
        return self


class Held(Constant):
    """Weights that are not those asked for, and do not move either."""

    def __init__(self, base: Weights, weights: Weights) -> None:
        super().__init__(base)
        self.weights = weights

    def at(self, progress: float) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        return self.weights


class Fading(Constant):
    """Balance at first, and then clusters as large as the rows have them.

    The batch entropy finds as many clusters as are asked for, but of unlike sizes it
    cuts the large ones. So its weight falls, linearly, to a tenth: what holds clusters
    together by then is the consistency, which is lowest where rows are sparse.
    """

    def at(self, progress: float) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        fading = 1 - (1 - FLOOR) * min(progress, 1.0)
        return self.base._replace(batch_entropy=self.base.batch_entropy * fading)

    def settled(self) -> Constant:
        """Return the schedule of a phase that follows: it stays where this one ends."""
        return Held(self.base, self.at(1.0))


class Anneal(Fading):
    """Early, balance and assignment; late, reconstruction and certainty.

    What the paper advises without a formula: the batch entropy fades and the
    reconstruction error gains, both linearly; the sample entropy matters throughout.
    """

    def at(self, progress: float) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        growing = FLOOR + (1 - FLOOR) * min(progress, 1.0)
        reconstruction = self.base.reconstruction * growing
        return super().at(progress)._replace(reconstruction=reconstruction)


class Balanced(Constant):
    """Keep the three terms of one magnitude, as the paper's authors did.

    Each entropy's weight is multiplied by the ratio of the reconstruction term to that
    entropy. The magnitudes are running means, the ratios are clipped, and no gradient
    flows through them.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.magnitudes: Tensor | None = None  # (3,)

    def at(self, progress: float) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        if self.magnitudes is None:
            return self.base
        reconstruction, sample, batch = self.magnitudes.unbind()
        return self.base._replace(
            sample_entropy=self.base.sample_entropy * _ratio(reconstruction, sample),
            batch_entropy=self.base.batch_entropy * _ratio(reconstruction, batch),
        )

    def observe(self, reconstruction: Tensor, entropies: tuple[Tensor, Tensor]) -> None:
        """Take note of the terms of a step: (sample entropy, batch entropy)."""
        now = torch.stack([reconstruction, *entropies]).detach()
        if self.magnitudes is None:
            self.magnitudes = now
        else:
            self.magnitudes = self.magnitudes.lerp(now, 1 - BALANCED_MEMORY)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    tiny = torch.finfo(denominator.dtype).tiny
    return (numerator / denominator.clamp(min=tiny)).clamp(*BALANCED_RANGE)


SCHEDULES: dict[str, Callable[[Weights], Constant]] = {
    "constant": Constant,
    "fading": Fading,
    "anneal": Anneal,
    "balanced": Balanced,
}
