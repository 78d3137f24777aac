"""Served models of each scope, whose source is an exchange that the test runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL
from exchange import list_bars

import forecast
from forecast.serve.live.bars import LiveBars
from forecast.serve.served import Served, load_served

SCOPES = {
    "single": ("data=no_processing_single",),
    "multiple": ("data=range_multiple", "data.tickers=[AAPL,IBM]", "data.horizon=2"),
    "panel": ("data=range_panel", "data.tickers=[AAPL,IBM,MSFT]", "data.horizon=3"),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> dict[str, Served]:
    """Models by scope, as they were trained on the embedded bars."""
    folder = tmp_path_factory.mktemp("trained")
    found = {}
    for scope, overrides in SCOPES.items():
        forecast.run(*SMALL, "tracker=none", "baselines=none", *overrides, directory=folder / scope)
        found[scope] = load_served(folder / scope)
    return found


@pytest.fixture
def exchange(tmp_path) -> Path:
    """The folder of an exchange where AAPL, IBM, MSFT and GOOG are listed, up to Friday 2013-03-01."""
    return list_bars(tmp_path / "exchange", "AAPL", "IBM", "MSFT", "GOOG")


@pytest.fixture
def served(trained, exchange) -> Callable[..., Served]:
    """A model whose config names the exchange as its source, and says something else about its data."""

    def make(scope: str, **data: Any) -> Served:
        model = trained[scope]
        source = {"_target_": "exchange.Exchange", "path": str(exchange), "adjust": True}
        config = {**model.config, "source": source, "data": {**model.config["data"], **data}}
        return replace(model, config=config)

    return make


@pytest.fixture
def live() -> LiveBars:
    return LiveBars(allow=["exchange"])
