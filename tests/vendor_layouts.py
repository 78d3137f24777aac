"""Files as vendors write them, made from one table of bars, and what is to be read of them.

`python -m tests.vendor_layouts` writes the table in docs/data.md; a test holds it against what is really read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- vendor layouts -->\n", "<!-- end -->"


def make_bars(
    count: int = 45, *, first: str = "2024-04-01", decimals: int = 2, seed: int = 0
) -> pd.DataFrame:
    """Daily bars of a market that opens Monday to Friday, prices between 100 and 9,999."""
    random = np.random.default_rng(seed)
    close = np.round(3000 * np.exp(np.cumsum(random.normal(0, 0.02, count))), decimals)
    opening = np.round(close * np.exp(random.normal(0, 0.01, count)), decimals)
    high = np.round(np.maximum(opening, close) * 1.01, decimals)
    low = np.round(np.minimum(opening, close) * 0.99, decimals)
    volume = random.integers(1_000_000, 9_000_000, count).astype(float)
    index = pd.DatetimeIndex(pd.bdate_range(first, periods=count), name="Date").as_unit("ns")
    values = {"Open": opening, "High": high, "Low": low, "Close": close, "Volume": volume}
    return pd.DataFrame(values, index=index)


BARS = make_bars()
OTHER = make_bars(seed=1)
CALM = BARS / [100, 100, 100, 100, 1]  # two more decimals
CALM[["Open", "High", "Low", "Close"]] = CALM[["Open", "High", "Low", "Close"]].round(4)


@dataclass(frozen=True)
class Layout:
    """A file of one vendor.

    Args:
        vendor: who writes so.
        shows: what is special about it.
        file: its name.
        content: of it.
        ticker: to ask for.
        bars: that must come out; None = refused.
        keys: of the source, without which it is refused with the first of them.
    """

    vendor: str
    shows: str
    file: str
    content: bytes
    ticker: str = "X"
    bars: pd.DataFrame | None = field(default=None, repr=False)
    keys: dict[str, object] = field(default_factory=dict)
    refusal: str = ""


def lines(rows: Iterable[Iterable[object]], separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(map(str, row)) + end for row in rows)


def table(
    header: str,
    date: Callable[[pd.Timestamp], str],
    columns: str = "OHLCV",
    *,
    bars: pd.DataFrame = BARS,
    separator: str = ",",
    number: Callable[[float], str] = "{:.2f}".format,
    volume: Callable[[float], str] = "{:.0f}".format,
    newest_first: bool = False,
    end: str = "\n",
    fixed: dict[str, str] | None = None,
) -> str:
    """A header and a row a bar; `columns` has a letter for each: D date, O H L C V, others from `fixed`."""
    names = {"O": "Open", "H": "High", "L": "Low", "C": "Close"}
    fixed = fixed or {}
    rows = []
    for day, bar in bars.iloc[:: -1 if newest_first else 1].iterrows():
        cells = []
        for letter in columns if "D" in columns else "D" + columns:
            if letter == "D":
                cells.append(date(day))
            elif letter == "V":
                cells.append(volume(bar["Volume"]))
            elif letter in names:
                cells.append(number(bar[names[letter]]))
            else:
                cells.append(fixed[letter])
        rows.append(separator.join(cells) + end)
    return (header + end if header else "") + "".join(rows)


def iso(day: pd.Timestamp) -> str:
    return f"{day:%Y-%m-%d}"


def as_comma(text: Callable[[float], str]) -> Callable[[float], str]:
    swap = str.maketrans({",": ".", ".": ","})
    return lambda value: text(value).translate(swap)


def quoted(text: Callable[..., str]) -> Callable[..., str]:
    return lambda value: f'"{text(value)}"'


def epoch(unit: int) -> Callable[[pd.Timestamp], str]:
    return lambda day: str(day.value // 10**9 * unit)


def indian(value: float) -> str:
    digits = f"{value:.2f}"
    whole, _, part = digits.partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ",".join([*groups, tail]) + "." + part


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


MILLIONS = BARS.assign(Volume=(BARS["Volume"] / 1e4).round() * 1e4)  # as 1.65M says them
GROUPED = "{:,.2f}".format
COMMA, COMMA_GROUPED = as_comma("{:.2f}".format), as_comma(GROUPED)
ISO_CSV = table("Date,Open,High,Low,Close,Volume", iso)


def in_millions(value: float) -> str:
    return f"{value / 1e6:.2f}M"


def wide(rows: tuple[str, ...], frames: dict[str, pd.DataFrame], fields: str, *, by_ticker: bool) -> str:
    """Header of two lines or three, then a row a day of all tickers."""
    names = {"O": "Open", "H": "High", "L": "Low", "C": "Close", "V": "Volume"}
    pairs = (
        [(t, f) for t in frames for f in fields] if by_ticker else [(t, f) for f in fields for t in frames]
    )
    said = {
        "fields": [names[f] for _, f in pairs],
        "tickers": [t for t, _ in pairs],
        "index": [""] * len(pairs),
    }
    text = "".join(",".join([row.partition(":")[2], *said[row.partition(":")[0]]]) + "\n" for row in rows)
    for day in next(iter(frames.values())).index:
        text += ",".join([iso(day), *(repr(float(frames[t].loc[day, names[f]])) for t, f in pairs)]) + "\n"
    return text


def _dividends(text: str) -> str:
    rows = text.splitlines(keepends=True)
    return "".join(
        [*rows[:9], '"May 15, 2024",0.24 Dividend,,,,,\n', *rows[9:], '"Apr 2, 2024",2:1 Stock Splits,,,,,\n']
    )


HALF = BARS.assign(**{c: BARS[c] * 0.5 for c in ("Open", "High", "Low", "Close")})
LONG = "".join(
    table(
        "" if t != "AAL" else "date,open,high,low,close,volume,Name", iso, "DOHLCVN", bars=b, fixed={"N": t}
    )
    for t, b in (("AAL", BARS), ("ZTS", OTHER))
)
MONTHLY = BARS.set_axis(pd.date_range("2019-01-01", periods=len(BARS), freq="MS", name="Date").as_unit("ns"))
WEEKLY = BARS.set_axis(
    pd.date_range("2023-01-02", periods=len(BARS), freq="W-MON", name="Date").as_unit("ns")
)
OLD = make_bars(first="1962-04-02")
ARABIC = str.maketrans("0123456789.,", "٠١٢٣٤٥٦٧٨٩٫٬")
SUBSET = BARS[BARS.index.day <= 12]


def layouts() -> list[Layout]:
    """All of them."""

    def text(vendor: str, shows: str, content: str | bytes, *, file: str = "X.csv", encoding: str = "utf-8",
             bars: pd.DataFrame | None = BARS, **more: object) -> Layout:  # fmt: skip
        raw = content if isinstance(content, bytes) else content.encode(encoding)
        return Layout(vendor, shows, file, raw, bars=bars, **more)  # type: ignore[arg-type]

    us = lambda day: f"{day:%m/%d/%Y}"  # noqa: E731
    german = lambda day: f"{day:%d.%m.%Y}"  # noqa: E731
    british = lambda day: f"{day:%d/%m/%Y}"  # noqa: E731
    compact = lambda day: f"{day:%Y%m%d}"  # noqa: E731
    monthname = quoted(lambda day: f"{day:%b} {day.day}, {day:%Y}")
    ohlcv = "Date,Open,High,Low,Close,Volume"
    return [
        text("Yahoo Finance, download", "Adj Close",
             table("Date,Open,High,Low,Close,Adj Close,Volume", iso, "DOHLCCV")),
        text("Yahoo Finance, table of the page", "month names, thousands, rows of dividends and splits, newest first",
             _dividends(table("Date,Open,High,Low,Close*,Adj Close**,Volume", monthname, "DOHLCCV", newest_first=True,
                              number=quoted(GROUPED), volume=quoted("{:,.0f}".format)))),
        text("yfinance, `download`", "header of three lines, names first",
             wide(("fields:Price", "tickers:Ticker", "index:Date"), {"MSFT": BARS}, "CHLOV", by_ticker=False)),
        text("yfinance, `download(group_by='ticker')`", "tickers first, two of them", ticker="MSFT",
             content=wide(("tickers:Ticker", "fields:Price", "index:Date"), {"AAPL": OTHER, "MSFT": BARS}, "OHLCV",
                          by_ticker=True)),
        text("yfinance before 0.2.51, `download`", "no names of the lines", ticker="MSFT",
             content=wide(("fields:", "tickers:", "index:Date"), {"AAPL": OTHER, "MSFT": BARS}, "CHLOV", by_ticker=False)),
        text("yfinance, `history`", "local midnights with their offset, winter and summer",
             table("Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
                   lambda day: str(day.tz_localize("America/New_York")), "DOHLCVdd", bars=make_bars(45, first="2024-02-01"),
                   fixed={"d": "0.0"}), bars=make_bars(45, first="2024-02-01")),
        text("Stooq, download", "plain", ISO_CSV, file="aapl_us_d.csv", ticker="aapl_us_d"),
        text("Stooq, data pack", "names in brackets, ticker in a column, time of zeros",
             table("<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>", compact, "TPDZOHLCVo",
                   fixed={"T": "AAPL.US", "P": "D", "Z": "000000", "o": "0"}), file="aapl.us.txt", ticker="AAPL.US"),
        text("Stooq, Polish", "names in Polish", table("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen", iso)),
        text("Nasdaq.com", "currency signs, months first, newest first, Close/Last",
             table("Date,Close/Last,Volume,Open,High,Low", us, "DCVOHL", number="${:.2f}".format, newest_first=True)),
        text("Investing.com, English", "byte-order mark, all quoted, Price, Vol. in millions, percent",
             "\ufeff" + table('"Date","Price","Open","High","Low","Vol.","Change %"', quoted(us), "DCOHLVp", bars=MILLIONS,
                              number=quoted(GROUPED), volume=quoted(in_millions), fixed={"p": '"1.23%"'}, end="\r\n",
                              newest_first=True), bars=MILLIONS),
        text("Investing.com, German", "names in German, 28.06.2024, 1.234,56",
             table('"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"', quoted(german), "DCOHLVp", bars=MILLIONS,
                   number=quoted(COMMA_GROUPED), volume=quoted(as_comma(in_millions)), fixed={"p": '"1,23%"'},
                   newest_first=True), bars=MILLIONS),
        text("Investing.com, Portuguese", "names in Portuguese",
             table('"Data","Último","Abertura","Máxima","Mínima","Vol.","Var%"', quoted(german), "DCOHLVp", bars=MILLIONS,
                   number=quoted(COMMA_GROUPED), volume=quoted(as_comma(in_millions)), fixed={"p": '"-0,4%"'}), bars=MILLIONS),
        text("Investing.com, Turkish", "names in Turkish",
             table('"Tarih","Şimdi","Açılış","Yüksek","Düşük","Hac.","Fark %"', quoted(german), "DCOHLVp", bars=MILLIONS,
                   number=quoted(COMMA_GROUPED), volume=quoted(as_comma(in_millions)), fixed={"p": '"0,4%"'}), bars=MILLIONS),
        text("Investing.com, Arabic", "names in Arabic",
             table('"التاريخ","الإغلاق","الافتتاح","الأعلى","الأدنى","الحجم","التغير %"', quoted(us), "DCOHLVp", bars=MILLIONS,
                   number=quoted(GROUPED), volume=quoted(in_millions), fixed={"p": '"0.4%"'}), bars=MILLIONS),
        text("Investing.com, Japanese", "2024年06月28日, names in Japanese",
             table('"日付け","終値","始値","高値","安値","出来高","変化率 %"', quoted(lambda d: f"{d:%Y年%m月%d日}"), "DCOHLVp",
                   bars=MILLIONS, number=quoted(GROUPED), volume=quoted(in_millions), fixed={"p": '"0.1%"'}), bars=MILLIONS),
        text("Investing.com, Russian", "names in Russian",
             table('"Дата","Цена","Откр.","Макс.","Мин.","Объём","Изм. %"', quoted(german), "DCOHLVp", bars=MILLIONS,
                   number=quoted(COMMA_GROUPED), volume=quoted(as_comma(in_millions)), fixed={"p": '"1,23%"'}), bars=MILLIONS),
        text("Alpha Vantage, CSV", "timestamp, newest first", table("timestamp,open,high,low,close,volume", iso, newest_first=True)),
        text("Alpha Vantage, JSON saved by pandas", "numbered names, nameless index",
             table(",1. open,2. high,3. low,4. close,5. volume", iso)),
        text("Tiingo", "adjusted columns of everything",
             table("date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor",
                   lambda day: f"{day:%Y-%m-%d}T00:00:00.000Z", "DCHLOVCHLOVds", fixed={"d": "0.0", "s": "1.0"})),
        text("EODHD", "Adjusted_close", table("Date,Open,High,Low,Close,Adjusted_close,Volume", iso, "DOHLCCV")),
        text("Polygon, flat file", "nanoseconds, ticker in a column",
             table("ticker,volume,open,close,high,low,window_start,transactions", epoch(10**9), "TVOCHLDn",
                   fixed={"T": "X", "n": "7"})),
        text("Databento", "nanoseconds as ISO, symbol in a column",
             table("ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol",
                   lambda day: f"{day:%Y-%m-%d}T00:00:00.000000000Z", "DrpiOHLCVs",
                   fixed={"r": "35", "p": "2", "i": "38", "s": "X"})),
        text("Alpaca", "UTC moments of New York's midnight, winter and summer",
             table("timestamp,open,high,low,close,volume,trade_count,vwap",
                   lambda d: f"{d.tz_localize('America/New_York').tz_convert('UTC'):%Y-%m-%dT%H:%M:%SZ}", "DOHLCVnC",
                   bars=make_bars(45, first="2024-02-01"), fixed={"n": "9"}), bars=make_bars(45, first="2024-02-01")),
        text("Binance, klines before 2025", "no header, milliseconds", file="X-1d.csv",
             content=table("", epoch(1000), "DOHLCVtqnqqi", fixed={"t": "1711929599999", "q": "1.5", "n": "9", "i": "0"})),
        text("Binance, klines since 2025", "no header, microseconds",
             table("", epoch(10**6), "DOHLCVtqnqqi", fixed={"t": "1711929599999999", "q": "1.5", "n": "9", "i": "0"})),
        text("Binance, with header", "open_time and close_time",
             table("open_time,open,high,low,close,volume,close_time,quote_volume,count", epoch(1000), "DOHLCVtqn",
                   fixed={"t": "1711929599999", "q": "1.5", "n": "9"})),
        text("Kraken, OHLCVT", "no header, seconds", table("", epoch(1), "DOHLCVn", fixed={"n": "17"})),
        text("CoinMarketCap", "semicolons, quoted moments of a day's end",
             table("timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp",
                   lambda day: f'"{day:%Y-%m-%d}T23:59:59.999Z"', "tthlnOHLCVmD", separator=";",
                   fixed={"t": '"2024-01-01T00:00:00.000Z"', "h": "x", "l": "x", "n": '"2781"', "m": "1.5"})),
        text("Coinbase, candles", "no header, Low and High before Open", bars=BARS, refusal="source.columns=",
             content=table("", epoch(1), "DLHOCV"), keys={"columns": {"Date": 1, "Low": 2, "High": 3, "Open": 4, "Close": 5, "Volume": 6}}),
        text("CryptoDataDownload", "a web address above the header, two volumes", refusal="source.columns.Volume",
             content="https://www.CryptoDataDownload.com\n" + table(
                 "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD", lambda d: f"{d.value // 10**9},{d} 00:00:00"[:21],
                 "DsOHLCVm", fixed={"s": "BTC/USD", "m": "5.5"}), keys={"columns": {"Volume": "Volume BTC"}}),
        text("MetaTrader 5", "tabs, names in brackets, real volume 0", table(
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>", lambda d: f"{d:%Y.%m.%d}", "DOHLCVzs",
            separator="\t", fixed={"z": "0", "s": "12"})),
        text("MetaTrader 4", "no header, date and time in two columns", file="X_D1.csv",
             content=table("", lambda d: f"{d:%Y.%m.%d},00:00", "DOHLCV")),
        text("Dukascopy", "28.06.2024 00:00:00.000", table("Gmt time,Open,High,Low,Close,Volume",
                                                            lambda d: f"{d:%d.%m.%Y} 00:00:00.000")),
        text("Finam", "semicolons, names in brackets", table("<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>",
             compact, "TPDZOHLCV", separator=";", fixed={"T": "SBER", "P": "D", "Z": "000000"})),
        text("B3, Brazil", "semicolons, decimal commas, Latin-1", encoding="latin-1",
             content=table("Data;Abertura;Máxima;Mínima;Fechamento;Volume", british, separator=";", number=COMMA)),
        text("Bolsa de Madrid", "names in Spanish, 1.234,56",
             table("Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen", british, separator=";", number=COMMA_GROUPED)),
        text("Boursorama", "tabs, a tab at each end, times of zeros", table("date\touv\thaut\tbas\tclot\tvol\tdevise\t",
             lambda d: f"{d:%d/%m/%Y} 00:00", "DOHLCVe", separator="\t", fixed={"e": "EUR\t"})),
        text("Borsa Italiana", "names in Italian", table("Data;Apertura;Massimo;Minimo;Chiusura;Volume", british,
                                                       separator=";", number=COMMA)),
        text("ariva.de", "Stuecke and Volumen", table("Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen", iso, "DOHLCVu",
             separator=";", number=COMMA_GROUPED, volume=as_comma("{:,.0f}".format), fixed={"u": "1.234.567"})),
        text("Euronext", "four lines above the header, Last and Close", "Historical Data\nFrom 2024-04-01 to 2024-06-28\n"
             "NL0000235190\n\n" + table("Date;Open;High;Low;Last;Close;Number of Shares;Number of Trades;Turnover", british,
                                        "DOHLlCVnt", separator=";", fixed={"l": "1.00", "n": "5", "t": "9"})),
        text("Nasdaq Nordic", "sep=; in its first line", "sep=;\n" + table(
            "Date;Bid;Ask;Opening price;High price;Low price;Closing price;Average price;Total volume;Turnover;Trades",
            iso, "DbbOHLCbVbb", separator=";", number=COMMA, fixed={"b": "1,5"})),
        text("NSE, India", "28-Jun-2024, blanks behind names, 12,34,567", table(
            '"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","vwap ","VOLUME "',
            quoted(lambda d: f"{d:%d-%b-%Y}"), "DsOHLppCpV", number=quoted(indian),
            volume=quoted(lambda v: indian(v)[:-3]), fixed={"s": '"EQ"', "p": '"1.00"'})),
        text("BSE, India", "28-June-2024, No.of Shares", table(
            "Date,Open Price,High Price,Low Price,Close Price,WAP,No.of Shares,No. of Trades", lambda d: f"{d:%d-%B-%Y}",
            "DOHLCwVn", fixed={"w": "1.5", "n": "7"})),
        text("TWSE, Taiwan", "years of Taiwan, names in Chinese, Big5, prose above and below", encoding="big5",
             file="STOCK_DAY_2330_202404.csv", ticker="2330", content='"113年04月 2330 各日成交資訊"\n' + table(
                 '"日期","成交股數","成交金額","開盤價","最高價","最低價","收盤價","漲跌價差",', quoted(lambda d: f"{d.year - 1911}/{d:%m/%d}"),
                 "DVaOHLCc", number=quoted(GROUPED), volume=quoted("{:,.0f}".format), fixed={"a": '"9"', "c": '"+1.00",'})
             + '"說明:"\n"當日統計資訊含一般、零股、盤後定價、鉅額交易，不含拍賣、標購。"\n'),
        text("HKEX, Hong Kong", "names in Chinese", table("日期,收市價,開市價,最高,最低,成交量(股)", lambda d: f"{d:%Y/%m/%d}",
                                                       "DCOHLV", number=quoted(GROUPED))),
        text("MOEX, Russia", "a word and a blank line above the header, begin and end", "candles\n\n" + table(
            "open;close;high;low;value;volume;begin;end", lambda d: f"{d:%Y-%m-%d} 00:00:00;{d:%Y-%m-%d} 23:59:59", "OCHLvVD",
            separator=";", fixed={"v": "1.5"})),
        text("NSE, India, bhavcopy", "TOTTRDQTY, all shares", ticker="TCS", content="".join(
            table("SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,TOTTRDQTY,TIMESTAMP,ISIN," if t == "INFY" else "",
                  lambda d: f"{d:%d-%b-%Y}".upper(), "tsOHLCcVDi", bars=b, fixed={"t": t, "s": "EQ", "c": "1.0", "i": "IN1,"})
            for t, b in (("INFY", OTHER), ("TCS", BARS)))),
        text("LSEG Workspace", "lines above the header, 28-Jun-2024, newest first", "Price History\nTesla (TSLA.O)\n,,,,\n" + table(
            "Exchange Date,Close,Net,%Chg,Open,Low,High,Volume", lambda d: f"{d:%d-%b-%Y}", "DCnpOLHV", newest_first=True,
            fixed={"n": "+1.2", "p": "+0.5%"})),
        text("Interactive Brokers", "the zone's name behind the time", table(
            "date,open,high,low,close,volume,average,barCount", lambda d: f"{d:%Y%m%d} 00:00:00 US/Eastern", "DOHLCVan",
            fixed={"a": "3.5", "n": "12"})),
        text("Tushare", "20240628, newest first", table(
            "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount", compact, "TDOHLCpppVp",
            newest_first=True, fixed={"T": "600000.SH", "p": "1.5"})),
        text("Eastmoney", "names in Chinese, GB 18030", encoding="gb18030",
             content=table("日期,股票代码,开盘,收盘,最高,最低,成交量,成交额", iso, "DsOCHLVa", fixed={"s": "600000", "a": "1.5"})),
        text("Japanese brokers", "Shift JIS, 2024/6/28", encoding="cp932",
             content=table("日付,始値,高値,安値,終値,出来高", lambda d: f"{d.year}/{d.month}/{d.day}")),
        text("KRX, Korea", "names in Korean, EUC-KR", encoding="euc-kr",
             content=table("일자,종가,시가,고가,저가,거래량", lambda d: f"{d:%Y/%m/%d}", "DCOHLV")),
        text("Quandl WIKI", "Adj. Open to Adj. Volume", table(
            "Date,Open,High,Low,Close,Volume,Ex-Dividend,Split Ratio,Adj. Open,Adj. High,Adj. Low,Adj. Close,Adj. Volume",
            iso, "DOHLCVdsOHLCV", fixed={"d": "0.0", "s": "1.0"})),
        text("Sharadar", "one file of all tickers, closeadj", ticker="ZTS", bars=OTHER, content="".join(
            table("ticker,date,open,high,low,close,volume,closeadj" if t == "AAL" else "", iso, "TDOHLCVC", bars=b,
                  fixed={"T": t}) for t, b in (("AAL", BARS), ("ZTS", OTHER)))),
        text("Kaggle, all_stocks_5yr", "one file of all tickers", LONG, file="all_stocks_5yr.csv", ticker="AAL"),
        text("TradingView", "seconds since 1970", table("time,open,high,low,close,Volume", epoch(1))),
        text("Barchart", "Last, a line below the rows", table("Time,Open,High,Low,Last,Change,%Chg,Volume", us, "DOHLCccV",
             fixed={"c": "0.1"}, newest_first=True) + '"Downloaded from Barchart.com as of 06-28-2024 05:10pm CDT"\n'),
        text("Wall Street Journal", "06/28/24, blanks behind commas", table("Date, Open, High, Low, Close, Volume",
             lambda d: f"{d:%m/%d/%y}", separator=", ")),
        text("GOOGLEFINANCE, sheet", "days at the hour of the close", table(ohlcv, lambda d: f"{d.month}/{d.day}/{d.year} 16:00:00")),
        text("Spreadsheet", "dates as serial numbers", table(ohlcv, lambda d: str((d - pd.Timestamp("1899-12-30")).days))),
        text("Spreadsheet, Swiss", "1'234.50", table("Datum;Eröffnung;Hoch;Tief;Schluss;Volumen", german, separator=";",
             number=lambda v: GROUPED(v).replace(",", "'"))),
        text("Spreadsheet, French", "1 234,50 with narrow blanks", table("Date;Ouverture;Plus haut;Plus bas;Clôture;Volume",
             british, separator=";", number=lambda v: GROUPED(v).replace(",", "\u202f").replace(".", ","))),
        text("Spreadsheet, unicode text", "UTF-16, tabs", table(ohlcv.replace(",", "\t"), iso, separator="\t"), encoding="utf-16"),
        text("Macrotrends", "lines of prose above the header", '"Macrotrends Data Download"\n\n'
             '"DISCLAIMER: for information only, of historical prices, not advice"\n\n\n'
             + table("date,open,high,low,close,volume", iso)),
        text("Comments", "lines that begin with #", "# made by a script\n# 2024\n" + ISO_CSV + "# end\n"),
        text("pandas, `to_csv`", "nameless index", table(",Open,High,Low,Close,Volume", iso)),
        text("pandas, levels joined", "Close_AAPL, Close_MSFT", ticker="MSFT", content="Date," + ",".join(
            f"{c}_{t}" for c in BARS for t in ("AAPL", "MSFT")) + "\n" + "".join(iso(d) + "".join(
                f",{frame.loc[d, c]}" for c in BARS for frame in (OTHER, BARS)) + "\n" for d in BARS.index)),
        text("pandas, `to_markdown`", "a line drawn below the header", ISO_CSV.replace("Volume\n", "Volume\n-,-,-,-,-,-\n", 1)
             .replace(",-", ",---").replace("\n-,", "\n---,").replace(",", " | "), file="X.txt"),
        text("Files joined by `cat`", "the header again among the rows", "\n".join(
            [*ISO_CSV.splitlines()[:20], *ISO_CSV.splitlines()[:1], *ISO_CSV.splitlines()[20:]])),
        text("Months", "2024-06", table(ohlcv, lambda d: f"{d:%Y-%m}", bars=MONTHLY), bars=MONTHLY),
        text("pandas, `to_string`", "columns aligned by blanks", BARS.to_string(), file="X.txt"),
        text("pandas, `to_string(index=False)`", "one blank between fields", BARS.reset_index().to_string(index=False),
             file="X.txt"),
        text("LSEG Eikon", "Trade Open to Trade Volume, 28-Jun-24", "RIC,AAPL.O\nInterval,Daily\n\n" + table(
            "Date,Trade Close,Trade Open,Trade High,Trade Low,Trade Volume", lambda d: f"{d:%d-%b-%y}", "DCOHLV")),
        text("R, quantmod", "AAPL.Open to AAPL.Adjusted", table('"","AAPL.Open","AAPL.High","AAPL.Low","AAPL.Close",'
             '"AAPL.Volume","AAPL.Adjusted"', quoted(iso), "DOHLCVC"), file="AAPL.csv", ticker="AAPL"),
        text("Kraken, API", "no header, an average price before the volume", "".join(
            f"{d.value // 10**9},{b.Open},{b.High},{b.Low},{b.Close},{(b.High + b.Low) / 2:.4f},{b.Volume},17\n"
            for d, b in BARS.iterrows())),
        text("NSE, India, full bhavcopy", "DATE1, TTL_TRD_QNTY", table(
            "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, TTL_TRD_QNTY",
            lambda d: f"{d:%d-%b-%Y}", "tsDpOHLpCV", separator=", ", fixed={"t": "TCS", "s": "EQ", "p": "12.5"})),
        text("B3, Brazil, quantities", "Quantidade, beside which Volume is money", table(
            "Data;Abertura;Mínimo;Máximo;Último;Quantidade;Volume", british, "DOLHCVv", separator=";", number=COMMA,
            fixed={"v": "123456789,00"})),
        text("Arabic digits", "٢٠٢٤-٠٦-٢٨, ٣٫٠١٣٬٧٦", table(
            "التاريخ;الافتتاح;الأعلى;الأدنى;الإغلاق;الحجم", lambda d: iso(d).translate(ARABIC), separator=";",
            number=lambda v: GROUPED(v).translate(ARABIC), volume=lambda v: f"{v:.0f}".translate(ARABIC))),
        text("SET, Thailand", "28 มิ.ย. 2567: months and years of Thailand", table(
            '"วันที่","ราคาเปิด","ราคาสูงสุด","ราคาต่ำสุด","ราคาปิด","ปริมาณ"',
            quoted(lambda d: f"{d.day} {['เม.ย.', 'พ.ค.', 'มิ.ย.'][d.month - 4]} {d.year + 543}"), number=quoted(GROUPED))),
        text("Japan, years of an era", "令和6年6月28日(金)", table("日付,始値,高値,安値,終値,出来高",
                                                     lambda d: f"令和{d.year - 2018}年{d.month}月{d.day}日({'月火水木金土日'[d.weekday()]})")),
        text("psql", "a ruler and a count of rows", " date | open | high | low | close | volume\n------+------\n" + "".join(
            f" {iso(d)} | {b.Open} | {b.High} | {b.Low} | {b.Close} | {b.Volume:.0f}\n" for d, b in BARS.iterrows())
            + "(45 rows)\n", file="X.txt"),
        text("Files joined with their titles", "titles, blank lines, headers among the rows", "\n".join(
            ["X 2023", *ISO_CSV.splitlines()[:20], "", "X 2024", ohlcv.upper(), *ISO_CSV.splitlines()[20:], "Total,,,,,9999"])),
        text("Separators at the ends of rows", "two commas that the header does not have", ohlcv + "\n"
             + table("", iso, end=",,\n")),
        text("C, `ctime`", "Fri Jun 28 00:00:00 2024", table(ohlcv, lambda d: f"{d:%a %b %d 00:00:00 %Y}")),
        text("Six digits", "240628", table(ohlcv, lambda d: f"{d:%y%m%d}")),
        text("Last century", "06/28/62", table(ohlcv, lambda d: f"{d:%m/%d/%y}", bars=OLD), bars=OLD),
        text("Weeks", "2024-W27", table(ohlcv, lambda d: f"{d:%G-W%V}", bars=WEEKLY), bars=WEEKLY),
        text("SAS", "28JUN2024", table(ohlcv, lambda d: f"{d:%d%b%Y}".upper())),
        text("parquet, decimals", "numbers as a database has them", parquet(BARS.reset_index().assign(
             **{c: [Decimal(f"{v:.2f}") for v in BARS[c]] for c in BARS})), file="X.parquet"),
        text("R, `write.csv`", "row numbers first", table('"","Date","Open","High","Low","Close","Volume"', quoted(iso),
             "nDOHLCV", fixed={"n": '"1"'})),
        text("Bloomberg", "PX_OPEN to PX_LAST, no volume", table("Date,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST", us, "DOHLC"),
             bars=BARS.assign(Volume=0.0), refusal="source.columns={Volume: none}", keys={"columns": {"Volume": "none"}}),
        text("gzip", "packed", gzip.compress(ISO_CSV.encode()), file="X.csv.gz"),
        text("zip", "packed", zipped("X.csv", ISO_CSV.encode()), file="X.zip"),
        text("xz", "packed", lzma.compress(ISO_CSV.encode()), file="X.csv.xz"),
        text("bzip2", "packed", bz2.compress(ISO_CSV.encode()), file="X.csv.bz2"),
        text("parquet, index of days", "as pandas saves it", parquet(BARS), file="X.parquet"),
        text("parquet, numbered rows", "text dates in a column of other case",
             parquet(BARS.reset_index().rename(columns=str.lower).astype({"date": str})), file="X.parquet"),
        text("parquet, of yf.download", "two levels of names", parquet(pd.concat({"AAPL": OTHER, "MSFT": BARS}, axis=1)
             .swaplevel(axis=1)), file="market.parquet", ticker="MSFT"),
        text("parquet, two levels of index", "ticker and date", parquet(pd.concat({"AAPL": OTHER, "MSFT": BARS},
             names=["Ticker", "Date"])), file="market.parquet", ticker="AAPL", bars=OTHER),
        text("parquet, milliseconds", "integers", parquet(BARS.set_axis(BARS.index.asi8 // 10**6).rename_axis("time")),
             file="X.parquet"),
        text("Days that may be months", "01/02/2024, no day above 12", table(ohlcv, british, bars=SUBSET), bars=SUBSET,
             refusal="source.dates=dmy", keys={"dates": "dmy"}),
        text("Commas that may be either", '"1,234" alone', table(ohlcv, iso, number=quoted("{:,.0f}".format),
             volume=quoted(lambda v: f"{v / 1e6:,.0f}")), refusal="source.decimal=','", keys={"decimal": "."},
             bars=BARS.round(0).assign(Volume=(BARS["Volume"] / 1e6).round())),
    ]  # fmt: skip


def render(found: dict[str, str]) -> str:
    """The table of docs/data.md: vendor, what is special, what comes of it."""
    rows = [f"| {one.vendor} | {one.shows} | {found[one.vendor]} |" for one in layouts()]
    return "\n".join(["| vendor | shows | |", "|---|---|---|", *rows]) + "\n"


def outcome(layout: Layout, folder: Path) -> str:
    """What the source makes of a file: `read`, or refused and then read with the key.

    Raises:
        AssertionError: other bars than the file holds.
    """
    from forecast.data.sources import FileSource
    from forecast.errors import UserError

    folder.mkdir(parents=True, exist_ok=True)
    (folder / layout.file).write_bytes(layout.content)
    said = "read"
    if layout.refusal:
        reason = ""
        try:
            FileSource(path=str(folder)).bars(layout.ticker)
        except UserError as error:
            reason = str(error)
        assert layout.refusal in reason
        keys = ", ".join(f"source.{name}={_shown(value)}" for name, value in layout.keys.items())
        said = f"refused; read with `{keys}`"
    source = FileSource(path=str(folder), **layout.keys)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(source.bars(layout.ticker), layout.bars, check_freq=False, rtol=1e-14)
    return said


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {item}" for name, item in value.items()) + "}"
    return repr(value) if value in (".", ",") else str(value)


def main() -> None:
    """Bring the table of docs/data.md up to date."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = {one.vendor: outcome(one, Path(folder) / str(n)) for n, one in enumerate(layouts())}
    page = ROOT / "docs" / "data.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + render(found) + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
