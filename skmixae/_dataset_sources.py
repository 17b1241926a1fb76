"""Where the real data sets come from: files, scikit-learn's fetchers, preparation.

A new data set is one entry of :data:`SOURCES` and one loader in ``datasets.py``.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn import datasets as sklearn_datasets
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

DataHome: TypeAlias = str | os.PathLike[str] | None

_N_TERMS = 2000  # the vocabulary of the field for text (DEC and its successors)


class Raw(NamedTuple):
    """A data set as it is stored: pixels, features, or counts of terms."""

    data: Any  # (n, ...)
    target: NDArray[Any]  # (n,), integers from 0


# ---------------------------------------------------------------------------
# scikit-learn's fetchers, each brought to the convention of the .npz files
# ---------------------------------------------------------------------------


def _fetch_openml(data_id: int, cache: str | None, first_label: int = 0) -> Raw:
    # The fast parser needs pandas, which is no dependency of this package.
    parser = "pandas" if importlib.util.find_spec("pandas") else "liac-arff"
    data, target = sklearn_datasets.fetch_openml(
        data_id=data_id, data_home=cache, as_frame=False, parser=parser, return_X_y=True
    )
    return Raw(data, target.astype(np.int64) - first_label)


def _fetch_digits(cache: str | None) -> Raw:
    return Raw(*sklearn_datasets.load_digits(return_X_y=True))


def _fetch_mnist(cache: str | None) -> Raw:
    return _fetch_openml(554, cache)


def _fetch_usps(cache: str | None) -> Raw:
    pixels, target = _fetch_openml(41082, cache, first_label=1)
    return Raw((pixels + 1.0) / 2.0, target)  # OpenML has them in [-1, 1]


def _fetch_har(cache: str | None) -> Raw:
    return _fetch_openml(1478, cache, first_label=1)


def _fetch_newsgroups20(cache: str | None) -> Raw:
    texts, target = sklearn_datasets.fetch_20newsgroups(
        data_home=cache, subset="all", shuffle=False, return_X_y=True
    )
    vectorizer = CountVectorizer(max_features=_N_TERMS, stop_words="english")
    return Raw(vectorizer.fit_transform(texts), target)


# ---------------------------------------------------------------------------
# From stored rows to rows for clustering
# ---------------------------------------------------------------------------


def as_features(data: Any) -> NDArray[np.float32]:
    """Flatten rows, in float32."""
    return np.asarray(data).reshape(len(data), -1).astype(np.float32, copy=False)


def _as_pixels_of(maximum: float) -> Callable[[Any], NDArray[np.float32]]:
    """Make a function that brings pixels in [0, maximum] to flat float32 in [0, 1]."""

    def as_pixels(data: Any) -> NDArray[np.float32]:
        flat = np.asarray(data).reshape(len(data), -1)
        # Converts piece by piece: no second copy of MNIST beside the result.
        return np.divide(flat, maximum, dtype=np.float32)

    return as_pixels


def _as_tfidf(counts: Any) -> csr_matrix:
    """Weigh logarithmic term counts by rarity, in float32 rows of length 1."""
    counts = csr_matrix(counts, dtype=np.float32)
    return TfidfTransformer(norm="l2", sublinear_tf=True).fit_transform(counts)


# ---------------------------------------------------------------------------
# The table of real data sets
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and what it is."""

    filename: str | None  # in data_home; None where scikit-learn brings the data
    stored: str | None  # the rows of that file, in words
    fetch: Callable[[str | None], Raw] | None  # from a cache folder
    prepare: Callable[[Any], Any]
    input_shape: tuple[int, ...] | None
    target_names: tuple[str, ...] | None
    description: str


_DIGIT_NAMES = tuple("0123456789")

SOURCES = {
    "digits": Source(
        None,
        None,
        _fetch_digits,
        _as_pixels_of(16),
        (8, 8),
        _DIGIT_NAMES,
        "Handwritten digits, 1,797 images of 8x8 pixels in [0, 1], 10 classes. Source: "
        "UCI ML hand-written digits (E. Alpaydin, C. Kaynak, 1998), test part, as "
        "bundled with scikit-learn.",
    ),
    "mnist": Source(
        "mnist.npz",
        "pixels in [0, 255]",
        _fetch_mnist,
        _as_pixels_of(255),
        (28, 28),
        _DIGIT_NAMES,
        "MNIST handwritten digits, 70,000 images of 28x28 pixels in [0, 1], 10 "
        "classes, 60,000 for training, then 10,000 for testing. Source: Y. LeCun, C. "
        "Cortes, C. J. C. Burges, http://yann.lecun.com/exdb/mnist; OpenML 554.",
    ),
    "usps": Source(
        "usps.npz",
        "pixels in [0, 1]",
        _fetch_usps,
        _as_pixels_of(1),
        (16, 16),
        _DIGIT_NAMES,
        "USPS handwritten digits from envelopes, 9,298 images of 16x16 pixels in "
        "[0, 1], 10 classes, 7,291 for training, then 2,007 for testing. Source: J. J. "
        "Hull, IEEE TPAMI 16 (5), 1994; OpenML 41082.",
    ),
    "har": Source(
        "har.npz",
        "features",
        _fetch_har,
        as_features,
        None,
        (
            "WALKING",
            "WALKING_UPSTAIRS",
            "WALKING_DOWNSTAIRS",
            "SITTING",
            "STANDING",
            "LAYING",
        ),
        "UCI human activity recognition with smartphones (the set that the MIXAE paper "
        "calls HHAR), 10,299 windows of 561 features in [-1, 1], 6 activities. Source: "
        "D. Anguita et al., ESANN 2013; OpenML 1478. For research use.",
    ),
    "newsgroups20": Source(
        "newsgroups20.npz",
        "counts of terms",
        _fetch_newsgroups20,
        _as_tfidf,
        None,
        (
            "alt.atheism",
            "comp.graphics",
            "comp.os.ms-windows.misc",
            "comp.sys.ibm.pc.hardware",
            "comp.sys.mac.hardware",
            "comp.windows.x",
            "misc.forsale",
            "rec.autos",
            "rec.motorcycles",
            "rec.sport.baseball",
            "rec.sport.hockey",
            "sci.crypt",
            "sci.electronics",
            "sci.med",
            "sci.space",
            "soc.religion.christian",
            "talk.politics.guns",
            "talk.politics.mideast",
            "talk.politics.misc",
            "talk.religion.misc",
        ),
        "20 Newsgroups, 18,846 messages, tf-idf (L2 norm, sublinear counts) of the "
        "2,000 most frequent terms, 20 groups. Source: K. Lang, ICML 1995, the "
        '"bydate" version. For research use.',
    ),
    "reuters": Source(
        "reuters21578.npz",
        "counts of terms",
        None,
        _as_tfidf,
        None,
        None,
        "Reuters-21578 newswire, 8,293 articles with one topic each, tf-idf (L2 norm, "
        "sublinear counts) of the 2,000 most frequent terms, 65 topics of 3,713 "
        "articles to 1, sorted by size. Not the RCV1 subset of the MIXAE paper. "
        "Source: D. D. Lewis, http://www.daviddlewis.com/resources/testcollections/"
        "reuters21578. For research use.",
    ),
}


def _read_file(path: Path) -> Raw:
    """Read X and y of an .npz file; nothing in it can run code."""
    with np.load(path, allow_pickle=False) as arrays:
        missing = [name for name in ("X", "y") if name not in arrays]
        if missing:
            raise ValueError(
                f"{path} must hold the arrays X and y; missing are {missing}, found "
                f"are {arrays.files}."
            )
        return Raw(arrays["X"], arrays["y"])


def read_or_fetch(name: str, data_home: DataHome) -> Raw:
    """Take the rows as stored from the first place that has them."""
    source = SOURCES[name]
    folder = data_home or os.environ.get("SKMIXAE_DATA")
    path = None
    if folder and source.filename:
        path = Path(folder).expanduser() / source.filename
    if path is not None and path.is_file():
        return _read_file(path)
    if source.fetch is not None:
        try:
            # SKMIXAE_DATA may be shared and read-only; only an explicit folder is a
            # cache.
            return source.fetch(os.fspath(data_home) if data_home else None)
        except (URLError, ConnectionError, TimeoutError) as error:
            raise ConnectionError(
                f"The data set {name!r} could not be fetched: {error}. "
                f"{_how_to_bring(source)}"
            ) from error
    looked = path or "it nowhere: data_home is None and SKMIXAE_DATA is not set"
    raise FileNotFoundError(
        f"The data set {name!r} was not found and cannot be fetched. Looked for "
        f"{looked}. {_how_to_bring(source)}"
    )


def _how_to_bring(source: Source) -> str:
    """Say which file to bring where nothing can be fetched."""
    return (
        f"Put a file {source.filename} with the arrays X (n_samples, ...), "
        f"{source.stored}, and y (n_samples,), integers from 0, in a folder, and name "
        "that folder by data_home or the environment variable SKMIXAE_DATA."
    )
