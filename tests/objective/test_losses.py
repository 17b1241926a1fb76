"""Reconstruction losses against loops over rows, experts and features."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from torch.autograd import gradcheck

from skmixae import MixAEClustering
from skmixae.network import Decoded
from skmixae.objective import LOSSES, Loss, losses
from skmixae.training import Moments

N_ROWS, N_EXPERTS, N_FEATURES = 5, 3, 4


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def naive_squared_error(decoded, row):
    return sum((d - x) ** 2 for d, x in zip(decoded, row, strict=True)) / len(row)


def naive_cross_entropy(decoded, row):
    total = 0.0
    for logit, x in zip(decoded, row, strict=True):
        p = 1 / (1 + math.exp(-logit))
        total -= x * math.log(p) + (1 - x) * math.log(1 - p)
    return total / len(row)


def naive_cosine(decoded, row):
    dot = sum(d * x for d, x in zip(decoded, row, strict=True))
    lengths = math.sqrt(sum(d * d for d in decoded) * sum(x * x for x in row))
    return 1 - dot / lengths


NAIVE_ERRORS = {
    "mse": naive_squared_error,
    "bce": naive_cross_entropy,
    "cosine": naive_cosine,
}


def some_rows(loss):
    rows = draw(N_ROWS, N_FEATURES, seed=1)
    return rows.sigmoid() if loss == "bce" else rows


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_experts", [1, 3])
def test_reconstruction_error_equals_a_loop(loss, n_experts):
    decoded, rows = draw(N_ROWS, n_experts, N_FEATURES), some_rows(loss)
    errors = LOSSES[loss].error(Decoded(decoded), rows)
    expected = [
        [NAIVE_ERRORS[loss](one.tolist(), row.tolist()) for one in each]
        for each, row in zip(decoded, rows, strict=True)
    ]
    assert_allclose(errors, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_reconstruction_error(loss):
    decoded = draw(N_ROWS, N_EXPERTS, N_FEATURES).requires_grad_()
    rows = some_rows(loss)
    error = LOSSES[loss].error
    assert gradcheck(lambda d: error(Decoded(d), rows), decoded)


def test_perfect_reconstruction_has_no_error():
    rows = draw(N_ROWS, N_FEATURES)
    decoded = rows.unsqueeze(1).expand(-1, 2, -1)
    assert not losses.squared_error(Decoded(decoded), rows).any()
    assert_allclose(losses.cosine_error(Decoded(5 * decoded), rows), 0, atol=1e-15)


def test_cosine_error_of_an_empty_row_or_reconstruction_is_that_of_a_right_angle():
    zeros = torch.zeros(2, 3)
    decoded = Decoded(torch.tensor([[[0.0, 0, 0]], [[1, 2, 3]]]))
    errors = losses.cosine_error(decoded, zeros)
    assert errors.tolist() == [[1.0], [1.0]]


def test_cross_entropy_of_wild_logits_is_finite():
    rows = torch.tensor([[0.0, 1.0]])
    error = losses.cross_entropy_error(Decoded(torch.tensor([[[1e4, -1e4]]])), rows)
    assert error.item() == 1e4


def data_of(loss):
    rng = np.random.default_rng(0)
    X = rng.gamma(2.0, size=(40, 6)) * [1, 2, 3, 4, 0, 1e-3] + [5, 0, 0, 1, 2, 0]
    X[3] = 0  # cosine: a row without a direction
    return X / X.max() if loss == "bce" else X


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_predicting_the_mean_has_an_error_of_one(loss, unit):
    X = data_of(loss) * (1.0 if loss == "bce" else unit)
    moments = Moments()
    moments.update(X)
    scaling = moments.scaling(LOSSES[loss])
    rows = torch.from_numpy((X - scaling.center) / scaling.scale)
    mean = rows.mean(0)
    if loss == "bce":
        mean = mean.logit()
    errors = LOSSES[loss].error(Decoded(mean.expand(len(X), 1, -1)), rows)
    error = errors.mean() / moments.reference(LOSSES[loss])
    # The log-odds of a feature that is nearly always zero cost some digits.
    assert error.item() == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_variance_keep_a_finite_error(loss):
    moments = Moments()
    moments.update(np.full((20, 3), 0.3))
    assert moments.reference(LOSSES[loss]) > 0
    assert moments.scaling(LOSSES[loss]).scale > 0


# ---------------------------------------------------------------------------
# One more
# ---------------------------------------------------------------------------


def absolute_error(decoded, rows):
    return (decoded.rows() - rows.unsqueeze(1)).abs().mean(-1)


def registered(monkeypatch, **facts):
    """A loss that the package does not have, told in one place."""
    loss = Loss("mae", absolute_error, reference=lambda moments: 0.8, **facts)
    monkeypatch.setitem(LOSSES, loss.name, loss)
    return loss


def fitted(X, **parameters):
    return MixAEClustering(
        3, n_experts=None, reconstruction_loss="mae", max_epochs=5, random_state=0,
        **parameters,
    ).fit(X)  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_new_loss_is_fitted_and_asked_as_any_other(monkeypatch, round_trips):
    loss, (X, _) = registered(monkeypatch), make_blobs(90, 6, random_state=0)
    model = fitted(X)
    errors, labels = model.reconstruction_errors(X), model.predict(X)
    assert_array_equal(labels, model.labels_)
    apart = np.abs(model.reconstruct(X) - X).mean(1)
    scale = 0.8 * model._moments.scaling(loss).scale
    assert_allclose(errors[np.arange(90), labels], apart / scale, rtol=1e-4)
    assert_array_equal(model.score_samples(X), -errors.min(1))
    for copy in round_trips(model):
        assert_array_equal(copy.score_samples(X), model.score_samples(X))
        copy.partial_fit(X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_a_new_loss_says_of_rows_is_heeded(monkeypatch):
    X, _ = make_blobs(90, 6, random_state=0)
    registered(monkeypatch)
    with pytest.raises(ValueError, match="reconstruction_loss='mae'; leave whitening"):
        fitted(X, whitening=0.5)
    registered(monkeypatch, squared=True)
    assert fitted(X, whitening=0.5)._moments.axes is not None
    registered(monkeypatch, limits=(-5.0, 5.0))
    with pytest.raises(ValueError, match="'mae' needs features from -5 to 5"):
        fitted(X)
    registered(monkeypatch, limits=(-50.0, 50.0))
    assert_array_equal(fitted(X)._inference().scaling.apply(X), X.astype(np.float32))
    registered(monkeypatch, directions=True, activation=losses.direction)
    model = fitted(X)
    lengths, ones = np.linalg.norm(X, axis=1), np.ones(len(X))
    assert_allclose(np.linalg.norm(model.reconstruct(X), axis=1), lengths, rtol=1e-5)
    decoded = model.inverse_transform(model.transform(X))
    assert_allclose(np.linalg.norm(decoded, axis=1), ones, rtol=1e-5)
