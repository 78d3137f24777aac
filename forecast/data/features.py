"""What a strategy shows the network: features of one ticker's bars, each computed from its own bar or earlier ones.

A strategy is a class with `columns` (feature name -> relation) and `compute(bars)`. The relation says what a
feature is measured in, and with that how a window of it is anchored (see normaliser.py):

    price    a price: relative to the window's last Close
    spread   a difference of prices: as a share of the window's last Close
    amount   a quantity >= 0, such as volume: log of its ratio to the window's last value
    free     already without a unit: left as it is
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import pandas as pd

Relation = Literal["price", "spread", "amount", "free"]


class Features(Protocol):
    """A strategy's features; the target is always the Close."""

    @property
    def columns(self) -> Mapping[str, Relation]:
        """Feature names in the order the network sees them, each with its relation."""
        ...

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Features of one ticker, a row a bar; a row that cannot be computed yet is NaN.

        Args:
            bars: Date index, ascending; Open, High, Low, Close, Volume.
        """
        ...


class NoProcessing:
    """High, Low, Close and Volume as the source delivers them."""

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

    columns: ClassVar[Mapping[str, Relation]] = {**NoProcessing.columns, "Range": "spread"}

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        return bars.assign(Range=bars["High"] - bars["Low"])[list(self.columns)]
