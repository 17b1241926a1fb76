"""What the experts decode, and how far it is from rows: often without making it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .parallel import OUTPUTS_TOGETHER, ParallelLinear

# Where Gram matrices beat reconstructions that are made: on a processor with one
# thread, at 256 rows. Of wider hidden layers they are dear, and rows not much longer
# than these cost little to make.
WIDEST_HIDDEN = 128
FEATURES_PER_HIDDEN = 4
# Experts need not decode what they have next to nothing of: all such shares of a row
# add up to less than this. With ten times as much, one seed of five joined two classes
# of USPS. It pays where no expert is left with more than so much of the rows.
NEXT_TO_NOTHING = 1e-3
MOST_LEFT = 0.25


class Decoded:
    """K reconstructions of each of b rows, made already.

    Parameters
    ----------
    rows : Tensor of shape (b, k, features)
        The reconstructions.
    """

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows

    def rows(self) -> Tensor:
        """Return the reconstructions, (b, k, features)."""
        return self._rows

    def of(self, expert: Tensor) -> Tensor:
        """Return the reconstruction (b, features) of each row by its expert (b,)."""
        return self._rows[torch.arange(len(expert), device=expert.device), expert]

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, k) of rows ``x`` (b, features) to theirs."""
        return (self.rows() - x.unsqueeze(1)).square().sum(-1)

    def sparing(self, shares: Tensor) -> Decoded:
        """Return the same for squared distances that are weighted by ``shares`` (b, k).

        Where these are next to nothing, a distance may be the row's average one.
        """
        return self

    def products(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return products with ``x`` (b, features) and with themselves, (b, k) each."""
        rows = at_least_single(self.rows())
        return (rows * x.unsqueeze(1)).sum(-1), rows.square().sum(-1)


def distance_by_products(x: Tensor, products: tuple[Tensor, Tensor]) -> Tensor:
    """Return the squared distance (b, k) of rows ``x`` (b, features) from products.

    It is ``|x - d|^2 = |x|^2 - 2 x.d + |d|^2``.
    """
    product, square = products
    # By rounding, of a row met exactly, it may be just below zero.
    return (x.square().sum(-1, keepdim=True) - 2 * product + square).clamp(min=0)


class LinearDecoded(Decoded):
    """K reconstructions that are a linear map of hidden layers, made when asked for.

    In training, for distances, only their difference from rows is made.

    Parameters
    ----------
    hidden : Tensor of shape (b, k, h)
        What the last layer reads.
    last : ParallelLinear
        The last layer, h to features.
    """

    def __init__(self, hidden: Tensor, last: ParallelLinear) -> None:
        self.hidden = hidden
        self.last = last

    def rows(self) -> Tensor:
        """Return the reconstructions, (b, k, features)."""
        return self.last(self.hidden)

    def of(self, expert: Tensor) -> Tensor:
        """Return the reconstruction (b, features) of each row by its expert (b,)."""
        return self.last.apply_one(self.hidden, expert)

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, k) of rows ``x`` (b, features) to theirs."""
        if not self.last.training:  # with outputs filled up, as `rows` has them
            return super().squared_distance(x)
        weight, bias = self.last.weight, self.last.bias
        distance: Tensor = _SquaredDistance.apply(self.hidden, weight, bias, x)
        return distance

    def sparing(self, shares: Tensor) -> Decoded:
        """Return the same, in training with only the distances that matter.

        Each expert decodes as many rows as the one with the most that matter, those
        that it has the largest shares of: a batched product has no ragged ends.
        """
        # On an accelerator the count would be waited for.
        if not self.last.training or shares.device.type != "cpu":
            return self
        least = NEXT_TO_NOTHING / shares.shape[1]
        n = int((shares >= least).sum(0).max())
        if n > MOST_LEFT * len(shares):
            return self
        return SparedDecoded(self, shares, shares.topk(n, dim=0).indices)

    @property
    def difference_dtype(self) -> torch.dtype:
        """The type in which rows are subtracted."""
        return self.hidden.dtype


class GramDecoded(LinearDecoded):
    """The same known by products alone, where hidden layers are narrow.

    With ``d = h W + c``, both products of the squared distance are had from the hidden
    layer: ``x.d = h.(W x) + c.x``, one wide product for all experts, and ``|d|^2 = h (W
    W^T) h + 2 h.(W c) + |c|^2``. So nothing of the size (b, k, features) passes through
    memory. The difference is rounded by a few units of ``eps * (|x|^2 + |d|^2)``, which
    is 1e-6 of them in float32.
    """

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, k) of rows ``x`` (b, features) to theirs."""
        return distance_by_products(x, self.products(x))

    @property
    def difference_dtype(self) -> torch.dtype:
        """The type in which rows are subtracted."""
        # Large numbers are: of 8-bit mantissas little would be left.
        return self.last.weight.dtype

    def products(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return products with ``x`` (b, features) and with themselves, (b, k) each."""
        weight, bias = self.last.weight, self.last.bias
        hidden = self.hidden.to(self.difference_dtype)
        tile = 1 if self.last.training else OUTPUTS_TOGETHER
        products: tuple[Tensor, Tensor] = _Products.apply(hidden, weight, bias, x, tile)
        return products


class SparedDecoded(LinearDecoded):
    """The same where each expert decodes some rows only, for their distances.

    Parameters
    ----------
    whole : LinearDecoded
        All reconstructions.
    shares : Tensor of shape (b, k)
        The weights of the distances.
    chosen : Tensor of shape (n, k), int64
        The rows that each expert decodes, with for each row the one of its largest
        share. The distance of others is the row's average, so that nothing but the
        tolerance favours or disfavours them.
    """

    def __init__(self, whole: LinearDecoded, shares: Tensor, chosen: Tensor) -> None:
        super().__init__(whole.hidden, whole.last)
        self.whole = whole
        self.shares = shares
        self.chosen = chosen

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance (b, k) of rows ``x`` (b, features) to theirs."""
        n_rows, n_experts, n_hidden = self.hidden.shape
        experts = torch.arange(n_experts, device=x.device)
        index = (self.chosen * n_experts + experts).flatten()
        hidden = self.hidden.flatten(0, 1).index_select(0, index)
        distance = _SquaredDistance.apply(
            hidden.view(-1, n_experts, n_hidden).to(self.whole.difference_dtype),
            self.last.weight,
            self.last.bias,
            x[self.chosen.T],
        )
        nothing = distance.new_zeros(n_rows, n_experts)
        known = nothing.scatter(0, self.chosen, distance)
        unknown = 1 - nothing.scatter(0, self.chosen, 1.0)
        average = (self.shares * known).sum(1) / (self.shares * (1 - unknown)).sum(1)
        return known + unknown * average.detach().unsqueeze(1)


def decoded_linearly(hidden: Tensor, last: ParallelLinear) -> Decoded:
    """Return what ``last`` makes of hidden layers (b, k, h), in the cheaper way."""
    _, n_hidden, n_features = last.weight.shape
    # By the sizes of the network alone: of a row's company its numbers know nothing.
    if n_hidden > WIDEST_HIDDEN:
        return LinearDecoded(hidden, last)
    if n_features < FEATURES_PER_HIDDEN * n_hidden:
        return Decoded(last(hidden))
    return GramDecoded(hidden, last)


class _SquaredDistance(torch.autograd.Function):
    """Squared distance of ``d = h W + c`` from rows x, and its gradients.

    The gradient of a difference ``d - x`` is the same difference times a number for
    each row and expert, by which the smaller factor of each product is multiplied. So
    one tensor of the size (b, k, features) is made, where autograd makes five: rows,
    difference, square, and the gradients of two of them. The rows are (b, features), or
    each expert's own, (k, b, features).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor
    ) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            w, c, rows = (t.to(hidden.dtype) for t in (weight, bias, x))
            difference = c.unsqueeze(1) - rows  # (k, b, f)
            difference.baddbmm_(hidden.transpose(0, 1), w)
            length = torch.linalg.vector_norm(
                difference, dim=-1, dtype=_at_least_single(hidden.dtype)
            )
        ctx.save_for_backward(hidden, w, difference)
        ctx.weight_type, ctx.x_type = weight.dtype, x.dtype
        ctx.x_is_shared = x.dim() == 2
        return length.square().T  # (b, k)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, w, difference = ctx.saved_tensors
        by_hidden = by_weight = by_bias = by_x = None
        with torch.autocast(upstream.device.type, enabled=False):
            scale = (2 * upstream).to(hidden.dtype).unsqueeze(-1)  # (b, k, 1)
            if ctx.needs_input_grad[0]:
                by_hidden = (difference @ w.mT).transpose(0, 1) * scale
            if ctx.needs_input_grad[1]:
                scaled = (hidden * scale).permute(1, 2, 0)  # (k, h, b)
                by_weight = (scaled @ difference).to(ctx.weight_type)
            if ctx.needs_input_grad[2]:
                by_bias = (scale.permute(1, 2, 0) @ difference).squeeze(1)  # (k, f)
                by_bias = by_bias.to(ctx.weight_type)
            if ctx.needs_input_grad[3]:
                by_x = -(scale.transpose(0, 1) * difference).to(ctx.x_type)
                by_x = by_x.sum(0) if ctx.x_is_shared else by_x
        return by_hidden, by_weight, by_bias, by_x


class _Products(torch.autograd.Function):
    """Products of ``d = h W + c`` with rows x and with itself, and their gradients.

    The bias is one more hidden unit, which is always one. Autograd's own gradient is
    the same with two more passes over the weights' gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor, tile: int
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            h, w = _with_bias(hidden, weight, bias, tile)  # (b, k, h'), (k, h', f)
            wx = (x @ w.flatten(0, 1).T).view(h.shape)  # (b, k, h')
            gram = w @ w.mT  # (k, h', h')
            wd = (h.transpose(0, 1) @ gram).transpose(0, 1)  # (b, k, h')
        ctx.save_for_backward(h, w, x, wx, wd)
        ctx.n_hidden = weight.shape[1]
        return (h * wx).sum(-1), (h * wd).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_product: Tensor, by_square: Tensor
    ) -> tuple[Tensor | None, ...]:
        h, w, x, wx, wd = ctx.saved_tensors
        n = ctx.n_hidden
        by_product, by_square = by_product.unsqueeze(-1), 2 * by_square.unsqueeze(-1)
        by_hidden = by_weight = by_bias = by_x = None
        with torch.autocast(x.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                by_hidden = (by_product * wx + by_square * wd)[..., :n]
            if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
                scatter = h.permute(1, 2, 0) @ (by_square * h).transpose(0, 1)
                by_w = ((by_product * h).flatten(1).T @ x).view(w.shape)
                by_w.baddbmm_(scatter, w)  # (k, h', f)
                by_weight, by_bias = by_w[:, :n], by_w[:, n]
            if ctx.needs_input_grad[3]:
                by_x = (by_product * h).flatten(1) @ w.flatten(0, 1)
        return by_hidden, by_weight, by_bias, by_x, None


def _with_bias(
    hidden: Tensor, weight: Tensor, bias: Tensor, tile: int
) -> tuple[Tensor, Tensor]:
    """Append the bias to the weights and a one to the hidden layers.

    Zeros follow up to a multiple of ``tile`` units.
    """
    n_experts, n, n_features = weight.shape
    filled = n + 1 + -(n + 1) % tile
    h = hidden.new_zeros(len(hidden), n_experts, filled)
    h[..., :n] = hidden
    h[..., n] = 1
    w = weight.new_zeros(n_experts, filled, n_features)
    w[:, :n] = weight
    w[:, n] = bias
    return h, w


def at_least_single(x: Tensor) -> Tensor:
    """Return half precision as float32, and anything else as it is."""
    return x.to(_at_least_single(x.dtype))


def _at_least_single(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
