"""The cache of the Yahoo source: one file a ticker, whole or not at all, and what of Yahoo's table goes into it."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forecast.data.sources.yahoo import RAW_COLUMNS, TradingHours, raw_bars
from forecast.data.sources.yfinance import BarCache, CachedBars, merge
from forecast.errors import UserError

# yfinance keeps the databases of its caches open in every thread that asked, and Python 3.13 says so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database in <sqlite3.Connection:ResourceWarning")

FETCHED = datetime(2024, 6, 14, 21, 0, tzinfo=UTC)


def history(count: int = 30, level: float = 100.0) -> CachedBars:
    index = pd.bdate_range(end="2024-06-14", periods=count, name="Date").as_unit("ns")
    values = {name: level + np.arange(count, dtype=np.float64) for name in RAW_COLUMNS}
    return CachedBars(pd.DataFrame(values, index=index), FETCHED, TradingHours("America/New_York", "16:00"))


def rewritten(content: bytes, change) -> bytes:
    """Rewrite the file with the table and the facts that `change(table, facts)` returns."""
    table = pq.read_table(pa.BufferReader(content))
    table, facts = change(table, json.loads(table.schema.metadata[b"forecast.bars"]))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"forecast.bars": json.dumps(facts)}), sink)
    return sink.getvalue().to_pybytes()


def flip(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 0x10]) + content[201:]


DAMAGE = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"garbage" * 100,
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": flip,
    "no column High": lambda content: rewritten(
        content, lambda table, facts: (table.drop_columns("High"), facts)
    ),
    "no rows": lambda content: rewritten(content, lambda table, facts: (table.slice(0, 0), facts)),
    "rows twice": lambda content: rewritten(
        content, lambda table, facts: (pa.concat_tables([table, table]), facts)
    ),
    "another ticker": lambda content: rewritten(
        content, lambda table, facts: (table, facts | {"symbol": "IBM"})
    ),
    "another format": lambda content: rewritten(
        content, lambda table, facts: (table, facts | {"format": 99})
    ),
    "no zone": lambda content: rewritten(
        content, lambda table, facts: (table, facts | {"zone": "Mars/Base"})
    ),
    "odd fetch time": lambda content: rewritten(
        content, lambda table, facts: (table, facts | {"fetched": "noon"})
    ),
    "no facts": lambda content: rewritten(content, lambda table, _: (table, {})),
}


def test_what_is_written_is_read(tmp_path):
    cache, bars = BarCache(tmp_path / "new" / "folder"), history()
    cache.write("BRK-B", bars)
    read = cache.read("BRK-B")
    pd.testing.assert_frame_equal(read.frame, bars.frame, check_freq=False)
    assert (read.fetched, read.hours) == (bars.fetched, bars.hours)
    assert [file.name for file in cache.folder.iterdir()] == ["BRK-B.parquet"]
    assert cache.read("AAPL") is None


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_corrupt_file_is_moved_aside_and_told(tmp_path, caplog, kind):
    cache = BarCache(tmp_path)
    cache.write("AAPL", history())
    file = tmp_path / "AAPL.parquet"
    damaged = DAMAGE[kind](file.read_bytes())
    for number in (1, 2):
        file.write_bytes(damaged)
        caplog.clear()
        assert cache.read("AAPL") is None
        assert "AAPL.parquet is corrupt (" in caplog.text
        assert f"moved to AAPL.parquet.corrupt-{number}" in caplog.text
        assert not file.exists()
        assert (tmp_path / f"AAPL.parquet.corrupt-{number}").read_bytes() == damaged


def test_no_flipped_bit_changes_a_figure(tmp_path):
    cache, bars = BarCache(tmp_path), history()
    cache.write("AAPL", bars)
    file = tmp_path / "AAPL.parquet"
    content = file.read_bytes()
    columns = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0).total_byte_size
    noticed = 0
    for place in range(4, columns, 29):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x04]) + content[place + 1 :])
        read = cache.read("AAPL")
        noticed += read is None
        if read is not None:
            assert read.frame.equals(bars.frame)
    assert noticed > 20


def test_a_source_fetches_again_what_was_corrupt(make_source, yahoo, tmp_path, caplog):
    bars = make_source().bars("AAPL")
    file = tmp_path / "cache" / "AAPL.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        assert make_source().bars("AAPL").equals(bars)
    assert len(yahoo.asked) == 2
    assert len(caplog.messages) == 1
    assert make_source(offline=True).bars("AAPL").equals(bars)


def test_offline_a_corrupt_file_is_no_cache(make_source, tmp_path):
    make_source().bars("AAPL")
    (tmp_path / "cache" / "AAPL.parquet").write_bytes(b"garbage")
    with pytest.raises(UserError, match="not in the cache"):
        make_source(offline=True).bars("AAPL")


def test_a_file_that_may_not_be_read_is_not_called_corrupt(tmp_path):
    (tmp_path / "AAPL.parquet").mkdir()
    with pytest.raises(UserError, match=r"source\.cache_dir=.* cannot be used \(Is a directory\)"):
        BarCache(tmp_path).read("AAPL")
    assert (tmp_path / "AAPL.parquet").is_dir()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    cache = BarCache(tmp_path)
    cache.write("AAPL", history())
    content = (tmp_path / "AAPL.parquet").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        UserError, match=r"source\.cache_dir=.*No space left on device.*choose another folder"
    ):
        cache.write("AAPL", history(40))
    assert [file.name for file in tmp_path.iterdir()] == ["AAPL.parquet"]
    assert (tmp_path / "AAPL.parquet").read_bytes() == content


def test_writers_at_the_same_time_leave_a_whole_file(tmp_path, caplog):
    cache = BarCache(tmp_path)
    levels = (100.0, 200.0, 300.0)
    cache.write("AAPL", history(level=levels[0]))

    def write(level: float) -> None:
        for _ in range(30):
            cache.write("AAPL", history(level=level))

    writers = [threading.Thread(target=write, args=(level,)) for level in levels]
    for writer in writers:
        writer.start()
    seen = []
    while any(writer.is_alive() for writer in writers):
        seen.append(cache.read("AAPL"))
    for writer in writers:
        writer.join()
    seen.append(cache.read("AAPL"))

    for bars in seen:
        assert bars is not None
        assert bars.frame["Open"].iloc[0] in levels
        np.testing.assert_array_equal(bars.frame["Open"], bars.frame["Open"].iloc[0] + np.arange(30))
    assert [file.name for file in tmp_path.iterdir()] == ["AAPL.parquet"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, "less than a day"), (1, "1 day"), (40, "40 days")],
    ids=["today", "yesterday", "long ago"],
)
def test_age_in_words(days, words):
    now = FETCHED + pd.Timedelta(days=days, hours=2)
    assert history().age(now) == f"bars up to 2024-06-14, fetched {words} ago (2024-06-14 21:00 UTC)"


def yahoo_history(unit: str, zone: str | None) -> pd.DataFrame:
    index = pd.date_range("2024-03-08 09:30", periods=4, freq="D", tz=zone, name="Date").as_unit(unit)
    frame = pd.DataFrame(dict.fromkeys(RAW_COLUMNS, 1.0), index=index).drop(columns="Capital Gains")
    frame[["Dividends", "Stock Splits"]] = 0.0
    frame["Volume"] = np.array([5, 6, 7, 8], dtype=np.int64)
    return frame


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Tokyo"])
def test_dates_arrive_alike(unit, zone):
    bars = raw_bars(yahoo_history(unit, zone))
    assert bars.index.dtype == np.dtype("datetime64[ns]")
    assert [str(day.date()) for day in bars.index] == ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11"]
    assert tuple(bars.columns) == RAW_COLUMNS
    assert set(bars.dtypes) == {np.dtype("float64")}
    assert bars["Volume"].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert bars["Capital Gains"].tolist() == [0.0] * 4


def test_a_table_without_a_column_is_not_taken_for_one_of_zeros():
    with pytest.raises(KeyError):
        raw_bars(yahoo_history("ns", None).drop(columns="Adj Close"))


def test_bars_that_do_not_meet_are_not_joined():
    bars = raw_bars(yahoo_history("ns", None))
    assert merge(bars.iloc[:2], bars.iloc[2:]) is None
    assert merge(bars.iloc[:0], bars) is None
    assert merge(bars, bars.iloc[:0]) is None
    assert merge(bars.iloc[:3], bars.iloc[1:]).equals(bars)
    paid = bars.assign(Dividends=[0, 0, 0, 1.0])
    assert merge(bars.iloc[:3], paid.iloc[1:]) is None
    assert merge(bars.iloc[:3], paid.iloc[1:], rewriting=["Stock Splits"]).equals(paid)  # of intraday prices
