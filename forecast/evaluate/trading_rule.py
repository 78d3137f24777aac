"""What following the sign of the forecast would have come to: a sketch, not a backtest of tradable profit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from forecast.evaluate.returns import Returns, sums_by_origin, usable
from forecast.evaluate.summary import Summary, figure, prefixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.timing import Bars
    from forecast.evaluate.returns import Selected
    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]

LABEL = (
    "a sketch, not a profit to be had: trades at the close that the forecast was made from, at any size, and "
    "borrows shares for nothing"
)


class TradingRule:
    """A position of +1, 0 or -1 in each ticker by the sign of its forecast one step ahead, all of equal weight.

    Args:
        cost_bps: of each trade, in basis points (1/10,000) of what is traded, >= 0; from long to short trades twice.
        sessions_per_year: bars in a year, by which returns are annualised; None = as the bars' calendar has them.
    """

    def __init__(
        self,
        *,
        cost_bps: Annotated[float, Ge(0)] = 5.0,
        sessions_per_year: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.cost_bps = cost_bps
        self.sessions_per_year = sessions_per_year

    def of_bars(self, bars: Bars) -> TradingRule:
        """The same rule with the number of bars in a year, where that was not given."""
        return TradingRule(cost_bps=self.cost_bps, sessions_per_year=self.sessions_per_year or bars.per_year)

    @property
    def per_year(self) -> int:
        """Bars in a year."""
        return self.sessions_per_year or 252

    def summary(self, table: ForecastTable) -> Summary:
        """Follow the forecasts of a split, and hold the same tickers beside it.

        On each date the return is the mean over the tickers that have a forecast; keeping their weights equal is
        free. Interest and the last sale are left out. Both the strategy and the holder pay for going in.

        Args:
            table: of a split.

        Source: standard error of the Sharpe ratio, Lo (2002), Financial Analysts Journal 58.
        """
        gross, turnover, market, entered = _by_origin(usable(table)[0])
        cost = self.cost_bps / 10_000
        strategy = self._figures(gross - cost * turnover)
        traded, undefined = _trading(gross, turnover)
        strategy |= traded | {"why": (strategy["why"] or {}) | undefined or None}
        held = self._figures(market - cost * entered)
        record = {
            "split": table.split,
            "label": LABEL,
            "cost_bps": self.cost_bps,
            "sessions_per_year": self.per_year,
            "sessions": len(gross),
            "strategy": strategy,
            "buy_and_hold": held,
            "lines": self._lines(strategy, held),
        }
        figures = {
            "sharpe": strategy["sharpe"],
            "sharpe_se": strategy["sharpe_se"],
            "annual_return": strategy["annual_return"],
            "max_drawdown": strategy["max_drawdown"],
            "turnover": strategy["turnover"],
            "hold_sharpe": held["sharpe"],
            "hold_annual_return": held["annual_return"],
            "hold_max_drawdown": held["max_drawdown"],
        }
        return Summary(record=record, metrics=prefixed(table.split, figures))

    def _figures(self, returns: Column) -> dict[str, Any]:
        """Of returns a session, (sessions,): compounded, annualised; None with a reason where undefined."""
        names = ("total_return", "annual_return", "annual_volatility", "sharpe", "sharpe_se", "max_drawdown")
        count, year = len(returns), self.per_year
        if count < 2:
            few = "fewer than two sessions"
            return dict.fromkeys(names) | {"why": dict.fromkeys(names, few)}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # Nobody loses more than there is: a loss of more than 100 % ends at nothing.
            wealth = np.concatenate(([1.0], np.cumprod(np.maximum(1 + returns, 0.0))))
            deviation = returns.std(ddof=1)
            # Returns that differ by rounding alone have no Sharpe ratio.
            steady = deviation <= 1e-10 * np.abs(returns).max()
            ratio = np.nan if steady else returns.mean() / deviation
            values = (
                wealth[-1] - 1,
                wealth[-1] ** (year / count) - 1,
                deviation * np.sqrt(year),
                ratio * np.sqrt(year),
                np.sqrt((1 + ratio**2 / 2) / count * year),
                (1 - wealth / np.maximum.accumulate(wealth)).max(),
            )
        figures: dict[str, Any] = {
            name: figure(float(value)) for name, value in zip(names, values, strict=True)
        }
        reason = "returns never vary" if steady else "returns too large"
        why = {name: reason for name in names if figures[name] is None}
        return figures | {"why": why or None}

    def _lines(self, strategy: dict[str, Any], held: dict[str, Any]) -> list[str]:
        for side in (strategy, held):
            if side["max_drawdown"] is None:
                return [f"sign strategy: undefined, {side['why']['max_drawdown']}"]
        sharpe = _sharpe(strategy)
        if strategy["sharpe_se"] is not None:
            sharpe += f" +/- {strategy['sharpe_se']:.2f}"
        return [
            f"sign strategy at {self.cost_bps:g} basis points a trade: {sharpe}, "
            f"turnover {strategy['turnover']:.2f} a session, drawdown {100 * strategy['max_drawdown']:.0f} %; "
            f"buy and hold: {_sharpe(held)}, drawdown {100 * held['max_drawdown']:.0f} %",
            f"({LABEL})",
        ]


def _by_origin(table: ForecastTable) -> tuple[Column, Column, Column, Column]:
    """Means over tickers at each origin: returns before costs, what is traded, market returns, what is entered."""
    if table.horizon > 1:
        table = table.first_steps()
    columns = {"gross": _gross, "turnover": _turnover, "market": _market, "entered": _entered}
    sums = sums_by_origin(table, columns)
    gross, turnover, market, entered = (sums.means(name, None) for name in columns)
    return gross, turnover, market, entered


def _gross(returns: Returns) -> Selected:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.sign(returns.forecast) * returns.actual, None


def _turnover(returns: Returns) -> Selected:
    position = np.sign(returns.forecast)
    before = np.where(_first(returns), 0.0, np.roll(position, 1))
    return np.abs(position - before), None


def _market(returns: Returns) -> Selected:
    return returns.actual, None


def _entered(returns: Returns) -> Selected:
    return _first(returns).astype(np.float64), None


def _first(returns: Returns) -> NDArray[np.bool_]:
    """(rows,) whether a ticker begins."""
    first = np.ones(len(returns), dtype=bool)
    first[1:] = np.diff(returns.table.series) != 0
    return first


def _trading(gross: Column, turnover: Column) -> tuple[dict[str, float | None], dict[str, str]]:
    """How much is traded a session, the cost at which nothing would be left, and why one of them is undefined."""
    names = ("turnover", "break_even_bps")
    if not len(turnover):
        return dict.fromkeys(names), dict.fromkeys(names, "no rows")
    traded = float(turnover.mean())
    with np.errstate(invalid="ignore", over="ignore"):
        break_even = figure(10_000 * gross.mean() / traded) if traded else None
    reason = "returns too large" if traded else "no trade was made"
    return {"turnover": traded, "break_even_bps": break_even}, (
        {} if break_even is not None else {"break_even_bps": reason}
    )


def _sharpe(figures: dict[str, Any]) -> str:
    return "no Sharpe ratio" if figures["sharpe"] is None else f"Sharpe {figures['sharpe']:+.2f}"
