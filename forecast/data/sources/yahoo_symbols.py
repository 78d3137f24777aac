"""What can be a Yahoo ticker, and the file name that stands for it."""

from __future__ import annotations

import re
from pathlib import PurePath
from urllib.parse import quote, unquote

from forecast.errors import UserError

SUFFIX = ".parquet"
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&_]{0,31}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
# Windows opens a device for these stems, whatever follows the first dot.
_DEVICE = re.compile(r"CON|PRN|AUX|NUL|(COM|LPT)[0-9]")


def yahoo_symbol(ticker: object) -> str:
    """The ticker as Yahoo writes it: in capitals.

    Raises:
        UserError: it cannot be a ticker; so nothing is asked and no file is touched.
    """
    if not isinstance(ticker, str):
        raise UserError(
            f"data.tickers={ticker!r}: a ticker is text, not {type(ticker).__name__}; write it in quotes"
        )
    # Checked before upper(): that turns some letters outside of ASCII into letters within.
    symbol = ticker.upper() if ticker.isascii() else ""
    if not _SYMBOL.fullmatch(symbol) or not any(character.isalnum() for character in symbol):
        raise UserError(
            f"data.tickers={ticker[:40]!r}: is no Yahoo ticker; up to 32 letters, digits and . - = ^ & _, "
            "as in AAPL, BRK-B, ^GSPC, EURUSD=X, 005930.KS"
        )
    if _ISIN.fullmatch(symbol):
        raise UserError(f"data.tickers={ticker!r}: is an ISIN; write the ticker that Yahoo lists it under")
    return symbol


def file_name(symbol: str) -> str:
    """A name inside one folder, safe on every file system, different for different symbols."""
    stem = quote(symbol, safe="").replace(".", "%2E")
    if _DEVICE.fullmatch(stem):
        stem = f"%{ord(stem[0]):02X}{stem[1:]}"
    return stem + SUFFIX


def symbol_of(name: str) -> str:
    """The symbol `file_name` made this name from."""
    return unquote(PurePath(name).name.removesuffix(SUFFIX))
