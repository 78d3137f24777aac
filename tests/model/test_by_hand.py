"""The simple forecasters, ridge and trees, computed again from the bars by other means."""

from __future__ import annotations

import numpy as np
import pytest
from forecasters import whole
from markets import market, random_bars, tables

from forecast.data.target import Direction, Return, Volume
from forecast.model import Drift, HistoricalMean, MovingAverage, Ridge, SeasonalMean, TrainingMean, Trees
from forecast.model.regression import choose_alpha, training_table

HORIZON = 3


@pytest.fixture(scope="module")
def source():
    return tables(number=3)


@pytest.fixture(scope="module")
def data(source):
    return market(source, "no_processing_panel", horizon=HORIZON)


def forecasts(forecaster, data, split="test"):
    """Ticker, time of the origin, forecast."""
    forecaster.fit(data)
    batch = whole(data, split)
    values = forecaster.forecast(batch).values
    times = data.panel_.time_of(batch.origin)
    return [
        (data.panel_.names[s], time, row) for s, time, row in zip(batch.series, times, values, strict=True)
    ]


def closes(source, ticker):
    # The panel holds 32-bit prices.
    return source[ticker]["Close"].astype("float32").astype("float64")


def test_drift(source, data):
    last_day = data.panel_.time_of(data.split_ranges_["train"][1])
    for ticker, day, row in forecasts(Drift(), data):
        trained, known = closes(source, ticker).loc[:last_day], closes(source, ticker).loc[:day]
        slope = trained.diff().mean()
        np.testing.assert_allclose(row, known.iloc[-1] + slope * np.arange(1, HORIZON + 1), rtol=1e-12)


def test_drift_of_a_rolling_window_begins_where_training_does(source, data):
    first, last = data.split_ranges_["train"]
    rolled = data.with_split(data.split_ranges_ | {"train": (first + 60, last)})
    (ticker, day, row), *_ = forecasts(Drift(), rolled)
    trained = closes(source, ticker).loc[data.panel_.time_of(first + 60) : data.panel_.time_of(last)]
    wanted = closes(source, ticker)[day] + trained.diff().mean() * np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(row, wanted, rtol=1e-12)


def test_historical_mean(source, data):
    for ticker, day, row in forecasts(HistoricalMean(), data):
        known = closes(source, ticker).loc[:day]
        growth = 1 + known.pct_change().mean()
        np.testing.assert_allclose(row, known.iloc[-1] * growth ** np.arange(1, HORIZON + 1), rtol=1e-12)


@pytest.mark.parametrize("window", [1, 5, 400])
def test_moving_average(source, data, window, monkeypatch):
    monkeypatch.setattr("forecast.model.naive._CHUNK", 1000)
    for ticker, day, row in forecasts(MovingAverage(window=window), data):
        mean = closes(source, ticker).loc[:day].iloc[-window:].mean()
        np.testing.assert_allclose(row, mean, rtol=1e-12)


def test_gaps_are_closed_up(source):
    holed = {"T0": source["T0"].copy()}
    gone = holed["T0"].index[[40, 41, 137]]
    holed["T0"].loc[gone, "High"] = np.nan
    data = market(holed, "no_processing_single", horizon=1, seq_len=4)
    assert len(data.panel_.segments) == 3
    left = closes(holed, "T0").drop(gone)
    for _, day, row in forecasts(MovingAverage(window=5), data):
        np.testing.assert_allclose(row, left.loc[:day].iloc[-5:].mean(), rtol=1e-12)
    for _, day, row in forecasts(HistoricalMean(), data):
        known = left.loc[:day]
        np.testing.assert_allclose(row, known.iloc[-1] * (1 + known.pct_change().mean()), rtol=1e-12)


def anchored(bars, place, lookback):
    """The window of a ticker relative to its last Close: High, Low, Close, Volume."""
    columns = bars[["High", "Low", "Close", "Volume"]].astype("float32").astype("float64")
    window = columns.iloc[place - lookback + 1 : place + 1]
    anchored = window / window["Close"].iloc[-1] - 1
    anchored["Volume"] = np.log1p(window["Volume"]) - np.log1p(window["Volume"].iloc[-1])
    return anchored.to_numpy()


class TableByHand:
    """All training windows of one ticker, from its bars."""

    def __init__(self, bars, data):
        close = bars["Close"].astype("float32").astype("float64").to_numpy()
        last_day = data.panel_.time_of(data.split_ranges_["train"][1])
        stop = np.searchsorted(bars.index.to_numpy(), last_day, side="right")
        origins = range(data.seq_len - 1, stop - data.horizon)
        windows = np.stack([anchored(bars, place, data.seq_len) for place in origins])
        moves = np.stack(
            [close[place + 1 : place + 1 + data.horizon] / close[place] - 1 for place in origins]
        )
        self.mean, self.spread, self.scale = windows.mean((0, 1)), windows.std((0, 1)), moves.std(axis=0)
        self.inputs = np.stack([self.scaled(window) for window in windows])
        self.targets = moves / self.scale

    def scaled(self, window):
        return ((window - self.mean) / self.spread).ravel()


def test_ridge_is_the_closed_form(source):
    bars = source["T0"]
    data = market({"T0": bars}, "no_processing_single", horizon=HORIZON)
    table = TableByHand(bars, data)
    centre, level = table.inputs.mean(axis=0), table.targets.mean(axis=0)
    gram = (table.inputs - centre).T @ (table.inputs - centre) + 7.0 * np.eye(table.inputs.shape[1])
    weights = np.linalg.solve(gram, (table.inputs - centre).T @ (table.targets - level))
    ridge = Ridge(alphas=[7.0])
    found = forecasts(ridge, data)
    assert ridge.alpha_ == 7.0
    for _, day, row in found:
        place = bars.index.get_loc(day)
        seen = table.scaled(anchored(bars, place, data.seq_len))
        moves = ((seen - centre) @ weights + level) * table.scale
        np.testing.assert_allclose(row, closes(source, "T0").iloc[place] * (1 + moves), rtol=2e-6)


def test_ridge_chooses_the_largest_penalty_that_is_no_worse():
    days = np.repeat(np.arange(50, dtype=np.int32), 2)
    noise = np.random.default_rng(0).normal(0, 1, 100)
    base = 10 + noise
    errors = np.stack(
        [base, base + 0.1 * np.tile([1.0, -0.9], 50), base + 0.5, base + 3 * np.tile([1, -1], 50)]
    )
    # the second is worse by less than its noise, the third by exactly 0.5 everywhere; the fourth's tickers cancel
    # out on each day, so it is no worse at all
    assert choose_alpha([1.0, 10.0, 100.0, 5.0], errors, days) == 5.0
    assert choose_alpha([1.0, 10.0, 100.0], errors[:3], days) == 1.0
    assert choose_alpha([1.0, 100.0, 10.0], errors[[0, 2, 0]], days) == 10.0


def test_ridge_chooses_on_bars_that_its_training_does_not_reach(source, monkeypatch):
    from sklearn import linear_model

    data = market({"T0": source["T0"]}, "no_processing_single", horizon=HORIZON)
    fit, counts = linear_model.Ridge.fit, []
    monkeypatch.setattr(
        linear_model.Ridge, "fit", lambda self, x, y: counts.append(len(x)) or fit(self, x, y)
    )
    Ridge(alphas=[1.0, 2.0]).fit(data)
    table = training_table(data, max_values=10**9)
    held_out = np.quantile(table.origin, 0.8, method="lower")
    # The last targets of the older windows are known when the first of the newer ones is asked.
    assert counts == [(table.end <= held_out).sum()] * 2 + [len(table.origin)]
    assert counts[0] == (table.origin < held_out).sum() - (HORIZON - 1)


def follower(count=900, *, share, seed=3):
    """Returns that follow the one before: something to be learnt."""
    bars = random_bars(count, seed=seed)
    rng = np.random.default_rng(seed)
    returns = np.zeros(count)
    for place in range(1, count):
        returns[place] = share * returns[place - 1] + rng.normal(0, 0.02)
    close = 50 * np.exp(np.cumsum(returns))
    bars[["Open", "High", "Low", "Close"]] = close[:, None] * np.array([1.0, 1.001, 0.999, 1.0])
    return bars


@pytest.mark.parametrize("baseline", [Ridge(), Trees()], ids=["ridge", "trees"])
def test_what_can_be_learnt_is_learnt(baseline):
    data = market({"AR": follower(2000, share=0.6)}, "no_processing_single", horizon=2)
    found = forecasts(baseline, data)
    close = data.panel_.values[:, data.layout.target].astype(np.float64)
    rows = np.searchsorted(data.panel_.calendar, [time for _, time, _ in found])
    actual = close[rows[:, None] + np.arange(1, 3)]
    errors = np.square(np.stack([row for *_, row in found]) - actual).mean()
    naive = np.square(close[rows, None] - actual).mean()
    assert np.sqrt(errors / naive) < 0.95  # 0.8 = sqrt(1 - 0.6^2) is all there is at step 1


def test_ridge_weighs_the_penalty_by_what_there_is_to_learn():
    learnable, noise = (
        market({"AR": follower(share=share)}, "no_processing_single", horizon=1) for share in (0.6, 0.0)
    )
    chosen = {}
    for kind, data in (("learnable", learnable), ("noise", noise)):
        ridge = Ridge(alphas=[10.0**power for power in range(6)])
        ridge.fit(data)
        chosen[kind] = ridge.alpha_
    assert chosen["learnable"] < chosen["noise"] == 100_000


def test_trees_are_those_of_scikit_learn(source):
    from sklearn.ensemble import HistGradientBoostingRegressor

    bars = source["T0"]
    data = market({"T0": bars}, "no_processing_single", horizon=HORIZON)
    table = TableByHand(bars, data)
    oracle = [
        HistGradientBoostingRegressor(
            max_iter=20, learning_rate=0.1, max_leaf_nodes=4, min_samples_leaf=10, early_stopping=False
        ).fit(table.inputs, targets)
        for targets in table.targets.T
    ]
    trees = Trees(iterations=20, learning_rate=0.1, leaves=4, min_samples_leaf=10)
    agree = []
    for _, day, row in forecasts(trees, data):
        place = bars.index.get_loc(day)
        seen = table.scaled(anchored(bars, place, data.seq_len))
        moves = [model.predict(seen[None])[0] for model in oracle] * table.scale
        wanted = closes(source, "T0").iloc[place] * (1 + moves)
        agree.append(np.allclose(row, wanted, rtol=1e-5))
    # A window on the border between two leaves may fall either way by rounding.
    assert np.mean(agree) > 0.9


@pytest.mark.parametrize("kind", [Ridge, Trees])
def test_large_panels_are_thinned(kind, data, monkeypatch):
    monkeypatch.setattr("forecast.model.regression._MIN_WINDOWS", 50)
    windows = len(data.windows_["train"])
    width = data.seq_len * 4
    assert len(training_table(data, max_values=windows * width).inputs) == windows
    thinned = training_table(data, max_values=width * 120).inputs
    assert 90 <= len(thinned) <= 120 < windows
    few, every = kind(max_values=width * 120), kind()
    assert any(
        (a != b).any() for (*_, a), (*_, b) in zip(forecasts(few, data), forecasts(every, data), strict=True)
    )


def test_the_training_share_is_the_share_of_bars_that_rose(source):
    data = market(source, "no_processing_panel", horizon=HORIZON, target=Direction())
    last_day = data.panel_.time_of(data.split_ranges_["train"][1])
    for ticker, _, row in forecasts(TrainingMean(), data):
        known = closes(source, ticker)
        rose = (known.diff() > 0)[1:][: known.index.get_loc(last_day)]
        np.testing.assert_allclose(row, rose.mean(), rtol=1e-6)


def test_the_mean_of_returns_so_far(source):
    data = market(source, "no_processing_panel", horizon=HORIZON, target=Return())
    for ticker, day, row in forecasts(HistoricalMean(), data):
        returns = np.log(closes(source, ticker)).diff()[1:].astype("float32")
        np.testing.assert_allclose(row, returns[:day].astype("float64").mean(), rtol=1e-3, atol=1e-9)


def test_a_seasonal_mean_knows_the_day_of_the_week():
    bars = random_bars(300, seed=4)
    bars["Volume"] = 1e6 * np.exp(0.3 * (bars.index.day_of_week == 4) + 0.001 * np.arange(300))
    data = market({"A": bars}, "no_processing_single", horizon=HORIZON, target=Volume())
    assert data.bars.interval == "1d"
    for _, day, row in forecasts(SeasonalMean(), data):
        logs = np.log(bars["Volume"].astype("float64"))
        ahead = logs[day:].iloc[1 : HORIZON + 1]
        # The level of the last five bars lies back by two to five bars, the day of the week is right.
        slope = 0.001 * (2 + np.arange(1, len(ahead) + 1))
        np.testing.assert_allclose(row[: len(ahead)], ahead - slope, atol=0.0025)


def test_a_season_of_ones_own_and_a_short_history():
    bars = random_bars(120, seed=4)
    data = market({"A": bars}, "no_processing_single", horizon=HORIZON, seq_len=3)
    model = SeasonalMean(period=7, seasons=2)
    assert model.history == 14
    known = closes({"A": bars}, "A").to_numpy()
    for (_, _, row), place in zip(forecasts(model, data, "train"), range(2, 100), strict=False):
        last = known[max(place - 6, 0) : place + 1]
        away = [known[stop - 7 : stop] for stop in (place + 1, place - 6) if stop >= 7]
        places = np.mean([one - one.mean() for one in away], axis=0)[:3] if away else 0.0
        np.testing.assert_allclose(row, last.mean() + places, rtol=1e-12)
