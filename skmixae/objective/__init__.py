"""The objective: pure functions from tensors to named terms, and their weights."""

from .consistency import AdversarialConsistency, Regulariser, View
from .mixture import MixtureObjective, Reconstruction, Terms
from .schedule import SCHEDULES, Weights
from .terms import RECONSTRUCTION_ERRORS

__all__ = [
    "RECONSTRUCTION_ERRORS",
    "SCHEDULES",
    "AdversarialConsistency",
    "MixtureObjective",
    "Reconstruction",
    "Regulariser",
    "Terms",
    "View",
    "Weights",
]
