"""
Text
====

Short messages, as tf-idf: sparse rows, which count by their direction. The cluster of a
message must survive that half of its words are hidden.
"""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from skmixae import MixAEClustering
from skmixae.plotting import CertaintyDisplay

TOPICS = {
    "sea": "wave boat harbour sail tide salt gull anchor captain storm".split(),
    "kitchen": "onion butter pan oven salt knife recipe simmer dough storm".split(),
    "garden": "rose soil spade seed hedge lawn bloom prune storm tide".split(),
}
rng = np.random.default_rng(0)
texts = [
    " ".join(rng.choice(words, 6)) for words in TOPICS.values() for _ in range(100)
]

vectorizer = TfidfVectorizer()
X = vectorizer.fit_transform(texts)
model = MixAEClustering(3, directions=True, init="kmeans", random_state=0).fit(X)

words = vectorizer.get_feature_names_out()
for k in range(3):
    mean = np.asarray(X[model.labels_ == k].mean(axis=0)).ravel()
    print(k, ", ".join(words[mean.argsort()[::-1][:5]]))

# %%
# How sure the assignments are.
CertaintyDisplay.from_estimator(model, X)
