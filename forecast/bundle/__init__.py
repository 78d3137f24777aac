"""The run directory: the record of a run and all that is needed to serve it, in one folder, without pickle."""

from __future__ import annotations

from forecast.bundle.manifest import (
    MANIFEST as MANIFEST,
    begin as begin,
    finish as finish,
    is_finished as is_finished,
    verify as verify,
)
from forecast.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "golden": ["read_golden", "verify_golden"],
        "model_files": ["forecasts_of", "load", "write_model"],
        "reference": ["read_reference"],
    },
)
