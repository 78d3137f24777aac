"""What conf/serve.yaml holds, checked and frozen: handed to whatever needs a setting."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

from forecast.errors import UserError
from forecast.files import LocalPath, LocalUrl
from forecast.serve.monitoring import Monitoring

MAX_BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Inline:
    """Forecasts are computed in the HTTP process, many requests in one forward.

    Args:
        most: requests answered together.
    """

    most: Annotated[int, Ge(1), Le(MAX_BATCH_SIZE)] = MAX_BATCH_SIZE


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Forecasts are computed in LitServe's inference processes.

    Args:
        most: requests answered together by a process.
        processes: inference processes on each device.
        accelerator: `cpu` or `cuda`.
    """

    most: Annotated[int, Ge(1), Le(MAX_BATCH_SIZE)] = MAX_BATCH_SIZE
    processes: Annotated[int, Ge(1), Le(64)] = 1
    accelerator: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run directory over HTTP.

    Args:
        engine: where forecasts are computed.
        watch: counts requests and notes what was forecast.
        bundle: run directory, link to one, or `models:/name@alias` of MLflow's registry; where the champion's link
            does not exist yet, the server starts without a model and takes the first that appears.
        champion_link: that retraining promotes to and rolls back.
        state: folder for the server's own files.
        tracker_uri: of the MLflow store that `models:/` is looked up in.
        host: address to listen on.
        port: to listen on.
        api_key: wanted in the header X-API-Key; None = nobody needs one.
        admin_key: wanted instead of it for training and the champion; None = the same.
        insecure: listen on other addresses than this machine's own without a key.
        allowed_hosts: names that a request's Host may have; `*` = any; None = loopback names on a loopback address,
            any elsewhere.
        workers: HTTP processes.
        max_in_flight: requests answered at once by each of them; more get 429.
        max_body_bytes: of a request; more get 413.
        max_rows: of a window; more get 413; None = four times what the model looks at, at least 2,500.
        deadline_s: seconds for a request; then 504.
        keep_alive_s: seconds that an idle connection is kept.
        drain_s: seconds that requests in flight get when the server is stopped.
        champion_poll_s: seconds between two looks at whether another model is to be served.
        registry_poll_s: seconds between two questions to MLflow whether the alias of `models:/` has moved; None = it is
            asked once, at the start.
        log_format: of what the server says on stderr: lines for people, or one JSON object a line.
        allow: modules or classes of plug-ins that a bundle may name.

    Raises:
        UserError: open to others without a key.
    """

    engine: Inline | Workers
    watch: Monitoring
    bundle: Annotated[str, MinLen(1), LocalPath()] = "outputs/champion"
    champion_link: Annotated[str, MinLen(1), LocalPath()] = "outputs/champion"
    state: Annotated[str, MinLen(1), LocalPath()] = "outputs/serve"
    tracker_uri: Annotated[str, MinLen(1), LocalUrl()] = "sqlite:///mlflow.db"
    host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1"
    port: Annotated[int, Ge(1024), Le(65535)] = 8000
    api_key: Annotated[str, MinLen(1)] | None = None
    admin_key: Annotated[str, MinLen(1)] | None = None
    insecure: bool = False
    allowed_hosts: Sequence[str] | None = None
    workers: Annotated[int, Ge(1), Le(64)] = 1
    max_in_flight: Annotated[int, Ge(1)] = 512
    max_body_bytes: Annotated[int, Ge(1024)] = 1048576
    max_rows: Annotated[int, Ge(2)] | None = None
    deadline_s: Annotated[float, Gt(0)] = 10.0
    keep_alive_s: Annotated[int, Ge(1)] = 30
    drain_s: Annotated[int, Ge(1)] = 30
    champion_poll_s: Annotated[float, Gt(0)] = 1.0
    registry_poll_s: Annotated[float, Ge(1)] | None = 60.0
    log_format: Literal["text", "json"] = "text"
    allow: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not (self.is_loopback or self.api_key or self.insecure):
            raise UserError(
                f"host={self.host}: listens to other machines, so a key is wanted: set api_key=... or "
                "FORECAST_API_KEY (or insecure=true)"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Host names that are answered; None = any."""
        if self.allowed_hosts is not None:
            return None if "*" in self.allowed_hosts else tuple(name.lower() for name in self.allowed_hosts)
        return ("localhost", "127.0.0.1", "::1") if self.is_loopback else None

    @property
    def champion(self) -> Path:
        """Absolute path of the champion's link."""
        return Path(self.champion_link).absolute()

    @property
    def folder(self) -> Path:
        """Absolute path of the server's own files."""
        return Path(self.state).absolute()
