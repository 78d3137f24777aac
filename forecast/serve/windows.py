"""From the rows of a request to the windows a model looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.calendars import calendar_of, planned_sessions
from forecast.data.features import calendar_columns, warm_up
from forecast.data.layout import closes_later, rows
from forecast.errors import UserError
from forecast.serve.model_store import DELIVERED, LoadedModel

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.model.inference import Predictor

# Share of the logarithm of High / Low that an Open which nobody gave is taken to lie from the Close: where the variance
# of Garman and Klass is that of Parkinson, who needs no Open, 1 / (4 ln 2) = 1/2 - (2 ln 2 - 1) * 0.6^2.
_OPEN = float(np.sqrt((0.5 - 1 / (4 * np.log(2))) / (2 * np.log(2) - 1)))
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Window:
    """One request, validated for the model that was served when it arrived."""

    given: NDArray[np.float64]  # the rows of the request, (rows,) closes or (rows, columns)
    bars: NDArray[np.float64]  # (rows, tickers * 4) as many as that model looks at
    ticker: str | None  # whose bars they are
    version: str  # of that model
    warnings: tuple[str, ...]  # what the caller must know
    # made up by the server to see whether it answers: no forecast that anybody asked for
    is_probe: bool = False


def validate_window(
    sequence: Any, ticker: str | None, model: LoadedModel, *, is_probe: bool = False
) -> Window:
    """Check a request against a model.

    Raises:
        UserError: wrong shape, too short, not finite, or no price.
    """
    predictor, tickers, columns = model.predictor, model.tickers_per_row, model.row_columns
    given = _numbers(sequence)
    who, warnings = _ticker(ticker, model)
    own, beside = _parted(given, model)
    bars = _wide(own, model, warnings)
    if bars.shape[1] != tickers * len(columns):
        width = given.shape[1] if given.ndim > 1 else 1
        raise UserError(
            f"sequence: rows of {width} numbers; expected {len(model.row_names)}: {_columns(model)}"
        )
    need = model.rows_needed
    least = max(2, -(-model.window_bars // 2))
    if len(bars) < least:
        raise UserError(
            f"sequence: too short, got {len(bars)} rows; expected {need}, and {least} are the least the model takes; "
            f"GET /forecast/{who or predictor.tickers[0]} fetches them, and the page at /ui shows them"
        )
    _check(own if own.ndim == 2 else own[:, None], tickers)
    if beside is not None:
        _check_covariates(beside, predictor, first=own.shape[1])
        bars = np.concatenate((bars, beside), axis=1)
    if len(bars) < need:
        missing = need - len(bars)
        bars = np.concatenate((np.repeat(bars[:1], missing, axis=0), bars))
        warnings.append(
            f"shorter than the lookback: {len(given)} rows of {need}; the oldest one stands for {missing} before it"
        )
    elif warm_up(predictor.features) is not None:
        bars = bars[-need:]
    high = columns.index("High")
    prices = bars[:, : tickers * len(columns)].reshape(len(bars), tickers, len(columns))
    if (prices[..., high] < prices[..., high + 1]).any():
        warnings.append("a High lies below its Low")
    return Window(given, bars, who, model.version, tuple(warnings), is_probe)


def _parted(
    given: NDArray[np.float64], model: LoadedModel
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Bars and covariates, which stand last in each row; None of a model that looks at none."""
    count = len(model.predictor.covariates)
    if not count:
        return given, None
    if given.ndim == 1:
        raise UserError(
            f"sequence: closes only, but the model looks at covariates too; expected rows of {_columns(model)}"
        )
    return given[:, :-count], given[:, -count:]


def _check_covariates(beside: NDArray[np.float64], predictor: Predictor, *, first: int) -> None:
    """Refuse what is no number that a window can hold."""
    bad = ~(np.abs(beside) <= _LARGEST)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        name = list(predictor.covariates)[column]
        raise UserError(
            f"sequence: row {row + 1}, number {first + column + 1} ({name}) is not a finite number of 32 bits"
        )


def _wide(given: NDArray[np.float64], model: LoadedModel, warnings: list[str]) -> NDArray[np.float64]:
    """Rows of all the columns that the model looks at; what was made up for that is said in the warnings."""
    columns, tickers = model.row_columns, model.tickers_per_row
    if given.ndim == 1:
        if tickers > 1:
            raise UserError(f"sequence: closes only; expected rows of {_columns(model)}")
        target = model.predictor.target
        if missing := sorted({"High", "Low", "Volume"} & model.target_columns):
            raise UserError(
                f"sequence: closes only, but target={target.name} is made of {', '.join(missing)}; "
                f"expected rows of {_columns(model)}"
            )
        zeros = np.zeros_like(given)
        prices = [given] * (len(columns) - 1)
        warnings.append(
            f"closes only: {' and '.join(', '.join(columns[:-2]).rsplit(', ', 1))} are taken to be the Close, "
            "and Volume to be 0"
        )
        return np.stack((*prices, zeros), axis=1)  # (rows,) -> (rows, columns)
    if "Open" in columns and given.shape[1] == tickers * len(DELIVERED):
        bars = given.reshape(len(given), tickers, len(DELIVERED))
        high, low, close = bars[..., 0], bars[..., 1], bars[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):  # what is no price is refused further on
            move = _OPEN * np.log(high / low)  # (rows, tickers)
        before = np.concatenate((close[:1], close[:-1]))
        opens = close * np.exp(np.where(before < close, -move, move))
        warnings.append(
            f"rows without Open: it is taken to lie {_OPEN:.1f} of the bar's range from the Close, as on average; "
            f"better {_columns(model)}"
        )
        return np.concatenate((opens[..., None], bars), axis=2).reshape(len(given), -1)
    return given


def model_inputs(
    windows: Sequence[Window], model: LoadedModel
) -> tuple[NDArray[np.float32], dict[int, str], list[str]]:
    """What the model looks at, all requests in one pass.

    Returns:
        (requests, window_bars, columns) raw panel rows; which requests cannot be answered, and why; warnings for all.
    """
    predictor = model.predictor
    if model.as_sent:
        bars = np.stack([window.bars[-model.window_bars :] for window in windows])  # (B, L, tickers * 4)
        return bars.astype(np.float32), {}, []
    dates, warnings = _dates(model, max(len(window.bars) for window in windows))
    if len({len(window.bars) for window in windows}) == 1 and warm_up(predictor.features) is not None:
        whole = np.stack([window.bars for window in windows])  # (B, rows, tickers * 4)
        try:
            values = _computed(whole, dates, model)
        except UserError as error:
            shape = (len(windows), model.window_bars, len(predictor.layout.names))
            return (
                np.full(shape, np.nan, np.float32),
                dict.fromkeys(range(len(windows)), str(error)),
                warnings,
            )
    else:
        # Features that may look at everything: one request must not stand before another.
        alone = [_computed(window.bars[None], dates[-len(window.bars) :], model) for window in windows]
        values = np.concatenate(alone)
    undefined = ~np.isfinite(values).all(axis=(1, 2))
    reason = "sequence: a feature of the model is undefined on these rows"
    return values, {int(place): reason for place in np.flatnonzero(undefined)}, warnings


def _joined(values: NDArray[np.float32], ticker: str, predictor: Predictor) -> NDArray[np.float32]:
    """Rows of a ticker beside the target, as training joined them: a bar that closes later comes one bar later.

    Args:
        values: (windows, bars, columns), of the same days as the target's.
    """
    target, markets = predictor.tickers[0], predictor.markets
    calendar = calendar_of(target) if predictor.join_by_ending else markets[target].calendar
    days = np.arange(values.shape[1]).astype("datetime64[D]")
    if calendar:
        days = _sessions(calendar, values.shape[1], datetime.now(UTC).date())
    if predictor.join_by_ending:
        later = closes_later(ticker, target, days)  # (bars,)
    else:
        times = days.astype("datetime64[ns]")
        later = ~(markets[ticker].known_times(times) <= markets[target].known_times(times))
    before = np.concatenate((np.full_like(values[:, :1], np.nan), values[:, :-1]), axis=1)
    joined: NDArray[np.float32] = np.where(later[:, None], before, values).reshape(-1, values.shape[2])
    return joined


@lru_cache(maxsize=32)
def _sessions(calendar: str, count: int, today: date) -> NDArray[np.datetime64]:
    """The last so many sessions of a calendar, today's among them."""
    import pandas as pd

    _, _, planned = planned_sessions(calendar)
    return planned[planned <= pd.Timestamp(today)][-count:].to_numpy()


def _computed(bars: NDArray[np.float64], dates: pd.DatetimeIndex, model: LoadedModel) -> NDArray[np.float32]:
    """(B, rows, tickers * 4) -> (B, window_bars, columns), by the features training used, in one pass.

    A feature that says how far it looks back comes out the same whatever stands before that, be it another request.
    """
    import pandas as pd

    predictor, columns = model.predictor, model.row_columns
    count, length, _ = bars.shape
    names = predictor.tickers if predictor.scope == "multiple" else predictor.tickers[:1]
    index = pd.DatetimeIndex(np.tile(dates[-length:].to_numpy(), count), name="Date")
    width = len(names) * len(columns)
    beside = bars[..., width:].reshape(count * length, len(predictor.covariates)).astype(np.float32)
    inputs, behind = [], []
    for place, name in enumerate(names):
        own = bars[..., place * len(columns) : (place + 1) * len(columns)]
        table = pd.DataFrame(
            own.reshape(count * length, len(columns)), index=index, columns=pd.Index(columns)
        )
        try:
            target = None if place else predictor.target
            found = rows(predictor.features, table, target).to_numpy(np.float32)
        except KeyError as error:
            raise UserError(
                f"the model's features want {error}, which a sequence does not carry; ask GET /forecast/{name}"
            ) from error
        if place and model.is_mixed:
            found = _joined(found.reshape(count, length, -1), name, predictor)
        width = len(predictor.features.columns)
        inputs.append(found[:, :width])
        behind.append(found[:, width:])
    whole = np.concatenate([*inputs, beside, *behind], axis=1).reshape(count, length, -1)
    return whole[:, -model.window_bars :]


def _dates(model: LoadedModel, count: int) -> tuple[pd.DatetimeIndex, list[str]]:
    """Days for rows that came without any: of importance only to a model that looks at the calendar."""
    import pandas as pd

    predictor = model.predictor
    if not calendar_columns(predictor.features):
        return pd.date_range("2000-01-03", periods=count, freq="B", name="Date"), []
    now, market = datetime.now(UTC), model.market
    if market.interval == "1d" and market.calendar is not None:
        times = _sessions(market.calendar, count, now.date())
    else:
        moment = np.datetime64(now.replace(tzinfo=None), "ns")
        times = market.last_times(moment, count + 1)
        over = ~(market.known_times(times) > moment)  # the running one is none; NaT where nobody knows
        times = times[over][-count:]
    past = pd.DatetimeIndex(times, name="Date")
    return past, [f"the model looks at the calendar: the last row is taken to be of {market.text(past[-1])}"]


def _ticker(ticker: str | None, model: LoadedModel) -> tuple[str | None, list[str]]:
    predictor = model.predictor
    if ticker is None:
        # Of a panel any ticker may be meant.
        return (None if predictor.scope == "panel" else predictor.tickers[0]), []
    if predictor.scope == "multiple" and ticker != predictor.tickers[0]:
        raise UserError(f"ticker: {ticker}; the model forecasts {predictor.tickers[0]}")
    if ticker not in predictor.tickers:
        known = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
        return ticker, [f"not trained on {ticker}, but on {known}"]
    return ticker, []


def _numbers(sequence: Any) -> NDArray[np.float64]:
    try:
        given = np.asarray(sequence, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError("sequence: rows of different lengths; expected the same number in each") from error
    if given.ndim not in (1, 2) or not given.size:
        raise UserError("sequence: is empty; expected rows of High, Low, Close, Volume, or closes")
    return given


def _check(bars: NDArray[np.float64], tickers: int) -> None:
    """Refuse what is no bar, with the place of the first fault; of each ticker the last column is Volume."""
    if bars.min() > 0 and bars.max() <= _LARGEST:
        return  # nearly always; NaN is neither
    if not np.isfinite(bars).all():
        row, column = np.argwhere(~np.isfinite(bars))[0]
        raise UserError(f"sequence: row {row + 1}, number {column + 1} is not finite; expected a number")
    width = bars.shape[1] // tickers
    volumes = (np.arange(bars.shape[1]) % width == width - 1) & (width > 1)
    bad = np.where(volumes, bars < 0, bars <= 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        rule = "a volume must be 0 or more" if volumes[column] else "a price must be above 0"
        raise UserError(f"sequence: row {row + 1}, number {column + 1} is {bars[row, column]:g}; {rule}")
    if (bars > _LARGEST).any():
        row, column = np.argwhere(bars > _LARGEST)[0]
        raise UserError(
            f"sequence: row {row + 1}, number {column + 1} is {bars[row, column]:g}; is too large"
        )


def _columns(model: LoadedModel) -> str:
    predictor = model.predictor
    names = ", ".join(model.row_columns)
    if predictor.scope == "multiple":
        names = "; ".join(f"{names} of {ticker}" for ticker in predictor.tickers)
    return "; ".join([names, *([", ".join(predictor.covariates)] if predictor.covariates else [])])


def probe_window(model: LoadedModel) -> tuple[list[list[float]], str]:
    """Made-up rows that the model takes, and whose they are: for readiness and for examples."""
    need = model.rows_needed
    close = 100.0 + np.sin(np.arange(need))  # (rows,)
    made = {"Open": close - 0.5, "High": close + 1, "Low": close - 1, "Close": close, "Volume": 1e4 * close}
    bars = np.stack([made[name] for name in model.row_columns], axis=1)  # (rows, columns)
    beside = np.zeros((need, len(model.predictor.covariates)))
    whole = np.concatenate((np.tile(bars, model.tickers_per_row), beside), axis=1)
    return whole.round(2).tolist(), model.predictor.tickers[0]
