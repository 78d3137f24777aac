"""One baseline that fails is left out by name, and the others go on."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from markets import market, tables

import forecast.evaluate.baselines
from forecast.errors import UserError
from forecast.evaluate.baselines import Baselines, Drift, Fits, MovingAverage


class Faulty:
    """The last price, until something goes wrong."""

    def __init__(self, *, fit=None, predict=None, mark=None):
        self.at_fit, self.at_predict = fit, predict
        self.mark = mark  # tells it from others
        self.fitted = self.asked = 0

    def fit(self, data):  # noqa: ARG002
        self.fitted += 1
        if self.at_fit:
            self.at_fit()

    def predict(self, data, batch):
        self.asked += 1
        prices = np.repeat(batch.windows[:, -1:, data.layout.target].astype(float), data.horizon, axis=1)
        return prices if self.at_predict is None else self.at_predict(prices)


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
        pytest.param({"predict": raises(UserError("a=1: no"))}, "a=1: no", id="raises when asked"),
        pytest.param({"predict": warns(RuntimeWarning, "possible\nconvergence problem")}, "possible convergence problem", id="does not converge when asked"),
        pytest.param({"predict": lambda prices: prices[:, :1]}, r"forecasts have the shape (42, 1), must have (42, 2)", id="shape"),
        pytest.param({"predict": lambda prices: None}, "forecasts have the shape (), must have (42, 2)", id="nothing"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # as where nobody asked for errors
def test_a_baseline_that_fails(faulty, reason, data, batch, caplog):
    member = Faulty(**faulty)
    baselines = Baselines(members={"mine": member, "average": MovingAverage()})
    assert len(batch.rows) == 42
    for _ in range(2):
        baselines.fit(data)
        found = baselines.predict(data, batch)
        assert list(found) == ["naive", "average"]
    assert list(baselines.failed) == ["mine"]
    assert baselines.failed["mine"].startswith(reason)
    assert "\n" not in baselines.failed["mine"]
    assert (member.fitted, member.asked) == (1, "predict" in faulty), "it is asked no more"
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"baseline mine is left out: {baselines.failed['mine']}"]


def test_a_forecast_that_is_no_number_is_named(data, batch, odd):
    baselines = Baselines(members={"mine": Faulty(predict=odd)})
    baselines.fit(data)
    assert list(baselines.predict(data, batch)) == ["naive"]
    day = np.datetime64(int(data.panel_.days[batch.rows[2]]), "D")
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
    (found,) = baselines.predict(data, batch).values()
    last = data.panel_.values[batch.rows, data.layout.target].astype(np.float64)
    np.testing.assert_array_equal(found, np.stack([last, last], axis=1))
    assert baselines.names == ["naive"]


def test_null_leaves_one_out():
    assert Baselines(members={"drift": Drift(), "trees": None}).names == ["naive", "drift"]


def test_seconds_add_up(data, batch):
    baselines = Baselines(members={"drift": Drift()})
    baselines.fit(data)
    fitted = baselines.seconds["drift"]
    baselines.predict(data, batch)
    assert 0 < fitted < baselines.seconds["drift"]


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"My-own": Drift()}, "baselines.members.My-own: a name has lower-case letters, digits and _"),
        ({"naive": Drift()}, "baselines.members.naive: the name is taken; give it another one than"),
        ({"step": Drift()}, "baselines.members.step: the name is taken"),
        ({"mine": object()}, "baselines.members.mine: gives a object, must give a baseline: fit(data)"),
    ],
)
def test_refusals(members, line):
    with pytest.raises(UserError) as caught:
        Baselines(members=members)
    assert str(caught.value).startswith(line)


def test_checking_a_config_imports_nothing_heavy():
    heavy = {"numpy", "pandas", "torch", "sklearn", "scipy", "statsmodels", "threadpoolctl"}
    code = (
        "import sys, forecast.evaluate.baselines as b; [getattr(b, name) for name in b.__all__ if name != 'BaselineTally'];"
        f" print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", forecast.evaluate.baselines.__all__)
def test_names(name):
    assert getattr(forecast.evaluate.baselines, name).__name__ == name
    assert name in dir(forecast.evaluate.baselines)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Drifts'"):
        _ = forecast.evaluate.baselines.Drifts


@pytest.fixture
def folds(data):
    """The same days, split for a second time."""
    return [data, data.divided(data.stretches_)]


def fitted(fits, data, *, identity="a", fold=0, **faulty):
    """Baselines of a run of its own, and their first member."""
    baselines = Baselines(members={"mine": Faulty(**faulty), "drift": Drift()})
    fits.fit(baselines, data, identity=identity, fold=fold)
    return baselines


def test_what_another_run_learnt_is_taken(folds, batch):
    fits = Fits()
    first = fitted(fits, folds[0])
    first.members["drift"].predict = None  # whatever a run does to its own
    second = fitted(fits, folds[1])
    assert second.members["mine"].fitted == 1, "a copy of what was fitted"
    alone = Baselines(members={"drift": Drift()})
    alone.fit(folds[1])
    for name, prices in alone.predict(folds[1], batch).items():
        assert np.array_equal(prices, second.predict(folds[1], batch)[name])


def test_only_the_last_are_remembered(data):
    fits = Fits(most_bytes=10_000)
    fitted(fits, data, mark=1)
    assert fitted(fits, data, mark=2).members["mine"].mark == 1
    assert fitted(fits, data, mark=3, fold=1).members["mine"].mark == 3, "another fold"
    assert fitted(fits, data, mark=4, identity="b").members["mine"].mark == 4, "other data"
    assert fitted(fits, data, mark=5).members["mine"].mark == 5, "forgotten since"


@pytest.mark.filterwarnings("ignore")
def test_what_failed_is_tried_again(data):
    fits = Fits()
    assert list(fitted(fits, data, fit=raises(KeyError("x"))).failed) == ["mine"]
    assert fitted(fits, data, mark=2).members["mine"].mark == 2


@pytest.mark.parametrize("mark", [lambda: None, "x" * 10_001], ids=["cannot be copied", "too large"])
def test_what_cannot_be_kept_is_fitted_again(data, mark):
    fits = Fits(most_bytes=10_000)
    fitted(fits, data, mark=mark)
    assert fitted(fits, data, mark=2).members["mine"].mark == 2
