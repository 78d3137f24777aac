"""A market data server that tests switch off, slow down and empty: files in a folder are its switches.

`down` - it does not answer; `slow` - it answers once the file is gone. Every ticker it is asked for stands in `asked`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

from forecast.data.sources import FileSource
from forecast.errors import SourceError, UserError


class Exchange:
    """A source that asks that server and keeps what it got.

    Args:
        path: folder of <TICKER>.csv and of the switches.
        adjust: as other sources have it.
        adjust_volume: likewise.
        reading: how files are read, as FileSource has it.
    """

    def __init__(self, *, path: str, adjust: bool = True, adjust_volume: bool = True, **reading: Any) -> None:
        self.folder = Path(path)
        self.files = FileSource(path=path, adjust=adjust, adjust_volume=adjust_volume, **reading)
        self._kept: dict[str, pd.DataFrame] = {}
        self._stand_ins: dict[str, str] = {}

    def tickers(self) -> list[str]:
        return self.files.tickers()

    def symbol(self, ticker: str) -> str:
        if ticker.startswith("^"):
            raise UserError(f"data.tickers={ticker}: the exchange has no indices")
        return ticker.upper()

    def held(self, ticker: str) -> str | None:
        kept = self._kept.get(self.symbol(ticker))
        return None if kept is None else f"bars up to {kept.index[-1]:%Y-%m-%d}, fetched 1 day ago"

    def stand_in(self, ticker: str) -> str | None:
        return self._stand_ins.get(self.symbol(ticker))

    def bars(self, ticker: str) -> pd.DataFrame:
        symbol = self.symbol(ticker)
        with (self.folder / "asked").open("a") as asked:
            asked.write(f"{symbol}\n")
        while (self.folder / "slow").exists():
            time.sleep(0.01)
        self._stand_ins.pop(symbol, None)
        if not (self.folder / "down").exists():
            self._kept[symbol] = self.files.bars(symbol)
        elif symbol in self._kept:
            self._stand_ins[symbol] = "the exchange is down"
        else:
            error = SourceError(f"data.tickers={symbol}: the exchange is down; try again later")
            error.may_pass = True
            raise error
        return self._kept[symbol]


def list_bars(folder: Path, *tickers: str, until: str = "2013-03-01", count: int = 400) -> Path:
    """Put the last bars of embedded shares up to a day into a folder."""
    from forecast.data.sources import SampleSource

    folder.mkdir(exist_ok=True)
    for ticker in tickers:
        SampleSource().bars(ticker).loc[:until].iloc[-count:].to_csv(folder / f"{ticker}.csv")
    return folder
