"""From an experiment's name to what it is made of: what is kept, or is run now."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._rows import Problem
from benchmarks.paper import fits
from benchmarks.paper.measures import counts
from benchmarks.paper.store import Arrays, Store
from benchmarks.quality import datasets, results, runs
from benchmarks.quality.methods import Variant, parse
from benchmarks.quality.tables import latest

# Where the runs of Table 2 go, as lines of benchmarks.quality.
LINES = "table2.jsonl"
NO_RUNS = "it was not run, and --no-runs was given"
# Of what an experiment is made.
ROWS, SCORES, FITS = "rows", "scores", "fits"


@dataclass(frozen=True)
class Order:
    """What the command line asks for; None leaves it to the experiment."""

    out: Path
    datasets: list[str] | None = None
    variants: list[Variant] | None = None
    n_seeds: int = 1
    limit: int | None = None
    epochs: int | None = None
    clusters: tuple[int, ...] | None = None
    threads: int = 1
    timeout: float | None = None
    peers: Path = runs.Plan.peers
    lines: tuple[Path, ...] = ()
    retry_errors: bool = False
    any_version: bool = False
    no_runs: bool = False


@dataclass(frozen=True)
class Recorded:
    """A fit that is kept: its line, and arrays that are read where they are wanted."""

    line: results.Line
    arrays: Callable[[], Arrays]


@dataclass(frozen=True)
class Scored:
    """A method, and the lines of its runs, of which there may be none."""

    variant: Variant
    lines: list[results.Line]


@dataclass(frozen=True)
class Made:
    """What came of an experiment on a data set: numbers, and a figure or none."""

    content: dict[str, Any]
    figure: Any = None


@dataclass(frozen=True)
class Experiment:
    """A table or a figure of the paper, and what it is made of.

    Parameters
    ----------
    about : str
        What it shows.
    source : {"rows", "scores", "fits"}
        Whether it takes the rows alone, scores of methods or recorded fits.
    datasets, methods : tuple of str
        The paper's, where the command line names no others.
    make : callable
        Turns what was gathered, a list of lines, `Scored` or `Recorded`, into `Made`.
    clusters : tuple of int or None, default=(None,)
        Numbers of clusters; None is that of the classes.
    """

    about: str
    source: str
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    make: Callable[[list[Any]], Made]
    clusters: tuple[int | None, ...] = (None,)

    def variants(self, order: Order) -> list[Variant]:
        """Return the methods, with what the command line changes of them."""
        asked = order.variants or [parse(name) for name in self.methods]
        if self.source == FITS:  # what is recorded is MixAEClustering alone
            asked = [x for x in asked if x.method.package == "skmixae"]
        several = len(self.clusters) > 1
        clusters = (several and order.clusters) or self.clusters
        return [
            Variant(variant.name, variant.parameters | changes)
            for variant in asked
            for n_clusters in clusters
            for changes in [_changes(variant, order.epochs, n_clusters)]
        ]

    def runs(self, order: Order, dataset: str) -> list[runs.Run]:
        """List the runs that it is made of."""
        variants = [] if self.source == ROWS else self.variants(order)
        return [
            runs.Run(dataset, variant, seed)
            for variant in variants
            for seed in range(order.n_seeds)
        ]


def _changes(
    variant: Variant, epochs: int | None, n_clusters: int | None
) -> dict[str, int]:
    """Return the parameters that the command line sets; epochs are ours alone."""
    changes = {"n_clusters": n_clusters, "max_epochs": epochs}
    if variant.method.package != "skmixae":
        del changes["max_epochs"]
    return {name: value for name, value in changes.items() if value is not None}


class NotAtHand(Exception):
    """What an experiment needs is not there, and why."""


class Bench:
    """Finds what experiments need in the folder of results, or runs it now.

    Parameters
    ----------
    order : Order
        What the command line asks for.
    console : object
        Is told of runs, by ``start(run)`` and ``end(run, line, skipped)``.
    """

    def __init__(self, order: Order, console: Any):
        self.order, self.console = order, console
        self.store = Store(order.out, order.any_version)
        self.n_failed = 0
        self._problem: Problem | None = None
        self._absent: dict[str, str] = {}

    def gather(self, experiment: Experiment, dataset: str) -> list[Any]:
        """Return what an experiment on a data set is made of.

        Raises
        ------
        NotAtHand
            If there is nothing of it.
        """
        if experiment.source == ROWS:
            return [self._facts(dataset)]
        if experiment.source == SCORES:
            return self._scores(experiment, dataset)
        wanted = experiment.runs(self.order, dataset)
        found = [self._fit(run) for run in wanted]
        there = [recorded for recorded in found if recorded is not None]
        if not there:
            reason = NO_RUNS if self.order.no_runs else "there is no fit of it"
            raise NotAtHand(self._absent.get(dataset, reason))
        return there

    def load(self, dataset: str) -> Problem:
        """Load a data set, the last one kept; what is not there is looked for once."""
        if dataset in self._absent:
            raise NotAtHand(self._absent[dataset])
        if self._problem is None or self._problem.name != dataset:
            self._problem = None
            try:
                self._problem = datasets.load(dataset, self.order.limit)
            except (OSError, ValueError) as error:
                self._absent[dataset] = str(error)
                raise NotAtHand(str(error)) from error
        return self._problem

    def named(self, prefix: str, dataset: str) -> str:
        """Return the name of what is made of a data set, or of some rows of it."""
        rows = f"-{self.order.limit}" if self.order.limit else ""
        return f"{prefix}-{dataset}{rows}"

    # -- rows -------------------------------------------------------------------

    def _facts(self, dataset: str) -> results.Line:
        """Return what is counted of a data set, as a line."""
        name = self.named("rows", dataset)
        # It depends on the version of the package, which loads the rows.
        line = self._line(runs.Run(dataset, Variant("mixae"), 0)) | {"method": ROWS}
        found = self.store.find(name, line)
        if found is None and self.order.no_runs:
            raise NotAtHand(NO_RUNS)
        if found is None:
            found = line | runs.state_of_code() | runs.NOTHING
            found |= {"machine": runs.machine(self.order.threads)}
            found |= counts(self.load(dataset)) | {"versions": fits.versions()}
            self.store.keep(name, found)
        return found

    # -- fits -------------------------------------------------------------------

    def _fit(self, run: runs.Run) -> Recorded | None:
        """Return a fit that is kept, or fit now; None where that is not possible."""
        name = f"fits/{self.named('fit', run.dataset)}_{_slug(run)}"
        line = self._line(run)
        found = self.store.find(name, line)
        reason = runs.PRESENT if found else self._obstacle(run.dataset)
        if reason is None:
            self.console.start(run)
            found = self._perform(run, line, name)
        self.console.end(run, found or line, reason)
        if found is None or found["error"]:
            return None
        return Recorded(found, lambda: self.store.arrays(name))

    def _obstacle(self, dataset: str) -> str | None:
        """Say why a fit is left out, if it is."""
        if self.order.no_runs:
            return NO_RUNS
        try:
            self.load(dataset)
        except NotAtHand as error:
            return str(error)
        return None

    def _perform(self, run: runs.Run, line: results.Line, name: str) -> results.Line:
        """Fit and keep what comes of it; an error is told, and not kept."""
        try:
            outcome, arrays = fits.perform(
                run, self.load(run.dataset), self.order.threads
            )
        except Exception as error:
            self.n_failed += 1
            return line | {"error": f"{type(error).__name__}: {error}"}
        self.store.keep(name, line | outcome, arrays)
        return line | outcome

    def _line(self, run: runs.Run) -> results.Line:
        """Return the line of a run as far as it is known beforehand."""
        return self._plan([run.dataset], [run.variant]).line(run)

    # -- scores -----------------------------------------------------------------

    def _scores(self, experiment: Experiment, dataset: str) -> list[Scored]:
        """Return lines of benchmarks.quality, and run there those that are missing."""
        variants = experiment.variants(self.order)
        plan = self._plan([dataset], variants)
        take(self.order.lines, plan)
        absent = self._run_missing(plan, dataset)
        lines = results.read([plan.out]) if plan.out.exists() else []
        found = [
            Scored(variant, latest(x for x in lines if _is_of(x, plan, variant)))
            for variant in variants
        ]
        if not any(scored.lines for scored in found):
            raise NotAtHand(absent or "no run of it is there")
        return found

    def _run_missing(self, plan: runs.Plan, dataset: str) -> str | None:
        """Run what is not there yet; say why not, where that is so."""
        if self.order.no_runs:
            return NO_RUNS
        ledger = runs.Ledger(plan)
        if any(plan.line(run) not in ledger for run in plan.runs()):
            try:
                self.load(dataset)  # once for all runs, where it is not at hand
            except NotAtHand as error:
                return str(error)
        self.n_failed += runs.execute(plan, self.console)
        return None

    def _plan(self, names: list[str], variants: list[Variant]) -> runs.Plan:
        """Return the plan that benchmarks.quality would have of these."""
        return runs.Plan(
            names,
            variants,
            self.order.n_seeds,
            self.order.out / LINES,
            self.order.threads,
            self.order.limit,
            self.order.timeout,
            self.order.retry_errors,
            # Lines that were named are taken as they are.
            any_version=self.order.any_version or bool(self.order.lines),
            peers=self.order.peers,
        )


def take(paths: tuple[Path, ...], plan: runs.Plan) -> None:
    """Copy the lines that a plan asks for, of any seed, where it has none of them."""
    there = results.read([plan.out]) if plan.out.exists() else []
    keys = {results.key(line, with_version=False) for line in there}
    for line in latest(results.read(paths)):
        wanted = any(_is_of(line, plan, variant) for variant in plan.variants)
        if wanted and results.key(line, with_version=False) not in keys:
            results.append(line, plan.out)


def _is_of(line: results.Line, plan: runs.Plan, variant: Variant) -> bool:
    """Tell whether a line is of a method on the data of a plan."""
    return (
        line["dataset"] in plan.datasets
        and line["limit"] == plan.limit
        and line["method"] == variant.name
        and line["parameters"] == variant.recorded
    )


def _slug(run: runs.Run) -> str:
    """Write a method and a seed so that a file can be called that."""
    return re.sub(r"[^\w.=-]+", "-", f"{run.variant.label}_seed{run.seed}")


def lines_of(gathered: list[Any]) -> list[results.Line]:
    """Return the lines of what was gathered."""
    lines = []
    for x in gathered:
        if isinstance(x, Scored):
            lines += x.lines
        else:
            lines.append(x.line if isinstance(x, Recorded) else x)
    return lines
