"""One baseline that fails is left out by name, and the others go on."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from markets import market, tables

import forecast.model
from forecast.errors import UserError
from forecast.model import Baselines, Drift, MovingAverage
from forecast.model.baselines import BaselineCache
from forecast.model.forecaster import Forecast


class Faulty:
    """The last price, until something goes wrong."""

    def __init__(self, *, fit=None, forecast=None, mark=None):
        self.at_fit, self.at_forecast = fit, forecast
        self.mark = mark  # tells it from others
        self.fitted = self.asked = 0

    def fit(self, data):  # noqa: ARG002
        self.fitted += 1
        if self.at_fit:
            self.at_fit()

    def forecast(self, batch):
        self.asked += 1
        values = np.repeat(batch.history[:, -1:], 2, axis=1)
        return Forecast(values if self.at_forecast is None else self.at_forecast(values))


def raises(error):
    def go(*_):
        raise error

    return go


def warns(category, text):
    def go(*_):
        warnings.warn(text, category, stacklevel=1)

    return go


@pytest.fixture(scope="module")
def data():
    return market(tables(number=2), "no_processing_panel")


@pytest.fixture(scope="module")
def batch(data):
    return data.windows_["val"].take(np.arange(len(data.windows_["val"])))


@pytest.fixture
def odd():
    """A day in the third row is no number."""

    def spoil(prices):
        prices[2, 1] = np.inf
        return prices

    return spoil


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        pytest.param({"fit": raises(ValueError("no\n  way"))}, "no way", id="raises"),
        pytest.param({"fit": raises(ZeroDivisionError())}, "ZeroDivisionError: ZeroDivisionError", id="without words"),
        pytest.param({"fit": raises(KeyError("x"))}, "KeyError: 'x'", id="another error"),
        pytest.param({"fit": warns(UserWarning, "lbfgs failed to converge (status=1)")}, "lbfgs failed to converge (status=1)", id="does not converge"),
        pytest.param({"forecast": raises(UserError("a=1: no"))}, "a=1: no", id="raises when asked"),
        pytest.param({"forecast": warns(RuntimeWarning, "possible\nconvergence problem")}, "possible convergence problem", id="does not converge when asked"),
        pytest.param({"forecast": lambda prices: prices[:, :1]}, r"forecasts have the shape (42, 1), must have (42, 2)", id="shape"),
        pytest.param({"forecast": lambda prices: None}, "forecasts have the shape (), must have (42, 2)", id="nothing"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # as where nobody asked for errors
def test_a_baseline_that_fails(faulty, reason, data, batch, caplog):
    member = Faulty(**faulty)
    baselines = Baselines(members={"mine": member, "average": MovingAverage()})
    assert len(batch.rows) == 42
    for _ in range(2):
        baselines.fit(data)
        found = baselines.forecast(batch)
        assert list(found) == ["naive", "average"]
    assert list(baselines.failed) == ["mine"]
    assert baselines.failed["mine"].startswith(reason)
    assert "\n" not in baselines.failed["mine"]
    assert (member.fitted, member.asked) == (1, "forecast" in faulty), "it is asked no more"
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"baseline mine is left out: {baselines.failed['mine']}"]


def test_a_forecast_that_is_no_number_is_named(data, batch, odd):
    baselines = Baselines(members={"mine": Faulty(forecast=odd)})
    baselines.fit(data)
    assert list(baselines.forecast(batch)) == ["naive"]
    day = str(data.panel_.time_of(batch.origin[2]))[:10]
    assert baselines.failed == {"mine": f"forecast of inf for T0, step 2 from {day} (1 such forecasts)"}


def test_other_warnings_are_not_hidden(data):
    """They are errors in these tests, and shown to a user."""
    baselines = Baselines(members={"mine": Faulty(fit=warns(UserWarning, "odd"))})
    with pytest.warns(UserWarning, match="odd"):
        baselines.fit(data)
    assert baselines.failed == {}


def test_ctrl_c_is_no_failure(data):
    with pytest.raises(KeyboardInterrupt):
        Baselines(members={"mine": Faulty(fit=raises(KeyboardInterrupt()))}).fit(data)


def test_naive_is_always_there(data, batch):
    baselines = Baselines(members={})
    baselines.fit(data)
    (found,) = baselines.forecast(batch).values()
    last = data.panel_.values[batch.rows, data.layout.target].astype(np.float64)
    np.testing.assert_array_equal(found, np.stack([last, last], axis=1))
    assert baselines.names == ["naive"]


def test_null_leaves_one_out():
    assert Baselines(members={"drift": Drift(), "trees": None}).names == ["naive", "drift"]


def test_seconds_add_up(data, batch):
    baselines = Baselines(members={"drift": Drift()})
    baselines.fit(data)
    fitted = baselines.seconds["drift"]
    baselines.forecast(batch)
    assert 0 < fitted < baselines.seconds["drift"]


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"My-own": Drift()}, "baselines.members.My-own: a name has lower-case letters, digits and _"),
        ({"naive": Drift()}, "baselines.members.naive: the name is taken; give it another one than"),
        ({"step": Drift()}, "baselines.members.step: the name is taken"),
        ({"mine": object()}, "baselines.members.mine: gives a object, must give a forecaster: fit(data)"),
    ],
)
def test_refusals(members, line):
    with pytest.raises(UserError) as caught:
        Baselines(members=members)
    assert str(caught.value).startswith(line)


def test_checking_a_config_imports_nothing_heavy():
    heavy = {"pandas", "torch", "sklearn", "scipy", "statsmodels", "threadpoolctl"}
    code = (
        "import sys, forecast.model as m; [getattr(m, name) for name in m.__all__ if name not in {'AroundReference', 'Ensemble', 'LayeredNetwork', 'Predictor'}];"
        f" print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", forecast.model.__all__)
def test_names(name):
    assert getattr(forecast.model, name).__name__ == name
    assert name in dir(forecast.model)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Drifts'"):
        _ = forecast.model.Drifts


@pytest.fixture
def folds(data):
    """The same days, split for a second time."""
    return [data, data.with_split(data.split_ranges_)]


def fitted(cache, data, *, identity="a", fold=0, **faulty):
    """Baselines of a run of its own, and their first member."""
    baselines = Baselines(members={"mine": Faulty(**faulty), "drift": Drift()})
    cache.fit(baselines, data, identity=identity, fold=fold)
    return baselines


def test_what_another_run_learnt_is_taken(folds, batch):
    cache = BaselineCache()
    first = fitted(cache, folds[0])
    first.members["drift"].forecast = None  # whatever a run does to its own
    second = fitted(cache, folds[1])
    assert second.members["mine"].fitted == 1, "a copy of what was fitted"
    alone = Baselines(members={"drift": Drift()})
    alone.fit(folds[1])
    for name, prices in alone.forecast(batch).items():
        assert np.array_equal(prices, second.forecast(batch)[name])


def test_only_the_last_are_remembered(data):
    cache = BaselineCache(max_bytes=10_000)
    fitted(cache, data, mark=1)
    assert fitted(cache, data, mark=2).members["mine"].mark == 1
    assert fitted(cache, data, mark=3, fold=1).members["mine"].mark == 3, "another fold"
    assert fitted(cache, data, mark=4, identity="b").members["mine"].mark == 4, "other data"
    assert fitted(cache, data, mark=5).members["mine"].mark == 5, "forgotten since"


@pytest.mark.filterwarnings("ignore")
def test_what_failed_is_tried_again(data):
    cache = BaselineCache()
    assert list(fitted(cache, data, fit=raises(KeyError("x"))).failed) == ["mine"]
    assert fitted(cache, data, mark=2).members["mine"].mark == 2


@pytest.mark.parametrize("mark", [lambda: None, "x" * 10_001], ids=["cannot be copied", "too large"])
def test_what_cannot_be_kept_is_fitted_again(data, mark):
    cache = BaselineCache(max_bytes=10_000)
    fitted(cache, data, mark=mark)
    assert fitted(cache, data, mark=2).members["mine"].mark == 2
