"""
New rows
========

The latents of variational and adversarial experts follow a prior. What an expert makes
of draws from it are new rows of its cluster: here digits that nobody wrote. Each is
fitted once, on half of the rows and for fewer epochs than the default has, which is
enough to see what they draw.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skmixae import MixAEClustering

X = load_digits().data[::2]


def sheet(rows):
    """Return images (lines, columns, 64) as one, with space between them."""
    images = np.pad(np.reshape(rows, (10, 8, 8, 8)), [(0, 0), (0, 0), (1, 1), (1, 1)])
    return images.transpose(0, 2, 1, 3).reshape(100, 80)


figure, axes = plt.subplots(1, 4, figsize=(10, 3.6), layout="constrained")
for pair, expert in zip(
    axes.reshape(2, 2), ["variational", "adversarial"], strict=True
):
    model = MixAEClustering(
        10, expert=expert, latent_dim=6, max_epochs=60, n_init=1, random_state=0
    ).fit(X)
    own = [X[model.labels_ == c][:8] for c in range(10)]
    drawn = [model.sample(8, cluster=c, random_state=0)[0] for c in range(10)]
    for ax, rows, title in zip(pair, [own, drawn], ["data", expert], strict=True):
        ax.imshow(sheet(rows), cmap="gray_r", vmin=0, vmax=16)
        ax.set_title(title)
        ax.set_axis_off()
