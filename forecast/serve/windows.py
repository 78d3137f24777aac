"""From the rows of a request to the windows a model looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.data.features import warm_up
from forecast.data.layout import behind, rows
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.serve.model_store import LoadedModel

DELIVERED = ("High", "Low", "Close", "Volume")
_WIDTH = len(DELIVERED)
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Window:
    """One request, validated for the model that was served when it arrived.

    Args:
        given: the rows of the request, (rows,) closes or (rows, columns).
        bars: (rows, tickers * 4) as many as that model looks at.
        ticker: whose bars they are.
        version: of that model.
        warnings: what the caller must know.
        is_probe: made up by the server to see whether it answers: no forecast that anybody asked for.
    """

    given: NDArray[np.float64]
    bars: NDArray[np.float64]
    ticker: str | None
    version: str
    warnings: tuple[str, ...]
    is_probe: bool = False


def validate_window(
    sequence: Any, ticker: str | None, model: LoadedModel, *, is_probe: bool = False
) -> Window:
    """Check a request against a model.

    Args:
        sequence: rows of numbers or closes.
        ticker: of the request.
        model: the model.
        is_probe: see Window.

    Raises:
        UserError: wrong shape, too short, not finite, or no price.
    """
    given = _numbers(sequence)
    predictor, tickers = model.predictor, model.tickers_per_row
    who, warnings = _ticker(ticker, model)
    bars = given
    if given.ndim == 1:
        if tickers > 1:
            raise UserError(f"sequence: closes only; expected rows of {_columns(model)}")
        flat = np.zeros_like(given)
        bars = np.stack((given, given, given, flat), axis=1)  # (rows,) -> (rows, 4)
        warnings.append("closes only: High and Low are taken to be the Close, and Volume to be 0")
    if bars.shape[1] != tickers * _WIDTH:
        raise UserError(
            f"sequence: rows of {bars.shape[1]} numbers; expected {tickers * _WIDTH}: {_columns(model)}"
        )
    need = model.rows_needed
    least = max(2, -(-model.window_bars // 2))
    if len(bars) < least:
        raise UserError(
            f"sequence: too short, got {len(bars)} rows; expected {need}, and {least} are the least the model takes; "
            f"GET /forecast/{who or predictor.tickers[0]} fetches them, and the page at /ui shows them"
        )
    _check(bars if given.ndim == 2 else bars[:, :3])
    if len(bars) < need:
        missing = need - len(bars)
        bars = np.concatenate((np.repeat(bars[:1], missing, axis=0), bars))
        warnings.append(
            f"shorter than the lookback: {len(given)} rows of {need}; the oldest one stands for {missing} before it"
        )
    elif warm_up(predictor.features) is not None:
        bars = bars[-need:]
    prices = bars.reshape(len(bars), tickers, _WIDTH)
    if (prices[..., 0] < prices[..., 1]).any():
        warnings.append("a High lies below its Low")
    return Window(given, bars, who, model.version, tuple(warnings), is_probe)


def model_inputs(
    windows: Sequence[Window], model: LoadedModel
) -> tuple[NDArray[np.float32], dict[int, str], list[str]]:
    """What the model looks at, all requests in one pass.

    Args:
        windows: validated for this model, so that all have its width.
        model: the model.

    Returns:
        (requests, window_bars, columns) raw panel rows; which requests cannot be answered, and why; warnings for all.
    """
    predictor = model.predictor
    delivered = getattr(predictor.features, "as_delivered", False)
    if delivered and not behind(predictor.features, predictor.target):
        bars = np.stack([window.bars[-model.window_bars :] for window in windows])  # (B, L, tickers * 4)
        return bars.astype(np.float32), {}, []
    dates, warnings = _dates(model, max(len(window.bars) for window in windows))
    if len({len(window.bars) for window in windows}) == 1 and warm_up(predictor.features) is not None:
        whole = np.stack([window.bars for window in windows])  # (B, rows, tickers * 4)
        try:
            values = _computed(whole, dates, model)
        except UserError as error:
            return _undefined(windows, model), dict.fromkeys(range(len(windows)), str(error)), warnings
    else:
        values = _one_by_one(windows, dates, model)
    undefined = ~np.isfinite(values).all(axis=(1, 2))
    reason = "sequence: a feature of the model is undefined on these rows"
    return values, {int(place): reason for place in np.flatnonzero(undefined)}, warnings


def _one_by_one(
    windows: Sequence[Window], dates: pd.DatetimeIndex, model: LoadedModel
) -> NDArray[np.float32]:
    """For features that may look at everything, so that one request must not stand before another."""
    return np.concatenate(
        [_computed(window.bars[None], dates[-len(window.bars) :], model) for window in windows]
    )


def _undefined(windows: Sequence[Window], model: LoadedModel) -> NDArray[np.float32]:
    width = len(model.predictor.layout.names)
    return np.full((len(windows), model.window_bars, width), np.nan, np.float32)


def _computed(bars: NDArray[np.float64], dates: pd.DatetimeIndex, model: LoadedModel) -> NDArray[np.float32]:
    """(B, rows, tickers * 4) -> (B, window_bars, columns), by the features training used, in one pass.

    A feature that says how far it looks back comes out the same whatever stands before that, be it another request.
    """
    import pandas as pd

    predictor = model.predictor
    count, length, _ = bars.shape
    names = predictor.tickers if predictor.scope == "multiple" else predictor.tickers[:1]
    index = pd.DatetimeIndex(np.tile(dates[-length:].to_numpy(), count), name="Date")
    inputs, behind = [], []
    for place, name in enumerate(names):
        flat = bars[..., place * _WIDTH : (place + 1) * _WIDTH].reshape(count * length, _WIDTH)
        table = pd.DataFrame(flat, index=index, columns=pd.Index(DELIVERED))
        try:
            target = None if place else predictor.target
            found = rows(predictor.features, table, target).to_numpy(np.float32)
        except KeyError as error:
            raise UserError(
                f"the model's features want {error}, which a sequence does not carry; ask GET /forecast/{name}"
            ) from error
        width = len(predictor.features.columns)
        inputs.append(found[:, :width])
        behind.append(found[:, width:])
    whole = np.concatenate(inputs + behind, axis=1).reshape(count, length, -1)
    return whole[:, -model.window_bars :]


def _dates(model: LoadedModel, count: int) -> tuple[pd.DatetimeIndex, list[str]]:
    """Days for rows that came without any: of importance only to a model that looks at the calendar."""
    import pandas as pd

    calendar = model.config["data"].get("calendar")
    if calendar is None:
        return pd.date_range("2000-01-03", periods=count, freq="B", name="Date"), []
    from forecast.data.calendars import planned_sessions

    _, _, planned = planned_sessions(calendar)
    today = pd.Timestamp.now(tz="UTC").tz_localize(None).normalize()
    past = pd.DatetimeIndex(planned[planned <= today][-count:], name="Date")
    return past, [f"the model looks at the calendar: the last row is taken to be of {past[-1]:%Y-%m-%d}"]


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


def _check(bars: NDArray[np.float64]) -> None:
    """Refuse what is no bar, with the place of the first fault."""
    if bars.min() > 0 and bars.max() <= _LARGEST:
        return  # nearly always; NaN is neither
    if not np.isfinite(bars).all():
        row, column = np.argwhere(~np.isfinite(bars))[0]
        raise UserError(f"sequence: row {row + 1}, number {column + 1} is not finite; expected a number")
    wide = bars.shape[1] % _WIDTH == 0
    volumes = np.arange(bars.shape[1]) % _WIDTH == 3 if wide else np.zeros(bars.shape[1], np.bool_)
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
    names = ", ".join(DELIVERED)
    if predictor.scope != "multiple":
        return names
    return "; ".join(f"{names} of {ticker}" for ticker in predictor.tickers)


def probe_window(model: LoadedModel) -> tuple[list[list[float]], str]:
    """Made-up rows that the model takes, and whose they are: for readiness and for examples.

    Args:
        model: that is served.
    """
    need = model.rows_needed
    close = 100.0 + np.sin(np.arange(need))  # (rows,)
    bars = np.stack((close + 1, close - 1, close, np.full(need, 1e6)), axis=1)  # (rows, 4)
    return np.tile(bars, model.tickers_per_row).round(2).tolist(), model.predictor.tickers[0]
