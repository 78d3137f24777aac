"""Raw bars in, forecasts out: the same features, windows and forecaster as in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forecast.data.bars import COLUMNS, bar_table, is_bar_table
from forecast.data.features import Features, warm_up
from forecast.data.layout import Scope, anchors, bars_before_join, layout, rows, side_by_side
from forecast.data.panel import Series, build_panel
from forecast.data.target import Close, Target
from forecast.data.timing import Bars, next_times
from forecast.data.windows import WindowBatch
from forecast.errors import UserError
from forecast.model.forecaster import Forecast, Forecaster, forecast_in_unit
from forecast.model.intervals import IntervalState
from forecast.model.standalone import batch_of, inputs_of, unknown_bars

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.layout import Layout

    # Times and panel rows of a series, (bars,) and (bars, columns).
    Rows = tuple[NDArray[np.datetime64], NDArray[np.float32]]


@dataclass(frozen=True)
class InferenceWindows:
    """Windows of one or many series, and which series cannot have one.

    Args:
        batch: the windows, with the bars behind them; None where there are none.
        refused: series -> why it has no window.
    """

    batch: WindowBatch | None = None
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """(windows,) of the series."""
        return [] if self.batch is None else [self.batch.panel.names[one] for one in self.batch.series]

    @property
    def origins(self) -> NDArray[np.datetime64]:
        """(windows,) time of the last bar."""
        if self.batch is None:
            return np.empty(0, "datetime64[ns]")
        return self.batch.panel.time_of(self.batch.origin)

    @property
    def windows(self) -> NDArray[np.float32]:
        """(windows, lookback, columns) raw panel rows."""
        return np.empty((0, 0, 0), np.float32) if self.batch is None else self.batch.windows


@dataclass(kw_only=True, eq=False)
class Predictor:
    """A fitted forecaster that takes raw bars.

    Args:
        forecaster: fitted.
        features: the strategy's.
        target: what is forecast.
        scope: the strategy's.
        tickers: the run's; `multiple` wants all of them, `single` takes any one, `panel` any number.
        lookback: bars a window holds.
        horizon: bars forecast at once.
        adjust: whether prices are adjusted by `Adj Close` where the bars have it, as the source did in training.
        adjust_volume: likewise whether Volume is counted in today's shares.
        intervals: half-widths as of the run's last bar; None: forecasts without intervals.
        covariates: further columns that the bars must have, and the step each is of, see Covariates.columns; of tickers
            side by side those of the first.
        markets: ticker -> what its bars are; empty of a run by an earlier version.
        join_by_ending: whether tickers side by side are joined by their endings, not by `markets`.
        within_session: whether windows and forecasts stay inside one session.
    """

    forecaster: Forecaster
    features: Features
    target: Target = field(default_factory=Close)
    scope: Scope
    tickers: list[str]
    lookback: int
    horizon: int
    adjust: bool
    adjust_volume: bool = False
    intervals: IntervalState | None = None
    covariates: Mapping[str, int | None] = field(default_factory=dict)
    markets: Mapping[str, Bars] = field(default_factory=dict)
    join_by_ending: bool = True
    within_session: bool = False

    def __post_init__(self) -> None:
        self.layout: Layout = layout(
            self.features,
            target=self.target,
            tickers=self.tickers if self.scope == "multiple" else None,
            covariates=self.covariates,
        )

    def with_markets(self, markets: Mapping[str, Bars]) -> Predictor:
        """The same predictor, of bars whose market was found anew.

        Args:
            markets: ticker -> what its bars are, besides those known already.
        """
        other = copy(self)
        other.markets = {**self.markets, **markets}
        return other

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the intervals, `lower` and `upper` first; empty without intervals."""
        return () if self.intervals is None else self.intervals.levels

    @property
    def enough(self) -> int | None:
        """The latest bars of a ticker that its last window needs; None where it may be any number.

        Tickers side by side stand on their common dates; features and forecasters that do not say how far they look
        back may look at everything.
        """
        before, history = warm_up(self.features), self.forecaster.history
        if before is None or history is None or self.scope == "multiple":
            return None
        return max(self.lookback, history) + max(before, self.target.warm_up)

    def next_times(self, tickers: Sequence[str], origins: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """(windows, horizon) the bars that are forecast, of several bars the last one.

        Args:
            tickers: (windows,) whose market is known.
            origins: (windows,) time of each one's last bar.

        Raises:
            UserError: a calendar does not reach that far.
        """
        lead = self.target.lead
        return next_times([self.markets[ticker] for ticker in tickers], origins, lead + self.horizon)[
            :, lead:
        ]

    def predict(
        self, bars: pd.DataFrame | Mapping[str, pd.DataFrame], *, every: bool = False
    ) -> pd.DataFrame:
        """Forecast the bars that follow.

        Args:
            bars: one ticker's table (Date index, ascending; High, Low, Close, Volume, and Open where a strategy
                wants it, and the columns of `covariates`), a mapping ticker -> table, or one table with
                (ticker, column) columns.
            every: forecast from every bar that has a whole window without a gap behind it, not from the last alone.

        Returns:
            A row a ticker, origin and step: `ticker`, `origin` (the last bar the forecast saw), `step` (1 .. horizon),
            `forecast` and `naive` (of `target=close` the last Close), in the target's unit; with intervals `lower` and
            `upper` of the first of `levels`, `lower_50` and so on of further ones.

        Raises:
            UserError: other tickers than the model's, missing columns, unordered dates, too few bars, a gap.
        """
        windows = self.windows(_by_ticker(bars, self.tickers[0]), every=every)
        for reason in windows.refused.values():
            raise UserError(reason)
        return self.table(windows)

    def predict_many(self, bars: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, str]]:
        """The table of `predict` for each ticker that can be forecast, and the reason for each that cannot.

        Args:
            bars: ticker -> table, as predict takes them.

        Raises:
            UserError: other tickers than the model's.
        """
        windows = self.windows(bars)
        return self.table(windows), windows.refused

    def windows(self, bars: Mapping[str, pd.DataFrame], *, every: bool = False) -> InferenceWindows:
        """The last window of each series that can be forecast, and why the others cannot.

        Args:
            bars: ticker -> table, as predict takes them.
            every: all windows without a gap, of those series whose last window has none.

        Raises:
            UserError: other tickers than the model's.
        """
        checked, refused = self._checked(bars)
        # Bars before those may only warm features up, and have looked at a neighbour, see _together.
        needed = 0 if every or self.enough is None else max(self.lookback, self.forecaster.history or 0)
        series = (
            self._one_by_one(checked, refused)
            if every or self.enough is None or not self._alike(checked)
            else self._together(checked, self.enough, refused)
        )
        good: list[Series] = []
        for name, (times, values) in series.items():
            reason = self._unusable(name, times, values)
            if reason:
                refused[name] = reason
            else:
                begins = self.markets[name].session_begins(times[-needed:]) if self.within_session else None
                good.append(Series(name=name, times=times[-needed:], values=values[-needed:], begins=begins))
        if not good:
            return InferenceWindows(refused=refused)
        panel = build_panel(good, num_columns=len(self.layout.names))
        if every:
            # (windows,) the last bars of windows that lie in one segment
            ends = [np.arange(first + self.lookback - 1, stop) for first, stop in panel.segments]
            counts = [len(own) for own in ends]
            found, owner = np.concatenate(ends), np.repeat(panel.segment_series, counts).astype(np.int64)
        else:
            found, owner = panel.first_rows[1:] - 1, np.arange(len(good))
        windows = panel.values[found[:, None] + np.arange(1 - self.lookback, 1)]  # (windows, L, C)
        bad = self._unanchored(windows)
        refused |= {
            panel.names[one]: (
                f"{panel.names[one]}: a Close of 0 or less, or a negative Volume, in the window"
            )
            for one in owner[bad]
        }
        if bad.all():
            return InferenceWindows(refused=refused)
        batch = WindowBatch(
            windows=windows[~bad],
            future=unknown_bars(int((~bad).sum()), self.horizon, windows.shape[2]),
            series=owner[~bad],
            rows=found[~bad],
            panel=panel,
            layout=self.layout,
        )
        return InferenceWindows(batch, refused)

    def table(self, windows: InferenceWindows) -> pd.DataFrame:
        """What follows windows, a row a window and step, in the columns of predict."""
        import pandas as pd

        columns = {
            "ticker": np.repeat(np.asarray(windows.names, dtype=object), self.horizon),
            "origin": np.repeat(windows.origins, self.horizon),
            "step": np.tile(np.arange(1, self.horizon + 1), len(windows.names)),
        }
        bounds = [] if self.intervals is None else self.intervals.columns
        if windows.batch is None:
            return pd.DataFrame(columns | {name: np.empty(0) for name in ("forecast", "naive", *bounds)})
        forecast = forecast_in_unit(self.forecaster, windows.batch, self.target)
        naive = self.naive(windows.windows)
        columns |= {"forecast": forecast.values.ravel(), "naive": np.repeat(naive, self.horizon)}
        if self.intervals is not None:
            both = self.intervals.bounds(
                windows.names, forecast.values, naive, forecast.quantiles, windows=windows.windows
            )
            columns |= dict(zip(bounds, both.reshape(len(bounds), -1), strict=True))  # (levels, 2, B, h)
        return pd.DataFrame(columns)

    def forecast_windows(self, windows: NDArray[np.float32], names: Sequence[str] | None = None) -> Forecast:
        """Forecast from windows alone; a forecaster that looks further back sees no more than they hold.

        Args:
            windows: (batch, bars, columns) raw panel rows, without a gap; at least the lookback.
            names: (batch,) of their series; None or "" where nobody says.
        """
        if self.scope != "panel":
            names = [self.tickers[0]] * len(windows)
        batch = batch_of(
            windows,
            names=names or [""] * len(windows),
            lookback=self.lookback,
            horizon=self.horizon,
            layout=self.layout,
        )
        return forecast_in_unit(self.forecaster, batch, self.target)

    def inputs(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the forecaster sees of raw windows: (batch, lookback, columns) -> (batch, lookback, features).

        One without a normaliser sees the features as they are.
        """
        normaliser = self.forecaster.normaliser
        if normaliser is None:
            return windows[..., : len(self.layout.relations)]
        return inputs_of(normaliser, windows)

    def naive(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(batch,) the naive forecast, in the target's unit, of raw windows (batch, lookback, columns)."""
        return self.target.naive(windows[..., self.layout.target].astype(np.float64))

    def to(self, device: str) -> None:
        """Have a network compute on another device, as torch names it."""
        if (move := getattr(self.forecaster, "to", None)) is not None:
            move(device)

    def _checked(self, tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
        """Bar tables in the model's order, and which tickers' bars are none."""
        if self.scope == "single" and len(tables) != 1:
            raise UserError(f"{list(tables)}: the model forecasts one ticker at a time")
        if self.scope == "multiple":
            if set(tables) != set(self.tickers):
                raise UserError(f"{list(tables)}: the model wants the bars of {self.tickers}")
            tables = {ticker: tables[ticker] for ticker in self.tickers}
        checked: dict[str, pd.DataFrame] = {}
        refused: dict[str, str] = {}
        for ticker, table in tables.items():
            try:
                checked[ticker] = self._bars(ticker, table)
            except UserError as error:
                refused[ticker] = str(error)
        return checked, refused

    def covariates_of(self, ticker: str) -> list[str]:
        """Columns that a ticker's bars must have beside their own."""
        beside = self.scope != "multiple" or ticker == self.tickers[0]
        return list(self.covariates) if beside else []

    def check_covariates(self, columns: Mapping[str, int | None]) -> None:
        """Refuse covariates that have other columns now than the model was trained with.

        Raises:
            UserError: they have; a file that they are read from was changed.
        """
        if columns != self.covariates:
            raise UserError(
                f"data.covariates: have the columns {', '.join(columns)} now, but the model was trained with "
                f"{', '.join(self.covariates)}; restore the files that they are read from, or train anew"
            )

    def _bars(self, ticker: str, table: pd.DataFrame) -> pd.DataFrame:
        """A checked bar table, its covariates last."""
        beside = self.covariates_of(ticker)
        missing = [name for name in beside if name not in table.columns]
        if missing:
            raise UserError(
                f"{ticker}: the bars have no column {', '.join(missing)}, a covariate that the model looks at; "
                "python -m forecast.predict and GET /forecast fetch it"
            )
        covariates = {name: table[name].to_numpy(np.float64) for name in beside}
        if beside:
            table = table.drop(columns=beside)
        if not is_bar_table(table):
            columns = [column for column in COLUMNS if column in table.columns]
            if "Close" not in columns:
                raise UserError(
                    f"{ticker}: the bars have no Close; their columns are {', '.join(map(str, table.columns))}"
                )
            table = bar_table(
                table, adjust=self.adjust, origin=ticker, columns=columns, adjust_volume=self.adjust_volume
            )
        if not (table.index.is_monotonic_increasing and table.index.is_unique):
            raise UserError(f"{ticker}: dates must be ascending and distinct, oldest first")
        return table.assign(**covariates) if beside else table

    def _one_by_one(self, tables: Mapping[str, pd.DataFrame], refused: dict[str, str]) -> dict[str, Rows]:
        """Times and panel rows of each series, from all its bars."""
        features: dict[str, pd.DataFrame] = {}
        for ticker, table in tables.items():
            try:
                features[ticker] = self._features(ticker, table)
            except UserError as error:
                refused[ticker] = str(error)
        if self.scope != "multiple":
            return {ticker: (_times(table), table.to_numpy(np.float32)) for ticker, table in features.items()}
        if refused:
            return {}
        dates, values = side_by_side(
            features,
            len(self.features.columns),
            covariates=len(self.covariates),
            markets=None if self.join_by_ending else self.markets,
        )
        return {self.tickers[0]: (dates.to_numpy(), values)}

    def _together(
        self, tables: Mapping[str, pd.DataFrame], enough: int, refused: dict[str, str]
    ) -> dict[str, Rows]:
        """Times and panel rows of the last bars, the features of all tickers computed in one pass.

        Features look back over `warm_up` bars and no further, so the tickers' last bars may stand one after the
        other; a ticker with fewer bars than that is computed alone.
        """
        import pandas as pd

        together = {
            ticker: own
            for ticker, own in tables.items()
            if len(own) >= enough and len(own.columns) == len(COLUMNS) + len(self.covariates)
        }
        series = self._one_by_one({t: table for t, table in tables.items() if t not in together}, refused)
        if together:
            times = np.stack([_times(table)[-enough:] for table in together.values()])  # (tickers, bars)
            joined = pd.DataFrame(
                np.concatenate([table.to_numpy()[-enough:] for table in together.values()]),
                index=pd.DatetimeIndex(times.ravel(), name="Date"),
                columns=pd.Index([*COLUMNS, *self.covariates]),
            )
            try:
                values = self._features(next(iter(together)), joined).to_numpy(np.float32)
            except ValueError:
                # Of one ticker, or because features want ascending dates: alone, each says what it lacks.
                return self._one_by_one(tables, refused)
            by_ticker = values.reshape(len(together), enough, -1)
            series |= dict(zip(together, zip(times, by_ticker, strict=True), strict=True))
        return {ticker: series[ticker] for ticker in tables if ticker in series}

    def _alike(self, tickers: Iterable[str]) -> bool:
        """Whether the features of tickers can be computed in one pass: they do not look at different calendars."""
        markets = {self.markets[ticker].key for ticker in tickers if ticker in self.markets}
        return len(markets) <= 1 or not hasattr(self.features, "for_market")

    def _features(self, ticker: str, table: pd.DataFrame) -> pd.DataFrame:
        try:
            beside = self.scope == "multiple" and ticker != self.tickers[0]
            target = None if beside else self.target
            return rows(
                self.features,
                table,
                target,
                covariates=self.covariates_of(ticker),
                market=self.markets.get(ticker),
            )
        except KeyError as error:
            missing = [column for column in COLUMNS if column not in table.columns]
            needs = f"{ticker}: the bars have no {', '.join(missing)}, which the model needs"
            raise UserError(needs) from error

    def _unusable(self, name: str, times: NDArray[np.datetime64], values: NDArray[np.float32]) -> str | None:
        """Why the last window of a series cannot be forecast from."""
        count = len(values)
        if count < self.lookback:
            return f"{name}: {count} bars, but the model looks back over {self.lookback}"
        if not np.isfinite(values[count - self.lookback :]).all():
            before = max(warm_up(self.features) or 0, self.target.warm_up)
            if self.scope == "multiple":
                before += bars_before_join(self.tickers)
            if count < self.lookback + before:
                return (
                    f"{name}: {count} bars, but the model looks back over {self.lookback}, "
                    f"and its features over {before} before those"
                )
            last = self.markets.get(name, Bars()).text(times[-1])
            return f"{name}: the window that ends on {last} holds a gap or a NaN"
        if self.within_session:
            crossing = self.markets[name].crossing(times[-self.lookback :], self.target.lead + self.horizon)
            return crossing and f"{name}: {crossing}"
        return None

    def _unanchored(self, windows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(windows,) those that cannot be expressed relative to their last bar."""
        normaliser = self.forecaster.normaliser
        if normaliser is None or normaliser.anchor == "none":
            return np.zeros(len(windows), np.bool_)
        prices, amounts = anchors(self.layout, self.target)
        return np.asarray(
            (windows[..., prices] <= 0).any(axis=(1, 2)) | (windows[..., amounts] < 0).any(axis=(1, 2))
        )


def _by_ticker(bars: pd.DataFrame | Mapping[str, pd.DataFrame], only: str) -> Mapping[str, pd.DataFrame]:
    if isinstance(bars, Mapping):
        return bars
    if bars.columns.nlevels == 2:
        return {ticker: bars[ticker] for ticker in bars.columns.get_level_values(0).unique()}
    return {only: bars}


def _times(table: pd.DataFrame) -> NDArray[np.datetime64]:
    """(bars,) times of a bar table; several times as quick as its index's own to_numpy."""
    import pandas as pd

    index = table.index
    assert isinstance(index, pd.DatetimeIndex)
    return index.asi8.view("datetime64[ns]")
