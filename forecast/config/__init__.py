"""The composed config: checked, built, saved, named, replayed. The only package that knows Hydra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.config.building import build, locate, signature
    from forecast.config.champion import ChampionConfig
    from forecast.config.checking import SUPPLIED, check, violations
    from forecast.config.composing import (
        compose,
        compose_saved,
        conf_folder,
        in_sweep,
        origin,
        resolved,
        run_directory,
    )
    from forecast.config.identities import data_request, identity
    from forecast.config.messages import ConfigFault, did_you_mean, nearest
    from forecast.config.renamed import rename_targets
    from forecast.config.saving import snapshot, with_metadata

# Each name by the module it is imported from on first use, so that a misspelt key costs no more than Hydra itself.
_HOME = {
    "building": ("build", "locate", "signature"),
    "champion": ("ChampionConfig",),
    "checking": ("SUPPLIED", "check", "violations"),
    "composing": (
        "compose",
        "compose_saved",
        "conf_folder",
        "in_sweep",
        "origin",
        "resolved",
        "run_directory",
    ),
    "identities": ("data_request", "identity"),
    "messages": ("ConfigFault", "did_you_mean", "nearest"),
    "renamed": ("rename_targets",),
    "saving": ("snapshot", "with_metadata"),
}

__all__ = [
    "SUPPLIED",
    "ChampionConfig",
    "ConfigFault",
    "build",
    "check",
    "compose",
    "compose_saved",
    "conf_folder",
    "data_request",
    "did_you_mean",
    "identity",
    "in_sweep",
    "locate",
    "nearest",
    "origin",
    "rename_targets",
    "resolved",
    "run_directory",
    "signature",
    "snapshot",
    "violations",
    "with_metadata",
]


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
