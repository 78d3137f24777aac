"""Commands: what is printed where, and the exit codes. The one place where a UserError becomes a line.

Exit codes: 0 finished; 1 failed, with a traceback; 2 the user's mistake or a full disk, one line a fault on stderr,
nothing left behind; 130 interrupted. With -m every job runs; then 1 if any failed, or 2 if all that failed were the
user's mistake (forecast/sweep/session.py).
"""

from __future__ import annotations

import argparse
import inspect
import io
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from forecast.errors import UserError
from forecast.files import refused_by_disk
from forecast.lazy import collect_rarely

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.config.multirun import Task

FINISHED, FAILED, USERS_MISTAKE, INTERRUPTED = 0, 1, 2, 130


def command(
    *, config_name: str = "run", check: str | None = None, session: str | None = None
) -> Callable[[Task], Callable[[], NoReturn]]:
    """Make a task the command `python run.py [group=option] [key=value]`.

    The task is defined in the file beside the `conf` folder; it gets the composed config, and gives the objective's
    value, which a sweeper may want, or None.

    Args:
        config_name: of the primary config in that folder.
        check: `package.module:function` that refuses a config, for what keys of several groups come to as well; it
            is asked where Hydra refused one override, for what is wrong with the others.
        session: `package.module:Class` of the SweepSession that watches over a sweep, imported when there is one;
            None: nothing is swept over.
    """

    def made(task: Task) -> Callable[[], NoReturn]:
        return lambda: sys.exit(exit_code(lambda: _launch(task, config_name, check, session)))

    return made


def exit_code(work: Callable[[], int | None], *, interrupted: str = "interrupted") -> int:
    """The exit code of a command: what its work returns, or what becomes of the exception it raises.

    Args:
        work: returns an exit code; None = finished.
    """
    collect_rarely()
    # Nothing that is printed ends a command: neither where it goes nor a character that the locale lacks.
    sys.stdout, sys.stderr = _forgiving(sys.stdout, sys.__stdout__), _forgiving(sys.stderr, sys.__stderr__)
    try:
        _readable_arguments()
        return work() or FINISHED
    except UserError as error:
        print(error, file=sys.stderr)
        return USERS_MISTAKE
    except OSError as error:
        if (refused := refused_by_disk(error)) is None:
            raise
        print(refused, file=sys.stderr)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED


def _launch(task: Task, config_name: str, check: str | None, session: str | None) -> int | None:
    """Run all jobs of a start of `task`."""
    words = sys.argv[1:]
    # Of Hydra's own flags, those that decide which config is read.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--config-name", "-cn")
    parser.add_argument("--config-path", "-cp", default="conf")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--multirun", "-m", action="store_true")
    given, others = parser.parse_known_args(words)
    name = given.config_name or config_name
    if given.help:
        conf = Path(inspect.getfile(task)).absolute().parent / given.config_path
        print(help_text(conf, name, [word for word in others if not word.startswith("-")], given.config_dir))
        return FINISHED
    if given.multirun and session is None:
        raise UserError("-m: only runs are swept over; leave it out")

    from forecast.config.multirun import Launch

    launch = Launch(
        task,
        config_name=config_name,
        check=None if check is None else lambda config, only: pkgutil.resolve_name(check)(config, only),
        session=None if session is None else lambda: pkgutil.resolve_name(session)(),
    )
    try:
        return launch.run(words, config_name=name)
    except SystemExit as leaving:
        if leaving.code != FAILED or launch.started:
            raise
        return USERS_MISTAKE  # Hydra has said why: an unknown --package, for one


def help_text(conf: Path, config_name: str, overrides: list[str], config_dir: str | None) -> str:
    """The config's own `hydra.help.template`, filled in.

    Hydra fills it in too, but copies all it knows for each group of options, several times over: with the groups of
    this project that takes half as long again as an app without any.
    """
    from omegaconf import OmegaConf

    from forecast.config.composing import composed, task_of

    more = [f"hydra.searchpath=['file://{Path(config_dir).absolute()}']"] if config_dir else []
    whole = composed(conf, config_name, [*overrides, *more])
    return Template(whole.hydra.help.template).safe_substitute(
        APP_CONFIG_GROUPS=_groups(whole.hydra), CONFIG=OmegaConf.to_yaml(task_of(whole))
    )


def _groups(hydra_node: DictConfig) -> str:
    """`group: option, option`, a line each, from all folders searched."""
    groups: dict[str, set[str]] = {}
    for source in hydra_node.runtime.config_sources:
        if source.schema == "file":
            for path in Path(source.path).rglob("*/*.yaml"):
                group = path.parent.relative_to(source.path).as_posix()
                groups.setdefault(group, set()).add(path.stem)
    ours = {group: options for group, options in groups.items() if group.partition("/")[0] != "hydra"}
    return "".join(f"{group}: {', '.join(sorted(options))}\n" for group, options in sorted(ours.items()))


def _readable_arguments() -> None:
    """Refuse arguments that the locale made unreadable.

    Raises:
        UserError: an argument holds bytes that are no text in this locale.
    """
    for word in sys.argv[1:]:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            shown = word.encode("ascii", "backslashreplace").decode()
            raise UserError(
                f"{shown}: no text in this locale; set LC_ALL=C.UTF-8, or PYTHONUTF8=1"
            ) from error


class _LossyFile(io.FileIO):
    """A standard stream; what cannot be written (`| head`, a full disk, a terminal that is gone) goes nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _forgiving(stream: TextIO | None, original: TextIO | None) -> TextIO:
    """A standard stream that loses what cannot be written; one that was replaced stays as it is."""
    if stream is None:  # closed (`2>&-`); the null device takes its number, which a file would get otherwise
        return open(os.devnull, "w", encoding="utf-8")
    if stream is not original:
        return stream
    raw = _LossyFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=bool(stream.line_buffering),
    )
