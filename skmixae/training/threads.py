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
_wanted: list[int] = []  # by each fit that is under way
_found = 0  # torch's number of threads before the first of them


def threads_worth(work: float, available: int) -> int:
    """Return how many of the threads ``work`` multiplications are worth, at least 1."""
    return int(max(1, min(available, work / WORTH_A_THREAD)))


@contextmanager
def fed_threads(work: float) -> Iterator[None]:
    """Lower torch's number of threads to what ``work`` is worth, and put it back.

    The processor's only; a device keeps its own time. Of fits in several threads of
    Python the last one puts back what the first one found; and until then there are as
    many as the one that came last wants of those that are left.
    """
    global _found
    with _lock:
        if not _wanted:
            _found = torch.get_num_threads()
        wanted = threads_worth(work, _found)
        _wanted.append(wanted)
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        with _lock:
            _wanted.remove(wanted)
            torch.set_num_threads(_wanted[-1] if _wanted else _found)
