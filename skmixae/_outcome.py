"""A trained mixture: what it makes of its rows, its history, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .inference import Inference, Survey
from .objective import Terms
from .training import Agglomeration, EpochReport, Moments, TrainingRun

# A cluster with less than this part of an even share has few rows. Above this sample
# entropy (1 is uniform), or this share of changing labels, nothing is decided.
FEW_SHARE = 0.1
UNIFORM_ENTROPY = 0.9
MOVING_SHARE = 0.1
# A value is extreme that makes so much of what a feature varies in the mean.
EXTREME = 0.1
# Rows for each cluster, of the first look at a stream: ten in a cluster of few.
FIRST_LOOK = 100


@dataclass
class Candidate:
    """A trained mixture, and what it makes of its rows."""

    inference: Inference
    moments: Moments
    run: TrainingRun
    survey: Survey
    objective: float  # of all rows, with the weights as configured
    tree: Agglomeration  # of the experts, cut into clusters
    start: str | None  # what training started from, or None where it went on


class Outcome(NamedTuple):
    """What came of a fit: a trained mixture, or what broke it off, or both."""

    candidate: Candidate | None
    error: BaseException | None = None
    handicap: float = 0.0  # added to its objective where it is compared

    @property
    def whole(self) -> Candidate:
        """The mixture of a fit that nothing broke off."""
        assert self.candidate is not None
        return self.candidate


def history(reports: list[EpochReport], n_experts: int) -> NDArray[np.void]:
    """Return the history as a structured array, one row an epoch."""
    names = dict.fromkeys([*Terms._fields, *(k for r in reports for k in r.terms)])
    fields = [(name, np.float64) for name in names]
    table = np.full(
        len(reports),
        np.nan,
        dtype=[
            *fields,
            ("learning_rate", np.float64),
            ("expert_share", np.float64, (n_experts,)),
            ("label_change", np.float64),
        ],
    )
    for row, report in zip(table, reports, strict=True):
        for name, value in report.terms.items():
            row[name] = value
        row["learning_rate"] = report.learning_rate
        row["expert_share"] = report.usage
        row["label_change"] = report.label_change
    return table


def extended(before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.void]:
    """Append rows to a history, whose columns may be others than the new rows'."""
    table = np.zeros(len(before) + len(after), dtype=before.dtype)
    for name in before.dtype.names or ():
        new = after[name] if name in (after.dtype.names or ()) else np.nan
        table[name][: len(before)], table[name][len(before) :] = before[name], new
    return table


def degeneracies(
    candidate: Candidate, sizes: NDArray[np.floating] | None = None
) -> list[str]:
    """Say in words what went wrong with a clustering, and which parameter to turn.

    Known ``sizes`` of the clusters are what few rows are fewer than.
    """
    clusters, run = candidate.tree.clusters, candidate.run
    if not candidate.moments.scatter and len(clusters) > 1:
        return ["all rows are the same, so that there are no clusters among them"]
    problems = _of_survey(candidate.survey, clusters, sizes)
    if "uniform" in problems:
        problems["uniform"] += _of_extremes(candidate.moments)
    found = list(problems.values())
    k = clusters.max() + 1
    last = run.history[-1] if run.history else None
    # Between experts of one cluster rows may move for ever.
    told = len(clusters) > 1 and (k == len(clusters) or run.merged)
    if told and last is not None and last.label_change > MOVING_SHARE:
        found.append(
            f"{last.label_change:.0%} of the labels still changed in the last epoch: "
            "raise max_epochs, or lower learning_rate or learning_rate_decay"
        )
    return found


def _of_extremes(moments: Moments) -> str:
    """Say so where all others are alike beside a value, of one row or of few."""
    mean = moments.mean.mean()
    far = max(moments.highest - mean, mean - moments.lowest) ** 2
    if far <= EXTREME * moments.n_rows * moments.variance:
        return ""
    return (
        ". Or some rows are of extreme size, beside which all others look alike: X has "
        f"values from {moments.lowest:.6g} to {moments.highest:.6g}"
    )


def _of_survey(
    survey: Survey,
    clusters: NDArray[np.integer],
    sizes: NDArray[np.floating] | None,
    *,
    in_stream: bool = False,
) -> dict[str, str]:
    """Say what is wrong with what rows are assigned to, each thing by a short name."""
    usage, found = np.bincount(clusters, weights=survey.usage), dict[str, str]()
    k = len(usage)
    if len(clusters) == 1:
        return found
    if survey.sample_entropy > UNIFORM_ENTROPY:
        longer = "train on more chunks, raise" if in_stream else "raise max_epochs,"
        found["uniform"] = (
            "assignments are still close to uniform (sample entropy "
            f"{survey.sample_entropy:.2f} of log K): {longer} learning_rate "
            "or sample_entropy_weight"
        )
        return found
    unused = survey.sizes == 0
    if unused.any():
        longer = ", train on more chunks" if in_stream else " or max_epochs"
        found[f"unused {np.flatnonzero(unused)}"] = (
            f"{unused.sum()} of {k} clusters are unused: raise "
            f"batch_entropy_weight{longer}, lower sample_entropy_weight, or "
            "ask for fewer n_clusters"
        )
    few = ~unused & (usage < FEW_SHARE * _expected(usage, sizes))
    if few.any():
        rows = ", ".join(map(str, np.sort(survey.sizes[few])))
        found[f"few {np.flatnonzero(few)}"] = (
            f"{few.sum()} of {k} clusters have few rows ({rows} of "
            f"{survey.sizes.sum()}): if these are not odd ones, raise "
            "batch_entropy_weight, or ask for fewer n_clusters"
        )
    return found


def _expected(
    usage: NDArray, sizes: NDArray[np.floating] | None
) -> NDArray[np.floating]:
    """Return the shares (c,) that clusters of a usage (c,) should have.

    Known sizes belong to any of them: the largest to the largest.
    """
    if sizes is None:
        return np.full(len(usage), 1 / len(usage))
    expected = np.empty(len(usage))
    expected[np.argsort(usage)] = np.sort(sizes)
    return expected


@dataclass
class Watch:
    """A look at a stream now and then, which tells what is wrong and was not before.

    A chunk is too few rows to call a cluster unused, and may be of the first ones, when
    nothing is decided. So rows are added up, of chunks after as many steps as a fit has
    at least, until they are enough, and twice as many for each look as for the one
    before: of a stream whose chunks differ there are few.
    """

    n_steps: int = 0  # of training
    n_looks: int = 0
    told: str = ""  # the names of what was wrong in the last look
    # Since then: rows and their entropies, rows of each cluster, shares of each expert.
    tally: NDArray[np.float64] | None = None

    def note(
        self,
        candidate: Candidate,
        n_steps: int,
        enough: int,
        sizes: NDArray[np.floating] | None = None,
    ) -> list[str]:
        """Take note of a chunk, on ``n_steps`` of training; return what is news."""
        self.n_steps += n_steps
        if self.n_steps < enough:
            return []
        survey, clusters = candidate.survey, candidate.tree.clusters
        n, c = len(survey.labels), len(survey.sizes)
        tally = np.r_[
            n, n * survey.sample_entropy, survey.sizes, n * survey.usage
        ].astype(np.float64)
        self.tally = tally if self.tally is None else self.tally + tally
        n_rows = self.tally[0]
        if n_rows < FIRST_LOOK * c * 2**self.n_looks:
            return []
        seen = survey._replace(
            sizes=self.tally[2 : 2 + c].astype(np.intp),
            usage=(self.tally[2 + c :] / n_rows).astype(np.float32),
            sample_entropy=float(self.tally[1] / n_rows),
        )
        found = _of_survey(seen, clusters, sizes, in_stream=True)
        before, self.told = self.told, ", ".join(found)
        self.n_looks, self.tally = self.n_looks + 1, None
        return list(found.values()) if self.told != before else []
