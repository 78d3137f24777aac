"""GARCH and GJR beside arch's own filter and forecasts; what does not converge is said and stands back."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from arch import arch_model
from forecasters import whole
from markets import market, random_bars

from forecast.data.target import Close, Range, Volatility
from forecast.errors import UserError
from forecast.model import Baselines, Garch, Naive
from forecast.model.garch import Parameters, filtered

HORIZON = 3
KINDS = {"garch": Garch(), "gjr": Garch(leverage=True, distribution="t")}
EACH = pytest.mark.parametrize("kind", KINDS)


def clustered(count, *, seed):
    """Bars whose volatility comes in clusters and rises after falls."""
    bars = random_bars(count, seed=seed)
    rng = np.random.default_rng(seed)
    variance, returns = 1.0, []
    for shock in rng.standard_t(6, count):
        returns.append(0.01 * np.sqrt(variance) * shock)
        variance = 0.05 + (0.05 + 0.1 * (shock < 0)) * variance * shock**2 + 0.82 * variance
    close = 50 * np.exp(np.cumsum(returns))
    spread = np.abs(returns) * rng.uniform(0.3, 1.0, count) + 0.002
    return bars.assign(Open=close, Close=close, High=close * (1 + spread), Low=close * (1 - spread))


@pytest.fixture(scope="module")
def source():
    return {"A": clustered(700, seed=1), "B": clustered(650, seed=2)}


def data_of(source, span=1, target=None, **keys):
    return market(
        source, "no_processing_panel", horizon=HORIZON, target=target or Volatility(span=span), **keys
    )


def returns_of(source, ticker):
    return np.diff(np.log(source[ticker]["Close"].to_numpy().astype("float32").astype("float64")))


@EACH
@pytest.mark.parametrize("ticker", ["A", "B"])
def test_the_filter_gives_archs_conditional_volatility(kind, ticker, source):
    returns = returns_of(source, ticker)
    units = returns / returns.std()
    own = KINDS[kind]
    model = arch_model(
        units, mean="Constant", p=1, o=int(own.leverage), q=1, dist=own.distribution, rescale=False
    )
    found = model.fit(disp="off")
    params = found.params
    parameters = Parameters(
        mean=params["mu"],
        omega=params["omega"],
        alpha=params["alpha[1]"],
        gamma=params.get("gamma[1]", 0.0),
        beta=params["beta[1]"],
        start=found.conditional_volatility[0] ** 2,
        scale=1.0,
    )
    variances = filtered(parameters, units)
    np.testing.assert_allclose(np.sqrt(variances[:-1]), found.conditional_volatility, rtol=1e-9)
    ahead = found.forecast(horizon=1).variance.to_numpy()
    np.testing.assert_allclose(variances[-1], ahead[-1, 0], rtol=1e-9)


@EACH
@pytest.mark.parametrize("span", [1, 5])
def test_forecasts_are_archs_rescaled_on_training_bars(kind, span, source):
    data = data_of(source, span)
    forecaster = KINDS[kind]
    forecaster.fit(data)
    batch = whole(data, "test")
    values = forecaster.forecast(batch).values
    last = data.panel_.time_of(data.split_ranges_["train"][1])
    for number, bars in enumerate(source.values()):
        known = bars["Close"].iloc[data.target.warm_up :].astype("float32").astype("float64")
        returns = np.log(known).diff().dropna()
        learnt = returns[returns.index <= last]
        kinds = {
            "p": 1,
            "o": int(forecaster.leverage),
            "q": 1,
            "dist": forecaster.distribution,
            "rescale": False,
        }
        fitted = arch_model(learnt / learnt.std(ddof=0), mean="Constant", **kinds).fit(disp="off")
        # The same parameters over all bars, forecast from each of them.
        model = arch_model(returns / learnt.std(ddof=0), mean="Constant", **kinds)
        steps = model.fix(fitted.params).forecast(horizon=span - 1 + HORIZON, start=0).variance
        means = np.stack([steps.to_numpy()[:, s : s + span].mean(axis=1) for s in range(HORIZON)], axis=1)
        origins = data.panel_.time_of(batch.origin[batch.series == number])
        found = values[batch.series == number]
        moved = found - np.log(means[returns.index.searchsorted(origins)])
        # arch begins its filter a little otherwise where it does not fit; by now that is forgotten.
        np.testing.assert_allclose(moved, np.broadcast_to(moved[-1], moved.shape), atol=1e-5)
        errors = []
        truth = data.target.values(bars).astype("float32").astype("float64")
        for step in range(HORIZON):
            actual = truth[truth.index <= last].shift(-span - step).reindex(returns.index)
            errors.append((actual - np.log(means[:, step])).iloc[100:].mean())
        np.testing.assert_allclose(moved[-1], errors, atol=0.1)  # the first 100 bars left out


def test_a_series_that_does_not_converge_is_said_and_weighted_exponentially(source, caplog):
    jump = random_bars(700, seed=3)
    jump[["Open", "High", "Low", "Close"]] = 50.0
    jump.loc[jump.index[300:], ["Open", "High", "Low", "Close"]] = 60.0
    jump["High"] *= 1.01
    data = data_of({"A": source["A"], "JUMP": jump})
    forecaster = Garch(leverage=True, distribution="t")
    with caplog.at_level(logging.WARNING):
        forecaster.fit(data)
    assert forecaster.not_fitted_ == {"JUMP": "the fit did not converge"}
    assert "GJR-GARCH of JUMP: the fit did not converge; its squared returns are" in caplog.text
    assert np.isfinite(forecaster.forecast(whole(data, "test")).values).all()
    again = Garch(leverage=True, distribution="t")
    arrays, facts = forecaster.state()
    again.restore(arrays, json.loads(json.dumps(facts, allow_nan=False)))
    batch = whole(data, "test")
    np.testing.assert_array_equal(again.forecast(batch).values, forecaster.forecast(batch).values)


def test_a_baseline_none_of_whose_series_was_fitted_is_left_out_by_name():
    data = data_of({"A": clustered(140, seed=1)})
    baselines = Baselines(members={"garch": Garch(), "still": Naive()})
    baselines.fit(data)
    assert set(baselines.failed) == {"garch"}
    assert "training returns are fewer than 100" in baselines.failed["garch"]


def test_refused_for_what_is_no_variance(source):
    with pytest.raises(UserError, match=r"^Garch: forecasts a variance, which target=close is not"):
        Garch().fit(data_of(source, target=Close()))
    with pytest.raises(UserError, match=r"2 are more than max_series=1$"):
        Garch(max_series=1).fit(data_of(source))


def test_ranges_go_with_the_root_of_a_variance(source):
    data, squares = data_of(source, target=Range()), data_of(source)
    one, two = Garch(), Garch()
    one.fit(data)
    two.fit(squares)
    mine = whole(data, "test").series == 0
    a, b = (f.forecast(whole(d, "test")).values[mine] for f, d in ((one, data), (two, squares)))
    np.testing.assert_allclose(np.diff(a, axis=0), np.diff(b, axis=0) / 2, rtol=1e-9)
