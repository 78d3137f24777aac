"""What a process and all its children take of the machine, as Linux tells it in /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and its children's children, oldest first."""
    return [pid, *(below for child in _children(pid) for below in tree(child))]


def _children(pid: int) -> Iterator[int]:
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, listed.read_text().split())
        except OSError:  # the thread has ended
            continue


def cpu_seconds(pid: int) -> float:
    """Spent so far by the process and its children, those included that have ended and were waited for."""
    return sum(map(_cpu_seconds, tree(pid)))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK  # utime, stime, and both of children waited for


def megabytes(pid: int) -> float:
    """Resident memory of the process and its children; pages they share are counted once."""
    return sum(map(_megabytes, tree(pid)))


def _megabytes(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def command(pid: int) -> str:
    """The command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def name(pid: int) -> str:
    """What `ps` calls it."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
