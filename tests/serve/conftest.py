"""Run directories to serve (copy one before you alter it), and the server's app of one in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SMALL
from exchange import list_bars
from service import InProcess, in_process
from trained import run_without_plots

from forecast.serve.model_store import LoadedModel, load_model

PLAIN = ("tracker=none", "baselines=none")
SCOPES = {
    "single": ("data=no_processing_single",),
    "multiple": ("data=range_multiple", "data.tickers=[AAPL,IBM]", "data.horizon=2"),
    "panel": ("data=range_panel", "data.tickers=[AAPL,IBM,MSFT]", "data.horizon=3"),
}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """Of a small model of AAPL, lookback 20, with intervals."""
    folder = tmp_path_factory.mktemp("run") / "bundle"
    overrides = ("data=no_processing_single", "data.tickers=[AAPL]")
    run_without_plots(*SMALL, *PLAIN, *overrides, directory=folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> dict[str, LoadedModel]:
    """Models by scope, trained on the embedded bars."""
    folder = tmp_path_factory.mktemp("trained")
    found = {}
    for scope, overrides in SCOPES.items():
        run_without_plots(*SMALL, *PLAIN, *overrides, directory=folder / scope)
        found[scope] = load_model(folder / scope)
    return found


@pytest.fixture(scope="session")
def app(bundle, tmp_path_factory) -> Iterator[InProcess]:
    """The app of the small model, without a key."""
    with in_process(bundle, tmp_path_factory.mktemp("app")) as started:
        yield started


@pytest.fixture(scope="session")
def panel(tmp_path_factory) -> Iterator[InProcess]:
    """The app of a panel model three days ahead, whose source is an exchange that tests switch off and on again."""
    folder = tmp_path_factory.mktemp("panel")
    listed = list_bars(folder / "exchange", "AAPL", "IBM", "MSFT", "GOOG", "FB", count=500)
    source = ("source=files", "source._target_=exchange.Exchange", f"source.path={listed}")
    run_without_plots(*SMALL, *PLAIN, *source, *SCOPES["panel"], directory=folder / "run")
    with in_process(folder / "run", folder, allow=["exchange"], deadline_s=60.0) as started:
        yield started
