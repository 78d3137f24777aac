"""What a sweep costs besides training: python -m benchmarks.sweep [--trials 32] [--epochs 20] [--hidden 32]

The same small trainings (AAPL, lookback 20, two LSTM layers, one thread each) on two cores, four ways:

  bare      loops of ten lines (benchmarks.training), two processes at a time: what must be spent
  tuner     python run.py -m tuner=grid: composition, checks, data, training, forecasts, plots, report, MLflow
  launcher  python run.py -m, Hydra's official Ray launcher: the same jobs
  original  one Ray task a run, Lightning with DataLoaders, MLflow told synchronously, as such projects begin: all is
            Lightning's default, the best weights are tested and logged as a model that a server can load (with its
            requirements given, which spares it the 10 s that MLflow takes to infer them); nothing else is recorded

Bare loops are timed before and after each way, for a machine's pace changes from minute to minute. Each way's start-up
is its wall time for two one-epoch trials less their loops: the process, Ray, and one worker a core with its imports.
The MLflow store exists beforehand. What a trial costs is told by the jobs' own clocks, too: the seconds from the end of
the job before it in its process to its own, less those that its epochs took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._jobs import grid, jobs, sweep

CORES = 2
ROOT = Path(__file__).parents[1]


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
    from pytorch_lightning.callbacks import ModelCheckpoint
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
    val, test = (
        DataLoader(TensorDataset(*training.tensors(data, split)), batch_size=training.BATCH)
        for split in ("val", "test")
    )
    best = ModelCheckpoint(monitor="val_loss")
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=logger, callbacks=[best], gradient_clip_val=1.0
    )
    module = training.Usual(training.network(data, hidden))
    trainer.fit(module, train, val)
    reached = float(trainer.callback_metrics["val_loss"])
    trainer.test(module, test, ckpt_path="best", verbose=False)
    with mlflow.start_run(run_id=logger.run_id):
        mlflow.pytorch.log_model(
            module.net, name="model", serialization_format="pickle", pip_requirements=["torch"]
        )
    return reached


def original(first: int, trials: int, epochs: int, hidden: int, store: str) -> None:
    """Runs of the seeds from `first` on, each a task of Ray."""
    import ray

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="error")
    task: Any = ray.remote(num_cpus=1)(original_run)
    ray.get([task.remote(seed, epochs, hidden, store) for seed in range(first, first + trials)])
    ray.shutdown()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--here", choices=["bare", "original"], help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    size = asked.trials, asked.epochs, asked.hidden
    if asked.here == "bare":
        print(json.dumps(loops(*size)))
        return
    if asked.here == "original":
        original(asked.first, *size, asked.store)
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), *size)


def compare(folder: Path, trials: int, epochs: int, hidden: int) -> None:
    """Each way twice, short and long, one after the other."""
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

    def tuner(first: int, count: int, epochs: int) -> float:
        asked = grid(seed=f"range({first},{first + count})")
        return sweep(folder / f"tuner_{first}", *asked, *keys, f"trainer.max_epochs={epochs}")

    def launcher(first: int, count: int, epochs: int) -> float:
        seeds = f"seed=range({first},{first + count})"
        return sweep(folder / f"launcher_{first}", seeds, *keys, f"trainer.max_epochs={epochs}")

    def original_way(first: int, count: int, epochs: int) -> float:
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.sweep", "--here", "original", "--store", store]
        size = {"first": first, "trials": count, "epochs": epochs, "hidden": hidden}
        command += [f"--{name}={value}" for name, value in size.items()]
        # In its own folder: Lightning leaves checkpoints where it is started.
        seen = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=seen)
        return time.perf_counter() - began

    ways: dict[str, Callable[[int, int, int], float]] = {
        "tuner": tuner, "launcher": launcher, "original": original_way
    }  # fmt: skip
    print(f"{trials} trials of {epochs} epochs, hidden {hidden}, {CORES} cores")
    print(
        f"{'':12}{'wall s':>9}{'start-up':>10}{'less it':>9}{'bare / 2':>10}{'ratio':>8}{'s a trial over training':>26}"
    )
    walls, nets = dict[str, float](), dict[str, float]()
    before = sum(bare(trials, epochs, hidden)) / CORES
    for way, run in ways.items():
        start = run(trials, CORES, 1) - statistics.mean(bare(CORES, 1, hidden))
        walls[way] = run(0, trials, epochs)
        after = sum(bare(trials, epochs, hidden)) / CORES
        least, before = (before + after) / 2, after  # a machine's pace changes from minute to minute
        nets[way] = walls[way] - start
        over = (nets[way] - least) * CORES / trials
        print(
            f"{way:12}{walls[way]:>9.1f}{start:>10.1f}{nets[way]:>9.1f}{least:>10.1f}"
            f"{nets[way] / least:>8.2f}{over:>26.2f}",
            flush=True,
        )
    print(
        f"original / tuner: {walls['original'] / walls['tuner']:.2f} with start-up, "
        f"{nets['original'] / nets['tuner']:.2f} without"
    )
    for way in ("tuner", "launcher"):
        print(f"{way}, by its jobs' own clocks: {statistics.mean(turns(folder / f'{way}_0')):.2f} s a trial")


def turns(folder: Path) -> list[float]:
    """Seconds from the end of one job of a process to the end of the next, less those of its epochs."""
    ended = dict[str, float]()  # process -> when its last job did
    found = []
    for job in sorted(jobs(folder), key=lambda job: job["began"]):
        process, end = json.dumps(job["process"]), job["began"] + job["seconds"]
        record = json.loads((Path(job["directory"]) / "evaluation.json").read_text("utf-8"))
        if process in ended:
            found.append(end - ended[process] - sum(fold["seconds"] for fold in record["folds"]))
        ended[process] = end
    return found


if __name__ == "__main__":
    main()
