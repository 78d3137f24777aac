"""An LSTM's arithmetic. Outside of training a window by itself gives the same bits as among many.

Where a layer's input is as wide as its state, oneDNN sums both in one go for a batch, but one after the other for a
single window, and the last bits differ. An input that is wider by a column of zeros is summed by itself in either case.
A single window is quicker for it, too: the weights of the inputs are read once, not at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_MODE = 2  # an LSTM's number among the cells of at::native


def suits(cell: nn.RNNBase) -> bool:
    """Whether a cell is one that this module computes: an LSTM that reads forwards."""
    plain = isinstance(cell, nn.LSTM) and cell.bias and not cell.bidirectional and not cell.proj_size
    return plain and cell.weight_hh_l0.device.type == "cpu" and torch.backends.mkldnn.is_available()


def packs(cell: nn.RNNBase) -> bool:
    """Whether PackedLSTM can be asked for a cell; the operator it needs is none that torch promises to keep."""
    return suits(cell) and hasattr(torch.ops.mkldnn, "_reorder_mkldnn_rnn_layer_weight")


def steps_of(cell: nn.RNNBase, x: Tensor) -> Tensor:
    """The states of the last layer at every step.

    Args:
        cell: see `suits`.
        x: (lookback, batch, features)

    Returns:
        (lookback, batch, width)
    """
    zero = x.new_zeros(1, x.shape[1], cell.hidden_size)
    for number in range(cell.num_layers):
        inputs, *others = _weights(cell, number)
        x, *_ = torch.lstm(
            _widened(x, cell.hidden_size), (zero, zero), [inputs, *others], True, 1, 0.0, False, False, False
        )  # has_biases, num_layers, dropout, train, bidirectional, batch_first
    return x


def steps_in_training(cell: nn.RNNBase, x: Tensor) -> Tensor:
    """The states of the last layer at every step, in training: what the cell itself gives, to the bit.

    Without what `nn.LSTM` checks at every call, which is a twentieth of a small network's step.

    Args:
        cell: see `suits`.
        x: (lookback, batch, features)

    Returns:
        (lookback, batch, width)
    """
    zero = x.new_zeros(cell.num_layers, x.shape[1], cell.hidden_size)
    weights: list[Tensor] = [weight for layer in cell.all_weights for weight in layer]
    steps, *_ = torch.lstm(
        x, (zero, zero), weights, True, cell.num_layers, cell.dropout, cell.training, False, False
    )  # as above
    return steps


def _weights(cell: nn.RNNBase, number: int) -> list[Tensor]:
    """Of a layer: its inputs' (gates, features), its states' (gates, width), and two biases (gates,)."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    inputs, *others = (getattr(cell, f"{name}_l{number}").detach() for name in names)
    return [_widened(inputs, cell.hidden_size), *others]


def _widened(x: Tensor, width: int) -> Tensor:
    """A column of zeros more where there are as many as the state has."""
    return nn.functional.pad(x, (0, 1)) if x.shape[-1] == width else x


class PackedLSTM(nn.Module):
    """One layer of an LSTM with its weights laid out as oneDNN wants them; torch's own does that anew at each call.

    Source: https://uxlfoundation.github.io/oneDNN/dev_guide_rnn.html, whose operators torch.compile uses this way.

    Args:
        cell: trained, see `packs`; its weights are copied.
        number: of its layers.
        lookback: steps a window.
        last: answer with the final state alone.

    Raises:
        RuntimeError: oneDNN has no such layer on this processor.
    """

    def __init__(self, cell: nn.RNNBase, *, number: int, lookback: int, last: bool) -> None:
        super().__init__()
        self.width = cell.hidden_size
        self.last = last
        inputs, states, *biases = _weights(cell, number)
        pack = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        # What suits one row does not suit several.
        self._one, self._several = (
            (
                *pack(inputs, states, self.width, False, True, False, [lookback, rows, inputs.shape[1]]),
                *biases,
            )
            for rows in (1, 2)
        )
        self._call: Callable[..., tuple[Tensor, ...]] = torch.ops.aten.mkldnn_rnn_layer.default

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lookback, features) -> (batch, lookback, width), or (batch, width) with `last`."""
        x = _widened(x.transpose(0, 1).contiguous(), self.width)  # (B, L, F) -> (L, B, F)
        rows = x.shape[1]
        zero = x.new_zeros(rows, self.width)
        # reverse, batch_sizes, mode, hidden_size, num_layers, has_biases, bidirectional, batch_first, train
        told: tuple[Any, ...] = (False, [], _MODE, self.width, 1, True, False, False, False)
        steps: Tensor
        steps, *_ = self._call(
            x, *(self._one if rows == 1 else self._several), zero, zero, *told
        )  # (L, B, W)
        return steps[-1] if self.last else steps.transpose(0, 1)
