"""What a sweep shows while it runs: one line that is rewritten in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TextIO

from forecast.sweep.job_state import OVER, JobState, job_files
from forecast.track.process import PID, is_dead

POLL_S = 0.5  # at the soonest; a look must not take more than one part in SHARE of the time
SHARE = 20
LINE_S = 10.0  # between two lines where nothing can be rewritten


class Jobs:
    """The job.json files of a sweep, each read again only when it has changed.

    Args:
        directory: of the sweep.
        sweep: the issue whose jobs count.
    """

    def __init__(self, directory: Path, *, sweep: str) -> None:
        self.directory = directory
        self.sweep = sweep
        self._read: dict[Path, tuple[int, JobState | None]] = {}

    def look(self) -> list[JobState]:
        """All jobs that have begun, by number."""
        for path in job_files(self.directory):
            try:
                changed = path.stat().st_mtime_ns
            except OSError:
                continue  # being replaced, or gone
            if self._read.get(path, (0, None))[0] != changed:
                self._read[path] = changed, JobState.load(path)
        found = [job for _, job in self._read.values() if job is not None and job.sweep == self.sweep]
        return sorted(found, key=lambda job: job.number)


class Live:
    """Shows how a sweep goes, from a thread of its own.

    Args:
        jobs: of the sweep.
        total: how many there will be, where that is known.
        common: overrides that every job has, and that need not be shown.
        stream: where to; standard error if not said.
    """

    def __init__(
        self, jobs: Jobs, *, total: int | None, common: Iterable[str] = (), stream: TextIO | None = None
    ) -> None:
        self.jobs = jobs
        self.total = total
        self.common = set(common)
        self.stream = stream or sys.stderr
        self._terminal = self.stream.isatty()
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._told: set[int] = set()
        self._shown = ""
        self._last_line = -LINE_S
        self._thread = threading.Thread(target=self._watch, daemon=True, name="sweep")

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self) -> None:
        """End with a line that says how it ended."""
        self._stop.set()
        self._thread.join()
        self._show(last=True)

    def _watch(self) -> None:
        pause = POLL_S
        while not self._stop.wait(pause):
            began = time.monotonic()
            self._show(last=False)
            pause = max(POLL_S, SHARE * (time.monotonic() - began))

    def _show(self, *, last: bool) -> None:
        jobs = self.jobs.look()
        line = summary(jobs, total=self.total, elapsed_s=time.monotonic() - self._began, common=self.common)
        now = time.monotonic()
        # Jobs of this process print to the same screen.
        if self._terminal and not any(map(_ours, jobs)):
            width = shutil.get_terminal_size().columns
            self._tell_failures(jobs, before="\r\x1b[K")
            self._write(f"\r\x1b[K{line[: width - 1]}" + ("\n" if last else ""))
            return
        if self._tell_failures(jobs, before="") and not last:
            self._last_line = now - LINE_S
        if line != self._shown and (last or now - self._last_line >= LINE_S) and (jobs or last):
            self._shown, self._last_line = line, now
            self._write(line + "\n")

    def _tell_failures(self, jobs: list[JobState], *, before: str) -> bool:
        """Each failure once, as it comes, unless the job told it on this screen itself."""
        new = [job for job in jobs if job.status == "failed" and job.number not in self._told]
        for job in new:
            self._told.add(job.number)
            if not _ours(job):
                self._write(f"{before}{job.title}: {job.error}\n")
        return bool(new)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more; the sweep goes on


def summary(
    jobs: list[JobState], *, total: int | None, elapsed_s: float, common: Collection[str] = ()
) -> str:
    """`7 of 12 jobs over (6 finished, 1 failed), 2 running; best val_rmse 0.4952 (model=gru seed=1); 3 min left`."""
    over = [job for job in jobs if job.status in OVER]
    running = sum(job.status == "running" and not is_dead(job.process) for job in jobs)
    counts = ", ".join(
        f"{count} {status}" for status in OVER if (count := sum(job.status == status for job in over))
    )
    of = f" of {total}" if total is not None else ""
    parts = [f"{len(over)}{of} jobs over" + (f" ({counts})" if counts else "")]
    if running:
        parts[0] += f", {running} running"
    best = _best(jobs)
    if best is not None:
        own = " ".join(override for override in best.overrides if override not in common)
        parts.append(f"best {best.metric} {best.objective:.6g}" + (f" ({own})" if own else ""))
    worked = [job for job in over if job.status not in ("reused", "left out")]
    if total is not None and worked and len(over) < total:
        parts.append(f"{span(elapsed_s / len(worked) * (total - len(over)))} left")
    elif len(over) == total:
        parts.append(f"took {span(elapsed_s)}")
    return "; ".join(parts)


def span(seconds: float) -> str:
    """A length of time as one says it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _ours(job: JobState) -> bool:
    return job.process.get(PID) == str(os.getpid())


def _best(jobs: list[JobState]) -> JobState | None:
    ended = [job for job in jobs if job.status in ("finished", "reused") and job.objective is not None]
    if not ended or len({(job.metric, job.mode) for job in ended}) > 1:
        return None
    sign = 1.0 if ended[0].mode == "min" else -1.0
    return min(ended, key=lambda job: (sign * (job.objective or 0.0), job.number))
