"""
An expert of your own
=====================

Experts may be any module with ``encode`` and ``decode``. Here they know that rows are
waves, and have no more than an amplitude and a phase of one frequency each to learn:
the clusters are the frequencies.
"""

import numpy as np
import torch
from torch import nn

from skmixae import MixAEClustering
from skmixae.plotting import ClusterSamplesDisplay

rng = np.random.default_rng(0)
time = np.linspace(0, 1, 40)
frequency = rng.choice([2, 3, 5], size=300)
phase, noise = rng.uniform(0, 2 * np.pi, (300, 1)), rng.normal(0, 0.1, (300, 40))
X = np.sin(2 * np.pi * frequency[:, None] * time + phase) + noise


class Wave(nn.Module):
    """Latents are the share of a sine and a cosine, of a frequency that is learned."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.encode = nn.Linear(input_shape[0], 2)
        self.frequency = nn.Parameter(6 * torch.rand(()))
        self.register_buffer("time", torch.linspace(0, 1, input_shape[0]))

    def decode(self, latents):
        angle = 2 * torch.pi * self.frequency * self.time
        return latents @ torch.stack([angle.sin(), angle.cos()])


model = MixAEClustering(
    3, architecture=Wave, latent_dim=2, learning_rate=0.01, random_state=0
).fit(X)
ClusterSamplesDisplay.from_estimator(model, X, n_samples=4)
