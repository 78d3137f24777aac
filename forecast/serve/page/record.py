"""What the model said on its test days, and what came: one ticker's newest rows of the run's forecast table."""

from __future__ import annotations

import math
from pathlib import Path

from forecast.errors import UserError
from forecast.serve.page.answers import Record

PRICES = ("actual", "forecast", "naive")
BOUNDS = ("lower", "upper")


def record(directory: Path, ticker: str, days: int) -> Record:
    """Read them; the rows of other tickers are passed over, not held in memory.

    Args:
        directory: of the run.
        ticker: one that it forecast.
        days: at most so many, the newest.

    Raises:
        UserError: no test day of such a ticker, or the run's directory is gone.
    """
    import pyarrow.parquet as pq

    path = directory / "forecasts.parquet"
    wanted = [("ticker", "==", ticker), ("split", "==", "test"), ("step", "==", 1)]
    try:
        bounds = [name for name in BOUNDS if name in pq.read_schema(path).names]
        # one thread: the model has the others
        table = pq.read_table(path, columns=["date", *PRICES, *bounds], filters=wanted, use_threads=False)
    except FileNotFoundError as error:
        raise UserError(f"{directory.name}: its run directory is gone") from error
    if not table.num_rows:
        raise UserError(f"{ticker}: the model has no test days of it")
    table = table.sort_by("date").slice(max(0, table.num_rows - days))
    columns = {
        name: [_finite(value) for value in table[name].to_pylist()] if name in table.column_names else []
        for name in (*PRICES, *BOUNDS)
    }
    dates = [str(day)[:10] for day in table["date"].cast("date32").to_pylist()]
    return Record(ticker=ticker, dates=dates, **columns)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
