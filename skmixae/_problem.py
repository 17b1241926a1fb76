"""The estimator's parameters, resolved into what a fit needs to know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ._parameters import (
    CHUNK_ROWS,
    JUDGED_BALANCE,
    LIKENED_BALANCE,
    MARGIN,
    WIDE_ROWS,
    Starts,
    asked_shape,
    automatic_starts,
    check_architecture,
    check_start,
    fewest_steps,
    is_held,
    is_image,
    is_named,
    is_series,
    layer_sizes,
    may_find_shape,
    ordered_starts,
    resolve_active,
    resolve_assignment,
    resolve_balance,
    resolve_components,
    resolve_consistency,
    resolve_device,
    resolve_directions,
    resolve_epochs,
    resolve_evenness,
    resolve_experts,
    resolve_latent_dim,
    resolve_pixels,
    resolve_precision,
    resolve_restarts,
    resolve_schedule,
    resolve_shape,
    resolve_sizes,
    resolve_start,
    resolve_start_weight,
    resolve_whitening,
)
from .consistency import MEMBERS, Adversarial, Consistency, Context
from .network import MixtureOfAutoencoders, NetworkSpec, build_network, subsets
from .objective import (
    LOSSES,
    SCHEDULES,
    Loss,
    MixtureObjective,
    Reconstruction,
    View,
    Weights,
)
from .objective.schedule import Constant
from .training import (
    ONE_AT_A_TIME,
    Batches,
    Evidence,
    Moments,
    Rows,
    TrainingPlan,
    channels_first,
    converted_rows,
    mostly_zeros,
    principal_axes,
    shape_of,
)

# Of a range, how far beyond its ends a value is in it.
ROUNDING = 1e-6
# Changes of rows that are no code of the user's.
OURS = frozenset(MEMBERS.values())


@dataclass(frozen=True)
class Problem:
    """Everything that a fit needs to know, resolved and checked."""

    spec: NetworkSpec
    input_shape: tuple[int, ...]  # of rows as they are in X
    read_shape: tuple[int, ...]  # of the same, or of what images are averaged to
    n_clusters: int
    loss: Loss
    weights: Weights
    schedule: str
    sizes: NDArray[np.float32] | None
    as_even_as_start: bool
    input_noise: float
    consistency: tuple[Consistency, ...]
    plan: TrainingPlan
    fewest_steps: int  # after which something should be decided
    batch_size: int
    validation_fraction: float | None
    refinement: float  # share of the epochs
    n_init: int
    by_likeness: bool  # whether restarts are compared by their clusters, too
    ends_agreed: bool  # whether two restarts that agree are enough
    start: NDArray | str  # labels or probabilities, or the name of a way to start
    other_starts: tuple[str, ...]  # which restarts try in turn
    judged_balance: float  # the share of the batch entropy where they are compared
    device: torch.device
    handicap: float = 0.0  # added to the objective where restarts are compared

    @property
    def start_name(self) -> str:
        """What training starts from, in a word."""
        return self.start if isinstance(self.start, str) else "given"

    @property
    def stays_even(self) -> bool:
        """Whether the balance of the clusters counts as much to the end."""
        return self.schedule not in ("fading", "anneal")

    def restarts(self) -> list[Problem]:
        """Return the problem of each restart, from one start after the other."""
        starts = [self]
        for name in self.other_starts:
            same = self.by_likeness or name == self.start_name
            handicap = 0.0 if same else MARGIN
            starts.append(replace(self, start=name, handicap=handicap))
        return [starts[i % len(starts)] for i in range(self.n_init)]

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
        sizes = None if self.sizes is None else torch.from_numpy(self.sizes)
        n_active, members = self.spec.n_active, None
        if n_active > 1:
            members = subsets(self.spec.n_experts, n_active).to(self.device)
        return MixtureObjective(
            Reconstruction(self.loss, moments.reference(self.loss)),
            schedule or SCHEDULES[self.schedule](self.weights),
            None if sizes is None else sizes.to(self.device),
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
        balance = self.judged_balance * weights.batch_entropy
        return weights._replace(batch_entropy=balance)

    def batches(self, rows: Rows, moments: Moments) -> Batches:
        """Return batches of rows, scaled as the network reads them."""
        scaling = moments.scaling(self.loss)
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
            rows, moments.plain_scaling(self.loss), self.read_shape, self.device,
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
        kind = "images" if len(self.input_shape) > 1 else "series"
        size, whole, read = (
            " x ".join(map(str, shape))
            for shape in (
                self.input_shape,
                channels_first(self.input_shape),
                self.read_shape,
            )
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


def measure(rows: Rows, before: Moments | None = None) -> Moments:
    """Return the moments of all rows, and of those measured before."""
    moments = Moments() if before is None else replace(before)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in rows.stored_blocks():
            moments.update(block)
    if not np.isfinite(moments.scatter):
        raise ValueError(
            "The squares of values in X are too large to add up: they are from "
            f"{moments.lowest:.6g} to {moments.highest:.6g}. Divide them by a number."
        )
    return moments


class Seen(NamedTuple):
    """Rows as they are read, and the shape that they were recognised to have."""

    rows: Rows
    shape: tuple[int, ...] | None


def look_at(estimator: Any, rows: Rows) -> Seen:
    """Return rows as they are read: images with colours first, and few pixels."""
    e = estimator
    found = shape_of(rows) if may_find_shape(e) else None
    shape = resolve_shape(asked_shape(e.input_shape, found), rows.n_features)
    read = resolve_pixels(e.max_pixels, shape, e.architecture)
    return Seen(converted_rows(rows, shape, read), found)


def resolve_moments(
    estimator: Any,
    rows: Rows,
    found: tuple[int, ...] | None = None,
    before: Moments | None = None,
) -> Moments:
    """Measure rows, after those measured ``before``, and find how to read them.

    What they were ``found`` to be, and the axes of whitening, are those of the first
    rows: a network has learned them.
    """
    e, moments = estimator, measure(rows, before)
    loss = LOSSES[e.reconstruction_loss]
    if before is not None:
        # What is beyond the axes is in units of a scale that follows the stream.
        scaling = moments.scaling(loss)
        if scaling.cuts:
            excess = sum(scaling.excess(block).sum() for block in rows.blocks())
            moments.beyond *= before.n_rows / moments.n_rows
            moments.beyond += float(excess) / moments.n_rows
        return moments
    moments.shape = found
    power = _whitening(e, moments)
    counts = mostly_zeros(rows) and e.n_active == 1  # lengths of sums tell something
    directions = resolve_directions(e.directions, power, counts=counts)
    moments.whitening, moments.n_components = power, _noted(e.n_components)
    moments.directions = directions
    if power is not None and len(rows) > 1:
        scaling = moments.plain_scaling(loss)
        least, most, share = resolve_components(
            e.n_components, rows.n_features, int(e.n_clusters)
        )
        moments.axes, beyond = principal_axes(
            rows, scaling, most, power, share=share, least=least,
            noise=keeps_noise(e, directions),
        )  # fmt: skip
        moments.beyond = 0.0 if directions else beyond
    return moments


def keeps_noise(estimator: Any, directions: bool) -> bool:
    """Tell whether directions are kept along which rows are as noise is.

    If directions are asked for. Words that are rare are no noise, whatever they look
    like; and rows that are drawn have as much of it as others.
    """
    e = estimator
    is_asked = not is_named(e.n_components, "auto")
    return is_asked or directions or e.expert != "plain"


def resolve_problem(
    estimator: Any,
    rows: Rows,
    moments: Moments,
    spec: NetworkSpec | None = None,
    *,
    is_chunk: bool = False,
) -> Problem:
    """Check an estimator's parameters together and resolve them for its rows.

    With ``spec`` given, the network is there already: a parameter that would make it
    another one is refused, and ``init`` is not read. A chunk is of a stream, of which
    more rows are to come.
    """
    e, n_rows, goes_on = estimator, len(rows), spec is not None
    reading = resolve_reading(e, rows, moments)
    sums = resolve_active(e) > 1
    if goes_on:
        # A stream goes on with what its first chunk came to, a fit with what it
        # started from.
        starts = Starts(("random",), tell_sizes=is_chunk or was_shown_clusters(e))
    else:
        choose = choose_stream_start if is_chunk else choose_starts
        starts = choose(e, rows, moments, ordered=reading.ordered)
    init, *others = starts.in_turn
    # Where training goes on, and of a chunk, nothing starts again.
    begins_again = not (goes_on or is_chunk)
    by_chance = reading.ordered and is_named(init, "random") and begins_again
    crowded = is_crowded(e, rows, moments, init, *others)
    network = resolve_spec(
        e,
        reading,
        # More rows than those of a chunk are to come.
        math.inf if is_chunk else n_rows,
        one_each=crowded or says_something_of_each_cluster(e, init),
    )
    if spec is not None:
        network = continued(spec, network, e, moments, reading)
    start = resolve_start(init, n_rows, network.n_experts)
    device = resolve_device(e.device)
    balance = resolve_balancing(
        e, network, None if goes_on else start,
        kept=starts.tell_sizes or (crowded and not goes_on), is_chunk=is_chunk,
    )  # fmt: skip
    comparison = resolve_comparison(
        e, n_rows, by_chance=by_chance, varied=crowded and not is_held(init),
        n_starts=len(starts.in_turn), sums=sums,
    )  # fmt: skip
    return Problem(
        spec=network,
        input_shape=reading.shape,
        read_shape=reading.read,
        n_clusters=int(e.n_clusters),
        loss=LOSSES[e.reconstruction_loss],
        # What there is to hold to is of the rows of a first chunk alone.
        weights=resolve_weights(
            e, network, None if goes_on or is_chunk else start, ordered=reading.ordered
        ),
        schedule=balance.schedule,
        sizes=balance.sizes,
        as_even_as_start=balance.as_even_as_start,
        input_noise=e.input_noise,
        consistency=resolve_consistency(
            e.consistency,
            image=reading.image,
            series=reading.series,
            counts=moments.directions,
        ),
        plan=resolve_plan(e, network, n_rows, device, ordered=reading.ordered),
        fewest_steps=fewest_steps(network.n_experts, ordered=reading.ordered),
        batch_size=int(e.batch_size),
        validation_fraction=e.validation_fraction,
        refinement=e.refinement,
        n_init=comparison.n_init,
        by_likeness=comparison.by_likeness,
        ends_agreed=comparison.by_likeness and is_named(e.n_init, "auto"),
        start=start,
        other_starts=tuple(others),
        judged_balance=comparison.judged_balance,
        device=device,
    )


@dataclass(frozen=True)
class Reading:
    """As what rows are read, and by which experts."""

    shape: tuple[int, ...]  # of rows as they are in X
    read: tuple[int, ...]  # of the same, or of what images are averaged to
    width: int | None  # of the coordinates that are read instead, if any
    architecture: Any
    image: bool
    series: bool

    @property
    def ordered(self) -> bool:
        """Whether values that are beside each other belong together."""
        return self.image or self.series


def resolve_reading(estimator: Any, rows: Rows, moments: Moments) -> Reading:
    """Return as what an estimator reads rows, or raise where they are not that."""
    e, axes = estimator, moments.axes  # of rows that are whitened
    asked = asked_shape(e.input_shape, moments.shape)
    shape = resolve_shape(asked, rows.original.n_features)
    check_architecture(e.architecture, shape)
    return Reading(
        shape=shape,
        read=resolve_pixels(e.max_pixels, shape, e.architecture),
        width=None if axes is None else axes.shape[1],
        architecture=e.architecture,
        image=is_image(shape, e.architecture),
        series=is_series(asked, shape, e.architecture),
    )


class Balance(NamedTuple):
    """What sizes the clusters are to have, and for how long that counts."""

    sizes: NDArray[np.float32] | None  # where they are known
    as_even_as_start: bool  # and no more
    schedule: str


def resolve_balancing(
    estimator: Any, network: NetworkSpec, start: Any, *, kept: bool, is_chunk: bool
) -> Balance:
    """Return how the clusters are balanced; ``start`` is None where training goes on.

    ``kept`` is whether "auto" keeps the sizes of any start.
    """
    e, k = estimator, int(estimator.n_clusters)
    one_each, sums = network.n_experts == k, network.n_active > 1
    sizes = resolve_sizes(e.cluster_sizes, k, network.n_experts)
    as_even_as_start = resolve_evenness(
        e.cluster_sizes, start, kept=kept, one_each=one_each and k > 1 and not sums
    )
    # By a start, unless experts are to spare, which it gives a few of each cluster, or
    # by the parameters. Of a chunk, more are to come; of sums, balance is of experts.
    started = not (start is None or is_named(start, "random"))
    told = (one_each and started) or sizes is not None or as_even_as_start
    schedule = resolve_schedule(
        e.entropy_schedule, sizes_are_told=told or is_chunk or sums
    )
    return Balance(sizes, as_even_as_start, schedule)


class Comparison(NamedTuple):
    """How often training starts, and by what one of the restarts is kept."""

    n_init: int
    by_likeness: bool
    judged_balance: float


def resolve_comparison(
    estimator: Any,
    n_rows: int,
    *,
    by_chance: bool,
    varied: bool,
    n_starts: int,
    sums: bool,
) -> Comparison:
    """Return how restarts are compared: with less of what wants clusters even.

    Of images or series that start ``by_chance``, their clusters are, too.
    """
    n_init = resolve_restarts(
        estimator.n_init,
        n_rows,
        varied=varied,
        ordered=by_chance,
        n_starts=n_starts,
        sums=sums,
    )
    if by_chance:
        by_likeness = n_init > 1 and not sums
        return Comparison(n_init, by_likeness, LIKENED_BALANCE if by_likeness else 1.0)
    return Comparison(n_init, False, JUDGED_BALANCE if n_starts > 1 else 1.0)


def resolve_weights(
    estimator: Any, network: NetworkSpec, start: Any, *, ordered: bool
) -> Weights:
    """Return the weights of the terms; ``start`` is None where training goes on."""
    e, k = estimator, int(estimator.n_clusters)
    held = 0.0
    if start is not None:
        held = resolve_start_weight(e.start_weight, start, k, network.n_experts)
    return Weights(
        1.0,
        e.sample_entropy_weight,
        resolve_balance(e.batch_entropy_weight, k, ordered=ordered),
        e.consistency_weight,
        held,
        e.prior_weight,
        e.distillation_weight,
    )


def resolve_plan(
    estimator: Any,
    network: NetworkSpec,
    n_rows: int,
    device: torch.device,
    *,
    ordered: bool,
) -> TrainingPlan:
    """Return how long, how fast and how exactly a network is trained."""
    e = estimator
    return TrainingPlan(
        max_epochs=resolve_epochs(
            e.max_epochs,
            n_rows,
            int(e.batch_size),
            n_experts=network.n_experts,
            ordered=ordered,
        ),
        learning_rate=e.learning_rate,
        learning_rate_decay=e.learning_rate_decay,
        weight_decay=e.weight_decay,
        tol=e.tol,
        n_iter_no_change=e.n_iter_no_change,
        precision=resolve_precision(e.precision, device, network.n_features),
    )


def choose_starts(
    estimator: Any, rows: Rows, moments: Moments, *, ordered: bool
) -> Starts:
    """Return ``init``; of "auto", the names of the starts that suit the rows."""
    e, k = estimator, int(estimator.n_clusters)
    if not is_named(e.init, "auto"):
        check_start(e.init, moments.lowest)
        return Starts((e.init,))
    if k == 1:
        return Starts(("random",))
    if e.n_active > 1:
        return Starts(("kmeans",))
    if ordered:
        return ordered_starts(len(rows), k)
    scaling = moments.scaling(LOSSES[e.reconstruction_loss])
    batches = Batches(rows, scaling, int(e.batch_size), torch.device("cpu"))
    # An expert is a Gaussian, a part ...: of some to spare each would be some of one.
    may_be_one_each = e.n_experts in ("auto", None, k)
    one_each = says_something_of_each_cluster(e, "auto")
    n_experts = resolve_experts(e.n_experts, k, len(rows), one_each=one_each)
    with ONE_AT_A_TIME:
        return automatic_starts(
            None if moments.axes is None else rows.n_features,
            scaling.n_coordinates,
            Evidence(batches, k),
            counts=moments.directions,
            words=moments.lowest >= 0,
            one_each=may_be_one_each,
            spare=n_experts > k,
        )


def choose_stream_start(
    estimator: Any, rows: Rows, moments: Moments, *, ordered: bool
) -> Starts:
    """Return the start of a stream; to "auto" a first chunk of few rows shows none."""
    e = estimator
    if is_named(e.init, "auto") and len(rows) < CHUNK_ROWS * int(e.n_clusters):
        return Starts(("random",))
    starts = choose_starts(e, rows, moments, ordered=ordered)
    return starts._replace(in_turn=starts.in_turn[:1])  # one network has one start


def was_shown_clusters(fitted: Any) -> bool:
    """Tell whether a fitted estimator did not start at random, if it knows.

    What a callback is given in the course of a fit does not.
    """
    return getattr(fitted, "init_", "random") != "random"


def is_crowded(
    estimator: Any, rows: Rows, moments: Moments, init: Any, *others: str
) -> bool:
    """Tell whether experts to spare would be merged badly; one each depends on luck.

    So it is of wide rows, unless the graph of neighbours tells clusters, and where by
    "auto" k-means is all there is to start from.
    """
    if moments.axes is None:
        return False
    if is_named(estimator.init, "auto") and init == "kmeans" and not others:
        return True
    told = is_named(init, "spectral") and not moments.directions
    return rows.n_features > WIDE_ROWS and not told


def says_something_of_each_cluster(estimator: Any, init: Any) -> bool:
    """Tell whether the parameters speak of clusters, each of which has an expert then.

    Known sizes, labels to start from, starts that are held to, and sums do.
    """
    sizes = estimator.cluster_sizes
    return (
        not isinstance(init, str)
        or is_held(init)
        or estimator.n_active > 1
        or not (sizes is None or is_named(sizes, "auto"))
    )


def resolve_spec(
    estimator: Any, reading: Reading, n_rows: float, *, one_each: bool
) -> NetworkSpec:
    """Return the sizes of the network that an estimator asks for."""
    e = estimator
    shape = reading.read if reading.width is None else (reading.width,)
    return NetworkSpec(
        n_experts=resolve_experts(
            e.n_experts,
            int(e.n_clusters),
            n_rows,
            one_each=one_each,
            ordered=reading.ordered,
        ),
        input_shape=shape,
        latent_dim=resolve_latent_dim(e.latent_dim, shape),
        architecture=reading.architecture,
        hidden_layer_sizes=layer_sizes(
            "hidden_layer_sizes", e.hidden_layer_sizes, at_least=1
        ),
        conv_channels=layer_sizes("conv_channels", e.conv_channels, at_least=1),
        assignment_hidden_layer_sizes=resolve_assignment(
            e.assignment_hidden_layer_sizes, e.assignment_input, reading.architecture
        ),
        assignment_input=e.assignment_input,
        activation=e.activation,
        expert=e.expert,
        n_active=int(e.n_active),
    )


def continued(
    fitted: NetworkSpec,
    asked: NetworkSpec,
    estimator: Any,
    moments: Moments,
    reading: Reading,
) -> NetworkSpec:
    """Return the fitted network's sizes, or raise where others are asked for."""
    if estimator.n_experts == "auto":  # as many as the rows of its first fit were worth
        asked = replace(asked, n_experts=fitted.n_experts)
    check_same_network(fitted, asked)
    check_same_whitening(moments, estimator)
    # Images with their colours first and last may be read as the same ones.
    if reading.shape != estimator.input_shape_:
        check_unchanged(["input_shape"])
    return fitted


# The parameters that a size of the network follows, where it is not one itself.
_ASKED_BY = {
    "n_experts": "n_clusters or n_experts",
    "input_shape": "input_shape or max_pixels",
}


def check_same_network(fitted: NetworkSpec, asked: NetworkSpec) -> None:
    """Raise where the parameters ask for another network than the fitted one."""
    check_unchanged(
        _ASKED_BY.get(name, name)
        for name, value in vars(fitted).items()
        if value != getattr(asked, name)
        # A factory may be another object after a round trip through a file.
        and not (callable(value) and callable(getattr(asked, name)))
    )


def check_same_whitening(fitted: Moments, estimator: Any) -> None:
    """Raise where rows are to be whitened in another way than they were at first."""
    e = estimator
    power = _whitening(e, fitted)
    # What "auto" follows.
    others = "architecture, input_shape or reconstruction_loss"
    changed = {
        "whitening" if e.whitening != "auto" else others: power != fitted.whitening,
        "n_components": power is not None
        and _noted(e.n_components) != fitted.n_components,
        # "auto" is what it was for the first rows.
        "directions": e.directions not in ("auto", fitted.directions),
    }
    check_unchanged(name for name, differs in changed.items() if differs)


def _whitening(estimator: Any, moments: Moments) -> float | None:
    """Return the power of the whitening of rows that are, or are no, images."""
    e = estimator
    shape = asked_shape(e.input_shape, moments.shape)
    return resolve_whitening(e.whitening, shape, e.architecture, e.reconstruction_loss)


def _noted(n_components: int | str) -> int:
    """Return the number that "auto" is noted as, or the number itself."""
    return 0 if isinstance(n_components, str) else int(n_components)


def check_unchanged(names: Iterable[str]) -> None:
    """Raise if there are any names, of parameters that are not as they were."""
    changed = list(names)
    if changed:
        raise ValueError(
            f"The parameters {changed} differ from those of the fitted network, which "
            "partial_fit, and fit with warm_start=True, train on. They must stay as "
            "they were; to start over, call fit with warm_start=False."
        )


def new_network(problem: Problem, seed: int) -> MixtureOfAutoencoders:
    """Build a network on the problem's device, its weights drawn from ``seed``."""
    with own_randomness(seed, problem):
        network = build_network(problem.spec, torch.Generator().manual_seed(seed))
    return network.to(problem.device)


@contextmanager
def own_randomness(seed: int, problem: Problem) -> Iterator[None]:
    """Seed torch's global generator for a user's own code, and put it back after.

    Everything of ours draws from generators of its own; a factory's layers cannot, nor
    can the transforms of most libraries.
    """
    if not problem.runs_own_code:
        yield
        return
    generators = global_generators(problem.device)
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def global_generators(device: torch.device) -> list[torch.Generator]:
    """Return the global generators that code draws from which runs on a device.

    Those of other devices are nobody's business, and ``torch.manual_seed`` seeds all.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()  # there are none before
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    return generators
