"""The run's network as any torch project calls it: torch's own LSTM and Linear, not this project's forms of them."""

from typing import cast

from torch import Tensor, nn

from forecast.model.forecaster import Forecaster
from forecast.model.layers import Recurrent


def price(forecaster: Forecaster, windows: Tensor) -> Tensor:
    """(B, L, C) raw rows -> (B, 1) prices."""
    recurrent, head = cast(nn.Sequential, forecaster.network)
    assert isinstance(recurrent, Recurrent)
    steps, _ = recurrent.cell(forecaster.normaliser.inputs(windows).transpose(0, 1))  # (B, L, F) -> (L, B, W)
    answers: Tensor = head(steps[-1])
    return forecaster.normaliser.prices(windows, answers)
