"""The latest bars of a ticker, the bars that follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exchange import list_bars
from fastapi import HTTPException

import forecast
from forecast.model.forecaster import Forecast
from forecast.serve.live import LiveBars, is_ticker, latest
from forecast.serve.model_store import LoadedModel


@pytest.fixture
def exchange(tmp_path) -> Path:
    """The folder of an exchange where AAPL, IBM, MSFT and GOOG are listed, up to Friday 2013-03-01."""
    return list_bars(tmp_path / "exchange", "AAPL", "IBM", "MSFT", "GOOG")


@pytest.fixture
def served(trained, exchange) -> Callable[..., LoadedModel]:
    """A model whose config names the exchange as its source, and says something else about its data."""

    def make(scope: str, **data: Any) -> LoadedModel:
        model = trained[scope]
        source = {"_target_": "exchange.Exchange", "path": str(exchange), "adjust": True}
        config = {**model.config, "source": source, "data": {**model.config["data"], **data}}
        return replace(model, config=config)

    return make


@pytest.fixture
def live() -> LiveBars:
    return LiveBars(allow=["exchange"])


def refused(live, served, ticker, *, stale=False) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        live.of(served, ticker, stale=stale)
    assert "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize(
    "ticker", ["AAPL", "BRK-B", "^GSPC", "EURUSD=X", "005930.KS", "a", "M&M.NS", "x" * 32]
)
def test_what_is_a_ticker(ticker):
    assert is_ticker(ticker, [])


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "^", "^..", "-X", "../etc/passwd", "A/B", "A\\B", "A B", "A\n", "A\0", "%2e", "x" * 33, "\u212a", "é", "$$$", "<b>"],
)  # fmt: skip
def test_what_is_none(live, served, text, exchange):
    assert not is_ticker(text, ["AAPL"])
    assert refused(live, served("panel"), text).status_code == 400
    assert not (exchange / "asked").exists()


def test_a_name_the_model_was_trained_on_may_have_any_letters():
    assert is_ticker("Ünal & Söhne", ["Ünal & Söhne"])


def test_a_model_is_asked_by_the_name_it_knows(live, served):
    assert live.of(served("panel"), "ibm", stale=False).ticker == "IBM"
    assert live.of(served("panel"), "goog", stale=False).ticker == "GOOG"


def test_the_source_may_know_better_what_a_ticker_is(live, served):
    error = refused(live, served("panel"), "^GSPC")
    assert (error.status_code, error.detail) == (400, "data.tickers=^GSPC: the exchange has no indices")


@pytest.mark.parametrize("scope", ["single", "multiple", "panel"])
def test_an_unknown_ticker(live, served, scope):
    error = refused(live, served(scope), "APPL")
    assert error.status_code == 404
    assert "has no ticker 'APPL'; did you mean AAPL?" in error.detail


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("single", "IBM: the model forecasts AAPL; ask for that, or serve a panel model"),
        ("multiple", "IBM: the model forecasts AAPL (it only looks at IBM beside it); ask for that, or serve a panel model"),
    ],
)  # fmt: skip
def test_a_model_for_another_ticker(live, served, scope, said):
    error = refused(live, served(scope), "IBM")
    assert (error.status_code, error.detail) == (409, said)


def test_a_panel_takes_a_ticker_it_never_saw_and_says_so(live, served):
    found = live.of(served("panel"), "GOOG", stale=False)
    assert found.warnings == ["not trained on GOOG, but on AAPL, IBM, MSFT"]
    assert live.of(served("panel"), "MSFT", stale=False).warnings == []


def test_a_model_of_several_gets_the_bars_of_all(live, served):
    assert list(live.of(served("multiple"), "AAPL", stale=False).tables) == ["AAPL", "IBM"]


def test_a_source_that_is_down(live, served, exchange):
    (exchange / "down").touch()
    error = refused(live, served("panel"), "AAPL")
    assert (error.status_code, error.headers) == (503, {"Retry-After": "60"})
    assert error.detail == "data.tickers=AAPL: the exchange is down; try again later"


def test_a_source_that_is_down_but_remembers(live, served, exchange):
    model = served("panel")
    live.of(model, "AAPL", stale=False)
    (exchange / "down").touch()
    error = refused(live, model, "aapl")
    assert (error.status_code, error.headers) == (503, {"Retry-After": "60"})
    assert error.detail == (
        "AAPL: the exchange is down; the cache has bars up to 2013-03-01, fetched 1 day ago: ?stale=true forecasts "
        "from those"
    )
    found = live.of(model, "AAPL", stale=True)
    assert found.warnings == ["AAPL: the exchange is down; bars up to 2013-03-01, fetched 1 day ago"]
    (exchange / "down").unlink()
    assert live.of(model, "AAPL", stale=True).warnings == []


def test_a_neighbour_that_is_missing_is_the_sources_fault(live, served, exchange):
    (exchange / "IBM.csv").unlink()
    error = refused(live, served("multiple"), "AAPL")
    assert error.status_code == 502
    assert "has no ticker 'IBM'" in error.detail


def test_a_damaged_file(live, served, exchange):
    (exchange / "AAPL.csv").write_text("Date,Open,High,Low,Close,Volume\n2013-01-02,1,2,0.5,one,9\n")
    error = refused(live, served("panel"), "AAPL")
    assert error.status_code == 502
    assert "AAPL.csv, line 2: Close='one' is no number" in error.detail


def test_a_folder_that_went_away(live, served, exchange):
    model = served("panel")
    live.of(model, "AAPL", stale=False)
    shutil.rmtree(exchange)
    assert refused(live, model, "IBM").status_code == 502


def test_faulty_bars_are_refused_by_the_models_own_policies(live, served, exchange):
    bars = pd.read_csv(exchange / "AAPL.csv")
    bars.loc[7, "High"] = 1.0
    bars.to_csv(exchange / "AAPL.csv", index=False)
    error = refused(live, served("panel"), "AAPL")
    assert error.status_code == 502
    assert "data.health.high_low=drop" in error.detail
    policies = {**served("panel").config["data"]["health"], "high_low": "drop"}
    assert len(live.of(served("panel", health=policies), "AAPL", stale=False).tables["AAPL"]) == 399
    assert len(live.of(served("panel", health=None), "AAPL", stale=False).tables["AAPL"]) == 400


def test_trained_up_to_a_day_it_forecasts_from_the_latest(live, served):
    found = live.of(served("panel", end="2012-12-31"), "AAPL", stale=False)
    assert str(found.tables["AAPL"].index[-1].date()) == "2013-03-01"


def test_bars_from_before_the_models_time(live, served):
    error = refused(live, served("panel", start="2014-01-01"), "AAPL")
    assert (error.status_code, error.detail) == (
        404,
        "AAPL: the source has no bars in data.start=2014-01-01, data.end=null",
    )


def test_new_bars_are_seen_at_once(live, served, exchange):
    list_bars(exchange, "AAPL", until="2013-01-31")
    model = served("panel")
    assert str(live.of(model, "AAPL", stale=False).tables["AAPL"].index[-1].date()) == "2013-01-31"
    list_bars(exchange, "AAPL")
    assert str(live.of(model, "AAPL", stale=False).tables["AAPL"].index[-1].date()) == "2013-03-01"


def test_a_source_is_built_once_and_anew_for_another_config(live, served, exchange, tmp_path):
    model = served("panel")
    live.of(model, "AAPL", stale=False)
    (exchange / "down").touch()
    # The same source, so it remembers; so does that of another model with the same config.
    assert "fetched 1 day ago" in refused(live, replace(model, version="other"), "AAPL").detail
    elsewhere = list_bars(tmp_path / "elsewhere", "AAPL")
    source = {**model.config["source"], "path": str(elsewhere)}
    assert (
        live.of(replace(model, config={**model.config, "source": source}), "AAPL", stale=False).ticker
        == "AAPL"
    )


def test_a_model_trained_on_a_fresh_download_is_served_from_the_cache(live, served, tmp_path):
    model = served("panel")
    source = {
        "_target_": "forecast.data.sources.YFinanceSource",
        "cache_dir": str(tmp_path / "cache"),
        "offline": True,
        "force_download": True,  # by themselves these exclude each other
    }
    error = refused(live, replace(model, config={**model.config, "source": source}), "AAPL")
    assert error.status_code == 502
    assert "AAPL: not in the cache" in error.detail


@pytest.mark.parametrize("target", ["os.system", "forecast.data.market.log.warning", "exchange.Exchange"])
def test_a_source_that_is_not_allowed_is_never_built(served, target, tmp_path):
    model = served("panel")
    source = {"_target_": target, "path": str(tmp_path / "made")}
    error = refused(LiveBars(allow=[]), replace(model, config={**model.config, "source": source}), "AAPL")
    assert error.status_code == 502
    assert "no class that may be served" in error.detail


class Noted:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.said: list[tuple] = []

    def forecasts(self, served, windows, tickers, forecast, bounds, origins) -> None:
        shapes = [None if values is None else values.shape for values in (windows, forecast, bounds)]
        days = origins.astype("datetime64[D]").astype(str).tolist()
        self.said.append((served.version, "forecasts", list(tickers), days, shapes))

    def bars(self, served, ticker, bars) -> None:
        self.said.append((served.version, "outcomes", ticker, str(bars.index[-1].date())))


@pytest.mark.parametrize("scope", ["single", "multiple", "panel"])
def test_it_is_what_the_command_forecasts(live, served, scope, exchange):
    model, noted = served(scope), Noted()
    found = latest(live, noted, model, "AAPL", stale=False)
    words = ["source=files", f"source.path={exchange}"] + (
        ["data.tickers=[AAPL]"] if scope == "panel" else []
    )
    table = forecast.future(model.directory, *words).table
    days = found.answer.forecast
    # A server's recurrent layers are answered by ONNX Runtime, the command's by torch.
    assert [day.prediction for day in days] == pytest.approx(table["forecast"].tolist(), rel=1e-7)
    assert [day.lower for day in days] == pytest.approx(table["lower"].tolist(), rel=1e-7)
    assert [day.upper for day in days] == pytest.approx(table["upper"].tolist(), rel=1e-7)
    assert [day.date for day in days] == table["date"].dt.strftime("%Y-%m-%d").tolist()
    assert found.answer.last_date == "2013-03-01"
    assert found.answer.last_close == pytest.approx(table["naive"].iloc[0], rel=1e-6)
    horizon = {"single": 1, "multiple": 2, "panel": 3}[scope]
    width = {"single": 4, "multiple": 10, "panel": 5}[scope]
    assert noted.said == [
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
    assert latest(live, Noted(), model, "AAPL", stale=False).answer.last_close == bars["Close"].iloc[-1]


def test_tickers_side_by_side_end_with_their_last_common_day(live, served, exchange):
    list_bars(exchange, "IBM", until="2013-02-26")
    found = latest(live, Noted(), served("multiple"), "AAPL", stale=False)
    assert found.answer.last_date == "2013-02-26"
    bars = live.of(served("single"), "AAPL", stale=False).tables["AAPL"]
    assert found.answer.last_close == bars["Close"].loc["2013-02-26"]
    pd.testing.assert_series_equal(found.closes, bars["Close"].loc[:"2013-02-26"])


def test_the_days_are_sessions_of_the_exchange(live, served, exchange):
    list_bars(exchange, "AAPL", until="2012-10-26")  # then two days of a hurricane
    model = served("panel")
    found = latest(live, Noted(), model, "AAPL", stale=False)
    assert [day.date for day in found.answer.forecast] == ["2012-10-31", "2012-11-01", "2012-11-02"]
    old = "the last bar is of 2012-10-26: the first day that is forecast is over"
    assert found.answer.warnings == [old, *model.interval_warnings]


def test_without_a_calendar_the_days_are_weekdays_and_that_is_said(live, served, exchange):
    list_bars(exchange, "AAPL", until="2012-10-26")
    policies = {**served("panel").config["data"]["health"], "calendar": None}
    for health in (None, policies):
        found = latest(live, Noted(), served("panel", health=health, calendar=None), "AAPL", stale=False)
        assert found.answer.forecast[0].date == "2012-10-29"
        said = "the days are the bars' own weekdays, whether the exchange is open or not"
        assert found.answer.warnings[0] == said


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
    monkeypatch.setattr(
        model.predictor.forecaster,
        "forecast",
        lambda batch: Forecast(np.full((len(batch.windows), 1), np.inf)),
    )
    with pytest.raises(HTTPException) as caught:
        latest(live, Noted(), model, "AAPL", stale=False)
    assert caught.value.status_code == 409


def test_a_model_without_intervals(live, served, monkeypatch):
    model = served("single")
    monkeypatch.setattr(model.predictor, "intervals", None)
    (day,) = latest(live, Noted(), model, "AAPL", stale=False).answer.forecast
    assert day.lower is day.upper is None
