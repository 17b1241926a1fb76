"""The data sets. A new one is a line of :data:`DATASETS`."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn import datasets as toy
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from benchmarks._rows import Problem, new_problem
from benchmarks.quality.embeddings import (
    embedded_letters,
    embedded_mnist,
    embedded_new_digits,
    embedded_usps,
    latent_mnist,
)
from skmixae.datasets import load_dataset

# (rows, classes, input_shape); a data set without a shape has None.
Parts = tuple[Any, np.ndarray, tuple[int, ...] | None]


def stored(name: str, **options: Any) -> Parts:
    """Load a set of skmixae.datasets, as every user of it gets it."""
    dataset = load_dataset(name, **options)
    return dataset.data, dataset.target, dataset.input_shape


def scaled(load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Parts:
    """Bring features of different units to one scale."""
    rows, classes = load()
    return StandardScaler().fit_transform(rows).astype(np.float32), classes, None


# Other files in a folder of images are words about them.
IMAGES = {".pgm", ".png"}
IDX_IMAGES = "*-images-idx3-ubyte.gz"
# The shapes, their sizes apart, are those of scikit-learn's example
# cluster/plot_cluster_comparison.py: its noise, its seeds, its scaling.
_SHAPE_ROWS = 1500


def _sheared_blobs() -> tuple[np.ndarray, np.ndarray]:
    rows, classes = toy.make_blobs(_SHAPE_ROWS, random_state=170)
    return rows @ [[0.6, -0.6], [-0.4, 0.8]], classes


def _uneven_blobs(n_features: int, cluster_std: float) -> Parts:
    """Make clusters that are apart, the largest of 40 times the rows of the least."""
    make = partial(
        toy.make_blobs, [2000, 800, 300, 100, 50], n_features, cluster_std=cluster_std
    )
    return scaled(partial(make, random_state=1))


def _latent_classes() -> Parts:
    """Make indicators of categories, which are independent in each of five classes."""
    rng = np.random.default_rng(0)
    classes = rng.choice(5, 2000, p=[0.53, 0.26, 0.13, 0.06, 0.02])
    chances = rng.dirichlet(np.ones(4), (5, 20)).cumsum(-1)  # (classes, features, 4)
    values = (rng.random((2000, 20, 1)) > chances[classes]).sum(-1).clip(max=3)
    rows = OneHotEncoder(sparse_output=False, dtype=np.float32).fit_transform(values)
    return rows, classes, None


def _expressed_genes() -> Parts:
    """Make few rows of many features, of which a twentieth tells of one class each."""
    rng = np.random.default_rng(0)
    classes = rng.choice(4, 100, p=[0.4, 0.3, 0.2, 0.1])
    rows = rng.normal(size=(100, 1000))
    for k in range(4):
        rows[classes == k, 50 * k : 50 * (k + 1)] += 1.5
    return rows.astype(np.float32), classes, None


def _customers() -> Parts:
    """Make numbers with categories among them, which three kinds of people differ in.

    And one, the day, that says nothing.
    """
    rng = np.random.default_rng(0)
    classes = rng.choice(3, 1000, p=[0.5, 0.3, 0.2])
    age = np.array([30, 45, 68])[classes] + rng.normal(0, 6, 1000)
    income = np.exp(np.array([10, 11, 10.3])[classes] + rng.normal(0, 0.4, 1000))
    visits = rng.poisson(np.array([12, 4, 2])[classes])
    chances = np.array([[7, 1, 1, 1], [1, 7, 1, 1], [1, 2, 3, 4]]).cumsum(1) / 10
    city = (rng.random((1000, 1)) > chances[classes]).sum(1)
    numbers = StandardScaler().fit_transform(np.column_stack([age, income, visits]))
    values = np.column_stack([city, rng.integers(7, size=1000)])
    coded = OneHotEncoder(sparse_output=False).fit_transform(values)
    return np.hstack([numbers, coded]).astype(np.float32), classes, None


def _uneven_images(name: str) -> Parts:
    """Keep a sixth of the rows of every second class, the first of each."""
    rows, classes, shape = stored(name)
    own = [np.flatnonzero(classes == one) for one in np.unique(classes)[::2]]
    kept = np.delete(
        np.arange(len(rows)), np.concatenate([i[len(i) // 6 :] for i in own])
    )
    return rows[kept], classes[kept], shape


def _tinted_images(name: str) -> Parts:
    """Give each image a colour of its own, one channel after the other."""
    rows, classes, shape = stored(name)
    n, (height, width) = len(rows), shape
    colours = np.random.RandomState(0).uniform(0.2, 1, (n, 3, 1)).astype(np.float32)
    return (rows[:, None] * colours).reshape(n, -1), classes, (3, height, width)


def _drawn_letters() -> Parts:
    from benchmarks.quality.letters import drawn_letters  # needs matplotlib's fonts

    return drawn_letters()


def _turning_bodies(n_bodies: int = 20, n_views: int = 72, size: int = 32) -> Parts:
    """Make images of bodies that turn before a camera, five degrees each, as COIL-20's.

    A body is sixty bright spots about its centre. The nearer hide those behind them,
    and are brighter.
    """
    rng, line = np.random.default_rng(0), np.linspace(-1, 1, size)
    turns = 2 * np.pi * np.arange(n_views) / n_views
    images = np.zeros((n_bodies, n_views, size, size), np.float32)
    for body in images:
        axes, spots = rng.uniform(0.25, 0.9, 3), rng.normal(size=(60, 3))
        spots /= np.linalg.norm(spots, axis=1, keepdims=True)
        x, y, z = (spots * axes * rng.uniform(0.6, 1, (60, 1))).T
        light, width = rng.uniform(0.2, 1, 60), rng.uniform(0.08, 0.2)
        for view, turn in zip(body, turns, strict=True):
            across = np.cos(turn) * x + np.sin(turn) * z
            depth = np.cos(turn) * z - np.sin(turn) * x
            for i in np.argsort(depth):
                far = np.add.outer((line - y[i]) ** 2, (line - across[i]) ** 2)
                cover = np.exp(-far / (2 * width**2))
                view += cover * (light[i] * (0.6 + 0.4 * depth[i]) - view)
    rows = images.reshape(n_bodies * n_views, size**2)
    return rows, np.repeat(np.arange(n_bodies), n_views), (size, size)


def _table(load: Callable[..., Any]) -> Callable[[], Parts]:
    return partial(scaled, partial(load, return_X_y=True))


def _shape(make: Callable[..., Any], seed: int, **options: Any) -> Callable[[], Parts]:
    return partial(scaled, partial(make, _SHAPE_ROWS, random_state=seed, **options))


DATASETS: dict[str, Callable[[], Parts]] = {
    "digits": partial(stored, "digits"),
    "usps": partial(stored, "usps"),
    "mnist": partial(stored, "mnist"),
    "har": partial(stored, "har"),
    "newsgroups20": partial(stored, "newsgroups20"),
    "reuters": partial(stored, "reuters"),
    # Rows chosen by class: a definition of the field, not a choice of a method.
    "reuters4": partial(stored, "reuters", n_largest_classes=4),
    "iris": _table(toy.load_iris),
    "wine": _table(toy.load_wine),
    "breast_cancer": _table(toy.load_breast_cancer),
    "moons": _shape(toy.make_moons, 30, noise=0.05),
    "circles": _shape(toy.make_circles, 30, noise=0.05, factor=0.5),
    "blobs": _shape(toy.make_blobs, 30),
    "varied": _shape(toy.make_blobs, 170, cluster_std=[1.0, 2.5, 0.5]),
    "aniso": partial(scaled, _sheared_blobs),
    "digits_uneven": partial(_uneven_images, "digits"),
    "usps_uneven": partial(_uneven_images, "usps"),
    "usps_tinted": partial(_tinted_images, "usps"),
    "drawn_letters": _drawn_letters,
    "usps_embedded": embedded_usps,
    "letters_embedded": embedded_letters,
    "new_digits_embedded": embedded_new_digits,
    "mnist_embedded": embedded_mnist,
    "mnist_latents": latent_mnist,
    "uneven": partial(_uneven_blobs, 10, 3.0),
    "uneven_wide": partial(_uneven_blobs, 200, 12.0),
    "latent_classes": _latent_classes,
    "customers": _customers,
    "genes": _expressed_genes,
    "turning": _turning_bodies,
    "turning100": partial(_turning_bodies, 100),
    "turning_large": partial(_turning_bodies, size=64),
}


def add_file(path: Path) -> str:
    """Add a file or folder of rows to the data sets; return the name that it has there.

    Values are separated by commas, the last of a line is its class, and lines that
    start with "@" say something else, as in KEEL's files. Columns of numbers are
    brought to one scale; others are categories, with an indicator for each value. Or a
    ``NAME_TRAIN.ts`` of the UCR archive, with ``NAME_TEST.ts`` beside: series of one
    length, as they are, channel after channel. Or a folder with one of grey images for
    each class, all of one size, or with files in the format that MNIST came in
    (``*-images-idx3-ubyte.gz``, and ``*-labels-idx1-ubyte.gz`` beside).
    """
    if path.is_dir():
        read = _read_idx if any(path.glob(IDX_IMAGES)) else _read_images
        DATASETS[path.name] = partial(read, path)
        return path.name
    if path.suffix == ".ts":
        name = path.stem.removesuffix("_TRAIN")
        parts = [path, path.with_name(f"{name}_TEST.ts")]
        DATASETS[name] = lambda: (*_read_series(parts), None)
        return name
    DATASETS[path.stem] = partial(_read, path)
    return path.stem


def _read(path: Path) -> Parts:
    with open(path, encoding="utf-8") as file:
        lines = [line.split(",") for line in file if line.strip() and line[0] != "@"]
    table = np.char.strip(np.array(lines))
    numeric = [_are_numbers(column) for column in table.T[:-1]]
    others = [not one for one in numeric]
    coded = make_column_transformer(
        (make_pipeline(FunctionTransformer(np.float64), StandardScaler()), numeric),
        (OneHotEncoder(drop="if_binary", sparse_output=False), others),
    )
    rows = coded.fit_transform(table[:, :-1])
    return rows.astype(np.float32), table[:, -1], None


def _are_numbers(column: np.ndarray) -> bool:
    try:
        column.astype(np.float64)
    except ValueError:
        return False
    return True


def _read_series(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    lines = [
        line.split(":")
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and line[0] not in "@#"
    ]
    rows = [",".join(channels).split(",") for *channels, _ in lines]
    classes = np.array([line[-1].strip() for line in lines])
    return np.array(rows, dtype=np.float32), classes


def _read_images(folder: Path) -> Parts:
    files = sorted(file for file in folder.glob("*/*") if file.suffix in IMAGES)
    images = np.array([Image.open(file) for file in files], dtype=np.float32) / 255
    classes = np.array([file.parent.name for file in files])
    return images.reshape(len(files), -1), classes, images.shape[1:]


def _read_idx(folder: Path) -> Parts:
    files = sorted(folder.glob(IDX_IMAGES), reverse=True)  # train before t10k
    images = np.concatenate([_read_bytes(file) for file in files])
    classes = np.concatenate(
        [
            _read_bytes(file.with_name(file.name.replace("images-idx3", "labels-idx1")))
            for file in files
        ]
    )
    rows = images.reshape(len(images), -1).astype(np.float32) / 255
    return rows, classes, images.shape[1:]


def _read_bytes(path: Path) -> np.ndarray:
    """Return the array of an idx file, whose head says how many sizes it has."""
    content = gzip.decompress(path.read_bytes())
    n_sizes = content[3]
    sizes = np.frombuffer(content, ">i4", n_sizes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 * (1 + n_sizes)).reshape(sizes)


def load(name: str, max_rows: int | None = None) -> Problem:
    """Load a data set by its name, or some of its rows."""
    return new_problem(name, *DATASETS[name](), max_rows)
