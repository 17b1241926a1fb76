"""
Time series
===========

Of series, it must not matter that one comes a little sooner, faster or louder
(:class:`skmixae.consistency.Warp`). These windows of a sensor begin anywhere in a
period, which is more than a little: a function of our own says so, and convolutional
experts read them (``architecture="conv1d"``).
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_score

rng = np.random.default_rng(0)
n, length = 260, 32
time = np.arange(length) / 16 + rng.uniform(0, 1, size=(3 * n, 1))
shapes = [
    np.sin(2 * np.pi * time),
    np.sign(np.sin(2 * np.pi * time)),
    2 * (time % 1) - 1,
]
y = np.repeat([0, 1, 2], n)
X = np.choose(y[:, None], shapes) * rng.uniform(0.7, 1.3, size=(3 * n, 1))
X += 0.2 * rng.normal(size=X.shape)


def shifted(rows, generator):
    """Turn each window (b, length) in time by a random number of steps."""
    steps = torch.randint(length, (len(rows), 1), generator=generator)
    places = (torch.arange(length) + steps) % length
    factor = 0.8 + 0.4 * torch.rand(len(rows), 1, generator=generator)
    return factor * rows.gather(1, places)


model = MixAEClustering(
    3,
    input_shape=(length,),
    architecture="conv1d",
    conv_channels=(8, 16),
    consistency=shifted,
    max_epochs=75,
    n_init=1,
    device="cpu",  # where the function makes its tensors
    random_state=0,
).fit(X)
print(f"accuracy: {hungarian_accuracy_score(y, model.labels_):.3f}")

figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True, layout="constrained")
for cluster, ax in enumerate(axes):
    rows = X[model.labels_ == cluster]
    ax.plot(rows[:3].T, color="0.6", linewidth=0.8)
    ax.plot(model.reconstruct(rows[:1])[0], color="black", linewidth=2)
    ax.set_title(f"cluster {cluster}, {len(rows)} windows")
