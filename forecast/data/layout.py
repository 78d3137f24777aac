"""Bars of one or several tickers to the series a panel is made of."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from forecast.data.calendars import calendar_of
from forecast.data.features import PRICE, Features, Relation, for_market
from forecast.data.panel import Series
from forecast.data.target import Target
from forecast.data.timing import Bars
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
    """Columns of a ticker that the network does not see: its price and the target, which other forecasters look at."""
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
    features: Features,
    bars: pd.DataFrame,
    target: Target | None = None,
    *,
    covariates: Sequence[str] = (),
    market: Bars | None = None,
) -> pd.DataFrame:
    """Features of one ticker, its covariates and what stands behind; a row that no window may use holds a NaN.

    Args:
        features: the strategy's.
        bars: of the ticker, with its covariates as further columns.
        target: what is forecast; None of a ticker that only stands beside.
        covariates: those columns.
        market: what the bars are, for features that look at the calendar; None = as the features know it.

    Raises:
        UserError: the strategy gave other rows or columns than it declared.
    """
    beside = bars[list(covariates)]
    if covariates:
        bars = bars.drop(columns=beside.columns)
    table = for_market(features, market).compute(bars)
    wanted = list(features.columns)
    if list(table.columns) != wanted or not table.index.equals(bars.index):
        raise UserError(
            f"data.features={type(features).__name__}: compute() must keep the bars' rows and give the columns "
            f"{wanted}, got {len(table)} rows for {len(bars)} bars and {list(table.columns)}"
        )
    extra = {str(name): beside[name] for name in covariates}
    for name in behind(features, target):
        extra[name] = bars[PRICE]
        if target is not None and name in (target.column, target.bar_column):
            extra[name] = target.values(bars) if name == target.column else target.bar_values(bars)
    return table.assign(**extra) if extra else table


def side_by_side(
    tables: Mapping[str, pd.DataFrame],
    columns: int,
    *,
    covariates: int = 0,
    markets: Mapping[str, Bars] | None = None,
) -> tuple[pd.Index, np.ndarray]:
    """Join tickers on their common dates, each as it was known when the first one's bar was.

    A ticker whose exchange closes later (New York beside a target in Tokyo), or at a time that its ending does not
    tell, is joined one bar later: a date holds its bar before. Bars of hours, weeks and months of different markets
    have few times in common: there, each of the target's bars stands beside the last one that was known by then.

    Args:
        tables: ticker -> rows as `rows` makes them, the target's first.
        columns: inputs of a ticker; they stand first for all tickers, what is behind them follows.
        covariates: of the target's ticker alone, after its inputs; they stand between the two.
        markets: ticker -> what its bars are; None = daily bars of the exchanges that the tickers' endings name.

    Returns:
        dates, and (dates, columns) float32.
    """
    target, markets = next(iter(tables)), markets or {}
    others = {ticker for ticker in tables if markets and markets[ticker].key != markets[target].key}
    as_of = others if markets and markets[target].interval != "1d" else set()
    common = tables[target].index
    for ticker, table in tables.items():
        if ticker not in as_of:
            common = common.intersection(table.index)
    aligned = []
    for ticker, table in tables.items():
        if ticker in as_of:
            aligned.append(_as_of(table, common, markets[ticker], markets[target]))
            continue
        values = np.array(table.loc[common], np.float32)
        later = np.zeros(len(common), bool)
        if not markets:
            later = closes_later(ticker, target, common.to_numpy())
        elif ticker in others:
            known = markets[ticker].known_times(common.to_numpy())
            later = ~(known <= markets[target].known_times(common.to_numpy()))  # also where one is unknown
        if later.any():
            values[later] = table.shift(1).loc[common].to_numpy(np.float32)[later]
        aligned.append(values)
    inputs, more = [a[:, :columns] for a in aligned], [a[:, columns:] for a in aligned]
    beside, more[0] = more[0][:, :covariates], more[0][:, covariates:]
    return common, np.concatenate([*inputs, beside, *more], axis=1)


def _as_of(table: pd.DataFrame, dates: pd.Index, theirs: Bars, ours: Bars) -> np.ndarray:
    """Rows of another market, (dates, columns): the last one known when each of the target's bars was; else NaN."""
    values = table.to_numpy(np.float32)
    known = theirs.known_times(table.index.to_numpy())
    dated = ~np.isnat(known)
    values, known = values[dated], np.maximum.accumulate(known[dated])
    moments = ours.known_times(dates.to_numpy())
    place = np.where(np.isnat(moments), 0, known.searchsorted(moments, side="right")) - 1
    return np.where((place >= 0)[:, None], values[np.maximum(place, 0)], np.float32(np.nan))


def closes_later(ticker: str, target: str, dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """(dates,) where a ticker's bar is not known to be finished when the target's session closes."""
    if not may_close_later(ticker, target):
        return np.zeros(len(dates), bool)
    ours, theirs = calendar_of(target), calendar_of(ticker)
    if ours is None or theirs is None:
        return np.ones(len(dates), bool)
    try:
        known = Bars(calendar=theirs).known_times(dates) <= Bars(calendar=ours).known_times(
            dates
        )  # never of NaT
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
    markets: Mapping[str, Bars],
    by_ending: bool = True,
    within_session: bool = False,
) -> Iterator[Series]:
    """The series of a run, one ticker's bars in memory at a time (`multiple` needs them together).

    Args:
        bars: of each ticker, with its covariates as further columns; side by side, those of the first.
        features: the strategy's.
        scope: the strategy's.
        target: what is forecast.
        covariates: those columns.
        markets: ticker -> what its bars are, there by the time that the ticker is.
        by_ending: whether the tickers' endings tell when daily bars close, not `markets`.
        within_session: whether no window may reach over the border of a session.
    """

    def series(name: str, index: pd.Index, values: NDArray[np.float32]) -> Series:
        times = index.to_numpy().astype("datetime64[ns]")
        begins = markets[name].session_begins(times) if within_session else None
        return Series(name=name, times=times, values=values, begins=begins)

    if scope != "multiple":
        for ticker, table in bars:
            frame = rows(features, table, target, covariates=covariates, market=markets.get(ticker))
            yield series(ticker, table.index, frame.to_numpy(np.float32))
        return
    tables: dict[str, pd.DataFrame] = {}
    for ticker, table in bars:
        own: dict[str, Any] = {} if tables else {"target": target, "covariates": covariates}
        tables[ticker] = rows(features, table, market=markets.get(ticker), **own)
    first, known = next(iter(tables)), {} if by_ending else markets
    if late := _known_later(list(tables), known):
        what = "joined to %s as known at its close; what is known later is joined later"
        log.info(f"%s: {what}", ", ".join(late), first)
    dates, values = side_by_side(tables, len(features.columns), covariates=len(covariates), markets=known)
    if not len(dates):
        raise UserError(
            f"data.tickers={list(tables)}: have no date in common; data=..._panel does not need one"
        )
    yield series(first, dates, values)


def _known_later(tickers: Sequence[str], markets: Mapping[str, Bars]) -> list[str]:
    """Those of other markets than the first's; without `markets`, by their endings."""
    first = tickers[0]
    if markets:
        return [ticker for ticker in tickers if markets[ticker].key != markets[first].key]
    return [ticker for ticker in tickers if may_close_later(ticker, first)]
