"""Trading sessions of an exchange: their days and hours, and by which calendar a ticker is traded."""

from __future__ import annotations

import difflib
import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# Asked of every calendar; some know less. Building one takes 0.3 s (XKRX: 4 s) for one year as for all.
_BEGIN, _END = "1900-01-01", "2099-12-31"
# Where a ticker is traded by its ending, as Yahoo and most vendors write it; without one, in New York.
_BY_SUFFIX = {
    **dict.fromkeys(("L", "IL"), "XLON"),
    **dict.fromkeys(("SS", "SZ"), "XSHG"),
    **dict.fromkeys(("KS", "KQ"), "XKRX"),
    **dict.fromkeys(("TW", "TWO"), "XTAI"),
    **dict.fromkeys(("NS", "BO"), "XBOM"),
    **dict.fromkeys(("TO", "V"), "XTSE"),
    "T": "XTKS", "DE": "XETR", "HK": "XHKG", "AX": "XASX", "NZ": "XNZE", "SI": "XSES", "KL": "XKLS", "BK": "XBKK",
    "JK": "XIDX",
    "PA": "XPAR", "AS": "XAMS", "BR": "XBRU", "LS": "XLIS", "MI": "XMIL", "MC": "XMAD", "SW": "XSWX",
    "ST": "XSTO", "OL": "XOSL", "CO": "XCSE", "HE": "XHEL", "VI": "XWBO", "IR": "XDUB", "WA": "XWAR",
    "IS": "XIST", "TA": "XTAE", "SR": "XSAU", "JO": "XJSE", "SA": "BVMF", "MX": "XMEX", "BA": "XBUE",
    "SN": "XSGO",
}  # fmt: skip
_INDICES = {
    **dict.fromkeys(("^GSPC", "^DJI", "^IXIC", "^NDX", "^RUT", "^VIX", "^OEX", "^NYA", "^TNX", "^IRX"), "XNYS"),
    **dict.fromkeys(("^BSESN", "^NSEI"), "XBOM"),
    "^AEX": "XAMS", "^AXJO": "XASX", "^BFX": "XBRU", "^BVSP": "BVMF", "^FCHI": "XPAR", "^FTSE": "XLON",
    "^GDAXI": "XETR", "^GSPTSE": "XTSE", "^HSI": "XHKG", "^IBEX": "XMAD", "^JKSE": "XIDX", "^KS11": "XKRX",
    "^MXX": "XMEX", "^N225": "XTKS", "^SSMI": "XSWX", "^STI": "XSES", "^TWII": "XTAI",
}  # fmt: skip


def sessions(calendar: str, first: pd.Timestamp | str, last: pd.Timestamp | str) -> pd.DatetimeIndex:
    """Every session from `first` to `last`, both included, as midnights without a zone (datetime64[ns]).

    Args:
        calendar: a name of exchange_calendars: XNYS, XLON, 24/7, ...
        first: a date; outside the calendar's reach nothing is known and nothing returned.
        last: a date; likewise.

    Raises:
        UserError: the calendar is unknown, or the library cannot build it.
    """
    import pandas as pd

    _, _, days = known_sessions(calendar)
    start, stop = pd.Timestamp(first).normalize(), pd.Timestamp(last).normalize()
    return days[days.searchsorted(start) : days.searchsorted(stop, side="right")]


def calendar_of(ticker: str) -> str | None:
    """The calendar of the exchange that a ticker's ending names; None where it names none that is known.

    `7203.T` is Tokyo's, `BTC-USD` is traded around the clock, `AAPL` and `^GSPC` are New York's.
    """
    name = ticker.upper()
    if name.endswith("-USD"):
        return "24/7"
    if name.endswith(("=F", "=X")):
        return "CMES" if name.endswith("=F") else "24/5"
    stem, dot, suffix = name.rpartition(".")
    if dot and stem:
        return _BY_SUFFIX.get(suffix)
    return _INDICES.get(name) if name.startswith("^") else "XNYS"


@functools.cache
def schedule(calendar: str) -> tuple[NDArray[Any], ...]:
    """Every session of a calendar: its day, and when it opens, closes, and its break begins and ends.

    Returns:
        five arrays (sessions,): datetime64[ns] midnights; int64 ns since 1970 in UTC, NaT's where there is no break.

    Raises:
        UserError: the calendar is unknown, or the library cannot build it.
    """
    import pandas as pd

    _, _, built = _built(calendar)

    def utc(times: pd.Series) -> NDArray[np.int64]:
        return pd.DatetimeIndex(times).tz_localize(None).as_unit("ns").asi8

    breaks = (built.schedule["break_start"], built.schedule["break_end"])
    return _days(built.sessions).to_numpy(), utc(built.opens), utc(built.closes), *map(utc, breaks)


@functools.cache
def zone_of(calendar: str) -> str:
    """The zone of a market's clock, an IANA name."""
    _, _, built = _built(calendar)
    return str(built.tz.key)


@functools.cache
def weekmask_of(calendar: str) -> str:
    """On which weekdays a market is open, Monday first: "1111100"."""
    _, _, built = _built(calendar)
    return str(built.weekmask)


def reach(calendar: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last day about which the calendar says anything."""
    begin, end, _ = known_sessions(calendar)
    return begin.to_datetime64(), end.to_datetime64()


def check_calendar(calendar: str, *, key: str) -> None:
    """Refuse an unknown calendar.

    Args:
        calendar: any name.
        key: the config key to name.

    Raises:
        UserError: exchange_calendars has no such calendar; names the nearest.
    """
    with warnings.catch_warnings():
        _ignore_pandas_notice()
        import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=True)
    if calendar in names:
        return
    near = difflib.get_close_matches(str(calendar).upper(), names, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else "known are XNYS, XLON, XTKS, 24/7 and a hundred more"
    raise UserError(f"{key}={calendar}: exchange_calendars has no such calendar; {hint}")


def check_zone(key: str, zone: str | None) -> None:
    """Refuse a name that is no time zone.

    Raises:
        UserError: names the nearest.
    """
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        names = available_timezones()
        near = difflib.get_close_matches(zone, names, n=2, cutoff=0.5)
        near += [name for name in sorted(names) if zone.casefold() in name.casefold()][:2]
        hint = f"; nearest: {', '.join(dict.fromkeys(near))}" if near else ""
        raise UserError(f"{key}={zone}: is no time zone such as Europe/Paris or UTC{hint}") from None


@functools.cache
def known_sessions(calendar: str) -> tuple[pd.Timestamp, pd.Timestamp, pd.DatetimeIndex]:
    """First and last day the calendar knows, and every session between them."""
    begin, end, built = _built(calendar)
    return begin, end, _days(built.sessions)


@functools.cache
def planned_sessions(calendar: str) -> tuple[pd.Timestamp, pd.Timestamp, pd.DatetimeIndex]:
    """First and last day the calendar knows, and every day between them on which the exchange meant to open.

    Days it was closed on for once (2001-09-11, a hurricane, a funeral) are among them: the day before, nobody knew.
    exchange_calendars lists them as ad-hoc holidays; where it lists moving feasts so too (XSHG, XHKG, XBOM), these
    are among them as well.
    """
    import pandas as pd

    begin, end, built = _built(calendar)
    with warnings.catch_warnings():
        _ignore_pandas_notice()
        closed = _days([pd.Timestamp(day).tz_localize(None) for day in built.adhoc_holidays])
    weekdays = [number for number, works in enumerate(built.weekmask) if works == "1"]
    closed = closed[closed.day_of_week.isin(weekdays) & (closed >= begin) & (closed <= end)]
    return begin, end, _days(built.sessions).union(closed.unique())


def _days(dates: Sequence[pd.Timestamp] | pd.DatetimeIndex) -> pd.DatetimeIndex:
    import numpy as np
    import pandas as pd

    return pd.DatetimeIndex(np.asarray(dates, dtype="datetime64[ns]"))


@functools.cache
def _built(calendar: str) -> tuple[pd.Timestamp, pd.Timestamp, Any]:
    """First and last day the calendar knows, and exchange_calendars' own object."""
    import pandas as pd

    check_calendar(calendar, key="calendar")
    import exchange_calendars

    build = exchange_calendars.get_calendar
    begin, end = pd.Timestamp(_BEGIN), pd.Timestamp(_END)
    with warnings.catch_warnings():
        _ignore_pandas_notice()
        try:
            try:
                built = build(calendar, start=begin, end=end)
            except ValueError:  # a calendar with bounds of its own; only a built one has them
                rules = build(calendar)
                begin = max(begin, rules.bound_min() or begin)
                end = min(end, rules.bound_max() or end)
                built = build(calendar, start=begin, end=end)
        except (ValueError, NotImplementedError) as error:
            # exchange_calendars 4.13 with pandas 3.1: ASEX, XBEL, XBSE, XCYS and XTAE.
            raise UserError(
                f"calendar {calendar}: exchange_calendars {exchange_calendars.__version__} cannot build it "
                f"with pandas {pd.__version__} ({type(error).__name__})"
            ) from None
    return begin, end, built


def _ignore_pandas_notice() -> None:
    """exchange_calendars 4.13 uses what pandas 4 will change; the notice is for its authors."""
    from pandas.errors import Pandas4Warning

    warnings.simplefilter("ignore", category=Pandas4Warning)
