"""What a server must hold besides being quick: idle, soak, swap, kill and train of python -m benchmarks.serve."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.serve.load import Asking, Result, ask
from benchmarks.serve.servers import (
    INLINE,
    WORKERS,
    Questions,
    Server,
    Way,
    command,
    cpu_seconds,
    make,
    megabytes,
    questions,
    serving,
    tree,
)

_IDLE_PERCENT = 2.0  # of a core
_GROWTH_PERCENT = 5.0
_BACK_S = 1.0  # until another worker answers instead of a killed one
_ENDED_S = 1.0  # until a server is gone without a process that it needs
_FIRST_EPOCH_S = 90
# Served by one and by two processes: name, keys, and how many times the answers of one two must give on two cores. The
# load generator takes its part of them, most where an answer costs little.
_MODELS = (
    ("costly", ("model.hidden_size=256", "model.num_layers=1", "data.seq_len=240"), 1.5),
    ("small", (), 1.0),
)


def idle_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `idle`."""
    parser.add_argument("--seconds", type=float, default=30.0)


def idle(folder: Path, options: argparse.Namespace) -> bool:
    """Print a line an engine; whether the default one is within the limit."""
    directory = make(folder / "run")
    windows = questions(directory)
    percents = []
    for way in (INLINE, WORKERS):
        with serving(way, directory, windows, folder) as server:
            time.sleep(2.0)  # the start is over
            before, began = cpu_seconds(server.pid), time.monotonic()
            time.sleep(options.seconds)
            percents.append(100 * (cpu_seconds(server.pid) - before) / (time.monotonic() - began))
            print(
                f"{way.name:28}{percents[-1]:6.2f} % of a core, {len(tree(server.pid))} processes, "
                f"{megabytes(server.pid):.0f} MB, first answer after {server.seconds:.1f} s",
                flush=True,
            )
    return percents[0] < _IDLE_PERCENT


def soak_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `soak`."""
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--warm", type=int, default=10_000, help="requests before memory is first looked at")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=("inline", "workers"), default="inline")


def soak(folder: Path, options: argparse.Namespace) -> bool:
    """Print memory as it goes; whether it stayed flat and every answer was right."""
    directory = make(folder / "run")
    windows = questions(directory)
    way = INLINE if options.engine == "inline" else WORKERS
    with serving(way, directory, windows, folder) as server:
        much = {"connections": options.connections, "seconds": 24 * 3600.0, "warm_s": 0.0}
        warm = Asking(server.plan(windows, most=options.warm, **much)).result()
        first = highest = megabytes(server.pid)
        print(f"{way.name}: {first:.0f} MB after {options.warm:,} requests", flush=True)
        asking = Asking(server.plan(windows, most=options.requests, **much))
        said = time.monotonic()
        while asking.running:
            time.sleep(1.0)
            highest = max(highest, megabytes(server.pid))
            if time.monotonic() - said > 15:
                said = time.monotonic()
                print(f"  {megabytes(server.pid):.0f} MB", flush=True)
        found = asking.result()
        last = megabytes(server.pid)
    grown = 100 * (last - first) / first
    print(
        f"{len(found.sent):,} requests, {found.per_second:.0f} a second, faults: {found.faults or 'none'}; "
        f"{last:.0f} MB at the end ({grown:+.1f} %), {highest:.0f} MB at most"
    )
    return abs(grown) <= _GROWTH_PERCENT and not found.faults and not warm.faults


def swap_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `swap`."""
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds from one swap to the next")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=("inline", "workers"), default="inline")


def swap(folder: Path, options: argparse.Namespace) -> bool:
    """Print what came of it; whether nothing failed and no answer came from a model of the past."""
    from forecast.champion import ChampionConfig, promote
    from forecast.champion.store import ChampionStore

    # Of bars up to three years before the last, so that the training in the middle makes another model of newer ones.
    runs = [make(folder / f"run-{seed}", seed=seed, also=("data.end=2015-02-07",)) for seed in range(3)]
    windows = questions(runs[0])
    link = folder / "champion"
    store = ChampionStore(link)
    for directory in runs:
        promote(directory, champion=ChampionConfig(directory=str(link)))
    names = [path.name for path in store.folders]
    way = INLINE if options.engine == "inline" else WORKERS
    with serving(way, link, windows, folder, f"champion_link={link}") as server:
        plan = server.plan(windows, connections=options.connections, seconds=options.seconds)
        since = [(time.monotonic(), names[-1])]  # when which one became the champion
        asking, trained = Asking(plan), ""
        end = time.monotonic() + plan.warm_s + options.seconds
        while (left := end - time.monotonic()) > options.every:
            time.sleep(options.every)
            if not trained and left < 0.7 * options.seconds:
                trained = _retrain(server)
                since.append(_champion_of(link))
                status, answer = server.call("POST", "/champion/rollback")
                if status != 200:
                    raise SystemExit(f"the rollback answered {status}: {answer}")
            else:
                with store.lock(print):
                    store.set_current(names[len(since) % 3], "promoted")
            since.append(_champion_of(link))
        expected = {_version(path): _forecasts_of(path, windows) for path in store.folders}
        found = asking.result(expected)
    order = [version.partition("@")[0] for version in expected]
    numbered = [(begun, order.index(name)) for begun, name in since]
    late, early = staleness(found, numbered)
    back = going_back(found, numbered)
    print(
        f"{way.name}: {len(since) - 1} swaps, a training ({trained}) and a rollback among them, {len(found.sent):,} "
        f"questions, {found.per_second:.0f} answers/s, p50 {found.ms(50):.1f} ms, p99 {found.ms(99):.1f} ms; "
        f"faults: {found.faults or 'none'}; "
        f"latest answer of a model of the past {late:.2f} s after the swap; answers of a model to come: {early}, "
        f"of the one before after the new one had answered: {back}"
    )
    # The server looks once in a while, reads, and proves what it has read; that must be over before the next swap.
    return not found.faults and late <= options.every and not early and not back


def _retrain(server: Server) -> str:
    """Train on newer bars; what came of it, once it has come to its end."""
    status, answer = server.call("POST", "/train/update?wait=false")
    if status != 202:
        raise SystemExit(f"POST /train/update answered {status}: {answer}")
    while (state := server.call("GET", answer["status_url"])[1])["state"] == "running":
        time.sleep(0.2)
    if state["error"]:
        raise SystemExit(f"the training failed: {state['error']}")
    return str(state["state"])


def _champion_of(link: Path) -> tuple[float, str]:
    """When the link was made, by CLOCK_MONOTONIC, and the champion that it leads to."""
    return link.lstat().st_mtime - time.time() + time.monotonic(), link.resolve().name


def _version(directory: Path) -> str:
    """What the server calls the model of a run directory."""
    digest = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    return f"{directory.name}@{digest[:8]}"


def _forecasts_of(directory: Path, windows: Questions) -> list[float]:
    """What the model of a run directory forecasts."""
    from forecast import bundle

    found = bundle.load(directory).forecast_windows(np.array(windows.sequences, np.float32))
    return [float(value) for value in found.values[:, 0]]


def staleness(found: Result, since: list[tuple[float, int]]) -> tuple[float, int]:
    """How long after its time a model still answered questions, and how often one answered before its time.

    Args:
        found: of a load whose expected versions are those that `since` numbers.
        since: when which version became the champion, in order.

    Returns:
        seconds, and answers.
    """
    late = np.full(len(found.sent), np.inf)
    ends = [begun for begun, _ in since[1:]] + [np.inf]
    for (begun, version), end in zip(since, ends, strict=True):
        mine = (found.version == version) & (found.taken >= begun)
        late[mine] = np.minimum(late[mine], np.maximum(0.0, found.sent[mine] - end))
    late = late[found.answered]
    known = late[np.isfinite(late)]
    return float(known.max(initial=0.0)), int((~np.isfinite(late)).sum())


def going_back(found: Result, since: list[tuple[float, int]]) -> int:
    """How many questions that were sent after a new model had answered were answered by another one.

    Args:
        found: as for staleness; of a server that computes in one process.
        since: likewise.

    Returns:
        answers.
    """
    wrong = 0
    ends = [begun for begun, _ in since[1:]] + [np.inf]
    for (begun, version), end in zip(since, ends, strict=True):
        answered = found.taken[(found.version == version) & (found.sent >= begun) & (found.taken < end)]
        if len(answered):
            after = (found.sent > answered.min()) & (found.taken < end) & found.answered
            wrong += int((found.version[after] != version).sum())
    return wrong


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `train`."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)


def train(folder: Path, options: argparse.Namespace) -> bool:
    """Print a row each; whether no question was lost."""
    directory = make(folder / "run-long", also=("trainer.max_epochs=30", "trainer.patience=null"))
    windows = questions(directory)
    with serving(INLINE, directory, windows, folder) as server:
        plan = server.plan(windows, connections=options.connections, seconds=options.seconds)
        rows = {"alone": ask(plan)}
        url = _train(server)
        _await_first_epoch(server, url)
        rows["while training"] = ask(plan)
        state = server.call("GET", url)[1]
        asking = Asking(plan)
        time.sleep(plan.warm_s + options.seconds / 3)
        victims = [pid for pid in tree(server.pid) if "forecast.serve.training_process" in command(pid)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        rows["training killed -9"] = asking.result()
        after = server.call("GET", url)[1]
    for name, found in rows.items():
        print(
            f"{name:20}{found.per_second:>7.0f} answers/s, p50 {found.ms(50):.2f} ms, p99 {found.ms(99):.2f} ms, "
            f"faults: {found.faults or 'none'}"
        )
    alone, beside = rows["alone"], rows["while training"]
    print(
        f"while training (then {state['state']}, {state.get('progress')}): "
        f"{beside.per_second / alone.per_second:.2f} times the answers, "
        f"{beside.ms(99) / alone.ms(99):.2f} times the p99"
    )
    print(f"{len(victims)} training processes killed; the job is {after['state']}: {after.get('error')}")
    return not any(found.faults for found in rows.values()) and bool(victims)


def _train(server: Server) -> str:
    """Start a training; the path of its state."""
    status, answer = server.call("POST", "/train?wait=false")
    if status != 202:
        raise SystemExit(f"POST /train answered {status}: {answer}")
    return str(answer["status_url"])


def _await_first_epoch(server: Server, url: str) -> None:
    patience = time.monotonic() + _FIRST_EPOCH_S
    while not (state := server.call("GET", url)[1])["progress"]:
        if state["state"] != "running" or time.monotonic() > patience:
            raise SystemExit(f"the training does not train: {state}")
        time.sleep(0.2)


def kill_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `kill`."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0, help="of load; the kill comes after six")


def kill(folder: Path, options: argparse.Namespace) -> bool:
    """Print a line a kill; whether another worker answered at once, and a server without one was gone at once."""
    directory = make(folder / "run")
    windows = questions(directory)
    with serving(WORKERS, directory, windows, folder, "engine.processes=2") as server:
        asking = Asking(server.plan(windows, connections=options.connections, seconds=options.seconds))
        time.sleep(6.0)
        killed = time.monotonic()
        os.kill(_workers(server)[0], signal.SIGKILL)
        found = asking.result()
    back = found.taken[found.answered & (found.sent > killed)]
    seconds = float(back.min() - killed) if len(back) else float("inf")
    open_then = (found.sent < killed + 0.2) & (found.taken > killed)
    slowest = float((found.taken - found.sent)[open_then].max(initial=0.0))
    print(
        f"{WORKERS.name}: one of two workers killed; first answer to a later question after {seconds:.2f} s, the "
        f"slowest one of those that were open after {slowest:.2f} s; faults: {found.faults or 'none'}",
        flush=True,
    )
    good = seconds <= _BACK_S and slowest <= _BACK_S and not found.faults
    for way, what in ((INLINE, "HTTP process"), (WORKERS, "only worker")):
        with serving(way, directory, windows, folder) as server:
            asking = Asking(
                server.plan(windows, connections=options.connections, seconds=8.0, patience_s=1.0)
            )
            time.sleep(6.0)
            victim = max(tree(server.pid)[1:], key=cpu_seconds) if way is INLINE else _workers(server)[0]
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(10)
            ended = time.monotonic() - killed
            asking.result()
        last = server.log.read_text("utf-8").strip().splitlines()[-1]
        print(
            f"{way.name}: its {what} killed; ended after {ended:.2f} s with {server.process.poll()}: {last}",
            flush=True,
        )
        good &= ended <= _ENDED_S and server.process.poll() == 1
    return good


def workers_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `workers`."""
    parser.add_argument(
        "--rounds", type=int, default=2, help="one and two processes are measured so often, in turn"
    )
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)


def workers(folder: Path, options: argparse.Namespace) -> bool:
    """Print a row a model and key; whether two processes answer as many times more as they must."""
    good = True
    for name, also, least in _MODELS:
        directory = make(folder / f"run-{name}", also=("trainer.threads=1", *also))
        windows = questions(directory)
        ways = [
            Way(name=f"{name} workers={count}", keys=(*INLINE.keys, f"workers={count}")) for count in (1, 2)
        ]
        rates: dict[str, list[float]] = {way.name: [] for way in ways}
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(serving(way, directory, windows, folder)) for way in ways]
            for server in servers * options.rounds:
                found = ask(server.plan(windows, connections=options.connections, seconds=options.seconds))
                if found.faults:
                    raise SystemExit(f"{server.way.name}: {found.faults}")
                rates[server.way.name].append(found.per_second)
        one, two = rates.values()
        ratio = statistics.median(second / first for first, second in zip(one, two, strict=True))
        good &= ratio >= least
        shown = " and ".join("/".join(f"{rate:.0f}" for rate in own) for own in (one, two))
        word = "met" if ratio >= least else "MISSED"
        print(
            f"{name}, workers=1 and 2: {shown} answers/s, {ratio:.2f} times, >= {least}: {word}", flush=True
        )
    return good


def _workers(server: Server) -> list[int]:
    """LitServe's inference processes."""
    return [pid for pid in tree(server.pid) if "spawn_main" in command(pid)]


COMMANDS = {
    "idle": (idle, idle_arguments),
    "soak": (soak, soak_arguments),
    "swap": (swap, swap_arguments),
    "kill": (kill, kill_arguments),
    "train": (train, train_arguments),
    "workers": (workers, workers_arguments),
}
