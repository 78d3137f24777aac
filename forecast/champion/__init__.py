"""The champion: the best finished run, verified, promoted in one step, and rolled back likewise.

>>> from forecast import champion
>>> place = champion.ChampionConfig(directory="outputs/champion")
>>> champion.promote("outputs/2026-11-22/09-56-52-528733", champion=place)     # doctest: +SKIP
>>> champion.rollback(champion=place)                                          # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from forecast.config.champion import ChampionConfig

if TYPE_CHECKING:
    from forecast.champion.promotion import (
        ChampionChangedError,
        NothingBeforeError,
        PromotionResult,
        current,
        promote,
        rollback,
    )
    from forecast.champion.registry import Registry
    from forecast.champion.selection import candidates, champion_config, registry_of, select_and_promote

__all__ = [
    "ChampionChangedError",
    "ChampionConfig",
    "NothingBeforeError",
    "PromotionResult",
    "Registry",
    "candidates",
    "champion_config",
    "current",
    "promote",
    "registry_of",
    "rollback",
    "select_and_promote",
]

_HOME = {
    "ChampionChangedError": "promotion",
    "NothingBeforeError": "promotion",
    "PromotionResult": "promotion",
    "Registry": "registry",
    "candidates": "selection",
    "select_and_promote": "selection",
    "current": "promotion",
    "champion_config": "selection",
    "promote": "promotion",
    "registry_of": "selection",
    "rollback": "promotion",
}


def __getattr__(name: str) -> object:
    """Import on first use: a config that names the class needs nothing else of this package."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
