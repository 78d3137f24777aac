"""What a training job is asked to do, as the server writes it down for the process that does it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from forecast.files import write_whole

FILE = "order.json"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job.

    Args:
        kind: `train` as the served model was, or `update` it with newer bars.
        bundle: run directory whose config is trained with.
        following: what is served, a link or a folder; the champion to be beaten is what stands there at the end.
        period: of the bars an update trains on, as `data.period`; None = the config's own.
        force_download: an update asks for the whole history again where the source keeps a cache.
    """

    kind: Literal["train", "update"]
    bundle: Path
    following: Path
    period: str | None = None
    force_download: bool = False

    def save(self, folder: Path) -> None:
        """Write it into the folder of a job.

        Raises:
            OSError: the disk does not take it.
        """
        told = {
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()
        }
        write_whole(folder / FILE, json.dumps(told, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Order:
        """Read it from the folder of a job."""
        told: dict[str, Any] = json.loads((folder / FILE).read_text("utf-8"))
        return cls(**told | {"bundle": Path(told["bundle"]), "following": Path(told["following"])})
