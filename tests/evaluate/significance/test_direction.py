"""Wilson's interval and Pesaran and Timmermann's test against statsmodels, scipy and simulation."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chi2_contingency
from statsmodels.stats.diagnostic import pesaran_timmermann as oracle
from statsmodels.stats.proportion import proportion_confint
from tables import noisy, split_rows, walks

from forecast.evaluate.returns import usable
from forecast.evaluate.significance.direction import (
    pesaran_timmermann,
    pooled_directions,
    ticker_directions,
    wilson,
)


def judged(rows, *, step=None, pooled=True, alpha=0.05):
    table, _ = usable(rows)
    if not pooled:
        return ticker_directions(table, alpha=alpha)
    return pooled_directions(table, alpha=alpha)[step or 0]


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.1, 0.5]))
def test_wilson_agrees_with_statsmodels(count, share, alpha):
    hits = round(share * count)
    low, high = wilson(np.array([hits / count]), np.array([float(count)]), alpha=alpha)
    expected = proportion_confint(hits, count, alpha=alpha, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected[0], abs=1e-12), pytest.approx(expected[1], abs=1e-12))


def test_wilsons_interval_of_a_worked_example():
    """10 of 10: 72.2 to 100 % (Brown, Cai and DasGupta 2001, Statistical Science 16: n / (n + z^2))."""
    low, high = wilson(np.array([1.0]), np.array([10.0]), alpha=0.05)
    assert low[0] == pytest.approx(10 / (10 + 1.959964**2), rel=1e-6)
    assert high[0] == 1


@pytest.mark.parametrize("seed", range(5))
def test_pesaran_timmermann_agrees_with_statsmodels_and_the_contingency_table(seed):
    rng = np.random.default_rng(seed)
    actual = rng.standard_normal(150) + 0.2
    forecast = 0.3 * actual + rng.standard_normal(150)
    up, called = actual > 0, forecast > 0
    stat, reason = pesaran_timmermann(up, called, np.zeros(150, int), 1)
    assert reason[0] == 0
    # statsmodels leaves out the paper's term of order 1 / n^2
    expected = oracle(actual, forecast, alternative="larger").statistic * np.sqrt(150 / 149)
    assert stat[0] == pytest.approx(expected, rel=1e-10)
    table = [[(up & called).sum(), (up & ~called).sum()], [(~up & called).sum(), (~up & ~called).sum()]]
    chi2 = chi2_contingency(table, correction=False).statistic
    assert stat[0] ** 2 == pytest.approx(chi2 * 150 / 149, rel=1e-10)


def test_pesaran_timmermann_written_out():
    """Fifteen days, 7 rises, 9 calls of a rise, 11 right."""
    up = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], bool)
    called = np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0], bool)
    stat, _ = pesaran_timmermann(up, called, np.zeros(15, int), 1)
    chance = (7 * 9 + 8 * 6) / 15**2
    spread = 4 * (7 * 8 * 9 * 6) / 15**4 * (15 - 1) / 15**2
    assert stat[0] == pytest.approx((11 / 15 - chance) / np.sqrt(spread), rel=1e-10)


def test_one_ticker_one_step_is_the_papers_test_and_wilsons_interval():
    rows = split_rows(walks(1, 300), noisy(knows=0.05))
    actual, forecast = rows.actual - rows.naive, rows.forecast - rows.naive
    found = judged(rows).record()
    assert found["pt_stat"] == pytest.approx(
        oracle(actual, forecast, alternative="larger").statistic * np.sqrt(299 / 298), rel=1e-10
    )
    hits = int((np.sign(actual) == np.sign(forecast)).sum())
    assert found["share"] == hits / 299
    assert found["effective"] == pytest.approx(299)
    expected = proportion_confint(hits, 299, method="wilson")
    assert (found["low"], found["high"]) == pytest.approx(expected, rel=1e-9)
    assert judged(rows, pooled=False).record() == found


def test_tickers_that_move_together_are_worth_fewer_observations():
    alone = judged(split_rows(walks(20, 300, seed=2), noisy(seed=3))).record()
    assert alone["effective"] > 0.8 * alone["moved"]
    prices = walks(20, 300, common=0.99, seed=2)
    # One view of the market, held of every ticker.
    view = np.random.default_rng(5).standard_normal((1, 299, 1)) * np.ones((20, 1, 1))
    together = judged(split_rows(prices, lambda moves: 0.002 * view)).record()
    assert together["effective"] < 0.1 * together["moved"]
    assert together["high"] - together["low"] > 3 * (alone["high"] - alone["low"])


@pytest.mark.parametrize(("horizon", "least"), [(1, 0.93), (3, 0.92)])
def test_size_and_coverage_where_nothing_is_known(horizon, least):
    # Each ticker is a repetition; forecasts keep their sign for days, as those of real models do.
    count, days = 1500, 250
    views = np.cumsum(np.random.default_rng(1).standard_normal((count, days + 9)), axis=1)
    view = (views[:, 9:] - np.pad(views, ((0, 0), (1, 0)))[:, :-10])[:, :, None] * np.ones(horizon)
    rows = split_rows(walks(count, days + horizon, seed=4), lambda moves: 0.001 * view, horizon=horizon)
    found = judged(rows, pooled=False)
    assert 0.03 < (found.p < 0.05).mean() < 0.075
    assert least < ((found.low <= 0.5) & (found.high >= 0.5)).mean() < 0.97


def test_size_pooled_where_tickers_move_together():
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        view = rng.standard_normal((1, 120, 1)) + 0.3 * rng.standard_normal((8, 120, 1))
        prices = walks(8, 121, common=0.8, seed=seed + 1000)
        p.append(judged(split_rows(prices, lambda moves, view=view: 0.001 * view)).p[0])
    assert 0.02 < (np.array(p) < 0.05).mean() < 0.085


def test_power_where_something_is_known():
    found = judged(split_rows(walks(200, 250, seed=6), noisy(0.003, knows=0.1), horizon=1), pooled=False)
    assert (found.p < 0.05).mean() > 0.8


def test_a_view_of_each_ticker_that_never_changes_is_no_skill():
    # Always up for the risers, always down for the fallers: right often, but no day was distinguished from another.
    rng = np.random.default_rng(0)
    drift = np.array([1.0, -1, 1, -1])[:, None]
    prices = 50 * np.exp(np.cumsum(0.005 * drift + 0.01 * rng.standard_normal((4, 200)), axis=1))
    found = judged(split_rows(prices, lambda moves: 0.001 * drift[:, :, None] * np.ones_like(moves))).record()
    assert found["share"] > 0.6
    assert found["pt_p"] is None
    assert found["pt_why"] == "the forecast says the same direction on all but a few bars"


@pytest.mark.parametrize(
    ("prices", "forecast", "reason"),
    [
        (np.full((1, 50), 7.0), noisy(), "the value never moved"),
        (walks(1, 50), lambda moves: 0 * moves, "the value never moved, or the forecast never did"),
        (walks(1, 9), noisy(), "too few origins"),
        (50 * 1.01 ** np.arange(50), noisy(), "the value moved in one direction"),
        (walks(1, 50), lambda moves: 0 * moves + 0.001, "the forecast says the same direction"),
    ],
    ids=["constant", "no move said", "few", "always up", "always said up"],
)
@pytest.mark.parametrize("horizon", [1, 2])
def test_undefined_with_a_reason(prices, forecast, reason, horizon):
    for pooled in (True, False):
        found = judged(split_rows(prices, forecast, horizon=horizon), pooled=pooled).record()
        assert (found["pt_stat"], found["pt_p"]) == (None, None)
        assert found["pt_why"].startswith(reason)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_forecast_that_never_moves_has_no_direction(pooled):
    found = judged(split_rows(walks(1, 50), lambda moves: 0 * moves), pooled=pooled).record()
    assert (found["share"], found["low"], found["high"]) == (None, None, None)
    assert found["why"] == "the forecast never moves"


def test_constant_prices_have_no_direction():
    found = judged(split_rows(np.full((1, 50), 7.0), noisy())).record()
    assert (found["share"], found["low"], found["high"], found["effective"]) == (None, None, None, None)
    assert found["why"] == "the value never moved"


@pytest.mark.parametrize("horizon", [1, 3])
def test_all_right_on_every_day_counts_a_day_once(horizon):
    found = judged(split_rows(walks(5, 60), lambda moves: moves, horizon=horizon)).record()
    assert (found["share"], found["high"]) == (1, 1)
    assert found["effective"] == pytest.approx((60 - horizon) / horizon)
