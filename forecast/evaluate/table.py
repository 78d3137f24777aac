"""The forecast table: one row a window and step; every figure of an evaluation is a function of it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast.model.forecaster import forecast_in_unit

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from forecast.data.market import MarketData
    from forecast.data.panel import Panel
    from forecast.data.target import Target
    from forecast.data.windows import WindowBatch
    from forecast.model.forecaster import Forecaster
    from forecast.model.intervals import SharesOf

    Column = NDArray[np.float64]
    Index = NDArray[np.integer[Any]]

# Rows that a function looks at together: few enough that its scratch arrays are small beside a large panel.
BLOCK_ROWS = 2**16
# Windows that are gathered and forecast together, at most so many bytes and so many windows.
_GATHERED_BYTES, _GATHERED_WINDOWS = 4 * 2**20, 65_536
# Bytes of a panel from which a run returns freed memory to the system between its stages.
_LARGE_PANEL = 16 * 2**20


@dataclass(frozen=True, eq=False)
class PanelKeys:
    """What a row is and its actual value, looked up in the panel rather than stored.

    Args:
        panel: the run's bars.
        target: what is forecast.
        column: of the panel that holds its values.
        rows: (rows,) panel row of the last bar known.
        step: (rows,) 1 .. horizon.
    """

    panel: Panel
    target: Target
    column: int
    rows: NDArray[np.int32]
    step: NDArray[np.int16]

    def take(self, index: Any) -> PanelKeys:
        """Some rows."""
        return replace(self, rows=self.rows[index], step=self.step[index])

    @cached_property
    def series(self) -> NDArray[np.int32]:
        """(rows,) place of the ticker among the names."""
        return (np.searchsorted(self.panel.first_rows, self.rows, side="right") - 1).astype(np.int32)

    @property
    def origin(self) -> NDArray[np.int32]:
        """(rows,) when the forecast was made, a position in the calendar."""
        return self.panel.times[self.rows]

    @property
    def time(self) -> NDArray[np.int32]:
        """(rows,) the bar that is forecast, a position in the calendar."""
        return self.panel.times[self._ahead]

    @cached_property
    def actual(self) -> Column:
        """(rows,) the actual values."""
        return self.target.in_unit(self.panel.values[self._ahead, self.column].astype(np.float64))

    @cached_property
    def naive(self) -> Column:
        """(rows,) the forecast that needs no model."""
        return self.target.naive(self.panel.values[self.rows, self.column].astype(np.float64)[:, None])

    @property
    def _ahead(self) -> NDArray[np.int32]:
        """(rows,) panel row of the bar that is forecast."""
        return self.rows + (self.step + np.int32(self.target.lead))

    def ascending(self) -> bool:
        """Whether each row comes after the one before it, by series, origin and step."""
        ahead = np.diff(self.rows)
        return bool(((ahead > 0) | ((ahead == 0) & (np.diff(self.step) > 0))).all())

    def cuts(self, most: int) -> list[int]:
        """Where blocks of whole series, of about `most` rows each, begin and end; of ascending rows."""
        first = np.searchsorted(self.rows, self.panel.first_rows)  # (series + 1,)
        cuts = [0]
        while cuts[-1] < len(self.rows):
            place = int(np.searchsorted(first, cuts[-1] + most, side="right")) - 1
            stop = int(first[max(place, 0)])
            if stop <= cuts[-1]:  # one series has more
                stop = int(first[np.searchsorted(first, cuts[-1], side="right")])
            cuts.append(stop)
        return cuts


@dataclass(frozen=True, eq=False)
class GivenKeys:
    """The columns of PanelKeys, given as arrays."""

    series: Index
    origin: Index
    time: Index
    step: Index
    actual: Column
    naive: Column

    def take(self, index: Any) -> GivenKeys:
        """Some rows."""
        return GivenKeys(*(getattr(self, item.name)[index] for item in fields(self)))

    def ascending(self) -> bool:
        """Whether each row comes after the one before it, by series, origin and step."""
        by_series, by_origin, by_step = (np.diff(key) for key in (self.series, self.origin, self.step))
        later = (by_origin > 0) | ((by_origin == 0) & (by_step > 0))
        return bool(((by_series > 0) | ((by_series == 0) & later)).all())

    def cuts(self, most: int) -> list[int]:  # noqa: ARG002
        """One block."""
        return [0, len(self.series)]


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastTable:
    """Forecasts of a split beside actual and naive values; a window's steps side by side.

    Args:
        names: tickers, in the order that `series` counts.
        horizon: steps forecast at once.
        split: `train`, `val` or `test`.
        keys: what the rows are.
        forecast: (rows,) float64, in the target's unit.
        fold: (rows,) number of the fold; None = one fold.
        quantiles: (rows, levels), of a network that answers with quantiles.
        baselines: name -> (rows,) what each baseline forecast; NaN where it gave none.
        quantile_levels: of the quantiles, ascending; None without any.
        spread: (rows,) how far the next bar may move, by a volatility forecast; None = unknown.
        scale: (series,) mean one-step naive error in training, the unit of MASE; None = unknown.
        train_mean: (folds, series) mean of the training rows of each fold, in the unit; None = unknown.
        relative: whether moves are measured as a share of the naive forecast, as those of prices are.
        units: of such moves, in words.
        losses: in which forecasts are compared, see Target.losses.
    """

    names: Sequence[str]
    horizon: int
    split: str
    keys: PanelKeys | GivenKeys
    forecast: Column
    fold: NDArray[np.int16] | None = None
    quantiles: Column | None = None
    baselines: Mapping[str, Column] = field(default_factory=dict)
    quantile_levels: Sequence[float] | None = None
    spread: NDArray[np.float32] | None = None
    scale: Column | None = None
    train_mean: Column | None = None
    relative: bool = True
    units: str = "share of the last close"
    losses: tuple[str, ...] = ("squared", "absolute")

    def __len__(self) -> int:
        return len(self.forecast)

    @property
    def logs(self) -> bool:
        """Whether forecasts are compared in logs, in which their moves are then measured too."""
        return "log" in self.losses

    @property
    def shares_of(self) -> SharesOf:
        """What a residual is measured in shares of, so that those of all levels compare."""
        if "log_loss" in self.losses:
            return "chance"
        return "naive" if self.relative else "forecast" if self.logs else "unit"

    @property
    def series(self) -> Index:
        """(rows,) index into names."""
        return self.keys.series

    @property
    def ticker(self) -> NDArray[np.object_]:
        """(rows,) names."""
        return np.asarray(self.names, dtype=object)[self.keys.series]

    @property
    def time(self) -> Index:
        """(rows,) the bar that is forecast, a position in the calendar."""
        return self.keys.time

    @property
    def origin(self) -> Index:
        """(rows,) the last bar known when the forecast was made, a position in the calendar."""
        return self.keys.origin

    @property
    def step(self) -> Index:
        """(rows,) 1 .. horizon."""
        return self.keys.step

    @property
    def actual(self) -> Column:
        """(rows,) the actual values, in the target's unit."""
        return self.keys.actual

    @property
    def naive(self) -> Column:
        """(rows,) the forecast that needs no model, such as "as the last one", in the target's unit."""
        return self.keys.naive

    def overlap(self, step: int | None = None) -> int:
        """Bars that a forecast reaches ahead: the errors of so many origins one after the other share bars.

        Args:
            step: of the forecasts; None = of the furthest step.
        """
        lead = self.keys.target.lead if isinstance(self.keys, PanelKeys) else 0
        return (step or self.horizon) + lead

    def take(self, index: Any) -> ForecastTable:
        """Some rows: a slice, a mask or numbers."""
        columns: dict[str, Any] = {}
        for name in ("forecast", "fold", "quantiles", "spread"):
            column = getattr(self, name)
            columns[name] = None if column is None else column[index]
        return replace(
            self,
            keys=self.keys.take(index),
            **columns,
            baselines={name: values[index] for name, values in self.baselines.items()},
        )

    def of(self, name: str) -> ForecastTable:
        """The table of a baseline, or of `naive`, in the place of the forecasts."""
        # of a copy of the keys, which otherwise keep what was looked up
        forecast = self.keys.take(slice(None)).naive if name == "naive" else self.baselines[name]
        return replace(self, forecast=forecast, quantiles=None, quantile_levels=None, baselines={})

    def first_steps(self) -> ForecastTable:
        """The rows one step ahead, as a table of horizon 1."""
        one = self if self.horizon == 1 else self.take(np.flatnonzero(self.step == 1))
        return replace(one, horizon=1)

    def ordered(self) -> ForecastTable:
        """Series by series, oldest origin first, steps side by side, each row once.

        A row that stands there twice, as where the validation rows of folds overlap, counts as forecast last.
        """
        if self.keys.ascending():
            return self
        keys = (self.keys.step, self.keys.origin, self.keys.series)
        order = np.lexsort(keys)
        again = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
        return self.take(order[np.append(~again, True)] if len(order) else order)

    def blocks(self, most: int = BLOCK_ROWS) -> Iterator[ForecastTable]:
        """Whole series at a time, about `most` rows each; of an ordered table. Together they are all rows."""
        if len(self) <= most:
            yield self
            return
        cuts = self.keys.cuts(most)
        for first, stop in pairwise(cuts):
            yield self.take(slice(first, stop))

    def total(self, values: Callable[[ForecastTable], Column]) -> float:
        """The sum over all rows of a function of the columns.

        Args:
            values: of a block of rows, (rows,).
        """
        return float(sum(float(np.sum(values(block))) for block in self.blocks()))


def join(pieces: Sequence[ForecastTable]) -> ForecastTable:
    """Tables of one split below each other; a baseline that is missing in one of them is NaN there."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]

    def joined(things: Sequence[Any], *names: str) -> dict[str, Any]:
        columns = {name: [getattr(thing, name) for thing in things] for name in names}
        return {name: None if found[0] is None else np.concatenate(found) for name, found in columns.items()}

    keys = [piece.keys for piece in pieces]
    columns = (
        ("rows", "step") if isinstance(first.keys, PanelKeys) else [item.name for item in fields(GivenKeys)]
    )
    return replace(
        first,
        keys=replace(first.keys, **joined(keys, *columns)),
        **joined(pieces, "forecast", "fold", "quantiles", "spread"),
        baselines={
            name: np.concatenate([piece.baselines.get(name, np.full(len(piece), np.nan)) for piece in pieces])
            for name in dict.fromkeys(name for piece in pieces for name in piece.baselines)
        },
        train_mean=pieces[-1].train_mean,
    )


def from_frame(frame: pd.DataFrame, *, split: str, scale_from: str = "train") -> ForecastTable:
    """The rows of a split from a data frame of the columns of forecasts.parquet.

    Args:
        frame: ticker, split, step, actual, forecast, naive, and date where there is one; horizon is the largest
            step.
        split: whose rows.
        scale_from: the split over whose rows of step 1 the mean |actual - naive| is a ticker's scale, and the mean
            of the actual values its training mean.

    Raises:
        ValueError: a column is missing.
    """
    import pandas as pd

    missing = [
        name
        for name in ("ticker", "split", "step", "actual", "forecast", "naive")
        if name not in frame.columns
    ]
    if missing:
        raise ValueError(f"forecast table without column {', '.join(missing)}")
    series, names = pd.factorize(frame["ticker"].astype(str), sort=False)
    train = ((frame["split"] == scale_from) & (frame["step"] == 1)).to_numpy()
    moved = (frame["actual"] - frame["naive"]).abs().to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        count = np.bincount(series[train], minlength=len(names))
        scale = np.bincount(series[train], moved[train], len(names)) / count
        mean = np.bincount(series[train], frame["actual"].to_numpy(np.float64)[train], len(names)) / count
    kept = (frame["split"] == split).to_numpy()
    rows = frame[kept]
    horizon = int(frame["step"].max()) if len(frame) else 1
    step = rows["step"].to_numpy(np.int64)
    dates = rows["date"] if "date" in rows else pd.Series(np.arange(len(rows)) // horizon)
    time = pd.factorize(dates, sort=True)[0]
    return ForecastTable(
        names=list(names),
        horizon=horizon,
        split=split,
        keys=GivenKeys(
            series=series[kept],
            origin=time - step,
            time=time,
            step=step,
            actual=rows["actual"].to_numpy(np.float64),
            naive=rows["naive"].to_numpy(np.float64),
        ),
        forecast=rows["forecast"].to_numpy(np.float64),
        scale=scale,
        train_mean=mean[None],
    )


def release_memory(panel: Panel) -> None:
    """Between two stages of a run, hand what the one freed back to the system, so that it does not add to the next.

    The C library keeps freed arrays of up to 32 MiB for others that fit, which few do; of the C libraries only glibc
    can be asked for them. Cycles of references, as Lightning's are, first keep theirs.

    Args:
        panel: the run's bars; where they are few there is nothing worth the time.
    """
    if panel.values.nbytes < _LARGE_PANEL:
        return
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def forecast_pieces(
    forecaster: Forecaster, data: MarketData, split: str
) -> Iterator[tuple[WindowBatch, ForecastTable]]:
    """Forecasts of every window of a split, in order, some windows at a time.

    Args:
        forecaster: fitted.
        data: split.
        split: which.
    """
    windows = data.windows_[split]
    size = 4 * (data.seq_len + data.horizon) * data.panel_.values.shape[1]
    most = max(1, min(_GATHERED_WINDOWS, _GATHERED_BYTES // size))
    for start in range(0, len(windows), most):
        batch = windows.take(np.arange(start, min(start + most, len(windows))))
        found = forecast_in_unit(forecaster, batch, data.target)
        yield batch, table_of(data, split, rows=batch.rows, forecast=found.values, quantiles=found.quantiles)


def table_of(
    data: MarketData,
    split: str,
    *,
    rows: Index,
    forecast: Column,
    quantiles: Column | None = None,
    fold: int | None = None,
    baselines: Mapping[str, Column] | None = None,
) -> ForecastTable:
    """The table of some windows of a run.

    Args:
        data: split.
        split: which of its splits they belong to.
        rows: (windows,) panel row of each window's last bar.
        forecast: (windows, horizon) in the target's unit, or with steps side by side (rows,).
        quantiles: (windows, horizon, levels), or (rows, levels).
        fold: number of the fold; None = there is one fold.
        baselines: name -> like forecast.
    """
    steps = np.arange(1, data.horizon + 1, dtype=np.int16)
    relative = data.target.relation == "ratio"
    count = len(rows) * data.horizon
    return ForecastTable(
        names=data.panel_.names,
        horizon=data.horizon,
        split=split,
        keys=PanelKeys(
            panel=data.panel_,
            target=data.target,
            column=data.layout.target,
            # no copy where there is nothing to repeat
            rows=rows.astype(np.int32, copy=False)
            if data.horizon == 1
            else np.repeat(rows.astype(np.int32), data.horizon),
            step=np.tile(steps, len(rows)),
        ),
        forecast=np.ascontiguousarray(forecast, np.float64).reshape(count),
        fold=None if fold is None else np.full(count, fold, np.int16),
        quantiles=None if quantiles is None else quantiles.reshape(count, -1),
        baselines={name: values.reshape(count) for name, values in (baselines or {}).items()},
        scale=data.naive_scale_,
        train_mean=data.train_mean_[None],
        relative=relative,
        units=f"share of the last {data.target.name}" if relative else data.target.unit,
        losses=data.target.losses,
    )
