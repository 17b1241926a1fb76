"""Clusters against classes, with the best one-to-one match outlined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from ..metrics import cluster_class_matrix
from .figure import FONT, INK, VERMILION, import_pyplot, new_axes, room_for

# Cells in a line up to which counts are written into them; inches of a cell with one,
# and of one without.
_WRITTEN, _CELL, _SMALL_CELL = 20, 0.42, 0.22
# Inches that the title takes in one line.
_TITLE_WIDTH = 1.4


class ClusterClassDisplay:
    """How many rows of each class fell into each cluster.

    Rows are clusters and columns are classes, in the order that puts the best
    one-to-one match on the diagonal, where it is outlined. Grey is the share of the
    cluster's rows, from white for none to black for all, so that a pure cluster is one
    black cell whatever its size.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`. It reads the true
    classes: to look at a result, never to choose one.

    Parameters
    ----------
    matrix : ndarray of shape (n_clusters, n_classes)
        Numbers of rows, see :func:`skmixae.metrics.cluster_class_matrix`.
    clusters, classes : array-like
        The labels of its rows and columns.
    matching : dict
        From the label of a cluster to that of its class.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    skmixae.metrics.hungarian_accuracy_score : The share of rows in outlined cells.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae.plotting import ClusterClassDisplay
    >>> display = ClusterClassDisplay.from_predictions(
    ...     ["cat", "cat", "cat", "dog", "dog"], [1, 1, 0, 0, 0]
    ... )
    >>> display.matrix.tolist()
    [[2, 0], [1, 2]]
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        matrix: NDArray[Any],
        clusters: ArrayLike,
        classes: ArrayLike,
        matching: dict[Any, Any],
    ) -> None:
        self.matrix = matrix
        self.clusters = clusters
        self.classes = classes
        self.matching = matching

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, y: ArrayLike, *, ax: Any = None
    ) -> ClusterClassDisplay:
        """Predict the clusters of X and draw them against its classes.

        Parameters
        ----------
        estimator : MixAEClustering
            Fitted; any other clusterer with ``predict`` will do.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,)
            Their true classes.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ClusterClassDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If X and y are of different lengths, or rows belong to several clusters.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        clusters = estimator.predict(X)
        if clusters.ndim > 1:
            raise ValueError(
                f"{cls.__name__} is of rows with one cluster each. This estimator was "
                f"fitted with n_active={clusters[0].sum()}; "
                "hungarian_accuracy_score compares such rows with classes."
            )
        return cls.from_predictions(y, clusters, ax=ax)

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, ax: Any = None
    ) -> ClusterClassDisplay:
        """Draw clusters that are known already.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            The true classes and the clusters.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ClusterClassDisplay
            Drawn.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        found = cluster_class_matrix(y_true, y_pred)
        return cls(**found._asdict()).plot(ax=ax)

    def plot(self, ax: Any = None) -> ClusterClassDisplay:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ClusterClassDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        n_clusters, n_classes = self.matrix.shape
        written = max(n_clusters, n_classes) <= _WRITTEN
        if ax is None:
            cell = _CELL if written else _SMALL_CELL
            ax = new_axes(
                plt, cell * n_classes, cell * n_clusters,
                left=room_for(np.asarray(self.clusters)),
                below=room_for(np.asarray(self.classes)),
            )  # fmt: skip
        self.ax_, self.figure_ = ax, ax.figure
        shares = self.matrix / np.maximum(self.matrix.sum(1, keepdims=True), 1)
        ax.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(n_classes), self.classes, fontsize=FONT)
        ax.set_yticks(range(n_clusters), self.clusters, fontsize=FONT)
        if max(len(str(name)) for name in np.asarray(self.classes)) > 3:
            ax.tick_params(axis="x", rotation=90)
        ax.set_xlabel("class", fontsize=FONT)
        ax.set_ylabel("cluster", fontsize=FONT)
        matched = sum(self._outlined())
        accuracy = matched / max(self.matrix.sum(), 1)
        width = ax.get_position().width * ax.figure.get_figwidth()
        gap = " " if width > _TITLE_WIDTH else "\n"
        title = f"Hungarian{gap}accuracy {accuracy:.2f}"
        ax.set_title(title, fontsize=FONT, loc="left")
        if written:
            self._write(shares)
        return self

    def _outlined(self) -> list[int]:
        """Outline the matched cells, and return the numbers in them."""
        rows = np.asarray(self.clusters).tolist()
        columns = np.asarray(self.classes).tolist()
        numbers = []
        for cluster, name in self.matching.items():
            row, column = rows.index(cluster), columns.index(name)
            corner = column - 0.47, row - 0.47
            self.ax_.add_patch(_outline(corner))
            numbers.append(int(self.matrix[row, column]))
        return numbers

    def _write(self, shares: NDArray[Any]) -> None:
        """Write the numbers of rows into the cells that have some."""
        for row, column in np.argwhere(self.matrix > 0):
            self.ax_.text(
                column, row, f"{self.matrix[row, column]}", ha="center", va="center",
                fontsize=FONT - 1.5,
                color="white" if shares[row, column] > 0.5 else INK,
            )  # fmt: skip


def _outline(corner: tuple[float, float]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=VERMILION, linewidth=1.6)
