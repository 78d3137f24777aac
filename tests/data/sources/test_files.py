"""A user's own files: what is read, and what is refused, in one line naming the file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.data.sources import FileSource, SyntheticSource
from forecast.errors import UserError

HEADER = "Date,Open,High,Low,Close,Volume\n"
ROW = "2020-01-02,1.5,2,1,1.75,1000\n"
BARS = SyntheticSource(num_bars=30).bars("AAA")


def source(folder, name: str = "AAA.csv", text: str | bytes | None = None, **options) -> FileSource:
    if text is not None:
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(path=str(folder), **options)


def test_csv_and_parquet_give_the_same_table(tmp_path):
    flat = BARS.reset_index()
    flat.to_csv(tmp_path / "CSV.csv", index=False)
    flat.to_parquet(tmp_path / "COLUMN.parquet")
    BARS.to_parquet(tmp_path / "INDEX.parquet")
    BARS.rename_axis(None).to_parquet(tmp_path / "UNNAMED.parquet")
    files = source(tmp_path)
    assert files.tickers() == ["COLUMN", "CSV", "INDEX", "UNNAMED"]
    for ticker in files.tickers():
        pd.testing.assert_frame_equal(files.bars(ticker), BARS, check_freq=False)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        pytest.param("\ufeff" + HEADER + ROW, ["2020-01-02"], id="byte-order mark"),
        pytest.param(HEADER + ROW + "\n\n  \n", ["2020-01-02"], id="blank trailing lines"),
        pytest.param((HEADER + ROW).replace("\n", "\r\n"), ["2020-01-02"], id="Windows line ends"),
        pytest.param(HEADER + ROW.replace("02,", "02 16:00:00,"), ["2020-01-02"], id="time"),
        pytest.param(
            HEADER + ROW.replace("02,", "02 00:00:00+09:00,") + ROW.replace("02,", "03T00:00:00.0+0900,"),
            ["2020-01-02", "2020-01-03"],
            id="the day written, whatever the zone",
        ),
        pytest.param(
            HEADER + ROW + ROW + ROW.replace("02,", "03,") + ROW,
            ["2020-01-02", "2020-01-02", "2020-01-03", "2020-01-02"],
            id="as is",
        ),
        pytest.param((HEADER + ROW).replace(",", ";"), ["2020-01-02"], id="semicolons"),
        pytest.param((HEADER + ROW).encode("utf-16"), ["2020-01-02"], id="UTF-16"),
        pytest.param(
            "Name,Volume,Close,Low,High,Open,Date\nx,1000,1.75,1,2,1.5,2020-01-02\n",
            ["2020-01-02"],
            id="order",
        ),
    ],
)
def test_what_a_csv_may_look_like(tmp_path, text, days):
    bars = source(tmp_path, text=text).bars("AAA")
    assert [str(date.date()) for date in bars.index] == days
    assert bars.iloc[0].tolist() == [1.5, 2, 1, 1.75, 1000]
    assert set(bars.dtypes.astype(str)) == {"float64"}


def test_adj_close_is_used_unless_told_otherwise(tmp_path):
    text = HEADER.replace("\n", ",Adj Close\n") + "2020-01-02,1,4,1,2,1000,1\n"
    assert source(tmp_path, text=text).bars("AAA").iloc[0].tolist() == [0.5, 2, 0.5, 1, 1000]
    assert source(tmp_path, adjust=False).bars("AAA").iloc[0].tolist() == [1, 4, 1, 2, 1000]


def test_gaps_are_left_to_the_health_check(tmp_path):
    text = HEADER + "2020-01-02,,2,NaN,1,1000\n2020-01-03,1,2,1\n"
    assert source(tmp_path, text=text).bars("AAA").isna().to_numpy().sum() == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "AAA.csv: is empty; it needs a header such as Date,Open", id="empty"),
        pytest.param(HEADER, "AAA.csv: holds no bars", id="header only"),
        pytest.param(
            "Date,Open,High,Low,Close\n", "AAA.csv: no column Volume in its header", id="missing column"
        ),
        pytest.param("Open,High,Low,Close,Volume\n", "AAA.csv: no column Date in its header", id="no Date"),
        pytest.param("Close," + HEADER, "AAA.csv: has the column Close twice", id="column twice"),
        pytest.param(
            HEADER + ROW + "\n2020-01-03,1,x,1,1,1\n", "AAA.csv, line 4: High='x' is no number", id="text"
        ),
        pytest.param(
            HEADER + '2020-01-03,1,2,1,1,"1,000"\n',
            "1,000 may be a number with three decimals",
            id="thousands",
        ),
        pytest.param(HEADER + "2020-01-03,True,2,1,1,1\n", "line 2: Open='True' is no number", id="truth"),
        pytest.param(
            HEADER + ROW + "03/01/2020,1,2,1,1,1\n", "line 3: Date='03/01/2020' is no date", id="date"
        ),
        pytest.param(
            HEADER + "2020-02-30,1,2,1,1,1\n", "line 2: Date='2020-02-30' is no date", id="no such day"
        ),
        pytest.param(
            HEADER + "9999-01-01,1,2,1,1,1\n", "line 2: Date='9999-01-01' is no date", id="far future"
        ),
        pytest.param(HEADER + ",1,2,1,1,1\n", "AAA.csv, line 2: has no Date", id="no date"),
        pytest.param(
            HEADER + ROW.replace("\n", ",7\n"), "first row has more fields than the header", id="first long"
        ),
        pytest.param(
            HEADER + ROW + ROW.replace("\n", ",7\n"), "Expected 6 fields in line 3, saw 7", id="later long"
        ),
        pytest.param(
            HEADER + '"2020-01-02,1\n', "AAA.csv: cannot be read as CSV (EOF inside string", id="quote"
        ),
        pytest.param(b"\xff\xfe\x00\xd8" * 50, "AAA.csv: is no utf-16 text", id="encoding"),
    ],
)
def test_a_wrong_csv_is_reported_in_one_line(tmp_path, text, says):
    with pytest.raises(UserError) as refusal:
        source(tmp_path, text=text).bars("AAA")
    assert says in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda table: table.reset_index(drop=True), "and no index of dates", id="no Date"),
        pytest.param(lambda table: table.drop(columns="Low"), "no column Low", id="missing column"),
        pytest.param(lambda table: table.iloc[:0], "holds no bars", id="empty"),
        pytest.param(
            lambda table: table.astype({"Open": str}).replace({"Open": {"1.5": "x"}}),
            "row 1: Open='x' is no number",
            id="text",
        ),
    ],
)
def test_a_wrong_parquet_is_reported_in_one_line(tmp_path, spoil, says):
    bars = source(tmp_path, text=HEADER + ROW).bars("AAA")
    spoil(bars).to_parquet(tmp_path / "BBB.parquet")
    with pytest.raises(UserError) as refusal:
        source(tmp_path).bars("BBB")
    assert "BBB.parquet" in str(refusal.value)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("length", [0, 4, 400])
def test_a_parquet_cut_short_is_reported_in_one_line(tmp_path, length):
    file = tmp_path / "AAA.parquet"
    BARS.to_parquet(file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"AAA\.parquet: cannot be read \(.+\)$"):
        source(tmp_path).bars("AAA")


def test_an_unknown_ticker_is_reported_the_nearest_and_the_others(tmp_path):
    for name in ("aapl", "IBM", "MSFT"):
        source(tmp_path, f"{name}.csv", HEADER + ROW)
    with pytest.raises(UserError, match=r"has no ticker 'AAPL'; did you mean aapl\? it has IBM, MSFT, aapl$"):
        source(tmp_path).bars("AAPL")


@pytest.mark.parametrize(
    "ticker", ["../SECRET", "/etc/passwd", "..", "", "inner/SECRET", "SECRET.csv/../SECRET"]
)
def test_a_ticker_cannot_leave_the_folder(tmp_path, ticker):
    folder = tmp_path / "bars"
    (folder / "inner").mkdir(parents=True)
    for place in (tmp_path, folder / "inner"):
        source(place, "SECRET.csv", HEADER + ROW)
    source(folder, "AAA.csv", HEADER + ROW)
    with pytest.raises(UserError, match="has no ticker"):
        source(folder).bars(ticker)


def test_the_folder_must_be_there_and_hold_files(tmp_path):
    with pytest.raises(UserError, match=r"^source\.path=.*/nowhere: does not exist"):
        source(tmp_path / "nowhere").tickers()
    with pytest.raises(UserError, match=r"holds no <TICKER>\.csv"):
        source(tmp_path, ".AAA.csv", HEADER).tickers()
    source(tmp_path, "AAA.csv", HEADER)
    with pytest.raises(UserError, match=r"null: is a file of no bars"):
        source(Path("/dev/null")).tickers()
    assert source(tmp_path / "AAA.csv").tickers() == ["AAA"]


def test_two_files_for_one_ticker_are_refused(tmp_path):
    BARS.to_parquet(tmp_path / "AAA.parquet")
    with pytest.raises(UserError, match=r"both AAA\.csv and AAA\.parquet are AAA; remove one"):
        source(tmp_path, "AAA.csv", HEADER + ROW).bars("AAA")


def test_a_file_that_comes_later_is_found(tmp_path):
    files = source(tmp_path, "AAA.csv", HEADER + ROW)
    files.bars("AAA")
    source(tmp_path, "BBB.csv", HEADER + ROW)
    assert len(files.bars("BBB")) == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("ratio", [2, 1.5, 1 / 10, 7])
def test_volume_before_a_split_is_counted_in_todays_shares(tmp_path, suffix, ratio):
    close = np.array([100.0, 101, 102, 103 / ratio, 104 / ratio, 105 / ratio])
    # A dividend of 3 % on the second bar lowers what stands before it, and is no split.
    factor = np.array([0.97, 1, 1, ratio, ratio, ratio]) / ratio
    table = pd.DataFrame(
        dict.fromkeys(("Open", "High", "Low", "Close"), close)
        | {"Volume": [1000.0] * 3 + [1000.0 * ratio] * 3, "Adj Close": close * factor},
        index=pd.bdate_range("2024-01-02", periods=6, name="Date"),
    )
    if suffix == "csv":
        table.to_csv(tmp_path / "AAA.csv")
    else:
        table.to_parquet(tmp_path / "AAA.parquet")
    found = FileSource(path=str(tmp_path), adjust_volume=True).bars("AAA")
    np.testing.assert_allclose(found["Volume"], 1000.0 * ratio)
    np.testing.assert_array_equal(FileSource(path=str(tmp_path)).bars("AAA")["Volume"], table["Volume"])
    unadjusted = FileSource(path=str(tmp_path), adjust=False, adjust_volume=True).bars("AAA")
    np.testing.assert_array_equal(unadjusted["Volume"], table["Volume"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_columns_of_a_file_are_offered(tmp_path, suffix):
    table = BARS.assign(VIX=np.arange(30.0), Trades=7, Note="x").reset_index()
    if suffix == "csv":
        table.to_csv(tmp_path / "AAA.csv", index=False)
    else:
        table.to_parquet(tmp_path / "AAA.parquet")
    others = source(tmp_path).columns_of("AAA")
    assert list(others.columns) == ["VIX", "Trades"]
    assert set(others.dtypes.astype(str)) == {"float64"}
    assert others["VIX"].tolist() == list(range(30))
    pd.testing.assert_index_equal(others.index, source(tmp_path).bars("AAA").index)
