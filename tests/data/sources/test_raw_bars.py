"""Yahoo's table in one shape, whatever unit its dates came in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.data.sources.yahoo import RAW_COLUMNS, raw_bars
from forecast.data.sources.yfinance import merge


def history(unit: str, zone: str | None) -> pd.DataFrame:
    index = pd.date_range("2024-03-08 09:30", periods=4, freq="D", tz=zone, name="Date").as_unit(unit)
    frame = pd.DataFrame(dict.fromkeys(RAW_COLUMNS, 1.0), index=index).drop(columns="Capital Gains")
    frame[["Dividends", "Stock Splits"]] = 0.0
    frame["Volume"] = np.array([5, 6, 7, 8], dtype=np.int64)
    return frame


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Tokyo"])
def test_dates_arrive_alike(unit, zone):
    bars = raw_bars(history(unit, zone))
    assert bars.index.dtype == np.dtype("datetime64[ns]")
    assert [str(day.date()) for day in bars.index] == ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11"]
    assert tuple(bars.columns) == RAW_COLUMNS
    assert set(bars.dtypes) == {np.dtype("float64")}
    assert bars["Volume"].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert bars["Capital Gains"].tolist() == [0.0] * 4


def test_a_table_without_a_column_is_not_taken_for_one_of_zeros():
    with pytest.raises(KeyError):
        raw_bars(history("ns", None).drop(columns="Adj Close"))


def test_bars_that_do_not_meet_are_not_joined():
    bars = raw_bars(history("ns", None))
    assert merge(bars.iloc[:2], bars.iloc[2:]) is None
    assert merge(bars.iloc[:0], bars) is None
    assert merge(bars, bars.iloc[:0]) is None
    assert merge(bars.iloc[:3], bars.iloc[1:]).equals(bars)
