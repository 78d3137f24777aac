"""No ticker leads out of the cache folder, and no two tickers share a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.data.sources.yahoo import yahoo_symbol
from forecast.data.sources.yfinance import file_name, symbol_of
from forecast.errors import UserError

REAL = [
    "AAPL",
    "^GSPC",
    "BRK-B",
    "EURUSD=X",
    "005930.KS",
    "M&M.NS",
    "NIFTY_FIN_SERVICE.NS",
    "CON.DE",
    "GC=F",
    "A",
]
HOSTILE = [
    "",
    " ",
    ".",
    "..",
    "../AAPL",
    "..\\AAPL",
    "/etc/passwd",
    "C:\\AAPL",
    "C:AAPL",
    "a/b",
    "AAPL\0",
    "AAPL\n",
    "AAPL?range=1d",
    "AAPL#x",
    "%2e%2e%2fAAPL",
    "~",
    "-rf",
    "^",
    "^^=",
    "A" * 33,
    "AAPL ",
    "ÄPL",
    "ﬁ",  # whose capitals are two plain letters
    "٣",
    "\ud800",
]
DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)
symbols = st.from_regex(r"[A-Za-z0-9^][A-Za-z0-9.\-=^&_]{0,31}", fullmatch=True)


@pytest.mark.parametrize("ticker", REAL)
def test_real_tickers_pass(ticker):
    assert yahoo_symbol(ticker) == ticker
    assert symbol_of(file_name(ticker)) == ticker


def test_plain_tickers_keep_plain_file_names():
    assert file_name("BRK-B") == "BRK-B.parquet"


@pytest.mark.parametrize("ticker", ["CON", "nul", "AUX", "PRN", "COM1", "LPT9", "CON.DE", "PRN.PA"])
def test_no_file_is_named_like_a_device(ticker):
    symbol = yahoo_symbol(ticker)
    assert not DEVICE.fullmatch(file_name(symbol))
    assert symbol_of(file_name(symbol)) == symbol


@pytest.mark.parametrize("ticker", HOSTILE, ids=ascii)
def test_what_is_no_ticker_is_refused_before_anything_happens(make_source, yahoo, tmp_path, ticker):
    with pytest.raises(UserError, match=r"^data\.tickers=.*is no Yahoo ticker; up to 32 letters") as raised:
        make_source().bars(ticker)
    assert str(raised.value).isprintable()
    assert yahoo.requests == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("ticker", [True, 5930, 1.5, None], ids=str)
def test_what_yaml_took_for_something_else_is_to_be_quoted(ticker):
    with pytest.raises(
        UserError, match=rf"^data\.tickers={ticker}: a ticker is text, not .*; write it in quotes"
    ):
        yahoo_symbol(ticker)


def test_an_isin_is_no_ticker():
    with pytest.raises(UserError, match="is an ISIN; write the ticker"):
        yahoo_symbol("US0378331005")


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_any_text_is_refused_or_stays_in_the_folder(text):
    try:
        symbol = yahoo_symbol(text)
    except UserError:
        return
    folder = Path("/cache")
    path = folder / file_name(symbol)
    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    assert symbol_of(path.name) == symbol == text.upper()


@settings(deadline=None, derandomize=True)
@given(symbols)
def test_names_are_safe_on_every_file_system(ticker):
    try:
        name = file_name(yahoo_symbol(ticker))
    except UserError:
        return
    assert re.fullmatch(r"[A-Z0-9%_-]{1,96}\.parquet", name)
    assert not DEVICE.fullmatch(name)


@settings(deadline=None, derandomize=True)
@given(symbols, symbols)
def test_different_tickers_have_different_files_whatever_the_case(one, other):
    try:
        first, second = yahoo_symbol(one), yahoo_symbol(other)
    except UserError:
        return
    assert (file_name(first).casefold() == file_name(second).casefold()) == (first == second)
