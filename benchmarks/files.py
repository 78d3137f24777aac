"""A folder of files: python -m benchmarks.files [--files 500]

The bars of an embedded share, 13 years of days, are written as one file a ticker in several layouts, and as one file of
all tickers. Printed are milliseconds a ticker and, beside them, times those of bare pandas on the plain files:
`pd.read_csv`, dates made datetime64, prices multiplied by Adj Close / Close, nothing checked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Print a row a layout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=500)
    count: int = parser.parse_args().files
    import pandas as pd

    from forecast.data.sources import FileSource, SampleSource

    bars = SampleSource(adjust=False).bars("AAPL").assign(**{"Adj Close": lambda table: table["Close"] / 2})
    slashed = bars.set_axis(bars.index.strftime("%d/%m/%Y").rename("Data"))
    layouts: dict[str, Callable[[Path], Any]] = {
        "plain": lambda file: bars.to_csv(file),
        "newest first, gzip": lambda file: bars.iloc[::-1].to_csv(f"{file}.gz"),
        "semicolons, decimal commas, dd/mm/yyyy": lambda file: slashed.to_csv(file, sep=";", decimal=","),
        "milliseconds": lambda file: bars.set_axis(bars.index.asi8 // 10**6).rename_axis("time").to_csv(file),
        "parquet": lambda file: bars.to_parquet(file.with_suffix(".parquet")),
    }
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain"
        for name, write in layouts.items():
            (Path(folder) / name.replace("/", "")).mkdir()
            for number in range(count):
                write(Path(folder) / name.replace("/", "") / f"T{number:05}.csv")
        bare = min(_seconds(lambda: [_bare(file) for file in plain.iterdir()]) for _ in range(2))
        print(f"{'layout':42}{'ms a ticker':>12}{'times bare pandas':>20}")
        print(f"{'bare pandas, plain':42}{1000 * bare / count:>12.2f}{1:>20.2f}", flush=True)
        for name in layouts:
            where = str(Path(folder) / name.replace("/", ""))
            took = min(_seconds(lambda where=where: _read(where)) for _ in range(2))  # type: ignore[misc]
            print(f"{name:42}{1000 * took / count:>12.2f}{took / bare:>20.2f}", flush=True)
        together = pd.concat({f"T{number:05}": bars for number in range(count)}, names=["Ticker", "Date"])
        together.to_csv(Path(folder) / "all.csv")
        took = _seconds(lambda: _read(str(Path(folder) / "all.csv")))
        print(f"{'one file of all tickers':42}{1000 * took / count:>12.2f}{took / bare:>20.2f}")
        source = FileSource(path=str(plain))
        pd.testing.assert_frame_equal(source.bars("T00000"), _bare(plain / "T00000.csv"))


def _read(path: str) -> None:
    from forecast.data.sources import FileSource

    source = FileSource(path=path, adjust_volume=True)
    for ticker in source.tickers():
        source.bars(ticker)


def _bare(file: Path) -> Any:
    import pandas as pd

    table = pd.read_csv(file, dtype={"Date": "str"})
    table.index = pd.DatetimeIndex(pd.to_datetime(table.pop("Date"), format="%Y-%m-%d")).as_unit("ns")
    factor = table.pop("Adj Close") / table["Close"]
    for name in ("Open", "High", "Low", "Close"):
        table[name] *= factor
    return table.astype("float64").rename_axis("Date")


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
