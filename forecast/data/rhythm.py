"""Which bars these are: their own rhythm held against an interval and a calendar, and the calendar that fits."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data import calendars, grid, naming
from forecast.data.bars import INTERVALS, MINUTES, Interval
from forecast.data.grid import Hours
from forecast.data.timing import Bars
from forecast.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[Any]  # datetime64[ns]

log = logging.getLogger(__name__)

# Fewer bars show no rhythm.
_FEW = 15
# A share of bars on days when the market is closed, or of sessions without a bar, that is no accident.
BULK = 0.2
# Likewise, that makes another calendar worth a look: a year has a dozen holidays.
_DOUBTFUL = 0.02
# Likewise of a calendar that nobody named: a day or two a year are another country's holidays.
_HOLIDAYS = 0.004
# Likewise of weeks and months, above which no calendar that nobody named is taken.
_TOLD = 0.05
# Another calendar is better by at least so much.
_CLEARLY = 0.01
# Sessions, the newest, that show where in a session bars begin.
_SHOWN = 60
# Of the regular hours of a market, bars stand in at least so many, or they are of another market.
_COVERED = 0.6
# Tried where bars do not follow the calendar that they were taken for; New York first, where two fit alike.
_WELL_KNOWN = (
    "XNYS", "XLON", "XPAR", "XETR", "XTKS", "XHKG", "BVMF", "XASX", "XTSE", "XSHG", "XBOM", "XSWX", "XMIL", "XMAD",
    "XSTO", "XTAI", "XSES", "XJSE", "XMEX", "CMES", "24/5",
)  # fmt: skip
_SUNDAY_TO_THURSDAY = ("XSAU",)
# Clocks by which vendors of currencies count their week.
_CURRENCY_ZONES = (grid.CURRENCY_ZONE, "UTC", "Europe/London")
# What a day is called in a message, Monday first.
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, kw_only=True)
class FoundBars:
    """Interval, calendar and naming that were found for bars.

    Args:
        bars: their interval and market.
        why: how that is known: "XSAU, by the ticker's ending".
        warnings: where bars and calendar disagree, in sentences; whoever shows a date must say them.
    """

    bars: Bars
    why: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How well bars and a calendar agree.

    Args:
        closed: share of bars outside of the sessions.
        missing: share of sessions without a bar.
        covered: share of the regular hours in which bars stand; 1 for days.
        regular: how well the times of day agree, 1 where the newest bars are all there are to be and no others.
        bars: as they are by this calendar.
    """

    bars: Bars
    closed: float = 0.0
    missing: float = 0.0
    covered: float = 1.0
    regular: float = 1.0

    @property
    def contradicts(self) -> bool:
        return self.closed >= BULK or self.covered < _COVERED

    @property
    def score(self) -> float:
        return (1.0 - self.closed) * (1.0 - self.missing) * self.covered * self.regular


def find_bars(
    ticker: str,
    times: Times,
    *,
    interval: Interval,
    calendar: str | None,
    assumed: str | None = None,
    zone: str | None = None,
    key: str = "data.calendar",
) -> FoundBars:
    """Find the calendar of bars and where in a session they begin.

    Args:
        ticker: whose they are.
        times: (bars,) of the bars, as a bar table's index has them.
        interval: what a bar spans.
        calendar: `auto`: by the ticker's ending, or as the bars' own rhythm shows; `none`: the bars' own weekdays; or
            exchange_calendars' name. None: `assumed`, as configs of earlier versions have it.
        assumed: the calendar to begin with; None = as `calendar` says.
        zone: of the market's clock, where the source knows it.
        key: of the config that `calendar` comes from.

    Raises:
        UserError: the bars are of another interval, or contradict the calendar that was named.
    """
    times = times.astype("datetime64[ns]", copy=False)
    if not (times[1:] > times[:-1]).all():
        times = np.unique(times)
    _check_interval(ticker, times, interval)
    found = _find(ticker, times, interval, calendar, assumed, zone, key)
    if found.bars.interval not in ("1wk", "1mo"):
        return found
    naming.check_last(ticker, times, found.bars)
    open_ = naming.doubt(times, found.bars)
    why = f"{found.why}, each named by {naming.words(found.bars.naming)}"
    return replace(found, why=why, warnings=(*found.warnings, *([f"{ticker}: {open_}"] if open_ else [])))


def _find(
    ticker: str,
    times: Times,
    interval: Interval,
    calendar: str | None,
    assumed: str | None,
    zone: str | None,
    key: str,
) -> FoundBars:
    if calendar == "none" or (calendar is None and assumed is None):
        own = _by_weekdays(times, interval, zone, legacy=calendar is None)
        risk = (
            "a next date may be a day off"
            if own.naming in ("first", "last")
            else "a closed one has a date, too"
        )
        unsure = (
            f"{ticker}: {own.label}s are named by {naming.words(own.naming)}, and without a calendar holidays are not "
            f"known: {risk}"
        )
        why = f"no calendar; {_mask_words(own.weekmask)}"
        return FoundBars(bars=own, why=why, warnings=(unsure,) if interval in ("1wk", "1mo") else ())
    if calendar not in (None, "auto"):
        return _named(ticker, times, str(calendar), interval, zone, key)
    name = assumed or calendars.calendar_of(ticker)
    if name is None:
        return _search(times, interval, zone, tried=None)
    by = "as set" if assumed else _by_ending(ticker)
    sure = assumed is not None or by != _PLAIN
    try:
        fit = _fit(times, name, interval)
    except UserError as error:
        note = f"{error}; the next bars follow the bars' own weekdays, holidays are not known"
        return _own_weekdays(times, interval, zone, note)
    most = 0.0 if interval in ("1wk", "1mo") else _DOUBTFUL  # a holiday names few weeks, and none elsewhere
    if not fit.contradicts and (fit.closed <= most or sure) and fit.missing < BULK:
        if not _reaches(name, times):
            note = (
                f"calendar {name} does not reach {times[-1].astype('datetime64[D]')}, the last bar; the next bars "
                "follow the bars' own weekdays, holidays are not known"
            )
            return _own_weekdays(times, interval, zone, note)
        doubt = (f"{ticker}: {_disagreement(fit, name, interval)}",) if fit.closed > _DOUBTFUL else ()
        return FoundBars(bars=fit.bars, why=f"{name}, {by}", warnings=doubt)
    found = _search(times, interval, zone, tried=name)
    if sure and not fit.contradicts and found.bars.calendar == name:
        return found
    if sure or fit.contradicts:
        reason = f"taken for {name} {by}, but {_disagreement(fit, name, interval)}"
        return replace(found, warnings=(f"{ticker}: {reason}; now {found.why}", *found.warnings))
    return found


_PLAIN = "as a ticker without an ending"


def _by_ending(ticker: str) -> str:
    name = ticker.upper()
    plain = "." not in name and not name.startswith("^") and not name.endswith(("-USD", "=X", "=F"))
    return _PLAIN if plain else "by the ticker's name"


def _named(ticker: str, times: Times, name: str, interval: Interval, zone: str | None, key: str) -> FoundBars:
    """The calendar that was asked for; bars that contradict it are refused."""
    try:
        fit = _fit(times, name, interval)
    except UserError as error:
        raise UserError(f"{key}={name}: {error}; data.calendar=none goes by the bars' own weekdays") from None
    warnings = []
    if fit.contradicts or fit.missing >= BULK:
        better = _search(times, interval, zone, tried=name)
        other = better.bars.calendar
        says = _disagreement(fit, name, interval)
        if fit.contradicts or (other not in (None, name) and _fit(times, str(other), interval).score > 0.95):
            way = (
                f"data.calendar={other or 'none'} fits"
                if other != name
                else "data.calendar=none goes by the bars"
            )
            raise UserError(f"{key}={name}: {ticker}: {says}; {way}")
        warnings = [f"{ticker}: {says}; the next bar is that of its next session"]
    elif fit.closed > _DOUBTFUL:
        better = _search(times, interval, zone, tried=name)
        fits = f"; {better.bars.calendar} fits better" if better.bars.calendar not in (None, name) else ""
        warnings = [f"{ticker}: {_disagreement(fit, name, interval)}{fits}"]
    return FoundBars(bars=fit.bars, why=f"{name}, as set", warnings=tuple(warnings))


def _search(times: Times, interval: Interval, zone: str | None, *, tried: str | None) -> FoundBars:
    """The well known calendar that bars fit best; without one that fits, their own weekdays."""
    fits: dict[str, _Fit] = {}
    for name in dict.fromkeys([*([tried] if tried else []), *_candidates(times, interval, zone)]):
        if name != tried and not _reaches(name, times[-_FEW : -_FEW + 1]):
            continue
        try:
            fits[name] = _fit(times, name, interval)
        except UserError:
            continue  # one that this version of the library cannot build
    best = max(fits, key=lambda name: fits[name].score, default=None)
    if tried in fits and best is not None and fits[best].score < fits[tried].score + _CLEARLY:
        best = tried
    most = _TOLD if interval in ("1wk", "1mo") else BULK
    if best is None or fits[best].contradicts or fits[best].closed > most or not _reaches(best, times):
        note = "no calendar fits the bars; the next ones follow their own weekdays, holidays are not known"
        return _own_weekdays(times, interval, zone, note)
    fit = fits[best]
    warnings: tuple[str, ...] = ()
    if fit.missing >= BULK:
        warnings = (f"{100 * fit.missing:.0f} % of the sessions of {best} have no bar",)
    guessed = interval == "1d" and best != tried
    alike = [name for name in fits if name != best and fits[name].score > fit.score - 1e-9]
    if interval in ("1wk", "1mo") and best != tried and alike:
        warnings = (
            f"{', '.join([best, *alike[:3]])} fit the bars alike; data.calendar=NAME says which it is",
        )
    elif max(fit.closed, fit.missing if guessed else 0.0) > (_HOLIDAYS if guessed else _DOUBTFUL):
        warnings = (f"{_disagreement(fit, best, interval)}; data.calendar=NAME names another",)
    return FoundBars(
        bars=fit.bars,
        why=f"{best}, by the bars' own rhythm",
        warnings=warnings,
    )


def _candidates(times: Times, interval: Interval, zone: str | None) -> Sequence[str]:
    """Calendars worth a look, by the weekdays on which there are bars and the source's zone."""
    days = _weekmask(times) if interval in (*MINUTES, "1d") else grid.WEEKDAYS
    if days[5] == "1":
        return ("24/7",)
    if interval in MINUTES and _around_the_clock(times):
        return ("24/5", "CMES", "24/7")
    if days[6] == "1" and days[4] == "0":
        return _SUNDAY_TO_THURSDAY
    names = [name for name in _WELL_KNOWN if not (interval in MINUTES and name in ("24/5", "CMES"))]
    same = [name for name in names if zone is not None and name != "24/5" and calendars.zone_of(name) == zone]
    return same or (names if interval in (*MINUTES, "1d") else [*names, *_SUNDAY_TO_THURSDAY])


def _around_the_clock(times: Times) -> bool:
    """Whether bars stand in nearly all hours of the day."""
    return len(np.unique(times.astype(np.int64) // grid.MINUTE // 60 % 24)) >= 21


def _fit(times: Times, name: str, interval: Interval) -> _Fit:
    """How well bars agree with a calendar."""
    begin, end = calendars.reach(name)
    inside = times[(times >= begin) & (times < end + np.timedelta64(1, "D"))]
    bars = Bars(interval=interval, calendar=name)
    if interval in ("1wk", "1mo"):
        bars.naming, share = naming.naming_of(inside, bars)
        return _Fit(bars=bars, closed=1.0 - share)
    if len(inside) < _FEW:
        return _Fit(bars=bars)
    if interval in MINUTES:
        zones = _CURRENCY_ZONES if name == "24/5" else (bars.zone,)
        return max((_fit_intraday(inside, bars, zone) for zone in zones), key=lambda fit: fit.score)
    sessions = calendars.sessions(name, str(inside[0])[:10], str(inside[-1])[:10]).to_numpy()
    hit = np.isin(inside, sessions).sum()
    return _Fit(bars=bars, closed=1.0 - hit / len(inside), missing=1.0 - hit / max(len(sessions), 1))


def _fit_intraday(times: Times, bars: Bars, zone: str) -> _Fit:
    """Hours that the newest bars keep, and how all of them agree with the days."""
    step = bars.step
    if bars.calendar == "24/7":
        phase = times.astype(np.int64) % step
        _, counts = np.unique(phase, return_counts=True)
        expected = (times[-1] - times[0]).astype(np.int64) // step + 1
        missing = max(0.0, 1.0 - len(times) / expected)
        return _Fit(bars=bars, closed=1.0 - counts.max() / len(times), missing=missing)
    sessions = grid.sessions_of(bars.calendar, grid.WEEKDAYS, zone)
    days = _session_days(times, sessions, zone)
    seen = np.unique(days)
    first, last = sessions.days.searchsorted(seen[0]), sessions.days.searchsorted(seen[-1], side="right")
    missing = 1.0 - len(seen) / max(last - first, 1)
    far = np.abs((times - days).astype(np.int64)) > 2 * grid.DAY
    # The hours, by the newest sessions.
    recent = sessions.days[max(first, last - _SHOWN)]
    newest = times[days >= recent]
    until = sessions.days[min(last, len(sessions.days) - 1)]  # evenings may be those of the next session
    hours, regular, outside = _best_hours(newest, sessions, step, zone, recent, until)
    every, _ = grid.session_bars(
        sessions, step=step, hours=Hours("through"), zone=zone, first=recent, last=until
    )
    begins = newest - np.timedelta64(step * hours.end, "ns")
    day_long = (sessions.closes[last - 1] - sessions.opens[last - 1]) > 20 * 60 * grid.MINUTE
    return _Fit(
        bars=Bars(interval=bars.interval, calendar=bars.calendar, zone=zone, hours=hours),
        closed=1.0 if _around_the_clock(times) and not day_long else max(float(far.mean()), outside),
        missing=missing,
        covered=_covered(begins, every, step, zone),
        regular=regular,
    )


def _session_days(times: Times, sessions: grid.Sessions, zone: str) -> Times:
    """(bars,) the session of each: that of its local date, or the next one."""
    dates = grid.to_local(times, zone).astype("datetime64[D]").astype("datetime64[ns]")
    place = np.minimum(sessions.days.searchsorted(dates), len(sessions.days) - 1)
    return np.asarray(sessions.days[place])


def _best_hours(
    times: Times, sessions: grid.Sessions, step: int, zone: str, first: Any, last: Any
) -> tuple[Hours, float, float]:
    """Where bars begin, how well that agrees (2 hits / both numbers), and the share of bars that stands elsewhere."""
    learned = grid.learn_slots(times, sessions, zone)
    stamps = times.astype(np.int64)
    best, best_score, outside = learned, -1.0, 1.0
    ways = [Hours(align, end) for end in (False, True) for align in ("open", "through", "clock")]
    for hours in (*ways, learned):
        bars, _ = grid.session_bars(sessions, step=step, hours=hours, zone=zone, first=first, last=last)
        bars = bars[(bars >= stamps[0]) & (bars <= stamps[-1])]  # the first and last session may be cut
        hit = int(np.isin(stamps, bars).sum())
        score = 2 * hit / (len(stamps) + len(bars)) - (0.02 if hours is learned else 0.0)
        if score > best_score + 1e-9:
            best, best_score, outside = hours, score, 1.0 - hit / len(stamps)
    return best, best_score, outside


def _covered(times: Times, regular: NDArray[np.int64], step: int, zone: str) -> float:
    """Share of the times of day of regular bars at which, give or take a bar, there are bars."""
    if not len(regular):
        return 0.0

    def clock(moments: Times) -> NDArray[np.int64]:
        return np.unique(grid.to_local(moments, zone).astype(np.int64) % grid.DAY // grid.MINUTE)

    theirs, ours = clock(regular.view("datetime64[ns]")), clock(times)
    width = step // grid.MINUTE
    near = np.abs(theirs[:, None] - ours[None, :])
    near = np.minimum(near, 1440 - near).min(axis=1)
    return float((near < max(width, 1)).mean())


def _by_weekdays(times: Times, interval: Interval, zone: str | None, *, legacy: bool = False) -> Bars:
    """Bars without a calendar: on the weekdays on which they stand."""
    shows = interval in (*MINUTES, "1d") and len(times) >= _FEW
    mask = _weekmask(times) if shows else grid.WEEKDAYS
    if interval in ("1wk", "1mo") and len(times) >= _FEW:
        mask = naming.weekdays_of(times, interval)
    if legacy and interval == "1d" and mask != grid.WEEKDAYS and mask.count("1") < 5:
        mask = grid.WEEKDAYS  # a few bars, not a market's habit
    zone = zone or "UTC"
    hours = None
    if interval in MINUTES and len(times) >= _FEW:
        hours = grid.learn_slots(times, grid.sessions_of(None, mask, zone), zone)
    bars = Bars(interval=interval, weekmask=mask, zone=zone, hours=hours)
    bars.naming, _ = naming.naming_of(times, bars)
    return bars


def _own_weekdays(times: Times, interval: Interval, zone: str | None, note: str) -> FoundBars:
    bars = _by_weekdays(times, interval, zone)
    return FoundBars(bars=bars, why=f"no calendar; {_mask_words(bars.weekmask)}", warnings=(note,))


def _weekmask(times: Times) -> str:
    """Weekdays that have bars about as often as others do, Monday first."""
    days = np.unique(times.astype("datetime64[D]"))
    counts = np.bincount((days.astype(np.int64) + 3) % 7, minlength=7)
    mask = "".join("1" if count >= 0.3 * counts.max() else "0" for count in counts)
    return mask if "1" in mask else grid.WEEKDAYS


def _mask_words(mask: str) -> str:
    if mask == grid.WEEKDAYS:
        return "Monday to Friday"
    if mask == grid.ALL_DAYS:
        return "every day"
    if mask == "1111001":
        return "Sunday to Thursday"
    return ", ".join(name for name, on in zip(_NAMES, mask, strict=True) if on == "1")


def _reaches(name: str, times: Times) -> bool:
    begin, end = calendars.reach(name)
    return bool(begin <= times[-1] < end) if len(times) else True


def _disagreement(fit: _Fit, name: str, interval: Interval) -> str:
    if fit.covered < _COVERED:
        return f"its bars stand in {100 * fit.covered:.0f} % of the hours in which {name} trades"
    if interval in ("1wk", "1mo"):
        return f"{100 * fit.closed:.0f} % of its bars are not dated by the sessions of {name}"
    if fit.closed >= BULK or fit.closed >= fit.missing:
        what = "of times" if interval in MINUTES else "of days"
        return f"{100 * fit.closed:.0f} % of its bars are {what} when {name} is closed"
    return f"{100 * fit.missing:.0f} % of the sessions of {name} have no bar"


def _check_interval(ticker: str, times: Times, interval: Interval) -> None:
    """Refuse bars that are of another interval, or of two."""
    if len(times) < _FEW:
        return
    steps = np.diff(times).astype(np.int64) // grid.MINUTE
    blocks = [own for own in np.array_split(steps, 20) if len(own) >= 10] or [steps]
    kinds = [_spans(own) for own in blocks]
    classes = [_class(minutes) for minutes in kinds]
    if len(set(classes)) > 1 and min(classes.count(one) for one in set(classes)) >= 0.1 * len(classes):
        change = next(place for place in range(1, len(classes)) if classes[place] != classes[place - 1])
        row = sum(len(own) for own in blocks[:change])
        raise UserError(
            f"{ticker}: its bars are of two intervals: {_words(kinds[change - 1])} until about "
            f"{str(times[row])[:10]}, {_words(kinds[change])} after; split the file, or cut it with data.start and "
            "data.end"
        )
    own, wanted = _spans(steps), _minutes(interval)
    named = _named_interval(own)
    if named == interval or own == wanted or (steps == wanted).sum() >= 0.8 * (steps == own).sum():
        return
    # Thin trading leaves bars out here and there; bars of a coarser interval are all apart by a multiple of it.
    coarser = own > wanted
    thin = named is None and _class(own) == _class(wanted)
    if coarser and thin and (interval not in MINUTES or (steps % own == 0).mean() < 0.9):
        return
    use = (
        f"use data.interval={named}"
        if named
        else f"intervals are {', '.join(INTERVALS)}: convert the bars to one"
    )
    if coarser:
        raise UserError(f"data.interval={interval}: is finer than the bars; {ticker}: {_words(own)}; {use}")
    more = f", and data.resample={interval} to make {interval} bars of them" if named else ""
    raise UserError(
        f"data.interval={interval}: is coarser than the bars; {ticker}: {_words(own)}; {use}{more}"
    )


def _spans(steps: NDArray[np.int64]) -> int:
    """The usual distance of bars, minutes: the most frequent one."""
    return int(np.bincount(np.minimum(steps, 60 * 1440)).argmax())


def _minutes(interval: Interval) -> int:
    return {"1d": 1440, "1wk": 7 * 1440, "1mo": 30 * 1440}.get(interval) or MINUTES[interval]


def _named_interval(minutes: int) -> Interval | None:
    """The interval whose bars are so many minutes apart."""
    days = minutes / 1440
    if 27 <= days <= 32:
        return "1mo"
    return next((name for name in INTERVALS if _minutes(name) == minutes and name != "1mo"), None)


def _class(minutes: int) -> str:
    if minutes < 1000:
        return "intraday"
    return "day" if minutes < 5 * 1440 else "week" if minutes < 20 * 1440 else "month"


@functools.cache
def _words(minutes: int) -> str:
    if minutes < 1000:
        count, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
        return f"bars of {count} {unit}{'s' * (count != 1)}"
    days = round(minutes / 1440)
    names = {1: "daily bars", 7: "weekly bars"}
    return names.get(days) or ("monthly bars" if 27 <= days <= 32 else f"bars {days} days apart")
