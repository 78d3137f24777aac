"""python -m benchmarks.serve [COMMAND] [--folder DIR]: table (default), idle, soak, swap, kill, train, workers.

table   throughput and latency of every way to serve the same run directory, in turn, round after round
idle    what a server costs while nobody asks: share of a core, and memory
soak    many questions, and what becomes of the server's memory
swap    a new champion every few seconds under load, a training and a rollback in the middle: no question may fail,
        every answer is from a current model
kill    kill -9 under load of a process that computes: how soon it is back, or the server ended as a whole
train   answers while the champion is retrained behind the server, and when that process is killed
workers answers a second by one and by two processes, of a costly and of a small model

Every command makes the run directory it serves (or finds it in the folder), starts its servers on free ports of
127.0.0.1, checks every answer, and exits with 1 when the target that it prints is missed. Linux only.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.serve import checks
from benchmarks.serve.load import Result, ask
from benchmarks.serve.servers import INLINE, ORIGINAL, WAYS, Way, make, questions, serving

_CONNECTIONS = (1, 16, 64)
# Ours over the original's way, of the default engine: connections -> (figure, limit, whether more is better).
_TARGETS = {
    1: (("p50", 0.8, False),),
    16: (("per second", 3.5, True), ("p99", 0.4, False)),
    64: (("per second", 5.5, True), ("p99", 0.4, False)),
}
_NOTHING = Way(
    name="FastAPI that computes nothing", module="benchmarks.serve.rivals nothing", tolerance=float("inf")
)


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    for name, (run, arguments) in {"table": (table, table_arguments), **checks.COMMANDS}.items():
        command = commands.add_parser(name, help=str(run.__doc__))
        command.add_argument("--folder", type=Path, help="where everything is left; default: a temporary one")
        command.set_defaults(run=run)
        arguments(command)
    options = parser.parse_args(sys.argv[1:] or ["table"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are ended, whatever ends this
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return 0 if options.run(folder, options) else 1


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `table`."""
    parser.add_argument("--rounds", type=int, default=3, help="each way is measured so often, in turn")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured per number of connections")
    parser.add_argument("--only", nargs="+", default=[], help="names of ways that hold one of these words")


def table(folder: Path, options: argparse.Namespace) -> bool:
    """Print the table; whether the targets are met."""
    directory = make(folder / "run")
    windows = questions(directory)
    ways = [
        way for way in (*WAYS, _NOTHING) if not options.only or any(word in way.name for word in options.only)
    ]
    measured: dict[tuple[str, int], list[Result]] = defaultdict(list)
    started: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for way in ways:
            with serving(way, directory, windows, folder) as server:
                started[way.name].append(server.seconds)
                for connections in _CONNECTIONS:
                    found = ask(server.plan(windows, connections=connections, seconds=options.seconds))
                    if found.faults:
                        raise SystemExit(f"{way.name}, {connections} connections: {found.faults}")
                    measured[way.name, connections].append(found)
    _print(ways, measured, started)
    met = [_met(measured, connections) for connections in _CONNECTIONS]  # each says its own
    return all(met)


def _print(
    ways: list[Way], measured: dict[tuple[str, int], list[Result]], started: dict[str, list[float]]
) -> None:
    print("medians of the rounds; in brackets the ratio to the original's way in the same round")
    for connections in _CONNECTIONS:
        print(
            f"\n{f'{connections} connections':32}{'answers/s':>18}{'p50 ms':>18}{'p99 ms':>18}{'start s':>9}"
        )
        for way in ways:
            cells = [_cell(measured, way.name, connections, name) for name in ("per second", "p50", "p99")]
            print(f"{way.name:32}" + "".join(f"{cell:>18}" for cell in cells), end="")
            print(f"{statistics.median(started[way.name]):>9.1f}", flush=True)


def _cell(measured: dict[tuple[str, int], list[Result]], name: str, connections: int, figure: str) -> str:
    value = statistics.median(_figure(found, figure) for found in measured[name, connections])
    text = f"{value:.0f}" if figure == "per second" else f"{value:.2f}"
    ratio = _ratio(measured, name, connections, figure)
    return text if ratio is None else f"{text} ({ratio:.2f})"


def _ratio(
    measured: dict[tuple[str, int], list[Result]], name: str, connections: int, figure: str
) -> float | None:
    pairs = zip(measured[name, connections], measured.get((ORIGINAL.name, connections), []), strict=False)
    ratios = [_figure(ours, figure) / _figure(theirs, figure) for ours, theirs in pairs]
    return statistics.median(ratios) if ratios else None


def _figure(found: Result, name: str) -> float:
    return found.per_second if name == "per second" else found.ms(float(name.removeprefix("p")))


def _met(measured: dict[tuple[str, int], list[Result]], connections: int) -> bool:
    met = True
    for figure, limit, more in _TARGETS[connections]:
        ratio = _ratio(measured, INLINE.name, connections, figure)
        if ratio is None or (INLINE.name, connections) not in measured:
            continue
        good = ratio >= limit if more else ratio <= limit
        met &= good
        wanted = f"{'>=' if more else '<='} {limit}"
        print(
            f"{INLINE.name}, {connections} connections, {figure}: {ratio:.2f} times, {wanted}: {_word(good)}"
        )
    return met


def _word(good: bool) -> str:
    return "met" if good else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
