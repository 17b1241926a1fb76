"""Local smoothness of the assignment: neighbours of a row belong where the row does.

Mutual information alone is maximised by any confident, balanced split. What singles out
a good one is that it does not cut through dense regions: a row moved a little, in the
direction that matters most or along a transformation that keeps its meaning, keeps its
assignment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .terms import divergence

# Rows further from their neighbours than so many times the average do not move more.
SPARSEST = 2.0

Assign = Callable[[Tensor], Tensor]  # rows (b, features) -> logits (b, k)
# Rows (b, features), their indices (b,) among all rows -> rows changed at random.
View = Callable[[Tensor, Tensor, torch.Generator], Tensor]
# Has a change of its own: assign, rows, the log of their assignment (b, k) -> scalar.
Regulariser = Callable[[Assign, Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class AdversarialConsistency:
    """Virtual adversarial training (Miyato et al., arXiv 1704.03976).

    The divergence of the assignment from that of rows moved in the direction, found by
    one step of power iteration, that changes it most.

    Parameters
    ----------
    radius : float
        How far, in units of each row's `local_scale`.
    """

    radius: float

    def __call__(
        self,
        assign: Assign,
        x: Tensor,
        log_assignment: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the mean divergence for rows (b, features) assigned (b, k)."""
        radius = self.radius * local_scale(x)  # (b, 1)
        direction = random_direction(x, generator)
        # The finite-difference step is the radius itself: a longer one finds the way to
        # some far-off boundary, a shorter one drowns in rounding.
        probe = (radius * direction).requires_grad_()
        moved = F.log_softmax(assign(x + probe), -1)
        (gradient,) = torch.autograd.grad(divergence(log_assignment, moved), probe)
        step = radius * _unit(gradient)
        return divergence(log_assignment, F.log_softmax(assign(x + step), -1))


# ---------------------------------------------------------------------------
# Views: rows (b, features) changed at random
# ---------------------------------------------------------------------------


def moved(
    x: Tensor,
    generator: torch.Generator,
    move: Callable[..., Tensor],
    *,
    shape: tuple[int, ...],
    center: Tensor,
    **limits: Any,
) -> Tensor:
    """Return images or series (b, features), each moved as it is in the data.

    Parameters
    ----------
    move : callable
        `random_affine` or `random_warp`, whose the ``limits`` are.
    shape : tuple of int
        ``(channels, height, width)`` or ``(channels, length)``.
    center : Tensor of shape (features,)
        What the scaling of the rows took away: images move on their own background.
    """
    rows = (x + center).view(-1, *shape)
    return move(rows, generator, **limits).flatten(1) - center


def jitter(x: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return rows, each moved by so many times its `local_scale`, anywhere."""
    return x + scale * local_scale(x) * random_direction(x, generator)


def mask(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Return rows with a random share of their values set to zero."""
    lowest = min(round(share * 2**16), 2**16 - 1) - 2**15  # more has no 16 bits
    return x * (_random_16_bits(x, generator) >= lowest)


def changed_by(
    function: Callable[[Tensor, torch.Generator], Tensor],
    x: Tensor,
    generator: torch.Generator,
    *,
    shape: tuple[int, ...],
    center: Tensor,
    scale: float,
) -> Tensor:
    """Return rows as a function changes them that knows nothing of their scaling.

    It reads and returns rows (b, *shape) in the units of the data, ``scale`` times
    what is here with ``center`` added.
    """
    rows = ((x + center) * scale).view(-1, *shape)
    changed = function(rows.clone(), generator)  # it may work in place
    if not isinstance(changed, Tensor) or changed.shape != rows.shape:
        got = (
            f"a tensor of shape {tuple(changed.shape)}"
            if isinstance(changed, Tensor)
            else repr(type(changed))
        )
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(
            "A function in the 'consistency' parameter must return a tensor of the "
            f"shape of the rows that it got, {tuple(rows.shape)}. Got {got} from "
            f"{name} instead."
        )
    # By the difference, in which a large centre has no rounding to leave.
    return x + (changed.to(rows) - rows).flatten(1) / scale


# ---------------------------------------------------------------------------
# What they are made of
# ---------------------------------------------------------------------------


def random_direction(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return a direction of length one for each row (b, features)."""
    return F.normalize(
        torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    )


def _random_16_bits(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return an integer from -32768 to 32767 for each value of ``x``."""
    if x.device.type != "cpu":
        draws = torch.rand(
            x.shape, generator=generator, dtype=torch.float32, device=x.device
        )
        return (draws * 2**16).int() - 2**15
    # On a processor drawing is most of the work, and one draw has bits for four.
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=generator)
    return draws.view(torch.int16)[: x.numel()].view(x.shape)


def _unit(x: Tensor) -> Tensor:
    """Return rows (b, features) with length one, however short they are; zero stays."""
    # A sure row's gradient is so small that its square is zero in float32.
    largest = x.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return F.normalize(x / largest)


def local_scale(x: Tensor) -> Tensor:
    """Return what is far for each row (b, features) of a batch, (b, 1).

    The spread of the batch, more of it where rows are sparse and less where they are
    dense. Distances to neighbours alone would shrink with the number of features that
    rows vary in, and with the size of the batch.
    """
    spread = x.var(0, correction=0).sum().sqrt()
    distance = neighbour_distance(x)
    tiny = torch.finfo(x.dtype).tiny
    return spread * (distance / distance.mean().clamp(min=tiny)).clamp(max=SPARSEST)


def neighbour_distance(x: Tensor) -> Tensor:
    """Distance of each row (b, features) to the nearest other row of the batch, (b, 1).

    In the batch, so that it costs nothing that grows with the data.
    """
    if len(x) == 1:
        return torch.zeros_like(x[:, :1])
    distances = torch.cdist(x, x)
    distances.fill_diagonal_(math.inf)
    return distances.amin(1, keepdim=True)


def random_affine(
    images: Tensor,
    generator: torch.Generator,
    *,
    rotation: float,
    scale: float,
    shear: float,
    shift: float,
    window: Tensor | None = None,
) -> Tensor:
    """Turn, scale, shear and shift each image (b, c, h, w) at random.

    About the centre of a window, so that a border around it changes nothing.

    Parameters
    ----------
    rotation : float
        Largest angle, in degrees.
    scale, shear : float
        Largest relative change of size, and largest shear.
    shift : float
        Largest shift, as a share of the window's sides.
    window : Tensor of shape (2, 2), optional
        Where it begins and ends, as shares of the width, and of the height. None is
        all of the image.
    """
    if window is None:
        start, end = images.new_zeros(2), images.new_ones(2)
    else:
        start, end = window.unbind(-1)
    draw = partial(_even, images, generator)
    angle = draw(math.radians(rotation))
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2)
    stretch = torch.diag_embed(1 + draw(scale, 2))
    stretch[:, 0, 1] = draw(shear)
    move = 2 * draw(shift, 2, 1) * (end - start).unsqueeze(-1)
    matrix = torch.cat([turn @ stretch, move], -1)  # (b, 2, 3)
    # The grid's sides are both of length 2: of an oblong image, angles need its pixels.
    height, width = images.shape[-2:]
    matrix[:, 0, 1] *= height / width
    matrix[:, 1, 0] *= width / height
    centre = start + end - 1
    matrix[..., 2] += centre - (matrix[..., :2] * centre).sum(-1)
    return sampled(images, matrix)


def random_warp(
    series: Tensor,
    generator: torch.Generator,
    *,
    shift: float,
    stretch: float,
    strength: float,
) -> Tensor:
    """Shift, stretch and strengthen each series (b, c, length) at random.

    Parameters
    ----------
    shift : float
        Largest shift, as a share of the length.
    stretch : float
        Largest relative change of the length, about its middle.
    strength : float
        Largest relative change of what is above and below a channel's mean.
    """
    draw = partial(_even, series, generator)
    matrix = series.new_zeros(len(series), 2, 3)
    matrix[:, 0, 0] = 1 + draw(stretch)
    matrix[:, 0, 2] = 2 * draw(shift)  # the grid's side is of length 2
    rows = series.unsqueeze(2)  # images of one row of pixels
    moved = sampled(rows, matrix)
    louder = 1 + draw(strength, 1, 1)
    return moved.squeeze(2).lerp(moved.mean(-1), 1 - louder)


def sampled(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images (b, c, h, w) with pixels from where maps (b, 2, 3) put them.

    The grid is that of `torch.nn.functional.affine_grid`, which waits for the device
    where a side is a single pixel.
    """
    n, _, height, width = images.shape
    across, down = (_centres(images, size) for size in (width, height))
    grid = images.new_ones(n, height, width, 3)
    grid[..., 0] = across
    grid[..., 1] = down.unsqueeze(-1)
    places = grid.flatten(1, 2).bmm(matrix.mT).unflatten(1, (height, width))
    return F.grid_sample(images, places, padding_mode="border", align_corners=False)


def _centres(like: Tensor, size: int) -> Tensor:
    """Return the centres of so many pixels side by side from -1 to 1."""
    if size == 1:
        return like.new_zeros(1)
    steps = torch.linspace(-1, 1, size, dtype=like.dtype, device=like.device)
    return steps * (size - 1) / size


def _even(
    like: Tensor, generator: torch.Generator, limit: float, *shape: int
) -> Tensor:
    """Return an even draw from minus to plus a limit, (b, *shape), for each of b."""
    uniform = torch.rand(
        len(like), *shape, generator=generator, dtype=like.dtype, device=like.device
    )
    return limit * (2 * uniform - 1)
