"""Pictures that explain a clustering, in scikit-learn's Display convention.

A display holds what it shows and draws it with matplotlib, which only drawing needs:
``XDisplay.from_estimator(estimator, X)`` computes and draws, ``display.plot()`` draws
again. Colours are of the palette of Okabe and Ito, which the colour-blind can tell
apart; lines also differ in style or width, so that a print in grey says the same.
"""

from .certainty import CertaintyDisplay
from .history import TrainingHistoryDisplay
from .latents import LatentMapDisplay
from .matrix import ClusterClassDisplay
from .outliers import OutlierDisplay
from .profiles import ClusterProfileDisplay
from .samples import ClusterSamplesDisplay
from .tree import ExpertTreeDisplay

__all__ = [
    "CertaintyDisplay",
    "ClusterClassDisplay",
    "ClusterProfileDisplay",
    "ClusterSamplesDisplay",
    "ExpertTreeDisplay",
    "LatentMapDisplay",
    "OutlierDisplay",
    "TrainingHistoryDisplay",
]
