"""Value at risk and expected shortfall of the next returns, by filtered historical simulation, and their tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt, MinLen

from forecast.errors import UserError
from forecast.evaluate.history import History, interpolated
from forecast.evaluate.returns import Returns
from forecast.evaluate.scores import pinball_loss
from forecast.evaluate.significance.backtests import (
    LikelihoodRatio,
    christoffersen,
    conditional_coverage,
    kupiec,
    transitions,
)
from forecast.evaluate.significance.significance import holm
from forecast.evaluate.summary import Figures, Summary, column, figure, number, p_text, prefixed, ratio_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.evaluate.table import ForecastTable

    Column = NDArray[np.float64]

FEWEST = 50  # residuals of a ticker without which its risk is not forecast
SIMULATED = 250  # latest returns of historical simulation, which everything is compared with
ALPHA = 0.05  # of the tests

Tails = Annotated[list[Annotated[float, Gt(0), Lt(0.5)]], MinLen(1)]


class Risk:
    """Value at risk: what the next return falls below in the worst share of cases; expected shortfall: its mean there.

    The residuals of the forecast, divided by a volatility forecast (forecast.model.spread), are alike in calm times and
    wild; their quantile, times the volatility forecast of the day, is added to the forecast. Only residuals count that
    were known when the forecast was made: those of validation, and of test days as they pass.

    Args:
        levels: shares of the worst cases: 0.01 is what others call the VaR at 99 %.
        window: latest residuals of a ticker and step, as many as there are up to it.

    Raises:
        UserError: a level that is no such share.

    Source: Barone-Adesi, Giannopoulos and Vosper (1999), VaR without correlations for portfolios of derivative
    securities, Journal of Futures Markets 19.
    """

    def __init__(
        self,
        *,
        levels: Tails,
        window: Annotated[int, Ge(FEWEST)] = 1000,
    ) -> None:
        shown = f"evaluation.risk.levels={[float(level) for level in levels]}"
        if not levels or not all(0 < level < 0.5 for level in levels):
            raise UserError(f"{shown}: each must be > 0 and < 0.5, a share of the worst cases such as 0.01")
        if len({f"{100 * level:g}" for level in levels}) != len(levels):
            raise UserError(f"{shown}: names a level twice")
        self.levels = tuple(float(level) for level in levels)
        self.window = window

    @property
    def columns(self) -> list[str]:
        """Of risk.parquet: `var_1`, `es_1` and so on; returns, as shares of the last Close."""
        return [f"{kind}_{key(level)}" for level in self.levels for kind in ("var", "es")]

    def follow(self, *, names: Sequence[str], horizon: int) -> FollowedRisk:
        """The risk of a run, forecast fold by fold.

        Args:
            names: of the tickers.
            horizon: steps forecast at once.
        """
        return FollowedRisk(self, names, horizon)


class FollowedRisk:
    """Residuals so far, and how often returns fell below what was forecast. Tests are of step 1, whose returns do not
    overlap."""

    def __init__(self, risk: Risk, names: Sequence[str], horizon: int) -> None:
        self.risk = risk
        self.names = names
        self.horizon = horizon
        streams, shape = len(names) * horizon, (len(risk.levels), len(names))
        self._residuals = History(streams, window=risk.window)
        self._returns = History(streams, window=SIMULATED)
        self._rows = np.zeros(len(names))
        self._moved = np.zeros(
            len(names), bool
        )  # whether any return was not 0; without one there is no risk to test
        self._pinball = np.zeros((2, *shape))  # pinball of the model's quantile, of historical simulation's
        self._violations = np.zeros((2, *shape))
        self._transitions = np.zeros((*shape, 2, 2))
        self._latest = np.full(
            shape, -1
        )  # whether the last row of each ticker was a violation; -1 = there was none
        self._beyond = np.zeros((2, *shape))  # on violations: returns, expected shortfall

    def known(self, table: ForecastTable) -> None:
        """Take the outcomes of a fold's validation rows for known.

        Args:
            table: ordered.
        """
        for block in table.blocks():
            streams, returns, residuals = self._measured(block)
            self._residuals.add(streams, block.time, residuals)
            self._returns.add(streams, block.time, returns.actual)

    def columns(self, block: ForecastTable, *, keep: bool = True) -> dict[str, Column]:
        """Value at risk and expected shortfall of test rows, whose outcomes are known afterwards.

        Args:
            block: whole series, each once.
            keep: whether other folds follow, to which these outcomes are known.

        Returns:
            column -> (rows,); NaN where there are too few residuals.
        """
        streams, returns, residuals = self._measured(block)
        levels = self.risk.levels
        found = np.full((len(levels), 2, len(block)), np.nan)
        simulated = np.full((len(levels), len(block)), np.nan)
        keys = (streams, block.origin, block.time)
        for rows, windows, counts in self._residuals.follow(*keys, residuals, keep=keep):
            lowest = _lowest(windows, max(levels))
            for place, level in enumerate(levels):
                found[place, 0, rows] = interpolated(lowest, counts, level)
                found[place, 1, rows] = _mean_below(lowest, counts, level)
            found[:, :, rows[counts < FEWEST]] = np.nan
        for rows, windows, counts in self._returns.follow(*keys, returns.actual, keep=keep):
            lowest = _lowest(windows, max(levels))
            for place, level in enumerate(levels):
                simulated[place, rows] = interpolated(lowest, counts, level)
        found = returns.forecast + _spread(block) * found
        self._count(block, returns.actual, found, simulated)
        return dict(zip(self.risk.columns, found.reshape(-1, len(block)), strict=True))

    def summary(self, *, bar: str = "day") -> Summary:
        """How the forecast risk compares with the outcomes, over all test rows so far.

        Args:
            bar: what a bar is called.
        """
        metrics: Figures = {}
        record: dict[str, Any] = {
            "split": "test",
            "method": "filtered historical simulation",
            "window": self.risk.window,
            "simulated": SIMULATED,
            "rows": int((self._rows * self._moved).sum()),
            "levels": {},
        }
        lines, warnings = [], []
        for place, level in enumerate(self.risk.levels):
            entry = self._entry(place, level)
            record["levels"][key(level)] = entry
            metrics |= {
                f"var_{key(level)}_{name}": entry[name]
                for name in (
                    *("violations", "kupiec_p", "independence_p", "conditional_p"),
                    *("pinball", "pinball_ratio"),
                )
            }
            metrics[f"es_{key(level)}_ratio"] = entry["es_ratio"]
            still = self._rows.any() and not self._moved.any()
            lines += (
                [f"{key(level)} % value at risk: no return ever moved"] if still else _line(level, entry, bar)
            )
            warnings += _warning(level, entry, bar)
        record |= {"lines": lines, "warnings": warnings}
        return Summary(record=record, metrics=prefixed("test", metrics))

    def _measured(self, block: ForecastTable) -> tuple[NDArray[np.int64], Returns, Column]:
        """Stream of each row, its returns, and its residuals in shares of the volatility forecast."""
        returns = Returns(block)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            residuals = (returns.actual - returns.forecast) / _spread(block)
        streams = np.asarray(block.series, np.int64) * self.horizon + (block.step - 1)
        return streams, returns, residuals

    def _count(self, block: ForecastTable, actual: Column, found: Column, simulated: Column) -> None:
        known = (
            np.isfinite(found).all(axis=(0, 1))
            & np.isfinite(simulated).all(axis=0)
            & (np.asarray(block.step) == 1)
            # Returns over several bars overlap: of these, one after the other.
            & (np.asarray(block.origin) % block.overlap(1) == 0)
        )
        series, outcomes, count = np.asarray(block.series)[known], actual[known], len(self.names)
        self._rows += np.bincount(series, minlength=count)
        self._moved |= np.bincount(series, outcomes != 0, count) > 0
        for place, level in enumerate(self.risk.levels):
            for side, quantile in enumerate((found[place, 0, known], simulated[place, known])):
                below = outcomes < quantile
                self._pinball[side, place] += np.bincount(
                    series, pinball_loss(outcomes, quantile, level), count
                )
                self._violations[side, place] += np.bincount(series, below, count)
                if not side:
                    self._transitions[place] += transitions(below, series, count, self._latest[place])
                    for what, values in enumerate((outcomes, found[place, 1, known])):
                        self._beyond[what, place] += np.bincount(series[below], values[below], count)

    def _entry(self, place: int, level: float) -> dict[str, Any]:
        """A level: all tickers together, then a column a figure with an entry a ticker."""
        moved = self._moved
        rows, violations = self._rows * moved, self._violations[:, place] * moved
        coverage = kupiec(violations[0], rows, level)
        independence = christoffersen(self._transitions[place] * moved[:, None, None])
        both = conditional_coverage(coverage, independence)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = violations / rows
            pinball = self._pinball[:, place] / rows
            mean_loss = (self._pinball[:, place] * moved).sum(axis=1) / rows.sum()
            # Tickers of the same group count alike, however far their returns reach.
            ratios = pinball[0] / pinball[1]
            beyond = self._beyond[:, place] * moved
            shortfall = beyond[0] / beyond[1]
            total = violations[0].sum() / rows.sum()
            simulated = violations[1].sum() / rows.sum()
            all_beyond = beyond[0].sum() / beyond[1].sum()
        seen = np.isfinite(ratios)
        return {
            "violations": figure(total),
            "simulated_violations": figure(simulated),
            "kupiec_p": _smallest(coverage),
            "independence_p": _smallest(independence),
            "conditional_p": _smallest(both),
            "pinball": figure(mean_loss[0]),
            "simulated_pinball": figure(mean_loss[1]),
            "pinball_ratio": figure(float(ratios[seen].mean())) if seen.any() else None,
            "es_ratio": figure(all_beyond),
            "tickers": {
                "ticker": list(self.names),
                "rows": rows.astype(int).tolist(),
                "violations": column(shares[0]),
                "simulated_violations": column(shares[1]),
                "kupiec_p": column(coverage.p),
                "independence_p": column(independence.p),
                "conditional_p": column(both.p),
                "pinball_ratio": column(ratios),
                "es_ratio": column(shortfall),
            },
        }


def key(level: float) -> str:
    """How a level is written in names: 0.01 is `1`."""
    return f"{100 * level:g}"


def _spread(block: ForecastTable) -> Column:
    assert block.spread is not None, "rows without a volatility forecast"
    return block.spread.astype(np.float64)


def _lowest(windows: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """(rows, few) the smallest values of each window, ascending, as many as quantiles up to a level need."""
    most = min(int(np.ceil(windows.shape[1] * level)) + 1, windows.shape[1] - 1)
    return np.sort(np.partition(windows, most, axis=1)[:, : most + 1], axis=1)


def _mean_below(lowest: NDArray[np.float32], counts: NDArray[np.integer], level: float) -> Column:
    """(rows,) mean of the worst share of each row's values, at least of one."""
    number_of = np.clip(np.ceil(counts * level - 1e-9).astype(np.int64), 1, lowest.shape[1])
    sums = np.cumsum(lowest, axis=1, dtype=np.float64)
    return np.where(counts > 0, sums[np.arange(len(sums)), number_of - 1] / number_of, np.nan)


def _smallest(test: LikelihoodRatio) -> float | None:
    """The smallest p-value of all tickers, corrected for their number (Holm); of one ticker its own."""
    p = holm(test.p)
    return figure(float(np.nanmin(p))) if np.isfinite(p).any() else None


def _line(level: float, entry: dict[str, Any], bar: str) -> list[str]:
    share, p, both = (number(entry[name]) for name in ("violations", "kupiec_p", "conditional_p"))
    if share is None:
        return [f"{key(level)} % value at risk: none on test"]
    line = f"{key(level)} % value at risk: fallen below on {100 * share:.2f} % of test {bar}s"
    tests = [f"Kupiec {p_text(p)}"] if p is not None else []
    tests += [f"Christoffersen {p_text(both)}"] if both is not None else []
    line += f" ({', '.join(tests)})" if tests else ""
    ratio = number(entry["pinball_ratio"])
    if ratio is not None:
        line += f"; pinball loss {ratio_text(ratio)} times that of historical simulation ({SIMULATED} {bar}s)"
    return [line]


def _warning(level: float, entry: dict[str, Any], bar: str) -> list[str]:
    """What does not hold, by the smallest p-value of all tickers."""
    found: list[str] = []
    columns = entry["tickers"]
    p = number(entry["kupiec_p"])
    if p is not None and p < ALPHA:
        worst = int(np.nanargmin([np.nan if one is None else one for one in columns["kupiec_p"]]))
        named = f" of {columns['ticker'][worst]}" if len(columns["ticker"]) > 1 else ""
        share = columns["violations"][worst]
        fails = "does not hold" if share > level else "is too cautious"
        found.append(
            f"{key(level)} % value at risk {fails}: returns{named} fell below it on {100 * share:.2f} % of test "
            f"{bar}s (Kupiec {p_text(p)})"
        )
    p = number(entry["independence_p"])
    if p is not None and p < ALPHA:
        found.append(
            f"violations of the {key(level)} % value at risk come in a row (Christoffersen {p_text(p)})"
        )
    return found
