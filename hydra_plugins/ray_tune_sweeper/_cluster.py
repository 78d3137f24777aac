"""Start Ray, or join a cluster that runs, once and quietly."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from hydra_plugins.ray_tune_sweeper._errors import SweepError
from hydra_plugins.ray_tune_sweeper._keys import number

# An address gets so many seconds to answer. ray.init itself takes two minutes to give up on one.
PATIENCE_S = 25.0
_QUIET = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}


def connect(
    init: Mapping[str, Any] | None = None,
    *,
    cpus: float = 0.0,
    gpus: float = 0.0,
    names: Mapping[str, str] | None = None,
) -> None:
    """Have Ray at hand: start it on this machine, or join the cluster at `init["address"]`.

    Where this process has joined Ray already it stays there, so that a sweep never pays for its start twice.

    Args:
        init: arguments of `ray.init`.
        cpus: cores that one job will ask for.
        gpus: devices that one job will ask for.
        names: what to call `address`, `cpus` and `gpus` in a message: the keys a user would set.

    Raises:
        SweepError: the address does not answer, this process has joined another Ray, Ray refuses an argument, or no
            node could ever run a job.
    """
    called = {name: name for name in ("address", "cpus", "gpus")} | dict(names or {})
    wanted = {
        "CPU": number(called["cpus"], cpus, least=0),
        "GPU": number(called["gpus"], gpus, least=0),
    }
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    settings: dict[str, Any] = _QUIET | dict(init or {})
    address = settings.get("address")
    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address not in (None, "local", "auto", joined):
            _must_answer(str(address), called["address"])
            raise SweepError(
                f"{called['address']}={address}: this process has joined Ray at {joined} already; leave it with "
                "ray.shutdown(), or start another process"
            )
    else:
        if address in (None, "local"):
            settings.setdefault("include_dashboard", False)
        else:
            _must_answer(str(address), called["address"])
        try:
            ray.init(**settings)
        except (ConnectionError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise SweepError(
                f"{called['address']}={address}: Ray cannot be had ({_first_line(error)})"
            ) from error
    _must_fit(wanted, {"CPU": called["cpus"], "GPU": called["gpus"]})


def slots(cpus: float, gpus: float) -> int:
    """How many jobs of that size the cluster has room for at once, at least 1."""
    return max(1, sum(_room(node, {"CPU": cpus, "GPU": gpus}) for node in _nodes()))


def _must_answer(address: str, name: str) -> None:
    """Refuse an address at which no Ray answers."""
    if address.startswith("ray://"):
        raise SweepError(f"{name}={address}: Ray Client is not supported; give host:port of the head node")
    began = time.monotonic()
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise SweepError(f"{name}={address}: must be host:port of a Ray head node, auto or local")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S / 2).close()
        except (OSError, OverflowError) as error:
            raise SweepError(f"{name}={address}: does not answer ({_first_line(error)})") from error
    # In a process of its own: what it waits for cannot be interrupted, and it talks to the screen.
    question = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    question += [] if address == "auto" else ["--address", address]
    left = PATIENCE_S - (time.monotonic() - began)
    try:
        asked = subprocess.run(question, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired as error:
        raise SweepError(f"{name}={address}: no Ray answers there within {PATIENCE_S:.0f} s") from error
    if asked.returncode:
        said = [line for line in asked.stderr.splitlines() if line.strip()]
        raise SweepError(
            f"{name}={address}: no Ray answers there ({said[-1] if said else 'no reason given'})"
        )


def _must_fit(wanted: dict[str, float], called: dict[str, str]) -> None:
    nodes = _nodes()
    if any(_room(node, wanted) for node in nodes):
        return
    for kind, count in wanted.items():
        most = max((node.get(kind, 0.0) for node in nodes), default=0.0)
        if count > most:
            raise SweepError(
                f"{called[kind]}={count:g}: no node of the cluster has so many; the most is {most:g}"
            )
    asked = ", ".join(f"{called[kind]}={count:g}" for kind, count in wanted.items())
    raise SweepError(f"{asked}: no node of the cluster has both")


def _room(node: dict[str, float], wanted: dict[str, float]) -> int:
    rooms = [int(node.get(name, 0.0) / count + 1e-9) for name, count in wanted.items() if count > 0]
    return min(rooms, default=1)


def _nodes() -> list[dict[str, float]]:
    import ray

    nodes: Any = ray.nodes  # untyped
    return [node["Resources"] for node in nodes() if node["Alive"]]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def own_environment(variables: Mapping[str, str]) -> Any:
    """Set environment variables for as long as the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
