"""The champion: the best finished run, verified, promoted in one step, and rolled back likewise.

>>> from forecast import champion
>>> place = champion.ChampionConfig(directory="outputs/champion")
>>> champion.promote("outputs/2026-11-22/09-56-52-528733", champion=place)     # doctest: +SKIP
>>> champion.rollback(champion=place)                                          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.config.champion import ChampionConfig as ChampionConfig
from forecast.lazy import lazy

if TYPE_CHECKING:
    from forecast.champion.promotion import (
        ChampionChangedError as ChampionChangedError,
        NothingBeforeError as NothingBeforeError,
        PromotionResult as PromotionResult,
        current as current,
        promote as promote,
        rollback as rollback,
    )
    from forecast.champion.registry import Registry as Registry
    from forecast.champion.selection import (
        candidates as candidates,
        champion_config as champion_config,
        registry_of as registry_of,
        select_and_promote as select_and_promote,
    )

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "promotion": [
            "ChampionChangedError",
            "NothingBeforeError",
            "PromotionResult",
            "current",
            "promote",
            "rollback",
        ],
        "registry": ["Registry"],
        "selection": ["candidates", "champion_config", "registry_of", "select_and_promote"],
    },
)
