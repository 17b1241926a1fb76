"""
Rows that no expert explains
============================

Digits, and among them some of noise, and some upside down. The error of the best expert
is a score of how odd a row is: those that were turned look like digits, and some stand
out all the same.
"""

import numpy as np
from sklearn.datasets import load_digits

from skmixae import MixAEClustering
from skmixae.plotting import OutlierDisplay

X, _ = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
noise = rng.integers(0, 17, size=(5, 64)).astype(float)
turned = X[rng.choice(len(X), 5)][:, ::-1]
odd = np.vstack([X, noise, turned])

model = MixAEClustering(10, max_epochs=15, n_init=1, random_state=0).fit(X)
display = OutlierDisplay.from_estimator(model, odd, n_samples=12)
print("of noise:", np.sum((display.shown >= len(X)) & (display.shown < len(X) + 5)))
print("upside down:", np.sum(display.shown >= len(X) + 5))
