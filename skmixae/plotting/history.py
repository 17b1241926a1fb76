"""The terms of the objective and the experts' shares, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figure import (
    BLUE,
    FONT,
    GREEN,
    INK,
    MARKERS,
    PURPLE,
    VERMILION,
    import_pyplot,
    shades,
)
from .rows import at_the_end


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
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it.
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
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, _ = at_the_end(estimator)
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
        plt = import_pyplot(f"{type(self).__name__}.plot")
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


# Label and style of the terms, where a history has them.
_TERMS: dict[str, tuple[str, dict[str, Any]]] = {
    "reconstruction": (
        "reconstruction (1: the mean)", {"color": BLUE, "linewidth": 2.2},
    ),
    "sample_entropy": (
        "sample entropy / log K", {"color": VERMILION, "linestyle": "--"},
    ),
    "batch_entropy": (
        "batch entropy / log K", {"color": GREEN, "linestyle": "-."},
    ),
    "consistency": ("consistency", {"color": PURPLE, "linestyle": (0, (1, 1))}),
    "label_change": ("labels that changed", {"color": INK, "linewidth": 0.8}),
}  # fmt: skip


def _draw_terms(ax: Any, history: NDArray[np.void]) -> None:
    epochs = np.arange(1, len(history) + 1)
    marker = "." if len(history) <= MARKERS else ""
    for name, (label, style) in _TERMS.items():
        there = name in (history.dtype.names or ())
        if there and np.isfinite(history[name]).any():
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
    n_epochs, k = shares.shape
    edges = np.arange(n_epochs + 1) + 0.5
    tops = np.cumsum(shares, axis=1)
    labelled = -1.0
    for i, color in enumerate(shades(k)):
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
