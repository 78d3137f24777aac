"""What targets count, against arithmetic written down once more, and the bars from which they cannot be had."""

import math
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from markets import Memory, market, random_bars, tables

from forecast.data import MarketData
from forecast.data.features import NoProcessing, Volatility as VolatilityFeatures
from forecast.data.target import Close, Direction, Range, Return, Volatility, Volume
from forecast.data.timing import Bars
from forecast.errors import UserError

BARS = random_bars(60, seed=3)
OPEN, HIGH, LOW, CLOSE, VOLUME = (BARS[name].to_numpy() for name in BARS)


def one_bar(estimator, place):
    """The variance of a bar by the estimators' definitions, one number after the other."""
    o, h, low, c = OPEN[place], HIGH[place], LOW[place], CLOSE[place]
    before = CLOSE[place - 1]
    session = math.log(h / c) * math.log(h / o) + math.log(low / c) * math.log(low / o)
    return {
        "parkinson": math.log(h / low) ** 2 / (4 * math.log(2)),
        "garman_klass": 0.5 * math.log(h / low) ** 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2,
        "rogers_satchell": session,
        "yang_zhang": math.log(o / before) ** 2 + session,
        "squared": math.log(c / before) ** 2,
    }[estimator]


@pytest.mark.parametrize("span", [1, 5, 22])
@pytest.mark.parametrize("estimator", ["parkinson", "garman_klass", "rogers_satchell", "squared"])
def test_volatility_is_the_root_of_the_mean_variance_in_percent_a_year(estimator, span):
    target = Volatility(estimator=estimator, span=span)
    found = target.in_unit(target.values(BARS).to_numpy())
    for place in range(target.warm_up, len(BARS)):
        mean = sum(one_bar(estimator, place - back) for back in range(span)) / span
        assert found[place] == pytest.approx(max(1.0, 100 * math.sqrt(252 * mean)), rel=1e-10)
    assert np.isnan(found[: target.warm_up]).all()


def test_yang_and_zhang_hold_the_night():
    night = np.log(OPEN[1:] / CLOSE[:-1])
    session = np.log(CLOSE[1:] / OPEN[1:])
    inside = [one_bar("rogers_satchell", place) for place in range(1, len(BARS))]
    for span in (2, 5, 22):
        k = 0.34 / (1.34 + (span + 1) / (span - 1))
        target = Volatility(estimator="yang_zhang", span=span)
        found = target.in_unit(target.values(BARS).to_numpy())
        for place in range(span, len(BARS)):
            some = slice(place - span, place)
            wanted = np.var(night[some], ddof=1) + k * np.var(session[some], ddof=1)
            wanted += (1 - k) * np.mean(inside[some])
            assert found[place] == pytest.approx(100 * math.sqrt(252 * wanted), rel=1e-8)
    one = Volatility(estimator="yang_zhang")
    assert one.in_unit(one.values(BARS).to_numpy())[7] == pytest.approx(
        100 * math.sqrt(252 * one_bar("yang_zhang", 7))
    )


def test_estimators_agree_on_bars_of_a_known_variance():
    """A random walk of 2,000 steps a bar without a night, 20 % a year: every estimator finds it."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.2 / math.sqrt(252 * 2000), (1500, 2000))
    paths = np.exp(np.cumsum(steps, axis=1))
    begin = np.cumprod(np.concatenate(([100.0], paths[:-1, -1])))
    levels = begin[:, None] * np.concatenate((np.ones((1500, 1)), paths), axis=1)
    bars = pd.DataFrame(
        {
            "Open": levels[:, 0],
            "High": levels.max(axis=1),
            "Low": levels.min(axis=1),
            "Close": levels[:, -1],
            "Volume": 1.0,
        },
        pd.bdate_range("2000-01-03", periods=1500),
    )
    for estimator in ("parkinson", "garman_klass", "rogers_satchell", "yang_zhang", "squared"):
        variance = np.exp(Volatility(estimator=estimator, floor=1e-3).values(bars))
        assert 100 * math.sqrt(252 * variance.mean()) == pytest.approx(20, rel=0.06), estimator


def test_a_year_is_that_of_the_bars():
    target = Volatility().of_bars(Bars(interval="1d", calendar="24/7"))
    assert target.in_unit(np.log([1e-4]))[0] == pytest.approx(100 * math.sqrt(365e-4))


@pytest.mark.parametrize("span", [1, 5])
def test_the_other_targets_by_their_definitions(span):
    whole = slice(span, len(BARS))
    change = np.log(CLOSE[span:] / CLOSE[:-span])
    np.testing.assert_allclose(Return(span=span).values(BARS)[whole], change, rtol=1e-12)
    np.testing.assert_array_equal(Direction(span=span).values(BARS)[whole], change > 0)
    for target, each in ((Range(span=span), (HIGH - LOW) / CLOSE), (Volume(span=span), VOLUME)):
        wanted = [each[place - span + 1 : place + 1].mean() for place in range(span, len(BARS))]
        np.testing.assert_allclose(target.in_unit(target.values(BARS).to_numpy())[whole], wanted, rtol=1e-10)


def test_naive_is_the_last_value_no_move_or_an_even_chance():
    seen = np.array([[1.0, 0.0, 1.0]])
    assert Close().naive(seen) == 1.0
    assert Return().naive(seen) == 0.0
    assert Direction().naive(seen) == 0.5
    assert Volume().naive(seen) == pytest.approx(math.e)


def test_features_of_volatility_by_their_definitions():
    table = VolatilityFeatures().compute(BARS).iloc[-1]
    variances = [1e4 * one_bar("garman_klass", place) for place in range(len(BARS))]
    for span in (1, 5, 22):
        assert table[f"LogVariance{span}"] == pytest.approx(math.log(np.mean(variances[-span:])))
        fall = 100 * math.log(CLOSE[-1] / CLOSE[-1 - span])
        assert table[f"Fall{span}"] == pytest.approx(min(fall, 0.0))
    assert table["Night"] == pytest.approx(100 * math.log(OPEN[-1] / CLOSE[-2]))
    assert table["NightSize"] == abs(table["Night"])
    assert table["LogSpread"] == pytest.approx(math.log(100 * (HIGH[-1] - LOW[-1]) / CLOSE[-1]))
    logs = np.log1p(VOLUME)
    assert table["Volume1"] == pytest.approx(logs[-1] - logs[-22:].mean())
    assert table["Volume5"] == pytest.approx(logs[-5:].mean() - logs[-22:].mean())
    # a Volume of 0 is left out of the means, and itself as usual
    gaps = VolatilityFeatures().compute(BARS.assign(Volume=[*VOLUME[:-3], 0.0, VOLUME[-2], 0.0])).iloc[-1]
    known = np.delete(logs, [-3, -1])
    assert gaps["Volume1"] == 0.0
    assert gaps["Volume5"] == pytest.approx(known[-3:].mean() - known[-20:].mean())


def prepared(bars, target, **keys):
    data = MarketData(
        source=Memory({"T0": bars}),
        features=NoProcessing(),
        scope="single",
        tickers=["T0"],
        target=target,
        **{"seq_len": 5} | keys,
    )
    data.prepare()
    return data


def flat(share):
    """Bars of which a share has no range."""
    bars = random_bars(200, seed=1)
    some = np.arange(200) < share * 200
    for name in ("Open", "High", "Low"):
        bars.loc[some, name] = bars.loc[some, "Close"]
    return bars


def idle(share):
    bars = random_bars(200, seed=1)
    bars.loc[np.arange(200) < share * 200, "Volume"] = 0.0
    return bars


def idle_every(bars):
    """Bars of which every so many-th has no Volume."""
    found = random_bars(200, seed=1)
    found.loc[np.arange(200) % bars == 0, "Volume"] = 0.0
    return found


@pytest.mark.parametrize(
    ("bars", "target", "message"),
    [
        (flat(1), Volatility(), r"garman_klass: High = Low on 100 % of the bars of T0, .*=squared"),
        (flat(1), Range(), r"target=range: High = Low on 100 % of the bars of T0"),
        (idle(1), Volume(), r"target=volume: T0: Volume is 0 on 100 % of the bars"),
        (
            idle_every(6),
            Volume(),
            r"never more than 5 of them without a gap between; ask for data.seq_len=4,",
        ),
        (
            idle_every(2),
            Volume(),
            r"never more than 1 of them .*; mend the source, or forecast another",
        ),
        (random_bars(200, seed=1), Volatility(span=500), r"T0: 200 days, .*target.span=500"),
        (random_bars(200, seed=1), Return(span=150), r"T0: .*leave no .*target.span=150"),
    ],
)
def test_bars_from_which_a_target_cannot_be_had(bars, target, message):
    with pytest.raises(UserError, match=message):
        prepared(bars, target)


def test_the_training_mean_is_that_of_what_the_windows_forecast():
    data = prepared(random_bars(200, seed=1), Range(span=3))
    train = data.windows_["train"]
    came = data.target.in_unit(train.take(np.arange(len(train))).outcome[:, 0])
    assert data.train_mean_ == pytest.approx(came.mean(), rel=1e-12)


def test_the_length_of_windows_that_is_advised_where_there_are_gaps_is_right():
    assert prepared(idle_every(6), Volume(), seq_len=4).windows_["test"]


def test_bars_without_a_range_count_as_the_floor_and_are_reported():
    data = prepared(flat(0.1), Volatility(floor=2.0))
    assert [fault.detail for fault in data.faults_] == [
        "High = Low on 20 of 200 bars: their volatility counts as target.floor=2 percent a year"
    ]
    assert data.target.in_unit(data.panel_.values[:1, data.layout.target].astype(float)) == pytest.approx(2)
    assert not prepared(flat(0.1), Volatility(estimator="squared")).faults_


def test_an_open_copied_from_the_close_before_is_reported():
    bars = random_bars(200, seed=1)
    bars["Open"] = bars["Close"].shift(1).fillna(bars["Open"])
    bars["High"], bars["Low"] = bars[["High", "Open"]].max(axis=1), bars[["Low", "Open"]].min(axis=1)
    (fault,) = prepared(bars, Volatility()).faults_
    assert "Open is the Close before on 100 % of the bars" in fault.detail
    assert not prepared(bars, Volatility(estimator="parkinson")).faults_
    assert not prepared(random_bars(200, seed=1), Volatility()).faults_


def test_a_direction_that_never_changed_in_training():
    bars = random_bars(200, seed=1)
    bars[["Open", "High", "Low", "Close"]] = np.linspace(50, 90, 200)[:, None] * np.array([1, 1.01, 0.99, 1])
    with pytest.raises(UserError, match="T0: target=direction: every training day has the outcome 1"):
        prepared(bars, Direction())


def test_only_the_target_of_the_first_ticker_counts_side_by_side():
    source = tables()
    source["T1"]["Volume"] = 0.0
    data = market(source, "no_processing_multiple", target=Volume())
    assert not data.faults_
    assert [name for name in data.layout.names if "LogVolume" in name] == ["T0.LogVolume"]


class Misnamed:
    """A feature that is called as the target's column is, and is something else."""

    columns: ClassVar = {"LogRange": "free"}

    def compute(self, bars):
        return (bars[["High"]] - bars[["Low"]].to_numpy()).set_axis(["LogRange"], axis=1)


def test_a_feature_that_only_bears_the_name_of_the_target():
    data = MarketData(
        source=Memory(tables()), features=Misnamed(), scope="single", tickers=["T0"], target=Range()
    )
    with pytest.raises(
        UserError, match=r"data.features=Misnamed: its column LogRange is not what target=range"
    ):
        data.load()
