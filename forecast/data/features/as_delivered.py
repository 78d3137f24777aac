"""The bars themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from forecast.data.features.protocol import Relation

if TYPE_CHECKING:
    import pandas as pd


class NoProcessing:
    """High, Low, Close and Volume as the source delivers them."""

    warm_up: ClassVar[int] = 0
    # A server need not compute what comes as it is.
    as_delivered: ClassVar[bool] = True
    columns: ClassVar[Mapping[str, Relation]] = {
        "High": "price",
        "Low": "price",
        "Close": "price",
        "Volume": "amount",
    }

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        return bars[list(self.columns)]


class WithRange:
    """High, Low, Close, Volume and Range = High - Low."""

    warm_up: ClassVar[int] = 0
    columns: ClassVar[Mapping[str, Relation]] = {**NoProcessing.columns, "Range": "spread"}

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        return bars.assign(Range=bars["High"] - bars["Low"])[list(self.columns)]
