"""The plain way: K autoencoders in a list, one after the other. Written for reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Autoencoder(nn.Module):
    """One expert: dense layers, or strided convolutions around them for an image."""

    def __init__(
        self,
        n_features: int,
        latent_dim: int,
        hidden: Sequence[int],
        channels: Sequence[int] = (),
        side: int = 0,
    ):
        super().__init__()
        self.flat, self.side, self.sides = n_features, side, [side]
        for _ in channels:
            self.sides.append(math.ceil(self.sides[-1] / 2))
        steps = list(pairwise((1, *channels)))
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU())
            for i, o in steps
        )
        if channels:
            self.flat = channels[-1] * self.sides[-1] ** 2
        self.encoder = dense((self.flat, *hidden))
        self.to_latents = nn.Linear(hidden[-1], latent_dim)
        back = (latent_dim, *reversed(hidden), *([self.flat] if channels else []))
        self.decoder = dense(back)
        self.to_rows = None if channels else nn.Linear(hidden[0], n_features)
        self.deconvs = nn.ModuleList(
            nn.ConvTranspose2d(o, i, 3, 2, 1, output_padding=self._padding(depth))
            for depth, (i, o) in reversed(list(enumerate(steps)))
        )
        self.deconv_norms = nn.ModuleList(
            nn.BatchNorm2d(i) for i, _ in reversed(steps[1:])
        )

    def _padding(self, depth: int) -> int:
        return self.sides[depth] - (2 * self.sides[depth + 1] - 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last hidden layer and the reconstruction of flat rows."""
        if self.side:
            x = x.view(-1, 1, self.side, self.side)
        for conv in self.convs:
            x = conv(x)
        hidden = self.encoder(x.flatten(1))
        out = self.decoder(self.to_latents(hidden))
        if self.to_rows is not None:
            return hidden, self.to_rows(out)
        out = out.view(len(out), -1, self.sides[-1], self.sides[-1])
        for deconv, norm in zip(self.deconvs, [*self.deconv_norms, None], strict=True):
            out = deconv(out)
            out = out if norm is None else torch.relu(norm(out))
        return hidden, out.flatten(1)


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Return layers of these sizes, each normalised and rectified."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers)


class Mixture(nn.Module):
    """The mixture, an expert at a time."""

    def __init__(self, experts: Sequence[Autoencoder], hidden: int):
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.gate = nn.Linear(len(experts) * hidden, len(experts))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits (b, k) and K reconstructions (b, features)."""
        hidden, decoded = zip(*(expert(x) for expert in self.experts), strict=True)
        return self.gate(torch.cat(hidden, 1)), list(decoded)

    def objective(self, x: Tensor, alpha: float, beta: float) -> Tensor:
        """Return the paper's objective, with entropies in units of log K."""
        logits, decoded = self(x)
        k = len(decoded)
        errors = torch.stack(
            [F.mse_loss(d, x, reduction="none").mean(1) for d in decoded]
        )
        p = logits.softmax(1)
        reconstruction = (p * errors.T).sum(1).mean()
        sample = -(p * logits.log_softmax(1)).sum(1).mean() / math.log(k)
        mean = p.mean(0)
        batch = -(mean * mean.log()).sum() / math.log(k)
        ceiling = 1 - (k - 1) / (2 * len(x) * math.log(k))
        return reconstruction + alpha * sample - beta * batch.clamp(max=ceiling)


def step(
    mixture: Mixture,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    alpha: float,
    beta: float,
) -> Tensor:
    """Train on one batch."""
    optimizer.zero_grad(set_to_none=True)
    total = mixture.objective(x, alpha, beta)
    total.backward()
    optimizer.step()
    return total


def copy_weights(network: nn.Module, mixture: Mixture) -> None:
    """Give the plain mixture the weights of ours (fully connected experts)."""
    ours = network.experts

    def stack(source: nn.Module, target: nn.Sequential, k: int) -> None:
        for i, (linear, norm) in enumerate(
            zip(source.linears, source.norms, strict=True)
        ):
            one(linear, target[3 * i], k)
            n = target[3 * i].out_features
            for name in ("weight", "bias"):
                values = getattr(norm, name)[k * n : (k + 1) * n]
                getattr(target[3 * i + 1], name).copy_(values)

    def one(source: nn.Module, target: nn.Linear, k: int) -> None:
        target.weight.copy_(source.weight[k].T)
        target.bias.copy_(source.bias[k])

    with torch.no_grad():
        for k, expert in enumerate(mixture.experts):
            stack(ours.encoder, expert.encoder, k)
            stack(ours.decoder, expert.decoder, k)
            one(ours.to_latents, expert.to_latents, k)
            one(ours.to_rows, expert.to_rows, k)
        one(network.assignment.last, mixture.gate, 0)
