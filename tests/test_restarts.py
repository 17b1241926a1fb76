"""Restarts come to the same side by side as one after another."""

import threading
import time
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, load_wine, make_blobs
from sklearn.metrics import adjusted_rand_score

from skmixae import MixAEClustering, TrainingDiverged, _parameters, _restarts
from skmixae._problem import starting
from skmixae.training import ONE_AT_A_TIME, loop

X, _ = make_blobs(120, n_features=6, centers=3, random_state=0)
DIGITS = load_digits().data[:300]


def small(**params):
    settings = {
        "n_clusters": 3,
        "hidden_layer_sizes": (8,),
        "latent_dim": 2,
        "max_epochs": 6,
        "init": "random",
        "n_init": 3,
        "random_state": 0,
    }
    return MixAEClustering(**settings | params)


def threads_of_fits(monkeypatch):
    """Return a set to which each fit adds the thread that it runs in."""
    seen, fit_once = set(), _restarts.fit_once

    def spy(*args, **kwargs):
        seen.add(threading.get_ident())
        return fit_once(*args, **kwargs)

    monkeypatch.setattr(_restarts, "fit_once", spy)
    return seen


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("n_init", [2, 3, 5])
@pytest.mark.parametrize(
    ("rows", "params"),
    [
        (X, {"precision": "float32"}),
        (X, {"precision": "bfloat16", "n_experts": "auto"}),
        (load_wine().data, {"init": "auto"}),
        (X, {"init": "spectral", "consistency": "masking"}),
        (DIGITS, {"input_shape": (8, 8), "precision": "bfloat16"}),
        (DIGITS[:100], {"architecture": "conv2d", "input_shape": (8, 8)}),
        (X, {"expert": "variational"}),
        (X, {"expert": "adversarial"}),
        (X, {"n_active": 2, "n_experts": None}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if type(value) is dict else "",
)
def test_threads_change_how_restarts_run_and_nothing_of_what_they_find(
    rows, params, n_init, monkeypatch
):
    seen = threads_of_fits(monkeypatch)
    model = small(**params | {"n_init": n_init}).fit(rows)
    assert len(seen) > 1
    assert threading.get_ident() not in seen
    assert torch.get_num_threads() == 4

    torch.set_num_threads(1)
    seen.clear()
    alone = small(**params | {"n_init": n_init}).fit(rows)
    assert seen == {threading.get_ident()}
    assert model.objective_ == alone.objective_
    assert_array_equal(model.labels_, alone.labels_)
    assert_array_equal(model.predict_proba(rows), alone.predict_proba(rows))
    assert_array_equal(model.history_["objective"], alone.history_["objective"])
    assert model.init_ == alone.init_


@pytest.mark.usefixtures("four_threads")
def test_an_interrupt_between_restarts_ends_those_beside(monkeypatch):
    """Also while the error that it raises is kept, as consoles do."""
    seen, fit_once = [], _restarts.fit_once

    def slow(*args, **kwargs):
        seen.append(None)
        time.sleep(0.2)
        return fit_once(*args, **kwargs)

    def interrupted(self, candidate, handicap):
        raise KeyboardInterrupt

    monkeypatch.setattr(_restarts, "fit_once", slow)
    monkeypatch.setattr(_restarts.Choice, "add", interrupted)
    with pytest.raises(KeyboardInterrupt) as kept:
        small(n_init=12).fit(X)
    n_begun = len(seen)
    assert n_begun < 12
    time.sleep(0.5)
    assert len(seen) == n_begun
    del kept


@pytest.mark.usefixtures("four_threads")
def test_side_by_side_the_same_is_told_in_the_same_order(capsys):
    small(verbose=1).fit(X)
    beside = capsys.readouterr().out
    torch.set_num_threads(1)
    small(verbose=1).fit(X)
    assert beside == capsys.readouterr().out
    assert beside.count("start") == 3


def own_rows(x, generator):
    return x + torch.randn(x.shape, generator=generator, device=x.device)


class Listener:
    """A callback of scikit-learn's."""

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context): ...


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("who", ["epochs are printed", "a callback", "own code"])
def test_restarts_are_one_after_another_where_somebody_would_be_confused(
    who, monkeypatch, capsys
):
    seen = threads_of_fits(monkeypatch)
    model = small(verbose=2 if who == "epochs are printed" else 0)
    if who == "a callback":
        pytest.importorskip("sklearn.callback")
        model.set_callbacks(Listener())
    if who == "own code":
        model.set_params(consistency=own_rows)
    model.fit(X)
    assert seen == {threading.get_ident()}
    lines = capsys.readouterr().out.splitlines()
    n_epochs = sum("] epoch" in line for line in lines)
    assert n_epochs == (18 if who == "epochs are printed" else 0)


@pytest.mark.usefixtures("four_threads")
def test_a_step_that_feeds_all_threads_has_them(monkeypatch):
    monkeypatch.setattr("skmixae.training.threads.WORTH_A_THREAD", 1)
    seen = threads_of_fits(monkeypatch)
    small().fit(X)
    assert seen == {threading.get_ident()}


def failing(monkeypatch, which, error):
    """Make the restart of one number fail at its third epoch."""
    train_epoch, new_network = loop.train_epoch, _restarts.new_network
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)

    def marked(problem, seed):
        network = new_network(problem, seed)
        network.fails = seed == seeds[which]
        return network

    def breaking(network, *args, epoch, **kwargs):
        if epoch == 2 and network.fails:
            raise error
        return train_epoch(network, *args, epoch=epoch, **kwargs)

    monkeypatch.setattr(_restarts, "new_network", marked)
    monkeypatch.setattr(loop, "train_epoch", breaking)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_restart_that_fails_ends_the_fit_alike(which, monkeypatch):
    error = TrainingDiverged("in epoch 3")
    failing(monkeypatch, which, error)
    models = small(), small()
    for n_threads, model in zip((4, 1), models, strict=True):
        torch.set_num_threads(n_threads)
        with pytest.raises(TrainingDiverged) as raised:
            model.fit(X)
        assert raised.value is error
    beside, alone = models
    assert beside.objective_ == alone.objective_
    assert_array_equal(beside.labels_, alone.labels_)
    assert_array_equal(beside.labels_, beside.predict(X))


def interrupt_waiting(monkeypatch, ready):
    """Have who waits for restarts be interrupted as soon as something is ready."""

    def wait(*args):
        while not ready():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(_restarts, "wait", wait)


@pytest.mark.usefixtures("four_threads")
def test_an_interrupt_ends_all_restarts_and_keeps_the_best(monkeypatch):
    train_epoch, n_done = loop.train_epoch, []

    def counting(*args, **kwargs):
        n_done.append(1)
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(loop, "train_epoch", counting)
    interrupt_waiting(monkeypatch, lambda: len(n_done) >= 12)
    model = small(max_epochs=500, n_init=6)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert 0 < model.n_iter_ < 500
    assert len(n_done) < 6 * 500
    assert_array_equal(model.labels_, model.predict(X))
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_an_interrupt_before_anything_was_learned_leaves_all_as_it_was(monkeypatch):
    def failing_epoch(*args, **kwargs):
        raise TrainingDiverged

    model = small().fit(X)
    before = model.predict_proba(X)
    monkeypatch.setattr(loop, "train_epoch", failing_epoch)
    interrupt_waiting(monkeypatch, lambda: True)
    with pytest.raises(KeyboardInterrupt):
        model.fit(2 * X)
    assert_array_equal(model.predict_proba(X), before)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_are_asked_for_their_start_one_fit_at_a_time(monkeypatch):
    """Who asks silences warnings and holds back threads, which all threads share."""
    may_be_asked, ask = [], starting.automatic_starts

    def spy(*args, **kwargs):
        def other():
            may_be_asked.append(ONE_AT_A_TIME.acquire(blocking=False))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return ask(*args, **kwargs)

    monkeypatch.setattr(starting, "automatic_starts", spy)
    small(init="auto", max_epochs=1).fit(X)
    assert may_be_asked == [False]
    assert ONE_AT_A_TIME.acquire(blocking=False)
    ONE_AT_A_TIME.release()


def bars(noise):
    """Return images of a bar in one of three places, behind noise."""
    rng = np.random.default_rng(0)
    places = np.arange(120) % 3
    images = np.zeros((120, 8, 8))
    for image, place in zip(images, places, strict=True):
        image[:, 2 * place + 1 : 2 * place + 3] = 1.0
    return (images + noise * rng.normal(size=images.shape)).reshape(120, 64), places


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("n_threads", [1, 4])
def test_restarts_of_images_end_once_two_agree(n_threads, capsys):
    torch.set_num_threads(n_threads)
    rows, places = bars(noise=0.1)
    settings = {"input_shape": (8, 8), "max_epochs": 30, "learning_rate": 0.02}
    settings["verbose"] = 1
    model = small(**settings, n_init="auto", init="auto").fit(rows)
    told = capsys.readouterr().out
    assert (told.count("] start "), "two starts agree" in told) == (2, True)
    assert adjusted_rand_score(model.labels_, places) == 1.0

    two = small(**settings, n_init=2).fit(rows)
    assert model.objective_ == two.objective_
    assert_array_equal(model.labels_, two.labels_)

    capsys.readouterr()
    small(**settings, n_init=4).fit(rows)  # who asks for so many gets them
    told = capsys.readouterr().out
    assert (told.count("] start "), "two starts agree" in told) == (4, False)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("n_threads", [1, 4])
def test_restarts_of_images_that_differ_are_all_tried(n_threads, capsys):
    torch.set_num_threads(n_threads)
    noise = np.random.default_rng(0).normal(size=(120, 64))
    small(input_shape=(8, 8), max_epochs=20, verbose=1, n_init="auto", init="auto").fit(
        noise
    )
    told = capsys.readouterr().out
    assert (told.count("] start "), "two starts agree" in told) == (4, False)


# -- which one is kept -------------------------------------------------------------


def restart(labels, objective, n_clusters=3):
    """Return what the choice reads of a trained mixture."""
    labels = np.asarray(labels)
    sizes = np.bincount(labels, minlength=n_clusters)
    survey = SimpleNamespace(labels=labels, sizes=sizes)
    return SimpleNamespace(survey=survey, objective=objective)


def chosen(candidates, *, by_likeness=True):
    choice = _restarts.Choice(by_likeness=by_likeness)
    for candidate in candidates:
        choice.add(candidate, 0.0)
    return choice.best()


A, B = np.repeat([0, 1, 2], 10), np.tile([0, 1, 2], 10)
LIKE_A = np.r_[A[:28], 0, 0]
NEAR = _parameters.NEARLY_LOWEST


def test_the_restart_most_like_the_others_is_kept():
    odd, first, second = restart(B, -1.0), restart(A, -0.97), restart(LIKE_A, -0.96)
    less = restart(np.r_[A[:26], 1, 1, 1, 1], -0.98)
    for order in permutations([odd, first, second, less]):
        assert chosen(order) is first
        assert chosen(order, by_likeness=False) is odd


def test_a_restart_far_above_the_lowest_objective_is_not_kept():
    lowest = restart(B, -1.0)
    far = [restart(A, -1.0 + 1.01 * NEAR), restart(LIKE_A, -1.0 + 1.01 * NEAR)]
    for order in permutations([lowest, *far]):
        assert chosen(order) is lowest
    near = restart(A, -1.0 + 0.99 * NEAR)  # far ones say, too, what others come to
    for order in permutations([lowest, near, *far]):
        assert chosen(order) is near


def test_of_two_restarts_the_lower_objective_is_kept():
    worse, better = restart(A, -0.99), restart(B, -1.0)
    assert chosen([worse, better]) is chosen([better, worse]) is better
    assert chosen([worse]) is worse
    assert chosen([]) is None


@pytest.mark.parametrize("by_likeness", [True, False])
def test_a_restart_that_uses_all_clusters_is_kept_before_those_that_do_not(by_likeness):
    whole = restart(A, 0.0)
    less = [restart(np.minimum(A, 1), objective) for objective in (-1.0, -0.99)]
    for order in permutations([whole, *less]):
        assert chosen(order, by_likeness=by_likeness) is whole
    assert chosen(less, by_likeness=by_likeness) is less[0]
    better = restart(B, -0.5)
    for order in permutations([whole, better, *less]):
        assert chosen(order, by_likeness=by_likeness) is better


def test_restarts_agree_that_use_all_clusters_alike():
    def agreed(*labels, **params):
        choice = _restarts.Choice(by_likeness=True)
        for each in labels:
            choice.add(restart(each, -1.0, **params), 0.0)
        return choice.agreed

    assert agreed(A, (A + 1) % 3)
    assert agreed(A, B, A)
    assert not agreed(A, A, B)
    assert not agreed(A, B)
    assert not agreed(A)
    assert not agreed(0 * A, 0 * A)
    assert not agreed(A, A, n_clusters=4)


def test_networks_that_cannot_be_kept_are_let_go():
    choice = _restarts.Choice(by_likeness=True)
    for objective in [0.0, -0.5 * NEAR, -2 * NEAR, -NEAR]:
        choice.add(restart(A, objective), 0.0)
    kept = [each.candidate is not None for each in choice.contenders]
    assert kept == [False, False, True, True]

    alone = _restarts.Choice(by_likeness=False)
    for objective in [0.0, -0.5, -2.0, -1.0]:
        alone.add(restart(A, objective), 0.0)
    assert [each.objective for each in alone.contenders] == [-2.0]


@pytest.fixture
def found(monkeypatch):
    """Return a list to which each fit adds what it came to."""
    found, fit_once = [], _restarts.fit_once

    def spy(*args, **kwargs):
        outcome = fit_once(*args, **kwargs)
        found.append(outcome.whole)
        return outcome

    monkeypatch.setattr(_restarts, "fit_once", spy)
    return found


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("n_init", [3, 5])
def test_of_images_the_fit_is_one_nearly_lowest_and_most_like_the_others(n_init, found):
    model = small(n_init=n_init, input_shape=(8, 8), max_epochs=20).fit(DIGITS)
    assert len(found) == n_init
    bound = min(candidate.objective for candidate in found) + NEAR
    alike = [
        sum(adjusted_rand_score(a.survey.labels, b.survey.labels) for b in found)
        if a.objective <= bound
        else -np.inf
        for a in found
    ]
    best = found[int(np.argmax(alike))]
    assert_array_equal(model.labels_, best.survey.labels)
    assert model.objective_ == best.objective


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_init", ["auto", 3])
def test_sums_of_images_are_compared_by_the_objective(n_init, found):
    model = small(
        n_clusters=4, n_active=2, input_shape=(8, 8), n_init=n_init, max_epochs=2
    ).fit(DIGITS[:200])
    assert model.labels_.shape == (200, 4)
    assert len(found) == (5 if n_init == "auto" else n_init)
    assert model.objective_ == min(candidate.objective for candidate in found)
