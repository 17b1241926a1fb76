"""Terms of the objective against loops over rows, experts and features."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from skmixae.objective import terms

N_ROWS, N_EXPERTS, N_FEATURES = 5, 3, 4


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def assignments(n_experts=N_EXPERTS, n_rows=N_ROWS, seed=0):
    return (2 * draw(n_rows, n_experts, seed=seed)).softmax(-1)


@st.composite
def some_assignments(draw, max_experts=6):
    """Assignments (b, k) of all degrees of certainty, ones and zeros among them."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, max_experts))
    seed, sharpness = draw(st.integers(0, 999)), draw(st.sampled_from([0, 1, 5, 1e3]))
    logits = np.random.default_rng(seed).normal(size=shape) * sharpness
    return torch.from_numpy(logits).log_softmax(-1)


# ---------------------------------------------------------------------------
# Loops to compare with
# ---------------------------------------------------------------------------


def naive_log_n(n):
    return math.log(n) if n > 1 else 1.0


def naive_entropy(p):
    return -sum(q * math.log(q) for q in p if q > 0)


def naive_divergence(target, p):
    return sum(t * math.log(t / q) for t, q in zip(target, p, strict=True) if t > 0)


@pytest.mark.parametrize("n_experts", [1, 3])
def test_expected_cost_equals_a_loop(n_experts):
    p, errors = assignments(n_experts), draw(N_ROWS, n_experts, seed=2).exp()
    total = sum(p[i, k] * errors[i, k] for i in range(5) for k in range(n_experts))
    expected = total / N_ROWS
    np.testing.assert_allclose(terms.expected(p, errors), expected)


def test_gradient_of_the_expected_cost():
    errors = draw(N_ROWS, N_EXPERTS, seed=2).exp().requires_grad_()
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    assert gradcheck(lambda a, e: terms.expected(a.softmax(-1), e), (logits, errors))


# ---------------------------------------------------------------------------
# Entropies
# ---------------------------------------------------------------------------


@settings(deadline=None)
@given(some_assignments())
def test_sample_entropy_equals_a_loop_and_is_bounded(log_p):
    rows = log_p.exp().tolist()
    expected = sum(map(naive_entropy, rows)) / len(rows) / naive_log_n(len(rows[0]))
    entropy = terms.sample_entropy(log_p).item()
    assert entropy == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert -1e-12 <= entropy <= 1 + 1e-12


@settings(deadline=None)
@given(some_assignments())
def test_batch_entropy_equals_a_loop_and_bounds_the_sample_entropy(log_p):
    p = log_p.exp()
    columns = list(zip(*p.tolist(), strict=True))
    usage = [sum(column) / len(column) for column in columns]
    expected = naive_entropy(usage) / naive_log_n(len(usage))
    entropy = terms.batch_entropy(p).item()
    assert entropy == pytest.approx(expected, rel=1e-9, abs=1e-12)
    # Their difference is the mutual information of rows and experts.
    assert terms.sample_entropy(log_p).item() - 1e-12 <= entropy <= 1 + 1e-12


@pytest.mark.parametrize("n_experts", [2, 7])
def test_entropies_are_one_when_uniform_and_zero_when_one_expert_has_all(n_experts):
    uniform = torch.full((4, n_experts), 1 / n_experts, dtype=torch.float64)
    assert terms.sample_entropy(uniform.log()).item() == pytest.approx(1)
    assert terms.batch_entropy(uniform).item() == pytest.approx(1)
    one = torch.zeros(4, n_experts)
    one[:, 1] = 1
    assert terms.batch_entropy(one).item() == pytest.approx(0, abs=1e-30)
    sure = (200 * one).log_softmax(-1)
    assert terms.sample_entropy(sure).item() == 0
    # The first entropy asks each row alone, the second the batch: sure and balanced.
    balanced = torch.eye(n_experts)
    assert terms.batch_entropy(balanced).item() == pytest.approx(1)
    assert terms.sample_entropy((200 * balanced).log_softmax(-1)).item() == 0


def test_everything_is_zero_for_a_single_expert():
    p = torch.ones(4, 1)
    assert terms.sample_entropy(p.log()).item() == 0
    assert terms.batch_entropy(p).item() == 0
    assert terms.batch_entropy_ceiling(1, 4) == 0
    assert terms.divergence(p.log(), p.log()).item() == 0
    assert terms.size_agreement(p, torch.ones(1)).item() == 1


@settings(deadline=None)
@given(some_assignments(), st.randoms(use_true_random=False))
def test_terms_do_not_depend_on_the_order_of_experts_or_rows(log_p, random):
    experts, rows = list(range(log_p.shape[1])), list(range(len(log_p)))
    random.shuffle(experts)
    random.shuffle(rows)
    other = log_p[rows][:, experts]
    sizes = torch.arange(1.0, len(experts) + 1).double()
    sizes /= sizes.sum()
    for term in (
        terms.sample_entropy,
        lambda log_p: terms.batch_entropy(log_p.exp()),
        lambda log_p: terms.size_agreement(log_p.exp(), sizes),
        lambda log_p: terms.divergence(log_p, (log_p / 2).log_softmax(-1)),
    ):
        assert term(other).item() == pytest.approx(term(log_p).item(), abs=1e-9)


def test_gradients_of_entropies():
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    assert gradcheck(lambda a: terms.sample_entropy(a.log_softmax(-1)), logits)
    assert gradcheck(lambda a: terms.batch_entropy(a.softmax(-1)), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_stay_finite_where_assignments_are_sure(dtype):
    logits = torch.tensor([[0.0, 500, -500], [0, 900, 0]], dtype=dtype)
    logits.requires_grad_()
    sizes = torch.tensor([0.5, 0.25, 0.25], dtype=dtype)
    log_p = logits.log_softmax(-1)
    total = (
        terms.sample_entropy(log_p)
        + terms.batch_entropy(log_p.exp())
        + terms.size_agreement(log_p.exp(), sizes)
        + terms.divergence(log_p.detach(), log_p)
    )
    total.backward()
    assert total.isfinite()
    assert logits.grad.isfinite().all()


# ---------------------------------------------------------------------------
# What a finite batch can have
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "b"), [(2, 40), (6, 64), (10, 150), (30, 1024)])
def test_ceiling_is_the_mean_entropy_of_balanced_clusters_in_random_batches(k, b):
    rng = np.random.default_rng(0)
    counts = rng.multinomial(b, np.full(k, 1 / k), size=20_000)
    usage = torch.from_numpy(counts / b)
    entropies = torch.special.entr(usage).sum(1) / math.log(k)
    # Simulated in one go; the term itself gives the same.
    one_hot = torch.eye(k).double().repeat_interleave(torch.from_numpy(counts[0]), 0)
    assert terms.batch_entropy(one_hot).item() == pytest.approx(entropies[0].item())
    ceiling = terms.batch_entropy_ceiling(k, b)
    # What Miller and Madow leave out: the next order of the expansion in 1/b, and
    # the standard error of the simulation, four times.
    next_order = (k**2 - 1) / (12 * b**2) / math.log(k)
    error = 4 * entropies.std().item() / math.sqrt(len(entropies))
    assert abs(entropies.mean().item() - ceiling) < 1.5 * next_order + error


def test_ceiling_grows_with_the_batch_from_zero_to_one():
    ceilings = [terms.batch_entropy_ceiling(10, n) for n in (1, 2, 3, 10, 100, 10**6)]
    assert ceilings == sorted(ceilings)
    assert ceilings[0] == 0
    assert ceilings[-1] == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------------------
# Known sizes
# ---------------------------------------------------------------------------


@st.composite
def shares(draw, n=None):
    """Proportions (k,) that sum to one, some of them perhaps zero."""
    n = n or draw(st.integers(1, 6))
    weights = draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    weights[0] += 1
    return torch.tensor(weights).double() / sum(weights)


@settings(deadline=None)
@given(some_assignments(), st.data())
def test_size_agreement_equals_a_loop(log_p, data):
    p = log_p.exp()
    sizes = data.draw(shares(p.shape[1]))
    usage = sorted((p.sum(0) / len(p)).tolist(), reverse=True)
    known = sorted(sizes.tolist(), reverse=True)
    agreement = terms.size_agreement(p, sizes).item()
    if min(u for u, s in zip(usage, known, strict=True) if s > 0) > 1e-300:
        expected = 1 - naive_divergence(known, usage) / naive_log_n(len(known))
        assert agreement == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert agreement <= 1 + 1e-9


@settings(deadline=None)
@given(shares(), st.randoms(use_true_random=False))
def test_size_agreement_is_one_at_the_known_sizes_whoever_has_which(sizes, random):
    order = list(range(len(sizes)))
    random.shuffle(order)
    usage = sizes[order].expand(3, -1)
    assert terms.size_agreement(usage, sizes).item() == pytest.approx(1, abs=1e-12)


def test_size_agreement_with_equal_sizes_rewards_even_use_most():
    sizes = torch.full((3,), 1 / 3).double()
    uneven = torch.tensor([[0.5, 0.3, 0.2]]).double()
    assert terms.size_agreement(uneven, sizes) < 1


def test_gradient_of_size_agreement():
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    sizes = torch.tensor([0.2, 0.5, 0.3]).double()
    assert gradcheck(lambda a: terms.size_agreement(a.softmax(-1), sizes), logits)


# ---------------------------------------------------------------------------
# Divergence
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_experts", [1, 2, 5])
def test_divergence_equals_a_loop(n_experts):
    target, p = assignments(n_experts), assignments(n_experts, seed=1)
    pairs = zip(target.tolist(), p.tolist(), strict=True)
    expected = sum(naive_divergence(t, q) for t, q in pairs)
    expected /= N_ROWS * naive_log_n(n_experts)
    divergence = terms.divergence(target.log(), p.log())
    np.testing.assert_allclose(divergence, expected, rtol=1e-12)


@settings(deadline=None)
@given(some_assignments(), st.integers(0, 99))
def test_divergence_is_never_negative_and_zero_for_equals(log_p, seed):
    assert terms.divergence(log_p, log_p).item() == 0
    other = draw(*log_p.shape, seed=seed).log_softmax(-1)
    assert terms.divergence(other, log_p).item() >= -1e-12


@pytest.mark.parametrize("clusters", [[0, 0, 1], [1, 0, 1], [0, 0, 0], [2, 0, 1]])
def test_merged_equals_a_sum_over_the_experts_of_each_cluster(clusters):
    p, of_each = assignments(), terms.experts_of(torch.tensor(clusters))
    merged = terms.merged(p.log(), of_each).exp()
    assert merged.shape == (N_ROWS, max(clusters) + 1)
    for row, found in zip(p.tolist(), merged.tolist(), strict=True):
        sums = [0.0] * len(found)
        for cluster, share in zip(clusters, row, strict=True):
            sums[cluster] += share
        assert found == pytest.approx(sums)
    log_p = p.log().requires_grad_()
    assert gradcheck(lambda x: terms.merged(x, of_each), log_p)


def test_gradient_of_divergence():
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    target = assignments(seed=1).log()
    assert gradcheck(lambda a: terms.divergence(target, a.log_softmax(-1)), logits)


# ---------------------------------------------------------------------------
# Responsibilities
# ---------------------------------------------------------------------------


def some_errors(n_experts=N_EXPERTS):
    return draw(N_ROWS, n_experts, seed=2).exp()


@pytest.mark.parametrize("n_experts", [2, 3, 6])
def test_responsibilities_equal_a_loop(n_experts):
    errors = some_errors(n_experts)
    rows = errors.tolist()
    lead = sum(sum(row) / n_experts - min(row) for row in rows) / N_ROWS
    for row, found in zip(rows, terms.responsibilities(errors).exp(), strict=True):
        weights = [math.exp(-error / (terms.TEMPERATURE * lead)) for error in row]
        expected = [weight / sum(weights) for weight in weights]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_responsibilities_do_not_depend_on_the_unit_of_errors(factor):
    errors = some_errors()
    torch.testing.assert_close(
        terms.responsibilities(factor * errors), terms.responsibilities(errors)
    )


def test_responsibilities_do_not_see_what_is_hard_for_all_experts_alike():
    errors = some_errors()
    harder = errors + draw(N_ROWS, 1, seed=3).exp()
    torch.testing.assert_close(
        terms.responsibilities(harder), terms.responsibilities(errors)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_experts", [1, 4])
def test_experts_that_err_alike_have_equal_parts(n_experts, dtype):
    for error in (0.0, 0.7):
        errors = torch.full((N_ROWS, n_experts), error, dtype=dtype)
        parts = terms.responsibilities(errors).exp()
        torch.testing.assert_close(parts, torch.full_like(errors, 1 / n_experts))


def test_errors_of_any_size_leave_the_divergence_with_a_finite_gradient():
    errors = torch.ones(N_ROWS, N_EXPERTS)
    errors[0, 1] = -1e6
    errors[:, 2] = 1e30  # in float32
    log_p = draw(N_ROWS, N_EXPERTS).float().log_softmax(-1).requires_grad_()
    target = terms.responsibilities(errors)
    terms.divergence(target, log_p).backward()
    assert torch.isfinite(log_p.grad).all()
    assert target.exp()[:, 2].max() < 0.1


# ---------------------------------------------------------------------------
# Algebra of the objective
# ---------------------------------------------------------------------------


def test_gate_gains_in_proportion_to_how_far_an_expert_beats_the_mean():
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    errors = draw(N_ROWS, N_EXPERTS, seed=2).exp()
    p = logits.softmax(-1)
    terms.expected(p, errors).backward()
    mean = (p * errors).sum(-1, keepdim=True)
    expected = p * (errors - mean) / N_ROWS
    torch.testing.assert_close(logits.grad, expected.detach())


def test_equal_experts_and_sure_rows_give_the_gate_no_signal():
    for logits, errors in (
        (draw(N_ROWS, N_EXPERTS), torch.full((N_ROWS, N_EXPERTS), 0.7).double()),
        (900 * torch.eye(N_EXPERTS).double(), draw(N_EXPERTS, N_EXPERTS).exp()),
    ):
        logits.requires_grad_()
        terms.expected(logits.softmax(-1), errors).backward()
        assert logits.grad.abs().max() < 1e-15


def test_gradient_of_sample_entropy_is_its_closed_form():
    logits = draw(N_ROWS, N_EXPERTS).requires_grad_()
    log_p = logits.log_softmax(-1)
    terms.sample_entropy(log_p).backward()
    entropy = -(log_p.exp() * log_p).sum(-1, keepdim=True)
    expected = -log_p.exp() * (log_p + entropy) / N_ROWS / math.log(N_EXPERTS)
    torch.testing.assert_close(logits.grad, expected.detach())


@pytest.mark.parametrize("n_experts", [2, 3, 10])
def test_uniform_assignments_are_a_stationary_point_of_both_entropies(n_experts):
    logits = torch.zeros(N_ROWS, n_experts, dtype=torch.float64, requires_grad=True)
    log_p = logits.log_softmax(-1)
    (terms.sample_entropy(log_p) - terms.batch_entropy(log_p.exp())).backward()
    assert logits.grad.abs().max() < 1e-15


@pytest.mark.parametrize("alpha", [0.0, 0.3, 5.0])
def test_for_fixed_experts_the_best_assignment_is_the_best_expert(alpha):
    """R + alpha * SE is concave in p: no mixture beats the best vertex."""
    errors = draw(1, 4, seed=2).exp()
    rng = np.random.default_rng(0)
    for concentration in (0.05, 0.3, 1.0, 10.0):
        for p in torch.from_numpy(rng.dirichlet([concentration] * 4, size=200)):
            log_p = p.clamp(min=1e-300).log()[None]
            cost = terms.expected(p[None], errors)
            cost = cost + alpha * terms.sample_entropy(log_p)
            assert cost.item() >= errors.min().item() - 1e-12


def test_batch_entropy_minus_sample_entropy_is_the_information_of_rows_on_experts():
    p = assignments(n_rows=7)
    joint = p / len(p)  # of a row drawn at random, and its expert
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    information = (joint * (joint / independent).log()).sum() / math.log(N_EXPERTS)
    difference = terms.batch_entropy(p) - terms.sample_entropy(p.log())
    torch.testing.assert_close(difference, information)
