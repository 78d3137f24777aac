"""The simple baselines and the linear one, computed again from the bars by other means."""

from __future__ import annotations

import numpy as np
import pytest
from markets import market, random_bars, tables

from forecast.evaluate.baselines import Drift, HistoricalMean, MovingAverage, Ridge, Trees

HORIZON = 3


@pytest.fixture(scope="module")
def source():
    return tables(number=3)


@pytest.fixture(scope="module")
def data(source):
    return market(source, "no_processing_panel", horizon=HORIZON)


def forecasts(baseline, data, split="test"):
    """Ticker, place of the origin among the ticker's bars, forecast."""
    baseline.fit(data)
    windows = data.windows_[split]
    batch = windows.take(np.arange(len(windows)))
    found = baseline.predict(data, batch)
    days = data.panel_.days[batch.rows].astype("datetime64[D]")
    return [(data.panel_.names[s], day, row) for s, day, row in zip(batch.series, days, found, strict=True)]


def closes(source, ticker):
    # The panel holds 32-bit prices.
    return source[ticker]["Close"].astype("float32").astype("float64")


def test_drift(source, data):
    last_day = np.datetime64(data.stretches_["train"][1], "D")
    for ticker, day, row in forecasts(Drift(), data):
        trained, known = closes(source, ticker).loc[:last_day], closes(source, ticker).loc[:day]
        slope = trained.diff().mean()
        np.testing.assert_allclose(row, known.iloc[-1] + slope * np.arange(1, HORIZON + 1), rtol=1e-12)


def test_drift_of_a_rolling_window_begins_where_training_does(source, data):
    first, last = data.stretches_["train"]
    rolled = data.divided(data.stretches_ | {"train": (first + 60, last)})
    (ticker, day, row), *_ = forecasts(Drift(), rolled)
    trained = closes(source, ticker).loc[np.datetime64(first + 60, "D") : np.datetime64(last, "D")]
    wanted = closes(source, ticker)[day] + trained.diff().mean() * np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(row, wanted, rtol=1e-12)


def test_historical_mean(source, data):
    for ticker, day, row in forecasts(HistoricalMean(), data):
        known = closes(source, ticker).loc[:day]
        growth = 1 + known.pct_change().mean()
        np.testing.assert_allclose(row, known.iloc[-1] * growth ** np.arange(1, HORIZON + 1), rtol=1e-12)


@pytest.mark.parametrize("window", [1, 5, 400])
def test_moving_average(source, data, window, monkeypatch):
    monkeypatch.setattr("forecast.evaluate.baselines.moving_average._PIECE", 1000)
    for ticker, day, row in forecasts(MovingAverage(window=window), data):
        mean = closes(source, ticker).loc[:day].iloc[-window:].mean()
        np.testing.assert_allclose(row, mean, rtol=1e-12)


def test_gaps_are_closed_up(source):
    holed = {"T0": source["T0"].copy()}
    gone = holed["T0"].index[[40, 41, 137]]
    holed["T0"].loc[gone, "High"] = np.nan
    data = market(holed, "no_processing_single", horizon=1, seq_len=4)
    assert len(data.panel_.bounds) == 3
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
    told = window / window["Close"].iloc[-1] - 1
    told["Volume"] = np.log1p(window["Volume"]) - np.log1p(window["Volume"].iloc[-1])
    return told.to_numpy()


class Lessons:
    """All training windows of one ticker, from its bars."""

    def __init__(self, bars, data):
        close = bars["Close"].astype("float32").astype("float64").to_numpy()
        last_day = np.datetime64(data.stretches_["train"][1], "D")
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
    taught = Lessons(bars, data)
    centre, level = taught.inputs.mean(axis=0), taught.targets.mean(axis=0)
    gram = (taught.inputs - centre).T @ (taught.inputs - centre) + 7.0 * np.eye(taught.inputs.shape[1])
    weights = np.linalg.solve(gram, (taught.inputs - centre).T @ (taught.targets - level))
    ridge = Ridge(alphas=[7.0])
    told = forecasts(ridge, data)
    assert ridge.alpha_ == 7.0
    for _, day, row in told:
        place = bars.index.get_loc(day)
        seen = taught.scaled(anchored(bars, place, data.seq_len))
        moves = ((seen - centre) @ weights + level) * taught.scale
        np.testing.assert_allclose(row, closes(source, "T0").iloc[place] * (1 + moves), rtol=2e-6)


def test_ridge_chooses_the_largest_penalty_that_is_no_worse():
    from forecast.evaluate.baselines.ridge import _choose

    days = np.repeat(np.arange(50, dtype=np.int32), 2)
    noise = np.random.default_rng(0).normal(0, 1, 100)
    base = 10 + noise
    errors = np.stack(
        [base, base + 0.1 * np.tile([1.0, -0.9], 50), base + 0.5, base + 3 * np.tile([1, -1], 50)]
    )
    # the second is worse by less than its noise, the third by exactly 0.5 everywhere; the fourth's tickers cancel
    # out on each day, so it is no worse at all
    assert _choose([1.0, 10.0, 100.0, 5.0], errors, days) == 5.0
    assert _choose([1.0, 10.0, 100.0], errors[:3], days) == 1.0
    assert _choose([1.0, 100.0, 10.0], errors[[0, 2, 0]], days) == 10.0


def test_ridge_chooses_on_days_that_its_lessons_do_not_reach(source, monkeypatch):
    from sklearn import linear_model

    from forecast.evaluate.baselines.anchored import lessons

    data = market({"T0": source["T0"]}, "no_processing_single", horizon=HORIZON)
    fit, counts = linear_model.Ridge.fit, []
    monkeypatch.setattr(
        linear_model.Ridge, "fit", lambda self, x, y: counts.append(len(x)) or fit(self, x, y)
    )
    Ridge(alphas=[1.0, 2.0]).fit(data)
    taught = lessons(data, most=10**9)
    held_out = np.quantile(taught.origin, 0.8, method="lower")
    # The last targets of the older windows are known when the first of the newer ones is asked.
    assert counts == [(taught.end <= held_out).sum()] * 2 + [len(taught.origin)]
    assert counts[0] == (taught.origin < held_out).sum() - (HORIZON - 1)


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
    told = forecasts(baseline, data)
    close = data.panel_.values[:, data.layout.target].astype(np.float64)
    rows = np.searchsorted(data.panel_.days, [day.astype(int) for _, day, _ in told])
    actual = close[rows[:, None] + np.arange(1, 3)]
    errors = np.square(np.stack([row for *_, row in told]) - actual).mean()
    naive = np.square(close[rows, None] - actual).mean()
    assert np.sqrt(errors / naive) < 0.95  # 0.8 = sqrt(1 - 0.6^2) is all there is at step 1


def test_ridge_weighs_the_penalty_by_what_there_is_to_learn():
    learnable, noise = (
        market({"AR": follower(share=share)}, "no_processing_single", horizon=1) for share in (0.6, 0.0)
    )
    chosen = {}
    for kind, data in (("learnable", learnable), ("noise", noise)):
        ridge = Ridge()
        ridge.fit(data)
        chosen[kind] = ridge.alpha_
    assert chosen["learnable"] < chosen["noise"] == 100_000


def test_trees_are_those_of_scikit_learn(source):
    from sklearn.ensemble import HistGradientBoostingRegressor

    bars = source["T0"]
    data = market({"T0": bars}, "no_processing_single", horizon=HORIZON)
    taught = Lessons(bars, data)
    oracle = [
        HistGradientBoostingRegressor(
            max_iter=20, learning_rate=0.1, max_leaf_nodes=4, min_samples_leaf=10, early_stopping=False
        ).fit(taught.inputs, targets)
        for targets in taught.targets.T
    ]
    trees = Trees(iterations=20, learning_rate=0.1, leaves=4, min_samples_leaf=10)
    agree = []
    for _, day, row in forecasts(trees, data):
        place = bars.index.get_loc(day)
        seen = taught.scaled(anchored(bars, place, data.seq_len))
        moves = [model.predict(seen[None])[0] for model in oracle] * taught.scale
        wanted = closes(source, "T0").iloc[place] * (1 + moves)
        agree.append(np.allclose(row, wanted, rtol=1e-5))
    # A window on the border between two leaves may fall either way by rounding.
    assert np.mean(agree) > 0.9


@pytest.mark.parametrize("kind", [Ridge, Trees])
def test_large_panels_are_thinned(kind, data, monkeypatch):
    from forecast.evaluate.baselines.anchored import lessons

    monkeypatch.setattr("forecast.evaluate.baselines.anchored._FEWEST", 50)
    windows = len(data.windows_["train"])
    width = data.seq_len * 4
    assert len(lessons(data, most=windows * width).inputs) == windows
    thinned = lessons(data, most=width * 120).inputs
    assert 90 <= len(thinned) <= 120 < windows
    few, every = kind(max_values=width * 120), kind()
    assert any(
        (a != b).any() for (*_, a), (*_, b) in zip(forecasts(few, data), forecasts(every, data), strict=True)
    )
