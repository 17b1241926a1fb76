"""More experts than clusters, as a user of the estimator meets them."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs

from skmixae import MixAEClustering, _fitting

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, _ = make_blobs(240, 5, centers=3, cluster_std=0.6, random_state=0)
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 40, "random_state": 0}


@pytest.fixture(scope="module")
def merged():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixAEClustering(3, n_experts=8, **SMALL).fit(X)


def test_every_cluster_has_experts_and_labels_follow_the_clusters(merged):
    assert_array_equal(np.unique(merged.expert_labels_), [0, 1, 2])
    assert merged.expert_labels_.shape == (8,)
    assert_array_equal(merged.predict(X), merged.labels_)
    assert_array_equal(np.unique(merged.labels_), [0, 1, 2])
    assert (np.diff(merged.cluster_sizes_) <= 0).all()


def test_experts_of_a_cluster_stand_together(merged):
    assert (np.diff(merged.expert_labels_) >= 0).all()


def test_probability_of_a_cluster_is_the_sum_of_its_experts(merged):
    alone = clone(merged)
    alone.__setstate__(merged.__getstate__())
    # As if each expert were a cluster: the same network, unmerged.
    alone.expert_labels_ = np.arange(8)
    experts = alone.predict_proba(X)
    for cluster in range(3):
        members = merged.expert_labels_ == cluster
        assert_allclose(
            merged.predict_proba(X)[:, cluster],
            experts[:, members].sum(1),
            rtol=1e-4,
            atol=1e-6,
        )
    errors = alone.reconstruction_errors(X)
    for cluster in range(3):
        members = merged.expert_labels_ == cluster
        assert_array_equal(
            merged.reconstruction_errors(X)[:, cluster], errors[:, members].min(1)
        )


def test_code_of_a_row_is_in_the_block_of_an_expert_of_its_cluster(merged):
    codes = merged.transform(X).reshape(len(X), 8, -1)
    used = np.abs(codes).sum(-1) > 0
    assert (used.sum(1) == 1).all()
    assert_array_equal(merged.expert_labels_[used.argmax(1)], merged.labels_)
    assert_array_equal(
        merged.inverse_transform(merged.transform(X)), merged.reconstruct(X)
    )


def test_tree_of_the_experts_cut_at_the_clusters_gives_the_clusters(merged):
    members = {i: {i} for i in range(8)}
    for step, (a, b) in enumerate(merged.expert_children_[: 8 - 3]):
        members[8 + step] = members.pop(a) | members.pop(b)
    found = {frozenset(group) for group in members.values()}
    clusters = {
        frozenset(np.flatnonzero(merged.expert_labels_ == c).tolist()) for c in range(3)
    }
    assert found == clusters
    assert merged.expert_distances_.shape == (7,)


def test_same_seed_gives_the_same_tree(merged):
    again = clone(merged).fit(X)
    assert_array_equal(again.labels_, merged.labels_)
    assert_array_equal(again.expert_children_, merged.expert_children_)


def test_an_expert_a_cluster_is_the_same_as_none():
    one = MixAEClustering(3, n_experts=3, **SMALL).fit(X)
    other = MixAEClustering(3, n_experts=None, **SMALL).fit(X)
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.expert_labels_, [0, 1, 2])
    assert one.expert_children_.shape == (0, 2)


def test_all_experts_may_make_one_cluster():
    model = MixAEClustering(1, n_experts=3, **SMALL).fit(X)
    assert_array_equal(np.unique(model.labels_), [0])
    assert_allclose(model.predict_proba(X), 1.0, atol=1e-5)


@pytest.mark.parametrize("init", ["random", "kmeans"])
def test_stream_and_warm_start_go_on_with_merged_experts(init):
    parameters = {**SMALL, "max_epochs": 60, "batch_size": 60}
    model = MixAEClustering(
        3, n_experts=6, init=init, warm_start=True, **parameters
    ).fit(X)
    before = model.labels_
    model.fit(X)
    # Nothing but more training on the same rows: nearly all rows stay where they were.
    assert (model.labels_ == before).mean() > 0.9
    model.partial_fit(X[:100])
    assert model.labels_.shape == (100,)
    assert (model.predict(X) == before).mean() > 0.9


def test_stream_from_its_first_chunk_has_merged_experts():
    model = MixAEClustering(3, n_experts=6, **SMALL)
    for chunk in np.array_split(X, 4):
        model.partial_fit(chunk)
    assert model.predict_proba(X).shape == (len(X), 3)
    assert_array_equal(np.unique(model.expert_labels_), [0, 1, 2])


def test_a_few_rows_more_leave_experts_in_their_clusters():
    """Thirty rows alone say little of how twelve experts share four clusters."""
    rows = load_digits(n_class=4).data
    model = MixAEClustering(4, n_experts=12, input_shape=None, random_state=0).fit(rows)
    before = model.expert_labels_
    rng = np.random.default_rng(0)
    for _ in range(12):
        model.partial_fit(rng.permutation(rows)[:30])
        assert_array_equal(model.expert_labels_, before)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n_experts": 2}, "n_experts"),
        ({"n_experts": 1000}, "n_experts"),
        ({"n_experts": 6, "cluster_sizes": [0.2, 0.3, 0.5]}, "n_experts"),
        ({"n_experts": 6, "init": np.full((240, 3), 1 / 3)}, "init"),
    ],
)
def test_impossible_numbers_of_experts_are_refused_by_name(parameters, named):
    with pytest.raises(ValueError, match=named):
        MixAEClustering(3, **parameters, **SMALL).fit(X)


@pytest.mark.parametrize(
    ("n_rows", "n_clusters", "n_experts"), [(750, 3, 10), (749, 3, 3), (750, 1, 1)]
)
def test_experts_are_spared_only_where_there_are_rows_for_them(
    n_rows, n_clusters, n_experts
):
    model = MixAEClustering(n_clusters, init="spectral", **SMALL)
    model.set_params(max_epochs=2)
    model.fit(np.resize(X, (n_rows, X.shape[1])))
    assert len(model.expert_labels_) == n_experts
    # A chunk is not the whole: the number stays as it was.
    model.partial_fit(X)
    assert len(model.expert_labels_) == n_experts


def test_stream_has_experts_to_spare_however_small_its_first_chunk():
    model = MixAEClustering(3, **SMALL).partial_fit(X[:20])
    assert len(model.expert_labels_) == 10


def test_another_number_of_clusters_is_refused_on_the_way():
    model = MixAEClustering(3, warm_start=True, **SMALL).fit(X)
    model.set_params(n_clusters=4)
    for go_on in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="n_clusters"):
            go_on(X)


def test_clusters_are_refined_in_the_last_epochs():
    model = MixAEClustering(
        3, n_experts=8, batch_size=40, refinement=0.25, init="random", **SMALL
    ).fit(X)
    assert model.n_iter_ == 40
    rate = model.history_["learning_rate"]
    assert np.flatnonzero(np.diff(rate) > 0).tolist() == [29]
    assert rate[30] == rate[0]
    certain = model.history_["sample_entropy"]
    assert certain[-1] < certain[29]  # borders within a cluster no longer count
    never = MixAEClustering(3, n_experts=8, refinement=0, init="random", **SMALL)
    never.fit(X)
    assert (np.diff(never.history_["learning_rate"]) < 0).all()


def test_a_fit_broken_off_while_refining_keeps_the_clusters_refined():
    import skmixae._fitting as fitting

    merges = []
    merge_experts = fitting.merge_experts

    class Stop(Exception):
        pass

    def breaking(model):
        def change(rows, generator):
            if len(merges) and len(calls) > 60:
                raise Stop
            if merges:
                calls.append(1)
            return rows

        calls = []
        return model.set_params(consistency=change)

    def spy(*args, **kwargs):
        merges.append(merge_experts(*args, **kwargs))
        return merges[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "merge_experts", spy)
        model = breaking(MixAEClustering(3, n_experts=8, batch_size=40, **SMALL))
        with pytest.raises(Stop):
            model.fit(X)
    assert len(merges) == 1
    assert sorted(np.bincount(model.expert_labels_)) == sorted(
        np.bincount(merges[0].clusters)
    )
    assert model.predict(X).shape == (240,)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", True), ("balanced", True), ("fading", False), ("anneal", False)],
)
def test_clusters_are_merged_evenly_unless_the_balance_fades(
    schedule, expected, monkeypatch
):
    told = []

    def watched(joint, n_clusters, *, evenly):
        told.append(evenly)
        return agglomerate(joint, n_clusters, evenly=evenly)

    agglomerate = _fitting.agglomerate
    monkeypatch.setattr(_fitting, "agglomerate", watched)
    settings = SMALL | {"max_epochs": 4, "entropy_schedule": schedule}
    MixAEClustering(3, n_experts=8, init="random", n_init=1, **settings).fit(X)
    assert told
    assert set(told) == {expected}
