"""What is known of how much a price moves: variances of bars, falls, nights and volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt

from forecast.data import indicators as ind
from forecast.data.features.base import Relation
from forecast.data.variance import Estimator, variance

if TYPE_CHECKING:
    import pandas as pd

# A bar, a week and a month of daily bars, as in the heterogeneous autoregressive model (Corsi 2009,
# https://doi.org/10.1093/jjfinec/nbp001).
_SPANS = (1, 5, 22)


class Volatility:
    """Logs of the range's variance at 1, 5 and 22 bars, falls at the same spans, the night, range and volume.

    | column | from the bars up to this one | where nothing moved |
    |---|---|---|
    | LogVariance1, 5, 22 | ln of the mean variance of the last n bars, percent squared, at least `least` | ln `least` |
    | Fall1, 5, 22 | min(0, ln(Close / the Close n bars before)), percent (leverage: Corsi and Reno 2012) | 0 |
    | Night | ln(Open / the Close before), percent | 0 |
    | NightSize | absolute value of Night | 0 |
    | LogSpread | ln((High - Low) / Close), percent, at least sqrt(`least`) | ln sqrt(`least`) |
    | Volume1, Volume5 | ln(1 + Volume), and its mean over 5, less its mean over 22 (of Volumes above 0) | 0 |

    Args:
        estimator: of the variance of a bar, see forecast.data.variance.
        least: below which no variance of a bar is counted, percent squared: the log of 0 would rule everything.
    """

    warm_up: ClassVar[int] = max(_SPANS)
    columns: ClassVar[Mapping[str, Relation]] = {
        **{f"{name}{span}": "free" for name in ("LogVariance", "Fall") for span in _SPANS},
        **dict.fromkeys(("Night", "NightSize", "LogSpread", "Volume1", "Volume5"), "free"),
    }

    def __init__(
        self, *, estimator: Estimator = "garman_klass", least: Annotated[float, Gt(0)] = 0.004
    ) -> None:
        self.estimator = estimator
        self.least = least

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """See Features.compute."""
        opened, high, low, close, volume = (
            ind.column(bars, name) for name in ("Open", "High", "Low", "Close", "Volume")
        )
        found = {}
        with ind.undefined_is_nan():
            for span in _SPANS:
                mean = 1e4 * variance(bars, self.estimator, span=span)
                found[f"LogVariance{span}"] = np.log(np.maximum(mean, self.least))
            for span in _SPANS:
                found[f"Fall{span}"] = 100.0 * np.minimum(np.log(close / ind.lagged(close, span)), 0.0)
            found["Night"] = 100.0 * np.log(opened / ind.lagged(close, 1))
            found["NightSize"] = np.abs(found["Night"])
            found["LogSpread"] = np.log(np.maximum(100.0 * (high - low) / close, self.least**0.5))
            amounts, known = np.log1p(volume), volume > 0
            # The mean less the last one, exactly 0 where it stood.
            usual = ind.relative(amounts, [1.0 / 22] * 22)
            week = ind.relative(amounts, [1.0 / 5] * 5) - usual
            # A Volume of 0 is most often one that is not known: it is no fall of trade from 2e9 to nothing.
            shares = [ind.mean(known.astype(np.float64), span) for span in (5, 22)]
            traded = np.where(known, amounts, 0.0)
            means = [ind.mean(traded, span) / share for span, share in zip((5, 22), shares, strict=True)]
            gaps = shares[1] < 1.0
            found["Volume1"] = np.where(gaps, np.where(known, amounts - means[1], 0.0), -usual)
            found["Volume5"] = np.where(gaps, np.where(shares[0] > 0, means[0] - means[1], 0.0), week)
        return ind.table(found, bars.index)
