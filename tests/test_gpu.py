"""On a GPU: steps that are recorded and replayed do what written ones do."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from torch.testing import assert_close

from skmixae import MixAEClustering
from skmixae._problem import Problem, resolve_moments, resolve_problem
from skmixae.consistency import Adversarial, Affine, Jitter, Masking
from skmixae.network import NetworkSpec, build_network
from skmixae.objective import (
    LOSSES,
    SCHEDULES,
    AdversarialConsistency,
    MixtureObjective,
    Reconstruction,
    Weights,
)
from skmixae.training import LabelBook, Rows, TrainingPlan
from skmixae.training.step import WARM_UP

# Fits are short.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_a_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU of CUDA's"
)

N_ROWS, BATCH, STEPS = 200, 64, 4 * WARM_UP
DIGITS = load_digits().data.astype(np.float32)[:600]
SPEC = NetworkSpec(
    n_experts=4,
    input_shape=(64,),
    latent_dim=5,
    architecture="mlp",
    hidden_layer_sizes=(24,),
    conv_channels=(3,),
    assignment_hidden_layer_sizes=(),
    assignment_input="hidden",
    activation="relu",
)
SPECS = {
    "dense": SPEC,
    "convolutional": replace(SPEC, input_shape=(8, 8), architecture="conv2d"),
    "variational": replace(SPEC, expert="variational"),
    "adversarial": replace(SPEC, expert="adversarial"),
}


def train(replay, spec, schedule, precision=torch.float32, **settings):
    """Make some steps on a GPU, in batches of two sizes; return what they left."""
    device = torch.device("cuda")
    network = build_network(spec, torch.Generator().manual_seed(0)).to(device).train()
    objective = MixtureObjective(
        Reconstruction(LOSSES["mse"], 1.0),
        SCHEDULES[schedule](Weights(1.0, 2.0, 8.0, 0.4)),
        regularisers=[AdversarialConsistency(0.15)],
        **settings,
    )
    plan = TrainingPlan(1, 1e-3, precision=precision, replay=replay)
    book = LabelBook(N_ROWS, spec.n_experts, device)
    generator = torch.Generator(device).manual_seed(0)
    step = plan.new_step(network, objective, generator, book)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(N_ROWS, 64)).astype(np.float32))
    rows, terms = rows.to(device), []
    for i in range(STEPS):
        index = torch.from_numpy(rng.permutation(N_ROWS)[: BATCH - i % 2]).to(device)
        told = step(index, rows[index], i / STEPS)
        terms.append(torch.stack(tuple(told)).detach().clone())
    return torch.stack(terms), book.close()[0]


@needs_a_gpu
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", SPECS)
def test_replayed_steps_do_what_written_ones_do(kind, schedule):
    written, usage = train(False, SPECS[kind], schedule)
    replayed, same_usage = train(True, SPECS[kind], schedule)
    assert (written[0] != written[-1]).any()  # something is learned
    assert_close(replayed, written, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(same_usage, usage, atol=1e-4)


@needs_a_gpu
def test_noise_is_drawn_anew_in_each_replay():
    written, _ = train(False, SPEC, "constant", input_noise=0.5)
    replayed, _ = train(True, SPEC, "constant", input_noise=0.5)
    assert_close(replayed, written, rtol=1e-3, atol=1e-4)


@needs_a_gpu
def test_replayed_in_bfloat16():
    written, _ = train(False, SPEC, "fading", torch.bfloat16)
    replayed, _ = train(True, SPEC, "fading", torch.bfloat16)
    assert_close(replayed, written, rtol=0.05, atol=0.01)


def small(**parameters):
    settings = {
        "n_clusters": 10, "input_shape": (8, 8), "max_epochs": 6, "random_state": 0,
        "device": "cuda",
    }  # fmt: skip
    return MixAEClustering(**(settings | parameters))


@needs_a_gpu
def test_a_fit_is_the_same_without_replays(monkeypatch):
    settings = {"precision": "float32", "n_init": 1}
    replayed = small(**settings).fit(DIGITS)
    monkeypatch.setattr(Problem, "plan_for", lambda self, rows, moments: self.plan)
    written = small(**settings).fit(DIGITS)
    assert np.mean(replayed.labels_ == written.labels_) > 0.95
    assert replayed.objective_ == pytest.approx(written.objective_, abs=0.05)


@needs_a_gpu
def test_a_network_says_the_same_on_both_devices():
    model = small().fit(DIGITS)
    there = model.predict_proba(DIGITS)
    model.module_.cpu()
    np.testing.assert_allclose(model.predict_proba(DIGITS), there, atol=1e-3)


@needs_a_gpu
@pytest.mark.parametrize("as_rows", [np.asarray, sparse.csr_array])
def test_counts_of_words_are_hidden_on_the_device(as_rows, monkeypatch):
    plans, plan_for = [], Problem.plan_for
    monkeypatch.setattr(
        Problem,
        "plan_for",
        lambda *arguments: plans.append(plan_for(*arguments)) or plans[-1],
    )
    counts = np.random.default_rng(0).poisson(0.1, size=(300, 120)).astype(np.float32)
    model = small(input_shape=None, n_clusters=3).fit(as_rows(counts))
    assert plans
    assert all(plan.replay for plan in plans)
    assert np.isfinite(model.objective_)


@needs_a_gpu
def test_a_function_of_the_user_runs_in_each_step():
    n_calls = 0

    def change(rows, generator):
        nonlocal n_calls
        n_calls += 1
        return rows + 0.1 * n_calls

    small(consistency=change, n_init=1, n_experts=10).fit(DIGITS)
    assert n_calls > 6 * (len(DIGITS) // 256)


@needs_a_gpu
def test_fits_keep_no_memory():
    held = []
    for _ in range(4):
        small().fit(DIGITS)
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[0] + 2**20


@needs_a_gpu
def test_fits_in_threads_do_not_meet():
    """Where several streams are busy, sums are in another order, and no more."""
    models = [
        small(precision="float32", n_init=1, random_state=seed) for seed in range(3)
    ]
    alone = [model.fit(DIGITS).objective_ for model in models]
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda model: model.fit(DIGITS).objective_, models)
        assert list(together) == pytest.approx(alone, abs=0.05)


@needs_a_gpu
@pytest.mark.parametrize(
    "consistency", ["auto", lambda rows, generator: rows + torch.randn_like(rows)]
)
def test_the_global_generator_of_the_gpu_is_left_alone(consistency):
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    small(consistency=consistency).fit(DIGITS)
    assert torch.equal(torch.cuda.get_rng_state(), before)


# -- what may be replayed, which is known without a GPU ------------------------


def planned(device="cuda", X=DIGITS, **parameters):
    """Return the plan of a fit, as if on a device."""
    settings = {"n_clusters": 10, "input_shape": (8, 8), "init": "random"} | parameters
    model, rows = MixAEClustering(device="cpu", **settings), Rows(X)
    moments = resolve_moments(model, rows)
    problem = resolve_problem(model, rows, moments)
    return replace(problem, device=torch.device(device)).plan_for(rows, moments)


class Own(Jitter):
    """A class of a user's own."""


@pytest.mark.parametrize(
    "consistency",
    ["auto", None, "jitter", [Affine(5.0), Masking(0.1), Adversarial()]],
    ids=str,
)
def test_steps_of_our_own_code_are_replayed_on_a_gpu_only(consistency):
    assert planned(consistency=consistency).replay
    assert not planned("cpu", consistency=consistency).replay
    assert not planned("mps", consistency=consistency).replay


@pytest.mark.parametrize(
    "consistency", [Own(0.1), lambda rows, generator: rows, ["affine", Own(0.1)]]
)
def test_steps_with_code_of_the_user_are_not(consistency):
    assert not planned(consistency=consistency).replay


def test_steps_of_layers_of_the_user_are_not():
    def layers(*arguments, **settings):
        raise AssertionError("not built here")

    assert not planned(architecture=layers, whitening=None).replay


@pytest.mark.parametrize("fits", [True, False])
def test_rows_that_are_changed_before_they_are_whitened_must_fit(fits, monkeypatch):
    memory = 2**30 if fits else 1000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory, memory))
    settings = {"input_shape": None, "whitening": 1.0}
    assert planned(consistency="masking", **settings).replay == fits
    assert planned(consistency="adversarial", **settings).replay  # as they are
