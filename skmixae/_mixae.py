"""The estimator: scikit-learn's conventions around a mixture of autoencoders."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from numbers import Integral
from os import PathLike
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from . import _parameters as parameters
from ._callbacks import CallbackSupportMixin, FitMonitor, tell
from ._fitting import conclude, merge_experts
from ._outcome import Candidate, degeneracies, extended, history
from ._portable import FITTED
from ._problem import (
    Occasion,
    Problem,
    Seen,
    check_unchanged,
    look_at,
    new_network,
    resolve_moments,
    resolve_problem,
    was_shown_clusters,
)
from ._restarts import Restarts
from ._stream import Stream
from .consistency import Change
from .inference import Inference, drawn_codes
from .network import MixtureOfAutoencoders, NetworkSpec, build_network
from .network.parallel import on_processor
from .objective import LOSSES, Reconstruction
from .training import (
    Agglomeration,
    Moments,
    Rows,
    SharedRows,
    TrainingRun,
    conversion_between,
    converted_rows,
    gradients,
)

# Fitted attributes, which an error in fit leaves as they were: those of a file, which
# has the arrays of the module in its place.
_FITTED = {"module_", *FITTED}
# Where a warning comes from is not within these.
_LIBRARIES = ("skmixae.", "sklearn.")
# Numbers are taken in the type that they have, and cast a batch at a time.
_NATIVE: list[Any] = [
    np.float64,  # what lists become
    np.float32,
    np.float16,
    *(np.dtype(c).type for c in "bhilqBHILQ?"),
]
# Those whose bytes are in the other order, too, as files may have them.
_DTYPES = [*_NATIVE, *(np.dtype(one).newbyteorder("S") for one in _NATIVE)]


def _has_prior(estimator: MixAEClustering) -> bool:
    """Tell whether an estimator's experts have a prior to draw from, or raise."""
    spec: Any = getattr(estimator, "_network_spec", estimator)  # once fitted, as it was
    if spec.n_active > 1:
        raise AttributeError(
            f"Rows are drawn from one expert each. Got n_active={spec.n_active}."
        )
    if spec.expert == "plain":
        raise AttributeError(
            "Experts whose latents follow a prior can be drawn from: fit with "
            "expert='variational' or 'adversarial'. Got expert='plain'."
        )
    return True


class MixAEClustering(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    BaseEstimator,
):
    r"""Clustering by a mixture of autoencoders.

    Autoencoders (*experts*), one or more for each of K clusters, learn the manifolds of
    their rows, and an assignment network reads what they encode and gives each row a
    probability for each of them.
    All train together from the start: every row is reconstructed by the experts in
    proportion to its assignment, one entropy makes each row's assignment sure, another
    keeps every expert in use, and a consistency term keeps the assignment of a row that
    is changed a little. The method is that of Zhang, Sun, Eriksson and Balzano [1]_;
    the consistency term, which ``consistency=None`` turns off, is ours, after [2]_.

    Rows are centred and divided by one scale for all features, so the weights below
    serve data of any scale; vectors are then also whitened half way (``whitening``),
    and counts are not centred (``directions``). Features of unlike units should be
    brought to one by a ``StandardScaler`` first.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters, K. Some stay unused where rows show fewer, which a
        warning tells.
    n_experts : int, "auto" or None, default="auto"
        The number of experts. Where they are more than the clusters, they are merged
        before the last part of training (``refinement``), so that the cluster of a row
        tells most about the cluster of a slightly changed view of it [3]_. Experts to
        spare follow clusters of any shape. "auto" is twice ``n_clusters`` and at least
        10, where that leaves 75 rows for each, or 25 images or series, and up to four
        times, where that leaves 1000. With ``cluster_sizes``, with labels,
        probabilities or a start that is held to in ``init``, for a single cluster, and
        for crowded rows (see ``init``), it is as many as clusters. None is one for each
        cluster, as in the paper.
    n_active : int, default=1
        How many experts each row is the sum of. With more than one, clusters are the
        *atoms* that rows are put together from, such as the speakers in a recording:
        the mixture is then of all subsets of so many experts, and labels are zeros and
        ones (n_samples, n_clusters). It needs an expert for each cluster.
    latent_dim : int or "auto", default="auto"
        The dimension of each expert's latent space. A small one makes experts
        specialise: an expert that can reconstruct everything tells nothing. "auto" is
        10, or one less than the features, or directions, that experts read where those
        are few.
    architecture : {"mlp", "conv2d", "conv1d"} or callable, default="mlp"
        The kind of experts: fully connected, convolutional over images or over series.
        Of images, in colours or in grey, "mlp" takes a fraction of the time; on the
        few sets that were compared "conv2d" was a little better or worse. A
        callable ``factory(input_shape, latent_dim)`` returns one expert, a
        ``torch.nn.Module`` with methods ``encode(rows)``, from (b, \*input_shape) to
        (b, latent_dim), and ``decode(latents)`` back. It is called once for each
        expert (``n_experts``); rows are centred and scaled, and images have their
        channels first.
    expert : {"plain", "variational", "adversarial"}, default="plain"
        What is asked of the latents of an expert, of any architecture. Those of "plain"
        experts are free, as in the paper's experiments. Its outlook has the two others,
        whose latents follow a standard normal prior, so that `sample` draws new rows:
        "variational" autoencoders encode a row to a Gaussian, whose divergence from the
        prior is paid for [4]_, and "adversarial" ones have a critic each that tells
        latents from the prior, and that they learn to deceive [5]_.
    hidden_layer_sizes : array-like of int, default=(48, 48)
        Sizes of the dense hidden layers of each encoder; the decoder mirrors them.
    conv_channels : array-like of int, default=(16, 32)
        Channels of the convolutions before them, each of stride 2.
    assignment_hidden_layer_sizes : array-like of int or "auto", default="auto"
        Hidden layers of the assignment network. "auto" is none on the encoders' hidden
        layers, which serve as its own, and (128,) on latents or rows, of which a linear
        map is too weak.
    assignment_input : {"hidden", "latents", "input"}, default="hidden"
        What the assignment network reads: the last hidden layers of all encoders side
        by side, their latents (as in the paper), or the rows themselves. Custom experts
        have no hidden layers that we know of: their latents are read for "hidden".
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh"}, default="relu"
        The activation of all hidden layers.
    input_shape : tuple of int, "auto" or None, default="auto"
        The shape of a row: ``(height, width)``, ``(channels, height, width)`` or, with
        up to four channels, ``(height, width, channels)`` of an image, ``(length,)`` of
        a series, and ``(channels, length)`` of one with ``architecture="conv1d"``:
        without it, two or three dimensions mean an image. Rows stay flat in X and are
        reshaped inside. None means a vector. "auto" recognises images, row after row,
        with sides of 8 pixels or more and up to 196,608 values, no more than twice as
        wide as high or as high as wide, in grey or in three colours, first or last,
        and series of 51 to 16,384 values: half or more of the pixels, or
        values, are most correlated with one that they touch, in each colour. Other rows
        are vectors. It does not look where ``whitening``,
        ``n_components``, ``directions`` or ``n_active`` are not left as they are, nor
        for ``architecture="conv1d"`` or custom experts; `partial_fit` looks at its
        first chunk.
    max_pixels : int, "auto" or None, default="auto"
        The most pixels of an image that are read, each with all of its channels: larger
        images are averaged to so many, and `reconstruct` has squares in their place.
        Experts as wide as large images take long to train, and in trials found no
        better clusters. "auto" is 1024, of 32 x 32 pixels, but for custom experts, and
        None reads all. Vectors and series have no pixels.
    whitening : float, "auto" or None, default="auto"
        How far rows are whitened first: they are turned to their principal directions,
        and each of these is divided by its standard deviation to this power, so that
        few strong directions do not hide many weak ones. 0 only turns and cuts them, 1
        makes all alike, None leaves features as they are. "auto" is 0.5 for vectors
        with the squared error, and None otherwise: of images, of series and for
        experts of your own. Experts then reconstruct whitened rows, and
        `reconstruct` turns them back. `partial_fit` whitens by its first chunk.
    n_components : int or "auto", default="auto"
        The most principal directions that are kept. "auto" is 100, and in rows of more
        than 50 features no more than have 90 % of the variance, but never fewer than 20
        or, up to 100, two for each cluster: of what a network sees that was taught K
        classes, these are apart in K - 1 directions. Weak
        ones are left out, too, where they are most and rows are noise along them, one
        Gaussian that is round; but not where rows are to be drawn (`expert`).
    directions : bool or "auto", default="auto"
        Whether whitened rows count by their direction alone: they are not centred, and
        brought to one length. "auto" is True where nine in ten values of X are zero,
        as of word counts.
    input_noise : float, default=0.0
        Standard deviation of Gaussian noise on what the encoders read while training
        (denoising experts), in units of the data's own standard deviation; with "bce",
        for which rows are not scaled, in those of X.
    reconstruction_loss : {"mse", "bce", "cosine"}, default="mse"
        The reconstruction error: squared error; binary cross-entropy, for features in
        [0, 1]; or one minus the cosine, for text and other data whose direction
        matters. Each is divided by the error of predicting the mean.
    sample_entropy_weight : float, default=2.0
        The weight (alpha in the paper) of the mean entropy of the assignments, which
        is minimised. Entropies are in units of the log of the number of experts, and of
        clusters once experts to spare are merged.
    batch_entropy_weight : float or "auto", default="auto"
        The weight (beta) of the entropy of the mean assignment of a batch, which is
        maximised, up to what a random batch of even clusters has. "auto" is 8, and
        less in proportion with more than 21 clusters, but for images and series.
    entropy_schedule : str, default="auto"
        How the weights move: "constant" is not at all. With "fading" that of the batch
        entropy falls to a tenth, once assignments are sure, so that clusters may be as
        unlike in size as the rows have them. "anneal" is the paper's advice: early,
        balance and assignment; late, reconstruction and certainty: the batch entropy
        fades while the reconstruction gains. "balanced" is its authors' rule that the
        three terms stay of one magnitude, smoothed and clipped. Where the balance
        fades, experts are also merged into clusters of any size. "auto" is "fading"
        where nothing tells sizes, for the start is random or there are experts to
        spare, and ``cluster_sizes`` says nothing; otherwise, and in `partial_fit`,
        "constant".
    cluster_sizes : array-like of shape (K,), "auto", "start" or None, default="auto"
        Known proportions of the clusters, in any order. Clusters are pulled towards
        these sizes instead of even ones (by cross-entropy), the more so the surer
        assignments are; no expert is told which size is its own.
        The labels of a `fit` from scratch follow the order given, unless ``init`` has
        labels; in `partial_fit` and with ``warm_start`` clusters keep the numbers that
        they have. None prefers even sizes. "start": clusters need be no
        more even than those that training starts from, so that large and small ones
        survive. "auto" is that for crowded rows (see ``init``) that
        start from clusters with an expert each, and for the starts "round", "centres",
        "uneven", "plain", "latent_classes" and "topics", and for small tables of which
        the graph and k-means see much the same clusters; else None. `partial_fit`
        and ``warm_start`` then keep the sizes of what they go on from, whichever the
        start was, unless that was "random".
    consistency : str, object, callable, list of these or None, default="auto"
        Changes of a row that must not change its assignment: "adversarial", a small
        step in the worst direction (virtual adversarial training); "affine", small
        random affine maps of an image; "warp", small shifts and stretches of a series;
        "jitter", a small step in a random direction; "masking", some values hidden; or
        an object of `skmixae.consistency`, which has settings. "auto" is ["affine",
        "adversarial"] for images, ["warp", "adversarial"] for series, Masking(0.5)
        where ``directions`` is True and "adversarial" for other rows; None is no such
        term. A callable ``change(rows, generator)`` gets a batch as a tensor
        (b, \*input_shape) in the units of X, of images with channels first and no more
        than ``max_pixels``, and a ``torch.Generator`` to draw from, both on the
        training's device; it returns changed rows of that shape.
        Divergences of several are added. Experts to spare are merged by the first that
        is not "adversarial".
    consistency_weight : float, default=20.0
        The weight of the divergence between the assignments before and after.
    start_weight : float or "auto", default="auto"
        The weight of the divergence of the assignments from those that training starts
        from, which holds to them while the experts train. "auto" is 20 for
        ``init="mixture"``, "round", "centres", "uneven", "plain" and "latent_classes",
        5 for "topics" and 100 for "parts", which then need an expert for each cluster;
        else 0: other starts are there to be left.
    prior_weight : float, default=1.0
        The weight of the divergence of latents from their prior, for experts that have
        one. With variational experts, 1 is the lower bound of the evidence where the
        noise of a row has a tenth of the data's variance; with adversarial ones the
        Jensen-Shannon divergence in nats, as far as the critics see it.
    distillation_weight : float, default=0.0
        The weight of the divergence of the assignments from what the errors of the
        experts alone say, which are the targets of a mixture of experts [6]_: the
        softmax of minus the errors of a row, in units of 0.3 times how far the best
        expert is ahead of the average one, over a batch. The assignment network then
        follows the experts, where it may be far from them: with the paper's objective
        (`skmixae.presets.paper`) 1 is a good weight, and 2 too much. Beside the
        consistency there is little for it to mend, and 0 leaves it out.
    max_epochs : int or "auto", default="auto"
        Passes over the data. "auto" is 40, as many as make 300 steps on few rows, or
        1000 on few images or series (25 for each expert of more than 40), and as few as
        make 5000 on many, but no less than 10.
    batch_size : int, default=256
        The most rows in a step.
    learning_rate : float, default=0.002
        The learning rate of Adam at the start.
    learning_rate_decay : float, default=0.3
        The share of the learning rate that is left in the last epoch, to which it falls
        geometrically. Where clusters are refined (``refinement``), it starts at
        ``learning_rate`` again there, and falls to the square of this share of it.
        `partial_fit`, which knows no last epoch, does not lower it.
    weight_decay : float, default=0.0
        Decoupled weight decay.
    tol : float, default=0.0001
        By how much the objective must fall to count as an improvement.
    n_iter_no_change : int, default=None
        End a phase of training (a start is learned, experts train, clusters are
        refined) after so many epochs without an improvement. None trains to the end.
        Either way the weights of the best epoch are kept.
    validation_fraction : float, default=None
        The share of rows to hold out and watch the objective on, all of it but
        consistency, the divergence from the start and an adversarial prior. None
        watches it on the rows trained on.
    refinement : float, default=0.4
        The share of the epochs, the last ones, from 0 to below 1, in which the clusters
        are trained that experts to spare were merged into: entropies and consistency
        are then of clusters, and a border between two experts of one cluster costs
        nothing. The learning rate starts anew and falls twice as far; weights that
        ``entropy_schedule`` has moved, but by "balanced", stay where they are then.
        Experts that share a cluster may never be sure which of them has a row, so that
        the balance did not fade: then it fades in these epochs.
    n_init : int or "auto", default="auto"
        The number of restarts; the one of the lowest objective, over all rows, is kept.
        Of images and series that start at random it is, of those whose objective, with
        half of the batch entropy, is within .15 of the lowest, the one whose clusters
        are most like those of all others (adjusted Rand index).
        "auto" is 1, but 5 for crowded rows (see ``init``), or as many as make 60,000
        rows: there much depends on the start, unless they are held to it.
        Of few images or series, in at most 15 clusters, it is 3, or as many as make
        7500 rows, and one more from the graph of few neighbours (see ``init``) where
        that is not 1; none follows once two have come to nearly the same clusters, by
        an adjusted Rand index above .9.
        It is 2 where ``init="auto"`` tries two starts, which are compared with an
        eighth of the batch entropy, and 5 for sums (``n_active``), which are without
        the consistency. Where ``warm_start`` goes on there is none.
        On a processor small networks are trained side by side, where torch has threads
        (``torch.set_num_threads``) that one of them has no use for; not with callbacks,
        ``verbose=2`` or code of your own. What they find is the same.
    init : str or array-like, default="auto"
        The start: "random" weights, as in the paper, or clusters that the mixture
        learns in the first tenth of the epochs, one for each expert: labels
        (n_samples,), probabilities (n_samples, n_experts), or by name

        - "kmeans";
        - "spectral", of the graph of neighbours, for clusters of any shape:
          ``SpectralClustering`` of a sample of 4000 rows, or 40 for each expert, whose
          labels the others get;
        - "nearest", the same of the graph of as few neighbours, 5 to 20, not 10, as
          leave it in no more parts than experts: for clusters in which few rows are
          much alike, such as the views of a thing;
        - "parts", the labels of "spectral", held to;
        - "round", those of "kmeans", which training then holds to;
        - "centres", the same, begun at the clusters of "spectral", held to;
        - "mixture", the probabilities of ``GaussianMixture``, the likeliest of those
          found from k-means and from "spectral", held to; of the shape with the lowest
          Bayesian information criterion (their own, one for all, along the principal
          directions, round, or round in the units of the features), of those with two
          rows for each parameter;
        - "uneven", for clusters unlike in size: those of Gaussians found from
          "spectral", each with a variance of its own along each direction, held to;
        - "plain", those of k-means of rows as they are, not whitened, held to;
        - "latent_classes", for categories, of which each value has an indicator: the
          probabilities of classes within which features are independent (latent class
          analysis), the best of those found from k-means and from the graph, held to;
        - "topics", for counts of words and their like, such as tf-idf, of which none is
          negative: the probabilities of topics that have chances for each word (a
          mixture of multinomials [7]_), in which a row of n words counts as sqrt(n) or,
          until the mean of the largest probabilities is 0.8, up to four times as many;
          the likeliest of those found from ten runs of k-means, held to.

        "auto" is "random" for rows that are not whitened, but "nearest" for images and
        series in more than 15 clusters, and for the last restart of few.
        Others it asks, and the first of these that is true decides (with ``n_experts``
        above ``n_clusters`` the last two alone are asked):

        - four fifths of the features are indicators, of two values, or there are some
          among numbers, of more than ten values each, and these are no words; rows are
          latent classes by the Bayesian information criterion, which is higher for one
          class, and for one more ("latent_classes");
        - four fifths are indicators, most of categories with others beside them
          ("plain");
        - rows are read as ``directions``, with no value that is negative ("topics");
        - up to 100 features: these have few values, more than a fifth of the rows
          repeat others, and half of the features have fewer values than a quarter of
          the rows that differ ("round");
        - there are categories, or features of three values, among others, and the graph
          is cut along one: neighbours have unlike values less than a quarter as often
          as any two rows ("plain");
        - up to 100 features: the graph falls into as many parts as clusters, with at
          most 0.05 % of its edges between them ("parts");
        - up to 100 features: rows are as many Gaussians as clusters, of one of these
          shapes, which have a lower Bayesian information criterion than one, one more
          and twice as many, of any shape and of theirs (or, if they are of full shape,
          than one and twice as many of that, and k-means does not see round clusters
          otherwise), and some width in all directions ("mixture");
        - the graph and k-means see the same clusters, with an adjusted Rand index above
          0.87, or lead to the same Gaussians, and k-means cuts no more than one and a
          half times as many of the graph's edges ("centres");
        - clusters of the graph are less even than those of k-means, by a fifth of the
          entropy of their sizes, and Gaussians found from them are likelier ("uneven");
        - up to 100 features: the graph sets but odd rows apart: the sizes of its
          clusters have at most half of the entropy of those of k-means ("round");
        - rows are crowded ("kmeans"; fewer of them than features, that are not read as
          ``directions``, "plain");
        - there are experts to spare, or less than 0.5 % of the edges are between
          clusters, or k-means sees much the same clusters, of an adjusted Rand index
          above 0.6 ("spectral").

        Else restarts take turns between "spectral" and "kmeans", which must have an
        objective lower by 0.05. For sums (``n_active``) it is "kmeans", whose centres
        then add up to rows.

        Rows are *crowded* where a few are among the nearest neighbours of very many, as
        is common in many dimensions: experts to spare would be merged wrongly. "auto"
        says so of more than 100 features, where rows are counts or there are no experts
        to spare; and with experts to spare, of more than 100 features or 20 directions,
        where the sizes of the graph's clusters have at most four fifths of the entropy
        of those of k-means, or the graph falls into more parts than clusters. Another
        ``init`` says so of more than 100 features, "spectral" only where rows are
        counts.
    warm_start : bool, default=False
        Whether `fit` goes on from the network that it left before.
    random_state : int, RandomState instance or None, default=None
        Determines weights, order, noise and restarts. torch's and numpy's global
        generators are left alone, but for None, which draws its seeds from numpy's.
        Experts and changes of your own may draw from torch's, which is seeded for them
        and then put back: threads share it, so that such fits in several threads at
        once are not reproducible.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1" ..., "mps", or the fastest at hand.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The type of the products in training; weights stay float32, and so does all
        inference. "auto" is bfloat16 where experts read more than 50 numbers of a row
        (features, pixels, or the directions that ``whitening`` keeps), on GPUs and
        processors that have products of it (AMX or AVX-512 BF16). Ask for "float32"
        where the same seed must give nearly the same on any machine.
    verbose : int, default=0
        1 prints a line for each restart, and that rows were recognised as images or
        series, in `partial_fit` of the first chunk; 2 also one for each epoch of `fit`.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each row, from 0, the largest first. Clusters that had an order
        before keep it: labels given as ``init``, known ``cluster_sizes``, those of a
        ``warm_start`` and, of the last chunk, those of `partial_fit`. With ``n_active``
        above 1 the shape is (n_samples, n_clusters), and each row has that many ones.
    n_iter_ : int
        The number of epochs run; of chunks, for `partial_fit`.
    history_ : structured ndarray of shape (`n_iter_`,)
        One row an epoch. ``history_["total"]`` is what was minimised and
        ``history_["objective"]``, by which the best epoch is chosen, the same with the
        weights as configured (or, in the first epochs, in which a start is learned,
        what is minimised then; and, when experts to spare are merged, with those that
        ``entropy_schedule`` ends with);
        "reconstruction", "sample_entropy", "batch_entropy" (with ``cluster_sizes``, the
        agreement with them that takes its place), "consistency", "start", "prior" and
        "distillation" are its terms, each with its weight in "reconstruction_weight"
        and so on; "learning_rate";
        "expert_share" (of shape (n_experts,)), the share of rows for each expert;
        "label_change", the share of rows whose expert, or cluster once experts to spare
        are merged, changed since the epoch before (NaN in the first epoch, in the
        first after a start was learned or experts were merged, and in `partial_fit`);
        and
        "validation_objective", where rows are held out.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        The share of the rows in each cluster.
    expert_sizes_ : ndarray of shape (n_experts,)
        The mean probability of each expert over the rows; with ``n_active`` above 1,
        divided by that.
    expert_labels_ : ndarray of shape (n_experts,)
        The cluster of each expert.
    expert_children_ : ndarray of shape (n_experts - 1, 2)
        The tree by which experts were merged, the merges of the clusters first, in the
        format of ``children_`` of ``sklearn.cluster.AgglomerativeClustering``; empty
        with an expert a cluster. Merged so by least loss [3]_, an expert then moves
        where it tells more, and the tree is of the clusters that there are in the end.
    expert_distances_ : ndarray of shape (n_experts - 1,)
        What each merge takes, in nats, from the information that the clusters of rows
        carry about those of their views. Which are merged is told by that, with what
        each takes from the entropy of their sizes added, or some of it taken off: see
        ``entropy_schedule``.
    objective_ : float
        Reconstruction + alpha * sample entropy - beta * batch entropy of the clusters
        over all rows, and the weighted consistency (but of sums), divergence from the
        start, prior and distillation of the epoch whose weights were kept: what
        `n_init` compares. It needs no labels.
        Where restarts begin from different clusters, beta counts an eighth, or the most
        even start would always win; where several of images or series begin at random,
        half. The batch entropy counts whole otherwise, also where
        ``cluster_sizes`` lets training reward no more of it than the start has.
    module_ : torch.nn.Module
        The fitted mixture, in evaluation mode. It reads scaled rows.
    init_ : str
        What training started from: the name that ``init="auto"`` came to, "given" for
        labels or probabilities, and of several starts that of the restart that is kept.
    input_shape_ : tuple of int
        The shape of a row, as it was given or recognised; of a vector its length.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the features, where X had any.

    See Also
    --------
    sklearn.cluster.KMeans : One centre, not a manifold, for each cluster.
    sklearn.mixture.GaussianMixture : One Gaussian for each cluster.

    References
    ----------
    .. [1] D. Zhang, Y. Sun, B. Eriksson, L. Balzano, "Deep Unsupervised Clustering
       Using Mixture of Autoencoders", arXiv:1712.07788, 2017. The paper leaves layer
       sizes, learning rate and schedule open: those here are our own.
    .. [2] W. Hu, T. Miyato, S. Tokui, E. Matsumoto, M. Sugiyama, "Learning Discrete
       Representations via Information Maximizing Self-Augmented Training",
       arXiv:1702.08720, 2017.
    .. [3] N. Slonim, N. Tishby, "Agglomerative Information Bottleneck", NIPS 1999;
       and the moves: N. Slonim, N. Friedman, N. Tishby, "Unsupervised Document
       Classification using Sequential Information Maximization", SIGIR 2002.
    .. [4] D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes",
       arXiv:1312.6114, 2013.
    .. [5] A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, "Adversarial
       Autoencoders", arXiv:1511.05644, 2015.
    .. [6] R. A. Jacobs, M. I. Jordan, S. J. Nowlan, G. E. Hinton, "Adaptive Mixtures of
       Local Experts", Neural Computation 3(1), 1991.
    .. [7] K. Nigam, A. McCallum, S. Thrun, T. Mitchell, "Text Classification from
       Labeled and Unlabeled Documents using EM", Machine Learning 39, 2000.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skmixae import MixAEClustering
    >>> X, _ = make_moons(200, noise=0.05, random_state=0)
    >>> model = MixAEClustering(n_clusters=2, max_epochs=20, random_state=0).fit(X)
    >>> model.predict(X[:5]).shape
    (5,)
    >>> model.predict_proba(X[:5]).shape
    (5, 2)
    """

    _parameter_constraints: dict[str, list[Any]] = parameters.CONSTRAINTS

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_experts: int | Literal["auto"] | None = "auto",
        n_active: int = 1,
        latent_dim: int | Literal["auto"] = "auto",
        architecture: str | Callable[[tuple[int, ...], int], torch.nn.Module] = "mlp",
        expert: Literal["plain", "variational", "adversarial"] = "plain",
        hidden_layer_sizes: ArrayLike = (48, 48),
        conv_channels: ArrayLike = (16, 32),
        assignment_hidden_layer_sizes: ArrayLike | Literal["auto"] = "auto",
        assignment_input: Literal["hidden", "latents", "input"] = "hidden",
        activation: str = "relu",
        input_shape: tuple[int, ...] | Literal["auto"] | None = "auto",
        max_pixels: int | Literal["auto"] | None = "auto",
        whitening: float | Literal["auto"] | None = "auto",
        n_components: int | Literal["auto"] = "auto",
        directions: bool | Literal["auto"] = "auto",
        input_noise: float = 0.0,
        reconstruction_loss: Literal["mse", "bce", "cosine"] = "mse",
        sample_entropy_weight: float = 2.0,
        batch_entropy_weight: float | Literal["auto"] = "auto",
        entropy_schedule: Literal[
            "auto", "constant", "fading", "anneal", "balanced"
        ] = "auto",
        cluster_sizes: ArrayLike | Literal["auto", "start"] | None = "auto",
        consistency: Change | Sequence[Change] | None = "auto",
        consistency_weight: float = 20.0,
        start_weight: float | Literal["auto"] = "auto",
        prior_weight: float = 1.0,
        distillation_weight: float = 0.0,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        learning_rate_decay: float = 0.3,
        weight_decay: float = 0.0,
        tol: float = 1e-4,
        n_iter_no_change: int | None = None,
        validation_fraction: float | None = None,
        refinement: float = 0.4,
        n_init: int | Literal["auto"] = "auto",
        init: str | ArrayLike = "auto",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_experts = n_experts
        self.n_active = n_active
        self.latent_dim = latent_dim
        self.architecture = architecture
        self.expert = expert
        self.hidden_layer_sizes = hidden_layer_sizes
        self.conv_channels = conv_channels
        self.assignment_hidden_layer_sizes = assignment_hidden_layer_sizes
        self.assignment_input = assignment_input
        self.activation = activation
        self.input_shape = input_shape
        self.max_pixels = max_pixels
        self.whitening = whitening
        self.n_components = n_components
        self.directions = directions
        self.input_noise = input_noise
        self.reconstruction_loss = reconstruction_loss
        self.sample_entropy_weight = sample_entropy_weight
        self.batch_entropy_weight = batch_entropy_weight
        self.entropy_schedule = entropy_schedule
        self.cluster_sizes = cluster_sizes
        self.consistency = consistency
        self.consistency_weight = consistency_weight
        self.start_weight = start_weight
        self.prior_weight = prior_weight
        self.distillation_weight = distillation_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.weight_decay = weight_decay
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.refinement = refinement
        self.n_init = n_init
        self.init = init
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    # -- fitting ----------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> MixAEClustering:
        """Train the mixture on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows. Memory maps are read a batch at a time, and sparse rows densified
            so, but for some 130 MB of them at most while principal directions are
            looked for.
        y : None
            Ignored; there for scikit-learn's convention, and for callbacks that score.

        Returns
        -------
        self : MixAEClustering
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is not as it should be. What was fitted before is kept.
        TrainingDiverged
            If a term of the objective is no longer finite. The weights of the best
            epoch are kept, where there was one; so they are on an interrupt, and where
            code of your own fails in the middle.
        """
        with self._unchanged_on_error(), gradients():
            warm = self.warm_start and hasattr(self, "module_")
            occasion = Occasion.WARM_FIT if warm else Occasion.FIT
            rows = self._check_rows(X, reset=not warm, least=2)
            self._check_enough(rows)
            seen = self._seen(rows) if warm else look_at(self, rows)
            moments = self._moments if warm else resolve_moments(self, *seen)
            rows = seen.rows
            problem = self._problem(rows, moments, occasion)
            candidate, interruption = self._train(
                problem, rows, moments, X, y, warm=warm
            )
            self._adopt(candidate, problem)
        if interruption is not None:
            raise interruption
        findings = degeneracies(candidate, problem.balance.sizes)
        _warn_of(findings, problem.note(moments.shape))
        return self

    def _train(
        self,
        problem: Problem,
        rows: Rows,
        moments: Moments,
        X: ArrayLike,
        y: Any,
        *,
        warm: bool,
    ) -> tuple[Candidate, BaseException | None]:
        """Train ``n_init`` mixtures; return the best, and what broke it off, if so.

        With nothing good before the interruption, it is raised.
        """
        problem.check_range(rows)
        n_init = 1 if warm else problem.comparison.n_init
        monitor = FitMonitor(
            self, X, y, n_restarts=n_init, max_epochs=problem.plan.max_epochs,
            attributes=partial(self._fitted, problem, rows, moments, warm=warm),
            verbose=self.verbose, note=problem.note(moments.shape),
        )  # fmt: skip
        restarts = Restarts(
            problem, problem.batches(rows, moments).holding(), moments,
            _seeds(self.random_state, n_init), monitor,
            trained=self.module_ if warm else None,
            clusters=self.expert_labels_ if warm else None,
        )  # fmt: skip
        best, interruption = restarts.best()
        if interruption is None:
            try:
                monitor.end(best.inference.network, best.tree)
            except BaseException as error:  # of a callback's, for which nothing is lost
                interruption = error
        return best, interruption

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: None = None) -> MixAEClustering:
        """Train on a chunk of rows, in one pass.

        A stream of chunks trains as epochs of `fit` do: the optimiser, the running
        centre and scale of the rows, and the state of the schedule go on from one chunk
        to the next, also after a round trip through pickle. After `fit`, the weights,
        centre and scale go on; optimiser and schedule begin anew. The learning rate
        stays, and schedules advance by a chunk as by an epoch of ``max_epochs``.

        The first chunk says what rows are, how they are whitened and where training
        starts: it is asked as ``init`` says, and what it shows is learned before the
        first pass. To ``init="auto"`` fewer than ten rows for each cluster show
        nothing, and the start is random, as it is of images and series in at most 15
        clusters, and of rows that are not whitened.
        Rows of later chunks are not held to the start. How experts to spare are merged
        is asked of the last 500 rows for each expert; after `fit`, the clusters that it
        found count as so many rows as it had. After 300 steps, 1000 of images or
        series, warnings say what has gone wrong, as those of `fit` do, and again where
        that is another: they are of 100 rows for each cluster, then of the next 200,
        400 and so on.
        ``start_weight``, ``n_init``, ``learning_rate_decay``, ``refinement``,
        ``validation_fraction`` and what stops `fit` early have no meaning here.
        After the first hundred rows, one that is more than 30 times as far from the
        mean as others (the root of the mean square) is trained on as if it were as far
        as that.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The chunk. The more it resembles the whole, the better its batches are
            balanced; chunks of one cluster each teach nothing. The first one should be
            some hundred rows or more.
        y : None
            Ignored; there for scikit-learn's convention.

        Returns
        -------
        self : MixAEClustering
            The estimator, whose ``labels_`` are those of the chunk.

        Raises
        ------
        ValueError
            If a parameter or X is not as it should be. What was fitted before is kept.
        TrainingDiverged
            If a term of the objective is no longer finite. The weights from before the
            chunk are kept.
        """
        with self._unchanged_on_error(), gradients():
            # Scikit-learn does so for the first chunk alone.
            if not get_config()["skip_parameter_validation"]:
                self._validate_params()
            first = not hasattr(self, "module_")
            occasion = Occasion.FIRST_CHUNK if first else Occasion.CHUNK
            rows = self._check_rows(X, reset=first)
            if first:
                self._check_enough(rows)
            seen = look_at(self, rows) if first else self._seen(rows)
            before = None if first else self._moments
            moments = resolve_moments(self, *seen, before)
            rows = seen.rows
            problem = self._problem(rows, moments, occasion)
            problem.check_range(rows)
            note = problem.note(moments.shape)
            if first and self.verbose and note:
                tell(self, note)
            stream = self._open_stream(problem, first=first)
            if first:
                stream.learn_start(problem, rows, moments)
            report = stream.train(problem, rows, moments)
            run = TrainingRun([report])
            k, m = problem.n_clusters, problem.spec.n_experts
            batches = problem.batches(rows, moments)
            tree = merge_experts(
                problem, stream.network, batches, moments, stream.shared
            ).aligned(np.arange(m) % k if first else self.expert_labels_)
            candidate = conclude(
                problem, stream.network, batches, moments, run, tree, keep_names=True
            )
            candidate.start = problem.start_name if first else None
            findings = stream.look(problem, candidate)
            self._adopt(candidate, problem, go_on=not first)
            self._stream = stream.state()
        _warn_of(findings)
        return self

    def _open_stream(self, problem: Problem, *, first: bool) -> Stream:
        """Return the stream to train on: a new one, or on from the one before.

        It trains a copy of the network, so that an error leaves all as it was.
        """
        left = getattr(self, "_stream", None)
        seed = _seeds(self.random_state, 1)[0] if left is None else left["seed"]
        network = new_network(problem, seed) if first else deepcopy(self.module_)
        stream = Stream(problem, network.to(problem.device), seed)
        if left is not None:
            return stream.restore(left)
        if first:
            return stream
        if was_shown_clusters(self):
            stream.keep_sizes(problem, self.cluster_sizes_)
        if hasattr(self, "labels_"):  # a callback's copy has none
            stream.shared = SharedRows.of_clusters(
                self.expert_labels_, self.expert_sizes_, len(self.labels_)
            )
        return stream

    # -- what a fitted mixture says of rows --------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Return the most probable cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
            Clusters from 0 to ``n_clusters - 1``. With ``n_active`` above 1, of shape
            (n_samples, n_clusters): ones for the clusters that a row is the sum of.
        """
        inference, rows = self._look(X)
        return inference.labels(rows)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each cluster for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters), float32
            Rows sum to one, or to ``n_active``. They say how sure the mixture is of the
            cluster of a row, and not whether that cluster is a class of yours; most are
            near 0 or 1.
        """
        inference, rows = self._look(X)
        return inference.probabilities(rows)

    def predict_expert_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the probability of each expert for each row.

        Those of the experts of a cluster, which ``expert_labels_`` names, add up to
        what `predict_proba` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_experts), float32
            Rows sum to one, or to ``n_active``.
        """
        inference, rows = self._look(X)
        return inference.expert_probabilities(rows)

    def encode(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return what every expert encodes each row to.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        latents : ndarray of shape (n_samples, n_experts, latent_dim), float32
            The latents of all experts, those too that the row does not belong to;
            `transform` returns those of its own.
        """
        inference, rows = self._look(X)
        return inference.latents(rows)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the latents of each row.

        A row is described by its own expert alone (by ``n_active`` of them, if it is
        their sum): the latents of the most probable expert of the row's cluster stand
        in that expert's block of ``latent_dim`` columns, and the others are zero.
        Latents of different experts are coordinates on different manifolds and share no
        axis, hence a block for each.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_experts * latent_dim), float32
            Columns ``expert0_latent0``, ``expert0_latent1``, ... as
            `get_feature_names_out` names them.
        """
        inference, rows = self._look(X)
        return inference.codes(rows)

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the rows that codes stand for.

        The expert whose block of a code is longest decodes it (the longest ``n_active``
        are added up), so that
        ``inverse_transform(transform(X))`` is ``reconstruct(X)``; with the cosine loss
        up to the rows' lengths, and where experts of your own encode a row to zeros
        up to the expert, which codes do not tell.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_experts * latent_dim)
            Codes, as `transform` returns them.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features), float32
            In the units of the data.
        """
        check_is_fitted(self)
        codes = check_array(_readable(X), dtype=_DTYPES, input_name="X")
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {codes.shape[1]} features, but inverse_transform is expecting "
                f"{self._n_features_out} features as input: latent_dim="
                f"{self._network_spec.latent_dim} for each expert."
            )
        return self._inference().decode(Rows(codes), self._network_spec.latent_dim)

    @available_if(_has_prior)
    def sample(
        self,
        n_samples: int = 1,
        *,
        cluster: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Draw new rows from the mixture, or from one of its clusters.

        An expert is drawn by its share of the rows (of a stream, of the last 500 for
        each expert), latents from the prior, and the expert decodes them. Only
        variational and adversarial experts have a prior.

        Parameters
        ----------
        n_samples : int, default=1
            The number of rows.
        cluster : int, default=None
            The cluster to draw from; None draws from all, by their sizes.
        random_state : int, RandomState instance or None, default=None
            Determines what is drawn.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features), float32
            In the units of the data; of length one with the cosine loss.
        labels : ndarray of shape (n_samples,), int32
            The cluster that each row was drawn from.

        Raises
        ------
        AttributeError
            If experts are plain, or ``n_active`` is above 1.
        ValueError
            If there is no such cluster, or it has no rows.

        Examples
        --------
        >>> from sklearn.datasets import make_moons
        >>> from skmixae import MixAEClustering
        >>> X, _ = make_moons(200, noise=0.05, random_state=0)
        >>> model = MixAEClustering(
        ...     n_clusters=2, expert="variational", max_epochs=20, random_state=0
        ... ).fit(X)
        >>> rows, labels = model.sample(3, cluster=1, random_state=0)
        >>> rows.shape, labels
        ((3, 2), array([1, 1, 1], dtype=int32))
        """
        check_is_fitted(self)
        n_clusters = self._n_clusters
        n_samples = int(check_scalar(n_samples, "n_samples", Integral, min_val=1))
        shares = self._rows_of_experts()
        if cluster is not None:
            check_scalar(
                cluster, "cluster", Integral, min_val=0, max_val=n_clusters - 1
            )
            cluster = int(cluster)
            shares[self.expert_labels_ != cluster] = 0.0
            # The chunk before had none, but others may have had.
            had_rows = hasattr(self, "_stream") and shares.sum() >= 1
            if not (self.cluster_sizes_[cluster] or had_rows):
                raise ValueError(f"cluster={cluster} has no rows to learn from.")
        rng = check_random_state(random_state)
        experts = rng.choice(len(shares), n_samples, p=shares / shares.sum())
        codes = drawn_codes(experts, len(shares), self._network_spec.latent_dim, rng)
        rows = self._inference().decode(Rows(codes), self._network_spec.latent_dim)
        return rows, self.expert_labels_[experts]

    def reconstruct(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return each row as the expert of its cluster, or their sum, reconstructs it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features), float32
            In the units of the data. Rows that are read as ``directions`` have no
            lengths of their own there.
        """
        inference, rows = self._look(X)
        return inference.reconstruct(rows)

    def reconstruction_errors(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return how badly the best expert of each cluster reconstructs each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        errors : ndarray of shape (n_samples, n_clusters), float32
            In units of the error of predicting the mean of the training data, or zero,
            if rows count by their ``directions``; where ``whitening`` is on, of
            whitened rows, in the directions that are kept, and of large images of the
            pixels that ``max_pixels`` leaves. With ``n_active`` above 1, of the best
            sum that has the cluster in it.
        """
        inference, rows = self._look(X)
        return inference.errors(rows)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return how well the best of the experts explains each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float32
            The negative of each row's smallest reconstruction error: at most 0 (for
            "mse" and "cosine"), and -1 on average if no expert did better than the
            mean. Low
            scores mark outliers. Where whitening keeps some directions alone
            (``n_components``), what a row has beyond them is an error, too, but not of
            counts (``directions``), nor what is finer than the pixels of large images
            that are read (``max_pixels``).
        """
        inference, rows = self._look(X)
        return inference.scores(rows, self._moments.beyond)

    def score(self, X: ArrayLike, y: None = None) -> float:
        """Return the mean of `score_samples`: higher is better.

        It grows with ``n_clusters`` and with the size of the experts, as any
        reconstruction does, so it does not choose those by itself.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : None
            Ignored; there for scikit-learn's convention.

        Returns
        -------
        score : float
            The mean score.
        """
        return float(self.score_samples(X).mean())

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only checked, against the features that X had in `fit`: the names of the
            latents do not depend on them.

        Returns
        -------
        names : ndarray of str
            ``expert0_latent0``, ``expert0_latent1``, ...
        """
        super().get_feature_names_out(input_features)  # checks that these are X's
        d = self._network_spec.latent_dim
        names = [f"expert{i // d}_latent{i % d}" for i in range(self._n_features_out)]
        return np.asarray(names, dtype=object)

    # -- persistence ---------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the estimator to a safetensors file, which holds no code.

        Parameters
        ----------
        path : path-like
            The file to write. An existing one is replaced only once the new one is
            complete.

        See Also
        --------
        load : Read it again.
        """
        from .persistence import save

        save(self, path)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        architecture: Callable[[tuple[int, ...], int], torch.nn.Module] | None = None,
        consistency: Callable | Sequence[Callable] | None = None,
    ) -> MixAEClustering:
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file to read. Nothing in it is executed.
        architecture : callable, optional
            The factory of custom experts, which a file cannot hold.
        consistency : callable or list of callable, optional
            The functions of your own in ``consistency``, in their order, which it
            cannot hold either.

        Returns
        -------
        estimator : MixAEClustering
            As it was when it was saved; on the processor or the device at hand.
        """
        from .persistence import load

        return load(cls, path, architecture=architecture, consistency=consistency)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state in plain types and numpy arrays, without torch's objects."""
        state = dict(super().__getstate__())
        if "module_" in state:
            tensors = state.pop("module_").state_dict()
            state["_module_arrays"] = {k: v.cpu().numpy() for k, v in tensors.items()}
            # A factory, which may be a dataclass, stays what it is.
            state["_network_spec"] = dict(vars(state["_network_spec"]))
            state["_moments"] = asdict(state["_moments"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the network again, on the device asked for or at hand."""
        state = dict(state)
        arrays = state.pop("_module_arrays", None)
        super().__setstate__(state)
        if arrays is None:
            return
        self._network_spec = NetworkSpec(**state["_network_spec"])
        # Copied, as weights are: a memory map may go before the estimator does.
        self._moments = Moments(**deepcopy(state["_moments"]))
        # A factory's layers draw weights, in vain.
        with torch.random.fork_rng([]), on_processor():
            network = build_network(self._network_spec, torch.Generator())
            network.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
        self.module_ = network.to(parameters.device_at_hand(self.device)).eval()

    # -- within ----------------------------------------------------------------------

    def _check_rows(self, X: Any, *, reset: bool, least: int = 1) -> Rows:
        """Validate X as scikit-learn does, without changing the type of its numbers."""
        X = _readable(X)
        _check_flat(X)
        X = validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=_DTYPES,
            ensure_min_samples=least,
        )  # fmt: skip
        return Rows(X)

    def _check_enough(self, rows: Rows) -> None:
        """Raise where there are fewer rows than clusters, or experts."""
        more = isinstance(self.n_experts, Integral) and self.n_experts > self.n_clusters
        name = "n_experts" if more else "n_clusters"
        k = getattr(self, name)
        if len(rows) < k:
            raise ValueError(f"n_samples={len(rows)} should be >= {name}={k}.")

    def _problem(self, rows: Rows, moments: Moments, occasion: Occasion) -> Problem:
        """Resolve the parameters for some rows, and for the network where one is."""
        if occasion.goes_on and self._n_clusters != self.n_clusters:
            check_unchanged(["n_clusters"])
        return resolve_problem(self, rows, moments, occasion)

    def _look(self, X: ArrayLike) -> tuple[Inference, Rows]:
        check_is_fitted(self)
        rows = self._check_rows(X, reset=False)
        return self._inference(), self._seen(rows).rows

    def _seen(self, rows: Rows) -> Seen:
        """Return rows as the fitted network reads them."""
        read = self._network_spec.input_shape
        return Seen(converted_rows(rows, self.input_shape_, read), self._moments.shape)

    def _inference(self) -> Inference:
        loss = LOSSES[self._fitted_loss]
        return Inference(
            self.module_,
            self._moments.scaling(loss),
            Reconstruction(loss, self._moments.reference(loss)),
            self.expert_labels_,
            conversion_between(self.input_shape_, self._network_spec.input_shape),
        )

    def _fitted(
        self,
        problem: Problem,
        rows: Rows,
        moments: Moments,
        network: MixtureOfAutoencoders,
        tree: Agglomeration | None,
        *,
        warm: bool,
    ) -> dict[str, Any]:
        """Return the attributes of an estimator that predicts with a network.

        Its experts are merged as they are now, where they are not by ``tree``.
        """
        network = deepcopy(network).eval()
        if tree is None:
            batches = problem.batches(rows, moments)
            tree = merge_experts(problem, network, batches, moments)
            tree = tree.aligned(self.expert_labels_) if warm else tree
        return _of_a_network(problem, moments, network, tree)

    def _adopt(
        self, candidate: Candidate, problem: Problem, *, go_on: bool = False
    ) -> None:
        """Become the estimator of a trained mixture; all at once, at the end."""
        epochs = history(candidate.run.history, problem.spec.n_experts)
        if go_on and hasattr(self, "history_"):  # a callback's copy has none
            epochs = extended(self.history_, epochs)
        labels = candidate.survey.labels
        self.__dict__.pop("_stream", None)
        sizes = candidate.survey.sizes / len(labels)
        network = candidate.inference.network.eval()
        self.__dict__.update(
            labels_=labels,
            history_=epochs,
            n_iter_=len(epochs),
            cluster_sizes_=sizes,
            expert_sizes_=candidate.survey.usage,
            objective_=candidate.objective,
            init_=candidate.start or getattr(self, "init_", "random"),
            **_of_a_network(problem, candidate.moments, network, candidate.tree),
        )

    def _rows_of_experts(self) -> NDArray[np.float64]:
        """Return how many rows each expert has had; of a stream, of the last ones."""
        if hasattr(self, "_stream"):
            return self._stream["shared"].sum(1)
        return self.expert_sizes_.astype(np.float64) * len(self.labels_)

    @property
    def _n_clusters(self) -> int:
        """How many clusters were fitted."""
        return int(self.expert_labels_.max()) + 1

    @property
    def _n_features_out(self) -> int:
        return self._network_spec.n_experts * self._network_spec.latent_dim

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put every fitted attribute back as it was if something goes wrong."""
        before = {name: vars(self)[name] for name in _FITTED if name in vars(self)}
        try:
            yield
        except BaseException:
            for name in _FITTED:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # Whatever comes in, networks compute in float32.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _readable(X: Any) -> Any:
    """Return a tensor of torch's as an array, wherever it is; all else as it is."""
    if not isinstance(X, torch.Tensor):
        return X
    if X.layout is not torch.strided:
        raise TypeError(
            f"X is a tensor of torch in the layout {X.layout}, which is not read. Give "
            "a sparse matrix of scipy, or X.to_dense()."
        )
    X = X.detach().cpu()
    return (X.float() if X.dtype is torch.bfloat16 else X).numpy()


def _check_flat(X: Any) -> None:
    """Raise where rows are images or series that are not unrolled, with the way out."""
    shape = tuple(getattr(X, "shape", ()))
    if len(shape) > 2:
        told = f"input_shape={shape[1:]}"
        if len(shape) == 3:  # two numbers alone mean an image
            told += (
                f" for images, or {(shape[1] * shape[2],)} for series, one channel "
                "after the other"
            )
        raise ValueError(
            f"Found array with dim {len(shape)}, while dim <= 2 is required: rows are "
            "flat. Use X.reshape(len(X), -1) and, where images or series are not "
            f"recognised, {told}."
        )


def _warn_of(findings: list[str], note: str | None = None) -> None:
    """Warn of what went wrong with a clustering, and note how its rows were read."""
    read = f" {note[0].upper()}{note[1:]}." if note else ""
    for finding in findings:
        warnings.warn(f"{finding}.{read}", ConvergenceWarning, stacklevel=_stacklevel())
        read = ""  # once is enough


def _stacklevel() -> int:
    """Return the level of a warning that is to name the line of a user's.

    ``fit`` may be called by ``fit_predict`` of scikit-learn, or by a pipeline.
    """
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame and frame.f_globals.get("__name__", "").startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level


def _of_a_network(
    problem: Problem,
    moments: Moments,
    network: MixtureOfAutoencoders,
    tree: Agglomeration,
) -> dict[str, Any]:
    """Return the fitted attributes that prediction needs."""
    return {
        "module_": network,
        "input_shape_": problem.reading.shape,
        "expert_labels_": tree.clusters.astype(np.int32),
        "expert_children_": tree.children,
        "expert_distances_": tree.distances,
        "_network_spec": problem.spec,
        "_moments": moments,
        "_fitted_loss": problem.loss.name,
    }


def _seeds(random_state: Any, n: int) -> list[int]:
    """Draw a seed for each restart."""
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n)
    return seeds.tolist()
