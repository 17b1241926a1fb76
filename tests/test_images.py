"""Images are read with channels first and few pixels, and leave as they came."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits, load_sample_image
from sklearn.feature_extraction.image import extract_patches_2d

from skmixae import MixAEClustering, presets

SMALL = load_digits().data[:120].astype(np.float32)


def enlarged(images, by):
    """Return 8 x 8 images with squares of so many pixels a side for each pixel."""
    squares = np.kron(images.reshape(len(images), 8, 8), np.ones((by, by), "f4"))
    return squares.reshape(len(images), -1)


def told_last(images):
    """Return images of 40 x 40 pixels with the colours of each side by side."""
    channels = images.reshape(len(images), -1, 40, 40)
    return np.moveaxis(channels, 1, -1).reshape(len(images), -1)


LARGE = enlarged(SMALL, 5)  # of 40 x 40 pixels


def small(**params):
    defaults = {
        "n_clusters": 3, "hidden_layer_sizes": (8,), "conv_channels": (2,),
        "max_epochs": 1, "n_init": 1, "random_state": 0, "input_shape": (40, 40),
    }  # fmt: skip
    return MixAEClustering(**(defaults | params))


class Flat(torch.nn.Module):
    """An expert of a user's own, that notes what it reads."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.shape, n = input_shape, int(np.prod(input_shape))
        self.down = torch.nn.Linear(n, latent_dim)
        self.up = torch.nn.Linear(latent_dim, n)

    def encode(self, rows):
        return self.down(rows.flatten(1))

    def decode(self, latents):
        return self.up(latents).unflatten(1, self.shape)


@pytest.mark.parametrize("architecture", ["mlp", "conv2d"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_images_are_clustered_as_those_that_they_are_averaged_to(architecture, kind):
    read = small(architecture=architecture, max_pixels=64).fit(kind(LARGE))
    given = small(architecture=architecture, input_shape=(8, 8)).fit(SMALL)
    assert read.input_shape_ == (40, 40)
    assert_array_equal(read.labels_, given.labels_)
    assert_array_equal(read.predict_proba(kind(LARGE)), given.predict_proba(SMALL))
    assert_array_equal(read.transform(LARGE), given.transform(SMALL))
    assert_array_equal(
        read.reconstruction_errors(LARGE), given.reconstruction_errors(SMALL)
    )
    assert_array_equal(read.score_samples(LARGE), given.score_samples(SMALL))


def test_what_is_reconstructed_has_squares_in_the_place_of_pixels():
    read = small(max_pixels=64).fit(LARGE)
    given = small(input_shape=(8, 8)).fit(SMALL)
    assert_allclose(
        read.reconstruct(LARGE), enlarged(given.reconstruct(SMALL), 5), rtol=1e-6
    )
    codes = read.transform(LARGE)
    assert_array_equal(read.inverse_transform(codes), read.reconstruct(LARGE))


@pytest.mark.parametrize("loss", ["mse", "bce", "cosine"])
def test_rows_that_are_drawn_have_all_pixels(loss):
    model = small(
        max_pixels=64, expert="variational", reconstruction_loss=loss
    ).fit(LARGE / 16)  # fmt: skip
    rows, _ = model.sample(4, random_state=0)
    assert rows.shape == (4, 1600)
    squares = rows.reshape(4, 8, 5, 8, 5)
    assert_array_equal(squares, squares[:, :, :1, :, :1].repeat(5, 2).repeat(5, 4))


def test_by_default_32_x_32_pixels_are_read():
    assert small().fit(LARGE)._network_spec.input_shape == (32, 32)
    assert small(input_shape=(8, 200)).fit(LARGE)._network_spec.input_shape == (6, 160)
    assert small(max_pixels=None).fit(LARGE)._network_spec.input_shape == (40, 40)


def test_colours_are_averaged_each_by_itself():
    colours = np.concatenate([LARGE, LARGE[::-1]], 1)
    read = small(input_shape=(2, 40, 40), max_pixels=64).fit(colours)
    pairs = np.concatenate([SMALL, SMALL[::-1]], 1)
    given = small(input_shape=(2, 8, 8)).fit(pairs)
    assert_array_equal(read.predict_proba(colours), given.predict_proba(pairs))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_images_that_are_not_flat_are_refused_with_the_way_out(kind):
    images = LARGE.reshape(120, 40, 40)
    with pytest.raises(ValueError, match=r"dim 3, .* dim <= 2") as told:
        small().fit(kind(images))
    assert "X.reshape(len(X), -1)" in str(told.value)
    assert "input_shape=(40, 40)" in str(told.value)
    model = small().fit(images.reshape(len(images), -1))
    with pytest.raises(ValueError, match="dim 3"):
        model.predict(kind(images))


@pytest.mark.parametrize("max_pixels", [None, 64])
def test_colours_may_come_last(max_pixels):
    first = np.concatenate([LARGE, LARGE[::-1], LARGE[:, ::-1]], 1)
    last = told_last(first)
    of_first = small(input_shape=(3, 40, 40), max_pixels=max_pixels)
    of_last = small(input_shape=(40, 40, 3), max_pixels=max_pixels)
    of_first.fit(first)
    of_last.fit(last)
    assert of_last.input_shape_ == (40, 40, 3)
    assert_array_equal(of_last.transform(last), of_first.transform(first))
    rebuilt = told_last(of_first.reconstruct(first))
    assert_array_equal(of_last.reconstruct(last), rebuilt)
    codes = of_last.transform(last)
    assert_array_equal(of_last.inverse_transform(codes), rebuilt)


@pytest.mark.parametrize("shape", [(16, 16, 3), (3, 16, 16)])
def test_colour_images_that_are_recognised_are_those_whose_shape_is_given(
    shape, tmp_path, capsys
):
    china = load_sample_image("china.jpg")
    parts = extract_patches_2d(china, (16, 16), max_patches=100, random_state=0)
    if shape[0] == 3:
        parts = np.moveaxis(parts, -1, 1)
    rows = parts.reshape(100, -1) / np.float32(255)
    found = small(input_shape="auto", verbose=1).fit(rows)
    size = " x ".join(map(str, shape))
    said = f"rows are read as images of {size}; else input_shape=None"
    assert said in capsys.readouterr().out
    assert found.input_shape_ == shape
    given = small(input_shape=shape).fit(rows)
    assert_array_equal(found.predict_proba(rows), given.predict_proba(rows))
    found.save(tmp_path / "model.safetensors")
    again = MixAEClustering.load(tmp_path / "model.safetensors")
    assert_array_equal(again.reconstruct(rows), given.reconstruct(rows))


def test_experts_of_a_user_s_own_read_all_unless_they_are_told():
    whole = small(architecture=Flat).fit(LARGE)
    assert whole.module_.experts.experts[0].shape == (40, 40)
    few = small(architecture=Flat, max_pixels=100).fit(LARGE)
    assert few.module_.experts.experts[0].shape == (10, 10)


def test_a_change_of_a_user_s_own_gets_the_pixels_that_are_read():
    shapes = set()

    def change(images, generator):
        shapes.add(tuple(images.shape[1:]))
        return images

    small(max_pixels=64, consistency=change).fit(LARGE)
    assert shapes == {(8, 8)}


@pytest.mark.parametrize("params", [{"input_shape": None}, {"input_shape": (1600,)}])
def test_vectors_and_series_are_read_whole(params):
    few, all_of_them = (
        small(**params, max_pixels=most).fit(LARGE) for most in (10, None)
    )
    assert_array_equal(few.predict_proba(LARGE), all_of_them.predict_proba(LARGE))


def test_the_paper_reads_all_pixels():
    settings = {"input_shape": (40, 40), "max_epochs": 1, "conv_channels": (2,)}
    model = presets.paper(3, **settings).fit(LARGE)
    assert model._network_spec.input_shape == (40, 40)


def test_a_file_keeps_how_images_are_read(tmp_path):
    model = small(max_pixels=64).fit(LARGE)
    model.save(tmp_path / "model.safetensors")
    again = MixAEClustering.load(tmp_path / "model.safetensors")
    assert_array_equal(again.predict_proba(LARGE), model.predict_proba(LARGE))
    assert_array_equal(again.reconstruct(LARGE), model.reconstruct(LARGE))
    # Whatever the next fit is to do.
    again.set_params(max_pixels=None)
    assert_array_equal(again.predict_proba(LARGE), model.predict_proba(LARGE))


@pytest.mark.parametrize("goes_on", ["partial_fit", "warm_start"])
def test_training_goes_on_with_the_same_pixels_and_refuses_others(goes_on):
    model = small(max_pixels=64, warm_start=goes_on == "warm_start").fit(LARGE)
    train = model.partial_fit if goes_on == "partial_fit" else model.fit
    assert train(LARGE).input_shape_ == (40, 40)
    before = model.predict_proba(LARGE)
    model.set_params(max_pixels=100)
    with pytest.raises(ValueError, match=r"max_pixels.* differ from those of the fit"):
        train(LARGE)
    assert_array_equal(model.predict_proba(LARGE), before)


def test_a_stream_of_large_images_is_that_of_small_ones():
    read, given = small(max_pixels=64), small(input_shape=(8, 8))
    for chunk in (slice(0, 60), slice(60, 120)):
        read.partial_fit(LARGE[chunk])
        given.partial_fit(SMALL[chunk])
    assert_array_equal(read.predict_proba(LARGE), given.predict_proba(SMALL))


def test_images_on_disk_are_clustered_as_those_in_memory(tmp_path):
    np.save(tmp_path / "rows.npy", LARGE)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    on_disk, in_memory = (small(max_pixels=64).fit(rows) for rows in (mapped, LARGE))
    assert_array_equal(on_disk.predict_proba(mapped), in_memory.predict_proba(LARGE))


def test_how_images_are_read_is_said_aloud_to_whom_asks(capsys):
    small(verbose=1, max_pixels=64).fit(LARGE)
    said = "images of 40 x 40, averaged to 8 x 8; else max_pixels=None"
    assert said in capsys.readouterr().out
    small(verbose=1, input_shape="auto", max_pixels=16).fit(SMALL)
    said = "8 x 8, averaged to 4 x 4; else max_pixels=None or input_shape=None"
    assert said in capsys.readouterr().out
    small(verbose=1, max_pixels=None).fit(LARGE)
    assert "pixels" not in capsys.readouterr().out
