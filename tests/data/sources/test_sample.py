"""The embedded bars: what they hold, adjusted and raw, and that nobody changed them."""

import shutil

import pandas as pd
import pytest

from forecast.data.bars import COLUMNS
from forecast.data.calendars import sessions
from forecast.data.sources import SampleSource, sample
from forecast.errors import UserError

COVERAGE = {
    "AAPL": ("2000-03-01", 3270),
    "IBM": ("2000-03-01", 3270),
    "MSFT": ("2000-03-01", 3270),
    "GOOG": ("2004-08-19", 2148),
    "FB": ("2012-05-18", 196),
}


def test_the_tickers():
    assert SampleSource().tickers() == list(COVERAGE)


@pytest.mark.parametrize("ticker", COVERAGE)
def test_each_session_has_one_bar(ticker):
    first, count = COVERAGE[ticker]
    bars = SampleSource().bars(ticker)
    assert list(bars.index) == list(sessions("XNYS", first, "2013-03-01"))
    assert len(bars) == count
    assert tuple(bars.columns) == COLUMNS
    assert set(bars.dtypes.astype(str)) == {"float64"}
    assert bars.index.dtype == "datetime64[ns]"
    assert bars.index.name == "Date"


def test_prices_are_adjusted_unless_told_otherwise():
    raw, adjusted = SampleSource(adjust=False).bars("AAPL"), SampleSource().bars("AAPL")
    assert raw.loc["2005-02-25":"2005-02-28", "Close"].tolist() == [88.99, 44.86]  # 2 for 1
    assert adjusted.loc["2005-02-28", "Close"] == pytest.approx(5.7651352430039)
    assert adjusted["Close"].pct_change().loc["2005-02-28"] == pytest.approx(0.0082, abs=1e-4)
    pd.testing.assert_series_equal(raw["High"] / raw["Close"], adjusted["High"] / adjusted["Close"])
    pd.testing.assert_series_equal(raw["Volume"], adjusted["Volume"])


def test_volume_is_counted_in_todays_shares_only_where_the_price_split():
    for ticker, splits in {
        "AAPL": {"2000-06-21": 2, "2005-02-28": 2},
        "MSFT": {"2003-02-18": 2},  # not on 2004-11-15, when a dividend of a tenth of the price was paid
        "IBM": {},
    }.items():
        raw, adjusted = SampleSource().bars(ticker), SampleSource(adjust_volume=True).bars(ticker)
        shares = pd.Series(1.0, raw.index)
        for day, ratio in splits.items():
            shares[raw.index < day] *= ratio
        pd.testing.assert_series_equal(adjusted["Volume"], raw["Volume"] * shares, check_names=False)
        pd.testing.assert_frame_equal(adjusted[["Open", "High", "Low", "Close"]], raw.iloc[:, :4])


def test_a_table_is_the_callers_own():
    mine = SampleSource(adjust=False).bars("IBM")
    mine.iloc[:] = 0
    assert SampleSource(adjust=False).bars("IBM")["Close"].iloc[0] == 100.25


@pytest.mark.parametrize(
    ("ticker", "hint"), [("APPL", "did you mean AAPL?"), ("msft", "did you mean MSFT?"), ("TSLA", "'TSLA'; ")]
)
def test_an_unknown_ticker_is_told_the_others(ticker, hint):
    with pytest.raises(UserError) as refusal:
        SampleSource().bars(ticker)
    assert hint in str(refusal.value)
    assert str(refusal.value).startswith("source=sample: has no ticker")
    assert str(refusal.value).endswith("it has AAPL, IBM, MSFT, GOOG, FB")


def test_a_changed_file_is_refused_by_name(tmp_path, monkeypatch):
    copy = tmp_path / "stocks.csv.gz"
    shutil.copy(sample.FILE, copy)
    content = bytearray(copy.read_bytes())
    content[1000] ^= 1
    copy.write_bytes(content)
    monkeypatch.setattr(sample, "FILE", copy)
    with pytest.raises(UserError, match=r"stocks\.csv\.gz: is not the file this package ships \(sha256 "):
        SampleSource().bars("AAPL")
    copy.unlink()
    with pytest.raises(UserError, match=r"stocks\.csv\.gz: cannot be read \(No such file"):
        SampleSource().bars("AAPL")


def test_the_note_beside_the_file_tells_its_checksum():
    assert sample.SHA256 in sample.FILE.with_name("stocks.md").read_text()
