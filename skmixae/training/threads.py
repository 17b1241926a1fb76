"""No more threads than a step of training can feed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch
from torch import nn

# Multiplications of one forward pass that are worth a thread. Products of a few hundred
# rows by a few dozen features gain little from a second one, and where another program
# keeps a core busy, threads that wait for one another are slower by far than one.
WORTH_A_THREAD = 100_000_000


_lock = Lock()
_found: list[int] = []  # torch's number of threads, for each fit that is under way


def worth_threads(network: nn.Module, batch_size: int) -> int:
    """Return how many threads a step of training is worth, at least one."""
    work = batch_size * sum(p.numel() for p in network.parameters())
    return max(1, work // WORTH_A_THREAD)


@contextmanager
def fed_threads(network: nn.Module, batch_size: int) -> Iterator[None]:
    """Lower torch's number of threads to what the work is worth, and put it back.

    The processor's only; a device keeps its own time. Of fits in several threads of
    Python, each puts back what the first one found: what another set is no wish.
    """
    worth = worth_threads(network, batch_size)
    with _lock:
        before = _found[0] if _found else torch.get_num_threads()
        _found.append(before)
        torch.set_num_threads(min(before, worth))
    try:
        yield
    finally:
        with _lock:
            _found.pop()
            torch.set_num_threads(before)
