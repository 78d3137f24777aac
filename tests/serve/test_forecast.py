"""GET /forecast/{ticker}: the future, asked for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from service import in_process

import forecast
from forecast.data.sources import FileSource
from forecast.serve.routes import forecast as route

FIELDS = {"ticker", "last_date", "last_close", "target", "unit", "forecast", "level", "warnings", "model_version", "timestamp", "latency_ms"}  # fmt: skip


@pytest.fixture(scope="module")
def service(panel):
    return panel


@pytest.fixture(scope="module")
def model(panel):
    return panel.store.current


@pytest.fixture
def another(panel, tmp_path):
    """An app of the same model with other settings."""
    with ExitStack() as stack:
        yield lambda source=None, **settings: stack.enter_context(
            in_process(source or panel.folder / "run", tmp_path, allow=["exchange"], **settings)
        )


@pytest.fixture
def switch(service):
    """Turn a switch of the exchange; it is turned back afterwards."""
    turned = []

    def turn(name: str):
        turned.append(service.folder / "exchange" / name)
        turned[-1].touch()
        return turned[-1]

    yield turn
    for path in turned:
        path.unlink(missing_ok=True)


def test_the_sessions_that_follow_as_the_command_has_them(service):
    said = service.get("/forecast/IBM")
    assert said.status == 200
    assert set(said.json()) == FIELDS
    words = ("source=files", f"source.path={service.folder / 'exchange'}", "data.tickers=[IBM]")
    table = forecast.future(service.folder / "run", *words).table
    days = said.json()["forecast"]
    assert [set(day) for day in days] == [{"date", "prediction", "lower", "upper"}] * 3
    assert [day["date"] for day in days] == table["date"].dt.strftime("%Y-%m-%d").tolist()
    # A server's recurrent layers are answered by ONNX Runtime, the command's by torch.
    for ours, theirs in {"prediction": "forecast", "lower": "lower", "upper": "upper"}.items():
        assert [day[ours] for day in days] == pytest.approx(table[theirs].tolist(), rel=1e-7)
    assert [day["date"] for day in days] == ["2013-03-04", "2013-03-05", "2013-03-06"]
    assert (said.json()["ticker"], said.json()["last_date"]) == ("IBM", "2013-03-01")
    assert said.json()["last_close"] == pytest.approx(table["naive"].iloc[0], rel=1e-6)
    assert (said.json()["level"], said.json()["latency_ms"] > 0) == (0.9, True)
    assert abs((datetime.fromisoformat(said.json()["timestamp"]) - datetime.now(UTC)).total_seconds()) < 600


def test_a_shorter_horizon(service):
    whole = service.get("/forecast/AAPL").json()["forecast"]
    for count in (1, 2, 3):
        assert service.get(f"/forecast/AAPL?horizon={count}").json()["forecast"] == whole[:count]
    said = service.get("/forecast/AAPL?horizon=4")
    assert (said.status, said.json()) == (
        400,
        {"detail": "horizon=4: more than the model forecasts; expected at most 3"},
    )


def test_the_sessions_before(service):
    past = service.get("/forecast/IBM?history=3").json()
    bars = FileSource(path=str(service.folder / "exchange")).bars("IBM")["Close"].iloc[-3:]
    dates = bars.index.strftime("%Y-%m-%d")
    assert past["history"] == [
        {"date": day, "close": close} for day, close in zip(dates, bars.tolist(), strict=True)
    ]
    assert past["history"][-1] == {"date": past["last_date"], "close": past["last_close"]}
    assert len(service.get("/forecast/IBM?history=2000").json()["history"]) == 500
    assert service.get("/forecast/IBM?history=1000000").status == 422


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "one", "", "1e3", "99999999999999999999999"])
def test_what_is_no_horizon(service, value):
    said = service.get(f"/forecast/AAPL?horizon={value}")
    assert said.status in (400, 422)
    assert "horizon" in said.detail()


@pytest.mark.parametrize(
    "path",
    ["..%2f..", "..%2Fetc%2Fpasswd", "%2e%2e", "a/b", "../../serve.py", "%00", "A%09B", "..", "A%20B", "x" * 400, "$%7Bjndi%7D"],
)  # fmt: skip
def test_what_is_no_ticker(service, path):
    said = service.get(f"/forecast/{path}")
    assert said.status == 400
    assert "is no ticker" in said.detail()
    assert len(said.detail()) < 300


def test_no_ticker_at_all(service):
    assert service.get("/forecast").status == 404
    assert service.get("/forecast/").status == 404


def test_an_unknown_ticker(service):
    said = service.get("/forecast/APPL")
    assert said.status == 404
    assert "did you mean AAPL?" in said.detail()


def test_a_trailing_slash_and_small_letters(service):
    assert service.get("/forecast/ibm/").json()["ticker"] == "IBM"


def test_a_source_that_is_down_and_its_cache(service, switch):
    before = service.get("/forecast/MSFT").json()
    switch("down")
    said = service.get("/forecast/MSFT")
    assert (said.status, said.headers["retry-after"]) == (503, "60")
    assert "bars up to 2013-03-01, fetched 1 day ago: ?stale=true forecasts from those" in said.detail()
    stale = service.get("/forecast/MSFT?stale=true").json()
    assert stale["forecast"] == before["forecast"]
    assert stale["warnings"][0] == "MSFT: the exchange is down; bars up to 2013-03-01, fetched 1 day ago"
    said = service.get("/forecast/FB?stale=true")  # never asked for, so nothing is kept
    assert (said.status, said.headers["retry-after"]) == (503, "60")


def test_many_who_ask_at_once_share_one_fetch_and_hold_up_nobody(service, switch):
    asked = service.folder / "exchange" / "asked"
    service.get("/forecast/GOOG")
    asked.unlink()
    slow = switch("slow")
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(service.get, "/forecast/GOOG") for _ in range(8)]
        while not asked.exists():
            time.sleep(0.01)
        window = {"sequence": [50.0 + step for step in range(20)]}
        assert service.post("/infer", window).status == 200
        assert service.get("/livez").status == 200
        assert not any(one.done() for one in waiting)
        slow.unlink()
        said = [one.result().json() for one in waiting]
    assert all(one["forecast"] == said[0]["forecast"] for one in said)
    # Some may have come after the first was answered.
    assert asked.read_text().split() in (["GOOG"], ["GOOG", "GOOG"])


def test_who_cannot_wait_for_the_source_is_said_what_is_kept(another, monkeypatch):
    seen = threading.Event()
    monkeypatch.setattr(route.LiveBars, "held", lambda *_: "bars up to 2013-02-28")
    monkeypatch.setattr(route, "latest", lambda *_, **__: seen.wait(60))
    reply = another(deadline_s=1.0).get("/forecast/AAPL")
    seen.set()
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert reply.detail() == (
        "AAPL: the source has not answered within 0.9 s; the cache has bars up to 2013-02-28; ask again"
    )


def test_too_many_who_ask(another, monkeypatch):
    monkeypatch.setattr(route, "_MAX_WAITERS", 0)
    reply = another().get("/forecast/AAPL")
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert reply.detail() == "too many wait for the source already; ask again"


def test_without_a_model(another, tmp_path):
    service = another(source=tmp_path / "champion")
    for path in ("/forecast/AAPL", "/config", "/v2/models/champion"):
        reply = service.get(path)
        assert (reply.status, reply.json()["detail"]) == (
            404,
            "no model is served: champion is not there yet",
        )
    reply = service.post("/infer", {"sequence": [50.0] * 20})
    assert (reply.status, reply.detail()) == (404, "no model is served: champion is not there yet")
    for path in ("/health", "/readyz"):
        assert service.get(path).status == 503
    assert service.get("/livez").status == 200
    ready = service.get("/v2/health/ready")
    assert (ready.status, ready.json()) == (503, {"ready": False})
    assert service.get("/v2/health/live").json() == {"live": True}


def test_a_model_without_intervals(service, model, monkeypatch):
    monkeypatch.setattr(model.predictor, "intervals", None)
    answer = service.get("/forecast/GOOG?stale=true").json()
    assert (answer["level"], {(day["lower"], day["upper"]) for day in answer["forecast"]}) == (
        None,
        {(None, None)},
    )


def test_no_absolute_path_in_an_answer(service):
    """Where the server keeps its files is its own affair; paths of routes are not files."""
    bars = service.folder / "exchange" / "IBM.csv"
    whole = bars.read_text()
    bars.write_text("Date,Open,High,Low,Close,Volume\n2013-01-02,1,2,0.5,one,9\n")
    reply = service.get("/forecast/IBM")
    bars.write_text(whole)
    assert (reply.status, "IBM.csv, line 2" in reply.detail()) == (502, True)
    assert str(service.folder) not in reply.detail()
    assert str(service.folder) not in service.get("/config").body.decode()
    assert "GET /forecast/AAPL" in service.post("/infer", {"sequence": [1.0] * 3}).detail()
