"""Adam's step at the price of its arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
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

    @torch.no_grad()
    def advance(self) -> None:
        """`step`, then `zero_grad`: the same bits."""
        (group,) = self.param_groups
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        states = [self.state[parameter] for parameter in parameters]
        if all(states) and len(gradients) == len(parameters):
            adam(
                parameters,
                gradients,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
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
        for parameter in parameters:
            parameter.grad = None
