"""The volatility forecast that intervals are scaled by, made of windows alone."""

import json

import numpy as np
import pytest
from markets import Memory, market, random_bars

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.features import NoProcessing
from forecast.data.target import Range, Return
from forecast.model.spread import Spread


def calm_and_wild(count=900, seed=0):
    """Bars whose moves triple for fifty days now and then."""
    rng = np.random.default_rng(seed)
    wild = np.repeat(rng.random(count // 50) < 0.4, 50)
    bars = random_bars(count, seed=seed)
    close = 50 * np.exp(np.cumsum(0.008 * np.where(wild, 3, 1) * rng.standard_normal(count)))
    reach = 0.006 * np.where(wild, 3, 1) * rng.uniform(0.5, 1, count)
    return bars.assign(
        Close=close, Open=close, High=close * (1 + reach), Low=close * (1 - reach)
    ), wild  # fmt: skip


def data_of(bars, **keys):
    plan = {"seq_len": 20, "horizon": 1, "scaler": TimeSeriesScaler()} | keys
    data = MarketData(
        source=Memory({"T": bars}), features=NoProcessing(), scope="single", tickers=["T"], **plan
    )
    data.prepare()
    return data


def test_it_follows_the_volatility_it_has_seen_and_looks_at_nothing_else():
    bars, wild = calm_and_wild()
    data = data_of(bars)
    spread = Spread.fit(data)
    assert spread.move == "range"
    batch = data.windows_["test"].take(np.arange(len(data.windows_["test"])))
    found = spread(batch.windows)
    steady = np.asarray([wild[row - 15 : row + 1].mean() for row in batch.rows])
    assert found[steady == 1].mean() > 2 * found[steady == 0].mean()
    # of normal moves 90 % are within 1.645 standard deviations
    assert found[steady == 0].mean() == pytest.approx(1.645 * 0.008, rel=0.25)
    again = Spread.from_json(json.loads(json.dumps(spread.to_json(), allow_nan=False)))
    np.testing.assert_array_equal(again(batch.windows), found)
    longer = np.concatenate((np.full_like(batch.windows[:, :5], np.nan), batch.windows), axis=1)
    np.testing.assert_array_equal(spread(longer), found)  # a server may hold more bars than a window
    # what it learnt comes from the training bars
    spoilt = bars.copy()
    spoilt.iloc[int(0.72 * len(bars)) :] *= 5
    assert Spread.fit(data_of(spoilt)).coefficients == spread.coefficients


def test_what_is_much_traded_is_expected_to_move_much_where_it_did_in_training():
    bars, _ = calm_and_wild()
    rng = np.random.default_rng(1)
    busy = rng.random(len(bars)) < 0.3
    moves = 0.008 * np.where(np.roll(busy, 1), 3, 1) * rng.standard_normal(len(bars))
    close = 50 * np.exp(np.cumsum(moves))
    bars = bars.assign(Open=close, Close=close, High=1.003 * close, Low=0.997 * close)
    data = data_of(bars.assign(Volume=np.where(busy, 3e6, 1e6)))
    batch = data.windows_["test"].take(np.arange(len(data.windows_["test"])))
    found = Spread.fit(data)(batch.windows)
    assert found[busy[batch.rows]].mean() > 1.5 * found[~busy[batch.rows]].mean()
    idle = data_of(bars.assign(Volume=0.0))
    assert (Spread.fit(idle)(batch.windows) > 0).all()


@pytest.mark.parametrize(
    ("target", "move"), [(Return(), "level"), (Range(), "difference")], ids=["return", "range"]
)
def test_each_kind_of_target_has_a_spread(target, move):
    data = data_of(calm_and_wild()[0], target=target)
    spread = Spread.fit(data)
    assert spread.move == move
    batch = data.windows_["val"].take(np.arange(50))
    assert (spread(batch.windows) > 0).all()
    assert np.isfinite(spread(batch.windows)).all()


def test_without_ranges_and_without_moves():
    plain = Spread.fit(market({"T0": calm_and_wild()[0]}, "returns_single", seq_len=20))
    assert plain.move == "share"
    flat = random_bars(300, seed=1)
    flat.loc[:, ["Open", "High", "Low", "Close"]] = 10.0
    data = data_of(flat)
    batch = data.windows_["test"].take(np.arange(5))
    assert (Spread.fit(data)(batch.windows) > 0).all()
    short = data_of(random_bars(300, seed=1), seq_len=1)
    np.testing.assert_array_equal(Spread.fit(short)(short.windows_["test"].take(np.arange(5)).windows), 1.0)
