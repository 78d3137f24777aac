"""Start Ray, or join a running cluster, once and quietly."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from hydra_plugins.ray_tune_sweeper._settings import SweepError, number

# Seconds that an address has to answer. ray.init itself takes two minutes to give up on one.
PATIENCE_S = 25.0
_QUIET = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}


def connect(
    init: Mapping[str, Any] | None = None,
    *,
    cpus: float = 0.0,
    gpus: float = 0.0,
    names: Mapping[str, str] | None = None,
) -> None:
    """Start Ray on this machine, or join the cluster at `init["address"]`.

    Where this process has joined Ray already it stays there, so that a sweep never pays for its start twice.

    Args:
        init: arguments of `ray.init`.
        names: what to call `address`, `cpus` and `gpus` in a message: the keys a user would set.

    Raises:
        SweepError: the address does not answer, this process has joined another Ray, Ray refuses an argument, or no
            node could ever run a job.
    """
    keys = {name: name for name in ("address", "cpus", "gpus")} | dict(names or {})
    wanted = {"CPU": number(keys["cpus"], cpus, least=0), "GPU": number(keys["gpus"], gpus, least=0)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    settings: dict[str, Any] = _QUIET | dict(init or {})
    address = settings.get("address")
    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address not in (None, "local", "auto", joined):
            check_address(str(address), keys["address"])
            raise SweepError(
                f"{keys['address']}={address}: this process has joined Ray at {joined} already; leave it with "
                "ray.shutdown(), or start another process"
            )
    else:
        if address in (None, "local"):
            settings.setdefault("include_dashboard", False)
        else:
            check_address(str(address), keys["address"])
        try:
            ray.init(**settings)
        except (ConnectionError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise SweepError(
                f"{keys['address']}={address}: Ray does not start ({_first_line(error)})"
            ) from error
    _check_resources(wanted, {"CPU": keys["cpus"], "GPU": keys["gpus"]})


def slots(cpus: float, gpus: float) -> int:
    """How many jobs of that size the cluster can run at once, at least 1."""
    return max(1, sum(_capacity(node, {"CPU": cpus, "GPU": gpus}) for node in _nodes()))


def check_address(address: str, name: str) -> None:
    """Check that Ray answers at an address.

    Raises:
        SweepError: it does not, within PATIENCE_S.
    """
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
    # In a process of its own: what it waits for cannot be interrupted, and it writes to the screen.
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    command += [] if address == "auto" else ["--address", address]
    left = PATIENCE_S - (time.monotonic() - began)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
    except subprocess.TimeoutExpired as error:
        raise SweepError(f"{name}={address}: no Ray answers there within {PATIENCE_S:.0f} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise SweepError(
            f"{name}={address}: no Ray answers there ({lines[-1] if lines else 'no reason given'})"
        )


def _check_resources(wanted: dict[str, float], keys: dict[str, str]) -> None:
    nodes = _nodes()
    if any(_capacity(node, wanted) for node in nodes):
        return
    for kind, count in wanted.items():
        most = max((node.get(kind, 0.0) for node in nodes), default=0.0)
        if count > most:
            raise SweepError(
                f"{keys[kind]}={count:g}: no node of the cluster has so many; the most is {most:g}"
            )
    both = ", ".join(f"{keys[kind]}={count:g}" for kind, count in wanted.items())
    raise SweepError(f"{both}: no node of the cluster has both")


def _capacity(node: dict[str, float], wanted: dict[str, float]) -> int:
    counts = [int(node.get(name, 0.0) / count + 1e-9) for name, count in wanted.items() if count > 0]
    return min(counts, default=1)


def _nodes() -> list[dict[str, float]]:
    import ray

    nodes: Any = ray.nodes  # untyped
    return [node["Resources"] for node in nodes() if node["Alive"]]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
