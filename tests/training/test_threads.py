"""Threads follow the work, for as long as it lasts."""

import math
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch

from skmixae.training.threads import WORTH_A_THREAD, fed_threads


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("worth", "threads"), [(0.1, 1), (1.0, 1), (2.5, 2), (99, 4), (math.inf, 4)]
)
def test_threads_are_those_that_the_work_is_worth(worth, threads):
    with fed_threads(worth * WORTH_A_THREAD):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_come_back_after_an_error():
    with pytest.raises(KeyError), fed_threads(1):
        raise KeyError
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_come_back_where_fits_overlap():
    """The second fit ends last, and began while the first had lowered the number."""
    begun, second, ended = Event(), Event(), Event()

    def first_fit():
        with fed_threads(1):
            begun.set()
            assert second.wait(10)
        n_threads = torch.get_num_threads()
        ended.set()
        return n_threads

    def second_fit():
        assert begun.wait(10)
        with fed_threads(1):
            second.set()
            assert ended.wait(10)
            assert torch.get_num_threads() == 1  # as this one still wants
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        fits = [pool.submit(fit) for fit in (first_fit, second_fit)]
        assert [fit.result() for fit in fits] == [1, 4]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 4
