"""Fits of one problem from several seeds, of which one is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from ._callbacks import FitMonitor
from ._fitting import Follower, fit_once
from ._outcome import Candidate, Outcome
from ._parameters import AGREEMENT, NEARLY_LOWEST
from ._problem import Problem, new_network
from .network import MixtureOfAutoencoders
from .training import (
    Agglomeration,
    Batches,
    EpochReport,
    Moments,
    fed_threads,
    threads_worth,
)

# Python runs in one thread at a time: of more fits side by side than these, most wait.
AT_ONCE = 4
WAIT_SECONDS = 0.5
# One after the other; to close it ends what runs beside.
Outcomes: TypeAlias = Generator[Outcome, None, None]


@dataclass(eq=False)
class Contender:
    """A restart among the others."""

    candidate: Candidate | None  # until it is out of the choice: each has a network
    objective: float
    labels: NDArray[np.int32]
    uses_all: bool  # clusters have rows
    likeness: float = 0.0  # adjusted Rand indices with all the others, added up


class Choice:
    """Which of several restarts to keep: the one of the lowest objective.

    Or, ``by_likeness``, of those whose objective is nearly the lowest, the one whose
    clusters are most like those of all others. Of restarts of which some leave clusters
    without rows, which nobody asked for, one that does not.
    """

    def __init__(self, *, by_likeness: bool) -> None:
        self.by_likeness = by_likeness
        self.margin = NEARLY_LOWEST if by_likeness else 0.0
        self.contenders: list[Contender] = []
        self.agreed = False  # whether the last is what one before it was

    def add(self, candidate: Candidate, handicap: float) -> None:
        """Add a restart, and let those go that are not chosen any more."""
        survey, others = candidate.survey, self.contenders
        uses_all, objective = bool(survey.sizes.all()), candidate.objective + handicap
        new = Contender(candidate, objective, survey.labels, uses_all)
        self.agreed = False
        for other in others if self.by_likeness else ():
            alike = adjusted_rand_score(other.labels, new.labels)
            other.likeness += alike
            new.likeness += alike
            # All rows in one cluster would agree with the same.
            self.agreed |= alike > AGREEMENT and uses_all
        self.contenders = [*others, new]
        good = [each for each in self.contenders if each.uses_all] or self.contenders
        bound = min(each.objective for each in good) + self.margin
        for each in self.contenders:
            if each not in good or each.objective > bound:
                each.candidate = None
        if not self.by_likeness:  # nobody asks for the labels of those that are out
            self.contenders = self._left()

    def best(self) -> Candidate | None:
        """Return the one to keep, if there is any."""
        left = self._left()
        best = max(left, key=lambda c: (c.likeness, -c.objective), default=None)
        return None if best is None else best.candidate

    def _left(self) -> list[Contender]:
        """Return those that may be kept."""
        return [each for each in self.contenders if each.candidate is not None]


@dataclass
class Restarts:
    """The restarts of a fit, one after another or side by side; the outcome is one.

    They are side by side where a step of training has no use for all the threads that
    torch has. Not on a GPU, nor where somebody listens to each epoch, nor where code of
    the user's runs: it may draw from randomness that threads share.

    Parameters
    ----------
    problem : Problem
        It says what each starts from.
    batches : Batches
        All the rows.
    moments : Moments
        Of the rows.
    seeds : list of int
        One for each restart.
    monitor : FitMonitor
        Who is told.
    trained : MixtureOfAutoencoders, optional
        Where training goes on, in place of a new network.
    clusters : ndarray of shape (n_experts,), optional
        The cluster that each of its experts is of.
    """

    problem: Problem
    batches: Batches
    moments: Moments
    seeds: list[int]
    monitor: FitMonitor
    trained: MixtureOfAutoencoders | None = None
    clusters: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        starts = self.problem.restarts()
        self.tasks = list(zip(starts, self.seeds, strict=False))
        self.choice = Choice(by_likeness=self.problem.comparison.by_likeness)

    def best(self) -> tuple[Candidate, BaseException | None]:
        """Return the one to keep, and what broke the fit off, if so.

        With nothing good before the interruption, it is raised.
        """
        error = None
        first = self._network(*self.tasks[0])
        n = self._n_at_once(first)
        with fed_threads(self.problem.work(first)):
            outcomes = self._side_by_side(n) if n > 1 else self._in_turn(first)
            try:
                # Or those side by side would go on for as long as the error is kept.
                with closing(outcomes):
                    for outcome in outcomes:
                        error = outcome.error
                        if outcome.candidate:
                            self.choice.add(outcome.candidate, outcome.handicap)
            except BaseException as between:  # two restarts
                error = between
        best = self.choice.best()
        if best is None:
            raise error  # type: ignore[misc]
        return best, error

    def _network(self, problem: Problem, seed: int) -> MixtureOfAutoencoders:
        """Return the network that a restart trains."""
        if self.trained is not None:
            return deepcopy(self.trained).to(problem.device)
        return new_network(problem, seed)

    def _n_at_once(self, network: MixtureOfAutoencoders) -> int:
        problem, n = self.problem, len(self.tasks)
        on_processor = problem.device.type == "cpu"
        if not on_processor or problem.runs_own_code or self.monitor.listens:
            return 1
        n_threads = torch.get_num_threads()
        fed = threads_worth(problem.work(network), n_threads)
        most = min(n_threads // fed, AT_ONCE)
        if most < 2:
            return 1
        # Three share two threads: the third alone would leave one idle.
        return min(n, AT_ONCE, most + 1 if n % most == 1 else most)

    def _in_turn(self, network: MixtureOfAutoencoders) -> Outcomes:
        """Yield what comes of one after another, until one fails or all is enough."""
        for i, (problem, seed) in enumerate(self.tasks):
            if i:
                network = self._network(problem, seed)
            start = None if self.trained is not None else problem.start_name
            self.monitor.begin_restart(network, start)
            outcome = self._fit(problem, seed, network, self.monitor)
            yield outcome
            if outcome.error or self._told(outcome.whole) or self._agreed():
                return

    def _side_by_side(self, n_at_once: int) -> Outcomes:
        """Yield the same outcomes of restarts in threads.

        An interruption comes last, after what all of them had come to before it.
        """
        brake = Brake()
        with ThreadPoolExecutor(n_at_once) as pool:
            fits = deque(
                pool.submit(self._begin_and_fit, problem, seed, brake)
                for problem, seed in self.tasks
            )
            try:
                for problem, _ in self.tasks:
                    try:
                        # On Windows a wait without end is not interrupted.
                        while not wait([fits[0]], WAIT_SECONDS).done:
                            pass
                    except BaseException as interruption:  # of waiting
                        brake.pull()
                        yield from (fit.result() for fit in fits if not fit.cancel())
                        yield Outcome(None, error=interruption)
                        return
                    outcome = fits.popleft().result()
                    yield outcome
                    if outcome.error:
                        return
                    network = outcome.whole.inference.network
                    self.monitor.begin_restart(network, problem.start_name)
                    self._told(outcome.whole)
                    if self._agreed():
                        return
            finally:
                brake.pull()
                for fit in fits:
                    fit.cancel()

    def _begin_and_fit(self, problem: Problem, seed: int, brake: Brake) -> Outcome:
        return self._fit(problem, seed, self._network(problem, seed), brake)

    def _fit(
        self,
        problem: Problem,
        seed: int,
        network: MixtureOfAutoencoders,
        monitor: Follower,
    ) -> Outcome:
        return fit_once(
            problem, network, self.batches, self.moments, seed, monitor,
            clusters=self.clusters,
        )  # fmt: skip

    def _told(self, candidate: Candidate) -> bool:
        """Tell the monitor of a restart that ended; True when it has enough."""
        return self.monitor.end_restart(
            candidate.objective, len(candidate.run.history), candidate.tree
        )

    def _agreed(self) -> bool:
        """Tell whether the last came to what another had come to, and that is enough.

        The choice has it: who is yielded is added before the next one is asked for.
        """
        agreed = self.problem.comparison.ends_agreed and self.choice.agreed
        if agreed and len(self.choice.contenders) < len(self.tasks):
            self.monitor.note("two starts agree: no other is tried")
        return agreed


class Brake:
    """A monitor that ends all the fits that it follows."""

    def __init__(self) -> None:
        self.is_pulled = False

    def pull(self) -> None:
        """Break off each fit before its next epoch."""
        self.is_pulled = True

    def begin_epoch(self) -> None:
        """Raise where the fit is to end."""
        if self.is_pulled:
            raise Braked

    def end_epoch(self, report: EpochReport) -> bool:
        """Let the fit go on."""
        return False

    def begin_refinement(self, tree: Agglomeration) -> None:
        """Let the fit go on."""


class Braked(Exception):
    """A fit was ended, for another reason than its own."""
