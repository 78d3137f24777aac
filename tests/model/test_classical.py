"""ARIMA and exponential smoothing against statsmodels' own forecasts, and where they give up."""

from __future__ import annotations

import numpy as np
import pytest
from forecasters import whole
from markets import market, random_bars, tables
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from forecast.data.target import Volatility
from forecast.model import AutoArima, AutoEts, Baselines, classical

HORIZON = 4


def bars_of(logs, *, seed=0):
    bars = random_bars(len(logs), seed=seed)
    bars[["Open", "High", "Low", "Close"]] = np.exp(logs)[:, None] * np.array([1.0, 1.001, 0.999, 1.0])
    return bars


def moving(count, *, ar=0.0, ma=0.0, mean=0.0, seed=0):
    """Log prices whose differences follow an ARMA(1, 1)."""
    noise = np.random.default_rng(seed).normal(0, 0.02, count)
    moves = np.zeros(count)
    for place in range(1, count):
        moves[place] = mean + ar * (moves[place - 1] - mean) + noise[place] + ma * noise[place - 1]
    return 3 + np.cumsum(moves)


def forecasts(baseline, data, split="test", *, every=1):
    baseline.fit(data)
    windows = data.windows_[split]
    batch = windows.take(np.arange(0, len(windows), every))
    return batch.rows, baseline.forecast(batch).values


def logs_of(data):
    return np.log(data.panel_.values[:, data.layout.target].astype(np.float64))


@pytest.mark.parametrize(
    ("logs", "orders"),
    [
        pytest.param(moving(400, ar=0.6), {(1, 1, 0), (1, 1, 1), (2, 1, 0)}, id="autoregressive"),
        pytest.param(moving(400, ma=-0.7), {(0, 1, 1), (1, 1, 1), (0, 1, 2)}, id="moving average"),
        pytest.param(moving(400, mean=0.02), {(0, 1, 0)}, id="drift"),
        pytest.param(
            3 + np.diff(moving(401, ar=0.5, seed=4)), {(1, 0, 0), (2, 0, 0), (1, 0, 1)}, id="stationary"
        ),
    ],
)
def test_arima_forecasts_what_statsmodels_does_from_each_bar(logs, orders):
    data = market({"A": bars_of(logs)}, "no_processing_single", horizon=HORIZON)
    arima = AutoArima()
    rows, found = forecasts(arima, data, every=9)
    (p, d, q), mean, params = arima.models_["A"]
    assert (p, d, q) in orders
    assert (mean != 0) == (d == 0 or abs(np.diff(logs).mean()) > 0.01)
    known = logs_of(data)
    for row, forecast in zip(rows, found, strict=True):
        history = known[: row + 1]
        values = np.diff(history) if d else history
        ahead = ARIMA(values, order=(p, 0, q), trend="c").filter([mean, *params]).forecast(HORIZON)
        path = history[-1] + np.cumsum(ahead) if d else ahead
        # A filter without a mean stops updating its gain once it has settled, which costs the eighth digit.
        np.testing.assert_allclose(np.log(forecast), path, rtol=0, atol=1e-7)


@pytest.mark.parametrize("mean", [0.0, 0.02])
def test_arima_learns_the_parameters_of_the_training_days(mean):
    data = market({"A": bars_of(moving(900, ar=0.6, mean=mean))}, "no_processing_single")
    arima = AutoArima(max_order=1)
    arima.fit(data)
    orders, found, params = arima.models_["A"]
    trained = np.diff(logs_of(data)[data.panel_.times <= data.split_ranges_["train"][1]])
    exact = ARIMA(trained, order=(1, 0, 0), trend="c").fit()
    assert orders == (1, 1, 0)
    np.testing.assert_allclose(params, exact.params[1:], rtol=2e-2)
    np.testing.assert_allclose(found, exact.params[0] if mean else 0, rtol=0.1)


@pytest.mark.parametrize("form", classical._FORMS)
def test_smoothing_forecasts_what_statsmodels_does_from_each_bar(form, monkeypatch):
    monkeypatch.setattr(classical, "_FORMS", (form,))
    data = market({"A": bars_of(moving(300, ma=-0.5, mean=0.01))}, "no_processing_single", horizon=HORIZON)
    ets = AutoEts()
    rows, found = forecasts(ets, data, every=4)
    trend, damped, params, damping = ets.models_["A"]
    assert (trend, damped) == form
    assert damped == (damping < 1)
    known = logs_of(data)
    for row, forecast in zip(rows, found, strict=True):
        oracle = ETSModel(known[: row + 1], error="add", trend=trend, damped_trend=damped).smooth(params)
        np.testing.assert_allclose(np.log(forecast), oracle.forecast(HORIZON), rtol=0, atol=1e-10)


def test_smoothing_sees_a_trend_where_there_is_one():
    steady = 3 + 0.01 * np.arange(300) + np.random.default_rng(1).normal(0, 0.01, 300)
    forms = {}
    for name, logs in (("steady", steady), ("walk", moving(300, seed=2))):
        ets = AutoEts()
        ets.fit(market({"A": bars_of(logs)}, "no_processing_single"))
        forms[name] = ets.models_["A"].trend
    assert forms == {"steady": "add", "walk": None}


@pytest.mark.parametrize("kind", [AutoArima, AutoEts])
def test_too_large_a_panel_is_left_out_with_a_note(kind):
    data = market(tables(number=3), "no_processing_panel")
    baselines = Baselines(members={"stats": kind(max_series=2)})
    baselines.fit(data)
    assert baselines.failed == {"stats": "fits one series after the other, and 3 are more than max_series=2"}


@pytest.mark.parametrize("kind", [AutoArima, AutoEts])
def test_a_price_without_a_logarithm(kind):
    bars = random_bars(160, seed=0)
    bars.iloc[20, bars.columns.get_loc("Close")] = -1.0
    data = market({"A": bars}, "no_processing_single", anchor="none")
    baselines = Baselines(members={"stats": kind()})
    baselines.fit(data)
    assert baselines.failed == {"stats": "A has a price of -1, which has no logarithm"}


def test_smoothing_that_never_converges_is_refused(monkeypatch):
    fit = ETSModel.fit
    monkeypatch.setattr(ETSModel, "fit", lambda self, **keys: fit(self, maxiter=1, **keys))
    baselines = Baselines(members={"ets": AutoEts()})
    baselines.fit(market(tables(number=1), "no_processing_single"))
    assert baselines.failed == {"ets": "no form of exponential smoothing converged"}


@pytest.mark.parametrize("kind", [AutoArima, AutoEts])
def test_logs_of_variances_are_modelled_as_they_are(kind):
    source = tables(200, number=1)
    data = market(source, "no_processing_single", target=Volatility())
    forecaster = kind()
    forecaster.fit(data)
    batch = whole(data, "test")
    found = forecaster.forecast(batch).values
    prices = {"T0": source["T0"].assign(Open=1.0, High=1.0, Low=1.0)}
    prices["T0"]["Close"] = np.exp(data.target.values(source["T0"]).astype("float32").astype("float64") + 8)
    as_prices = market(prices, "no_processing_single")
    twin = kind()
    twin.fit(as_prices)
    expected = np.log(twin.forecast(whole(as_prices, "test")).values) - 8
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_kpss_test_tells_prices_from_returns():
    assert classical.needs_difference(moving(500, seed=6))
    assert not classical.needs_difference(np.diff(moving(500, seed=6)))
