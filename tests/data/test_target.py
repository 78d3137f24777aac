"""A target of one's own is one class: its values, its unit, how an answer becomes a value, nothing else anywhere."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from markets import STRATEGIES, Memory, market, random_bars, tables

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing, Returns
from forecast.data.layout import rows
from forecast.data.normaliser import WindowNormaliser
from forecast.data.target import Close, Direction, Range, Return, Target, Volatility, Volume
from forecast.errors import UserError


class MeanRange(Target):
    """One's own: the mean of the next five ranges, in logs."""

    name = "mean_range"
    unit = "fraction"
    column = "MeanRange"
    span = 5
    lead = span - 1
    warm_up = span - 1

    def values(self, bars):
        return np.log(((bars["High"] - bars["Low"]) / bars["Close"]).rolling(self.span).mean())

    def in_unit(self, values):
        return np.exp(values)

    def expected(self, values, variance):
        return np.exp(values + variance / 2)


class SimpleReturn(Target):
    name = "return"
    unit = "fraction"
    column = "SimpleReturn"
    relation = "level"
    warm_up = 1

    def values(self, bars):
        return bars["Close"].pct_change()

    def naive(self, values):
        return np.zeros(len(values))


TARGETS = [Close, Return, Direction, Volatility, Range, Volume, MeanRange, SimpleReturn]


def prepared(target, strategy="no_processing_panel", **keys):
    features, scope = STRATEGIES[strategy]
    source = tables()
    data = MarketData(
        source=Memory(source),
        features=features(),
        scope=scope,
        tickers=["T0"] if scope == "single" else list(source),
        target=target,
        **{"seq_len": 8, "horizon": 2, "scaler": TimeSeriesScaler()} | keys,
    )
    data.prepare()
    return data


@pytest.mark.parametrize("strategy", ["no_processing_single", "returns_multiple", "range_panel"])
@pytest.mark.parametrize("kind", TARGETS)
def test_windows_hold_what_a_target_says_of_each_bar(kind, strategy):
    target = kind()
    data = prepared(target, strategy)
    follow = target.lead + data.horizon
    assert data.embargo == follow
    inputs = len(data.layout.relations)
    assert inputs == len(data.features.columns) * (3 if strategy.endswith("multiple") else 1)
    source = tables()
    for split, (first, last) in data.split_ranges_.items():
        windows = data.windows_[split]
        batch = windows.take(np.arange(len(windows)))
        assert data.panel_.times[batch.rows + 1].min() >= first
        assert batch.ahead.max() <= last
        for number in range(0, len(windows), 17):
            values = target.values(source[data.panel_.names[batch.series[number]]])
            place = values.index.get_loc(data.panel_.time_of(batch.origin[number]))
            ahead = place + target.lead + 1
            np.testing.assert_allclose(batch.outcome[number], values.iloc[ahead : ahead + 2], rtol=1e-6)
            np.testing.assert_allclose(batch.history[number], values.iloc[place - 7 : place + 1], rtol=1e-6)


@pytest.mark.parametrize("anchor", ["last", "none"])
@pytest.mark.parametrize("instance_norm", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_answers_become_the_values_they_were_trained_on(kind, anchor, instance_norm):
    data = prepared(kind(), anchor=anchor, instance_norm=instance_norm)
    batch = data.windows_["test"].take(np.arange(len(data.windows_["test"])))
    windows, future = torch.from_numpy(batch.windows), torch.from_numpy(batch.future)
    normaliser = WindowNormaliser.from_json(json.loads(json.dumps(data.normaliser_.to_json())))
    answers = normaliser.targets(windows, future)
    assert torch.equal(answers, data.normaliser_.targets(windows, future))
    if kind.relation == "probability":
        assert set(answers.unique().tolist()) <= {0.0, 1.0}, "a cross-entropy wants the values as they are"
        chances = normaliser.values(windows, torch.full_like(answers, 2.0))
        torch.testing.assert_close(chances, torch.full_like(chances, 1 / (1 + np.exp(-2.0))))
        return
    np.testing.assert_allclose(normaliser.values(windows, answers), batch.outcome, rtol=1e-4, atol=1e-6)
    if kind.relation in ("ratio", "difference") and anchor == "last":
        still = normaliser.values(windows, torch.zeros_like(answers)).numpy()
        np.testing.assert_allclose(still, np.repeat(batch.history[:, -1:], 2, axis=1), rtol=1e-6)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_scale_of_mase_is_the_naive_error_in_the_unit_and_knows_no_window_length(kind):
    target = kind()
    data = prepared(target, seq_len=8)
    np.testing.assert_array_equal(data.naive_scale_, prepared(target, seq_len=25).naive_scale_)
    for number, (ticker, bars) in enumerate(tables().items()):
        values = target.values(bars)[: data.panel_.time_of(data.split_ranges_["train"][1])].dropna()
        values = values.to_numpy().astype(np.float32).astype(np.float64)
        ahead = target.lead + 1
        errors = np.abs(target.in_unit(values[ahead:]) - target.naive(values[:-ahead, None]))
        np.testing.assert_allclose(data.naive_scale_[number], errors.mean(), rtol=1e-9, err_msg=ticker)


def test_a_bar_without_a_value_is_a_gap(caplog):
    source = tables(number=1)
    idle = source["T0"].index[60]
    source["T0"].loc[idle, "Volume"] = 0.0
    data = MarketData(
        source=Memory(source), features=NoProcessing(), scope="single", tickers=["T0"], target=Volume()
    )
    data.prepare()
    assert idle.to_datetime64() not in data.panel_.calendar
    wanted = "1 of 160 bars have no value of target=volume; no window spans them (Volume is 0)"
    assert wanted in caplog.text
    assert [fault.detail for fault in data.faults_] == [wanted]


def test_the_target_of_a_row_is_the_same_in_training_and_serving():
    bars = random_bars(60, seed=4)
    table = rows(Returns(), bars, Range(span=5))
    assert list(table.columns) == [*Returns.columns, "Close", "LogRange", "BarLogRange"]
    np.testing.assert_array_equal(table["LogRange"], Range(span=5).values(bars))
    np.testing.assert_array_equal(table["BarLogRange"], Range().values(bars))
    np.testing.assert_array_equal(
        table.iloc[-20:], rows(Returns(), bars.iloc[-45:], Range(span=5)).iloc[-20:], "wherever bars begin"
    )
    assert list(rows(Returns(), bars).columns) == [*Returns.columns, "Close"]


def test_an_embargo_that_is_shorter_than_what_a_forecast_reaches():
    message = "data.embargo=3: must be at least data.horizon=2 and the 4 bars before it, or null"
    with pytest.raises(UserError, match=message):
        prepared(MeanRange(), embargo=3)


def test_a_target_known_only_in_logs_is_corrected_for_its_bias():
    logs = np.random.default_rng(0).normal(-4, 0.5, 200_000)
    target = Range()
    assert target.expected(np.array([-4.0]), 0.25) == pytest.approx(np.exp(logs).mean(), rel=0.01)
    assert target.forecast_in_unit(np.array([-40.0]), 0.25) == target.floor
    assert target.naive(np.array([[-3.0, -4.0]])) == pytest.approx(np.exp(-4.0))


def test_close_is_the_default():
    data = market(tables(), "no_processing_single")
    assert (data.target.name, data.target.unit, data.target.trading_rule) == ("close", "price", True)


def test_a_whole_run_forecasts_one_s_own_in_its_unit(tmp_path):
    from composed import compose

    import forecast
    from forecast.bundle import verify_golden
    from forecast.data.sources import SampleSource
    from forecast.pipeline import run

    kind = MeanRange
    target = kind()
    config = compose(
        "trainer=smoke",
        "tracker=none",
        "baselines=none",
        "plots=false",
        "data=no_processing_panel",
        "data.tickers=[AAPL,IBM]",
        "data.period=4y",
        f"target._target_={kind.__module__}.{kind.__name__}",
    )
    table = run(config, tmp_path / "run").forecasts
    bars = SampleSource().bars("AAPL")
    values = pd.Series(target.in_unit(target.values(bars)), bars.index)
    own = table[(table["ticker"] == "AAPL") & (table["split"] == "test")].set_index("date")
    np.testing.assert_allclose(own["actual"], values.loc[own.index], rtol=1e-4, atol=1e-6)
    naive = values.shift(target.lead + 1)
    np.testing.assert_allclose(own["naive"], naive.loc[own.index], rtol=1e-4, atol=1e-6)
    predictor = forecast.load(tmp_path / "run")
    assert verify_golden(tmp_path / "run", predictor) > 0
    again = predictor.predict(bars.iloc[: -target.lead - 1]).iloc[-1]
    np.testing.assert_allclose(again["forecast"], own["forecast"].iloc[-1], rtol=1e-5)
    np.testing.assert_allclose(again["naive"], own["naive"].iloc[-1], rtol=1e-5)
