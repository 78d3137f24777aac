"""What forecasts different things is not ranked by a figure in the price's unit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sweep_parts import write_run

from forecast.finished_runs import Subject, describe_target, differences, in_prices, incomparable

ONE = Subject(
    target="Close", tickers=("AAPL",), horizon=1, dates=("2010-01-04", "2011-01-04"), naive=(100.0, 1.25, 1.0)
)


@pytest.mark.parametrize("metric", ["val_rmse", "val_mae", "val_naive_rmse", "val_winkler"])
def test_metrics_in_prices(metric):
    assert in_prices(metric)


@pytest.mark.parametrize(
    "metric", ["val_theil_u", "val_mape", "val_mase", "val_direction", "val_loss", "val_r2_oos"]
)
def test_metrics_without_a_unit(metric):
    assert not in_prices(metric)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"tickers": ("IBM",), "naive": (100.0, 9.0, 8.0)}, ["tickers"]),
        ({"horizon": 5}, ["horizon"]),
        ({"dates": ("2010-01-04", "2012-01-04"), "naive": (350.0, 1.3, 1.1)}, ["dates"]),
        ({"naive": (100.0, 1.26, 1.0)}, ["data"]),
        ({"naive": (100.0, None, 1.0)}, ["data"]),
        ({"naive": (100.0, 1.25 * (1 + 1e-12), 1.0)}, []),  # summed in another order
    ],
    ids=str,
)
def test_in_what_they_differ(change, named):
    assert differences([ONE, replace(ONE, **change)]) == named


def test_the_refusal_names_the_way_out():
    other = replace(ONE, tickers=("IBM",), horizon=2)
    assert incomparable("val_rmse", [ONE, other]) == (
        "objective.metric=val_rmse: is in the price's unit, and these runs differ in tickers, horizon, so it does "
        "not rank them; use objective.metric=val_theil_u"
    )
    assert incomparable("val_theil_u", [ONE, other]) is None
    assert incomparable("val_rmse", [ONE, ONE]) is None
    assert incomparable("val_rmse", []) is None


def test_a_run_directory_says_what_it_forecast(tmp_path):
    directory = write_run(tmp_path / "run", tickers=("AAPL", "IBM"))
    assert Subject.of(directory) == ONE  # of several side by side, the first is forecast
    facts = json.loads((directory / "scaler.json").read_text()) | {"scope": "panel"}
    (directory / "scaler.json").write_text(json.dumps(facts))
    assert Subject.of(directory).tickers == ("AAPL", "IBM")
    (directory / "data.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a run directory of this version"):
        Subject.of(directory)


def test_runs_of_different_targets_are_not_ranked_by_any_metric():
    other = replace(ONE, target=describe_target({"_target_": "forecast.data.target.Volatility", "span": 5}))
    assert incomparable("val_theil_u", [ONE, other]) == (
        "objective.metric=val_theil_u: does not rank runs of different targets (Close, Volatility span=5); name one, "
        "such as target=close"
    )
