"""
More experts than clusters
==========================

An expert learns one simple shape. A ring is not one, and two experts cut two rings in
half. Of twenty, each learns an arc, and those that share rows at their ends are joined
until as many groups are left as there are clusters.
"""

import matplotlib.pyplot as plt

from skmixae import MixAEClustering
from skmixae.datasets import load_circles
from skmixae.plotting import ExpertTreeDisplay

X, _ = load_circles(return_X_y=True)
few, many = (
    MixAEClustering(2, n_experts=n, init="random", random_state=0).fit(X)
    for n in (2, 20)
)

# %%
# Colours are the clusters, and on the right the experts.
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
arcs = many.predict_expert_proba(X).argmax(1)
shown = {
    "2 experts": (few.labels_, "cividis"),
    "20 experts, joined": (many.labels_, "cividis"),
    "20 experts": (arcs, "tab20"),
}
for ax, (name, (labels, colours)) in zip(axes, shown.items(), strict=True):
    ax.scatter(*X.T, c=labels, s=6, cmap=colours)
    ax.set(title=name, xticks=[], yticks=[], aspect="equal")

# %%
# The tree says in which order they were joined, and what each step lost; the affinity
# beside it says which share rows.
ExpertTreeDisplay.from_estimator(many, X)
