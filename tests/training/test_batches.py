"""Batches of rows of every kind, the moments they are scaled by, and what they cost."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmixae._problem import measure
from skmixae.objective import LOSSES
from skmixae.training import Batches, Moments, Rows, Scaling, Whitening
from skmixae.training import batches as module
from skmixae.training.batches import exact_on, shuffled_batches

CPU = torch.device("cpu")
UNSCALED = Scaling(np.zeros(1), 1.0)


def data(n=57, n_features=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_features)).round(1)


def batches_of(array, batch_size=10, scaling=UNSCALED, subset=None):
    return Batches(Rows(array), scaling, batch_size, CPU, subset)


def rng(seed=0):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------------
# The order of the rows
# ---------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(1, 700),
    st.integers(1, 300),
    st.booleans(),
    st.integers(1, 20),
    st.integers(1, 5),
)
def test_every_row_comes_exactly_once(n, batch_size, mapped, run, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAP_RUN", run)
        patch.setattr(module, "MAP_WINDOW", window)
        parts = list(shuffled_batches(n, batch_size, rng(), mapped=mapped))
    assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    sizes = [len(part) for part in parts]
    assert 1 <= min(sizes) <= max(sizes) <= batch_size
    if not mapped:
        assert max(sizes) - min(sizes) <= 1
        assert len(parts) == -(-n // batch_size)


@pytest.mark.parametrize("mapped", [False, True])
def test_equal_seeds_give_equal_orders(mapped):
    def order(seed):
        parts = shuffled_batches(3000, 100, rng(seed), mapped=mapped)
        return np.concatenate(list(parts))

    assert_array_equal(order(0), order(0))
    assert (order(0) != order(1)).any()


@pytest.mark.parametrize("n", [1, 700, 64 * 1024])
def test_rows_that_fill_one_window_come_in_one_order_wherever_they_lie(n):
    """Joblib maps the rows that it passes to workers, and results stay the same."""
    for here, there in zip(
        shuffled_batches(n, 256, rng()),
        shuffled_batches(n, 256, rng(), mapped=True),
        strict=True,
    ):
        assert_array_equal(here, there)


def test_every_place_is_as_likely_for_every_row():
    source, n_rows, n_passes = rng(), 20, 4000
    places = np.zeros((n_rows, 4))
    for _ in range(n_passes):
        for i, part in enumerate(shuffled_batches(n_rows, 5, source)):
            places[part, i] += 1
    expected = n_passes / 4
    # Four standard deviations of a binomial count, one in 16 000, for 80 counts.
    assert np.abs(places - expected).max() < 4 * np.sqrt(expected * 3 / 4)


def test_rows_on_disk_are_read_in_runs_and_still_mixed():
    n = 2 * module.MAP_RUN * module.MAP_WINDOW
    first = next(iter(shuffled_batches(n, 256, rng(), mapped=True)))
    runs = np.unique(first // module.MAP_RUN)
    assert len(runs) > 100  # mixed over the window, and not a run after the other
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAP_WINDOW", 4)
        first = next(iter(shuffled_batches(n, 256, rng(), mapped=True)))
    assert len(np.unique(first // module.MAP_RUN)) <= 4


def peak_bytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_runs", [20_000, 200_000])
def test_order_of_rows_on_disk_needs_memory_for_its_runs_alone(n_runs):
    n = n_runs * module.MAP_RUN

    def walk():
        for _ in shuffled_batches(n, 1 << 14, rng(), mapped=True):
            pass

    window = 8 * module.MAP_RUN * module.MAP_WINDOW
    # The table of runs and its permutation, and some copies of one window.
    assert peak_bytes(walk) < 2.1 * 8 * n_runs + 6 * window
    assert 2.1 * 8 * n_runs < 8 * n / 25


# ---------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------


def as_memmap(X, folder):
    np.save(folder / "rows.npy", X)
    return np.load(folder / "rows.npy", mmap_mode="r")


KINDS = {
    "dense": lambda X, folder: X,
    "fortran": lambda X, folder: np.asfortranarray(X),
    "strided": lambda X, folder: np.repeat(X, 2, axis=0)[::2],
    "float32": lambda X, folder: X.astype(np.float32),
    "integers": lambda X, folder: (10 * X).round().astype(np.int64),
    "csr": lambda X, folder: sparse.csr_matrix(X),
    "csr_array": lambda X, folder: sparse.csr_array(X),
    "csc": lambda X, folder: sparse.csc_matrix(X),
    "memmap": as_memmap,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["shuffled", "in_order", "narrowed"])
def test_batches_are_the_scaled_rows_whatever_holds_them(kind, order, tmp_path):
    X = data()
    X[X < -0.5] = 0
    scaling = Scaling(np.array([0.1, 0, -3, 1e3]), 2.5)
    array = KINDS[kind](X, tmp_path)
    if kind == "integers":
        X = (10 * X).round()
    subset = np.arange(3, 50, 2) if order == "narrowed" else None
    batches = batches_of(array, scaling=scaling)
    batches = batches if subset is None else batches.narrowed(subset)
    walk = batches.in_order() if order == "in_order" else batches.shuffled(rng())
    seen = []
    for rows, x in walk:
        assert x.dtype == torch.float32
        assert rows.dtype == torch.int64
        expected = (X[rows.numpy()] - scaling.center) / scaling.scale
        # A float32 row of ±4.0 is itself rounded; then the result is, once.
        assert_allclose(x, expected, rtol=1e-6, atol=1e-6)
        seen.append(rows.numpy())
    wanted = np.arange(len(X)) if subset is None else subset
    found = np.concatenate(seen)
    assert_array_equal(found if order == "in_order" else np.sort(found), wanted)
    assert len(batches) == len(wanted)


@pytest.mark.parametrize("kind", ["dense", "csr", "memmap"])
def test_kinds_of_rows_come_in_the_same_bits(kind, tmp_path):
    X = data()
    array = KINDS[kind](X, tmp_path)
    batches, other = batches_of(array), batches_of(X)
    for (i, x), (j, y) in zip(batches.in_order(), other.in_order(), strict=True):
        assert torch.equal(i, j)
        assert torch.equal(x, y)


def test_rows_on_disk_are_recognised_also_behind_a_view(tmp_path):
    mapped = as_memmap(data(), tmp_path)
    for array in (mapped, mapped[3:], np.asarray(mapped), mapped.view(np.ndarray)):
        assert Rows(array).is_mapped
    assert not Rows(data()).is_mapped
    assert not Rows(np.array(mapped)).is_mapped
    assert not Rows(mapped.copy()).is_mapped
    assert not Rows(sparse.csr_matrix(data())).is_mapped


@pytest.mark.parametrize("n", [1, 2, 10, 11, 20, 21])
def test_no_batch_is_left_over_with_a_row_or_two(n):
    sizes = [len(x) for _, x in batches_of(data(n), 10).shuffled(rng())]
    assert sum(sizes) == n
    assert min(sizes) >= min(n, 5)


def test_batches_in_order_may_have_another_size():
    sizes = [len(x) for _, x in batches_of(data(57), 10).in_order(25)]
    assert sizes == [25, 25, 7]


def test_a_batch_is_not_a_view_of_the_rows():
    X = np.ascontiguousarray(data(), dtype=np.float32)
    before = X.copy()
    for walk in (batches_of(X).in_order(), batches_of(X).shuffled(rng())):
        for _, x in walk:
            x.zero_()
    assert_array_equal(X, before)


@pytest.mark.parametrize("n_features", [1, 4])
def test_blocks_are_all_rows_in_order_a_few_at_a_time(n_features, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * n_features * 10)
    X = data(57, n_features)
    for array in (X, sparse.csr_matrix(X)):
        blocks = list(Rows(array).blocks())
        assert {len(block) for block in blocks} == {10, 7}
        assert_array_equal(np.concatenate(blocks), X)


def test_rows_too_wide_for_a_block_come_one_by_one(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    assert [len(block) for block in Rows(data(3)).blocks()] == [1, 1, 1]


BIG = (100_000, 50)
LARGE = {
    "float32": lambda folder: np.ones(BIG, dtype=np.float32),
    "float64": lambda folder: np.ones(BIG),
    "int16": lambda folder: np.ones(BIG, dtype=np.int16),
    "memmap": lambda folder: as_memmap(np.ones(BIG, dtype=np.float32), folder),
    "csr": lambda folder: sparse.random(
        *BIG, density=0.01, format="csr", random_state=0
    ),
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("order", ["shuffled", "in_order", "blocks"])
def test_passing_over_many_rows_never_copies_them_all(
    kind, order, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(module, "MAP_WINDOW", 64)
    array = LARGE[kind](tmp_path)
    batches = batches_of(array, 256, Scaling(np.zeros(50), 2.0))

    def walk():
        if order == "blocks":
            moments = Moments()
            for block in batches.rows.blocks():
                moments.update(block)
        elif order == "in_order":
            for _ in batches.in_order():
                pass
        else:
            for _ in batches.shuffled(rng()):
                pass

    n_bytes = 4 * BIG[0] * BIG[1]  # 20 MB of float32; some kinds have more
    # In memory, an order of all rows is kept: 8 bytes for each.
    table = 8 * BIG[0] if order == "shuffled" and kind != "memmap" else 0
    assert peak_bytes(walk) < 1.2 * table + 0.1 * n_bytes


# ---------------------------------------------------------------------------
# Rows that are scaled once
# ---------------------------------------------------------------------------


def whitening(n_features, d):
    axes = np.random.default_rng(1).normal(size=(n_features, d)).astype(np.float32)
    return Whitening(np.full(n_features, 0.3), 1.0, axes, directions=True)


@pytest.mark.parametrize("subset", [None, np.arange(3, 40)])
def test_held_batches_are_the_same_to_the_last_bit(subset, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 4 * 5)  # five rows at a time
    plain = batches_of(data(), scaling=whitening(4, 3), subset=subset)
    held = plain.holding()
    assert held.held is not None
    for one, other in (
        (plain.shuffled(rng()), held.shuffled(rng())),
        (plain.in_order(), held.in_order()),
    ):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a.rows, b.rows)
            assert torch.equal(a.x, b.x)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rows_at_an_index_are_those_of_a_batch(kind, monkeypatch):
    batches = batches_of(kind(data()), scaling=Scaling(np.ones(4), 2.0))
    index = torch.tensor([7, 0, 7, 3])
    expected = batches.scaling.apply(data()[index.numpy()])
    assert_array_equal(batches.at(index), expected)
    monkeypatch.setattr(Batches, "may_hold", True)
    assert_array_equal(batches.holding().at(index), expected)


def test_rows_are_held_where_whitening_leaves_little_of_them(monkeypatch):
    batches = batches_of(data(), scaling=whitening(4, 3))
    assert batches_of(data(), scaling=Scaling(np.zeros(4), 2.0)).holding().held is None
    monkeypatch.setattr(module, "HELD_BYTES", 57 * 3 * 4)
    assert batches.holding().held is not None
    monkeypatch.setattr(module, "HELD_BYTES", 57 * 3 * 4 - 1)
    assert batches.holding() is batches


# ---------------------------------------------------------------------------
# Rows that are mostly empty
# ---------------------------------------------------------------------------


def in_pieces(array):
    """The same rows, their columns backwards, each value in two halves, and zeros."""
    index = array.indices.astype(np.int64)
    pieces = array.copy()
    pieces.data = np.repeat(array.data[::-1] / 2, 2)
    pieces.indices = np.repeat(index[::-1], 2)
    pieces.indptr = 2 * (array.nnz - array.indptr[::-1].astype(np.int64))
    pieces = pieces[::-1]
    pieces.data[:2] = 0  # in the place of a value of the first row, which we drop
    return pieces


FORMS = {
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "float32": lambda X: sparse.csr_matrix(X.astype(np.float32)),
    "integers": lambda X: sparse.csr_matrix(X.astype(np.int8)),
    "in pieces": lambda X: in_pieces(sparse.csr_matrix(X)),
    "in pieces, as an array": lambda X: in_pieces(sparse.csr_array(X)),
}


@st.composite
def words(draw):
    """CSR rows that are mostly empty, and the same rows in full."""
    n, n_features = draw(st.integers(1, 40)), draw(st.integers(20, 60))
    source = rng(draw(st.integers(0, 999)))
    X = source.poisson(0.05, (n, n_features)) * source.integers(-9, 60, n_features)
    X = 1.0 * X
    if draw(st.booleans()):
        X[:, 3] = 7  # a word of all rows
    if draw(st.booleans()):
        X[source.integers(n)] = 0
    array = FORMS[draw(st.sampled_from(sorted(FORMS)))](X)
    return array, array.toarray().astype(np.float64)


@settings(deadline=None, max_examples=150)
@given(words(), st.integers(1, 50))
def test_moments_of_what_is_stored_are_those_of_the_rows(rows, n_together):
    array, X = rows
    before = array.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW_STORED", 1.0)
        patch.setattr(module, "BLOCK_BYTES", 8 * n_together * Rows(array).n_stored)
        moments = measure(Rows(array))
    assert_same_moments(moments, X)
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(array, name), getattr(before, name))


@settings(deadline=None, max_examples=150)
@given(words(), st.integers(1, 50), st.booleans(), st.sampled_from([1.0, 1e-12, 0.3]))
def test_coordinates_of_what_is_stored_are_those_of_the_rows(
    rows, n_together, directions, scale
):
    array, X = rows
    before = array.copy()
    axes = rng(1).normal(size=(X.shape[1], 3)).astype(np.float32)
    scaling = Whitening(np.zeros(X.shape[1]), scale, axes, directions)
    expected = scaling.apply(X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW_STORED", 1.0)
        patch.setattr(module, "BLOCK_BYTES", 8 * n_together * 3)
        batches = batches_of(array, 10, scaling)
        # A rounding to float32, of sums whose parts may be larger than they are.
        atol = 1e-6 * np.abs(expected).max()
        for _ in range(2):
            found = np.concatenate([x for _, x in batches.in_order()])
            assert_allclose(found, expected, rtol=1e-6, atol=atol)
            batches = batches.holding()
            assert batches.held is not None
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(array, name), getattr(before, name))


def test_equal_rows_that_are_mostly_empty_have_no_variance(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 4 * 700)
    X = np.zeros((3000, 40))
    X[:, [3, 17]] = 0.1, -1 / 3
    moments = measure(Rows(sparse.csr_matrix(X)))
    assert moments.scatter == 0
    assert_array_equal(moments.mean, X[0])


def test_rows_that_are_mostly_empty_are_never_made_dense(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1 << 18)
    array = sparse.random(2000, 50_000, 2e-4, format="csr", random_state=0)
    monkeypatch.setattr(Rows, "take", None)
    scaling = Whitening(np.zeros(50_000), 1.0, np.ones((50_000, 2), np.float32), True)
    batches = batches_of(array, 256, scaling)

    def look():
        measure(batches.rows)
        batches.holding()
        for _ in batches.in_order():
            pass

    # Of the axes, and of some numbers of each feature; 800 MB is what all rows take.
    assert peak_bytes(look) < 20 * 8 * 50_000


# ---------------------------------------------------------------------------
# Moments
# ---------------------------------------------------------------------------


def merged(X, cuts, order=None):
    moments = Moments()
    blocks = [block for block in np.split(X, sorted(cuts)) if len(block)]
    for i in range(len(blocks)) if order is None else order(len(blocks)):
        moments.update(blocks[i])
    return moments


@st.composite
def arrays(draw):
    """Rows of any size, unit and offset, with constant and empty ones among them."""
    n, n_features = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    X = np.random.default_rng(draw(st.integers(0, 999))).normal(size=(n, n_features))
    X *= draw(st.sampled_from([1e-6, 1.0, 1e6]))
    X += draw(st.sampled_from([0.0, 1.0, 1e6]))
    if draw(st.booleans()):
        X[:, 0] = draw(st.sampled_from([0.0, 0.1, 1e6]))
    if draw(st.booleans()):
        X[0] = 0
    return X.astype(draw(st.sampled_from([np.float32, np.float64])))


def assert_same_moments(moments, X):
    X = X.astype(np.float64)
    # Sums of up to forty float64 numbers of the data's own size.
    size, eps = np.abs(X).max(), np.finfo(np.float64).eps
    assert moments.n_rows == len(X)
    assert_allclose(moments.mean, X.mean(0), rtol=0, atol=100 * eps * size)
    scatter = np.square(X - X.mean(0)).sum()
    spread = np.sqrt(scatter * X.size)
    error = 100 * eps * (scatter + size * spread) + X.size * (100 * eps * size) ** 2
    assert abs(moments.scatter - scatter) <= error
    assert moments.lowest == X.min()
    assert moments.highest == X.max()
    lengths = [np.linalg.norm(row) for row in X]
    directions = [r / m if m else 0 * r for r, m in zip(X, lengths, strict=True)]
    assert_allclose(moments.mean_direction, np.mean(directions, 0), atol=1e-13)


@settings(deadline=None, max_examples=150)
@given(arrays(), st.lists(st.integers(0, 40), max_size=5))
def test_merged_moments_are_those_of_the_whole(X, cuts):
    assert_same_moments(merged(X, cuts), X)


@settings(deadline=None)
@given(arrays(), st.lists(st.integers(0, 40), max_size=5), st.randoms())
def test_moments_do_not_depend_on_the_order_of_merging(X, cuts, random):
    def shuffled(n):
        order = list(range(n))
        random.shuffle(order)
        return order

    assert_same_moments(merged(X, cuts, shuffled), X)


def test_moments_of_sparse_rows_are_those_of_dense_ones(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 4 * 10)
    X = data()
    X[X < 0.5] = 0
    moments = Moments()
    for block in Rows(sparse.csr_matrix(X)).blocks():
        moments.update(block)
    assert_same_moments(moments, X)


def test_offsets_do_not_drown_the_spread_of_float32_rows():
    X = (1e6 + rng().normal(size=(500, 3))).astype(np.float32)
    moments = merged(X, [100, 101, 350])
    expected = X.astype(np.float64).var(0).mean()
    scaling = moments.scaling(LOSSES["mse"])
    assert scaling.scale**2 == pytest.approx(expected, rel=1e-9)
    x = scaling.apply(X)
    assert_allclose(x.mean(0), 0, atol=1e-6)
    assert np.square(x).mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e6 + 0.1, 1e-6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_all_equal_have_no_variance_whatever_their_number(value, dtype):
    X = np.full((30_000, 2), value, dtype=dtype) * [1, 3]
    moments = merged(X.astype(dtype), [7, 1000, 20_000])
    scaling = moments.scaling(LOSSES["mse"])
    assert moments.scatter == 0
    assert scaling.scale == 1
    assert not scaling.apply(X.astype(dtype)).any()


# ---------------------------------------------------------------------------
# Scaling
# ---------------------------------------------------------------------------


@settings(deadline=None)
@given(arrays(), st.sampled_from(["mse", "cosine"]))
@example(np.array([[1e6 + 1.3e-7], [1e6 - 1.3e-7]]), "mse")
def test_scaled_rows_are_of_size_one(X, loss):
    scaling = merged(X, []).scaling(LOSSES[loss])
    x = scaling.apply(X).astype(np.float64)
    if scaling.scale != 1:
        assert np.square(x).mean() == pytest.approx(1, rel=1e-4)
    if loss == "mse":
        # The centre is a float64 too: of rows that hardly differ it is not the mean.
        rounding = np.spacing(np.abs(X).max()) / scaling.scale
        assert_allclose(x.mean(0), 0, atol=1e-4 + rounding)


@settings(deadline=None)
@given(arrays(), st.sampled_from(["mse", "cosine", "bce"]))
def test_undoing_a_scaling_gives_the_rows_back(X, loss):
    scaling = merged(X, []).scaling(LOSSES[loss])
    there_and_back = scaling.undo(scaling.apply(X))
    assert there_and_back.dtype == np.float32
    eps = np.finfo(np.float32).eps
    # One rounding to float32 in between, at the size of what is scaled, one at the end.
    atol = 2 * eps * (np.abs(X - scaling.center).max() + np.abs(X).max())
    assert_allclose(there_and_back, X, rtol=0, atol=atol)


def test_cosine_and_cross_entropy_leave_the_origin_where_it_is():
    moments = merged(data() + 3, [])
    for loss in ("cosine", "bce"):
        assert not moments.scaling(LOSSES[loss]).center.any()
    assert moments.scaling(LOSSES["bce"]).scale == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e6])
def test_short_floats_are_scaled_as_what_they_are(scale):
    X = (100 * data()).astype(np.float16)
    scaling = Scaling(np.zeros(4), scale)
    assert_array_equal(scaling.apply(X), scaling.apply(X.astype(np.float32)))


def test_one_scale_for_all_features_keeps_the_geometry():
    X = data() * [1, 10, 100, 1000]
    x = merged(X, []).scaling(LOSSES["mse"]).apply(X)
    ratio = np.linalg.norm(x[1:] - x[0], axis=1) / np.linalg.norm(X[1:] - X[0], axis=1)
    assert_allclose(ratio, ratio[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)],
)
def test_long_sums_are_of_the_best_type_that_a_device_has(device, expected):
    assert exact_on(torch.device(device)) is expected
