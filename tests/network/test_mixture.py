"""The mixture: what it gives, what permuting it changes, and what it keeps still."""

import copy
from itertools import product

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from skmixae.network import NetworkSpec, build_network

ARCHITECTURES = ["mlp", "conv1d", "conv2d", "custom"]
READS = ["latents", "hidden", "input"]
EVERY_KIND = list(product(ARCHITECTURES, READS))
# A few dozen float32 operations on numbers of size one to ten.
ROUNDING = {"rtol": 1e-4, "atol": 1e-4}


N_FEATURES = {"mlp": 7, "conv1d": 18, "conv2d": 90, "custom": 12}


@pytest.fixture
def build(make_network, tiny_expert):
    def build(architecture, *args, **kwargs):
        kind = tiny_expert if architecture == "custom" else architecture
        return make_network(kind, *args, **kwargs)

    return build


def rows(architecture, n=8, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, N_FEATURES[architecture], generator=generator)


def tensors(out):
    return out.logits, out.latents, out.decoded.rows()


def state(network):
    return copy.deepcopy(network.state_dict())


def changed(network, before):
    after = network.state_dict()
    assert after.keys() == before.keys()
    return [name for name in before if not torch.equal(after[name], before[name])]


@pytest.mark.parametrize("n_experts", [1, 4])
@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_shapes_are_those_of_the_contract(build, architecture, reads, n_experts):
    network = build(architecture, reads, n_experts=n_experts)
    logits, latents, decoded, _ = network(rows(architecture))
    assert logits.shape == (8, n_experts)
    assert latents.shape == (8, n_experts, 3)
    assert decoded.rows().shape == (8, n_experts, N_FEATURES[architecture])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_partial_passes_say_what_the_whole_pass_says(
    build, architecture, reads, training
):
    network, x = build(architecture, reads).train(training), rows(architecture)
    out = network(x)
    assert torch.equal(network.assign(x), out.logits)
    logits, latents = network.encode(x)
    assert torch.equal(logits, out.logits)
    assert torch.equal(latents, out.latents)
    assert torch.equal(network.decode(latents).rows(), out.decoded.rows())


def test_gate_reads_what_it_is_told_to(build):
    x = rows("mlp")
    for reads in READS:
        network = build("mlp", reads).eval()
        encoded = network.experts.encode(x)
        read = {"input": x, "hidden": encoded.hidden, "latents": encoded.latents}[reads]
        expected = network.assignment(read.flatten(1))
        assert torch.equal(network(x).logits, expected)


@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_gradient_of_the_assignment_reaches_the_encoders_it_reads(
    build, architecture, reads
):
    network = build(architecture, reads)
    network.assign(rows(architecture)).square().sum().backward()
    reached = [p.grad is not None for p in network.experts.parameters()]
    assert any(reached) == (reads != "input")
    assert all(p.grad is not None for p in network.assignment.parameters())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_permuting_experts_permutes_what_they_say_and_nothing_else(
    build, architecture, reads, training
):
    network, x = build(architecture, reads).train(training), rows(architecture)
    before = network(x)
    order = torch.tensor([2, 0, 3, 1])
    network.permute_experts(order)
    assert network.training == training
    for now, was in zip(tensors(network(x)), tensors(before), strict=True):
        assert_close(now, was[:, order], **ROUNDING)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (6,)])
@pytest.mark.parametrize("reads", READS)
def test_permuting_is_right_for_gates_of_any_depth(build, reads, hidden_layer_sizes):
    network = build("mlp", reads, assignment_hidden_layer_sizes=hidden_layer_sizes)
    x, order = rows("mlp"), torch.tensor([3, 2, 0, 1])
    before = network.eval()(x).logits
    network.permute_experts(order)
    assert_close(network(x).logits, before[:, order], **ROUNDING)


@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_permuting_there_and_back_gives_the_same_bits(build, architecture, reads):
    network = build(architecture, reads)
    network(rows(architecture))
    before, order = state(network), torch.tensor([2, 0, 3, 1])
    network.permute_experts(order)
    assert changed(network, before)
    network.permute_experts(order.argsort())
    assert not changed(network, before)


@pytest.mark.parametrize(("architecture", "reads"), EVERY_KIND)
def test_held_statistics_stay_and_are_followed_again_after(build, architecture, reads):
    network = build(architecture, reads)
    network(rows(architecture))
    before = state(network)
    with network.statistics_held():
        held = network(rows(architecture, seed=5))
    assert not changed(network, before)
    free = network(rows(architecture, seed=5))
    for one, other in zip(tensors(held), tensors(free), strict=True):
        assert torch.equal(one, other)
    moved = changed(network, before)
    buffers = {name for name, _ in network.named_buffers()}
    assert moved
    assert set(moved) <= buffers
    assert {name.split(".")[0] for name in moved} == {"experts", "assignment"}


def test_an_error_inside_does_not_leave_the_statistics_held(build):
    network = build("custom")
    before = state(network)

    def fail():
        with network.statistics_held():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    network(rows("custom"))
    assert any("experts" in name for name in changed(network, before))
    assert any("assignment" in name for name in changed(network, before))


def test_plain_averages_of_a_user_s_own_norms_do_not_count_held_passes(make_network):
    """``momentum=None`` weighs by the number of batches, which must not go on."""

    class Averaging(torch.nn.Module):
        def __init__(self, input_shape, latent_dim):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(input_shape[0], momentum=None)
            self.linear = torch.nn.Linear(input_shape[0], latent_dim)
            self.back = torch.nn.Linear(latent_dim, input_shape[0])

        def encode(self, x):
            return self.linear(self.norm(x))

        def decode(self, z):
            return self.back(z)

    network = make_network(Averaging, input_shape=(7,), fresh=True)
    batches = [rows("mlp", seed=i) for i in range(4)]
    for x in batches:
        network(x)
        with network.statistics_held():
            network(x + 9)
    mean = torch.stack([x.mean(0) for x in batches]).mean(0)
    assert_close(network.experts.experts[0].norm.running_mean, mean)


def test_logits_are_float32_under_autocast(build):
    network = build("mlp")
    with torch.autocast("cpu", torch.bfloat16):
        assert network(rows("mlp")).logits.dtype == torch.float32
        assert network.assign(rows("mlp")).dtype == torch.float32


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_row_is_judged_alone_when_evaluating(build, architecture):
    network, x = build(architecture).eval(), rows(architecture)
    whole = network(x)
    for i in range(len(x)):
        one = tensors(network(x[i : i + 1]))
        for alone, together in zip(one, tensors(whole), strict=True):
            assert_close(alone[0], together[i], **ROUNDING)


@pytest.mark.rng_untouched
@pytest.mark.parametrize("architecture", ["mlp", "conv1d", "conv2d"])
def test_equal_seeds_build_equal_networks(build, architecture):
    first, again = (build(architecture, fresh=True) for _ in range(2))
    assert not changed(first, state(again))


def test_experts_start_different_from_one_another(build):
    decoded = build("mlp", fresh=True)(rows("mlp")).decoded.rows()
    for i in range(4):
        for j in range(i):
            assert (decoded[:, i] - decoded[:, j]).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ["mlp", "conv1d", "conv2d"])
def test_graph_of_a_training_step_does_not_grow_with_the_experts(build, architecture):
    def nodes(n_experts):
        network = build(architecture, n_experts=n_experts)
        out = network(rows(architecture))
        total = out.decoded.rows().sum() + out.logits.sum()
        seen, todo = set(), [total.grad_fn]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo.extend(parent for parent, _ in node.next_functions)
        return len(seen)

    assert nodes(2) == nodes(31)


@pytest.mark.parametrize("size", [8, 9, 28])
@pytest.mark.parametrize("architecture", ["mlp", "conv2d"])
def test_multiplications_are_counted_as_torch_counts_them(architecture, size):
    spec = NetworkSpec(
        n_experts=3, input_shape=(size, size), latent_dim=4, architecture=architecture,
        hidden_layer_sizes=(16,), conv_channels=(4, 8),
        assignment_hidden_layer_sizes=(16,), assignment_input="latents",
        activation="relu",
    )  # fmt: skip
    network = build_network(spec, torch.Generator().manual_seed(0)).eval()
    x = torch.zeros(5, size * size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x).decoded.rows()
    # Beside the products there are biases and norms, of which a row takes few.
    counted = counter.get_total_flops() / 2 / 5
    assert network.n_multiplications == pytest.approx(counted, rel=0.1)
