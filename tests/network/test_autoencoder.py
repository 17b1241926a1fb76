"""Experts of every kind against a list of K autoencoders written with torch.nn."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from skmixae.network.autoencoder import DenseExperts
from skmixae.network.convolutional import (
    LARGEST_TENSOR,
    TYPICAL_ROWS,
    ConvolutionalExperts,
)
from skmixae.network.custom import CustomExperts
from skmixae.network.layers import ACTIVATIONS

# In float64, through up to eight layers: another order of the sums, and no more.
EXACT = {"rtol": 1e-8, "atol": 1e-9}
LATENT_DIM = 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*shape, seed=3):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def dense_experts(n_experts, hidden_layer_sizes=(6, 5), activation="gelu", shape=(7,)):
    return DenseExperts(
        n_experts, shape, LATENT_DIM, hidden_layer_sizes, activation,
        generator=generator(),
    )  # fmt: skip


def conv_experts(n_experts, shape, channels=(2, 4), hidden_layer_sizes=(6,), n_dims=2):
    return ConvolutionalExperts(
        n_experts, shape, LATENT_DIM, hidden_layer_sizes, "elu",
        channels=channels, n_dims=n_dims, generator=generator(),
    )  # fmt: skip


# ---------------------------------------------------------------------------
# The naive experts: plain torch.nn, one after the other
# ---------------------------------------------------------------------------


def plain_linear(layer, k):
    plain = nn.Linear(layer.weight.shape[1], layer.weight.shape[2]).double()
    plain.weight.data.copy_(layer.weight[k].T)
    plain.bias.data.copy_(layer.bias[k])
    return plain


def plain_norm(norm, k, n_experts, kind=nn.BatchNorm1d):
    """One expert's channels; ``momentum=None`` is torch's name for plain averages."""
    size = len(norm.weight) // n_experts
    plain = kind(size, momentum=None).double()
    for name in ("weight", "bias", "running_mean", "running_var"):
        own = getattr(norm, name).detach()[k * size : (k + 1) * size]
        getattr(plain, name).data.copy_(own)
    return plain


def plain_stack(stack, k, n_experts, activation):
    layers = []
    for linear, norm in zip(stack.linears, stack.norms, strict=True):
        layers += [plain_linear(linear, k), plain_norm(norm, k, n_experts)]
        layers += [activation]
    return nn.Sequential(*layers)


class PlainDense(nn.Module):
    def __init__(self, experts, k, n_experts, activation):
        super().__init__()
        self.encoder = plain_stack(experts.encoder, k, n_experts, activation)
        self.to_latents = plain_linear(experts.to_latents, k)
        self.decoder = plain_stack(experts.decoder, k, n_experts, activation)
        self.to_rows = plain_linear(experts.to_rows, k)

    def encode(self, x):
        hidden = self.encoder(x)
        return hidden, self.to_latents(hidden)

    def decode(self, z):
        return self.to_rows(self.decoder(z))


class PlainConvolutional(nn.Module):
    def __init__(self, experts, k, n_experts, activation, n_dims):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d}[n_dims]
        back = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}[n_dims]
        norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[n_dims]
        self.activation = activation
        self.convs = nn.ModuleList(
            self.plain(conv, layer, k, layer.weight.shape[2], layer.weight.shape[1])
            for layer in experts.convs
        )
        self.norms = nn.ModuleList(
            plain_norm(layer, k, n_experts, norm) for layer in experts.conv_norms
        )
        self.encoder = plain_stack(experts.encoder, k, n_experts, activation)
        self.to_latents = plain_linear(experts.to_latents, k)
        self.decoder = plain_stack(experts.decoder, k, n_experts, activation)
        self.deconvs = nn.ModuleList(
            self.plain(back, layer, k, layer.weight.shape[1], layer.weight.shape[2])
            for layer in experts.deconvs
        )
        self.denorms = nn.ModuleList(
            plain_norm(layer, k, n_experts, norm) for layer in experts.deconv_norms
        )

    @staticmethod
    def plain(kind, layer, k, n_in, n_out):
        plain = kind(n_in, n_out, 3, stride=2, padding=1).double()
        plain.weight.data.copy_(layer.weight[k])
        plain.bias.data.copy_(layer.bias[k])
        return plain

    def encode(self, x):
        self.sizes = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            self.sizes.append(x.shape[2:])
            x = self.activation(norm(conv(x)))
        self.inner_shape = x.shape[1:]
        hidden = self.encoder(x.flatten(1))
        return hidden, self.to_latents(hidden)

    def decode(self, z):
        x = self.decoder(z).unflatten(1, self.inner_shape)
        for i, (deconv, size) in enumerate(
            zip(self.deconvs, reversed(self.sizes), strict=True)
        ):
            x = deconv(x, output_size=size)
            if i < len(self.denorms):
                x = self.activation(self.denorms[i](x))
        return x.flatten(1)


class Activation(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return ACTIVATIONS[self.name](x)


def assert_same_experts(experts, plain, x, images):
    """Compare what is encoded and decoded, and the gradients of the input."""
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    encoded = experts.encode(mine)
    decoded = experts.decode(encoded.latents).rows()
    pairs = [expert.encode(other.view(-1, *images)) for expert in plain]
    hidden = torch.stack([h for h, _ in pairs], 1)
    latents = torch.stack([z for _, z in pairs], 1)
    expected = torch.stack(
        [e.decode(z) for e, z in zip(plain, latents.unbind(1), strict=True)], 1
    )
    assert_close(encoded.hidden, hidden, **EXACT)
    assert_close(encoded.latents, latents, **EXACT)
    assert_close(decoded, expected, **EXACT)
    assert experts.hidden_features == hidden.shape[-1]
    upstream = rows(*decoded.shape, seed=4)
    decoded.backward(upstream)
    expected.backward(upstream)
    assert_close(mine.grad, other.grad, **EXACT)


def assert_same_gradients(pairs):
    """Compare pairs of (gradient of ours, gradients of the plain experts)."""
    for ours, plain in pairs:
        assert_close(ours, torch.stack(plain), **EXACT)


# ---------------------------------------------------------------------------
# Dense
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_experts", [1, 2, 5])
@pytest.mark.parametrize("hidden_layer_sizes", [(4,), (6, 5)])
def test_dense_experts_equal_a_list_of_autoencoders(
    hidden_layer_sizes, n_experts, training, randomise
):
    experts = randomise(dense_experts(n_experts, hidden_layer_sizes).double())
    experts.train(training)
    plain = [
        PlainDense(experts, k, n_experts, Activation("gelu")).train(training)
        for k in range(n_experts)
    ]
    assert_same_experts(experts, plain, rows(9, 7), (7,))
    assert_same_gradients(
        [
            (
                experts.encoder.linears[0].weight.grad,
                [e.encoder[0].weight.grad.T for e in plain],
            ),
            (experts.to_latents.bias.grad, [e.to_latents.bias.grad for e in plain]),
            (experts.to_rows.weight.grad, [e.to_rows.weight.grad.T for e in plain]),
        ]
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_between_the_layers(activation, randomise):
    experts = randomise(dense_experts(2, activation=activation).double())
    plain = [PlainDense(experts, k, 2, Activation(activation)) for k in range(2)]
    assert_same_experts(experts, plain, rows(9, 7), (7,))


def test_running_statistics_equal_those_of_the_list():
    experts = dense_experts(3).double()
    plain = [PlainDense(experts, k, 3, Activation("gelu")) for k in range(3)]
    for i in range(4):
        x = rows(9, 7, seed=i)
        experts.encode(x)
        for expert in plain:
            expert.encode(x)
    for ours, place in zip(experts.encoder.norms, (1, 4), strict=True):
        norms = [e.encoder[place] for e in plain]
        means = torch.cat([norm.running_mean for norm in norms])
        variances = torch.cat([norm.running_var for norm in norms])
        assert_close(ours.running_mean, means, **EXACT)
        assert_close(ours.running_var, variances, **EXACT)


def test_an_expert_learns_from_its_own_reconstruction_alone():
    experts = dense_experts(3)
    x = rows(9, 7).float()
    decoded = experts.decode(experts.encode(x).latents).rows()
    (decoded[:, 1] - x).square().mean().backward()
    for linear in (experts.to_latents, experts.to_rows, experts.encoder.linears[0]):
        reached = linear.weight.grad.abs().sum((1, 2)) > 0
        assert reached.tolist() == [False, True, False]


# ---------------------------------------------------------------------------
# Convolutional
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_experts", [1, 3])
@pytest.mark.parametrize(
    ("n_dims", "shape"),
    [(2, (7, 6)), (2, (3, 5, 5)), (2, (1, 8, 1)), (1, (9,)), (1, (2, 8))],
)
def test_convolutional_experts_equal_a_list_of_autoencoders(
    n_dims, shape, n_experts, training, randomise
):
    experts = randomise(conv_experts(n_experts, shape, n_dims=n_dims).double())
    experts.train(training)
    plain = [
        PlainConvolutional(experts, k, n_experts, Activation("elu"), n_dims)
        for k in range(n_experts)
    ]
    for expert in plain:
        expert.train(training)
    images = shape if len(shape) > n_dims else (1, *shape)
    assert_same_experts(experts, plain, rows(9, torch.Size(shape).numel()), images)
    assert_same_gradients(
        [
            (experts.convs[0].weight.grad, [e.convs[0].weight.grad for e in plain]),
            (experts.deconvs[1].weight.grad, [e.deconvs[1].weight.grad for e in plain]),
            (experts.deconvs[0].bias.grad, [e.deconvs[0].bias.grad for e in plain]),
        ]
    )


def in_pieces(experts, size):
    """The same experts, applied so many at a time."""
    piecewise = copy.deepcopy(experts)
    bounds = range(0, experts.n_experts, size)
    piecewise.groups = [slice(a, min(a + size, experts.n_experts)) for a in bounds]
    return piecewise


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("n_dims", "shape"), [(2, (7, 6)), (1, (2, 8))])
def test_experts_applied_some_at_a_time_are_the_same(
    n_dims, shape, size, training, randomise
):
    """What they say, its gradients and the running statistics, over two batches."""
    whole = randomise(conv_experts(5, shape, n_dims=n_dims).double()).train(training)
    pieces = in_pieces(whole, size)
    for seed in (3, 4):
        x = rows(9, torch.Size(shape).numel(), seed=seed)
        said = []
        for experts in (whole, pieces):
            encoded = experts.encode(x)
            decoded = experts.decode(encoded.latents).rows()
            (decoded.square().sum() + encoded.hidden.pow(3).sum()).backward()
            said.append((*encoded, decoded))
        for ours, theirs in zip(*said, strict=True):
            assert_close(ours, theirs, **EXACT)
    for ours, theirs in zip(pieces.parameters(), whole.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, **EXACT)
    for ours, theirs in zip(pieces.buffers(), whole.buffers(), strict=True):
        assert_close(ours, theirs, **EXACT)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 40), st.sampled_from([(4,), (16, 32)]))
def test_experts_applied_together_are_all_of_them_in_tensors_that_are_small(
    n_experts, side, channels
):
    experts = conv_experts(n_experts, (side, side), channels)
    bounds = [(some.start, some.stop) for some in experts.groups]
    assert [a for a, _ in bounds] == [0, *(b for _, b in bounds[:-1])]
    assert bounds[-1][1] == n_experts
    numbers = [b - a for a, b in bounds]
    assert max(numbers) - min(numbers) <= 1
    half = (side + 1) // 2
    largest = max(side**2, channels[0] * half**2)  # later ones have a quarter, twice
    assert 4 * TYPICAL_ROWS * max(numbers) * largest <= LARGEST_TENSOR


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 19), min_size=2, max_size=2),
    st.sampled_from([None, 1, 3]),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.sampled_from([1, 2]),
)
def test_decoder_ends_at_the_exact_size_of_the_input(sizes, depth, channels, n_dims):
    shape = (*([] if depth is None else [depth]), *sizes[:n_dims])
    experts = conv_experts(2, shape, channels, n_dims=n_dims).eval()
    n_features = torch.Size(shape).numel()
    encoded = experts.encode(torch.zeros(3, n_features))
    assert encoded.latents.shape == (3, 2, LATENT_DIM)
    assert encoded.hidden.shape == (3, 2, experts.hidden_features)
    assert experts.decode(encoded.latents).rows().shape == (3, 2, n_features)


def test_pixels_outside_an_expert_s_view_do_not_reach_it():
    """One convolution of width three: a far pixel is not seen, a near one is."""
    experts = conv_experts(2, (9, 9), channels=(2,), hidden_layer_sizes=()).eval()
    x = torch.zeros(1, 81, requires_grad=True)
    seen = experts.convs[0](x.view(1, 1, 9, 9))
    seen[0, 0, 0, 0].backward()
    assert x.grad.view(9, 9)[:2, :2].abs().min() > 0
    assert not x.grad.view(9, 9)[2:].any()


# ---------------------------------------------------------------------------
# A user's own
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_custom_experts_are_what_the_factory_built(tiny_expert, training):
    experts = CustomExperts(3, (3, 4), LATENT_DIM, factory=tiny_expert).train(training)
    plain = copy.deepcopy(list(experts.experts))
    x = rows(5, 12).float()
    encoded = experts.encode(x)
    latents = [expert.encode(x.view(5, 3, 4)) for expert in plain]
    assert torch.equal(encoded.latents, torch.stack(latents, 1))
    decoded = [e.decode(z).flatten(1) for e, z in zip(plain, latents, strict=True)]
    assert torch.equal(experts.decode(encoded.latents).rows(), torch.stack(decoded, 1))


class Wrong(nn.Module):
    def __init__(self, encoded, decoded):
        super().__init__()
        self.encoded, self.decoded = encoded, decoded

    def encode(self, x):
        return torch.zeros(len(x), *self.encoded)

    def decode(self, z):
        return torch.zeros(len(z), *self.decoded)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (Wrong((2,), (3, 4)), ValueError, r"\(2, 2\) from encode"),
        (Wrong((LATENT_DIM,), (4, 3)), ValueError, r"\(2, 4, 3\) from decode"),
        (nn.Linear(2, 2), TypeError, "no method 'encode'"),
        (lambda x: x, TypeError, r"must return a torch.nn.Module"),
    ],
)
def test_a_factory_s_mistake_is_named(made, error, message):
    with pytest.raises(error, match=message):
        CustomExperts(2, (3, 4), LATENT_DIM, factory=lambda shape, d: made)


def test_experts_that_are_one_and_the_same_module_are_refused(tiny_expert):
    only = tiny_expert((3, 4), LATENT_DIM)
    with pytest.raises(ValueError, match="new module each time"):
        CustomExperts(2, (3, 4), LATENT_DIM, factory=lambda shape, d: only)


def test_a_decoder_may_return_flat_rows():
    experts = CustomExperts(
        2, (3, 4), LATENT_DIM, factory=lambda shape, d: Wrong((d,), (12,))
    )
    assert experts.decode(torch.zeros(5, 2, LATENT_DIM)).rows().shape == (5, 2, 12)


def test_checking_a_custom_expert_leaves_it_untouched(tiny_expert):
    made = []

    def factory(shape, latent_dim):
        made.append(tiny_expert(shape, latent_dim))
        made[-1].before = copy.deepcopy(made[-1].state_dict())
        return made[-1]

    CustomExperts(2, (3, 4), LATENT_DIM, factory=factory)
    for expert in made:
        assert expert.training
        for name, value in expert.state_dict().items():
            assert torch.equal(value, expert.before[name])


# ---------------------------------------------------------------------------
# All kinds
# ---------------------------------------------------------------------------


def test_parameters_of_experts_hold_all_of_them():
    for experts in (dense_experts(3), conv_experts(3, (5, 6))):
        for name, parameter in experts.named_parameters():
            norm = "norms" in name
            assert parameter.shape[0] % 3 == 0 if norm else parameter.shape[0] == 3


def graph_nodes(out):
    """Count the nodes of the graph that autograd walks back through."""
    seen, todo = set(), [out.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo.extend(parent for parent, _ in node.next_functions)
    return len(seen)


@pytest.mark.parametrize("kind", ["dense", "conv1d", "conv2d"])
def test_graph_of_experts_does_not_grow_with_their_number(kind):
    def nodes(n_experts):
        experts = {
            "dense": lambda: dense_experts(n_experts, shape=(12,)),
            "conv1d": lambda: conv_experts(n_experts, (12,), n_dims=1),
            "conv2d": lambda: conv_experts(n_experts, (3, 4)),
        }[kind]()
        decoded = experts.decode(experts.encode(torch.rand(4, 12)).latents)
        return graph_nodes(decoded.rows())

    assert nodes(2) == nodes(29)
