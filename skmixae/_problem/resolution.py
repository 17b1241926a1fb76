"""The estimator's parameters, resolved into what a fit needs to know."""

from __future__ import annotations

import math
from typing import Any

import torch

from .._parameters import (
    JUDGED_BALANCE,
    LIKENED_BALANCE,
    Starts,
    fewest_steps,
    is_held,
    is_named,
    layer_sizes,
    resolve_active,
    resolve_assignment,
    resolve_balance,
    resolve_consistency,
    resolve_device,
    resolve_epochs,
    resolve_evenness,
    resolve_experts,
    resolve_latent_dim,
    resolve_precision,
    resolve_restarts,
    resolve_schedule,
    resolve_sizes,
    resolve_start,
    resolve_start_weight,
)
from ..network import NetworkSpec
from ..objective import LOSSES, Weights
from ..training import Moments, Rows, TrainingPlan
from .continuing import continued
from .occasion import Occasion
from .problem import Balance, Comparison, Problem
from .reading import Reading, resolve_reading
from .starting import is_crowded, resolve_starts, says_something_of_each_cluster


def resolve_problem(
    estimator: Any, rows: Rows, moments: Moments, occasion: Occasion = Occasion.FIT
) -> Problem:
    """Check an estimator's parameters together and resolve them for its rows.

    Where training goes on, the network is there already: a parameter that would make it
    another one is refused, and ``init`` is not read.
    """
    e, n_rows = estimator, len(rows)
    reading = resolve_reading(e, rows, moments)
    starts = resolve_starts(e, rows, moments, occasion, ordered=reading.ordered)
    init, *others = starts.in_turn
    crowded = is_crowded(e, rows, moments, init, *others)
    network = resolve_spec(
        e,
        reading,
        # More rows than those of a chunk are to come.
        math.inf if occasion.is_chunk else n_rows,
        one_each=crowded or says_something_of_each_cluster(e, init),
    )
    if occasion.goes_on:
        network = continued(network, e, moments, reading)
    start = resolve_start(init, n_rows, network.n_experts)
    device = resolve_device(e.device)
    return Problem(
        spec=network,
        reading=reading,
        n_clusters=int(e.n_clusters),
        loss=LOSSES[e.reconstruction_loss],
        weights=resolve_weights(e, network, start, occasion, ordered=reading.ordered),
        balance=resolve_balancing(
            e, network, start, occasion,
            kept=starts.tell_sizes or (crowded and not occasion.goes_on),
        ),
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
        start=start,
        other_starts=tuple(others),
        comparison=resolve_comparison(
            e, n_rows, occasion, starts, ordered=reading.ordered,
            varied=crowded and not is_held(init),
        ),
        device=device,
    )  # fmt: skip


def resolve_balancing(
    estimator: Any, network: NetworkSpec, start: Any, occasion: Occasion, *, kept: bool
) -> Balance:
    """Return how the clusters are balanced.

    ``kept`` is whether "auto" keeps the sizes of any start.
    """
    e, k = estimator, int(estimator.n_clusters)
    start = None if occasion.goes_on else start
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
        e.entropy_schedule, sizes_are_told=told or occasion.is_chunk or sums
    )
    return Balance(sizes, as_even_as_start, schedule)


def resolve_comparison(
    estimator: Any,
    n_rows: int,
    occasion: Occasion,
    starts: Starts,
    *,
    ordered: bool,
    varied: bool,
) -> Comparison:
    """Return how restarts are compared: with less of what wants clusters even.

    Of images or series that start at random, their clusters are, too. Where training
    goes on, and of a chunk, nothing starts again.
    """
    e, n_starts, sums = estimator, len(starts.in_turn), resolve_active(estimator) > 1
    at_random = is_named(starts.in_turn[0], "random")
    by_chance = ordered and at_random and occasion is Occasion.FIT
    n_init = resolve_restarts(
        e.n_init, n_rows, varied=varied, ordered=by_chance, n_starts=n_starts, sums=sums
    )
    if by_chance and n_init > 1 and not sums:
        ends_agreed = is_named(e.n_init, "auto")
        return Comparison(n_init, True, ends_agreed, LIKENED_BALANCE)
    judged_balance = JUDGED_BALANCE if n_starts > 1 and not by_chance else 1.0
    return Comparison(n_init, False, False, judged_balance)


def resolve_weights(
    estimator: Any, network: NetworkSpec, start: Any, occasion: Occasion, *,
    ordered: bool,
) -> Weights:  # fmt: skip
    """Return the weights of the terms."""
    e, k, held = estimator, int(estimator.n_clusters), 0.0
    # What there is to hold to is of the rows of a first chunk alone.
    if occasion is Occasion.FIT:
        held = resolve_start_weight(e.start_weight, start, k, network.n_experts)
    weights = (
        1.0,
        e.sample_entropy_weight,
        resolve_balance(e.batch_entropy_weight, k, ordered=ordered),
        e.consistency_weight,
        held,
        e.prior_weight,
        e.distillation_weight,
    )
    return Weights(*map(float, weights))


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
