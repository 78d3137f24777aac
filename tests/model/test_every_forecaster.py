"""What holds for each baseline that conf/baselines/ names: causal, repeatable, finite, on every kind of data."""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from markets import market, random_bars, tables
from threadpoolctl import threadpool_info, threadpool_limits

from forecast.config import build
from forecast.evaluate.baselines import threads

CONF = Path(__file__).parents[3] / "conf" / "baselines"
NODES = {
    name: node
    for path in sorted(CONF.glob("*.yaml"))
    for name, node in (yaml.safe_load(path.read_text("utf-8")).get("members") or {}).items()
}
SCOPES = ("single", "multiple", "panel")
NODES["arima"]["max_order"] = 1  # half the fits
EVERY = pytest.mark.parametrize("name", NODES)


def made(name, data):
    baseline = build(NODES[name])
    baseline.fit(data)
    return baseline


def noisy(source, *, seed=8):
    """Prices that partly come back the next day, so that a model of them looks at more than the last one."""
    rng = np.random.default_rng(seed)
    changed = deepcopy(source)
    for bars in changed.values():
        bars[["Open", "High", "Low", "Close"]] *= np.exp(rng.normal(0, 0.04, len(bars)))[:, None]
    return changed


def whole(data, split):
    windows = data.windows_[split]
    return windows.take(np.arange(len(windows)))


def disturbed(source, after, *, seed=5):
    """Every bar after a day made another valid one."""
    rng = np.random.default_rng(seed)
    changed = deepcopy(source)
    for bars in changed.values():
        later = bars.index > after
        bars.loc[later, ["Open", "High", "Low", "Close"]] *= np.exp(rng.normal(0, 0.3, later.sum()))[:, None]
        bars.loc[later, "Volume"] = rng.integers(1, 10**7, later.sum())
    return changed


def test_conf_names_them_all():
    assert set(NODES) == {"drift", "historical_mean", "moving_average", "ridge", "trees", "arima", "ets"}


@EVERY
@pytest.mark.parametrize("scope", SCOPES)
def test_no_forecast_knows_what_came_after_it(name, scope):
    source = noisy(tables(number=2))
    after = source["T0"].index[124]  # a day of validation, after all training days
    keys = {"horizon": 3, "seq_len": 6}
    one = market(source, f"no_processing_{scope}", **keys)
    two = market(disturbed(source, after), f"no_processing_{scope}", **keys)
    border = after.to_datetime64().astype("datetime64[D]").astype(int)
    assert one.stretches_ == two.stretches_
    assert one.stretches_["train"][1] < border < one.stretches_["val"][1]
    fitted, again = made(name, one), made(name, two)
    if name == "arima":
        assert fitted.models_[0].model.orders != (0, 1, 0), "this test must be able to fail"
    told = 0
    for split in ("val", "test"):
        batch, other = whole(one, split), whole(two, split)
        # The second may see nothing but the windows of the other past.
        known = one.panel_.days[batch.rows] <= border
        forecasts, others = fitted.predict(one, batch), again.predict(two, other)
        np.testing.assert_array_equal(forecasts[known], others[known])
        told += known.sum()
        assert (forecasts[~known] != others[~known]).any(), "this test must be able to fail"
    assert told > 0


@EVERY
def test_training_days_are_what_it_learns_from(name):
    source = tables(number=1)
    one = market(source, "no_processing_single")
    before_the_end = np.datetime64(one.stretches_["train"][1] - 20, "D")
    two = market(disturbed(source, before_the_end), "no_processing_single")
    batch = whole(one, "val")
    moved = (made(name, one).predict(one, batch) != made(name, two).predict(one, batch)).any()
    # These look at the history up to each bar and learn nothing.
    assert moved == (name not in ("historical_mean", "moving_average"))


@EVERY
@pytest.mark.parametrize("anchor", ["last", "none"])
def test_a_forecast_is_the_same_whatever_stands_beside_it(name, anchor):
    data = market(tables(number=2), "range_panel", anchor=anchor)
    fitted, batch = made(name, data), whole(data, "test")
    forecasts = fitted.predict(data, batch)
    assert forecasts.shape == (len(batch.rows), 2)
    assert forecasts.dtype == np.float64
    assert np.isfinite(forecasts).all()
    windows = data.windows_["test"]
    for size in (1, 3):
        places = np.arange(len(windows))[::-1][:7].reshape(-1)
        pieces = [
            fitted.predict(data, windows.take(places[i : i + size])) for i in range(0, len(places), size)
        ]
        np.testing.assert_array_equal(np.concatenate(pieces), forecasts[places])


@EVERY
def test_the_same_bits_again_whatever_the_threads(name):
    data = market(tables(number=2), "no_processing_panel")
    batch = whole(data, "test")
    forecasts = made(name, data).predict(data, batch)
    with threadpool_limits(2):
        np.testing.assert_array_equal(made(name, data).predict(data, batch), forecasts)


@pytest.mark.parametrize("name", ["ridge", "trees", "arima", "ets"])
def test_what_uses_other_packages_pins_their_threads(name, monkeypatch):
    seen = []

    def one_thread():
        seen.append(name)
        return threads.one_thread()

    data = market(tables(number=1), "no_processing_single")
    module = SimpleNamespace(one_thread=one_thread)
    monkeypatch.setitem(sys.modules, "forecast.evaluate.baselines.threads", module)
    fitted = made(name, data)
    assert len(seen) == 1
    fitted.predict(data, whole(data, "val"))
    assert len(seen) == (1 if name == "ridge" else 2), "ridge multiplies without them"


def test_one_thread_is_one():
    with threadpool_limits(2), threads.one_thread():
        assert {library["num_threads"] for library in threadpool_info()} == {1}


@EVERY
def test_bars_split_otherwise_are_forecast_by_what_was_learnt_before(name):
    """A walk-forward may fit once and go on."""
    data = market(tables(number=1), "no_processing_single")
    fitted = made(name, data)
    later = data.divided({split: (first + 12, last + 12) for split, (first, last) in data.stretches_.items()})
    assert later.normaliser_.to_json() != data.normaliser_.to_json()
    here, there = whole(data, "test"), whole(later, "test")
    both = np.intersect1d(here.rows, there.rows)
    assert len(both) > 5
    np.testing.assert_array_equal(
        fitted.predict(data, here)[np.isin(here.rows, both)],
        fitted.predict(later, there)[np.isin(there.rows, both)],
    )


@EVERY
def test_a_price_that_never_moves(name):
    bars = random_bars(160, seed=0)
    bars[["Open", "High", "Low", "Close"]] = 25.0
    data = market({"FLAT": bars}, "no_processing_single", horizon=2)
    np.testing.assert_allclose(made(name, data).predict(data, whole(data, "test")), 25.0, rtol=1e-12)


@EVERY
def test_a_ticker_without_training_days(name):
    """It begins after training ended: forecast from its own bars and from what the others taught."""
    old, new = random_bars(300, seed=0), random_bars(300, seed=1).iloc[230:]
    data = market({"OLD": old, "NEW": new}, "no_processing_panel")
    assert data.stretches_["train"][1] < new.index[0].to_datetime64().astype("datetime64[D]").astype(int)
    batch = whole(data, "test")
    assert set(batch.series) == {0, 1}
    forecasts = made(name, data).predict(data, batch)
    assert np.isfinite(forecasts).all()
    if name in ("drift", "arima", "ets"):
        young = batch.series == 1
        last = batch.windows[young, -1, data.layout.target].astype(np.float64)
        np.testing.assert_array_equal(forecasts[young], np.repeat(last[:, None], 2, axis=1))
