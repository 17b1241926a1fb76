"""How sure the mixture is of the rows of each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figure import BLUE, FONT, INK, cluster_names, import_pyplot, new_axes
from .rows import at_the_end, belonging

# Inches of a cluster's line and of the axis of certainties.
_LINE, _WIDTH = 0.24, 4.5
# Per cent of the rows below: the ends of the thin and of the thick line, and the dot.
_QUANTILES = [5, 25, 50, 75, 95]
# Most rows are sure: on the scale of the logit, .9 and .99 are as far apart as .99 and
# .999. It has no ends, so what is beyond these is drawn at them.
_LOWEST, _HIGHEST = 0.05, 0.9999
_TICKS = [0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]


class CertaintyDisplay:
    """The certainty of the rows of each cluster: the probability of their cluster.

    A line for each cluster: thin over the middle 90 % of its rows, thick over the
    middle half, with a dot at the median. Far to the right, rows are sure; a line that
    reaches far to the left is of a cluster with rows that could as well be in another.
    The scale is that of the logit, and 0.9999 is where it ends.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    certainties : sequence of n_clusters arrays
        The probability of the cluster, for each of its rows, of which there may be
        none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    ClusterSamplesDisplay : Rows from the most to the least certain.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmixae import MixAEClustering
    >>> from skmixae.datasets import load_moons
    >>> from skmixae.plotting import CertaintyDisplay
    >>> X = load_moons(n_samples=100).data
    >>> model = MixAEClustering(2, max_epochs=5, random_state=0).fit(X)
    >>> display = CertaintyDisplay.from_estimator(model, X)
    >>> display.ax_.get_xlabel()
    'probability of the cluster'
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, certainties: Sequence[NDArray[Any]]) -> None:
        self.certainties = certainties

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, ax: Any = None
    ) -> CertaintyDisplay:
        """Assign the rows of X and draw how sure that is.

        Parameters
        ----------
        estimator : MixAEClustering
            Fitted; any other with ``predict_proba`` will do.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : CertaintyDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimator, X = at_the_end(estimator, X)
        each = zip(*(part.T for part in belonging(estimator, X)), strict=True)
        certainties = [assignment[belongs] for assignment, belongs in each]
        return cls(certainties=certainties).plot(ax=ax)

    def plot(self, ax: Any = None) -> CertaintyDisplay:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : CertaintyDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        n = len(self.certainties)
        if ax is None:
            ax = new_axes(plt, _WIDTH, _LINE * (n + 0.5))
        self.ax_, self.figure_ = ax, ax.figure
        for k, certainty in enumerate(self.certainties):
            if len(certainty):
                inside = np.clip(certainty, _LOWEST, _HIGHEST)
                low, first, middle, third, high = np.percentile(inside, _QUANTILES)
                ax.plot([low, high], [k, k], color=INK, linewidth=0.9)
                ax.plot(
                    [first, third], [k, k], color=BLUE, linewidth=5,
                    solid_capstyle="butt",
                )  # fmt: skip
                ax.plot(middle, k, "o", color="white", markeredgecolor=INK, ms=4)
            else:
                ax.text(0.5, k, "empty", fontsize=FONT, style="italic", color="0.4",
                        ha="center", va="center")  # fmt: skip
        ax.set_xscale("logit")
        ax.set_xlim(_LOWEST, 1 - (1 - _HIGHEST) / 2)
        ax.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        ax.minorticks_off()
        ax.set_ylim(n - 0.4, -0.6)  # cluster 0 on top
        names = cluster_names(map(len, self.certainties))
        ax.set_yticks(range(n), names, fontsize=FONT)
        ax.tick_params(labelsize=FONT)
        ax.set_ylabel("cluster (rows)", fontsize=FONT)
        ax.set_xlabel("probability of the cluster", fontsize=FONT)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        return self
