"""The shape of rows: given, recognised, or that of vectors."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering, presets

X = load_digits().data[:200]
WALKS = np.cumsum(np.random.default_rng(0).normal(size=(200, 60)), 1)


def small(**params):
    defaults = {
        "n_clusters": 3, "hidden_layer_sizes": (8,), "max_epochs": 1, "n_init": 1,
        "random_state": 0,
    }  # fmt: skip
    return MixAEClustering(**(defaults | params))


class Linear(torch.nn.Module):
    """An expert that reads rows of one dimension."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        (n,) = input_shape
        self.encode = torch.nn.Linear(n, latent_dim)
        self.decode = torch.nn.Linear(latent_dim, n)


@pytest.mark.parametrize("architecture", ["mlp", "conv2d"])
def test_images_that_are_recognised_are_those_whose_shape_is_given(architecture):
    found = small(architecture=architecture).fit(X)
    given = small(architecture=architecture, input_shape=(8, 8)).fit(X)
    assert found.input_shape_ == given.input_shape_ == (8, 8)
    assert_array_equal(found.predict_proba(X), given.predict_proba(X))
    assert found.get_params()["input_shape"] == "auto"


def test_series_that_are_recognised_are_those_whose_length_is_given():
    found, given = small().fit(WALKS), small(input_shape=(60,)).fit(WALKS)
    assert found.input_shape_ == given.input_shape_ == (60,)
    assert_array_equal(found.predict_proba(WALKS), given.predict_proba(WALKS))
    assert_array_equal(found.reconstruct(WALKS), given.reconstruct(WALKS))


@pytest.mark.parametrize("rows", [X, WALKS])
def test_none_means_vectors(rows):
    vectors = small(input_shape=None).fit(rows)
    assert vectors.input_shape_ == rows.shape[1:]
    found = small().fit(rows)
    assert not np.allclose(vectors.predict_proba(rows), found.predict_proba(rows))


@pytest.mark.parametrize(
    "params",
    [
        {"whitening": 0.5},
        {"whitening": None},
        {"n_components": 20},
        {"directions": True},
        {"directions": False},
        {"architecture": "conv1d"},
        {"architecture": Linear},
        {"n_active": 2},
    ],
    ids=str,
)
def test_rows_of_which_something_else_is_asked_are_vectors(params):
    assert small(**params).fit(X).input_shape_ == (64,)


def test_scaled_pixels_are_pixels():
    model = make_pipeline(StandardScaler(), small()).fit(X)
    assert model[-1].input_shape_ == (8, 8)


def test_a_stream_is_of_what_its_first_chunk_is():
    model = small().partial_fit(X[:100])
    noise = np.random.default_rng(0).normal(size=(20, 64))
    assert model.partial_fit(noise).input_shape_ == (8, 8)
    vectors = small().partial_fit(noise)
    assert vectors.partial_fit(X).input_shape_ == (64,)


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_training_goes_on_with_colours_where_they_were(fit):
    """Whether they come first or last, as many numbers are read."""
    X = np.random.default_rng(0).uniform(size=(40, 8 * 8 * 3))
    model = small(input_shape=(8, 8, 3), warm_start=True).fit(X)
    before = model.predict_proba(X)
    model.set_params(input_shape=(3, 8, 8))
    with pytest.raises(ValueError, match=r"input_shape.* differ from those of the fit"):
        getattr(model, fit)(X)
    assert_array_equal(model.predict_proba(X), before)
    assert model.input_shape_ == (8, 8, 3)


def test_training_goes_on_as_images_and_refuses_vectors():
    model = small(warm_start=True).fit(X)
    noise = np.random.default_rng(0).normal(size=X.shape)
    assert model.fit(noise).input_shape_ == (8, 8)
    before = model.predict_proba(X)
    model.set_params(input_shape=None)
    with pytest.raises(ValueError, match=r"input_shape.* differ from those of the fit"):
        model.fit(X)
    assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize(("rows", "shape"), [(X, (8, 8)), (WALKS, (60,))])
def test_what_was_found_survives_a_file_and_a_clone_asks_again(rows, shape, tmp_path):
    model = small().fit(rows)
    model.save(tmp_path / "model.safetensors")
    again = MixAEClustering.load(tmp_path / "model.safetensors")
    assert again.input_shape_ == shape
    assert_array_equal(again.predict_proba(rows), model.predict_proba(rows))
    again.set_params(warm_start=True).fit(rows)
    again.set_params(warm_start=False).partial_fit(rows[:50])
    noise = np.random.default_rng(0).normal(size=rows.shape)
    vectors = clone(again).fit(noise)
    assert vectors.input_shape_ == rows.shape[1:]
    assert vectors._moments.shape is None


def test_convolutions_say_that_no_image_was_found():
    noise = np.random.default_rng(0).normal(size=X.shape)
    with pytest.raises(ValueError, match=r"'conv2d' needs the 'input_shape'"):
        small(architecture="conv2d").fit(noise)


def test_the_paper_reads_vectors_unless_it_is_told():
    assert presets.paper(3, max_epochs=1).fit(X).input_shape_ == (64,)


def test_the_guess_is_said_aloud_to_whom_asks(capsys):
    small(verbose=1).fit(X)
    assert "images of 8 x 8; else input_shape=None" in capsys.readouterr().out
    stream = small(verbose=1).partial_fit(X)
    assert "images of 8 x 8; else input_shape=None" in capsys.readouterr().out
    stream.partial_fit(X)
    assert not capsys.readouterr().out
    small(verbose=1).fit(WALKS)
    assert "series of 60; else input_shape=None" in capsys.readouterr().out
    small(verbose=1, input_shape=(8, 8)).fit(X)
    assert "images" not in capsys.readouterr().out
    small().fit(X)
    assert not capsys.readouterr().out
