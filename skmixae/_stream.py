"""Training over chunks of rows as they come."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from ._fitting import TEACHING_SHARE, evenness, find_start
from ._outcome import Candidate, Watch
from ._problem import Problem, own_randomness
from .network import MixtureOfAutoencoders
from .objective import SCHEDULES
from .training import (
    EpochReport,
    LabelBook,
    Moments,
    Randomness,
    Rows,
    SharedRows,
    Teaching,
    TrainingStep,
    fed_threads,
    train,
    train_epoch,
)


class StreamState(TypedDict):
    """What is kept of a stream between chunks: plain numbers and arrays."""

    seed: int
    n_passes: int
    progress: float
    evenness: float
    watch: dict[str, Any]
    shared: NDArray[np.float64]
    schedule: NDArray | None
    optimizer: dict[str, NDArray]


class Stream:
    """One pass over a chunk, and what it leaves for the next.

    Between chunks only `state` is kept, so that parameters set in between count, and a
    stream that was stored goes on as one that was not.

    Parameters
    ----------
    problem : Problem
        As of this chunk.
    network : MixtureOfAutoencoders
        The network that is trained, in place.
    seed : int
        Each pass derives its own randomness from it.
    """

    def __init__(
        self, problem: Problem, network: MixtureOfAutoencoders, seed: int
    ) -> None:
        self.seed, self.n_passes = seed, 0
        self.progress = 0.0  # of the schedule; chunks differ in how far they bring it
        self.evenness = 1.0  # the most batch entropy that is rewarded
        self.watch = Watch()
        m = problem.spec.n_experts
        self.shared = SharedRows(np.zeros((m, m)))
        self.network = network
        self.optimizer = problem.plan.optimizer(network)
        self.schedule = SCHEDULES[problem.balance.schedule](problem.weights)

    def learn_start(self, problem: Problem, rows: Rows, moments: Moments) -> None:
        """Learn the clusters that the first chunk shows, as a fit would, if any."""
        batches = problem.batches(rows, moments).holding()
        start = find_start(problem, batches, self.seed)
        if start is None:
            return
        self.keep_sizes(problem, start.sizes())
        lessons, _ = problem.plan.split(TEACHING_SHARE)
        threads = fed_threads(problem.work(self.network))
        with own_randomness(self.seed, problem), threads:
            train(
                self.network,
                Teaching(problem.plain_objective(moments), start),
                batches,
                lessons,
                Randomness.from_seed(self.seed, problem.device),
                n_experts=problem.spec.n_experts,
            )

    def keep_sizes(self, problem: Problem, sizes: NDArray[np.floating]) -> None:
        """Reward no clusters that are more even than these (k,), if sizes are kept."""
        if problem.balance.as_even_as_start:
            self.evenness = evenness(sizes)

    def train(self, problem: Problem, rows: Rows, moments: Moments) -> EpochReport:
        """Pass once over a chunk."""
        seed = int(
            np.random.SeedSequence([self.seed, self.n_passes]).generate_state(1)[0]
        )
        device, k = problem.device, problem.spec.n_experts
        batches = problem.batches(rows, moments, in_stream=True)
        book = LabelBook(len(rows), k, device)
        threads = fed_threads(problem.work(self.network))
        with own_randomness(seed, problem), threads:
            objective = problem.objective(rows, moments, self.schedule)
            if problem.balance.as_even_as_start:
                objective.evenness = self.evenness
            randomness = Randomness.from_seed(seed, device)
            step = TrainingStep(
                self.network, objective, self.optimizer, randomness.tensors, book,
                problem.plan.precision,
            )  # fmt: skip
            terms = train_epoch(
                self.network,
                step,
                batches,
                randomness.rows,
                progress=self.progress,
                epoch=self.n_passes,
            )
        self.network.zero_grad(set_to_none=True)
        self.n_passes += 1
        advance = 1 / max(problem.plan.max_epochs - 1, 1)
        self.progress = min(self.progress + advance, 1.0)
        usage, _ = book.close()
        # Rows of a stream are seen once: there is no label before to compare with.
        return EpochReport(terms, problem.plan.learning_rate, usage, float("nan"))

    def look(self, problem: Problem, candidate: Candidate) -> list[str]:
        """Take note of a chunk that was passed over; say what is wrong, if it is news.

        Where experts are merged, their rows were noted as that was done.
        """
        survey = candidate.survey
        n_rows = len(survey.labels)
        if problem.spec.n_experts == problem.n_clusters:
            self.shared.after(np.diag(survey.usage.astype(np.float64)), n_rows)
        return self.watch.note(
            candidate,
            math.ceil(n_rows / problem.batch_size),
            problem.fewest_steps,
            problem.balance.sizes,
        )

    def state(self) -> StreamState:
        """Return what `restore` goes on from."""
        memory = self.schedule.state
        return {
            "seed": self.seed,
            "n_passes": self.n_passes,
            "progress": self.progress,
            "evenness": self.evenness,
            "watch": asdict(self.watch),
            "shared": self.shared.counts,
            "schedule": None if memory is None else memory.cpu().numpy().copy(),
            "optimizer": {
                key: value.cpu().numpy().copy()
                for key, value in self.optimizer.state().items()
            },
        }

    def restore(self, state: StreamState) -> Stream:
        """Take up where ``state`` was noted."""
        self.seed, self.n_passes = state["seed"], state["n_passes"]
        self.progress, self.evenness = state["progress"], state["evenness"]
        self.watch = Watch(**state["watch"])
        self.shared = SharedRows(state["shared"].copy())
        memory = state["schedule"]
        # One that another schedule left is of no use to this one.
        if memory is not None and len(memory) == self.schedule.remembers:
            device = next(self.network.parameters()).device
            self.schedule.state = torch.from_numpy(memory.copy()).to(device)
        moments = {k: torch.tensor(v) for k, v in state["optimizer"].items()}
        self.optimizer.restore(moments)
        return self
