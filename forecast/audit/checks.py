"""The checks of the audit: nothing changes with bars that come later, and no skill where nothing can be forecast."""

from __future__ import annotations

import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.audit.control import bars_before_the_next, believable_skill, shuffled_control
from forecast.audit.covariates import covariates_known_in_time
from forecast.audit.features import features_of_a_prefix, moved_dates, shock
from forecast.audit.subject import MOST_EPOCHS, CheckResult, CorruptedAfter, LeakError, Subject, Until
from forecast.data.features import calendar_columns, warm_up
from forecast.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.panel import Panel
    from forecast.evaluate.folds import Fold


_DATA_CUTS = 3


def data_of_a_prefix(subject: Subject) -> str:
    """The panel (source, health check, strategy, scope together) of bars up to t equals that of all bars up to t.

    Raises:
        LeakError: it does not; names column, series and the earliest date found.
    """
    import pandas as pd

    panel = subject.original.panel_
    seen = []
    for last in np.linspace(len(panel.calendar) * 0.4, len(panel.calendar) - 2, _DATA_CUTS).astype(int):
        try:
            short = subject.data(Until(subject.source, pd.Timestamp(panel.calendar[last]))).panel_
        except UserError:
            continue  # a ticker that has no bars yet, or ends early by then: nothing to compare
        _same_panel(panel, short, int(last), subject.original.layout.names)
        seen.append(_date(panel, last))
    if not seen:
        raise UserError(
            "data: no bar but the last has bars of every ticker before it, so no part of it can be compared; "
            "audit with fewer data.tickers"
        )
    return f"cut after {', '.join(seen)}"


def _same_panel(whole: Panel, short: Panel, last: int, columns: list[str]) -> None:
    """The rows of a panel that was cut after a position of the calendar are those of the whole one up to there."""
    for name in short.names:
        ours, theirs = (panel.first_rows[panel.names.index(name) :][:2] for panel in (whole, short))
        a, b = slice(*ours), slice(*theirs)
        known = whole.times[a] <= last
        mine, other = whole.time_of(whole.times[a][known]), short.time_of(short.times[b])
        if not np.array_equal(mine, other):
            time = min(set(mine.tolist()) ^ set(other.tolist()))
            raise LeakError(
                f"{name} on {str(np.datetime64(time, 'ns'))[:10]}: is a row or not depending on bars after "
                f"{_date(whole, last)}"
            )
        wrong = np.argwhere(whole.values[a][known] != short.values[b])
        if len(wrong):
            row, column = wrong[0]
            raise LeakError(
                f"{columns[column]} of {name} on {str(mine[row])[:10]} depends on bars after {_date(whole, last)}"
            )


def _date(panel: Panel, position: int) -> str:
    """YYYY-MM-DD of a position in the calendar."""
    return str(panel.time_of(position))[:10]


_CORRUPTION_SEED = 20_210_531
_MOST_FOLDS = 4


def scaler_span(subject: Subject) -> str:
    """Scalers and the scale of MASE are the same when every bar after training takes another course.

    Raises:
        LeakError: they are not.
    """
    return _fitted_on_train_alone(subject, subject.folds[0])


def fold_isolation(subject: Subject) -> str:
    """Every fold's ranges follow one another, and its scalers know its training range alone.

    Raises:
        LeakError: they do not.
    """
    folds = subject.folds
    tested: list[tuple[int, int]] = []
    for fold in folds:
        _in_order(subject.original, fold)
        tested.append(fold.ranges["test"])
    for (_, last), (first, _) in pairwise(tested):
        if first <= last:
            raise LeakError(f"{_date(subject.original.panel_, first)} is tested in two folds")
    step = max(1, len(folds) // _MOST_FOLDS)
    for fold in folds[::step]:
        _fitted_on_train_alone(subject, fold)
    return f"{len(folds)} fold(s)"


def window_borders(subject: Subject) -> str:
    """The bars a window forecasts lie inside its split; no split's window is in another; none is lost.

    Raises:
        LeakError: names split and date.
    """
    data = subject.original
    counts = {}
    panel = data.panel_
    for split, (first, last) in data.split_ranges_.items():
        windows = data.windows_[split]
        count = 0
        for start in range(0, len(windows), 65_536):
            batch = windows.take(np.arange(start, min(start + 65_536, len(windows))))
            times = batch.ahead  # (B, h)
            outside = (times < first) | (times > last)
            if outside.any():
                raise LeakError(
                    f"a {split} window forecasts {_date(panel, times[outside][0])}, outside of "
                    f"{_date(panel, first)} to {_date(panel, last)}"
                )
            count += len(batch.rows)
        counts[split] = count
        wanted = _windows_there_should_be(data, first, last)
        if split != "train" and count != wanted:
            raise LeakError(
                f"{split}: {count} windows are evaluated, but {wanted} have a whole window behind them"
            )
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def future_corruption(subject: Subject) -> str:
    """Windows, weights and forecasts up to the end of validation are the same when every test bar is another.

    Raises:
        LeakError: they are not; names what differs.
    """
    data = subject.original
    last = data.split_ranges_["val"][1]
    corrupted = _corrupted(subject, last, seed=_CORRUPTION_SEED)
    corrupted.split(data.split_ranges_)
    for split in ("train", "val"):
        ours, theirs = data.windows_[split], corrupted.windows_[split]
        if len(ours) != len(theirs):
            raise LeakError(
                f"{split}: has {len(ours)} windows, but {len(theirs)} when the test bars are others"
            )
        index = ours.spread(4096)
        a, b = ours.take(index), theirs.take(index)
        for name, mine, other in (("window", a.windows, b.windows), ("future", a.future, b.future)):
            wrong = np.argwhere(mine != other)
            if len(wrong):
                column, time = data.layout.names[wrong[0][-1]], _date(data.panel_, a.origin[wrong[0][0]])
                raise LeakError(f"{column} in the {split} {name} at {time} depends on bars of the test split")
    refitted = subject.fitted(corrupted)
    (ours_fitted, _), (theirs_fitted, _) = subject.forecaster.state(), refitted.state()
    for name, value in ours_fitted.items():
        if not np.array_equal(value, theirs_fitted[name]):
            raise LeakError(f"the fitted weights ({name}) depend on bars of the test split")
    windows = data.windows_["val"]
    batch = windows.take(windows.spread(2048))
    if not np.array_equal(subject.forecaster.forecast(batch).values, refitted.forecast(batch).values):
        raise LeakError("validation forecasts depend on bars of the test split")
    return f"bars after {_date(data.panel_, last)} changed; windows, weights and forecasts before it did not"


def _fitted_on_train_alone(subject: Subject, fold: Fold) -> str:
    last = fold.ranges["train"][1]
    end = _date(subject.original.panel_, last)
    ours = subject.original.with_split(fold.ranges)
    theirs = _corrupted(subject, last, seed=_CORRUPTION_SEED + fold.number)
    theirs.split(fold.ranges)
    before, after = ours.normaliser_.to_json(), theirs.normaliser_.to_json()
    for name in ("scaler", "target_scaler"):
        if before[name] != after[name]:
            raise LeakError(
                f"{name} of fold {fold.number} (training ends {end}) is fitted on later bars too: "
                f"{_which(before[name], after[name], ours.layout.names if name == 'scaler' else ['the target'])}"
            )
    if not np.array_equal(ours.naive_scale_, theirs.naive_scale_, equal_nan=True):
        raise LeakError(f"the scale of MASE in fold {fold.number} is measured on later bars too")
    return f"training ends {end}"


def _which(
    before: dict[str, list[float]] | None, after: dict[str, list[float]] | None, names: list[str]
) -> str:
    if before is None or after is None:
        return "it is there with some bars and not with others"
    for number, name in enumerate(names):
        for key in before:
            a, b = before[key], after[key]
            if isinstance(a, list) and number < len(a) and a[number] != b[number]:
                return f"{key} of {name} is {a[number]:g}, and {b[number]:g} when the later bars are others"
    return "its state differs"


def _in_order(data: MarketData, fold: Fold) -> None:
    for earlier, later in (("train", "val"), ("val", "test")):
        end, start = fold.ranges[earlier][1], fold.ranges[later][0]
        gap = int(start - end) - 1
        if gap < data.target.lead + data.horizon:
            raise LeakError(
                f"fold {fold.number}: {earlier} ends {_date(data.panel_, end)} and {later} begins "
                f"{_date(data.panel_, start)}: {gap} {data.bars.label}s between them, but what is forecast reaches "
                f"{data.target.lead + data.horizon} ahead"
            )


def _windows_there_should_be(data: MarketData, first: int, last: int) -> int:
    """Counted one by one: origins with a whole window behind them and the horizon inside the split."""
    times, reach = data.panel_.times, data.target.lead + data.horizon
    count = 0
    for start, stop in data.panel_.segments:
        for origin in range(start + data.seq_len - 1, stop - reach):
            count += bool(times[origin + 1] >= first and times[origin + reach] <= last)
    return count


def _corrupted(subject: Subject, last: int, *, seed: int) -> MarketData:
    """The data when every bar after a position of the calendar takes another course."""
    import pandas as pd

    time = pd.Timestamp(subject.original.panel_.calendar[last])
    return subject.data(CorruptedAfter(subject.source, time, seed=seed))


# Of the target's values: sums in another order differ by less.
_TOLERANCE = 1e-6


def batch_invariance(subject: Subject) -> str:
    """A window's forecast is the same alone, among others, in another order, and built a second time.

    Raises:
        LeakError: it is not.
    """
    windows = subject.original.windows_["val"]
    index = windows.spread(256)

    def forecast(chosen: NDArray[np.integer]) -> NDArray[np.float64]:
        return subject.forecaster.forecast(windows.take(chosen)).values

    together = forecast(index)
    outcomes = windows.take(index).outcome
    # Of each price, or, of what passes through zero, of its size.
    size = np.abs(outcomes)
    if subject.original.target.relation != "ratio":
        size = np.full_like(size, size.max())
    ways = {
        "alone": np.concatenate([forecast(index[at : at + 1]) for at in range(min(len(index), 24))]),
        "in reversed order": forecast(index[::-1])[::-1],
        "asked again": forecast(index),
    }
    for way, answers in ways.items():
        expected = together[: len(answers)]
        away = np.abs(answers - expected)
        if not np.all(away <= _TOLERANCE * size[: len(answers)]):
            worst = int(np.where(np.isnan(away), np.inf, away).max(axis=1).argmax())
            raise LeakError(
                f"the forecast of a window is {answers[worst, 0]:g} {way}, but {expected[worst, 0]:g} among others: "
                "the model looks at the rest of the batch or remembers it"
            )
    return f"{len(index)} windows, within {_TOLERANCE:g} of what is forecast"


CHECKS: dict[str, Callable[[Subject], str]] = {
    "prefix causality": features_of_a_prefix,
    "shock": shock,
    "moved dates": moved_dates,
    "prefix causality of the data": data_of_a_prefix,
    "covariates known in time": covariates_known_in_time,
    "window borders": window_borders,
    "scaler span": scaler_span,
    "fold isolation": fold_isolation,
    "future corruption": future_corruption,
    "batch invariance": batch_invariance,
    "shuffled control": shuffled_control,
    "bars before the next": bars_before_the_next,
    "believable skill": believable_skill,
}


def audit(subject: Subject) -> Iterator[CheckResult]:
    """Run every check, one after the other.

    Args:
        subject: a config, composed and checked, with a trainer.

    Yields:
        an outcome a check; one whose plug-in raised has not passed, and the others go on.

    Raises:
        UserError: the data cannot be had as built, so that there is nothing to audit.
    """
    from forecast.model.building import make_trainer

    with make_trainer(subject.config).pinned():
        _ = subject.original
        for name, check in CHECKS.items():
            began = time.monotonic()
            passed: bool | None = True
            try:
                detail = check(subject)
            except LeakError as leak:
                passed, detail = False, str(leak)
            except UserError as error:
                passed, detail = None, str(error)
            except Exception as error:  # noqa: BLE001  a plug-in may raise anything; the other checks go on
                passed, detail = (
                    None,
                    f"{type(error).__name__}: {' '.join(str(error).split())}{_where(error)}",
                )
            yield CheckResult(name, passed, detail, round(time.monotonic() - began, 3))


def conclusion(subject: Subject, outcomes: list[CheckResult]) -> str:
    """The results of all checks, and what they did and did not examine."""
    data = subject.original
    failed = [outcome.check for outcome in outcomes if outcome.passed is False]
    raised = [outcome.check for outcome in outcomes if outcome.passed is None]
    named = ", ".join(subject.tickers)
    examined = (
        f"{len(data.features.columns)} features and {data.target.name} of {named}, the split, the scalers, "
        f"{len(subject.folds)} fold(s), and a model fitted for up to {MOST_EPOCHS} epochs"
    )
    missing = [f"{name} (it raised)" for name in raised]
    if subject.left_out:
        missing.append(f"{len(subject.left_out)} further ticker(s)")
    declared = calendar_columns(data.features)
    if declared:
        missing.append(f"what the declared calendar columns look up by date ({', '.join(sorted(declared))})")
    if warm_up(data.features) is None:
        missing.append(
            "rare days between the cuts, for the features do not say how far they look back (warm_up)"
        )
    beside = list(data.covariates.columns)
    if beside:
        missing.append(
            f"whether what covariates are read from held then what it holds now ({', '.join(beside)})"
        )
    missing.append("whether the source rewrote or shifted its whole history before it delivered it")
    if failed:
        opening = f"the audit failed: {', '.join(failed)}"
    elif raised:
        opening = "the audit failed: not every check could be made"
    else:
        opening = "nothing looks ahead in what was examined"
    return f"{opening}. Examined: {examined}. Not examined: {'; '.join(missing)}."


def record(outcomes: list[CheckResult], *, identity: str | None, said: str) -> dict[str, Any]:
    """What audit.json says.

    Args:
        outcomes: of all checks.
        identity: of the run that was audited; None when it was a config.
        said: the conclusion.
    """
    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "identity": identity,
        "conclusion": said,
        "checks": [asdict(outcome) for outcome in outcomes],
    }


def _where(error: Exception) -> str:
    """File and line of the innermost frame that is no library's: the plug-in's, where it raised."""
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(libraries) and "site-packages" not in Path(frame.filename).parts
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
