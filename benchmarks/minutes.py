"""Minute bars that lie in a file, not in memory: python -m benchmarks.minutes [--tickers 50] [--bars 196000] [--whole]

Fifty tickers, two years of a day of 390 minutes: ten million rows. Measured in a process of its own: loading them from
`source=synthetic` into a mapped panel, the time from its start to the first batch, an epoch of one linear layer over a
part of the windows, and the cost of a window gathered at random from panels a tenth as large and as large. `--whole`
also makes a whole run of it, with forecasts of every validation and test window.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_WINDOWS = 200_000  # trained on; an epoch of all would only take longer
_BATCH = 1024


def measure(tickers: int, bars: int) -> None:
    """Load, take batches, train a little; prints JSON."""
    began = time.perf_counter()
    import numpy as np
    import torch

    import forecast
    from forecast.config import build, compose

    del forecast
    config = compose(
        "source=synthetic",
        f"source.num_tickers={tickers}",
        f"source.num_bars={bars}",
        "data=no_processing_panel",
        "data.tickers=null",
        "data.interval=1m",
        f"data.batch_size={_BATCH}",
        "model=linear",
        "trainer.max_epochs=1",
        "trainer.progress=off",
    )
    data = build(config.data, source=build(config.source), target=build(config.target))
    data.prepare()
    windows = data.windows_["train"]
    rng = np.random.default_rng(0)
    order = rng.integers(0, len(windows), _WINDOWS)
    torch.from_numpy(windows.take(order[:_BATCH]).windows)
    first = time.perf_counter() - began
    for _ in range(2):  # the first pass reads the file
        took = time.perf_counter()
        for start in range(0, _WINDOWS, _BATCH):
            windows.take(order[start : start + _BATCH])
        gather = (time.perf_counter() - took) / _WINDOWS
    layer = torch.nn.Linear(windows.lookback * len(data.layout.relations), 1)
    optimiser = torch.optim.Adam(layer.parameters())
    for start in range(0, _WINDOWS, _BATCH):
        batch = windows.take(order[start : start + _BATCH])
        inputs = data.normaliser_.inputs(torch.from_numpy(batch.windows))
        aim = data.normaliser_.moves(torch.from_numpy(batch.windows), torch.from_numpy(batch.future))
        loss = ((layer(inputs.flatten(1)) - aim) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(
        json.dumps(
            {
                "rows": len(data.panel_.values),
                "columns": data.panel_.values.shape[1],
                "first_batch_s": round(first, 1),
                "window_us": round(1e6 * gather, 2),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, default=50)
    parser.add_argument("--bars", type=int, default=196_000)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        measure(arguments.tickers, arguments.bars)
        return
    print(f"{'rows':>12}{'columns':>9}{'first batch s':>15}{'a window us':>13}{'peak MB':>9}")
    for tickers in (max(arguments.tickers // 10, 1), arguments.tickers):
        command = [sys.executable, "-m", "benchmarks.minutes", "--here", f"--tickers={tickers}"]
        done = subprocess.run(
            [*command, f"--bars={arguments.bars}"], check=True, stdout=subprocess.PIPE, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{found['rows']:>12,}{found['columns']:>9}{found['first_batch_s']:>15}{found['window_us']:>13}"
            f"{found['peak_mb']:>9}",
            flush=True,
        )
    if arguments.whole:
        from benchmarks.scale import peak_of

        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, "run.py", "source=synthetic", f"source.num_tickers={arguments.tickers}"),
                *(f"source.num_bars={arguments.bars}", "data=no_processing_panel", "data.tickers=null"),
                *("data.interval=1m", "data.batch_size=1024", "model=linear", "trainer.max_epochs=1"),
                *("trainer.progress=off", "tracker=none", "baselines=none", f"hydra.run.dir={folder}/run"),
            ]
            peak, seconds = peak_of(command, Path(folder) / "log")
            print(f"a whole run: peak {peak:.0f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    main()
