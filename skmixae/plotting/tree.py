"""The tree by which experts were merged, beside how much they share rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figure import BLUE, FONT, VERMILION, import_pyplot, new_axes
from .rows import at_the_end

# Inches of an expert's line, and of the tree.
_LINE, _TREE = 0.2, 2.4


class ExpertTreeDisplay:
    """Experts to spare: the tree of their merging, and how much they share rows.

    On the left the tree, whose merges stand at what they took from the information that
    clusters carry about changed rows (``expert_distances_``), or at what the dearest of
    those that they join took, if that is more; where it is cut, the clusters begin. On
    the right the affinity: of the rows of an expert (a line), how much of their
    probability another (a column) has, from white for none to black for all of it.
    Experts of one cluster are framed. With one expert for each cluster there is no
    tree, and experts are in the order of their clusters.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    children : ndarray of shape (n_experts - 1, 2)
        ``expert_children_`` of a fitted estimator; empty without a tree.
    distances : ndarray of shape (n_experts - 1,)
        Its ``expert_distances_``.
    clusters : ndarray of shape (n_experts,)
        Its ``expert_labels_``.
    affinity : ndarray of shape (n_experts, n_experts)
        Line i: the mean assignment of rows, weighted by what expert i has of them.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that hold both panels.
    axes_ : ndarray of shape (2,)
        The panels, within ``ax_``: of the tree and of the affinity.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_moons
    >>> from skmixae.plotting import ExpertTreeDisplay
    >>> X = load_moons(n_samples=100).data
    >>> model = MixAEClustering(2, n_experts=5, max_epochs=5, random_state=0).fit(X)
    >>> display = ExpertTreeDisplay.from_estimator(model, X)
    >>> display.affinity.shape
    (5, 5)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        children: NDArray[Any],
        distances: NDArray[Any],
        clusters: NDArray[Any],
        affinity: NDArray[Any],
    ) -> None:
        self.children = children
        self.distances = distances
        self.clusters = clusters
        self.affinity = affinity

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, ax: Any = None
    ) -> ExpertTreeDisplay:
        """Assign the rows of X to experts, and draw these.

        Parameters
        ----------
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows by which the affinity is measured.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ExpertTreeDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X = at_the_end(estimator, X)
        assignment = estimator.predict_expert_proba(X).astype(np.float64)  # (n, m)
        shared = assignment.T @ assignment
        usage = np.maximum(assignment.sum(0), np.finfo(float).tiny)
        return cls(
            children=estimator.expert_children_,
            distances=estimator.expert_distances_,
            clusters=estimator.expert_labels_,
            affinity=shared / usage[:, None],
        ).plot(ax=ax)

    def plot(self, ax: Any = None) -> ExpertTreeDisplay:
        """Draw the tree and the affinity.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ExpertTreeDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        m = len(self.clusters)
        square = _LINE * max(m, 8)
        if ax is None:
            ax = new_axes(plt, _TREE + 1.0 + square, square)
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        left, right = _TREE / (_TREE + 1.0 + square), square / (_TREE + 1.0 + square)
        self.axes_ = np.array(
            [
                ax.inset_axes((0, 0, left, 1)),
                ax.inset_axes((1 - right, 0, right, 1)),
            ]
        )
        tree, matrix = self.axes_
        order = self._draw_tree(tree)
        self._draw_affinity(matrix, order)
        return self

    def _draw_tree(self, ax: Any) -> NDArray[np.intp]:
        """Draw the tree from the left to its leaves, and return their order."""
        m = len(self.clusters)
        ax.set_ylim(m - 0.5, -0.5)
        ax.spines[["top", "left", "right"]].set_visible(False)
        ax.set_yticks([])
        ax.tick_params(labelsize=FONT)
        if not len(self.children):
            ax.set_xticks([])
            ax.spines["bottom"].set_visible(False)
            ax.text(
                0.5, 0.5, "an expert for each cluster:\nnone were merged",
                transform=ax.transAxes, ha="center", va="center", fontsize=FONT,
                style="italic", color="0.4",
            )  # fmt: skip
            return np.argsort(self.clusters, kind="stable")
        order = _leaves(self.children, m)
        places = np.append(np.argsort(order).astype(float), np.zeros(m - 1))
        ends = np.append(np.zeros(m), self.distances)
        cut = m - len(np.unique(self.clusters))  # so many merges make the clusters
        for i, (a, b) in enumerate(self.children):
            places[m + i] = (places[a] + places[b]) / 2
            # One that takes less than those that it joins would be drawn backwards.
            end = ends[m + i] = max(ends[m + i], ends[a], ends[b])
            ax.plot(
                [ends[a], end, end, ends[b]],
                [places[a], places[a], places[b], places[b]],
                color=BLUE if i < cut else "0.6", linewidth=2.0 if i < cut else 1.0,
                solid_joinstyle="miter",
            )  # fmt: skip
        ax.set_xlim(ends.max() * 1.05 or 1.0, 0)
        ax.set_xlabel("taken by the merge, nats", fontsize=FONT)
        ax.set_title("thick: within a cluster", fontsize=FONT, loc="left")
        return order

    def _draw_affinity(self, ax: Any, order: NDArray[np.intp]) -> None:
        m = len(order)
        shown = self.affinity[np.ix_(order, order)]
        ax.imshow(shown, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        names = [f"{k} → cluster {self.clusters[k]}" for k in order]
        ax.set_yticks(range(m), names, fontsize=FONT - 1)
        ax.set_xticks(range(m), order, fontsize=FONT - 1)
        if m > 20:
            ax.tick_params(axis="x", rotation=90)
        ax.tick_params(length=0)
        ax.set_title("affinity of experts", fontsize=FONT, loc="left")
        ends = np.flatnonzero(np.diff(self.clusters[order])) + 1
        for first, last in zip([0, *ends], [*ends, m], strict=True):
            ax.add_patch(_frame(first, last))


def _leaves(children: NDArray[Any], m: int) -> NDArray[np.intp]:
    """Return the leaves of a tree from top to bottom, no lines crossing."""
    below: list[list[int]] = [[i] for i in range(m)]
    for a, b in children:
        below.append(below[a] + below[b])
    return np.array(below[-1], dtype=np.intp)


def _frame(first: int, last: int) -> Any:
    from matplotlib.patches import Rectangle

    n = last - first
    return Rectangle(
        (first - 0.5, first - 0.5), n, n, fill=False, edgecolor=VERMILION,
        linewidth=1.4, clip_on=False,
    )  # fmt: skip
