"""Hours, weeks, and markets that are not New York's daily one: run, predicted, replayed, audited and served with right
dates."""

import json

import numpy as np
import pandas as pd
import pytest
from exchange_bars import bars, times

import forecast
from forecast.data.timing import Bars
from forecast.errors import UserError

# Ticker -> calendar, interval, and what follows the last bar.
MARKETS = {
    "AAPL": ("XNYS", "1h"),
    "MSFT": ("XNYS", "1wk"),
    "BTC-USD": ("24/7", "1h"),
    "ETH-USD": ("24/7", "1d"),
    "2222.SR": ("XSAU", "1h"),
    "1120.SR": ("XSAU", "1d"),
    "7203.T": ("XTKS", "30m"),
    "PETR4.SA": ("BVMF", "1h"),
}
SMALL = (
    "trainer=smoke", "model=linear", "tracker=none", "baselines=none", "intervals=none", "evaluation.significance=null",
    "plots=false", "data.horizon=2", "data.seq_len=5",
)  # fmt: skip
COUNT = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file a market; all but the last three bars, which are to be forecast."""
    files = tmp_path_factory.mktemp("markets")
    for seed, (ticker, (calendar, interval)) in enumerate(MARKETS.items()):
        index = times(calendar, interval, last="2024-07-05", count=COUNT + 3)
        table = bars(index, seed=seed).iloc[:-3]
        if interval[-1] in "mh":
            table = table.tz_localize("UTC")
        table.to_parquet(files / f"{ticker}.parquet")
    return files


def words(folder, ticker):
    return (
        "source=files",
        f"source.path={folder}",
        f"data.tickers=[{ticker}]",
        f"data.interval={MARKETS[ticker][1]}",
    )


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    done = {}

    def make(ticker):
        if ticker not in done:
            directory = tmp_path_factory.mktemp("runs") / "run"
            forecast.run(*words(folder, ticker), *SMALL, directory=directory)
            done[ticker] = directory
        return done[ticker]

    return make


@pytest.mark.parametrize("ticker", MARKETS)
def test_forecasts_are_dated_by_the_market(runs, ticker):
    calendar, interval = MARKETS[ticker]
    every = times(calendar, interval, last="2024-07-05", count=COUNT + 3)
    directory = runs(ticker)
    table = pd.read_parquet(directory / "forecasts.parquet")
    assert table["date"].isin(every[:-3]).all()
    assert table["date"].max() == every[-4]
    record = json.loads((directory / "data.json").read_text())
    rule = json.loads((directory / "evaluation.json").read_text())["economics"]
    assert rule["sessions_per_year"] == Bars(interval=interval, calendar=calendar).per_year
    assert record["calendars"][0]["bars"]["calendar"] == calendar
    assert record["calendar_warnings"] == []

    found = forecast.future(directory)
    assert found.table["origin"].tolist() == [every[-4]] * 2
    assert found.table["date"].tolist() == every[-3:-1].tolist()


@pytest.mark.parametrize("ticker", ["7203.T", "MSFT"])
def test_a_replay_is_the_same(runs, ticker, tmp_path):
    from forecast.config import compose_saved
    from forecast.pipeline import run

    again = run(compose_saved(runs(ticker)), tmp_path / "again")
    pd.testing.assert_frame_equal(
        pd.read_parquet(runs(ticker) / "forecasts.parquet"),
        pd.read_parquet(again.directory / "forecasts.parquet"),
    )


def test_nothing_looks_ahead_in_what_is_known_of_hours(folder):
    from composed import compose

    from forecast.audit import checks
    from forecast.audit.subject import Subject

    subject = Subject(compose(*words(folder, "AAPL"), *SMALL))
    assert "cut after" in checks.data_of_a_prefix(subject)
    assert checks.window_borders(subject)


def test_hours_are_served_with_the_moments_that_follow(runs):
    from forecast.serve.live import LiveBars, latest
    from forecast.serve.model_store import load_model

    class Deaf:
        def bars(self, *_):
            pass

        forecasts = bars

    model = load_model(runs("2222.SR"))
    found = latest(LiveBars(allow=[]), Deaf(), model, "2222.SR", stale=False)
    every = times("XSAU", "1h", last="2024-07-05", count=COUNT + 3)
    assert [step.date for step in found.answer.forecast] == [
        f"{time:%Y-%m-%dT%H:%MZ}" for time in every[-3:-1]
    ]
    assert model.banner()[1].startswith("RMSE on its test hours ")


def test_rows_without_dates_are_those_of_the_last_whole_hour_of_the_clock(runs, folder):
    from forecast.serve.model_store import load_model
    from forecast.serve.windows import model_inputs, validate_window

    model = load_model(runs("BTC-USD"))
    rows = pd.read_parquet(folder / "BTC-USD.parquet")[["High", "Low", "Close", "Volume"]].tail(12)
    before = pd.Timestamp.now("UTC").floor("h")
    warnings = model_inputs([validate_window(rows.to_numpy().tolist(), "BTC-USD", model)], model)[2]
    taken = pd.Timestamp(str(warnings[0]).partition("taken to be of ")[2][:17])
    assert taken in {before - pd.Timedelta("1h"), before}  # the hour may have ended meanwhile


def test_cases_that_were_dated_wrongly(tmp_path):
    """A bar every day, and a week from Sunday to Thursday, whose calendar nobody named."""
    for ticker, calendar in (("coin", "24/7"), ("tadawul", "XSAU")):
        index = times(calendar, "1d", last="2024-06-28", count=300)
        bars(index[:-1]).to_csv(tmp_path / f"{ticker}.csv")
        directory = tmp_path / f"run-{ticker}"
        forecast.run(
            "source=files",
            f"source.path={tmp_path}",
            f"data.tickers=[{ticker}]",
            *SMALL[:-2],
            directory=directory,
        )
        warning = json.loads((directory / "data.json").read_text())["calendar_warnings"]
        assert "of days when XNYS is closed; now" in warning[0]
        found = forecast.future(directory)
        assert found.table["date"].tolist() == [index[-1]]
        assert warning[0] in found.notes
        with pytest.raises(UserError, match=rf"data.calendar=XNYS: .* data.calendar={calendar} fits"):
            forecast.run(
                "source=files",
                f"source.path={tmp_path}",
                f"data.tickers=[{ticker}]",
                "data.calendar=XNYS",
                *SMALL,
            )


def market_data(folder, *overrides):
    from composed import compose

    from forecast.config import build

    config = compose("source=files", f"source.path={folder}", *overrides)
    data = build(config.data, source=build(config.source), target=build(config.target))
    data.prepare()
    return data


def test_weeks_are_made_of_days_and_an_unfinished_one_is_none(tmp_path):
    index = times("XNYS", "1d", last="2024-07-03", count=400)  # a Wednesday
    table = bars(index)
    table.to_csv(tmp_path / "IBM.csv")
    plan = ("data.tickers=[IBM]", "data.resample=1wk", "data.seq_len=3")
    weeks = market_data(tmp_path, *plan)
    assert str(weeks.panel_.calendar[-1])[:10] == "2024-06-24"
    assert weeks.bars.label == "week"
    row = dict(zip(weeks.layout.names, weeks.panel_.values[-1], strict=True))
    of_days = table["2024-06-24":"2024-06-28"]
    assert row["High"] == np.float32(of_days["High"].max())
    assert row["Volume"] == np.float32(of_days["Volume"].sum())
    # With the week's last session, before a Friday or not, it is one.
    bars(times("XNYS", "1d", last="2024-07-05", count=400)).to_csv(tmp_path / "IBM.csv")
    assert str(market_data(tmp_path, *plan).panel_.calendar[-1])[:10] == "2024-07-01"


def test_days_are_made_of_hours(folder):
    days = market_data(
        folder, "data.tickers=[AAPL]", "data.interval=1h", "data.resample=1d", "data.seq_len=3"
    )
    known = times("XNYS", "1d", last="2024-07-05", count=20)
    assert days.panel_.calendar[-1] == known[-2]  # the last one lacks its last hours
    assert days.bars.label == "day"
    with pytest.raises(UserError, match=r"data.resample=1h: must be coarser than data.interval=1h"):
        market_data(folder, "data.tickers=[AAPL]", "data.interval=1h", "data.resample=1h")


def test_windows_can_be_kept_inside_sessions(folder):
    plan = ("data.tickers=[7203.T]", "data.interval=30m", "data.seq_len=4", "data.horizon=2")
    across, inside = market_data(folder, *plan), market_data(folder, *plan, "data.within_session=true")
    assert len(inside.windows_["train"]) < len(across.windows_["train"])
    for split in inside.windows_.values():
        batch = split.take(np.arange(len(split)))
        rows = batch.rows[:, None] + np.arange(-3, 3)
        sessions = inside.bars.sessions_of(inside.panel_.time_of(inside.panel_.times[rows]).ravel())
        assert (sessions.reshape(rows.shape) == sessions.reshape(rows.shape)[:, :1]).all()
    # Otherwise the night is in the windows, and said: ln(time / interval).
    gap = across.panel_.values[:, across.layout.names.index("Gap")]
    assert gap.max() > np.log(30)
    assert np.median(gap) == 0
    with pytest.raises(
        UserError, match=r"data.within_session=true: of data.interval=1d a session has one bar"
    ):
        market_data(folder, "data.tickers=[ETH-USD]", "data.within_session=true")


def test_what_is_known_of_hours_ahead_is_right(folder):
    data = market_data(
        folder, "data.tickers=[7203.T]", "data.interval=30m", "data.horizon=2", "data.seq_len=4"
    )
    at = {name: number for number, name in enumerate(data.layout.names)}
    when = data.panel_.time_of(data.panel_.times)
    values = data.panel_.values
    for name, step in (("Next", 1), ("Next2", 2)):
        follow, rows = when[step:], values[:-step]
        local = pd.DatetimeIndex(follow).tz_localize("UTC").tz_convert("Asia/Tokyo")
        turn = 2 * np.pi * (local.hour * 60 + local.minute) / 1440
        np.testing.assert_allclose(rows[:, at[f"{name}Hour1Sin"]], np.sin(turn), atol=1e-6)
        np.testing.assert_allclose(
            rows[:, at[f"{name}SinceOpen"]], (local.hour * 60 + local.minute) / 60 - 9, atol=1e-5
        )
    np.testing.assert_allclose(values[:-1, at["NextGap"]], values[1:, at["Gap"]], atol=1e-6)


def test_tickers_of_other_hours_are_joined_as_they_were_known(tmp_path):
    tables = {}
    for seed, (ticker, calendar) in enumerate((("AAPL", "XNYS"), ("AI.PA", "XPAR"))):
        tables[ticker] = bars(times(calendar, "1h", last="2024-07-03", count=400), seed=seed)
        tables[ticker].tz_localize("UTC").to_parquet(tmp_path / f"{ticker}.parquet")
    data = market_data(
        tmp_path, "data=no_processing_multiple", "data.tickers=[AAPL,AI.PA]", "data.interval=1h"
    )
    at, paris = data.layout.names.index("AI.PA.Close"), tables["AI.PA"]["Close"]
    when = pd.DatetimeIndex(data.panel_.time_of(data.panel_.times))
    for row in (5, 100, len(when) - 1):
        known = (
            paris.index
            + pd.Timedelta("1h")
            - np.where(paris.index.minute + paris.index.hour * 60 == 15 * 60, 1, 0) * pd.Timedelta("30min")
        )
        until = when[row] + pd.Timedelta("1h") if when[row].hour < 19 else when[row] + pd.Timedelta("30min")
        assert data.panel_.values[row, at] == np.float32(paris[known <= until].iloc[-1])


def test_start_and_end_are_moments_on_the_markets_clock(folder):
    plan = ("data.tickers=[7203.T]", "data.interval=30m", "data.seq_len=3")
    cut = market_data(folder, *plan, "data.start=2024-06-10T10:00", "data.end=2024-06-28")
    assert cut.bars.text(cut.panel_.calendar[-1]) == "2024-06-28T05:30Z"
    assert (
        cut.bars.text(cut.panel_.calendar[0] - np.timedelta64(30, "m")) == "2024-06-10T01:00Z"
    )  # Gap wants one before
    period = market_data(folder, *plan, "data.period=20d")
    assert period.panel_.calendar[0] > period.panel_.calendar[-1] - np.timedelta64(20, "D")


def test_a_panel_of_markets_dates_each_by_its_own(folder, tmp_path):
    directory = tmp_path / "run"
    forecast.run(
        "source=files", f"source.path={folder}", "data=no_processing_panel", "data.tickers=[ETH-USD,1120.SR]", *SMALL,
        directory=directory,
    )  # fmt: skip
    table = forecast.future(directory).table.set_index(["ticker", "step"])["date"]
    for ticker in ("ETH-USD", "1120.SR"):
        expected = times(*MARKETS[ticker], last="2024-07-05", count=3)
        assert table[ticker].tolist() == expected[:2].tolist()


def test_a_large_panel_lies_in_a_file(folder):
    plan = ("data.tickers=[AAPL]", "data.interval=1h")
    small, mapped = market_data(folder, *plan), market_data(folder, *plan, "data.panel_memory_mb=0")
    np.testing.assert_array_equal(small.panel_.values, mapped.panel_.values)
    assert small.panel_.values.flags.writeable
    assert not mapped.panel_.values.flags.writeable
    batch = mapped.windows_["train"].take(np.arange(10))
    np.testing.assert_array_equal(batch.windows, small.windows_["train"].take(np.arange(10)).windows)


def test_what_was_understood_is_shown(folder):
    from forecast.config import compose
    from forecast.pipeline import check_data

    text = check_data(compose(*words(folder, "AAPL")))
    assert "hours of XNYS, as a ticker without an ending: AAPL" in text
    assert "2024-07-05T16:30Z" in text
