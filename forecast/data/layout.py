"""Bars of one or several tickers to the series a panel is made of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from forecast.data.calendars import calendar_of, closing_times
from forecast.data.features import PRICE, Features, Relation
from forecast.data.panel import Series
from forecast.data.target import Target
from forecast.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

Scope = Literal["single", "multiple", "panel"]


@dataclass(frozen=True)
class Layout:
    """The columns of a panel: the network's inputs first, then what stands behind them (see `behind`)."""

    names: list[str]
    relations: list[Relation]  # of the inputs
    closes: list[int]  # of each input, the column of its ticker's Close, which prices are measured by
    target: int  # column of what is forecast
    bar_values: int  # column of its values of each bar alone; the same one where those are what is forecast

    # Columns of covariates, among the inputs, and the step each is of, from 1; None where it is of none.
    covariates: dict[int, int | None] = field(default_factory=dict)

    @property
    def close(self) -> int:
        """Column of the Close of the ticker that is forecast."""
        return self.closes[0]

    def covariates_of(self, step: int) -> list[int]:
        """The columns of covariates that say something about a step, from 1."""
        return [column for column, own in self.covariates.items() if own in (None, step)]


def behind(features: Features, target: Target | None) -> list[str]:
    """Columns of a ticker that the network does not see: its price and the target, which other forecasters look at.

    Args:
        features: the strategy's.
        target: what is forecast; None of a ticker that only stands beside.
    """
    wanted = dict.fromkeys((PRICE, *(() if target is None else (target.column, target.bar_column))))
    return [name for name in wanted if name is not None and name not in features.columns]


def layout(
    features: Features,
    *,
    target: Target,
    tickers: Sequence[str] | None,
    covariates: Mapping[str, int | None] | None = None,
) -> Layout:
    """Columns of a series.

    Args:
        features: the strategy's.
        target: what is forecast.
        tickers: side by side in one series, the target's first; None for one ticker a series.
        covariates: columns of covariates, and the step each is of, see Covariates.columns.

    Raises:
        UserError: no columns, or a relation that is none; a covariate that is called as a feature is.
    """
    columns = dict(features.columns)
    who = f"data.features={type(features).__name__}"
    if not columns:
        raise UserError(f"{who}: has no columns; name at least one, with its relation")
    for column, relation in columns.items():
        if relation not in get_args(Relation):
            raise UserError(
                f"{who}: {column} is {relation!r}; must be one of {', '.join(get_args(Relation))}"
            )
    blocks = [f"{ticker}." for ticker in tickers] if tickers else [""]
    names = [block + column for block in blocks for column in columns]
    relations = [relation for _ in blocks for relation in columns.values()]
    steps = covariates or {}
    for name in steps:
        if name in names or name in behind(features, target):
            raise UserError(f"data.covariates: {name} is what a feature is called; name it otherwise")
    places: dict[int, int | None] = {len(names) + place: step for place, step in enumerate(steps.values())}
    names += steps
    relations += ["free"] * len(steps)
    for number, block in enumerate(blocks):
        names += [block + column for column in behind(features, None if number else target)]
    closes = [names.index(block + PRICE) for block in blocks for _ in columns]
    closes += [closes[0]] * len(steps)
    return Layout(
        names=names,
        relations=relations,
        closes=closes,
        target=names.index(blocks[0] + target.column),
        bar_values=names.index(blocks[0] + (target.bar_column or target.column)),
        covariates=places,
    )


def anchors(layout: Layout, target: Target) -> tuple[list[int], list[int]]:
    """Columns by which anchored windows are divided, which must be above 0, and whose logarithm is taken, 0 or more."""
    prices = {
        close
        for close, relation in zip(layout.closes, layout.relations, strict=True)
        if relation in ("price", "spread") or target.positive
    }
    amounts = [number for number, relation in enumerate(layout.relations) if relation == "amount"]
    return sorted(prices | ({layout.target} if target.positive else set())), amounts


def rows(
    features: Features, bars: pd.DataFrame, target: Target | None = None, *, covariates: Sequence[str] = ()
) -> pd.DataFrame:
    """Features of one ticker, its covariates and what stands behind; a row that no window may use holds a NaN.

    Args:
        features: the strategy's.
        bars: of the ticker, with its covariates as further columns.
        target: what is forecast; None of a ticker that only stands beside.
        covariates: those columns.

    Raises:
        UserError: the strategy gave other rows or columns than it declared.
    """
    beside = bars[list(covariates)] if covariates else None
    if beside is not None:
        bars = bars.drop(columns=beside.columns)
    table = features.compute(bars)
    wanted = list(features.columns)
    if list(table.columns) != wanted or not table.index.equals(bars.index):
        raise UserError(
            f"data.features={type(features).__name__}: compute() must keep the bars' rows and give the columns "
            f"{wanted}, got {len(table)} rows for {len(bars)} bars and {list(table.columns)}"
        )
    if beside is not None:
        table = table.assign(**{str(name): beside[name] for name in beside.columns})
    extra = {}
    for name in behind(features, target):
        if target is not None and name == target.column:
            extra[name] = target.values(bars)
        elif target is not None and name == target.bar_column:
            extra[name] = target.bar_values(bars)
        else:
            extra[name] = bars[PRICE]
    return table.assign(**extra) if extra else table


def side_by_side(
    tables: Mapping[str, pd.DataFrame], columns: int, *, covariates: int = 0
) -> tuple[pd.Index, np.ndarray]:
    """Join tickers on their common dates, each as it was known when the first one's session closed.

    A ticker whose exchange closes later (New York beside a target in Tokyo), or at a time that its ending does not
    tell, is joined one bar later: a date holds its bar before.

    Args:
        tables: ticker -> rows as `rows` makes them, the target's first.
        columns: inputs of a ticker; they stand first for all tickers, what is behind them follows.
        covariates: of the target's ticker alone, after its inputs; they stand between the two.

    Returns:
        dates, and (dates, columns) float32.
    """
    common = None
    for table in tables.values():
        common = table.index if common is None else common.intersection(table.index)
    assert common is not None
    target = next(iter(tables))
    aligned = []
    for ticker, table in tables.items():
        values = np.array(table.loc[common], np.float32)
        later = closes_later(ticker, target, common.to_numpy())
        if later.any():
            values[later] = table.shift(1).loc[common].to_numpy(np.float32)[later]
        aligned.append(values)
    inputs, more = [a[:, :columns] for a in aligned], [a[:, columns:] for a in aligned]
    beside, more[0] = more[0][:, :covariates], more[0][:, covariates:]
    return common, np.concatenate([*inputs, beside, *more], axis=1)


def closes_later(ticker: str, target: str, dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """(dates,) where a ticker's bar is not known to be finished when the target's session closes."""
    if not may_close_later(ticker, target):
        return np.zeros(len(dates), bool)
    ours, theirs = calendar_of(target), calendar_of(ticker)
    if ours is None or theirs is None:
        return np.ones(len(dates), bool)
    try:
        known = closing_times(theirs, dates) <= closing_times(ours, dates)  # never of NaT
    except UserError:  # a calendar that this version of the library cannot build
        return np.ones(len(dates), bool)
    return ~known


def may_close_later(ticker: str, target: str) -> bool:
    """Whether two tickers may be of different exchanges; tickers of the same unknown ending are of the same one."""
    ours, theirs = calendar_of(target), calendar_of(ticker)
    if ours is None and theirs is None:
        return ticker != target and ticker.rpartition(".")[1:] != target.rpartition(".")[1:]
    return ours != theirs


def bars_before_join(tickers: Sequence[str]) -> int:
    """Bars that `side_by_side` needs before the first row it is to give."""
    return int(any(may_close_later(ticker, tickers[0]) for ticker in tickers))


def all_series(
    bars: Iterable[tuple[str, pd.DataFrame]],
    *,
    features: Features,
    scope: Scope,
    target: Target,
    covariates: Sequence[str] = (),
) -> Iterator[Series]:
    """The series of a run, one ticker's bars in memory at a time (`multiple` needs them together).

    Args:
        bars: of each ticker, with its covariates as further columns; side by side, those of the first.
        features: the strategy's.
        scope: the strategy's.
        target: what is forecast.
        covariates: those columns.
    """
    if scope == "multiple":
        tables: dict[str, pd.DataFrame] = {}
        for ticker, table in bars:
            tables[ticker] = rows(
                features, table, None if tables else target, covariates=() if tables else covariates
            )
        first = next(iter(tables))
        late = [ticker for ticker in tables if may_close_later(ticker, first)]
        if late:
            log.info(
                "%s: joined to %s as known at its close; a bar that closes later is joined one bar later",
                ", ".join(late),
                first,
            )
        dates, values = side_by_side(tables, len(features.columns), covariates=len(covariates))
        if not len(dates):
            raise UserError(
                f"data.tickers={list(tables)}: have no date in common; data=..._panel does not need one"
            )
        yield Series(name=next(iter(tables)), times=times_of(dates), values=values)
        return
    for ticker, table in bars:
        frame = rows(features, table, target, covariates=covariates)
        yield Series(name=ticker, times=times_of(table.index), values=frame.to_numpy(np.float32))


def times_of(index: pd.Index) -> np.ndarray:
    """(bars,) datetime64[ns]."""
    return index.to_numpy().astype("datetime64[ns]")
