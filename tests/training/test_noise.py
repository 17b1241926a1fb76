"""Directions that are noise, against rows of which it is known how many are none."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from skmixae.training import Rows, Scaling, noise, principal_axes
from skmixae.training.noise import are_gaussian, n_above_noise


def in_noise(told, n_features=20, level=0.1, seed=0):
    """Rows with features that tell something, noise beside them, and all turned."""
    rng = np.random.default_rng(seed)
    X = level * rng.normal(size=(len(told), n_features))
    X[:, : told.shape[1]] += told
    return X @ np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]


def apart(n=600, seed=0):
    """Four groups in three features, at corners of a cube."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return corners[np.random.default_rng(seed).integers(4, size=n)]


def n_kept(X, **params):
    scaling = Scaling(X.mean(0), 1.0)
    return principal_axes(Rows(X), scaling, 100, 0.5, **params)[0].shape[1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_features", [7, 50, 200])
def test_directions_that_tell_something_are_kept_alone(n_features, seed):
    X = in_noise(apart(seed=seed), n_features, seed=seed)
    assert n_kept(X, noise=False) == 3
    assert n_kept(X) == min(n_features, 100)


def test_what_is_left_is_as_if_so_many_directions_were_asked_for():
    rows, scaling = Rows(X := in_noise(apart())), Scaling(X.mean(0), 1.0)
    found, beyond = principal_axes(rows, scaling, 100, 0.5, noise=False)
    expected, rest = principal_axes(rows, scaling, 3, 0.5)
    assert_array_equal(found, expected)
    assert beyond == rest > 0


def test_noise_is_told_in_any_container_and_in_a_part_of_many_rows():
    X = in_noise(apart(9000)).astype(np.float32)
    centre = Scaling(np.zeros(20, np.float32), 1.0)
    for rows in (Rows(X), Rows(csr_array(X))):
        assert principal_axes(rows, centre, 100, 0.5, noise=False)[0].shape[1] == 3


def uneven(rng):
    return rng.normal(size=(600, 20)) * np.linspace(0.05, 0.2, 20)


def weaker_than_noise(rng):
    X = 0.1 * rng.normal(size=(600, 20))
    X[:, -3:] *= 0.3
    return X


def of_two_widths(rng):
    return 0.1 * rng.normal(size=(600, 20)) * rng.choice([1, 2], (600, 1))


def with_two_values(rng):
    X = rng.normal(size=(2000, 20))
    X[:, 7] = rng.choice([-1, 1], 2000)
    return 0.1 * X


@pytest.mark.parametrize(
    "beside", [uneven, weaker_than_noise, of_two_widths, with_two_values]
)
def test_what_is_not_as_noise_is_stays_whole(beside):
    rng = np.random.default_rng(0)
    X = beside(rng)
    X[:, 0] = rng.normal(size=len(X))
    assert n_kept(X, noise=False) == 20


def test_noise_alone_stays_whole_and_so_do_rows_without_much_of_it():
    assert n_kept(np.random.default_rng(0).normal(size=(600, 20)), noise=False) == 20
    rng = np.random.default_rng(0)
    told = rng.normal(size=(600, 4)) * 2.0 ** np.arange(4)
    assert n_kept(in_noise(told, 9), noise=False) == 4
    assert n_kept(in_noise(told, 8), noise=False) == 8  # half is not most


def test_few_rows_do_not_tell(monkeypatch):
    X = in_noise(apart(199))
    assert n_kept(X, noise=False) == 20
    monkeypatch.setattr(noise, "ROWS_TO_TELL", 199)
    monkeypatch.setattr("skmixae.training.whitening.ROWS_TO_TELL", 199)
    assert n_kept(X, noise=False) == 3


def test_the_limits_of_noise_hold_as_often_as_they_say():
    """Also of more directions than rows."""
    rng = np.random.default_rng(0)
    for n, d in ((500, 3), (500, 50), (100, 300)):
        variances = [
            np.linalg.svd(rng.normal(size=(n, d)), compute_uv=False) ** 2 / n
            for _ in range(200)
        ]
        inside = [n_above_noise(v, n) == 0 for v in variances]
        assert np.mean(inside) >= 0.97


def test_gaussians_are_told_as_often_as_chance_says():
    rng = np.random.default_rng(0)
    found = [
        are_gaussian(rng.normal(size=(300, 12)) + 5, np.eye(12)) for _ in range(300)
    ]
    assert np.mean(found) >= 0.98


def test_features_are_looked_at_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    x = with_two_values(rng)
    axes = np.eye(30)[:, :20]  # ten features have nothing along them
    for together in (1, 7, 256):
        monkeypatch.setattr(noise, "FEATURES_TOGETHER", together)
        assert not are_gaussian(x, axes)
        assert are_gaussian(np.delete(x, 7, axis=1), np.delete(axes, 7, axis=1))
