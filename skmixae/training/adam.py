"""Adam with decoupled weight decay, as one kernel over all parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETAS, EPSILON = (0.9, 0.999), 1e-8
# What is remembered of each parameter, by the names that torch gives them.
STEP, MOMENTS = "step", ("exp_avg", "exp_avg_sq")


class AdamW:
    """What `torch.optim.AdamW` does, by the function that it calls.

    The class loads torch's compiler as soon as one is made, which takes over a second
    and 700 modules that nothing here needs; a first fit of a small table took as long.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those of a network on one device.
    rate : float
        The learning rate.
    weight_decay : float, default=0.0
        The share of the learning rate that weights lose in a step.
    capturable : bool, default=False
        Whether steps may be recorded on a GPU. The rate is then kept on the device, for
        what is recorded reads it where it is.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        *,
        weight_decay: float = 0.0,
        capturable: bool = False,
    ) -> None:
        self.parameters = list(parameters)
        self.weight_decay, self.capturable = weight_decay, capturable
        device = self.parameters[0].device
        self._rate = torch.tensor(rate, device=device) if capturable else rate
        self._orders = [order_in_memory(p) for p in self.parameters]
        self._state = [
            {
                STEP: torch.zeros((), dtype=torch.float32, device=device),
                **{name: torch.zeros_like(parameter) for name in MOMENTS},
            }
            for parameter in self.parameters
        ]

    def set_rate(self, rate: float) -> None:
        """Go on at another learning rate."""
        if isinstance(self._rate, Tensor):
            self._rate.fill_(rate)
        else:
            self._rate = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient."""
        moved = [
            (order, parameter, parameter.grad, state)
            for order, parameter, state in zip(
                self._orders, self.parameters, self._state, strict=True
            )
            if parameter.grad is not None
        ]
        first, second = (
            [state[name].permute(order) for order, _, _, state in moved]
            for name in MOMENTS
        )
        adamw(
            [parameter.permute(order) for order, parameter, _, _ in moved],
            [gradient.permute(order) for order, _, gradient, _ in moved],
            first,
            second,
            [],
            [state[STEP] for *_, state in moved],
            fused=True,
            capturable=self.capturable,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._rate,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Return what is remembered, from which `restore` goes on."""
        return {
            f"{i}.{name}": value
            for i, state in enumerate(self._state)
            for name, value in state.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Remember what another of the same parameters noted; in their own layouts."""
        for key, value in self.state().items():
            if key in state:
                value.copy_(state[key])


def order_in_memory(x: Tensor) -> list[int]:
    """Return the dimensions of a tensor, the one with the longest stride first.

    In that order it is contiguous, if it is dense. Of any other gradient torch's kernel
    makes a copy, which it does not read (2.13), and takes twice as long for it.
    """
    strides = x.stride()
    return sorted(range(x.dim()), key=lambda i: -strides[i])
