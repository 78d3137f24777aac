"""What the plots draw: one ticker's test rows of step 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Column = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Days:
    """One ticker's test days, oldest first.

    Args:
        name: the ticker, in letters that every chart font has.
        horizon: steps forecast at once; the rows are those of step 1.
        dates: the days forecast, as matplotlib counts them (days since 1970), (rows,).
        actual, forecast, naive: prices, (rows,).
    """

    name: str
    horizon: int
    dates: Column
    actual: Column
    forecast: Column
    naive: Column

    @property
    def title(self) -> str:
        """The ticker, and the step where there are several."""
        return self.name if self.horizon == 1 else f"{self.name}, step 1 of {self.horizon}"

    def last(self, count: int) -> Days:
        """The newest `count` days."""
        start = max(len(self.dates) - count, 0)
        return self._taken(slice(start, None))

    def thinned(self, most: int) -> Days:
        """At most about `most` days, evenly spaced and the newest among them, so that drawing stays quick."""
        stride = max(-(-len(self.dates) // most), 1)
        return self._taken(slice((len(self.dates) - 1) % stride, None, stride))

    def _taken(self, rows: slice) -> Days:
        return Days(
            name=self.name,
            horizon=self.horizon,
            dates=self.dates[rows],
            actual=self.actual[rows],
            forecast=self.forecast[rows],
            naive=self.naive[rows],
        )


def days_on_test(forecasts: pd.DataFrame, ticker: str) -> Days:
    """The test rows of step 1 in one ticker's forecast table; empty where there are none.

    Args:
        forecasts: columns date, split, step, actual, forecast, naive, of one ticker.
        ticker: its name.
    """
    import numpy as np

    rows = forecasts[(forecasts["split"] == "test") & (forecasts["step"] == 1)].sort_values(
        "date", kind="stable"
    )
    return Days(
        name="".join(letter if letter.isprintable() and letter <= "ÿ" else "?" for letter in ticker),
        horizon=int(forecasts["step"].max()) if len(forecasts) else 1,
        dates=(rows["date"].to_numpy(dtype="datetime64[ns]") - np.datetime64(0, "ns"))
        / np.timedelta64(1, "D"),
        actual=rows["actual"].to_numpy(dtype=np.float64),
        forecast=rows["forecast"].to_numpy(dtype=np.float64),
        naive=rows["naive"].to_numpy(dtype=np.float64),
    )
