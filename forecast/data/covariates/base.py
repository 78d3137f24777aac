"""What a class must have to be a covariate, and how a run's covariates are put beside its bars.

A covariate is one of three kinds:

    past     a series of its own (another ticker, a column of a file): of each bar the latest value that was known
             before the forecast was made
    ahead    known beforehand (the calendar, holidays, announced events): of each bar one value for every bar forecast
    static   a property of the ticker (its sector): the same at every bar

Its values stand as further columns of the bar table, and from there go the way of the features: into the panel, the
scaler and the windows. A bar without a value is a gap, which no window spans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from forecast.errors import SourceError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.bars import Source
    from forecast.data.timing import Bars

    Times = NDArray[Any]  # datetime64[ns]

Kind = Literal["past", "ahead", "static"]
_LARGEST = 3.4e38  # that a 32-bit float holds


@dataclass(frozen=True)
class BarRows:
    """The bars of one ticker that a covariate is wanted for.

    Args:
        ticker: whose bars they are.
        times: (bars,) of the bars, ascending.
        bars: what they span, when they are known, which come next.
        source: the run's.
        lead: bars between each bar and the first that is forecast from it, see Target.lead.
        horizon: bars that are forecast.
    """

    ticker: str
    times: Times
    bars: Bars
    source: Source
    lead: int = 0
    horizon: int = 1

    @cached_property
    def ahead(self) -> Times:
        """(bars, horizon + 1) the times of the bars that are forecast from each bar, and before them of the bar that
        they follow: as the calendar planned them, never read from later bars.
        """
        following = self.bars.planned.next_times(self.times, self.lead + self.horizon)
        return np.concatenate((self.times[:, None], following), axis=1)[:, self.lead :]

    @cached_property
    def known(self) -> Times:
        """(bars,) the moment, in UTC, at which each bar is complete and its forecast is made.

        Where the calendar does not tell, the bar's day in UTC begins: earlier than any session of that day closes.
        """
        found = self.bars.known_times(self.times)
        return np.where(np.isnat(found), self.times, found)


class Covariate(Protocol):
    """One node of `data.covariates`."""

    @property
    def kind(self) -> Kind:
        """Past, ahead or static."""
        ...

    @property
    def label(self) -> str:
        """What its columns are called where the config gives it no name."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """Names of its columns; one of "" stands for the covariate's own name."""
        ...

    def values(self, rows: BarRows) -> NDArray[np.float64]:
        """What is known of it at each bar; NaN where a bar is to be left out.

        Args:
            rows: the bars.

        Returns:
            (bars, columns); of kind `ahead` (bars, horizon, columns).

        Raises:
            UserError: it cannot be had, or its policy refuses what there is.
        """
        ...


class Covariates:
    """The covariates of a run, and their columns; `notes` says what was understood of those that say it (`note`), and
    `unproved` what is not shown to have been known in time (`not_proved`).

    Args:
        nodes: name -> covariate, or a list of them; None = none.
        lead: see BarRows.
        horizon: bars that are forecast.

    Raises:
        UserError: two columns of the same name.
    """

    def __init__(
        self, nodes: Mapping[str, Any] | Sequence[Any] | None, *, lead: int = 0, horizon: int = 1
    ) -> None:
        self.nodes: dict[str, Covariate] = _named(nodes or {})
        # By the config's keys: names, or places in a list.
        self.by_key = self.nodes
        if isinstance(nodes, Sequence):
            self.by_key = {str(place): node for place, node in enumerate(nodes)}
        self.lead = lead
        self.horizon = horizon
        self.notes: dict[str, str] = {}  # name -> what was understood of it, of the first ticker
        self.unproved: dict[
            str, str
        ] = {}  # name -> where it is taken for known and nothing shows it, likewise
        # Name -> the step it is of, from 1; None where it is of none.
        self.columns: dict[str, int | None] = {}
        for name, node in self.nodes.items():
            lacks = [part for part in ("kind", "columns", "values") if not hasattr(node, part)]
            if lacks:
                raise UserError(
                    f"data.covariates.{name}: {type(node).__name__} is no covariate, it has no {', '.join(lacks)}; see "
                    "docs/extending.md"
                )
            try:
                columns = self._columns(name, node)
            except UserError as error:
                raise UserError(f"data.covariates.{name}: {error}") from error
            for column, step in columns:
                if column in self.columns:
                    raise UserError(f"data.covariates.{name}: a second column {column}; name it otherwise")
                self.columns[column] = step

    def __len__(self) -> int:
        return len(self.nodes)

    def _columns(self, name: str, node: Covariate) -> list[tuple[str, int | None]]:
        names = [f"{name}.{column}" if column else name for column in node.columns]
        if node.kind != "ahead":
            return [(column, None) for column in names]
        return [(f"{column}+{step}", step) for step in range(1, self.horizon + 1) for column in names]

    def attach(self, ticker: str, table: pd.DataFrame, *, bars: Bars, source: Source) -> pd.DataFrame:
        """A ticker's bars with the covariates as further columns.

        Raises:
            UserError: a covariate cannot be had, or its policy refuses what there is.
        """
        import pandas as pd

        if not self.nodes or table.empty:
            return table
        rows = BarRows(
            ticker=ticker,
            times=table.index.to_numpy().astype("datetime64[ns]"),
            bars=bars,
            source=source,
            lead=self.lead,
            horizon=self.horizon,
        )
        found = [self._values(name, node, rows) for name, node in self.nodes.items()]
        beside = pd.DataFrame(
            np.concatenate(found, axis=1), index=table.index, columns=pd.Index(self.columns)
        )
        return pd.concat([table, beside], axis=1)

    def _values(self, name: str, node: Covariate, rows: BarRows) -> NDArray[np.float64]:
        """(bars, columns) of one covariate; errors name its key."""
        try:
            values = np.asarray(node.values(rows), np.float64)
            if name not in self.notes and (note := getattr(node, "note", None)) is not None:
                self.notes[name] = note(rows)
                if (proof := getattr(node, "not_proved", None)) is not None and (doubt := proof(rows)):
                    self.unproved[name] = f"data.covariates.{name}: {doubt}"
        except SourceError as error:
            named = SourceError(f"data.covariates.{name}: {error}")
            named.may_pass = error.may_pass
            raise named from error
        except UserError as error:
            raise UserError(f"data.covariates.{name}: {error}") from error
        steps = (self.horizon,) if node.kind == "ahead" else ()
        wanted = (len(rows.times), *steps, len(node.columns))
        if values.shape != wanted:
            raise UserError(
                f"data.covariates.{name}: {type(node).__name__}.values gave {values.shape}, wanted {wanted}"
            )
        if (np.abs(values) > _LARGEST).any():
            raise UserError(
                f"data.covariates.{name}: {rows.ticker}: holds a value of {np.nanmax(np.abs(values)):g}, more than a "
                "32-bit float holds"
            )
        return values.reshape(len(rows.times), -1)


def _named(nodes: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Covariates by name; those of a list by what they say of themselves."""
    if isinstance(nodes, Mapping):
        return {str(name): node for name, node in nodes.items() if node is not None}
    named: dict[str, Any] = {}
    for node in nodes:
        label = name = str(getattr(node, "label", "covariate"))
        number = 2
        while name in named:
            name, number = f"{label}{number}", number + 1
        named[name] = node
    return named
