"""The run directory: the record of a run and all that is needed to serve it, in one folder, without pickle."""

from __future__ import annotations

from forecast.bundle.golden import replay
from forecast.bundle.loading import forecasts_of, load
from forecast.bundle.saving import write_model
from forecast.bundle.sealing import MANIFEST, begin, finish, is_finished, verify, write_json

__all__ = [
    "MANIFEST",
    "begin",
    "finish",
    "forecasts_of",
    "is_finished",
    "load",
    "replay",
    "verify",
    "write_json",
    "write_model",
]
