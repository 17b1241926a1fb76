"""Fixtures and settings that every test shares."""

import os
import pickle
import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    # Two workers with two threads each on two cores wait for one another.
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_home():
    """Folder of the real data sets; the test is skipped where there is none."""
    folder = Path(
        os.environ.get("SKMIXAE_DATA") or REPOSITORY.parent / "shared" / "data"
    )
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder}; set SKMIXAE_DATA to one")
    return folder


@contextmanager
def _threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def four_threads():
    with _threads(4):
        yield


@pytest.fixture
def one_thread():
    with _threads(1):
        yield


def _global_random_state():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "numpy": (kind, keys.tobytes(), *rest),
        "random": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@pytest.fixture(autouse=True)
def _rng_untouched(request):
    """Hold tests marked ``rng_untouched`` to their word."""
    if request.node.get_closest_marker("rng_untouched") is None:
        yield
        return
    before = _global_random_state()
    yield
    after = _global_random_state()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"the test changed the global random state of {changed}"


@pytest.fixture
def round_trips(tmp_path):
    """Return a function that gives copies of an estimator, by pickle and by a file."""
    pytest.importorskip("safetensors")

    def copies(estimator):
        path = tmp_path / "model.safetensors"
        estimator.save(path)
        return pickle.loads(pickle.dumps(estimator)), type(estimator).load(path)

    return copies
