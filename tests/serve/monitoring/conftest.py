"""A model that is served, without a server."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file
from watching import Child

from forecast.serve.model_store import LoadedModel, load_model
from forecast.serve.monitoring import Monitoring, Outcomes, RequestLog


@pytest.fixture(scope="session")
def served(bundle) -> LoadedModel:
    return load_model(bundle)


@pytest.fixture
def monitoring(tmp_path) -> Monitoring:
    """Everything on, for two processes."""
    made = Monitoring(log=RequestLog(file="requests.jsonl"), outcomes=Outcomes(file="outcomes.db"))
    made.open(tmp_path)
    yield made
    made.close()


@pytest.fixture
def child():
    """Starts processes; whatever is left of them is killed."""
    started = []

    def start(do: Callable[..., Any], *given: Any, how: str = "fork", **named: Any) -> Child:
        started.append(Child(do, *given, how=how, **named))
        return started[-1]

    yield start
    for one in started:
        if one.process.is_alive():
            one.kill()


@pytest.fixture(scope="session")
def golden(bundle) -> SimpleNamespace:
    """Test windows of AAPL in a row, and what the model forecast from them."""
    said = load_file(bundle / "golden.safetensors")
    return SimpleNamespace(**said)
