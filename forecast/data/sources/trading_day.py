"""Which trading day is over: the bar of a session that still runs is no daily bar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Quotes come up to 20 minutes late, and closing auctions end some minutes after the regular session.
SETTLING = timedelta(minutes=30)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class TradingHours:
    """Where and when an instrument's regular session ends."""

    zone: str  # IANA name, e.g. America/New_York
    close: str | None = None  # local HH:MM; None = unknown, so a day is over when its date is

    def last_day_over(self, now: datetime) -> date:
        """The latest local date whose regular session, had there been one, has ended and settled."""
        local = self._local(now)
        end = time.fromisoformat(self.close) if self.close else None
        day = local.date()
        while (datetime.combine(day, end) if end else datetime.combine(day + DAY, time())) + SETTLING > local:
            day -= DAY
        return day

    def last_finished_bar(self, now: datetime, session: date | None) -> date:
        """The latest date whose bar may be kept.

        Args:
            now: this moment, with a time zone.
            session: local date of the session the server calls the current one. When that is an earlier day
                than today, its close says nothing about today's bar, which is then left out.
        """
        over, today = self.last_day_over(now), self._local(now).date()
        if over == today and (session is None or session < today):
            return today - DAY
        return over

    def _local(self, now: datetime) -> datetime:
        return now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
