"""Forecast every window of a run and write the table in pieces, so that it never stands in memory whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluate.rows import Rows
from forecast.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch
    from forecast.model.forecaster import Forecaster

# Windows forecast and written at once: a row group of the file.
_PIECE = 65_536


@dataclass(frozen=True)
class Piece:
    """Some windows of a split, and what was forecast from them."""

    batch: WindowBatch
    rows: Rows
    quantiles: NDArray[np.float64] | None  # (rows, levels) prices, of a network that answers with quantiles


def pieces(forecaster: Forecaster, data: MarketData, split: str) -> Iterator[Piece]:
    """Forecasts of every window of a split, in order."""
    windows = data.windows_[split]
    for start in range(0, len(windows), _PIECE):
        batch = windows.take(np.arange(start, min(start + _PIECE, len(windows))))
        forecast = forecaster.forecast(batch)
        count, horizon = forecast.values.shape
        ahead = batch.rows[:, None] + np.arange(1, horizon + 1)  # (B, h) panel rows of the days forecast
        last_close = batch.windows[:, -1, data.layout.target].astype(np.float64)
        rows = Rows(
            series=np.repeat(batch.series, horizon),
            days=data.panel_.days[ahead].ravel(),
            step=np.tile(np.arange(1, horizon + 1, dtype=np.int32), count),
            origin=np.repeat(data.panel_.days[batch.rows], horizon),
            actual=batch.future[..., data.layout.target].astype(np.float64).ravel(),
            forecast=forecast.values.ravel(),
            naive=np.repeat(last_close, horizon),
        )
        quantiles = forecast.quantiles  # (B, h, Q)
        yield Piece(batch, rows, None if quantiles is None else quantiles.reshape(len(rows), -1))


class PriceTable:
    """A parquet file of prices by ticker, date, split and step, written in pieces.

    Args:
        path: replaced as a whole, or not at all.
        names: tickers, in the order of Rows.series.
        columns: of prices, besides the keys.
        folded: whether a last column says which fold a row belongs to.
    """

    def __init__(self, path: Path, *, names: Sequence[str], columns: Sequence[str], folded: bool) -> None:
        self.path = path
        self.names = list(names)
        self.columns = list(columns)
        self.folded = folded

    def __enter__(self) -> PriceTable:
        import pyarrow.parquet as pq

        with ExitStack() as stack:
            scratch = stack.enter_context(replacing(self.path))
            self._writer = stack.enter_context(pq.ParquetWriter(scratch, self._schema()))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def write(self, rows: Rows, split: str, prices: Mapping[str, NDArray[np.float64]], *, fold: int) -> None:
        """Append rows.

        Args:
            rows: whose keys are written.
            split: of all of them.
            prices: column -> (rows,); a column that is missing here is null.
            fold: of all of them.
        """
        import pyarrow as pa

        tickers = pa.DictionaryArray.from_arrays(pa.array(rows.series.astype(np.int32)), pa.array(self.names))
        arrays = [
            tickers.cast(pa.string()),
            pa.array(rows.days.astype("datetime64[D]").astype("datetime64[ns]")),
            pa.array(np.full(len(rows), split, dtype=object), pa.string()),
            pa.array(rows.step),
            *(
                # an undefined bound is null
                pa.array(prices[name], from_pandas=True)
                if name in prices
                else pa.nulls(len(rows), pa.float64())
                for name in self.columns
            ),
        ]
        if self.folded:
            arrays.append(pa.array(np.full(len(rows), fold, dtype=np.int32)))
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema()))

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                ("ticker", pa.string()),
                ("date", pa.timestamp("ns")),
                ("split", pa.string()),
                ("step", pa.int32()),
                *((name, pa.float64()) for name in self.columns),
                *([("fold", pa.int32())] if self.folded else []),
            ]
        )
