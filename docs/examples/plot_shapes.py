"""
Clusters of any shape
=====================

Half-moons, rings and spirals, which centres and Gaussians cut. Here the graph of
neighbours falls into as many parts as there are clusters: the mixture starts from these
parts and holds to them, and knows new rows as well.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture

from skmixae import MixAEClustering

rng = np.random.default_rng(0)


def at(angle, radius):
    """Return points in the plane, with a little noise."""
    points = np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
    return points + rng.normal(scale=0.08, size=points.shape)


radius = np.repeat([1.0, 2.0, 3.0], 400)
turn = np.sqrt(rng.uniform(0.05, 1, 1200)) * 3 * np.pi
arm = np.tile([0, np.pi], 600)
shapes = [
    (2, make_moons(800, noise=0.06, random_state=0)[0]),
    (3, at(rng.uniform(0, 2 * np.pi, 1200), radius)),
    (2, at(turn + arm, turn / 4)),
]

# %%
# Each row has another shape, and each column another method.
figure, axes = plt.subplots(3, 3, figsize=(9, 8.6), layout="constrained")
for row, (k, X) in zip(axes, shapes, strict=True):
    methods = [
        KMeans(k, random_state=0),
        GaussianMixture(k, random_state=0),
        MixAEClustering(k, random_state=0),
    ]
    for ax, model in zip(row, methods, strict=True):
        ax.scatter(*X.T, c=model.fit_predict(X), s=5, cmap="viridis")
        ax.set(xticks=[], yticks=[], aspect="equal", title=type(model).__name__)
