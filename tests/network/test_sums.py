"""Sums of experts: subsets as the members of a mixture."""

import math
from itertools import combinations

import pytest
import torch
from torch.testing import assert_close

from skmixae.network import Decoded, NetworkSpec, build_network
from skmixae.network.sums import SumsDecoded, subsets

ROUNDING = {"rtol": 1e-4, "atol": 1e-4}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_network(n_active, expert="plain", reads="hidden", n_experts=5):
    spec = NetworkSpec(
        n_experts, (7,), 3, "mlp", (8,), (2,), (6,), reads, "gelu", expert, n_active
    )
    network = build_network(spec, generator())
    with torch.no_grad():
        for values in network.parameters():
            values.add_(0.3 * torch.randn(values.shape, generator=generator(1)))
    return network.eval()


def rows(n=9):
    return torch.randn(n, 7, generator=generator(3))


@pytest.mark.parametrize(("k", "m"), [(2, 1), (5, 2), (6, 3), (4, 4)])
def test_subsets_are_all_of_that_size_and_each_once(k, m):
    members = subsets(k, m)
    assert members.shape == (math.comb(k, m), k)
    assert ((members == 0) | (members == 1)).all()
    assert (members.sum(1) == m).all()
    assert len({tuple(row.tolist()) for row in members}) == len(members)


def test_too_many_subsets_are_refused_with_their_number():
    with pytest.raises(ValueError, match=r"15504 ways to choose n_active=5 of 20"):
        subsets(20, 5)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_distances_and_sums_equal_a_loop(m):
    decoded = torch.randn(6, 5, 4, generator=generator())
    x = torch.randn(6, 4, generator=generator(1))
    sums = SumsDecoded(Decoded(decoded), subsets(5, m))
    distance, all_rows = sums.squared_distance(x), sums.rows()
    products, squares = sums.products(x)
    for p, chosen in enumerate(combinations(range(5), m)):
        one = sums.of(torch.full((6,), p))
        for i in range(6):
            expected = sum(decoded[i, k] for k in chosen)
            assert_close(all_rows[i, p], expected, **ROUNDING)
            assert_close(one[i], expected, **ROUNDING)
            assert_close(distance[i, p], (x[i] - expected).square().sum(), **ROUNDING)
            assert_close(products[i, p], x[i] @ expected, **ROUNDING)
            assert_close(squares[i, p], expected @ expected, **ROUNDING)


def test_sums_keep_their_precision_among_products_of_less():
    decoded = 10 + torch.randn(6, 5, 40, generator=generator())
    x = 20 + torch.randn(6, 40, generator=generator(1))
    network, sums = make_network(2), SumsDecoded(Decoded(decoded), subsets(5, 2))
    expected = sums.squared_distance(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(sums.squared_distance(x), expected, rtol=1e-3, atol=1e-3)
        assert network(rows()).logits.dtype == torch.float32


@pytest.mark.parametrize("reads", ["hidden", "latents", "input"])
def test_logits_of_a_subset_are_the_sums_of_its_experts(reads):
    one, several = make_network(1, reads=reads), make_network(2, reads=reads)
    several.load_state_dict(one.state_dict())  # the same weights, and no others
    logits, sums = one(rows()).logits, several(rows()).logits
    for p, (a, b) in enumerate(combinations(range(5), 2)):
        assert_close(sums[:, p], logits[:, a] + logits[:, b], **ROUNDING)
    assert torch.equal(several.assign(rows()), sums)


def test_divergence_of_a_subset_is_the_sum_of_its_experts():
    one, several = make_network(1, "variational"), make_network(3, "variational")
    several.load_state_dict(one.state_dict())
    alone, sums = one(rows()).divergence, several(rows()).divergence
    for p, chosen in enumerate(combinations(range(5), 3)):
        assert_close(sums[:, p], alone[:, chosen].sum(1), **ROUNDING)


def test_permuted_experts_are_the_same_mixture_of_sums():
    network, order = make_network(2), torch.tensor([3, 0, 4, 1, 2])
    before = network(rows())
    network.permute_experts(order)
    after = network(rows())
    place = {frozenset(c): p for p, c in enumerate(combinations(range(5), 2))}
    for p, chosen in enumerate(combinations(range(5), 2)):
        was = place[frozenset(order[list(chosen)].tolist())]
        assert_close(after.logits[:, p], before.logits[:, was], **ROUNDING)
        assert_close(
            after.decoded.rows()[:, p], before.decoded.rows()[:, was], **ROUNDING
        )
