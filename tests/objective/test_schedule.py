"""How the weights of the terms move."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmixae.objective.schedule import (
    BALANCED_MEMORY,
    BALANCED_RANGE,
    FLOOR,
    SCHEDULES,
    SURE,
    Weights,
)

BASE = Weights(2.0, 0.3, 0.5, 0.7)
PROGRESS = [0.0, 0.01, 0.3, 0.5, 0.99, 1.0]


def values(*numbers):
    return [torch.tensor(float(number)) for number in numbers]


def observe(schedule, reconstruction, sample, batch):
    reconstruction, sample, batch = values(reconstruction, sample, batch)
    schedule.observe(reconstruction, (sample, batch))


@pytest.mark.parametrize("progress", PROGRESS)
def test_constant_never_moves(progress):
    schedule = SCHEDULES["constant"](BASE)
    observe(schedule, 5.0, 0.1, 0.2)
    assert schedule.at(progress) == BASE


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_keeps_the_weights_that_were_asked_for(name):
    schedule = SCHEDULES[name](BASE)
    for progress in PROGRESS:
        observe(schedule, 1.0, 0.3, 0.9)
        schedule.at(progress)
    assert schedule.base == BASE


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("entropy", [0.0, SURE / 2, SURE * 1.1, 1.0])
def test_only_where_balance_fades_must_assignments_be_sure_first(name, entropy):
    decided = SCHEDULES[name](BASE).is_decided({"sample_entropy": entropy})
    assert decided == (name != "fading" or entropy < SURE)


def test_anneal_starts_with_balance_and_ends_with_reconstruction():
    schedule = SCHEDULES["anneal"](BASE)
    start, end = schedule.at(0.0), schedule.at(1.0)
    assert start.reconstruction == pytest.approx(FLOOR * BASE.reconstruction)
    assert start.batch_entropy == pytest.approx(BASE.batch_entropy)
    assert end.reconstruction == pytest.approx(BASE.reconstruction)
    assert end.batch_entropy == pytest.approx(FLOOR * BASE.batch_entropy)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_anneal_moves_one_way_and_touches_nothing_else(one, other):
    early, late = map(SCHEDULES["anneal"](BASE).at, sorted([one, other]))
    assert early.reconstruction <= late.reconstruction
    assert early.batch_entropy >= late.batch_entropy
    for weights in (early, late):
        assert weights.sample_entropy == BASE.sample_entropy
        assert weights.consistency == BASE.consistency


def fading(*entropies):
    """A schedule that saw such sample entropies, evenly over its epochs."""
    schedule = SCHEDULES["fading"](BASE)
    for i, entropy in enumerate(entropies):
        schedule.at(i / len(entropies))
        observe(schedule, 0.5, entropy, 0.9)
    return schedule


@pytest.mark.parametrize("progress", PROGRESS)
def test_fading_lets_go_of_the_balance_alone(progress):
    weights = fading(0.1).at(progress)  # sure from the first step on
    share = 1 - progress + FLOOR * progress
    assert float(weights.batch_entropy) == pytest.approx(share * BASE.batch_entropy)
    assert weights._replace(batch_entropy=BASE.batch_entropy) == BASE


@pytest.mark.parametrize("progress", PROGRESS)
def test_nothing_fades_before_assignments_are_sure(progress):
    assert fading().at(progress) == BASE
    assert fading(*[SURE + 0.01] * 100).at(progress) == BASE
    assert fading(0.9, 0.0).at(progress) == BASE  # one step says nothing


@pytest.mark.parametrize("begun", [0.2, 0.5, 0.8])
def test_fading_begins_where_assignments_are_sure_and_takes_half_of_the_epochs(begun):
    schedule = fading(*[0.9] * round(1000 * begun), *[0.1] * round(1000 - 1000 * begun))
    whole, weights = BASE.batch_entropy, schedule.at(begun).batch_entropy
    assert float(weights) == pytest.approx(whole)
    shares = [float(schedule.at(i / 50).batch_entropy) / whole for i in range(51)]
    assert (np.diff(shares) <= 0).all()
    steepest = (1 - FLOOR) / max(0.5, 1 - begun - 0.05)
    assert (np.diff(shares) >= -1.001 * steepest / 50).all()
    left = 1 - (1 - FLOOR) * min(1, (1 - begun) / 0.5)
    assert shares[-1] == pytest.approx(left, abs=0.06)


def test_what_fades_does_not_come_back_when_assignments_are_unsure_again():
    schedule = fading(*[0.1] * 100)
    faded = float(schedule.at(0.9).batch_entropy)
    for _ in range(100):
        observe(schedule, 0.5, 0.9, 0.9)
    assert float(schedule.at(0.9).batch_entropy) == faded


@pytest.mark.parametrize("name", ["anneal", "fading"])
def test_what_fades_stays_at_its_end_in_a_stream_that_goes_on(name):
    schedule = SCHEDULES[name](BASE)
    observe(schedule, 0.8, 0.1, 0.9)
    assert schedule.at(7.0) == schedule.at(1.0) != BASE


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_phase_after_begins_where_the_one_before_ended(name):
    schedule = SCHEDULES[name](BASE)
    observe(schedule, 0.8, 0.4, 0.9)
    for ended in PROGRESS:
        expected = schedule.at(ended)
        following = schedule.settled(ended)
        for progress in PROGRESS:
            assert following.at(progress) == expected


@pytest.mark.parametrize("name", ["constant", "anneal"])
def test_epochs_are_compared_by_the_weights_that_they_are_trained_with(name):
    schedule = SCHEDULES[name](BASE)
    for ended in PROGRESS:
        assert schedule.settled(ended).base == schedule.at(ended)


def test_what_has_faded_stays_there_when_experts_are_merged():
    schedule = fading(*[0.1] * 100)
    following = schedule.settled(1.0)
    assert following.at(0.0) == following.at(1.0) == following.base == schedule.at(1.0)


@pytest.mark.parametrize("entropies", [[], [0.9] * 100])
def test_what_could_not_fade_before_experts_were_merged_fades_then(entropies):
    following = fading(*entropies).settled(1.0)
    assert following.at(0.0) == BASE
    for progress in np.linspace(0, 1, 100):
        following.at(progress)
        observe(following, 0.5, 0.01, 0.9)
    left = FLOOR * BASE.batch_entropy
    assert float(following.at(1.0).batch_entropy) == pytest.approx(left, rel=0.6)
    assert following.base.batch_entropy == pytest.approx(left)


def test_balanced_starts_as_asked():
    assert SCHEDULES["balanced"](BASE).at(0.0) == BASE


@pytest.mark.parametrize("terms", [(0.8, 0.4, 0.9), (0.2, 1.0, 0.05), (2, 2, 2)])
def test_balanced_makes_weighted_terms_equal_where_nothing_is_clipped(terms):
    base = Weights(1.0, 1.0, 1.0, 0.7)
    schedule = SCHEDULES["balanced"](base)
    observe(schedule, *terms)
    weights = schedule.at(0.5)
    reconstruction, sample, batch = terms
    assert float(weights.sample_entropy) * sample == pytest.approx(reconstruction)
    assert float(weights.batch_entropy) * batch == pytest.approx(reconstruction)
    assert weights.reconstruction == base.reconstruction
    assert weights.consistency == base.consistency


def test_balanced_multiplies_the_weights_that_were_asked_for():
    schedule = SCHEDULES["balanced"](BASE)
    observe(schedule, 0.8, 0.4, 1.6)
    assert float(schedule.at(0).sample_entropy) == pytest.approx(0.3 * 2)
    assert float(schedule.at(0).batch_entropy) == pytest.approx(0.5 / 2)


@pytest.mark.parametrize("terms", [(1, 0, 0), (0, 1, 1), (0, 0, 0), (1e30, 1e-30, 1)])
def test_balanced_never_leaves_its_range(terms):
    schedule = SCHEDULES["balanced"](BASE)
    observe(schedule, *terms)
    weights = schedule.at(0.5)
    low, high = BALANCED_RANGE
    for weight, base in zip(weights[1:3], BASE[1:3], strict=True):
        assert low * base * 0.9999 <= float(weight) <= high * base * 1.0001


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(*[st.floats(0.5, 2)] * 3), min_size=1, max_size=20))
def test_balanced_remembers_an_exponential_mean(observed):
    schedule = SCHEDULES["balanced"](BASE)
    mean = observed[0]
    for i, terms in enumerate(observed):
        observe(schedule, *terms)
        if i:
            mean = [
                BALANCED_MEMORY * old + (1 - BALANCED_MEMORY) * new
                for old, new in zip(mean, terms, strict=True)
            ]
    weights = schedule.at(1.0)
    expected = BASE.sample_entropy * mean[0] / mean[1]
    assert float(weights.sample_entropy) == pytest.approx(expected, rel=1e-5)
    expected = BASE.batch_entropy * mean[0] / mean[2]
    assert float(weights.batch_entropy) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_flows_through_balanced_weights():
    schedule = SCHEDULES["balanced"](BASE)
    terms = [value.requires_grad_() * 1 for value in values(0.8, 0.4, 0.9)]
    schedule.observe(terms[0], (terms[1], terms[2]))
    weights = schedule.at(0.5)
    assert not any(torch.as_tensor(weight).requires_grad for weight in weights)


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_is_remembered_stays_where_it_is(name):
    """Steps that are recorded read and write it there."""
    schedule, place = SCHEDULES[name](BASE), None
    for i in range(4):
        observe(schedule, 1.0 + i, 0.2 / (1 + i), 0.9)
        schedule.at(i / 4)
        state = schedule.state
        if state is not None:
            assert place in (None, state.data_ptr())
            place = state.data_ptr()
            assert len(state) == schedule.remembers


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("progress", [*PROGRESS, 7.0])
def test_progress_may_be_a_number_on_the_device(name, progress):
    weights = []
    for given_as in (float, torch.tensor):
        schedule = SCHEDULES[name](BASE)
        for sample in (0.9, 0.1, 0.05):
            observe(schedule, 1.0, sample, 0.9)
            schedule.at(given_as(progress))
        weights.append([float(w) for w in schedule.at(given_as(progress))])
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)
