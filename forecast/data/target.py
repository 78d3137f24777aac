"""What is forecast: the `target` node of a config.

A target stands in three forms. Its *values* are a column of the panel, one number a bar, known at the close of that bar
(a Close; the log of a range). The network *answers* relative to what it last saw (`relation`). What is recorded,
evaluated and served is in the target's *unit* (a price; percent a year). A new target is a subclass and one YAML.

Targets with a `span` are about the next `span` bars: at each bar their values are those of the `span` bars up to it,
and the first forecast is of the value `span` bars after the origin, the first one that knows nothing of the origin's
past.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from forecast.data import indicators as ind
from forecast.data.variance import OVERNIGHT, Estimator, annualised, variance
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.timing import Bars

    Values = NDArray[np.float64]

Relation = Literal["ratio", "difference", "level", "probability"]
Span = Annotated[int, Ge(1), Le(1000)]

# Metrics of whatever moves from a last value: the errors, beside those of naive and of the training mean.
_ERRORS = ("rmse", "mae", "mape", "mase", "theil_u", "theil_u_by_ticker", "r2_oos", "r2_oos_se", "naive_rmse",
           "naive_mae", "naive_mape", "rows")  # fmt: skip
_MOVES = ("direction", "direction_se", "move_ratio", "move_mean", "move_sd")
_LOGS = (*_ERRORS, *_MOVES, "rmse_log", "r2_train")
_REGRESSION = ("ridge", "trees")
_SLOW = ("arima", "ets")  # of baselines=all
# The share of bars without a range, or without Volume, from which there is nothing to forecast; and of bars whose Open
# is the Close before, of which a liquid share has one or two in a hundred.
_TOO_MANY, _COPIED = 0.5, 0.2


class Target:
    """What all targets share; a subclass says at least `name`, `unit`, `column` and `values`.

    `relation` is how an answer a of the network becomes a value, given the last value v of the window:

        ratio          v * (1 + a)
        difference     v + a
        level          a
        probability    1 / (1 + exp(-a)), of values that are 0 or 1; the loss is the cross-entropy

    With `data.anchor: none`, ratio and difference are levels too.
    """

    name: ClassVar[str]
    unit: ClassVar[str]  # of forecasts, in words: "price", "percent a year"
    column: ClassVar[str]  # of the panel; a feature of the same name is the same column
    # Of the panel as well: the values of each bar by itself where those of `column` are of several; see bar_values.
    bar_column: str | None = None
    relation: ClassVar[Relation] = "difference"
    positive: ClassVar[bool] = False  # whether a value of 0 or less cannot be anchored
    is_price: ClassVar[bool] = False  # whether values are the bars' own prices, which need no explanation
    naive_value: ClassVar[float | None] = None  # the value that naive forecasts; None = the last one
    # Whether values are logarithms: a mean of several is then the log of the mean of what they are logarithms of.
    logs: ClassVar[bool] = False
    # How often the log of a variance of returns a value is, up to a constant; None of what is none.
    variance_power: ClassVar[float | None] = None
    trading_rule: ClassVar[bool] = False  # whether the sign of the forecast move can be traded
    has_risk: ClassVar[bool] = False  # whether its moves are returns, whose worst cases are a risk
    naive_name: ClassVar[str] = "tomorrow = today"  # how a verdict calls the forecast that needs no model
    # Losses in which forecasts are compared (evaluate.scores.LOSSES): the best baseline is chosen, and the verdict
    # given, in the first.
    losses: ClassVar[tuple[str, ...]] = ("squared", "absolute")
    # What daily bars do not allow, suspected of a leak (others: `of_bars`): metrics above, losses below such a share.
    suspect_above: Mapping[str, float] = {"r2_oos": 0.02, "direction": 0.57, "ic": 0.10}
    suspect_below: Mapping[str, float] = {}
    # Names of what belongs to it; None = those of a price (evaluate.metrics.METRICS), and all baselines.
    metrics: ClassVar[tuple[str, ...] | None] = None
    baselines: ClassVar[tuple[str, ...] | None] = None
    floor: float | None = None  # no forecast is below it, in the unit
    per_year: float = 252.0  # bars
    span: int = 1  # bars that a value is of
    # Bars between the origin and the first value that is forecast, less one: a mean of the next n bars has n - 1, and
    # `values` then give, at each bar, the mean of the n bars up to it.
    lead: int = 0
    warm_up: int = 0  # bars before the first one that has a value

    @property
    def curved(self) -> bool:
        """Whether the mean in the unit is another one than that of the values, so that `expected` needs a variance."""
        return self.logs or type(self).expected is not Target.expected

    def of_bars(self, bars: Bars) -> Self:
        """The same target, of bars of this rhythm."""
        other = copy(self)
        other.per_year = float(bars.per_year)
        if bars.interval != "1d":
            other.suspect_above = _ceilings(type(self).suspect_above, bars_per_year=bars.per_year)
            other.suspect_below = {}  # measured of days; HAR knows no time of day, which is worth much within one
        return other

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """What is known at the close of each bar; NaN where a bar has no value, which is a gap.

        Args:
            bars: one ticker's, ascending; Open, High, Low, Close, Volume.
        """
        raise NotImplementedError

    def bar_values(self, bars: pd.DataFrame) -> pd.Series:
        """Values of each bar by itself, as if `span` were 1, for forecasters that weigh days, weeks and months."""
        if self.bar_column is None:
            return self.values(bars)
        one = copy(self)
        one.span = 1
        return one.values(bars)

    def naive(self, values: Values) -> Values:
        """The forecast that needs no model, for any step: as the last value was.

        Args:
            values: (windows, bars), the newest last; of as few bars as one.

        Returns:
            (windows,) in the unit.
        """
        last = values[:, -1]
        return self.in_unit(last if self.naive_value is None else np.full_like(last, self.naive_value))

    def in_unit(self, values: Values) -> Values:
        """Values in the target's unit; ascending in them, so that quantiles stay quantiles."""
        found: Values = np.exp(values) if self.logs else values
        return found

    def expected(self, values: Values, variance: Values | float) -> Values:
        """The mean, in the unit, of what a forecast value stands for.

        A unit that is not linear in the values needs a correction: of logs x with variance s2 it is exp(x + s2 / 2).

        Args:
            values: forecast.
            variance: of the errors of such forecasts, (horizon,); 0 where none were measured.
        """
        return self.in_unit(values + variance / 2 if self.logs else values)

    def forecast_in_unit(self, values: Values, variance: Values | float) -> Values:
        """`expected`, nowhere below `floor`: what is recorded and handed out."""
        found = self.expected(values, variance)
        return found if self.floor is None else np.maximum(found, self.floor)

    def findings(self, ticker: str, bars: pd.DataFrame, values: pd.Series) -> list[str]:
        """What a reader must know of a ticker's bars before believing forecasts of this target, in sentences.

        Raises:
            UserError: the target cannot be had from such bars.
        """
        missing = int(values.iloc[self.warm_up :].isna().sum())
        if missing == len(values) - self.warm_up:
            raise UserError(f"{ticker}: no bar has a value of target={self.name}")
        if not missing:
            return []
        return [
            f"{missing:,} of {len(bars):,} bars have no value of target={self.name}; no window spans them"
        ]


class Close(Target):
    """The next Close, as a move from the last one."""

    name = "close"
    unit = "price"
    column = "Close"
    relation = "ratio"
    positive = True
    is_price = True
    trading_rule = True
    has_risk = True
    metrics = (*_ERRORS, *_MOVES)
    baselines = ("drift", "historical_mean", "moving_average", *_REGRESSION, *_SLOW)

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        return bars["Close"]


class Return(Target):
    """Log return over the next bars, as a level.

    Args:
        span: bars; step s of a forecast is the return of the `span` bars that end with it.
    """

    name = "return"
    unit = "log return"
    column = "LogReturn"
    relation = "level"
    naive_value = 0.0
    naive_name = "no move"
    has_risk = True
    metrics = (*_ERRORS, *_MOVES, "r2_train")
    baselines = ("training_mean", *_REGRESSION, *_SLOW)

    def __init__(self, *, span: Span = 1) -> None:
        self.span = self.warm_up = span
        self.lead = span - 1
        self.bar_column = None if span == 1 else "BarReturn"

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        return _log_return(bars, self.span)


class Direction(Target):
    """Probability that the log return over the next bars is positive.

    Args:
        span: bars; step s of a forecast is about the return of the `span` bars that end with it.
    """

    name = "direction"
    unit = "probability"
    column = "Up"
    relation = "probability"
    naive_value = 0.5
    naive_name = "even chances"
    metrics = (*_ERRORS, "direction", "direction_se", "brier", "log_loss", "r2_train")
    baselines = ("training_share", *_REGRESSION)
    losses = ("log_loss", "squared")

    def __init__(self, *, span: Span = 1) -> None:
        self.span = self.warm_up = span
        self.lead = span - 1

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        change = _log_return(bars, self.span)
        return (change > 0).astype(float).where(change.notna())


class Volatility(Target):
    """Volatility over the next bars, in percent a year: the square root of their mean variance, annualised.

    Values are logs of the variance a bar. A forecast is that of the variance, corrected for the bias of a mean of logs,
    before the root is taken.

    Args:
        estimator: of the variance of a bar, see forecast.data.variance.
        span: bars whose mean variance is forecast; step s of a forecast is that of the `span` bars that end with it.
        floor: percent a year, under which no volatility is counted or forecast: the log of 0 would rule everything.
    """

    name = "volatility"
    unit = "percent a year"
    column = "LogVariance"
    logs = True
    variance_power = 1.0
    metrics = (*_LOGS, "qlike")
    baselines = (
        "moving_average",
        "ewma",
        "har",
        "har_leverage",
        "har_pooled",
        "garch",
        "gjr",
        *_REGRESSION,
        *_SLOW,
    )
    losses = ("qlike", "log", "squared")
    suspect_above: Mapping[str, float] = {}
    suspect_below: Mapping[str, float] = {"har": 0.85}  # indices: .90, honestly

    def __init__(
        self,
        *,
        estimator: Estimator = "garman_klass",
        span: Span = 1,
        floor: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        self.estimator = estimator
        self.span = span
        self.floor: float = floor
        self.lead = span - 1
        self.warm_up = span - 1 + (estimator in OVERNIGHT)
        self.bar_column = None if span == 1 else "BarLogVariance"

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        import pandas as pd

        least = (self.floor / 100.0) ** 2 / self.per_year
        found = variance(bars, self.estimator, span=self.span)
        return pd.Series(np.log(np.maximum(found, least)), bars.index)

    def in_unit(self, values: Values) -> Values:
        """See Target.in_unit."""
        return annualised(np.exp(values), per_year=self.per_year)

    def findings(self, ticker: str, bars: pd.DataFrame, values: pd.Series) -> list[str]:
        """See Target.findings."""
        found = Target.findings(self, ticker, bars, values)
        if self.estimator == "squared":
            return found
        high, low = bars["High"].to_numpy(), bars["Low"].to_numpy()
        flat = high == low
        if flat.mean() > _TOO_MANY:
            raise UserError(
                f"target.estimator={self.estimator}: High = Low on {100 * flat.mean():.0f} % of the bars of {ticker}, "
                "as where only closing prices are known; use target.estimator=squared"
            )
        if flat.any():
            found.append(
                f"High = Low on {int(flat.sum()):,} of {len(bars):,} bars: their volatility counts as "
                f"target.floor={self.floor:g} {self.unit}"
            )
        before, opened = bars["Close"].to_numpy()[:-1], bars["Open"].to_numpy()[1:]
        if len(bars) > 1 and self.estimator != "parkinson":
            copied = np.isclose(opened, before, rtol=1e-6, atol=0.0)  # prices as they were, or adjusted
            if copied.mean() > _COPIED:
                found.append(
                    f"Open is the Close before on {100 * copied.mean():.0f} % of the bars: if it was copied, as in "
                    f"old data of indices, target.estimator={self.estimator} errs; parkinson does not look at it"
                )
        return found


class Range(Target):
    """Mean over the next bars of (High - Low) / Close, forecast in logs.

    Args:
        span: bars; step s of a forecast is the mean of the `span` bars that end with it.
        floor: under which no range is counted or forecast: the log of 0 would rule everything.
    """

    name = "range"
    unit = "fraction"
    column = "LogRange"
    logs = True
    variance_power = 0.5
    metrics = _LOGS
    baselines = ("moving_average", "ewma", "har", "har_leverage", "har_pooled", *_REGRESSION, *_SLOW)
    losses = ("log", "squared")
    suspect_above: Mapping[str, float] = {}
    suspect_below: Mapping[str, float] = {"har": 0.94}

    def __init__(self, *, span: Span = 1, floor: Annotated[float, Gt(0), Le(1)] = 1e-4) -> None:
        self.span = span
        self.floor: float = floor
        self.lead = self.warm_up = span - 1
        self.bar_column = None if span == 1 else "BarLogRange"

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        return _log_mean(bars, (bars["High"] - bars["Low"]) / bars["Close"], self.span, least=self.floor)

    def findings(self, ticker: str, bars: pd.DataFrame, values: pd.Series) -> list[str]:
        """See Target.findings."""
        found = Target.findings(self, ticker, bars, values)
        flat = (bars["High"] == bars["Low"]).to_numpy()
        if flat.mean() > _TOO_MANY:
            raise UserError(
                f"target=range: High = Low on {100 * flat.mean():.0f} % of the bars of {ticker}, as where only closing "
                "prices are known; use target=volatility target.estimator=squared"
            )
        if flat.any():
            found.append(
                f"High = Low on {int(flat.sum()):,} of {len(bars):,} bars: their range counts as "
                f"target.floor={self.floor:g}"
            )
        return found


class Volume(Target):
    """Mean Volume of the next bars, forecast in logs; a bar without Volume has no value.

    Args:
        span: bars; step s of a forecast is the mean of the `span` bars that end with it.
    """

    name = "volume"
    unit = "shares"
    column = "LogVolume"
    logs = True
    floor = 0.0
    metrics = _LOGS
    baselines = ("moving_average", "ewma", "seasonal_mean", "har", "har_pooled", *_REGRESSION, *_SLOW)
    losses = ("log", "squared")
    suspect_above: Mapping[str, float] = {}
    suspect_below: Mapping[str, float] = {"har": 0.92}

    def __init__(self, *, span: Span = 1) -> None:
        self.span = span
        self.lead = self.warm_up = span - 1
        self.bar_column = None if span == 1 else "BarLogVolume"

    def values(self, bars: pd.DataFrame) -> pd.Series:
        """See Target.values."""
        return _log_mean(bars, bars["Volume"].where(bars["Volume"] > 0), self.span, least=0.0)

    def findings(self, ticker: str, bars: pd.DataFrame, values: pd.Series) -> list[str]:
        """See Target.findings."""
        none = ~(bars["Volume"] > 0).to_numpy()
        if none.mean() > _TOO_MANY:
            raise UserError(
                f"target=volume: {ticker}: Volume is 0 on {100 * none.mean():.0f} % of the bars, as where none is "
                "known; forecast another target"
            )
        found = Target.findings(self, ticker, bars, values)
        return [f"{line} (Volume is 0)" for line in found]


def _log_return(bars: pd.DataFrame, span: int) -> pd.Series:
    """ln(Close / the Close `span` bars before)."""
    import pandas as pd

    close = ind.column(bars, "Close")
    with ind.undefined_is_nan():
        found = np.log(close / ind.lagged(close, span))
    return pd.Series(np.where(np.isfinite(found), found, np.nan), bars.index)


def _log_mean(bars: pd.DataFrame, values: pd.Series, span: int, *, least: float) -> pd.Series:
    """Log of the mean of the last `span` values, each and so the mean at least `least`."""
    import pandas as pd

    each = np.maximum(np.ascontiguousarray(values.to_numpy(np.float64)), least)  # NaN stays NaN
    with ind.undefined_is_nan():
        found = np.log(each if span == 1 else ind.mean(each, span))
    return pd.Series(np.where(np.isfinite(found), found, np.nan), bars.index)


def _ceilings(daily: Mapping[str, float], *, bars_per_year: float) -> dict[str, float]:
    """What of daily bars is suspected of a leak, for other bars.

    The same information ratio a year takes less skill the more bars there are: IC x sqrt(bars). Weeks are allowed as
    much more than days, months as much as weeks. Bars within a day are allowed what days are, for they bounce between
    bid and ask, which can be forecast though not traded (Roll 1984, https://doi.org/10.1111/j.1540-6261.1984.tb03897.x).

    Args:
        daily: of `r2_oos`, a square; `direction`, above one half; `ic`.
        bars_per_year: of the others.

    Source: Grinold (1989), The fundamental law of active management, Journal of Portfolio Management 15.
    """
    more = max(1.0, 252 / max(bars_per_year, 52)) ** 0.5
    rules = {"r2_oos": lambda most: most * more**2, "direction": lambda most: 0.5 + (most - 0.5) * more}
    return {name: rules.get(name, lambda most: most * more)(most) for name, most in daily.items()}
