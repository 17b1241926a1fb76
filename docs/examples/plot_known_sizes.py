"""
Known sizes
===========

One cluster has most of the rows. The batch entropy wishes for even clusters, and splits
it; known sizes in its place do not, and sizes estimated by the start lie between.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from skmixae import MixAEClustering

X, y = make_blobs(
    [400, 60, 40],
    centers=[[0, 0], [3.2, 0], [0, 3.2]],
    cluster_std=[1.0, 0.5, 0.5],
    random_state=0,
)
choices = {"even": None, "of the start": "start", "known": [0.8, 0.12, 0.08]}

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, sizes) in zip(axes, choices.items(), strict=True):
    model = MixAEClustering(
        3,
        n_experts=None,
        init="kmeans",
        cluster_sizes=sizes,
        batch_entropy_weight=20.0,
        max_epochs=80,
        random_state=0,
    ).fit(X)
    ax.scatter(*X.T, c=model.labels_, s=6, cmap="cividis")
    ax.set_title(f"{name}: {np.round(np.sort(model.cluster_sizes_)[::-1], 2)}")
    ax.set(xticks=[], yticks=[], aspect="equal")
