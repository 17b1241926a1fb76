"""The rows that no expert explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from .blocks import Grid, default_n_samples, look_of
from .figure import BLUE, FONT, VERMILION, import_pyplot, new_axes
from .rows import at_the_end, check_number, dense, row_shape, sliceable

# Inches of the histogram, and between it and the rows; bins in it.
_WIDTH, _GAP, _BINS = 2.6, 0.75, 40


class OutlierDisplay:
    """The rows that the experts reconstruct worst, and how far they are from others.

    On the left the errors of all rows, each by the expert that is best at it, in units
    of predicting the mean, with a line where those begin that are shown. On the right
    these rows, the worst first, as :class:`ClusterSamplesDisplay` draws rows.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    errors : ndarray of shape (n_samples,)
        The least error of each row, minus ``score_samples``.
    shown : ndarray of shape (n_shown,)
        The rows that are drawn, the worst first.
    samples, reconstructions : ndarray of shape (n_shown, n_features)
        These rows, and what the expert of each makes of it.
    input_shape : tuple of int, default=None
        The shape of a row; None means a vector.
    image : bool, default=False
        Whether rows of that shape are images.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that hold both panels.
    axes_ : ndarray of shape (2,)
        The panels, within ``ax_``: of the errors and of the rows.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_moons
    >>> from skmixae.plotting import OutlierDisplay
    >>> X = load_moons(n_samples=100).data
    >>> model = MixAEClustering(2, max_epochs=5, random_state=0).fit(X)
    >>> display = OutlierDisplay.from_estimator(model, X, n_samples=5)
    >>> display.shown.shape
    (5,)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        errors: NDArray[Any],
        shown: NDArray[Any],
        samples: NDArray[Any],
        reconstructions: NDArray[Any],
        input_shape: tuple[int, ...] | None = None,
        image: bool = False,
    ) -> None:
        self.errors = errors
        self.shown = shown
        self.samples = samples
        self.reconstructions = reconstructions
        self.input_shape = input_shape
        self.image = image

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_samples: int | None = None,
        ax: Any = None,
        cmap: Any = "gray_r",
    ) -> OutlierDisplay:
        """Find the rows of X that are explained worst, and draw them.

        Parameters
        ----------
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        n_samples : int, default=None
            How many to show. None means 8; 4 where rows are long lines, and 20 where
            they are points in the plane.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.
        cmap : str or matplotlib Colormap, default="gray_r"
            The colours of images of one channel.

        Returns
        -------
        display : OutlierDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``n_samples`` is not one of the above.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X = at_the_end(estimator, X)
        shape, image = row_shape(estimator)
        if n_samples is None:
            n_samples = min(20, default_n_samples(shape, image))
        check_number(n_samples)
        errors = -estimator.score_samples(X)
        worst = np.argsort(-errors, kind="stable")[:n_samples]
        rows = _safe_indexing(sliceable(X), worst)
        return cls(
            errors=errors,
            shown=worst,
            samples=dense(rows),
            reconstructions=estimator.reconstruct(rows),
            input_shape=shape,
            image=image,
        ).plot(ax=ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: Any = "gray_r") -> OutlierDisplay:
        """Draw the errors and the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.
        cmap : str or matplotlib Colormap, default="gray_r"
            The colours of images of one channel.

        Returns
        -------
        display : OutlierDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        shape = self.input_shape or self.samples.shape[1:]
        look = look_of(self.samples, len(self.samples), shape, self.image, cmap)
        grid = Grid(1, look)
        height = max(grid.height, 1.5)
        width = _WIDTH + _GAP + grid.width
        if ax is None:
            ax = new_axes(plt, width, height)
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        errors = ax.inset_axes((0, 0, _WIDTH / width, 1))
        whole = ax.inset_axes(
            (1 - grid.width / width, 1 - grid.height / height,
             grid.width / width, grid.height / height)
        )  # fmt: skip
        (block,) = grid.divide(whole)
        self.axes_ = np.array([errors, block])
        self._draw_errors(errors)
        grid.head(block, f"worst {len(self.shown)} rows", "the worst first")
        look.draw(block, self.samples, self.reconstructions)
        look.explain(whole, np.array([block]))
        return self

    def _draw_errors(self, ax: Any) -> None:
        ax.hist(self.errors, bins=_BINS, color=BLUE)
        ax.set_yscale("log")  # else a few among thousands are not seen
        ax.axvline(self.errors[self.shown].min(), color=VERMILION, linestyle="--")
        ax.set_xlabel("error of the best expert (1: the mean)", fontsize=FONT)
        ax.set_ylabel("rows", fontsize=FONT)
        ax.tick_params(labelsize=FONT)
        ax.spines[["top", "right"]].set_visible(False)
