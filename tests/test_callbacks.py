"""scikit-learn's callbacks (from 1.9): told of each epoch, able to stop, and let go."""

from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmixae.training.loop
from skmixae import MixAEClustering
from skmixae._callbacks import HAS_CALLBACKS
from skmixae.metrics import hungarian_accuracy_scorer
from skmixae.training import TrainingDiverged

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn has callbacks from version 1.9"
)

X, Y = make_blobs(60, n_features=5, centers=3, random_state=0)


def small(**params):
    defaults = {
        "n_clusters": 3,
        "n_experts": None,
        "latent_dim": 2,
        "hidden_layer_sizes": (6,),
        "assignment_hidden_layer_sizes": (8,),
        "max_epochs": 5,
        "learning_rate": 1e-2,
        "random_state": 0,
    }
    return MixAEClustering(**defaults | params)


class Recorder:
    """Notes every event, and asks to stop when so many epochs are done."""

    def __init__(self, stop_after=None, stop_restart=False, fail_after=None):
        self.stop_after, self.fail_after = stop_after, fail_after
        self.stop_restart = stop_restart
        self.events, self.contexts = [], []

    @property
    def n_epochs(self):
        return self.events.count(("end", "epoch"))

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None):
        self.events.append(("end", context.task_name))
        self.contexts.append(context)
        if context.task_name == "restart":
            return self.stop_restart
        if self.n_epochs == self.fail_after:
            raise KeyboardInterrupt
        return context.task_name == "epoch" and self.n_epochs == self.stop_after


class Watcher(Recorder):
    """Keeps what the estimator would be, had the fit ended there."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(("end", context.task_name))
        self.contexts.append((context.task_name, fitted_estimator))


def test_without_callbacks_all_is_as_it_is():
    """Also where scikit-learn has none."""
    assert small().fit(X).n_iter_ == 5


@needs_callbacks
def test_every_epoch_is_announced_between_set_up_and_teardown():
    recorder = Recorder()
    small().set_callbacks(recorder).fit(X)
    assert recorder.events == [
        ("setup", "fit"),
        ("begin", "fit"),
        *5 * [("begin", "epoch"), ("end", "epoch")],
        ("end", "fit"),
        ("teardown", "fit"),
    ]
    assert recorder.contexts[-1].max_subtasks == 5


@needs_callbacks
def test_restarts_are_announced_around_their_epochs():
    recorder = Recorder()
    small(n_init=2, max_epochs=3).set_callbacks(recorder).fit(X)
    restart = [
        ("begin", "restart"),
        *3 * [("begin", "epoch"), ("end", "epoch")],
        ("end", "restart"),
    ]
    assert recorder.events[2:-2] == 2 * restart
    root, one = recorder.contexts[-1], recorder.contexts[-2]
    assert (root.max_subtasks, one.max_subtasks) == (2, 3)


@needs_callbacks
@pytest.mark.parametrize("init", ["random", "kmeans"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_callback_that_returns_true_stops_training(init, stop_after):
    recorder = Recorder(stop_after)
    model = small(max_epochs=20, init=init).set_callbacks(recorder).fit(X)
    assert recorder.n_epochs == model.n_iter_ == len(model.history_) == stop_after
    assert recorder.events[-1] == ("teardown", "fit")
    assert_array_equal(model.labels_, model.predict(X))


@needs_callbacks
def test_a_callback_can_stop_the_restarts():
    recorder = Recorder(stop_restart=True)
    model = small(n_init=4).set_callbacks(recorder).fit(X)
    assert recorder.events.count(("begin", "restart")) == 1
    assert model.objective_ == small().fit(X).objective_


@needs_callbacks
def test_callbacks_change_no_bit_of_the_fit():
    plain, watched = small().fit(X), small().set_callbacks(Watcher()).fit(X)
    assert_array_equal(plain.predict_proba(X), watched.predict_proba(X))
    assert_array_equal(plain.history_["total"], watched.history_["total"])


@needs_callbacks
@pytest.mark.parametrize("n_init", [1, 2])
def test_the_fitted_estimator_of_each_task_works_and_stays_as_it_was(n_init):
    watcher = Watcher()
    model = small(n_init=n_init, max_epochs=3).set_callbacks(watcher).fit(X)
    assert [name for name, _ in watcher.contexts].count("epoch") == 3 * n_init
    said = []
    for _, estimator in watcher.contexts:
        assert estimator is not model
        assert estimator.predict(X).shape == (60,)
        assert np.isfinite(estimator.score(X))
        assert estimator.transform(X).shape == (60, 6)
        said.append(estimator.predict_proba(X))
    assert not np.array_equal(said[0], said[1])  # not one module seen many times
    assert_array_equal(said[-1], model.predict_proba(X))


@needs_callbacks
def test_the_fitted_estimator_has_the_clusters_that_experts_are_merged_into():
    """In refinement those that are trained, and in the end those of the fit."""
    rows, _ = make_blobs(200, n_features=8, centers=6, cluster_std=3, random_state=0)
    params = {"n_experts": 8, "max_epochs": 10, "batch_size": 32, "init": "random"}
    for seed in range(3):
        watcher = Watcher()
        model = small(**params, n_init=1, warm_start=True, random_state=seed)
        model.set_callbacks(watcher)
        for _ in ("first", "warm"):
            watcher.contexts.clear()
            model.fit(rows)
            *epochs, (last, fitted) = watcher.contexts
            assert last == "fit"
            assert_array_equal(fitted.predict(rows), model.labels_)
            assert_array_equal(fitted.expert_labels_, model.expert_labels_)
            refined = [each.expert_labels_ for _, each in epochs[-4:]]
            for labels in refined:
                assert_array_equal(labels, refined[0])


@needs_callbacks
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_fitted_estimator_of_a_task_can_go_on():
    watcher = Watcher()
    small(max_epochs=2).set_callbacks(watcher).fit(X)
    _, estimator = watcher.contexts[-1]
    copy = clone(estimator)
    for name in ("warm_start", "partial_fit"):
        copy.__dict__.update(vars(deepcopy(estimator)))
        if name == "warm_start":
            copy.set_params(warm_start=True).fit(X)
        else:
            copy.partial_fit(X)
        assert np.isfinite(copy.objective_)


@needs_callbacks
def test_scoring_monitor_follows_scores_with_and_without_the_classes():
    pytest.importorskip("pandas")
    from sklearn.callback import ScoringMonitor

    scoring = {
        "own": lambda model, X, y: model.score(X),
        "accuracy": hungarian_accuracy_scorer,
    }
    monitor = ScoringMonitor(scoring=scoring)
    model = small(max_epochs=30).set_callbacks(monitor).fit(X, Y)
    table = monitor.get_logs().data_as_pandas
    scores = table.loc[table["task_name"] == "epoch", ["own", "accuracy"]]
    assert len(scores) == model.n_iter_ == 30
    assert np.isfinite(scores.to_numpy()).all()
    assert (scores.iloc[-1] > scores.iloc[0]).all()


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_bars_reach_down_to_epochs_inside_a_grid_search(n_jobs, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(max_epochs=2)),
        {"mixaeclustering__n_clusters": [2, 3]},
        scoring=hungarian_accuracy_scorer,
        cv=2,
        n_jobs=n_jobs,
    )
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    out = capsys.readouterr().out
    assert "GridSearchCV" in out
    assert "MixAEClustering" in out
    assert search.best_estimator_.predict(X).shape == (60,)


@needs_callbacks
@pytest.mark.parametrize("n_init", [1, 2])
def test_teardown_follows_an_error_and_the_next_fit_is_sound(n_init, monkeypatch):
    recorder = Recorder()
    model = small(n_init=n_init, learning_rate=1e30).set_callbacks(recorder)
    with pytest.raises(TrainingDiverged):
        model.fit(X)
    assert recorder.events[-1] == ("teardown", "fit")

    def broken(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(skmixae.training.loop, "train_epoch", broken)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X)
    assert recorder.events[-1] == ("teardown", "fit")

    recorder.events.clear()
    model.set_params(learning_rate=1e-2).fit(X)
    assert recorder.n_epochs == 5 * n_init
    assert recorder.events[0] == ("setup", "fit")


@needs_callbacks
def test_teardown_follows_bad_rows_and_bad_parameters():
    recorder = Recorder()
    model = small().set_callbacks(recorder)
    for rows, params in [(X * np.nan, {}), (X, {"input_shape": (2, 2)})]:
        with pytest.raises(ValueError):  # noqa: PT011
            model.set_params(**params).fit(rows)
        events = [event for event, _ in recorder.events]
        assert events.count("setup") == events.count("teardown")


@needs_callbacks
def test_a_callback_that_raises_is_an_interruption_like_any_other():
    recorder = Recorder(fail_after=3)
    model = small(max_epochs=20).set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.n_iter_ == 3
    assert ("end", "fit") not in recorder.events  # the fit did not reach its end
    assert_array_equal(model.labels_, model.predict(X))
    assert recorder.events[-1] == ("teardown", "fit")


@needs_callbacks
def test_a_callback_that_raises_when_all_is_done_loses_nothing():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "fit":
                raise RuntimeError("in the callback")

    model = small().set_callbacks(Failing())
    with pytest.raises(RuntimeError, match="in the callback"):
        model.fit(X)
    assert model.n_iter_ == 5
    assert_array_equal(model.labels_, small().fit(X).labels_)


@needs_callbacks
def test_partial_fit_is_not_hindered_by_callbacks():
    model = small().set_callbacks(Recorder()).partial_fit(X).partial_fit(X)
    assert model.n_iter_ == 2


@needs_callbacks
def test_verbose_and_callbacks_go_together(capsys):
    recorder = Recorder()
    small(verbose=2).set_callbacks(recorder).fit(X)
    assert capsys.readouterr().out.count("epoch ") == recorder.n_epochs == 5
