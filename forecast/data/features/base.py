"""What a class must have to be a strategy's features, and the bars themselves as features.

`columns` says the relation of each feature: what it is measured in, and with that how a window of it is anchored
(see normaliser.py):

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

    from forecast.data.timing import Bars

# The column of a ticker's bars that its features of kind price and spread are measured by.
PRICE = "Close"

Relation = Literal["price", "spread", "amount", "free"]


class Features(Protocol):
    """A strategy's features of one ticker.

    A class should also say `warm_up`, and `calendar_columns` where it reads dates: see the functions of those names.
    """

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


def warm_up(features: Features) -> int | None:
    """Bars before the first one whose features can be computed.

    So many earlier bars suffice: whatever stands before them, the row comes out the same, bit for bit. That is what
    lets a server answer from lookback + warm_up bars as training did from the whole history.

    Args:
        features: says it in an attribute `warm_up`.

    Returns:
        None where it does not say, so that it may look at everything.
    """
    found: int | None = getattr(features, "warm_up", None)
    return found


def calendar_columns(features: Features) -> frozenset[str]:
    """Columns that are read from a bar's date alone, such as the weekday, and not from the bars.

    The audit takes any other column that follows the date rather than the bar for a possible leak.

    Args:
        features: names them in an attribute `calendar_columns`; without it there are none.
    """
    return frozenset(getattr(features, "calendar_columns", ()))


def for_market(features: Features, market: Bars | None) -> Features:
    """The same features of bars of a market, where they look at its calendar in a method `for_market`."""
    bind = getattr(features, "for_market", None)
    return features if market is None or bind is None else bind(market)


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
