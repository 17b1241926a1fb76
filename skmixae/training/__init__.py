"""Training: rows to batches, one loop, and the points it starts from."""

from .agglomeration import Agglomeration, SharedRows, agglomerate, shared_rows
from .batches import Batches, Moments, Rows, Scaling, Whitening
from .conversion import (
    Conversion,
    channels_first,
    conversion_between,
    converted_rows,
    planes,
)
from .evidence import Evidence
from .initialisation import STARTS, subset_labels
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
from .shapes import shape_of, varying_window
from .step import Objective, ReplayedStep, TrainingStep, gradients
from .teaching import Target, Teaching
from .threads import ONE_AT_A_TIME, fed_threads, threads_worth
from .whitening import mostly_zeros, principal_axes

__all__ = [
    "ONE_AT_A_TIME",
    "STARTS",
    "Agglomeration",
    "Batches",
    "Conversion",
    "EpochReport",
    "Evidence",
    "IsDecided",
    "LabelBook",
    "Moments",
    "Monitor",
    "Objective",
    "Randomness",
    "ReplayedStep",
    "Rows",
    "Scaling",
    "SharedRows",
    "Snapshot",
    "Target",
    "Teaching",
    "TrainingDiverged",
    "TrainingPlan",
    "TrainingRun",
    "TrainingStep",
    "Validation",
    "Whitening",
    "agglomerate",
    "channels_first",
    "conversion_between",
    "converted_rows",
    "fed_threads",
    "gradients",
    "mostly_zeros",
    "planes",
    "principal_axes",
    "shape_of",
    "shared_rows",
    "subset_labels",
    "threads_worth",
    "train",
    "train_epoch",
    "varying_window",
]
