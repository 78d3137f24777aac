"""A ticker's bars as a run uses them: fetched, cut, checked, their calendar found, resampled where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forecast.data import calendars, grid
from forecast.data.bars import COLUMNS, INTERVALS, MINUTES, DateRange, Interval, Source
from forecast.data.grid import Times
from forecast.data.health import Fault, HealthCheck
from forecast.data.naming import words
from forecast.data.rhythm import FoundBars, find_bars
from forecast.data.timing import Bars
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Fewer bars of a range do not show what they are: the whole history does.
_ENOUGH = 60
_MOST_WARNINGS = 5  # that are shown
NO_CALENDAR = ("auto", "none")


@dataclass(frozen=True, kw_only=True)
class TickerBars:
    """The bars of one ticker.

    Args:
        table: checked; ascending, of distinct times.
        bars: what a row is.
        why: how that is known.
        warnings: where bars and calendar disagree; whoever shows a date must say them.
        faults: what the health check found and let pass.
    """

    table: pd.DataFrame
    bars: Bars
    why: str
    warnings: tuple[str, ...]
    faults: list[Fault]


class BarReader:
    """Reads tickers from a source, all in one way: in a run, for a prediction, behind a server.

    Args:
        source: where bars come from.
        range: the part of the history that is wanted.
        health: what to do about faulty bars; None = they are taken as they are.
        interval: what a bar of the source spans.
        calendar: `auto`, `none` or exchange_calendars' name; None, as configs of earlier versions have it: that of the
            health check.
        resample: a coarser interval to make bars of; None = as they are.

    Raises:
        UserError: no such calendar, or `resample` is not coarser.
    """

    def __init__(
        self,
        *,
        source: Source,
        range: DateRange,
        health: HealthCheck | None = None,
        interval: Interval = "1d",
        calendar: str | None = None,
        resample: Interval | None = None,
    ) -> None:
        if calendar not in (None, *NO_CALENDAR):
            calendars.check_calendar(str(calendar), key="data.calendar")
        self.source = source
        self.range = range
        self.health = health
        self.interval: Interval = interval
        self.resample: Interval | None = resample
        of_health = None if health is None or health.calendar == "auto" else health.calendar
        # A calendar that is named for the health check alone is that of the bars.
        self.key = "data.calendar"
        if calendar == "auto" and of_health is not None:
            self.key, calendar = "data.health.calendar", of_health
        self.calendar = calendar
        self.assumed = of_health if calendar is None else None
        self._last: tuple[str | None, NDArray[Any], FoundBars] | None = None
        if resample is not None and INTERVALS.index(resample) <= INTERVALS.index(interval):
            raise UserError(
                f"data.resample={resample}: must be coarser than data.interval={interval}, or null to take the bars as "
                "they are"
            )

    @classmethod
    def of(
        cls, data: Mapping[str, Any], *, source: Source, health: HealthCheck | None, until_now: bool = False
    ) -> BarReader:
        """The reader of a run's `data` node.

        Args:
            data: the `data` node of its config, of an earlier version too.
            source: built.
            health: built; None = bars are taken as they are.
            until_now: look at bars after the run's last day as well.
        """
        end = None if until_now else data.get("end")
        return cls(
            source=source,
            range=DateRange(period=data.get("period"), start=data.get("start"), end=end),
            health=health,
            interval=data.get("interval", "1d"),
            calendar=data.get("calendar"),
            resample=data.get("resample"),
        )

    @property
    def expected(self) -> Bars:
        """The bars to expect before any was read."""
        named = self.assumed if self.calendar is None else self.calendar
        return Bars(interval=self.resample or self.interval, calendar=None if named in NO_CALENDAR else named)

    def cut(self, ticker: str, whole: pd.DataFrame) -> pd.DataFrame:
        """The rows of the range."""
        return self.range.cut(whole, zone=self._zone(ticker, whole) if self.interval in MINUTES else None)

    def prepare(self, ticker: str, bars: pd.DataFrame, whole: pd.DataFrame) -> TickerBars:
        """Find out what bars are, check them, and make them coarser.

        Args:
            ticker: whose they are.
            bars: those of the range, at least one.
            whole: all there are, of which few bars are held to be.

        Raises:
            UserError: faulty bars, or bars of another interval or calendar than was named.
        """
        found = self.found(ticker, bars if len(bars) >= _ENOUGH else whole)
        faults: list[Fault] = []
        if self.health is not None:
            bars, faults = self.health.for_market(found.bars).check(ticker, bars)
        if not (bars.index.is_monotonic_increasing and bars.index.is_unique):
            raise UserError(
                f"{ticker}: windows need ascending, distinct dates; data.health.order=drop sorts them, "
                f"data.health.duplicates=drop keeps the first bar of a {found.bars.label}"
            )
        kind = found.bars
        if self.resample is not None:
            bars, kind = resampled(bars, kind, self.resample)
            if bars.empty:
                raise UserError(
                    f"data.resample={self.resample}: {ticker}: its bars make no whole {kind.label}; "
                    "ask for a longer data.period"
                )
        return TickerBars(table=bars, bars=kind, why=found.why, warnings=found.warnings, faults=faults)

    def found(self, ticker: str, bars: pd.DataFrame) -> FoundBars:
        """What bars are: their interval and market, and how that is known."""
        times, kind = bars.index.to_numpy(), calendars.calendar_of(ticker)
        # Tickers of one market mostly stand on the same times.
        if self._last is not None and self._last[0] == kind and np.array_equal(self._last[1], times):
            return self._last[2]
        found = find_bars(
            ticker,
            times,
            interval=self.interval,
            calendar=self.calendar,
            assumed=self.assumed,
            zone=self._source_zone(ticker),
            key=self.key,
        )
        self._last = None if found.warnings else (kind, times, found)
        return found

    def _source_zone(self, ticker: str) -> str | None:
        zone: Callable[[str], str | None] = getattr(self.source, "zone", lambda _ticker: None)
        return zone(ticker)

    def _zone(self, ticker: str, whole: pd.DataFrame) -> str:
        """The zone of the clock that `start` and `end` are read on."""
        if not (self.range.start or self.range.end):
            return "UTC"
        try:
            return self.found(ticker, whole).bars.zone
        except UserError:  # the part that is wanted may be better; if not, it says why
            return self._source_zone(ticker) or "UTC"


def resampled(table: pd.DataFrame, bars: Bars, to: Interval) -> tuple[pd.DataFrame, Bars]:
    """Coarser bars, without the first and last where they are not whole.

    A bar is whole when the finer bars before its first one and after its last one belong to others, by the calendar:
    the running week is none. Open is the first, High the highest, Low the lowest, Close the last, Volume the sum.

    Returns:
        the table, and what its rows are: weeks are named by their first calendar day, months by the 1st.
    """
    import pandas as pd

    coarse = Bars(
        interval=to, calendar=bars.calendar, weekmask=bars.weekmask, zone=bars.zone, hours=_hours(bars)
    )
    times = table.index.to_numpy()
    labels = _labels(times, bars, coarse)
    begins = np.flatnonzero(np.concatenate(([True], labels[1:] != labels[:-1])))
    values = table[list(COLUMNS)].to_numpy(np.float64)
    last = np.append(begins[1:], len(times)) - 1
    found = np.stack(
        [
            values[begins, 0],
            np.maximum.reduceat(values[:, 1], begins),
            np.minimum.reduceat(values[:, 2], begins),
            values[last, 3],
            np.add.reduceat(values[:, 4], begins),
        ],
        axis=1,
    )
    first_whole = not _before(times, bars, coarse, labels[0])
    last_whole = _labels(bars.next_times(times[-1:], 1)[0], bars, coarse)[0] != labels[-1]
    keep = slice(0 if first_whole else 1, len(begins) if last_whole else len(begins) - 1)
    index = pd.DatetimeIndex(labels[begins][keep], name="Date")
    return pd.DataFrame(found[keep], index=index, columns=pd.Index(COLUMNS)), coarse


def _before(times: Times, bars: Bars, coarse: Bars, label: Any) -> bool:
    """Whether a finer bar that is not there belongs to the first coarse one."""
    earlier = bars.times_between(times[0] - np.timedelta64(40, "D"), times[0] - np.timedelta64(1, "ns"))
    return bool(len(earlier) and _labels(earlier[-1:], bars, coarse)[0] == label)


def _hours(bars: Bars) -> grid.Hours:
    """Hours of the coarser bars, which are named by their begin."""
    align = bars.hours.align
    return grid.Hours("clock" if align == "slots" else align)


def _labels(times: Times, bars: Bars, coarse: Bars) -> Times:
    """(bars,) the coarse bar that each belongs to."""
    begin = times - np.timedelta64(bars.step, "ns") if bars.intraday and bars.hours.end else times
    if coarse.intraday:
        return _intraday_labels(begin, bars, coarse)
    days = bars.sessions_of(times)
    if coarse.interval == "1d":
        return days
    return coarse.period_start(coarse.period_number(days))


def _intraday_labels(begin: Times, bars: Bars, coarse: Bars) -> Times:
    step = MINUTES[coarse.interval] * grid.MINUTE
    if bars.calendar in (None, "24/7") or bars.hours.align == "slots":
        shift = (grid.to_local(begin, bars.zone) - begin).astype(np.int64)
        stamps = begin.astype(np.int64)
        return ((stamps + shift) // step * step - shift).view("datetime64[ns]")
    near = np.timedelta64(5, "D")
    names = coarse.times_between(begin[0] - near, begin[-1])
    return np.asarray(names[np.maximum(names.searchsorted(begin, side="right") - 1, 0)])


def check_reach(source: Source, interval: Interval, range: DateRange) -> None:
    """Refuse to ask a source for bars that it does not have so far back.

    Raises:
        UserError: the range begins before the source's first bar of that interval.
    """
    days: int | None = getattr(source, "days_back", lambda _interval: None)(interval)
    if days is None:
        return
    import pandas as pd

    now = pd.Timestamp.now(tz="UTC").tz_localize(None)
    last = now if range.end is None else min(now, pd.Timestamp(range.end.replace(tzinfo=None)))
    first = range.earliest(last)
    if first is None or (now - first).days <= days:
        return
    asked = f"data.start={range.start.date()}" if range.start else f"data.period={range.period}"
    raise UserError(
        f"{asked}: {type(source).__name__} has data.interval={interval} of the last {days} days only; ask for "
        f"data.period={days}d or less, or a coarser data.interval"
    )


def calendar_notes(markets: Mapping[str, Bars], warnings: Sequence[str]) -> list[str]:
    """What forecast dates go by, where that is not the exchange's own calendar or was in doubt, in sentences."""
    notes = list(warnings[:_MOST_WARNINGS])
    if len(warnings) > _MOST_WARNINGS:
        notes.append(f"{len(warnings) - _MOST_WARNINGS} more such tickers")
    bare = [ticker for ticker, bars in markets.items() if bars.calendar is None]
    if bare and not warnings:
        some = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        notes.append(
            f"no calendar for {some}: the days are the bars' own weekdays, whether the exchange is open or not"
        )
    named = {(bars.label, bars.naming) for bars in markets.values() if bars.interval in ("1wk", "1mo")}
    notes += [f"{label}s are dated by {words(naming)}" for label, naming in sorted(named)]
    zones = sorted({bars.zone for bars in markets.values() if bars.intraday})
    if zones:
        notes.append(f"times are in UTC, of the begin of a bar; market's clock: {', '.join(zones)}")
    return notes


def check_size(ticker: str, bars: pd.DataFrame, values: np.ndarray, kind: Bars) -> None:
    """Windows are 32-bit floats; what they cannot hold must not pass for a gap."""
    too_large = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        raise UserError(
            f"{ticker}: {kind.text(bars.index[row])}: {bars.columns[column]}={values[row, column]:g} is more than "
            "a 32-bit float holds; use larger units in the source"
        )
