"""Checks of bars before anything is fitted to them: what is wrong, and what the config says to do about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

from annotated_types import Ge, Gt

from forecast.data import calendars
from forecast.data.bars import COLUMNS
from forecast.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.faults import Columns, Dates, Finding
    from forecast.data.timing import Bars

log = logging.getLogger(__name__)

Policy = Literal["error", "drop", "keep"]
Action = Literal["dropped", "kept", "sorted"]

# Kinds that no bar can be left out for.
_NOT_DROPPED = ("splits", "copied_opens", "shifted", "sessions")
# Kinds that are kept unless a policy is set, although a forecast suffers: said wherever bars are read.
_WARNED = ("splits", "copied_opens")
# Of one kind and ticker; one more sums up the rest, so that the record of a bad panel stays short.
_MOST_RECORDS = 5


@dataclass(frozen=True)
class Fault:
    """One thing that was found and let pass: what it was and what was done."""

    ticker: str
    date: str | None  # YYYY-MM-DD; None where it sums up several days
    kind: str  # the key under data.health that decided
    detail: str
    action: Action


class HealthCheck:
    """Checks bars by one policy a kind of fault.

    `error` refuses the run, `drop` leaves the bar out, `keep` leaves it in; the last two are recorded.
    Nothing is ever changed inside a bar, and no bar is checked against later ones. Kinds are looked at in the order
    duplicates, order, prices, high_low, splits, jumps, stale, copied_opens, each among the bars the earlier ones left.

    Args:
        calendar: `auto`: that of data.calendar; or exchange_calendars' name; None = sessions are not looked at.
        prices: prices that are no positive number, volumes that are no number of 0 or more.
        high_low: High below Low, or Open or Close outside of them; float32 rounding (1e-6) passes.
        duplicates: a second bar of one day; drop keeps the first received.
        order: days not ascending; drop sorts them.
        splits: prices that fall to a half, a third, ... a fiftieth overnight, or rise so, and stay there: a split that
            they were not adjusted for. Prices with an Adj Close that says otherwise are not looked at. None = error
            where it would be a jump as well, else keep, with a warning.
        jumps: a price above `jump_factor` times, or below a `jump_factor`-th of, the last good Close.
        stale: five or more bars alike in a row, the volume the same or 0; drop keeps the first four.
        copied_opens: nearly every Open is the Close before it. None = keep, with a warning.
        shifted: days that are all one before, or after, those of the exchange that the ticker's name tells.
        sessions: days on which the exchange was open but there is no bar, or the other way round.
        ends_early: a ticker whose last bar is more than `ends_early_days` before the latest ticker's; drop
            leaves the ticker out. None = keep in a panel, else error: a panel without the shares that were
            delisted since would look better than it was.
        jump_factor: of `jumps`.
        ends_early_days: of `ends_early`, calendar days.

    Raises:
        UserError: no such calendar or policy.
    """

    def __init__(
        self,
        *,
        calendar: str | None = "auto",
        prices: Policy = "error",
        high_low: Policy = "error",
        duplicates: Policy = "error",
        order: Policy = "error",
        splits: Literal["error", "keep"] | None = None,
        jumps: Policy = "error",
        stale: Policy = "keep",
        copied_opens: Literal["error", "keep"] | None = None,
        shifted: Literal["error", "keep"] = "error",
        sessions: Literal["error", "keep"] = "keep",
        ends_early: Policy | None = None,
        jump_factor: Annotated[float, Gt(1)] = 20,
        ends_early_days: Annotated[int, Ge(0)] = 30,
    ) -> None:
        if calendar not in (None, "auto"):
            calendars.check_calendar(str(calendar), key="data.health.calendar")
        self.calendar = calendar
        self.market: Bars | None = None
        self.policies: dict[str, str | None] = {
            "duplicates": duplicates,
            "order": order,
            "prices": prices,
            "high_low": high_low,
            "splits": splits,
            "jumps": jumps,
            "stale": stale,
            "copied_opens": copied_opens,
            "shifted": shifted,
            "sessions": sessions,
            "ends_early": ends_early,
        }
        for kind, policy in self.policies.items():
            allowed = ("error", "keep") if kind in _NOT_DROPPED else get_args(Policy)
            if policy not in allowed and not (policy is None and kind in ("ends_early", *_WARNED)):
                rule = "error or keep" if kind in _NOT_DROPPED else "error, drop or keep"
                raise UserError(f"data.health.{kind}={policy}: must be {rule}")
        self.jump_factor = jump_factor
        self.ends_early_days = ends_early_days

    def for_market(self, market: Bars) -> Self:
        """The same checks of bars of a market, which says what is missing."""
        other = copy(self)
        other.market = market
        return other

    def check(self, ticker: str, bars: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
        """The bars that may be used, and what was found and let pass.

        Args:
            ticker: named in messages.
            bars: as a Source delivers them; the very table comes back where nothing is dropped or sorted.

        Raises:
            UserError: faults whose policy is error, all kinds in one line; or no bar is left.
        """
        if list(bars.columns) != list(COLUMNS):
            raise UserError(
                f"{ticker}: its source delivers {list(bars.columns)} where {list(COLUMNS)} must be"
            )
        if bars.empty:
            raise UserError(f"{ticker}: holds no bars")
        findings, policies, rows = self._findings(ticker, bars)
        if refused := {kind: found for kind, found in findings.items() if policies[kind] == "error"}:
            raise _refusal(ticker, refused)
        for kind in _WARNED:
            if kind in findings and bars.attrs.get("adjusted") is None and self.policies[kind] is None:
                log.warning("%s: %s; %s", ticker, findings[kind].first, findings[kind].advice)
        passed = [
            Fault(ticker, date, kind, detail, _action(kind, policies[kind]))
            for kind, found in findings.items()
            for date, detail in found.records(_MOST_RECORDS)
        ]
        if not rows.size:
            reasons = "; ".join(
                f"{fault.kind}: {fault.detail}" for fault in passed if fault.action == "dropped"
            )
            raise UserError(
                f"{ticker}: data.health drops each of its {len(bars)} bars ({reasons}); look at the source"
            )
        untouched = all(policies[kind] == "keep" for kind in findings)
        return (bars if untouched else bars.iloc[rows]), passed

    def _findings(
        self, ticker: str, bars: pd.DataFrame
    ) -> tuple[dict[str, Finding], dict[str, str | None], NDArray[np.intp]]:
        """What is wrong with bars by kind, the policy of each kind, and the rows that are left."""
        import numpy as np

        from forecast.data import faults

        dates = bars.index.to_numpy().astype("datetime64[ns]", copy=False)
        columns = np.ascontiguousarray(bars.to_numpy(np.float64).T)  # [5, N]
        rows = np.arange(len(dates))
        findings: dict[str, Finding] = {}
        policies = {**self.policies, "copied_opens": self.policies["copied_opens"] or "keep"}
        # Whether prices were brought to an Adj Close that ever differs from Close; None = the source has none.
        adjusted = bool(bars.attrs.get("adjusted"))
        jumps = partial(faults.jumps, factor=self.jump_factor)
        looks: dict[str, Callable[[Dates, Columns], Finding | None]] = {
            "duplicates": faults.duplicates,
            "order": faults.order,
            "prices": partial(faults.prices, adjusted=adjusted),
            "high_low": faults.high_low,
            **({} if adjusted else {"splits": faults.splits}),
            "jumps": lambda *bars: jumps(
                *bars, levels=found.days if (found := findings.get("splits")) else None
            ),
            "stale": faults.stale,
        }
        if calendars.calendar_of(ticker) not in ("24/7", "24/5"):
            looks["copied_opens"] = faults.copied_opens
        with np.errstate(invalid="ignore", over="ignore"):  # bars at fault may hold anything
            for kind, look in looks.items():
                if (finding := look(dates, columns)) is None:
                    continue
                findings[kind] = finding
                if policies[kind] is None:  # a split that would be a jump is treated as one
                    far = jumps(dates, columns) is not None
                    policies[kind] = "error" if far and policies["jumps"] == "error" else "keep"
                # Where an error is due the bar is left out too: it would spoil what is said of others.
                if policies[kind] != "keep" and finding.rest is not None:
                    dates, columns, rows = dates[finding.rest], columns[:, finding.rest], rows[finding.rest]
        dates = np.sort(bars.index.to_numpy().astype("datetime64[ns]", copy=False))
        others = {"shifted": self._shifted(ticker, dates), "sessions": self._off_sessions(dates)}
        findings |= {kind: finding for kind, finding in others.items() if finding is not None}
        return findings, policies, rows

    def check_ends(
        self, last_dates: Mapping[str, pd.Timestamp], *, panel: bool = False
    ) -> tuple[set[str], list[Fault]]:
        """The tickers to leave out because their bars end long before the others', and what was found.

        Args:
            last_dates: day of each ticker's last bar.
            panel: whether each ticker is forecast by itself, so that one may end early.

        Raises:
            UserError: there are such tickers, and the policy is error.
        """
        if not last_dates:
            return set(), []
        leader = max(last_dates, key=lambda ticker: last_dates[ticker])
        details = {
            ticker: f"last bar {gap} days before {leader}'s of {str(last_dates[leader])[:10]}"
            for ticker, last in last_dates.items()
            if (gap := (last_dates[leader] - last).days) > self.ends_early_days
        }
        if not details:
            return set(), []
        policy = self.policies["ends_early"] or ("keep" if panel else "error")
        if policy == "error":
            first, *others = details
            more = f" (likewise {', '.join(others[:5])}{', ...' * (len(others) > 5)})" if others else ""
            raise UserError(
                f"{first}: {str(last_dates[first])[:10]}: {details[first]}{more}; mend the source where bars are "
                "missing, set an earlier data.end, or data.health.ends_early=keep, so that delisted tickers stay in "
                "the past they were part of"
            )
        action: Action = "kept" if policy == "keep" else "dropped"
        kept = [
            Fault(ticker, str(last_dates[ticker])[:10], "ends_early", detail, action)
            for ticker, detail in details.items()
        ]
        return (set(details) if action == "dropped" else set()), kept

    def _shifted(self, ticker: str, dates: Dates) -> Finding | None:
        """Days of another zone than the ticker's exchange has."""
        import numpy as np

        from forecast.data import faults

        calendar = calendars.calendar_of(ticker)
        if calendar in (None, "24/7", "24/5", "CMES") or self.calendar is None or len(dates) < 2:
            return None
        day = np.timedelta64(1, "D")
        try:
            expected = calendars.sessions(calendar, str(dates[0] - day), str(dates[-1] + day)).to_numpy()
        except UserError:  # a calendar that cannot be built says nothing
            return None
        return faults.shifted(dates, expected, calendar=calendar, named="." in ticker.strip("."))

    def _off_sessions(self, dates: Dates) -> Finding | None:
        import numpy as np

        from forecast.data import faults
        from forecast.data.timing import Bars

        market = self.market or Bars()
        if self.calendar not in (None, "auto", market.calendar):  # one that is named for this check alone
            if market.interval != "1d":
                return None
            market = Bars(calendar=self.calendar)
        if self.calendar is None or market.calendar is None or market.interval in ("1wk", "1mo"):
            return None
        dates = np.unique(dates)
        expected = market.times_between(dates[0], dates[-1])
        first, last = calendars.reach(market.calendar)
        known = (first, last + np.timedelta64(1, "D") if market.intraday else last)
        return faults.sessions(dates, expected, calendar=market.calendar, known=known)


def _action(kind: str, policy: str | None) -> Action:
    if policy == "keep":
        return "kept"
    return "sorted" if kind == "order" else "dropped"


def _refusal(ticker: str, findings: Mapping[str, Finding]) -> UserError:
    """One line: the first day of each kind, how many more there are, and the ways out."""
    shown = [finding.first for finding in findings.values()]
    keys = [
        f"data.health.{kind}={'keep' if found.rest is None else 'drop'}"
        for kind, found in findings.items()
        if found.advice is None
    ]
    ways = [found.advice for found in findings.values() if found.advice is not None]
    if keys:
        ways.append(f"mend the source, or set {', '.join(keys)}")
    return UserError(f"{ticker}: {'; '.join(shown)}; {'; '.join(ways)}")
