"""What serves a model: weights as safetensors, scaler and facts as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forecast.bundle.golden import write_golden
from forecast.bundle.sealing import write_json
from forecast.files import write_whole

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster


def write_model(directory: Path, forecaster: Forecaster, data: MarketData) -> None:
    """Weights, scaler and facts, and the windows that prove them.

    Args:
        directory: of the run.
        forecaster: fitted.
        data: split as it was fitted to.
    """
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in forecaster.network.state_dict().items()}
    write_whole(directory / "model.safetensors", save(weights))
    facts = {
        **data.facts,
        "tickers": data.tickers,
        "scope": data.scope,
        "columns": data.layout.names,
        "normaliser": forecaster.normaliser.to_json(),
    }
    write_json(directory / "scaler.json", facts)
    write_golden(directory, forecaster, data)
