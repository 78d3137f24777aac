"""Layers that torch does not have in the form a list of layers needs: one tensor in, one tensor out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn


class Recurrent(nn.Module):
    """LSTM, GRU or RNN without its hidden state.

    Args:
        kind: the torch class.
        input_size: features a step.
        hidden_size: width of the state.
        num_layers: stacked inside this layer.
        dropout: between the stacked ones.
        bidirectional: also read the window backwards; the output is twice as wide.
        last: answer with the final state alone, (batch, width), instead of every step's.
    """

    def __init__(
        self,
        *,
        kind: Callable[..., nn.RNNBase],
        input_size: Annotated[int, Ge(1)],
        hidden_size: Annotated[int, Ge(1)],
        num_layers: Annotated[int, Ge(1)] = 1,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        bidirectional: bool = False,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.cell = kind(
            input_size,
            hidden_size,
            num_layers,
            # torch warns of a dropout with nothing to act between
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
        )
        self.last = last
        self.run: Callable[[Tensor], Tensor | None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, lookback, width), or (batch, width) with `last`.

        `run` may answer instead, see forecast/model/runtime.py; where it gives None, and without one, torch does.
        """
        if self.run is not None and (answers := self.run(x)) is not None:
            return answers
        # steps first: torch would turn a batch-first window round twice
        steps: Tensor
        steps, state = self.cell(x.transpose(0, 1))  # (B, L, F) -> (L, B, W)
        if not self.last:
            return steps.transpose(0, 1)  # (L, B, W) -> (B, L, W)
        if not self.cell.bidirectional:
            return steps[-1]  # (L, B, W) -> (B, W)
        hidden = state[0] if isinstance(self.cell, nn.LSTM) else state  # (layers * 2, B, H)
        return torch.cat((hidden[-2], hidden[-1]), dim=-1)  # -> (B, 2 * H)

    def train(self, mode: bool = True) -> Recurrent:
        """As torch's; `run` is made of weights that are trained no further."""
        if mode:
            self.run = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """A copy, which may be sent to another process, answers by torch."""
        return {**self.__dict__, "run": None}


class TemporalBlock(nn.Module):
    """Dilated causal convolutions, a residual path around each.

    Step t of the output depends on steps up to t alone. Lighter than the TCN of Bai, Kolter and Koltun (2018,
    https://arxiv.org/abs/1803.01271), whose blocks hold two convolutions with weight normalisation and a ReLU after the
    sum: here a block is one convolution, ReLU and dropout, and the sum is left as it is. The dilations are those of van
    den Oord et al. (2016), https://arxiv.org/abs/1609.03499.

    Args:
        input_size: features a step.
        hidden_size: channels.
        num_layers: convolutions; the dilation doubles from one to the next.
        kernel_size: steps a convolution sees.
        dropout: after each convolution.
        last: answer with the last step alone.
    """

    def __init__(
        self,
        *,
        input_size: Annotated[int, Ge(1)],
        hidden_size: Annotated[int, Ge(1)],
        num_layers: Annotated[int, Ge(1)] = 3,
        kernel_size: Annotated[int, Ge(1)] = 3,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        last: bool = False,
    ) -> None:
        super().__init__()
        widths = [input_size] + [hidden_size] * num_layers
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, hidden_size, kernel_size, dilation=2**depth)
            for depth, width in enumerate(widths[:-1])
        )
        self.match = nn.Conv1d(input_size, hidden_size, 1) if input_size != hidden_size else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.kernel_size = kernel_size
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, lookback, width), or (batch, width) with `last`."""
        x = x.transpose(1, 2)  # (B, L, F) -> (B, F, L)
        for depth, convolution in enumerate(self.convolutions):
            past = (self.kernel_size - 1) * 2**depth
            out = self.dropout(torch.relu(convolution(nn.functional.pad(x, (past, 0)))))
            x = out + (self.match(x) if depth == 0 else x)
        return x[..., -1] if self.last else x.transpose(1, 2)  # (B, W, L) -> (B, W) or (B, L, W)


class LastStep(nn.Module):
    """Keep the last step of a sequence."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, features)."""
        return x[:, -1]
