"""The next sessions of each ticker, from a finished run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast.errors import UserError
from forecast.predict.asking import config_of

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from forecast.model.inference import Predictor


@dataclass(frozen=True)
class Future:
    """Forecasts of days that have not come.

    Args:
        table: a row a ticker and step: `ticker`, `origin` (day of its last bar), `date` (day being forecast), `step`,
            `forecast`, `naive`, with intervals `lower`, `upper` and so on, and `days_behind` (calendar days from
            `origin` to the latest bar of any ticker).
        levels: of the intervals, `lower` and `upper` first.
        refused: ticker -> why there is no forecast for it.
        notes: what a reader must know, in sentences.
    """

    table: pd.DataFrame
    levels: tuple[float, ...]
    refused: dict[str, str] = field(repr=False)
    notes: list[str] = field(repr=False)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def future(directory: str | Path, *overrides: str) -> Future:
    """Forecast the sessions after the last bar of each ticker.

    Args:
        directory: of a finished run, as it printed it.
        overrides: of the run's config: `source`, `data.tickers`, `data.period`, `data.start`, `data.end`,
            `data.health` and what is below them.

    Raises:
        UserError: no finished run there, an override that does not fit it, no bars, or no ticker can be forecast.
    """
    from forecast import bundle
    from forecast.config import build
    from forecast.runlog import logged

    directory = Path(directory)
    bundle.verify(directory)
    config = config_of(directory, overrides)
    predictor = bundle.load(directory)
    with logged(), _threads(int(config.trainer.get("threads", 1))):
        source, health = build(config.source), build(config.data.health)
        tickers = _tickers(config, predictor, source)
        bars, refused = load_bars(config, predictor, source, health, tickers)
        return foresee(
            predictor,
            bars,
            calendar=None if health is None else health.calendar,
            refused=refused,
            notes=[*_standing(directory), *_strangers(predictor, tickers), *_past(config)],
        )


def load_bars(
    config: DictConfig, predictor: Predictor, source: Any, health: Any, tickers: list[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Checked bars of each ticker, as many as the model looks at; and why a ticker has none.

    Args:
        config: asked.
        predictor: of the run.
        source: built.
        health: built; None = bars are taken as they are.
        tickers: asked for.

    Raises:
        UserError: no such ticker, or bars at fault whose policy is error.
    """
    from forecast.data.period import DateRange

    data = config.data
    span = DateRange(period=data.period, start=data.start, end=data.end)
    bars: dict[str, pd.DataFrame] = {}
    refused: dict[str, str] = {}
    for ticker in tickers:
        own = span.cut(source.bars(ticker))
        if own.empty:
            refused[ticker] = f"{ticker}: no bars in data.start={data.start}, data.end={data.end}"
            continue
        if health is not None:
            own, _ = health.check(ticker, own)
        # A copy, so that thousands of whole histories do not stay in memory.
        bars[ticker] = own if predictor.enough is None else own.iloc[-predictor.enough :].copy()
    return bars, refused


def foresee(
    predictor: Predictor,
    bars: dict[str, pd.DataFrame],
    *,
    calendar: str | None,
    refused: dict[str, str],
    notes: list[str],
) -> Future:
    """Forecast what follows the bars at hand, all tickers in one pass.

    Args:
        predictor: of the run.
        bars: ticker -> checked bars.
        calendar: exchange_calendars' name; None = Monday to Friday.
        refused: tickers without bars, and why.
        notes: said already.

    Raises:
        UserError: no ticker can be forecast.
    """
    import numpy as np

    from forecast.predict.sessions import days_ahead

    if bars:
        table, without_window = predictor.predict_many(bars)
        refused = {**refused, **without_window}
    if not bars or table.empty:
        first, *others = refused.values()
        more = f" (nor can {len(others)} others be forecast)" if others else ""
        raise UserError(f"{first}{more}; ask for a longer data.period or other data.tickers")
    horizon = predictor.horizon
    origins = table["origin"].to_numpy()
    dates = days_ahead(origins[::horizon], horizon, calendar=calendar).ravel()
    table.insert(2, "date", dates)
    latest = max(own.index[-1] for own in bars.values()).to_datetime64()
    table["days_behind"] = ((latest - origins) / np.timedelta64(1, "D")).astype(np.int64)
    told = list(notes)
    if calendar is None:
        told.append("data.health.calendar=null: the days are weekdays, whether the exchange is open or not")
    if predictor.intervals is None:
        told.append("the run has no intervals")
    return Future(table=table, levels=predictor.levels, refused=refused, notes=told)


def _tickers(config: DictConfig, predictor: Predictor, source: Any) -> list[str]:
    """Which tickers to forecast for."""
    named = config.data.tickers
    tickers = source.tickers() if named is None else [str(ticker) for ticker in named]
    shown = f"data.tickers={tickers[:6]}{'...' if len(tickers) > 6 else ''}"
    if not tickers:
        raise UserError(f"{shown}: names no ticker")
    if len(set(tickers)) != len(tickers):
        raise UserError(f"{shown}: names a ticker twice")
    if predictor.scope == "single" and len(tickers) > 1:
        raise UserError(
            f"{shown}: the model forecasts one ticker at a time; ask once for each, or train a panel strategy"
        )
    if predictor.scope == "multiple" and set(tickers) != set(predictor.tickers):
        raise UserError(f"{shown}: the model sees its tickers side by side and wants {predictor.tickers}")
    return tickers


def _standing(directory: Path) -> list[str]:
    """How the run did on its test days."""
    metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    told = []
    ratio, coverage = metrics.get("test_theil_u"), metrics.get("test_coverage")
    if ratio is not None:
        told.append(
            f"on its test days the model {'erred' if ratio < 1 else 'did not beat it: it erred'} {ratio:.3f} times as "
            'much as "tomorrow = today" (RMSE)'
        )
    if coverage is not None:
        told.append(f"lower to upper held {100 * coverage:.1f} % of the outcomes there")
    return told


def _strangers(predictor: Predictor, tickers: list[str]) -> list[str]:
    """Tickers the model was not trained on."""
    strange = sorted(set(tickers) - set(predictor.tickers))
    if not strange:
        return []
    some = ", ".join(strange[:5]) + (f" and {len(strange) - 5:,} more" if len(strange) > 5 else "")
    known = ", ".join(predictor.tickers[:5]) + (", ..." if len(predictor.tickers) > 5 else "")
    widths = (
        ""
        if predictor.intervals is None
        else "; their intervals are as wide as those of all its tickers together"
    )
    return [f"not trained on {some}, but on {known}{widths}"]


def _past(config: DictConfig) -> list[str]:
    """A run that was trained up to a day goes on asking for bars up to that day."""
    end = config.data.end
    return [] if end is None else [f"data.end={end}: later bars are not looked at; data.end=null takes all"]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """As many as in training: sums in another order differ in the last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
