"""The next session of many tickers: python -m benchmarks.predict [--tickers 10000] [--data range_panel ...]

A small panel run is made first. Then, for each strategy, in one process: seconds to read and check the bars of all
tickers (seeded synthetic, 2,500 days), and seconds of the forecast after that: features, windows, network, intervals,
dates. Beside it the same one ticker at a time, from the first 200 of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

_ONE_BY_ONE = 200


def measure(strategy: str, tickers: int, folder: Path) -> str:
    """One strategy, in this process."""
    import forecast
    from forecast import bundle
    from forecast.config import build
    from forecast.predict import config_of, forecast_ahead, load_bars

    directory = folder / strategy
    forecast.run(
        "source=synthetic", "source.num_tickers=4", f"data={strategy}", "data.tickers=null", "trainer=smoke",
        "tracker=none", directory=directory,
    )  # fmt: skip
    config = config_of(directory, [f"source.num_tickers={tickers}"])
    predictor = bundle.load(directory)
    source, health = build(config.source), build(config.data.health)
    began = time.perf_counter()
    bars, refused = load_bars(config, predictor, source, health, source.tickers())
    loaded = time.perf_counter() - began

    began = time.perf_counter()
    found = forecast_ahead(predictor, bars, calendar=health.calendar, refused=refused, notes=[])
    together = time.perf_counter() - began
    assert len(found.table) == tickers * predictor.horizon

    some = dict(list(bars.items())[:_ONE_BY_ONE])
    began = time.perf_counter()
    for ticker, table in some.items():
        predictor.predict({ticker: table})
    alone = (time.perf_counter() - began) / len(some) * tickers
    return f"{strategy:22}{tickers:>10,}{loaded:>20.1f}{together:>14.2f}{alone:>22.1f}"


def main() -> None:
    """Print a row a strategy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=10_000)
    parser.add_argument(
        "--data", nargs="+", default=["no_processing_panel", "range_panel", "technical_panel"]
    )
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    print(f"{'strategy':22}{'tickers':>10}{'read and check, s':>20}{'forecast, s':>14}{'one by one, s':>22}")
    with tempfile.TemporaryDirectory() as folder:
        for strategy in arguments.data:
            print(measure(strategy, arguments.tickers, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
