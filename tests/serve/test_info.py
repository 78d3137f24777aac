"""GET /, /config, /docs and /openapi.json: what answers here; /readyz and /health: whether it does."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from service import in_process, window

from forecast.finished_runs import package_version
from forecast.serve.routes.info import composed


@pytest.fixture(scope="module")
def service(panel):
    return panel


@pytest.fixture(scope="module")
def model(panel):
    return panel.store.current


def test_what_answers(service):
    said = service.get("/")
    assert said.status == 200
    assert set(said.json()) == {"title", "description", "version"}
    assert said.json()["version"] == package_version()
    assert all(isinstance(text, str) and text for text in said.json().values())


def test_it_is_the_config_of_the_run(service):
    said = service.get("/config")
    assert said.status == 200
    saved = OmegaConf.to_container(OmegaConf.load(service.folder / "run" / "config.yaml"))
    assert (said.json()["model"], said.json()["data"]) == (saved["model"], saved["data"])
    assert said.json()["training"] == saved["trainer"]
    assert said.json()["source"] == saved["source"] | {"path": "exchange"}
    for name in ("seed", "objective"):
        assert said.json()[name] == saved[name]
    assert said.json()["metrics"] == json.loads((service.folder / "run" / "metrics.json").read_text())
    assert service.get("/config/").json()["data"] == saved["data"]


def test_a_run_that_is_no_champion_says_so(service, model):
    said = service.get("/config").json()["metadata"]
    assert set(said) == {"model_version", "loaded_at", "champion"}
    assert (said["model_version"], said["champion"]) == (model.version, False)


def test_a_champion_tells_how_it_became_one(model):
    said = composed(replace(model, metadata={"number": 3, "label": "is ahead"})).metadata
    assert (said["number"], said["label"], said["champion"]) == (3, "is ahead", True)


def test_addresses_of_other_servers_are_withheld(model):
    secret = {"uri": "http://mlflow.internal:5000", "address": "ray.internal:6379"}
    config = {**model.config, **dict.fromkeys(("tracker", "cluster", "champion", "tuner"), secret)}
    assert "internal" not in composed(replace(model, config=config)).model_dump_json()


def test_the_page_of_routes_fetches_nothing_and_its_policy_names_its_scripts(service):
    """What it does is tried in a browser, see page/test_docs.py."""
    reply = service.get("/docs")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    markup = re.sub(r"<(script|style)>.*?</\1>", "", reply.body.decode(), flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", markup)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert service.get("/docs", If_None_Match=reply.headers["etag"]).status == 304


def test_errors_are_said_once_and_keys_are_declared(service):
    document = service.get("/openapi.json").json()
    parts = document["components"]
    assert set(parts["securitySchemes"]) == {"key", "admin"}
    assert {one["name"] for one in parts["securitySchemes"].values()} == {"X-API-Key"}
    for path, methods in document["paths"].items():
        for method in methods.values():
            assert all(
                status < "400" or "$ref" in answer or "content" in answer
                for status, answer in method["responses"].items()
            )
            assert (method["security"] == []) == (path in ("/", "/livez", "/health", "/readyz")), path
    assert parts["responses"]["Problem429"]["description"] == "Too many requests in flight"
    assert len(json.dumps(document)) < 120_000


def test_the_document_is_counted_by_its_name(service):
    before = [one["route"] for one in service.get("/monitor").json()["routes"]]
    assert service.get("/openapi.json").status == 200
    assert "/openapi.json" in [one["route"] for one in service.get("/monitor").json()["routes"]], before


def test_the_contracts_routes_are_all_in_the_schema(service):
    paths = service.get("/openapi.json").json()["paths"]
    wanted = {
        "/": "get",
        "/infer": "post",
        "/forecast/{ticker}": "get",
        "/train": "post",
        "/train/update": "post",
        "/train/{job}": "get",
        "/monitor": "get",
        "/config": "get",
        "/health": "get",
        "/readyz": "get",
        "/livez": "get",
        "/v2/health/live": "get",
        "/v2/health/ready": "get",
        "/v2/models/champion": "get",
        "/v2/models/champion/infer": "post",
        "/champion/rollback": "post",
        "/metrics": "get",
        "/ui": "get",
        "/docs": "get",
    }
    assert {path: method for path, method in wanted.items() if method not in paths.get(path, ())} == {}
    for path, methods in paths.items():
        for said in methods.values():
            assert set(said["responses"]) >= {"200"} or set(said["responses"]) & {"202"}, path


def test_a_path_with_and_without_its_slash(service):
    for path in ("/config", "/docs", "/livez", "/metrics"):
        assert service.get(path).status == service.get(f"{path}/").status == 200
    assert service.post("/infer/", {"sequence": []}).status == 400


def test_readiness_costs_at_most_a_forward_a_second(app, monkeypatch):
    """Without a key and exempt from limits, /readyz and /health would be a way to keep the model busy."""
    forecaster, forwards = app.store.current.predictor.forecaster, []
    before = forecaster.forecast
    monkeypatch.setattr(forecaster, "forecast", lambda batch: (forwards.append(1), before(batch))[1])
    began = time.monotonic()
    for path in ("/readyz", "/health", "/v2/health/ready") * 8:
        assert app.get(path).status == 200
    assert 1 <= len(forwards) <= 2 + time.monotonic() - began
    forwarded = len(forwards)
    assert app.post("/infer", {"sequence": window(20)}).status == 200
    assert len(forwards) == forwarded + 1


def test_a_model_that_fails_is_not_ready(bundle, tmp_path, monkeypatch):
    with in_process(bundle, tmp_path) as broken:

        def fail(_):
            raise RuntimeError("no memory")

        monkeypatch.setattr(broken.store.current.predictor.forecaster, "forecast", fail)
        reply = broken.get("/readyz")
        assert (reply.status, reply.detail()) == (503, "the model does not answer: RuntimeError")
        assert broken.post("/infer", {"sequence": window(20)}).status == 500
        assert broken.get("/livez").status == 200
