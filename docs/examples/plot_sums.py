"""
Rows that are sums
==================

Two digits lie on top of each other in every image. ``n_active=2`` says so: each row is
then the sum of two experts, and each expert learns one digit, though none is ever seen
alone.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_score

images, digits = load_digits(n_class=5, return_X_y=True)
rng = np.random.default_rng(0)
pairs = rng.integers(len(images), size=(3000, 2))
pairs = pairs[digits[pairs[:, 0]] != digits[pairs[:, 1]]][:2000]
X = images[pairs].sum(1)
y = np.zeros((2000, 5), dtype=int)
np.put_along_axis(y, digits[pairs], 1, axis=1)

model = MixAEClustering(5, n_active=2, random_state=0).fit(X)
print(
    f"rows whose two digits are right: {hungarian_accuracy_score(y, model.labels_):.3f}"
)

# %%
# Rows, what two experts make of them together, and the probability of each expert.

figure, axes = plt.subplots(3, 8, figsize=(9, 3.6), layout="constrained")
whole = model.reconstruct(X[:8])
for ax, row in zip(axes[0], X, strict=False):
    ax.imshow(row.reshape(8, 8), cmap="gray_r")
for ax, row in zip(axes[1], whole, strict=True):
    ax.imshow(row.reshape(8, 8), cmap="gray_r")
for ax, probabilities in zip(axes[2], model.predict_proba(X[:8]), strict=True):
    ax.bar(range(5), probabilities, color="0.4")
    ax.set(xticks=range(5), yticks=[], ylim=(0, 1))
for ax in axes[:2].flat:
    ax.set_axis_off()
for ax, name in zip(axes[:, 0], ["row", "sum of two", "active"], strict=True):
    ax.set_title(name, loc="left", fontsize=9)
