"""Chunks as they come: a stream trains as a run does, and an error costs nothing."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skmixae import MixAEClustering
from skmixae._outcome import Candidate, Watch
from skmixae._problem import Occasion
from skmixae.inference import Survey
from skmixae.objective import LOSSES
from skmixae.training import Agglomeration, Rows, TrainingDiverged

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_blobs(160, n_features=6, centers=3, random_state=0)
CHUNKS = np.array_split(X, 4)


def small(**params):
    defaults = {
        "n_clusters": 3,
        "n_experts": None,
        "latent_dim": 2,
        "hidden_layer_sizes": (8,),
        "conv_channels": (4,),
        "assignment_hidden_layer_sizes": (8,),
        "max_epochs": 20,
        "batch_size": 20,
        "learning_rate": 1e-2,
        "learning_rate_decay": 1.0,
        "random_state": 0,
    }
    return MixAEClustering(**defaults | params)


def everything(model):
    parameters = model.get_params(deep=False)
    state = {k: v for k, v in model.__getstate__().items() if k not in parameters}
    return joblib.hash((state, [m.training for m in model.module_.modules()]))


def stream(model, n_passes, chunks=CHUNKS):
    for _ in range(n_passes):
        for chunk in chunks:
            model.partial_fit(chunk)
    return model


# ---------------------------------------------------------------------------
# A stream trains as a run does
# ---------------------------------------------------------------------------


def test_passes_of_chunks_reach_what_as_many_epochs_do():
    """Twenty passes over four chunks against twenty epochs, over three seeds.

    Both see the same rows as often, in as many steps, so they differ as two seeds do.
    The bound is the spread of the runs over seeds, and as much again.
    """
    runs, streams = [], []
    for seed in range(3):
        runs.append(small(random_state=seed).fit(X))
        streams.append(stream(small(random_state=seed), 20))
    # On all rows, in the terms that a run is judged by.
    scores = [[m.score(X) for m in models] for models in (runs, streams)]
    spread = np.ptp(scores[0])
    assert np.mean(scores[1]) > np.mean(scores[0]) - 2 * max(spread, 0.05)
    found = [
        [adjusted_rand_score(Y, m.predict(X)) for m in ms] for ms in (runs, streams)
    ]
    assert np.median(found[1]) > 0.9
    assert np.median(found[0]) > 0.9


def test_whole_data_as_one_chunk_learns_as_epochs_do():
    streamed = stream(small(), 20, [X])
    history = streamed.history_["objective"]
    run = small().fit(X).history_["objective"]
    # Epochs of the same steps on the same rows, in another order.
    assert history[-5:].mean() < run[:3].mean()
    assert abs(history[-5:].mean() - run[-5:].mean()) < 0.5 * abs(run[0] - run[-1])


def test_history_grows_by_a_row_a_chunk():
    model = stream(small(), 2)
    assert model.n_iter_ == len(model.history_) == 8
    assert np.isfinite(model.history_["total"]).all()
    assert_allclose(model.history_["expert_share"].sum(1), 1)
    assert (model.history_["learning_rate"] == 1e-2).all()
    assert np.isnan(model.history_["label_change"]).all()


def test_labels_are_those_of_the_last_chunk():
    model = stream(small(), 2)
    assert_array_equal(model.labels_, model.predict(CHUNKS[-1]))
    assert_allclose(model.cluster_sizes_, np.bincount(model.labels_, minlength=3) / 40)


def test_order_and_split_of_the_stream_do_not_change_its_scale():
    """Centre and scale are those of all rows, however they were split."""
    whole = small().partial_fit(X)
    ragged = stream(small(), 1, np.split(X, [7, 8, 50, 51, 140]))
    reversed_ = stream(small(), 1, np.array_split(X[::-1], 3))
    as_sparse = stream(small(), 1, [sparse.csr_array(c) for c in CHUNKS])
    for model in (ragged, reversed_, as_sparse):
        for loss in LOSSES.values():
            expected, found = (m._moments.scaling(loss) for m in (whole, model))
            assert_allclose(found.center, expected.center, rtol=1e-10)
            assert found.scale == pytest.approx(expected.scale, rel=1e-10)
            assert model._moments.reference(loss) == pytest.approx(
                whole._moments.reference(loss), rel=1e-10
            )


def test_scale_is_that_of_the_data():
    scaling = stream(small(whitening=None), 1)._moments.scaling(LOSSES["mse"])
    assert_allclose(scaling.center, X.mean(0))
    assert scaling.scale == pytest.approx(np.sqrt(X.var(0).mean()))


def test_same_stream_gives_same_bits():
    assert everything(stream(small(), 2)) == everything(stream(small(), 2))
    assert everything(stream(small(), 2)) != everything(
        stream(small(random_state=1), 2)
    )


@pytest.mark.parametrize("schedule", ["constant", "anneal", "balanced"])
def test_copies_of_a_stream_go_on_as_it_does(schedule):
    model = stream(small(entropy_schedule=schedule), 2)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    model.partial_fit(CHUNKS[0]).partial_fit(CHUNKS[1])
    for other in copies:
        other.partial_fit(CHUNKS[0]).partial_fit(CHUNKS[1])
        assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        assert_array_equal(other.history_["total"], model.history_["total"])


def test_schedules_advance_by_a_chunk_as_by_an_epoch():
    params = {"entropy_schedule": "anneal", "max_epochs": 8, "init": "random"}
    params["device"] = "cpu"  # on a GPU the progress is in float32
    streamed, run = stream(small(**params), 3), small(**params).fit(X)
    name = "batch_entropy_weight"
    assert_allclose(streamed.history_[name][:8], run.history_[name])
    assert (streamed.history_[name][8:] == run.history_[name][-1]).all()


def test_schedules_never_go_back_where_chunks_are_unlike_in_size():
    """Of few rows "auto" means more epochs than of many."""
    rng = np.random.default_rng(0)
    model = small(entropy_schedule="anneal", max_epochs="auto", init="random")
    for n in 2 * [600, 20, 600, 300]:
        model.partial_fit(rng.normal(size=(n, 5)))
    weights = model.history_["batch_entropy_weight"]
    assert (np.diff(weights) < 0).all()


# ---------------------------------------------------------------------------
# Chunks of every size, and among fits
# ---------------------------------------------------------------------------


def test_chunks_of_one_row_train():
    model = small().partial_fit(X[:20])
    before = model.predict_proba(X)
    for row in X[20:40]:
        model.partial_fit(row[None])
    assert model.n_iter_ == 21
    assert np.isfinite(model.history_["total"]).all()
    assert np.isfinite(model.predict_proba(X)).all()
    assert not np.array_equal(model.predict_proba(X), before)


def test_a_stream_of_one_cluster_may_start_with_one_row():
    model = small(n_clusters=1)
    for row in X[:5]:
        model.partial_fit(row[None])
    assert (model.predict(X) == 0).all()


def test_chunks_of_one_repeated_row_do_not_break_it():
    model = small().partial_fit(X)
    for _ in range(3):
        model.partial_fit(np.repeat(X[:1], 30, axis=0))
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [1e3, 1e6, 1e30])
def test_one_row_that_is_far_away_does_not_move_the_others(value, container):
    rows, y = make_blobs(200, n_features=4, centers=3, random_state=0)
    model = MixAEClustering(3, random_state=0)
    for _ in range(10):
        model.partial_fit(container(rows))
    assert adjusted_rand_score(y, model.predict(rows)) == 1
    model.partial_fit(container(np.vstack([rows, np.full((1, 4), value)])))
    assert adjusted_rand_score(y, model.predict(rows)) == 1
    model.partial_fit(container(rows))
    assert adjusted_rand_score(y, model.predict(rows)) == 1


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_rare_values_of_rows_that_are_not_far_are_read_as_they_are(loss, container):
    """One of 4,000 indicators is far from the spread of all values; its row is not."""
    kinds = np.random.default_rng(0).integers(4000, size=200)
    rows = np.eye(4000, dtype=np.float32)[kinds]
    model = MixAEClustering(
        2, reconstruction_loss=loss, whitening=None, n_experts=None,
        hidden_layer_sizes=(4,), directions=False, random_state=0,
    ).partial_fit(container(rows))  # fmt: skip
    problem = model._problem(Rows(container(rows)), model._moments, Occasion.CHUNK)
    some = Rows(sparse.csr_array(rows)) if container is not np.asarray else Rows(rows)
    (trained, read) = (
        problem.batches(some, model._moments, in_stream=streamed)
        for streamed in (True, False)
    )
    for (_, ours), (_, theirs) in zip(trained.in_order(), read.in_order(), strict=True):
        assert_allclose(ours, theirs, rtol=1e-6)
    bounded = model._moments.bounded(some.array[:20])
    bounded = bounded.toarray() if sparse.issparse(bounded) else bounded
    assert_allclose(bounded, rows[:20])


def test_a_stream_that_begins_with_rows_that_are_all_the_same_is_followed():
    model = MixAEClustering(3, random_state=0)
    rows, _ = make_blobs(200, n_features=4, centers=3, random_state=0)
    model.partial_fit(np.full((3000, 4), 0.1))
    model.partial_fit(rows)
    assert model._moments.highest == rows.max()


def test_a_stream_whose_rows_all_move_away_is_followed():
    rows, y = make_blobs(200, n_features=4, centers=3, random_state=0)
    model = MixAEClustering(3, random_state=0).partial_fit(rows / 1e3)
    for _ in range(30):
        model.partial_fit(rows)
    assert_allclose(model._moments.mean, rows.mean(0), atol=0.5)
    assert adjusted_rand_score(y, model.predict(rows)) > 0.9


def test_after_fit_the_stream_goes_on_from_it():
    model = small(whitening=None).fit(X)
    labels, objective = model.labels_, model.history_["objective"]
    stream(model, 1)
    assert model.n_iter_ == 24
    assert_array_equal(model.history_["objective"][:20], objective)
    assert model.history_["objective"][20:].mean() < objective[:3].mean()
    assert (model.predict(X) == labels).mean() > 0.9  # labels keep their meaning


def test_after_a_stream_fit_starts_over():
    fresh = small().fit(X)
    model = stream(small(), 1).fit(X)
    assert everything(model) == everything(fresh)
    # ... and a stream after it does not remember the one before it.
    assert everything(model.partial_fit(X)) == everything(fresh.partial_fit(X))


def test_warm_start_goes_on_from_a_stream():
    model = stream(small(warm_start=True), 20, [X])
    labels = model.predict(X)
    model.set_params(max_epochs=2).fit(X)
    assert (model.labels_ == labels).mean() > 0.9


def test_learning_rate_may_be_changed_on_the_way():
    model, other = stream(small(), 1), stream(small(), 1)
    model.set_params(learning_rate=1e-9).partial_fit(X)
    assert model.history_["learning_rate"][-1] == 1e-9
    weights = [w.detach().clone() for w in other.module_.parameters()]
    for now, before in zip(model.module_.parameters(), weights, strict=True):
        assert_allclose(now.detach().cpu(), before.cpu(), atol=1e-6)
    other.partial_fit(X)
    moved = [
        (now.detach() - before).abs().max()
        for now, before in zip(other.module_.parameters(), weights, strict=True)
    ]
    assert max(moved) > 1e-3


def test_start_from_labels_belongs_to_fit_and_does_not_hinder_chunks():
    model = small(init=Y).fit(X)
    assert stream(model, 1).n_iter_ == 24


def test_names_of_features_are_kept_and_checked():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = small().partial_fit(frame[:80]).partial_fit(frame[80:])
    assert list(model.feature_names_in_) == list("abcdef")
    before = everything(model)
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame.rename(columns={"a": "z"}))
    assert everything(model) == before


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------


def test_bad_chunk_leaves_the_stream_as_it_was():
    model, undisturbed = stream(small(), 1), stream(small(), 1)
    before = everything(model)
    bad = X.copy()
    bad[3, 3] = np.nan
    for chunk in (bad, X[:, :3], X.astype(complex), X[0], X[:0]):
        with pytest.raises(ValueError):  # noqa: PT011
            model.partial_fit(chunk)
        assert everything(model) == before
    assert everything(stream(model, 1)) == everything(stream(undisturbed, 1))


def test_directions_may_be_asked_of_a_stream_that_starts_with_one_row():
    model = small(n_clusters=1, directions=True, whitening=0.5)
    model.partial_fit(X[:1]).partial_fit(X)
    assert np.isfinite(model.score(X))


@pytest.mark.filterwarnings("ignore")
def test_what_is_beyond_a_first_chunk_of_few_rows_is_not_held_against_others():
    rng = np.random.default_rng(0)
    model = small(n_clusters=1).partial_fit(rng.normal(size=(12, 64)))
    for _ in range(4):
        model.partial_fit(rng.normal(size=(300, 64)))
    rows = rng.normal(size=(500, 64))
    inference = model._inference()
    mean = np.square(inference.scaling.apply(rows)).mean(1)
    mean += inference.scaling.excess(rows)
    assert (mean / (1 + model._moments.beyond)).mean() < 1.05


def test_bad_first_chunk_leaves_nothing():
    model = small()
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full((10, 3), np.nan))
    assert set(vars(model)) == set(model.get_params())
    assert everything(model.partial_fit(X)) == everything(small().partial_fit(X))


@pytest.mark.parametrize("schedule", ["constant", "balanced"])
def test_diverging_chunk_leaves_the_stream_as_it_was(schedule):
    """Neither weights nor the optimiser's moments nor the schedule keep a NaN."""
    model = stream(small(entropy_schedule=schedule), 1)
    undisturbed = copy.deepcopy(model)
    before = everything(model)
    model.set_params(learning_rate=1e30)
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        stream(model, 3)
    model.set_params(learning_rate=1e-2)
    if everything(model) == before:  # it diverged in the first chunk
        assert everything(stream(model, 1)) == everything(stream(undisturbed, 1))
    for values in (model.predict_proba(X), model.history_["total"]):
        assert np.isfinite(values).all()
    assert np.isfinite(stream(model, 1).history_["total"]).all()


def test_interrupted_chunk_leaves_the_stream_as_it_was(monkeypatch):
    model, undisturbed = stream(small(), 1), stream(small(), 1)
    before, n_calls = everything(model), []
    step = type(model.module_).forward

    def interrupted(self, x, generator=None):
        n_calls.append(1)
        if len(n_calls) == 2:
            raise KeyboardInterrupt
        return step(self, x, generator)

    with monkeypatch.context() as patch:
        patch.setattr(type(model.module_), "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(X)
    assert everything(model) == before
    assert everything(model.partial_fit(X)) == everything(undisturbed.partial_fit(X))


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", -1.0), ("sample_entropy_weight", -0.1), ("batch_size", 0),
     ("cluster_sizes", [0.5, 0.6, 0.1]), ("device", "tpu"), ("consistency", "none")],
)  # fmt: skip
def test_bad_parameters_are_refused_on_the_way(name, value):
    """Also after the first chunk, where scikit-learn itself no longer looks."""
    model = stream(small(), 1)
    before = everything(model)
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=name):
        model.partial_fit(X)
    assert everything(model) == before


# ---------------------------------------------------------------------------
# Where a stream starts
# ---------------------------------------------------------------------------


def rings(n, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=n)
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = 1 + 2 * label + 0.05 * rng.normal(size=n)
    return np.c_[np.cos(angle), np.sin(angle)] * radius[:, None], label


def test_a_stream_finds_the_clusters_that_its_first_chunk_shows():
    """Rings, which neither centres nor a random start tell apart."""
    model = MixAEClustering(2, random_state=0)
    for seed in range(20):
        model.partial_fit(rings(300, seed)[0])
    assert model.init_ == "parts"
    rows, label = rings(1000, 99)
    assert adjusted_rand_score(label, model.predict(rows)) == 1


def test_a_start_is_learned_from_the_first_chunk_alone():
    labels = np.arange(160) % 3
    model = small(init=labels).partial_fit(X)
    assert model.init_ == "given"
    assert model.partial_fit(X[:40]).init_ == "given"
    with pytest.raises(ValueError, match="'init' parameter"):
        small(init=labels).partial_fit(X[:40])


def test_a_stream_keeps_the_sizes_of_a_start_that_it_is_to_keep(tmp_path):
    """The even sizes that batches are rewarded for are then no more than those."""
    uneven = make_blobs([270, 20, 10], n_features=6, random_state=0)[0]
    kept = small(cluster_sizes="start", init="kmeans").partial_fit(uneven)
    evenness = kept._stream["evenness"]
    assert 0.2 < evenness < 0.6
    kept.save(tmp_path / "stream")
    for model in (kept, MixAEClustering.load(tmp_path / "stream")):
        assert model.partial_fit(uneven)._stream["evenness"] == evenness
    even = small(cluster_sizes=None, init="kmeans").partial_fit(uneven)
    assert even._stream["evenness"] == 1


# ---------------------------------------------------------------------------
# What has gone wrong is told, once
# ---------------------------------------------------------------------------


def told(model, chunks):
    """Return the chunks after which a stream warns, and what of."""
    found = {}
    for i, chunk in enumerate(chunks):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.partial_fit(chunk)
        if caught:
            found[i] = [str(w.message) for w in caught]
            assert {w.filename for w in caught} == {__file__}
    return found


def all_in_one(**params):
    """Return a stream whose balance counts for nothing."""
    return small(
        init="random", batch_entropy_weight=0.0, sample_entropy_weight=9.0, **params
    )


def test_unused_clusters_of_a_stream_are_told_once_it_has_trained_enough():
    found = told(all_in_one(), [X] * 50)  # of eight steps each
    assert list(found) == [38]  # where there were 304
    assert "clusters are unused" in found[38][0]
    assert "train on more chunks" in found[38][0]


def test_a_stream_that_goes_well_is_told_nothing_of():
    assert not told(small(), [X] * 50)


def test_uniform_assignments_of_a_stream_are_told():
    (messages,) = told(small(learning_rate=1e-9), [X] * 40).values()
    assert "close to uniform" in messages[0]


def test_few_rows_at_a_time_are_not_called_unused_clusters():
    """Of chunks of one row all clusters but one are unused in each."""
    model = stream(small(), 20)
    model._stream["watch"]["n_steps"] = 10_000
    assert not told(
        model, [row[None] for row in np.random.default_rng(0).permutation(X)]
    )


def test_what_was_told_of_a_stream_is_told_again_only_where_it_changed(tmp_path):
    def survey(*sizes):
        sizes = np.array(sizes)
        survey = Survey(np.zeros(sizes.sum()), sizes, sizes / sizes.sum(), 1.0, 0.0)
        tree = Agglomeration(np.arange(3), np.empty((0, 2)), np.empty(0))
        return Candidate(None, None, None, survey, 0.0, tree, None)

    watch = Watch()
    assert not watch.note(survey(300, 0, 0), 1, enough=2)
    assert "2 of 3" in watch.note(survey(300, 0, 0), 1, enough=2)[0]
    assert not watch.note(survey(400, 0, 0), 1, enough=2)  # no 600
    assert not watch.note(survey(400, 0, 0), 1, enough=2)  # nothing new
    assert "1 of 3" in watch.note(survey(800, 400, 0), 1, enough=2)[0]
    assert not watch.note(survey(800, 800, 800), 1, enough=2)
    assert "1 of 3" in watch.note(survey(4000, 800, 0), 1, enough=2)[0]


def test_a_stored_stream_is_told_of_as_one_that_was_not(tmp_path):
    model = all_in_one()
    assert not told(model, [X] * 37)
    model.save(tmp_path / "stream")
    copies = [
        pickle.loads(pickle.dumps(model)),
        MixAEClustering.load(tmp_path / "stream"),
    ]
    found = told(model, [X] * 10)
    assert list(found) == [1]
    for other in copies:
        assert told(other, [X] * 10) == found
