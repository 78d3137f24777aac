"""One server for the routes: a panel model whose source is an exchange that the tests run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from commands import SMALL
from exchange import list_bars
from fastapi import FastAPI
from service import PATIENCE_S, Reply, Service, serving

import forecast
from forecast.serve.served import load_served


@pytest.fixture(scope="package")
def service(tmp_path_factory) -> Iterator[Service]:
    """The server; in its folder the run it serves, and the exchange, which tests change and put right again."""
    folder = tmp_path_factory.mktemp("routes")
    listed = list_bars(folder / "exchange", "AAPL", "IBM", "MSFT", "GOOG", "FB", count=500)
    source = ("source=files", "source._target_=exchange.Exchange", f"source.path={listed}")
    data = ("data=range_panel", "data.tickers=[AAPL,IBM,MSFT]", "data.horizon=3")
    forecast.run(*SMALL, "tracker=none", "baselines=none", *source, *data, directory=folder / "run")
    with serving(folder, "bundle=run", "allow=[exchange]", "deadline_s=60") as started:
        yield started


@pytest.fixture(scope="package")
def model(service):
    """What it serves, loaded in this process."""
    return load_served(service.folder / "run", allow=["exchange"])


@pytest.fixture
def apart(model) -> Callable[..., Callable[[str], Reply]]:
    """A route in an app of its own, in this process, with settings a whole server would take long to show."""

    def make(module: Any, *, current: Any = model, deadline_s: float = PATIENCE_S) -> Callable[[str], Reply]:
        context = SimpleNamespace(
            server=SimpleNamespace(deadline_s=deadline_s),
            models=SimpleNamespace(current=current, following=Path("outputs/champion"), allow=("exchange",)),
            watch=SimpleNamespace(outcomes=lambda *_: None, forecasts=lambda *_: None),
            engine=None,
        )
        app = FastAPI()
        app.include_router(module.router(context))
        return lambda path: asyncio.run(_call(app, path))

    return make


async def _call(app: FastAPI, path: str) -> Reply:
    parts = urlsplit(path)
    sent: list[Any] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], headers, b"".join(part["body"] for part in rest))
