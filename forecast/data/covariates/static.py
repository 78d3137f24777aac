"""Static covariates: what is the same at every bar of a ticker, such as its sector, where tickers are pooled."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray

from forecast.data.covariates.ahead import read_table
from forecast.data.covariates.base import BarRows, Kind
from forecast.errors import UserError
from forecast.files import LocalPath


class StaticCovariate:
    """A property of each ticker: numbers as they are, words as one column of 0 and 1 for each word.

    Args:
        values: ticker -> number or word; None = from `path`.
        path: a .csv or .parquet file with a column of tickers, one row each.
        ticker: that column.
        columns: those to show; None = all others.
        unknown: a ticker without a value: `error`, or `zero` (0 in every column).

    Raises:
        UserError: neither or both of values and path.
    """

    kind: ClassVar[Kind] = "static"
    label: ClassVar[str] = "static"

    def __init__(
        self,
        *,
        values: dict[str, float | str] | None = None,
        path: Annotated[str, MinLen(1), LocalPath()] | None = None,
        ticker: str = "ticker",
        columns: Annotated[list[str], MinLen(1)] | None = None,
        unknown: Literal["error", "zero"] = "error",
    ) -> None:
        if (values is None) == (path is None):
            raise UserError("values and path: give one of the two")
        if values is not None and not values:
            raise UserError("values={}: names no ticker")
        self.given = values
        self.path = path
        self.ticker = ticker
        self.names = columns
        self.unknown = unknown

    @property
    def columns(self) -> list[str]:
        """See Covariate.columns."""
        return self._coded[0]

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """See Covariate.values."""
        names, table = self._coded
        found = table.get(rows.ticker)
        if found is None:
            if self.unknown == "error":
                known = ", ".join(list(table)[:8])
                raise UserError(f"has no value for {rows.ticker}; it has {known}; unknown=zero does without")
            found = [0.0] * len(names)
        return np.broadcast_to(np.asarray(found, np.float64), (len(rows.times), len(names)))

    @cached_property
    def _coded(self) -> tuple[list[str], dict[str, list[float]]]:
        """Names of the columns, and the numbers of each ticker."""
        properties = self._properties()
        names: list[str] = []
        table: dict[str, list[float]] = {ticker: [] for ticker in properties}
        for column in next(iter(properties.values())):
            own = {ticker: row[column] for ticker, row in properties.items()}
            if all(isinstance(value, int | float) and not isinstance(value, bool) for value in own.values()):
                names.append(column)
                for ticker, value in own.items():
                    if value != value:
                        raise UserError(f"{ticker}: {column or 'its value'} is missing")
                    table[ticker].append(float(value))
                continue
            for word in sorted({str(value) for value in own.values()}):
                names.append(f"{column}.{word}".lstrip("."))
                for ticker, value in own.items():
                    table[ticker].append(float(str(value) == word))
        return names, table

    def _properties(self) -> dict[str, dict[str, Any]]:
        """Ticker -> column -> number or word."""
        if self.given is not None:
            return {str(ticker): {"": value} for ticker, value in self.given.items()}
        assert self.path is not None  # one of the two is given
        table = read_table(self.path)
        wanted = [self.ticker, *(self.names or [])]
        absent = [name for name in wanted if name not in table.columns]
        if absent:
            raise UserError(
                f"path={self.path}: has no column {', '.join(absent)}; it has {', '.join(map(str, table.columns))}"
            )
        tickers = table[self.ticker].astype(str)
        if tickers.duplicated().any():
            raise UserError(f"path={self.path}: has {tickers[tickers.duplicated()].iloc[0]} twice")
        columns = self.names or [str(name) for name in table.columns if name != self.ticker]
        if not columns or table.empty:
            raise UserError(f"path={self.path}: holds no property of a ticker")
        return {
            ticker: {column: _plain(row[column]) for column in columns}
            for ticker, row in zip(tickers, table.to_dict("records"), strict=True)
        }


def _plain(value: Any) -> Any:
    """A cell as plain Python."""
    return value.item() if hasattr(value, "item") else value
