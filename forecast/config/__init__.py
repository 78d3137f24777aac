"""The composed config: checked, built, saved, named, replayed. The only package that knows Hydra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.config.building import build as build, locate as locate, signature as signature
    from forecast.config.champion import ChampionConfig as ChampionConfig
    from forecast.config.checking import check as check
    from forecast.config.composing import (
        compose as compose,
        compose_saved as compose_saved,
        conf_folder as conf_folder,
        in_sweep as in_sweep,
        origin as origin,
        resolved as resolved,
        run_directory as run_directory,
    )
    from forecast.config.identities import data_request as data_request, identity as identity
    from forecast.config.saving import snapshot as snapshot, with_metadata as with_metadata

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "building": ["build", "locate", "signature"],
        "champion": ["ChampionConfig"],
        "checking": ["check"],
        "composing": [
            "compose",
            "compose_saved",
            "conf_folder",
            "in_sweep",
            "origin",
            "resolved",
            "run_directory",
        ],
        "identities": ["data_request", "identity"],
        "saving": ["snapshot", "with_metadata"],
    },
)
