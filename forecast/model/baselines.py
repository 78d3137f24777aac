"""The baselines of a run: fitted, asked, and left out by name where one of them fails."""

from __future__ import annotations

import logging
import pickle
import re
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from forecast.data.target import Target
from forecast.errors import UserError
from forecast.model.forecaster import Forecaster, measure_errors
from forecast.model.naive import last_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch

log = logging.getLogger(__name__)

NAIVE = "naive"
# Columns of the tables of forecasts, and the model's own name in the table of figures.
_RESERVED = ("actual", "date", "fold", "forecast", "model", NAIVE, "split", "step", "ticker")

# Of a target that names none: those that suit any values.
_GENERAL = ("training_mean", "moving_average", "ewma", "har", "ridge", "trees")

Result = TypeVar("Result")


class Baselines:
    """What the model has to beat, besides "tomorrow = today", which always runs as `naive`.

    A baseline that raises, warns that it did not converge, or gives anything but finite values is left out from then
    on, with the reason in `failed`; the others and the run go on.

    Args:
        members: name -> forecaster with `fit(data)` and `forecast(batch)`; None leaves one out.
        only: names of those that run; all; None: those that the target names (Target.baselines), and those of one's
            own, whose names no target names.
        target: what is forecast; None: all run.

    Raises:
        UserError: a name that is no lower-case word, stands for something else or for no member, or a thing that is no
            forecaster.
    """

    failed: dict[str, str]  # name -> reason, in one line
    seconds: dict[str, float]  # name -> wall time of fitting and forecasting so far

    def __init__(
        self,
        *,
        members: Mapping[str, Forecaster | None],
        only: Literal["all"] | list[str] | None = None,
        target: Target | None = None,
    ) -> None:
        given: dict[str, Any] = {name: member for name, member in members.items() if member is not None}
        for name, member in given.items():
            _check(name, member)
        self.members = {name: given[name] for name in _chosen(list(given), only, target)}
        self.failed = {}
        self.seconds = dict.fromkeys(self.members, 0.0)

    @property
    def names(self) -> list[str]:
        """Of all of them, `naive` first, whether they failed or not."""
        return [NAIVE, *self.members]

    def fit(self, data: MarketData) -> None:
        """Fit each to the training bars.

        Args:
            data: prepared.
        """
        for name, member in self._not_failed():
            self._attempt(name, partial(_fit, member, data))

    def forecast(self, batch: WindowBatch) -> dict[str, NDArray[np.float64]]:
        """The forecasts of each of the same windows.

        Args:
            batch: windows of validation or test.

        Returns:
            name -> (batch, horizon) values of the target, finite; without those that failed.
        """
        forecasts = {NAIVE: last_values(batch).repeat(batch.horizon, axis=1)}
        for name, member in self._not_failed():
            values = self._attempt(name, partial(_checked_forecast, member, batch))
            if values is not None:
                forecasts[name] = values
        return forecasts

    def _not_failed(self) -> list[tuple[str, Any]]:
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


class BaselineCache:
    """Fits the baselines of many runs in one process, each kind once: a sweep mostly varies the network alone.

    What is kept is a copy, so that no run sees what another did to it. Only the last data and baselines are
    remembered.

    Args:
        max_bytes: of the baselines of one fold; larger ones are fitted again.
    """

    def __init__(self, *, max_bytes: int = 16_000_000) -> None:
        self.max_bytes = max_bytes
        self._identity: str | None = None
        self._fitted: dict[int, bytes] = {}  # fold -> its fitted baselines; they never leave this process

    def fit(self, baselines: Baselines, data: MarketData, *, identity: str, fold: int) -> None:
        """Fit, or take over what the same baselines were fitted to before.

        Args:
            baselines: not fitted, or fitted to an earlier fold.
            data: split as the fold says.
            identity: names bars, strategy, folds and baselines: where it is the same, so is the fit.
            fold: its number.
        """
        if identity != self._identity:
            self._identity, self._fitted = identity, {}
        if fold in self._fitted:
            baselines.members = pickle.loads(self._fitted[fold])
            return
        baselines.fit(data)
        if baselines.failed:
            return  # the next run may have more luck, and says itself what went wrong
        try:
            fitted = pickle.dumps(baselines.members)
        except (pickle.PicklingError, TypeError, AttributeError):  # a user's own baseline may be anything
            return
        if len(fitted) <= self.max_bytes:
            self._fitted[fold] = fitted


def _fit(member: Forecaster, data: MarketData) -> None:
    member.fit(data)
    not_fitted: Mapping[str, str] = getattr(member, "not_fitted_", {})
    if not_fitted and set(not_fitted) >= set(data.panel_.names):
        raise ValueError("; ".join(dict.fromkeys(not_fitted.values())))  # what stands in has another name
    measure_errors(member, data)


def _chosen(given: list[str], only: Literal["all"] | list[str] | None, target: Target | None) -> list[str]:
    """Which of the members run."""
    if only == "all":
        return given
    if only is not None:
        if unknown := [name for name in only if name not in (*given, NAIVE)]:
            raise UserError(
                f"baselines.only={list(only)}: {unknown[0]} is no member; members are {', '.join(given)}"
            )
        return [name for name in given if name in only]
    if target is None:
        return given
    named = {name for kind in Target.__subclasses__() for name in kind.baselines or ()} | set(_GENERAL)
    wanted = _GENERAL if target.baselines is None else target.baselines
    return [name for name in given if name in wanted or name not in named]


def _check(name: str, member: object) -> None:
    key = f"baselines.members.{name}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"{key}: a name has lower-case letters, digits and _, and begins with a letter")
    if name in _RESERVED:
        raise UserError(f"{key}: the name is taken; give it another one than {', '.join(_RESERVED)}")
    if not all(callable(getattr(member, method, None)) for method in ("fit", "forecast")):
        raise UserError(
            f"{key}: gives a {type(member).__name__}, must give a forecaster: fit(data) and forecast(batch)"
        )


def _checked_forecast(member: Forecaster, batch: WindowBatch) -> NDArray[np.float64]:
    """The forecasts of a baseline, if they are what they should be.

    Raises:
        ValueError: they are not.
    """
    values = np.asarray(member.forecast(batch).values, np.float64)
    wanted = (len(batch.rows), batch.horizon)
    if values.shape != wanted:
        raise ValueError(f"forecasts have the shape {values.shape}, must have {wanted}")
    bad = ~np.isfinite(values)
    if bad.any():
        row, step = np.argwhere(bad)[0]
        origin = batch.panel.time_of(batch.panel.times[batch.rows[row]])
        raise ValueError(
            f"forecast of {values[row, step]} for {batch.panel.names[batch.series[row]]}, step {step + 1} from "
            f"{str(origin)[:10]} ({int(bad.sum()):,} such forecasts)"
        )
    return values
