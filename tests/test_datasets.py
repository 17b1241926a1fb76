"""Data sets: one form for all, files, fallback to scikit-learn, synthetic ones."""

from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix, issparse

from skmixae import datasets
from skmixae.datasets import (
    DATASETS,
    dataset_names,
    load_dataset,
    load_digits,
    load_mnist,
    load_newsgroups20,
    load_reuters,
    load_usps,
)

SYNTHETIC = ["moons", "circles"]
FILES = {
    "mnist": ("mnist.npz", (70000, 784), 10),
    "usps": ("usps.npz", (9298, 256), 10),
    "har": ("har.npz", (10299, 561), 6),
    "newsgroups20": ("newsgroups20.npz", (18846, 2000), 20),
    "reuters": ("reuters21578.npz", (8293, 2000), 65),
}


@pytest.fixture
def nowhere(monkeypatch):
    """No data folder: only scikit-learn can help."""
    monkeypatch.delenv("SKMIXAE_DATA", raising=False)


def assert_in_the_common_form(dataset, n_classes):
    data, target = dataset.data, dataset.target
    assert data.ndim == 2
    assert data.dtype == np.float32
    assert target.shape == (data.shape[0],)
    assert target.dtype == np.int64
    assert_array_equal(np.unique(target), np.arange(n_classes))
    if dataset.input_shape is not None:
        assert np.prod(dataset.input_shape) == data.shape[1]
        assert data.min() == 0
        assert data.max() == 1
    if dataset.target_names is not None:
        assert len(dataset.target_names) == n_classes
    assert isinstance(dataset.DESCR, str)


# ---------------------------------------------------------------------------
# Real data
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_real_data_have_the_common_form(name, data_home):
    filename, shape, n_classes = FILES[name]
    if not (data_home / filename).is_file():
        pytest.skip(f"no {filename} in {data_home}")
    dataset = load_dataset(name, data_home=data_home)
    assert_in_the_common_form(dataset, n_classes)
    assert dataset.data.shape == shape


def test_text_rows_are_sparse_and_have_length_one(data_home):
    if not (data_home / "reuters21578.npz").is_file():
        pytest.skip(f"no reuters21578.npz in {data_home}")
    X, _ = load_reuters(data_home=data_home, return_X_y=True)
    assert isinstance(X, csr_matrix)
    assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), 1, rtol=1e-5)


def test_digits_come_with_scikit_learn(nowhere):
    dataset = load_digits()
    assert_in_the_common_form(dataset, 10)
    expected = sklearn.datasets.load_digits()
    assert_allclose(dataset.data * 16, expected.data)
    assert_array_equal(dataset.target, expected.target)


# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------


def write(folder, filename, X, y):
    np.savez(folder / filename, X=X, y=np.asarray(y, dtype=np.uint8))


def test_the_folder_given_wins_over_the_environment(tmp_path, monkeypatch):
    given, environment = tmp_path / "given", tmp_path / "environment"
    for folder, n_samples in ((given, 2), (environment, 3)):
        folder.mkdir()
        pixels = np.full((n_samples, 28, 28), 255, dtype=np.uint8)
        write(folder, "mnist.npz", pixels, range(n_samples))
    monkeypatch.setenv("SKMIXAE_DATA", str(environment))
    assert len(load_mnist().data) == 3
    assert len(load_mnist(data_home=given).data) == 2
    assert len(load_mnist(data_home=str(given)).data) == 2


def test_pixels_are_scaled_by_their_range_not_by_what_occurs(tmp_path):
    pixels = np.full((2, 28, 28), 51, dtype=np.uint8)
    write(tmp_path, "mnist.npz", pixels, [0, 1])
    X, _ = load_mnist(data_home=tmp_path, return_X_y=True)
    assert X.dtype == np.float32
    assert_allclose(X, 0.2)


def test_a_file_cannot_run_code(tmp_path):
    np.savez(tmp_path / "usps.npz", X=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_usps(data_home=tmp_path)


def test_a_file_without_the_arrays_gets_a_clear_error(tmp_path):
    np.savez(tmp_path / "usps.npz", images=np.zeros((1, 256)), y=np.zeros(1))
    with pytest.raises(ValueError, match=r"usps\.npz must hold .* missing are \['X'\]"):
        load_usps(data_home=tmp_path)


def test_the_largest_classes_of_reuters_are_kept_in_order_of_size(tmp_path):
    counts = np.eye(6, 5, dtype=np.uint8) + 1
    write(tmp_path, "reuters21578.npz", counts, [2, 0, 1, 1, 2, 2])
    X, y = load_reuters(data_home=tmp_path, n_largest_classes=2, return_X_y=True)
    assert X.shape == (5, 5)
    assert_array_equal(y, [0, 1, 1, 0, 0])
    for n_classes in (0, 4, 2.0):
        with pytest.raises(ValueError, match=f"from 1 to 3; got {n_classes}"):
            load_reuters(data_home=tmp_path, n_largest_classes=n_classes)


def test_terms_are_weighed_by_the_articles_that_are_kept(tmp_path):
    counts = np.array([[1, 1], [1, 0], [0, 9]], dtype=np.uint8)
    write(tmp_path, "reuters21578.npz", counts, [0, 0, 1])
    X, _ = load_reuters(data_home=tmp_path, n_largest_classes=1, return_X_y=True)
    # Among the first two rows the terms occur 2 times and once: idf 1 and ln(3/2) + 1.
    weights = np.array([1, np.log(3 / 2) + 1])
    assert_allclose(X.toarray()[0], weights / np.linalg.norm(weights), rtol=1e-6)


# ---------------------------------------------------------------------------
# Fallback to scikit-learn's fetchers
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data_id", "stored", "labels", "expected"),
    [
        ("mnist", 554, [0, 51, 255], ["5", "0", "9"], [0, 0.2, 1]),
        ("usps", 41082, [-1.0, 0.0, 1.0], ["6", "1", "10"], [0, 0.5, 1]),
        ("har", 1478, [-1.0, 0.0, 1.0], ["6", "1", "3"], [-1, 0, 1]),
    ],
)
def test_openml_is_brought_to_the_form_of_the_files(
    name, data_id, stored, labels, expected, nowhere, monkeypatch, tmp_path
):
    asked = {}

    def fetch_openml(**options):
        asked.update(options)
        width = {"mnist": 784, "usps": 256, "har": 561}[name]
        pixels = np.repeat(np.array(stored)[:, None], width, axis=1)
        return pixels, np.array(labels, dtype=object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    X, y = load_dataset(name, data_home=tmp_path, return_X_y=True)
    assert asked["data_id"] == data_id
    assert asked["data_home"] == str(tmp_path)
    assert X.dtype == np.float32
    assert_allclose(X[:, 0], expected)
    assert_array_equal(y, [int(label) - (name != "mnist") for label in labels])


def test_newsgroups_are_fetched_as_texts_and_weighed(nowhere, monkeypatch):
    texts = ["goal keeper goal", "rocket orbit", "orbit goal the of"]

    def fetch_20newsgroups(**options):
        assert options["subset"] == "all"
        assert options["data_home"] is None
        return texts, np.array([10, 14, 14])

    monkeypatch.setattr(sklearn.datasets, "fetch_20newsgroups", fetch_20newsgroups)
    X, y = load_newsgroups20(return_X_y=True)
    assert issparse(X)
    assert X.dtype == np.float32
    assert X.shape == (3, 4)  # goal, keeper, orbit, rocket: no stop words
    assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), 1, rtol=1e-6)
    assert_array_equal(y, [10, 14, 14])


def test_a_shared_data_folder_is_never_used_as_a_cache(monkeypatch, tmp_path):
    def fetch_openml(**options):
        assert options["data_home"] is None
        return np.zeros((1, 784)), np.array(["0"])

    monkeypatch.setenv("SKMIXAE_DATA", str(tmp_path))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    assert load_mnist().data.shape == (1, 784)


def test_what_cannot_be_fetched_says_where_it_looked_and_what_to_do(
    nowhere, monkeypatch, tmp_path
):
    with pytest.raises(FileNotFoundError, match="SKMIXAE_DATA is not set"):
        load_reuters()
    with pytest.raises(FileNotFoundError) as error:
        load_reuters(data_home=tmp_path)
    assert str(tmp_path / "reuters21578.npz") in str(error.value)
    monkeypatch.setenv("SKMIXAE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Put a file reuters21578"):
        load_reuters()


@pytest.mark.parametrize("error", [URLError("no network"), TimeoutError("late")])
def test_without_a_network_the_error_says_which_file_to_bring(
    nowhere, monkeypatch, error
):
    def fetch_openml(**options):
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(ConnectionError, match=r"Put a file mnist\.npz") as caught:
        load_mnist()
    assert str(error) in str(caught.value)
    assert caught.value.__cause__ is error


def test_an_error_of_the_disk_while_fetching_is_not_called_one_of_the_network(
    nowhere, monkeypatch
):
    def fetch_openml(**options):
        raise PermissionError("read-only")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(PermissionError, match="read-only"):
        load_mnist()


# ---------------------------------------------------------------------------
# Synthetic data and names
# ---------------------------------------------------------------------------


@pytest.mark.rng_untouched
@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_data_are_deterministic_and_two_dimensional(name):
    dataset = load_dataset(name, n_samples=101)
    assert_in_the_common_form(dataset, 2)
    assert dataset.data.shape == (101, 2)
    assert_array_equal(dataset.data, load_dataset(name, n_samples=101).data)
    other = load_dataset(name, n_samples=101, random_state=1)
    assert not np.array_equal(dataset.data, other.data)


def test_moons_and_circles_carry_the_names_of_their_classes():
    moons = load_dataset("moons", noise=0.0)
    upper = moons.data[moons.target == moons.target_names.index("upper")]
    assert upper[:, 1].min() >= -1e-6
    circles = load_dataset("circles", noise=0.0)
    inner = circles.data[circles.target == circles.target_names.index("inner")]
    assert_allclose(np.linalg.norm(inner, axis=1), 0.5, rtol=1e-6)


def test_every_loader_is_registered_and_takes_the_common_options():
    loaders = {name for name in datasets.__all__ if name.startswith("load_")}
    assert loaders - {"load_dataset"} == {f"load_{name}" for name in DATASETS}
    assert dataset_names() == list(DATASETS)
    for name in ["digits", *SYNTHETIC]:
        X, y = load_dataset(name, data_home=None, return_X_y=True)
        assert len(X) == len(y)


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"one of \['digits', .*; got 'iris'"):
        load_dataset("iris")
