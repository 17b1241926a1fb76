"""The optimiser does what torch's does, and loads less."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.profiler import profile
from torch.testing import assert_close

from skmixae.training.adam import AdamW

SHAPES = [(3, 4, 5), (7,), ()]


def parameters():
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator) for shape in SHAPES]
    made[0] = made[0].transpose(1, 2)  # weights may lie in memory in any order
    return [nn.Parameter(value) for value in made]


def give_gradients(some, seed, without=()):
    generator = torch.Generator().manual_seed(seed)
    for i, parameter in enumerate(some):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
        if i in without:
            parameter.grad = None


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torch(weight_decay):
    ours, theirs = parameters(), parameters()
    mine = AdamW(ours, 0.01, weight_decay=weight_decay)
    torchs = torch.optim.AdamW(theirs, 0.01, weight_decay=weight_decay, fused=True)
    for i in range(10):
        for some in (ours, theirs):
            give_gradients(some, i, without=(1,) if i % 3 == 0 else ())
        mine.set_rate(0.01 / (i + 1))
        torchs.param_groups[0]["lr"] = 0.01 / (i + 1)
        mine.step()
        torchs.step()
    for mine_is, theirs_is in zip(ours, theirs, strict=True):
        assert torch.equal(mine_is, theirs_is)


def test_a_step_copies_no_gradient_however_it_lies():
    some = parameters()
    optimizer = AdamW(some, 0.01)
    give_gradients(some, 0)
    with profile() as profiler:
        optimizer.step()
    assert "aten::clone" not in {event.name for event in profiler.events()}


def test_what_has_no_gradient_stays():
    some = parameters()
    before = [p.detach().clone() for p in some]
    optimizer = AdamW(some, 0.01, weight_decay=0.1)
    give_gradients(some, 0)
    optimizer.zero_grad()
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(some, before, strict=True))


def test_another_goes_on_from_its_state():
    one, other = parameters(), parameters()
    first, last = AdamW(one, 0.01), AdamW(other, 0.01)
    for i in range(3):
        give_gradients(one, i)
        first.step()
    for old, new in zip(one, other, strict=True):
        new.data.copy_(old.data)
    last.restore({key: value.clone() for key, value in first.state().items()})
    for some, optimizer in ((one, first), (other, last)):
        give_gradients(some, 3)
        optimizer.step()
    for old, new in zip(one, other, strict=True):
        assert_close(new, old, rtol=0, atol=0)


def test_a_fit_does_not_load_the_compiler_of_torch():
    """It takes longer to load than a small table to fit."""
    code = (
        "import sys, numpy as np; from skmixae import MixAEClustering;"
        "X = np.random.default_rng(0).normal(size=(60, 3));"
        "MixAEClustering(2, max_epochs=2, random_state=0).fit(X);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False)
    assert done.returncode == 0
