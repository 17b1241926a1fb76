"""Small mixtures whose every number is random, so that a mix-up shows."""

import pytest
import torch
from torch import nn

from skmixae.network import NetworkSpec, build_network


class TinyExpert(nn.Module):
    """A user's own expert, with batch normalisation and dropout of torch's own."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        n_features = torch.Size(input_shape).numel()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(n_features, 6), nn.BatchNorm1d(6), nn.Tanh(),
            nn.Linear(6, latent_dim),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, n_features), nn.Unflatten(1, input_shape)
        )

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)


SHAPES = {"mlp": (7,), "conv1d": (2, 9), "conv2d": (3, 5, 6), TinyExpert: (3, 4)}


def _randomise(module, seed=1):
    """Draw all weights and running statistics anew; variances stay positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in module.state_dict().items():
            if values.is_floating_point() and not name.endswith("n_updates"):
                values.copy_(0.7 * torch.randn(values.shape, generator=generator))
            if name.endswith(("running_var", "norm.weight")):
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return module


def _make_network(
    architecture="mlp",
    assignment_input="hidden",
    n_experts=4,
    hidden_layer_sizes=(8, 5),
    assignment_hidden_layer_sizes=(6,),
    input_shape=None,
    *,
    fresh=False,
):
    spec = NetworkSpec(
        n_experts=n_experts,
        input_shape=input_shape or SHAPES[architecture],
        latent_dim=3,
        architecture=architecture,
        hidden_layer_sizes=hidden_layer_sizes,
        conv_channels=(2, 4),
        assignment_hidden_layer_sizes=assignment_hidden_layer_sizes,
        assignment_input=assignment_input,
        activation="gelu",
    )
    network = build_network(spec, torch.Generator().manual_seed(0))
    return network if fresh else _randomise(network)


@pytest.fixture
def make_network():
    return _make_network


@pytest.fixture
def randomise():
    return _randomise


@pytest.fixture
def tiny_expert():
    return TinyExpert
