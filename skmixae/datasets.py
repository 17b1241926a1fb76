"""Real data sets of the field and small synthetic ones, in one form.

Every loader returns flat float32 rows, integer labels from 0 and the shape of a row,
and every loader is in :data:`DATASETS` under its name. Labels are for reporting only.

A real data set is read from its ``.npz`` file in the folder ``data_home``, by default
the environment variable ``SKMIXAE_DATA``; where that file is missing, scikit-learn
fetches the set from its public source and keeps it in its own cache.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets as sklearn_datasets
from sklearn.utils import Bunch

from skmixae._dataset_sources import (
    SOURCES,
    DataHome,
    Raw,
    as_features,
    read_or_fetch,
)

__all__ = [
    "DATASETS",
    "dataset_names",
    "load_circles",
    "load_dataset",
    "load_digits",
    "load_har",
    "load_mnist",
    "load_moons",
    "load_newsgroups20",
    "load_reuters",
    "load_usps",
]

#: A Bunch, or (data, target): which one depends on ``return_X_y``.
Dataset: TypeAlias = Any


def _load(
    name: str,
    data_home: DataHome,
    return_X_y: bool,
    select: Callable[[Raw], Raw] | None = None,
) -> Dataset:
    """Load a data set of the table, or the rows of it that ``select`` keeps."""
    source = SOURCES[name]
    raw = read_or_fetch(name, data_home)
    if select is not None:
        raw = select(raw)
    return _bundle(
        source.prepare(raw.data),
        raw.target,
        return_X_y,
        source.description,
        source.input_shape,
        source.target_names,
    )


def _bundle(
    data: Any,
    target: NDArray[Any],
    return_X_y: bool,
    description: str,
    input_shape: tuple[int, ...] | None = None,
    target_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Return what every loader returns."""
    target = target.astype(np.int64, copy=False)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        input_shape=input_shape,
        target_names=None if target_names is None else list(target_names),
        DESCR=description,
    )


# ---------------------------------------------------------------------------
# Real data
# ---------------------------------------------------------------------------


def load_digits(*, data_home: DataHome = None, return_X_y: bool = False) -> Dataset:
    """Load scikit-learn's bundled digits: 1,797 images of 8x8 pixels, 10 classes.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Ignored: there so that all loaders can be called alike.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (1797, 64) float32 in [0, 1],
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Examples
    --------
    >>> from skmixae.datasets import load_digits
    >>> digits = load_digits()
    >>> digits.data.shape, digits.data.dtype, digits.input_shape
    ((1797, 64), dtype('float32'), (8, 8))
    """
    return _load("digits", data_home, return_X_y)


def load_mnist(*, data_home: DataHome = None, return_X_y: bool = False) -> Dataset:
    """Load MNIST: 70,000 handwritten digits of 28x28 pixels, 10 classes.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of ``mnist.npz``, by default that in the environment variable
        ``SKMIXAE_DATA``. Where that file is missing the set is fetched from
        OpenML and cached here, by default in scikit-learn's own data folder.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (70000, 784) float32 in [0, 1],
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Raises
    ------
    ConnectionError
        If the set must be fetched, and cannot be.

    Examples
    --------
    >>> from skmixae.datasets import load_mnist
    >>> load_mnist().data.shape  # doctest: +SKIP
    (70000, 784)
    """
    return _load("mnist", data_home, return_X_y)


def load_usps(*, data_home: DataHome = None, return_X_y: bool = False) -> Dataset:
    """Load USPS: 9,298 handwritten digits of 16x16 pixels, 10 classes.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of ``usps.npz``, by default that in the environment variable
        ``SKMIXAE_DATA``. Where that file is missing the set is fetched from
        OpenML and cached here, by default in scikit-learn's own data folder.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (9298, 256) float32 in [0, 1],
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Raises
    ------
    ConnectionError
        If the set must be fetched, and cannot be.

    Examples
    --------
    >>> from skmixae.datasets import load_usps
    >>> load_usps().data.shape  # doctest: +SKIP
    (9298, 256)
    """
    return _load("usps", data_home, return_X_y)


def load_har(*, data_home: DataHome = None, return_X_y: bool = False) -> Dataset:
    """Load UCI HAR: 10,299 windows of smartphone motion, 561 features, 6 classes.

    The MIXAE paper calls this set HHAR.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of ``har.npz``, by default that in the environment variable
        ``SKMIXAE_DATA``. Where that file is missing the set is fetched from
        OpenML and cached here, by default in scikit-learn's own data folder.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (10299, 561) float32 in [-1, 1],
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Raises
    ------
    ConnectionError
        If the set must be fetched, and cannot be.

    Examples
    --------
    >>> from skmixae.datasets import load_har
    >>> load_har().data.shape  # doctest: +SKIP
    (10299, 561)
    """
    return _load("har", data_home, return_X_y)


def load_newsgroups20(
    *, data_home: DataHome = None, return_X_y: bool = False
) -> Dataset:
    """Load 20 Newsgroups: 18,846 messages as tf-idf of 2,000 terms, 20 classes.

    Rows have length 1. `MixAEClustering` scales them itself; other networks may want
    them times ``sqrt(2000)``. The file and scikit-learn's fetcher cut the texts into
    terms in slightly different ways, so results on the two are not the same to the
    digit.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of ``newsgroups20.npz``, by default that in the environment variable
        ``SKMIXAE_DATA``. Where that file is missing the texts are fetched by
        :func:`~sklearn.datasets.fetch_20newsgroups` and cached here, by default in
        scikit-learn's own data folder.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (18846, 2000) float32 CSR,
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Raises
    ------
    ConnectionError
        If the set must be fetched, and cannot be.

    Examples
    --------
    >>> from skmixae.datasets import load_newsgroups20
    >>> load_newsgroups20().data.shape  # doctest: +SKIP
    (18846, 2000)
    """
    return _load("newsgroups20", data_home, return_X_y)


def load_reuters(
    *,
    n_largest_classes: int | None = None,
    data_home: DataHome = None,
    return_X_y: bool = False,
) -> Dataset:
    """Load Reuters-21578: 8,293 articles as tf-idf of 2,000 terms, 65 classes.

    The classes are very unequal: 3,713 articles in the largest, 2,055 in the next,
    then 321. ``n_largest_classes=4`` gives the four classes that are usual in the
    field, though not on the same articles as in the MIXAE paper (RCV1). Rows have
    length 1, as those of `load_newsgroups20`.

    Parameters
    ----------
    n_largest_classes : int, default=None
        Keep only the articles of so many classes, the largest first, and weigh the
        terms by these articles alone. By default all are kept.
    data_home : str or path-like, default=None
        Folder of ``reuters21578.npz``, by default that in the environment variable
        ``SKMIXAE_DATA``. There is no public source that it could be fetched from.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (n_samples, 2000) float32 CSR,
        ``target`` (n_samples,) int64 from 0, ``input_shape``, ``target_names`` and
        ``DESCR``, which tells the source.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If ``n_largest_classes`` is not between 1 and the number of classes.

    Examples
    --------
    >>> from skmixae.datasets import load_reuters
    >>> load_reuters().data.shape  # doctest: +SKIP
    (8293, 2000)
    >>> load_reuters(n_largest_classes=4).data.shape  # doctest: +SKIP
    (6387, 2000)
    """
    return _load(
        "reuters",
        data_home,
        return_X_y,
        select=lambda raw: _keep_largest_classes(raw, n_largest_classes),
    )


def _keep_largest_classes(raw: Raw, n_classes: int | None) -> Raw:
    """Keep the rows of the largest classes, labelled from 0 by descending size."""
    if n_classes is None:
        return raw
    sizes = np.bincount(raw.target)
    n_present = np.count_nonzero(sizes)
    if not isinstance(n_classes, numbers.Integral) or not 1 <= n_classes <= n_present:
        raise ValueError(
            f"n_largest_classes must be None or an integer from 1 to {n_present}; "
            f"got {n_classes!r}."
        )
    new_label = np.full(len(sizes), -1)
    new_label[np.argsort(-sizes, kind="stable")[:n_classes]] = np.arange(n_classes)
    target = new_label[raw.target]
    kept = target >= 0
    return Raw(raw.data[kept], target[kept])


# ---------------------------------------------------------------------------
# Synthetic data
# ---------------------------------------------------------------------------


def load_moons(
    *,
    n_samples: int = 1000,
    noise: float = 0.05,
    random_state: int | np.random.RandomState | None = 0,
    data_home: DataHome = None,
    return_X_y: bool = False,
) -> Dataset:
    """Generate two interleaving half-moons in the plane.

    Two curved manifolds that no straight line, and so not KMeans, can separate.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows, half of them in each class.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise, in units of a radius.
    random_state : int, RandomState instance or None, default=0
        Determines the noise and the order of rows.
    data_home : ignored
        There so that all loaders can be called alike.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (n_samples, 2) float32, ``target`` (n_samples,) int64 from 0,
        ``input_shape`` None, ``target_names`` and ``DESCR``.

    See Also
    --------
    sklearn.datasets.make_moons : The generator.

    Examples
    --------
    >>> from skmixae.datasets import load_moons
    >>> X, y = load_moons(n_samples=100, return_X_y=True)
    >>> X.shape, y.shape
    ((100, 2), (100,))
    """
    data, target = sklearn_datasets.make_moons(
        n_samples, noise=noise, random_state=random_state
    )
    return _bundle(
        as_features(data),
        target,
        return_X_y,
        "Two interleaving half-moons, by scikit-learn's make_moons.",
        target_names=("upper", "lower"),
    )


def load_circles(
    *,
    n_samples: int = 1000,
    noise: float = 0.05,
    random_state: int | np.random.RandomState | None = 0,
    data_home: DataHome = None,
    return_X_y: bool = False,
) -> Dataset:
    """Generate two concentric circles in the plane, of radius 1 and 0.5.

    Two closed curved manifolds with one centre, which KMeans cuts across.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows, half of them in each class.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise, in units of a radius.
    random_state : int, RandomState instance or None, default=0
        Determines the noise and the order of rows.
    data_home : ignored
        There so that all loaders can be called alike.
    return_X_y : bool, default=False
        Return ``(data, target)`` in place of a Bunch.

    Returns
    -------
    dataset : Bunch or (data, target)
        ``data`` (n_samples, 2) float32, ``target`` (n_samples,) int64 from 0,
        ``input_shape`` None, ``target_names`` and ``DESCR``.

    See Also
    --------
    sklearn.datasets.make_circles : The generator.

    Examples
    --------
    >>> from skmixae.datasets import load_circles
    >>> X, y = load_circles(n_samples=100, return_X_y=True)
    >>> X.shape, y.shape
    ((100, 2), (100,))
    """
    data, target = sklearn_datasets.make_circles(
        n_samples, noise=noise, random_state=random_state, factor=0.5
    )
    return _bundle(
        as_features(data),
        target,
        return_X_y,
        "Two concentric circles, by scikit-learn's make_circles.",
        target_names=("outer", "inner"),
    )


# ---------------------------------------------------------------------------
# By name
# ---------------------------------------------------------------------------

#: Every loader under its name.
DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": load_digits,
    "mnist": load_mnist,
    "usps": load_usps,
    "har": load_har,
    "newsgroups20": load_newsgroups20,
    "reuters": load_reuters,
    "moons": load_moons,
    "circles": load_circles,
}


def dataset_names() -> list[str]:
    """List the names that :func:`load_dataset` knows.

    Returns
    -------
    names : list of str
        Real data sets first, then synthetic ones.

    Examples
    --------
    >>> from skmixae.datasets import dataset_names
    >>> dataset_names()[:3]
    ['digits', 'mnist', 'usps']
    """
    return list(DATASETS)


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        One of :func:`dataset_names`.
    **options
        Passed on to the loader; all loaders take ``data_home`` and ``return_X_y``.

    Returns
    -------
    dataset : Bunch or (data, target)
        What the loader returns.

    Raises
    ------
    ValueError
        If there is no data set of that name.
    ConnectionError
        If it must be fetched, and cannot be.
    FileNotFoundError
        If it can only be read from a file, and there is none.

    Examples
    --------
    >>> from skmixae.datasets import load_dataset
    >>> load_dataset("circles", n_samples=10).data.shape
    (10, 2)
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {dataset_names()}; got {name!r}.")
    return DATASETS[name](**options)
