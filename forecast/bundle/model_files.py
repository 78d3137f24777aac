"""The forecaster of a run: arrays as safetensors, facts as JSON, read back into a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.bundle.golden import write_golden
from forecast.bundle.manifest import verify as verify_manifest
from forecast.bundle.reference import write_reference
from forecast.errors import UserError
from forecast.files import read_json, write_json, write_whole

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.features import Features
    from forecast.data.market import MarketData
    from forecast.data.target import Target
    from forecast.data.timing import Bars
    from forecast.model.forecaster import Forecaster
    from forecast.model.inference import Predictor
    from forecast.model.intervals import IntervalState


def write_model(
    directory: Path, forecaster: Forecaster, data: MarketData, *, intervals: IntervalState | None = None
) -> None:
    """Write the forecaster, its golden windows, and the range of its training windows."""
    from safetensors.numpy import save

    arrays, facts = forecaster.state()
    write_whole(directory / "model.safetensors", save(arrays))
    common = {
        **data.facts,
        "output_size": data.horizon * len(forecaster.quantile_levels or (0.5,)),
        "horizon": data.horizon,
        "tickers": data.tickers,
        "scope": data.scope,
        "columns": data.layout.names,
        "per_year": data.bars.per_year,
        **({"covariates": data.covariates.columns} if data.covariates else {}),
    }
    variance = getattr(forecaster, "error_variance", None)
    if variance is not None:
        common["error_variance"] = variance.tolist()
    assert not common.keys() & facts.keys()
    write_json(directory / "scaler.json", common | facts)
    if intervals is not None:
        write_json(directory / "intervals.json", intervals.to_json())
    write_golden(directory, forecaster, data)
    write_reference(directory, forecaster, data)


def load(directory: str | Path, *, verify: bool = True) -> Predictor:
    """A predictor from a finished run directory, for tables of raw bars.

    Args:
        directory: as a run printed it.
        verify: hash its files first; False where that was just done.

    Raises:
        UserError: see `verify` of the manifest; a class of the run cannot be imported here.
    """
    from safetensors.numpy import load_file

    from forecast.config import build
    from forecast.data.record import markets_of
    from forecast.data.target import Close
    from forecast.model.building import restore_forecaster
    from forecast.model.inference import Predictor
    from forecast.model.intervals import IntervalState

    directory = Path(directory)
    if verify:
        verify_manifest(directory)
    config = read_config(directory)
    facts = read_json(directory / "scaler.json")
    facts.setdefault("horizon", facts["output_size"])  # of a run without quantiles, by an earlier version
    file = directory / "intervals.json"
    target: Target = build(config.get("target")) or Close()
    target.per_year = facts.get("per_year", target.per_year)
    record = read_json(directory / "data.json")
    markets = markets_of(record)
    return Predictor(
        forecaster=restore_forecaster(config, load_file(directory / "model.safetensors"), facts),
        features=_features(config, facts, markets),
        target=target,
        scope=facts["scope"],
        tickers=facts["tickers"],
        lookback=facts["lookback"],
        markets=markets,
        join_by_ending=record.get("joined_by", "ending") == "ending",
        within_session=bool(config.data.get("within_session", False)),
        horizon=facts["horizon"],
        adjust=bool(config.source.get("adjust", False)),
        adjust_volume=bool(config.source.get("adjust_volume", False)),
        intervals=IntervalState.from_json(read_json(file)) if file.is_file() else None,
        covariates=facts.get("covariates") or {},
    )


def _features(config: Any, facts: Mapping[str, Any], markets: Mapping[str, Bars]) -> Features:
    """The run's features with what its calendar adds, of bars of its first ticker's market."""
    from forecast.config import build
    from forecast.data.features import for_market, sessions_named, with_calendar

    data = config.data
    features = with_calendar(
        build(data.features),
        data.get("calendar"),
        show=data.get("calendar_features"),
        interval=data.get("resample") or data.get("interval", "1d"),
        ahead=sessions_named(facts.get("columns", ())),
    )
    return for_market(features, markets.get(facts["tickers"][0]))


def read_config(directory: Path) -> Any:
    """The config of a run, with classes that have moved since by their new names.

    Raises:
        UserError: what the run took from outside the package cannot be imported here.
    """
    from omegaconf import OmegaConf

    from forecast.config.building import locate
    from forecast.config.renamed import rename_targets, targets

    config = OmegaConf.load(directory / "config.yaml")
    rename_targets(config)
    for _, target in targets(OmegaConf.to_container(OmegaConf.create([config.model, config.data.features]))):
        try:
            locate(target)
        except ImportError as error:
            raise UserError(
                f"{directory}: was made with {target}, which cannot be imported: {error}"
            ) from error
    return config


def forecasts_of(directory: Path, ticker: str) -> pd.DataFrame:
    """One ticker's rows of the forecast table, without reading the others' into memory."""
    import pandas as pd

    return pd.read_parquet(directory / "forecasts.parquet", filters=[("ticker", "==", ticker)])
