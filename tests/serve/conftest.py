"""A run directory to serve; copy it before you alter it."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import SMALL

import forecast


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """Of a small model of AAPL, lookback 20, with intervals."""
    folder = tmp_path_factory.mktemp("run") / "bundle"
    overrides = ("data=no_processing_single", "data.tickers=[AAPL]", "tracker=none", "baselines=none")
    forecast.run(*SMALL, *overrides, directory=folder)
    return folder
