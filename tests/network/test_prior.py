"""Variational and adversarial experts: what is drawn, its cost, and who learns what."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from skmixae.network import EXPERT_KINDS, NetworkSpec, build_network
from skmixae.network.adversarial import LATENT_NOISE, AdversarialExperts
from skmixae.network.autoencoder import Encoded
from skmixae.network.variational import NOISE, VariationalExperts

WITH_PRIOR = sorted(set(EXPERT_KINDS) - {"plain"})
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}
N_FEATURES, N_EXPERTS, DIM = 12, 4, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["mlp", "conv2d", "custom"])
def build(request, tiny_expert):
    def build(kind):
        architecture = tiny_expert if request.param == "custom" else request.param
        spec = NetworkSpec(
            N_EXPERTS, (3, 4), DIM, architecture, (8,), (2,), (6,), "hidden", "gelu",
            expert=kind,
        )  # fmt: skip
        torch.manual_seed(0)
        network = build_network(spec, generator())
        with torch.no_grad():  # no expert and no unit is as good as another
            for values in network.parameters():
                values.add_(0.3 * torch.randn(values.shape, generator=generator(1)))
        return network

    return build


def rows(n=20, seed=3):
    return torch.randn(n, N_FEATURES, generator=generator(seed))


def encoded(n=30, seed=4):
    latents = 2 * torch.randn(n, N_EXPERTS, DIM, generator=generator(seed))
    hidden = torch.randn(n, N_EXPERTS, 8, generator=generator(seed + 1))
    return Encoded(hidden, latents)


class Plain(torch.nn.Module):
    hidden_features = 8


def variational():
    return VariationalExperts(
        Plain(), N_EXPERTS, DIM, N_FEATURES, generator=generator()
    )


def adversarial():
    return AdversarialExperts(Plain(), N_EXPERTS, DIM, generator=generator())


def test_plain_experts_have_no_prior_and_nothing_random(build):
    network = build("plain").train()
    out = network(rows(), generator())
    assert out.divergence is None
    assert torch.equal(out.decoded.rows(), network(rows()).decoded.rows())


@pytest.mark.parametrize("kind", WITH_PRIOR)
def test_shapes_are_those_of_the_contract(build, kind):
    out = build(kind)(rows(), generator())
    assert out.latents.shape == (20, N_EXPERTS, DIM)
    assert out.divergence.shape == (20, N_EXPERTS)
    assert out.decoded.rows().shape == (20, N_EXPERTS, N_FEATURES)


@pytest.mark.parametrize("kind", WITH_PRIOR)
def test_without_a_generator_the_latents_encoded_are_decoded(build, kind):
    network = build(kind).eval()
    out = network(rows())
    assert torch.equal(network.encode(rows())[1], out.latents)
    assert_close(network.decode(out.latents).rows(), out.decoded.rows())


@pytest.mark.parametrize("kind", WITH_PRIOR)
def test_assignments_do_not_depend_on_what_is_drawn(build, kind):
    network = build(kind).eval()
    assert torch.equal(network(rows(), generator()).logits, network(rows()).logits)


@pytest.mark.parametrize("kind", WITH_PRIOR)
def test_permuted_experts_are_the_same_mixture(build, kind):
    network, order = build(kind).eval(), torch.tensor([2, 0, 3, 1])
    before = network(rows())
    network.permute_experts(order)
    after = network(rows())
    assert_close(after.logits, before.logits[:, order], **ROUNDING)
    assert_close(after.decoded.rows(), before.decoded.rows()[:, order], **ROUNDING)
    if before.divergence is not None:
        assert_close(after.divergence, before.divergence[:, order], **ROUNDING)


def test_permuted_critics_stay_with_their_experts():
    experts, order = adversarial(), torch.tensor([2, 0, 3, 1])
    latents = encoded().latents
    before = experts.critics(latents)
    experts.plain.permute = lambda order: None  # there is nothing in it
    with torch.no_grad():
        experts.permute(order)
    assert_close(experts.critics(latents[:, order]), before[:, order])


# -- variational ----------------------------------------------------------------------


def test_divergence_of_a_gaussian_equals_a_loop():
    experts, some = variational(), encoded(n=5)
    spread = experts.to_log_variance(some.hidden).detach()
    divergence = experts.draw(some, None).divergence
    for i in range(5):
        for k in range(N_EXPERTS):
            expected = 0.0
            for d in range(DIM):
                mean, log_variance = some.latents[i, k, d], spread[i, k, d]
                own = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
                prior = torch.distributions.Normal(0.0, 1.0)
                expected += torch.distributions.kl_divergence(own, prior)
            expected *= 2 * NOISE / N_FEATURES
            assert_close(divergence[i, k], expected, **ROUNDING)


def test_draws_have_the_mean_and_the_variance_encoded():
    experts, one = variational(), encoded(n=1)
    many = Encoded(*(part.expand(20_000, -1, -1) for part in one))
    drawn = experts.draw(many, generator()).latents
    variance = experts.to_log_variance(one.hidden).exp()[0]
    # Within five standard errors.
    assert ((drawn.mean(0) - one.latents[0]).abs() < 5 * (variance / 2e4).sqrt()).all()
    assert_close(drawn.var(0), variance, rtol=0.05, atol=0.0)


def test_gradient_reaches_mean_and_variance_through_a_draw():
    experts, some = variational(), encoded()
    latents = some.latents.clone().requires_grad_()
    drawn = experts.draw(some._replace(latents=latents), generator())
    drawn.latents.square().sum().backward()
    assert latents.grad.abs().sum() > 0
    assert experts.to_log_variance.weight.grad.abs().sum() > 0


# -- adversarial ----------------------------------------------------------------------


def noisy_and_prior(latents):
    """Return what critics compare, drawn as in a step that has ``generator()``."""
    source = generator()
    noise, prior = (torch.randn(latents.shape, generator=source) for _ in range(2))
    return latents + LATENT_NOISE * noise, prior


def test_divergence_told_by_critics_equals_a_loop():
    experts, some = adversarial(), encoded(n=6)
    latents, prior = noisy_and_prior(some.latents)
    divergence = experts.draw(some, generator()).divergence

    def odds(latents, k):
        read = torch.cat([latents, latents**2])
        hidden = (
            read @ experts.critics.hidden.weight[k] + experts.critics.hidden.bias[k]
        )
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
        verdict = hidden @ experts.critics.verdict.weight[k]
        return (verdict + experts.critics.verdict.bias[k])[0]

    for k in range(N_EXPERTS):
        right = sum(torch.sigmoid(odds(prior[i, k], k)).log() for i in range(6)) / 6
        for i in range(6):
            wrong = (1 - torch.sigmoid(odds(latents[i, k], k))).log()
            expected = math.log(2) + 0.5 * (wrong + right)
            assert_close(divergence[i, k], expected, **ROUNDING)


def test_critics_learn_to_tell_and_encoders_to_deceive():
    experts, some = adversarial(), encoded()
    latents = some.latents.clone().requires_grad_()
    experts.draw(
        some._replace(latents=latents), generator()
    ).divergence.sum().backward()
    critics = list(experts.critics.parameters())
    found = [parameter.grad.clone() for parameter in critics]

    noisy, prior = noisy_and_prior(latents)
    mistaken = 0.5 * (
        F.softplus(experts.critics(noisy.detach()))
        + F.softplus(-experts.critics(prior))
    )
    for gradient, expected in zip(
        found, torch.autograd.grad(mistaken.sum(), critics), strict=True
    ):
        assert_close(gradient, expected, **ROUNDING)
    deceived = 0.5 * F.softplus(-experts.critics(noisy))
    assert_close(
        latents.grad, *torch.autograd.grad(deceived.sum(), latents), **ROUNDING
    )


def test_trained_critics_tell_what_is_not_of_the_prior_and_nothing_else():
    told = {}
    for scale in (1.0, 3.0):
        experts = adversarial()
        optimizer, source = torch.optim.Adam(experts.parameters(), 1e-2), generator(7)
        for _ in range(200):
            # With the noise on them they have that scale.
            own = (scale**2 - LATENT_NOISE**2) ** 0.5
            latents = own * torch.randn(128, N_EXPERTS, DIM, generator=source)
            divergence = experts.draw(Encoded(latents, latents), source).divergence
            optimizer.zero_grad()
            divergence.mean().backward()
            optimizer.step()
        told[scale] = divergence.mean().item()
    assert abs(told[1.0]) < 0.05
    assert told[3.0] > 0.25
