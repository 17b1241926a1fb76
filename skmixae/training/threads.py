"""No more threads than a step of training can feed, and what threads share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

# Multiplications of one forward pass that are worth a thread. Products of a few hundred
# rows by a few dozen features gain little from a second one, and where another program
# keeps a core busy, threads that wait for one another are slower by far than one.
WORTH_A_THREAD = 100_000_000


# Much of scikit-learn silences warnings and holds back threads for a while, which all
# threads of Python share: of two at once the one that ends last would put back what the
# other one had set.
ONE_AT_A_TIME = Lock()

_lock = Lock()
_found: list[int] = []  # torch's number of threads, for each fit that is under way


def threads_worth(work: float, available: int) -> int:
    """Return how many of the threads ``work`` multiplications are worth, at least 1."""
    return int(max(1, min(available, work // WORTH_A_THREAD)))


@contextmanager
def fed_threads(work: float) -> Iterator[None]:
    """Lower torch's number of threads to what ``work`` is worth, and put it back.

    The processor's only; a device keeps its own time. Of fits in several threads of
    Python, each puts back what the first one found: what another set is no wish.
    """
    with _lock:
        before = _found[0] if _found else torch.get_num_threads()
        _found.append(before)
        torch.set_num_threads(threads_worth(work, before))
    try:
        yield
    finally:
        with _lock:
            _found.pop()
            torch.set_num_threads(before)
