"""Rows of every kind that users have: the same answer, and no copy of the whole."""

import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.utils.fixes import parse_version

import skmixae.inference
import skmixae.training.batches
from skmixae import MixAEClustering

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = make_blobs(80, n_features=8, centers=3, random_state=0)[0]
X[np.random.default_rng(0).random(X.shape) < 0.5] = 0
X32 = X.astype(np.float32)
METHODS = ["predict", "predict_proba", "transform", "reconstruct",
           "reconstruction_errors", "score_samples"]  # fmt: skip


def small(**params):
    defaults = {
        "n_clusters": 3,
        "latent_dim": 2,
        "hidden_layer_sizes": (8,),
        "assignment_hidden_layer_sizes": (8,),
        "max_epochs": 3,
        "batch_size": 32,
        "learning_rate": 1e-2,
        "random_state": 0,
    }
    return MixAEClustering(**defaults | params)


def assert_same_fit(model, rows, other, other_rows):
    assert_array_equal(model.labels_, other.labels_)
    assert_array_equal(model.history_["total"], other.history_["total"])
    for method in METHODS:
        assert_array_equal(
            getattr(model, method)(rows), getattr(other, method)(other_rows)
        )


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture(scope="module")
def fitted32():
    return small().fit(X32)


# ---------------------------------------------------------------------------
# The same rows in another container
# ---------------------------------------------------------------------------

CONTAINERS = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "csc_matrix": sparse.csc_matrix,
    "coo_array": sparse.coo_array,
    "fortran order": np.asfortranarray,
    "every other row of more": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "reversed twice": lambda rows: rows[::-1].copy()[::-1],
    "tensor": torch.from_numpy,
    "tensor with a gradient": lambda rows: torch.tensor(rows, requires_grad=True),
    "list": np.ndarray.tolist,
    "tuples": lambda rows: tuple(map(tuple, rows)),
    "objects": lambda rows: rows.astype(object),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_container_changes_not_a_bit(fitted, container):
    rows = CONTAINERS[container](X)
    assert_same_fit(small().fit(rows), rows, fitted, X)


@pytest.mark.parametrize("container", ["csr_array", "csc_matrix", "tensor"])
def test_float32_container_changes_not_a_bit(fitted32, container):
    rows = CONTAINERS[container](X32)
    assert_same_fit(small().fit(rows), rows, fitted32, X32)


@pytest.mark.parametrize("container", ["csr_array", "csc_array", "tensor"])
def test_containers_may_be_mixed_between_fit_and_predict(fitted, container):
    rows = CONTAINERS[container](X)
    for method in METHODS:
        assert_array_equal(getattr(fitted, method)(rows), getattr(fitted, method)(X))


def test_sparse_rows_with_unsorted_indices_and_explicit_zeros(fitted):
    rows = sparse.csr_array(np.ones_like(X))
    rows.data[:] = X.ravel()
    for i in range(len(X)):
        part = slice(rows.indptr[i], rows.indptr[i + 1])
        rows.indices[part] = rows.indices[part][::-1].copy()
        rows.data[part] = rows.data[part][::-1].copy()
    rows.has_sorted_indices = False
    assert_same_fit(small().fit(rows), rows, fitted, X)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_change_not_a_bit_and_give_their_names(fitted, library):
    frames = pytest.importorskip(library)
    names = [f"f{i}" for i in range(8)]
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    model = small().fit(frame)
    assert_same_fit(model, frame, fitted, X)
    # Older scikit-learn asks frames for a protocol that polars has given up.
    knows_polars = parse_version(sklearn.__version__) >= parse_version("1.9")
    if library == "pandas" or hasattr(frame, "__dataframe__") or knows_polars:
        assert list(model.feature_names_in_) == names


def test_frames_of_mixed_and_nullable_types():
    pd = pytest.importorskip("pandas")
    values = np.random.default_rng(0).integers(0, 2, (40, 4))
    frame = pd.DataFrame(values, columns=list("abcd")).astype(
        {"a": "Int64", "b": "float32", "c": "uint8", "d": "boolean"}
    )
    expected = frame.astype(float).to_numpy()
    model, same = small().fit(frame), small().fit(expected)
    assert_allclose(model.predict_proba(frame), same.predict_proba(expected), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_tensors_of_every_type(dtype):
    rows = torch.from_numpy(X.round()).to(dtype)
    expected = rows.double().numpy()
    model, same = small().fit(rows), small().fit(expected)
    assert_allclose(model.predict_proba(rows), same.predict_proba(expected), atol=1e-5)


def test_read_only_rows_stay_as_they_are(fitted):
    rows = X.copy()
    rows.setflags(write=False)
    assert_same_fit(small().fit(rows), rows, fitted, X)
    assert_array_equal(rows, X)


@pytest.mark.filterwarnings("error::UserWarning")  # torch warns of read-only arrays
def test_read_only_memory_map_works(tmp_path, fitted32):
    np.save(tmp_path / "rows.npy", X32)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    model = small().fit(rows)
    for method in METHODS:
        assert_array_equal(getattr(model, method)(rows), getattr(model, method)(X32))
    # The order of the rows differs: they are read in runs, for the sake of the disk.
    assert_allclose(model._moments.mean, fitted32._moments.mean)
    assert_array_equal(small().fit(rows).labels_, model.labels_)
    model.partial_fit(rows[:40])


def test_fit_does_not_change_the_rows():
    for rows in (X.copy(), X32.copy(), torch.from_numpy(X.copy())):
        before = np.asarray(rows).copy()
        small(init="kmeans", input_noise=0.1).fit(rows).predict(rows)
        assert_array_equal(np.asarray(rows), before)


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------


def peak_of_numpy(function):
    """Return the most bytes that Python and numpy held at once, beside before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BIG = {"n_clusters": 2, "max_epochs": 1, "batch_size": 256, "consistency": None,
       "init": "random",  # k-means would have its own sample of 20,000 rows
       "assignment_hidden_layer_sizes": (4,), "hidden_layer_sizes": (4,)}  # fmt: skip


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "csr"])
def test_the_whole_is_never_copied(kind, monkeypatch):
    """A copy, in the same type or in float32 or float64, would show at once.

    Blocks of 1 MiB and batches of 0.4 MiB in float64, some of them alive together, are
    worked on at a time; the rows take 20 MiB in float32.
    """
    monkeypatch.setattr(skmixae.training.batches, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(skmixae.inference, "LARGEST_BATCH", 512)
    shape = (26_000, 200)
    if kind == "csr":
        rows = sparse.random(
            *shape, density=0.01, format="csr", dtype=np.float32, random_state=0
        )
    else:
        rows = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        rows = rows.astype("uint8" if kind == "uint8" else kind)
    allowed = 26_000 * 200 * 4 / 2  # half of what the rows take in float32
    model = small(**BIG)
    assert peak_of_numpy(lambda: model.fit(rows)) < allowed
    assert peak_of_numpy(lambda: model.predict(rows)) < allowed
    assert peak_of_numpy(lambda: model.partial_fit(rows)) < allowed


MEMORY_MAP = """
    import sys, resource
    import numpy as np
    from skmixae import MixAEClustering

    def peak():
        # Of anonymous memory: pages of the file are the system's, to drop at will.
        status = open("/proc/self/status").read()
        return int(status.split("RssAnon:")[1].split()[0]) / 1024

    import threading, time
    highest, done = [0.0], threading.Event()
    def watch():
        while not done.wait(0.002):
            highest[0] = max(highest[0], peak())

    rows = np.memmap(sys.argv[1], np.float32, "r").reshape(-1, 64)
    model = MixAEClustering(
        2, latent_dim=2, hidden_layer_sizes=(4,), max_epochs=1, batch_size=1024,
        assignment_hidden_layer_sizes=(4,), consistency=None, random_state=0,
        learning_rate=1e-2, init="random")
    model.fit(rows[:4096]).predict(rows[:4096])  # all that is loaded and compiled
    before = peak()
    watcher = threading.Thread(target=watch)
    watcher.start()
    for part in (rows[: len(rows) // 8], rows):
        needed = float("inf")
        for _ in range(2):
            highest[0] = 0.0
            model.fit(part)
            model.predict(part)
            needed = min(needed, highest[0] - before)
        print(needed)
    done.set()
    watcher.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_for_a_memory_map_does_not_grow_with_its_rows(tmp_path):
    """Peak memory of fit and predict, for 12 and for 96 MiB of rows on disk.

    What grows are labels and indices, some of four and of eight bytes beside the 256 of
    a row: a quarter of a copy of the rows is allowed for them, and for what the
    allocator does not give back at once; of that it keeps more at times, by which one
    of two runs may be 10 MiB above the other, and the lower counts. The start is
    random: to find another asks the graph of neighbours of 4000 rows, however many
    there are, whose eigenvectors take 140 to 180 MB, by the rows that were drawn.
    """
    path = tmp_path / "rows.bin"
    rng = np.random.default_rng(0)
    n_rows = 3 * 2**17
    with path.open("wb") as file:
        for _ in range(8):
            rng.random((n_rows // 8, 64), dtype=np.float32).tofile(file)

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(MEMORY_MAP), str(path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    few, many = map(float, done.stdout.split())
    grown = (n_rows - n_rows // 8) * 256 / 2**20  # MiB of rows more
    assert many - few < grown / 4
    assert many < path.stat().st_size / 2**20


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"input_shape": (2, 4)},
        {"input_shape": (2, 4), "max_pixels": 2},
        {"init": "topics", "directions": True},
        {"init": "latent_classes"},
        {"init": "plain"},
    ],
    ids=lambda params: "-".join(params) or "default",
)
def test_bytes_may_be_in_the_other_order(dtype, params):
    rows = abs(10 * X).astype(dtype)
    other = rows.astype(rows.dtype.newbyteorder("S"))
    model, expected = small(**params).fit(other), small(**params).fit(rows)
    assert_same_fit(model, other, expected, rows)


def test_a_memory_map_in_the_other_order_is_not_read_whole(tmp_path):
    rows = np.zeros((20_000, 64), ">f4")
    rows[:] = np.random.default_rng(0).normal(size=rows.shape)
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", ">f4", "r").reshape(rows.shape)
    model = small(max_epochs=1, batch_size=1000)
    tracemalloc.start()
    checked = model._check_rows(mapped, reset=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(checked.array, mapped)
    assert peak < rows.nbytes / 2
