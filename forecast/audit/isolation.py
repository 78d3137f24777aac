"""Does anything of a split or fold change when the bars after it take another course?"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from forecast.audit.finding import LeakError
from forecast.audit.markets import SpoiltAfter
from forecast.data.record import calendar_day

if TYPE_CHECKING:
    import pandas as pd

    from forecast.audit.subject import Subject
    from forecast.data.market import MarketData
    from forecast.evaluate.folds import Fold

_SEED = 20_210_531
_MOST_FOLDS = 4


def scaler_span(subject: Subject) -> str:
    """Scalers and the scale of MASE are the same when every bar after training takes another course.

    Raises:
        LeakError: they are not.
    """
    return _fitted_on_train_alone(subject, subject.folds[0])


def fold_isolation(subject: Subject) -> str:
    """Every fold's stretches follow one another, and its scalers know its training days alone.

    Raises:
        LeakError: they do not.
    """
    folds = subject.folds
    tested: list[tuple[int, int]] = []
    for fold in folds:
        _in_order(subject.original, fold)
        tested.append(fold.stretches["test"])
    for (_, last), (first, _) in pairwise(tested):
        if first <= last:
            raise LeakError(f"{calendar_day(first)} is tested in two folds")
    step = max(1, len(folds) // _MOST_FOLDS)
    for fold in folds[::step]:
        _fitted_on_train_alone(subject, fold)
    return f"{len(folds)} fold(s)"


def window_borders(subject: Subject) -> str:
    """The days a window forecasts lie inside its split; no split's window is in another; none is lost.

    Raises:
        LeakError: names split and date.
    """
    import numpy as np

    data = subject.original
    counts = {}
    for split, (first, last) in data.stretches_.items():
        windows = data.windows_[split]
        ahead = np.arange(1, data.horizon + 1)
        count = 0
        for start in range(0, len(windows), 65_536):
            batch = windows.take(np.arange(start, min(start + 65_536, len(windows))))
            days = data.panel_.days[batch.rows[:, None] + ahead]  # (B, h)
            outside = (days < first) | (days > last)
            if outside.any():
                day = calendar_day(days[outside][0])
                raise LeakError(
                    f"a {split} window forecasts {day}, outside of {calendar_day(first)} to {calendar_day(last)}"
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
    import numpy as np

    last = subject.original.stretches_["val"][1]
    spoilt = subject.data(SpoiltAfter(subject.source, _timestamp(last), seed=_SEED))
    spoilt.divide(subject.original.stretches_)
    for split in ("train", "val"):
        ours, theirs = subject.original.windows_[split], spoilt.windows_[split]
        if len(ours) != len(theirs):
            raise LeakError(
                f"{split}: has {len(ours)} windows, but {len(theirs)} when the test days are others"
            )
        index = ours.spread(4096)
        a, b = ours.take(index), theirs.take(index)
        for name, mine, other in (("window", a.windows, b.windows), ("future", a.future, b.future)):
            wrong = np.argwhere(mine != other)
            if len(wrong):
                column = subject.original.layout.names[wrong[0][-1]]
                day = calendar_day(subject.original.panel_.days[a.rows[wrong[0][0]]])
                raise LeakError(f"{column} in the {split} {name} at {day} depends on bars of the test split")
    refitted = subject.fitted(spoilt)
    (ours_learnt, _), (theirs_learnt, _) = subject.forecaster.state(), refitted.state()
    for name, value in ours_learnt.items():
        if not np.array_equal(value, theirs_learnt[name]):
            raise LeakError(f"the fitted weights ({name}) depend on bars of the test split")
    windows = subject.original.windows_["val"]
    batch = windows.take(windows.spread(2048))
    if not np.array_equal(subject.forecaster.forecast(batch).values, refitted.forecast(batch).values):
        raise LeakError("validation forecasts depend on bars of the test split")
    return f"bars after {calendar_day(last)} changed; windows, weights and forecasts before it did not"


def _fitted_on_train_alone(subject: Subject, fold: Fold) -> str:
    import numpy as np

    last = fold.stretches["train"][1]
    ours = subject.original.divided(fold.stretches)
    theirs = subject.data(SpoiltAfter(subject.source, _timestamp(last), seed=_SEED + fold.number))
    theirs.divide(fold.stretches)
    before, after = ours.normaliser_.to_json(), theirs.normaliser_.to_json()
    for name in ("scaler", "target_scaler"):
        if before[name] != after[name]:
            raise LeakError(
                f"{name} of fold {fold.number} (training ends {calendar_day(last)}) is fitted on later bars too: "
                f"{_which(before[name], after[name], ours.layout.names if name == 'scaler' else ['Close'])}"
            )
    if not np.array_equal(ours.naive_scale_, theirs.naive_scale_, equal_nan=True):
        raise LeakError(f"the scale of MASE in fold {fold.number} is measured on later bars too")
    return f"training ends {calendar_day(last)}"


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
    import numpy as np

    calendar = data.panel_.calendar_days
    places = {split: np.searchsorted(calendar, days) for split, days in fold.stretches.items()}
    for earlier, later in (("train", "val"), ("val", "test")):
        gap = int(places[later][0] - places[earlier][1]) - 1
        if gap < data.horizon:
            raise LeakError(
                f"fold {fold.number}: {earlier} ends {calendar_day(fold.stretches[earlier][1])} and {later} begins "
                f"{calendar_day(fold.stretches[later][0])}: {gap} days between them, but the horizon is {data.horizon}"
            )


def _windows_there_should_be(data: MarketData, first: int, last: int) -> int:
    """Counted one by one: origins with a whole window behind them and the horizon inside the split."""
    days = data.panel_.days
    count = 0
    for start, stop in data.panel_.bounds:
        for origin in range(start + data.seq_len - 1, stop - data.horizon):
            count += bool(days[origin + 1] >= first and days[origin + data.horizon] <= last)
    return count


def _timestamp(day: int) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(int(day), unit="D")
