"""The displays of a fitted mixture: what they show, on odd data too."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.cluster.hierarchy import is_valid_linkage
from scipy.sparse import coo_array
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    StandardScaler,
)

from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_score
from skmixae.plotting import (
    CertaintyDisplay,
    ClusterClassDisplay,
    ClusterProfileDisplay,
    ClusterSamplesDisplay,
    ExpertTreeDisplay,
    LatentMapDisplay,
    OutlierDisplay,
    TrainingHistoryDisplay,
    profiles,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DISPLAYS = [
    CertaintyDisplay,
    ClusterProfileDisplay,
    ExpertTreeDisplay,
    LatentMapDisplay,
    OutlierDisplay,
]


@pytest.fixture(autouse=True)
def _figures_closed():
    yield
    plt.close("all")


def fitted(n_clusters=3, n_features=4, n_experts=None, **params):
    X, y = make_blobs(120, n_features, centers=n_clusters, random_state=0)
    model = MixAEClustering(
        n_clusters, n_experts=n_experts, init="random", hidden_layer_sizes=(8,),
        max_epochs=2, random_state=0, **params,
    )  # fmt: skip
    return model.fit(X), X, y


CASES = {
    "three clusters": {},
    "one cluster": {"n_clusters": 1},
    "two clusters, experts to spare": {"n_clusters": 2, "n_experts": 7},
    "thirty clusters": {"n_clusters": 30},
    "one feature": {"n_features": 1},
    "plane": {"n_features": 2},
    "image": {"n_features": 16, "input_shape": (4, 4)},
    "series": {"n_features": 16, "input_shape": (16,), "architecture": "conv1d"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("display", DISPLAYS)
def test_display_draws_and_draws_again(display, case):
    model, X, _ = fitted(**CASES[case])
    shown = display.from_estimator(model, X)
    shown.figure_.draw_without_rendering()  # what breaks only when drawn
    first = shown.figure_
    assert shown.plot() is shown
    assert shown.figure_ is not first
    _, ax = plt.subplots()
    assert shown.plot(ax=ax).ax_ is ax
    ax.figure.draw_without_rendering()


CHANGED = {"n_active": 2, "architecture": "conv1d", "n_clusters": 5, "n_experts": 9}


@pytest.mark.parametrize("display", [*DISPLAYS, ClusterSamplesDisplay])
def test_display_is_of_what_was_fitted_whatever_the_parameters_are_now(display):
    model, X, _ = fitted(**CASES["image"])
    before = display.from_estimator(model, X)
    now = display.from_estimator(model.set_params(**CHANGED), X)
    pixels = [bytes(d.figure_.canvas.print_to_buffer()[0]) for d in (before, now)]
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize("display", DISPLAYS)
def test_display_takes_sparse_rows_and_few(display):
    model, X, _ = fitted()
    display.from_estimator(model, coo_array(X))
    display.from_estimator(model, X[:1]).figure_.draw_without_rendering()


@pytest.mark.parametrize("display", [*DISPLAYS, ClusterClassDisplay])
def test_display_of_nothing_fitted_or_without_matplotlib_is_refused(
    display, monkeypatch
):
    model, X, y = fitted()
    arguments = (X, y) if display is ClusterClassDisplay else (X,)
    with pytest.raises(NotFittedError):
        display.from_estimator(MixAEClustering(), *arguments)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"skmixae\[plot\]"):
        display.from_estimator(model, *arguments)


EVERY = [*DISPLAYS, ClusterSamplesDisplay, TrainingHistoryDisplay]


@pytest.mark.parametrize("steps", [[], ["passthrough"], [StandardScaler()]])
@pytest.mark.parametrize("display", EVERY)
def test_display_of_a_pipeline_is_that_of_its_last_step(display, steps):
    X, _ = make_blobs(60, 2, centers=2, random_state=0)
    model = MixAEClustering(2, n_experts=4, max_epochs=2, random_state=0)
    pipeline = make_pipeline(*steps, model)
    with pytest.raises(NotFittedError):
        display.from_estimator(pipeline, X)
    pipeline.fit(X)
    scales = steps and steps != ["passthrough"]
    reached = StandardScaler().fit_transform(X) if scales else X
    shown = display.from_estimator(pipeline, X), display.from_estimator(model, reached)
    pixels = [bytes(d.figure_.canvas.print_to_buffer()[0]) for d in shown]
    assert pixels[0] == pixels[1]


@pytest.mark.parametrize("n_features", [2, 3])
@pytest.mark.parametrize("display", EVERY)
def test_display_takes_booleans(display, n_features):
    rows = np.random.default_rng(0).random((60, n_features)) < 0.5
    model = MixAEClustering(2, max_epochs=2, random_state=0).fit(rows)
    display.from_estimator(model, rows).figure_.draw_without_rendering()


# -- clusters and classes ----------------------------------------------------------


@pytest.mark.parametrize("long", ["class", "cluster", "neither"])
def test_matrix_has_room_for_the_names(long):
    names = np.array(["comp.os.ms-windows.misc", "MMMMMMMMMMMMMMMMMMMMMMMM", "b"])
    classes = names if long == "class" else np.array(["a", "b", "c"])
    clusters = names if long == "cluster" else np.array([0, 1, 2])
    which = np.arange(12) % 3
    shown = ClusterClassDisplay.from_predictions(classes[which], clusters[which])
    figure, axes = shown.figure_, (shown.ax_.xaxis, shown.ax_.yaxis)
    figure.draw_without_rendering()
    for axis in axes:
        for text in (axis.label, *axis.get_ticklabels()):
            box = text.get_window_extent()
            assert min(box.x0, box.y0) > 0
    if long == "neither":
        assert figure.get_size_inches()[0] < 3


def test_matrix_outlines_what_the_accuracy_counts():
    model, X, y = fitted()
    display = ClusterClassDisplay.from_estimator(model, X, y)
    accuracy = hungarian_accuracy_score(y, model.predict(X))
    title = display.ax_.get_title(loc="left").replace("\n", " ")
    assert title == f"Hungarian accuracy {accuracy:.2f}"
    assert sum(display._outlined()) == pytest.approx(accuracy * len(X))
    assert len(display.ax_.texts) == (display.matrix > 0).sum()


@pytest.mark.parametrize(
    ("n_clusters", "n_classes"), [(1, 1), (30, 30), (2, 9), (9, 2)]
)
def test_matrix_of_any_shape_is_drawn(n_clusters, n_classes):
    rng = np.random.default_rng(0)
    classes = np.array([f"class {i}" for i in range(n_classes)])
    display = ClusterClassDisplay.from_predictions(
        rng.choice(classes, 300), rng.integers(n_clusters, size=300)
    )
    display.figure_.draw_without_rendering()
    assert len(display.ax_.patches) == min(n_clusters, n_classes)


# -- certainty ----------------------------------------------------------


def test_certainties_are_those_of_the_rows_of_a_cluster():
    model, X, _ = fitted()
    display = CertaintyDisplay.from_estimator(model, X)
    assert [len(c) for c in display.certainties] == np.bincount(
        model.predict(X), minlength=3
    ).tolist()
    assert_allclose(
        np.sort(np.concatenate(display.certainties)),
        np.sort(model.predict_proba(X).max(1)),
    )


def test_certainty_of_an_empty_cluster_says_so():
    display = CertaintyDisplay(certainties=[np.array([0.5, 1.0]), np.array([])]).plot()
    assert [text.get_text() for text in display.ax_.texts] == ["empty"]
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == ["0  (2)", "1  (0)"]


# -- latents ----------------------------------------------------------


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_map_shows_some_rows_the_same_each_time(method):
    model, X, _ = fitted()
    one, two = (
        LatentMapDisplay.from_estimator(model, X, method=method, n_samples=50)
        for _ in range(2)
    )
    assert one.points.shape == (50, 2)
    assert_array_equal(one.points, two.points)
    numbers = {int(text.get_text()) for text in one.ax_.texts}
    assert numbers == set(one.labels.tolist())


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_map_is_the_same_whatever_transformers_return(method):
    pytest.importorskip("pandas")
    model, X, _ = fitted()
    expected = LatentMapDisplay.from_estimator(model, X, method=method).points
    with config_context(transform_output="pandas"):
        points = LatentMapDisplay.from_estimator(model, X, method=method).points
    assert_array_equal(points, expected)


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("case", ["all alike", "one latent", "one row"])
def test_map_is_drawn_of_what_has_no_plane(case, method):
    X = np.ones((60, 3)) if case == "all alike" else np.arange(60.0).reshape(-1, 1)
    k = 1 if case == "one latent" else 2
    model = MixAEClustering(k, max_epochs=2, latent_dim=1, random_state=0).fit(X)
    shown = X[:1] if case == "one row" else X
    points = LatentMapDisplay.from_estimator(model, shown, method=method).points
    assert points.shape == (len(shown), 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize(
    "options", [{"method": "umap"}, {"n_samples": 0}, {"n_samples": 2.5}]
)
def test_map_refuses_what_it_does_not_know(options):
    model, X, _ = fitted()
    with pytest.raises(ValueError, match=next(iter(options))):
        LatentMapDisplay.from_estimator(model, X, **options)


# -- experts ----------------------------------------------------------


def test_affinity_is_what_others_have_of_the_rows_of_an_expert():
    model, X, _ = fitted(n_clusters=2, n_experts=5)
    display = ExpertTreeDisplay.from_estimator(model, X)
    p = model.predict_expert_proba(X).astype(float)
    for i in range(5):
        assert_allclose(display.affinity[i], (p[:, i] @ p) / p[:, i].sum(), rtol=1e-6)
    assert_allclose(display.affinity.sum(1), 1, rtol=1e-5)


def test_experts_of_a_cluster_stand_together_in_a_frame():
    model, X, _ = fitted(n_clusters=3, n_experts=9)
    display = ExpertTreeDisplay.from_estimator(model, X)
    sizes = np.bincount(model.expert_labels_)
    frames = [patch.get_width() for patch in display.axes_[1].patches]
    assert sorted(frames) == sorted(sizes.tolist())
    linkage = np.column_stack(
        [
            model.expert_children_,
            np.maximum.accumulate(model.expert_distances_),
            np.ones(8),
        ]
    )
    assert is_valid_linkage(linkage)


def test_merges_stand_at_what_they_took_or_what_those_below_them_did():
    children = np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
    display = ExpertTreeDisplay(
        children=children, distances=np.array([0.5, 0.1, 0.2, 0.3]),
        clusters=np.array([0, 0, 1, 1, 2]), affinity=np.eye(5),
    ).plot()  # fmt: skip
    # Expert 4 joins the first pair, and both others that: 0.5 is below, 0.1 is not.
    heights = [line.get_xdata()[1] for line in display.axes_[0].lines]
    assert heights == [0.5, 0.1, 0.5, 0.5]
    ends = [line.get_xdata()[[0, -1]].tolist() for line in display.axes_[0].lines]
    assert ends == [[0, 0], [0, 0], [0, 0.5], [0.1, 0.5]]
    assert display.axes_[0].get_xlim()[0] > 0.5


# -- outliers ----------------------------------------------------------


def test_the_rows_explained_worst_are_shown_first():
    model, X, _ = fitted()
    X = np.vstack([X, [[60.0, -60, 60, -60]]])
    display = OutlierDisplay.from_estimator(model, X, n_samples=5)
    scores = model.score_samples(X)
    assert display.shown[0] == len(X) - 1
    assert_array_equal(display.shown, np.argsort(scores)[:5])
    assert_allclose(display.samples, X[display.shown])
    assert_allclose(display.reconstructions, model.reconstruct(X[display.shown]))


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "all"])
def test_outliers_refuse_an_odd_number(n_samples):
    model, X, _ = fitted()
    with pytest.raises(ValueError, match="n_samples"):
        OutlierDisplay.from_estimator(model, X, n_samples=n_samples)


# -- what they read of the estimator -----------------------------------------------


class Even(BaseEstimator):
    """Rows in turn of each cluster, of which the last has none."""

    def __init__(self, n_clusters=3):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        return np.eye(self.n_clusters + 1)[np.arange(X.shape[0]) % self.n_clusters]


@pytest.mark.parametrize("container", [np.asarray, coo_array])
@pytest.mark.parametrize("at_once", [1, 40, 1 << 20])
def test_profiles_are_means_of_clusters_in_deviations_of_all(
    container, at_once, monkeypatch
):
    monkeypatch.setattr(profiles, "_AT_ONCE", at_once)
    X = np.random.default_rng(0).normal(5, 3, (20, 4))
    X[:, 2] = 7.0  # says nothing
    shown = ClusterProfileDisplay.from_estimator(Even().fit(X), container(X))
    for k in range(3):
        rows = X[k::3]
        assert_allclose(shown.means[k], rows.mean(0))
        for j in (0, 1, 3):
            expected = (rows[:, j].mean() - X[:, j].mean()) / X[:, j].std()
            assert_allclose(shown.deviations[k, j], expected)
    assert_allclose(shown.deviations[:3, 2], 0, atol=1e-12)
    assert np.isnan(shown.deviations[3]).all()
    assert_array_equal(shown.counts, [7, 7, 6, 0])


def test_profiles_show_of_each_cluster_what_tells_it_most():
    X = np.random.default_rng(0).normal(0, 0.1, (300, 40))
    for k, told in enumerate([31, 5, 17]):
        X[k::3, told] += 1
    shown = ClusterProfileDisplay.from_estimator(Even().fit(X), X, n_features=3)
    assert_array_equal(shown.features, [5, 17, 31])
    assert_array_equal(shown.feature_names, ["x5", "x17", "x31"])
    written = [text.get_text() for text in shown.ax_.texts]
    assert written == ["−0.7", "−0.7", "+1.4", "+1.4", "−0.7", "−0.7", "−0.7", "+1.4",
                       "−0.7"]  # fmt: skip


def test_profiles_have_the_names_that_reach_the_estimator():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"size": np.arange(20.0), "hue": ["red", "green"] * 10})
    steps = make_column_transformer(
        (StandardScaler(), ["size"]), (OneHotEncoder(sparse_output=False), ["hue"])
    )
    names = ["standardscaler__size", "onehotencoder__hue_green",
             "onehotencoder__hue_red"]  # fmt: skip
    pipeline = make_pipeline(steps, Even()).fit(X)
    draw = ClusterProfileDisplay.from_estimator
    assert list(draw(pipeline, X).feature_names) == names
    numbers = X[["size"]].assign(twice=2 * X["size"])
    assert list(draw(Even().fit(numbers), numbers).feature_names) == ["size", "twice"]
    assert list(draw(pipeline, X, feature_names=["a", "b", "c"]).feature_names) == [
        "a", "b", "c",
    ]  # fmt: skip
    nameless = make_pipeline(FunctionTransformer(lambda X: X[["size"]].values), Even())
    assert list(draw(nameless.fit(X), X).feature_names) == ["x0"]
    with pytest.raises(ValueError, match=r"feature_names must be 3.*\(2,\)"):
        draw(pipeline, X, feature_names=["a", "b"])
    with pytest.raises(ValueError, match="n_features must be an integer"):
        draw(pipeline, X, n_features=0)


@pytest.mark.parametrize("n_experts", [None, 7])
def test_expert_probabilities_add_up_to_those_of_clusters(n_experts):
    model, X, _ = fitted(n_experts=n_experts)
    experts = model.predict_expert_proba(X)
    assert experts.shape == (len(X), len(model.expert_labels_))
    summed = np.stack(
        [experts[:, model.expert_labels_ == k].sum(1) for k in range(3)], axis=1
    )
    assert_allclose(summed, model.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("n_experts", [None, 7])
def test_transform_is_the_own_block_of_what_all_encode(n_experts):
    model, X, _ = fitted(n_experts=n_experts)
    latents = model.encode(X)
    own = model.transform(X).reshape(latents.shape)
    chosen = own != 0
    assert chosen.any((1, 2)).all()
    assert (chosen.any(2).sum(1) == 1).all()
    assert_allclose(own[chosen], latents[chosen], rtol=1e-5)
