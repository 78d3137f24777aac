"""The quickest form of a network that still answers exactly as in training."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from forecast.bundle.golden import kept
from forecast.model.ensemble import Ensemble
from forecast.model.few_rows import FewRows
from forecast.model.layers import Recurrent
from forecast.model.lstm import PackedLSTM, packs
from forecast.model.network import LayeredNetwork
from forecast.serve.engines.protocol import MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.model.forecaster import Forecaster

_TRIED = (1, 2, 4, 8, 16)
_WINDOWS = 128  # as many as a large batch has at least
_ROWS = 48  # that each size of batch is tried on, if it holds no more itself
_SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 55, MOST, _WINDOWS)  # of batches


def quicken(directory: Path, forecaster: Forecaster) -> None:
    """Have a forecaster answer few windows as soon as it can.

    From how many rows on a layer agrees with a large batch to the last bit depends on the processor and on the layer,
    so it is measured, on the windows that the run kept. The quickest form that gives the forecasts the run recorded,
    bit for bit and whatever the batch, takes the network's place; where none does, the forecaster stays as it was.

    Args:
        directory: of the run, with its kept windows.
        forecaster: of the run, on the processor.
    """
    windows, recorded = (np.resize(told, (_WINDOWS, *told.shape[1:])) for told in kept(directory))  # repeated
    usual = (forecaster.network, forecaster.block)
    for packing in (True, False):
        try:
            form = _form(forecaster, windows, packing=packing)
        except RuntimeError:
            if not packing:
                raise
            continue  # oneDNN cannot lay out these weights here; the form without is next
        forecaster.network, forecaster.block = form.eval(), 1  # each layer sees to its own rows
        if _exact(forecaster, windows, recorded):
            return
        forecaster.network, forecaster.block = usual


def _exact(forecaster: Forecaster, windows: NDArray[np.float32], recorded: NDArray[np.float64]) -> bool:
    """Whether batches of every kind give the recorded forecasts, bit for bit."""
    return all(
        (forecaster.predict(windows[at : at + size]) == recorded[at : at + size]).all()
        for size in _SIZES
        for at in range(0, len(windows), size)
    )


@torch.inference_mode()
def _form(forecaster: Forecaster, windows: NDArray[np.float32], *, packing: bool) -> nn.Module:
    """The network as layers that each get as few rows as they can do with; with `packing` LSTMs have it done."""
    x = forecaster.normaliser.inputs(torch.from_numpy(windows))  # (B, L, C) -> (B, L, F)
    network = forecaster.network
    if not isinstance(network, Ensemble):
        return _few_rows(network, x, packing=packing)
    ensemble = deepcopy(network)
    ensemble.members = nn.ModuleList(_few_rows(member, x, packing=packing) for member in network.members)
    return ensemble


def _few_rows(network: nn.Module, x: Tensor, *, packing: bool) -> nn.Module:
    """A stack of layers one by one, any other network as a whole.

    Args:
        network: as trained.
        x: (batch, lookback, features) what it sees, a large batch.
        packing: whether the weights of LSTMs are laid out once.
    """
    layers: list[nn.Module] = []
    for layer in network if isinstance(network, LayeredNetwork) else [network]:
        if packing and isinstance(layer, Recurrent) and packs(layer.cell):
            final = layer.cell.num_layers - 1
            layers += [
                PackedLSTM(layer.cell, number=n, lookback=x.shape[1], last=layer.last and n == final)
                for n in range(final + 1)
            ]
        else:
            layers.append(layer)
    multiples = []
    for layer in layers:
        answers = layer(x)
        multiples.append(_multiple(layer, x, answers))
        x = answers
    return FewRows(layers, multiples=multiples)


def _multiple(layer: nn.Module, x: Tensor, answers: Tensor) -> int:
    """The smallest multiple of rows from which on a layer answers as in a large batch."""
    for multiple in _TRIED:
        if all(
            torch.equal(layer(x[at : at + size]), answers[at : at + size])
            for size in range(multiple, MOST + 1, multiple)
            for at in range(0, max(size, _ROWS) - size + 1, size)
        ):
            return multiple
    return 2 * _TRIED[-1]
