"""Samples of each cluster, beside what its expert makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_random_state

from .blocks import Grid, Look, default_n_samples, leave_empty, look_of
from .figure import import_pyplot
from .rows import at_the_end, belonging, check_number, dense, row_shape, sliceable

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
        Whether rows of that shape are images, (height, width), (channels, height,
        width) or (height, width, channels). Else they are series, (length,) or
        (channels, length).

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
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it.
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
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X = at_the_end(estimator, X)
        if selection not in _SELECTIONS:
            raise ValueError(
                f"selection must be one of {list(_SELECTIONS)}; got {selection!r}."
            )
        input_shape, image = row_shape(estimator)
        if n_samples is None:
            n_samples = default_n_samples(input_shape, image)
        check_number(n_samples)
        X = sliceable(X)
        assignment, belongs = belonging(estimator, X)  # (n, k)
        rng = check_random_state(random_state) if selection == "random" else None
        chosen = [
            rows[_choose(certainty[rows], n_samples, selection, rng)]
            for certainty, rows in zip(
                assignment.T, map(np.flatnonzero, belongs.T), strict=True
            )
        ]
        ends = np.cumsum([len(rows) for rows in chosen])[:-1]
        shown = _safe_indexing(X, np.concatenate(chosen))
        display = cls(
            samples=np.split(dense(shown), ends),
            reconstructions=np.split(estimator.reconstruct(shown), ends),
            certainties=[assignment[rows, k] for k, rows in enumerate(chosen)],
            counts=belongs.sum(0),
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
        plt = import_pyplot(f"{type(self).__name__}.plot")
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

    def _look(self, cmap: Any) -> Look:
        """Return what draws rows of this shape."""
        samples = np.concatenate(self.samples)
        n_shown = max(1, *(len(rows) for rows in self.samples))
        shape = self.input_shape or samples.shape[1:]
        return look_of(samples, n_shown, shape, self.image, cmap)

    def _heading(self, k: int) -> list[str]:
        count = int(np.asarray(self.counts)[k])
        heading = [f"{count:,} row{'s' * (count != 1)}"]
        if len(self.certainties[k]):
            first, last = (f"{self.certainties[k][i]:.2f}" for i in (0, -1))
            heading.append(f"certainty {first}" + f" to {last}" * (first != last))
        return heading


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
