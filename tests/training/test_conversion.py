"""Images are read with their channels first, and large ones with fewer pixels."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmixae._parameters import resolve_pixels
from skmixae.training import Conversion, Rows, converted_rows

RNG = np.random.default_rng(0)
SIDES = st.integers(1, 12)
# A mean of some hundred float64 numbers below one, by another order of its sums.
CLOSE = {"rtol": 0, "atol": 1e-13}


def images(n, *shape):
    return RNG.uniform(size=(n, int(np.prod(shape))))


def mean_of_area(image, top, bottom, left, right):
    """Return the mean over a part of an image, whose pixels are squares of side one."""
    total = 0.0
    for i, row in enumerate(image):
        for j, pixel in enumerate(row):
            high = max(0.0, min(i + 1, bottom) - max(i, top))
            wide = max(0.0, min(j + 1, right) - max(j, left))
            total += pixel * high * wide
    return total / ((bottom - top) * (right - left))


@settings(deadline=None, max_examples=30)
@given(height=SIDES, width=SIDES, fewer=st.tuples(SIDES, SIDES))
def test_each_pixel_is_the_mean_of_what_it_covers(height, width, fewer):
    small = min(fewer[0], height), min(fewer[1], width)
    x = images(2, height, width)
    reduced = Conversion((height, width), small).apply(x).reshape(2, *small)
    high, wide = height / small[0], width / small[1]
    for image, found in zip(x.reshape(2, height, width), reduced, strict=True):
        for i, j in np.ndindex(small):
            area = i * high, (i + 1) * high, j * wide, (j + 1) * wide
            assert_allclose(found[i, j], mean_of_area(image, *area), **CLOSE)


def test_sides_divided_by_whole_numbers_are_means_of_blocks():
    x = images(3, 2, 8, 12)
    blocks = x.reshape(3, 2, 4, 2, 4, 3).mean((3, 5)).reshape(3, -1)
    conversion = Conversion((2, 8, 12), (2, 4, 4))
    assert_allclose(conversion.apply(x), blocks, **CLOSE)
    squares = np.kron(blocks.reshape(3, 2, 4, 4), np.ones((2, 3))).reshape(3, -1)
    assert_allclose(conversion.undo(blocks), squares, **CLOSE)
    assert_allclose(conversion.apply(conversion.undo(blocks)), blocks, **CLOSE)


@pytest.mark.parametrize("shape", [(7, 10), (1, 9), (3, 13, 5)])
def test_the_mean_of_an_image_stays_on_either_way(shape):
    conversion = Conversion(shape, (*shape[:-2], -(-shape[-2] // 2), 4))
    x = images(5, *shape)
    reduced = conversion.apply(x)
    assert_allclose(reduced.mean(1), x.mean(1), **CLOSE)
    assert_allclose(conversion.undo(reduced).mean(1), x.mean(1), **CLOSE)


@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("read", [(6, 10), (3, 5), (4, 7)])
def test_channels_that_come_last_are_read_as_those_that_come_first(n_channels, read):
    first = images(4, n_channels, 6, 10)
    last = np.moveaxis(first.reshape(4, n_channels, 6, 10), 1, -1).reshape(4, -1)
    to = n_channels, *read
    expected = Conversion((n_channels, 6, 10), to).apply(first)
    conversion = Conversion((6, 10, n_channels), to)
    assert_array_equal(conversion.apply(last), expected)
    back = Conversion((n_channels, 6, 10), to).undo(expected)
    back = np.moveaxis(back.reshape(4, n_channels, 6, 10), 1, -1).reshape(4, -1)
    assert_array_equal(conversion.undo(expected), back)
    if read == (6, 10):
        assert_array_equal(back, last)


def test_many_channels_of_narrow_images_stay_first():
    x = images(4, 8, 90, 30)  # what is read of them is no wider than colours are many
    conversion = Conversion((8, 90, 30), (8, 9, 3))
    blocks = x.reshape(4, 8, 9, 10, 3, 10).mean((3, 5)).reshape(4, -1)
    assert_allclose(conversion.apply(x), blocks, **CLOSE)
    assert_allclose(conversion.apply(conversion.undo(blocks)), blocks, **CLOSE)


@pytest.mark.parametrize("kind", ["dense", "csr", "mapped"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_converted_rows_are_rows_of_any_kind(kind, dtype, tmp_path):
    if kind == "csr" and dtype is np.float16:
        pytest.skip("scipy has no sparse matrices of float16")
    x = (images(50, 6, 6) * (images(50, 6, 6) > 0.5)).astype(dtype)
    stored = sparse.csr_matrix(x) if kind == "csr" else x
    if kind == "mapped":
        np.save(tmp_path / "x.npy", x)
        stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = converted_rows(Rows(stored), (6, 6), (3, 3))
    expected = x.reshape(50, 3, 2, 3, 2).astype(float).mean((2, 4)).reshape(50, 9)
    # A mean of four numbers below one, rounded once more to the type of the rows.
    atol = 4 * np.finfo(np.promote_types(dtype, np.float32)).eps
    tolerance = {"rtol": 0, "atol": atol}
    assert (len(rows), rows.n_features, rows.original.n_features) == (50, 9, 36)
    assert rows.is_mapped == (kind == "mapped")
    assert not rows.mostly_empty
    index = np.array([7, 3, 3, 49])
    assert_allclose(rows.take(index), expected[index], **tolerance)
    assert_allclose(rows.take(slice(5, 8)), expected[5:8], **tolerance)
    assert rows.take(index[:0]).shape == (0, 9)
    assert_allclose(np.concatenate(list(rows.blocks())), expected, **tolerance)
    assert_allclose(rows.take_sparse(index).toarray(), expected[index], **tolerance)
    assert rows.take(index).dtype == np.promote_types(dtype, np.float32)


def test_an_image_is_the_same_wherever_it_stands():
    rows = converted_rows(Rows(images(100, 9, 11).astype("f4")), (9, 11), (5, 7))
    order = RNG.permutation(100)
    assert_array_equal(rows.take(order), rows.take(slice(None))[order])
    assert_array_equal(rows.take(order[:1]), rows.take(slice(None))[order[:1]])


@pytest.mark.parametrize(("shape", "read"), [((6, 6), (6, 6)), ((36,), (10,))])
def test_rows_that_are_no_larger_images_stay(shape, read):
    rows = Rows(images(4, 36))
    assert converted_rows(rows, shape, read) is rows
    assert rows.original is rows


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    most=st.integers(1, 5000),
    channels=st.sampled_from([(), (1,), (3,)]),
)
def test_no_more_pixels_are_read_and_hardly_fewer(height, width, most, channels):
    shape = (*channels, height, width)
    *same, high, wide = resolve_pixels(most, shape, "mlp")
    assert tuple(same) == channels
    assert 1 <= high <= height
    assert 1 <= wide <= width
    assert high * wide <= most
    if height * width <= most:
        assert (high, wide) == (height, width)
    elif most >= 16 * max(height / width, width / height):
        # Of four pixels a side or more, a fraction of one is lost of each.
        assert (high + 1) * (wide + 1) >= most
        assert abs(np.log(high / wide * width / height)) <= np.log(5 / 4)


@pytest.mark.parametrize(
    ("max_pixels", "shape", "architecture", "read"),
    [
        ("auto", (64, 64), "mlp", (32, 32)),
        ("auto", (3, 96, 96), "conv2d", (3, 32, 32)),
        ("auto", (96, 96, 3), "mlp", (3, 32, 32)),
        (None, (96, 96, 4), "mlp", (4, 96, 96)),
        ("auto", (40, 40, 3), lambda shape, latent_dim: None, (3, 40, 40)),
        ("auto", (9, 5, 8), "mlp", (9, 5, 8)),
        ("auto", (48, 48), "mlp", (32, 32)),
        ("auto", (32, 32), "mlp", (32, 32)),
        ("auto", (62, 47), "mlp", (36, 27)),
        ("auto", (64, 64), lambda shape, latent_dim: None, (64, 64)),
        (1024, (64, 64), lambda shape, latent_dim: None, (32, 32)),
        (None, (64, 64), "mlp", (64, 64)),
        (100, (9, 2000), "conv1d", (9, 2000)),
        (100, (2000,), "mlp", (2000,)),
    ],
)
def test_images_alone_are_read_with_fewer_pixels(max_pixels, shape, architecture, read):
    assert resolve_pixels(max_pixels, shape, architecture) == read


def test_a_slice_of_many_images_takes_memory_for_itself_alone():
    """A hundred million images of 2 x 2 pixels, all alike."""
    many = Rows(np.broadcast_to(np.float32(1), (10**8, 4)))
    rows = converted_rows(many, (2, 2), (1, 1))
    tracemalloc.start()
    assert rows.take(slice(5, 25)).shape == (20, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
