"""Deep clustering by a mixture of autoencoders, as a scikit-learn estimator."""

from ._mixae import MixAEClustering
from .training import TrainingDiverged

__version__ = "0.1.0"

__all__ = ["MixAEClustering", "TrainingDiverged", "__version__"]
