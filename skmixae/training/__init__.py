"""Training: rows to batches, one loop, and the points it starts from."""

from .batches import Batches, Moments, Rows, Scaling
from .initialisation import Teaching, as_probabilities, kmeans_labels
from .loop import (
    EpochReport,
    LabelBook,
    Monitor,
    Randomness,
    Snapshot,
    TrainingDiverged,
    TrainingPlan,
    TrainingRun,
    train,
    train_epoch,
)

__all__ = [
    "Batches",
    "EpochReport",
    "LabelBook",
    "Moments",
    "Monitor",
    "Randomness",
    "Rows",
    "Scaling",
    "Snapshot",
    "Teaching",
    "TrainingDiverged",
    "TrainingPlan",
    "TrainingRun",
    "as_probabilities",
    "kmeans_labels",
    "train",
    "train_epoch",
]
