"""Choose the best finished run of an experiment, verify it, and make it the champion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.cli import FINISHED, exit_code
from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.champion import PromotionResult

_USAGE = """\
  python -m forecast.champion [KEY=VALUE ...]            rank the finished runs, export and promote the best
  python -m forecast.champion rank [KEY=VALUE ...]       only the table
  python -m forecast.champion show [KEY=VALUE ...]       the champion, checked
  python -m forecast.champion list [KEY=VALUE ...]       the champion and those kept from earlier
  python -m forecast.champion rollback [KEY=VALUE ...]   back to the champion before
  python -m forecast.champion export DIR [KEY=VALUE ...] promote the run in DIR, whatever MLflow says"""
_EXAMPLES = """\
keys, as for python run.py (docs/champion.md):
  tracker.uri=sqlite:///mlflow.db tracker.experiment_name=forecast   where the runs are recorded
  objective.metric=val_theil_u objective.mode=min                    what ranks them
  champion.require_skill=true                                        refuse what does not beat naive"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 2 for what was refused, 130 when interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="python -m forecast.champion",
        usage="\n" + _USAGE,
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help=argparse.SUPPRESS)
    words = parser.parse_args(words).words
    name = words.pop(0) if words and "=" not in words[0] else ""
    if name not in _COMMANDS:
        parser.error(f"{name}: no such command; known: {', '.join(filter(None, _COMMANDS))}")
    return exit_code(lambda: _COMMANDS[name](words), interrupted="interrupted; the champion is as it was")


def _config(overrides: Sequence[str]) -> DictConfig:
    from forecast.config import check, compose

    config = compose(*overrides)
    check(config, only=("champion", "tracker"))  # to look into a network is to import torch
    return config


def _select(overrides: list[str]) -> int:
    from forecast.champion import select_and_promote

    result = select_and_promote(_config(overrides), progress=_print_progress)
    return _print_result(result)


def _rank(overrides: list[str]) -> int:
    from forecast.champion import candidates
    from forecast.champion.ranking import table

    print(table(candidates(_config(overrides))))
    return FINISHED


def _export(words: list[str]) -> int:
    from forecast.champion import champion_config, promote, registry_of

    if not words or ("=" in words[0] and not Path(words[0]).is_dir()):
        raise UserError("export: which run? python -m forecast.champion export RUN_DIRECTORY")
    config = _config(words[1:])
    return _print_result(
        promote(
            words[0], champion=champion_config(config), registry=registry_of(config), progress=_print_progress
        )
    )


def _rollback(overrides: list[str]) -> int:
    from forecast.champion import champion_config, registry_of, rollback

    config = _config(overrides)
    return _print_result(
        rollback(champion=champion_config(config), registry=registry_of(config), progress=_print_progress)
    )


def _show(overrides: list[str]) -> int:
    from forecast.champion import champion_config, current

    place = champion_config(_config(overrides))
    result = current(place)
    if result is None:
        raise UserError(f"champion.directory={place.directory}: there is no champion yet")
    return _print_result(result)


def _list(overrides: list[str]) -> int:
    from forecast.champion import champion_config
    from forecast.champion.metadata import list_champions

    print(list_champions(champion_config(_config(overrides))))
    return FINISHED


def _print_result(result: PromotionResult) -> int:
    """What came of it; the last line is the champion's directory."""
    from forecast.champion.ranking import table

    if result.ranking is not None:
        print(table(result.ranking), end="\n\n")
    print(result.text)
    print(result.directory)
    return FINISHED


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "": _select,
    "rank": _rank,
    "show": _show,
    "list": _list,
    "rollback": _rollback,
    "export": _export,
}


if __name__ == "__main__":
    sys.exit(main())
