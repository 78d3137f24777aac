"""Returns, ranges and volume, each beside its own recent past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from forecast.data import indicators as ind
from forecast.data.features.base import Relation

if TYPE_CHECKING:
    import pandas as pd


class Returns:
    """What happened on a day, without any price level.

    | column | from the bars up to this one | where nothing moved |
    |---|---|---|
    | Return | ln(Close / the Close before) | 0 |
    | Range | ln(High / Low) | 0 |
    | RelativeReturn | Return / root mean square of the last `span` | 0 |
    | RelativeRange | Range / mean of the last `span` | 1 |
    | RelativeVolume | ln(1 + Volume) - mean of the last `span` | 0 |

    Args:
        span: bars of the recent past, this one among them.
    """

    columns: ClassVar[Mapping[str, Relation]] = dict.fromkeys(
        ("Return", "Range", "RelativeReturn", "RelativeRange", "RelativeVolume"), "free"
    )

    def __init__(self, *, span: Annotated[int, Ge(2), Le(1000)] = 20) -> None:
        self.span = span

    @property
    def warm_up(self) -> int:
        """See forecast.data.features.warm_up; the first return needs a bar before it."""
        return self.span

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        high, low, close, volume = (ind.column(bars, name) for name in ("High", "Low", "Close", "Volume"))
        with ind.undefined_is_nan():
            returns = np.log(close / ind.lagged(close, 1))
            ranges = np.log(high / low)
            amounts = np.log1p(volume)
            usual_return = np.sqrt(ind.mean(returns * returns, self.span))
            found = {
                "Return": returns,
                "Range": ranges,
                "RelativeReturn": ind.ratio(returns, usual_return, otherwise=0.0),
                "RelativeRange": ind.ratio(ranges, ind.mean(ranges, self.span), otherwise=1.0),
                "RelativeVolume": amounts - ind.mean(amounts, self.span),
            }
        return ind.table(found, bars.index)
