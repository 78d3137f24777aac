"""From a source's bars to checked, split, normalised windows: the `data` node of a config."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from copy import copy, deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from forecast.data.bars import DateRange, Interval, Source
from forecast.data.covariates import Covariate, Covariates
from forecast.data.features import PRICE, Features, sessions_ahead, with_calendar
from forecast.data.health import Fault, HealthCheck
from forecast.data.layout import all_series, anchors, layout
from forecast.data.panel import Panel, build_panel
from forecast.data.reader import BarReader, TickerBars, check_reach, check_size
from forecast.data.scaler import TimeSeriesScaler
from forecast.data.split import SplitRanges, naive_error, split_by_ratio, training_mean
from forecast.data.target import Close, Target
from forecast.data.timing import Bars
from forecast.data.windows import WindowIndex
from forecast.errors import IncompatibleError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.data.normaliser import WindowNormaliser

log = logging.getLogger(__name__)

# No market has had so many sessions; a window of more would only exhaust the memory before the bars are counted.
_MOST_BARS = 100_000
# Of disagreeing calendars, on the screen; the record has all.
_MOST_WARNINGS = 5


class MarketData:
    """From bars to windows: fetched, checked, split, scaled.

    Args:
        source: where bars come from.
        tickers: names; None = all the source has.
        period: `max`, `ytd` or a number with d, wk, mo, y, back from the last bar.
        start: first day, YYYY-MM-DD, or moment, YYYY-MM-DDTHH:MM; stands instead of `period`.
        end: last day or moment.
        features: what the network sees of a ticker.
        target: what is forecast; None = target=close.
        interval: what a bar of the source spans; 1d = one session.
        calendar: of the market: `auto` finds it, `none` goes by the bars' own weekdays, or exchange_calendars' name.
            None, as configs of earlier versions have it: that of the health check.
        calendar_features: also show the calendar's view of the bars being forecast. None: of intraday bars, and where
            `calendar` is a calendar's name.
        resample: make bars of this coarser interval; None = as they are.
        within_session: windows and the bars they forecast stay inside one session; of intraday bars.
        panel_memory_mb: a larger panel lies in a temporary file that is mapped into memory.
        scope: `single` (one ticker), `multiple` (side by side, target = the first), `panel` (pooled, each its own).
        seq_len: lookback, bars a window holds.
        horizon: bars forecast at once.
        train_ratio: share of the calendar, oldest first.
        val_ratio: the share that follows; the rest is test.
        embargo: bars left out before validation and before test; None = those that a forecast reaches ahead.
        batch_size: windows a training step.
        shuffle: random order of training windows, anew each epoch.
        anchor: `last` or `none`, see normaliser.py.
        instance_norm: also put each window in units of its own spread, see normaliser.py.
        scaler: fitted on training data alone; None = no scaling.
        health: what to do about faulty bars.
        covariates: what else is known, see forecast.data.covariates; name -> covariate, or a list; None = nothing.

    Raises:
        UserError: arguments that cannot go together.
    """

    panel_: Panel
    windows_: dict[str, WindowIndex]
    split_ranges_: SplitRanges
    normaliser_: WindowNormaliser
    naive_scale_: np.ndarray
    train_mean_: np.ndarray
    fingerprint_: str
    faults_: list[Fault]
    markets_: dict[str, Bars]  # of each ticker
    why_: dict[str, str]  # of each ticker, how its calendar is known
    warnings_: list[str]  # where bars and calendar disagree

    def __init__(
        self,
        *,
        source: Source,
        features: Features,
        scope: Literal["single", "multiple", "panel"],
        target: Target | None = None,
        interval: Interval = "1d",
        tickers: list[str] | None = None,
        period: str | None = "max",
        start: str | None = None,
        end: str | None = None,
        seq_len: Annotated[int, Ge(1), Le(_MOST_BARS)] = 20,
        horizon: Annotated[int, Ge(1), Le(_MOST_BARS)] = 1,
        train_ratio: Annotated[float, Gt(0), Lt(1)] = 0.7,
        val_ratio: Annotated[float, Gt(0), Lt(1)] = 0.15,
        embargo: Annotated[int, Ge(0)] | None = None,
        batch_size: Annotated[int, Ge(1)] = 32,
        shuffle: bool = True,
        anchor: Literal["last", "none"] = "last",
        instance_norm: bool = False,
        calendar: str | None = None,
        calendar_features: bool | None = None,
        resample: Interval | None = None,
        within_session: bool = False,
        panel_memory_mb: Annotated[int, Ge(0)] = 256,
        scaler: TimeSeriesScaler | None = None,
        health: HealthCheck | None = None,
        covariates: dict[str, Covariate | None] | list[Covariate] | None = None,
    ) -> None:
        self.range = DateRange(period=period, start=start, end=end)
        self.reader = BarReader(
            source=source,
            range=self.range,
            health=health,
            interval=interval,
            calendar=calendar,
            resample=resample,
        )
        check_reach(source, interval, self.range)
        self.bars = self.reader.expected
        self.within_session = within_session
        self.panel_memory_mb = panel_memory_mb
        self.target = (target or Close()).of_bars(self.bars)
        self.source = source
        ahead = sessions_ahead(lead=self.target.lead, horizon=horizon)
        self.features = with_calendar(
            features, calendar, show=calendar_features, interval=self.bars.interval, ahead=ahead
        )
        self.scope = scope
        self.tickers = source.tickers() if tickers is None else [str(ticker) for ticker in tickers]
        self.seq_len = seq_len
        self.horizon = horizon
        self.train_ratio = train_ratio
        self.val_ratio = val_ratio
        self.embargo = self.target.lead + horizon if embargo is None else embargo
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.anchor = anchor
        self.instance_norm = instance_norm
        self.scaler = scaler
        self.health = health
        self._check_arguments()
        self.covariates = Covariates(covariates, lead=self.target.lead, horizon=horizon)
        self.layout = layout(
            self.features,
            target=self.target,
            tickers=self.tickers if scope == "multiple" else None,
            covariates=self.covariates.columns,
        )

    def _check_arguments(self) -> None:
        """Refuse arguments that cannot go together."""
        if self.train_ratio + self.val_ratio >= 1:
            raise UserError(
                f"data.train_ratio={self.train_ratio} + data.val_ratio={self.val_ratio}: must sum to less than 1, "
                "or nothing is left to test on"
            )
        if self.within_session and not self.bars.intraday:
            raise UserError(
                f"data.within_session=true: of data.interval={self.bars.interval} a session has one bar at most; use "
                "it with intraday bars"
            )
        lead = self.target.lead
        if self.embargo < lead + self.horizon:
            more = f" and the {lead} bars before it" if lead else ""
            raise UserError(
                f"data.embargo={self.embargo}: must be at least data.horizon={self.horizon}{more}, or null"
            )
        if self.instance_norm and self.seq_len < 2:
            raise UserError("data.instance_norm=true: one bar has no spread; needs data.seq_len >= 2")
        _check_tickers(self.tickers, self.scope)

    @property
    def join_by_ending(self) -> bool:
        """Whether tickers side by side are joined as their endings say, not by the calendars that were found."""
        return self.reader.calendar != "auto" and self.bars.interval == "1d"

    @property
    def facts(self) -> dict[str, int]:
        """What a model must know of the data to be built."""
        return {
            "input_size": len(self.layout.relations),
            "lookback": self.seq_len,
            "output_size": self.horizon,
        }

    def prepare(self) -> None:
        """Fetch, check, split by ratio, fit the scalers, index the windows.

        Raises:
            UserError: no such ticker, faulty bars, too few of them, prices that cannot be anchored.
        """
        self.load()
        self.split(self.ranges_by_ratio())

    def load(self) -> None:
        """Fetch and check the bars.

        Raises:
            UserError: no such ticker, faulty bars, prices that cannot be anchored.
        """
        self.panel_ = self._panel()
        self.fingerprint_ = self._digest.hexdigest()[:16]
        del self._digest  # it cannot be sent to another process
        self._check_anchors()

    def ranges_by_ratio(self) -> SplitRanges:
        """The ranges that `train_ratio`, `val_ratio` and `embargo` cut from the calendar.

        Raises:
            UserError: one of them would be empty.
        """
        try:
            return split_by_ratio(
                len(self.panel_.calendar),
                train_ratio=self.train_ratio,
                val_ratio=self.val_ratio,
                embargo=self.embargo,
                label=self.bars.label,
            )
        except UserError as error:
            raise UserError(f"{self._who()}: {error}{self._span(' or')}") from None

    def split(self, ranges: SplitRanges) -> None:
        """Split loaded bars, fit the scalers on the training range alone, index the windows.

        Args:
            ranges: split -> (first, last) position in the panel's calendar, both inclusive.

        Raises:
            UserError: a split without a single window.
        """
        from forecast.data.normaliser import fit_normaliser

        self.split_ranges_ = dict(ranges)
        self.windows_ = {
            split: WindowIndex(
                panel=self.panel_,
                layout=self.layout,
                lookback=self.seq_len,
                horizon=self.horizon,
                first=first,
                last=last,
                lead=self.target.lead,
            )
            for split, (first, last) in ranges.items()
        }
        for split, windows in self.windows_.items():
            if not len(windows):
                raise UserError(
                    f"{self._who()}: {len(self.panel_.calendar)} {self.bars.label}s leave no {split} window of "
                    f"data.seq_len={self.seq_len} and data.horizon={self.horizon}{self._span()}: {self._way_out()}"
                )
        if self.target.relation == "probability":
            self._check_outcomes(self.windows_["train"])
        self.normaliser_ = fit_normaliser(
            self.windows_["train"],
            self.layout,
            anchor=self.anchor,
            instance_norm=self.instance_norm,
            scaler=self.scaler,
            rows=ranges["train"],
            target_relation=self.target.relation,
        )
        self.naive_scale_ = naive_error(
            self.panel_, rows=ranges["train"], target=self.target, column=self.layout.target
        )
        self.train_mean_ = training_mean(self.windows_["train"], target=self.target)

    def _check_outcomes(self, train: WindowIndex) -> None:
        """Refuse to learn a probability from outcomes that are all the same."""
        column = self.layout.target
        rows = [
            self.panel_.values[first + self.target.lead + 1 : stop + self.target.lead + 1, column]
            for _, first, stop in train.runs()
        ]
        low, high = min(float(own.min()) for own in rows), max(float(own.max()) for own in rows)
        if low == high:
            raise UserError(
                f"{self._who()}: target={self.target.name}: every training {self.bars.label} has the outcome {low:g}, "
                "so there is nothing to tell apart; ask for other dates or another target"
            )

    def with_split(self, ranges: SplitRanges) -> MarketData:
        """The same loaded bars, split otherwise; this one stays as it is."""
        other = copy(self)
        other.scaler = deepcopy(self.scaler)
        other.split(ranges)
        return other

    def _panel(self) -> Panel:
        """All series; made anew without the tickers whose bars end early, where the policy is to drop them."""
        self.faults_ = []
        self._digest = hashlib.sha256()
        self.markets_, self.why_, self.warnings_ = {}, {}, []
        self._last_dates: dict[str, pd.Timestamp] = {}
        bars = self._bars()
        first = next(bars)  # says what the bars are, and so how many make a year
        series = all_series(
            chain([first], bars),
            features=self.features,
            scope=self.scope,
            target=self.target,
            covariates=list(self.covariates.columns),
            markets=self.markets_,
            by_ending=self.join_by_ending,
            within_session=self.within_session,
        )
        panel = build_panel(
            series, num_columns=len(self.layout.names), most_memory=self.panel_memory_mb * 2**20
        )
        if self._left_out:
            del panel
            dropped = [fault for fault in self.faults_ if fault.kind == "ends_early"]
            self.tickers = [ticker for ticker in self.tickers if ticker not in self._left_out]
            panel = self._panel()
            self.faults_ += dropped
        elif not len(panel.calendar):
            raise UserError(
                f"{self._who()}: each row of data.features={type(self.features).__name__}{self._span()} holds a NaN; "
                f"ask for a longer data.period{self._span(' or a shorter')}, or mend the source"
            )
        return panel

    def _bars(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Checked bars of each ticker in the run's range, every one of them in the fingerprint."""
        for ticker in self.tickers:
            whole = self.source.bars(ticker)
            bars = self.reader.cut(ticker, whole)
            if bars.empty:
                raise UserError(
                    f"{ticker}: no bars in {self.range.text}; it has {len(whole)}, "
                    f"from {self.bars.text(whole.index.min())} to {self.bars.text(whole.index.max())}"
                )
            prepared = self.reader.prepare(ticker, bars, whole)
            bars = prepared.table
            self.faults_ += prepared.faults
            self._note(ticker, prepared)
            values = bars.to_numpy("float64")
            check_size(ticker, bars, values, self.bars)
            self._last_dates[ticker] = bars.index[-1]
            self._check_target(ticker, bars)
            self._digest.update(ticker.encode())
            unit = "ns" if self.bars.intraday else "D"
            self._digest.update(bars.index.to_numpy().astype(f"datetime64[{unit}]").tobytes())
            self._digest.update(values.tobytes())
            if self.covariates and (self.scope != "multiple" or ticker == self.tickers[0]):
                bars = self.covariates.attach(ticker, bars, bars=prepared.bars, source=self.source)
                beside = bars[list(self.covariates.columns)]
                self._digest.update(repr(list(beside.columns)).encode() + beside.to_numpy().tobytes())
            yield ticker, bars
        self._left_out = self._check_ends()

    def _note(self, ticker: str, prepared: TickerBars) -> None:
        """Keep what a ticker's bars are; those of the first say it of the run."""
        if not self.markets_:
            self.bars = prepared.bars
            self.target = self.target.of_bars(prepared.bars)
        self.markets_[ticker], self.why_[ticker] = prepared.bars, prepared.why
        for warning in prepared.warnings:
            if len(self.warnings_) < _MOST_WARNINGS:
                log.warning(warning)
            self.warnings_.append(warning)

    def _check_target(self, ticker: str, bars: pd.DataFrame) -> None:
        """Whether the target can be had from a ticker's bars, and what must be known of it then."""
        if len(bars) <= self.target.warm_up and self.scope != "panel":
            raise UserError(
                f"{ticker}: {len(bars):,} {self.bars.label}s, but target={self.target.name} is about "
                f"target.span={self.target.lead + 1}; ask for a longer data.period or a shorter span"
            )
        if len(bars) <= self.target.warm_up or (self.scope == "multiple" and ticker != self.tickers[0]):
            return
        values, column = self.target.values(bars), self.target.column
        if column in self.features.columns and column != PRICE:
            same = self.features.compute(bars)[column].astype("float64")
            if not values.astype("float64").equals(same.set_axis(values.index)):
                raise UserError(
                    f"data.features={type(self.features).__name__}: its column {column} is not what "
                    f"target={self.target.name} calls so; give the feature another name"
                )
        for detail in self.target.findings(ticker, bars, values):
            log.warning("%s: %s", ticker, detail)
            self.faults_.append(Fault(ticker, None, "target", detail, "kept"))

    def _check_ends(self) -> set[str]:
        """One check needs all tickers: whose bars end long before the others'."""
        if self.health is None:
            return set()
        leave_out, faults = self.health.check_ends(self._last_dates, panel=self.scope == "panel")
        self.faults_ += faults
        if leave_out and self.scope == "multiple":
            raise UserError(
                f"data.health.ends_early=drop: would leave out {', '.join(sorted(leave_out))}, but a multiple "
                "strategy needs all its tickers; data=..._panel or data.health.ends_early=keep does without"
            )
        return leave_out

    def _check_anchors(self) -> None:
        """Anchoring divides by a price and takes the logarithm of an amount."""
        if self.anchor == "none":
            return
        prices, amounts = anchors(self.layout, self.target)
        for column in sorted({*prices, *amounts}):
            values = self.panel_.values[:, column]
            bad = values <= 0 if column in prices else values < 0
            if bad.any():
                row = int(bad.argmax())
                when = self.bars.text(self.panel_.time_of(self.panel_.times[row]))
                raise UserError(
                    f"{self._who()}: {when}: {self.layout.names[column]}={values[row]:g} cannot anchor a window; "
                    "use data.health.prices=drop or data.anchor=none"
                )

    def _way_out(self) -> str:
        """What to change where a split has no window."""
        if self.within_session:
            return "ask for shorter windows, or data.within_session=false"
        ahead = self.target.lead + self.horizon
        panel = self.panel_
        longest = max((int(stop - first) for first, stop in panel.segments), default=0)
        has_gaps = len(panel.segments) > len(set(panel.segment_series.tolist()))
        if longest >= self.seq_len + ahead or not has_gaps:
            return "ask for a longer data.period or shorter windows"
        between = f"there are never more than {longest} of them without a gap between"
        if longest > ahead:
            return f"{between}; ask for data.seq_len={longest - ahead}, or mend the source"
        return f"{between}; mend the source, or forecast another target"

    def _span(self, word: str = " and") -> str:
        """The bars that a target needs besides its window, in words."""
        return f"{word} target.span={self.target.lead + 1}" if self.target.lead else ""

    def _who(self) -> str:
        names = ", ".join(self.tickers[:4])
        return names if len(self.tickers) <= 4 else f"{names} and {len(self.tickers) - 4} more"


def _check_tickers(tickers: list[str], scope: str) -> None:
    shown = check_distinct(tickers)
    if scope == "single" and len(tickers) != 1:
        raise IncompatibleError(
            f"{shown}: a single strategy takes exactly 1 ticker; use data=..._multiple or data=..._panel"
        )
    if scope == "multiple" and len(tickers) < 2:
        raise IncompatibleError(
            f"{shown}: a multiple strategy needs at least 2 tickers; use data=..._single for one"
        )


def check_distinct(tickers: list[str]) -> str:
    """Tickers as messages show them; refused where there is none, or one twice.

    Raises:
        UserError: it is so.
    """
    shown = f"data.tickers={tickers[:6]}{'...' if len(tickers) > 6 else ''}"
    if len(set(tickers)) != len(tickers):
        raise UserError(f"{shown}: names a ticker twice")
    if not tickers:
        raise UserError(f"{shown}: names no ticker")
    return shown
