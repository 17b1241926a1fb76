"""Rows that are sums: each subset of so many experts is a member of the mixture."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from .decoded import Decoded, at_least_single, distance_by_products

# What is made of them, (b, p) and (k * k, p), must stay small beside the experts: of 10
# experts all subsets are fewer, of 20 those of three.
MOST_SUBSETS = 2000


def subsets(n_experts: int, n_active: int) -> Tensor:
    """Return all subsets of ``n_active`` experts, (p, k), as zeros and ones."""
    if math.comb(n_experts, n_active) > MOST_SUBSETS:
        raise ValueError(
            f"There are {math.comb(n_experts, n_active)} ways to choose n_active="
            f"{n_active} of {n_experts} experts, and at most {MOST_SUBSETS} can be "
            "tried for each row. Ask for fewer n_clusters, or lower n_active."
        )
    chosen = torch.tensor(list(itertools.combinations(range(n_experts), n_active)))
    none = torch.zeros(len(chosen), n_experts, dtype=torch.float32)
    return none.scatter_(1, chosen, 1.0)


class SumsDecoded(Decoded):
    """Sums of K reconstructions over each of p subsets, made when asked for.

    The products of a sum are ``sum x.d_k`` and ``sum d_k.d_l``, over the experts of the
    subset and their pairs. So they are had from K products and the Gram matrix
    (b, k, k), and nothing of the size (b, p, features) is made.

    Parameters
    ----------
    parts : Decoded
        The reconstructions (b, k, features) themselves.
    members : Tensor of shape (p, k)
        Which experts are in each subset.
    """

    def __init__(self, parts: Decoded, members: Tensor) -> None:
        self.parts = parts
        self.members = members

    def rows(self) -> Tensor:
        """Return all sums, (b, p, features)."""
        return product(self.members, at_least_single(self.parts.rows()))

    def of(self, subset: Tensor) -> Tensor:
        """Return the sum (b, features) over the subset (b,) of each row."""
        chosen = self.members[subset].unsqueeze(1)  # (b, 1, k)
        return product(chosen, at_least_single(self.parts.rows())).squeeze(1)

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, p) of rows ``x`` (b, features) to theirs."""
        return distance_by_products(x, self.products(x))

    def products(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return products with ``x`` (b, features) and with themselves, (b, p) each."""
        rows = at_least_single(self.parts.rows())
        along = product(rows, x.unsqueeze(-1)).squeeze(-1)  # (b, k)
        gram = product(rows, rows.mT).flatten(1)  # (b, k * k)
        pairs = (self.members.unsqueeze(2) * self.members.unsqueeze(1)).flatten(1)
        return product(along, self.members.T), product(gram, pairs.T)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return a matrix product in the precision of its factors.

    Of sums, large numbers are subtracted next: 8-bit mantissas would leave little.
    """
    with torch.autocast(a.device.type, enabled=False):
        return a @ b
