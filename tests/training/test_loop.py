"""The loop, mostly with networks and objectives that are not ours: it knows neither."""

import math
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skmixae.network import NetworkSpec, build_network
from skmixae.objective import (
    LOSSES,
    SCHEDULES,
    AdversarialConsistency,
    MixtureObjective,
    Reconstruction,
    Weights,
)
from skmixae.training import (
    Batches,
    LabelBook,
    Randomness,
    Rows,
    Scaling,
    TrainingDiverged,
    TrainingPlan,
    TrainingRun,
    Validation,
    train,
)

CPU = torch.device("cpu")
N_ROWS, BATCH_SIZE = 40, 10
STEPS = N_ROWS // BATCH_SIZE

ToyTerms = namedtuple("ToyTerms", ["total", "objective", "misery"])
ToyStep = namedtuple("ToyStep", ["terms", "assignment"])


class Toy(nn.Module):
    """One weight, and a buffer that counts the passes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("n_passes", torch.zeros(()))

    def forward(self, x):
        self.n_passes += 1
        return self.weight * x.sum(1)


class Scripted:
    """An objective that follows a script: one number for each epoch.

    The gradient is the same at each step, so that the weight only tells how far
    training went. ``at`` is called at the beginning of each step with its number.
    """

    def __init__(self, script, at=lambda step: None, validation=None):
        self.script, self.at, self.validation = script, at, validation
        self.n_steps = self.n_evaluated = 0
        self.seen, self.weights = [], []

    def step(self, network, x, index, progress, generator):
        epoch, step = divmod(self.n_steps, STEPS)
        if step == 0:
            self.weights.append(network.weight.item())
        self.at((epoch, step))
        self.n_steps += 1
        self.seen.append((index, x, progress, torch.is_grad_enabled()))
        value = torch.tensor(float(self.script[epoch]))
        network(x)
        total = network.weight.sum() - network.weight.detach().sum() + value
        assignment = torch.eye(2)[index % 2]
        return ToyStep(ToyTerms(total, value, value * 2), assignment)

    def evaluate(self, network, x):
        assert not network.training
        epoch = self.n_steps // STEPS - 1
        self.n_evaluated += 1
        value = torch.tensor(float(self.validation[epoch]))
        return ToyStep(ToyTerms(value, value, value), torch.eye(2)[: len(x)])


class Watch:
    """A monitor that notes the reports, and may stop."""

    def __init__(self, stop_after=None):
        self.stop_after, self.reports, self.begun = stop_after, [], 0

    def begin_epoch(self):
        self.begun += 1

    def end_epoch(self, report):
        self.reports.append(report)
        return len(self.reports) == self.stop_after


def rows(n=N_ROWS):
    return np.arange(n * 3, dtype=np.float32).reshape(n, 3)


def batches(X=None, batch_size=BATCH_SIZE):
    scaling = Scaling(np.zeros(3), 1.0)
    return Batches(Rows(rows() if X is None else X), scaling, batch_size, CPU)


def run(
    objective, network=None, seed=0, monitor=None, validation=None, is_decided=None,
    **plan,
):  # fmt: skip
    plan = {"max_epochs": len(objective.script), "learning_rate": 0.1} | plan
    network = network or Toy()
    trained = train(
        network, objective, batches(), TrainingPlan(**plan),
        Randomness.from_seed(seed, CPU),
        n_experts=2, monitor=monitor, validation=validation, is_decided=is_decided,
    )  # fmt: skip
    return network, trained


# ---------------------------------------------------------------------------
# Epochs
# ---------------------------------------------------------------------------


def test_every_epoch_sees_every_row_once_with_its_index():
    objective = Scripted([3, 2, 1])
    run(objective)
    X = rows()
    for epoch in range(3):
        part = objective.seen[epoch * STEPS : (epoch + 1) * STEPS]
        indices = torch.cat([index for index, *_ in part]).tolist()
        assert sorted(indices) == list(range(N_ROWS))
        assert indices != list(range(N_ROWS))
        for index, x, progress, with_gradient in part:
            assert torch.equal(x, torch.from_numpy(X[index.numpy()]))
            assert progress == epoch / 2
            assert with_gradient


def test_history_has_a_row_for_each_epoch_with_the_objective_s_own_names():
    _, trained = run(Scripted([3, 2, 1]))
    for value, report in zip([3, 2, 1], trained.history, strict=True):
        assert list(report.terms) == ["total", "objective", "misery"]
        assert report.terms["misery"] == 2 * value
        assert_allclose(report.usage, [0.5, 0.5])
    # Before the first epoch there was no label that could have changed.
    assert_array_equal([r.label_change for r in trained.history], [np.nan, 0, 0])
    assert trained.stopped == "max_epochs"


def test_terms_of_an_epoch_are_means_over_its_rows():
    """A batch with a row more weighs more."""

    class Counting(Scripted):
        def step(self, network, x, *args):
            step = super().step(network, x, *args)
            size = torch.tensor(float(len(x)))
            return step._replace(terms=step.terms._replace(objective=size))

    network = Toy()
    trained = train(
        network, Counting([0]), batches(batch_size=17),
        TrainingPlan(1, 0.1), Randomness.from_seed(0, CPU), n_experts=2,
    )  # fmt: skip
    expected = (14 * 14 + 13 * 13 + 13 * 13) / 40
    assert trained.history[0].terms["objective"] == pytest.approx(expected)


@pytest.mark.parametrize("decay", [1.0, 0.01])
def test_learning_rate_falls_geometrically_to_the_share_that_is_left(decay):
    _, trained = run(Scripted(range(5, 0, -1)), learning_rate_decay=decay)
    rates = [report.learning_rate for report in trained.history]
    expected = [0.1 * decay ** (epoch / 4) for epoch in range(5)]
    assert rates == pytest.approx(expected)


def test_a_single_epoch_has_the_full_learning_rate():
    _, trained = run(Scripted([1]), learning_rate_decay=0.01)
    assert trained.history[0].learning_rate == 0.1


def test_steps_are_those_of_adam_at_the_epoch_s_learning_rate():
    """Of a gradient that never changes, Adam's step is the learning rate itself."""
    objective = Scripted([3, 2, 1])
    network, _ = run(objective, learning_rate_decay=0.25)
    moved = np.diff([*objective.weights, network.weight.item()])
    assert_allclose(moved, [-0.1 * STEPS * s for s in (1, 0.5, 0.25)], rtol=1e-5)


def test_weight_decay_shrinks_weights_apart_from_their_gradient():
    class Idle(Scripted):
        def step(self, network, *args):
            step = super().step(network, *args)
            total = step.terms.total + 0 * network.weight.sum()
            still = total - network.weight.sum() + network.weight.detach().sum()
            return step._replace(terms=step.terms._replace(total=still))

    network = Toy()
    nn.init.ones_(network.weight)
    run(Idle([1]), network, weight_decay=0.5)
    assert network.weight.item() == pytest.approx((1 - 0.1 * 0.5) ** STEPS)


@pytest.mark.parametrize(
    ("max_epochs", "share", "last"),
    [(10, 0.4, 4), (10, 0.0, 0), (1, 0.9, 0), (2, 0.9, 1), (3, 0.1, 0)],
)
def test_a_refined_plan_starts_anew_and_falls_twice_as_far(max_epochs, share, last):
    plan = TrainingPlan(max_epochs, 0.1, learning_rate_decay=0.3)
    first, rest = plan.refined(share)
    assert first.max_epochs == max_epochs - last
    assert first.learning_rate_decay == 0.3
    if not last:
        assert (first, rest) == (plan, None)
    else:
        assert (rest.max_epochs, rest.learning_rate) == (last, 0.1)
        assert rest.learning_rate_decay == pytest.approx(0.09)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("max_epochs", [1, 2, 10])
def test_a_split_plan_has_as_many_epochs_and_at_least_one_first(max_epochs, share):
    plan = TrainingPlan(max_epochs, 0.1, learning_rate_decay=0.1)
    first, rest = plan.split(share)
    assert first.max_epochs + rest.max_epochs == max_epochs
    assert first.max_epochs >= 1
    assert first.learning_rate_decay == 1
    assert rest.learning_rate_decay == 0.1


# ---------------------------------------------------------------------------
# The best weights, and when to stop
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("script", [[3, 1, 2], [1, 2, 3], [3, 2, 1], [2, 1, 1, 5]])
def test_the_weights_and_buffers_of_the_best_epoch_are_left(script):
    objective = Scripted(script)
    network, trained = run(objective)
    best = script.index(min(script))
    assert trained.best_epoch == best
    assert trained.best_objective == min(script)
    assert network.weight.item() == pytest.approx(-0.1 * STEPS * (best + 1))
    assert network.n_passes.item() == STEPS * (best + 1)
    assert len(trained.history) == len(script)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=6))
def test_the_best_epoch_is_of_those_to_compare_where_there_are_any(epochs):
    script, compared = zip(*epochs, strict=True)
    flags = iter(compared)
    network, trained = run(Scripted(script), is_decided=lambda terms: next(flags))
    among = [i for i, flag in enumerate(compared) if flag or not any(compared)]
    best = min(among, key=lambda i: (script[i], i))
    assert trained.best_epoch == best
    assert network.weight.item() == pytest.approx(-0.1 * STEPS * (best + 1))


@pytest.mark.parametrize(
    ("patience", "n_epochs"), [(1, 3), (2, 4), (3, 8), (None, 8), (9, 8)]
)
def test_patience_ends_training_that_long_after_the_best_epoch(patience, n_epochs):
    objective = Scripted([3, 2, 2.5, 2.4, 1, 4, 4, 4])
    _, trained = run(objective, n_iter_no_change=patience)
    assert len(trained.history) == n_epochs
    ended = patience is not None and trained.best_epoch + patience < 8
    assert trained.stopped == ("no_change" if ended else "max_epochs")


def test_gains_smaller_than_the_tolerance_do_not_count():
    objective = Scripted([3.0, 2.95, 2.92, 2.8, 2.75])
    _, trained = run(objective, tol=0.1, n_iter_no_change=2)
    assert len(trained.history) == 3
    assert trained.best_epoch == 0
    _, trained = run(Scripted([3.0, 2.95, 2.8, 2.75]), tol=0.1, n_iter_no_change=2)
    assert trained.best_epoch == 2


def test_a_monitor_is_told_of_every_epoch_and_may_stop():
    monitor = Watch(stop_after=2)
    _, trained = run(Scripted([3, 2, 1]), monitor=monitor)
    assert trained.stopped == "callback"
    assert trained.history == monitor.reports
    assert monitor.begun == len(monitor.reports) == 2


def test_validation_rows_decide_which_epoch_is_the_best():
    objective = Scripted([3, 2, 1], validation=[1, 0, 2])
    validation = Validation(objective.evaluate, batches().narrowed(np.arange(15)))
    network, trained = run(objective, validation=validation)
    assert trained.best_epoch == 1
    assert network.weight.item() == pytest.approx(-0.1 * STEPS * 2)
    assert objective.n_evaluated == 3 * 2  # batches of ten and of five
    values = [r.terms["validation_objective"] for r in trained.history]
    assert values == [1, 0, 2]
    assert [r.terms["objective"] for r in trained.history] == [3, 2, 1]


def test_a_validated_epoch_trains_on_in_training_mode():
    class Strict(Scripted):
        def step(self, network, *args):
            assert network.training
            return super().step(network, *args)

    objective = Strict([2, 1], validation=[2, 1])
    run(objective, validation=Validation(objective.evaluate, batches()))


def test_a_run_after_another_counts_its_epochs_on():
    (_, first), (_, second) = run(Scripted([3, 1])), run(Scripted([2, 1, 4]))
    joined = second.after(first)
    assert joined.history == first.history + second.history
    assert joined.best_epoch == 3
    assert joined.stopped == second.stopped


def test_a_run_without_an_epoch_leaves_the_best_of_the_one_before():
    _, first = run(Scripted([1, 3]))
    assert TrainingRun().after(first).best_epoch == 0


# ---------------------------------------------------------------------------
# When things go wrong
# ---------------------------------------------------------------------------


class Poisoned(Scripted):
    """A term becomes NaN, or infinite, at one place."""

    def __init__(self, script, place, value=math.nan, term="misery"):
        super().__init__(script)
        self.place, self.value, self.term = place, value, term

    def step(self, network, *args):
        now = divmod(self.n_steps, STEPS)
        step = super().step(network, *args)
        if now != self.place:
            return step
        bad = step.terms.total * self.value
        spoilt = {self.term: bad.detach()} | {"total": bad}
        return step._replace(terms=step.terms._replace(**spoilt))


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (2, 1)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_names_the_place_and_the_term_and_keeps_the_best(place, value):
    network = Toy()
    objective = Poisoned([3, 2, 1, 0.5], place, value)
    epoch, step = place
    message = rf"epoch {epoch + 1}, step {step + 1} of {STEPS}: misery became {value}"
    with pytest.raises(TrainingDiverged, match=message) as caught:
        run(objective, network)
    assert network.weight.item() == pytest.approx(-0.1 * STEPS * epoch)
    trained = caught.value.training_run
    assert len(trained.history) == epoch
    assert trained.best_epoch == epoch - 1


def test_the_term_to_blame_is_the_first_that_went_wrong_not_the_sum():
    with pytest.raises(TrainingDiverged, match="misery became"):
        run(Poisoned([1], (0, 1)))
    with pytest.raises(TrainingDiverged, match="total became"):
        run(Poisoned([1], (0, 1), term="total"))


def test_a_weight_that_is_lost_in_the_last_step_is_noticed():
    class Last(Scripted):
        def step(self, network, *args):
            last = divmod(self.n_steps, STEPS) == (1, STEPS - 1)
            step = super().step(network, *args)
            if last:  # finite terms whose gradient is not
                total = step.terms.total + (network.weight * 0).sqrt().sum()
                step = step._replace(terms=step.terms._replace(total=total))
            return step

    network = Toy()
    with pytest.raises(TrainingDiverged, match="end of epoch 2: a weight"):
        run(Last([2, 1]), network)
    assert network.weight.item() == pytest.approx(-0.1 * STEPS)


def test_divergence_is_a_floating_point_error():
    assert issubclass(TrainingDiverged, FloatingPointError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_best_weights_and_the_run(error):
    def at(now):
        if now == (2, 1):
            raise error

    network = Toy()
    with pytest.raises(error) as caught:
        run(Scripted([1, 2, 3, 4], at), network)
    assert network.weight.item() == pytest.approx(-0.1 * STEPS)
    assert len(caught.value.training_run.history) == 2
    assert caught.value.training_run.best_epoch == 0


def test_an_error_of_the_monitor_keeps_the_epoch_that_ended():
    class Failing(Watch):
        def end_epoch(self, report):
            raise KeyboardInterrupt

    network = Toy()
    with pytest.raises(KeyboardInterrupt) as caught:
        run(Scripted([1, 2]), network, monitor=Failing())
    assert caught.value.training_run.best_epoch == 0
    assert network.weight.item() == pytest.approx(-0.1 * STEPS)


# ---------------------------------------------------------------------------
# Labels
# ---------------------------------------------------------------------------


def test_label_book_counts_as_a_loop_does():
    n, k = 23, 4
    book, labels = LabelBook(n, k, CPU), [-1] * n
    source = np.random.default_rng(0)
    for i_pass in range(4):
        usage, changed = [0.0] * k, 0
        for index in np.array_split(source.permutation(n), 5):
            p = source.dirichlet([0.5] * k, size=len(index)).astype(np.float32)
            book.note(torch.from_numpy(index), torch.from_numpy(p))
            for i, row in zip(index, p.tolist(), strict=True):
                best = row.index(max(row))
                changed += labels[i] != best
                labels[i] = best
                for j in range(k):
                    usage[j] += row[j] / n
        found, share = book.close()
        assert_allclose(found, usage, rtol=1e-5)
        if i_pass:
            assert share == pytest.approx(changed / n, rel=1e-5)
        else:
            assert math.isnan(share)


def test_labels_of_merged_experts_are_those_of_clusters():
    """A row that goes from one expert to another of its cluster has not moved."""
    clusters = torch.tensor([[True, True, False], [False, False, True]])
    book = LabelBook(3, 3, CPU, clusters)
    index = torch.arange(3)
    book.note(index, torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]))
    book.close()
    book.note(index, torch.tensor([[0.1, 0.9, 0.0], [0.1, 0.1, 0.8], [0.0, 0.0, 1.0]]))
    usage, changed = book.close()
    assert changed == pytest.approx(1 / 3)
    assert_allclose(usage, [0.2 / 3, 1 / 3, 1.8 / 3], rtol=1e-6)


def test_label_book_of_some_of_the_rows_is_about_those():
    book = LabelBook(100, 2, CPU)
    book.note(torch.tensor([7, 99]), torch.eye(2))
    book.close()
    book.note(torch.tensor([99, 7]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    usage, changed = book.close()
    assert usage.tolist() == [0, 1]
    assert changed == 0.5


# ---------------------------------------------------------------------------
# With a network and an objective of ours
# ---------------------------------------------------------------------------


def train_ours(seed, n_epochs=3, precision=torch.float32, monitor=None):
    spec = NetworkSpec(3, (4,), 2, "mlp", (6,), (2,), (5,), "hidden", "relu")
    network = build_network(spec, torch.Generator().manual_seed(7))
    X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    objective = MixtureObjective(
        Reconstruction(LOSSES["mse"], 1.0),
        SCHEDULES["balanced"](Weights(1.0, 0.1, 0.4, 1.0)),
        input_noise=0.1,
        regularisers=[AdversarialConsistency(0.25)],
    )
    trained = train(
        network, objective,
        Batches(Rows(X), Scaling(np.zeros(4), 1.0), 16, CPU),
        TrainingPlan(n_epochs, 0.01, precision=precision),
        Randomness.from_seed(seed, CPU), n_experts=3, monitor=monitor,
    )  # fmt: skip
    return network, trained


@pytest.mark.rng_untouched
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_equal_seeds_train_to_equal_bits(precision):
    (one, first), (two, second) = (train_ours(3, precision=precision) for _ in range(2))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
    assert [r.terms for r in first.history] == [r.terms for r in second.history]
    other, _ = train_ours(4, precision=precision)
    assert not torch.equal(one.experts.to_rows.weight, other.experts.to_rows.weight)


def test_training_in_bfloat16_keeps_float32_weights_and_terms():
    network, trained = train_ours(0, precision=torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert all(b.dtype == torch.float32 for b in network.buffers())
    assert trained.history[-1].terms["total"] < trained.history[0].terms["total"]


def test_training_lowers_the_objective():
    _, trained = train_ours(0, n_epochs=15)
    objectives = [report.terms["objective"] for report in trained.history]
    assert trained.best_objective == min(objectives) < objectives[0]
