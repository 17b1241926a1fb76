"""One step of training; on a GPU, recorded once and replayed from then on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..network.parallel import autocast, on_processor, without_autocast
from .adam import AdamW

# Steps made as they are written before one is recorded: libraries of the GPU choose
# their kernels.
WARM_UP = 3
_OF_THREAD = threading.local()
# To begin a recording is to wait for the device, which would spoil another's.
_ONE_RECORDS = threading.Lock()


@contextmanager
def gradients() -> Iterator[None]:
    """Compute gradients, also where torch is told to compute none, or less exactly.

    And make tensors where they are asked for, not where torch would by default.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        without_autocast(),
        on_processor(),
    ):
        yield


class Objective(Protocol):
    """What training needs of an objective."""

    def step(
        self,
        network: Any,
        x: Tensor,
        index: Tensor,
        progress: float | Tensor,
        generator: torch.Generator,
    ) -> Any:
        """Return ``terms``, scalars whose first is minimised, and an assignment."""


class Book(Protocol):
    """Somebody who takes note of assignments."""

    def note(self, index: Tensor, assignment: Tensor) -> None:
        """Record a batch's assignments (b, k)."""


@dataclass
class TrainingStep:
    """What a batch does to a network, its optimiser and a book.

    Parameters
    ----------
    generator : torch.Generator
        Noise and directions, on the device.
    precision : torch.dtype
        The type of the products.
    """

    network: nn.Module
    objective: Objective
    optimizer: AdamW
    generator: torch.Generator
    book: Book
    precision: torch.dtype

    def __call__(self, index: Tensor, x: Tensor, progress: float | Tensor) -> Any:
        """Train on rows ``x`` (b, features), the ``index`` (b,); return the terms."""
        with autocast(x.device, self.precision):
            step = self.objective.step(self.network, x, index, progress, self.generator)
        self.optimizer.zero_grad()
        step.terms[0].backward()
        self.optimizer.step()
        self.book.note(index, step.assignment)
        return step.terms


class ReplayedStep:
    """The same step as one CUDA graph, for each size of a batch.

    A step of experts of common sizes is some hundred small kernels, each of which takes
    longer to launch than to run. What is written in Python happens while a step is
    recorded, and never again: it may depend on nothing but the tensors.

    Parameters
    ----------
    step : TrainingStep
        Whose optimiser is capturable. Nothing in it may wait for the device.
    device : torch.device
        A GPU of CUDA's.
    """

    def __init__(self, step: TrainingStep, device: torch.device) -> None:
        self.step = step
        self.optimizer = step.optimizer
        self.device = device
        self.progress = torch.zeros((), device=device)
        self.recordings: dict[int, Recording] = {}
        self.n_warm: Counter[int] = Counter()
        self.stream = _stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, index: Tensor, x: Tensor, progress: float) -> Any:
        """Train on rows ``x`` (b, features), the ``index`` (b,); return the terms.

        The terms are overwritten by the next step.
        """
        n = len(index)
        self.progress.fill_(progress)
        if n not in self.recordings:
            if self.n_warm[n] < WARM_UP:
                self.n_warm[n] += 1
                with self._aside():
                    return self.step(index, x, self.progress)
            self.recordings[n] = self._recorded(index, x)
        return self.recordings[n].replay(index, x)

    def _recorded(self, index: Tensor, x: Tensor) -> Recording:
        """Record a step on copies of a batch, which is not trained on."""
        index, x = index.clone(), x.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.step.generator)
        # Other threads may use the GPU meanwhile.
        recording = torch.cuda.graph(
            graph, self.pool, self.stream, capture_error_mode="thread_local"
        )
        with _ONE_RECORDS, recording:
            terms = self.step(index, x, self.progress)
        return Recording(graph, index, x, terms._make(t.detach() for t in terms))

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the stream that steps are recorded on, as CUDA wants it."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            yield
        here.wait_stream(self.stream)


def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream of this thread's own, as libraries keep memory for each."""
    streams = _OF_THREAD.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    return streams[device]


@dataclass
class Recording:
    """A step as it was recorded, with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    index: Tensor
    x: Tensor
    terms: Any

    def replay(self, index: Tensor, x: Tensor) -> Any:
        """Do the same to another batch of the same size."""
        self.index.copy_(index)
        self.x.copy_(x)
        self.graph.replay()
        return self.terms
