"""The composed config: checked, built, saved, named, replayed. The only room that knows Hydra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.config.building import build
    from forecast.config.checking import SUPPLIED, check
    from forecast.config.composing import compose
    from forecast.config.identities import data_request, identity
    from forecast.config.launches import origin, run_directory
    from forecast.config.saving import snapshot, with_metadata
    from forecast.config.starting import command

__all__ = [
    "SUPPLIED",
    "build",
    "check",
    "command",
    "compose",
    "data_request",
    "identity",
    "origin",
    "run_directory",
    "snapshot",
    "with_metadata",
]

_HOME = {
    "SUPPLIED": "checking",
    "build": "building",
    "check": "checking",
    "command": "starting",
    "compose": "composing",
    "data_request": "identities",
    "identity": "identities",
    "origin": "launches",
    "run_directory": "launches",
    "snapshot": "saving",
    "with_metadata": "saving",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `--help` and a misspelt key cost no more than Hydra itself."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
