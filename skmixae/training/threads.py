"""No more threads than a step of training can feed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Multiplications of one forward pass that are worth a thread. Products of a few hundred
# rows by a few dozen features gain little from a second one, and where another program
# keeps a core busy, threads that wait for one another are slower by far than one.
WORTH_A_THREAD = 100_000_000


@contextmanager
def fed_threads(network: nn.Module, batch_size: int) -> Iterator[None]:
    """Lower torch's number of threads to what the work is worth, and put it back.

    The processor's only; a device keeps its own time.
    """
    before = torch.get_num_threads()
    work = batch_size * sum(p.numel() for p in network.parameters())
    wanted = min(before, max(1, work // WORTH_A_THREAD))
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
