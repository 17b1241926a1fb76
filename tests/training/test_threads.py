"""Threads follow the work, for as long as it lasts."""

import pytest
import torch
from torch import nn

from skmixae.training.threads import WORTH_A_THREAD, fed_threads


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("worth", "threads"), [(0.1, 1), (1.0, 1), (2.5, 2), (99, 4)])
def test_threads_are_those_that_the_work_is_worth(worth, threads):
    network = nn.Linear(1000, 1, bias=False)
    with fed_threads(network, int(worth * WORTH_A_THREAD / 1000)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_come_back_after_an_error():
    with pytest.raises(KeyError), fed_threads(nn.Linear(1, 1), 1):
        raise KeyError
    assert torch.get_num_threads() == 4
