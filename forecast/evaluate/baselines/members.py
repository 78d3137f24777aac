"""The baselines of a run: fitted, asked, and left out by name where one of them fails."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from forecast.errors import UserError
from forecast.evaluate.baselines.baseline import Baseline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

log = logging.getLogger(__name__)

NAIVE = "naive"
# Columns of the tables of forecasts, and the model's own name in the table of figures.
_TAKEN = ("actual", "date", "fold", "forecast", "model", NAIVE, "split", "step", "ticker")

Result = TypeVar("Result")


class Baselines:
    """What a network has to beat, besides "tomorrow = today", which always runs as `naive`.

    A baseline that raises, warns that it did not converge, or gives anything but finite prices is left out from then
    on, with the reason in `failed`; the others and the run go on.

    Args:
        members: name -> baseline; None leaves one out.

    Raises:
        UserError: a name that is no lower-case word or stands for something else, or a thing that is no baseline.
    """

    failed: dict[str, str]  # name -> reason, in one line
    seconds: dict[str, float]  # name -> wall time of fitting and forecasting so far

    def __init__(self, *, members: dict[str, Baseline | None]) -> None:
        self.members = {name: member for name, member in members.items() if member is not None}
        for name, member in self.members.items():
            _check(name, member)
        self.failed = {}
        self.seconds = dict.fromkeys(self.members, 0.0)

    @property
    def names(self) -> list[str]:
        """Of all of them, `naive` first, whether they failed or not."""
        return [NAIVE, *self.members]

    def fit(self, data: MarketData) -> None:
        """Let each learn from the training days.

        Args:
            data: prepared.
        """
        for name, member in self._standing():
            self._attempt(name, partial(member.fit, data))

    def predict(self, data: MarketData, batch: WindowBatch) -> dict[str, NDArray[np.float64]]:
        """Forecast the same windows by each.

        Args:
            data: the bars they were fitted to, whichever way they are split now.
            batch: windows of validation or test.

        Returns:
            name -> (batch, horizon) prices, finite; without those that failed.
        """
        import numpy as np

        last = batch.windows[:, -1:, data.layout.target].astype(np.float64)
        found = {NAIVE: np.repeat(last, data.horizon, axis=1)}
        for name, member in self._standing():
            prices = self._attempt(name, partial(_asked, member, data, batch))
            if prices is not None:
                found[name] = prices
        return found

    def _standing(self) -> list[tuple[str, Baseline]]:
        return [(name, member) for name, member in self.members.items() if name not in self.failed]

    def _attempt(self, name: str, task: Callable[[], Result]) -> Result | None:
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # Whichever package says it, and whatever class of warning it has for that.
                warnings.filterwarnings("error", message=r"(?s).*converge")
                return task()
        except Exception as error:
            # A baseline may be a user's own, and a run that took an hour is worth more than any of them.
            kind = "" if isinstance(error, Warning | UserError | ValueError) else f"{type(error).__name__}: "
            self.failed[name] = kind + (" ".join(str(error).split()) or type(error).__name__)
            log.debug("baseline %s failed", name, exc_info=True)
            log.warning("baseline %s is left out: %s", name, self.failed[name])
            return None
        finally:
            self.seconds[name] += time.perf_counter() - began


def _check(name: str, member: object) -> None:
    key = f"baselines.members.{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"{key}: a name has lower-case letters, digits and _, and begins with a letter")
    if name in _TAKEN:
        raise UserError(f"{key}: the name is taken; give it another one than {', '.join(_TAKEN)}")
    if not isinstance(member, Baseline):
        raise UserError(
            f"{key}: gives a {type(member).__name__}, must give a baseline: fit(data) and predict(data, batch)"
        )


def _asked(member: Baseline, data: MarketData, batch: WindowBatch) -> NDArray[np.float64]:
    """The forecasts of a baseline, if they are what they should be.

    Raises:
        ValueError: they are not.
    """
    import numpy as np

    from forecast.data.record import calendar_day

    found = np.asarray(member.predict(data, batch), np.float64)
    wanted = (len(batch.rows), data.horizon)
    if found.shape != wanted:
        raise ValueError(f"forecasts have the shape {found.shape}, must have {wanted}")
    bad = ~np.isfinite(found)
    if bad.any():
        row, step = np.argwhere(bad)[0]
        raise ValueError(
            f"forecast of {found[row, step]} for {data.panel_.names[batch.series[row]]}, step {step + 1} from "
            f"{calendar_day(data.panel_.days[batch.rows[row]])} ({int(bad.sum()):,} such forecasts)"
        )
    return found
