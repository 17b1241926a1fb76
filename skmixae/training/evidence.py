"""What rows say of themselves, without labels: which start suits them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from .batches import Batches
from .gaussians import (
    ROWS_FOR_A_PARAMETER,
    Gaussians,
    gaussians_from,
    gaussians_of,
    lowest,
)
from .graph import NEIGHBOURS, GraphClusters, has_graph, n_parts, spectral_model
from .initialisation import (
    SPECTRAL_ROWS,
    kmeans_model,
    latent_class_model,
    rows_as_they_are,
    rows_of,
    sample_of,
)
from .latent_classes import Coding
from .whitening import mostly_zeros

# Of a Gaussian that is narrower than this times the least variance, all variance in a
# direction is that, and the criterion is enthusiastic: of values that repeat, as KEEL's
# yeast, ecoli and penbased have, 1.000; of spambase 1.15, of classes that scikit-learn
# makes 1.1 and more.
NARROWEST = 1.05
# Where one more Gaussian explains rows better, these are parts of some: of crabs, which
# are of two species and two sexes, and of penguins. Then Gaussians of their own shape
# say whether they are clusters, and must not be as narrow as this.
NARROW = 2.0
# Clusters of the graph and of k-means are the same by the adjusted Rand index. Of 35
# real tables they are on KEEL's twonorm and banana, and on wine (.93 to .96); next
# comes breast cancer (.84), where the graph is right.
SAME = 0.87
# Or Gaussians found from either are, by the first, and near to those of k-means, by the
# second: of blobs that touch in 60 features .99 and .97, of breast cancer .99 and .39.
SAME_GAUSSIANS, NEAR = 0.95, 0.9
# K-means then cuts hardly more edges of the graph: 1.02 to 1.13 times as many where
# clusters are round, on blobs, wine, twonorm and banana. Of what a network sees in USPS
# it cuts twice as many: both agree (.89; .94 with rows of length one), but the graph is
# right about .97 of the rows, and k-means about .93 and .95.
MORE_EDGES = 1.5
# From here on they are much the same: of ecoli .70; of heart and ionosphere, where the
# graph takes odd rows for a cluster, .09 and .14.
ALIKE = 0.6
# Clusters are unlike in size where the graph's have at most so much of the entropy of
# k-means', and Gaussians found from them a likelihood that is larger by so many nats a
# row. Of the same tables KEEL's heart and ionosphere, where the graph is wrong, have
# .002 and .004; made clusters of 40, 16, 6, 2 and 1 parts have .035 to .2.
LESS_EVEN, LIKELIER = 0.8, 0.01
# Where so many rows are the same as others, and most features have fewer values than so
# large a share of the rows that differ, gaps between rows are gaps between values. Of
# KEEL's mammographic .37 are the same, and four of five features have .01. Next to each
# other such rows differ in few features: of tables of KEEL 2.9 in the mean at most, of
# digits, of which some are there twice, 25. Of so many rows that is asked.
REPEATED, FEW_VALUES, FEW_DIFFERENCES = 0.2, 0.25, 5
ROWS_ASKED = 500
# A table is of categories where so many of its features are indicators. Word counts may
# have few values as well, but of these some rows have many more than others; of
# categories each row has one each, or no more than so much of the mean more or less.
# And most rows have a value of each category: of what texts of five words each would
# be taken for, a fifth to a third.
MOSTLY_INDICATORS, AS_MANY, HAVE_ONE = 0.8, 0.25, 0.6
# Categories, and grades of so many values, say something of many rows where two of
# them have so large a chance to differ. The graph is cut along one where neighbours
# differ by less than so much of that chance: .00 to .07 of a coin, a category or three
# grades that are drawn beside four numbers in units of their spread, and of customers
# of three kinds; .21 of a coin of that spread beside breast cancer's 30 (.71, else
# .94); .29 and more of four grades, and of a coin beside wine's 13, where the graph is
# as right as without. Of KEEL's tables below, it is righter than k-means of vowel0, and
# of abalones, which it divides by sex.
GRADES, OFTEN, FOLLOWED = 3, 0.1, 0.25
# Numbers are normal in a class, and a few grades are not: three that are drawn would be
# three classes. Where a number has so few values, latent classes are not asked for.
MOST_GRADES = 10
# Clusters of the graph that have so little of the entropy of k-means' set odd rows
# apart from all others, if they are not unlike in size. Of KEEL's pima .28, australian
# .42; the next, of ionosphere, letter and tae, are .6 and more.
ODD_ROWS = 0.5


class Evidence:
    """What some rows say of themselves; each question is answered when it is asked.

    The seeds are always the same here, for these are questions about the data.

    Parameters
    ----------
    batches : Batches
        All rows, of which a sample is asked.
    n_clusters : int
        As how many clusters they are seen.
    """

    def __init__(self, batches: Batches, n_clusters: int) -> None:
        self.batches = batches
        self.n_clusters = n_clusters
        self._asked: dict[int, dict[str, Gaussians]] = {}

    def are_of_few_values(self) -> bool:
        """Tell whether features have so few values that rows are often the same.

        What the graph, or Gaussians, take for clusters are then single values. Rows
        that are often the same because they are there twice are not.
        """
        rows = self._as_they_are
        different = np.unique(rows, axis=0)
        if len(different) >= (1 - REPEATED) * len(rows):
            return False
        n_values = [len(np.unique(feature)) for feature in different.T]
        if np.median(n_values) >= FEW_VALUES * len(different):
            return False
        return _differences(different) < FEW_DIFFERENCES

    def are_indicators(self) -> bool:
        """Tell whether nearly all features have two values, and are no words."""
        if self._are_words():
            return False
        n_varied = self._coding.indicators.sum() + self._coding.numbers.sum()
        return bool(self._coding.indicators.sum() > MOSTLY_INDICATORS * n_varied)

    def are_mixed(self) -> bool:
        """Tell whether there are categories, or grades of few values, and no words."""
        return bool(self._levels) and not self._are_words()

    def graph_follows_values(self) -> bool:
        """Tell whether the graph of neighbours is cut along the values of a feature.

        Between the values of a category is a gap, and between numbers none: where rows
        are near each other by these, the graph falls into parts that have a value each,
        whatever all other features say.
        """
        if not self._has_graph:
            return False
        return any(
            self._share_between(level) < FOLLOWED * _chance(level)
            for level in self._levels
        )

    def are_categories(self) -> bool:
        """Tell whether most indicators are of categories with more than two values."""
        sizes = np.array([len(run) for run in self._coding.runs])
        return bool(sizes[sizes > 1].sum() > sizes.sum() / 2)

    def are_latent_classes(self) -> bool:
        """Tell whether features are independent in as many classes as clusters.

        By the Bayesian information criterion these explain the rows better than one,
        and better than one more: else features depend on each other in a class. Few
        rows that repeat are too little to tell: more must differ than parameters. Nor
        do grades, unless nearly all else are indicators.
        """
        k, coding, rows = self.n_clusters, self._coding, self._as_they_are
        if (
            not self.are_indicators()
            and self._n_values.min(initial=len(rows)) <= MOST_GRADES
        ):
            return False
        n_different = len(np.unique(rows, axis=0))
        if len(rows) <= k:  # there is not one more
            return False
        wanted = ROWS_FOR_A_PARAMETER * k * coding.n_parameters
        if n_different < min(wanted, (1 - REPEATED) * len(rows)):
            return False
        coded = coding.read(rows)
        own, *others = (
            latent_class_model(
                coded, m, np.random.RandomState(0),
                # One more is one of them in two, which takes no graph to find.
                from_graph=m == k,
            )
            for m in (k, 1, k + 1)
        )  # fmt: skip
        return own.bic(coded) < min(other.bic(coded) for other in others)

    def share_between_parts(self) -> float:
        """Return the share of the edges of the graph of neighbours that clusters cut.

        Those that `spectral_labels` finds, and were all as small as the smallest: a few
        rows cut few edges wherever they are. It is 0 where the graph falls into as many
        parts; and 1 where there are more, and chance says which are joined, or where
        rows are too few to tell.
        """
        if not self._has_graph or self._is_in_pieces:
            return 1.0
        labels = self._graph.labels_
        sizes = np.bincount(labels[self._graph.different])
        return self._share_between(labels) / (len(sizes) * sizes.min() / sizes.sum())

    def are_gaussians(self) -> bool:
        """Tell whether rows are as many Gaussians as clusters, of any shape.

        By the Bayesian information criterion these explain the rows better than one,
        than one more, which would be of odd rows, and than twice as many: parts of a
        curved shape call for more. Too few rows to tell are not; nor are values that
        repeat, on which a Gaussian is as narrow as it may be.
        """
        k = self.n_clusters
        if k == 1 or not self._shapes_of(k):
            return False
        own = lowest(self._shapes_of(k))
        if all(self._explain_better(own, m) for m in (1, k + 1, 2 * k)):
            return own.narrowest > NARROWEST
        return self._are_of_full_shape()

    def _explain_better(self, own: Gaussians, n: int) -> bool:
        """Tell whether Gaussians explain rows better than ``n`` of whichever shape.

        Of theirs in any case: where these take more parameters than there are rows to
        ask about, those of simpler shapes alone would be no rivals.
        """
        return own.criterion < lowest(self._shapes_of(n, own.name)).criterion

    def _are_of_full_shape(self) -> bool:
        """Tell whether rows are Gaussians, each of its own shape, not asking for more.

        Round clusters are not that these do not keep, but give some to odd rows.
        """
        k = self.n_clusters
        if "full" not in self._shapes_of(k):
            return False
        own = self._shapes_of(k)["full"]
        others = (self._shapes_of(m, "full")["full"] for m in (1, 2 * k))
        if any(other.criterion <= own.criterion for other in others):
            return False
        if own.narrowest < NARROW:
            return False
        found = own.predict(self._rows)
        return not self.are_round() or adjusted_rand_score(found, self._centres) > SAME

    def are_round(self) -> bool:
        """Tell whether the graph of neighbours and k-means see the same clusters.

        They go wrong in ways of their own, over odd rows, shapes or sizes, so where
        they agree there is nothing else to find. So they do, too, where Gaussians found
        from either are the same, and near to what k-means has. They do not where
        k-means cuts many more edges: it is wrong where shapes are near each other.
        """
        if not self._has_graph:
            return False
        centres, graph = self._centres, self._graph.labels_
        if self._share_between(centres) > MORE_EDGES * self._share_between(graph):
            return False
        if adjusted_rand_score(graph, centres) > SAME:
            return True
        by_graph, by_centres = (model.predict(self._rows) for model in self._gaussians)
        same = adjusted_rand_score(by_graph, by_centres) > SAME_GAUSSIANS
        return same and adjusted_rand_score(by_centres, centres) > NEAR

    def are_seen_alike(self) -> bool:
        """Tell whether the graph and k-means see much the same clusters.

        Each would be wrong about their sizes in a way of its own.
        """
        if not self._has_graph:
            return False
        return adjusted_rand_score(self._graph.labels_, self._centres) > ALIKE

    def are_unlike_in_size(self) -> bool:
        """Tell whether clusters are so unlike in size that k-means does not find them.

        It cuts a large one where others are small, however far apart they are. The
        graph does not, but it may take few odd rows for a cluster. So it must be less
        even, and explain the rows better: by the likelihood of Gaussians found from it,
        with a variance of their own along each direction.
        """
        if not self._has_graph:
            return False
        smallest = np.bincount(self._graph.labels_).min()
        if smallest < NEIGHBOURS or not self._is_less_even(LESS_EVEN):
            return False
        by_graph, by_centres = self._gaussians
        return bool(by_graph.lower_bound_ > by_centres.lower_bound_ + LIKELIER)

    def has_odd_rows(self) -> bool:
        """Tell whether the graph sets but odd rows apart: one cluster has nearly all.

        Unless clusters are unlike in size. Of a graph in more parts than clusters,
        chance says which are joined.
        """
        if not self._has_graph or self._is_in_pieces:
            return False
        return self._is_less_even(ODD_ROWS)

    def are_fewer_than_features(self) -> bool:
        """Tell whether there are fewer rows than features.

        Each is then a direction of its own, of noise for the most part, and whitening
        makes more of it: of 60 rows of three kinds in 500 features k-means finds all as
        they are, and half whitened four fifths at most.
        """
        return len(self.batches) < self.batches.rows.n_features

    def graph_is_even(self) -> bool:
        """Tell whether clusters of the graph are nearly as even as those of k-means.

        In many directions some rows are neighbours of very many, and the graph takes
        all of them for one cluster, and odd rows for the others.
        """
        if not self._has_graph or self._is_in_pieces:
            return False
        return not self._is_less_even(LESS_EVEN)

    @cached_property
    def _sample(self) -> NDArray[np.intp]:
        return sample_of(self.batches, SPECTRAL_ROWS, np.random.RandomState(0))

    @cached_property
    def _as_they_are(self) -> NDArray[np.floating]:
        seed = np.random.RandomState(0)
        return rows_as_they_are(self.batches, self.n_clusters, seed)

    @cached_property
    def _coding(self) -> Coding:
        return Coding(self._as_they_are)

    @cached_property
    def _n_values(self) -> NDArray[np.intp]:
        """How many values each number has."""
        seen = self._as_they_are[:, self._coding.numbers].T
        return np.array([len(np.unique(feature)) for feature in seen], dtype=np.intp)

    @cached_property
    def _levels(self) -> list[NDArray[np.intp]]:
        """The values (n,) of features that have few, of rows of the sample.

        Those in which many rows differ.
        """
        grades = np.flatnonzero(self._coding.numbers)[self._n_values <= GRADES]
        levels = np.concatenate(
            [
                np.column_stack([self._coding.categories(block), block[:, grades]])
                for block in self.batches.rows.blocks(self._sample)
            ]
        )
        numbered = (np.unique(level, return_inverse=True)[1] for level in levels.T)
        return [level for level in numbered if _chance(level) >= OFTEN]

    def _are_words(self) -> bool:
        """Tell whether rows are mostly zeros, and no categories of one value each.

        Some have far more values; or so few have one of what would be a category, as
        words that are rare are hardly ever in the same row.
        """
        if not mostly_zeros(self.batches.rows):
            return False
        blocks = self.batches.rows.blocks(self._sample)
        told = np.concatenate([(block != 0).sum(1) for block in blocks])
        if told.std() > AS_MANY * told.mean():
            return True
        return bool(told.mean() < HAVE_ONE * len(self._coding.runs))

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        return rows_of(self.batches, self._sample)

    @cached_property
    def _has_graph(self) -> bool:
        return has_graph(self._rows, self.n_clusters)

    @cached_property
    def _is_in_pieces(self) -> bool:
        """Whether the graph falls into more parts than clusters."""
        return n_parts(self._graph.affinity_matrix_) > self.n_clusters

    def _share_between(self, labels: NDArray[np.integer]) -> float:
        """Return the share of the edges of the graph that clusters cut."""
        edges = self._graph.affinity_matrix_.tocoo()
        labels = labels[self._graph.different]
        between = labels[edges.row] != labels[edges.col]
        return float(edges.data[between].sum() / edges.data.sum())

    def _is_less_even(self, share: float) -> bool:
        """Whether the graph's sizes have at most so much of the entropy of k-means'."""
        sizes, others = np.bincount(self._graph.labels_), np.bincount(self._centres)
        return bool(entropy(sizes) <= share * entropy(others))

    @cached_property
    def _graph(self) -> GraphClusters:
        return spectral_model(self._rows, self.n_clusters, np.random.RandomState(0))

    @cached_property
    def _centres(self) -> NDArray[np.int32]:
        rows = self._rows.copy()  # which k-means shifts, and back but for rounding
        return kmeans_model(rows, self.n_clusters, np.random.RandomState(0)).labels_

    def _shapes_of(self, n: int, also: str | None = None) -> dict[str, Gaussians]:
        """Return so many Gaussians of each shape that there are rows enough for.

        And ``also`` of this one.
        """
        found = self._asked.get(n)
        if found is None or also not in (None, *found):
            self._asked[n] = found = gaussians_of(
                self._rows, n, self.batches.scaling, np.random.RandomState(0), also
            )
        return found

    @cached_property
    def _gaussians(self) -> tuple[GaussianMixture, GaussianMixture]:
        """Those found from the graph, and from k-means."""
        return (
            gaussians_from(self._rows, self._graph.labels_, "diag"),
            gaussians_from(self._rows, self._centres, "diag"),
        )


def _chance(values: NDArray[np.intp]) -> float:
    """Return the chance of two rows to have unlike values (n,), numbered from 0."""
    return 1 - float(np.square(np.bincount(values) / len(values)).sum())


def _differences(rows: NDArray[np.floating]) -> float:
    """Return in how many features rows (n, f) differ from the most alike, in the mean.

    Of rows that all differ; some are asked.
    """
    some = rows[:: -(-len(rows) // ROWS_ASKED)]
    search = NearestNeighbors(n_neighbors=min(2, len(rows)), metric="hamming").fit(rows)
    return float(search.kneighbors(some)[0][:, -1].mean() * rows.shape[1])
