"""A new champion every few seconds under load: no question may fail, and every answer must be from a current model."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.serve.asking import Asking, Result
from benchmarks.serve.bundle import make, questions
from benchmarks.serve.servers import INLINE, WORKERS, Server, serving


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of this command."""
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds from one swap to the next")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=("inline", "workers"), default="inline")


def run(folder: Path, asked: argparse.Namespace) -> bool:
    """Print what came of it; whether nothing failed and no answer came from a model of the past."""
    runs = [make(folder / f"run-{seed}", seed=seed) for seed in range(3)]
    windows = [questions(directory) for directory in runs]
    assert windows[0].sequences == windows[1].sequences == windows[2].sequences
    link = folder / "champion"
    point(link, runs[0])
    way = INLINE if asked.engine == "inline" else WORKERS
    with serving(way, link, windows[0], folder) as server:
        expected = {}
        for directory, known in zip(runs, windows, strict=True):
            point(link, directory)
            expected[_version(server, known.sequences[0], known.forecasts[0])] = known.forecasts
        plan = server.plan(
            windows[0], connections=asked.connections, seconds=asked.seconds, expected=expected
        )
        since = [(time.monotonic(), 2)]  # when which model became the champion
        asking = Asking(plan)
        while time.monotonic() - since[0][0] < plan.warm_s + asked.seconds:
            time.sleep(asked.every)
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
    return not found.faults and late <= asked.every and not early and not back


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
        if answer["prediction"] == forecast:
            return str(answer["model_version"])
        time.sleep(0.1)
    raise SystemExit(f"the server did not follow {forecast}; its last answer: {answer}")
