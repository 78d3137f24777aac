"""What a sweep shows while it runs: one line, rewritten in a terminal, printed now and then elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Collection, Iterable
from typing import TextIO

from forecast.finished_runs import best_first
from forecast.sweep.record import DONE, JobResult, Jobs
from forecast.track.process import PID, is_dead

POLL_S = 0.5  # at the soonest; reading must not take more than one part in SHARE of the time
SHARE = 20
LINE_S = 10.0  # between two lines where nothing can be rewritten


class ProgressReporter:
    """Shows how far a sweep has come, from a thread of its own."""

    def __init__(
        self, jobs: Jobs, *, total: int | None, common: Iterable[str] = (), stream: TextIO | None = None
    ) -> None:
        self.jobs, self.total, self.common = jobs, total, set(common)
        self.stream = stream or sys.stderr
        self._terminal = self.stream.isatty()
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._reported: set[int] = set()  # jobs whose failure was shown
        self._shown = ""
        self._last_line = -LINE_S
        self._thread = threading.Thread(target=self._run, daemon=True, name="sweep progress")

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self) -> None:
        """End with a line that says how it ended."""
        self._stop.set()
        self._thread.join()
        self.show(last=True)

    def _run(self) -> None:
        pause = POLL_S
        while not self._stop.wait(pause):
            began = time.monotonic()
            self.show()
            pause = max(POLL_S, SHARE * (time.monotonic() - began))

    def show(self, *, last: bool = False) -> None:
        """Show the present state, where it is time to."""
        jobs = self.jobs.read()
        line = summary(jobs, total=self.total, elapsed_s=time.monotonic() - self._began, common=self.common)
        now = time.monotonic()
        # Jobs of this process print to the same screen.
        if self._terminal and not any(map(_is_ours, jobs)):
            width = shutil.get_terminal_size().columns
            self._show_failures(jobs, before="\r\x1b[K")
            self._write(f"\r\x1b[K{line[: width - 1]}" + ("\n" if last else ""))
            return
        if self._show_failures(jobs, before="") and not last:
            self._last_line = now - LINE_S
        if line != self._shown and (last or now - self._last_line >= LINE_S) and (jobs or last):
            self._shown, self._last_line = line, now
            self._write(line + "\n")

    def _show_failures(self, jobs: list[JobResult], *, before: str) -> bool:
        """Each failure once, unless the job printed it on this screen itself."""
        new = [job for job in jobs if job.status == "failed" and job.number not in self._reported]
        for job in new:
            self._reported.add(job.number)
            if not _is_ours(job):
                self._write(f"{before}{job.title}: {job.error}\n")
        return bool(new)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more; the sweep goes on


def summary(
    jobs: list[JobResult], *, total: int | None, elapsed_s: float, common: Collection[str] = ()
) -> str:
    """`7 of 12 jobs over (6 finished, 1 failed), 2 running; best val_rmse 0.4952 (model=gru seed=1); 3 min left`."""
    done = [job for job in jobs if job.status in DONE]
    running = sum(job.status == "running" and not is_dead(job.process) for job in jobs)
    counts = ", ".join(
        f"{count} {status}" for status in DONE if (count := sum(job.status == status for job in done))
    )
    of = f" of {total}" if total is not None else ""
    parts = [f"{len(done)}{of} jobs over" + (f" ({counts})" if counts else "")]
    if running:
        parts[0] += f", {running} running"
    best = _best(jobs)
    if best is not None:
        own = " ".join(override for override in best.overrides if override not in common)
        parts.append(f"best {best.metric} {best.objective:.6g}" + (f" ({own})" if own else ""))
    worked = [job for job in done if job.status not in ("reused", "skipped")]
    if total is not None and worked and len(done) < total:
        parts.append(f"{duration(elapsed_s / len(worked) * (total - len(done)))} left")
    elif len(done) == total:
        parts.append(f"took {duration(elapsed_s)}")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """In seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _is_ours(job: JobResult) -> bool:
    return job.process.get(PID) == str(os.getpid())


def _best(jobs: list[JobResult]) -> JobResult | None:
    scored = [job for job in jobs if job.scored]
    if len({(job.metric, job.mode) for job in scored}) != 1:
        return None
    mode = scored[0].mode
    return best_first(scored, mode=mode, figure=lambda job: job.score, then=lambda job: job.number)[0]
