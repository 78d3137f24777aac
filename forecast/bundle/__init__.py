"""The run directory: the record of a run and all that is needed to serve it, in one folder, without pickle."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from forecast.bundle.manifest import MANIFEST, begin, discard, finish, is_finished, verify

_HOME = {
    "forecasts_of": "model_files",
    "load": "model_files",
    "read_golden": "golden",
    "read_reference": "reference",
    "verify_golden": "golden",
    "write_model": "model_files",
}

__all__ = [*_HOME, "MANIFEST", "begin", "discard", "finish", "is_finished", "verify"]


def __getattr__(name: str) -> Any:
    """Import on first use: numpy and the model are not needed to look at a manifest."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
