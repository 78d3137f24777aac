"""The end of a sweep: leaderboard, MLflow, champion, and what is said on the screen."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from forecast.errors import UserError
from forecast.sweep.issue import FILE as ISSUE
from forecast.sweep.issue import Issue
from forecast.sweep.job_state import JobState, job_files
from forecast.track.connection import error_summary

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from forecast.sweep.standing import Standing
    from forecast.track.delivery import Status


def conclude(
    directory: Path,
    jobs: Sequence[JobState],
    config: DictConfig,
    *,
    driver: Mapping[str, str],
    ended: Status,
) -> None:
    """Write the leaderboard, tell MLflow, choose the champion; what goes wrong here is told and hides no result.

    Args:
        directory: of the sweep.
        jobs: all that began.
        config: what is common to them.
        driver: this process.
        ended: how, in MLflow's words.
    """
    from forecast.sweep import leaderboard
    from forecast.sweep.standing import standing

    found = standing(jobs)
    try:
        leaderboard.write(directory, found)
    except OSError as error:
        _tell(f"{directory}: no leaderboard could be written ({error})")
    if jobs:
        print(leaderboard.text(found), flush=True)
    tell_left_out(jobs, file=sys.stdout)
    _record(directory, jobs, found, config, driver=driver, ended=ended)
    if ended != "KILLED" and config.get("champion") is not None and any(e.metrics for e in found.entries):
        _select_and_promote(found, config)


def tell_left_out(jobs: Sequence[JobState], *, file: TextIO) -> None:
    """The combinations that exclude themselves."""
    left_out = [job for job in jobs if job.status == "left out"]
    if left_out:
        print(f"{len(left_out)} of {len(jobs)} jobs left out:", file=file)
    for job in left_out:
        print(f"  {job.title}: {job.error}", file=file, flush=True)


def tell_failures(jobs: Sequence[JobState]) -> None:
    """Every failed job with its overrides, and where its log stands."""
    failed = [job for job in jobs if job.status == "failed"]
    if not failed:
        return
    _tell(f"{len(failed)} of {len(jobs)} jobs failed:")
    for job in failed:
        log = Path(job.directory) / "run.log"
        _tell(f"  {job.title}: {job.error}" + (f"; {log}" if log.is_file() else ""))


def tell_end(error: BaseException) -> None:
    """Why the sweep ended before all of its jobs were over."""
    if isinstance(error, UserError):
        _tell(str(error))
    elif isinstance(error, KeyboardInterrupt):
        _tell("interrupted; the same command goes on from here")
    else:
        traceback.print_exception(error)
        _tell("the sweep was given up; the same command goes on from here")


def leave_nothing(directory: Path, issue: Issue) -> None:
    """Remove what a sweep wrote of which every job was refused, as a refused run leaves nothing either."""
    for path in list(job_files(directory)):
        job = JobState.load(path)
        if job is None or job.sweep != issue.sweep:
            continue
        path.unlink(missing_ok=True)
        if not (path.parent / "config.yaml").exists():  # else the log is that of an earlier run
            (path.parent / "run.log").unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            path.parent.rmdir()
    for name in (ISSUE, "mlflow.json", ".mlflow.json.lock"):
        (directory / name).unlink(missing_ok=True)


def _record(
    directory: Path,
    jobs: Sequence[JobState],
    found: Standing,
    config: DictConfig,
    *,
    driver: Mapping[str, str],
    ended: Status,
) -> None:
    from forecast.config import build
    from forecast.sweep.parent import end_parent, send_late

    tracker: Any = None
    with suppress(UserError):  # each job was refused for it
        tracker = config.get("tracker") and build(config.tracker)
    reused = [Path(job.directory) for job in jobs if job.status == "reused"]
    if tracker is not None:
        send_late(reused)
    summary: dict[str, float | None] = {
        f"jobs_{status.replace(' ', '_')}": count for status, count in found.counts.items()
    }
    if found.best is not None:
        summary[f"best_{found.metric}"] = found.best.job.objective
    end_parent(directory, status=ended, metrics=summary, reused=reused, tracker=tracker, driver=driver)


def _select_and_promote(found: Standing, config: DictConfig) -> None:
    """Have the best run of the experiment made the champion; without a tracker, of this sweep."""
    from forecast.champion import select_and_promote

    directories = [entry.job.directory for entry in found.entries if entry.metrics]
    try:
        crowned = select_and_promote(
            config, directories=None if config.get("tracker") else directories, progress=_tell
        )
    except UserError as error:
        _tell(f"no new champion: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the sweep's own result stands
        traceback.print_exception(error)
        _tell(f"no new champion: {error_summary(error)}; python -m forecast.champion tries again")
    else:
        print(f"\n{crowned.text}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
