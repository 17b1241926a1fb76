"""What each parameter may be, as scikit-learn checks it."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from ..consistency import MEMBERS, Consistency
from ..network import ACTIVATIONS, ARCHITECTURES, EXPERT_KINDS
from ..objective import LOSSES, SCHEDULES
from ..training import STARTS

POSITIVE_INT = Interval(Integral, 1, None, closed="left")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
SIZES = ["array-like"]
CHANGES = [Consistency, callable, list, tuple, None]
CONSTRAINTS: dict[str, list[Any]] = {
    "n_clusters": [POSITIVE_INT],
    "n_experts": [POSITIVE_INT, StrOptions({"auto"}), None],
    "n_active": [POSITIVE_INT],
    "latent_dim": [POSITIVE_INT, StrOptions({"auto"})],
    "architecture": [StrOptions(set(ARCHITECTURES)), callable],
    "expert": [StrOptions(set(EXPERT_KINDS))],
    "hidden_layer_sizes": SIZES,
    "conv_channels": SIZES,
    "assignment_hidden_layer_sizes": [StrOptions({"auto"}), *SIZES],
    "assignment_input": [StrOptions({"latents", "hidden", "input"})],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "input_shape": [StrOptions({"auto"}), *SIZES, None],
    "max_pixels": [POSITIVE_INT, StrOptions({"auto"}), None],
    "whitening": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), None],
    "n_components": [POSITIVE_INT, StrOptions({"auto"})],
    "directions": ["boolean", StrOptions({"auto"})],
    "input_noise": [NON_NEGATIVE],
    "reconstruction_loss": [StrOptions(LOSSES.keys())],
    "sample_entropy_weight": [NON_NEGATIVE],
    "batch_entropy_weight": [NON_NEGATIVE, StrOptions({"auto"})],
    "entropy_schedule": [StrOptions({"auto", *SCHEDULES})],
    "cluster_sizes": ["array-like", StrOptions({"auto", "start"}), None],
    "consistency": [StrOptions({"auto", *MEMBERS}), *CHANGES],
    "consistency_weight": [NON_NEGATIVE],
    "start_weight": [NON_NEGATIVE, StrOptions({"auto"})],
    "prior_weight": [NON_NEGATIVE],
    "distillation_weight": [NON_NEGATIVE],
    "max_epochs": [POSITIVE_INT, StrOptions({"auto"})],
    "batch_size": [POSITIVE_INT],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "learning_rate_decay": [Interval(Real, 0, 1, closed="right")],
    "weight_decay": [NON_NEGATIVE],
    "tol": [NON_NEGATIVE],
    "n_iter_no_change": [POSITIVE_INT, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
    "refinement": [Interval(Real, 0, 1, closed="left")],
    "n_init": [POSITIVE_INT, StrOptions({"auto"})],
    "init": [StrOptions({"auto", "random", *STARTS}), "array-like"],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "device": [str],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "verbose": ["verbose"],
}
