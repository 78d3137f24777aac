"""HAR and EWMA, computed again from the bars by other means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from forecasters import whole
from markets import market, tables

import forecast
from forecast.data.target import Target, Volatility
from forecast.errors import UserError
from forecast.model import Ewma, Har
from forecast.model.forecaster import forecast_in_unit, measure_errors

HORIZON = 2


class LogVariance(Target):
    """Log of Parkinson's variance, the mean of `span` bars."""

    name = "volatility"
    unit = "variance"
    column = "log variance"
    logs = True

    def __init__(self, span=1):
        self.span = span
        self.lead = self.warm_up = span - 1
        self.bar_column = None if span == 1 else "log variance of a bar"

    def variance(self, bars):
        return np.log(bars["High"] / bars["Low"]) ** 2 / (4 * np.log(2)) + 1e-8

    def values(self, bars):
        return np.log(self.variance(bars).rolling(self.span).mean())

    def bar_values(self, bars):
        return np.log(self.variance(bars))


@pytest.fixture(scope="module")
def source():
    return tables(400, number=3)


def data_of(source, span=1, strategy="no_processing_panel", target=None, **keys):
    return market(source, strategy, horizon=HORIZON, target=target or LogVariance(span), **keys)


def by_pandas(target, bars, horizon):
    """Regressors and what followed, from the bars of one ticker; 32-bit as in the panel."""
    values = target.values(bars).astype("float32").astype("float64")
    bars, values = bars[values.notna()], values.dropna()  # the panel holds bars that have a value
    logs = target.bar_values(bars).astype("float32").astype("float64")
    closes = bars["Close"].astype("float32").astype("float64")
    table = pd.DataFrame({"one": 1.0}, index=bars.index)
    for span in (1, 5, 22):
        table[f"mean{span}"] = np.log(np.exp(logs).rolling(span).mean())
        table[f"log{span}"] = logs.rolling(span).mean()
        table[f"fall{span}"] = (np.log(closes).diff(span) / span).clip(upper=0)
    for step in range(1, horizon + 1):
        table[f"y{step}"] = values.shift(-target.lead - step)
    return table


@pytest.mark.parametrize("span", [1, 5])
@pytest.mark.parametrize(
    ("leverage", "pooled", "geometric"),
    [(False, False, False), (True, False, False), (True, True, False), (True, True, True)],
)
def test_har_is_least_squares_on_means_of_variances(source, span, leverage, pooled, geometric):
    data = data_of(source, span)
    mean = "log" if geometric else "mean"
    columns = ["one", f"{mean}1", f"{mean}5", f"{mean}22"] + ["fall1", "fall5", "fall22"] * leverage
    outputs = ["y1", "y2"]
    last = data.panel_.time_of(data.split_ranges_["train"][1])
    tables, training = {}, {}
    for ticker, bars in source.items():
        tables[ticker] = by_pandas(data.target, bars, HORIZON)
        known = by_pandas(data.target, bars[bars.index <= last], HORIZON)
        training[ticker] = known.dropna(subset=columns + outputs)
    forecaster = Har(leverage=leverage, pooled=pooled, geometric=geometric)
    forecaster.fit(data)
    batch = whole(data, "test")
    found = forecaster.forecast(batch).values
    for number, ticker in enumerate(source):
        learnt = pd.concat(training.values()) if pooled else training[ticker]
        solved, *_ = np.linalg.lstsq(learnt[columns].to_numpy(), learnt[outputs].to_numpy(), rcond=None)
        mine = batch.series == number
        origins = data.panel_.time_of(batch.origin[mine])
        expected = tables[ticker].loc[origins, columns].to_numpy() @ solved
        np.testing.assert_allclose(found[mine], expected, rtol=1e-7)


@pytest.mark.parametrize("span", [1, 5])
def test_ewma_is_pandas_mean_moved_by_its_training_error(source, span):
    data = data_of(source, span)
    forecaster = Ewma(decay=0.9)
    forecaster.fit(data)
    batch = whole(data, "test")
    found = forecaster.forecast(batch).values
    last = data.panel_.time_of(data.split_ranges_["train"][1])
    errors, means = [], {}
    for ticker, bars in source.items():
        logs = data.target.bar_values(bars[span - 1 :]).astype("float32").astype("float64")
        means[ticker] = np.log(np.exp(logs).ewm(alpha=0.1).mean())
        values = data.target.values(bars[bars.index <= last])
        errors.append(pd.DataFrame({s: values.shift(-data.target.lead - s) - means[ticker] for s in (1, 2)}))
    shift = pd.concat(errors).dropna().mean().to_numpy()
    for number, ticker in enumerate(source):
        mine = batch.series == number
        origins = data.panel_.time_of(batch.origin[mine])
        expected = means[ticker].loc[origins].to_numpy()[:, None] + shift
        np.testing.assert_allclose(found[mine], expected, rtol=1e-6)
    assert (np.abs(shift) > 0.01).all(), "this test must be able to fail"


def test_ewma_of_prices_is_their_weighted_mean(source):
    data = market(source, "no_processing_panel")
    forecaster = Ewma(decay=0.8)
    forecaster.fit(data)
    batch = whole(data, "test")
    found = forecaster.forecast(batch).values
    closes = source["T1"]["Close"].astype("float32").astype("float64").to_numpy()
    place = len(closes) - 1 - data.horizon  # of the newest window
    weights = 0.8 ** np.arange(place + 1)
    expected = (weights * closes[place::-1]).sum() / weights.sum()
    np.testing.assert_allclose(found[batch.series == 1][-1], expected, rtol=1e-12)
    # What it says to look at is enough.
    near = weights[: forecaster.history]
    np.testing.assert_allclose(
        (near * closes[place::-1][: forecaster.history]).sum() / near.sum(), expected, rtol=1e-8
    )


@pytest.mark.parametrize("estimator", ["squared", "parkinson"])
def test_the_correction_gives_the_mean_of_variances_however_errors_of_logs_are_spread(source, estimator):
    target = Volatility(estimator=estimator)
    data = data_of(source, target=target)
    forecaster = Har(pooled=True)
    forecaster.fit(data)
    measure_errors(forecaster, data)
    batch = whole(data, "train")
    found = forecast_in_unit(forecaster, batch, target).values
    came = target.in_unit(batch.outcome)
    assert 0.8 < (found**2).mean() / (came**2).mean() < 1.1  # 2 to 3 of squared returns, were they lognormal


def test_har_with_too_few_bars_says_so_in_one_line():
    with pytest.raises(
        UserError, match=r"^Har: means over bars=\[1, 5, 22\] can be taken at 38 training bars, needs 40"
    ) as found:
        Har().fit(data_of(tables(60, number=1), strategy="no_processing_single"))
    assert "\n" not in str(found.value)


def test_har_of_few_bars_learns_from_means_of_the_bars_there_are():
    data = data_of(tables(100, number=1), strategy="no_processing_single")
    forecaster = Har(bars=[1, 5, 66])
    forecaster.fit(data)
    batch = whole(data, "test")
    assert np.isfinite(forecaster.forecast(batch).values).all()


def test_a_run_of_too_few_bars_is_refused_and_leaves_nothing(tmp_path):
    words = ("target=volatility", "model=har", "tracker=none", "data.period=60d")
    with pytest.raises(UserError, match=r"^Har: means over bars="):
        forecast.run(*words, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_har_refuses_bars_out_of_order():
    with pytest.raises(UserError, match=r"model.bars=\[5, 1\]: must be ascending"):
        Har(bars=[5, 1])


def test_har_of_a_short_history_takes_the_means_of_what_there_is(source):
    short = dict(source, NEW=source["T0"].iloc[-10:].copy())
    data = data_of(short, seq_len=3)
    forecaster = Har(leverage=True)
    forecaster.fit(data)
    batch = whole(data, "test")
    mine = batch.series == 3
    assert mine.sum() > 3
    assert np.isfinite(forecaster.forecast(batch).values[mine]).all()
