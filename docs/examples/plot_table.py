"""
What tells the clusters of a table
==================================

The wines of three growers, as a chemist describes them. Features of unlike units are
brought to one by a scaler first, in a pipeline, which takes and names the rows as they
are.
"""

# %%
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixae import MixAEClustering
from skmixae.plotting import CertaintyDisplay, ClusterProfileDisplay

X = load_wine(as_frame=True).data
model = make_pipeline(StandardScaler(), MixAEClustering(3, random_state=0))
clusters = model.fit_predict(X)

# %%
# How far the mean of each feature is, in each cluster, from that of all wines, in
# standard deviations.

ClusterProfileDisplay.from_estimator(model, X)

# %%
# The same means in the units of the table.

X.groupby(clusters).mean().T

# %%
# And how sure the clusters are.

CertaintyDisplay.from_estimator(model, X)
