"""The table of bars that every source delivers, and the range that a run takes of it."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from forecast.errors import SourceError, UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Interval = Literal["1m", "5m", "15m", "30m", "1h", "1d", "1wk", "1mo"]
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}  # of an intraday bar
INTERVALS: tuple[Interval, ...] = get_args(Interval)  # ascending
COLUMNS = ("Open", "High", "Low", "Close", "Volume")
PRICES = ("Open", "High", "Low", "Close")
_DAY = 86_400 * 10**9  # nanoseconds
_PERIOD = re.compile(r"(?P<count>[1-9]\d{0,3})(?P<unit>d|wk|mo|y)")
_UNITS = {"d": "days", "wk": "weeks", "mo": "months", "y": "years"}
_SHOWN = 8  # tickers in a message
# Distinct times a day, on average, from which bars are intraday; below, odd times of daily bars are only untidy.
_TIMES_A_DAY = 1.1
# New shares for an old one in the splits there are.
_SPLITS = (5 / 4, 4 / 3, 3 / 2, 5 / 3, 2, 5 / 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
_SPLIT_TOLERANCE = 0.01


class Source(Protocol):
    """Where bars come from.

    A bar table is indexed by `Date` (datetime64[ns], no time zone: midnights of days, moments in UTC of intraday bars)
    with the float64 columns Open, High, Low, Close, Volume, in whatever order and state they arrived: checking them is
    HealthCheck's task.

    A source may also have `zone(ticker)`, the IANA name of the market's clock or None, and `days_back(interval)`, over
    how many days back from now it has bars of an interval at all, or None.
    """

    def tickers(self) -> list[str]:
        """Names of every ticker the source has; UserError when it cannot list them."""
        ...

    def bars(self, ticker: str) -> pd.DataFrame:
        """The whole history of one ticker; UserError, with what to do, when there is none."""
        ...


@runtime_checkable
class CachingSource(Source, Protocol):
    """A source that asks a server and keeps what it answered."""

    def symbol(self, ticker: str) -> str:
        """The ticker as the server writes it; UserError when it can be none."""
        ...

    def held(self, ticker: str) -> str | None:
        """What is kept of a ticker and how old that is, in words; None: nothing. Asks nobody, from any thread."""
        ...

    def stand_in(self, ticker: str) -> str | None:
        """Why the last answer to `bars` is what was kept although there may be more; None: it is up to date."""
        ...


@runtime_checkable
class DescribedSource(Source, Protocol):
    """A source that finds out how its files are written, says it, and takes it back from a saved run."""

    def describe(self) -> list[str]:
        """How what was read so far is written, in words, a line for each way."""
        ...

    def layouts(self) -> list[dict[str, Any]]:
        """The same as its constructor's argument `layouts` takes it."""
        ...


def bar_table(
    frame: pd.DataFrame,
    *,
    adjust: bool,
    origin: str,
    columns: Sequence[str] = COLUMNS,
    adjust_volume: bool = False,
) -> pd.DataFrame:
    """Bring a frame with a Date index or column and raw columns into the shape every source delivers.

    Args:
        frame: any column order and index unit; `Adj Close` optional.
        adjust: multiply Open, High, Low and Close by Adj Close / Close where `Adj Close` is present, so that
            splits and dividends are no price moves.
        origin: named in errors: a path or a ticker.
        columns: those that must be there, in the order they are wanted; Close among them.
        adjust_volume: where prices are adjusted, also count Volume in today's shares, see `shares_since`.

    Raises:
        UserError: a column is missing, a price is no number, or a date is no date.
    """
    import numpy as np
    import pandas as pd

    if frame.columns.nlevels > 1:
        raise UserError(
            f"{origin}: has {frame.columns.nlevels} rows of column names; one ticker's own columns are needed"
        )
    if "Date" in frame.columns:
        frame = frame.set_index("Date")
    has_adjusted = "Adj Close" in frame.columns
    wanted = [*columns, "Adj Close"] if adjust and has_adjusted else list(columns)
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise UserError(f"{origin}: no column {', '.join(missing)}; needs Date, {', '.join(columns)}")
    frame = frame[wanted]
    if frame.empty:
        raise UserError(f"{origin}: holds no bars")
    values = {column: _numbers(frame[column], origin) for column in wanted}
    prices = adjusted(values, adjust=adjust, adjust_volume=adjust_volume)
    table = pd.DataFrame(prices, index=_dates(frame.index, origin))
    if has_adjusted:
        # For HealthCheck, which knows then what a split may look like.
        table.attrs["adjusted"] = adjust and not np.array_equal(values["Adj Close"], values["Close"])
    return table


def _numbers(cells: pd.Series, origin: str) -> NDArray[np.float64]:
    """A column as float64; text that is no number is refused."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    text = np.isnan(numbers) & cells.notna().to_numpy()
    if text.any():
        row = int(text.argmax())
        raise UserError(f"{origin}: {cells.name}={cells.iloc[row]!r} on {cells.index[row]} is no number")
    return numbers


def adjusted(
    values: Mapping[str, NDArray[np.float64]], *, adjust: bool, adjust_volume: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Columns of bars without Adj Close, which prices are brought to where it is there and they are to be adjusted.

    Args:
        values: name -> (bars,), oldest first where volumes are adjusted.
        adjust: multiply prices by Adj Close / Close.
        adjust_volume: with it, count Volume in today's shares, see `shares_since`.
    """
    import numpy as np

    raw = {name: column for name, column in values.items() if name != "Adj Close"}
    if not adjust or "Adj Close" not in values:
        return raw
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = values["Adj Close"] / values["Close"]
    for name in PRICES:
        if name in raw:
            raw[name] = raw[name] * factor
    if adjust_volume and "Volume" in raw:
        raw["Volume"] = raw["Volume"] * shares_since(factor)
    return raw


def shares_since(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Today's shares that one share of each bar has become by splits.

    Adj Close / Close steps at splits and at dividends alike. A step counts as a split where it is one of the usual
    ratios, 5:4 to 100:1 or the other way round, to within 1 %; a dividend, which is no change in the number of shares,
    does not come near the smallest of them.

    Args:
        factor: (bars,) Adj Close / Close, oldest first.

    Returns:
        (bars,) the last one 1.
    """
    import numpy as np

    steps = np.ones(len(factor))
    with np.errstate(divide="ignore", invalid="ignore"):
        steps[1:] = factor[1:] / factor[:-1]
        ratios = np.concatenate([_SPLITS, 1.0 / np.asarray(_SPLITS)])
        nearest = ratios[np.argmin(np.abs(np.log(steps[:, None] / ratios)), axis=1)]
        is_split = np.abs(steps / nearest - 1.0) < _SPLIT_TOLERANCE  # never of NaN
    splits = np.where(is_split, nearest, 1.0)
    after = np.append(splits[1:], 1.0)
    return np.asarray(np.cumprod(after[::-1])[::-1])


def is_bar_table(frame: pd.DataFrame) -> bool:
    """Whether a frame has the shape every source delivers, so that bar_table would change nothing."""
    import numpy as np
    import pandas as pd

    dates = frame.index
    if not isinstance(dates, pd.DatetimeIndex) or dates.dtype != "datetime64[ns]" or not len(dates):
        return False
    # No date at all counts as a fraction of a day.
    timed = (dates.asi8 % _DAY).any() and (dates.hasnans or not is_intraday(dates))
    return bool(not timed and frame.columns.equals(_columns()) and frame.to_numpy().dtype == np.float64)


def missing_ticker(ticker: str, *, available: Sequence[str], origin: str, note: str = "") -> SourceError:
    """An error for a ticker that a source has not got, with the nearest names and the first of those available.

    Args:
        ticker: the name asked for.
        available: every name there is.
        origin: the source's config key and value, which opens the message.
        note: what else may be why, which ends it.
    """
    folded = {name.casefold(): name for name in available}
    near = [folded[name] for name in difflib.get_close_matches(ticker.casefold(), folded, n=3)]
    shown = ", ".join(available[:_SHOWN])
    more = f" and {len(available) - _SHOWN} more" if len(available) > _SHOWN else ""
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    error = SourceError(
        f"{origin}: has no ticker {ticker!r}; {hint}it has {shown}{more}{note and f'; {note}'}"
    )
    error.unknown = True
    return error


@functools.cache
def _columns() -> pd.Index:
    import pandas as pd

    return pd.Index(COLUMNS)


def _dates(index: pd.Index, origin: str) -> pd.DatetimeIndex:
    """Days at midnight; of intraday bars moments in UTC."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(index):
        raise UserError(f"{origin}: Date={index[0]!r} is no date; write YYYY-MM-DD")
    try:
        dates = pd.DatetimeIndex(pd.to_datetime(index, errors="raise"))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{origin}: a Date is no date ({str(error).splitlines()[0]}); write YYYY-MM-DD"
        ) from None
    if dates.isna().any():
        raise UserError(f"{origin}: row {int(dates.isna().argmax()) + 1} has no Date")
    # The exchange's own day, whatever the zone it was written in.
    local = dates.tz_localize(None)
    days = local.normalize()
    try:
        days = days.as_unit("ns").rename("Date")
        if not is_intraday(local):
            return days
    except pd.errors.OutOfBoundsDatetime:
        far = days[(days.year < 1700) | (days.year > 2200)][0]
        raise UserError(f"{origin}: Date={far} is no trading day of this age; write YYYY-MM-DD") from None
    moments = local if dates.tz is None else dates.tz_convert("UTC").tz_localize(None)
    return moments.as_unit("ns").rename("Date")


def is_intraday(times: pd.DatetimeIndex) -> bool:
    """Whether times are those of bars within a day: several of many days, not one a day at whatever hour.

    Args:
        times: without a zone, in any order; on the market's clock where that is known.
    """
    import numpy as np

    stamps = times.as_unit("ns").asi8
    if not (stamps % _DAY).any():
        return False
    distinct = np.unique(stamps)
    return len(distinct) > _TIMES_A_DAY * len(np.unique(distinct // _DAY))


class DateRange:
    """A cut through history.

    Days are those of the market's clock. A moment may be given as well, YYYY-MM-DDTHH:MM, on that clock unless it ends
    in Z or an offset such as +02:00.

    Args:
        period: `max`, `ytd`, or a number with d, wk, mo or y, counted back from the last bar (or from `end`) by the
            calendar: 60d are the last 60 times 24 hours, not 60 sessions.
        start: first day or moment, inclusive; stands instead of `period`.
        end: last day or moment, inclusive.

    Raises:
        UserError: not a period, not a date, or start after end.
    """

    def __init__(self, *, period: str | None, start: str | None, end: str | None) -> None:
        self.start = _moment("data.start", start)
        self.end = _moment("data.end", end)
        self._whole_days = tuple(text is None or set("T:").isdisjoint(str(text)) for text in (start, end))
        if self.start and self.end and self._crossed(self.start, self.end):
            raise UserError(f"data.start={start}: must not be after data.end={end}")
        if period not in (None, "max", "ytd") and not _PERIOD.fullmatch(str(period)):
            raise UserError(
                f"data.period={period}: must be max, ytd, or a number with d, wk, mo or y, such as 30d, 6mo, 10y"
            )
        self.period = period

    def _crossed(self, start: datetime, end: datetime) -> bool:
        if self._whole_days[1] or (start.tzinfo is None) != (end.tzinfo is None):
            return start.date() > end.date()
        return start > end

    @property
    def text(self) -> str:
        """What bounds it, as messages say it."""
        return ", ".join(f"data.{name}={self._shown(name)}" for name in ("start", "end"))

    def earliest(self, last: pd.Timestamp) -> pd.Timestamp | None:
        """The first moment that is asked for of bars whose last one is at a moment; None = all there are.

        Args:
            last: without a zone.
        """
        import pandas as pd

        if self.start:
            return pd.Timestamp(self.start.replace(tzinfo=None))
        if self.period in (None, "max"):
            return None
        if self.period == "ytd":
            return pd.Timestamp(year=last.year, month=1, day=1)
        match = _PERIOD.fullmatch(str(self.period))
        assert match is not None  # checked by __init__
        try:
            back: Any = {_UNITS[match["unit"]]: int(match["count"])}
            since: pd.Timestamp = last - pd.DateOffset(**back)
        except (ValueError, OverflowError):
            return None  # further back than dates go
        return since

    def cut(self, bars: pd.DataFrame, *, zone: str | None = None) -> pd.DataFrame:
        """Rows of the range; the table's own order and faults are left alone.

        Args:
            bars: a bar table.
            zone: of the market's clock, for intraday bars; None = days of the index as it stands.
        """
        import pandas as pd

        if self.end:
            end = self._in_utc(self.end, zone)
            if zone is not None and self._whole_days[1]:
                end = self._in_utc(self.end + timedelta(days=1), zone) - pd.Timedelta(1, "ns")
            bars = bars[bars.index <= end]
        if self.start:
            return bars[bars.index >= self._in_utc(self.start, zone)]
        if self.period in (None, "max") or bars.empty:
            return bars
        since = self.earliest(bars.index.max())
        if since is None:
            return bars
        return bars[bars.index >= since] if self.period == "ytd" else bars[bars.index > since]

    def _in_utc(self, moment: datetime, zone: str | None) -> pd.Timestamp:
        """A moment as it stands in an index: in UTC where there is a zone, else as written."""
        import pandas as pd

        stamp = pd.Timestamp(moment)
        if stamp.tzinfo is None and zone is not None:
            stamp = stamp.tz_localize(zone, nonexistent="shift_forward", ambiguous=True)
        return stamp if stamp.tzinfo is None else stamp.tz_convert("UTC").tz_localize(None)

    def _shown(self, name: str) -> str:
        moment: datetime | None = getattr(self, name)
        if moment is None:
            return "null"
        whole = self._whole_days[name == "end"]
        return moment.date().isoformat() if whole else moment.isoformat(timespec="minutes")


def _moment(key: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        raise UserError(f"{key}={text}: must be a date, YYYY-MM-DD, or a moment, YYYY-MM-DDTHH:MM") from None
