"""Raw bars in, forecasts out: the same features, anchor, scaler and network as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.bars import COLUMNS, bar_table
from forecast.data.features import Features
from forecast.data.series import Scope, rows, side_by_side
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.model.forecaster import Forecaster


class Predictor:
    """A trained model that answers for raw bars.

    Args:
        forecaster: fitted.
        features: the strategy's.
        scope: the strategy's.
        tickers: the run's; `multiple` wants all of them, `single` takes any one, `panel` any number.
        lookback: bars a window holds.
        horizon: bars forecast at once.
        adjust: whether prices are adjusted by `Adj Close` where the bars have it, as the source did in training.
    """

    def __init__(
        self,
        *,
        forecaster: Forecaster,
        features: Features,
        scope: Scope,
        tickers: Sequence[str],
        lookback: int,
        horizon: int,
        adjust: bool,
    ) -> None:
        self.forecaster = forecaster
        self.features = features
        self.scope = scope
        self.tickers = list(tickers)
        self.lookback = lookback
        self.horizon = horizon
        self.adjust = adjust

    def predict(
        self, bars: pd.DataFrame | Mapping[str, pd.DataFrame], *, every: bool = False
    ) -> pd.DataFrame:
        """Forecast the bars that follow.

        Args:
            bars: one ticker's table (Date index, ascending; High, Low, Close, Volume, and Open where a strategy
                wants it), a mapping ticker -> table, or one table with (ticker, column) columns.
            every: forecast from every bar that has a whole window without a gap behind it, not from the last alone.

        Returns:
            A row a ticker, origin and step: `ticker`, `origin` (the last bar the forecast saw), `step` (1 .. horizon),
            `forecast` and `naive` (the last Close), prices in the units of `bars`.

        Raises:
            UserError: other tickers than the model's, missing columns, unordered dates, too few bars, a gap.
        """
        import pandas as pd

        windows, origins, names = [], [], []
        for name, dates, values in self._series(_by_ticker(bars, self.tickers[0])):
            if len(values) < self.lookback:
                raise UserError(f"{name}: {len(values)} bars, but the model looks back over {self.lookback}")
            last = np.arange(self.lookback - 1, len(values))  # (bars - L + 1,) rows of each window's last bar
            last = last[_whole(values, self.lookback)] if every else last[-1:]
            if not len(last) or not np.isfinite(values[last[-1] + 1 - self.lookback : last[-1] + 1]).all():
                raise UserError(f"{name}: the window that ends on {dates[-1]:%Y-%m-%d} holds a gap or a NaN")
            windows.append(values[last[:, None] + np.arange(1 - self.lookback, 1)])  # (windows, L, C)
            origins.append(dates[last])
            names += [name] * len(last)
        batch = np.concatenate(windows)
        self._refuse_unanchored(batch, names)
        forecast = self.forecaster.predict(batch)  # (B, h)
        naive = batch[:, -1, self.forecaster.normaliser.target].astype(np.float64)
        return pd.DataFrame(
            {
                "ticker": np.repeat(np.asarray(names, dtype=object), self.horizon),
                "origin": np.repeat(_join(origins).to_numpy(), self.horizon),
                "step": np.tile(np.arange(1, self.horizon + 1), len(batch)),
                "forecast": forecast.ravel(),
                "naive": np.repeat(naive, self.horizon),
            }
        )

    def _series(self, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, pd.Index, np.ndarray]]:
        """The panel rows of each series, as in training."""
        if self.scope == "single" and len(tables) != 1:
            raise UserError(f"{list(tables)}: the model forecasts one ticker at a time")
        if self.scope == "multiple":
            if set(tables) != set(self.tickers):
                raise UserError(f"{list(tables)}: the model wants the bars of {self.tickers}")
            tables = {ticker: tables[ticker] for ticker in self.tickers}
        features = {ticker: self._features(ticker, table) for ticker, table in tables.items()}
        if self.scope == "multiple":
            dates, values = side_by_side(features, len(self.features.columns))
            return [(self.tickers[0], dates, values)]
        return [(ticker, table.index, table.to_numpy(np.float32)) for ticker, table in features.items()]

    def _refuse_unanchored(self, batch: np.ndarray, names: list[str]) -> None:
        normaliser = self.forecaster.normaliser
        if normaliser.anchor == "none":
            return
        closes = sorted({normaliser.target, *normaliser.closes})
        amounts = [number for number, name in enumerate(normaliser.relations) if name == "amount"]
        bad = (batch[..., closes] <= 0).any(axis=(1, 2)) | (batch[..., amounts] < 0).any(axis=(1, 2))
        if bad.any():
            raise UserError(
                f"{names[int(bad.argmax())]}: a Close of 0 or less, or a negative Volume, in the window"
            )

    def _features(self, ticker: str, table: pd.DataFrame) -> pd.DataFrame:
        columns = [column for column in COLUMNS if column in table.columns]
        if "Close" not in columns:
            raise UserError(
                f"{ticker}: the bars have no Close; their columns are {', '.join(map(str, table.columns))}"
            )
        table = bar_table(table, adjust=self.adjust, origin=ticker, columns=columns)
        if not (table.index.is_monotonic_increasing and table.index.is_unique):
            raise UserError(f"{ticker}: dates must be ascending and distinct, oldest first")
        try:
            return rows(self.features, table)
        except KeyError as error:
            missing = [column for column in COLUMNS if column not in columns]
            raise UserError(
                f"{ticker}: the bars have no {', '.join(missing)}, which the model needs"
            ) from error


def _by_ticker(bars: pd.DataFrame | Mapping[str, pd.DataFrame], only: str) -> Mapping[str, pd.DataFrame]:
    if isinstance(bars, Mapping):
        return bars
    if bars.columns.nlevels == 2:
        return {ticker: bars[ticker] for ticker in bars.columns.get_level_values(0).unique()}
    return {only: bars}


def _whole(values: np.ndarray, lookback: int) -> np.ndarray:
    """Which windows hold no gap: a feature may need some bars before it can be computed."""
    finite = np.isfinite(values).all(axis=1)  # (bars,)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(finite, lookback).all(axis=1))


def _join(origins: list[pd.Index]) -> pd.Index:
    return origins[0].append(origins[1:])
