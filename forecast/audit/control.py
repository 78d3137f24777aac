"""Checks by skill: none where nothing can be forecast, and no more than belief allows where something can.

What hands over the future cannot hide from a learner that is given it. Boosted trees stand in for the config's own
model as well: a network may be too cautious to use what it is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.audit.subject import LeakError, Shuffled, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.windows import WindowBatch
    from forecast.model.forecaster import Forecaster

    Values = NDArray[np.float64]
    # Of windows, (batch, steps): what is forecast, as _moves gives it.
    _Answer = Callable[[WindowBatch], Values]

_SHUFFLE_SEED = 19_990_101
_CONTROL_EPOCHS = 8
# Windows looked at, at most, of a split.
_MOST_WINDOWS = 16_384
# And of these, numbers that trees are fitted to, and steps of the horizon.
_MOST_NUMBERS, _MOST_STEPS = 4_000_000, 5
# Of a forecast that knows nothing: more than daily prices ever allow, and more than so many standard errors.
_R2, _DIRECTION, _ERRORS = 0.02, 0.57, 4.0
# Of the next return from the bars alone: thinly traded shares, and still more bars of minutes, bounce between bid and
# ask, which can be forecast (Roll 1984) though not traded.
_BARS_R2, _BARS_R2_OF_MINUTES = 0.05, 0.20
# Bars without so much of that bounce.
_LONG: tuple[str, ...] = ("1d", "1wk", "1mo")
# Share of a ticker's bars, the oldest, that trees learn from, and the fewest bars worth it.
_LEARNT_FROM, _FEWEST_BARS = 0.6, 250


@dataclass(frozen=True)
class Skill:
    """What a forecast gains on a reference.

    Args:
        gain: 1 - squared error / squared error of the reference.
        gain_error: standard error of it, the tickers of a bar counted as one observation.
        share: right signs of the move that is forecast; None where moves have no sign of interest.
        share_error: standard error of it.
    """

    gain: float
    gain_error: float
    share: float | None
    share_error: float

    @property
    def text(self) -> str:
        """The skill in a line of output."""
        gain = f"R2 {100 * self.gain:+.2f} % +/- {100 * self.gain_error:.2f}"
        if self.share is None:
            return gain
        return f"{gain}, direction {100 * self.share:.1f} % +/- {100 * self.share_error:.1f}"

    def exceeds(self, gain: float, share: float = _DIRECTION) -> bool:
        """Whether the skill is above a ceiling by more than noise."""
        if self.gain > gain and self.gain > _ERRORS * self.gain_error:
            return True
        return self.share is not None and self.share - _ERRORS * self.share_error > share


def shuffled_control(subject: Subject) -> str:
    """On the same bars in random order, without their drift, skill vanishes: the model's, and that of boosted trees.

    Raises:
        LeakError: it does not: the strategy hands the model what is to be forecast.
    """
    data = subject.data(Shuffled(subject.source, seed=_SHUFFLE_SEED))
    data.split(subject.evaluation.folds(data)[0].ranges)
    found = {}
    for name, answer in _both(data, subject.fitted(data, epochs=_CONTROL_EPOCHS)):
        skill = found[name] = skill_of(answer, data, references=("last", "mean"))
        if skill.exceeds(_R2):
            raise LeakError(f"on shuffled bars, where nothing can be forecast, {name} skill: {skill.text}")
    return "; ".join(f"{name} {skill.text}" for name, skill in found.items())


def believable_skill(subject: Subject) -> str:
    """On the bars as they are, neither the model nor boosted trees gain more than the target's ceiling.

    Raises:
        LeakError: one does: a feature, or the bars themselves, may know what is forecast.
    """
    data = subject.original
    target = data.target
    if not target.suspect_above and not target.suspect_below:
        return f"no ceiling is known of {target.name} on bars of {data.bars.interval}"
    # HAR stands for all baselines here; less noise is left in a mean of many bars.
    of_har = target.suspect_below.get("har", 1 - _R2) ** (2 if target.lead == 0 else 4)
    ceiling = target.suspect_above.get("r2_oos", 1 - of_har)
    found = {}
    for name, answer in _both(data, subject.forecaster):
        skill = found[name] = skill_of(answer, data, references=("last", "mean", "har"), first_step=True)
        if skill.exceeds(ceiling, target.suspect_above.get("direction", 1.0)):
            raise LeakError(
                f"{name} more skill than {target.name} of real bars allows ({100 * ceiling:.1f} %): {skill.text}; "
                "a feature or the bars themselves may know what is forecast"
            )
    return "; ".join(f"{name} {skill.text}" for name, skill in found.items())


def bars_before_the_next(subject: Subject) -> str:
    """Two bars, with all their columns, tell boosted trees next to nothing of the next return.

    A source whose bars hold something of the next one (a volume put on the wrong day, a High that reaches into
    tomorrow) is seen this way, whatever the strategy shows of it; one that is shifted as a whole is not.

    Raises:
        LeakError: they do.
    """
    from forecast.model.forecaster import one_thread

    learn, test = [], []
    for bars in subject.bars.values():
        if len(bars) >= _FEWEST_BARS:
            inputs, moves = _two_bars(bars)
            border = int(len(moves) * _LEARNT_FROM)
            times = bars.index.to_numpy()
            learn.append((inputs[:border], moves[:border], times[:border]))
            test.append((inputs[border:], moves[border:], times[border:]))
    if not learn:
        return f"not looked at: fewer than {_FEWEST_BARS} bars"
    (x, y, _), (new_x, new_y, times) = (
        [np.concatenate(part) for part in zip(*parts, strict=True)] for parts in (learn, test)
    )
    known, asked = np.isfinite(y), np.isfinite(new_y)
    with one_thread():
        answers = _trees().fit(x[known], y[known]).predict(new_x[asked])
    skill = _compare(
        answers[:, None], new_y[asked, None], np.zeros((int(asked.sum()), 1)), times[asked], lags=0
    )
    limit = _BARS_R2 if subject.original.bars.interval in _LONG else _BARS_R2_OF_MINUTES
    if skill.exceeds(limit, 1.0):
        raise LeakError(
            f"two bars tell boosted trees {100 * skill.gain:.1f} % +/- {100 * skill.gain_error:.1f} of the next "
            f"return; honest ones tell less than {100 * limit:.0f} %: the source's bars may hold something of the next"
        )
    return f"next return from the bars alone: {skill.text}"


def skill_of(
    answer: _Answer, data: MarketData, *, references: tuple[str, ...], first_step: bool = False
) -> Skill:
    """What a forecast gains on validation and test, on the best of some references that need no model.

    Args:
        answer: fitted to the data.
        data: split.
        references: `last` (as the last value was), `mean` (of each ticker in training), `har` (least squares on the
            last value and its means over 5 and 22 bars, as far as a window reaches).
        first_step: of the horizon alone.
    """
    train = data.windows_["train"]
    table = _references(data, train.take(train.spread(_MOST_WINDOWS)), references)
    answers, outcomes, origins = [], [], []
    others: dict[str, list[Values]] = {name: [] for name in references}
    for split in ("val", "test"):
        windows = data.windows_[split]
        batch = windows.take(windows.spread(_MOST_WINDOWS))
        answers.append(answer(batch))
        outcomes.append(_moves(data, batch.outcome, batch))
        origins.append(batch.origin)
        for name in references:
            others[name].append(table[name](batch))
    a, y, when = np.concatenate(answers), np.concatenate(outcomes), np.concatenate(origins)
    steps = 1 if first_step else a.shape[1]
    stands = {name: np.concatenate(parts)[:, :steps] for name, parts in others.items()}
    y = y[:, :steps]
    best = min(stands, key=lambda name: float(np.square(y - stands[name]).sum()))
    return _compare(
        a[:, :steps],
        y,
        stands[best],
        when,
        lags=data.target.lead + data.horizon - 1,
        # Moves of a price, of whose sign hardly anything can be forecast.
        signs="direction" in data.target.suspect_above,
    )


def _both(data: MarketData, model: Forecaster) -> Iterator[tuple[str, _Answer]]:
    """The config's model, and boosted trees fitted to the same windows, each after words that name it."""
    yield "the model has", lambda batch: _moves(data, model.forecast(batch).values, batch)
    yield "boosted trees have", _boosted_trees(data)


def _boosted_trees(data: MarketData) -> _Answer:
    """Trees that see the window as a network does and the target's last values, and answer with what is forecast."""
    from forecast.model.forecaster import one_thread
    from forecast.model.regression import flat_inputs

    def inputs(batch: WindowBatch) -> NDArray[np.float32]:
        shown = flat_inputs(data.normaliser_, batch.windows)
        return np.concatenate([shown, _moves(data, batch.history, batch)[:, -2:].astype(np.float32)], axis=1)

    train = data.windows_["train"]
    width = data.seq_len * len(data.layout.relations)
    batch = train.take(train.spread(min(max(_MOST_NUMBERS // width, _FEWEST_BARS), _MOST_WINDOWS)))
    shown, wanted = inputs(batch), _moves(data, batch.outcome, batch)
    with one_thread():
        fitted = [_trees().fit(shown, step) for step in wanted.T[:_MOST_STEPS]]

    def answer(batch: WindowBatch) -> Values:
        shown = inputs(batch)
        with one_thread():
            return np.stack([model.predict(shown) for model in fitted], axis=1)

    return answer


def _trees() -> Any:
    """Boosted trees that are quick to fit."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=60,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=50,
        early_stopping=False,
        random_state=0,
    )


def _references(data: MarketData, train: WindowBatch, names: tuple[str, ...]) -> dict[str, _Answer]:
    """Each reference as a function of windows, fitted to training windows."""
    y = _moves(data, train.outcome, train)  # (N, h)
    # Of each ticker: how busy one is beside another is no secret.
    means = np.tile(y.mean(axis=0), (len(data.panel_.names), 1))  # (series, h)
    for series in np.unique(train.series):
        means[series] = y[train.series == series].mean(axis=0)
    found: dict[str, _Answer] = {
        "last": lambda batch: np.repeat(_moves(data, batch.history[:, -1:], batch), batch.horizon, axis=1),
        "mean": lambda batch: means[batch.series],
    }
    if "har" in names:
        coefficients = np.linalg.lstsq(_three_means(data, train), y, rcond=None)[0]
        found["har"] = lambda batch: _three_means(data, batch) @ coefficients
    return found


def _three_means(data: MarketData, batch: WindowBatch) -> Values:
    """(batch, 4): 1, and means of the last 1, 5 and 22 values that each window saw (Corsi 2009)."""
    seen = _moves(data, batch.history, batch)
    return np.stack([np.ones(len(seen)), *(seen[:, -bars:].mean(axis=1) for bars in (1, 5, 22))], axis=1)


def _compare(
    answers: Values,
    outcomes: Values,
    reference: Values,
    times: NDArray[np.generic],
    *,
    lags: int,
    signs: bool = True,
) -> Skill:
    """Gain and right signs, (rows, steps) each, with errors that count what stands at one time as one observation."""
    from forecast.evaluate.significance.diebold_mariano import ratios

    with np.errstate(over="ignore", invalid="ignore"):
        base = np.square(outcomes - reference)
        gain = base - np.square(outcomes - answers)
    _, when = np.unique(times, return_inverse=True)
    count = int(when.max()) + 1

    def by_time(values: Values) -> Values:
        return np.bincount(when, weights=values.sum(axis=1), minlength=count).astype(np.float64)

    one = np.zeros(count, np.int64)
    ratio, error = ratios(by_time(gain), by_time(base), one, 1, lags=lags)
    if not math.isfinite(ratio[0]):
        return Skill(0.0, 0.0, None, 0.0)
    moved = (outcomes != reference) & (answers != reference)
    right = moved & (np.sign(outcomes - reference) == np.sign(answers - reference))
    share, share_error = ratios(by_time(right.astype(float)), by_time(moved.astype(float)), one, 1, lags=lags)
    if not signs or not math.isfinite(share[0]):
        return Skill(float(ratio[0]), float(error[0]), None, 0.0)
    return Skill(float(ratio[0]), float(error[0]), float(share[0]), float(share_error[0]))


def _moves(data: MarketData, values: Values, batch: WindowBatch) -> Values:
    """Values of the target relative to the last one where they are prices, else as they are."""
    return values / batch.history[:, -1:] - 1 if data.target.relation == "ratio" else values


def _two_bars(bars: pd.DataFrame) -> tuple[Values, Values]:
    """(bars, columns) what each bar and the one before it were, and (bars,) the return that followed, in units of the
    returns before; NaN where none did."""
    import pandas as pd

    with np.errstate(divide="ignore", invalid="ignore"):
        logs = bars[["Open", "High", "Low", "Close"]].transform(np.log)
        volume = bars["Volume"].transform(np.log1p)
        moves = logs["Close"].diff()
        parts = {
            "move": moves,
            "night": logs["Open"] - logs["Close"].shift(1),
            "day": logs["Close"] - logs["Open"],
            "up": logs["High"] - logs["Close"],
            "down": logs["Close"] - logs["Low"],
            "volume": volume.diff(),
            "level": volume - volume.rolling(20).mean(),
        }
        spread = moves.rolling(20).std()
        one = pd.DataFrame(
            {name: part if name in ("volume", "level") else part / spread for name, part in parts.items()}
        )
        followed = (moves.shift(-1) / spread).clip(-5, 5)
    inputs = np.concatenate([one.to_numpy(np.float64), one.shift(1).to_numpy(np.float64)], axis=1)
    inputs[~np.isfinite(inputs)] = np.nan
    outcome = followed.to_numpy(np.float64).copy()
    outcome[~np.isfinite(outcome)] = np.nan
    return inputs, outcome
