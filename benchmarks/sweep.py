"""What sweeps cost: python -m benchmarks.sweep [whole] [cost] [launching] [asha] [nodes]; without names, all of them

whole      wall seconds of 64 two-epoch jobs from the command to the champion, `tuner=grid`, two cores, MLflow on
cost       the same small trainings (AAPL, lookback 20, two LSTM layers, one thread each) on two cores, four ways:
             bare      loops of ten lines (benchmarks.training), two processes at a time: what must be spent
             tuner     python run.py -m tuner=grid: composition, checks, data, training, forecasts, report, MLflow
             launcher  python run.py -m, Hydra's official Ray launcher: the same jobs
             original  one Ray task a run, Lightning with DataLoaders, MLflow called synchronously, as such projects
                       begin: Lightning's defaults, best weights tested and logged as a model that can be served
           Bare loops are timed before and after each way, for a machine's pace changes from minute to minute; each
           way's start-up (process, Ray, imports) is its wall time for two one-epoch trials less their loops.
launching  what handing out jobs costs the process that does: a task that returns at once, through the tuner and
           through the official launcher, less a sweep of two jobs
asha       how much of a grid of 64 points ASHA needs to find its best with 32 trials
nodes      jobs a minute with one Ray node of one pinned core, and with two; a worker's first job is left out
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
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CORES = 2
ROOT = Path(__file__).parents[1]
SEEN = os.environ | {"PYTHONPATH": str(ROOT)}  # also by workers


def sweep(folder: Path, *overrides: str, champion: bool = False) -> float:
    """Wall seconds of `python run.py -m OVERRIDES` in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    quiet = ["trainer.progress=off", *([] if champion else ["champion=none"])]
    command = [sys.executable, str(ROOT / "run.py"), "-m", f"hydra.sweep.dir={folder}", *quiet, *overrides]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - began


def jobs(folder: Path) -> list[dict[str, Any]]:
    """The job.json of each job of a sweep, by number."""
    read = (json.loads(path.read_text("utf-8")) for path in folder.glob("*/job.json"))
    return sorted(read, key=lambda job: job["number"])


def grid(**axes: str) -> list[str]:
    """Overrides of a sweep that tries exactly these: `__` stands for a dot."""
    space = ", ".join(f'{key.replace("__", ".")}: "{values}"' for key, values in axes.items())
    return ["tuner=grid", f"++tuner.space={{{space}}}"]


def store_in(folder: Path) -> str:
    """The override that names an MLflow store, which exists."""
    uri = f"tracker.uri=sqlite:///{folder / 'mlflow.db'}"
    sweep(folder / "store", "hydra/launcher=basic", uri, "trainer=smoke", "data.period=2y")
    return uri


def whole(folder: Path, args: argparse.Namespace) -> None:
    """From the command to the champion."""
    size = ["trainer=smoke", "model.hidden_size=16", f"cluster.num_cpus={CORES}"]
    keys = [*grid(seed=f"range(0,{args.jobs})"), *size, store_in(folder)]
    wall = sweep(folder / "whole", *keys, champion=True)
    print(f"{args.jobs} two-epoch jobs from the command to the champion: {wall:.1f} s", flush=True)


def bare(trials: int, epochs: int, hidden: int) -> list[float]:
    """Seconds of each bare loop, with every core busy."""
    command = [sys.executable, "-m", "benchmarks.sweep", "--here", "bare", "--trials", str(trials // CORES)]
    command += ["--epochs", str(epochs), "--hidden", str(hidden)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CORES)]
    return [seconds for process in running for seconds in json.loads(process.communicate()[0])]


def bare_here(args: argparse.Namespace) -> None:
    """So many bare loops in this process."""
    import torch

    from benchmarks import training

    torch.set_num_threads(1)
    training.EPOCHS = args.epochs
    data = training.prepared()
    training.bare(data, args.hidden, validate=True)  # warms up
    print(json.dumps([training.bare(data, args.hidden, validate=True) for _ in range(args.trials)]))


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
        # Its requirements are given: MLflow takes 10 s to infer them.
        mlflow.pytorch.log_model(
            module.net, name="model", serialization_format="pickle", pip_requirements=["torch"]
        )
    return reached


def original_here(args: argparse.Namespace) -> None:
    """Runs of the seeds from `first` on, each a task of Ray."""
    import ray

    ray.init("local", num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="error")
    task: Any = ray.remote(num_cpus=1)(original_run)
    seeds = range(args.first, args.first + args.trials)
    ray.get([task.remote(seed, args.epochs, args.hidden, args.store) for seed in seeds])
    ray.shutdown()


def cost(folder: Path, args: argparse.Namespace) -> None:
    """Each way twice, short and long, one after the other."""
    trials, epochs, hidden = args.trials, args.epochs, args.hidden
    store = store_in(folder)
    keys = [store, "trainer.patience=null", f"model.hidden_size={hidden}", f"cluster.num_cpus={CORES}"]

    def tuner(first: int, count: int, epochs: int) -> float:
        space = grid(seed=f"range({first},{first + count})")
        return sweep(folder / f"tuner_{first}", *space, *keys, f"trainer.max_epochs={epochs}")

    def launcher(first: int, count: int, epochs: int) -> float:
        seeds = f"seed=range({first},{first + count})"
        return sweep(folder / f"launcher_{first}", seeds, *keys, f"trainer.max_epochs={epochs}")

    def original(first: int, count: int, epochs: int) -> float:
        began = time.perf_counter()
        size = {"first": first, "trials": count, "epochs": epochs, "hidden": hidden}
        command = [sys.executable, "-m", "benchmarks.sweep", "--here", "original"]
        command += [
            "--store",
            store.partition("=")[2],
            *(f"--{name}={value}" for name, value in size.items()),
        ]
        # In its own folder: Lightning leaves checkpoints where it is started.
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=SEEN)
        return time.perf_counter() - began

    ways: dict[str, Callable[[int, int, int], float]] = {
        "tuner": tuner, "launcher": launcher, "original": original
    }  # fmt: skip
    print(f"{trials} trials of {epochs} epochs, hidden {hidden}, {CORES} cores")
    columns = f"{'wall s':>9}{'start-up':>10}{'less it':>9}{'bare / 2':>10}{'ratio':>8}"
    print(f"{'':12}{columns}{'s a trial over training':>26}")
    walls, nets = dict[str, float](), dict[str, float]()
    before = sum(bare(trials, epochs, hidden)) / CORES
    for way, run in ways.items():
        start = run(trials, CORES, 1) - statistics.mean(bare(CORES, 1, hidden))
        walls[way] = run(0, trials, epochs)
        after = sum(bare(trials, epochs, hidden)) / CORES
        least, before = (before + after) / 2, after
        nets[way] = walls[way] - start
        over = (nets[way] - least) * CORES / trials
        figures = f"{walls[way]:>9.1f}{start:>10.1f}{nets[way]:>9.1f}{least:>10.1f}{nets[way] / least:>8.2f}"
        print(f"{way:12}{figures}{over:>26.2f}", flush=True)
    with_start, without = (times["original"] / times["tuner"] for times in (walls, nets))
    print(f"original / tuner: {with_start:.2f} with start-up, {without:.2f} without")
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


APP = """
import hydra, json, time

@hydra.main(config_path={conf!r}, config_name="run", version_base="1.3")
def main(config):
    return 1.0

wall, cpu = time.perf_counter(), time.process_time()
main()
import ray
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def launching(folder: Path, args: argparse.Namespace) -> None:
    """Milliseconds a job of the process that was started."""

    def measured(*overrides: str) -> list[float]:
        app = folder / "app.py"
        app.write_text(APP.format(conf=str(ROOT / "conf")))
        command = [sys.executable, str(app), "-m", f"hydra.sweep.dir={folder / str(time.time_ns())}"]
        command += [f"cluster.num_cpus={CORES}", *overrides]
        done = subprocess.run(command, cwd=folder, env=SEEN, capture_output=True, text=True, check=True)
        return list(json.loads(done.stdout.splitlines()[-1]))

    print(f"{'ms a job':24}{'jobs':>8}{'driver cpu':>14}{'wall':>10}")
    for way, count in (("tuner", args.launched), ("launcher", args.plain)):
        few, many = (
            measured(*(grid(seed=f"range(0,{n})") if way == "tuner" else [f"seed=range(0,{n})"]))
            for n in (2, count)
        )
        wall, cpu = ((after - before) / (count - 2) * 1000 for before, after in zip(few, many, strict=True))
        print(f"{way:24}{count:>8}{cpu:>14.1f}{wall:>10.1f}", flush=True)


SPACE = {
    "data": "choice(no_processing_single,range_single)",
    "data__seq_len": "choice(10,40)",
    "model__hidden_size": "choice(8,32)",
    "model__num_layers": "choice(1,2)",
    "trainer__learning_rate": "choice(1e-4,1e-3,3e-3,1e-2)",
}


def asha(folder: Path, args: argparse.Namespace) -> None:
    """The best validation objective each way found, and the epochs it trained."""
    keys = ["tracker=none", f"trainer.max_epochs={args.asha_epochs}"]
    points = grid(**SPACE)
    ways = {"grid": points, "asha": ["tuner=asha", *points[1:], "tuner.num_samples=32"]}
    print(f"{'':8}{'trials':>8}{'pruned':>8}{'epochs':>8}{'wall s':>9}{'best val_rmse':>15}")
    found: dict[str, tuple[float, int]] = {}
    for way, overrides in ways.items():
        root = folder / way  # apart: else one would reuse the other's finished runs
        wall = sweep(root / "sweep", *keys, *overrides)
        done = jobs(root / "sweep")
        best = min(job["objective"] for job in done if job["status"] == "finished")
        epochs = sum(job["epochs"] for job in done)
        pruned = sum(job["status"] == "pruned" for job in done)
        found[way] = best, epochs
        print(f"{way:8}{len(done):>8}{pruned:>8}{epochs:>8}{wall:>9.1f}{best:>15.5f}", flush=True)
    (full, all_epochs), (best, epochs) = found["grid"], found["asha"]
    print(f"asha / grid: objective {best / full:.4f}, epochs {epochs / all_epochs:.2f}")


@contextmanager
def cluster(count: int) -> Iterator[str]:
    """The address of a cluster of so many pinned nodes."""
    from ray.cluster_utils import Cluster

    cores = sorted(os.sched_getaffinity(0))
    made = Cluster()
    try:
        for core in cores[:count]:
            os.sched_setaffinity(0, {core})  # what is started now inherits it
            made.add_node(num_cpus=1, object_store_memory=100_000_000, include_dashboard=False)
        os.sched_setaffinity(0, cores)
        yield made.address
    finally:
        os.sched_setaffinity(0, cores)
        made.shutdown()


def rate(done: list[dict[str, Any]]) -> float:
    """Jobs a second, all workers together, once each has run its first."""
    ends: dict[str, list[float]] = defaultdict(list)
    for job in done:
        ends[str(job["process"])].append(job["began"] + job["seconds"])
    return sum((len(times) - 1) / (max(times) - min(times)) for times in ends.values() if len(times) > 1)


def nodes(folder: Path, args: argparse.Namespace) -> None:
    """Jobs a minute on one node and on two."""
    keys = ["tracker=none", "trainer.patience=null", "trainer.max_epochs=10", "cluster=ray"]
    seeds = f"range(0,{args.node_trials})"
    print(f"{'jobs a minute':14}{'one node':>10}{'two nodes':>11}{'ratio':>7}")
    for way, overrides in (("tuner", grid(seed=seeds)), ("launcher", [f"seed={seeds}"])):
        rates = []
        for count in (1, 2):
            root = folder / f"{way}_{count}" / "sweep"
            with cluster(count) as address:
                sweep(root, *keys, f"cluster.address={address}", *overrides)
            rates.append(60 * rate(jobs(root)))
        print(f"{way:14}{rates[0]:>10.1f}{rates[1]:>11.1f}{rates[1] / rates[0]:>7.2f}", flush=True)


PARTS = {part.__name__: part for part in (whole, cost, launching, asha, nodes)}


def main() -> None:
    """Print a table for each part that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--jobs", type=int, default=64, help="of whole")
    parser.add_argument("--trials", type=int, default=32, help="of cost")
    parser.add_argument("--epochs", type=int, default=20, help="of each trial of cost")
    parser.add_argument("--hidden", type=int, default=32, help="of each trial of cost")
    parser.add_argument("--launched", type=int, default=1000, help="jobs of launching through the tuner")
    parser.add_argument(
        "--plain",
        type=int,
        default=100,
        help="jobs of launching through the launcher, whose cost is constant",
    )
    parser.add_argument("--asha-epochs", type=int, default=50, help="of each trial of asha")
    parser.add_argument("--node-trials", type=int, default=16, help="of nodes")
    parser.add_argument("--here", choices=["bare", "original"], help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here is not None:
        {"bare": bare_here, "original": original_here}[args.here](args)
        return
    for name in args.parts or PARTS:
        if name not in PARTS:
            parser.error(f"{name}: no such part; parts: {', '.join(PARTS)}")
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), args)


if __name__ == "__main__":
    main()
