"""A trained network in the form that answers few windows soonest, with the same numbers; for inference alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FewRows(nn.Module):
    """Layers one after the other, each given a multiple of rows of its own, copies of the first where some are missing.

    Matrix products take other code paths for a few rows and then differ in the last bit; each layer has its own least
    number of rows from which on it answers as in a large batch.

    Args:
        layers: (rows, ...) -> (rows, ...), each row by itself.
        multiples: of rows, one a layer.
    """

    def __init__(self, layers: Sequence[nn.Module], *, multiples: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.multiples = list(multiples)
        # Without hooks, which nobody hangs on these: of a small forecast each detour of Python's is felt.
        self._steps = [(layer.forward, multiple) for layer, multiple in zip(layers, multiples, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, outputs)"""
        count = x.shape[0]
        for forward, multiple in self._steps:
            rows = x.shape[0]
            missing = -rows % multiple
            if missing and rows == 1:
                x = x.expand(multiple, *x.shape[1:])
            elif missing:
                x = torch.cat((x, x[:1].expand(missing, *x.shape[1:])))
            x = forward(x)
        return x[:count]
