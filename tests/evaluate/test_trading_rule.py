"""The sign strategy against a loop, by hand, and where it is undefined."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tables import changed, noisy, split_rows, walks

from forecast.evaluate.trading_rule import LABEL, TradingRule

FIGURES = {
    "sharpe", "sharpe_se", "annual_return", "max_drawdown", "turnover",
    "hold_sharpe", "hold_annual_return", "hold_max_drawdown",
}  # fmt: skip


def found(rows, **options):
    result = TradingRule(**options).summary(rows)
    json.dumps(result.record, allow_nan=False)
    for side in ("strategy", "buy_and_hold"):
        figures = result.record[side]
        undefined = {name for name, value in figures.items() if value is None and name != "why"}
        assert undefined == set(figures["why"] or {})
    return result


def looped(rows, cost):
    """Returns of strategy and holder, a date at a time."""
    last, entered, strategy, held, turnover = {}, set(), [], [], []
    for origin in sorted(set(rows.origin.tolist())):
        mine, theirs, trades = [], [], []
        for place in np.flatnonzero((rows.origin == origin) & (rows.step == 1)):
            ticker, move = rows.series[place], rows.actual[place] / rows.naive[place] - 1
            position = np.sign(rows.forecast[place] - rows.naive[place])
            trades.append(abs(position - last.get(ticker, 0)))
            mine.append(position * move - cost * trades[-1])
            theirs.append(move - (0 if ticker in entered else cost))
            last[ticker] = position
            entered.add(ticker)
        for series, values in ((strategy, mine), (held, theirs), (turnover, trades)):
            series.append(np.mean(values))
    return np.array(strategy), np.array(held), np.array(turnover)


def expected(returns, year):
    wealth = [1.0]
    for value in returns:
        wealth.append(wealth[-1] * (1 + value))
    peaks = np.maximum.accumulate(wealth)
    ratio = np.mean(returns) / np.std(returns, ddof=1)
    return {
        "total_return": wealth[-1] - 1,
        "annual_return": wealth[-1] ** (year / len(returns)) - 1,
        "annual_volatility": np.std(returns, ddof=1) * year**0.5,
        "sharpe": ratio * year**0.5,
        "sharpe_se": ((1 + ratio**2 / 2) / len(returns) * year) ** 0.5,
        "max_drawdown": max((peak - value) / peak for peak, value in zip(peaks, wealth, strict=True)),
    }


@pytest.mark.parametrize("horizon", [1, 3])
def test_agrees_with_a_loop(horizon):
    rows = split_rows(walks(4, 80, common=0.3), noisy(knows=0.05), horizon=horizon)
    kept = np.repeat(np.random.default_rng(0).random(len(rows) // horizon) < 0.8, horizon)
    rows = rows.take(kept)
    strategy, held, turnover = looped(rows, 0.001)
    record = found(rows, cost_bps=10, sessions_per_year=365).record
    for side, returns in (("strategy", strategy), ("buy_and_hold", held)):
        for name, value in expected(returns, 365).items():
            assert record[side][name] == pytest.approx(value, rel=1e-9), name
    assert record["strategy"]["turnover"] == pytest.approx(turnover.mean(), rel=1e-12)
    assert record["sessions"] == len(strategy)


def test_three_days_by_hand():
    # Long, short, out; up 10 %, down 10 %, up 10 %; a cost of 1 %.
    rows = split_rows([100.0, 110, 99, 108.9], np.array([[[105.0], [100], [99]]]))
    record = found(rows, cost_bps=100).record
    returns = np.array([0.10 - 0.01, 0.10 - 0.02, 0.0 - 0.01])
    assert record["strategy"]["total_return"] == pytest.approx(np.prod(1 + returns) - 1)
    assert record["strategy"]["turnover"] == pytest.approx((1 + 2 + 1) / 3)
    assert record["strategy"]["max_drawdown"] == pytest.approx(0.01)
    assert record["strategy"]["break_even_bps"] == pytest.approx(10_000 * 0.20 / 4)
    assert record["buy_and_hold"]["total_return"] == pytest.approx(1.09 * 0.9 * 1.1 - 1)
    assert record["buy_and_hold"]["max_drawdown"] == pytest.approx(0.1)


def test_error_of_the_sharpe_ratio_is_that_of_repetitions():
    summaries = [
        found(split_rows(walks(1, 250, seed=seed), noisy(seed=seed + 9)), cost_bps=0) for seed in range(150)
    ]
    spread = np.std([result.metrics["test_sharpe"] for result in summaries])
    assert np.mean([result.metrics["test_sharpe_se"] for result in summaries]) == pytest.approx(
        spread, rel=0.15
    )


def test_break_even_cost_leaves_nothing():
    rows = split_rows(walks(3, 200), noisy(knows=0.1))
    cost = found(rows).record["strategy"]["break_even_bps"]
    assert cost > 0
    assert found(rows, cost_bps=cost).metrics["test_sharpe"] == pytest.approx(0, abs=1e-9)


@settings(max_examples=25)
@given(st.floats(0, 200), st.floats(1e-4, 1e4))
def test_cost_only_takes_and_units_change_nothing(cost, scale):
    rows = split_rows(walks(2, 60), noisy())
    free, paid = found(rows, cost_bps=0).metrics, found(rows, cost_bps=cost).metrics
    assert paid["test_annual_return"] <= free["test_annual_return"]
    prices = {name: scale * getattr(rows, name) for name in ("actual", "forecast", "naive")}
    assert found(changed(rows, **prices), cost_bps=cost).metrics == pytest.approx(paid, rel=1e-6)


def test_always_long_is_buy_and_hold():
    record = found(split_rows(walks(3, 100), lambda moves: 0.001 + 0 * moves)).record
    strategy = {name: record["strategy"][name] for name in record["buy_and_hold"]}
    assert strategy == record["buy_and_hold"]


def test_what_is_said_and_how_it_is_called():
    result = found(split_rows(walks(1, 100), noisy()))
    assert set(result.metrics) == {f"test_{name}" for name in FIGURES}
    first, second = result.lines
    assert first.startswith("sign strategy at 5 basis points a trade: Sharpe ")
    assert "; buy and hold: Sharpe " in first
    assert second == f"({LABEL})"
    assert result.record["label"].startswith("a sketch, not a profit to be had")


def test_a_forecast_of_no_move_trades_nothing():
    record = found(split_rows(walks(1, 50), lambda moves: 0 * moves)).record["strategy"]
    assert (record["turnover"], record["total_return"], record["max_drawdown"]) == (0, 0, 0)
    assert record["why"] == {
        "sharpe": "returns never vary",
        "sharpe_se": "returns never vary",
        "break_even_bps": "no trade was made",
    }


def test_constant_prices():
    result = found(split_rows(np.full((1, 50), 7.0), lambda moves: 0.001 + 0 * moves), cost_bps=0)
    assert result.metrics["test_sharpe"] is None
    assert result.metrics["test_hold_sharpe"] is None
    assert "no Sharpe ratio" in result.lines[0]


def test_nobody_loses_more_than_all():
    # Short of what trebles: a loss of 200 %.
    rows = split_rows([10.0, 10.1, 30.3, 30.0], np.array([[[9.0], [9.0], [9.0]]]))
    record = found(rows).record["strategy"]
    assert (record["total_return"], record["max_drawdown"], record["annual_return"]) == (-1, 1, -1)


def test_returns_too_large_are_undefined():
    prices = np.geomspace(1e-300, 1e300, 6) * np.array([1, 1, 2, 1, 1, 3])
    result = found(split_rows(prices, np.full((1, 5, 1), 1e301)))
    assert result.record["buy_and_hold"]["annual_return"] is None
    assert result.lines[0] == "sign strategy: undefined, returns too large"


@pytest.mark.parametrize("days", [1, 2])
def test_fewer_than_two_sessions(days):
    rows = split_rows(walks(1, 3), noisy())
    result = found(rows.take(slice(0, days - 1)))
    assert result.lines == ["sign strategy: undefined, fewer than two sessions"]
    assert result.metrics["test_sharpe"] is None
