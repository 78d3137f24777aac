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
    from forecast.model.intervals import Widths


def write_model(
    directory: Path, forecaster: Forecaster, data: MarketData, *, widths: Widths | None = None
) -> None:
    """Weights, scaler and facts, the windows that prove them, and what the network was shown in training.

    Args:
        directory: of the run.
        forecaster: fitted.
        data: split as it was fitted to.
        widths: of intervals around its forecasts; None = no intervals.
    """
    from safetensors.torch import save

    from forecast.bundle.reference import write_reference

    weights = {name: value.contiguous() for name, value in forecaster.network.state_dict().items()}
    write_whole(directory / "model.safetensors", save(weights))
    facts = {
        **data.facts,
        "output_size": data.horizon * len(forecaster.quantile_levels or (0.5,)),
        "horizon": data.horizon,
        "quantile_levels": forecaster.quantile_levels,
        "tickers": data.tickers,
        "scope": data.scope,
        "columns": data.layout.names,
        "normaliser": forecaster.normaliser.to_json(),
    }
    write_json(directory / "scaler.json", facts)
    if widths is not None:
        write_json(directory / "intervals.json", widths.to_json())
    write_golden(directory, forecaster, data)
    write_reference(directory, forecaster, data)
