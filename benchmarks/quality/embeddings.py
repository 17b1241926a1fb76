"""Embeddings: what a network sees in images, taught classes of others or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skmixae.datasets import load_dataset

# Images of MNIST that a network is taught, and that are clustered.
TAUGHT, SEEN = 20_000, 10_000
EPOCHS, BATCH, FEATURES = 2, 128, 256
# An autoencoder is taught no classes.
AUTOENCODER_EPOCHS, LATENTS, HIDDEN = 10, 128, 512
MADE_TOGETHER = 1000

Embedded = tuple[np.ndarray, np.ndarray, None]


def embedded_usps() -> Embedded:
    """Return what a network taught MNIST's digits sees in those of USPS."""
    usps = load_dataset("usps")
    images = F.interpolate(as_images(usps.data), size=(20, 20), mode="bilinear")
    images = F.pad(images, (4, 4, 4, 4))  # the border that MNIST's digits have
    return embedded(taught_digits(), images), usps.target, None


def embedded_letters() -> Embedded:
    """Return what it sees in letters, of which it knows nothing."""
    images, classes = letters()
    return embedded(taught_digits(), images), classes, None


def embedded_new_digits() -> Embedded:
    """Return what a network taught the digits 0 to 4 sees in 10,000 of 5 to 9."""
    mnist = load_dataset("mnist")
    old = np.flatnonzero(mnist.target < 5)[:TAUGHT]
    new = np.flatnonzero(mnist.target >= 5)[:SEEN]
    network = taught(as_images(mnist.data[old]), mnist.target[old])
    return embedded(network, as_images(mnist.data[new])), mnist.target[new], None


def embedded_mnist() -> Embedded:
    """Return what a network taught letters sees in 10,000 digits."""
    mnist = load_dataset("mnist")
    images = as_images(mnist.data[:SEEN])
    return embedded(taught(*letters()), images), mnist.target[:SEEN], None


def latent_mnist() -> Embedded:
    """Return the latents of 10,000 digits in an autoencoder, which knows no classes."""
    mnist = load_dataset("mnist")
    rows = torch.from_numpy(np.float32(mnist.data[:TAUGHT]))
    return embedded(encoding(rows), rows[:SEEN]), mnist.target[:SEEN], None


def taught_digits() -> nn.Sequential:
    """Return a network that was taught the first digits of MNIST."""
    mnist = load_dataset("mnist")
    return taught(as_images(mnist.data[:TAUGHT]), mnist.target[:TAUGHT])


def letters() -> tuple[Tensor, np.ndarray]:
    """Return the images (n, 1, side, side) and classes (n,) of drawn letters."""
    from benchmarks.quality.letters import drawn_letters  # needs matplotlib's fonts

    rows, classes, _ = drawn_letters()
    return as_images(rows), classes


def as_images(rows: np.ndarray) -> Tensor:
    """Return square images (n, 1, side, side) of rows (n, side * side)."""
    side = int(rows.shape[1] ** 0.5)
    return torch.from_numpy(np.float32(rows)).view(-1, 1, side, side)


def taught(images: Tensor, classes: np.ndarray) -> nn.Sequential:
    """Return a network taught the classes (n,) of images, its last layer left out.

    It is the same each time on one machine; the global generator is left alone.
    """
    targets = torch.from_numpy(np.unique(classes, return_inverse=True)[1])
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        body = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(64 * 5 * 5, FEATURES), nn.ReLU(),
        )  # fmt: skip
        head = nn.Linear(FEATURES, int(targets.max()) + 1)
        whole = nn.Sequential(body, head)
        train(whole, F.cross_entropy, images, targets, EPOCHS)
    return body


def encoding(rows: Tensor) -> nn.Sequential:
    """Return the encoder of an autoencoder of rows (n, features)."""
    n_features = rows.shape[1]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        encoder = nn.Sequential(
            nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, LATENTS)
        )
        decoder = nn.Sequential(
            nn.ReLU(), nn.Linear(LATENTS, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, n_features),
        )  # fmt: skip
        whole = nn.Sequential(encoder, decoder)
        train(whole, F.mse_loss, rows, rows, AUTOENCODER_EPOCHS)
    return encoder


def train(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor,
    targets: Tensor,
    n_epochs: int,
) -> None:
    """Lessen the loss of what a network makes of rows, by Adam."""
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimiser.zero_grad()
            loss(network(rows[batch]), targets[batch]).backward()
            optimiser.step()


@torch.no_grad()
def embedded(network: nn.Sequential, images: Tensor) -> np.ndarray:
    """Return what the network sees (n, features), in 32 bits."""
    return torch.cat([network(part) for part in images.split(MADE_TOGETHER)]).numpy()
