"""What was asked for on the command line, and the run's own config with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

# What a trained model can be asked anew with; all else was decided when it was trained.
_FREE = ("source", "data.tickers", "data.period", "data.start", "data.end", "data.health")


@dataclass(frozen=True)
class Asked:
    """The words of a command line.

    Args:
        run: directory of a finished run.
        output: file for the table; None = only print it.
        overrides: of the run's config, as run.py takes them.
    """

    run: Path
    output: Path | None
    overrides: tuple[str, ...]


def asked(words: Sequence[str]) -> Asked:
    """Sort the words of a command line.

    Raises:
        UserError: no run, or one of the two said twice.
    """
    own: dict[str, str] = {}
    overrides = []
    for word in words:
        key, equals, value = word.partition("=")
        if key not in ("run", "output") or not equals:
            overrides.append(word)
        elif key in own:
            raise UserError(f"{word}: {key}={own[key]} stands there already")
        elif not value:
            raise UserError(
                f"{word}: must name a {'run directory' if key == 'run' else '.csv or .parquet file'}"
            )
        else:
            own[key] = value
    if "run" not in own:
        raise UserError(
            "run: missing; name a run directory: python -m forecast.predict run=outputs/DATE/TIME"
        )
    output = own.get("output")
    return Asked(Path(own["run"]), None if output is None else Path(output), tuple(overrides))


def config_of(directory: Path, overrides: Sequence[str]) -> DictConfig:
    """The saved config of a run, with overrides, checked as any other is.

    Args:
        directory: of a finished run.
        overrides: `key=value` of what may change; `source=NAME` takes that option of conf/source in place of the
            run's.

    Raises:
        UserError: an unknown key, a value against its rule, or a key that the model was trained with.
    """
    from forecast.config import check, compose
    from forecast.config.composing import composed, task_of

    fresh = any(override.partition("=")[0] == "source" for override in overrides)
    sources = [override for override in overrides if fresh and _is_of_source(override)]
    others = [override for override in overrides if override not in sources]
    folder = directory.absolute()
    config = task_of(composed(folder, "config", others, saved=True))
    saved = task_of(composed(folder, "config", [], saved=True))
    if fresh:
        config.source = compose(*sources).source
    check(config)
    changed = dict(_differing(_plain(saved), _plain(config), ""))
    if changed:
        raise UserError(
            "\n".join(
                f"{key}={value}: the model was trained otherwise; free to choose are {', '.join(_FREE)}"
                for key, value in changed.items()
            )
        )
    return config


def _is_of_source(override: str) -> bool:
    return override.lstrip("+~").partition("=")[0].partition(".")[0] == "source"


def _plain(config: DictConfig) -> dict[str, Any]:
    from forecast.config.reading import resolved

    return resolved(config)


def _differing(saved: Any, now: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Keys that differ and must not."""
    if key in _FREE:
        return
    if isinstance(saved, dict) and isinstance(now, dict):
        for name in [*saved, *(name for name in now if name not in saved)]:
            yield from _differing(saved.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif saved != now:
        yield key, now
