"""Choose the best finished run of an experiment, prove it, and make it the champion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.champion import Crowned

FINISHED, USERS_MISTAKE, INTERRUPTED = 0, 2, 130
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
    asked = parser.parse_args(words).words
    name = asked.pop(0) if asked and "=" not in asked[0] else "crown"
    if name not in _COMMANDS:
        parser.error(f"{name}: no such command; known: {', '.join(_COMMANDS)}")
    try:
        return _COMMANDS[name](asked)
    except UserError as error:
        print(error, file=sys.stderr)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        print("interrupted; the champion is as it was", file=sys.stderr)
        return INTERRUPTED


def _config(overrides: Sequence[str]) -> DictConfig:
    from forecast.config import check, compose

    config = compose(*overrides)
    check(config, only=("champion", "tracker"))  # to look into a network is to import torch
    return config


def _crown(overrides: list[str]) -> int:
    from forecast.champion import crown

    crowned = crown(_config(overrides), say=_say)
    return _tell(crowned)


def _rank(overrides: list[str]) -> int:
    from forecast.champion import candidates
    from forecast.champion.table import table

    print(table(candidates(_config(overrides))))
    return FINISHED


def _export(words: list[str]) -> int:
    from forecast.champion import place_of, promote, registry_of

    if not words or ("=" in words[0] and not Path(words[0]).is_dir()):
        raise UserError("export: which run? python -m forecast.champion export RUN_DIRECTORY")
    config = _config(words[1:])
    return _tell(promote(words[0], champion=place_of(config), registry=registry_of(config), say=_say))


def _rollback(overrides: list[str]) -> int:
    from forecast.champion import place_of, registry_of, rollback

    config = _config(overrides)
    return _tell(rollback(champion=place_of(config), registry=registry_of(config), say=_say))


def _show(overrides: list[str]) -> int:
    from forecast.champion import current, place_of

    place = place_of(_config(overrides))
    crowned = current(place)
    if crowned is None:
        raise UserError(f"champion.directory={place.directory}: there is no champion yet")
    return _tell(crowned)


def _list(overrides: list[str]) -> int:
    from forecast.champion import place_of
    from forecast.champion.listing import listing

    print(listing(place_of(_config(overrides))))
    return FINISHED


def _tell(crowned: Crowned) -> int:
    """What came of it; the last line is the champion's directory."""
    from forecast.champion.table import table

    if crowned.ranking is not None:
        print(table(crowned.ranking), end="\n\n")
    print(crowned.text)
    print(crowned.directory)
    return FINISHED


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "crown": _crown,
    "rank": _rank,
    "show": _show,
    "list": _list,
    "rollback": _rollback,
    "export": _export,
}


if __name__ == "__main__":
    sys.exit(main())
