"""How the weights of the terms move while training proceeds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Where a fading weight ends, and where a growing one starts, as shares of the whole.
FLOOR = 0.1
# Assignments are sure enough for balance to fade once their entropy, a running mean of
# some twenty steps, is below this share of log K. By the clock alone it faded before
# there were clusters, where steps are few: 1500 images, or half of the epochs.
SURE = 0.25
SURE_MEMORY = 0.95
# The fading takes at least so much of the epochs.
SHORTEST_FADING = 0.5
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

    # What a schedule remembers of the steps, and how many numbers that is; on the
    # device, for to read it would wait, and always in one place, for steps that are
    # recorded.
    state: Tensor | None = None
    remembers = 0

    def __init__(self, weights: Weights) -> None:
        self.base = weights

    def at(self, progress: float | Tensor) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        return self.base

    def observe(self, reconstruction: Tensor, entropies: tuple[Tensor, Tensor]) -> None:
        """Take note of the terms of a step: (sample entropy, batch entropy)."""

    def is_decided(self, terms: dict[str, float]) -> bool:
        """Tell by the terms of an epoch whether it is one to compare with others."""
        return True

    def settled(self, progress: float) -> Constant:
        """Return the schedule of a phase that follows one that ended at a progress.

        It stays where that ended, and epochs are compared by these weights.
        """
        return Constant(self.at(progress))


class Fading(Constant):
    """Balance at first, and then clusters as large as the rows have them.

    The batch entropy finds as many clusters as are asked for, but of unlike sizes it
    cuts the large ones. So once assignments are sure, its weight falls, linearly, to a
    tenth at the end: what holds clusters together by then is the consistency, which is
    lowest where rows are sparse. If they are sure late or never, less or none of it
    falls.

    Parameters
    ----------
    weights : Weights
        The weights at first.
    judged : Weights, optional
        Those by which epochs are compared, if not by the former.
    """

    # The running mean of the assignments' entropy, and the progress at which they were
    # sure.
    remembers = 2

    def __init__(self, weights: Weights, judged: Weights | None = None) -> None:
        super().__init__(judged or weights)
        self.whole = weights
        self.progress: float | Tensor = 0.0

    def at(self, progress: float | Tensor) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        self.progress = _at_most_one(progress)
        if self.state is None:
            return self.whole
        begun = self.state[1]
        length = (1 - begun).clamp(min=SHORTEST_FADING)
        gone = ((self.progress - begun) / length).clamp(min=0)
        return _with_balance(self.whole, 1 - (1 - FLOOR) * gone)

    def observe(self, reconstruction: Tensor, entropies: tuple[Tensor, Tensor]) -> None:
        """Take note of the terms of a step: (sample entropy, batch entropy)."""
        now = entropies[0].detach()
        if self.state is None:
            self.state = torch.stack([now, torch.ones_like(now)])
        entropy, begun = self.state.unbind()
        entropy = entropy.lerp(now, 1 - SURE_MEMORY)
        here = begun.clamp(max=self.progress)
        begun = torch.where(entropy < SURE, here, begun)
        self.state.copy_(torch.stack([entropy, begun]))

    def is_decided(self, terms: dict[str, float]) -> bool:
        """Tell by the terms of an epoch whether assignments were sure in it.

        Before, there is much balance and nothing to be consistent about: of 1500
        letters, and of sixty things that turn, no epoch after had as low an objective,
        and experts that knew nothing yet were merged, half of the rows into one
        cluster.
        """
        return terms["sample_entropy"] < SURE

    def settled(self, progress: float) -> Constant:
        """Return the schedule of a phase that follows: of what is sure, it stays there.

        Experts that share a cluster are never sure which of them has a row. If nothing
        has faded, the clusters that they are merged into may be sure, and are let go of
        then. Judged by the whole balance, the first epoch, with the most even clusters,
        would be the best.
        """
        if self.state is not None and self.state[1] < 1:
            return super().settled(progress)
        return Fading(self.whole, judged=_with_balance(self.whole, FLOOR))


class Anneal(Constant):
    """Early, balance and assignment; late, reconstruction and certainty.

    What the paper advises without a formula: the batch entropy fades and the
    reconstruction error gains, both linearly; the sample entropy matters throughout.
    """

    def at(self, progress: float | Tensor) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        done = (1 - FLOOR) * _at_most_one(progress)
        reconstruction = self.base.reconstruction * (FLOOR + done)
        faded = _with_balance(self.base, 1 - done)
        return faded._replace(reconstruction=reconstruction)


class Balanced(Constant):
    """Keep the three terms of one magnitude, as the paper's authors did.

    Each entropy's weight is multiplied by the ratio of the reconstruction term to that
    entropy. The magnitudes are running means, the ratios are clipped, and no gradient
    flows through them.
    """

    remembers = 3  # the magnitudes

    def at(self, progress: float | Tensor) -> Weights:
        """Return the weights when a share ``progress`` of training is done."""
        if self.state is None:
            return self.base
        reconstruction, sample, batch = self.state.unbind()
        return self.base._replace(
            sample_entropy=self.base.sample_entropy * _ratio(reconstruction, sample),
            batch_entropy=self.base.batch_entropy * _ratio(reconstruction, batch),
        )

    def observe(self, reconstruction: Tensor, entropies: tuple[Tensor, Tensor]) -> None:
        """Take note of the terms of a step: (sample entropy, batch entropy)."""
        now = torch.stack([reconstruction, *entropies]).detach()
        if self.state is None:
            self.state = now
        else:
            self.state.lerp_(now, 1 - BALANCED_MEMORY)

    def settled(self, progress: float) -> Constant:
        """Return the schedule of a phase that follows: this one, as it goes on."""
        return self


def _at_most_one(progress: float | Tensor) -> float | Tensor:
    if isinstance(progress, Tensor):
        return progress.clamp(max=1.0)
    return min(progress, 1.0)


def _with_balance(weights: Weights, share: float | Tensor) -> Weights:
    """Return weights with a share of that of the batch entropy."""
    return weights._replace(batch_entropy=weights.batch_entropy * share)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    tiny = torch.finfo(denominator.dtype).tiny
    return (numerator / denominator.clamp(min=tiny)).clamp(*BALANCED_RANGE)


SCHEDULES: dict[str, type[Constant]] = {
    "constant": Constant,
    "fading": Fading,
    "anneal": Anneal,
    "balanced": Balanced,
}
