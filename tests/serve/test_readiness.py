"""Whether the server says that it is ready: when the model answers, and without keeping it busy."""

from __future__ import annotations

import time

from service import in_process, window


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
