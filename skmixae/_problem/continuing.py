"""Whether the parameters still ask for the network that was fitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..network import NetworkSpec
from ..training import Moments
from .reading import Reading, noted, whitening_of

# The parameters that a size of the network follows, where it is not one itself.
_ASKED_BY = {
    "n_experts": "n_clusters or n_experts",
    "input_shape": "input_shape or max_pixels",
}


def continued(
    asked: NetworkSpec, estimator: Any, moments: Moments, reading: Reading
) -> NetworkSpec:
    """Return the fitted network's sizes, or raise where others are asked for."""
    fitted = estimator._network_spec
    if estimator.n_experts == "auto":  # as many as the rows of its first fit were worth
        asked = replace(asked, n_experts=fitted.n_experts)
    check_same_network(fitted, asked)
    check_same_whitening(moments, estimator)
    changed = {
        # Images with their colours first and last may be read as the same ones.
        "input_shape": reading.shape != estimator.input_shape_,
        # Rows are scaled in another way for another loss.
        "reconstruction_loss": estimator.reconstruction_loss != estimator._fitted_loss,
    }
    check_unchanged(name for name, differs in changed.items() if differs)
    return fitted


def check_same_network(fitted: NetworkSpec, asked: NetworkSpec) -> None:
    """Raise where the parameters ask for another network than the fitted one."""
    check_unchanged(
        _ASKED_BY.get(name, name)
        for name, value in vars(fitted).items()
        if value != getattr(asked, name)
        # A factory may be another object after a round trip through a file.
        and not (callable(value) and callable(getattr(asked, name)))
    )


def check_same_whitening(fitted: Moments, estimator: Any) -> None:
    """Raise where rows are to be whitened in another way than they were at first."""
    e = estimator
    power = whitening_of(e, fitted)
    # What "auto" follows.
    others = "architecture, input_shape or reconstruction_loss"
    changed = {
        "whitening" if e.whitening != "auto" else others: power != fitted.whitening,
        "n_components": power is not None
        and noted(e.n_components) != fitted.n_components,
        # "auto" is what it was for the first rows.
        "directions": e.directions not in ("auto", fitted.directions),
    }
    check_unchanged(name for name, differs in changed.items() if differs)


def check_unchanged(names: Iterable[str]) -> None:
    """Raise if there are any names, of parameters that are not as they were."""
    changed = list(names)
    if changed:
        raise ValueError(
            f"The parameters {changed} differ from those of the fitted network, which "
            "partial_fit, and fit with warm_start=True, train on. They must stay as "
            "they were; to start over, call fit with warm_start=False."
        )
