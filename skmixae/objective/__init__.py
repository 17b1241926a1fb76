"""The objective: pure functions from tensors to named terms, and their weights."""

from .consistency import AdversarialConsistency, Regulariser, View
from .losses import LOSSES, Loss, Reconstruction
from .mixture import MixtureObjective, Terms
from .schedule import SCHEDULES, Weights

__all__ = [
    "LOSSES",
    "SCHEDULES",
    "AdversarialConsistency",
    "Loss",
    "MixtureObjective",
    "Reconstruction",
    "Regulariser",
    "Terms",
    "View",
    "Weights",
]
