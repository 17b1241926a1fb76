"""What a fit needs to know, resolved and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .._parameters import MARGIN
from ..consistency import MEMBERS, Adversarial, Consistency, Context
from ..network import MixtureOfAutoencoders, NetworkSpec, subsets
from ..objective import (
    SCHEDULES,
    Loss,
    MixtureObjective,
    Reconstruction,
    View,
    Weights,
)
from ..objective.schedule import Constant
from ..training import Batches, Moments, Rows, TrainingPlan, channels_first
from ..training.batches import FAR
from .reading import Reading

# Of a range, how far beyond its ends a value is in it.
ROUNDING = 1e-6
# Changes of rows that are no code of the user's.
OURS = frozenset(MEMBERS.values())


class Balance(NamedTuple):
    """What sizes the clusters are to have, and for how long that counts."""

    sizes: NDArray[np.float32] | None  # where they are known
    as_even_as_start: bool  # and no more
    schedule: str


class Comparison(NamedTuple):
    """How often training starts, and by what one of the restarts is kept."""

    n_init: int
    by_likeness: bool  # whether they are compared by their clusters, too
    ends_agreed: bool  # whether two that agree are enough
    judged_balance: float  # the share of the batch entropy where they are compared


@dataclass(frozen=True)
class Problem:
    """Everything that a fit needs to know, resolved and checked."""

    spec: NetworkSpec
    reading: Reading
    n_clusters: int
    loss: Loss
    weights: Weights
    balance: Balance
    input_noise: float
    consistency: tuple[Consistency, ...]
    plan: TrainingPlan
    fewest_steps: int  # after which something should be decided
    batch_size: int
    validation_fraction: float | None
    refinement: float  # share of the epochs
    start: NDArray | str  # labels or probabilities, or the name of a way to start
    other_starts: tuple[str, ...]  # which restarts try in turn
    comparison: Comparison
    device: torch.device
    handicap: float = 0.0  # added to the objective where restarts are compared

    @property
    def start_name(self) -> str:
        """What training starts from, in a word."""
        return self.start if isinstance(self.start, str) else "given"

    @property
    def stays_even(self) -> bool:
        """Whether the balance of the clusters counts as much to the end."""
        return self.balance.schedule not in ("fading", "anneal")

    def restarts(self) -> list[Problem]:
        """Return the problem of each restart, from one start after the other."""
        starts = [self]
        for name in self.other_starts:
            same = self.comparison.by_likeness or name == self.start_name
            handicap = 0.0 if same else MARGIN
            starts.append(replace(self, start=name, handicap=handicap))
        return [starts[i % len(starts)] for i in range(self.comparison.n_init)]

    def objective(
        self, rows: Rows, moments: Moments, schedule: Constant | None = None
    ) -> MixtureObjective:
        """Return the objective of training on rows, of these moments."""
        regularisers, views = [], []
        # Of an experiment without the weight, or of one expert, nothing is computed.
        if self.weights.consistency and self.spec.n_experts > 1:
            context = self._context(rows, moments)
            for member in self.consistency:
                regulariser = member.regulariser(context)
                if regulariser is None:
                    views.append(member.view_of_scaled(context))
                else:
                    regularisers.append(regulariser)
        return replace(
            self.plain_objective(moments, schedule),
            regularisers=regularisers,
            views=views,
        )

    def plain_objective(
        self, moments: Moments, schedule: Constant | None = None
    ) -> MixtureObjective:
        """Return the objective without the changes of rows."""
        sizes = self.balance.sizes
        n_active, members = self.spec.n_active, None
        if n_active > 1:
            members = subsets(self.spec.n_experts, n_active).to(self.device)
        return MixtureObjective(
            Reconstruction(self.loss, moments.reference(self.loss)),
            schedule or SCHEDULES[self.balance.schedule](self.weights),
            None if sizes is None else torch.from_numpy(sizes).to(self.device),
            self.input_noise,
            members=members,
            n_active=n_active,
        )

    def plan_for(self, rows: Rows, moments: Moments) -> TrainingPlan:
        """Return the plan of a whole fit: its steps are replayed where they can be.

        On a GPU, but not where a user's own layers or changes of rows run in them.
        """
        context = self._context(rows, moments)
        ours = not callable(self.spec.architecture) and all(
            member.is_recordable(context) for member in self.consistency
        )
        return replace(self.plan, replay=self.device.type == "cuda" and ours)

    @property
    def judging(self) -> Weights:
        """The weights by which restarts are compared.

        Of sums without the consistency: where the experts of a subset and all others
        have the same sum, the wrong solution is as smooth and was preferred. Of several
        starts, which tell sizes, with little of the balance.
        """
        weights = self.weights
        if self.spec.n_active > 1:
            weights = weights._replace(consistency=0.0)
        balance = self.comparison.judged_balance * weights.batch_entropy
        return weights._replace(batch_entropy=balance)

    def batches(
        self, rows: Rows, moments: Moments, *, in_stream: bool = False
    ) -> Batches:
        """Return batches of rows, scaled as the network reads them.

        Those that a stream trains on are not too far away.
        """
        scaling = moments.scaling(self.loss)
        if in_stream:
            scaling = replace(scaling, longest=FAR * math.sqrt(rows.n_features))
        return Batches(rows, scaling, self.batch_size, self.device)

    def work(self, network: MixtureOfAutoencoders) -> float:
        """Return how many multiplications a batch takes to pass through a network."""
        return self.batch_size * network.n_multiplications

    def view(self, rows: Rows, moments: Moments, *, ours: bool = False) -> View:
        """Return the random change of rows by which experts are merged.

        The first of the views, or of ``ours`` among them; without any, a step anywhere,
        as long as that of the adversary.
        """
        context = self._context(rows, moments)
        known = [m for m in self.consistency if not ours or type(m) in OURS]
        members = known or [Adversarial()]
        views = [m for m in members if m.regulariser(context) is None]
        return (views or members)[0].view_of_scaled(context)

    def _context(self, rows: Rows, moments: Moments) -> Context:
        return Context(
            rows, moments.plain_scaling(self.loss), self.reading.read, self.device,
            final=moments.scaling(self.loss),
        )  # fmt: skip

    @property
    def runs_own_code(self) -> bool:
        """Whether there is code of the user's, with randomness that we do not see."""
        return callable(self.spec.architecture) or not all(
            type(member) in OURS for member in self.consistency
        )

    def note(self, found: tuple[int, ...] | None) -> str | None:
        """Say what rows are read as though nobody said so, for people to read."""
        shape = self.reading.shape
        kind = "images" if len(shape) > 1 else "series"
        size, whole, read = (
            " x ".join(map(str, each))
            for each in (shape, channels_first(shape), self.reading.read)
        )
        what, others = f"{kind} of {size}", []
        if read != whole:
            what, others = f"{what}, averaged to {read}", ["max_pixels=None"]
        if found is not None:
            others.append("input_shape=None")
        asked = " or ".join(others)
        return f"rows are read as {what}; else {asked}" if others else None

    def check_range(self, rows: Rows) -> None:
        """Raise where the rows are not in the range that the loss is made for.

        The moments do not tell: where training goes on, they are of other rows.
        """
        if self.loss.limits is None:
            return
        least, greatest = self.loss.limits
        ends = np.array([(block.min(), block.max()) for block in rows.blocks()])
        lowest, highest = ends.min(), ends.max()
        # Scaled rows, and means of pixels, are beyond the ends by what rounding leaves.
        slack = ROUNDING * (greatest - least)
        if lowest < least - slack or highest > greatest + slack:
            raise ValueError(
                f"reconstruction_loss={self.loss.name!r} needs features from {least:g} "
                f"to {greatest:g}. Got values from {lowest:.6g} to {highest:.6g}: "
                "scale them, with MinMaxScaler for example, or use 'mse'."
            )
