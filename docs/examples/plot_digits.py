"""
Digits: clusters, and what their experts know
=============================================

Handwritten digits of 8 x 8 pixels, clustered without labels. Each cluster has experts
that reconstruct its digits; the labels are read at the end only, to see what was found.
It is fitted once here, and in half of the time, where the default is the best of four
fits.
"""

from sklearn.datasets import load_digits

from skmixae import MixAEClustering
from skmixae.plotting import (
    ClusterClassDisplay,
    ClusterSamplesDisplay,
    ExpertTreeDisplay,
    TrainingHistoryDisplay,
)

X, y = load_digits(return_X_y=True)
model = MixAEClustering(10, max_epochs=60, n_init=1, random_state=0).fit(X)

# %%
# Samples of each cluster, from the most to the least certain, above what the expert
# makes of them.
ClusterSamplesDisplay.from_estimator(model, X)

# %%
# There are twenty experts, merged into ten clusters by how much they share rows.
ExpertTreeDisplay.from_estimator(model, X)

# %%
# The terms of the objective. After three fifths of the epochs experts are merged, and
# the terms are those of clusters.
TrainingHistoryDisplay.from_estimator(model)

# %%
# And only now the labels.
ClusterClassDisplay.from_estimator(model, X, y)
