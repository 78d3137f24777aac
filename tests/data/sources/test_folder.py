"""Which file of a folder is which ticker: names as vendors make them, pieces of one series, files of several tickers."""

import gzip

import pandas as pd
import pytest

from forecast.data.sources import FileSource
from forecast.errors import UserError
from tests import vendor_layouts
from tests.vendor_layouts import BARS, OTHER, epoch, table

OHLCV = "Date,Open,High,Low,Close,Volume"
APRIL, MAY = BARS[BARS.index.month == 4], BARS[BARS.index.month == 5]


def same(found: pd.DataFrame, bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, bars, check_freq=False, rtol=1e-14)


def written(folder, text: str | bytes, *, file: str, **keys) -> FileSource:
    (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(path=str(folder), **keys)


def british(bars: pd.DataFrame) -> str:
    return table(OHLCV, lambda day: f"{day:%d/%m/%Y}", bars=bars)


@pytest.mark.parametrize(
    ("file", "ticker"),
    [
        ("AAPL_daily.csv", "AAPL"), ("daily_AAPL.csv", "AAPL"), ("AAPL Historical Data.csv", "AAPL"), ("table_aapl.csv", "aapl"),
        ("2222.SR.csv", "2222.SR"), ("aapl.us.txt", "aapl.us"), ("BRK-B.tsv", "BRK-B"), ("^GSPC.csv.gz", "^GSPC"),
        ("X_1h.csv", "X"), ("EURUSD_Daily.csv", "EURUSD"), ("history.csv", "history"), ("2001.HK.csv", "2001.HK"),
        ("STOCK_DAY_2330_202404.csv", "2330"), ("DAT_ASCII_EURUSD_M1_2024.csv", "EURUSD"), ("NASDAQ_AAPL, 1D_7c1d2.csv", "AAPL"),
        ("EURUSD_D1_202401010000_202402292300.csv", "EURUSD"), ("AAPL_2024-01-02_to_2024-05-31.csv", "AAPL"), ("20240102_AAPL.csv", "AAPL"), ("200012.csv", "200012"),
    ],
)  # fmt: skip
def test_a_ticker_is_a_files_name_without_what_vendors_add(tmp_path, file, ticker):
    content = vendor_layouts.ISO_CSV.encode()
    source = written(tmp_path, gzip.compress(content) if file.endswith(".gz") else content, file=file)
    assert source.tickers() == [ticker]
    same(source.bars(ticker), BARS)
    stem = file.removesuffix(".gz").rpartition(".")[0]
    same(FileSource(path=str(tmp_path)).bars(stem), BARS)  # the whole name does as well


def test_names_that_would_be_the_same_stay_whole(tmp_path):
    for name in ("AAPL_daily.csv", "AAPL_hist.csv", "MSFT_daily.csv"):
        written(tmp_path, vendor_layouts.ISO_CSV, file=name)
    assert FileSource(path=str(tmp_path)).tickers() == ["AAPL_daily", "AAPL_hist", "MSFT"]


def test_a_file_of_several_tickers_holds_these(tmp_path):
    source = written(tmp_path, vendor_layouts.LONG, file="stocks.csv")
    written(tmp_path, vendor_layouts.ISO_CSV, file="X.csv")
    written(tmp_path, "see the vendor's page\n", file="README.txt")
    assert source.tickers() == ["AAL", "X", "ZTS"]
    same(source.bars("ZTS"), OTHER)
    same(source.bars("AAL"), BARS)
    with pytest.raises(
        UserError, match=r"holds 2 tickers, AAL, ZTS; name some of them, data\.tickers=\[AAL,ZTS\]"
    ):
        source.bars("stocks")
    with pytest.raises(UserError, match=r"has no ticker 'ZTX'; did you mean ZTS"):
        source.bars("ZTX")
    alone = FileSource(path=str(tmp_path / "stocks.csv"))
    assert alone.tickers() == ["AAL", "ZTS"]
    written(tmp_path, vendor_layouts.ISO_CSV, file="AAL.csv")
    with pytest.raises(UserError, match=r"both AAL\.csv and stocks\.csv are AAL"):
        FileSource(path=str(tmp_path)).tickers()


def test_tickers_that_read_as_missing_values_stay_names(tmp_path):
    text = vendor_layouts.LONG.replace("AAL", "NA").replace("ZTS", "TRUE")
    source = written(tmp_path, text, file="stocks.csv")
    assert source.tickers() == ["NA", "TRUE"]
    same(source.bars("NA"), BARS)


def test_pieces_of_one_series_are_joined_and_one_tells_what_another_leaves_open(tmp_path):
    early = APRIL[APRIL.index.day <= 12]  # 01/04/2024: no day above 12
    for file, bars in (("AAPL_2024-04.csv", early), ("AAPL_2024-05.csv", MAY), ("MSFT_2024.csv", OTHER)):
        written(tmp_path, british(bars), file=file)
    source = FileSource(path=str(tmp_path))
    assert source.tickers() == ["AAPL", "MSFT"]
    joined = pd.concat([early, MAY])
    same(source.bars("AAPL"), joined)
    assert "AAPL (2 files)" in " ".join(source.describe())
    again = FileSource(path=str(tmp_path), layouts=source.layouts())
    same(again.bars("AAPL"), joined)
    same(FileSource(path=str(tmp_path)).bars("AAPL_2024-05"), MAY)  # a piece by its whole name
    june = vendor_layouts.make_bars(5, first="2024-06-03")
    written(tmp_path, british(june), file="AAPL_2024-06.csv")
    same(again.bars("MSFT"), OTHER)
    same(FileSource(path=str(tmp_path), layouts=source.layouts()).bars("AAPL"), pd.concat([joined, june]))


def test_pieces_may_be_written_differently_and_share_rows(tmp_path):
    written(tmp_path, table("", epoch(1000), bars=APRIL), file="BTCUSDT-1d-2024-04.csv")
    written(tmp_path, table("", epoch(10**6), bars=pd.concat([APRIL.iloc[-1:], MAY]), newest_first=True),
            file="BTCUSDT-1d-2024-05.csv")  # fmt: skip
    source = FileSource(path=str(tmp_path))
    same(source.bars("BTCUSDT"), BARS)
    message = " ".join(source.describe())
    assert "epoch_ms" in message
    assert "epoch_us" in message
    assert "left out 1 that two files have alike" in message
    same(FileSource(path=str(tmp_path), layouts=source.layouts()).bars("BTCUSDT"), BARS)


def test_pieces_that_contradict_each_other_are_refused(tmp_path):
    written(tmp_path, british(BARS), file="ES_2023.csv")
    written(tmp_path, british(OTHER), file="ES_2024.csv")
    source = FileSource(path=str(tmp_path))
    with pytest.raises(UserError, match=r"ES_2023.csv and ES_2024.csv.*have other numbers for 2024-04-01"):
        source.bars("ES")
    same(source.bars("ES_2024"), OTHER)


def test_a_file_a_day_of_all_tickers(tmp_path):
    for day in BARS.index[:4]:
        rows = [table("", lambda day: f"{day:%d-%b-%Y}", "TDOHLCV", bars=bars.loc[day:day], fixed={"T": name})
                for name, bars in (("INFY", BARS), ("TCS", OTHER))]  # fmt: skip
        text = "SYMBOL,TIMESTAMP,OPEN,HIGH,LOW,CLOSE,TOTTRDQTY\n" + "".join(rows)
        written(tmp_path, text, file=f"cm{day:%d%b%Y}bhav.csv")
    row = table("", lambda day: f"{day:%d-%b-%Y}", "TDOHLCV", bars=BARS.iloc[4:5], fixed={"T": "INFY"})
    text = "SYMBOL,TIMESTAMP,OPEN,HIGH,LOW,CLOSE,TOTTRDQTY\n" + row  # a day without TCS
    written(tmp_path, text, file=f"cm{BARS.index[4]:%d%b%Y}bhav.csv")
    source = FileSource(path=str(tmp_path))
    assert source.tickers() == ["INFY", "TCS"]
    same(source.bars("TCS"), OTHER.iloc[:4])
    same(source.bars("INFY"), BARS.iloc[:5])


def test_files_named_by_their_dates_alone(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "AAPL").mkdir()
    for day in BARS.index[:3]:
        rows = [table("", epoch(10**9), "TVOCHLD", bars=bars.loc[day:day], fixed={"T": name})
                for name, bars in (("A", BARS), ("B", OTHER))]  # fmt: skip
        text = "ticker,volume,open,close,high,low,window_start\n" + "".join(rows)
        written(tmp_path / "all", gzip.compress(text.encode()), file=f"{day:%Y-%m-%d}.csv.gz")
        written(tmp_path / "AAPL", british(BARS.loc[day:day]), file=f"{day:%Y%m%d}.csv", dates="dmy")
    source = FileSource(path=str(tmp_path / "all"))
    assert source.tickers() == ["A", "B"]
    same(source.bars("B"), OTHER.iloc[:3])
    same(FileSource(path=str(tmp_path / "AAPL"), dates="dmy").bars("AAPL"), BARS.iloc[:3])


def test_what_is_no_table_or_not_understood_is_said(tmp_path):
    (tmp_path / "AAPL.xlsx").touch()
    with pytest.raises(UserError, match=r"holds no <TICKER>\.csv .*save AAPL\.xlsx as CSV or parquet"):
        FileSource(path=str(tmp_path)).tickers()
    written(tmp_path, "Symbol,Date,Open,High,Low,Close\nAAPL,2024-01-02,1,2,1,2\n", file="all.csv")
    with pytest.raises(UserError, match=r"has no ticker 'AAPL'; it has all; .*all\.csv: no column Volume"):
        FileSource(path=str(tmp_path)).bars("AAPL")
