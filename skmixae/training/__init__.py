"""Training: rows to batches, one loop, and the points it starts from."""

from .agglomeration import Agglomeration, SharedRows, agglomerate, shared_rows
from .batches import Batches, Moments, Rows, Scaling, Whitening
from .evidence import Evidence
from .initialisation import (
    STARTS,
    Teaching,
    as_probabilities,
    subset_labels,
)
from .loop import (
    EpochReport,
    IsDecided,
    LabelBook,
    Monitor,
    Randomness,
    Snapshot,
    TrainingDiverged,
    TrainingPlan,
    TrainingRun,
    Validation,
    train,
    train_epoch,
)
from .reduction import Reduction, reduced_rows, reduction_between
from .shapes import shape_of, varying_window
from .step import Objective, ReplayedStep, TrainingStep
from .threads import fed_threads, threads_worth
from .whitening import mostly_zeros, principal_axes

__all__ = [
    "STARTS",
    "Agglomeration",
    "Batches",
    "EpochReport",
    "Evidence",
    "IsDecided",
    "LabelBook",
    "Moments",
    "Monitor",
    "Objective",
    "Randomness",
    "Reduction",
    "ReplayedStep",
    "Rows",
    "Scaling",
    "SharedRows",
    "Snapshot",
    "Teaching",
    "TrainingDiverged",
    "TrainingPlan",
    "TrainingRun",
    "TrainingStep",
    "Validation",
    "Whitening",
    "agglomerate",
    "as_probabilities",
    "fed_threads",
    "mostly_zeros",
    "principal_axes",
    "reduced_rows",
    "reduction_between",
    "shape_of",
    "shared_rows",
    "subset_labels",
    "threads_worth",
    "train",
    "train_epoch",
    "varying_window",
]
