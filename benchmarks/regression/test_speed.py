"""What is done often: a step, an epoch of a fit, merging, and what a mixture answers.

``make bench`` prints and stores the medians; ``make bench ARGS=--benchmark-compare``
prints them beside those stored last, on the same machine. Nothing is asserted: a
machine's mood is no failure.
"""

import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import random_array
from sklearn.exceptions import ConvergenceWarning

from benchmarks.speed.step import SHAPES, batch, ours
from skmixae import MixAEClustering

torch.set_num_threads(1)

ROWS = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32)
WORDS = random_array((4000, 2000), density=0.02, format="csr", random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return fit(n_experts=20)


def fit(X=ROWS, **params):
    model = MixAEClustering(10, n_init=1, init="random", random_state=0)
    model.set_params(**{"max_epochs": 1, **params})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_step(benchmark, shape):
    _, step = ours(shape)
    benchmark.pedantic(step, (batch(shape),), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize(
    "params",
    [
        {"consistency": None, "n_experts": None},
        {"consistency": "adversarial", "n_experts": None},
        {"consistency": ["affine", "adversarial"], "input_shape": (8, 8)},
        {"n_experts": 20},
    ],
    ids=["plain", "adversarial", "images", "experts to spare"],
)
def test_epoch(benchmark, params):
    benchmark.pedantic(fit, kwargs=params, rounds=3, warmup_rounds=1)


def test_epoch_of_words(benchmark):
    benchmark.pedantic(fit, (WORDS,), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize(
    "answer",
    ["predict", "predict_proba", "transform", "reconstruct", "score_samples"],
)
def test_answer(benchmark, fitted, answer):
    benchmark.pedantic(getattr(fitted, answer), (ROWS,), rounds=5, warmup_rounds=1)


def test_chunk(benchmark, fitted):
    def chunk():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            MixAEClustering(10, n_experts=20, random_state=0).partial_fit(ROWS)

    benchmark.pedantic(chunk, rounds=3, warmup_rounds=1)
