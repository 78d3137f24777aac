"""Covariates: which row each bar takes, what is refused, and that nothing of it is known too late."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from markets import Memory, random_bars

from forecast.data import MarketData, TimeSeriesScaler
from forecast.data.covariates import (
    BarRows,
    CalendarCovariate,
    Covariates,
    EventCovariate,
    HolidayCovariate,
    PastCovariate,
    StaticCovariate,
)
from forecast.data.features import NoProcessing, Returns
from forecast.data.timing import Bars
from forecast.errors import UserError

DAYS = pd.bdate_range("2020-01-01", "2020-12-31", name="Date").as_unit("ns")


class Series(Memory):
    """A source of bars, and of tables of other columns."""

    def __init__(self, tables=(), **others):
        super().__init__(dict(tables))
        self.others = others

    def columns_of(self, ticker):
        return self.others[ticker].copy() if ticker in self.others else self.tables[ticker][[]]


def numbered(times, column="Rate"):
    """A series whose values are its row numbers."""
    index = pd.DatetimeIndex(times, name="Date").as_unit("ns")
    return pd.DataFrame({column: np.arange(len(index), dtype=float)}, index=index)


def rows_of(times=DAYS, *, source=None, calendar=None, interval="1d", ticker="A", **more):
    index = pd.DatetimeIndex(times).as_unit("ns")
    bars = Bars(interval=interval, calendar=calendar)
    return BarRows(ticker=ticker, times=index.to_numpy(), bars=bars, source=source, **more)


def joined(series, times=DAYS, *, calendar=None, interval="1d", **keys):
    """The row that each bar takes of a series; NaN where it takes none."""
    node = PastCovariate(ticker="X", columns=["Rate"], source=Series(X=series), **keys)
    rows = rows_of(times, calendar=calendar, interval=interval)
    return pd.Series(node.values(rows)[:, 0], index=pd.DatetimeIndex(times))


class TestWhichRowABarTakes:
    def test_of_two_daily_series_that_of_the_day_before(self):
        found = joined(numbered(DAYS))
        assert np.isnan(found.iloc[0])
        assert found.iloc[1:].tolist() == list(range(len(DAYS) - 1))

    @pytest.mark.parametrize("lag", [0, 1, 3])
    def test_by_position(self, lag):
        found = joined(numbered(DAYS), lag=lag)
        assert found.iloc[lag:].tolist() == list(range(len(DAYS) - lag))
        assert found.iloc[:lag].isna().all()

    @pytest.mark.parametrize(("time", "same_day"), [("15:30", True), ("16:00", False), ("16:15", False)])
    def test_by_the_time_it_is_published_beside_the_close(self, time, same_day):
        sessions = pd.DatetimeIndex(["2020-11-23", "2020-11-24", "2020-11-25", "2020-11-27", "2020-11-30"])
        found = joined(numbered(sessions), sessions, calendar="XNYS", published=time)
        # 2020-11-27 closed at 13:00
        wanted = [0, 1, 2, 2, 4] if same_day else [np.nan, 0, 1, 2, 3]
        np.testing.assert_array_equal(found, wanted)

    def test_published_in_another_zone(self):
        sessions = pd.DatetimeIndex(["2020-06-01", "2020-06-02", "2020-06-03"])
        for zone, time, same_day in (("Asia/Tokyo", "15:00", True), ("America/New_York", "16:15", False)):
            found = joined(numbered(sessions), sessions, calendar="XTKS", published=time, timezone=zone)
            # Tokyo closes at 15:00, which is not strictly before it
            assert found.tolist()[1:] == [0, 1], (zone, same_day)
        found = joined(numbered(sessions), sessions, calendar="XTKS", published="14:59")
        assert found.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("stamp", ["start", "end"])
    def test_a_weeks_rate_is_not_known_before_its_week_is_over(self, stamp):
        weeks = pd.date_range("2019-12-30", "2020-12-28", freq="W-MON" if stamp == "start" else "W-FRI")
        found = joined(numbered(weeks), stamp=stamp)
        for day, row in found.dropna().items():
            last_day = weeks[int(row)] + pd.Timedelta(days=6 if stamp == "start" else 0)
            assert last_day < day
            if int(row) + 1 < len(weeks):
                assert weeks[int(row) + 1] + pd.Timedelta(days=6 if stamp == "start" else 0) >= day

    def test_a_months_figure_is_not_known_before_its_month_is_over(self):
        months = pd.date_range("2019-10-01", "2020-12-01", freq="MS")
        found = joined(numbered(months))
        for day, row in found.items():
            assert months[int(row)] + pd.offsets.MonthEnd(1) < day
            assert months[int(row) + 1] + pd.offsets.MonthEnd(1) >= day
        late = joined(numbered(months), published="+13d 08:30", calendar="XNYS", times=DAYS[20:])
        for day, row in late.items():
            out = months[int(row)] + pd.offsets.MonthEnd(1) + pd.Timedelta(days=13)
            assert out <= day

    def test_days_beside_hours_are_known_when_their_day_is_over_in_the_market(self):
        hours = pd.date_range("2020-06-01 13:30", periods=200, freq="h").as_unit("ns")
        hours = hours[(hours.hour >= 13) & (hours.hour < 20) & (hours.day_of_week < 5)]
        found = joined(
            numbered(pd.bdate_range("2020-05-25", "2020-06-12")), hours, calendar="XNYS", interval="1h"
        )
        for moment, row in found.items():
            day = pd.bdate_range("2020-05-25", "2020-06-12")[int(row)]
            assert day == (moment.normalize() - pd.offsets.BDay(1))

    def test_hours_beside_days_are_known_at_the_close(self):
        hours = pd.date_range("2020-05-28", "2020-06-12", freq="h")
        sessions = pd.DatetimeIndex(["2020-06-01", "2020-06-02", "2020-06-03"])
        found = joined(numbered(hours), sessions, calendar="XNYS")
        # New York closes at 20:00 UTC; the hour that ends then is not known strictly before
        assert [hours[int(row)].hour for row in found] == [18, 18, 18]

    @settings(max_examples=25)
    @given(st.integers(0, 10_000), st.sampled_from(["D", "B", "W-FRI", "MS", "5D"]), st.integers(0, 2))
    def test_no_row_is_ever_taken_before_its_span_is_over(self, seed, rhythm, lag):
        rng = np.random.default_rng(seed)
        series = pd.date_range("2019-06-01", "2021-01-31", freq=rhythm)
        series = series[np.sort(rng.choice(len(series), max(len(series) * 4 // 5, 12), replace=False))]
        keys = {"lag": lag} if lag else {}
        found = joined(
            numbered(series),
            missing="drop" if seed % 2 else "last",
            **keys,
            **({} if seed % 2 else {"max_age": 999}),
        )
        known = found.dropna()
        assert (series[known.astype(int)].to_numpy() < known.index.to_numpy()).all()

    def test_a_change_looks_at_the_row_before(self):
        found = joined(numbered(DAYS) + 1.0, transform="log_change")
        assert np.isnan(found.iloc[1])
        assert found.iloc[2] == pytest.approx(np.log(2))


class TestWhatIsMissing:
    def test_it_begins_later_the_bars_before_are_left_out(self, caplog):
        with caplog.at_level("INFO"):
            found = joined(numbered(DAYS[100:]))
        assert found.iloc[:101].isna().all()
        assert found.iloc[101:].notna().all()
        assert "101 of 262 bars of A are left out" in caplog.text

    @pytest.mark.parametrize(
        ("where", "remedy"),
        [
            (slice(0, 200), "it ends 2020-10-06: cut"),
            ([*range(50), *range(80, 262)], "it has a gap there: set max_age"),
        ],
        ids=["ends", "gap"],
    )
    def test_what_is_too_old_is_refused(self, where, remedy):
        with pytest.raises(
            UserError, match=rf"the last value known is of 2020-.*, 11 days old, and max_age is 10; {remedy}"
        ):
            joined(numbered(DAYS[where]), max_age=10)
        assert joined(numbered(DAYS[where]), max_age=100).iloc[1:].notna().all()
        assert joined(numbered(DAYS[where]), missing="drop").isna().sum() > 20
        with pytest.raises(UserError, match="missing=error: X: has no value for the bar of 2020-"):
            joined(numbered(DAYS[where]), missing="error")

    def test_a_value_is_never_filled_from_later(self):
        series = numbered(DAYS)
        series.iloc[10:13] = np.nan
        found = joined(series)
        assert found.iloc[10:15].tolist() == [9, 9, 9, 9, 13]
        assert joined(series, missing="drop").iloc[10:15].isna().tolist() == [False, True, True, True, False]

    def test_other_years(self):
        with pytest.raises(UserError, match="max_age"):
            joined(numbered(pd.bdate_range("2010-01-01", "2012-01-01")))
        with pytest.raises(UserError, match="no bar from 2020-01-01 to 2020-12-31 has a value"):
            joined(numbered(pd.bdate_range("2022-01-01", "2023-01-01")))

    def test_a_holiday_of_the_other_market_takes_the_last_known(self):
        assert joined(numbered(DAYS.drop("2020-07-03"))).loc["2020-07-06"] == DAYS.get_loc("2020-07-02")

    @pytest.mark.parametrize(
        ("series", "keys", "message"),
        [
            (
                numbered(DAYS, "Other"),
                {},
                "X has no column Rate; it has Other; Open, High, Low, Close, Volume are there only of bars",
            ),
            (numbered([*DAYS, DAYS[5]]), {}, "two rows of 2020-01-08; a series needs distinct times"),
            (numbered(DAYS), {"transform": "log"}, "Rate=0 on 2020-01-01 has no logarithm"),
            (numbered(DAYS) * np.nan, {}, "holds no value of Rate"),
            (numbered(DAYS), {"published": "15:00"}, "published: needs the exchange's calendar"),
            (
                numbered(DAYS + pd.Timedelta("9h")),
                {"published": "15:00", "calendar": "XNYS"},
                "published: is for rows that are dates",
            ),
        ],
        ids=["column", "twice", "log", "empty", "no calendar", "moments"],
    )
    def test_what_is_refused(self, series, keys, message):
        with pytest.raises(UserError, match=message):
            joined(series, **keys)

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"ticker": "X", "published": "4pm"}, "published=4pm: must be a time of day, HH:MM"),
            ({"ticker": "X", "timezone": "Mars/Olympus"}, "timezone=Mars/Olympus: is no time zone"),
            ({}, "columns=\\['Close'\\]: are those of the bars themselves"),
            ({"ticker": "X", "missing": "drop", "max_age": 3}, "max_age=3: applies to missing=last"),
        ],
    )
    def test_what_makes_no_sense(self, keys, message):
        with pytest.raises(UserError, match=message):
            PastCovariate(**keys)

    def test_a_source_without_further_columns(self):
        source = Memory({"A": random_bars(30, seed=0)})
        with pytest.raises(UserError, match=r"no column Mood; .*of Memory no others can be had"):
            PastCovariate(columns=["Mood"]).values(rows_of(source=source))


class TestProof:
    """What the audit asks."""

    @pytest.mark.parametrize(
        ("keys", "proved"),
        [
            ({}, True),
            ({"lag": 1}, True),
            ({"lag": 0}, False),
            ({"published": "15:00"}, True),
            ({"lag": 0, "published": "16:15"}, True),
            ({"lag": 0, "published": "+1d 09:00"}, True),  # before the next session opens
            ({"lag": 0, "published": "+1d 10:00"}, False),
        ],
    )
    def test_a_row_that_nothing_shows_to_be_known(self, keys, proved):
        sessions = pd.DatetimeIndex(["2020-06-01", "2020-06-02", "2020-06-03"])
        node = PastCovariate(ticker="X", columns=["Rate"], source=Series(X=numbered(sessions)), **keys)
        reason = node.not_proved(rows_of(sessions, calendar="XNYS"))
        assert (reason is None) == proved
        assert proved or "nothing shows that it was known by then" in reason

    def test_what_is_published_only_after_the_next_bar_has_begun_is_refused(self):
        sessions = pd.DatetimeIndex(["2020-06-01", "2020-06-02", "2020-06-03"])
        with pytest.raises(
            UserError,
            match="row of 2020-06-01 would be taken at the bar of 2020-06-01, but is published only",
        ):
            joined(numbered(sessions), sessions, calendar="XNYS", lag=0, published="+1d 10:00")
        assert joined(numbered(sessions), sessions, calendar="XNYS", lag=1, published="+1d 10:00").tolist()[
            1:
        ] == [0, 1]


class TestKnownAhead:
    def test_the_calendar_of_every_step(self):
        rows = rows_of(DAYS[:20], calendar="XNYS", horizon=3, lead=2)
        node = CalendarCovariate(fields=["weekday", "monthday", "month", "turn_of_month"])
        found = node.values(rows)
        assert found.shape == (20, 3, 7)
        sessions = DAYS.drop(["2020-01-01", "2020-01-20", "2020-02-17"])
        for bar, day in enumerate(DAYS[:20]):
            for step in range(3):
                ahead = sessions[sessions > day][2 + step]
                angle = np.arctan2(found[bar, step, 0], found[bar, step, 1]) % (2 * np.pi)
                assert round(angle / (2 * np.pi) * 7) % 7 == ahead.day_of_week
                angle = np.arctan2(found[bar, step, 4], found[bar, step, 5]) % (2 * np.pi)
                assert round(angle / (2 * np.pi) * 12) % 12 + 1 == ahead.month

    def test_the_hour_is_that_of_the_market(self):
        hours = pd.DatetimeIndex(["2020-03-06 19:30", "2020-03-06 20:30", "2020-03-09 13:30"])
        rows = rows_of(hours, calendar="XNYS", interval="1h")
        found = CalendarCovariate(fields=["hour"], harmonics=1).values(rows)[:, 0]
        clock = pd.DatetimeIndex(rows.ahead[:, 1]).tz_localize("UTC").tz_convert("America/New_York")
        angle = np.arctan2(found[:, 0], found[:, 1]) % (2 * np.pi)
        np.testing.assert_allclose(angle / (2 * np.pi) * 24, clock.hour + clock.minute / 60)
        with pytest.raises(UserError, match="a day has no hour"):
            CalendarCovariate(fields=["hour"]).values(rows_of(calendar="XNYS"))

    def test_holidays(self):
        days = pd.DatetimeIndex(["2020-07-01", "2020-07-02", "2020-11-25", "2020-11-27"])
        found = HolidayCovariate().values(rows_of(days, calendar="XNYS"))[:, 0]
        # the bars forecast: 07-02 (before the holiday), 07-06 (after it), 11-27 (after it, early close), 11-30
        assert found.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0]]

    def test_a_day_without_trading_that_nobody_foresaw_is_not_seen_before(self):
        rows = rows_of(pd.DatetimeIndex(["2001-09-10"]), calendar="XNYS")
        assert str(rows.ahead[0, 1])[:10] == "2001-09-11"

    def events(self, tmp_path, text):
        path = tmp_path / "events.csv"
        path.write_text(text)
        return str(path)

    def test_events_of_days(self, tmp_path):
        path = self.events(tmp_path, "date,kind\n2020-07-02,fomc\n2020-07-04,jobs\n2020-07-06,jobs\n")
        days = pd.DatetimeIndex(["2020-06-30", "2020-07-01", "2020-07-02"])
        node = EventCovariate(path=path, kinds="kind")
        assert node.columns == ["fomc", "jobs"]
        found = node.values(rows_of(days, calendar="XNYS", horizon=2))
        # the Saturday's belongs to Monday's bar
        assert found[..., 0].tolist() == [[0, 1], [1, 0], [0, 0]]
        assert found[..., 1].tolist() == [[0, 0], [0, 2], [2, 0]]

    def test_an_event_is_not_seen_before_it_is_announced(self, tmp_path):
        path = self.events(tmp_path, "date,since,size\n2020-07-08,2020-07-02,2.5\n")
        days = pd.DatetimeIndex(["2020-07-01", "2020-07-02", "2020-07-06", "2020-07-07"])
        node = EventCovariate(path=path, announced="since", value="size", date="date")
        found = node.values(rows_of(days, calendar="XNYS", horizon=4))[..., 0]
        # announced some time on 07-02: the forecast made at that day's close does not know it
        assert found.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 2.5, 0, 0], [2.5, 0, 0, 0]]

    def test_events_of_hours(self, tmp_path):
        path = self.events(tmp_path, "date\n2020-07-01T14:00\n2020-07-01T14:59\n")
        hours = pd.date_range("2020-07-01 16:00", periods=4, freq="h")
        found = EventCovariate(path=path, timezone="America/New_York").values(
            rows_of(hours, calendar="24/7", interval="1h")
        )
        assert found[:, 0, 0].tolist() == [0, 2, 0, 0]  # 14:00 in New York is 18:00 UTC

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("day\n2020-01-01\n", "has no column date; it has day"),
            ("date\nsoon\n", "a date is no date"),
            ("date,kind\n,x\n", "row 2 has no date"),
        ],
    )
    def test_files_that_cannot_be(self, tmp_path, text, message):
        with pytest.raises(UserError, match=message):
            EventCovariate(path=self.events(tmp_path, text)).values(rows_of(calendar="XNYS"))
        with pytest.raises(UserError, match="no such file"):
            EventCovariate(path=str(tmp_path / "none.csv")).values(rows_of(calendar="XNYS"))


class TestStatic:
    def test_words_become_columns_and_numbers_stay(self, tmp_path):
        path = tmp_path / "sectors.csv"
        path.write_text("ticker,sector,size\nA,tech,1.5\nB,bank,2\n")
        node = StaticCovariate(path=str(path))
        assert node.columns == ["sector.bank", "sector.tech", "size"]
        assert node.values(rows_of(DAYS[:2])).tolist() == [[0, 1, 1.5]] * 2
        with pytest.raises(UserError, match="has no value for C; it has A, B; unknown=zero"):
            node.values(rows_of(ticker="C"))
        zero = StaticCovariate(path=str(path), unknown="zero", columns=["sector"])
        assert zero.values(rows_of(DAYS[:1], ticker="C")).tolist() == [[0, 0]]

    def test_given_in_place(self):
        assert StaticCovariate(values={"A": "tech", "B": "bank"}).columns == ["bank", "tech"]
        with pytest.raises(UserError, match="give one of the two"):
            StaticCovariate()


def data_with(covariates, tables, *, scope="single", horizon=1, features=NoProcessing, others=None, **keys):
    names = list(tables)[:1] if scope == "single" else [name for name in tables if name != "X"]
    data = MarketData(
        source=Series(tables, **(others or {})),
        features=features(),
        scope=scope,
        tickers=names,
        seq_len=8,
        horizon=horizon,
        scaler=TimeSeriesScaler(),
        covariates=covariates,
        **keys,
    )
    data.prepare()
    return data


@pytest.fixture
def tables():
    return {name: random_bars(200, seed=number) for number, name in enumerate(("A", "B", "X"))}


class TestInARun:
    @pytest.mark.parametrize("scope", ["single", "multiple", "panel"])
    def test_later_rows_change_no_earlier_ones(self, tables, scope):
        covariates = {"x": PastCovariate(ticker="X", transform="log"), "day": CalendarCovariate()}
        ours = data_with(covariates, tables, scope=scope, horizon=2)
        cut = tables["A"].index[120]
        spoiled = {name: table.copy() for name, table in tables.items()}
        spoiled["X"].loc[spoiled["X"].index >= cut] *= 7.0
        theirs = data_with(covariates, spoiled, scope=scope, horizon=2)
        same = ours.panel_.time_of(ours.panel_.times) <= cut.to_datetime64()
        np.testing.assert_array_equal(ours.panel_.values[same], theirs.panel_.values[same])
        assert not np.array_equal(ours.panel_.values, theirs.panel_.values)
        assert ours.fingerprint_ != theirs.fingerprint_

    def test_side_by_side_they_stand_once(self, tables):
        data = data_with({"x": PastCovariate(ticker="X")}, tables, scope="multiple")
        assert data.layout.names == [
            *(f"{ticker}.{column}" for ticker in "AB" for column in ("High", "Low", "Close", "Volume")), "x",
        ]  # fmt: skip
        times = pd.DatetimeIndex(data.panel_.time_of(data.panel_.times))
        wanted = tables["X"]["Close"].shift(1).reindex(times).to_numpy(np.float32)
        np.testing.assert_array_equal(data.panel_.values[:, data.layout.names.index("x")], wanted)

    def test_what_stands_behind_still_does(self, tables):
        data = data_with({"x": PastCovariate(ticker="X")}, tables, features=Returns)
        bare = data_with(None, tables, features=Returns)
        assert data.layout.names.index("x") == len(data.layout.relations) - 1
        assert (
            data.layout.names[len(data.layout.relations) :] == bare.layout.names[len(bare.layout.relations) :]
        )
        assert data.facts["input_size"] == bare.facts["input_size"] + 1

    def test_without_them_nothing_is_other(self, tables):
        one, other = (data_with(none, tables) for none in (None, {}))
        assert one.fingerprint_ == other.fingerprint_
        assert "covariates" not in one.layout.names

    def test_names(self, tables):
        others = {"A": numbered(tables["A"].index, "Mood")}
        nodes = [PastCovariate(ticker="X"), PastCovariate(ticker="X", lag=2), PastCovariate(columns=["Mood"])]
        data = data_with(nodes, tables, others=others)
        assert data.layout.names[-3:] == ["X", "X2", "Mood"]
        with pytest.raises(UserError, match="Close is what a feature is called"):
            data_with({"Close": PastCovariate(ticker="X")}, tables)

    def test_in_units_of_a_windows_own_spread_they_stay_as_they_are(self, tables):
        nodes = {"size": StaticCovariate(values={"A": 3.0, "B": 5.0}), "x": PastCovariate(ticker="X")}
        data = data_with(nodes, tables, scope="panel", instance_norm=True)
        windows = data.windows_["test"].take(np.arange(4)).windows
        import torch

        seen = data.normaliser_.anchored(torch.from_numpy(windows)).numpy()
        np.testing.assert_array_equal(seen[..., -2:], windows[..., 4:6])
        restored = type(data.normaliser_).from_json(data.normaliser_.to_json())
        np.testing.assert_array_equal(
            restored.inputs(torch.from_numpy(windows)), data.normaliser_.inputs(torch.from_numpy(windows))
        )

    def test_a_fault_names_its_key(self, tables):
        with pytest.raises(
            UserError, match=r"^data\.covariates\.x: columns=\['Mood'\]: X has no column Mood"
        ):
            data_with(
                {"x": PastCovariate(ticker="X", columns=["Mood"])}, tables, others={"X": numbered(DAYS)}
            )

    def test_columns_of_a_step(self, tables):
        nodes = {"x": PastCovariate(ticker="X"), "day": CalendarCovariate(fields=["turn_of_month"])}
        data = data_with(nodes, tables, horizon=2)
        names = [[data.layout.names[column] for column in data.layout.covariates_of(step)] for step in (1, 2)]
        assert names == [["x", "day.turn_of_month+1"], ["x", "day.turn_of_month+2"]]


def test_what_is_no_covariate():
    with pytest.raises(
        UserError, match=r"data\.covariates\.a: int is no covariate, it has no kind, columns, values"
    ):
        Covariates({"a": 3, "b": None})


class Twice:
    kind, label, columns, values = "static", "twice", ("", ""), None


def test_columns_of_one_name():
    with pytest.raises(UserError, match=r"data\.covariates\.a: a second column a; name it otherwise"):
        Covariates({"a": Twice()})
