"""What a sweep costs besides training: python -m benchmarks.sweep [--trials 32] [--epochs 10] [--hidden 32]

The same small trainings (AAPL, lookback 20, two LSTM layers, one thread each) on two cores, four ways:

  bare      loops of ten lines (benchmarks.training), two processes at a time: what must be spent
  tuner     python run.py -m tuner=grid: composition, checks, data, training, forecasts, plots, report, MLflow
  launcher  python run.py -m, Hydra's official Ray launcher: the same jobs
  original  one Ray task a run, Lightning with DataLoaders, MLflow told synchronously, as such projects begin

Start-up is the wall time of a sweep of two one-epoch trials less their loops: the process, Ray, and one worker a core
with its imports. The MLflow store exists beforehand.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._jobs import grid, jobs, sweep

CORES = 2


def loops(trials: int, epochs: int, hidden: int) -> list[float]:
    """Seconds of each of so many bare loops, in this process."""
    import torch

    from benchmarks import training

    torch.set_num_threads(1)
    training.EPOCHS = epochs
    data = training.prepared()
    training.bare(data, hidden, validate=True)  # warms up
    return [training.bare(data, hidden, validate=True) for _ in range(trials)]


def bare(trials: int, epochs: int, hidden: int) -> list[float]:
    """Seconds of each bare loop, with every core busy."""
    command = [sys.executable, "-m", "benchmarks.sweep", "--here", "bare"]
    command += ["--trials", str(trials // CORES), "--epochs", str(epochs), "--hidden", str(hidden)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CORES)]
    return [seconds for process in running for seconds in json.loads(process.communicate()[0])]


def original_run(seed: int, epochs: int, hidden: int, store: str) -> float:
    """One full run, from the bars to the tracker, the way such projects begin."""
    import mlflow
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.loggers import MLFlowLogger
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks import training

    torch.manual_seed(seed)
    data = training.prepared()
    mlflow.set_tracking_uri(store)
    logger = MLFlowLogger(experiment_name="original", tracking_uri=store)
    logger.log_hyperparams({"seed": seed, "hidden_size": hidden})
    train = DataLoader(
        TensorDataset(*training.tensors(data, "train")), batch_size=training.BATCH, shuffle=True
    )
    val = DataLoader(TensorDataset(*training.tensors(data, "val")), batch_size=training.BATCH)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=logger, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(training.Usual(training.network(data, hidden)), train, val)
    return float(trainer.callback_metrics["val_loss"])


def original(trials: int, epochs: int, hidden: int, store: str) -> None:
    """All runs, each a task of Ray."""
    import ray

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="error")
    task: Any = ray.remote(num_cpus=1)(original_run)
    ray.get([task.remote(seed, epochs, hidden, store) for seed in range(trials)])
    ray.shutdown()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--here", choices=["bare", "original"], help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    size = asked.trials, asked.epochs, asked.hidden
    if asked.here == "bare":
        print(json.dumps(loops(*size)))
        return
    if asked.here == "original":
        original(*size, asked.store)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), *size)


def compare(folder: Path, trials: int, epochs: int, hidden: int) -> None:
    """Each way once, one after the other."""
    store = f"sqlite:///{folder / 'mlflow.db'}"
    keys = [
        f"tracker.uri={store}",
        "trainer.patience=null",
        f"model.hidden_size={hidden}",
        f"cluster.num_cpus={CORES}",
    ]
    sweep(
        folder / "store", "hydra/launcher=basic", *keys, "trainer=smoke", "trainer.patience=null"
    )  # makes the store
    spent = bare(trials, epochs, hidden)
    least = sum(spent) / CORES
    short = sweep(folder / "short", *grid(seed="range(100,102)"), *keys, "trainer.max_epochs=1")
    start = short - statistics.mean(bare(CORES, 1, hidden))
    ways: dict[str, float] = {}
    ways["tuner"] = sweep(
        folder / "tuner", *grid(seed=f"range(0,{trials})"), *keys, f"trainer.max_epochs={epochs}"
    )
    ways["launcher"] = sweep(
        folder / "launcher", f"seed=range(0,{trials})", *keys, f"trainer.max_epochs={epochs}"
    )
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.sweep", "--here", "original", "--store", store]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--hidden", str(hidden)]
    subprocess.run(command, check=True, capture_output=True)
    ways["original"] = time.perf_counter() - began
    print(f"{trials} trials of {epochs} epochs, hidden {hidden}, {CORES} cores; start-up {start:.1f} s")
    print(f"{'':12}{'wall s':>9}{'less start':>12}{'x bare / 2':>12}{'s a trial over training':>26}")
    print(f"{'bare / 2':12}{least:>9.1f}{least:>12.1f}{1:>12.2f}{0:>26.2f}")
    for way, wall in ways.items():
        net = wall - start
        over = (net - least) * CORES / trials
        print(f"{way:12}{wall:>9.1f}{net:>12.1f}{net / least:>12.2f}{over:>26.2f}")
    print(f"original / tuner: {ways['original'] / ways['tuner']:.2f} with start-up")
    inside = [job["seconds"] for job in jobs(folder / "tuner")][CORES:]
    print(
        f"a tuner job by its own clock, the first of each worker left out: {statistics.median(inside):.2f} s"
    )


if __name__ == "__main__":
    main()
