"""A trained mixture: what it makes of its rows, its history, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass

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


def degeneracies(candidate: Candidate) -> list[str]:
    """Say in words what went wrong with a clustering, and which parameter to turn."""
    survey, clusters = candidate.survey, candidate.tree.clusters
    usage, found = np.bincount(clusters, weights=survey.usage), list[str]()
    k = len(usage)
    if len(clusters) == 1:
        return found
    if survey.sample_entropy > UNIFORM_ENTROPY:
        found.append(
            "assignments are still close to uniform (sample entropy "
            f"{survey.sample_entropy:.2f} of log K): raise max_epochs, learning_rate "
            "or sample_entropy_weight"
        )
    else:
        what = "experts" if k == len(clusters) else "clusters"
        unused = survey.sizes == 0
        if unused.any():
            found.append(
                f"{unused.sum()} of {k} {what} are unused: raise "
                "batch_entropy_weight or max_epochs, lower sample_entropy_weight, or "
                "ask for fewer n_clusters"
            )
        few = ~unused & (usage < FEW_SHARE / k)
        if few.any():
            rows = ", ".join(map(str, np.sort(survey.sizes[few])))
            found.append(
                f"{few.sum()} of {k} {what} have few rows ({rows} of "
                f"{survey.sizes.sum()}): if these are not odd ones, raise "
                "batch_entropy_weight, or ask for fewer n_clusters"
            )
    run = candidate.run
    last = run.history[-1] if run.history else None
    # Between experts of one cluster rows may move for ever.
    told = k == len(clusters) or run.merged
    if told and last is not None and last.label_change > MOVING_SHARE:
        found.append(
            f"{last.label_change:.0%} of the labels still changed in the last epoch: "
            "raise max_epochs, or lower learning_rate or learning_rate_decay"
        )
    return found
