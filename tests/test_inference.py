"""What a fitted mixture says of rows, whatever company they are in."""

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from torch.nn import functional as F

from skmixae import inference as module
from skmixae.inference import Inference
from skmixae.network import Decoded, NetworkSpec, build_network
from skmixae.objective import LOSSES, Reconstruction
from skmixae.training import Batches, Moments, Rows, Scaling

ARCHITECTURES = {"mlp": (20,), "conv1d": (2, 10), "conv2d": (1, 4, 5)}
N_EXPERTS, LATENT_DIM, N_FEATURES = 5, 3, 20


def data(loss="mse", n=150):
    X = np.random.default_rng(0).normal(size=(n, N_FEATURES)) * 30 + 100
    if loss == "bce":
        X = (X - X.min()) / (X.max() - X.min())
    return X.astype(np.float32)


def make_inference(architecture="mlp", loss="mse", reads="hidden", n_experts=N_EXPERTS):
    """A mixture with random weights and statistics, as if it had been trained."""
    spec = NetworkSpec(
        n_experts, ARCHITECTURES[architecture], LATENT_DIM, architecture,
        (5,), (2, 3), (11,), reads, "relu",
    )  # fmt: skip
    network = build_network(spec, torch.Generator().manual_seed(0))
    moments = Moments()
    moments.update(data(loss))
    scaling = moments.scaling(LOSSES[loss])
    with torch.no_grad():
        network.assignment.last.weight.mul_(2e4)
        for _ in range(3):
            network(torch.from_numpy(scaling.apply(data(loss))))
    reference = moments.reference(LOSSES[loss])
    return Inference(network, scaling, Reconstruction(LOSSES[loss], reference))


@pytest.mark.parametrize("loss", ["mse", "cosine", "bce"])
def test_reconstructions_take_little_more_memory_than_they_fill(loss, monkeypatch):
    """Rows are brought to their units a batch at a time."""
    monkeypatch.setattr(module, "BATCH_BYTES", 1 << 16)
    X, inference = data(loss, n=20_000), make_inference(loss=loss)
    codes = inference.codes(Rows(X[:10]))
    n_bytes = X.nbytes
    many = Rows(np.tile(codes, (2000, 1)))
    for reconstruct in (
        lambda: inference.reconstruct(Rows(X)),
        lambda: inference.decode(many, LATENT_DIM),
    ):
        tracemalloc.start()
        assert reconstruct().nbytes == n_bytes
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.5 * n_bytes


def everything(inference, X):
    """All that can be asked of rows, each in an array with a row for each of them."""
    rows = Rows(X)
    codes = inference.codes(rows)
    return {
        "labels": inference.labels(rows),
        "probabilities": inference.probabilities(rows),
        "codes": codes,
        "errors": inference.errors(rows),
        "reconstruct": inference.reconstruct(rows),
        "decode": inference.decode(Rows(codes), LATENT_DIM),
        "survey labels": inference.survey(rows).labels,
    }


def assert_same_bits(found, expected, index=slice(None)):
    for name, values in found.items():
        assert_array_equal(values, expected[name][index], err_msg=name)


def direct(inference, X):
    """Pass all rows through the network at once, and make all reconstructions."""
    x = torch.from_numpy(inference.scaling.apply(X))
    with torch.no_grad():
        out = inference.network.eval()(x)
        return out._replace(decoded=Decoded(out.decoded.rows())), x


EVERY_KIND = [(architecture, loss) for architecture in ARCHITECTURES for loss in LOSSES]


# ---------------------------------------------------------------------------
# A row's numbers are its own
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "loss"), EVERY_KIND)
def test_batch_size_changes_no_bit(architecture, loss, monkeypatch):
    inference, X = make_inference(architecture, loss), data(loss, 97)
    expected = everything(inference, X)
    for batch_size in (1, 16, 31, 64, 96):
        monkeypatch.setattr(Inference, "_batch_size", lambda self: batch_size)  # noqa: B023
        assert_same_bits(everything(inference, X), expected)


@pytest.mark.parametrize("reads", ["input", "latents", "hidden"])
def test_batch_size_changes_no_bit_of_wider_networks_either(reads, monkeypatch):
    """Sizes at which the processor's own library may choose another way to multiply."""
    spec = NetworkSpec(6, (784,), 10, "mlp", (100,), (2,), (64,), reads, "relu")
    network = build_network(spec, torch.Generator().manual_seed(0))
    scaling = Scaling(np.zeros(784), 1.0)
    inference = Inference(network, scaling, Reconstruction(LOSSES["mse"], 1.0))
    X = np.random.default_rng(0).normal(size=(700, 784)).astype(np.float32)
    monkeypatch.setattr(Inference, "_batch_size", lambda self: 4096)
    questions = (inference.probabilities, inference.errors, inference.reconstruct)
    whole = [ask(Rows(X)) for ask in questions]
    monkeypatch.setattr(Inference, "_batch_size", lambda self: 16)
    for ask, expected in zip(questions, whole, strict=True):
        assert_array_equal(ask(Rows(X)), expected)


@pytest.mark.parametrize(("architecture", "loss"), EVERY_KIND)
def test_order_and_company_of_rows_change_no_bit(architecture, loss):
    inference, X = make_inference(architecture, loss), data(loss)
    expected = everything(inference, X)
    order = np.random.default_rng(1).permutation(len(X))
    assert_same_bits(everything(inference, X[order]), expected, order)
    for some in (slice(0, 1), slice(3, 150, 7), slice(0, 149)):
        assert_same_bits(everything(inference, X[some]), expected, some)


@pytest.mark.parametrize("n_experts", [1, 2, 3, 16, 33])
@pytest.mark.parametrize("reads", ["input", "latents", "hidden"])
def test_a_row_alone_says_what_it_says_among_others(n_experts, reads):
    inference, X = make_inference(reads=reads, n_experts=n_experts), data()
    expected = everything(inference, X)
    for i in (0, 77, 149):
        assert_same_bits(everything(inference, X[i : i + 1]), expected, slice(i, i + 1))


@pytest.mark.parametrize("kind", ["float64", "csr", "fortran", "memmap"])
def test_rows_of_every_kind_say_the_same(kind, tmp_path):
    inference, X = make_inference(), data()
    expected = everything(inference, X)
    if kind == "memmap":
        np.save(tmp_path / "rows.npy", X)
    other = {
        "float64": lambda: X.astype(np.float64),
        "csr": lambda: sparse.csr_matrix(X),
        "fortran": lambda: np.asfortranarray(X),
        "memmap": lambda: np.load(tmp_path / "rows.npy", mmap_mode="r"),
    }[kind]()
    assert_same_bits(everything(inference, other), expected)


@pytest.mark.rng_untouched
def test_asking_changes_nothing_of_the_network():
    inference = make_inference()
    before = {n: v.clone() for n, v in inference.network.state_dict().items()}
    everything(inference, data())
    for name, value in inference.network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in inference.network.parameters())


# ---------------------------------------------------------------------------
# What is said
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "loss"), EVERY_KIND)
def test_answers_are_those_of_the_network(architecture, loss):
    inference, X = make_inference(architecture, loss), data(loss)
    out, x = direct(inference, X)
    found = everything(inference, X)
    # The same float32 numbers, summed in batches of another shape.
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    best = out.logits.argmax(1).numpy()
    assert_array_equal(found["labels"], best)
    assert found["labels"].dtype == np.int32
    p = out.logits.softmax(1)
    assert_allclose(found["probabilities"], p, **tolerance)
    assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-6)
    assert_allclose(
        found["errors"], inference.reconstruction(out.decoded, x), **tolerance
    )
    codes = found["codes"].reshape(len(X), N_EXPERTS, LATENT_DIM)
    for row, k, z in zip(codes, best, out.latents, strict=True):
        assert_allclose(row[k], z[k], **tolerance)
        assert not np.delete(row, k, axis=0).any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_are_reconstructed_by_their_own_expert_in_their_own_units(architecture):
    out_of = {
        "mse": lambda decoded, x: decoded,
        "bce": lambda decoded, x: 1 / (1 + (-decoded).exp()),
        "cosine": lambda decoded, x: decoded / decoded.norm() * x.norm(),
    }
    for loss, activate in out_of.items():
        inference, X = make_inference(architecture, loss), data(loss)
        out, x = direct(inference, X)
        center, scale = inference.scaling.center, inference.scaling.scale
        found = inference.reconstruct(Rows(X))
        for i, k in enumerate(out.logits.argmax(1)):
            expected = activate(out.decoded.rows()[i, k], x[i]).double().numpy()
            assert_allclose(found[i], expected * scale + center, rtol=1e-4, atol=1e-3)
        if loss == "cosine":  # the length of a row is known
            lengths = np.linalg.norm(X, axis=1)
            assert_allclose(np.linalg.norm(found, axis=1), lengths, rtol=1e-5)


@pytest.mark.parametrize(("architecture", "loss"), EVERY_KIND)
def test_decoding_the_codes_reconstructs_the_rows(architecture, loss):
    inference, X = make_inference(architecture, loss), data(loss)
    decoded = inference.decode(Rows(inference.codes(Rows(X))), LATENT_DIM)
    reconstructed = inference.reconstruct(Rows(X))
    if loss == "cosine":  # a code does not tell the length
        assert_allclose(np.linalg.norm(decoded, axis=1), 1, rtol=1e-6)
        lengths = np.linalg.norm(reconstructed, axis=1, keepdims=True)
        reconstructed = reconstructed / lengths
        assert_allclose(decoded, reconstructed, rtol=1e-5, atol=1e-6)
    else:
        assert_array_equal(decoded, reconstructed)


def test_errors_are_in_units_of_predicting_the_mean():
    inference, X = make_inference(), data()
    reconstructed = inference.reconstruct(Rows(X)).astype(np.float64)
    own = inference.errors(Rows(X))[np.arange(len(X)), inference.labels(Rows(X))]
    X = X.astype(np.float64)
    explained = np.square(reconstructed - X).sum() / np.square(X - X.mean(0)).sum()
    assert own.mean() == pytest.approx(explained, rel=1e-4)


@pytest.mark.parametrize(("architecture", "loss"), EVERY_KIND)
def test_survey_is_what_a_direct_count_gives(architecture, loss, monkeypatch):
    monkeypatch.setattr(Inference, "_batch_size", lambda self: 47)
    inference, X = make_inference(architecture, loss), data(loss)
    out, x = direct(inference, X)
    p = out.logits.double().softmax(1)
    errors = inference.reconstruction(out.decoded, x).double()
    entropies = torch.special.entr(p).sum(1) / np.log(N_EXPERTS)
    survey = inference.survey(Rows(X))
    assert_array_equal(survey.labels, out.logits.argmax(1))
    assert_allclose(survey.usage, p.mean(0), rtol=1e-5)
    assert survey.reconstruction == pytest.approx(
        (p * errors).sum(1).mean().item(), rel=1e-5
    )
    assert survey.sample_entropy == pytest.approx(entropies.mean().item(), rel=1e-4)


# ---------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [1, 100, 10_000, 10**7])
def test_wider_rows_come_in_smaller_batches(n_features):
    inference = make_inference()
    inference.scaling = Scaling(np.zeros(n_features), 1.0)
    size = inference._batch_size()
    assert 16 <= size <= module.LARGEST_BATCH
    fits = 4 * N_EXPERTS * n_features * size <= module.BATCH_BYTES
    assert fits or size == 16


def test_rows_that_are_held_are_surveyed_without_a_look_at_them(monkeypatch):
    inference, X = make_inference(), data()
    rows = Rows(X)
    sizes, survey = inference.sizes(rows), inference.survey(rows)
    monkeypatch.setattr(Batches, "may_hold", True)
    batches = Batches(rows, inference.scaling, 40, torch.device("cpu")).holding()
    monkeypatch.setattr(Rows, "take", None)
    assert_array_equal(inference.sizes(batches), sizes)
    for found, expected in zip(inference.survey(batches), survey, strict=True):
        assert_array_equal(found, expected)


def test_batches_are_larger_on_an_accelerator(monkeypatch):
    inference = make_inference()
    assert inference._batch_size() == module.LARGEST_BATCH
    monkeypatch.setattr(Inference, "_device", torch.device("cuda"))
    assert inference._batch_size() == module.LARGEST_BATCH_ON_CUDA


def test_rows_filled_up_to_whole_tiles_are_not_handed_out():
    inference = make_inference()
    for n in (1, 31, 32, 33):
        for values in everything(inference, data(n=n)).values():
            assert len(values) == n


def test_directions_survive_the_cosine_loss():
    inference, X = make_inference(loss="cosine"), data("cosine")
    out, _ = direct(inference, X)
    own = out.decoded.rows()[torch.arange(len(X)), out.logits.argmax(1)]
    found = torch.from_numpy(inference.reconstruct(Rows(X)))
    assert_allclose(F.cosine_similarity(found, own), 1, rtol=1e-5)
