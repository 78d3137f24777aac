"""Which process records a run, and whether that process is certainly dead."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

HOST, PID, PROCESS = "forecast.host", "forecast.pid", "forecast.process"


def user() -> str:
    """Return who this process belongs to: the name, or the number where it has none, as in many containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid())


def identity() -> dict[str, str]:
    """Return the tags that say which process this is, from which `is_dead` tells later."""
    return {HOST: socket.gethostname(), PID: str(os.getpid()), PROCESS: _fingerprint()}


def is_dead(tags: Mapping[str, str]) -> bool:
    """Return whether the process that left these tags is certainly gone; False where that cannot be seen.

    A process id alone does not tell: it is used again, means another process in another container, and says
    nothing after a reboot. So machine, boot, container and start time are compared where /proc shows them.
    """
    pid = tags.get(PID, "")
    if tags.get(HOST) != socket.gethostname() or not pid.isdecimal():
        return False
    theirs, ours = tags.get(PROCESS, "").split("/"), _fingerprint().split("/")
    if len(theirs) == len(ours) == 4:
        if theirs[0] != ours[0]:
            return False  # another machine that answers to the same name
        if theirs[1] != ours[1]:
            return True  # this machine was started again since
        if theirs[2] != ours[2]:
            return False  # another container: its processes are out of sight
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # someone else's process: it lives
    state, started = _stat(pid)
    return state in ("Z", "X") or (len(theirs) == 4 and started not in ("", theirs[3]))


def _fingerprint() -> str:
    """machine/boot/container/start time, empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    try:
        machine = Path("/etc/machine-id").read_text("utf-8").strip()
    except OSError:
        machine = ""
    return "/".join((machine, boot, container.replace("/", "_"), _stat("self")[1]))


def _stat(pid: str) -> tuple[str, str]:
    """State letter and start time (clock ticks since boot) of a process, empty where it cannot be seen."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return fields[0], fields[19]
