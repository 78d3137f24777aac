"""Plug-ins that look ahead, each in a way that has been seen in real projects; the audit must catch every one."""

from dataclasses import replace
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from forecast.data import HealthCheck, MarketData
from forecast.data.normaliser import fit_normaliser
from forecast.data.sources import SampleSource
from forecast.data.target import Close
from forecast.data.windows import WindowIndex
from forecast.evaluate import WalkForward
from forecast.model import Ridge


class Leak:
    """The Close and one column that knows too much."""

    columns: ClassVar = {"Close": "price", "Leak": "free"}

    def compute(self, bars):
        return bars.assign(Leak=self.leak(bars).astype(float))[list(self.columns)]


class FullDataScaler(Leak):
    def leak(self, bars):
        return (bars["Close"] - bars["Close"].mean()) / bars["Close"].std()


class CentredWindow(Leak):
    def leak(self, bars):
        return bars["Close"] / bars["Close"].rolling(5, center=True, min_periods=1).mean() - 1


class TargetInFeatures(Leak):
    def leak(self, bars):
        return 100 * (bars["Close"].shift(-1) / bars["Close"] - 1).fillna(0.0)


class BackFill(Leak):
    def leak(self, bars):
        return np.log(bars["Volume"].where(bars["Volume"] > 0)).bfill()


class WarmUpBackFill(Leak):
    def leak(self, bars):
        return bars["Close"].pct_change().rolling(20).std().bfill()


class Interpolated(Leak):
    def leak(self, bars):
        return np.log(bars["Volume"].where(bars["Volume"] > 0)).interpolate()


class NextEvent(Leak):
    """Days until the next large move, as a calendar of events that was filled in afterwards would have it."""

    def leak(self, bars):
        events = np.flatnonzero(bars["Close"].pct_change().abs().to_numpy() > 0.03)
        days = np.arange(len(bars))
        place = np.searchsorted(events, days, side="right")
        known = np.append(events, len(bars))
        return bars["Close"] * 0 + np.minimum(known[place] - days, 60) / 60


class SortedByFuture(Leak):
    def leak(self, bars):
        return bars["Close"].rank(pct=True)


class Detrended(Leak):
    def leak(self, bars):
        days = np.arange(len(bars))
        return np.log(bars["Close"]) - np.polyval(np.polyfit(days, np.log(bars["Close"]), 1), days)


class WeeklyMean(Leak):
    def leak(self, bars):
        week = bars.index.to_period("W")
        return bars["Close"] / bars["Close"].groupby(week).transform("mean") - 1


class ForwardBackwardFilter(Leak):
    def leak(self, bars):
        smooth = bars["Close"].ewm(span=5).mean()
        return bars["Close"] / smooth[::-1].ewm(span=5).mean()[::-1] - 1


class RelativeToTheEnd(Leak):
    def leak(self, bars):
        return bars["Close"] / bars["Close"].iloc[-1]


class NextMove(Leak):
    """The next move, on rare days alone; elsewhere nothing."""

    warm_up: ClassVar[int] = 0

    def leak(self, bars):
        move = bars["Close"].shift(-1) / bars["Close"] - 1
        return move.where(self.rare(bars, move), 0.0).fillna(0.0)


class BeforeALargeMove(NextMove):
    def rare(self, bars, move):  # noqa: ARG002
        return move.abs() > 0.12


class BeforeADayWithoutTrading(NextMove):
    def rare(self, bars, move):  # noqa: ARG002
        return bars["Volume"].shift(-1) == 0


class OnTheBusiestDays(NextMove):
    def rare(self, bars, move):  # noqa: ARG002
        return bars["Volume"] > 8 * bars["Volume"].median()


class OnOneDayInTwoHundred(NextMove):
    """By the digits of its Close, so that no cut is likely to meet it."""

    def rare(self, bars, move):  # noqa: ARG002
        return (bars["Close"] * 1e4).round() % 200 == 7


@cache
def moves_by_date(ticker):
    """The table: at each date the move that followed."""
    close = SampleSource().bars(ticker)["Close"]
    return (close.shift(-1) / close - 1).fillna(0.0)


class FromAFileByDate(Leak):
    """Tomorrow's move, looked up by date in a table that was written afterwards."""

    warm_up: ClassVar[int] = 0

    def leak(self, bars):
        return moves_by_date(self.ticker).reindex(bars.index).fillna(0.0)


class OwnMoveByDate(FromAFileByDate):
    ticker = "AAPL"


class AnotherTickersMoveByDate(FromAFileByDate):
    ticker = "MSFT"


class Weekday(Leak):
    warm_up: ClassVar[int] = 0

    def leak(self, bars):
        return bars["Close"] * 0 + bars.index.day_of_week


class DeclaredWeekday(Weekday):
    calendar_columns: ClassVar = {"Leak"}


class DeclaredMove(Leak):
    calendar_columns: ClassVar = {"Leak"}

    def leak(self, bars):
        return bars["Close"].pct_change()


class VolumeOfTheNextDay(SampleSource):
    """Volume is put on the day before, and so is what it says of the size and sign of a move."""

    def bars(self, ticker):
        bars = super().bars(ticker)
        ahead = (bars["Close"].shift(-1) / bars["Close"] - 1).fillna(0.0)
        return bars.assign(Volume=(bars["Volume"] * np.exp(20 * ahead)).round())


class HighOfTwoDays(SampleSource):
    def bars(self, ticker):
        bars = super().bars(ticker)
        return bars.assign(High=bars["High"].combine(bars["High"].shift(-1), np.fmax))


class LeakingTarget(Close):
    column = "Smoothed"

    def values(self, bars):
        return bars["Close"].rolling(3, center=True, min_periods=1).mean()


class Peeking(Ridge):
    """A forecaster that reads the row after its window."""

    def forecast(self, batch):
        found = super().forecast(batch)
        return replace(found, values=0.5 * (found.values + batch.outcome))


class Raising(Leak):
    def leak(self, bars):
        return bars["Open interest"]


class Winsorised(HealthCheck):
    """Outliers cut off at quantiles of the whole history."""

    def check(self, ticker, bars):
        bars, faults = super().check(ticker, bars)
        low, high = bars["Volume"].quantile([0.05, 0.95])
        return bars.assign(Volume=bars["Volume"].clip(low, high)), faults


class ScaledOnEverything(MarketData):
    def split(self, ranges):
        super().split(ranges)
        first, last = ranges["train"][0], ranges["test"][1]
        self.normaliser_ = fit_normaliser(
            windows_between(self, first, last),
            self.layout,
            anchor=self.anchor,
            scaler=self.scaler,
            rows=(first, last),
        )


class TrainedIntoValidation(MarketData):
    def split(self, ranges):
        super().split(ranges)
        self.windows_["train"] = windows_between(self, ranges["train"][0], ranges["val"][1])


class LastBatchDropped(MarketData):
    def split(self, ranges):
        super().split(ranges)
        windows = self.windows_["test"]
        windows._ends = windows._ends - len(windows) % self.batch_size


class NoEmbargo(MarketData):
    def ranges_by_ratio(self):
        self.embargo = 0
        return super().ranges_by_ratio()


def windows_between(data, first, last):
    return WindowIndex(
        panel=data.panel_,
        layout=data.layout,
        lookback=data.seq_len,
        horizon=data.horizon,
        first=first,
        last=last,
    )


class TrainsUpToTheTest(WalkForward):
    def folds(self, data):
        return [
            replace(
                fold,
                ranges={**fold.ranges, "train": (fold.ranges["train"][0], fold.ranges["val"][1])},
            )
            for fold in super().folds(data)
        ]


class TestsTwice(WalkForward):
    def folds(self, data):
        first, second, *_ = super().folds(data)
        return [first, replace(second, ranges=first.ranges)]


class Looking(nn.Module):
    """A linear model in company."""

    def __init__(self, *, input_size: int, lookback: int, output_size: int) -> None:
        super().__init__()
        self.last = nn.Linear(lookback * input_size, output_size)

    def forward(self, windows):
        return self.last(windows.flatten(1))


class AtItsNeighbours(Looking):
    def forward(self, windows):
        return super().forward(windows - windows.mean(dim=0, keepdim=True))


class AtWhatItSawBefore(Looking):
    before = 0.0

    def forward(self, windows):
        answer = super().forward(windows) + 0.1 * self.before
        if not self.training:
            self.before = float(torch.sigmoid(windows.sum()))
        return answer
