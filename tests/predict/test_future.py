"""The same from Python, and with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from markets import random_bars
from trained import run_without_plots

import forecast
from forecast.data.timing import Bars
from forecast.errors import UserError
from forecast.model.intervals import IntervalState
from forecast.predict import forecast_ahead, text_of

RUN = ("trainer=smoke", "tracker=none", "baselines=none", "model.hidden_size=4", "data.period=4y")


def test_the_table_from_python(runs):
    found = forecast.future(runs["panel"], "data.tickers=[IBM]")
    assert found.table["ticker"].unique().tolist() == ["IBM"]
    assert found.refused == {}
    assert "<table" in found._repr_html_()
    with pytest.raises(UserError, match=r"data\.tickerz: no such key"):
        forecast.future(runs["panel"], "data.tickerz=[IBM]")


def with_intervals(directory):
    predictor = forecast.load(directory)
    narrow = np.array([[0.01], [0.005]]) * np.sqrt(np.arange(1, 4))
    predictor.intervals = IntervalState(
        levels=(0.9, 0.5), quantile_levels=None, pooled=4 * narrow, own={"AAPL": narrow, "IBM": 2 * narrow}
    )
    return predictor


def test_intervals_of_the_ticker_or_of_all(runs):
    predictor = with_intervals(runs["panel"])
    bars = {name: random_bars(60, seed=number) for number, name in enumerate(("IBM", "NEW"))}
    table = predictor.predict(bars)
    assert list(table.columns[-4:]) == ["lower", "upper", "lower_50", "upper_50"]
    assert predictor.levels == (0.9, 0.5)
    half = np.concatenate((0.02 * np.sqrt([1, 2, 3]), 0.04 * np.sqrt([1, 2, 3])))
    np.testing.assert_allclose(table["upper"] - table["forecast"], half * table["naive"], rtol=1e-9)
    np.testing.assert_allclose(table["forecast"] - table["lower_50"], half / 2 * table["naive"], rtol=1e-9)


def test_intervals_are_printed_with_their_levels(runs):
    bars = {"IBM": random_bars(60, seed=0)}
    found = forecast_ahead(
        with_intervals(runs["panel"]).with_markets({"IBM": Bars(calendar="XNYS")}), bars, refused={}, notes=[]
    )
    text = text_of(found, output=None)
    assert text.splitlines()[0].split()[-4:] == ["lower", "upper", "lower_50", "upper_50"]
    assert "lower to upper: 90 % interval; lower_50 to upper_50: 50 % interval" in text
    assert "no intervals" not in text


def test_no_ticker_left_is_refused_with_the_first_reason(runs):
    bars = {name: random_bars(5, seed=0) for name in ("A", "B", "C")}
    with pytest.raises(UserError, match=r"^A: 5 bars.*\(nor can 2 others be forecast\); ask for"):
        forecast_ahead(forecast.load(runs["panel"]), bars, refused={}, notes=[])


@pytest.mark.parametrize("intervals", ["conformal", "adaptive", "scaled", "filtered"])
def test_a_bundle_keeps_its_intervals(tmp_path, intervals):
    run = run_without_plots(
        *RUN,
        "data=range_panel",
        f"intervals={intervals}",
        "intervals.levels=[0.9,0.5]",
        directory=tmp_path / "run",
    )
    test = run.forecasts[run.forecasts["split"] == "test"]
    assert (test["lower"] <= test["lower_50"]).all()
    assert (test["upper_50"] <= test["upper"]).all()
    inside = (test["lower"] <= test["actual"]) & (test["actual"] <= test["upper"])
    assert run.metrics["test_coverage"] == pytest.approx(inside.mean())
    assert run.forecasts.loc[run.forecasts["split"] != "test", "lower"].isna().all()
    table = forecast.future(run.directory).table
    share = (table["upper"] - table["lower"]) / table["naive"]
    if intervals == "conformal":  # the same on every day
        last = test.groupby("ticker", sort=False).last()
        np.testing.assert_allclose(share, (last["upper"] - last["lower"]) / last["naive"], rtol=1e-9)
    assert share.between(0.005, 0.5).all()


@pytest.mark.parametrize(
    ("calendar", "day", "expected"),
    [
        ("XNYS", "2012-10-26", ["2012-10-31", "2012-11-01"]),
        ("XNYS", "2012-12-24", ["2012-12-26", "2012-12-27"]),
        ("24/7", "2012-12-24", ["2012-12-25", "2012-12-26"]),
        (None, "2012-10-26", ["2012-10-29", "2012-10-30"]),
        (None, "2012-10-27", ["2012-10-29", "2012-10-30"]),  # a Saturday
        (None, "2012-12-24", ["2012-12-25", "2012-12-26"]),
    ],
)
def test_the_bars_that_come_next(calendar, day, expected):
    days = pd.to_datetime([day, "2013-01-02", day]).to_numpy()
    found = Bars(calendar=calendar).next_times(days, 2)
    assert found.dtype == "datetime64[ns]"
    assert found.astype("datetime64[D]").astype(str).tolist() == [
        expected,
        ["2013-01-03", "2013-01-04"],
        expected,
    ]


def test_a_calendar_that_ends_says_so():
    with pytest.raises(UserError, match="knows 1900-01-01 to 2099-12-31"):
        Bars(calendar="XNYS").next_times(np.array(["2099-12-30"], "datetime64[D]"), 5)
