"""What is made. A new table or figure is a function and a line of EXPERIMENTS."""

from __future__ import annotations

from benchmarks.paper import figures, rcv1, tables
from benchmarks.paper.bench import FITS, ROWS, SCORES, Experiment

# MNIST; Reuters, by a small collection that is at hand and by the paper's own; and what
# the paper calls HHAR.
SETS = ("mnist", "reuters4", rcv1.NAME, "har")
# The paper's baselines, its method, and this package's default.
METHODS = ("kmeans", "gmm", "dec", "vade", "paper", "mixae")
BOTH, PAPER = ("paper", "mixae"), ("paper",)
# None is the number of the classes, whose fit other figures share.
MORE_CLUSTERS = (None, 20, 30)

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment(
        "the data sets, how large and how even",
        ROWS, SETS, (), tables.table1,
    ),
    "table2": Experiment(
        "the accuracy of the methods, as runs of benchmarks.quality",
        SCORES, SETS, METHODS, tables.table2,
    ),
    "table3": Experiment(
        "entropies of the classes and of the converged assignments",
        FITS, SETS, BOTH, tables.table3,
    ),
    "figure3": Experiment(
        "samples grouped by cluster", FITS, ("mnist",), PAPER, figures.figure3
    ),
    "figure4": Experiment(
        "the latents in the plane over training",
        FITS, ("mnist",), PAPER, figures.figure4,
    ),
    "figure5": Experiment(
        "the second moment of the classes beside that of the assignments",
        FITS, SETS, BOTH, figures.figure5,
    ),
    "figure6": Experiment(
        "the terms of the objective and the accuracy over the epochs",
        FITS, SETS, PAPER, figures.figure6,
    ),
    "figure7": Experiment(
        "more clusters than classes",
        FITS, ("mnist",), PAPER, figures.figure7, MORE_CLUSTERS,
    ),
}  # fmt: skip
