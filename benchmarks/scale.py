"""Memory and time of whole runs on many tickers: python -m benchmarks.scale [--tickers 100 1000 10000] [--bars 2500]

What is measured is what a user starts: `python run.py source=synthetic data=no_processing_panel` with every default
but the model (one linear layer and one epoch, so that data, not arithmetic, is what costs), in a process of its own:
fetching, training, forecasts, baselines, intervals, tests, trading rule, report. Its peak is held against the float32
panel, less the peak of a process that imports the same packages and does nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_IMPORTS = (
    "import forecast.pipeline, forecast.evaluate.report, pytorch_lightning, torch, pandas, pyarrow.parquet, "
    "scipy.special, sklearn.ensemble, sklearn.linear_model, safetensors.torch, hydra, arch.bootstrap, "
    "exchange_calendars"
)
_COLUMNS = 5  # of no_processing: open, high, low, close, volume


def peak_of(command: list[str], log: Path) -> tuple[float, float]:
    """Largest resident memory of a process, MiB, and its seconds."""
    began = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: failed\n{log.read_text()[-3000:]}")
    return usage.ru_maxrss / 1024, time.perf_counter() - began


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tickers", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--bars", type=int, default=2500)
    parser.add_argument("override", nargs="*", help="further overrides of the run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        empty, _ = peak_of([sys.executable, "-c", _IMPORTS], log)
        print(f"empty process {empty:.0f} MiB")
        print(f"{'tickers':>8}{'panel MiB':>12}{'peak MiB':>12}{'x panel':>10}{'seconds':>10}")
        for tickers in arguments.tickers:
            directory = Path(folder) / f"run{tickers}"
            command = [
                *(sys.executable, "run.py", "source=synthetic", f"source.num_tickers={tickers}"),
                *(f"source.num_bars={arguments.bars}", "data=no_processing_panel", "data.tickers=null"),
                *("data.period=max", "data.batch_size=1024", "model=linear", "trainer.max_epochs=1"),
                *("trainer.progress=off", "tracker=none", f"hydra.run.dir={directory}", *arguments.override),
            ]
            peak, seconds = peak_of(command, log)
            panel = json.loads((directory / "data.json").read_text())["rows"] * _COLUMNS * 4 / 2**20
            ratio = (peak - empty) / panel
            print(f"{tickers:>8}{panel:>12.0f}{peak:>12.0f}{ratio:>10.2f}{seconds:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
