"""Pictures that explain a clustering, in scikit-learn's Display convention.

A display holds what it shows and draws it with matplotlib, which only drawing needs:
``XDisplay.from_estimator(estimator, X)`` computes and draws, ``display.plot()`` draws
again. Colours are of the palette of Okabe and Ito, which the colour-blind can tell
apart; lines also differ in style or width, so that a print in grey says the same.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted

from skmixae._plotting_blocks import (
    FONT,
    INK,
    LONG,
    MARKERS,
    VERMILION,
    Grid,
    Images,
    Lines,
    Points,
    leave_empty,
)

__all__ = ["ClusterSamplesDisplay", "TrainingHistoryDisplay"]

_GREEN, _BLUE, _PURPLE = "#009E73", "#0072B2", "#CC79A7"
_SELECTIONS = ("spread", "certain", "random")


class ClusterSamplesDisplay:
    """Samples of each cluster, beside what its expert makes of them.

    One block for each cluster. Images stand in two rows, the samples above and their
    reconstructions below, and so do long vectors, as lines over the features. Of
    shorter vectors and of series each sample is drawn thin and dark on its wide and
    light reconstruction. Rows of two features are points in the plane, tied to their
    reconstructions. All blocks share the scale of the samples.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    samples : sequence of n_clusters arrays of shape (n_shown, n_features)
        The rows of each cluster, of which there may be none.
    reconstructions : sequence of n_clusters arrays of shape (n_shown, n_features)
        Those rows as the expert of the cluster reconstructs them.
    certainties : sequence of n_clusters arrays of shape (n_shown,)
        The probability of the cluster for each of them.
    counts : array-like of shape (n_clusters,)
        How many rows the cluster has in all.
    input_shape : tuple of int, default=None
        The shape of a row; None means a vector.
    image : bool, default=False
        Whether rows of that shape are images, (height, width) or (channels, height,
        width). Else they are series, (length,) or (channels, length).

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that hold all blocks.
    axes_ : ndarray of shape (n_clusters,)
        The axes of each block, within ``ax_``.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    TrainingHistoryDisplay : How the clusters came about.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_digits
    >>> from skmixae.plotting import ClusterSamplesDisplay
    >>> X = load_digits().data[:200]
    >>> model = MixAEClustering(3, input_shape=(8, 8), max_epochs=2, random_state=0)
    >>> display = ClusterSamplesDisplay.from_estimator(model.fit(X), X, n_samples=6)
    >>> len(display.axes_)
    3
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        samples: Sequence[NDArray[Any]],
        reconstructions: Sequence[NDArray[Any]],
        certainties: Sequence[NDArray[Any]],
        counts: ArrayLike,
        input_shape: tuple[int, ...] | None = None,
        image: bool = False,
    ) -> None:
        self.samples = samples
        self.reconstructions = reconstructions
        self.certainties = certainties
        self.counts = counts
        self.input_shape = input_shape
        self.image = image

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_samples: int | None = None,
        selection: str = "spread",
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
        cmap: Any = "gray_r",
    ) -> ClusterSamplesDisplay:
        """Choose samples of each cluster of X, reconstruct and draw them.

        Parameters
        ----------
        estimator : MixAEClustering
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to choose from, those of the fit or others.
        n_samples : int, default=None
            How many rows of each cluster to show. None means 8; 4 where rows are long
            lines, and 200 where they are points in the plane.
        selection : {"spread", "certain", "random"}, default="spread"
            Which: evenly from the most to the least certain of the cluster, the most
            certain, or some drawn at random. They are shown with the most certain
            first, where certainty is the probability of the cluster.
        random_state : int, RandomState instance or None, default=0
            Determines which rows "random" draws.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.
        cmap : str or matplotlib Colormap, default="gray_r"
            The colours of images of one channel, for the lowest to the highest value.

        Returns
        -------
        display : ClusterSamplesDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``n_samples`` or ``selection`` is not one of the above.
        """
        _import_pyplot(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        if selection not in _SELECTIONS:
            raise ValueError(
                f"selection must be one of {list(_SELECTIONS)}; got {selection!r}."
            )
        input_shape, image = _row_shape(estimator)
        if n_samples is None:
            n_samples = _default_n_samples(input_shape, image)
        if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
            raise ValueError(
                f"n_samples must be None or an integer of at least 1; "
                f"got {n_samples!r}."
            )
        if issparse(X) and X.format != "csr":
            X = X.tocsr()  # rows can be taken of it
        assignment = estimator.predict_proba(X)  # (n, k)
        labels, certainty = assignment.argmax(axis=1), assignment.max(axis=1)
        rng = check_random_state(random_state) if selection == "random" else None
        chosen = [
            rows[_choose(certainty[rows], n_samples, selection, rng)]
            for rows in (np.flatnonzero(labels == k) for k in range(len(assignment[0])))
        ]
        ends = np.cumsum([len(rows) for rows in chosen])[:-1]
        shown = _safe_indexing(X, np.concatenate(chosen))
        display = cls(
            samples=np.split(_dense(shown), ends),
            reconstructions=np.split(estimator.reconstruct(shown), ends),
            certainties=[certainty[rows] for rows in chosen],
            counts=np.bincount(labels, minlength=len(chosen)),
            input_shape=input_shape,
            image=image,
        )
        return display.plot(ax=ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: Any = "gray_r") -> ClusterSamplesDisplay:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.
        cmap : str or matplotlib Colormap, default="gray_r"
            The colours of images of one channel.

        Returns
        -------
        display : ClusterSamplesDisplay
            Itself.
        """
        plt = _import_pyplot(f"{type(self).__name__}.plot")
        look = self._look(cmap)
        grid = Grid(len(self.samples), look)
        self.ax_ = grid.new_axes(plt) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.axes_ = grid.divide(self.ax_)
        for k, block in enumerate(self.axes_):
            grid.head(block, f"cluster {k}", *self._heading(k))
            if len(self.samples[k]):
                look.draw(block, self.samples[k], self.reconstructions[k])
            else:
                leave_empty(block)
        firsts = self.axes_[:: grid.n_columns]
        look.explain(
            self.ax_, firsts[[len(s) > 0 for s in self.samples[:: grid.n_columns]]]
        )
        return self

    def _look(self, cmap: Any) -> Images | Points | Lines:
        """Return what draws rows of this shape."""
        samples = np.concatenate(self.samples)
        n_shown = max(1, *(len(rows) for rows in self.samples))
        shape = self.input_shape or samples.shape[1:]
        kind = _kind(shape, self.image)
        if kind == "images":
            return Images(samples, n_shown, shape, cmap)
        return Points(samples) if kind == "points" else Lines(samples, n_shown, shape)

    def _heading(self, k: int) -> list[str]:
        count = int(np.asarray(self.counts)[k])
        heading = [f"{count:,} row{'s' * (count != 1)}"]
        if len(self.certainties[k]):
            first, last = (f"{self.certainties[k][i]:.2f}" for i in (0, -1))
            heading.append(f"certainty {first}" + f" to {last}" * (first != last))
        return heading


class TrainingHistoryDisplay:
    """The terms of the objective and the experts' shares, epoch by epoch.

    On the left the terms, a line each. On the right the share of the rows that each
    expert takes, from expert 0 at the bottom: even bands are even clusters, and a band
    that vanishes is an expert out of use.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    history : structured ndarray of shape (n_epochs,)
        ``history_`` of a fitted estimator.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that hold both panels.
    axes_ : ndarray of shape (2,)
        The panels, within ``ax_``: of the terms and of the shares.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    ClusterSamplesDisplay : What the clusters hold.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_moons
    >>> from skmixae.plotting import TrainingHistoryDisplay
    >>> X = load_moons(n_samples=100).data
    >>> model = MixAEClustering(2, max_epochs=5, random_state=0).fit(X)
    >>> display = TrainingHistoryDisplay.from_estimator(model)
    >>> display.axes_[0].get_xlabel()
    'epoch'
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, history: NDArray[np.void]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike | None = None, *, ax: Any = None
    ) -> TrainingHistoryDisplay:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : MixAEClustering
            Fitted.
        X : None
            Ignored: there so that all displays can be called alike.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        _import_pyplot(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        return cls(history=estimator.history_).plot(ax=ax)

    def plot(self, ax: Any = None) -> TrainingHistoryDisplay:
        """Draw the history.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            Itself.
        """
        plt = _import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            ax = plt.figure(figsize=(10, 4.2)).add_axes((0.06, 0.11, 0.9, 0.79))
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        # Above them is room for the names of the terms.
        places = (0, 0, 0.57, 0.86), (0.66, 0, 0.32, 0.86)
        self.axes_ = np.array([ax.inset_axes(place) for place in places])
        terms, shares = self.axes_
        _draw_terms(terms, self.history)
        _draw_shares(shares, self.history["expert_share"])
        for panel in self.axes_:
            panel.set_xlabel("epoch", fontsize=FONT)
            panel.tick_params(labelsize=FONT)
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set_xlim(0.5, len(self.history) + 0.5)
            panel.spines[["top", "right"]].set_visible(False)
        return self


# ---------------------------------------------------------------------------
# Samples: which, and of what kind
# ---------------------------------------------------------------------------


def _choose(
    certainty: NDArray[Any], n: int, selection: str, rng: np.random.RandomState | None
) -> NDArray[np.intp]:
    """Choose up to n rows of one cluster, the most certain first."""
    order = np.argsort(-certainty, kind="stable")
    if len(order) <= n or selection == "certain":
        return order[:n]
    if rng is not None:
        return order[np.sort(rng.choice(len(order), n, replace=False))]
    return order[np.linspace(0, len(order) - 1, n).round().astype(int)]


def _row_shape(estimator: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape of the rows, and whether they are images, as fit takes them."""
    if estimator.input_shape is None:
        return (estimator.n_features_in_,), False
    shape = tuple(np.atleast_1d(estimator.input_shape).tolist())
    return shape, len(shape) > 1 and estimator.architecture != "conv1d"


def _kind(shape: tuple[int, ...], image: bool) -> str:
    """Return how rows are drawn."""
    if image:
        return "images"
    return "points" if shape == (2,) else "lines"


def _default_n_samples(shape: tuple[int, ...], image: bool) -> int:
    kind = _kind(shape, image)
    if kind == "points":
        return 200
    return 4 if kind == "lines" and shape[-1] > LONG else 8


def _dense(rows: Any) -> NDArray[Any]:
    return rows.toarray() if issparse(rows) else np.asarray(rows)


# ---------------------------------------------------------------------------
# History
# ---------------------------------------------------------------------------

# Label and style of the terms, where a history has them.
_TERMS: dict[str, tuple[str, dict[str, Any]]] = {
    "reconstruction": (
        "reconstruction (1: the mean)", {"color": _BLUE, "linewidth": 2.2},
    ),
    "sample_entropy": (
        "sample entropy / log K", {"color": VERMILION, "linestyle": "--"},
    ),
    "batch_entropy": (
        "batch entropy / log K", {"color": _GREEN, "linestyle": "-."},
    ),
    "consistency": ("consistency", {"color": _PURPLE, "linestyle": (0, (1, 1))}),
    "label_change": ("labels that changed", {"color": INK, "linewidth": 0.8}),
}  # fmt: skip


def _draw_terms(ax: Any, history: NDArray[np.void]) -> None:
    epochs = np.arange(1, len(history) + 1)
    marker = "." if len(history) <= MARKERS else ""
    for name, (label, style) in _TERMS.items():
        if name in (history.dtype.names or ()) and np.isfinite(history[name]).any():
            style = {"linewidth": 1.6, "marker": marker, **style}
            ax.plot(epochs, history[name], label=label, **style)
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    ax.set_ylabel("value", fontsize=FONT)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1.02), ncols=3, borderaxespad=0,
        frameon=False, fontsize=FONT,
    )  # fmt: skip


def _draw_shares(ax: Any, shares: NDArray[Any]) -> None:
    """Stack the shares (n_epochs, k), expert 0 at the bottom."""
    from matplotlib import colormaps

    n_epochs, k = shares.shape
    edges = np.arange(n_epochs + 1) + 0.5
    tops = np.cumsum(shares, axis=1)
    labelled = -1.0
    for i, color in enumerate(colormaps["cividis"](np.linspace(0.15, 0.95, k))):
        ax.stairs(
            tops[:, i], edges, baseline=tops[:, i] - shares[:, i], fill=True,
            facecolor=color, edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        middle = tops[-1, i] - shares[-1, i] / 2
        if middle - labelled > 0.03:  # else one number would cover another
            labelled = middle
            ax.text(
                1.02, middle, str(i), va="center", fontsize=FONT - 1,
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_title("share of each expert", fontsize=FONT, loc="left")


def _import_pyplot(caller: str) -> Any:
    """Import matplotlib, or say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. You can install it with "
            "`pip install 'skmixae[plot]'` or `pip install matplotlib`."
        ) from error
    return plt
