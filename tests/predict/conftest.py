"""Small finished runs of each scope, and the command that forecasts from them."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from unittest.mock import patch

import pytest
from commands import SMALL, Done

from forecast.predict import main

SCOPES = {
    "single": ("data=no_processing_single",),
    "multiple": ("data=range_multiple", "data.tickers=[AAPL,IBM]", "data.horizon=2"),
    "panel": ("data=range_panel", "data.horizon=3"),
}


@pytest.fixture(scope="session")
def runs(trained_runs) -> dict[str, Path]:
    """Run directories by scope."""
    return {scope: trained_runs(*SMALL, "baselines=none", *words) for scope, words in SCOPES.items()}


@pytest.fixture
def predict(tmp_path):
    """Start the command inside this process, in an empty folder."""

    def start(*words: object) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(tmp_path),
            patch.object(logging.getLogger(), "handlers", []),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([str(word) for word in words])
        return Done(code, out.getvalue(), err.getvalue())

    return start
