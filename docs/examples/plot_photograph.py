"""
A photograph in pieces
======================

A photograph is cut into pieces of 16 x 16 pixels, clustered by what they show.
Flattened, a piece has its three colours side by side, pixel after pixel: that these are
images in colours is recognised, and nothing says so. Larger pieces would be averaged to
32 x 32 pixels (``max_pixels``).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skmixae import MixAEClustering
from skmixae.plotting import ClusterSamplesDisplay

SIDE = 16
photograph = load_sample_image("china.jpg")
n_down, n_along = (n // SIDE for n in photograph.shape[:2])
photograph = photograph[: n_down * SIDE, : n_along * SIDE]
pieces = photograph.reshape(n_down, SIDE, n_along, SIDE, 3).swapaxes(1, 2)
X = pieces.reshape(n_down * n_along, -1) / 255

model = MixAEClustering(5, max_epochs=60, n_init=1, random_state=0).fit(X)
print("pieces are read as images of", model.input_shape_)

# %%
# Where the pieces of each cluster are.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(photograph)
shown = np.kron(model.labels_.reshape(n_down, n_along), np.ones((SIDE, SIDE)))
axes[1].imshow(shown, cmap="viridis", interpolation="nearest")
axes[0].set_title("the photograph")
axes[1].set_title("the clusters of its pieces")
for ax in axes:
    ax.set(xticks=[], yticks=[])

# %%
# Some of each cluster, above what its expert makes of them.
ClusterSamplesDisplay.from_estimator(model, X)
