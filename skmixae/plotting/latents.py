"""The latents of the experts, in two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _num_samples

from .figure import FONT, INK, import_pyplot, new_axes, shades
from .rows import at_the_end, check_number, sliceable

_METHODS = ("pca", "tsne")
# Clusters next to one another in number differ in shape as well as in shade.
_SHAPES = "os^Dv"
# Inches of the square, and points in it.
_SIDE, _ROWS = 4.6, 2000


class LatentMapDisplay:
    """The latents of all experts side by side, drawn in the plane.

    What `encode` returns, brought to two dimensions: by principal components, which
    keep distances as far as two dimensions can, or by t-SNE, which keeps neighbours
    and invents the rest. Clusters differ in shade and in the shape of their points,
    and each number stands at the median of its rows.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    points : ndarray of shape (n_shown, 2)
        Where the rows are.
    labels : ndarray of shape (n_shown,)
        Their clusters.
    n_clusters : int
        How many there are, empty ones too.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_moons
    >>> from skmixae.plotting import LatentMapDisplay
    >>> X = load_moons(n_samples=100).data
    >>> model = MixAEClustering(2, max_epochs=5, random_state=0).fit(X)
    >>> display = LatentMapDisplay.from_estimator(model, X)
    >>> display.points.shape
    (100, 2)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, *, points: NDArray[Any], labels: NDArray[Any], n_clusters: int
    ) -> None:
        self.points = points
        self.labels = labels
        self.n_clusters = n_clusters

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        method: str = "pca",
        n_samples: int = _ROWS,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> LatentMapDisplay:
        """Encode rows of X and draw their latents.

        Parameters
        ----------
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        method : {"pca", "tsne"}, default="pca"
            How latents are brought to two dimensions.
        n_samples : int, default=2000
            The most rows that are drawn, chosen at random.
        random_state : int, RandomState instance or None, default=0
            Determines which, and where t-SNE starts.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure.

        Returns
        -------
        display : LatentMapDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``method`` or ``n_samples`` is not one of the above.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X = at_the_end(estimator, X)
        if method not in _METHODS:
            raise ValueError(f"method must be one of {list(_METHODS)}; got {method!r}.")
        check_number(n_samples)
        rng = check_random_state(random_state)
        n = _num_samples(X)
        chosen = np.sort(rng.choice(n, min(n, n_samples), replace=False))
        shown = _safe_indexing(sliceable(X), chosen)
        assignment = estimator.predict_proba(shown)
        latents = estimator.encode(shown).reshape(len(chosen), -1)
        points = _in_the_plane(latents, method, rng)
        return cls(
            points=points,
            labels=assignment.argmax(axis=1),
            n_clusters=assignment.shape[1],
        ).plot(ax=ax)

    def plot(self, ax: Any = None) -> LatentMapDisplay:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure.

        Returns
        -------
        display : LatentMapDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            ax = new_axes(plt, _SIDE, _SIDE)
        self.ax_, self.figure_ = ax, ax.figure
        for k, color in enumerate(shades(self.n_clusters)):
            rows = self.points[self.labels == k]
            if not len(rows):
                continue
            ax.plot(
                *rows.T, _SHAPES[k % len(_SHAPES)], color=color, markersize=3.2,
                markeredgewidth=0, alpha=0.75,
            )  # fmt: skip
            ax.annotate(
                str(k), np.median(rows, axis=0), ha="center", va="center",
                fontsize=FONT, weight="bold", zorder=5,
                bbox={"boxstyle": "round,pad=0.15", "fc": (1, 1, 1, 0.7), "ec": INK,
                      "lw": 0.5},
            )  # fmt: skip
        ax.set(xticks=[], yticks=[])
        ax.set_title("latents, numbers of clusters", fontsize=FONT, loc="left")
        return self


def _in_the_plane(
    latents: NDArray[Any], method: str, rng: np.random.RandomState
) -> NDArray[Any]:
    """Return points (n, 2) of latents (n, d); of one dimension the second is zero.

    Where all are the same, so are the points.
    """
    n, d = latents.shape
    if not np.ptp(latents, axis=0).any():  # of which t-SNE ends the process
        return np.zeros((n, 2))
    if method == "tsne" and n > 3 and d > 1:
        perplexity = min(30.0, (n - 1) / 3)
        tsne = TSNE(perplexity=perplexity, random_state=rng)
        return tsne.set_output(transform="default").fit_transform(latents)
    size = min(2, d)
    pca = PCA(size, random_state=rng).set_output(transform="default")
    points = pca.fit_transform(latents)
    return np.pad(points, ((0, 0), (0, 2 - size)))
