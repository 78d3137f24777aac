"""Windows cut from raw bars: many tickers in one pass give what each gives alone."""

import inspect

import numpy as np
import pytest
from markets import random_bars

from forecast.data import features as shipped
from forecast.data.features import NoProcessing, Returns, Technical, Volatility, WithCalendar, WithRange
from forecast.errors import UserError
from forecast.model import Naive, Predictor

STRATEGIES = [
    NoProcessing(),
    WithRange(),
    Returns(span=20),
    Returns(span=3),
    Technical(),
    Volatility(),
    WithCalendar(features=Technical(), calendar="XNYS"),
]


def cutter(features, *, scope="panel", tickers=("T0",), lookback=10):
    return Predictor(
        forecaster=Naive(),
        features=features,
        scope=scope,
        tickers=tickers,
        lookback=lookback,
        horizon=1,
        adjust=True,
    )


def every(predictor, tables):
    """All windows of each series, which `predict(every=True)` forecasts from."""
    return predictor.windows(tables, every=True)


def market(count=40):
    """Tickers of all lengths, cheap and dear, some of them wild."""
    tables = {}
    for number in range(count):
        bars = random_bars(8 + 7 * number, seed=number)
        bars[["Open", "High", "Low", "Close"]] *= 10.0 ** (number % 5 - 2)
        tables[f"T{number}"] = bars
    return tables


def test_every_shipped_strategy_is_looked_at():
    classes = {name for name in shipped.__all__ if inspect.isclass(getattr(shipped, name))}
    assert {type(features).__name__ for features in STRATEGIES} == classes - {"Features"}


@pytest.mark.parametrize("features", STRATEGIES, ids=lambda features: type(features).__name__)
def test_one_pass_gives_the_bits_of_the_whole_history_of_each_ticker(features):
    tables = market()
    together = cutter(features).windows(tables)
    assert len(together.names) > 10
    assert together.refused
    for name, table in tables.items():
        alone = every(cutter(features), {name: table})
        assert (name in together.refused) == (name in alone.refused)
        if name in together.names:
            at = together.names.index(name)
            np.testing.assert_array_equal(together.windows[at], alone.windows[-1])
            assert together.origins[at] == alone.origins[-1] == table.index[-1]
        else:
            assert together.refused[name] == alone.refused[name]


class Farsighted:
    """A mean over a past of unknown length."""

    columns = {"Mean": "price"}  # noqa: RUF012

    def compute(self, bars):
        return bars["Close"].expanding().mean().to_frame("Mean")


def test_features_that_do_not_say_how_far_they_look_get_the_whole_history():
    tables = market(12)
    assert cutter(Farsighted()).enough is None
    together = cutter(Farsighted()).windows(tables)
    for at, name in enumerate(together.names):
        mean = tables[name]["Close"].mean()
        assert together.windows[at, -1, 0] == pytest.approx(mean, rel=1e-6)


def test_tickers_side_by_side_get_the_whole_history():
    # The second misses recent days, so their last common ones reach back further than each one's last.
    tables = {
        "T0": random_bars(60, seed=0),
        "T1": random_bars(60, seed=1).drop(index=random_bars(60, seed=1).index[-30:-1:2]),
    }
    cut = cutter(NoProcessing(), scope="multiple", tickers=("T0", "T1"), lookback=30)
    assert cut.enough is None
    assert cut.windows(tables).windows.shape == (1, 30, 8)


def test_as_many_bars_as_it_says_are_enough():
    bars = random_bars(300, seed=3)
    for features in STRATEGIES:
        cut = cutter(features)
        whole, tail = (cut.windows({"T0": table}).windows for table in (bars, bars.iloc[-cut.enough :]))
        np.testing.assert_array_equal(whole, tail)


def test_one_ticker_that_cannot_be_forecast_stops_no_other():
    tables = {
        name: random_bars(80, seed=number) for number, name in enumerate(("good", "gap", "text", "unordered"))
    }
    tables["gap"].iloc[-2, 0:4] = np.nan
    tables["text"] = tables["text"].astype(object)
    tables["text"].iloc[3, 3] = "x"
    tables["unordered"] = tables["unordered"].iloc[::-1]
    found = cutter(NoProcessing()).windows(tables)
    assert found.names == ["good"]
    assert {name: reason.partition(": ")[2][:20] for name, reason in found.refused.items()} == {
        "gap": "the window that ends",
        "text": "Close='x' on 2020-01",
        "unordered": "dates must be ascend",
    }


class ByDate:
    """A mean over ten calendar days, which pandas refuses to take where dates do not ascend."""

    columns = {"Mean": "price"}  # noqa: RUF012
    warm_up = 10

    def compute(self, bars):
        if (bars["Close"] > 1e6).any():
            raise UserError("too dear")
        return bars["Close"].rolling("10D").mean().to_frame("Mean")


def test_features_that_cannot_take_all_tickers_at_once_are_computed_one_by_one():
    tables = {f"T{number}": random_bars(60, seed=number) for number in range(3)}
    tables["T1"]["Close"] *= 1e6
    found = cutter(ByDate()).windows(tables)
    assert found.names == ["T0", "T2"]
    assert found.refused == {"T1": "too dear"}
    for name, window in zip(found.names, found.windows, strict=True):
        np.testing.assert_array_equal(window, every(cutter(ByDate()), {name: tables[name]}).windows[-1])


def test_other_tickers_than_the_models_are_refused():
    bars = random_bars(50, seed=0)
    with pytest.raises(UserError, match="one ticker at a time"):
        cutter(NoProcessing(), scope="single").windows({"A": bars, "B": bars})
    with pytest.raises(UserError, match="wants the bars of"):
        cutter(NoProcessing(), scope="multiple", tickers=("T0", "T1")).windows({"T0": bars})
