"""Figures of the baselines, and the choice of the best before any test row is seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecast.evaluate.baselines import Baselines, BaselineTally
from forecast.evaluate.metrics import Tally
from forecast.evaluate.rows import Rows

HORIZON = 2


class Given:
    """Stands for a baseline; the forecasts are given."""

    def fit(self, data): ...

    def forecast(self, batch): ...


def piece(count=40, *, seed=0, flat=False):
    """Rows of a split, and forecasts that err by a share of the move that came."""
    rng = np.random.default_rng(seed)
    naive = np.repeat(50 + rng.normal(0, 5, count), HORIZON)
    actual = naive if flat else naive + rng.normal(0, 1, count * HORIZON)
    numbers = np.arange(count * HORIZON)
    rows = Rows(
        series=numbers * 0, days=numbers.astype(np.int32), step=(numbers % HORIZON + 1).astype(np.int32),
        origin=numbers.astype(np.int32), actual=actual, forecast=naive, naive=naive,
    )  # fmt: skip

    def forecasts(**shares):
        columns = {"naive": naive} | {name: naive + s * (actual - naive) for name, s in shares.items()}
        return {name: column.reshape(count, HORIZON) for name, column in columns.items()}

    return rows, forecasts


def tally(*names):
    return BaselineTally(baselines=Baselines(members={name: Given() for name in names}), horizon=HORIZON)


def count(found, split, shares, **keys):
    rows, forecasts = piece(**keys)
    found.add(split, rows, forecasts(**shares), scale=np.full(len(rows), 0.5))


def test_figures_are_those_of_the_model_on_the_same_rows():
    found = tally("one", "two")
    for split, seeds in (("val", (0, 1)), ("test", (2, 3))):
        for seed in seeds:
            count(found, split, {"one": 0.2, "two": -0.1}, seed=seed)
    flat, nested = found.result()
    oracle = Tally(horizon=HORIZON)
    for seed in (2, 3):
        rows, forecasts = piece(seed=seed)
        oracle.add(rows.actual, forecasts(two=-0.1)["two"].ravel(), rows.naive, np.full(len(rows), 0.5))
    wanted = oracle.result("test")
    assert {f"test_{name}": value for name, value in nested["figures"]["two"]["test"].items()} == wanted
    assert flat["test_two_rmse"] == wanted["test_rmse"]
    assert flat["test_two_theil_u"] == pytest.approx(1.1)
    assert flat["val_one_mae"] == nested["figures"]["one"]["val"]["mae"]
    assert set(flat) == {
        f"{split}_{name}_{figure}"
        for split in ("val", "test")
        for name in ("one", "two")
        for figure in ("rmse", "mae", "theil_u")
    }
    assert nested["figures"]["naive"]["val"]["theil_u"] == 1
    assert list(nested) == ["best", "selected_on", "figures", "failed", "seconds"]
    assert json.loads(json.dumps(nested, allow_nan=False)) == nested


def test_the_best_is_chosen_on_validation():
    found = tally("one", "two")
    count(found, "val", {"one": 0.3, "two": 0.2})
    assert found.best == "one"
    count(found, "test", {"one": -0.5, "two": 0.9})
    assert found.best == found.result()[1]["best"] == "one"


def test_the_best_has_the_least_squared_error():
    """As Theil's U has it; the least absolute error may be another's."""
    found = tally("rough", "even")
    rows, forecasts = piece()
    told = forecasts(rough=-0.5, even=0.1)
    told["rough"][::2] = rows.actual.reshape(told["rough"].shape)[::2]
    found.add("val", rows, told, scale=np.full(len(rows), 0.5))
    figures = found.result()[1]["figures"]
    assert figures["rough"]["val"]["mae"] < figures["even"]["val"]["mae"]
    assert found.best == "even"


def test_validation_days_that_follow_a_test_do_not_count():
    """In a walk-forward they are test days of an earlier fold."""
    found = tally("one", "two")
    count(found, "val", {"one": 0.3, "two": 0.2}, seed=0)
    count(found, "test", {"one": 0.3, "two": 0.2}, seed=1)
    count(found, "val", {"one": -0.5, "two": 0.9}, seed=1)
    _, nested = found.result()
    assert nested["best"] == "one"
    assert nested["figures"]["two"]["val"]["theil_u"] < nested["figures"]["one"]["val"]["theil_u"]


@pytest.mark.parametrize(
    ("shares", "best"),
    [({"one": -0.1, "two": -0.2}, "naive"), ({"one": 0.0, "two": 0.0}, "naive"), ({"one": 0.2, "two": 0.2}, "one")],
    ids=["naive is one of them", "a tie goes to naive", "a tie goes to the first"],
)  # fmt: skip
def test_ties(shares, best):
    found = tally("one", "two")
    count(found, "val", shares)
    assert found.best == best


def test_one_that_fails_has_no_figures():
    found = tally("one", "two")
    count(found, "val", {"one": 0.3, "two": 0.2})
    rows, forecasts = piece(seed=1)
    found.baselines.failed["one"] = "it broke"
    found.add("test", rows, forecasts(two=0.2), scale=np.full(len(rows), 0.5))
    flat, nested = found.result()
    assert nested["best"] == "two"
    assert set(nested["figures"]) == {"naive", "two"}
    assert not [key for key in flat if "_one_" in key]
    assert nested["failed"] == {"one": "it broke"}


def test_all_failed():
    found = tally("one")
    found.baselines.failed["one"] = "it broke"
    count(found, "val", {})
    assert found.best == "naive"


def test_prices_that_never_move():
    found = tally("one")
    for split in ("val", "test"):
        count(found, split, {"one": 0.0}, flat=True)
    flat, nested = found.result()
    assert nested["best"] == "naive"
    assert flat["test_one_theil_u"] is None
    assert flat["test_one_rmse"] == 0
    json.dumps(nested, allow_nan=False)
