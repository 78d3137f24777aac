"""python -m forecast.audit [-cd FOLDER] [group=option] [key=value] | run=DIRECTORY: does anything look ahead?

data=technical_panel model=tcn    what `python run.py` would run with these words
-cd plugins/conf data=mine        with options of your own, as run.py takes them
run=outputs/DATE/TIME             a finished run; the result is kept there, in audit.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecast.cli import FAILED, FINISHED, exit_code
from forecast.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

MARKS = {True: "passed", False: "LEAK", None: "ERROR"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if every check passed, 1 if not, 2 for a mistake in what was asked."""
    parser = argparse.ArgumentParser(
        prog="python -m forecast.audit", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="FOLDER", help="options of your own")
    parser.add_argument("words", nargs="*", metavar="key=value", help="as run.py takes them")
    args = parser.parse_intermixed_args(arguments)
    runs = [Path(word.removeprefix("run=")) for word in args.words if word.startswith("run=")]
    return exit_code(lambda: _audit(args.words, args.config_dir, runs[0] if runs else None))


def _audit(words: Sequence[str], config_dir: Path | None, run: Path | None) -> int:
    from forecast.config import check

    config, identity = _config(words, config_dir, run)
    check(config)
    if config.trainer is None:
        raise UserError("trainer=none: the audit fits the model for a few epochs; choose a trainer")

    from forecast.audit.checks import audit, conclusion, record
    from forecast.audit.subject import Subject
    from forecast.files import write_json

    outcomes = []
    subject = Subject(config)
    for outcome in audit(subject):
        outcomes.append(outcome)
        print(f"{MARKS[outcome.passed]:7} {outcome.check:28} {outcome.detail}", flush=True)
    said = conclusion(subject, outcomes)
    print(said, flush=True)
    if run is not None:
        write_json(run / "audit.json", record(outcomes, identity=identity, said=said))
    return FINISHED if all(outcome.passed for outcome in outcomes) else FAILED


def _config(words: Sequence[str], config_dir: Path | None, run: Path | None) -> tuple[DictConfig, str | None]:
    from forecast.config import compose, compose_saved

    if run is None:
        return compose(*words, config_dir=config_dir), None
    others = [word for word in words if not word.startswith("run=")]
    if others or config_dir is not None:
        raise UserError(f"run={run}: is audited as it was run; leave out {' '.join(others) or config_dir}")
    from forecast.bundle import verify

    verify(run)
    saved = compose_saved(run)
    return saved, saved.provenance.identity


if __name__ == "__main__":
    sys.exit(main())
