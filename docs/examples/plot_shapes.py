"""
Clusters of any shape
=====================

Half-moons, which k-means cuts in the middle. Experts to spare follow each of them in
pieces, and the pieces are merged.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import make_moons

from skmixae import MixAEClustering

X, _ = make_moons(800, noise=0.06, random_state=0)
models = [KMeans(2, random_state=0), MixAEClustering(2, random_state=0)]

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for ax, model in zip(axes, models, strict=False):
    ax.scatter(*X.T, c=model.fit_predict(X), s=6, cmap="cividis")
    ax.set_title(type(model).__name__)
axes[2].scatter(*X.T, c=models[1].predict_expert_proba(X).argmax(1), s=6, cmap="tab20")
axes[2].set_title("its experts")
for ax in axes:
    ax.set(xticks=[], yticks=[], aspect="equal")
