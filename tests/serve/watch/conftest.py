"""A model that is served, without a server."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.numpy import load_file
from watching import Child

from forecast.serve.model_store import LoadedModel, load_model
from forecast.serve.watch import Outcomes, RequestLog, Watch


@pytest.fixture(scope="session")
def served(bundle) -> LoadedModel:
    return load_model(bundle)


@pytest.fixture
def watch(tmp_path) -> Watch:
    """Everything on, for two processes."""
    made = Watch(log=RequestLog(file="requests.jsonl"), outcomes=Outcomes(file="outcomes.db"))
    made.attach(folder=tmp_path, processes=2)
    yield made
    made.close()


@pytest.fixture
def child():
    """Starts processes; whatever is left of them is killed."""
    started = []

    def start(do: Callable[..., Any], *given: Any, how: str = "fork") -> Child:
        started.append(Child(do, *given, how=how))
        return started[-1]

    yield start
    for one in started:
        if one.process.is_alive():
            one.kill()


@pytest.fixture(scope="session")
def golden(bundle) -> SimpleNamespace:
    """Test windows of AAPL in a row, and what the model forecast from them."""
    told = load_file(bundle / "golden.safetensors")
    return SimpleNamespace(**told)
