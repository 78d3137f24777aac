"""Raw bars in, forecasts out: the same features, anchor, scaler and network as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.features import Features
from forecast.data.series import Scope
from forecast.errors import UserError
from forecast.model.bar_windows import BarWindows, Windows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.model.forecaster import Forecaster
    from forecast.model.intervals import Widths


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
        intervals: widths as of the run's last day; None: forecasts without intervals.
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
        intervals: Widths | None = None,
    ) -> None:
        self.forecaster = forecaster
        self.features = features
        self.scope = scope
        self.tickers = list(tickers)
        self.lookback = lookback
        self.horizon = horizon
        self.adjust = adjust
        self.intervals = intervals

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the intervals, `lower` and `upper` first; empty without intervals."""
        return () if self.intervals is None else self.intervals.levels

    @property
    def enough(self) -> int | None:
        """The latest bars of a ticker that suffice for its last window; None: give all there are."""
        return self._windows.enough

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
            `forecast` and `naive` (the last Close), prices in the units of `bars`; with intervals `lower` and `upper`
            of the first of `levels`, `lower_50` and so on of further ones.

        Raises:
            UserError: other tickers than the model's, missing columns, unordered dates, too few bars, a gap.
        """
        tables = _by_ticker(bars, self.tickers[0])
        found = self._sound(self._windows.every(tables)) if every else self.windows(tables)
        for reason in found.refused.values():
            raise UserError(reason)
        return self.table(found)

    def predict_many(self, bars: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, str]]:
        """Forecast what follows the last bar of each ticker that can be forecast.

        Args:
            bars: ticker -> table, as predict takes them.

        Returns:
            the table of predict, and the reason for each ticker that is not in it.

        Raises:
            UserError: other tickers than the model's.
        """
        found = self.windows(bars)
        return self.table(found), found.refused

    def windows(self, bars: Mapping[str, pd.DataFrame]) -> Windows:
        """The last window of each series that can be forecast, and why the others cannot.

        Args:
            bars: ticker -> table, as predict takes them.

        Raises:
            UserError: other tickers than the model's.
        """
        return self._sound(self._windows.last(bars))

    def table(self, found: Windows) -> pd.DataFrame:
        """What follows windows that `windows` found, a row a window and step, in the columns of predict."""
        import pandas as pd

        columns = {
            "ticker": np.repeat(np.asarray(found.names, dtype=object), self.horizon),
            "origin": np.repeat(found.origins, self.horizon),
            "step": np.tile(np.arange(1, self.horizon + 1), len(found.names)),
        }
        return pd.DataFrame(columns | self._prices(found.names, found.windows))

    @property
    def _windows(self) -> BarWindows:
        return BarWindows(
            features=self.features,
            scope=self.scope,
            tickers=self.tickers,
            lookback=self.lookback,
            adjust=self.adjust,
        )

    def _sound(self, found: Windows) -> Windows:
        """Without the windows that cannot be told relative to their last bar."""
        if not found.names:
            return found
        bad = self._unanchored(found.windows)
        if not bad.any():
            return found
        names = np.asarray(found.names, dtype=object)
        reasons = {
            name: f"{name}: a Close of 0 or less, or a negative Volume, in the window" for name in names[bad]
        }
        return Windows(
            list(names[~bad]), found.origins[~bad], found.windows[~bad], {**found.refused, **reasons}
        )

    def _prices(self, names: list[str], windows: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Columns of prices, (windows * horizon,)."""
        if not names:
            empty = ["forecast", "naive", *([] if self.intervals is None else self.intervals.columns)]
            return {name: np.empty(0) for name in empty}
        forecast = self.forecaster.predict(windows)  # (B, h)
        naive = windows[:, -1, self.forecaster.normaliser.target].astype(np.float64)  # (B,)
        columns = {"forecast": forecast.ravel(), "naive": np.repeat(naive, self.horizon)}
        if self.intervals is None:
            return columns
        quantiles = None if self.intervals.quantile_levels is None else self.forecaster.quantiles(windows)
        bounds = self.intervals.bounds(names, forecast, naive, quantiles)  # (levels, 2, B, h)
        return columns | dict(
            zip(self.intervals.columns, bounds.reshape(-1, len(names) * self.horizon), strict=True)
        )

    def _unanchored(self, windows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(windows,) those that cannot be told relative to their last bar."""
        normaliser = self.forecaster.normaliser
        if normaliser.anchor == "none":
            return np.zeros(len(windows), np.bool_)
        closes = sorted({normaliser.target, *normaliser.closes})
        amounts = [number for number, name in enumerate(normaliser.relations) if name == "amount"]
        return np.asarray(
            (windows[..., closes] <= 0).any(axis=(1, 2)) | (windows[..., amounts] < 0).any(axis=(1, 2))
        )


def _by_ticker(bars: pd.DataFrame | Mapping[str, pd.DataFrame], only: str) -> Mapping[str, pd.DataFrame]:
    if isinstance(bars, Mapping):
        return bars
    if bars.columns.nlevels == 2:
        return {ticker: bars[ticker] for ticker in bars.columns.get_level_values(0).unique()}
    return {only: bars}
