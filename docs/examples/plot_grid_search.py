"""
Grid search
===========

The estimator in a pipeline, searched over the number of clusters and the weight of the
batch entropy. The score reads labels, so this is choosing with supervision: use rows
whose classes you know for it, and no others.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering
from skmixae.metrics import hungarian_accuracy_scorer

X, y = load_wine(return_X_y=True)
pipeline = make_pipeline(
    StandardScaler(), MixAEClustering(max_epochs=60, random_state=0)
)
grid = {
    "mixaeclustering__n_clusters": [2, 3, 4],
    "mixaeclustering__batch_entropy_weight": [4.0, 8.0],
}
search = GridSearchCV(pipeline, grid, scoring=hungarian_accuracy_scorer, cv=2)
search.fit(X, y)
print(search.best_params_)

# %%
table = pd.DataFrame(search.cv_results_).pivot(
    index="param_mixaeclustering__batch_entropy_weight",
    columns="param_mixaeclustering__n_clusters",
    values="mean_test_score",
)
figure, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
table.plot.barh(ax=ax, cmap="cividis")
ax.set(xlabel="Hungarian accuracy", ylabel="weight of the batch entropy", xlim=(0, 1))
ax.legend(title="clusters", loc="lower left")
