"""What a server must hold besides being quick: idle, soak, swap, kill and train of python -m benchmarks.serve."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.serve.load import Asking, Result, ask
from benchmarks.serve.servers import (
    INLINE,
    WORKERS,
    Server,
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
_BACK_S = 5.0  # until a process that LitServe restarts answers again
_ENDED_S = 1.0  # until a server is gone whose HTTP process was killed
_FIRST_EPOCH_S = 90


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
    runs = [make(folder / f"run-{seed}", seed=seed) for seed in range(3)]
    windows = [questions(directory) for directory in runs]
    assert windows[0].sequences == windows[1].sequences == windows[2].sequences
    link = folder / "champion"
    point(link, runs[0])
    way = INLINE if options.engine == "inline" else WORKERS
    with serving(way, link, windows[0], folder) as server:
        expected = {}
        for directory, known in zip(runs, windows, strict=True):
            point(link, directory)
            expected[_version(server, known.sequences[0], known.forecasts[0])] = known.forecasts
        plan = server.plan(
            windows[0], connections=options.connections, seconds=options.seconds, expected=expected
        )
        since = [(time.monotonic(), 2)]  # when which model became the champion
        asking = Asking(plan)
        while time.monotonic() - since[0][0] < plan.warm_s + options.seconds:
            time.sleep(options.every)
            since.append((time.monotonic(), (since[-1][1] + 1) % 3))
            point(link, runs[since[-1][1]])
        found = asking.result()
    late, early = staleness(found, since)
    back = going_back(found, since)
    print(
        f"{way.name}: {len(since) - 1} swaps, {len(found.sent):,} questions, {found.per_second:.0f} answers/s, "
        f"p50 {found.ms(50):.1f} ms, p99 {found.ms(99):.1f} ms; faults: {found.faults or 'none'}; "
        f"latest answer of a model of the past {late:.2f} s after the swap; answers of a model to come: {early}, "
        f"of the one before after the new one had answered: {back}"
    )
    # The server looks once in a while, reads, and proves what it has read; that must be over before the next swap.
    return not found.faults and late <= options.every and not early and not back


def point(link: Path, directory: Path) -> None:
    """Lead a link elsewhere in one step."""
    new = link.with_name(f"{link.name}.new")
    new.symlink_to(directory)
    os.replace(new, link)


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


def _version(server: Server, sequence: list[list[float]], forecast: float) -> str:
    """What the server calls the model that gives this forecast, once it answers with it."""
    patience = time.monotonic() + 30
    while time.monotonic() < patience:
        _, answer = server.call("POST", server.way.path, {"sequence": sequence})
        if math.isclose(answer["prediction"], forecast, rel_tol=1e-5):
            return str(answer["model_version"])
        time.sleep(0.1)
    raise SystemExit(f"the server did not follow {forecast}; its last answer: {answer}")


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
        told = server.call("GET", url)[1]
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
        f"while training (then {told['state']}, {told.get('progress')}): "
        f"{beside.per_second / alone.per_second:.2f} times the answers, "
        f"{beside.ms(99) / alone.ms(99):.2f} times the p99"
    )
    print(
        f"{len(victims)} training processes killed; the job is told as {after['state']}: {after.get('error')}"
    )
    return not any(found.faults for found in rows.values()) and bool(victims)


def _train(server: Server) -> str:
    """Start a training; where its state is told."""
    status, answer = server.call("POST", "/train?wait=false")
    if status != 202:
        raise SystemExit(f"POST /train answered {status}: {answer}")
    return str(answer["status_url"])


def _await_first_epoch(server: Server, url: str) -> None:
    patience = time.monotonic() + _FIRST_EPOCH_S
    while not (told := server.call("GET", url)[1])["progress"]:
        if told["state"] != "running" or time.monotonic() > patience:
            raise SystemExit(f"the training does not train: {told}")
        time.sleep(0.2)


def kill_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `kill`."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0, help="of load; the kill comes after six")


def kill(folder: Path, options: argparse.Namespace) -> bool:
    """Print a line an engine; whether the worker was back in time, and the server with a dead HTTP process gone."""
    directory = make(folder / "run")
    windows = questions(directory)
    with serving(WORKERS, directory, windows, folder) as server:
        asking = Asking(server.plan(windows, connections=options.connections, seconds=options.seconds))
        time.sleep(6.0)
        (victim,) = [pid for pid in tree(server.pid) if "spawn_main" in command(pid)]
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        found = asking.result()
    back = found.taken[found.answered & (found.sent > killed)]
    seconds = float(back.min() - killed) if len(back) else float("inf")
    print(
        f"{WORKERS.name}: its worker killed; first answer to a later question after {seconds:.2f} s; "
        f"{int((~found.answered).sum())} failed: {found.faults or 'none'}",
        flush=True,
    )
    with serving(INLINE, directory, windows, folder) as server:
        asking = Asking(server.plan(windows, connections=options.connections, seconds=8.0, patience_s=1.0))
        time.sleep(6.0)
        victim = max(tree(server.pid)[1:], key=cpu_seconds)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(10)
        ended = time.monotonic() - killed
        asking.result()
    last = server.log.read_text("utf-8").strip().splitlines()[-1]
    print(
        f"{INLINE.name}: its HTTP process killed; ended after {ended:.2f} s with {server.process.poll()}: {last}"
    )
    gone = ended <= _ENDED_S and server.process.poll() == 1
    return seconds <= _BACK_S and "no answer" not in found.faults and gone


COMMANDS = {
    "idle": (idle, idle_arguments),
    "soak": (soak, soak_arguments),
    "swap": (swap, swap_arguments),
    "kill": (kill, kill_arguments),
    "train": (train, train_arguments),
}
