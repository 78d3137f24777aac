"""Forecast every window of a run and write the table in pieces, so that it never stands in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.split import SPLITS
from forecast.evaluate.metrics import Tally
from forecast.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.model.forecaster import Forecaster

# Windows forecast and written at once: a row group of the file.
_PIECE = 65_536


@dataclass(frozen=True)
class Rows:
    """Some rows of the forecast table: a window's steps side by side, windows oldest first within a series."""

    series: NDArray[np.int64]  # (rows,) index into panel.names
    days: NDArray[np.int32]  # (rows,) the day that is forecast, since 1970-01-01
    step: NDArray[np.int32]  # (rows,) 1 .. horizon
    actual: NDArray[np.float64]  # (rows,) prices in the source's units
    forecast: NDArray[np.float64]
    naive: NDArray[np.float64]  # the last Close of the window: "tomorrow = today"


def forecast_rows(forecaster: Forecaster, data: MarketData, split: str) -> Iterator[Rows]:
    """Every window of a split, in order."""
    windows = data.windows_[split]
    for start in range(0, len(windows), _PIECE):
        batch = windows.take(np.arange(start, min(start + _PIECE, len(windows))))
        forecast = forecaster.predict(batch.windows)  # (B, h)
        count, horizon = forecast.shape
        ahead = batch.rows[:, None] + np.arange(1, horizon + 1)  # (B, h) panel rows of the days forecast
        last_close = batch.windows[:, -1, data.layout.target].astype(np.float64)
        yield Rows(
            series=np.repeat(batch.series, horizon),
            days=data.panel_.days[ahead].ravel(),
            step=np.tile(np.arange(1, horizon + 1, dtype=np.int32), count),
            actual=batch.future[..., data.layout.target].astype(np.float64).ravel(),
            forecast=forecast.ravel(),
            naive=np.repeat(last_close, horizon),
        )


def write_forecasts(path: Path, forecaster: Forecaster, data: MarketData) -> dict[str, float | None]:
    """Write `forecasts.parquet` and give the metrics of validation and test.

    Args:
        path: replaced as a whole, or not at all.
        forecaster: fitted.
        data: prepared.
    """
    import pyarrow.parquet as pq

    metrics: dict[str, float | None] = {}
    with replacing(path) as scratch, pq.ParquetWriter(scratch, _schema()) as writer:
        for split in SPLITS:
            tally = Tally(horizon=data.horizon)
            for rows in forecast_rows(forecaster, data, split):
                writer.write_batch(_record_batch(rows, split, data.panel_.names))
                if split != "train":
                    tally.add(rows.actual, rows.forecast, rows.naive, data.naive_scale_[rows.series])
            if split != "train":
                metrics |= tally.result(split)
    return metrics


def _schema() -> pa.Schema:
    import pyarrow as pa

    floats = [(name, pa.float64()) for name in ("actual", "forecast", "naive")]
    return pa.schema(
        [
            ("ticker", pa.string()),
            ("date", pa.timestamp("ns")),
            ("split", pa.string()),
            ("step", pa.int32()),
            *floats,
        ]
    )


def _record_batch(rows: Rows, split: str, names: list[str]) -> pa.RecordBatch:
    import pyarrow as pa

    tickers = pa.DictionaryArray.from_arrays(pa.array(rows.series.astype(np.int32)), pa.array(names))
    columns = [
        tickers.cast(pa.string()),
        pa.array(rows.days.astype("datetime64[D]").astype("datetime64[ns]")),
        pa.array(np.full(len(rows.days), split, dtype=object), pa.string()),
        pa.array(rows.step),
        pa.array(rows.actual),
        pa.array(rows.forecast),
        pa.array(rows.naive),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_schema())
