"""A run directory read back into a predictor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.bundle.sealing import verify
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.model.predictor import Predictor


def load(directory: str | Path) -> Predictor:
    """A predictor from a finished run directory.

    Args:
        directory: as a run printed it.

    Raises:
        UserError: see verify.
    """
    from omegaconf import OmegaConf
    from safetensors.torch import load_file

    from forecast.config import build
    from forecast.data.features import with_calendar
    from forecast.data.normaliser import WindowNormaliser
    from forecast.model.forecaster import Forecaster
    from forecast.model.intervals import Widths
    from forecast.model.predictor import Predictor

    directory = Path(directory)
    verify(directory)
    config = OmegaConf.load(directory / "config.yaml")
    _check_importable(directory, config)
    facts = json.loads((directory / "scaler.json").read_text(encoding="utf-8"))
    sizes = {key: facts[key] for key in ("input_size", "lookback", "output_size")}
    network = build(config.model, **sizes)
    network.load_state_dict(load_file(directory / "model.safetensors"), strict=True)
    levels = facts.get("quantile_levels")
    forecaster = Forecaster(
        network=network,
        normaliser=WindowNormaliser.from_json(facts["normaliser"]),
        quantile_levels=tuple(levels) if levels else None,
    )
    forecaster.eval()
    widths = directory / "intervals.json"
    return Predictor(
        forecaster=forecaster,
        features=with_calendar(build(config.data.features), config.data.get("calendar")),
        scope=facts["scope"],
        tickers=facts["tickers"],
        lookback=facts["lookback"],
        horizon=facts.get("horizon", facts["output_size"]),
        adjust=bool(config.source.get("adjust", False)),
        intervals=Widths.from_json(json.loads(widths.read_text("utf-8"))) if widths.is_file() else None,
    )


def _check_importable(directory: Path, config: Any) -> None:
    """What a run took from outside the package must be importable here too."""
    from forecast.config.targets import locate

    for target in [*_targets(config.model), *_targets(config.data.features)]:
        try:
            locate(target)
        except ImportError as error:
            raise UserError(
                f"{directory}: was made with {target}, which cannot be imported: {error}"
            ) from error


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` at or below a node."""
    from omegaconf import DictConfig, ListConfig

    if isinstance(node, DictConfig) and "_target_" in node:
        yield node._target_
    if isinstance(node, DictConfig | ListConfig):
        for item in node.values() if isinstance(node, DictConfig) else node:
            yield from _targets(item)


def forecasts_of(directory: Path, ticker: str) -> pd.DataFrame:
    """One ticker's rows of the forecast table, without reading the others' into memory."""
    import pandas as pd

    return pd.read_parquet(directory / "forecasts.parquet", filters=[("ticker", "==", ticker)])
