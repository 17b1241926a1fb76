"""The assignment network against torch's own layers."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skmixae.network.assignment import EXPERTS_READ_WHOLE, AssignmentNetwork
from skmixae.network.parallel import BatchNorm, ParallelLinear


def build(
    hidden_layer_sizes=(6, 5), n_experts=4, in_features=8, seed=0, reads_experts=True
):
    return AssignmentNetwork(
        in_features, hidden_layer_sizes, n_experts, "relu", reads_experts=reads_experts,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def rows(n=9, n_features=8):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, n_features, generator=generator, dtype=torch.float64)


def plain(gate):
    """Build the same network of torch's layers; ours holds one expert of each."""

    def norm(own):
        layer = nn.BatchNorm1d(len(own.weight), momentum=None).double()
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(layer, name).data.copy_(getattr(own, name).detach())
        return layer

    def linear(own):
        layer = nn.Linear(*own.weight.shape[1:]).double()
        layer.weight.data.copy_(own.weight[0].T)
        layer.bias.data.copy_(own.bias[0])
        return layer

    layers = []
    for own in gate.children():
        if isinstance(own, BatchNorm):
            layers.append(norm(own))
        elif isinstance(own, ParallelLinear):
            layers.append(linear(own))
        else:
            for one, n in zip(own.linears, own.norms, strict=True):
                layers += [linear(one), norm(n), nn.ReLU()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_experts", [1, 4])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6,), (6, 5)])
def test_gate_equals_a_plain_network(
    hidden_layer_sizes, n_experts, training, randomise
):
    gate = randomise(build(hidden_layer_sizes, n_experts).double()).train(training)
    other = plain(gate).train(training)
    x = rows()
    logits = gate(x)
    assert logits.shape == (9, n_experts)
    assert_close(logits, other(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (6, 5)])
def test_assignments_start_near_uniform_but_not_equal(hidden_layer_sizes):
    logits = build(hidden_layer_sizes)(rows().float())
    # Sums of a few dozen normalised values times weights below 1e-4.
    assert logits.abs().max() < 1e-2
    assert logits.std(1).min() > 0


def test_gate_reads_features_of_any_size_alike():
    gate, x = build(), rows()
    gate = gate.double()
    unit = gate(x)
    scaled = gate(x * 1e4 + 1e5)
    # The variances differ by the norm's eps, relatively 1e-5 of a variance near one.
    assert_close(scaled, unit, rtol=1e-4, atol=1e-4 * unit.abs().max().item())


@pytest.mark.parametrize("per_expert", [True, False])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6, 5)])
def test_permuting_reorders_logits_and_the_blocks_that_are_read(
    hidden_layer_sizes, per_expert, randomise
):
    gate = randomise(build(hidden_layer_sizes).double()).eval()
    order, x = torch.tensor([2, 0, 3, 1]), rows()
    before = gate(x)
    with torch.no_grad():
        gate.permute(order, per_expert=per_expert)
    read = x.view(9, 4, 2)[:, order].flatten(1) if per_expert else x
    assert_close(gate(read), before[:, order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (6,)])
def test_what_is_read_of_very_many_experts_counts_less(hidden_layer_sizes):
    many = 4 * EXPERTS_READ_WHOLE
    one, other = (
        build(hidden_layer_sizes, many, reads_experts=reads).double().eval()
        for reads in (True, False)
    )
    x, times = rows(), 1 if hidden_layer_sizes else 4  # hidden layers are normalised
    assert_close(one(x), other(x / times), rtol=1e-12, atol=0)
    few = build((), EXPERTS_READ_WHOLE), build((), 4, reads_experts=False)
    assert [gate.scale for gate in few] == [1.0, 1.0]


def test_a_step_of_adam_moves_logits_as_far_with_many_experts():
    # Each expert adds two features to what is read; all go one way.
    def moved(n_experts):
        gate = build((), n_experts, in_features=2 * n_experts)
        x = torch.ones(3, 2 * n_experts)
        before = gate(x)
        step = torch.optim.Adam(gate.parameters(), lr=0.01)
        gate(x)[:, 0].sum().backward()
        step.step()
        return (before - gate(x))[:, 0].mean().item()

    reference = moved(EXPERTS_READ_WHOLE)
    assert moved(8 * EXPERTS_READ_WHOLE) == pytest.approx(reference, rel=0.1)
    assert moved(EXPERTS_READ_WHOLE // 4) < reference / 3  # as it is with few


@pytest.mark.rng_untouched
def test_weights_come_from_the_given_generator_alone():
    first, again, other = build(seed=0), build(seed=0), build(seed=1)
    for name, values in first.state_dict().items():
        assert torch.equal(values, again.state_dict()[name])
    assert not torch.equal(first.last.weight, other.last.weight)
