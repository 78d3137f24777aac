"""What training makes small, in units of the target's spread in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

LossName = Literal["mse", "mae", "huber", "quantile"]
# Of answers (batch, horizon), or (batch, horizon * levels), and targets (batch, horizon).
Loss = Callable[[Tensor, Tensor], Tensor]


def loss_function(name: LossName, *, levels: Sequence[float] | None) -> Loss:
    """The loss of a name.

    mse: squared error, answered with the mean. mae: absolute error, answered with the median. huber: squared up to one
    spread of the target and absolute beyond it (Huber 1964). quantile: see pinball.

    Args:
        name: of the loss.
        levels: of the quantiles; for `quantile` alone.
    """
    if name == "quantile":
        assert levels is not None
        return partial(pinball, levels=torch.tensor(levels))
    losses: dict[str, Loss] = {
        "mse": nn.functional.mse_loss,
        "mae": nn.functional.l1_loss,
        "huber": nn.functional.huber_loss,
    }
    return losses[name]


def pinball(answers: Tensor, targets: Tensor, *, levels: Tensor) -> Tensor:
    """Mean over all levels of the loss that a level's own quantile makes least.

    Source: Koenker and Bassett (1978), Regression quantiles, https://doi.org/10.2307/1913643.

    Args:
        answers: (batch, horizon * levels), a step's levels side by side.
        targets: (batch, horizon).
        levels: (levels,) each in (0, 1).
    """
    levels = levels.to(answers.device)
    missed = targets[..., None] - answers.reshape(*targets.shape, len(levels))  # (B, h, Q)
    return torch.maximum(levels * missed, (levels - 1.0) * missed).mean()
