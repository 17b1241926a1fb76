"""Rows recognised as images or series, against rows made to be some or none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from sklearn.datasets import load_digits, load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d

from skmixae.training import Rows, shape_of, varying_window
from skmixae.training import shapes as module


def images(height, width, n=300, seed=0, blur=1.0):
    """Smooth grey images, each of its own."""
    noise = np.random.default_rng(seed).normal(size=(n, height, width))
    return gaussian_filter(noise, (0, blur, blur)).reshape(n, -1)


def seen(X):
    return shape_of(Rows(X))


SIDES = [(8, 8), (8, 16), (16, 8), (9, 14), (20, 20), (28, 28), (12, 24)]


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize("blur", [0.8, 3.0])
def test_images_have_the_height_and_width_that_they_were_unrolled_from(shape, blur):
    assert seen(images(*shape, blur=blur)) == shape


@pytest.mark.parametrize("n", [50, 1797])
def test_handwritten_digits_are_images(n):
    assert seen(load_digits().data[:n]) == (8, 8)


@pytest.mark.parametrize("side", [8, 16, 28])
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_parts_of_photographs_are_images(name, side):
    grey = load_sample_image(name).mean(2)
    parts = extract_patches_2d(grey, (side, side), max_patches=300, random_state=0)
    assert seen(parts.reshape(300, -1)) == (side, side)


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (32, 32), (20, 12), (96, 96)])
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_parts_of_photographs_in_colours_are_images_of_three_channels(name, shape):
    parts = extract_patches_2d(
        load_sample_image(name), shape, max_patches=200, random_state=0
    )
    assert seen(parts.reshape(200, -1)) == (*shape, 3)
    assert seen(np.moveaxis(parts, -1, 1).reshape(200, -1)) == (3, *shape)


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (9, 14), (12, 24), (24, 12)])
@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_channels_are_seen_whether_they_are_alike_or_not(shape, alike):
    channels = [
        alike * images(*shape) + (1 - alike) * images(*shape, seed=1 + i)
        for i in range(3)
    ]
    assert seen(np.stack(channels, -1).reshape(300, -1)) == (*shape, 3)
    height, width = shape
    # Three that are not alike, one below the other, may be one grey image.
    if alike == 1.0 or 3 * height > module.MOST_OBLONG * width:
        assert seen(np.stack(channels, 1).reshape(300, -1)) == (3, *shape)


def test_channels_of_series_are_no_colours():
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(300, 3, 144)), 2)
    assert seen(walks.reshape(300, -1)) == (432,)
    assert seen(walks.transpose(0, 2, 1).reshape(300, -1)) is None


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_units_of_the_features_do_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    units = scale * rng.uniform(0.5, 2, 80), shift * rng.normal(size=80)
    assert seen(images(8, 10, seed=seed) * units[0] + units[1]) == (8, 10)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_borders_of_one_colour_do_not_matter_nor_their_noise(noise):
    X = images(16, 16).reshape(-1, 16, 16)
    X /= X.std()
    X[:, :4] = X[:, -4:] = X[:, :, :4] = 1.0
    X += noise * np.random.default_rng(1).normal(size=X.shape)
    assert seen(X.reshape(len(X), -1)) == (16, 16)


def test_kinds_of_rows_are_read_alike(tmp_path):
    X = np.where(np.abs(images(8, 12)) > 0.2, images(8, 12), 0.0).astype(np.float32)
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert seen(X) == seen(csr_array(X)) == seen(mapped) == (8, 12)


def series(rng):
    time, phase = np.arange(256), rng.uniform(0, 6.3, (400, 1))
    channels = np.cumsum(rng.normal(size=(400, 9, 16)), 2)
    bump = np.exp(-np.square((np.arange(51) - rng.uniform(0, 51, (400, 1))) / 5))
    return {
        "random walks": np.cumsum(rng.normal(size=(400, 256)), 1),
        "waves": np.sin(rng.uniform(0.01, 0.2, (400, 1)) * time + phase),
        "channels of series": channels.reshape(400, -1),
        "bumps": bump + 0.1 * rng.normal(size=bump.shape),
    }


def others(rng):
    """Rows without an order, of numbers of features that images or series have."""
    factors = rng.normal(size=(400, 10)) @ rng.normal(size=(10, 256))
    words = rng.poisson(0.05, size=(400, 400)) * 1.0
    days = np.cumsum(rng.normal(size=(400, 24)), 1)
    shuffled = images(16, 16, n=400)[:, rng.permutation(256)]
    channels = np.cumsum(rng.normal(size=(400, 9, 16)), 2)
    noise = rng.normal(size=(400, 256))
    return {
        "noise": noise,
        "factors": factors + 0.1 * noise,
        "words": words,
        "days of hours": np.tile(days, 24) + 0.5 * rng.normal(size=(400, 576)),
        "series of channels": channels.transpose(0, 2, 1).reshape(400, -1),
        "images out of order": shuffled,
        "one value": np.full((400, 64), 3.0),
        "few that vary": np.pad(images(8, 1, n=400), ((0, 0), (0, 56))),
        "one row": noise[:1],
        "short series": np.cumsum(noise[:, :50], 1),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", series(np.random.default_rng(0)))
def test_series_have_a_length_and_are_no_images(kind, seed):
    X = series(np.random.default_rng(seed))[kind]
    assert seen(X) == X.shape[1:]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", others(np.random.default_rng(0)))
def test_other_rows_have_no_order(kind, seed):
    assert seen(others(np.random.default_rng(seed))[kind]) is None


@pytest.mark.parametrize("side", [160, 224])
def test_photographs_are_images(side):
    parts = extract_patches_2d(
        load_sample_image("flower.jpg"), (side, side), max_patches=60, random_state=0
    )
    assert seen(parts.reshape(60, -1)) == (side, side, 3)
    assert seen(parts.mean(3).reshape(60, -1)) == (side, side)


@pytest.mark.parametrize("shape", [(7, 10), (8, 17), (1, 100)])
def test_images_that_are_too_small_or_too_oblong_are_not_looked_for(shape):
    assert seen(images(*shape)) in {None, (shape[0] * shape[1],)}


def test_only_some_of_many_rows_are_read(monkeypatch):
    read, take = [], Rows.take
    monkeypatch.setattr(
        Rows, "take", lambda self, i: read.append(len(i)) or take(self, i)
    )
    monkeypatch.setattr(module, "ROWS_SEEN", 100)
    monkeypatch.setattr(module, "PIXELS_SEEN", 50)
    assert seen(images(10, 10)) == (10, 10)
    assert read == [100]
    monkeypatch.setattr(module, "VALUES_SEEN", 6099)
    assert seen(images(10, 10)) == (10, 10)
    assert read.pop() == 60
    monkeypatch.setattr(module, "WIDEST_IMAGE", 99)
    monkeypatch.setattr(module, "WIDEST", 99)
    assert seen(images(10, 10)) is None
    assert read == [100]


# ---------------------------------------------------------------------------
# What their border is around
# ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 6), min_size=4, max_size=4),
    st.integers(1, 3),
    st.floats(0, 0.05),
    st.floats(-10, 10),
)
def test_window_is_what_varies_by_more_than_a_faint_noise(cut, channels, noise, colour):
    left, right, top, bottom = cut
    shape = channels, top + 5 + bottom, left + 4 + right
    rng = np.random.default_rng(0)
    X = colour + noise * rng.normal(size=(200, *shape))
    # In one of the channels.
    X[:, -1, top : top + 5, left : left + 4] += rng.normal(size=(200, 5, 4))
    seen = varying_window(Rows(X.reshape(200, -1)), shape)
    width, height = left + 4 + right, top + 5 + bottom
    assert seen == (
        (left / width, (left + 4) / width),
        (top / height, (top + 5) / height),
    )


def test_window_is_where_any_pixel_varies_even_if_rows_and_columns_between_do_not():
    X = np.zeros((9, 1, 5, 10))
    X[0, 0, 1, 2] = X[1, 0, 3, 7] = 1
    assert varying_window(Rows(X.reshape(9, -1)), (1, 5, 10)) == (
        (0.2, 0.8),
        (0.2, 0.8),
    )


@pytest.mark.parametrize("n", [1, 5])
def test_window_of_images_that_are_all_the_same_is_the_whole(n):
    X = np.tile(np.arange(12.0), (n, 1))
    assert varying_window(Rows(X), (1, 3, 4)) == ((0, 1), (0, 1))
