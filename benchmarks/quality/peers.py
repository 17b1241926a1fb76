"""ClustPy, imported in the environment that ``make peers`` sets up."""

from __future__ import annotations

import sys

import torch

try:
    import torchvision
except RuntimeError:
    # A torchvision compiled for another build of the same torch (the processor's
    # against CUDA's) cannot load its operators, and fails where it describes these two
    # for finding objects in images. Declared, not implemented, they let it be imported.
    # ClustPy uses torchvision to load pictures, to augment them where it is told to and
    # in a type annotation: nothing that is run here touches it.
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    _declared = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _declared.define(
            f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    import torchvision  # noqa: F401

from clustpy import deep

__all__ = ["deep"]
