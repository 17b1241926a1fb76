"""Networks drawn from a seed, and randomness of code that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..network import MixtureOfAutoencoders, build_network
from .problem import Problem


def new_network(problem: Problem, seed: int) -> MixtureOfAutoencoders:
    """Build a network on the problem's device, its weights drawn from ``seed``."""
    with own_randomness(seed, problem):
        network = build_network(problem.spec, torch.Generator().manual_seed(seed))
    return network.to(problem.device)


@contextmanager
def own_randomness(seed: int, problem: Problem) -> Iterator[None]:
    """Seed torch's global generator for a user's own code, and put it back after.

    Everything of ours draws from generators of its own; a factory's layers cannot, nor
    can the transforms of most libraries.
    """
    if not problem.runs_own_code:
        yield
        return
    generators = global_generators(problem.device)
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def global_generators(device: torch.device) -> list[torch.Generator]:
    """Return the global generators that code draws from which runs on a device.

    Those of other devices are nobody's business, and ``torch.manual_seed`` seeds all.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()  # there are none before
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    return generators
