"""What holds for each forecaster that conf/model and conf/baselines name: causal, repeatable, saved without pickle."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from composed import compose
from forecasters import whole
from markets import market, random_bars, tables
from safetensors.numpy import load, save
from threadpoolctl import threadpool_info, threadpool_limits

from forecast.config import build
from forecast.data.target import Volatility
from forecast.evaluate.metrics import Metrics
from forecast.model.building import build_forecaster, restore_forecaster, train
from forecast.model.forecaster import Forecaster, one_thread

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SCOPES = ("single", "multiple", "panel")
# Smaller than the YAML says, so that each takes moments.
SMALL = {
    "arima": ["model.max_order=1"],
    "average": ["model.members.trees.iterations=10", "model.members.lstm.hidden_size=4"],
    "ensemble": ["model.members=2", "model.hidden_size=4"],
    "trees": ["model.iterations=10"],
}
NETWORKS = {"ensemble", "gru", "har_lstm", "linear", "lstm", "lstm_deep", "mlp", "tcn"}
CLASSICAL = [name for name in MODELS if name not in NETWORKS]
# What forecasts a variance alone.
OF_VARIANCE = {"garch", "gjr"}
EVERY = pytest.mark.parametrize("name", MODELS)
EACH_CLASSICAL = pytest.mark.parametrize("name", CLASSICAL)
EACH_OF_PRICES = pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in OF_VARIANCE])


def bars_for(name, source, strategy, **keys):
    """Prepared data of what a forecaster is for."""
    return market(source, strategy, target=Volatility() if name in OF_VARIANCE else None, **keys)


@cache
def config_of(name):
    small = SMALL.get(name, ["model.hidden_size=4"] if name in NETWORKS else [])
    plan = [
        "objective.metric=val_rmse",
        "trainer.max_epochs=2",
        "trainer.learning_rate=0.03",
        "trainer.weight_decay=0",
        "trainer.progress=off",
    ]
    return compose(f"model={name}", *plan, *small)


def fitted(name, data):
    config = config_of(name)
    score = Metrics()
    forecaster = build_forecaster(config, data.facts, score=score)
    assert isinstance(forecaster, Forecaster)
    return forecaster, train(forecaster, data, score=score)


def made(name, data):
    return fitted(name, data)[0]


def noisy(source, *, seed=8):
    """Prices that partly come back the next day, so that a model of them looks at more than the last one."""
    rng = np.random.default_rng(seed)
    changed = deepcopy(source)
    for bars in changed.values():
        bars[["Open", "High", "Low", "Close"]] *= np.exp(rng.normal(0, 0.04, len(bars)))[:, None]
    return changed


def disturbed(source, after, *, seed=5):
    """Every bar after a day made another valid one."""
    rng = np.random.default_rng(seed)
    changed = deepcopy(source)
    for bars in changed.values():
        later = bars.index > after
        bars.loc[later, ["Open", "High", "Low", "Close"]] *= np.exp(rng.normal(0, 0.3, later.sum()))[:, None]
        bars.loc[later, "Volume"] = rng.integers(1, 10**7, later.sum())
    return changed


def values_of(node):
    """But for covariates: `model=har` takes them, and the HAR that others are measured by does not."""
    return {name: value for name, value in vars(build(node)).items() if name != "covariates"}


def test_baselines_of_conf_are_models_of_conf_with_the_same_values():
    models = [config_of(name).model for name in CLASSICAL if name not in SMALL]
    models += [compose(f"model={name}").model for name in CLASSICAL if name in SMALL]
    for path in (CONF / "baselines").glob("*.yaml"):
        for node in (yaml.safe_load(path.read_text("utf-8")).get("members") or {}).values():
            if "_target_" not in (node or {}):
                continue  # one that is left out, or changed for a purpose
            assert values_of(node) in [
                values_of(model) for model in models if model._target_ == node["_target_"]
            ]


@EVERY
def test_what_is_saved_forecasts_the_same(name):
    data = bars_for(name, tables(number=2), "range_panel", horizon=2)
    forecaster, batch = made(name, data), whole(data, "test")
    forecast = forecaster.forecast(batch)
    arrays, facts = forecaster.state()
    again = restore_forecaster(
        config_of(name),
        load(save(arrays)),
        {**data.facts, "horizon": 2, **json.loads(json.dumps(facts, allow_nan=False))},
    )
    assert again.history == forecaster.history
    np.testing.assert_array_equal(again.forecast(batch).values, forecast.values)
    assert (again.normaliser is None) == (forecaster.normaliser is None)


@EVERY
def test_a_training_has_a_history_with_the_objective(name):
    data = bars_for(name, tables(number=1), "no_processing_single")
    _, result = fitted(name, data)
    assert len(result.history) == (2 + (name == "har_lstm") if name in NETWORKS else 1)
    assert {"epoch", "train_loss", "val_loss", "val_rmse"} <= set(result.history[result.best_epoch])
    assert result.seconds > 0


# A network among them chooses its epoch by validation rows, so an average knows these.
@pytest.mark.parametrize("name", [name for name in CLASSICAL if name != "average"])
@pytest.mark.parametrize("scope", SCOPES)
def test_no_forecast_knows_what_came_after_it(name, scope):
    source = noisy(tables(number=2))
    after = source["T0"].index[124]  # a day of validation, after all training days
    keys = {"horizon": 3, "seq_len": 6}
    one = bars_for(name, source, f"no_processing_{scope}", **keys)
    two = bars_for(name, disturbed(source, after), f"no_processing_{scope}", **keys)
    border = int(np.searchsorted(one.panel_.calendar, np.datetime64(after)))
    assert one.split_ranges_ == two.split_ranges_
    assert one.split_ranges_["train"][1] < border < one.split_ranges_["val"][1]
    forecaster, again = made(name, one), made(name, two)
    if name == "arima":
        assert forecaster.models_["T0"].orders != (0, 1, 0), "this test must be able to fail"
    count = 0
    for split in ("val", "test"):
        batch, other = whole(one, split), whole(two, split)
        # The second may see nothing but the windows of the other past.
        known = batch.origin <= border
        forecasts, others = forecaster.forecast(batch).values, again.forecast(other).values
        np.testing.assert_array_equal(forecasts[known], others[known])
        count += known.sum()
        moved = (forecasts[~known] != others[~known]).any()
        assert moved == (name != "training_mean"), "this test must be able to fail"
    assert count > 0


@EACH_CLASSICAL
def test_training_bars_are_what_it_learns_from(name):
    source = tables(number=1)
    one = bars_for(name, source, "no_processing_single")
    before_the_end = one.panel_.time_of(one.split_ranges_["train"][1] - 20)
    two = bars_for(name, disturbed(source, before_the_end), "no_processing_single")
    batch = whole(one, "val")
    moved = (made(name, one).forecast(batch).values != made(name, two).forecast(batch).values).any()
    # These look at the history up to each bar and learn nothing.
    assert moved == (name not in ("naive", "historical_mean", "moving_average", "ewma", "seasonal_mean"))


@EACH_CLASSICAL
@pytest.mark.parametrize("anchor", ["last", "none"])
def test_a_forecast_is_the_same_whatever_stands_beside_it(name, anchor):
    data = bars_for(name, tables(number=2), "range_panel", anchor=anchor)
    forecaster, batch = made(name, data), whole(data, "test")
    forecasts = forecaster.forecast(batch).values
    assert forecasts.shape == (len(batch.rows), 2)
    assert forecasts.dtype == np.float64
    assert np.isfinite(forecasts).all()
    windows = data.windows_["test"]
    for size in (1, 3):
        places = np.arange(len(windows))[::-1][:7].reshape(-1)
        pieces = [
            forecaster.forecast(windows.take(places[at : at + size])).values
            for at in range(0, len(places), size)
        ]
        np.testing.assert_allclose(np.concatenate(pieces), forecasts[places], rtol=1e-6)


@EACH_CLASSICAL
def test_the_same_bits_again_whatever_the_threads(name):
    data = bars_for(name, tables(number=2), "no_processing_panel")
    batch = whole(data, "test")
    forecaster = made(name, data)
    with threadpool_limits(2):
        again = made(name, data)
        np.testing.assert_array_equal(again.forecast(batch).values, forecaster.forecast(batch).values)
    np.testing.assert_equal(again.state(), forecaster.state())  # the files too


def test_one_thread_is_one():
    with threadpool_limits(2), one_thread():
        assert {library["num_threads"] for library in threadpool_info()} == {1}


@EACH_CLASSICAL
def test_bars_split_otherwise_are_forecast_by_what_was_learnt_before(name):
    """A walk-forward may fit once and go on."""
    data = bars_for(name, tables(number=1), "no_processing_single")
    forecaster = made(name, data)
    later = data.with_split(
        {split: (first + 12, min(last + 12, 159)) for split, (first, last) in data.split_ranges_.items()}
    )
    assert later.normaliser_.to_json() != data.normaliser_.to_json()
    here, there = whole(data, "test"), whole(later, "test")
    both = np.intersect1d(here.rows, there.rows)
    assert len(both) > 5
    np.testing.assert_array_equal(
        forecaster.forecast(here).values[np.isin(here.rows, both)],
        forecaster.forecast(there).values[np.isin(there.rows, both)],
    )


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OF_VARIANCE])
def test_a_price_that_never_moves(name):
    bars = random_bars(160, seed=0)
    bars[["Open", "High", "Low", "Close"]] = 25.0
    data = bars_for(name, {"FLAT": bars}, "no_processing_single", horizon=2)
    values = made(name, data).forecast(whole(data, "test")).values
    np.testing.assert_allclose(values, 25.0, rtol=1e-12 if name in CLASSICAL else 1e-3)


@EACH_CLASSICAL
def test_a_ticker_without_training_bars(name):
    """A ticker that begins after training is forecast with what was fitted to the others."""
    old, new = random_bars(300, seed=0), random_bars(300, seed=1).iloc[230:]
    data = bars_for(name, {"OLD": old, "NEW": new}, "no_processing_panel")
    assert data.panel_.time_of(data.split_ranges_["train"][1]) < new.index[0].to_datetime64()
    batch = whole(data, "test")
    assert set(batch.series) == {0, 1}
    forecasts = made(name, data).forecast(batch).values
    assert np.isfinite(forecasts).all()
    if name in ("drift", "arima", "ets"):
        young = batch.series == 1
        np.testing.assert_array_equal(forecasts[young], np.repeat(batch.history[young, -1:], 2, axis=1))
