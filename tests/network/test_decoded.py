"""Distances and products of reconstructions that are never made, against loops."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from skmixae.network.decoded import (
    NEXT_TO_NOTHING,
    Decoded,
    GramDecoded,
    LinearDecoded,
    SparedDecoded,
    decoded_linearly,
)
from skmixae.network.parallel import ParallelLinear
from skmixae.objective import LOSSES

# One whole number of tiles with its bias, one that has to be filled up, and the least.
SIZES = [(3, 15, 40), (5, 7, 33), (1, 1, 4)]  # experts, hidden units, features
N_ROWS = 6
EPS = torch.finfo(torch.float32).eps


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def make(n_experts, n_hidden, n_features, *, dtype=torch.float64, training=True):
    """A last layer, what it reads, and rows to compare with."""
    generator = torch.Generator().manual_seed(1)
    last = ParallelLinear(n_experts, n_hidden, n_features, generator=generator)
    hidden = draw(N_ROWS, n_experts, n_hidden, seed=2, dtype=dtype)
    x = draw(N_ROWS, n_features, seed=3, dtype=dtype)
    return last.to(dtype).train(training), hidden, x


def made(hidden, last):
    """The plain way: reconstructions that are there."""
    return Decoded(last(hidden))


def naive_reconstruction(last, hidden, i, k):
    weight, bias = last.weight.detach().double(), last.bias.detach().double()
    return (
        sum(h * w for h, w in zip(hidden[i, k].double(), weight[k], strict=True))
        + (bias[k])
    )


def naive(last, hidden, x):
    """Squared distance, product with x and product with itself, by loops."""
    found = np.empty((3, *hidden.shape[:2]))
    for i, k in np.ndindex(*hidden.shape[:2]):
        d, row = naive_reconstruction(last, hidden, i, k), x[i].double()
        found[:, i, k] = ((d - row) ** 2).sum(), (d * row).sum(), (d * d).sum()
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", [made, LinearDecoded, GramDecoded])
def test_distances_and_products_equal_a_loop(sizes, training, way):
    last, hidden, x = make(*sizes, training=training)
    decoded = way(hidden, last)
    distance, product, square = naive(last, hidden, x)
    np.testing.assert_allclose(decoded.squared_distance(x).detach(), distance)
    found = [values.detach() for values in decoded.products(x)]
    np.testing.assert_allclose(found[0], product, atol=1e-13)
    np.testing.assert_allclose(found[1], square)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_reconstructions_equal_a_loop(sizes, training):
    last, hidden, _ = make(*sizes, training=training)
    decoded = GramDecoded(hidden, last)
    expert = torch.arange(N_ROWS) % sizes[0]
    chosen, taken = decoded.of(expert), made(hidden, last).of(expert)
    for i, k in np.ndindex(*hidden.shape[:2]):
        expected = naive_reconstruction(last, hidden, i, k)
        assert_close(decoded.rows()[i, k], expected)
        if k == expert[i]:
            assert_close(chosen[i], expected)
            assert_close(taken[i], expected)


@pytest.mark.parametrize("loss", ["mse", "cosine"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", [LinearDecoded, GramDecoded])
def test_gradients_are_those_of_reconstructions_that_are_made(
    way, sizes, training, loss
):
    last, hidden, x = make(*sizes, training=training)

    def gradients(decode):
        h, row = hidden.clone().requires_grad_(), x.clone().requires_grad_()
        errors = LOSSES[loss].error(decode(h, last), row)
        upstream = draw(*errors.shape, seed=4)
        inputs = (h, last.weight, last.bias, row)
        return torch.autograd.grad(errors, inputs, upstream)

    for found, expected in zip(gradients(way), gradients(made), strict=True):
        assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("what", ["products", "squared_distance"])
@pytest.mark.parametrize("way", [LinearDecoded, GramDecoded])
def test_gradients_are_exact(way, what):
    last, hidden, x = make(2, 3, 5)

    def found(h, weight, bias, row):
        last.weight, last.bias = weight, bias
        return getattr(way(h, last), what)(row)

    inputs = [hidden, last.weight.detach(), last.bias.detach(), x]
    for name in ("weight", "bias"):
        delattr(last, name)
    assert gradcheck(found, [t.clone().requires_grad_() for t in inputs])


@pytest.mark.parametrize("way", [LinearDecoded, GramDecoded])
def test_only_the_gradients_asked_for_are_computed(way):
    last, hidden, x = make(2, 3, 20)
    last.requires_grad_(False)
    hidden.requires_grad_()
    way(hidden, last).squared_distance(x).sum().backward()
    assert hidden.grad is not None
    assert last.weight.grad is None
    assert x.grad is None


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
def test_single_precision_is_off_by_units_in_the_last_place_of_the_lengths(
    noise, offset
):
    """Also where a row is met exactly or nearly, and the difference is all rounding."""
    last, hidden, _ = make(4, 32, 500, dtype=torch.float32)
    with torch.no_grad():
        last.bias += offset
    made = last(hidden)
    for k in range(4):
        x = (made[:, k] + noise * draw(N_ROWS, 500, dtype=torch.float32)).detach()
        distance, _, square = naive(last, hidden, x)
        found = GramDecoded(hidden, last).squared_distance(x).detach().numpy()
        lengths = x.double().square().sum(1, keepdim=True).numpy() + square
        assert (found >= 0).all()
        assert (np.abs(found - distance) <= 8 * EPS * lengths).all()


def test_half_precision_does_not_reach_the_difference():
    """A reconstruction as good as 1 % is not told from noise by 8 bits."""
    last, hidden, _ = make(3, 32, 500, dtype=torch.float32)
    hidden = hidden.bfloat16()
    x = (last(hidden.float())[:, 1] + 0.1 * draw(N_ROWS, 500).float()).detach()
    expected, *_ = naive(last, hidden, x)
    hidden.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = GramDecoded(hidden, last).squared_distance(x)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.detach()[:, 1], expected[:, 1], rtol=1e-3)
    found.sum().backward()
    assert hidden.grad.dtype == torch.bfloat16
    assert last.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_difference_in_half_precision_is_rounded_once(dtype):
    """By the products' own type, of what is subtracted and of the weights."""
    last, hidden, _ = make(3, 200, 300, dtype=torch.float32)
    hidden = hidden.to(dtype).requires_grad_()
    x = draw(N_ROWS, 300).float()
    expected, _, square = naive(last, hidden.detach(), x)
    found = LinearDecoded(hidden, last).squared_distance(x)
    assert found.dtype == torch.float32
    lengths = x.double().square().sum(1, keepdim=True).numpy() + square
    eps = torch.finfo(dtype).eps
    error = np.abs(found.detach().numpy() - expected)
    assert (error <= 4 * eps * lengths).all()
    found.sum().backward()
    assert hidden.grad.dtype == dtype
    assert last.weight.grad.dtype == last.bias.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("n_hidden", "n_features", "kind"),
    [
        (48, 784, GramDecoded),
        (48, 48, Decoded),
        (500, 784, LinearDecoded),
        (500, 20_000, LinearDecoded),
    ],
)
def test_the_cheaper_way_is_taken(n_hidden, n_features, kind):
    last, hidden, _ = make(1, n_hidden, n_features)
    assert type(decoded_linearly(hidden, last)) is kind


def kept_for_the_gradient(way):
    """What a squared distance of 3 experts and 400 features keeps until it is asked."""
    last, hidden, x = make(3, 8, 400)
    hidden.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, nn.Identity()):
        way(hidden, last).squared_distance(x)
    assert kept
    return kept


def test_of_a_difference_one_tensor_of_its_size_is_kept():
    kept = kept_for_the_gradient(LinearDecoded)
    assert sum(t.numel() == N_ROWS * 3 * 400 for t in kept) == 1


def test_nothing_as_large_as_the_reconstructions_is_kept():
    kept = kept_for_the_gradient(GramDecoded)
    # The weights and x itself are the largest, and they do not grow with b * k.
    assert max(t.numel() for t in kept) < 3 * N_ROWS * 400 * 2
    assert all(t.shape != (N_ROWS, 3, 400) for t in kept)


# ---------------------------------------------------------------------------
# Sparing experts what they have next to nothing of
# ---------------------------------------------------------------------------

WAYS = [LinearDecoded, GramDecoded]


@pytest.fixture
def _few_rows(monkeypatch):
    """Of six rows a quarter is one."""
    monkeypatch.setattr("skmixae.network.decoded.MOST_LEFT", 0.5)


def sure_shares(n_experts, seed=5, sharpness=40.0):
    """Assignments (b, k) that are nearly one-hot, of each expert about as many."""
    logits = sharpness * torch.eye(n_experts, dtype=torch.float64)
    return (
        logits.repeat(N_ROWS, 1)[:N_ROWS] + draw(N_ROWS, n_experts, seed=seed)
    ).softmax(-1)


@pytest.mark.usefixtures("_few_rows")
@pytest.mark.parametrize("way", WAYS)
def test_distances_that_matter_are_those_of_a_loop_and_others_the_row_s_average(way):
    last, hidden, x = make(4, 6, 9)
    shares = sure_shares(4, sharpness=14.0)
    found = way(hidden, last).sparing(shares).squared_distance(x).detach().numpy()
    expected, *_ = naive(last, hidden, x)
    weight = shares.numpy()
    matters = weight >= NEXT_TO_NOTHING / 4
    assert not matters.all()
    known = np.isclose(found, expected)
    assert known[matters].all()
    for i, k in np.argwhere(~known):
        others = known[i]
        average = weight[i, others] @ expected[i, others] / weight[i, others].sum()
        np.testing.assert_allclose(found[i, k], average)
    assert not known.all()


@pytest.mark.usefixtures("_few_rows")
@pytest.mark.parametrize("sharpness", [3.0, 6.0, 40.0])
@pytest.mark.parametrize("way", WAYS)
def test_the_weighted_sum_is_off_by_a_thousandth_of_the_largest_distance(
    way, sharpness
):
    last, hidden, x = make(5, 6, 9)
    shares = sure_shares(5, sharpness=sharpness)
    whole = way(hidden, last)
    distance = whole.squared_distance(x)
    sparing = whole.sparing(shares).squared_distance(x)
    off = (shares * (distance - sparing)).sum(-1).abs()
    assert (off <= NEXT_TO_NOTHING * distance.amax(-1) + 1e-9).all()


@pytest.mark.usefixtures("_few_rows")
@pytest.mark.parametrize("way", WAYS)
def test_gradients_of_what_is_spared_are_those_of_the_whole(way):
    """Where the rest has no weight at all."""
    last, hidden, x = make(4, 6, 9)
    shares = sure_shares(4)
    shares = (shares > 0.5).double()

    def gradients(sparing):
        h, row = hidden.clone().requires_grad_(), x.clone().requires_grad_()
        decoded = way(h, last)
        decoded = decoded.sparing(shares) if sparing else decoded
        assert isinstance(decoded, SparedDecoded) == sparing
        total = (shares * decoded.squared_distance(row)).sum()
        return torch.autograd.grad(total, (h, last.weight, last.bias, row))

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("_few_rows")
@pytest.mark.parametrize("way", WAYS)
def test_experts_are_spared_in_training_alone_and_where_it_pays(way):
    last, hidden, _ = make(4, 6, 9)
    whole = way(hidden, last)
    even = torch.full((N_ROWS, 4), 0.25, dtype=torch.float64)
    assert whole.sparing(even) is whole
    alone = torch.eye(4, dtype=torch.float64)[torch.zeros(N_ROWS, dtype=torch.int64)]
    assert whole.sparing(alone) is whole  # one expert has all rows
    assert isinstance(whole.sparing(sure_shares(4)), SparedDecoded)
    last.eval()
    assert whole.sparing(sure_shares(4)) is whole


@pytest.mark.usefixtures("_few_rows")
def test_rows_are_subtracted_in_the_type_that_the_whole_has():
    last, hidden, x = make(4, 32, 500, dtype=torch.float32)
    hidden, x, shares = hidden.bfloat16(), x.float(), sure_shares(4).float()
    for way in WAYS:
        whole = way(hidden, last)
        found = whole.sparing(shares).squared_distance(x)
        expected = whole.squared_distance(x)
        matters = shares > 0.5
        assert_close(found[matters], expected[matters], rtol=1e-4, atol=1e-4)
        assert found.dtype == torch.float32
