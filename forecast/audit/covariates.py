"""A check of covariates: every value was known when the forecast that sees it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.audit.subject import LeakError, Subject
from forecast.data.covariates import BarRows, Covariates
from forecast.model.building import build_covariates

if TYPE_CHECKING:
    import pandas as pd

# Cuts of a ticker's bars; what stands before each must be the same without what comes after.
_CUTS = 6


def covariates_known_in_time(subject: Subject) -> str:
    """Covariates of bars up to t are those of all bars up to t, and each row that is taken was known by then.

    A past covariate says itself when a row is known; what nothing shows to have been known (`lag: 0` alone) is refused.

    Raises:
        LeakError: one is not; names covariate, ticker and date.
    """
    data = subject.original
    if not data.covariates:
        return "no covariates"
    made = _built(subject)
    tickers = subject.tickers[:1] if data.scope == "multiple" else subject.tickers
    cuts = 0
    for ticker in tickers:
        bars = subject.bars[ticker]
        rows = BarRows(
            ticker=ticker,
            times=bars.index.to_numpy().astype("datetime64[ns]"),
            bars=data.bars,
            source=subject.source,
            lead=made.lead,
            horizon=made.horizon,
        )
        for name, node in made.nodes.items():
            proof = getattr(node, "not_proved", None)
            if proof is not None and (reason := proof(rows)) is not None:
                raise LeakError(f"covariate {name}: {reason}")
        cuts += _prefixes(subject, ticker, bars)
    past = [name for name, node in made.nodes.items() if node.kind == "past"]
    named = f"{len(made.columns)} columns, {cuts} cuts, {len(tickers)} ticker(s)"
    return f"{named}; known in time: {', '.join(past)}" if past else named


def _built(subject: Subject) -> Covariates:
    """The config's covariates, built anew."""
    data = subject.original
    return build_covariates(subject.config, lead=data.target.lead, horizon=data.horizon)


def _prefixes(subject: Subject, ticker: str, bars: pd.DataFrame) -> int:
    """Compare at an even spread of cuts; how many."""
    data = subject.original
    columns = list(data.covariates.columns)

    def values(table: pd.DataFrame) -> pd.DataFrame:
        return _built(subject).attach(ticker, table, bars=data.bars, source=subject.source)[columns]

    whole = values(bars)
    cuts = np.unique(np.linspace(len(bars) // 2, len(bars) - 2, _CUTS).astype(int))
    for cut in cuts:
        prefix = values(bars.iloc[: cut + 1])
        a, b = whole.iloc[: cut + 1].to_numpy(), prefix.to_numpy()
        wrong = np.argwhere(~((a == b) | (np.isnan(a) & np.isnan(b))))
        if len(wrong):
            row, column = wrong[0]
            raise LeakError(
                f"covariate {columns[column]} of {ticker} on {data.bars.text(bars.index[row].to_datetime64())} is "
                f"{a[row, column]:g}, but {b[row, column]:g} when no bar after "
                f"{data.bars.text(bars.index[cut].to_datetime64())} is known: it looks ahead"
            )
    return len(cuts)
