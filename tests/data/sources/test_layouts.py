"""Files in the layouts people have: read as they are, or refused with the key that decides; and read the same again."""

import gzip
import json
import string
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, strategies as st

from forecast.data.sources import FileSource
from forecast.errors import UserError
from tests import commands, vendor_layouts
from tests.vendor_layouts import BARS, CALM, make_bars, outcome, table

LAYOUTS = vendor_layouts.layouts()
OHLCV = "Date,Open,High,Low,Close,Volume"


def same(found: pd.DataFrame, bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, bars, check_freq=False, rtol=1e-14)


def written(folder, text: str | bytes, *, file: str = "X.csv", **keys) -> FileSource:
    (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
    return FileSource(path=str(folder), **keys)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.vendor)
def test_a_vendors_file_is_read_or_refused_with_the_key_that_decides(tmp_path, layout, pytestconfig):
    said = outcome(layout, tmp_path)
    page = (pytestconfig.rootpath / "docs" / "data.md").read_text("utf-8")
    row = f"| {layout.vendor} | {layout.shows} | {said} |"
    assert row in page.splitlines(), "run: python -m tests.vendor_layouts"


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.vendor)
def test_a_saved_layout_reads_the_same_without_a_look(tmp_path, layout, monkeypatch):
    (tmp_path / layout.file).write_bytes(layout.content)
    first = FileSource(path=str(tmp_path), **layout.keys)
    first.bars(layout.ticker)
    saved = first.layouts()
    for name in ("sniffing.sniff_file", "clocks.sniff_clock"):
        monkeypatch.setattr(f"forecast.data.sources.{name}", None)
    again = FileSource(path=str(tmp_path), layouts=saved)
    same(again.bars(layout.ticker), layout.bars)
    assert again.layouts() == saved


def test_a_folder_of_mixed_layouts(tmp_path):
    frames = {}
    for number, layout in enumerate(one for one in LAYOUTS if one.ticker == "X" and not one.refusal):
        name = f"T{number:02d}"
        ending = layout.file[layout.file.index(".") :]
        (tmp_path / f"{name}{ending}").write_bytes(layout.content)
        frames[name] = layout.bars
    source = FileSource(path=str(tmp_path))
    assert source.tickers() == sorted(frames)
    for name, bars in frames.items():
        same(source.bars(name), bars)
    again = FileSource(path=str(tmp_path), layouts=source.layouts())
    for name, bars in frames.items():
        same(again.bars(name), bars)


MONTHS = ["%d %b %Y", "%B %d, %Y", "%d-%b-%y"]


@st.composite
def files(draw):
    """A file in any mixture of what layouts are made of, and its bars."""
    count = draw(st.integers(25, 60))
    start = draw(
        st.dates(min_value=pd.Timestamp("1999-01-04").date(), max_value=pd.Timestamp("2024-01-04").date())
    )
    bars = make_bars(
        count, first=str(start), decimals=draw(st.sampled_from([2, 4])), seed=draw(st.integers(0, 9))
    )
    decimal = draw(st.sampled_from([".", ","]))
    thousands = draw(st.sampled_from(["", " ", "'", "\u202f", "." if decimal == "," else ","]))
    separator = draw(st.sampled_from([";", "\t", "|"] if decimal == "," else [",", ";", "\t", "|"]))
    date = draw(st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", *MONTHS, "s", "ms", "us",
                                 "ns", "excel"]))  # fmt: skip
    digits = draw(st.sampled_from([2, 4]))

    def number(value: float) -> str:
        text = f"{value:,.{digits}f}".translate(str.maketrans({",": "T", ".": "D"}))
        text = text.replace("T", thousands).replace("D", decimal)
        return f'"{text}"' if separator in text else text

    def day(when: pd.Timestamp) -> str:
        if date == "excel":
            return str((when - pd.Timestamp("1899-12-30")).days)
        if "%" not in date:
            return str(when.value // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[date])
        text = f"{when:{date}}"
        return f'"{text}"' if separator in text else text

    names = draw(st.sampled_from([("Date", "Open", "High", "Low", "Close", "Volume"),
                                  ("Datum", "Eröffnung", "Hoch", "Tief", "Schlusskurs", "Volumen"),
                                  ("日付", "始値", "高値", "安値", "終値", "出来高"),
                                  ("<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<VOL>")]))  # fmt: skip
    order = draw(st.permutations("OHLCV"))
    header = separator.join([names[0], *(names[1 + "OHLCV".index(letter)] for letter in order)])
    newest_first = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", separator + "\n"]))
    preamble = draw(st.sampled_from(["", "Historical prices\n\n", "# a comment\n"]))
    footer = draw(st.sampled_from(["", "\n\n", "End of data\n"]))
    text = preamble + table(
        header, day, "D" + "".join(order), bars=bars.round(digits), separator=separator, number=number, volume=number,
        newest_first=newest_first, end=end,
    ) + footer  # fmt: skip
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    content = text.encode(encoding)
    packed = draw(st.booleans())
    return (gzip.compress(content) if packed else content), bars.round(digits)


@given(files())
def test_what_is_written_in_any_layout_reads_back_the_same(tmp_path_factory, made):
    content, bars = made
    source = written(tmp_path_factory.mktemp("round"), content, file="X.csv")
    found = source.bars("X")
    same(found, bars)
    same(FileSource(path=source.path, layouts=source.layouts()).bars("X"), bars)


@given(st.lists(st.tuples(st.floats(1e-8, 1e12), st.floats(0, 1e15)), min_size=2, max_size=30))
def test_plain_numbers_of_any_size_read_back(tmp_path_factory, pairs):
    price, volume = np.array(pairs).T
    bars = pd.DataFrame(
        dict.fromkeys(("Open", "High", "Low", "Close"), price) | {"Volume": volume},
        index=pd.bdate_range("2020-01-01", periods=len(pairs), name="Date").as_unit("ns"),
    )
    folder = tmp_path_factory.mktemp("numbers")
    bars.to_csv(folder / "X.csv")
    bars.to_parquet(folder / "Y.parquet")
    pd.testing.assert_frame_equal(FileSource(path=str(folder)).bars("X"), bars, check_freq=False, rtol=1e-12)
    pd.testing.assert_frame_equal(FileSource(path=str(folder)).bars("Y"), bars, check_freq=False, rtol=0)


# Days and moments


HOURS = {
    "America/New_York": (9.5, 7),
    "Europe/Paris": (9, 9),
    "Asia/Tokyo": (9, 6),
    "America/Sao_Paulo": (10, 8),
}


def hours(zone: str) -> pd.DataFrame:
    """Hourly bars of whole sessions, in winter and summer, indexed by the market's own clock."""
    first, count = HOURS[zone]
    days = pd.bdate_range("2024-03-01", periods=40)
    index = pd.DatetimeIndex([day + timedelta(hours=first + hour) for day in days for hour in range(count)])
    bars = make_bars(len(index), seed=5).set_axis(index.tz_localize(zone).as_unit("ns"))
    return bars.rename_axis("Datetime")


def in_utc(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.set_axis(bars.index.tz_convert("UTC").tz_localize(None).rename("Date"))


@pytest.mark.parametrize(
    ("ticker", "zone"),
    [
        ("AAPL", "America/New_York"),
        ("AI.PA", "Europe/Paris"),
        ("7203.T", "Asia/Tokyo"),
        ("PETR4.SA", "America/Sao_Paulo"),
    ],
)
@pytest.mark.parametrize("written_as", ["offset", "naive", "epoch", "utc", "parquet"])
def test_intraday_bars_are_moments_in_utc_and_their_zone_is_reported(tmp_path, ticker, zone, written_as):
    bars = hours(zone)
    table = {
        "offset": bars,
        "naive": bars.set_axis(bars.index.tz_localize(None)),
        "epoch": bars.set_axis(bars.index.as_unit("s").asi8),
        "utc": bars.set_axis(bars.index.tz_convert("UTC")),
        "parquet": bars,
    }[written_as].rename_axis("Datetime")
    if written_as == "parquet":
        table.to_parquet(tmp_path / f"{ticker}.parquet")
    else:
        table.to_csv(tmp_path / f"{ticker}.csv")
    source = FileSource(path=str(tmp_path))
    same(source.bars(ticker), in_utc(bars))
    assert source.zone(ticker) == (zone if written_as not in ("epoch", "utc") else "UTC")
    assert "with times" in source.describe()[0]


def test_times_without_a_zone_are_refused_where_nothing_tells(tmp_path):
    index = pd.date_range("2024-01-01", periods=200, freq="h", name="Datetime")
    bars = make_bars(200).set_axis(index)
    bars.to_csv(tmp_path / "BTC-USD.csv")
    with pytest.raises(UserError, match=r"times such as 2024-01-01 00:00 have no zone; set source\.timezone"):
        FileSource(path=str(tmp_path)).bars("BTC-USD")
    found = FileSource(path=str(tmp_path), timezone="Asia/Tokyo").bars("BTC-USD")
    assert list(found.index) == list((index - pd.Timedelta(hours=9)).as_unit("ns"))


@pytest.mark.parametrize("text", ["utc", "naive", "epoch"])
@pytest.mark.parametrize(
    ("ticker", "zone", "calendar_days"),
    [
        ("AI.PA", "Europe/Paris", "B"),
        ("NONE", "Europe/Paris", "B"),
        ("VOD", "Europe/London", "B"),
        ("7203.T", "Asia/Tokyo", "B"),
        ("0700.HK", "Asia/Hong_Kong", "B"),
        ("2222.SR", "Asia/Riyadh", "C"),
        ("XX", "Asia/Riyadh", "C"),
    ],
)
def test_midnights_written_as_moments_of_another_zone_are_the_right_days(
    tmp_path, text, ticker, zone, calendar_days
):
    days = pd.date_range("2023-01-02", periods=330, freq="D")
    days = days[days.day_of_week < 5] if calendar_days == "B" else days[~days.day_of_week.isin([4, 5])]
    bars = make_bars(len(days)).set_axis(days.rename("Date").as_unit("ns"))
    moments = days.tz_localize(zone).tz_convert("UTC")
    index = {"utc": moments, "naive": moments.tz_localize(None), "epoch": moments.as_unit("ms").asi8}[text]
    bars.set_axis(index).rename_axis("Date").to_csv(tmp_path / f"{ticker}.csv")
    source = FileSource(path=str(tmp_path))
    same(source.bars(ticker), bars)
    assert source.zone(ticker) is not None
    same(FileSource(path=str(tmp_path), timezone=zone, clock="UTC").bars(ticker), bars)


def test_midnights_that_may_be_of_either_day_are_refused(tmp_path):
    days = pd.date_range("2024-01-01", periods=60, freq="D", tz="Asia/Shanghai").tz_convert(
        "UTC"
    )  # each at 16:00
    make_bars(60).set_axis(days.rename("Date")).to_csv(tmp_path / "COIN.csv")
    with pytest.raises(
        UserError, match=r"is 2024-02-28 in the zone written, 2024-02-29 in .*source\.timezone"
    ):
        FileSource(path=str(tmp_path)).bars("COIN")
    assert (
        str(FileSource(path=str(tmp_path), timezone="Asia/Shanghai").bars("COIN").index[0].date())
        == "2024-01-01"
    )
    assert str(FileSource(path=str(tmp_path), timezone="UTC").bars("COIN").index[0].date()) == "2023-12-31"


@pytest.mark.parametrize(
    ("stamps", "keys", "says"),
    [
        pytest.param(
            ["2024-01-02 09:00:00+09:00", "2024-01-03 09:00:00-05:00", "2024-01-04 09:00:00+09:00"],
            {}, r"mixes time zones, .*09:00-05:00 and .*\+09:00; set source\.timezone", id="mixed zones"),
        pytest.param(
            ["2024-01-02 09:00:00", "2024-01-02 10:00:00-05:00", "2024-01-02 11:00:00-05:00"],
            {}, r"some times have a zone .* and some have none", id="some with a zone"),
        pytest.param(
            ["2024-03-10 01:30:00", "2024-03-10 02:30:00", "2024-03-10 03:30:00"],
            {"timezone": "America/New_York"}, r"2024-03-10 02:30:00 does not exist in America/New_York",
            id="an hour that does not exist"),
        pytest.param(
            ["2024-11-03 00:30:00", "2024-11-03 01:30:00", "2024-11-03 02:30:00"],
            {"timezone": "America/New_York"}, r"2024-11-03 01:30:00 came twice in America/New_York",
            id="an hour that came twice, once"),
        pytest.param([f"2024-01-0{day}" for day in range(1, 8)] + [f"2024-01-08 {hour}:00" for hour in range(10, 17)], {},
                     r"holds days \(7 rows such as 2024-01-01\) and moments \(7 such as 2024-01-08 10:00\)", id="half days"),
        pytest.param(["1704153600", "1704240000000"], {}, r"two units since 1970.*source\.dates=epoch_ms", id="two units"),
        pytest.param(["739343", "739344"], {}, r"nor a unit since 1970.*'%y%m%d'", id="days since the year 0"),
        pytest.param(["638475264000000000"], {}, r"counts neither days of a spreadsheet nor", id="ticks of .NET"),
        pytest.param(["Jan-24", "Feb-24"], {}, r"Date='Jan-24' is no date as ymd.*source\.dates", id="month or day"),
        pytest.param(["2024-01-02", "2024-01-03", "soon"], {}, r"line 4: Date='soon' is no date", id="no date"),
        pytest.param(["2024-01-02", "2024-01-03", "2024-02-30"], {}, r"line 4: Date='2024-02-30' is no", id="no day"),
        pytest.param(["2024-01-02"], {"timezone": "Paris"}, r"source\.timezone=Paris: is no time zone .*Europe/Paris",
                     id="no zone"),
        pytest.param(["2024-01-02"], {"dates": "d/m/y"}, r"source\.dates=d/m/y: must be ymd, dmy", id="no format"),
        pytest.param(["2024-01-02"], {"columns": {"Price": "x"}}, r"source\.columns\.Price: must be one of Date", id="no name"),
        pytest.param(["2024-01-02"], {"columns": {"Close": "x"}}, r"source\.columns\.Close=x: no such column; it has Date",
                     id="no column"),
        pytest.param(["2024-01-02"], {"columns": {"Close": 9}}, r"source\.columns\.Close=9: the file has 6 columns",
                     id="no place"),
        pytest.param(["2024-01-02"], {"encoding": "klingon"}, r"source\.encoding=klingon: Python knows no", id="encoding"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line_or_key(tmp_path, stamps, keys, says):
    rows = "".join(f"{stamp},1,2,1,2,10\n" for stamp in stamps)
    with pytest.raises(UserError, match=says) as refusal:
        written(tmp_path, f"{OHLCV}\n{rows}", **keys).bars("X")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("step", [1, -1])
def test_an_hour_that_came_twice_is_reported_by_its_order(tmp_path, step):
    local = [
        "00:30",
        "01:00",
        "01:30",
        "01:00",
        "01:30",
        "02:30",
        *(f"{hour:02}:00" for hour in range(3, 24)),
    ]
    rows = "".join(f"2024-11-03 {clock}:00,1,2,1,2,10\n" for clock in local[::step])
    found = written(tmp_path, f"{OHLCV}\n{rows}", timezone="America/New_York").bars("X")
    assert [f"{moment:%H:%M}" for moment in found.index[:6]] == [
        "04:30",
        "05:00",
        "05:30",
        "06:00",
        "06:30",
        "07:30",
    ]
    assert found.index.is_monotonic_increasing


def test_times_whose_header_says_utc_need_no_key(tmp_path):
    moments = pd.date_range("2024-01-01", periods=60, freq="h")
    text = "Gmt time,Open,High,Low,Close,Volume\n" + "".join(f"{moment},1,2,1,2,10\n" for moment in moments)
    source = written(tmp_path, text)
    assert list(source.bars("X").index) == list(moments)
    assert source.zone("X") == "UTC"


def test_one_price_a_day_is_refused_with_the_keys_that_read_it(tmp_path):
    text = table("Date,NAV", vendor_layouts.iso, "DC")
    with pytest.raises(
        UserError, match=r"no column Open, High, Low, Close, Volume .*name its column for Open, High, Low"
    ):
        written(tmp_path, text).bars("X")
    keys = {"columns": {**dict.fromkeys(("Open", "High", "Low", "Close"), "NAV"), "Volume": "none"}}
    found = FileSource(path=str(tmp_path), **keys).bars("X")
    for name in ("Open", "High", "Low", "Close"):
        np.testing.assert_array_equal(found[name], BARS["Close"])


def test_epochs_out_of_order_are_left_to_the_health_check(tmp_path):
    text = table("time,open,high,low,close,volume", vendor_layouts.epoch(1000))
    header, *rows = text.splitlines()
    rows[3], rows[4] = rows[4], rows[3]
    source = written(tmp_path, "\n".join([header, *rows]))
    found = source.bars("X")
    assert not found.index.is_monotonic_increasing
    assert "unsorted" in source.describe()[0]


# Keys and what is said


def test_two_ways_of_writing_numbers_are_refused(tmp_path):
    text = f"{OHLCV}\n2024-01-02,1.5,2.5,1.5,1.75,10\n" + '2024-01-03,"1,5","2,5","1,5","1,75",10\n'
    with pytest.raises(UserError, match=r"writes its numbers in two ways"):
        written(tmp_path, text).bars("X")


def test_a_change_in_percent_tells_what_the_prices_do_not(tmp_path):
    text = "Datum;Open;High;Low;Close;Volume;Change\n" + "".join(
        f"2024-01-0{day};1.234;1.236;1.233;1.235;7;0,{day}1%\n" for day in range(2, 6)
    )
    assert written(tmp_path, text).bars("X")["Open"].tolist() == [1234.0] * 4


def test_three_decimals_in_a_file_of_semicolons_are_ambiguous(tmp_path):
    text = table("Datum;Open;High;Low;Close;Volume", vendor_layouts.iso, separator=";", number="{:.3f}".format,
                 bars=CALM.round(3), volume=lambda _: "7")  # fmt: skip
    with pytest.raises(
        UserError, match=r"source\.decimal='\.' \(decimals\) or source\.decimal=',' \(thousands\)"
    ):
        written(tmp_path, text).bars("X")
    found = FileSource(path=str(tmp_path), decimal=".").bars("X")
    np.testing.assert_allclose(found["Close"], CALM["Close"].round(3))


def test_other_columns_are_numbers_too(tmp_path):
    text = table("Date,Open,High,Low,Close,Volume,Change %,Sentiment,Note", vendor_layouts.iso, "DOHLCVpsn",
                 fixed={"p": "-1.5%", "s": "0.25", "n": "up"}, newest_first=True)  # fmt: skip
    others = written(tmp_path, text).columns_of("X")
    assert list(others.columns) == ["Change %", "Sentiment"]
    assert others.iloc[0].tolist() == [-0.015, 0.25]
    assert list(others.index) == list(BARS.index)  # oldest first, as the bars


def test_a_file_of_other_things_than_bars_has_columns(tmp_path):
    source = written(
        tmp_path, "observation_date,DGS10\n2024-01-02,3.95\n2024-01-03,.\n2024-01-04,4.0\n", file="DGS10.csv"
    )
    others = source.columns_of("DGS10")
    assert others["DGS10"].tolist()[::2] == [3.95, 4.0]
    assert np.isnan(others["DGS10"].iloc[1])
    with pytest.raises(UserError, match="no column Open, High, Low, Close, Volume"):
        source.bars("DGS10")


def test_what_was_understood_is_reported_in_words(tmp_path):
    layouts = {one.vendor: one for one in LAYOUTS}
    written(tmp_path, layouts["Investing.com, German"].content)
    source = FileSource(path=str(tmp_path))
    source.bars("X")
    (line,) = source.describe()
    for part in (
        "X: separator ','",
        "dates dmy",
        "decimal ',', thousands '.'",
        "newest first",
        "Close = Zuletzt",
    ):
        assert part in line
    written(tmp_path, layouts["Yahoo Finance, table of the page"].content)
    source = FileSource(path=str(tmp_path))
    source.bars("X")
    assert "left out 2 rows of dividends or splits" in source.describe()[0]


def test_a_file_that_is_no_longer_as_saved_is_refused_with_the_way_out(tmp_path):
    source = written(tmp_path, vendor_layouts.ISO_CSV)
    source.bars("X")
    saved = source.layouts()
    written(tmp_path, vendor_layouts.ISO_CSV.replace("Close", "Last"))
    with pytest.raises(
        UserError, match=r"has no column 'Close' for Close.*source\.layouts=null looks at the file anew"
    ):
        FileSource(path=str(tmp_path), layouts=saved).bars("X")
    same(FileSource(path=str(tmp_path), layouts=None).bars("X"), BARS)


def test_a_key_for_one_ticker_of_a_folder(tmp_path):
    british = table(OHLCV, lambda day: f"{day:%d/%m/%Y}", bars=vendor_layouts.SUBSET)
    written(tmp_path, british, file="UK.csv")
    written(tmp_path, table(OHLCV, lambda day: f"{day:%m/%d/%Y}"), file="US.csv")
    source = FileSource(path=str(tmp_path), layouts=[{"tickers": ["UK"], "dates": "dmy"}])
    same(source.bars("US"), BARS)
    same(source.bars("UK"), vendor_layouts.SUBSET)
    with pytest.raises(UserError, match=r"source\.layouts: sheet is no part of a layout; known are"):
        FileSource(path=str(tmp_path), layouts=[{"sheet": 1}]).bars("US")


@pytest.mark.parametrize(
    "text", [b"", b"\n\n", b"\x00\x01\x02" * 40, string.printable.encode(), b"a,b\n1,2\n", b"PK\x03\x04zip"]
)
def test_anything_at_all_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(UserError) as refusal:
        written(tmp_path, text).bars("X")
    assert "X.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(
    st.binary(max_size=300)
    | st.text(alphabet="0123456789,.;:-/ \n\"'DateOpnHighLwCsVum", max_size=300).map(str.encode)
)
def test_no_bytes_break_the_reader(tmp_path_factory, content):
    message = ""
    try:
        written(tmp_path_factory.getbasetemp(), content, file="fuzz.csv").bars("fuzz")
    except UserError as error:
        message = str(error)
    assert "\n" not in message


def test_a_run_saves_how_its_files_are_written_and_predictions_obey_it(tmp_path):
    from forecast.predict import future

    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "UK.csv").write_text(table(OHLCV, lambda day: f"{day:%d/%m/%Y}"))
    small = (
        "data.tickers=[UK]",
        "data.seq_len=5",
        "trainer=smoke",
        "baselines=none",
        "tracker=none",
        "plots=false",
    )
    done = commands.run(tmp_path, "source=files", "source.path=bars", *small, "hydra.run.dir=run")
    assert done.code == 0, done.err
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["source"]["layouts"]
    assert saved == json.loads((tmp_path / "run" / "data.json").read_text())["layouts"]
    assert saved[0]["dates"] == "dmy"
    assert commands.run(tmp_path, "-cd", "run", "-cn", "config", "hydra.run.dir=again").code == 0
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "again")]
    assert metrics[0]["test_rmse"] == metrics[1]["test_rmse"]
    # A file whose days alone would no longer tell days from months.
    (folder / "UK.csv").write_text(table(OHLCV, lambda day: f"{day:%d/%m/%Y}", bars=vendor_layouts.SUBSET))
    with pytest.raises(UserError, match=r"source\.dates=dmy"):
        FileSource(path=str(folder)).bars("UK")
    (row,) = future(tmp_path / "run").table.to_dict("records")
    assert str(row["origin"])[:10] == str(vendor_layouts.SUBSET.index[-1].date())
