"""The training step: against K modules in a list, and against the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from benchmarks.speed import naive
from benchmarks.speed.clock import Result, matrix_product, rate, side_by_side
from skmixae._parameters import resolve_precision
from skmixae.network import MixtureOfAutoencoders, NetworkSpec, build_network
from skmixae.objective import LOSSES, MixtureObjective, Reconstruction, Weights
from skmixae.objective.schedule import Constant
from skmixae.training import TrainingPlan
from skmixae.training.step import WARM_UP

ALPHA, BETA = 2.0, 8.0
# By how much the assignment network's weights are multiplied to have sure assignments.
SURE = 1e7


@dataclass(frozen=True)
class Shape:
    """The sizes of a mixture and of its batches, and what is to be reached."""

    n_features: int
    hidden: tuple[int, ...]
    n_experts: int
    batch: int
    target: float
    channels: tuple[int, ...] = ()
    sure: bool = False  # each row of one expert, as late in training

    def __str__(self) -> str:
        sizes = (self.n_features, *self.hidden, 10)
        kind = "conv " if self.channels else "MLP "
        return (
            f"{kind}{'-'.join(map(str, sizes))}, K = {self.n_experts}, "
            f"batch {self.batch}" + (", once assignments are sure" if self.sure else "")
        )

    @property
    def spec(self) -> NetworkSpec:
        side = round(self.n_features**0.5)
        return NetworkSpec(
            n_experts=self.n_experts,
            input_shape=(side, side) if self.channels else (self.n_features,),
            latent_dim=10,
            architecture="conv2d" if self.channels else "mlp",
            hidden_layer_sizes=self.hidden,
            conv_channels=self.channels,
            assignment_hidden_layer_sizes=(),
            assignment_input="hidden",
            activation="relu",
        )

    def precision(self, device: str) -> torch.dtype:
        """Return what the estimator trains such rows in, on this machine."""
        return resolve_precision("auto", torch.device(device), self.n_features)


SHAPES = [
    Shape(784, (256, 256), 10, 256, 3.2),
    Shape(784, (256, 256), 10, 1024, 3.5),
    Shape(64, (64, 64), 10, 256, 5.0),
    Shape(64, (64, 64), 50, 256, 8.0),
    Shape(784, (64, 64), 50, 256, 3.0),
    Shape(784, (48, 48), 10, 256, 3.0, channels=(16, 32)),
    Shape(784, (256, 256), 10, 256, 3.2, sure=True),
    Shape(784, (256, 256), 10, 1024, 3.5, sure=True),
    Shape(784, (64, 64), 50, 256, 3.0, sure=True),
]
SHARE_OF_CEILING = 0.65
MOST_EXPERTS = [10, 20, 50, 100, 200]


class NoBook:
    """Takes no note of assignments: the plain way does not either."""

    def note(self, index: torch.Tensor, assignment: torch.Tensor) -> None:
        """Do nothing."""


def ours(
    shape: Shape, learning_rate: float = 1e-3, device: str = "cpu"
) -> tuple[MixtureOfAutoencoders, Callable[[torch.Tensor], None]]:
    """Return our mixture and a call that trains it on a batch, as a fit does."""
    # Of these weights experts are used evenly enough, once assignments are sure.
    network = build_network(shape.spec, torch.Generator().manual_seed(2)).train()
    if shape.sure:  # all logits begin next to zero
        with torch.no_grad():
            network.assignment.last.weight.mul_(SURE)
    network.to(device)
    weights = Weights(1.0, ALPHA, BETA, 0.0)
    objective = MixtureObjective(Reconstruction(LOSSES["mse"], 1.0), Constant(weights))
    plan = TrainingPlan(
        1, learning_rate, precision=shape.precision(device), replay=device == "cuda"
    )
    generator = torch.Generator(device).manual_seed(0)
    step = plan.new_step(network, objective, generator, NoBook())
    index = torch.arange(shape.batch, device=device)
    return network, lambda x: step(index, x, 0.0)


def plain(
    shape: Shape, device: str = "cpu"
) -> tuple[naive.Mixture, Callable[[torch.Tensor], None]]:
    """Return the same mixture in the plain way, and a call that trains it."""
    torch.manual_seed(0)
    side = round(shape.n_features**0.5) if shape.channels else 0
    mixture = naive.Mixture(
        [
            naive.Autoencoder(shape.n_features, 10, shape.hidden, shape.channels, side)
            for _ in range(shape.n_experts)
        ],
        shape.hidden[-1],
    ).to(device)
    optimizer = torch.optim.AdamW(mixture.parameters(), 1e-3, weight_decay=0.0)
    return mixture, lambda x: naive.step(mixture, optimizer, x, ALPHA, BETA)


def operations(shape: Shape) -> int:
    """Return the floating-point operations of a step of dense experts, the plain way.

    Two for each weight and row forward, twice that backward, and no gradient for the
    rows; what normalisations, activations and the optimiser cost is not counted.
    """
    sizes = (shape.n_features, *shape.hidden, 10)
    first = sizes[0] * sizes[1]
    encoder = sum(a * b for a, b in pairwise(sizes))
    gate = shape.n_experts * shape.hidden[-1]
    per_expert = 3 * (2 * encoder + gate) - first
    return 2 * shape.batch * shape.n_experts * per_expert


def batch(shape: Shape, device: str = "cpu") -> torch.Tensor:
    """Return random rows."""
    rows = np.random.default_rng(0).normal(size=(shape.batch, shape.n_features))
    return torch.from_numpy(rows.astype(np.float32)).to(device)


def run(repeats: int, times: int = 5, device: str = "cpu") -> Iterator[Result]:
    """Time each shape."""
    for shape in SHAPES:
        x, precision = batch(shape, device), shape.precision(device)
        # Nothing moves: each step has the work of the first, however many are timed.
        (_, fast), (_, slow) = ours(shape, 0.0, device), plain(shape, device)
        calls = {"ours": partial(fast, x), "plain": partial(slow, x)}
        ceiling = matrix_product(precision, device)
        warm(calls, device)
        seconds = side_by_side({**calls, "product": ceiling}, repeats, times)
        details = {"seconds": seconds, "precision": str(precision)}
        yield Result(
            "step", f"{shape}, against the plain way",
            seconds["plain"] / seconds["ours"], "x", shape.target, details=details,
        )  # fmt: skip
        if shape is SHAPES[0]:
            fastest = rate(seconds["product"], device)
            reached = operations(shape) / seconds["ours"] / fastest
            yield Result(
                "step", f"{shape}, share of the ceiling", reached, "", SHARE_OF_CEILING,
                details={**details, "operations": operations(shape)},
            )  # fmt: skip
    yield growth(repeats, times, device)


def warm(calls: dict[str, Callable[[], Any]], device: str) -> None:
    """Make the steps after which a GPU only replays."""
    for call in calls.values() if device != "cpu" else ():
        for _ in range(2 * WARM_UP):
            call()


def growth(repeats: int, times: int, device: str = "cpu") -> Result:
    """Return how much faster than K the seconds grow, from the fewest experts on."""
    shapes = [Shape(64, (48, 48), k, 256, 1.0) for k in MOST_EXPERTS]
    x = batch(shapes[0], device)
    steps = {str(s.n_experts): ours(s, 0.0, device)[1] for s in shapes}
    calls = {k: partial(step, x) for k, step in steps.items()}
    warm(calls, device)
    seconds = side_by_side(calls, repeats, times)
    first, last = MOST_EXPERTS[0], MOST_EXPERTS[-1]
    grown = (seconds[str(last)] / seconds[str(first)]) / (last / first)
    return Result(
        "step", f"seconds from K = {first} to {last}, over the growth of K", grown, "x",
        1.0, higher_is_better=False, details={"seconds": seconds},
    )  # fmt: skip
