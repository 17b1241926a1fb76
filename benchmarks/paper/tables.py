"""The paper's three tables: the numbers, each made of what was run."""

from __future__ import annotations

import numpy as np

from benchmarks._report import shortened
from benchmarks.paper.bench import Made, Recorded, Scored
from benchmarks.paper.measures import (
    batch_entropy,
    entropy,
    one_hot,
    sample_entropy,
)
from benchmarks.quality.results import Line
from benchmarks.quality.tables import done, label


def table1(gathered: list[Line]) -> Made:
    """Return the size of a data set, and how even its classes are."""
    (line,) = gathered
    sizes = np.array(line["class_sizes"])
    return Made(
        {
            "n_rows": line["n_rows"],
            "n_features": line["n_features"],
            "n_classes": line["n_classes"],
            "largest": float(sizes.max() / sizes.sum()),
            "smallest": float(sizes.min() / sizes.sum()),
            "entropy": entropy(sizes / sizes.sum()),
        }
    )


def table2(gathered: list[Scored]) -> Made:
    """Return the accuracy of each method, over all seeds that were run."""
    rows = []
    for scored in gathered:
        ended = done(scored.lines)
        errors = [shortened(x["error"]) for x in scored.lines if x["error"]]
        rows.append(
            {
                "method": scored.variant.label,
                "about": scored.variant.method.about,
                "accuracy": [line["accuracy"] for line in ended],
                "seconds": [line["seconds"] for line in ended],
                "seeds": [line["seed"] for line in ended],
                "error": errors[0] if errors else None,
            }
        )
    return Made({"rows": rows})


def table3(gathered: list[Recorded]) -> Made:
    """Return the entropies of the classes and of the assignments, in nats."""
    rows = []
    for recorded in gathered:
        arrays, line = recorded.arrays(), recorded.line
        assignment, classes = arrays["probabilities"], arrays["classes"]
        truth = one_hot(classes, line["n_classes"])
        rows.append(
            {
                "method": label(line),
                "seed": line["seed"],
                "highest": float(np.log(assignment.shape[1])),
                "classes": batch_entropy(truth),
                "batch": batch_entropy(assignment),
                "sample": sample_entropy(assignment),
                "accuracy": line["accuracy"],
            }
        )
    return Made({"rows": rows})
