"""Starting points: labels or probabilities that the mixture learns first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from ..objective.mixture import MixtureObjective, Network, Step
from .batches import Batches

# k-means sees at most so many rows, and so many for each cluster: its centres move
# little with more, and all rows are then labelled batch by batch.
KMEANS_ROWS = 20_000
KMEANS_ROWS_PER_CLUSTER = 200
# Weight of the teaching loss, a mean cross-entropy, beside the reconstruction.
TEACHING_WEIGHT = 1.0


def kmeans_labels(
    batches: Batches, n_clusters: int, random_state: np.random.RandomState
) -> NDArray[np.int32]:
    """Return labels (n,) of all rows by k-means centres of a sample of them."""
    n = len(batches)
    size = min(n, max(KMEANS_ROWS, KMEANS_ROWS_PER_CLUSTER * n_clusters))
    sample = np.sort(random_state.choice(n, size, replace=False))
    rows = np.empty((size, batches.scaling.n_coordinates), dtype=np.float32)
    some, n_seen = batches.narrowed(sample), 0
    for _, x in some.in_order():
        rows[n_seen : n_seen + len(x)] = x.cpu().numpy()
        n_seen += len(x)
    model = KMeans(
        min(n_clusters, size), n_init=3, copy_x=False, random_state=random_state
    ).fit(rows)
    labels = [model.predict(batch.x.cpu().numpy()) for batch in batches.in_order()]
    return np.concatenate(labels)


def as_probabilities(start: NDArray, n_experts: int) -> NDArray[np.float32]:
    """Return labels (n,) as one-hot probabilities; leave probabilities (n, k) alone."""
    if start.ndim == 1:
        return np.eye(n_experts, dtype=np.float32)[start.astype(np.intp)]
    return start.astype(np.float32)


@dataclass
class Teaching:
    """The objective of the first epochs when training does not start at random.

    Each expert learns to reconstruct its share of the rows, and the assignment network
    learns the given probabilities by cross-entropy. The terms keep their places in the
    history.
    """

    objective: MixtureObjective
    start: Tensor  # (n, k)

    def step(
        self,
        network: Network,
        x: Tensor,
        index: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Step:
        """Return the terms of rows ``x`` (b, features) for one step of teaching."""
        target = self.start[index]
        out = network(x)
        log_assignment = F.log_softmax(out.logits, -1)
        errors = self.objective.reconstruction(out.decoded, x)
        reconstruction = (target * errors).sum(-1).mean()
        teaching = -(target * log_assignment).sum(-1).mean()
        step = self.objective.assemble(
            log_assignment.detach(), errors.detach(), errors.new_zeros(()), None
        )
        total = reconstruction + TEACHING_WEIGHT * teaching
        terms = step.terms._replace(total=total, objective=total.detach())
        return step._replace(terms=terms)

    def evaluate(self, network: Network, x: Tensor) -> Step:
        """Evaluate as the objective that comes after."""
        return self.objective.evaluate(network, x)
