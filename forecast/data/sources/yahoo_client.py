"""Asking Yahoo through yfinance: one ticker at a time, paced, retried, every failure named."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.data.sources.pacing import Clock, Pacer
from forecast.data.sources.raw_bars import raw_bars
from forecast.data.sources.trading_day import TradingHours
from forecast.data.sources.yahoo_errors import YahooError, classify
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

# A network that swallows packets costs the client over a minute a try; beyond this no retry is begun.
PATIENCE_S = 90.0
# After a call that failed with all its retries, Yahoo counts as down for so long.
DOWN_S = 300.0
_CHART = "https://query2.finance.yahoo.com/v8/finance/chart/"
_UNCLEAR = {"YFTzMissingError", "YFPricesMissingError", "HTTPError"}


@dataclass(frozen=True)
class Answer:
    """What Yahoo said about one ticker."""

    bars: pd.DataFrame  # as raw_bars makes them; the last one may be unfinished
    hours: TradingHours
    session: date | None  # local date of the session Yahoo calls the current one


class YahooClient:
    """The real client behind one door.

    Args:
        folder: for the client's own cookies and time zones; private (0700), since the cookies are pickled.
        pace_s: seconds between two calls.
        retries: after a failure that may pass.
        timeout_s: seconds a request for prices may take; the client's own small ones take 10 or 30 at most.
        session: a curl_cffi session in place of the client's own.
        clock: what tells the time and waits.
    """

    def __init__(
        self, *, folder: Path, pace_s: float, retries: int, timeout_s: float, session: Any, clock: Clock
    ) -> None:
        self.folder = folder
        self.retries = retries
        self.timeout_s = timeout_s
        self.session = session
        self.clock = clock
        self._failed_at: float | None = (
            None  # when a call failed in a way that may pass, and so did its retries
        )
        self._pacer = Pacer(pace_s=pace_s, clock=clock)
        self._settled_in = False

    @property
    def is_down(self) -> bool:
        """True while asking is likely to fail again, as it just did."""
        return self._failed_at is not None and self.clock.monotonic() - self._failed_at < DOWN_S

    def history(self, symbol: str, start: date | None = None) -> Answer:
        """Daily bars from `start`, or from the first one there is, up to this moment.

        Raises:
            YahooError: there is no answer, or none with bars; retried first where that may help.
            UserError: the private folder cannot be made.
        """
        self._settle_in()
        # While Yahoo is down, one try a ticker: each of a thousand tickers need not wait for all retries.
        retries = 0 if self.is_down else self.retries
        began = self.clock.monotonic()
        attempt = 0
        while True:
            try:
                answer = self._ask(symbol, start)
            except YahooError as failure:
                now = self.clock.monotonic()
                if not failure.may_pass or attempt == retries or now - began > PATIENCE_S:
                    self._failed_at = now if failure.may_pass else None
                    raise
                log.info("%s: %s; retry %d of %d", symbol, failure.reason, attempt + 1, retries)
                self._pacer.back_off(attempt, failure.first_wait_s)
                attempt += 1
            else:
                self._failed_at = None
                return answer

    def _ask(self, symbol: str, start: date | None) -> Answer:
        import yfinance
        from yfinance.data import YfData

        self._pacer.take_turn()
        try:
            with _frank_and_quiet():
                # The client remembers failed answers too: without this, asking again would not reach Yahoo.
                YfData.cache_get.cache_clear()
                ticker = yfinance.Ticker(symbol, session=self.session)
                span = {"period": "max"} if start is None else {"start": start.isoformat()}
                history = ticker.history(
                    **span,
                    interval="1d",
                    auto_adjust=False,
                    actions=True,
                    keepna=True,
                    repair=False,
                    timeout=self.timeout_s,
                )
                return _answer(history, ticker.history_metadata)
        # Everything: the client lets through its own errors, those of curl, json and sqlite, and whatever
        # reading an answer of an unforeseen shape raises. Each must reach the user as a sentence.
        except Exception as error:
            raise self._named(error, symbol) from error
        finally:
            self._pacer.end_turn()

    def _named(self, error: Exception, symbol: str) -> YahooError:
        """The failure's name; where the error fits several, by how Yahoo answers about the ticker."""
        from yfinance.data import YfData

        if not _UNCLEAR & {cls.__name__ for cls in type(error).__mro__}:
            return classify(error, symbol)
        try:
            with _frank_and_quiet():
                # The client's own first question, so its memory answers mostly, and no request is made.
                answer = YfData(session=self.session).cache_get(
                    url=_CHART + symbol, params={"range": "1d", "interval": "1d"}, timeout=10
                )
        except Exception as second:  # noqa: BLE001
            return classify(second, symbol)
        return classify(error, symbol, int(answer.status_code))

    def _settle_in(self) -> None:
        if self._settled_in:
            return
        import yfinance

        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)  # it may have been there
        except OSError as error:
            raise UserError(
                f"source.cache_dir={self.folder.parent}: cannot be used ({error.strerror}); "
                "choose another folder, or read it as it is with source.offline=true"
            ) from None
        yfinance.set_tz_cache_location(str(self.folder))
        self._settled_in = True


def _answer(history: pd.DataFrame, metadata: Any) -> Answer:
    regular = (metadata.get("currentTradingPeriod") or {}).get("regular") or {}
    end = regular.get("end")
    end = end if isinstance(end, datetime) else None
    hours = TradingHours(metadata["exchangeTimezoneName"], end.strftime("%H:%M") if end else None)
    return Answer(raw_bars(history), hours, end.date() if end else None)


@contextmanager
def _frank_and_quiet() -> Iterator[None]:
    """Let the client raise its errors instead of logging them, and keep its pandas warnings from the user."""
    import pandas as pd
    import yfinance

    hidden, logger = yfinance.config.debug.hide_exceptions, logging.getLogger("yfinance")
    level = logger.level
    yfinance.config.debug.hide_exceptions = False
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=pd.errors.Pandas4Warning)
            yield
    finally:
        yfinance.config.debug.hide_exceptions = hidden
        logger.setLevel(level)
