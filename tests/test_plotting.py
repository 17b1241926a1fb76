"""The displays: what they show, and that odd data does not break them."""

import builtins
import sys

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_matrix
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from skmixae.plotting import ClusterSamplesDisplay, TrainingHistoryDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


class Mixture(BaseEstimator):
    """What the displays may know of an estimator: its public attributes.

    Rows whose first feature is k are of cluster k, and certain as their second says.
    """

    def __init__(self, n_clusters, n_features, *, input_shape=None, n_epochs=5):
        self.n_clusters, self.n_features_in_ = n_clusters, n_features
        self.input_shape_ = (n_features,) if input_shape is None else input_shape
        self.architecture = "mlp"
        fields = ["total", "reconstruction", "sample_entropy", "batch_entropy"]
        self.history_ = np.zeros(
            n_epochs,
            dtype=[
                *((name, float) for name in [*fields, "label_change"]),
                ("expert_share", float, (n_clusters,)),
            ],
        )
        self.history_["expert_share"] = 1 / n_clusters

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        labels = X[:, 0].astype(int)
        certainty = X[:, min(1, X.shape[1] - 1)] % 1 * 0.4 + 0.6
        rest = (1 - certainty) / max(1, self.n_clusters - 1)
        proba = np.repeat(rest[:, None], self.n_clusters, axis=1)
        proba[np.arange(len(X)), labels] = certainty
        return proba

    def reconstruct(self, X):
        return (X.toarray() if hasattr(X, "toarray") else np.asarray(X)) * 0.9


@pytest.fixture(autouse=True)
def _figures_closed():
    yield
    plt.close("all")


def rows_of(n_clusters, n_features, n=20, seed=0):
    """Return n rows of each cluster."""
    X = np.random.RandomState(seed).rand(n_clusters * n, n_features)
    X[:, 0] = np.repeat(np.arange(n_clusters), n)
    return X


def draw(n_clusters, n_features, input_shape=None, X=None, **options):
    X = rows_of(n_clusters, n_features) if X is None else X
    model = Mixture(n_clusters, n_features, input_shape=input_shape)
    display = ClusterSamplesDisplay.from_estimator(model, X, **options)
    display.figure_.draw_without_rendering()  # what breaks only when drawn
    return display


LOOKS = {
    "one feature": (1, None, None),
    "plane": (2, None, None),
    "vector": (5, None, None),
    "long vector": (400, None, None),
    "series": (12, (12,), None),
    "series of channels": (12, (3, 4), "conv1d"),
    "image": (12, (3, 4), None),
    "image of one channel": (12, (1, 3, 4), None),
    "image in colour": (12, (3, 2, 2), None),
    "image with its colours last": (75, (5, 5, 3), None),
    "image of two channels": (12, (2, 2, 3), None),
}


@pytest.mark.parametrize("n_clusters", [1, 2, 30])
@pytest.mark.parametrize("look", LOOKS)
def test_every_cluster_has_its_block(look, n_clusters):
    n_features, input_shape, architecture = LOOKS[look]
    model = Mixture(n_clusters, n_features, input_shape=input_shape)
    model.architecture = architecture or "mlp"
    X = rows_of(n_clusters, n_features)
    display = ClusterSamplesDisplay.from_estimator(model, X)
    display.figure_.draw_without_rendering()
    assert len(display.axes_) == n_clusters
    assert list(display.ax_.child_axes) == list(display.axes_)
    assert display.ax_.figure is display.figure_
    for k, block in enumerate(display.axes_):
        assert block.get_title(loc="left").startswith(f"cluster {k}")
        assert block.lines or block.images


@pytest.mark.parametrize("n_clusters", [2, 30])
@pytest.mark.parametrize("look", LOOKS)
def test_blocks_and_their_headings_do_not_overlap(look, n_clusters):
    n_features, input_shape, architecture = LOOKS[look]
    model = Mixture(n_clusters, n_features, input_shape=input_shape)
    model.architecture = architecture or "mlp"
    X = rows_of(n_clusters, n_features)
    display = ClusterSamplesDisplay.from_estimator(model, X, n_samples=3)
    display.figure_.draw_without_rendering()
    boxes = [block.get_tightbbox() for block in display.axes_]
    overlaps = [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1
        and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    assert overlaps == []


@pytest.mark.parametrize("look", LOOKS)
def test_empty_clusters_are_shown_as_empty(look):
    n_features, input_shape, _ = LOOKS[look]
    X = rows_of(4, n_features)
    display = draw(4, n_features, input_shape, X=X[X[:, 0] != 2])
    assert [len(rows) for rows in display.samples][2] == 0
    texts = [[text.get_text() for text in block.texts] for block in display.axes_]
    assert texts == [[], [], ["empty"], []]


def test_samples_stand_with_the_most_certain_first():
    for selection in ("spread", "certain", "random"):
        display = draw(3, 6, selection=selection, n_samples=5)
        for certainty in display.certainties:
            assert len(certainty) == 5
            assert (np.diff(certainty) <= 0).all()


def test_spread_reaches_from_the_most_to_the_least_certain():
    X = rows_of(2, 6)
    display = draw(2, 6, X=X, n_samples=4)
    for k in (0, 1):
        certainty = Mixture(2, 6).predict_proba(X).max(axis=1)[X[:, 0] == k]
        assert display.certainties[k][0] == certainty.max()
        assert display.certainties[k][-1] == certainty.min()


def test_random_samples_are_those_of_the_random_state():
    first, again, other = (
        draw(2, 6, selection="random", random_state=seed) for seed in (0, 0, 1)
    )
    for k in (0, 1):
        np.testing.assert_array_equal(first.samples[k], again.samples[k])
    assert not np.array_equal(first.samples[0], other.samples[0])


def test_samples_are_rows_of_their_cluster_with_their_reconstructions():
    X = rows_of(3, 6)
    display = draw(3, 6, X=X)
    for k in range(3):
        assert (display.samples[k][:, 0] == k).all()
        assert all((X == row).all(axis=1).any() for row in display.samples[k])
        np.testing.assert_allclose(display.reconstructions[k], display.samples[k] * 0.9)
    np.testing.assert_array_equal(display.counts, [20, 20, 20])


def test_containers_of_the_same_rows_give_the_same_picture():
    pd = pytest.importorskip("pandas")
    X = rows_of(3, 6)
    expected = draw(3, 6, X=X)
    for same in (csr_matrix(X), coo_array(X), pd.DataFrame(X), X.tolist()):
        display = draw(3, 6, X=same)
        for k in range(3):
            np.testing.assert_array_equal(display.samples[k], expected.samples[k])


def test_constant_rows_are_drawn():
    for n_features, input_shape in ((1, None), (2, None), (4, (2, 2)), (5, None)):
        draw(1, n_features, input_shape, X=np.zeros((3, n_features)))


def test_samples_are_drawn_into_the_axes_given():
    figure, (left, right) = plt.subplots(ncols=2)
    display = draw(3, 4, (2, 2), ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.child_axes


def test_plot_draws_again_without_the_estimator():
    first = draw(3, 4, (2, 2))
    figure = first.figure_
    second = first.plot(cmap=matplotlib.colormaps["viridis"])
    assert second is first
    assert second.figure_ is not figure


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match=r"selection must be one of .*'best'"):
        draw(2, 3, selection="best")
    for n_samples in (0, 2.5):
        with pytest.raises(ValueError, match=f"n_samples must be .* got {n_samples}"):
            draw(2, 3, n_samples=n_samples)


@pytest.mark.parametrize("n_epochs", [1, 5, 200])
@pytest.mark.parametrize("n_clusters", [1, 2, 30])
def test_history_shows_terms_and_shares(n_clusters, n_epochs):
    model = Mixture(n_clusters, 3, n_epochs=n_epochs)
    display = TrainingHistoryDisplay.from_estimator(model, np.zeros((2, 3)))
    display.figure_.draw_without_rendering()
    terms, shares = display.axes_
    assert len(terms.lines) == 4  # total is not among them: its unit is the weights'
    assert all(len(line.get_xdata()) == n_epochs for line in terms.lines)
    assert len(shares.patches) == n_clusters
    assert shares.get_xlim() == (0.5, n_epochs + 0.5)


def test_history_leaves_out_what_was_never_measured():
    model = Mixture(2, 3)
    model.history_["label_change"] = np.nan  # as partial_fit leaves it
    labels = TrainingHistoryDisplay.from_estimator(model).axes_[0].lines
    assert len(labels) == 3


def test_history_is_drawn_into_the_axes_given():
    figure, ax = plt.subplots()
    display = TrainingHistoryDisplay.from_estimator(Mixture(2, 3), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure


@pytest.mark.rng_untouched
def test_nothing_but_the_new_figure_is_left_behind():
    before = dict(matplotlib.rcParams)
    draw(3, 6, selection="random")
    TrainingHistoryDisplay.from_estimator(Mixture(2, 3))
    assert len(plt.get_fignums()) == 2
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    display = draw(2, 4)
    monkeypatch.setattr(builtins, "__import__", without)
    for module in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    message = r"requires matplotlib.*pip install 'skmixae\[plot\]'"
    with pytest.raises(ImportError, match=f"from_estimator {message}"):
        ClusterSamplesDisplay.from_estimator(Mixture(2, 4), rows_of(2, 4))
    with pytest.raises(ImportError, match=f"from_estimator {message}"):
        TrainingHistoryDisplay.from_estimator(Mixture(2, 4))
    with pytest.raises(ImportError, match=f"plot {message}"):
        display.plot()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_a_fitted_estimator_is_drawn(container):
    from skmixae import MixAEClustering

    X = container(np.random.RandomState(0).rand(40, 12).astype(np.float32))
    model = MixAEClustering(3, input_shape=(3, 4), max_epochs=2, random_state=0)
    with pytest.raises(NotFittedError):
        ClusterSamplesDisplay.from_estimator(model, X)
    with pytest.raises(NotFittedError):
        TrainingHistoryDisplay.from_estimator(model)
    model.fit(X)
    display = ClusterSamplesDisplay.from_estimator(model, X, n_samples=40)
    np.testing.assert_array_equal(display.counts, np.bincount(model.labels_, None, 3))
    assert sum(map(len, display.samples)) == 40
    assert len(TrainingHistoryDisplay.from_estimator(model, X).axes_) == 2
