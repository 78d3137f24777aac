"""The sessions that follow the latest bar, as `python -m forecast.predict` has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from exchange import list_bars
from fastapi import HTTPException

import forecast
from forecast.serve.live.latest import latest


class Noted:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def forecasts(self, served, windows, tickers, forecast, bounds, origins) -> None:
        shapes = [None if values is None else values.shape for values in (windows, forecast, bounds)]
        days = origins.astype("datetime64[D]").astype(str).tolist()
        self.told.append((served.version, "forecasts", list(tickers), days, shapes))

    def outcomes(self, served, ticker, bars) -> None:
        self.told.append((served.version, "outcomes", ticker, str(bars.index[-1].date())))


@pytest.mark.parametrize("scope", ["single", "multiple", "panel"])
def test_it_is_what_the_command_forecasts(live, served, scope, exchange):
    model, noted = served(scope), Noted()
    found = latest(live, noted, model, "AAPL", stale=False)
    words = ["source=files", f"source.path={exchange}"] + (
        ["data.tickers=[AAPL]"] if scope == "panel" else []
    )
    table = forecast.future(model.directory, *words).table
    assert found.forecast.tolist() == table["forecast"].tolist()
    assert found.bounds.tolist() == [table["lower"].tolist(), table["upper"].tolist()]
    assert [day.isoformat() for day in found.dates] == table["date"].dt.strftime("%Y-%m-%d").tolist()
    assert found.last_date.isoformat() == "2013-03-01"
    assert found.last_close == pytest.approx(table["naive"].iloc[0], rel=1e-6)
    horizon = {"single": 1, "multiple": 2, "panel": 3}[scope]
    width = {"single": 4, "multiple": 10, "panel": 5}[scope]
    assert noted.told == [
        (model.version, "outcomes", "AAPL", "2013-03-01"),
        (
            model.version,
            "forecasts",
            ["AAPL"],
            ["2013-03-01"],
            [(1, 20, width), (1, horizon), (2, 1, horizon)],
        ),
    ]


def test_the_last_close_is_that_of_the_bars_to_the_last_digit(live, served):
    model = served("single")
    bars = live.of(model, "AAPL", stale=False).tables["AAPL"]
    assert latest(live, Noted(), model, "AAPL", stale=False).last_close == bars["Close"].iloc[-1]


def test_tickers_side_by_side_end_with_their_last_common_day(live, served, exchange):
    list_bars(exchange, "IBM", until="2013-02-26")
    found = latest(live, Noted(), served("multiple"), "AAPL", stale=False)
    assert found.last_date.isoformat() == "2013-02-26"
    bars = live.of(served("single"), "AAPL", stale=False).tables["AAPL"]
    assert found.last_close == bars["Close"].loc["2013-02-26"]
    pd.testing.assert_series_equal(found.closes, bars["Close"].loc[:"2013-02-26"])


def test_the_days_are_sessions_of_the_exchange(live, served, exchange):
    list_bars(exchange, "AAPL", until="2012-10-26")  # then two days of a hurricane
    found = latest(live, Noted(), served("panel"), "AAPL", stale=False)
    assert [str(day) for day in found.dates] == ["2012-10-31", "2012-11-01", "2012-11-02"]
    assert found.warnings == ["the last bar is of 2012-10-26: the first day that is forecast is over"]


def test_without_a_calendar_the_days_are_weekdays_and_that_is_said(live, served, exchange):
    list_bars(exchange, "AAPL", until="2012-10-26")
    policies = {**served("panel").config["data"]["health"], "calendar": None}
    for health in (None, policies):
        found = latest(live, Noted(), served("panel", health=health), "AAPL", stale=False)
        assert str(found.dates[0]) == "2012-10-29"
        assert found.warnings[0] == "the days are weekdays, whether the exchange is open or not"


def test_too_few_bars(live, served, exchange):
    list_bars(exchange, "AAPL", count=19)
    with pytest.raises(HTTPException) as caught:
        latest(live, Noted(), served("panel"), "AAPL", stale=False)
    assert caught.value.status_code == 409
    assert caught.value.detail == "AAPL: 19 bars, but the model looks back over 20"


def test_a_gap_in_the_window(live, served, exchange):
    text = (exchange / "AAPL.csv").read_text().splitlines()
    fields = text[-5].split(",")
    text[-5] = ",".join([fields[0], fields[1], "", *fields[3:]])
    (exchange / "AAPL.csv").write_text("\n".join(text))
    with pytest.raises(HTTPException) as caught:
        latest(live, Noted(), served("panel", health=None), "AAPL", stale=False)
    assert caught.value.status_code == 409
    assert "holds a gap or a NaN" in caught.value.detail


def test_a_forecast_that_is_no_number_is_none(live, served, monkeypatch):
    model = served("single")
    monkeypatch.setattr(model.predictor.forecaster, "predict", lambda windows: np.full((1, 1), np.inf))
    with pytest.raises(HTTPException) as caught:
        latest(live, Noted(), model, "AAPL", stale=False)
    assert caught.value.status_code == 409


def test_a_model_without_intervals(live, served, monkeypatch):
    model = served("single")
    monkeypatch.setattr(model.predictor, "intervals", None)
    assert latest(live, Noted(), model, "AAPL", stale=False).bounds is None
