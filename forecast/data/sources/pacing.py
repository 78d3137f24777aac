"""Time for a source that asks a server: calls that keep their distance, waits that grow after a failure."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime


class Clock:
    """The machine's clock; a test puts another in its place, so that nothing really waits."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Pacer:
    """Keeps a distance between calls to one server.

    Args:
        pace_s: seconds from the end of a call to the start of the next.
        clock: what tells the time and waits.
    """

    def __init__(self, *, pace_s: float, clock: Clock) -> None:
        self.pace_s = pace_s
        self.clock = clock
        # Not seeded: processes that fail together must not return together. It touches no result.
        self._random = random.Random()
        self._free_at = clock.monotonic()

    def take_turn(self) -> None:
        """Wait until the next call may start."""
        wait = self._free_at - self.clock.monotonic()
        if wait > 0:
            self.clock.sleep(wait)

    def end_turn(self) -> None:
        """Say that a call has ended."""
        self._free_at = self.clock.monotonic() + self.pace_s

    def back_off(self, attempt: int, first_s: float) -> None:
        """Wait before retry `attempt` (from 0): `first_s`, doubled each time, a quarter more or less."""
        self.clock.sleep(first_s * 2.0**attempt * self._random.uniform(0.75, 1.25))
