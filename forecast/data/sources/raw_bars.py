"""Yahoo's bars as received: put in one shape, cut at the last finished session, joined to older ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.data.bars import COLUMNS, PRICES

if TYPE_CHECKING:
    from datetime import date

    import numpy as np
    import pandas as pd

EVENTS = ("Dividends", "Stock Splits", "Capital Gains")
RAW_COLUMNS = (*COLUMNS, "Adj Close", *EVENTS)
# Yahoo's figures are float32 and jitter in the seventh digit; a rewritten history differs by more.
TOLERANCE = 1e-5


def raw_bars(history: pd.DataFrame) -> pd.DataFrame:
    """Yahoo's history in the shape the cache holds.

    Args:
        history: index in any unit and zone; funds alone have `Capital Gains`.

    Returns:
        RAW_COLUMNS as float64, by ascending `Date` (datetime64[ns], midnight, no zone); no row is left out.
    """
    import numpy as np
    import pandas as pd

    dates = pd.DatetimeIndex(history.index)
    if dates.tz is not None:
        dates = dates.tz_localize(None)  # the exchange's own day
    if "Capital Gains" not in history.columns:
        history = history.assign(**{"Capital Gains": 0.0})
    values = {name: history[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in RAW_COLUMNS}
    return pd.DataFrame(values, index=dates.normalize().as_unit("ns").rename("Date")).sort_index()


def finished(bars: pd.DataFrame, last: date, today: date) -> pd.DataFrame:
    """Leave out the bar of a running session.

    Args:
        bars: as `raw_bars` makes them.
        last: the latest date whose session is over.
        today: the exchange's date. A row of today without a price is no bar either: the client makes one to
            hang an event on. Earlier rows without a price stay: judging them is HealthCheck's task.
    """
    import pandas as pd

    keep = (bars.index <= pd.Timestamp(last)) & ((bars.index < pd.Timestamp(today)) | bars["Close"].notna())
    return bars[keep]


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame | None:
    """Old bars continued by new ones that overlap their end; None when history was rewritten.

    Rewritten means: a date of the overlap is on one side only, a price there differs, or there is a dividend,
    split or capital gain that the old bars do not have, since each of those changes every earlier adjusted
    price. A volume that alone was corrected is taken over.
    """
    import pandas as pd

    if old.empty or new.empty:
        return None
    before, seen = old[old.index < new.index[0]], old[old.index >= new.index[0]]
    again, added = new[new.index <= old.index[-1]], new[new.index > old.index[-1]]
    if seen.empty or not seen.index.equals(again.index):
        return None
    if (added[list(EVENTS)].fillna(0.0) != 0.0).to_numpy().any():
        return None
    compared = [*PRICES, "Adj Close", *EVENTS]
    if not _alike(seen[compared].to_numpy(), again[compared].to_numpy()):
        return None
    merged: pd.DataFrame = pd.concat([before, new])
    return merged


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    import numpy as np

    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=0.0, equal_nan=True))
