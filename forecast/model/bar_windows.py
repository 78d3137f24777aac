"""From raw bars to the windows a model looks at: the same features as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.bars import COLUMNS, bar_table, is_bar_table
from forecast.data.features import Features, warm_up
from forecast.data.series import Scope, rows, side_by_side
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass
class Windows:
    """Windows of one or many series, and which series cannot have one.

    Args:
        names: (windows,) of the series.
        origins: (windows,) day of the last bar.
        windows: (windows, lookback, columns) raw panel rows.
        refused: series -> why it has no window.
    """

    names: list[str] = field(default_factory=list)
    origins: NDArray[np.datetime64] = field(default_factory=lambda: np.empty(0, "datetime64[ns]"))
    windows: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0, 0), np.float32))
    refused: dict[str, str] = field(default_factory=dict)


class BarWindows:
    """Cuts windows out of bars.

    Args:
        features: the strategy's.
        scope: the strategy's.
        tickers: the run's, in its order.
        lookback: bars a window holds.
        adjust: whether prices are adjusted by `Adj Close` where the bars have it.
    """

    def __init__(
        self, *, features: Features, scope: Scope, tickers: Sequence[str], lookback: int, adjust: bool
    ) -> None:
        self.features = features
        self.scope = scope
        self.tickers = list(tickers)
        self.lookback = lookback
        self.adjust = adjust

    @property
    def enough(self) -> int | None:
        """The latest bars of a ticker that its last window needs; None where it may be any number.

        Tickers side by side stand on their common dates, and features that do not say how far they look back may
        look at everything.
        """
        before = warm_up(self.features)
        return None if before is None or self.scope == "multiple" else self.lookback + before

    def last(self, tables: Mapping[str, pd.DataFrame]) -> Windows:
        """The last window of each series.

        Args:
            tables: ticker -> bars.

        Raises:
            UserError: other tickers than the model's.
        """
        found, refused = self._checked(tables)
        if self.enough is None:
            series = self._one_by_one(found, refused)
        else:
            series = self._together(found, self.enough, refused)
        windows, origins, names = [], [], []
        for name, (dates, values) in series.items():
            last = values[len(values) - self.lookback :]
            reason = self._unusable(name, len(values), dates, last)
            if reason:
                refused[name] = reason
                continue
            windows.append(last)
            origins.append(dates[-1])
            names.append(name)
        if not names:
            return Windows(refused=refused)
        return Windows(names, np.asarray(origins, "datetime64[ns]"), np.stack(windows), refused)

    def every(self, tables: Mapping[str, pd.DataFrame]) -> Windows:
        """All windows without a gap, of each series whose last window has none.

        Args:
            tables: ticker -> bars.

        Raises:
            UserError: other tickers than the model's.
        """
        found, refused = self._checked(tables)
        windows, origins, names = [], [], []
        for name, (dates, values) in self._one_by_one(found, refused).items():
            reason = self._unusable(name, len(values), dates, values[len(values) - self.lookback :])
            if reason:
                refused[name] = reason
                continue
            finite = np.isfinite(values).all(axis=1)  # (bars,)
            whole = np.lib.stride_tricks.sliding_window_view(finite, self.lookback).all(axis=1)
            last = np.arange(self.lookback - 1, len(values))[whole]  # rows of each window's last bar
            windows.append(values[last[:, None] + np.arange(1 - self.lookback, 1)])  # (windows, L, C)
            origins.append(dates[last])
            names += [name] * len(last)
        if not names:
            return Windows(refused=refused)
        return Windows(names, np.concatenate(origins), np.concatenate(windows), refused)

    def _checked(self, tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
        """Bar tables in the model's order, and which tickers' bars are none."""
        if self.scope == "single" and len(tables) != 1:
            raise UserError(f"{list(tables)}: the model forecasts one ticker at a time")
        if self.scope == "multiple":
            if set(tables) != set(self.tickers):
                raise UserError(f"{list(tables)}: the model wants the bars of {self.tickers}")
            tables = {ticker: tables[ticker] for ticker in self.tickers}
        found: dict[str, pd.DataFrame] = {}
        refused: dict[str, str] = {}
        for ticker, table in tables.items():
            try:
                found[ticker] = self._bars(ticker, table)
            except UserError as error:
                refused[ticker] = str(error)
        return found, refused

    def _bars(self, ticker: str, table: pd.DataFrame) -> pd.DataFrame:
        if not is_bar_table(table):
            columns = [column for column in COLUMNS if column in table.columns]
            if "Close" not in columns:
                raise UserError(
                    f"{ticker}: the bars have no Close; their columns are {', '.join(map(str, table.columns))}"
                )
            table = bar_table(table, adjust=self.adjust, origin=ticker, columns=columns)
        if not (table.index.is_monotonic_increasing and table.index.is_unique):
            raise UserError(f"{ticker}: dates must be ascending and distinct, oldest first")
        return table

    def _one_by_one(
        self, tables: Mapping[str, pd.DataFrame], refused: dict[str, str]
    ) -> dict[str, tuple[NDArray[np.datetime64], NDArray[np.float32]]]:
        """Dates and panel rows of each series, from all its bars."""
        features: dict[str, pd.DataFrame] = {}
        for ticker, table in tables.items():
            try:
                features[ticker] = self._features(ticker, table)
            except UserError as error:
                refused[ticker] = str(error)
        if self.scope != "multiple":
            return {ticker: (_days(table), table.to_numpy(np.float32)) for ticker, table in features.items()}
        if refused:
            return {}
        dates, values = side_by_side(features, len(self.features.columns))
        return {self.tickers[0]: (dates.to_numpy(), values)}

    def _together(
        self, tables: Mapping[str, pd.DataFrame], enough: int, refused: dict[str, str]
    ) -> dict[str, tuple[NDArray[np.datetime64], NDArray[np.float32]]]:
        """Dates and panel rows of the last bars, the features of all tickers computed in one pass.

        A feature that looks back over `warm_up` bars comes out the same whatever stands before them, be it another
        ticker's bars, so the tickers' last bars may stand one after the other. A ticker with fewer bars than that
        would look into its neighbour and is computed alone.
        """
        import pandas as pd

        together = {
            ticker: table
            for ticker, table in tables.items()
            if len(table) >= enough and len(table.columns) == len(COLUMNS)
        }
        alone = {ticker: table for ticker, table in tables.items() if ticker not in together}
        series = self._one_by_one(alone, refused)
        if together:
            dates = np.stack([_days(table)[-enough:] for table in together.values()])  # (tickers, bars)
            whole = pd.DataFrame(
                np.concatenate([table.to_numpy()[-enough:] for table in together.values()]),
                index=pd.DatetimeIndex(dates.ravel(), name="Date"),
                columns=pd.Index(COLUMNS),
            )
            try:
                values = self._features(next(iter(together)), whole).to_numpy(np.float32)
            except ValueError:
                # Of one ticker, or because features want ascending dates: alone, each is told what it lacks.
                return self._one_by_one(tables, refused)
            by_ticker = values.reshape(len(together), enough, -1)
            series |= dict(zip(together, zip(dates, by_ticker, strict=True), strict=True))
        return {ticker: series[ticker] for ticker in tables if ticker in series}

    def _features(self, ticker: str, table: pd.DataFrame) -> pd.DataFrame:
        try:
            return rows(self.features, table)
        except KeyError as error:
            missing = [column for column in COLUMNS if column not in table.columns]
            raise UserError(
                f"{ticker}: the bars have no {', '.join(missing)}, which the model needs"
            ) from error

    def _unusable(
        self, name: str, count: int, dates: NDArray[np.datetime64], last: NDArray[np.float32]
    ) -> str | None:
        if count < self.lookback:
            return f"{name}: {count} bars, but the model looks back over {self.lookback}"
        if not np.isfinite(last).all():
            before = warm_up(self.features) or 0
            if count < self.lookback + before:
                return (
                    f"{name}: {count} bars, but the model looks back over {self.lookback}, "
                    f"and its features over {before} before those"
                )
            return f"{name}: the window that ends on {str(dates[-1])[:10]} holds a gap or a NaN"
        return None


def _days(table: pd.DataFrame) -> NDArray[np.datetime64]:
    """(bars,) dates of a bar table; several times as quick as its index's own to_numpy."""
    import pandas as pd

    index = table.index
    assert isinstance(index, pd.DatetimeIndex)
    return index.asi8.view("datetime64[ns]")
