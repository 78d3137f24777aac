"""Forecasts written to a parquet file, a piece at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]


class ForecastWriter:
    """A parquet file of values by ticker, date, split and step, written in pieces.

    Args:
        path: replaced as a whole, or not at all.
        names: tickers.
        times: (calendar,) datetime64 of each position.
        columns: of values, besides the keys.
        folded: whether a last column says which fold a row belongs to.
    """

    def __init__(
        self, path: Path, *, names: Sequence[str], times: Any, columns: Sequence[str], folded: bool
    ) -> None:
        self.path = path
        self.names = list(names)
        self.times = times
        self.columns = list(columns)
        self.folded = folded

    def __enter__(self) -> ForecastWriter:
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

    def write(self, table: ForecastTable, values: Mapping[str, Column], *, fold: int) -> None:
        """Append rows.

        Args:
            table: whose keys are written.
            values: column -> (rows,); a column that is missing here, and NaN, is null.
            fold: of all of them.
        """
        import pyarrow as pa

        tickers = pa.DictionaryArray.from_arrays(
            pa.array(table.series.astype(np.int32)), pa.array(self.names)
        )
        count = len(table)
        arrays = [
            tickers.cast(pa.string()),
            pa.array(self.times[table.time]),
            pa.repeat(pa.scalar(table.split), count),
            pa.array(table.step.astype(np.int32)),
            *(
                pa.array(values[name], from_pandas=True) if name in values else pa.nulls(count, pa.float64())
                for name in self.columns
            ),
        ]
        if self.folded:
            arrays.append(pa.array(np.full(count, fold, dtype=np.int32)))
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
