"""Whitening, against the covariance of what comes of it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

from skmixae.objective import LOSSES
from skmixae.training import (
    Moments,
    Rows,
    Scaling,
    mostly_zeros,
    principal_axes,
    whitening,
)
from skmixae.training.whitening import _of_few, _of_many


def correlated(n=200, n_features=6, seed=0):
    """Rows of features of unlike strength, mixed, away from zero."""
    rng = np.random.default_rng(seed)
    strengths = 10.0 ** np.linspace(1, -1, n_features)
    mixing = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    return (rng.normal(size=(n, n_features)) * strengths) @ mixing + 5.0


def axes_of(X, n_components=100):
    return principal_axes(Rows(X), Scaling(X.mean(0), 1.0), n_components, 0.5)[0]


def whitened(X, exponent, n_components=100, directions=False):
    rows = Rows(X)
    moments = Moments(directions=directions)
    moments.update(rows.take(slice(None)))
    plain = moments.plain_scaling(LOSSES["mse"])
    moments.axes, moments.beyond = principal_axes(rows, plain, n_components, exponent)
    scaling = moments.scaling(LOSSES["mse"])
    return scaling, scaling.apply(rows.take(slice(None)))


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.5, 1.0])
def test_coordinates_have_their_spread_to_the_power_that_is_left(exponent):
    X = correlated()
    _, Z = whitened(X, exponent)
    found = np.cov(Z.T, bias=True)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1])
    expected = spread ** (2 - 2 * exponent)
    assert_allclose(found, np.diag(expected / expected.mean()), atol=0.02)
    assert_allclose(np.square(Z).mean(), 1.0, rtol=0.02)
    assert_allclose(Z.mean(0), 0.0, atol=1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_undoing_gives_the_rows_back_where_no_direction_is_cut(exponent):
    X = correlated()
    scaling, Z = whitened(X, exponent)
    assert_allclose(scaling.undo(Z), X, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("share", "least", "most", "kept"),
    [(1.0, 0, 9, 6), (0.5, 0, 9, 1), (0.5, 4, 9, 4), (1.0, 4, 2, 2), (0.5, 9, 9, 6)],
)
def test_directions_are_kept_by_variance_and_by_number(share, least, most, kept):
    rows = np.random.default_rng(0).normal(size=(200, 6)) * [9, 3, 2, 1, 1, 1]
    kept_by = {"share": share, "least": least}
    found, _ = principal_axes(
        Rows(rows), Scaling(rows.mean(0), 1.0), most, 0.5, **kept_by
    )
    assert found.shape == (6, kept)


def test_undoing_gives_the_nearest_rows_where_some_are_cut():
    X = correlated()
    scaling, Z = whitened(X, 0.5, n_components=2)
    assert Z.shape == (len(X), 2)
    centred = X - X.mean(0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    expected = centred @ directions.T @ directions + X.mean(0)
    assert_allclose(scaling.undo(Z), expected, rtol=1e-3, atol=1e-3)


def test_directions_have_one_length_whatever_that_of_the_rows():
    X = np.abs(correlated())
    _, Z = whitened(X, 0.5, directions=True)
    assert_allclose(np.linalg.norm(Z, axis=1), np.sqrt(Z.shape[1]), rtol=1e-5)
    longer = X * np.random.default_rng(1).uniform(1, 9, (len(X), 1))
    scaling, _ = whitened(X, 0.5, directions=True)
    assert_allclose(scaling.apply(longer), Z, rtol=1e-3, atol=1e-4)
    assert np.isfinite(scaling.apply(np.zeros((1, X.shape[1])))).all()


@pytest.mark.parametrize("directions", [False, True])
@pytest.mark.parametrize("plain", [Scaling(np.zeros(6), 1.0), Scaling(np.ones(6), 7.0)])
def test_scaled_rows_have_the_coordinates_that_they_have_in_their_units(
    plain, directions
):
    X = correlated()
    scaling, Z = whitened(X, 0.5, 4, directions)
    coordinates = scaling.after(plain, torch.device("cpu"))
    scaled = torch.from_numpy(plain.apply(X))
    assert_allclose(coordinates(scaled), Z, rtol=1e-3, atol=1e-4)


def test_a_row_of_zeros_has_no_direction_in_training_either():
    scaling, _ = whitened(np.abs(correlated()), 0.5, directions=True)
    coordinates = scaling.after(Scaling(np.zeros(6), 7.0), torch.device("cpu"))
    assert not coordinates(torch.zeros(1, 6)).any()


def test_directions_that_rows_do_not_have_are_left_out():
    X = correlated(n_features=3)
    X = np.c_[X, X[:, :1] + X[:, 1:2], np.full(len(X), 7.0)]  # rank 3
    assert axes_of(X).shape == (5, 3)


@pytest.mark.parametrize("n", [2, 30])
def test_rows_that_are_all_the_same_have_one_axis(n):
    axes = axes_of(np.full((n, 4), 3.0))
    assert axes.shape == (4, 1)
    assert np.isfinite(axes).all()


def test_sparse_and_dense_rows_have_the_same_axes():
    X = np.where(correlated() > 9.0, correlated(), 0.0)
    dense, sparse = (
        principal_axes(Rows(x), Scaling(np.zeros(6), 1.0), 4, 0.5)[0]
        for x in (X, csr_array(X))
    )
    assert_allclose(dense, sparse, rtol=1e-5)


@pytest.mark.parametrize("limit", [{"MOST_ROWS": 500}, {"WIDEST": 5}])
def test_a_random_part_of_many_rows_is_read(limit, monkeypatch):
    X = correlated(n=2000)
    every, read, take = axes_of(X, 2), [], Rows.take
    monkeypatch.setattr(
        Rows, "take", lambda self, i: read.append(len(i)) or take(self, i)
    )
    for name, value in limit.items():
        monkeypatch.setattr(f"skmixae.training.whitening.{name}", value)
    part = axes_of(X, 2)
    assert sum(read) == (500 if "MOST_ROWS" in limit else 25 // 6)
    if "MOST_ROWS" in limit:
        cosines = (every * part).sum(0) / (
            np.linalg.norm(every, axis=0) * np.linalg.norm(part, axis=0)
        )
        assert (cosines > 0.99).all()


def test_rows_at_once_and_block_by_block_have_the_same_axes(monkeypatch):
    X = correlated(n=40)
    at_once = _of_few(Rows(X), np.arange(40), Scaling(X.mean(0), 1.0), 6)
    monkeypatch.setattr("skmixae.training.batches.BLOCK_BYTES", 7 * 8 * 6)
    by_block = _of_many(Rows(X), np.arange(40), Scaling(X.mean(0), 1.0))
    assert_allclose(at_once[1], by_block[1], rtol=1e-6)
    assert_allclose(np.abs(at_once[0]), np.abs(by_block[0]), atol=1e-6)


def wide(name, n=60, n_features=150):
    """Rows of more features than rows, by a name."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n, n_features))
    if name == "steep":  # down to what is near rounding, and below
        directions = np.linalg.qr(noise.T)[0]
        return (np.linalg.qr(noise)[0] * 10.0 ** -np.arange(0, 15, 0.25)) @ directions.T
    if name == "constant":
        noise[:, 5:] = 3.0
    if name == "repeated":
        noise = noise[rng.integers(6, size=n)]
    if name == "far":
        noise += 1e5
    if name == "flat":
        noise = rng.normal(size=(n, 8)) @ rng.normal(size=(8, n_features))
    if name == "two":
        noise = noise[:2]
    return noise


WIDE = ["noise", "steep", "constant", "repeated", "far", "flat", "two"]


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_of_wide_rows_the_strongest_directions_are_those_of_all(
    name, exponent, monkeypatch
):
    X = wide(name)
    for most in {1, 2, 7, 15, 60}:
        most, found = min(most, len(X)), []
        for n_rows in (1, np.inf):  # never all directions, and always
            monkeypatch.setattr(whitening, "ROWS_FOR_A_DIRECTION", n_rows)
            scaling = Scaling(X.mean(0), 1.0)
            found.append(principal_axes(Rows(X), scaling, most, exponent))
        (few, beyond), (every, expected) = found
        assert few.shape == every.shape
        assert_allclose(few, every, rtol=1e-4, atol=1e-4 * np.abs(every).max())
        assert_allclose(beyond, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "rank"), [("constant", 5), ("repeated", 5), ("flat", 8), ("two", 1)]
)
def test_rounding_is_no_direction_of_wide_rows(name, rank, monkeypatch):
    monkeypatch.setattr(whitening, "ROWS_FOR_A_DIRECTION", 1)
    X = wide(name)
    for scale in (1e-12, 1.0, 1e12):
        axes, beyond = principal_axes(
            Rows(X * scale), Scaling(X.mean(0) * scale, 1.0), min(15, len(X)), 1.0
        )
        assert axes.shape == (X.shape[1], rank)
        assert beyond < 1e-20


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_few_directions_of_wide_rows_are_orthogonal(exponent):
    axes, _ = principal_axes(
        Rows(X := wide("steep")), Scaling(X.mean(0), 1.0), 15, exponent
    )
    directions = axes / np.linalg.norm(axes, axis=0)
    assert_allclose(directions.T @ directions, np.eye(15), atol=1e-6)


def test_wide_rows_are_not_decomposed_whole_for_few_directions(monkeypatch):
    shapes, svd = [], whitening.svd
    monkeypatch.setattr(
        whitening, "svd", lambda a, **how: shapes.append(a.shape) or svd(a, **how)
    )
    X = wide("noise")
    for most, shape in ((15, (60, 15)), (16, (60, 150))):
        principal_axes(Rows(X), Scaling(X.mean(0), 1.0), most, 0.5)
        assert shapes.pop() == shape


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
def test_a_share_of_the_variance_of_wide_rows_counts_what_is_not_looked_at(share):
    X = wide("noise") * np.linspace(3, 0.1, 150)
    found, _ = principal_axes(Rows(X), Scaling(X.mean(0), 1.0), 15, 0.5, share=share)
    variances = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2
    needed = np.searchsorted(np.cumsum(variances), share * variances.sum()) + 1
    assert found.shape[1] == min(needed, 15)


@pytest.mark.parametrize("wrap", [np.asarray, csr_array])
@pytest.mark.parametrize(("share", "expected"), [(0.05, True), (0.2, False)])
def test_counts_are_known_by_their_zeros_in_any_container(wrap, share, expected):
    rng = np.random.default_rng(0)
    X = (rng.random((300, 50)) < share) * 1.0
    assert mostly_zeros(Rows(wrap(X))) is expected


def test_zeros_are_counted_a_few_rows_at_a_time(monkeypatch):
    read, take = [], Rows.take
    monkeypatch.setattr(
        Rows, "take", lambda self, i: read.append(len(i)) or take(self, i)
    )
    monkeypatch.setattr("skmixae.training.batches.BLOCK_BYTES", 7 * 8 * 50)
    mostly_zeros(Rows(csr_array((300, 50))))
    assert sum(read) == 300
    assert max(read) == 7


@pytest.mark.parametrize("X", [correlated(), correlated(9, 20)], ids=["many", "few"])
def test_the_fewest_directions_with_a_share_of_the_variance_are_kept(X):
    variances = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2
    for share in (0.3, 0.7, 0.9, 0.999):
        axes, _ = principal_axes(
            Rows(X), Scaling(X.mean(0), 1.0), 100, 0.5, share=share
        )
        d = axes.shape[1]
        assert variances[:d].sum() >= share * variances.sum()
        assert d == 1 or variances[: d - 1].sum() < share * variances.sum()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_what_is_beyond_the_axes_is_measured_on_the_steepest_of_them(exponent):
    X = correlated()
    moments = Moments()
    moments.update(X)
    plain = moments.plain_scaling(LOSSES["mse"])
    moments.axes, beyond = principal_axes(Rows(X), plain, 2, exponent)
    excess = moments.scaling(LOSSES["mse"]).excess(X)
    centred = (X - X.mean(0)) / plain.scale
    directions = np.linalg.svd(centred, full_matrices=False)[2]
    gain = np.linalg.norm(moments.axes, axis=0).max()
    expected = np.square(centred @ directions[2:].T).sum(1) * gain**2 / 2
    assert_allclose(excess, expected, rtol=1e-4, atol=1e-6)
    assert_allclose(beyond, expected.mean(), rtol=1e-4)


def test_nothing_is_beyond_all_axes_nor_of_counts():
    X = correlated()
    for n_components, directions in ((6, False), (2, True)):
        scaling, _ = whitened(X, 0.5, n_components, directions)
        assert not scaling.excess(X).any()


def test_of_rows_within_the_axes_nothing_is_beyond():
    """Also where weak directions are whitened fully, so that rounding is multiplied."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(300, 9)) * 10.0 ** -np.arange(9), np.full(300, 5.0)]
    moments = Moments()
    moments.update(X)
    plain = moments.plain_scaling(LOSSES["mse"])
    moments.axes, beyond = principal_axes(Rows(X), plain, 100, 1.0)
    excess = moments.scaling(LOSSES["mse"]).excess(X)
    assert moments.axes.shape[1] < 9
    within = X.copy()
    within[:, moments.axes.shape[1] :] = X[:, moments.axes.shape[1] :].mean(0)
    assert (excess >= 0).all()
    assert moments.scaling(LOSSES["mse"]).excess(within).max() < 1e-3
    assert_allclose(excess.mean(), beyond, atol=1e-3)
