"""What the estimator's parameters may be, and what "auto" means."""

from .constraints import CONSTRAINTS
from .experts import (
    check_architecture,
    resolve_active,
    resolve_assignment,
    resolve_experts,
    resolve_latent_dim,
)
from .objective import (
    resolve_balance,
    resolve_consistency,
    resolve_evenness,
    resolve_schedule,
    resolve_sizes,
)
from .rows import (
    WIDE_ROWS,
    asked_shape,
    is_image,
    is_series,
    may_find_shape,
    resolve_components,
    resolve_directions,
    resolve_shape,
    resolve_whitening,
)
from .starts import (
    CHUNK_ROWS,
    JUDGED_BALANCE,
    MARGIN,
    Starts,
    automatic_starts,
    check_start,
    is_held,
    resolve_restarts,
    resolve_start,
    resolve_start_weight,
)
from .training import (
    device_at_hand,
    fewest_steps,
    resolve_device,
    resolve_epochs,
    resolve_precision,
)
from .values import is_named, layer_sizes

__all__ = [
    "CHUNK_ROWS",
    "CONSTRAINTS",
    "JUDGED_BALANCE",
    "MARGIN",
    "WIDE_ROWS",
    "Starts",
    "asked_shape",
    "automatic_starts",
    "check_architecture",
    "check_start",
    "device_at_hand",
    "fewest_steps",
    "is_held",
    "is_image",
    "is_named",
    "is_series",
    "layer_sizes",
    "may_find_shape",
    "resolve_active",
    "resolve_assignment",
    "resolve_balance",
    "resolve_components",
    "resolve_consistency",
    "resolve_device",
    "resolve_directions",
    "resolve_epochs",
    "resolve_evenness",
    "resolve_experts",
    "resolve_latent_dim",
    "resolve_precision",
    "resolve_restarts",
    "resolve_schedule",
    "resolve_shape",
    "resolve_sizes",
    "resolve_start",
    "resolve_start_weight",
    "resolve_whitening",
]
