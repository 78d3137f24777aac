"""The embedded bars: five US shares, 2000 to 2013, in stocks.csv.gz (where they are from: stocks.md)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.data.bars import bar_table, missing_ticker
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

TICKERS = ("AAPL", "IBM", "MSFT", "GOOG", "FB")
FILE = Path(__file__).with_name("stocks.csv.gz")
SHA256 = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"


class SampleSource:
    """Real daily bars without a network.

    Args:
        adjust: prices adjusted for splits and dividends.
        adjust_volume: with it, Volume counted in today's shares where Adj Close shows a split.
    """

    def __init__(self, *, adjust: bool = True, adjust_volume: bool = False) -> None:
        self.adjust = adjust
        self.adjust_volume = adjust_volume

    def tickers(self) -> list[str]:
        """AAPL, IBM, MSFT, GOOG, FB."""
        return list(TICKERS)

    def bars(self, ticker: str) -> pd.DataFrame:
        """The whole history of one ticker.

        Raises:
            UserError: no such ticker, or the embedded file is damaged.
        """
        if ticker not in TICKERS:
            raise missing_ticker(ticker, available=TICKERS, origin="source=sample")
        return bar_table(
            _stocks(FILE)[ticker], adjust=self.adjust, origin=ticker, adjust_volume=self.adjust_volume
        )


@functools.cache
def _stocks(path: Path) -> dict[str, pd.DataFrame]:
    """Raw bars by ticker, verified and read once a process."""
    import hashlib
    from io import BytesIO

    import pandas as pd

    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); install this package again") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise UserError(
            f"{path}: is not the file this package ships (sha256 {digest[:12]}..., not {SHA256[:12]}...); "
            "install this package again"
        )
    table = pd.read_csv(BytesIO(content), compression="gzip", parse_dates=["Date"])
    return {str(ticker): rows.drop(columns="Ticker") for ticker, rows in table.groupby("Ticker")}
