"""GET /docs: every route on a page that asks nobody else for anything."""

from __future__ import annotations

import re
from html import unescape


def test_every_route_is_there_and_nothing_is_fetched(service):
    schema = service.get("/openapi.json").json()
    reply = service.get("/docs")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    page = unescape(reply.body.decode())
    heads = re.findall(r"<h2>([A-Z]+) (/[^<]*)</h2>", page)
    assert sorted(heads) == sorted(
        (method.upper(), path) for path, methods in schema["paths"].items() for method in methods
    )
    assert len(heads) >= 20
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


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
        for told in methods.values():
            assert set(told["responses"]) >= {"200"} or set(told["responses"]) & {"202"}, path


def test_a_path_with_and_without_its_slash(service):
    for path in ("/config", "/docs", "/livez", "/metrics"):
        assert service.get(path).status == service.get(f"{path}/").status == 200
    assert service.post("/infer/", {"sequence": []}).status == 400
