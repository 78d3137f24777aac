"""Nothing at time t depends on anything after t: corrupt the future and compare the past."""

import numpy as np
import pytest
import torch
from forecasters import with_network
from hypothesis import given, settings, strategies as st
from markets import STRATEGIES, market, tables

from forecast.data import HealthCheck
from forecast.model import LayeredNetwork


def corrupted(source, after, *, seed=99):
    """The same tables with every bar after a day made another (and still valid) one."""
    rng = np.random.default_rng(seed)
    changed = {}
    for ticker, bars in source.items():
        bars = bars.copy()
        later = bars.index > after
        factor = np.exp(rng.normal(0, 0.3, later.sum()))
        bars.loc[later, ["Open", "High", "Low", "Close"]] *= factor[:, None]
        bars.loc[later, "Volume"] = rng.integers(1, 10**7, later.sum())
        changed[ticker] = bars
    return changed


def day(data, rows):
    return data.panel_.time_of(data.panel_.times[rows])


def last_train_day(data):
    return data.panel_.time_of(data.split_ranges_["train"][1])


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=8)
@given(
    at=st.integers(30, 150),
    anchor=st.sampled_from(["last", "none"]),
    instance_norm=st.booleans(),
    calendar=st.sampled_from([None, "XNYS"]),
)
def test_the_past_is_blind_to_the_future(strategy, at, anchor, instance_norm, calendar):
    warm = STRATEGIES[strategy][0]().warm_up
    at += warm
    source = tables(160 + warm)
    after = source["T0"].index[at]
    last_known = after.to_datetime64()
    health = HealthCheck(calendar=None, jumps="drop")
    plan = {"anchor": anchor, "instance_norm": instance_norm, "calendar": calendar, "health": health}
    one = market(source, strategy, **plan)
    two = market(corrupted(source, after), strategy, **plan)
    past = one.panel_.time_of(one.panel_.times) <= last_known
    past_two = two.panel_.time_of(two.panel_.times) <= last_known
    np.testing.assert_array_equal(one.panel_.values[past], two.panel_.values[past_two])
    assert one.split_ranges_ == two.split_ranges_ or len(one.panel_.calendar) != len(two.panel_.calendar)

    if last_train_day(one) <= last_known:
        assert one.normaliser_.to_json() == two.normaliser_.to_json()
        np.testing.assert_array_equal(one.naive_scale_, two.naive_scale_)

    torch.manual_seed(0)
    network = LayeredNetwork(**one.facts, layer_config=["GRU", "Linear"], hidden_size=4)
    torch.nn.init.normal_(network[-1].weight)
    for split in one.windows_:
        batch, other = (
            data.windows_[split].take(np.arange(len(data.windows_[split]))) for data in (one, two)
        )
        known, known_two = day(one, batch.rows) <= last_known, day(two, other.rows) <= last_known
        forecasts = with_network(network, one.normaliser_).forecast_windows(batch.windows[known]).values
        again = with_network(network, one.normaliser_).forecast_windows(other.windows[known_two]).values
        np.testing.assert_array_equal(forecasts, again)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_scalers_are_fitted_on_training_days_alone(strategy):
    source = tables(260)
    one = market(source, strategy)
    last = last_train_day(one)
    two = market(corrupted(source, last), strategy)
    assert one.normaliser_.to_json() == two.normaliser_.to_json()
    three = market(corrupted(source, last - np.timedelta64(5, "D")), strategy)
    assert one.normaliser_.to_json() != three.normaliser_.to_json(), "this test must be able to fail"


def test_levels_are_scaled_as_standard_scaler_would_on_training_rows():
    from sklearn.preprocessing import StandardScaler

    source = tables(number=1)
    data = market(source, "range_single", anchor="none")
    last = last_train_day(data)
    bars = source["T0"].loc[:last]
    rows = np.column_stack(
        [bars[c] for c in ("High", "Low", "Close", "Volume")] + [bars["High"] - bars["Low"]]
    )
    oracle = StandardScaler().fit(rows.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(data.normaliser_.scaler.mean_, oracle.mean_, rtol=1e-9)
    np.testing.assert_allclose(data.normaliser_.scaler.scale_, oracle.scale_, rtol=1e-9)
