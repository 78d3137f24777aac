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
    """Forecasts are computed in the HTTP process, many requests in one forward; see conf/engine."""

    most: Annotated[int, Ge(1), Le(MAX_BATCH_SIZE)] = MAX_BATCH_SIZE


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Forecasts are computed in LitServe's inference processes; see conf/engine."""

    most: Annotated[int, Ge(1), Le(MAX_BATCH_SIZE)] = MAX_BATCH_SIZE
    processes: Annotated[int, Ge(1), Le(64)] = 1
    accelerator: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The keys of conf/serve.yaml, where each is described.

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
