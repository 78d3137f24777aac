"""Past covariates: series of their own, each bar with the latest value that was known before the forecast was made.

A row of a series says when its span begins (as the rows of bars do) or ends, `stamp`; how long it spans shows in the
rhythm of the rows, so that a week's rate is not known on its Monday. It is known when its span is over, or at the time
of day it is `published`.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, MinLen

from forecast.data import grid
from forecast.data.bars import COLUMNS
from forecast.data.calendars import check_zone, schedule
from forecast.data.covariates.base import BarRows, Kind
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.grid import Times

log = logging.getLogger(__name__)

_PUBLISHED = re.compile(r"(?:\+(\d{1,3})d )?([01]\d|2[0-3]):([0-5]\d)")
# Bars that a value may be old, and twice the usual distance of two values at least.
_LEAST_AGE = 5
_LONG_WEEKEND = 4 * grid.DAY


@dataclass(frozen=True)
class Joined:
    """Which row of a series each bar takes.

    Args:
        row: (bars,) index; -1 where no row was known yet.
        age: (bars,) bars since that row could first be taken.
        usual: bars from one row of the series to the next, as a rule.
        known: (rows,) when each row of the series is known: of dates the date it is over on, of moments the moment in
            UTC.
        limit: (bars,) what `known` must lie before.
    """

    row: NDArray[np.int64]
    age: NDArray[np.int64]
    usual: int
    known: Times
    limit: Times


class PastCovariate:
    """Columns of another ticker, or of any file or source, as they were known when each forecast was made.

    By default a row is taken only where its span was over, strictly, before the bar was: of two daily series the row of
    the day before. `lag` and `published` say otherwise.

    Args:
        ticker: whose columns they are; None = those of each ticker's own file, beside its bars.
        columns: which; those of bars or others.
        source: where they come from; None = the run's source.
        transform: `level`, `log`, `change` (from the row before) or `log_change`.
        lag: bars: the row of so many bars ago; 0 = the row of the same bar, which only `published` makes certain to be
            known. None = the latest that was known before the bar was over.
        published: time of day at which a row is known, HH:MM, after its date (`+1d 08:30` on the next day).
        timezone: IANA name of the clock of `published` and of the dates; None = the market's.
        stamp: what a row's date says of its span: `start` (as of bars) or `end`.
        missing: what to do at a bar without a new value: `last` (take the last known one, `max_age` bars at most),
            `drop` (leave the bar out) or `error`. No value is ever filled in from later.
        max_age: bars that a value may be old with missing=last; None = twice its usual distance, at least 5.

    Raises:
        UserError: not a time, an unknown zone, or a combination that says nothing.
    """

    kind: ClassVar[Kind] = "past"

    def __init__(
        self,
        *,
        ticker: str | None = None,
        columns: Annotated[list[str], MinLen(1)] | None = None,
        source: Any = None,
        transform: Literal["level", "log", "change", "log_change"] = "level",
        lag: Annotated[int, Ge(0)] | None = None,
        published: str | None = None,
        timezone: str | None = None,
        stamp: Literal["start", "end"] = "start",
        missing: Literal["last", "drop", "error"] = "last",
        max_age: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        self.ticker = ticker
        self.names = list(columns or ["Close"])
        if ticker is None and source is None and set(self.names) <= set(COLUMNS):
            raise UserError(
                f"columns={self.names}: are those of the bars themselves, which the features show; name other columns "
                "or a ticker"
            )
        self.source = source
        self.transform = transform
        self.lag = lag
        self.published = None if published is None else _time_of_day(published)
        check_zone("timezone", timezone)
        self.timezone = timezone
        self.stamp = stamp
        self.missing = missing
        if missing != "last" and max_age is not None:
            raise UserError(f"max_age={max_age}: applies to missing=last, not with missing={missing}")
        self.max_age = max_age

    @property
    def label(self) -> str:
        """See Covariate.label."""
        return re.sub(r"\W+", "_", self.ticker or self.names[0]).strip("_") or "past"

    @property
    def columns(self) -> list[str]:
        """See Covariate.columns."""
        return [""] if len(self.names) == 1 else self.names

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """See Covariate.values."""
        table = self._table(rows)
        times, values = table.index.to_numpy(), table.to_numpy(np.float64)
        if self.missing == "last":
            whole = np.isfinite(values).all(axis=1)
            times, values = times[whole], values[whole]
        if not len(times):
            raise UserError(f"{self._who(rows)}: holds no value of {', '.join(self.names)}")
        joined = self.join(times, rows)
        if self.published is not None and (late := self._late(joined)) is not None:
            raise UserError(
                f"lag={self.lag}: {self._who(rows)}: the row of {_shown(times[joined.row[late]])} would be taken at "
                f"the bar of {rows.bars.text(rows.times[late])}, but is published only after the next bar has begun; "
                "use a larger lag, or lag=null"
            )
        found = np.where(joined.row[:, None] >= 0, values[joined.row], np.nan)
        return self._by_policy(found, joined, times, rows)

    def join(self, times: Times, rows: BarRows) -> Joined:
        """Which row of the series each bar takes.

        Args:
            times: (rows,) of the series, ascending, as its source dates them.
            rows: the bars.
        """
        known, limit = self._clocks(times, rows)
        if self.lag is None:
            row = known.searchsorted(limit, side="left") - 1
            over, ends = known, limit
        else:
            # By position: what was over by the end of the bar so many bars ago.
            over, ends = self._over(times, rows)
            row = over.searchsorted(ends, side="right") - 1
            row = np.concatenate((np.full(min(self.lag, len(row)), -1), row))[: len(row)]
            limit = self._next_begin(rows, limit)
        first = np.maximum.accumulate(np.where(np.diff(row, prepend=-2) != 0, np.arange(len(row)), 0))
        age = np.arange(len(row)) - first
        distance = _distance(rows.times)
        if len(row) and row[0] >= 0:  # how old the first bar's value was already, beside a long weekend
            waited = (ends[0] - over[row[0]]).astype("timedelta64[ns]").astype(np.int64) - _LONG_WEEKEND
            age[row == row[0]] += max(0, int(waited / distance))
        usual = int(np.ceil(np.median(np.diff(times.astype(np.int64))) / distance)) if len(times) > 2 else 1
        return Joined(row=row, age=age, usual=max(usual, 1), known=known, limit=limit)

    def note(self, rows: BarRows) -> str:
        """What was understood of the series, and which row the last bar takes."""
        times = self._table(rows).index.to_numpy()
        joined = self.join(times, rows)
        every = "one a" if joined.usual == 1 else f"one every {joined.usual}"
        taken = joined.row[-1]
        last = "none" if taken < 0 else f"that of {_shown(times[taken])}"
        return (
            f"{self._who(rows)}: {len(times):,} rows, {every} {rows.bars.label}{'s' * (joined.usual > 1)}, "
            f"{_shown(times[0])} to {_shown(times[-1])}; the bar of {rows.bars.text(rows.times[-1])} takes {last}"
        )

    def not_proved(self, rows: BarRows) -> str | None:
        """Where a value is taken that nothing shows to have been known when the forecast was made, for an audit.

        Returns:
            a sentence; None where every value was known.
        """

        times = self._table(rows).index.to_numpy()
        joined = self.join(times, rows)
        if (bar := self._late(joined)) is None:
            return None
        remedy = (
            "lag=1, or published=HH:MM if it is known in time" if self.published is None else "a larger lag"
        )
        return (
            f"the row of {_shown(times[joined.row[bar]])} is taken at the bar of {rows.bars.text(rows.times[bar])} of "
            f"{rows.ticker}, and nothing shows that it was known by then; {remedy}"
        )

    def _late(self, joined: Joined) -> int | None:
        """The first bar that takes a row which nothing shows to have been known in time."""
        taken = np.flatnonzero(joined.row >= 0)
        late = taken[joined.known[joined.row[taken]] >= joined.limit[taken]]
        return int(late[0]) if len(late) else None

    def _clocks(self, times: Times, rows: BarRows) -> tuple[Times, Times]:
        """(rows,) when each row is known and (bars,) when each forecast is made, by one clock."""
        if self.published is None:
            return self._over(times, rows)
        if not _are_dates(times):
            raise UserError(
                "published: is for rows that are dates; these are moments, and known when they are over"
            )
        if rows.bars.calendar is None:
            raise UserError(
                "published: needs the exchange's calendar, which says when a session closes; set data.calendar, or use "
                "lag=1"
            )
        local = self._last_days(times) + np.timedelta64(self.published, "m")
        return grid.to_utc(local, self.timezone or rows.bars.zone), rows.known

    def _over(self, times: Times, rows: BarRows) -> tuple[Times, Times]:
        """(rows,) when the span of each row is over and (bars,) of each bar: both dates, or both moments in UTC."""
        dated = _are_dates(times)
        if dated and not rows.bars.intraday:
            over = self._last_days(times) + np.timedelta64(1, "D")
            return over, self._bar_days(rows) + np.timedelta64(1, "D")
        if dated:
            day_after = self._last_days(times) + np.timedelta64(1, "D")
            return grid.to_utc(day_after, self.timezone or rows.bars.zone), rows.known
        span = np.timedelta64(0 if self.stamp == "end" else _span(times), "ns")
        return times + span, rows.known

    def _last_days(self, times: Times) -> Times:
        """(rows,) the last day of each row's span."""
        days = grid.midnights(times)
        if self.stamp == "end" or not _are_dates(times):
            return days
        span = _span(times)
        if span >= 28 * grid.DAY:  # months and longer: up to the day before the same day of a later month
            months = round(span / (30.44 * grid.DAY))
            month = days.astype("datetime64[M]")
            same_day = (month + months).astype("datetime64[ns]") + (days - month.astype("datetime64[ns]"))
            return np.asarray(same_day - np.timedelta64(1, "D"))
        return days + np.timedelta64(max(int(span // grid.DAY), 1) - 1, "D") if span >= 5 * grid.DAY else days

    def _bar_days(self, rows: BarRows) -> Times:
        """(bars,) the last day of each bar of a day or longer."""
        if rows.bars.interval == "1d":
            return rows.times
        known = rows.bars.known_times(rows.times)
        local = known - np.timedelta64(1, "ns")  # the close of the last session, in UTC
        return np.where(np.isnat(known), rows.times, local).astype("datetime64[D]").astype("datetime64[ns]")

    def _next_begin(self, rows: BarRows, made: Times) -> Times:
        """(bars,) before when a value must be known that is taken by `lag`: where its publication is known, before the
        bar that is forecast begins, else before the forecast is made.
        """
        if self.published is None:
            return made
        following = rows.ahead[:, 1] if rows.lead == 0 else rows.bars.next_times(rows.times, 1)[:, 0]
        if rows.bars.intraday:
            return following
        if rows.bars.calendar is None:
            return grid.to_utc(following, rows.bars.zone)
        days, opens, *_ = schedule(rows.bars.calendar)
        place = np.minimum(days.searchsorted(following), len(days) - 1)
        return opens[place].view("datetime64[ns]")

    def _by_policy(
        self, found: NDArray[np.float64], joined: Joined, times: Times, rows: BarRows
    ) -> NDArray[np.float64]:
        """Values with NaN where a bar is left out."""
        none_yet = joined.row < 0
        if self.missing == "last":
            limit = max(_LEAST_AGE, 2 * joined.usual) if self.max_age is None else self.max_age
            old = ~none_yet & (joined.age > limit)
            if old.any():
                bar = int(old.argmax())
                ended = joined.row[bar] == len(times) - 1
                why = (
                    f"it ends {_shown(times[-1])}: cut the bars with data.end, or"
                    if ended
                    else "it has a gap there:"
                )
                raise UserError(
                    f"{self._who(rows)}: {rows.bars.text(rows.times[bar])}: the last value known is of "
                    f"{_shown(times[joined.row[bar]])}, {joined.age[bar]} {rows.bars.label}s old, and max_age is "
                    f"{limit}; {why} set max_age or missing=drop"
                )
            lacking = none_yet
        else:
            # A new value is expected once in so many bars.
            stale = joined.age >= max(1, int(1.25 * joined.usual))
            lacking = none_yet | stale | ~np.isfinite(found).all(axis=1)
            found = np.where(lacking[:, None], np.nan, found)
        if lacking.any() and self.missing == "error":
            bar = int(lacking.argmax())
            raise UserError(
                f"missing=error: {self._who(rows)}: has no value for the bar of {rows.bars.text(rows.times[bar])} "
                f"({int(lacking.sum())} in all); it runs from {_shown(times[0])} to {_shown(times[-1])}: cut the bars "
                "with data.start and data.end, or use missing=drop or missing=last"
            )
        if lacking.all():
            raise UserError(
                f"{self._who(rows)}: runs from {_shown(times[0])} to {_shown(times[-1])}, and no bar from "
                f"{rows.bars.text(rows.times[0])} to {rows.bars.text(rows.times[-1])} has a value"
            )
        if lacking.any():
            log.info(
                "%s: %d of %d bars of %s are left out, which have no value of it%s (it begins %s)",
                *(self._who(rows), int(lacking.sum()), len(lacking), rows.ticker),
                *(" yet" if self.missing == "last" else "", _shown(times[0])),
            )
        return found

    def _who(self, rows: BarRows) -> str:
        return self.ticker or f"{', '.join(self.names)} of {rows.ticker}"

    def _table(self, rows: BarRows) -> pd.DataFrame:
        """The wanted columns of the series, transformed, ascending."""
        source, ticker = self.source or rows.source, self.ticker or rows.ticker
        table = self._read(source, ticker)
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()][0]
            raise UserError(
                f"{ticker}: two rows of {_shown(twice.to_datetime64())}; a series needs distinct times"
            )
        table = table.sort_index()
        if self.transform in ("log", "log_change"):
            bad = (table <= 0).to_numpy()
            if bad.any():
                row, column = np.argwhere(bad)[0]
                raise UserError(
                    f"transform={self.transform}: {ticker}: {table.columns[column]}={table.iloc[row, column]:g} on "
                    f"{_shown(table.index[row].to_datetime64())} has no logarithm; use transform=level or change"
                )
            table = table.apply(np.log)
        return table.diff().iloc[1:] if self.transform in ("change", "log_change") else table

    def _read(self, source: Any, ticker: str) -> pd.DataFrame:
        """The wanted columns as the source has them, those of bars and others."""
        import pandas as pd

        offers = hasattr(source, "columns_of")
        beside: pd.DataFrame = source.columns_of(ticker) if offers else pd.DataFrame()
        others = [name for name in self.names if name in beside.columns]
        own = [name for name in self.names if name not in others]
        absent = [name for name in own if name not in COLUMNS]
        if absent:
            has = ", ".join(COLUMNS)
            if len(beside.columns):
                has = f"{', '.join(map(str, beside.columns))}; {has} are there only of bars"
            more = "" if offers else f"; of {type(source).__name__} no others can be had, but of source=files"
            raise UserError(
                f"columns={self.names}: {ticker} has no column {', '.join(absent)}; it has {has}{more}"
            )
        tables = [*([source.bars(ticker)[own]] if own else []), *([beside[others]] if others else [])]
        joined: pd.DataFrame = pd.concat(tables, axis=1)
        return joined[self.names]


def _time_of_day(text: str) -> int:
    """Minutes after the midnight that a date begins with."""
    found = _PUBLISHED.fullmatch(str(text).strip())
    if found is None:
        raise UserError(
            f"published={text}: must be a time of day, HH:MM, as 16:15, or +1d 08:30 on the next day"
        )
    return int(found[1] or 0) * 1440 + int(found[2]) * 60 + int(found[3])


def _are_dates(times: Times) -> bool:
    """Whether all times are midnights."""
    return not (times.astype("datetime64[ns]").astype(np.int64) % grid.DAY).any()


def _span(times: Times) -> int:
    """Nanoseconds from one row to the next, as a rule."""
    if len(times) < 2:
        return grid.DAY if _are_dates(times) else 0
    return int(np.median(np.diff(times.astype("datetime64[ns]").astype(np.int64))))


def _distance(times: Times) -> float:
    """Nanoseconds from bar to bar on average, nights and weekends included."""
    if len(times) < 2:
        return float(grid.DAY)
    first, last = times[[0, -1]].astype("datetime64[ns]").astype(np.int64)
    return float(last - first) / (len(times) - 1)


def _shown(time: Any) -> str:
    """A row's time: its date, and the time of day where it has one."""
    moment = np.asarray(time, "datetime64[ns]")
    return str(moment)[:10] if _are_dates(moment.reshape(1)) else f"{str(moment)[:16]}Z"
