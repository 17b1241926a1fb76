"""The objective put together, against the same sum written out with loops."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from skmixae.network import Decoded, NetworkSpec, build_network
from skmixae.objective import (
    LOSSES,
    SCHEDULES,
    AdversarialConsistency,
    MixtureObjective,
    Reconstruction,
    Weights,
)
from skmixae.objective.schedule import SURE
from skmixae.objective.terms import (
    batch_entropy_ceiling,
    divergence,
    experts_of,
    responsibilities,
)

WEIGHTS = Weights(1.3, 0.2, 0.4, 0.7)
N_ROWS, N_EXPERTS, N_FEATURES = 30, 3, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_network(n_experts=N_EXPERTS):
    spec = NetworkSpec(
        n_experts, (N_FEATURES,), 2, "mlp", (4,), (2,), (6,), "hidden", "tanh"
    )
    network = build_network(spec, generator())
    with torch.no_grad():  # away from the uniform start
        network.assignment.last.weight.mul_(3e4)
    return network


def make_objective(
    weights=WEIGHTS, schedule="constant", reference=0.5, loss="mse", **settings
):
    return MixtureObjective(
        Reconstruction(LOSSES[loss], reference),
        SCHEDULES[schedule](weights),
        **settings,
    )


def rows(n=N_ROWS, seed=3):
    return torch.randn(n, N_FEATURES, generator=generator(seed))


def step(objective, network, x, progress=0.0, seed=0):
    return objective.step(network, x, torch.arange(len(x)), progress, generator(seed))


def naive_terms(out, x, reference=0.5):
    """Reconstruction and both entropies by loops; the balance stops at its ceiling."""
    logits, decoded, x = (
        t.detach().double().numpy() for t in (out.logits, out.decoded.rows(), x)
    )
    n, k = logits.shape
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    reconstruction = sample_entropy = 0.0
    for i in range(n):
        for j in range(k):
            error = sum((decoded[i, j] - x[i]) ** 2) / x.shape[1] / reference
            reconstruction += p[i, j] * error / n
            sample_entropy -= p[i, j] * math.log(p[i, j]) / n / math.log(k)
    usage = p.sum(0) / n
    batch_entropy = -sum(u * math.log(u) for u in usage) / math.log(k)
    ceiling = 1 - (k - 1) / (2 * n * math.log(k))
    return reconstruction, sample_entropy, batch_entropy, min(batch_entropy, ceiling)


def test_total_is_the_weighted_sum_of_its_terms():
    network, x = make_network(), rows()
    terms = step(make_objective(), network, x).terms
    reconstruction, sample, batch, balance = naive_terms(network(x), x)
    expected = 1.3 * reconstruction + 0.2 * sample - 0.4 * balance
    # float32, sums of some hundred numbers near one.
    for value, naive in (
        (terms.total, expected),
        (terms.objective, expected),
        (terms.reconstruction, reconstruction),
        (terms.sample_entropy, sample),
        (terms.batch_entropy, batch),
        (terms.consistency, 0.0),
    ):
        assert value.item() == pytest.approx(naive, rel=1e-5, abs=1e-6)


def test_step_returns_the_assignment_of_the_rows():
    network, x = make_network(), rows()
    assignment = step(make_objective(), network, x).assignment
    assert not assignment.requires_grad
    assert_close(assignment, network(x).logits.softmax(-1).detach())


def test_only_the_total_carries_a_gradient():
    terms = step(make_objective(), make_network(), rows()).terms
    assert [name for name, t in terms._asdict().items() if t.requires_grad] == ["total"]
    assert all(value.dim() == 0 for value in terms)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
def test_total_uses_the_weights_of_the_moment_and_objective_those_asked_for(
    schedule, progress
):
    network, x = make_network(), rows()
    objective = make_objective(schedule=schedule)
    step(objective, network, rows(seed=4), progress)  # something to remember
    weights = [float(w) for w in objective.schedule.at(progress)]
    terms = step(objective, network, x, progress).terms
    reconstruction, sample, _, balance = naive_terms(network(x), x)
    parts = np.array([reconstruction, sample, -balance])
    assert terms.total.item() == pytest.approx(parts @ weights[:3], rel=1e-5)
    assert terms.objective.item() == pytest.approx(parts @ WEIGHTS[:3], rel=1e-5)
    assert [float(w) for w in terms[-len(weights) :]] == pytest.approx(weights)


def test_balanced_weights_are_those_from_before_the_step():
    objective = make_objective(schedule="balanced")
    terms = step(objective, make_network(), rows()).terms
    assert [float(w) for w in terms[-len(WEIGHTS) :]] == pytest.approx(list(WEIGHTS))
    assert objective.schedule.at(0.0) != WEIGHTS


def test_a_single_expert_has_its_reconstruction_alone():
    network, x = make_network(1), rows()
    terms = step(make_objective(), network, x).terms
    error = (network(x).decoded.rows()[:, 0] - x).square().mean() / 0.5
    assert terms.total.item() == pytest.approx(1.3 * error.item(), rel=1e-5)
    assert terms.sample_entropy.item() == pytest.approx(0, abs=1e-30)
    assert terms.batch_entropy.item() == pytest.approx(0, abs=1e-30)


# ---------------------------------------------------------------------------
# Balance
# ---------------------------------------------------------------------------


def test_balance_is_not_pushed_above_what_random_batches_have():
    objective = make_objective()
    logits = (0.05 * rows()[:, :3]).requires_grad_()
    objective.balance(logits.softmax(-1)).backward()
    assert not logits.grad.any()
    ceiling = batch_entropy_ceiling(3, N_ROWS)
    assert objective.balance(logits.softmax(-1)).item() == pytest.approx(ceiling)


def test_uneven_use_is_pushed_towards_balance():
    logits = torch.tensor([[2.0, 0, 0]]).repeat(20, 1).requires_grad_()
    make_objective().balance(logits.softmax(-1)).backward()
    assert (logits.grad[:, 0] < 0).all()
    assert (logits.grad[:, 1:] > 0).all()


def test_balance_of_an_average_knows_how_many_rows_it_stands_for():
    objective, usage = make_objective(), torch.full((1, 3), 1 / 3)
    expected = batch_entropy_ceiling(3, 1000)
    assert objective.balance(usage, n_rows=1000).item() == pytest.approx(expected)


def test_known_sizes_take_the_place_of_the_batch_entropy():
    sizes = torch.tensor([0.7, 0.2, 0.1])
    objective = make_objective(sizes=sizes)
    even = torch.full((1000, 3), 1 / 3)
    known = sizes[[2, 0, 1]].expand(1000, -1)
    assert objective.balance(known) > objective.balance(even)
    network, x = make_network(), rows()
    terms = step(objective, network, x).terms
    usage = network(x).logits.softmax(-1).mean(0).sort(descending=True).values
    sure = (1 - terms.sample_entropy) / (1 - SURE)
    asked = 1 / 3 + sure * (sizes - 1 / 3)
    agreement = 1 - (asked * (asked / usage).log()).sum() / math.log(3)
    assert terms.batch_entropy.item() == pytest.approx(agreement.item(), rel=1e-5)
    parts = terms.reconstruction * 1.3 + terms.sample_entropy * 0.2
    balance = agreement.clamp(max=batch_entropy_ceiling(3, N_ROWS))
    assert terms.total.item() == pytest.approx((parts - 0.4 * balance).item(), rel=1e-5)


@pytest.mark.parametrize(("length", "is_sure"), [(0.0, False), (8.0, True)])
def test_known_sizes_are_asked_of_assignments_that_are_sure(length, is_sure):
    """Of unsure ones they would be had by giving every row the same proportions."""
    objective = make_objective(sizes=torch.tensor([0.6, 0.3, 0.1]))

    def rewarded(counts):
        labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
        logits = length * torch.nn.functional.one_hot(labels, 3)
        logits = logits.float().requires_grad_()
        errors = torch.ones(len(labels), 3)
        terms = objective.assemble(logits.log_softmax(-1), errors, progress=0.0).terms
        terms.total.backward()
        return terms.batch_entropy, logits.grad

    (even, slope), (known, _) = rewarded([100, 100, 100]), rewarded([180, 90, 30])
    assert (known > even + 0.1) == is_sure
    assert is_sure or slope.abs().max() < 1e-7


# ---------------------------------------------------------------------------
# Distillation
# ---------------------------------------------------------------------------


DISTILLED = WEIGHTS._replace(distillation=0.9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_distillation_is_added_with_its_own_weight(schedule):
    network, x = make_network(), rows()
    plain = step(make_objective(schedule=schedule), network, x, 0.6).terms
    found = step(make_objective(DISTILLED, schedule), network, x, 0.6).terms
    out = network(x)
    errors = (out.decoded.rows() - x[:, None]).square().mean(-1) / 0.5
    expected = divergence(responsibilities(errors), out.logits.log_softmax(-1)).item()
    assert found.distillation.item() == pytest.approx(expected, rel=1e-4)
    assert plain.distillation.item() == 0.0
    for name in ("total", "objective"):
        change = getattr(found, name).item() - getattr(plain, name).item()
        assert change == pytest.approx(0.9 * expected, rel=1e-3)


def test_without_its_weight_nothing_is_distilled(monkeypatch):
    network, x = make_network(), rows()
    monkeypatch.setattr("skmixae.objective.terms.responsibilities", None)
    objective = make_objective()
    for terms in (step(objective, network, x), objective.evaluate(network, x)):
        assert terms.terms.distillation.item() == 0.0


def test_distillation_teaches_the_assignment_and_no_decoder():
    only = Weights(0.0, 0.0, 0.0, 0.0, distillation=1.0)
    network = make_network()
    step(make_objective(only), network, rows()).terms.total.backward()
    experts = network.experts
    assert network.assignment.last.weight.grad.any()
    assert experts.encoder.linears[0].weight.grad.any()  # the assignment reads it
    for module in (experts.to_latents, experts.decoder, experts.to_rows):
        assert all(p.grad is None or not p.grad.any() for p in module.parameters())


def test_distillation_of_merged_experts_is_that_of_their_clusters():
    network, x = make_network(), rows()
    clusters = experts_of(torch.tensor([1, 0, 1]))
    found = step(make_objective(DISTILLED, clusters=clusters), network, x).terms
    out = network(x)
    errors = (out.decoded.rows() - x[:, None]).square().mean(-1) / 0.5

    def of_clusters(p):
        return torch.stack([p[:, 1], p[:, 0] + p[:, 2]], 1).log()

    target = of_clusters(responsibilities(errors).exp())
    expected = divergence(target, of_clusters(out.logits.softmax(-1))).item()
    assert found.distillation.item() == pytest.approx(expected, rel=1e-4)


def test_distillation_of_a_single_expert_is_zero():
    network = make_network(1)
    terms = step(make_objective(DISTILLED), network, rows()).terms
    terms.total.backward()
    assert terms.distillation.item() == 0.0
    assert all(torch.isfinite(p.grad).all() for p in network.experts.parameters())


# ---------------------------------------------------------------------------
# Regularisers and noise
# ---------------------------------------------------------------------------


class Watching:
    """A regulariser that notes what it is given, and spoils running statistics."""

    def __init__(self, value):
        self.value, self.seen = value, []

    def __call__(self, assign, x, log_assignment, generator):
        self.seen.append((x, log_assignment))
        assign(x + 100)
        return self.value * assign(x).square().mean()


def test_regularisers_are_added_and_weighed():
    network, x = make_network(), rows()
    plain = step(make_objective(), network, x).terms
    watching = [Watching(0.5), Watching(2.0)]
    terms = step(make_objective(regularisers=watching), network, x).terms
    expected = 2.5 * network.assign(x).square().mean().item()
    assert terms.consistency.item() == pytest.approx(expected, rel=1e-5)
    difference = 0.7 * expected
    for name in ("total", "objective"):
        change = getattr(terms, name).item() - getattr(plain, name).item()
        assert change == pytest.approx(difference, rel=1e-4)


def test_terms_of_merged_experts_are_those_of_their_clusters():
    """But the reconstruction: each expert still has its rows."""
    network, x = make_network(), rows()
    clusters = experts_of(torch.tensor([1, 0, 1]))
    found = step(make_objective(clusters=clusters), network, x)
    plain = step(make_objective(), network, x)
    p = plain.assignment.double()
    merged = torch.stack([p[:, 1], p[:, 0] + p[:, 2]], 1)
    entropies = -(merged * merged.log()).sum(1) / math.log(2)
    usage = merged.mean(0)
    balance = -(usage * usage.log()).sum() / math.log(2)
    assert found.terms.sample_entropy.item() == pytest.approx(entropies.mean().item())
    assert found.terms.batch_entropy.item() == pytest.approx(balance.item())
    assert found.terms.reconstruction == plain.terms.reconstruction
    assert_close(found.assignment, plain.assignment)


def test_a_border_between_experts_of_one_cluster_costs_no_consistency():
    network, x = make_network(), rows()
    views = [lambda x, index, generator: x + torch.randn(x.shape, generator=generator)]
    apart = step(make_objective(views=views), network, x).terms
    clusters = experts_of(torch.tensor([0, 0, 0]))
    together = step(make_objective(views=views, clusters=clusters), network, x).terms
    assert apart.consistency > 1e-3
    assert together.consistency.item() == pytest.approx(0.0, abs=1e-5)


def test_regularisers_see_clean_rows_and_a_target_without_a_gradient():
    network, x = make_network(), rows()
    watching = Watching(1.0)
    objective = make_objective(regularisers=[watching], input_noise=0.5)
    out = step(objective, network, x)
    ((seen, target),) = watching.seen
    assert torch.equal(seen, x)
    assert not target.requires_grad
    assert_close(target.exp(), out.assignment)


def test_divergences_under_views_are_added():
    network, x = make_network(), rows()
    target = network(x).logits.log_softmax(-1)
    seen = []

    def view(change):
        def changed(x, index, generator):
            seen.append(index.tolist())
            assert not torch.is_grad_enabled()
            return change(x)

        return changed

    changes = [lambda x: 2 * x, lambda x: x + 1]
    objective = make_objective(views=[view(change) for change in changes])
    terms = step(objective, network, x).terms
    expected = sum(
        divergence(target, network.assign(change(x)).log_softmax(-1)).item()
        for change in changes
    )
    assert terms.consistency.item() == pytest.approx(expected, rel=1e-5)
    assert seen == 2 * [list(range(N_ROWS))]
    terms.total.backward()
    assert all(p.grad is not None for p in network.assignment.parameters())


def test_of_a_view_that_changes_nothing_the_divergence_and_its_gradient_are_zero():
    network, x = make_network(), rows()
    objective = make_objective(
        Weights(0.0, 0.0, 0.0, 1.0), views=[lambda x, index, generator: x]
    )
    terms = step(objective, network, x).terms
    terms.total.backward()
    assert abs(terms.consistency.item()) < 1e-6
    for p in network.assignment.parameters():
        assert_close(p.grad, torch.zeros_like(p), rtol=0, atol=1e-6)


def test_running_statistics_know_only_the_rows_of_the_batch():
    regularised, plain = make_network(), make_network()
    regularisers = [Watching(1.0), AdversarialConsistency(0.25)]
    views = [lambda x, index, generator: x + 100]
    objective = make_objective(regularisers=regularisers, views=views)
    step(objective, regularised, rows())
    step(make_objective(), plain, rows())
    for name, value in plain.state_dict().items():
        assert torch.equal(regularised.state_dict()[name], value), name


def test_noise_reaches_the_encoders_and_not_what_is_reconstructed():
    class Identity:
        def __call__(self, x, generator=None):
            self.read = x
            out = make_network()(x)
            return out._replace(
                decoded=Decoded(x.unsqueeze(1).expand(-1, N_EXPERTS, -1))
            )

        statistics_held = make_network().statistics_held

    network, x = Identity(), rows(4000)
    objective = make_objective(input_noise=0.3, reference=1.0)
    terms = step(objective, network, x).terms
    noise = network.read - x
    # Of 20 000 draws, mean and standard deviation within four standard errors.
    assert abs(noise.mean()) < 4 * 0.3 / math.sqrt(20_000)
    assert abs(noise.std() - 0.3) < 4 * 0.3 / math.sqrt(40_000)
    # Rows given back as they were read are wrong by the noise.
    expected = noise.square().mean().item()
    assert terms.reconstruction.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.rng_untouched
def test_equal_generators_give_equal_bits():
    def total(seed):
        objective = make_objective(
            input_noise=0.3, regularisers=[AdversarialConsistency(0.25)]
        )
        return step(objective, make_network(), rows(), seed=seed).terms.total.item()

    assert total(0) == total(0)
    assert total(0) != total(1)


# ---------------------------------------------------------------------------
# Evaluation
# ---------------------------------------------------------------------------


def test_evaluation_has_no_noise_consistency_gradient_or_side_effect():
    network, x, watching = make_network().eval(), rows(), Watching(1.0)
    objective = make_objective(
        schedule="balanced", input_noise=9.0, regularisers=[watching]
    )
    state = {name: value.clone() for name, value in network.state_dict().items()}
    terms = objective.evaluate(network, x).terms
    reconstruction, sample, batch, balance = naive_terms(network(x), x)
    expected = 1.3 * reconstruction + 0.2 * sample - 0.4 * balance
    assert terms.total.item() == pytest.approx(expected, rel=1e-5)
    assert terms.objective.item() == pytest.approx(expected, rel=1e-5)
    assert terms.batch_entropy.item() == pytest.approx(batch, rel=1e-5)
    assert not any(value.requires_grad for value in terms)
    assert not watching.seen
    assert objective.schedule.at(0.0) == WEIGHTS
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])


# ---------------------------------------------------------------------------
# The whole
# ---------------------------------------------------------------------------


def test_total_falls_along_its_gradient():
    network, x = make_network(), rows()
    objective = make_objective(regularisers=[AdversarialConsistency(0.25)])
    before = step(objective, network, x).terms.total
    before.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-3 * parameter.grad
    assert step(objective, network, x).terms.total < before


def test_equal_experts_with_uniform_assignments_are_a_stationary_point_of_the_gate():
    logits = torch.zeros(N_ROWS, 3, requires_grad=True)
    errors = torch.rand(N_ROWS, 1, generator=generator()).expand(-1, 3)
    objective = make_objective()
    out = objective.assemble(logits.log_softmax(-1), errors, progress=0.0)
    out.terms.total.backward()
    assert logits.grad.abs().max() < 1e-7


def test_an_expert_without_rows_gets_no_gradient_for_its_decoder():
    network, x = make_network(), rows()
    with torch.no_grad():
        network.assignment.last.weight.zero_()
        network.assignment.last.bias.copy_(torch.tensor([[0.0, 0.0, -500.0]]))
    step(make_objective(), network, x).terms.total.backward()
    dead = network.experts.to_rows.weight.grad
    assert dead.isfinite().all()
    assert dead[0].abs().max() > 0
    assert not dead[2].any()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_experts_are_spared_where_only_the_weighted_errors_count(monkeypatch):
    """Distillation reads all errors, other losses have no distances to leave out."""
    network, x = make_network(), rows().sigmoid()
    asked = []
    monkeypatch.setattr(
        Decoded, "sparing", lambda self, shares: asked.append(shares) or self
    )
    found = step(make_objective(), network, x)
    (shares,) = asked
    assert_close(shares, found.assignment)
    assert not shares.requires_grad
    for objective in (
        make_objective(DISTILLED),
        make_objective(loss="bce"),
        make_objective(loss="cosine"),
    ):
        step(objective, network, x)
    make_objective().evaluate(network, x)  # exact, and no step
    assert len(asked) == 1


@pytest.mark.parametrize("n_hidden", [16, 130])
def test_a_step_that_spares_experts_has_the_terms_of_one_that_does_not(
    n_hidden, monkeypatch
):
    """Of narrow and of wide layers, in value and in gradient."""
    spec = NetworkSpec(4, (80,), 2, "mlp", (n_hidden,), (2,), (6,), "hidden", "tanh")
    network, objective = build_network(spec, generator()), make_objective()
    with torch.no_grad():
        network.assignment.last.weight.mul_(3e6)
    x = torch.randn(200, 80, generator=generator(3))
    spared, found = [], {}
    for most in (0.0, 1.0):
        monkeypatch.setattr("skmixae.network.decoded.MOST_LEFT", most)
        network.zero_grad()
        terms = step(objective, network, x).terms
        terms.total.backward()
        gradients = [p.grad.clone() for p in network.parameters()]
        spared.append(terms.total.item())
        found[most] = gradients
    assert spared[0] == pytest.approx(spared[1], rel=1e-2)
    whole, part = (torch.cat([g.flatten() for g in found[m]]) for m in (0.0, 1.0))
    assert not torch.equal(whole, part)
    assert (whole - part).norm() < 0.01 * whole.norm()


def test_views_are_exact_where_products_of_training_are_not():
    precise = torch.eye(N_FEATURES)
    seen = []

    def view(x, index, generator):
        seen.append(x @ precise - x)
        return x

    with torch.autocast("cpu", torch.bfloat16):
        step(make_objective(views=[view]), make_network(), 1000 + rows())
    assert seen[0].dtype == torch.float32
    assert seen[0].abs().max() == 0
