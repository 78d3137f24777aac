"""Which part of a ticker's history a run uses: `period`, or `start` and `end`."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_PERIOD = re.compile(r"(?P<count>[1-9]\d{0,3})(?P<unit>d|wk|mo|y)")


class DateRange:
    """A cut through history.

    Args:
        period: `max`, `ytd`, or a number with d, wk, mo or y, counted back from the last bar (or from `end`).
        start: first day, YYYY-MM-DD, inclusive; stands instead of `period`.
        end: last day, YYYY-MM-DD, inclusive.

    Raises:
        UserError: not a period, not a date, or start after end.
    """

    def __init__(self, *, period: str | None, start: str | None, end: str | None) -> None:
        self.start = _day("data.start", start)
        self.end = _day("data.end", end)
        if self.start and self.end and self.start > self.end:
            raise UserError(f"data.start={start}: must not be after data.end={end}")
        if period not in (None, "max", "ytd") and not _PERIOD.fullmatch(str(period)):
            raise UserError(
                f"data.period={period}: must be max, ytd, or a number with d, wk, mo or y, such as 30d, 6mo, 10y"
            )
        self.period = period

    def cut(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Rows of the range; the table's own order and faults are left alone."""
        import pandas as pd

        if self.end:
            bars = bars[bars.index <= pd.Timestamp(self.end)]
        if self.start:
            return bars[bars.index >= pd.Timestamp(self.start)]
        if self.period in (None, "max") or bars.empty:
            return bars
        last = bars.index.max()
        if self.period == "ytd":
            return bars[bars.index >= pd.Timestamp(year=last.year, month=1, day=1)]
        match = _PERIOD.fullmatch(str(self.period))
        assert match is not None  # checked by __init__
        count = int(match["count"])
        back = {
            "d": pd.DateOffset(days=count),
            "wk": pd.DateOffset(weeks=count),
            "mo": pd.DateOffset(months=count),
            "y": pd.DateOffset(years=count),
        }[match["unit"]]
        try:
            since: pd.Timestamp = last - back
        except (ValueError, OverflowError):
            return bars  # further back than dates go
        return bars[bars.index > since]


def _day(key: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise UserError(f"{key}={text}: must be a date, YYYY-MM-DD") from None
