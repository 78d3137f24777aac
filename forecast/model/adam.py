"""Adam's step at the price of its arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam(torch.optim.Adam):
    """torch's fused Adam, whose `step` and `zero_grad` do more around the arithmetic than in it for a small network.

    Source: Kingma and Ba (2015), https://arxiv.org/abs/1412.6980.

    Args:
        parameters: to optimise.
        learning_rate: of all.
        weight_decay: of all; added to the gradient.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
        self._moments: list[list[Tensor]] = []  # first, second, steps; of each parameter

    @torch.no_grad()
    def advance(self) -> None:
        """`step`, then `zero_grad`: the same bits."""
        (group,) = self.param_groups
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self._moments and len(gradients) == len(parameters):
            first, second, steps = self._moments
            adam(
                parameters,
                gradients,
                first,
                second,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
        else:  # the first time, and where a parameter took no part
            self.step()
            self._gather(parameters)
        for parameter in parameters:
            parameter.grad = None

    def _gather(self, parameters: list[nn.Parameter]) -> None:
        """Have at hand what `step` keeps of each parameter, once it keeps something of all."""
        if all(parameter in self.state for parameter in parameters):
            names = ("exp_avg", "exp_avg_sq", "step")
            self._moments = [[self.state[parameter][name] for parameter in parameters] for name in names]
