"""K layers in one set of tensors against K of torch's own layers in a list.

The comparisons are made in float64, so that a tolerance of 1e-10 leaves room for
nothing but another order of the sums.
"""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.profiler import profile
from torch.testing import assert_close

from skmixae.network.parallel import (
    BatchNorm,
    ParallelConv,
    ParallelConvTranspose,
    ParallelLinear,
    autocast,
)
from skmixae.training.adam import AdamW

EXACT = {"rtol": 1e-10, "atol": 1e-10}
N_EXPERTS = [1, 2, 5]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*shape, seed=3):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def adopt(module, weight, bias):
    """Give one of torch's layers the weights of one expert."""
    module = module.double()
    with torch.no_grad():
        module.weight.copy_(weight)
        module.bias.copy_(bias)
    return module


def assert_same_map(layer, modules, naive, x, weight_of, *args):
    """Compare outputs and the gradients of input, weights and biases."""
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = layer(ours, *args), naive(theirs)
    assert_close(out, expected, **EXACT)
    upstream = rows(*out.shape, seed=4)
    out.backward(upstream)
    expected.backward(upstream)
    assert_close(ours.grad, theirs.grad, **EXACT)
    for k, module in enumerate(modules):
        assert_close(weight_of(layer.weight.grad[k]), module.weight.grad, **EXACT)
        assert_close(layer.bias.grad[k], module.bias.grad, **EXACT)


# ---------------------------------------------------------------------------
# Linear
# ---------------------------------------------------------------------------


def linears(layer):
    return [
        adopt(nn.Linear(*weight.shape), weight.T, bias)
        for weight, bias in zip(layer.weight, layer.bias, strict=True)
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_experts", N_EXPERTS)
@pytest.mark.parametrize(("n_in", "n_out"), [(7, 5), (1, 1), (3, 16), (4, 33)])
def test_linear_equals_separate_linears(n_in, n_out, n_experts, shared, training):
    layer = ParallelLinear(n_experts, n_in, n_out, generator=generator())
    layer.double().train(training)
    modules = linears(layer)

    def naive(x):
        return torch.stack(
            [m(x if shared else x[:, k]) for k, m in enumerate(modules)], 1
        )

    x = rows(6, n_in) if shared else rows(6, n_experts, n_in)
    assert_same_map(layer, modules, naive, x, lambda gradient: gradient.T)


def test_linear_of_one_row_equals_that_row_among_others():
    layer = ParallelLinear(3, 4, 5, generator=generator()).double()
    x = rows(6, 4)
    assert_close(layer(x[:1]), layer(x)[:1], **EXACT)


def test_linear_holds_one_weight_with_the_experts_first():
    layer = ParallelLinear(3, 4, 5, generator=generator())
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {
        "weight": (3, 4, 5),
        "bias": (3, 5),
    }


def test_weights_shared_by_all_rows_are_one_wide_matrix_without_a_copy():
    weight = ParallelLinear(3, 4, 5, shared=True, generator=generator()).weight
    wide = weight.transpose(0, 1).reshape(4, 15)
    assert wide.data_ptr() == weight.data_ptr()


def test_weights_are_the_same_however_they_lie():
    wide, deep = (
        ParallelLinear(3, 4, 5, shared=shared, generator=generator())
        for shared in (True, False)
    )
    assert not wide.weight.is_contiguous()
    assert deep.weight.is_contiguous()
    assert torch.equal(wide.weight, deep.weight)


@pytest.mark.parametrize("shared", [True, False])
def test_gradient_of_a_weight_is_made_as_it_lies(shared):
    """Autograd copies one that is not."""
    layer = ParallelLinear(3, 40, 50, shared=shared, generator=generator())
    x = rows(6, 40) if shared else rows(6, 3, 40)
    with profile() as profiler:
        layer(x.float()).square().sum().backward()
    copied_to = [
        event.cpu_parent.name
        for event in profiler.events()
        if event.name == "aten::copy_" and event.cpu_parent is not None
    ]
    assert not any("AccumulateGrad" in name for name in copied_to)
    assert layer.weight.grad.stride() == layer.weight.stride()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("trip", [copy.deepcopy, "state_dict"])
def test_weight_keeps_its_layout_in_copies(trip, shared):
    layer = ParallelLinear(3, 4, 5, shared=shared, generator=generator())
    if trip == "state_dict":
        other = ParallelLinear(3, 4, 5, shared=shared, generator=generator(1))
        other.load_state_dict(layer.state_dict())
    else:
        other = trip(layer)
    assert other.weight.stride() == layer.weight.stride()
    assert torch.equal(other.weight, layer.weight)


def test_initial_weights_are_as_wide_as_those_of_torch_and_as_even():
    layer = ParallelLinear(20, 25, 40, generator=generator())
    for values in (layer.weight.detach(), layer.bias.detach()):
        assert values.abs().max() <= 0.2
        # The standard deviation of 800 uniform draws on ±0.2, within four of its
        # standard errors: sqrt(1/5 n) of it, by the fourth moment.
        assert abs(values.std() / (0.2 / 3**0.5) - 1) < 4 * (5 * values.numel()) ** -0.5


@pytest.mark.rng_untouched
def test_weights_come_from_the_given_generator_alone():
    first, again, other = (
        ParallelLinear(2, 3, 4, generator=generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


# ---------------------------------------------------------------------------
# Convolutions
# ---------------------------------------------------------------------------

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
SIZES = [(1, (1,)), (1, (8,)), (1, (9,)), (2, (1, 1)), (2, (6, 6)), (2, (7, 4))]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n_experts", N_EXPERTS)
@pytest.mark.parametrize(("n_dims", "size"), SIZES)
def test_convolution_equals_separate_convolutions(n_dims, size, n_experts, shared):
    layer = ParallelConv(n_experts, 3, 2, n_dims=n_dims, generator=generator()).double()
    modules = [
        adopt(CONVOLUTIONS[n_dims](3, 2, 3, stride=2, padding=1), weight, bias)
        for weight, bias in zip(layer.weight, layer.bias, strict=True)
    ]

    def naive(x):
        own = [x] * n_experts if shared else x.split(3, dim=1)
        return torch.cat([m(part) for m, part in zip(modules, own, strict=True)], 1)

    x = rows(4, 3 if shared else 3 * n_experts, *size)
    assert_same_map(layer, modules, naive, x, lambda gradient: gradient)


@pytest.mark.parametrize("n_experts", N_EXPERTS)
@pytest.mark.parametrize(("n_dims", "size"), SIZES)
def test_transposed_convolution_equals_separate_ones(n_dims, size, n_experts):
    layer = ParallelConvTranspose(
        n_experts, 3, 2, n_dims=n_dims, generator=generator()
    ).double()
    modules = [
        adopt(TRANSPOSED[n_dims](3, 2, 3, stride=2, padding=1), weight, bias)
        for weight, bias in zip(layer.weight, layer.bias, strict=True)
    ]

    def naive(x):
        parts = zip(modules, x.split(3, dim=1), strict=True)
        return torch.cat([m(part, output_size=size) for m, part in parts], 1)

    x = rows(4, 3 * n_experts, *[-(-n // 2) for n in size])
    assert layer(x, size).shape[2:] == size
    assert_same_map(layer, modules, naive, x, lambda gradient: gradient, size)


# ---------------------------------------------------------------------------
# Batch normalisation
# ---------------------------------------------------------------------------

NORM_SHAPES = [(6, 4), (6, 2, 2), (6, 4, 5), (6, 4, 3, 2), (2, 4), (6, 4, 1, 1)]


def norms():
    """One of ours and one of torch's with the same weights, in float64."""
    ours, theirs = BatchNorm(4).double(), nn.BatchNorm1d(4)
    with torch.no_grad():
        ours.weight.copy_(rows(4, seed=7))
        ours.bias.copy_(rows(4, seed=8))
    return ours, adopt(theirs, ours.weight, ours.bias)


def as_channels(x):
    """Lay (b, k, d) or (b, c, *s) with 4 channels out as (b * s, 4)."""
    return x.reshape(len(x), 4, -1).transpose(1, 2).reshape(-1, 4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", NORM_SHAPES)
def test_batch_norm_equals_that_of_torch(shape, training):
    ours, theirs = (module.train(training) for module in norms())
    for module in (ours, theirs):
        module.running_mean.copy_(rows(4, seed=9))
        module.running_var.copy_(rows(4, seed=10).exp())
    x = rows(*shape)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(mine), theirs(as_channels(other))
    assert out.shape == x.shape
    assert_close(as_channels(out), expected, **EXACT)
    upstream = rows(*shape, seed=4)
    out.backward(upstream)
    expected.backward(as_channels(upstream))
    assert_close(mine.grad, other.grad, **EXACT)
    assert_close(ours.weight.grad, theirs.weight.grad, **EXACT)
    assert_close(ours.bias.grad, theirs.bias.grad, **EXACT)


@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 2), (5, 4, 3)])
def test_running_statistics_are_plain_averages_then_move_by_a_tenth(shape):
    norm = BatchNorm(4).double()
    batches = [rows(*shape, seed=i) + i for i in range(15)]
    mean, variance = torch.zeros(4).double(), torch.ones(4).double()
    for i, x in enumerate(batches):
        norm(x)
        newest = max(1 / (i + 1), 0.1)
        mean = (1 - newest) * mean + newest * as_channels(x).mean(0)
        variance = (1 - newest) * variance + newest * as_channels(x).var(0)
        assert_close(norm.running_mean, mean, **EXACT)
        assert_close(norm.running_var, variance, **EXACT)
        if i < 10:
            seen = torch.stack([as_channels(x).mean(0) for x in batches[: i + 1]])
            assert_close(norm.running_mean, seen.mean(0), **EXACT)


def test_running_variance_of_float32_rows_equals_theirs_to_rounding():
    norm, x = BatchNorm(4), 3 * rows(50, 4).float()
    norm(x)
    assert_close(norm.running_var, x.var(0), rtol=1e-5, atol=0)


def test_batch_norm_of_a_single_value_uses_and_keeps_the_running_statistics():
    norm, _ = norms()
    norm(rows(6, 4))
    before = copy.deepcopy(norm.state_dict())
    x = rows(1, 4, seed=5)
    scaled = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    assert_close(norm.train()(x), scaled * norm.weight + norm.bias, **EXACT)
    assert norm.state_dict().keys() == before.keys()
    assert all(torch.equal(norm.state_dict()[name], before[name]) for name in before)


def test_batch_norm_of_one_image_normalises_over_its_pixels():
    ours, theirs = norms()
    x = rows(1, 4, 3, 2)
    assert_close(as_channels(ours(x)), theirs(as_channels(x)), **EXACT)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_held_still_gives_the_same_and_learns_nothing(training):
    norm, _ = norms()
    norm(rows(6, 4))
    norm.train(training)
    before = copy.deepcopy(norm.state_dict())
    norm.track = False
    held = norm(rows(6, 4, seed=5))
    assert all(torch.equal(norm.state_dict()[name], before[name]) for name in before)
    norm.track = True
    assert torch.equal(norm(rows(6, 4, seed=5)), held)


def test_evaluation_leaves_the_running_statistics_alone():
    norm = BatchNorm(4).eval()
    norm(rows(6, 4).float())
    assert not norm.running_mean.any()
    assert not norm.n_updates


def test_batch_norm_goes_on_after_a_round_trip_through_its_state():
    norm, _ = norms()
    for i in range(3):
        norm(rows(6, 4, seed=i))
    other = BatchNorm(4).double()
    other.load_state_dict(norm.state_dict())
    for module in (norm, other):
        module(rows(6, 4, seed=5))
    assert torch.equal(norm.running_mean, other.running_mean)
    assert torch.equal(norm.running_var, other.running_var)


def test_a_constant_channel_becomes_its_bias():
    norm, _ = norms()
    x = torch.full((6, 4), 1e6, dtype=torch.float64)
    # Value and mean are both divided by sqrt(eps) before one is taken from the other.
    atol = 4 * 1e6 * norm.eps**-0.5 * torch.finfo(torch.float64).eps
    assert_close(norm(x), norm.bias.expand(6, 4).detach(), rtol=0, atol=atol)


# ---------------------------------------------------------------------------
# All of them
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda: ParallelLinear(3, 4, 5, generator=generator()),
        lambda: ParallelConv(3, 2, 4, n_dims=2, generator=generator()),
        lambda: ParallelConvTranspose(3, 2, 4, n_dims=1, generator=generator()),
    ],
)
def test_permuting_moves_whole_experts_and_back(build):
    layer, order = build(), torch.tensor([2, 0, 1])
    weight, bias = layer.weight.clone(), layer.bias.clone()
    with torch.no_grad():
        layer.permute(order)
        assert torch.equal(layer.weight, weight[order])
        assert torch.equal(layer.bias, bias[order])
        layer.permute(order.argsort())
    assert torch.equal(layer.weight, weight)


def test_permuting_a_norm_moves_the_blocks_of_channels():
    norm = BatchNorm(6)
    norm(rows(5, 6).float())
    mean = norm.running_mean.clone()
    with torch.no_grad():
        norm.permute(torch.tensor([2, 0, 1]))
    assert torch.equal(norm.running_mean, mean[[4, 5, 0, 1, 2, 3]])


@pytest.mark.parametrize("n_out", [1, 5, 10, 17])
@pytest.mark.parametrize("shared", [True, False])
def test_evaluating_rounds_a_row_alike_wherever_it_stands(n_out, shared):
    layer = ParallelLinear(3, 20, n_out, generator=generator()).eval()
    x = rows(*((64, 20) if shared else (64, 3, 20))).float()
    order = torch.randperm(64, generator=generator())
    assert torch.equal(layer(x[order]), layer(x)[order])


def test_fused_adam_on_strided_weights_equals_plain_adam_on_contiguous_copies():
    layer = ParallelLinear(3, 4, 5, shared=True, generator=generator())
    assert not layer.weight.is_contiguous()
    copies = [
        nn.Parameter(torch.empty(p.shape).copy_(p.detach())) for p in layer.parameters()
    ]
    assert all(c.is_contiguous() for c in copies)
    fused = AdamW(layer.parameters(), 0.01, weight_decay=0.1)
    plain = torch.optim.AdamW(
        copies, 0.01, weight_decay=0.1, fused=False, foreach=False
    )
    for i in range(20):
        for parameter, other in zip(layer.parameters(), copies, strict=True):
            other.grad = rows(*other.shape, seed=i).float()
            parameter.grad = torch.empty_like(parameter).copy_(other.grad)
        fused.step()
        plain.step()
    # Twenty updates of some six roundings each, of weights below one.
    for parameter, other in zip(layer.parameters(), copies, strict=True):
        assert_close(
            parameter, other, rtol=0, atol=120 * torch.finfo(torch.float32).eps
        )


def graph_nodes(out):
    """Count the nodes of the graph that autograd walks back through."""
    seen, todo = set(), [out.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo.extend(parent for parent, _ in node.next_functions)
    return len(seen)


def test_graph_does_not_grow_with_the_number_of_experts():
    def nodes(n_experts):
        linear = ParallelLinear(n_experts, 6, 5, generator=generator())
        conv = ParallelConv(n_experts, 1, 2, n_dims=2, generator=generator())
        back = ParallelConvTranspose(n_experts, 2, 1, n_dims=2, generator=generator())
        norm = BatchNorm(n_experts * 5)
        image = torch.rand(4, 1, 6, 6)
        return (
            graph_nodes(norm(linear(torch.rand(4, 6)))),
            graph_nodes(linear(torch.rand(4, n_experts, 6))),
            graph_nodes(back(conv(image), (6, 6))),
        )

    assert nodes(2) == nodes(23)


def test_a_weight_is_cast_once_while_autocast_lasts():
    """As ``torch.autocast`` does alone: gradients are added up in the same type."""
    linear = ParallelLinear(3, 4, 5, generator=generator())
    x = torch.randn(7, 3, 4, generator=generator(1))

    def gradient(context):
        with context:
            out = linear(x) * linear(x + 1)
        linear.zero_grad()
        out.float().square().sum().backward()
        return linear.weight.grad.clone()

    ours = gradient(autocast(torch.device("cpu"), torch.bfloat16))
    assert torch.equal(ours, gradient(torch.autocast("cpu", torch.bfloat16)))
    apart = torch.autocast("cpu", torch.bfloat16, cache_enabled=False)
    assert not torch.equal(ours, gradient(apart))


def test_what_is_cast_without_gradients_is_not_kept():
    linear = ParallelLinear(3, 4, 5, generator=generator())
    x = torch.ones(7, 3, 4)
    with autocast(torch.device("cpu"), torch.bfloat16):
        with torch.no_grad():
            linear(x)
        linear(x).float().sum().backward()
    assert linear.weight.grad.abs().sum() > 0


def test_another_thread_that_ends_takes_nothing_away():
    """``torch.autocast`` alone forgets in all threads what it had cast."""
    linear = ParallelLinear(3, 4, 5, generator=generator())
    x = torch.randn(7, 3, 4, generator=generator(1))

    def elsewhere():
        with autocast(torch.device("cpu"), torch.bfloat16):
            return linear(x)

    def gradient(between):
        with autocast(torch.device("cpu"), torch.bfloat16):
            first = linear(x)
            between()
            out = first * linear(x + 1)
        linear.zero_grad()
        out.float().square().sum().backward()
        return linear.weight.grad.clone()

    with ThreadPoolExecutor(1) as pool:
        disturbed = gradient(lambda: pool.submit(elsewhere).result())
    assert torch.equal(disturbed, gradient(lambda: None))


def test_a_weight_that_changed_is_cast_anew():
    linear = ParallelLinear(1, 2, 2, generator=generator())
    x = torch.ones(1, 1, 2)
    for scale in (1.0, 2.0):
        with torch.no_grad():
            linear.weight.fill_(scale)
            linear.bias.zero_()
        with autocast(torch.device("cpu"), torch.bfloat16):
            assert linear(x).tolist() == [[[2 * scale] * 2]]
