"""The objective: pure functions from tensors to named terms, and their weights."""

from .consistency import (
    ADVERSARIAL_RADIUS,
    AdversarialConsistency,
    AffineConsistency,
    jitter,
)
from .mixture import MixtureObjective, Reconstruction, Terms
from .schedule import SCHEDULES, Weights
from .terms import RECONSTRUCTION_ERRORS

__all__ = [
    "ADVERSARIAL_RADIUS",
    "RECONSTRUCTION_ERRORS",
    "SCHEDULES",
    "AdversarialConsistency",
    "AffineConsistency",
    "MixtureObjective",
    "Reconstruction",
    "Terms",
    "Weights",
    "jitter",
]
