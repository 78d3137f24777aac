"""Fitted baselines, kept for the next run that has the same ones on the same days."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forecast.data.market import MarketData
    from forecast.evaluate.baselines.members import Baselines


class Fits:
    """Fits the baselines of many runs in one process, each kind once: a sweep mostly varies the network alone.

    What is kept is a copy, so that no run sees what another did to it. Only the last data and baselines are
    remembered.

    Args:
        most_bytes: of the baselines of one fold; larger ones are fitted again.
    """

    def __init__(self, *, most_bytes: int = 16_000_000) -> None:
        self.most_bytes = most_bytes
        self._identity: str | None = None
        self._kept: dict[int, bytes] = {}  # fold -> what its baselines learnt

    def fit(self, baselines: Baselines, data: MarketData, *, identity: str, fold: int) -> None:
        """Fit, or take what the same baselines learnt before.

        Args:
            baselines: not fitted, or fitted to an earlier fold.
            data: split as the fold says.
            identity: names bars, strategy, folds and baselines: where it is the same, so is the fit.
            fold: its number.
        """
        if identity != self._identity:
            self._identity, self._kept = identity, {}
        if fold in self._kept:
            baselines.members = pickle.loads(self._kept[fold])
            return
        baselines.fit(data)
        if baselines.failed:
            return  # the next run may have more luck, and says itself what went wrong
        try:
            learnt = pickle.dumps(baselines.members)
        except (pickle.PicklingError, TypeError, AttributeError):  # a user's own baseline may be anything
            return
        if len(learnt) <= self.most_bytes:
            self._kept[fold] = learnt
