"""The strategies are exactly what they are said to be."""

import numpy as np
import pytest
from markets import STRATEGIES, Memory, market, random_bars, tables

from forecast.data import MarketData
from forecast.data.features import NoProcessing
from forecast.errors import UserError

FOUR = ["High", "Low", "Close", "Volume"]


@pytest.mark.parametrize(
    "strategy", [name for name in STRATEGIES if name.startswith(("no_processing", "range"))]
)
def test_columns_and_values(strategy):
    source = tables()
    data = market(source, strategy)
    expected = {ticker: bars.assign(Range=bars["High"] - bars["Low"]) for ticker, bars in source.items()}
    columns = [*FOUR, "Range"] if strategy.startswith("range") else FOUR
    panel = data.panel_
    if strategy.endswith("single"):
        assert data.layout.names == columns
        np.testing.assert_array_equal(panel.values, expected["T0"][columns].to_numpy(np.float32))
    elif strategy.endswith("multiple"):
        common = expected["T2"].index  # the youngest
        assert data.layout.names == [f"{ticker}.{column}" for ticker in source for column in columns]
        side_by_side = np.concatenate([expected[t].loc[common, columns].to_numpy() for t in source], axis=1)
        np.testing.assert_array_equal(panel.values, side_by_side.astype(np.float32))
        assert panel.names == ["T0"]
        assert data.layout.names[data.layout.target] == "T0.Close"
    else:
        assert panel.names == list(source)
        pooled = np.concatenate([expected[ticker][columns].to_numpy(np.float32) for ticker in source])
        np.testing.assert_array_equal(panel.values, pooled)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_target_is_the_next_closes_of_the_target_ticker(strategy):
    source = tables()
    data = market(source, strategy)
    for windows in data.windows_.values():
        batch = windows.take(np.arange(len(windows)))
        for number, row in enumerate(batch.rows):
            name = data.panel_.names[batch.series[number]]
            closes = source[name]["Close"]
            position = closes.index.get_loc(data.panel_.time_of(data.panel_.times[row]))
            np.testing.assert_allclose(
                batch.future[number, :, data.layout.target],
                closes.iloc[position + 1 : position + 3].to_numpy(),
                rtol=1e-6,
            )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_splits_are_by_date_with_the_embargo_between(strategy):
    data = market(tables(), strategy, embargo=5)
    calendar = np.arange(len(data.panel_.calendar))
    days = {}
    for split, windows in data.windows_.items():
        batch = windows.take(np.arange(len(windows)))
        days[split] = data.panel_.times[batch.rows[:, None] + [1, 2]]
    for before, after in (("train", "val"), ("val", "test")):
        between = (calendar > days[before].max()) & (calendar < days[after].min())
        assert between.sum() == 5
    for windows in (data.windows_["train"],):
        batch = windows.take(np.arange(len(windows)))
        assert data.panel_.times[batch.rows].max() < days["val"].min()
    assert days["test"].max() == calendar[-1]


def test_panel_splits_on_the_calendar_not_by_ticker():
    source = {"OLD": random_bars(300, seed=1), "YOUNG": random_bars(300, seed=2).iloc[240:]}
    data = market(source, "no_processing_panel")
    first_test = data.split_ranges_["test"][0]
    young = [data.windows_[s].take(np.arange(len(data.windows_[s]))) for s in ("train", "val")]
    assert not (young[0].series == 1).any(), "all of YOUNG lies after the training years"
    for batch in young:
        assert data.panel_.times[batch.rows + 2].max() < first_test


def test_every_evaluation_day_is_forecast():
    data = market(tables(), "no_processing_single", horizon=1)
    for split in ("val", "test"):
        batch = data.windows_[split].take(np.arange(len(data.windows_[split])))
        first, last = data.split_ranges_[split]
        np.testing.assert_array_equal(data.panel_.times[batch.rows + 1], np.arange(first, last + 1))


def test_default_embargo_is_the_horizon():
    assert market(tables(), "no_processing_single", horizon=3).embargo == 3


@pytest.mark.parametrize(
    ("scope", "names", "message"),
    [
        ("single", ["T0", "T1"], r"data.tickers=\['T0', 'T1'\]: a single strategy takes exactly 1 ticker"),
        ("multiple", ["T0"], r"data.tickers=\['T0'\]: a multiple strategy needs at least 2 tickers"),
        ("panel", [], r"data.tickers=\[\]: names no ticker"),
        ("panel", ["T0", "T0"], "names a ticker twice"),
    ],
)
def test_tickers_that_do_not_fit_the_scope(scope, names, message):
    with pytest.raises(UserError, match=message):
        MarketData(source=Memory(tables()), features=NoProcessing(), scope=scope, tickers=names)


def test_none_means_every_ticker_of_the_source():
    data = MarketData(source=Memory(tables()), features=NoProcessing(), scope="panel", tickers=None)
    assert data.tickers == ["T0", "T1", "T2"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train_ratio": 0.9, "val_ratio": 0.1}, "must sum to less than 1"),
        ({"embargo": 1, "horizon": 2}, "data.embargo=1: must be at least data.horizon=2"),
        ({"period": "7q"}, "data.period=7q: must be max, ytd"),
        ({"start": "2020-13-01"}, "data.start=2020-13-01: must be a date"),
        ({"start": "2021-01-01", "end": "2020-01-01"}, "must not be after data.end"),
        ({"seq_len": 500}, "leave no train window of data.seq_len=500"),
        ({"start": "2030-01-01"}, "no bars in data.start=2030-01-01"),
    ],
)
def test_impossible_demands(keys, message):
    with pytest.raises(UserError, match=message):
        market(tables(), "no_processing_single", **keys)


def test_a_gap_is_never_spanned():
    source = tables(number=1)
    source["T0"].iloc[60, :] = np.nan
    data = market(source, "no_processing_single")
    hole = source["T0"].index[60].to_datetime64()
    assert hole not in data.panel_.calendar
    for windows in data.windows_.values():
        batch = windows.take(np.arange(len(windows)))
        inside = data.panel_.time_of(data.panel_.times[batch.rows[:, None] + np.arange(-7, 3)])
        assert not ((inside.min(axis=1) < hole) & (inside.max(axis=1) > hole)).any()


@pytest.mark.parametrize(
    ("period", "first"),
    [
        ("10d", "2020-08-02"),
        ("2wk", "2020-07-29"),
        ("1mo", "2020-07-12"),
        ("ytd", "2020-01-01"),
        ("1y", "2020-01-01"),
        ("9999y", "2020-01-01"),
    ],
)
def test_period_counts_back_from_the_last_bar(period, first):
    from forecast.data.bars import DateRange

    bars = random_bars(160, seed=0)
    kept = DateRange(period=period, start=None, end=None).cut(bars)
    assert kept.index[-1] == bars.index[-1]
    assert kept.index[0] >= np.datetime64(first)
    assert (bars.index >= kept.index[0]).sum() == len(kept)
    assert kept.index[0] - np.datetime64(first) <= np.timedelta64(3, "D")
