"""The champion: the best finished run, proved, promoted in one step, and rolled back likewise.

>>> from forecast import champion
>>> place = champion.Champion(directory="outputs/champion")
>>> champion.promote("outputs/2026-11-22/09-56-52-528733", champion=place)     # doctest: +SKIP
>>> champion.rollback(champion=place)                                          # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from forecast.champion.place import Champion

if TYPE_CHECKING:
    from forecast.champion.choosing import candidates, crown, place_of, registry_of
    from forecast.champion.promoting import (
        ChampionChangedError,
        Crowned,
        NothingBeforeError,
        current,
        promote,
        rollback,
    )
    from forecast.champion.registry import Registry

__all__ = [
    "Champion",
    "ChampionChangedError",
    "Crowned",
    "NothingBeforeError",
    "Registry",
    "candidates",
    "crown",
    "current",
    "place_of",
    "promote",
    "registry_of",
    "rollback",
]

_HOME = {
    "ChampionChangedError": "promoting",
    "Crowned": "promoting",
    "NothingBeforeError": "promoting",
    "Registry": "registry",
    "candidates": "choosing",
    "crown": "choosing",
    "current": "promoting",
    "place_of": "choosing",
    "promote": "promoting",
    "registry_of": "choosing",
    "rollback": "promoting",
}


def __getattr__(name: str) -> object:
    """Import on first use: a config that names the class needs nothing else of this room."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
