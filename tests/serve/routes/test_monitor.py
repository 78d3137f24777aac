"""GET /monitor and GET /metrics of a real server of two processes, while one of them is killed."""

import json
import os
import signal
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from service import serving, window

from forecast.data.sources import SampleSource

ORIGINAL = (
    "total_inferences",
    "avg_latency_ms",
    "min_latency_ms",
    "max_latency_ms",
    "last_inference_timestamp",
)
LOG = "outputs/serve/requests.jsonl"
PERCENTILES = ("p50_latency_ms", "p95_latency_ms", "p99_latency_ms")


@pytest.fixture(scope="module")
def service(bundle, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served"), f"bundle={bundle}", "workers=2") as started:
        started.wait(lambda: len(monitor(started)["processes"]) == 2, "both processes")
        yield started


def monitor(service):
    reply = service.get("/monitor")
    assert reply.status == 200
    return reply.json()


def metrics(service):
    """(name, labels) -> value, as Prometheus' own parser reads them."""
    reply = service.get("/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(reply.body.decode()))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def looked_at(service):
    """Windows that drift is made of, once none waits to be looked at: that is done half a second after an answer."""
    windows = None
    while windows != (windows := monitor(service)["drift"]["windows"]):
        time.sleep(1.5)
    return windows


def infer(service, number, **more):
    for _ in range(number):
        assert service.post("/infer", {"sequence": window(), **more}).status == 200


def _answers(service):
    try:
        return service.get("/livez").status == 200
    except OSError:
        return False


def test_what_the_original_said_and_percentiles(service):
    before = monitor(service)["total_inferences"]
    infer(service, 20)
    said = monitor(service)
    assert said["status"] == "healthy"
    assert said["total_inferences"] == before + 20
    assert 0 < said["min_latency_ms"] <= said["avg_latency_ms"] <= said["max_latency_ms"]
    assert said["min_latency_ms"] <= said["p50_latency_ms"] <= said["p95_latency_ms"]
    assert said["p95_latency_ms"] <= said["p99_latency_ms"] <= said["max_latency_ms"]
    assert said["last_inference_timestamp"].endswith(("Z", "+00:00"))
    assert said["last_minute"]["inferences"] >= 20
    assert said["in_flight"] == 1  # this one
    assert said["queue"] == 0


def test_whose_model_it_is(service, bundle):
    said = monitor(service)["model"]
    assert said["version"] == service.post("/infer", {"sequence": window()}).json()["model_version"]
    assert said["directory"] == bundle.name  # no absolute path in any answer
    assert (said["tickers"], said["scope"], said["lookback"], said["horizon"]) == (["AAPL"], "single", 20, 1)
    assert said["age_seconds"] > 0
    assert said["swaps"] == 0


def test_errors_by_status_and_route(service):
    before = monitor(service)["errors"]
    refused = [
        service.post("/infer", {"sequence": [[1, 2]]}).status,
        service.post("/infer", b"no JSON").status,
        service.get("/no/such/path").status,
        service.ask("DELETE", "/infer").status,
    ]
    assert refused == [400, 422, 404, 405]
    said = monitor(service)
    for status in map(str, refused):
        assert said["errors"][status] == before.get(status, 0) + 1
    kinds = {(row["route"], row["method"], row["status"]) for row in said["routes"]}
    assert {("/infer", "POST", 400), ("/infer", "POST", 422), ("/monitor", "GET", 200)} <= kinds
    assert not any("/no/such/path" in row["route"] for row in said["routes"])


def test_paths_do_not_become_labels(service):
    for number in range(40):
        service.get(f"/forecast/NO{number}")
        service.get(f"/made/up/{number}?x={number}")
    routes = {row["route"] for row in monitor(service)["routes"]}
    assert not any("NO1" in route or "made" in route for route in routes)
    assert len(routes) < 20


def test_metrics_are_the_same_figures(service):
    infer(service, 3)
    said, scraped = monitor(service), metrics(service)
    labels = (("method", "POST"), ("route", "/infer"))
    assert scraped["forecast_requests_total", *labels, ("status", "200")] == said["total_inferences"]
    total = sum(
        row["requests"] for row in said["routes"] if (row["route"], row["method"]) == ("/infer", "POST")
    )
    assert scraped["forecast_request_seconds_count", *labels] == total
    buckets = {
        float(dict(key[1:])["le"]): value
        for key, value in scraped.items()
        if key[0] == "forecast_request_seconds_bucket"
        and dict(key[1:])["route"] == "/infer"
        and dict(key[1:])["method"] == "POST"
    }
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets[float("inf")] == total
    assert scraped["forecast_request_seconds_sum", *labels] > 0
    assert scraped["forecast_model_info", ("version", said["model"]["version"])] == 1
    assert scraped["forecast_processes",] == 2
    assert scraped["forecast_windows_total",] >= said["total_inferences"]
    assert 0 < scraped["forecast_batches_total",] <= scraped["forecast_windows_total",]


def test_a_probe_of_readiness_is_no_forecast_that_anybody_asked_for(service):
    before = looked_at(service), metrics(service)["forecast_windows_total",]
    for _ in range(5):
        assert service.get("/health").status == 200
    assert (looked_at(service), metrics(service)["forecast_windows_total",]) == before


def test_drift_and_outcomes_are_of_what_was_asked(bundle, tmp_path):
    """Days in a row, as the run's own source has them: what came of each is in the next window."""
    bars = SampleSource().bars("AAPL")[["High", "Low", "Close", "Volume"]].tail(180).to_numpy().tolist()
    with serving(tmp_path, f"bundle={bundle}", "workers=2") as service:
        said = monitor(service)
        assert (said["status"], said["total_inferences"]) == ("healthy", 0)
        assert [said[name] for name in (*ORIGINAL[1:], *PERCENTILES)] == [None] * 7
        assert (said["drift"]["label"], said["outcomes"]["model"]["outcomes"]) == (None, 0)
        for day in range(160):
            assert service.post("/infer", {"sequence": bars[day : day + 20], "ticker": "AAPL"}).status == 200

        def outcomes():
            return monitor(service)["outcomes"]

        service.wait(lambda: outcomes()["awaited"] + outcomes()["model"]["outcomes"] == 160, "all forecasts")
        service.wait(lambda: outcomes()["model"]["outcomes"] > 100, "their outcomes")
        said = monitor(service)
        assert said["drift"]["windows"] == pytest.approx(160, rel=0.1)
        assert said["drift"]["outside_share"] < 0.2
        names = [row["feature"] for row in said["drift"]["features"]]
        assert sorted(names) == ["Close", "High", "Low", "Volume"]
        assert said["outcomes"]["model"]["rmse_ratio"] == pytest.approx(1.0, abs=0.2)
        assert said["outcomes"]["model"]["coverage"] > 0.6
        assert said["outcomes"]["level"] == 0.9
        scraped = metrics(service)
        assert scraped["forecast_outcomes", ("models", "served")] == said["outcomes"]["model"]["outcomes"]
        assert scraped["forecast_drift_psi_max",] == pytest.approx(said["drift"]["psi_max"])
        wild = [[high, low, close, 1e6 * volume] for high, low, close, volume in bars[:10]] + bars[10:20]
        for _ in range(100):
            reply = service.post("/infer", {"sequence": wild}).json()
        assert reply["warnings"][0] == "outside the training range: Volume"
        service.wait(lambda: monitor(service)["drift"]["outside_share"] > 0.3, "what is outside")
        assert monitor(service)["drift"]["label"] == "shifted"


def test_a_line_a_request(service):
    infer(service, 1, ticker="AAPL")
    assert service.post("/infer", {"sequence": [[1]]}, X_Request_ID="mine-1").status == 400
    path = service.folder / LOG

    def mine():
        return [
            line for line in map(json.loads, path.read_text().splitlines()) if line["request_id"] == "mine-1"
        ]

    service.wait(lambda: path.is_file() and bool(mine()), "the line")
    (line,) = mine()
    assert (line["method"], line["route"], line["status"]) == ("POST", "/infer", 400)
    assert line["ms"] > 0
    assert line["model_version"] == monitor(service)["model"]["version"]
    assert "sequence" not in path.read_text()


def test_figures_survive_an_inference_process_that_is_killed(bundle, tmp_path):
    with serving(tmp_path, f"bundle={bundle}", "engine=workers", "engine.processes=2") as service:
        infer(service, 10)
        before = monitor(service)
        victim = next(process["pid"] for process in before["processes"] if process["forecasts"])
        os.kill(victim, signal.SIGKILL)
        service.wait(lambda: service.post("/infer", {"sequence": window()}).status == 200, "another process")
        infer(service, 9)
        service.wait(
            lambda: victim not in {process["pid"] for process in monitor(service)["processes"]},
            "the dead process to leave the list",
        )
        after = monitor(service)
        assert after["total_inferences"] >= before["total_inferences"] + 10
        scraped = metrics(service)
        labels = (("method", "POST"), ("route", "/infer"), ("status", "200"))
        assert scraped["forecast_requests_total", *labels] == after["total_inferences"]
        assert scraped["forecast_windows_total",] >= after["total_inferences"]


def test_without_a_model_there_is_nothing_to_tell_of_one(tmp_path):
    with serving(tmp_path, ready=False) as service:
        service.wait(lambda: _answers(service), "an answer")
        assert service.get("/livez", X_Request_ID="last words").status == 200
        said = monitor(service)
        assert (said["status"], said["model"], said["drift"], said["outcomes"]) == (
            "no model",
            None,
            None,
            None,
        )
        assert not [key for key in metrics(service) if key[0].startswith("forecast_model_info")]
        service.stop()
        assert '"last words","model_version":null' in (service.folder / LOG).read_text()
