"""Pictures that explain a clustering, in scikit-learn's Display convention.

A display holds what it shows and draws it with matplotlib, which only drawing needs:
``XDisplay.from_estimator(estimator, X)`` computes and draws, ``display.plot()`` draws
again. Colours are of the palette of Okabe and Ito, which the colour-blind can tell
apart; lines also differ in style or width, so that a print in grey says the same.
"""

from .history import TrainingHistoryDisplay
from .samples import ClusterSamplesDisplay

__all__ = ["ClusterSamplesDisplay", "TrainingHistoryDisplay"]
