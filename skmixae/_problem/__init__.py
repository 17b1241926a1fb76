"""The estimator's parameters and its rows, resolved into what a fit needs to know."""

from .continuing import check_unchanged
from .occasion import Occasion
from .problem import Problem
from .randomness import new_network, own_randomness
from .reading import Seen, look_at, measure, resolve_moments
from .resolution import resolve_problem
from .starting import was_shown_clusters

__all__ = [
    "Occasion",
    "Problem",
    "Seen",
    "check_unchanged",
    "look_at",
    "measure",
    "new_network",
    "own_randomness",
    "resolve_moments",
    "resolve_problem",
    "was_shown_clusters",
]
