"""What tells each cluster of a table, or of words, from all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils.validation import _num_features, _num_samples

from .figure import FONT, INK, cluster_names, import_pyplot, new_axes, room_for
from .rows import at_the_end, belonging, check_number, sliceable

# Features up to which all are shown, and numbers written into cells; inches of a cell.
_FEATURES, _CELL = 20, (0.4, 0.26)
# Standard deviations at which colours end, and from which they are dark.
_FURTHEST, _DARK = 2.0, 1.2
# Numbers that are summed at a time.
_AT_ONCE = 1 << 22


class ClusterProfileDisplay:
    """How far the mean of each feature, in each cluster, is from that of all rows.

    Rows are clusters and columns are features; a cell says by how many standard
    deviations of the feature the cluster's mean lies above that of all rows, or below.
    So units do not matter, and 0 means that the feature says nothing of the cluster. Of
    many features those are shown that say most: of each cluster in turn the one that is
    furthest from the mean of all and not shown yet.

    Create it with :meth:`from_estimator`.

    Parameters
    ----------
    deviations : ndarray of shape (n_clusters, n_shown)
        Means of the features in the clusters, less those of all rows, in standard
        deviations; NaN in clusters without rows.
    means : ndarray of shape (n_clusters, n_shown)
        The same means in the units of X.
    features : ndarray of shape (n_shown,)
        The columns of X that are shown.
    feature_names : ndarray of shape (n_shown,)
        Their names.
    counts : ndarray of shape (n_clusters,)
        How many rows each cluster has.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    ClusterSamplesDisplay : Rows of each cluster, which images are better known by.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmixae import MixAEClustering
    >>> from skmixae.plotting import ClusterProfileDisplay
    >>> X = load_iris(as_frame=True).data
    >>> scaler = StandardScaler().set_output(transform="pandas")
    >>> model = MixAEClustering(3, max_epochs=5, random_state=0)
    >>> rows = scaler.fit_transform(X)
    >>> display = ClusterProfileDisplay.from_estimator(model.fit(rows), rows)
    >>> sorted(display.feature_names)[0]
    'petal length (cm)'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        deviations: NDArray[Any],
        means: NDArray[Any],
        features: NDArray[Any],
        feature_names: NDArray[Any],
        counts: NDArray[Any],
    ) -> None:
        self.deviations = deviations
        self.means = means
        self.features = features
        self.feature_names = feature_names
        self.counts = counts

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_features: int = _FEATURES,
        feature_names: ArrayLike | None = None,
        ax: Any = None,
    ) -> ClusterProfileDisplay:
        """Assign the rows of X, take the means of their features and draw them.

        Parameters
        ----------
        estimator : MixAEClustering or Pipeline
            Fitted; of a pipeline the last step, with rows as they reach it. Any other
            with ``predict_proba`` will do.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        n_features : int, default=20
            The most features that are shown.
        feature_names : array-like of str, default=None
            The names of all columns that reach the estimator. None means those that
            the pipeline gives them, or the columns of the frame X, or x0, x1, ...
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ClusterProfileDisplay
            Drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``n_features`` is less than 1, or there are not as many
            ``feature_names`` as features.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_number(n_features, "n_features")
        fitted, rows = at_the_end(estimator, X)
        _, belongs = belonging(fitted, rows)
        means, mean, deviation = _statistics(rows, belongs)
        names = _names(estimator, rows, feature_names, len(mean))
        # A feature that is the same everywhere tells nothing.
        deviations = (means - mean) / np.where(deviation > 0, deviation, 1)
        shown = _most_telling(deviations, n_features)
        return cls(
            deviations=deviations[:, shown],
            means=means[:, shown],
            features=shown,
            feature_names=names[shown],
            counts=belongs.sum(0),
        ).plot(ax=ax)

    def plot(self, ax: Any = None) -> ClusterProfileDisplay:
        """Draw the means.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None means a new figure of a fitting size.

        Returns
        -------
        display : ClusterProfileDisplay
            Itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        n_clusters, n_shown = self.deviations.shape
        clusters = cluster_names(self.counts)
        if ax is None:
            ax = new_axes(
                plt, _CELL[0] * n_shown, _CELL[1] * n_clusters,
                left=room_for(clusters), below=room_for(self.feature_names),
            )  # fmt: skip
        self.ax_, self.figure_ = ax, ax.figure
        ax.imshow(
            self.deviations, cmap="PuOr_r", vmin=-_FURTHEST, vmax=_FURTHEST,
            aspect="auto",
        )  # fmt: skip
        ax.set_xticks(range(n_shown), self.feature_names, fontsize=FONT, rotation=90)
        ax.set_yticks(range(n_clusters), clusters, fontsize=FONT)
        ax.set_ylabel("cluster (rows)", fontsize=FONT)
        # In a line of its own where features are few.
        ax.set_title(
            "means in standard" + ("\n" if n_shown < 8 else " ")
            + "deviations from that of all",
            fontsize=FONT, loc="left",
        )  # fmt: skip
        self._write()
        return self

    def _write(self) -> None:
        """Write the numbers into the cells: a print in grey has two dark ends."""
        for row, column in np.argwhere(~np.isnan(self.deviations)):
            value = self.deviations[row, column]
            self.ax_.text(
                column, row, _signed(value), ha="center", va="center",
                fontsize=FONT - 1.5, color="white" if abs(value) > _DARK else INK,
            )  # fmt: skip


def _signed(value: float) -> str:
    """Return a number with its sign, unless it is rounded to zero."""
    written = f"{value:+.1f}"
    return "0" if float(written) == 0 else written.replace("-", "−")


def _statistics(
    X: Any, belongs: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return means (k, d) of clusters, and the mean and deviation (d,) of all rows.

    Rows are read some at a time, of which sparse ones stay so.
    """
    X, n = sliceable(X), _num_samples(X)
    overall, sums = StandardScaler(with_mean=False), np.zeros(())
    for part in gen_batches(n, max(1, _AT_ONCE // _num_features(X))):
        rows = _safe_indexing(X, part)
        overall.partial_fit(rows)
        rows = rows if issparse(rows) else np.asarray(rows)
        some = csr_array(belongs[part].T.astype(np.float64)) @ rows
        sums = sums + (some.toarray() if issparse(some) else some)
    with np.errstate(invalid="ignore"):  # an empty cluster has no mean
        means = sums / belongs.sum(0)[:, None]
    return means, overall.mean_, np.sqrt(overall.var_)


def _most_telling(deviations: NDArray[Any], most: int) -> NDArray[np.intp]:
    """Return the features to show, in their order, at most so many.

    Each cluster names one in turn, of those that nobody has named.
    """
    n_features = deviations.shape[1]
    if n_features <= most:
        return np.arange(n_features)
    rankings = np.argsort(-np.abs(np.nan_to_num(deviations)), axis=1, kind="stable")
    # All first choices, then all second ones; each feature where it is named first.
    named, first = np.unique(rankings.T, return_index=True)
    return np.sort(named[np.argsort(first)][:most])


def _names(
    estimator: Any, rows: Any, asked: ArrayLike | None, n_features: int
) -> NDArray[Any]:
    """Return names of the features (n_features,)."""
    if asked is not None:
        names = np.asarray(asked)
        if names.shape != (n_features,):
            raise ValueError(
                f"feature_names must be {n_features}, one of each feature that reaches "
                f"the estimator; got an array of shape {names.shape}."
            )
        return names
    if hasattr(rows, "columns"):
        return np.asarray(rows.columns)
    given = None
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        try:
            given = estimator[:-1].get_feature_names_out()
        except (AttributeError, ValueError):  # of steps that do not name what they do
            pass
    # Else as scikit-learn names columns.
    return np.asarray([f"x{i}" for i in range(n_features)] if given is None else given)
