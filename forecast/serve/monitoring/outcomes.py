"""Served forecasts, kept in a small database until their outcomes are known, and how good they were.

Prices are kept as multiples of the last Close the forecast saw. So outcomes of all tickers can be added up, and
prices that are adjusted anew for a later dividend do no harm. Other targets are kept in their own unit.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import time
import weakref
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Prices = NDArray[np.float64]

PRICE = "close"  # what is measured where nothing else is said
_FORMAT = 2
_TABLES = f"""
CREATE TABLE IF NOT EXISTS forecasts (
    id INTEGER PRIMARY KEY,
    version TEXT NOT NULL,   -- of the model
    ticker TEXT NOT NULL,
    place INTEGER NOT NULL,  -- in the ticker's history, a hash, see history_keys
    origin INTEGER,          -- day of the last bar it saw, since 1970-01-01, where that is known
    step INTEGER NOT NULL,   -- bars ahead, those that a mean of several spans included
    made REAL NOT NULL,      -- seconds since 1970
    forecast REAL NOT NULL,  -- this and the next three: multiples of the last Close, or in the unit
    lower REAL,
    upper REAL,
    outcome REAL,
    known REAL,              -- when the outcome was, seconds since 1970
    naive REAL NOT NULL DEFAULT 1.0,         -- what "tomorrow = today" said
    measure TEXT NOT NULL DEFAULT '{PRICE}',  -- what was forecast
    UNIQUE (version, place, step)
);
CREATE INDEX IF NOT EXISTS awaited ON forecasts (place) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS dated ON forecasts (ticker) WHERE outcome IS NULL AND origin IS NOT NULL;
CREATE INDEX IF NOT EXISTS known ON forecasts (known) WHERE outcome IS NOT NULL;
CREATE INDEX IF NOT EXISTS known_of ON forecasts (version, known) WHERE outcome IS NOT NULL;
PRAGMA user_version = {_FORMAT};
"""
_FROM_1 = f"""
ALTER TABLE forecasts ADD COLUMN naive REAL NOT NULL DEFAULT 1.0;
ALTER TABLE forecasts ADD COLUMN measure TEXT NOT NULL DEFAULT '{PRICE}';
PRAGMA user_version = {_FORMAT};
"""
# Forecasts that wait for an outcome, and those with one or with a date, which are rarer and worth more.
_MAX_PENDING, _MAX_ROWS = 200_000, 1_000_000
# Earlier days of later windows that are looked up at a time.
_MAX_LOOKED_UP = 4096
# Five closes to the last digit hardly come again.
_KEY_CLOSES = 5
# Odd numbers for a multilinear hash (Lemire and Kaser 2014, https://arxiv.org/abs/1202.4961).
_DRAWN = np.random.default_rng(20_000_301).integers(0, 2**63, _KEY_CLOSES, dtype=np.uint64)
_FACTORS = _DRAWN * np.uint64(2) + np.uint64(1)
_PATIENCE_S = 5.0  # for another process that writes


@dataclass(frozen=True, kw_only=True)
class Skill:
    """Of the newest forecasts whose outcome is known."""

    outcomes: int  # so many
    # Error of the model / of "tomorrow = today", as shares of the last Close, or in the unit; None where nothing moved,
    # or is known.
    rmse_ratio: float | None = None
    skill: float | None = None  # 100 (1 - rmse_ratio), percent
    coverage: float | None = None  # share of outcomes inside the intervals that were served; None without any
    since: datetime | None = None  # when the oldest of the forecasts was made, UTC


@dataclass(frozen=True, kw_only=True)
class OutcomeSummary:
    """What is known of a model, and of all that were served."""

    model: Skill
    all: Skill
    pending: int  # steps whose outcome is not known yet


class Outcomes:
    """Remembers forecasts until their outcomes are known, over restarts and over models."""

    def __init__(self, *, file: str, newest: Annotated[int, Ge(20)] = 250) -> None:
        self.file = Path(file)
        self.newest = newest
        self._connection: sqlite3.Connection | None = None
        self._added = 0

    def in_folder(self, folder: Path) -> Outcomes:
        """Another one that has not opened the database, for another process; its file lies in a folder."""
        return Outcomes(file=str(folder / self.file), newest=self.newest)

    def prepare(self) -> None:
        """Make the database where there is none; raises sqlite3.Error or OSError where it cannot be made."""
        self._open()
        self.close()

    def remember(
        self,
        version: str,
        tickers: Sequence[str | None],
        closes: NDArray[np.float32],
        forecast: Prices,
        bounds: Prices | None,
        origins: Sequence[int | None],
        *,
        measure: str = PRICE,
        values: Prices | None = None,
        naive: Prices | None = None,
        lead: int = 0,
    ) -> None:
        """Store forecasts, and resolve earlier ones by the closes of their windows.

        Args:
            tickers: (windows,) whose they are.
            closes: (windows, lookback) of the ticker that is forecast, oldest first, above 0.
            forecast: (windows, horizon) prices, or in the unit of what is measured.
            bounds: (2, windows, horizon) likewise; None without intervals.
            origins: (windows,) day of the last bar, since 1970-01-01, where it is known.
            values: (windows, lookback) of that, in its unit; None = the closes.
            naive: (windows,) forecast of "tomorrow = today" in that unit; None = the last Close.
            lead: bars between a forecast's step and the one its outcome is known at.

        Raises:
            sqlite3.Error: the database does not take it.
            OSError: its folder cannot be made.
        """
        length = key_length(closes.shape[1])
        if not length:
            return
        owners = [_owner(ticker, measure) for ticker in tickers]
        keys = history_keys(closes, owners, length)  # (B, lookback - length + 1)
        sides = np.full((2, *forecast.shape), np.nan) if bounds is None else bounds
        scale = closes[:, -1:].astype(np.float64) if values is None else np.ones((len(closes), 1))
        shares = np.concatenate((forecast[None], sides)) / scale  # (3, B, h)
        before = np.ones(len(closes)) if naive is None else naive
        now, places = time.time(), keys[:, -1].tolist()
        rows = [  # a NaN becomes NULL
            (version, ticker or "", place, origin, step + lead, now, *figures, today, measure)
            for ticker, place, origin, own, today in zip(
                tickers, places, origins, shares.transpose(1, 2, 0).tolist(), before.tolist(), strict=True
            )
            for step, figures in enumerate(own, 1)
        ]
        connection = self._open()
        with connection:
            connection.executemany(
                "INSERT INTO forecasts (version, ticker, place, origin, step, made, forecast, lower, upper, "
                "naive, measure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET origin = excluded.origin WHERE origin IS NULL",
                rows,
            )
        self._added += len(rows)
        if self._added > _MAX_PENDING // 20:
            self._added = 0
            self._prune(connection)
        most = max(forecast.shape[1], _MAX_LOOKED_UP // len(closes))
        earlier = min(keys.shape[1] - 1, most)
        first = closes.shape[1] - 1 - earlier
        series = closes.astype(np.float64) if values is None else values
        self._resolve_keys(series, keys[:, -1 - earlier : -1], first, is_price=values is None)

    def resolve(
        self,
        ticker: str,
        days: Sequence[int],
        closes: Prices,
        *,
        lookback: int,
        measure: str = PRICE,
        values: Prices | None = None,
    ) -> None:
        """Resolve earlier forecasts by the closes of later bars.

        A bar without a Close is a session all the same: its outcome stays unknown, and the next one is a step further.

        Args:
            days: (bars,) since 1970-01-01, ascending.
            closes: (bars,) NaN where there is none above 0.
            values: (bars,) of that, in its unit; None = the closes.

        Raises:
            sqlite3.Error: the database does not take it.
        """
        connection = self._open()
        at = {day: number for number, day in enumerate(days)}
        dated = connection.execute(
            "SELECT id, origin, step FROM forecasts "
            "WHERE ticker = ? AND measure = ? AND outcome IS NULL AND origin IS NOT NULL",
            (ticker, measure),
        ).fetchall()
        series = closes if values is None else values
        known = ((number, series, at[origin], step) for number, origin, step in dated if origin in at)
        _note(connection, known, is_price=values is None)
        length = key_length(lookback)
        if length and len(closes) > length:
            keys = history_keys(closes[None, :].astype(np.float32), [_owner(ticker, measure)], length)
            self._resolve_keys(series[None, :], keys[:, :-1], length - 1, is_price=values is None)

    def summary(self, version: str, measure: str = PRICE) -> OutcomeSummary | None:
        """Skill and coverage of what was served; None where there is no database to read."""
        if not self.file.is_file():
            return OutcomeSummary(model=Skill(outcomes=0), all=Skill(outcomes=0), pending=0)
        try:
            with closing(sqlite3.connect(self.file, timeout=_PATIENCE_S)) as connection:
                columns = (
                    "SELECT forecast, lower, upper, outcome, made, naive FROM forecasts "
                    "WHERE outcome IS NOT NULL"
                )
                newest = "ORDER BY known DESC, id DESC LIMIT ?"
                own = connection.execute(f"{columns} AND version = ? {newest}", (version, self.newest))
                every = connection.execute(f"{columns} AND measure = ? {newest}", (measure, self.newest))
                pending = connection.execute("SELECT count(*) FROM forecasts WHERE outcome IS NULL")
                return OutcomeSummary(
                    model=skill_of(own.fetchall()),
                    all=skill_of(every.fetchall()),
                    pending=int(pending.fetchone()[0]),
                )
        except sqlite3.Error:
            return None  # whoever writes says why

    def close(self) -> None:
        """Close the database; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _resolve_keys(self, series: Prices, keys: NDArray[np.int64], first: int, *, is_price: bool) -> None:
        """Note outcomes of forecasts made at some bars of later windows.

        Args:
            series: (windows, bars) of what is measured, oldest first.
            keys: (windows, places) of the bars `first`, `first + 1` and so on, the last bar not among them.
            is_price: an outcome is a multiple of what was there when the forecast was made.
        """
        connection = self._open()
        # By bar, then by window: of a place that several windows show, the one with most bars behind it is taken.
        distinct, index = np.unique(keys.T, return_index=True)
        at = dict(zip(distinct.tolist(), index.tolist(), strict=True))
        waiting = connection.execute(
            "SELECT id, place, step FROM forecasts "
            "WHERE outcome IS NULL AND place IN (SELECT value FROM json_each(?))",
            (json.dumps(list(at)),),
        ).fetchall()
        known = ((number, *divmod(at[place], len(keys)), step) for number, place, step in waiting)
        found = ((number, series[window], first + bar, step) for number, bar, window, step in known)
        _note(connection, found, is_price=is_price)

    def _prune(self, connection: sqlite3.Connection) -> None:
        newest = connection.execute("SELECT max(id) FROM forecasts").fetchone()[0] or 0
        with connection:
            connection.execute(
                "DELETE FROM forecasts WHERE id <= ? AND outcome IS NULL AND origin IS NULL",
                (newest - _MAX_PENDING,),
            )
            connection.execute("DELETE FROM forecasts WHERE id <= ?", (newest - _MAX_ROWS,))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=_PATIENCE_S, check_same_thread=False)
            try:
                # Readers wait for nobody; a lost power supply may cost the last second, not the file.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                made_as = connection.execute("PRAGMA user_version").fetchone()[0]
                if made_as not in (0, 1, _FORMAT):
                    raise sqlite3.DatabaseError(f"is of format {made_as}, not {_FORMAT}")
                if made_as != _FORMAT:
                    connection.executescript(_FROM_1 if made_as else _TABLES)
            except sqlite3.Error:
                connection.close()
                raise
            weakref.finalize(self, connection.close)
            self._connection = connection
        return self._connection


def skill_of(rows: Iterable[tuple[float, float | None, float | None, float, float, float]]) -> Skill:
    """Skill of rows: forecast, lower, upper and outcome; when the forecast was made; the naive forecast."""
    rows = list(rows)
    model = sum((forecast - outcome) ** 2 for forecast, _, _, outcome, _, _ in rows)
    naive = sum((today - outcome) ** 2 for _, _, _, outcome, _, today in rows)
    inside = [
        low <= outcome <= up for _, low, up, outcome, _, _ in rows if low is not None and up is not None
    ]
    ratio = math.sqrt(model / naive) if naive else None
    return Skill(
        outcomes=len(rows),
        rmse_ratio=ratio,
        skill=None if ratio is None else 100 * (1 - ratio),
        coverage=sum(inside) / len(inside) if inside else None,
        since=datetime.fromtimestamp(min(row[4] for row in rows), UTC) if rows else None,
    )


def _note(
    connection: sqlite3.Connection, known: Iterable[tuple[int, Prices, int, int]], *, is_price: bool
) -> None:
    """Write down outcomes: number of the forecast, the series, the bar in it that it was made at, and its step."""
    now, found = time.time(), []
    for number, series, bar, step in known:
        if bar + step >= len(series):
            continue
        outcome = float(series[bar + step] / series[bar] if is_price else series[bar + step])
        if math.isfinite(outcome):
            found.append((outcome, now, number))
    if found:
        with connection:
            connection.executemany(
                "UPDATE forecasts SET outcome = ?, known = ? WHERE id = ? AND outcome IS NULL", found
            )


def _owner(ticker: str | None, measure: str) -> str:
    """Ticker and measure, which together name a history: forecasts of other measures have other outcomes."""
    return (ticker or "") if measure == PRICE else f"{ticker or ''}\n{measure}"


def key_length(lookback: int) -> int:
    """How many closes name a bar, so that a later window that holds them shows what came; 0: none can."""
    return min(_KEY_CLOSES, lookback // 2)


def history_keys(
    closes: NDArray[np.floating], tickers: Sequence[str | None], length: int
) -> NDArray[np.int64]:
    """A key of each bar, hashed from the closes up to it, by which it is recognised without a date.

    Args:
        closes: (windows, bars) oldest first.
        tickers: (windows,) whose they are.

    Returns:
        (windows, bars - length + 1): of the bars `length - 1`, `length` and so on.
    """
    bits = np.ascontiguousarray(closes, dtype=np.float32).view(np.uint32).astype(np.uint64)
    seen = np.lib.stride_tricks.sliding_window_view(bits, length, axis=1)  # (B, bars - length + 1, length)
    owners = np.asarray([_number(ticker or "") for ticker in tickers], dtype=np.uint64)
    hashed = (seen * _FACTORS[:length]).sum(axis=2, dtype=np.uint64) + owners[:, None]
    keys: NDArray[np.int64] = hashed.view(np.int64)
    return keys


@lru_cache(maxsize=16_384)
def _number(ticker: str) -> int:
    return int.from_bytes(hashlib.blake2b(ticker.encode("utf-8", "replace"), digest_size=8).digest())
