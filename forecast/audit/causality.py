"""Does a feature of day t change when the bars after t are taken away?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast.audit.finding import LeakError
from forecast.audit.markets import Until
from forecast.config import build
from forecast.data.series import rows
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from forecast.audit.subject import Subject
    from forecast.data.panel import Panel

# Early ones, where windows fill up, and an even spread; all rows before each are compared.
_EARLY = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
_SPREAD = 10
_DATA_CUTS = 3
# Bars a strategy may need before it can be computed at all.
_FEW = 60
# Sums of the same numbers in another order differ by this much of a column's size, and leak nothing.
_ROUNDING = 1e-9


def features_of_a_prefix(subject: Subject) -> str:
    """Features of bars up to t equal those of all bars up to t, also where the last bar is a day without trading.

    Raises:
        LeakError: one does not; names feature, ticker and the earliest date found.
    """
    cuts = 0
    too_few: dict[str, None] = {}
    for ticker, bars in subject.bars.items():
        cuts += _compare(subject, ticker, bars, too_few)
    named = f"{cuts} cuts, {len(subject.bars)} ticker(s), {len(subject.original.features.columns)} features"
    return "; ".join([named, *too_few])


def data_of_a_prefix(subject: Subject) -> str:
    """The panel (source, health check, strategy, scope together) of bars up to t equals that of all bars up to t.

    Raises:
        LeakError: it does not; names column, series and the earliest date found.
    """
    import numpy as np
    import pandas as pd

    calendar = subject.original.panel_.calendar_days
    places = np.linspace(len(calendar) * 0.4, len(calendar) - 2, _DATA_CUTS).astype(int)
    seen = []
    for place in places:
        day = pd.Timestamp(int(calendar[place]), unit="D")
        try:
            short = subject.data(Until(subject.source, day)).panel_
        except UserError:
            continue  # a ticker that has no bars yet, or ends early by then: nothing to compare
        _same_panel(subject.original.panel_, short, int(calendar[place]), subject.original.layout.names)
        seen.append(f"{day:%Y-%m-%d}")
    if not seen:
        raise UserError(
            "data: no day but the last has bars of every ticker before it, so no part of it can be compared; "
            "audit with fewer data.tickers"
        )
    return f"cut after {', '.join(seen)}"


def _compare(subject: Subject, ticker: str, bars: pd.DataFrame, too_few: dict[str, None]) -> int:
    """Compare at every cut, of the bars as they are and with a day without trading at the cut; how many cuts."""
    import numpy as np

    features, last = subject.config.data.features, len(bars) - 2
    cuts = sorted({*(cut for cut in _EARLY if cut <= last), *np.linspace(0, last, _SPREAD).astype(int)})
    as_they_are = rows(build(features), bars)
    for cut in cuts:
        flat = _without_trading(bars, cut)
        for table, what in ((bars, ""), (flat, " (a day without trading)")):
            try:
                prefix = rows(build(features), table.iloc[: cut + 1])
            except Exception as error:
                if cut >= _FEW:
                    raise
                # No leak: a strategy may need some history. It is told, since serving would meet it too.
                why = f"{type(error).__name__}: {' '.join(str(error).split())}"
                too_few.setdefault(f"raised on the first {cut + 1} bars ({why})", None)
                continue
            whole = as_they_are if table is bars else rows(build(features), table)
            found = _first_difference(whole.iloc[: cut + 1], prefix)
            if found is not None:
                row, column = found
                there, here = (float(t.to_numpy()[row, column]) for t in (whole, prefix))
                raise LeakError(
                    f"feature {whole.columns[column]} of {ticker} on {whole.index[row]:%Y-%m-%d} is "
                    f"{there:g}, but {here:g} when no bar after "
                    f"{bars.index[cut]:%Y-%m-%d}{what} is known: it looks ahead"
                )
    return 2 * len(cuts)


def _first_difference(whole: pd.DataFrame, prefix: pd.DataFrame) -> tuple[int, int] | None:
    """Row and column of the earliest value that differs."""
    import numpy as np

    a, b = whole.to_numpy(np.float64), prefix.to_numpy(np.float64)
    size = np.nanmax(np.abs(np.where(np.isfinite(a), a, np.nan)), axis=0, initial=0.0)  # (F,)
    with np.errstate(invalid="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= _ROUNDING * size)
    wrong = np.argwhere(~same)
    return (int(wrong[0][0]), int(wrong[0][1])) if len(wrong) else None


def _without_trading(bars: pd.DataFrame, cut: int) -> pd.DataFrame:
    """The bars with a flat one without volume at the cut: gaps are where a leak by filling shows."""
    flat = bars.copy()
    close = bars["Close"].iloc[max(cut - 1, 0)]
    flat.iloc[cut] = [0.0 if column == "Volume" else close for column in bars.columns]
    return flat


def _same_panel(whole: Panel, short: Panel, last_day: int, columns: list[str]) -> None:
    for name in short.names:
        a, b = _rows_of(whole, name, last_day), _rows_of(short, name, last_day)
        if list(a) != list(b):
            day = min(set(a) ^ set(b))
            raise LeakError(
                f"{name} on {_day(day)}: is a row or not depending on bars after {_day(last_day)}"
            )
        for day, values in a.items():
            if (values != b[day]).any():
                column = columns[int((values != b[day]).argmax())]
                raise LeakError(f"{column} of {name} on {_day(day)} depends on bars after {_day(last_day)}")


def _rows_of(panel: Panel, name: str, last_day: int) -> dict[int, np.ndarray]:
    """Rows of one series, by day, up to a day."""
    found = {}
    for owner, (start, stop) in zip(panel.series, panel.bounds, strict=True):
        if panel.names[owner] == name:
            for row in range(start, stop):
                if panel.days[row] <= last_day:
                    found[int(panel.days[row])] = panel.values[row]
    return found


def _day(number: int) -> str:
    from forecast.data.record import calendar_day

    return calendar_day(number)
