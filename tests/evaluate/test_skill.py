"""R2, IC and RankIC against plain numpy and scipy, and when a figure is too good."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import rankdata, spearmanr
from tables import beside, changed, noisy, split_rows, walks

from forecast.evaluate.returns import usable
from forecast.evaluate.skill import (
    IC_CEILING,
    correlations,
    information_coefficients,
    ranks,
    skill,
    suspicions,
)

FIGURES = {
    "r2_zero", "r2_zero_se", "r2_mean", "r2_mean_se",
    "ic", "ic_se", "icir", "rank_ic", "rank_ic_se", "rank_icir",
}  # fmt: skip


def found(rows, **baselines):
    result = skill(beside(rows, **baselines))
    json.dumps(result.record, allow_nan=False)
    assert set(result.metrics) == {f"test_{name}" for name in FIGURES}
    for figures in (result.record["overall"], *result.record["steps"]):
        undefined = {name for name, value in figures.items() if value is None and name != "why"}
        assert undefined == set(figures["why"] or {}), (
            "a figure is null without a reason, or has one for nothing"
        )
    return result


def moves_in(rows):
    return rows.actual / rows.naive - 1, rows.forecast / rows.naive - 1


def test_r2_of_returns():
    rows = split_rows(walks(2, 150), noisy(0.003, knows=0.1), horizon=2)
    actual, forecast = moves_in(rows)
    drift = rows.naive * (1 + 0.002 * rows.step)
    result = found(rows, drift=drift)
    error = ((actual - forecast) ** 2).sum()
    overall = result.record["overall"]
    assert overall["r2_zero"] == pytest.approx(1 - error / (actual**2).sum(), rel=1e-9)
    assert overall["r2_mean"] == pytest.approx(
        1 - error / ((actual - 0.002 * rows.step) ** 2).sum(), rel=1e-9
    )
    first = rows.step == 1
    by_hand = 1 - ((actual - forecast)[first] ** 2).sum() / (actual[first] ** 2).sum()
    assert result.record["steps"][0]["r2_zero"] == pytest.approx(by_hand, rel=1e-9)
    for place in (0, 1):
        own = rows.series == place
        by_hand = 1 - ((actual - forecast)[own] ** 2).sum() / (actual[own] ** 2).sum()
        assert result.record["tickers"]["r2_zero"][place] == pytest.approx(by_hand, rel=1e-5)


def steady_views(horizon, *, seed):
    """A forecaster whose views last for days, so that what overlapping windows gain is correlated."""

    def forecast(moves):
        shocks = np.random.default_rng(seed).standard_normal((*moves.shape[:2], 1)).cumsum(axis=1)
        views = shocks - np.pad(shocks, ((0, 0), (5, 0), (0, 0)))[:, :-5]
        return 0.1 * moves + 0.002 * views * np.ones(horizon)

    return forecast


@pytest.mark.parametrize("horizon", [1, 3])
def test_errors_are_those_of_repetitions(horizon):
    summaries = []
    for seed in range(150):
        prices = walks(4, 200, common=0.3, seed=seed)
        summaries.append(
            found(split_rows(prices, steady_views(horizon, seed=seed + 999), horizon=horizon)).metrics
        )
    for name in ("test_r2_zero", "test_ic", "test_rank_ic"):
        error = np.mean([metrics[f"{name}_se"] for metrics in summaries])
        assert error == pytest.approx(np.std([metrics[name] for metrics in summaries]), rel=0.2), name


def test_the_historical_mean_comes_before_drift():
    rows = split_rows(walks(1, 60), noisy())
    assert (
        found(rows, drift=rows.naive * 1.01, historical_mean=rows.naive * 1.02).record["mean"]
        == "historical_mean"
    )
    assert found(rows, ridge=rows.naive * 1.01).record["overall"]["why"]["r2_mean"] == (
        "no baseline of the mean move ran"
    )


@pytest.mark.parametrize("horizon", [1, 3])
def test_ic_of_each_date(horizon):
    rows = split_rows(walks(6, 40), noisy(0.01, knows=0.3), horizon=horizon)
    actual, forecast = moves_in(rows)
    shape = (6, -1, horizon)
    plain, ranked = (
        np.array(
            [
                [
                    measure(forecast.reshape(shape)[:, day, step], actual.reshape(shape)[:, day, step])
                    for step in range(horizon)
                ]
                for day in range(40 - horizon)
            ]
        )
        for measure in (lambda x, y: np.corrcoef(x, y)[0, 1], lambda x, y: spearmanr(x, y).statistic)
    )
    dates = information_coefficients(usable(rows)[0])
    np.testing.assert_allclose(dates["ic"], plain, atol=1e-9)
    np.testing.assert_allclose(dates["rank_ic"], ranked, atol=1e-9)
    result = found(rows)
    means = plain.mean(axis=1)
    assert result.metrics["test_ic"] == pytest.approx(means.mean(), rel=1e-9)
    assert result.metrics["test_icir"] == pytest.approx(means.mean() / means.std(ddof=1), rel=1e-9)
    assert result.metrics["test_rank_ic"] == pytest.approx(ranked.mean(), rel=1e-9)
    assert result.record["overall"]["ic_dates"] == 40 - horizon
    if horizon == 1:
        assert result.metrics["test_ic_se"] == pytest.approx(means.std() / np.sqrt(39), rel=1e-9)


def test_tickers_come_and_go():
    rows = split_rows(walks(6, 60), noisy(0.01, knows=0.3))
    kept = np.random.default_rng(0).random(len(rows)) < 0.6
    kept[rows.origin == rows.origin[0]] = False  # one date has two tickers
    kept[np.flatnonzero(rows.origin == rows.origin[0])[:2]] = True
    rows = rows.take(kept)
    actual, forecast = moves_in(rows)
    expected = np.full(59, np.nan)
    for day in range(59):
        there = rows.origin == 12_000 + day
        if there.sum() >= 3:
            expected[day] = np.corrcoef(forecast[there], actual[there])[0, 1]
    np.testing.assert_allclose(information_coefficients(usable(rows)[0])["ic"][:, 0], expected, atol=1e-9)
    assert np.isnan(expected[0])
    assert found(rows).record["overall"]["ic_dates"] == (~np.isnan(expected)).sum()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), max_size=40))
def test_ranks_agree_with_scipy(pairs):
    group, values = (np.array([pair[side] for pair in pairs], dtype=int) for side in (0, 1))
    found = ranks(values.astype(float), group, 4)
    for place in range(4):
        own = group == place
        if own.any():
            np.testing.assert_array_equal(found[own], rankdata(values[own]) - 1)


def test_a_forecast_of_the_same_move_for_all_says_nothing_of_tickers():
    # Divided and multiplied by prices, equal moves differ by rounding; that is no ranking.
    rows = split_rows(walks(8, 60), lambda moves: 0.0003 + 0 * moves)
    result = found(rows)
    assert result.metrics["test_ic"] is None
    assert result.metrics["test_rank_ic"] is None
    assert result.record["overall"]["why"]["ic"].startswith("on no date do both")
    assert result.lines[1].startswith("IC: undefined, on no date")


@pytest.mark.parametrize("tickers", [1, 2])
def test_too_few_tickers(tickers):
    result = found(split_rows(walks(tickers, 60), noisy()))
    assert (
        result.record["overall"]["why"]["rank_ic"] == "a correlation across tickers wants at least 3 of them"
    )
    assert len(result.lines) == tickers  # of one ticker, IC is not even mentioned


def test_constant_prices():
    result = found(split_rows(np.full((3, 50), 7.0), noisy()))
    assert (result.metrics["test_r2_zero"], result.metrics["test_ic"]) == (None, None)
    assert result.record["overall"]["why"]["r2_zero"] == "naive is never wrong"
    assert result.record["tickers"]["why"] == ["the value never moved"] * 3
    assert result.lines == [f"IC: undefined, {result.record['overall']['why']['ic']}"]


def test_a_ticker_that_ended_before():
    rows = split_rows(walks(1, 50), noisy())
    result = skill(changed(rows, names=["A", "GONE"]))
    assert result.record["tickers"]["why"] == [None, "no rows in this split"]
    assert result.record["tickers"]["r2_zero"][1] is None


def test_no_rows():
    rows = split_rows(walks(1, 5), noisy())
    assert found(rows.take(slice(0, 0))).metrics["test_r2_zero"] is None


def test_too_few_dates_have_no_error():
    result = found(split_rows(walks(5, 8), noisy()))
    assert result.metrics["test_ic"] is not None
    assert (result.metrics["test_ic_se"], result.metrics["test_r2_zero_se"]) == (None, None)
    assert suspicions(result.metrics | {"test_ic": 0.9}) == []


def test_what_is_said():
    rows = split_rows(walks(5, 200), noisy(0.003, knows=0.02))
    r2, ic = found(rows, drift=rows.naive * 1.0003).lines
    assert r2.startswith("R2 of returns: ")
    assert r2.endswith("against the mean move (drift)")
    assert ic.startswith("IC +0.")
    assert ic.endswith("(199 dates)")


@pytest.mark.parametrize(("knows", "suspected"), [(0.0, 0), (0.02, 0), (0.3, 2), (1.0, 2)])
def test_ic_above_the_ceiling_is_suspected(knows, suspected):
    metrics = found(split_rows(walks(20, 150), noisy(0.005 if knows < 1 else 0, knows=knows))).metrics
    texts = suspicions(metrics)
    assert len(texts) == suspected
    assert all(
        text.startswith(("test IC", "test RankIC")) and f"ceiling {IC_CEILING:.2f}" in text for text in texts
    )


def test_within_noise_of_the_ceiling_is_not_suspected():
    assert suspicions({"val_ic": 0.15, "val_ic_se": 0.03}, split="val") == []
    assert suspicions({"val_ic": 0.15, "val_ic_se": 0.02}, split="val") == [
        "val IC 0.150 +/- 0.020 (ceiling 0.10)"
    ]
    assert suspicions({"test_ic": None, "test_ic_se": None}) == []
    assert suspicions({}) == []


def test_correlation_of_groups_that_do_not_vary():
    found = correlations(
        np.array([1.0, 2, 3, 5, 5, 5]), np.array([1.0, 2, 3, 1, 2, 3]), np.repeat([0, 1], 3), 3
    )
    np.testing.assert_allclose(found, [1, np.nan, np.nan])


def test_a_few_dates_at_a_time_give_the_same(monkeypatch):
    rows = split_rows(walks(6, 60), noisy(0.01, knows=0.3), horizon=2)
    rows = rows.take(np.random.default_rng(0).random(len(rows)) < 0.7)
    whole = information_coefficients(rows)
    monkeypatch.setattr("forecast.evaluate.skill.BLOCK_ROWS", 50)
    for name, values in information_coefficients(rows).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-12)
