"""Recording a run where the config says, for as long as it lasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import StoppedError

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


class _Untracked:
    """Stands where no tracker is."""

    def start(self, **_: Any) -> None:
        """Nothing to begin."""

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Nothing to tell."""

    def finish(self, **_: Any) -> None:
        """Nothing to end."""


@contextmanager
def tracked(
    tracker: Any, directory: Path, name: str, config: DictConfig, tags: dict[str, str]
) -> Iterator[Any]:
    """Record a run while it lasts; one that ends early is recorded as KILLED or FAILED."""
    from omegaconf import OmegaConf

    live = _Untracked() if tracker is None else tracker
    params = OmegaConf.to_container(config, resolve=True)
    live.start(directory=directory, name=name, params=params, tags=tags)
    try:
        yield live
    except KeyboardInterrupt:
        log.debug("interrupted")  # into the file alone: whoever started the run says it on the screen
        live.finish(status="KILLED", metrics={})
        raise
    except StoppedError:
        log.debug("stopped, because others do better")
        live.finish(status="KILLED", metrics={})
        raise
    except BaseException:
        log.debug("the run failed", exc_info=True)
        live.finish(status="FAILED", metrics={})
        raise
