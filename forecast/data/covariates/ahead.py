"""What is known of the bars being forecast before they come: their place in the calendar, holidays, events."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le, MinLen

from forecast.data import grid
from forecast.data.calendars import check_calendar, check_zone, planned_sessions, schedule
from forecast.data.covariates.base import BarRows, Kind
from forecast.errors import UserError
from forecast.files import LocalPath

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.grid import Times

Field = Literal["hour", "weekday", "monthday", "month", "turn_of_month"]
_HOURS_A_DAY, _WEEKDAYS, _MONTHS = 24.0, 7.0, 12.0


class CalendarCovariate:
    """The place of each bar that is forecast in the day, the week, the month and the year, by the market's clock.

    Each is sine and cosine of its place in the cycle, so that December lies beside January; `turn_of_month` is 1 on the
    last weekday of a month and the first three of the next, else 0 (Lakonishok and Smidt 1988, Are seasonal anomalies
    real?, https://doi.org/10.1093/rfs/1.4.403).

    Args:
        fields: which; hour is for bars shorter than a day.
        harmonics: of hour: waves a day, two days, ...: 1 shows morning from evening, 4 also the hours around the open.
    """

    kind: ClassVar[Kind] = "ahead"
    label: ClassVar[str] = "calendar"

    def __init__(
        self,
        *,
        fields: Annotated[list[Field], MinLen(1)] | None = None,
        harmonics: Annotated[int, Ge(1), Le(12)] = 4,
    ) -> None:
        self.fields: list[Field] = list(fields or ["weekday", "month"])
        self.harmonics = harmonics

    @property
    def columns(self) -> list[str]:
        """See Covariate.columns."""
        return [
            field if field == "turn_of_month" else f"{field}_{wave}{number if number > 1 else ''}"
            for field in self.fields
            for number in range(1, (self.harmonics if field == "hour" else 1) + 1)
            for wave in (("",) if field == "turn_of_month" else ("sin", "cos"))
        ]

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """See Covariate.values."""
        if "hour" in self.fields and not rows.bars.intraday:
            raise UserError(
                f"fields={self.fields}: a {rows.bars.label} has no hour; hour is for data.interval=1h and shorter"
            )
        local = _local(rows.ahead[:, 1:], rows)  # (B, h)
        days = local.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        monthday = (days - months.astype("datetime64[D]")).astype(np.int64)
        found: list[NDArray[np.float64]] = []
        for field in self.fields:
            if field == "hour":
                hours = (local - days).astype("timedelta64[s]").astype(np.int64) / 3600.0
                for number in range(1, self.harmonics + 1):
                    found += _cycle(number * hours, _HOURS_A_DAY)
            elif field == "weekday":
                found += _cycle(grid.weekday(days), _WEEKDAYS)
            elif field == "month":
                found += _cycle(months.astype(np.int64) % 12, _MONTHS)
            elif field == "monthday":
                length = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")
                found += _cycle(monthday, length.astype(np.int64))
            else:
                # Weekdays of the month before it, and from it on.
                weekday = np.busday_count(months.astype("datetime64[D]"), days)
                left = np.busday_count(days, (months + 1).astype("datetime64[D]"))
                found.append(((weekday < 3) | (left <= 1)).astype(np.float64))
        return np.stack(found, axis=-1)


class HolidayCovariate:
    """Days without trading around each bar that is forecast, and sessions that end early, as they were announced.

    Columns: `closed_before` and `closed_after`, weekdays without a session between it and the one before or after;
    `early_close`, 1 where its session is shorter than usual.

    Args:
        calendar: exchange_calendars' name; None = that of the bars.

    Raises:
        UserError: exchange_calendars has no such calendar.
    """

    kind: ClassVar[Kind] = "ahead"
    label: ClassVar[str] = "holidays"
    columns: ClassVar[tuple[str, ...]] = ("closed_before", "closed_after", "early_close")

    def __init__(self, *, calendar: str | None = None) -> None:
        if calendar is not None:
            check_calendar(calendar, key="calendar")
        self.calendar = calendar

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """See Covariate.values."""
        calendar = self.calendar or rows.bars.calendar
        if calendar is None:
            raise UserError("calendar=null: the bars have none either; name an exchange, as calendar=XNYS")
        _, _, planned = planned_sessions(calendar)
        days = planned.to_numpy().astype("datetime64[D]")
        wanted = _local(rows.ahead[:, 1:], rows).astype("datetime64[D]")
        before = days[np.maximum(days.searchsorted(wanted) - 1, 0)]
        after = days[np.minimum(days.searchsorted(wanted, side="right"), len(days) - 1)]
        one = np.timedelta64(1, "D")
        sessions, opens, closes, *_ = schedule(calendar)
        length = closes - opens
        place = np.minimum(sessions.searchsorted(wanted.astype("datetime64[ns]")), len(sessions) - 1)
        held = sessions[place] == wanted.astype("datetime64[ns]")
        usual = np.median(length)
        return np.stack(
            [
                np.busday_count(before + one, wanted).astype(np.float64),
                np.busday_count(wanted + one, after).astype(np.float64),
                (held & (length[place] < usual)).astype(np.float64),
            ],
            axis=-1,
        )


class EventCovariate:
    """Announced events of a file: how many fall into each bar that is forecast, or what they are expected to be.

    A day's bar takes the events of its date and of days without trading before it; an intraday bar those of its span.

    Args:
        path: a .csv or .parquet file, a row an event.
        date: the column that says when it will be: YYYY-MM-DD, for intraday bars with the time of day.
        kinds: the column that says what it is, a covariate column for each kind; None = all alike.
        value: the column of a number known beforehand, such as an expected figure, summed over a bar; None = 1 each.
        announced: the column that says since when it is known; an event is not seen before. None = always.
        ticker: the column that says whose event it is, such as of earnings; None = everybody's.
        timezone: IANA name of the clock of both dates; None = the market's.

    Raises:
        UserError: no such file or column, or a date that is none.
    """

    kind: ClassVar[Kind] = "ahead"
    label: ClassVar[str] = "events"

    def __init__(
        self,
        *,
        path: Annotated[str, MinLen(1), LocalPath()],
        date: str = "date",
        kinds: str | None = None,
        value: str | None = None,
        announced: str | None = None,
        ticker: str | None = None,
        timezone: str | None = None,
    ) -> None:
        check_zone("timezone", timezone)
        self.path = path
        self.date = date
        self.kinds = kinds
        self.value = value
        self.announced = announced
        self.ticker = ticker
        self.timezone = timezone

    @property
    def columns(self) -> list[str]:
        """See Covariate.columns."""
        return [""] if self.kinds is None else sorted(self._table[self.kinds].astype(str).unique())

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """See Covariate.values."""
        table = self._table
        if self.ticker is not None:
            table = table[table[self.ticker].astype(str) == rows.ticker]
        due = self._times(table, self.date, rows)
        # A bar's own are those from its begin to the next one's; of a day's bar, after the one before, up to its date.
        edges = rows.ahead if not rows.bars.intraday else _with_following(rows)
        side: Literal["left", "right"] = "right" if not rows.bars.intraday else "left"
        weight = np.ones(len(table)) if self.value is None else table[self.value].to_numpy(np.float64)
        since = None if self.announced is None else self._times(table, self.announced, rows, end=True)
        found = []
        for name in self.columns:
            own = np.ones(len(table), bool) if self.kinds is None else (table[self.kinds].astype(str) == name)
            mine = np.flatnonzero(np.asarray(own))
            mine = mine[np.argsort(due[mine], kind="stable")]
            place = due[mine].searchsorted(edges, side=side)  # (B, h + 1)
            total = np.concatenate(([0.0], np.cumsum(weight[mine])))
            counts = total[place[:, 1:]] - total[place[:, :-1]]
            if since is not None:
                counts -= self._not_yet_known(due[mine], since[mine], weight[mine], edges, side, rows)
            found.append(counts)
        return np.stack(found, axis=-1)

    def _not_yet_known(
        self,
        due: Times,
        since: Times,
        weight: NDArray[np.float64],
        edges: Times,
        side: Literal["left", "right"],
        rows: BarRows,
    ) -> NDArray[np.float64]:
        """(bars, horizon) of events that fall into a bar but were announced too late for its forecast."""
        unknown = np.zeros((len(edges), edges.shape[1] - 1))
        for moment, announced, size in zip(due, since, weight, strict=True):
            begun, over = (
                (edges < moment, edges >= moment) if side == "right" else (edges <= moment, edges > moment)
            )
            # Forecasts made before the announcement that reach the event.
            unknown += size * (begun[:, :-1] & over[:, 1:] & (announced >= rows.known)[:, None])
        return unknown

    def _times(self, table: pd.DataFrame, column: str, rows: BarRows, *, end: bool = False) -> Times:
        """(events,) as the bars are dated; with `end` the moment in UTC, of a date the end of its day."""
        import pandas as pd

        times = pd.DatetimeIndex(table[column])
        zone = self.timezone or rows.bars.zone
        if times.tz is not None:
            utc = times.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
        else:
            local = times.to_numpy().astype("datetime64[ns]")
            dates = local == local.astype("datetime64[D]")
            utc = grid.to_utc(np.where(dates & end, local + np.timedelta64(1, "D"), local), zone)
        if end or rows.bars.intraday:
            return utc
        market = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(rows.bars.zone).tz_localize(None)
        if times.tz is None and zone == rows.bars.zone:
            market = times
        return market.normalize().to_numpy().astype("datetime64[ns]")

    @cached_property
    def _table(self) -> pd.DataFrame:
        """The events, their columns checked."""
        import pandas as pd

        table = read_table(self.path)
        wanted = [name for name in (self.date, self.kinds, self.value, self.announced, self.ticker) if name]
        absent = [name for name in wanted if name not in table.columns]
        if absent:
            raise UserError(
                f"path={self.path}: has no column {', '.join(absent)}; it has {', '.join(map(str, table.columns))}"
            )
        for name in (self.date, self.announced):
            if name is not None:
                try:
                    table[name] = pd.to_datetime(table[name], errors="raise", format="ISO8601")
                except (ValueError, TypeError) as error:
                    raise UserError(
                        f"path={self.path}: a {name} is no date ({str(error).splitlines()[0]}); write YYYY-MM-DD"
                    ) from None
                if table[name].isna().any():
                    raise UserError(
                        f"path={self.path}: row {int(table[name].isna().argmax()) + 2} has no {name}"
                    )
        if self.value is not None and not pd.api.types.is_numeric_dtype(table[self.value]):
            raise UserError(f"path={self.path}: {self.value} holds what is no number")
        return table


def read_table(path: str) -> pd.DataFrame:
    """A .csv or .parquet file as it is.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    import pandas as pd

    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"path={path}: no such file; name a .csv or .parquet")
    try:
        return pd.read_parquet(file) if file.suffix.lower() == ".parquet" else pd.read_csv(file)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's own are ValueErrors
        raise UserError(f"path={path}: cannot be read ({str(error).splitlines()[0]})") from error


def _with_following(rows: BarRows) -> Times:
    """(bars, horizon + 1) where each bar that is forecast begins, and where the one after the last does."""
    last = rows.ahead[:, -1]
    return np.concatenate((rows.ahead[:, 1:], rows.bars.next_times(last, 1)), axis=1)


def _local(times: Times, rows: BarRows) -> Times:
    """Times of bars by the market's clock; those of days and longer are dates already."""
    if not rows.bars.intraday:
        return times
    return grid.to_local(times.ravel(), rows.bars.zone).reshape(times.shape)


def _cycle(place: NDArray[Any], length: NDArray[Any] | float) -> list[NDArray[np.float64]]:
    """Sine and cosine of a place in a cycle."""
    angle = 2.0 * math.pi * place / length
    return [np.sin(angle), np.cos(angle)]
