"""Many tickers: python -m benchmarks.scale [--tickers 100 1000 10000] [--lookback 60]

Seeded synthetic bars, 2,500 days a ticker, no_processing_panel, one linear layer (so that data, not arithmetic, is
what costs). Each size runs in a process of its own and prints: seconds from the start of fetching to the first
batch, seconds per million windows of one training epoch, peak memory while training and after all forecasts are
written, beside the float32 panel and beside the same process before it fetched anything.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path


def peak() -> float:
    """Largest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(tickers: int, lookback: int) -> None:
    """One size, in this process."""
    import pyarrow.parquet  # noqa: F401  part of the empty process
    import torch

    from forecast.config import build, check, compose
    from forecast.data.split import SPLITS
    from forecast.evaluate.forecasts import PriceTable, pieces
    from forecast.evaluate.metrics import Tally
    from forecast.model.forecaster import Forecaster

    def config(count: int):
        return compose(
            "source=synthetic", f"source.num_tickers={count}", "data=no_processing_panel", "data.tickers=null",
            f"data.seq_len={lookback}", "data.batch_size=1024", "model=linear", "trainer.max_epochs=1",
            "trainer.progress=off", "tracker=none",
        )  # fmt: skip

    def train(composed, folder: Path) -> tuple[float, float, float, float, int]:
        check(composed)
        trainer = build(composed.trainer, metric="val_rmse", mode="min", seed=0)
        data = build(composed.data, source=build(composed.source))
        network = build(composed.model, **data.facts)
        began = time.perf_counter()
        data.prepare()
        ready = time.perf_counter() - began
        forecaster = Forecaster(network=network, normaliser=data.normaliser_)
        fit = trainer.fit(
            forecaster, data, score=partial(Tally, horizon=data.horizon), on_epoch=lambda *_: None
        )
        trained = peak()
        began = time.perf_counter()
        columns = ["actual", "forecast", "naive"]
        with PriceTable(
            folder / "forecasts.parquet", names=data.panel_.names, columns=columns, folded=False
        ) as table:
            for split in SPLITS:
                for piece in pieces(forecaster, data, split):
                    prices = {name: getattr(piece.rows, name) for name in columns}
                    table.write(piece.rows, split, prices, fold=0)
        windows = len(data.windows_["train"]) + len(data.windows_["val"])
        return (
            ready,
            fit.seconds / windows * 1e6,
            trained,
            time.perf_counter() - began,
            data.panel_.values.nbytes,
        )

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        train(config(2), Path(folder))  # everything imported and warmed up: the empty process
        empty = peak()
        ready, seconds, trained, writing, size = train(config(tickers), Path(folder))
    panel = size / 2**20
    print(
        f"{tickers:>8}{panel:>12.0f}{ready:>12.1f}{seconds:>16.2f}{empty:>12.0f}{trained:>12.0f}"
        f"{(trained - empty) / panel:>12.2f}{writing:>12.1f}{(peak() - empty) / panel:>12.2f}",
        flush=True,
    )


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--lookback", type=int, default=60)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        measure(arguments.tickers[0], arguments.lookback)
        return
    print(
        f"{'tickers':>8}{'panel MiB':>12}{'to batch 1':>12}{'s per 1e6 win':>16}{'empty MiB':>12}{'train MiB':>12}"
        f"{'x panel':>12}{'write s':>12}{'x panel':>12}"
    )
    for count in arguments.tickers:
        command = [sys.executable, "-m", "benchmarks.scale", "--here", "--lookback", str(arguments.lookback)]
        subprocess.run([*command, "--tickers", str(count)], check=True)


if __name__ == "__main__":
    main()
