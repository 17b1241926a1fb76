"""The methods. A new one is a function and a line of :data:`METHODS`.

Builders import what they build: the environment of the peers, which has no skmixae,
reads this file too.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks._rows import covariance_type

# UMAP as the N2D paper has it: so many neighbours, no distance kept between them, as
# many dimensions as clusters. Above ten dimensions only the time grows.
UMAP_NEIGHBORS, UMAP_MIN_DIST, UMAP_DIMENSIONS = 20, 0.0, 10
PCA_DIMENSIONS = 50


class Task(NamedTuple):
    """All that a method is told of a data set, beside its rows."""

    n_clusters: int
    n_rows: int
    n_features: int
    input_shape: tuple[int, ...] | None
    seed: int


@dataclass(frozen=True)
class Method:
    """How a method is built, and what it can take."""

    about: str
    package: str  # whose version the results depend on
    build: Callable[[Task], Any]
    dense: bool = True  # sparse rows are densified before the clock runs
    max_rows: int | None = None
    peer: bool = False  # runs in the environment of the peers
    # What makes a warm-up short, for each of the warm-ups that it needs.
    briefs: tuple[dict[str, Any], ...] = ({},)


# ---------------------------------------------------------------------------
# Builders
# ---------------------------------------------------------------------------


def _kmeans(task: Task) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(task.n_clusters, n_init=10, random_state=task.seed)


def _gaussian_mixture(n_clusters: int, n_features: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(
        n_clusters, covariance_type=covariance_type(n_features), random_state=seed
    )


def _gmm(task: Task) -> Any:
    return _gaussian_mixture(task.n_clusters, task.n_features, task.seed)


def _spectral(task: Task) -> Any:
    from sklearn.cluster import SpectralClustering

    return SpectralClustering(
        task.n_clusters, affinity="nearest_neighbors", random_state=task.seed
    )


def _pca_gmm(task: Task) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import Pipeline

    dimensions = min(PCA_DIMENSIONS, task.n_features, task.n_rows)
    pca = PCA(dimensions, random_state=task.seed)
    gmm = _gaussian_mixture(task.n_clusters, dimensions, task.seed)
    return Pipeline([("pca", pca), ("gmm", gmm)])


def _umap(task: Task) -> Any:
    from umap import UMAP

    return UMAP(
        n_neighbors=UMAP_NEIGHBORS,
        min_dist=UMAP_MIN_DIST,
        n_components=min(task.n_clusters, UMAP_DIMENSIONS),
        n_jobs=1,  # as a seed asks for, or it warns
        random_state=task.seed,
    )


def _umap_gmm(task: Task) -> Any:
    from sklearn.pipeline import Pipeline

    umap = _umap(task)
    gmm = _gaussian_mixture(task.n_clusters, umap.n_components, task.seed)
    return Pipeline([("umap", umap), ("gmm", gmm)])


def _mixae(task: Task) -> Any:
    from skmixae import MixAEClustering

    return MixAEClustering(task.n_clusters, random_state=task.seed)


def _paper(task: Task) -> Any:
    from skmixae.presets import paper

    return paper(task.n_clusters, input_shape=task.input_shape, random_state=task.seed)


def _clustpy(name: str) -> Callable[[Task], Any]:
    def build(task: Task) -> Any:
        from benchmarks.quality.peers import deep

        return getattr(deep, name)(task.n_clusters, random_state=task.seed)

    return build


def _n2d(task: Task) -> Any:
    # Its default is t-SNE in as many dimensions as there are clusters, which
    # scikit-learn refuses above three: hence UMAP, as in the paper of N2D.
    embedding = _umap(task)
    chosen = ("n_neighbors", "min_dist", "n_components")
    return _clustpy("N2D")(task).set_params(
        manifold_class=type(embedding),
        manifold_params={name: getattr(embedding, name) for name in chosen},
    )


# ---------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------

_PRETRAINING = {"pretrain_epochs": 1}
_EPOCHS = {**_PRETRAINING, "clustering_epochs": 1}
# On few rows UMAP compares all pairs, on many it does not: one warm-up for each.
_SMALL_AND_LARGE = [{"force_approximation_algorithm": large} for large in (False, True)]


def _peer(about: str, build: Callable[[Task], Any], *briefs: dict[str, Any]) -> Method:
    return Method(f"{about}, ClustPy", "clustpy", build, peer=True, briefs=briefs)


METHODS: dict[str, Method] = {
    "kmeans": Method("KMeans, n_init=10", "scikit-learn", _kmeans, dense=False),
    "gmm": Method(
        "GaussianMixture, full covariances (diagonal above 256 features)",
        "scikit-learn",
        _gmm,
    ),
    "spectral": Method(
        "SpectralClustering on nearest neighbours",
        "scikit-learn",
        _spectral,
        dense=False,
        max_rows=20_000,
    ),
    "pca_gmm": Method(
        f"PCA to {PCA_DIMENSIONS}, then GaussianMixture", "scikit-learn", _pca_gmm
    ),
    "umap_gmm": Method(
        "UMAP, then GaussianMixture",
        "umap-learn",
        _umap_gmm,
        briefs=tuple(
            {f"umap__{name}": value for name, value in size.items()}
            for size in _SMALL_AND_LARGE
        ),
    ),
    "mixae": Method(
        "MixAEClustering, the default",
        "skmixae",
        _mixae,
        dense=False,
        briefs=({"max_epochs": 1},),
    ),
    "paper": Method(
        "MixAEClustering, the paper's plain objective",
        "skmixae",
        _paper,
        dense=False,
        briefs=({"max_epochs": 1},),
    ),
    "dec": _peer("DEC", _clustpy("DEC"), _EPOCHS),
    "idec": _peer("IDEC", _clustpy("IDEC"), _EPOCHS),
    "dcn": _peer("DCN", _clustpy("DCN"), _EPOCHS),
    "vade": _peer("VaDE", _clustpy("VaDE"), _EPOCHS),
    "n2d": _peer(
        "N2D with UMAP",
        _n2d,
        *({**_PRETRAINING, "manifold_params": size} for size in _SMALL_AND_LARGE),
    ),
}


# ---------------------------------------------------------------------------
# A method with changed parameters
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A method, and what of its parameters is changed."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    @property
    def label(self) -> str:
        """Write it as on the command line."""
        return written(self.name, self.parameters)

    @property
    def recorded(self) -> dict[str, Any]:
        """Return the parameters as a line of results has them."""
        return json.loads(json.dumps(self.parameters))


def written(name: str, parameters: dict[str, Any]) -> str:
    """Write a method and its parameters as on the command line, in one order."""
    changes = ",".join(f"{key}={parameters[key]!r}" for key in sorted(parameters))
    return f"{name}:{changes}" if changes else name


def parse(text: str) -> Variant:
    """Read ``name`` or ``name:parameter=value,...``; ValueError says what is wrong.

    A value is a Python literal, or else a string: ``consistency=adversarial``.
    """
    name, colon, changes = text.partition(":")
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}: one of {', '.join(METHODS)}")
    if not colon:
        return Variant(name)
    source = f"dict({changes})"
    try:
        call = ast.parse(source, mode="eval").body
    except SyntaxError:
        call = None
    keywords = call.keywords if isinstance(call, ast.Call) and not call.args else []
    parameters = {k.arg: _value(k.value, source) for k in keywords if k.arg}
    if not parameters or len(parameters) < len(keywords):
        raise ValueError(f"not 'name:parameter=value,...': {text!r}")
    return Variant(name, parameters)


def _value(node: ast.expr, source: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.get_source_segment(source, node)
