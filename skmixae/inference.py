"""What a fitted mixture says of rows, batch by batch and without a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .network import MixtureOfAutoencoders
from .network.parallel import without_autocast
from .objective import Reconstruction, terms
from .objective.terms import expected, sample_entropy
from .training import Batches, Conversion, Rows, Scaling

FloatArray = NDArray[np.float32]

# Matrix products round the last rows of an odd batch differently from the others. With
# batches filled up to a multiple of this, a row's numbers do not depend on its place.
ROWS_TOGETHER = 32
# A batch fills about this many bytes with what the K experts make of it.
BATCH_BYTES = 1 << 26
# On a processor larger batches of narrow rows leave its caches, and take twice as long,
# and smaller ones of wide rows a fifth longer; an accelerator would wait for them.
LARGEST_BATCH = 1024
LARGEST_BATCH_ON_CUDA = 4096


class Survey(NamedTuple):
    """What the mixture makes of all its rows."""

    labels: NDArray[np.int32]  # (n,), or (n, k) of sums
    sizes: NDArray[np.intp]  # (c,), rows in each cluster
    usage: FloatArray  # (k,), mean share of the experts
    reconstruction: float
    sample_entropy: float


@dataclass
class Inference:
    """A fitted network with the scaling and the loss that it was trained with.

    Rows come in their own units and leave in them; errors are in units of predicting
    the mean. Batches in the place of rows are of this scaling, and may be held.
    ``clusters`` (k,) says which cluster each expert belongs to; by default each is one.
    Images that leave are undone of a ``conversion``, if those that come in went through
    it.
    """

    network: MixtureOfAutoencoders
    scaling: Scaling
    reconstruction: Reconstruction
    clusters: NDArray[np.integer] | None = None
    conversion: Conversion | None = None

    def labels(self, rows: Rows) -> NDArray[np.int32]:
        """Return the most probable cluster of each row, (n,).

        Where rows are sums of several, which those are: zeros and ones, (n, k).
        """
        return self._collect(rows, lambda x: self._shown(self.network.assign(x)))

    def probabilities(self, rows: Rows) -> FloatArray:
        """Return the probability of each cluster for each row, (n, c)."""
        return self._collect(rows, lambda x: self._cluster(self.network.assign(x)))

    def expert_probabilities(self, rows: Rows) -> FloatArray:
        """Return the probabilities of the experts, (n, k)."""
        return self._collect(rows, lambda x: self._assignment(self.network.assign(x)))

    def latents(self, rows: Rows) -> FloatArray:
        """Return the latents of all experts, (n, k, d)."""
        return self._collect(rows, lambda x: self.network.encode(x)[1])

    def codes(self, rows: Rows) -> FloatArray:
        """Return each row's latents in its expert's block of columns, (n, k * d)."""

        def code(x: Tensor) -> Tensor:
            logits, latents = self.network.encode(x)
            chosen = self._of_experts(self._expert(logits))  # (b, k)
            return (latents * chosen.unsqueeze(-1)).flatten(1)

        return self._collect(rows, code)

    def errors(self, rows: Rows) -> FloatArray:
        """Return the error of each row under each cluster's best expert, (n, c)."""

        def error(x: Tensor) -> Tensor:
            errors = self.reconstruction(self.network(x).decoded, x)  # (b, k)
            members = self.network.members
            if members is not None:  # with each, the best of the sums that it is in
                others = members.T == 0  # (k, p)
                return errors.unsqueeze(1).masked_fill(others, torch.inf).amin(-1)
            if not self.merged:
                return errors
            cluster = self._clusters(errors.device).expand_as(errors)
            best = errors.new_full((len(errors), self.n_clusters), torch.inf)
            return best.scatter_reduce(1, cluster, errors, "amin")

        return self._collect(rows, error)

    def scores(self, rows: Rows, beyond: float) -> FloatArray:
        """Return minus the error of each row under the best of all experts, (n,).

        With what whitening has cut from the row, of which ``beyond`` is the mean: of
        whitened rows errors are squares, which add up, and predicting the mean has one
        of 1 again.
        """
        best = self.errors(rows).min(axis=1)
        if self.scaling.cuts:
            excess = np.concatenate([self.scaling.excess(b) for b in rows.blocks()])
            best = (best + excess) / (1 + beyond)
        return -best.astype(np.float32)

    def reconstruct(self, rows: Rows) -> FloatArray:
        """Return each row as its own expert reconstructs it, (n, features)."""
        loss = self.reconstruction.loss

        def reconstruct(x: Tensor) -> Tensor:
            out = self.network(x)
            decoded = loss.activation(out.decoded.of(self._expert(out.logits)))
            if loss.directions:  # the length is known
                return decoded * x.norm(dim=-1, keepdim=True)
            return decoded

        return self._collect(rows, reconstruct, after=self._in_units)

    def decode(self, codes: Rows, latent_dim: int) -> FloatArray:
        """Return rows (n, features) of codes (n, k * d), by the longest block's expert.

        Of ``codes(rows)`` that is the expert of each row, so its reconstruction results
        (of a loss of directions, of length one: a code does not tell the row's length).
        """
        loss = self.reconstruction.loss

        def decode(codes: Tensor) -> Tensor:
            latents = codes.view(len(codes), -1, latent_dim)
            decoded, lengths = self.network.decode(latents), latents.norm(dim=-1)
            members = self.network.members
            longest = lengths if members is None else lengths @ members.T
            return loss.activation(decoded.of(longest.argmax(-1)))

        as_they_are = Scaling(np.zeros(codes.n_features), 1.0)
        after = self._whole if loss.directions else self._in_units
        return self._collect(codes, decode, as_they_are, after=after)

    def sizes(self, rows: Rows | Batches) -> NDArray[np.intp]:
        """Return the number of rows in each cluster, (c,)."""
        counts = np.zeros(self.n_clusters, dtype=np.intp)
        for (labels,) in self._map(
            rows, lambda x: (self._shown(self.network.assign(x)),)
        ):
            counts += self._counted(labels.numpy())
        return counts

    def survey(self, rows: Rows | Batches) -> Survey:
        """Return labels and the mean terms of the objective over all rows."""

        def look(x: Tensor) -> tuple[Tensor, ...]:
            out = self.network(x)
            log_assignment = F.log_softmax(out.logits, -1)
            errors = self.reconstruction(out.decoded, x)
            return self._shown(out.logits), log_assignment, errors

        n, k, members = len(rows), self.network.n_experts, self.network.members
        labels = np.empty(n if members is None else (n, k), np.int32)
        n_seen, totals = 0, np.zeros(2)
        sizes = np.zeros(self.n_clusters, dtype=np.intp)
        usage = torch.zeros(k, dtype=torch.float64)
        for best, log_assignment, errors in self._map(rows, look):
            assignment, log_clusters = log_assignment.exp(), log_assignment
            if self.merged:
                clusters = terms.experts_of(self._clusters(best.device))
                log_clusters = terms.merged(log_assignment, clusters)
            labels[n_seen : n_seen + len(best)] = best.numpy()
            n_seen += len(best)
            sizes += self._counted(best.numpy())
            usage += self._shares(assignment).sum(0)
            totals[0] += len(best) * expected(assignment, errors).item()
            totals[1] += len(best) * sample_entropy(log_clusters).item()
        usage /= n * self.network.n_active
        return Survey(labels, sizes, usage.float().numpy(), *(totals / n).tolist())

    def _in_units(self, rows: FloatArray) -> FloatArray:
        """Return scaled rows as X has them."""
        return self._whole(self.scaling.undo(rows))

    def _whole(self, rows: FloatArray) -> FloatArray:
        """Return images with as many pixels as X has."""
        return rows if self.conversion is None else self.conversion.undo(rows)

    @property
    def n_clusters(self) -> int:
        """How many clusters the experts make up."""
        clusters = self.clusters
        return self.network.n_experts if clusters is None else int(clusters.max()) + 1

    @property
    def merged(self) -> bool:
        """Whether some clusters have more than one expert."""
        return self.n_clusters < self.network.n_experts

    def _clusters(self, device: torch.device) -> Tensor:
        own = np.array(self.clusters, dtype=np.int64)  # a loaded one may be read-only
        return torch.from_numpy(own).to(device)  # (k,)

    def _shares(self, assignment: Tensor) -> Tensor:
        """Return the probabilities of experts (b, k) of an assignment to members."""
        members = self.network.members
        return assignment if members is None else assignment @ members.to(assignment)

    def _assignment(self, logits: Tensor) -> Tensor:
        """Return the probabilities of experts (b, k) of logits (b, k) or (b, p)."""
        return self._shares(logits.softmax(-1))

    def _of_experts(self, member: Tensor) -> Tensor:
        """Return which experts (b, k) a member (b,) of the mixture stands for."""
        members = self.network.members
        if members is None:
            return F.one_hot(member, self.network.n_experts)
        return members[member]

    def _shown(self, logits: Tensor) -> Tensor:
        """Return clusters as users see them, of logits: (b,), or (b, k) of sums."""
        label = self._label(logits)
        if self.network.members is None:
            return label
        return self._of_experts(label).to(torch.int32)

    def _counted(self, labels: NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the rows (c,) in each cluster, of labels as users see them."""
        if labels.ndim == 2:
            return labels.sum(0)
        return np.bincount(labels, minlength=self.n_clusters)

    def _cluster(self, logits: Tensor) -> Tensor:
        """Return the probabilities of clusters (b, c) of logits (b, k)."""
        assignment = self._assignment(logits)
        if not self.merged:
            return assignment
        cluster = self._clusters(logits.device).expand_as(assignment)
        total = assignment.new_zeros(len(assignment), self.n_clusters)
        return total.scatter_add(1, cluster, assignment)

    def _label(self, logits: Tensor) -> Tensor:
        """Return the most probable cluster (b,) of logits (b, k)."""
        best = self._cluster(logits) if self.merged else logits
        return best.argmax(-1).to(torch.int32)

    def _expert(self, logits: Tensor) -> Tensor:
        """Return the most probable expert (b,) of the most probable cluster."""
        if not self.merged:
            return logits.argmax(-1)
        others = self._label(logits)[:, None] != self._clusters(logits.device)
        return logits.masked_fill(others, -torch.inf).argmax(-1)

    def _collect(
        self,
        rows: Rows,
        function: Callable[[Tensor], Tensor],
        scaling: Scaling | None = None,
        *,
        after: Callable[[NDArray], NDArray] = np.asarray,
    ) -> NDArray:
        """Return ``function`` of scaled rows, and what is ``after`` of each batch."""
        parts = (
            after(out[0].numpy())
            for out in self._map(rows, lambda x: (function(x),), scaling)
        )
        # In place: small results kept among large temporary ones would pin the memory
        # between them, and joining them in the end would need room for both.
        first = next(parts)
        collected = np.empty((len(rows), *first.shape[1:]), first.dtype)
        collected[: len(first)], n_seen = first, len(first)
        for part in parts:
            collected[n_seen : n_seen + len(part)] = part
            n_seen += len(part)
        return collected

    @torch.inference_mode()
    def _map(
        self,
        rows: Rows | Batches,
        function: Callable[[Tensor], tuple[Tensor, ...]],
        scaling: Scaling | None = None,
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield ``function`` of each scaled batch, on the processor."""
        self.network.eval()
        size = self._batch_size()
        if isinstance(rows, Rows):
            rows = Batches(rows, scaling or self.scaling, size, self._device)
        for _, x in rows.in_order(size):
            with without_autocast():
                outs = function(_padded(x))
            yield tuple(out[: len(x)].cpu() for out in outs)

    def _batch_size(self) -> int:
        n_experts, members = self.network.n_experts, self.network.members
        row_bytes = 4 * max(
            n_experts * self.scaling.n_coordinates,
            len(self.scaling.center),
            0 if members is None else members.numel(),
        )
        on_cuda = self._device.type == "cuda"
        largest = LARGEST_BATCH_ON_CUDA if on_cuda else LARGEST_BATCH
        return int(np.clip(BATCH_BYTES // row_bytes, 16, largest))

    @property
    def _device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device


def drawn_codes(
    experts: NDArray[np.intp], k: int, latent_dim: int, rng: np.random.RandomState
) -> FloatArray:
    """Return codes (n, k * d) of experts (n,), with latents drawn from their prior."""
    codes = np.zeros((len(experts), k, latent_dim), dtype=np.float32)
    codes[np.arange(len(experts)), experts] = rng.standard_normal(
        (len(experts), latent_dim)
    )
    return codes.reshape(len(experts), -1)


def _padded(x: Tensor) -> Tensor:
    """Repeat the last row of (b, features) up to a whole number of tiles."""
    missing = -len(x) % ROWS_TOGETHER
    return torch.cat([x, x[-1:].expand(missing, -1)]) if missing else x
