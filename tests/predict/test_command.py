"""python -m forecast.predict, as a stranger types it."""

from __future__ import annotations

import shutil
import sys

import pandas as pd
import pytest
import warm
from commands import REPOSITORY, environment

import forecast
from forecast.data.sources import SampleSource

KEYS = ["ticker", "origin", "date", "step", "forecast", "naive"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_the_next_sessions(runs, predict, tmp_path, ending):
    done = predict(f"run={runs['panel']}", f"output=next.{ending}")
    assert (done.code, done.err) == (0, "")
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    table = read(tmp_path / f"next.{ending}")
    assert list(table.columns[:6]) == KEYS
    assert table["ticker"].tolist() == [name for name in ("AAPL", "IBM", "MSFT", "GOOG") for _ in range(3)]
    # The bars end on Friday 2013-03-01.
    dates = pd.to_datetime(table["date"]).dt.strftime("%a %Y-%m-%d").tolist()
    assert dates == ["Mon 2013-03-04", "Tue 2013-03-05", "Wed 2013-03-06"] * 4
    assert table["step"].tolist() == [1, 2, 3] * 4
    assert set(table["days_behind"]) == {0}
    bars = {name: SampleSource().bars(name) for name in ("AAPL", "IBM", "MSFT", "GOOG")}
    expected = forecast.load(runs["panel"]).predict(bars)
    # Read back from text they are the same floats.
    assert table["forecast"].tolist() == expected["forecast"].tolist()
    assert [path.name for path in tmp_path.iterdir()] == [f"next.{ending}"]
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "ticker",
        "last",
        "bar",
        "date",
        "step",
        "forecast",
        "naive",
        "move",
        "%",
        *lines[0].split()[9:],
    ]
    assert len([line for line in lines if line.startswith(("AAPL", "IBM", "MSFT", "GOOG"))]) == 12
    assert lines[-1] == f"written to next.{ending}"


def test_as_if_an_earlier_day_were_today(runs, predict, tmp_path):
    done = predict(f"run={runs['single']}", "data.end=2012-10-26", "output=past.csv")
    assert "data.end=2012-10-26: later bars are not looked at; data.end=null takes all" in done.out
    table = pd.read_csv(tmp_path / "past.csv")
    # The exchange was closed on 29 and 30 October 2012.
    assert table[["origin", "date"]].iloc[0].tolist() == ["2012-10-26", "2012-10-31"]
    recorded = pd.read_parquet(runs["single"] / "forecasts.parquet").set_index("date")["forecast"]
    assert table["forecast"].iloc[0] == pytest.approx(recorded["2012-10-31"], rel=1e-6)


def test_a_single_model_may_be_asked_for_another_ticker_and_says_so(runs, predict):
    done = predict(f"run={runs['single']}", "data.tickers=[IBM]")
    assert done.code == 0
    assert "\nIBM " in done.out
    assert "not trained on IBM, but on AAPL" in done.out


def test_a_multiple_model_forecasts_its_first_ticker_whatever_the_order(runs, predict):
    outs = [predict(f"run={runs['multiple']}", *words).out for words in ((), ("data.tickers=[IBM,AAPL]",))]
    assert outs[0] == outs[1]
    assert [line.split()[0] for line in outs[0].splitlines()[1:3]] == ["AAPL", "AAPL"]


def test_bars_from_elsewhere(runs, predict, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, last in (("UP", "2012-12-31"), ("OLD", "2012-12-14")):
        SampleSource(adjust=False).bars("IBM").loc[:last].to_csv(folder / f"{name}.csv")
    done = predict(
        f"run={runs['panel']}", "source=files", "source.path=mine", "data.tickers=null", "output=mine.csv"
    )
    assert done.code == 0
    table = pd.read_csv(tmp_path / "mine.csv")
    assert dict(zip(table["ticker"], table["days_behind"], strict=True)) == {"OLD": 17, "UP": 0}
    assert [line.split()[0] for line in done.out.splitlines()[1:7]] == ["OLD*"] * 3 + ["UP"] * 3
    assert "* last bar older than that of others, by up to 17 days (1 ticker)" in done.out
    assert "not trained on OLD, UP, but on AAPL, IBM, MSFT, GOOG" in done.out


def test_days_that_no_session_check_looks_at_still_follow_the_exchange(runs, predict, tmp_path):
    predict(f"run={runs['single']}", "data.health.calendar=null", "data.end=2012-10-26", "output=next.csv")
    assert pd.read_csv(tmp_path / "next.csv")["date"].tolist() == ["2012-10-31"]  # after the hurricane


def test_one_ticker_that_cannot_be_forecast_is_named_and_stops_no_other(runs, predict, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    bars = SampleSource(adjust=False).bars("IBM")
    for name, count in (("LONG", 100), ("SHORT", 7)):
        bars.iloc[-count:].to_csv(folder / f"{name}.csv")
    words = (f"run={runs['panel']}", "source=files", "source.path=mine")
    done = predict(*words, "data.tickers=null")
    assert done.code == 0
    assert "left out: SHORT: 7 bars, but the model looks back over 20" in done.out
    done = predict(*words, "data.tickers=[SHORT]")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "SHORT: 7 bars, but the model looks back over 20; ask for a longer data.period or other data.tickers\n"
    )


def test_bars_are_judged_by_the_runs_policies(runs, predict, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    bars = SampleSource(adjust=False).bars("IBM").iloc[-100:].copy()
    bars.iloc[-50, bars.columns.get_loc("High")] = 1.0
    bars.to_csv(folder / "IBM.csv")
    words = (f"run={runs['panel']}", "source=files", "source.path=mine", "data.tickers=[IBM]")
    done = predict(*words)
    assert (done.code, done.out) == (2, "")
    assert "data.health.high_low=drop" in done.err
    assert predict(*words, "data.health.high_low=drop").code == 0


def test_more_rows_than_a_screen_holds(runs, predict):
    words = (
        "source=synthetic",
        "source.num_tickers=30",
        "source.num_bars=60",
        "data.tickers=null",
        "data.period=max",
    )
    done = predict(f"run={runs['panel']}", *words)
    assert "... and 50 rows more; output=FILE.csv writes all of them" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.tickerz=[IBM]"], "data.tickerz: no such key; did you mean data.tickers?"),
        (["data.health.stale=maybe"], "data.health.stale=maybe: must be one of error, drop, keep"),
        (
            ["model.hidden_size=8"],
            "model.hidden_size=8: the model was trained otherwise; free to choose are source, data.tickers, "
            "data.period, data.start, data.end, data.health",
        ),
        (["+model.hiden_size=8"], "model.hiden_size=8: unknown key; did you mean hidden_size?"),
        (
            ["model=gru"],
            "model=gru: a saved config has no groups to choose from; set plain keys (model.hidden_size=64) or start "
            "afresh with python run.py model=gru",
        ),
        (["source=fles"], "source=fles: no such option; did you mean files? options: files, sample, synthetic, yfinance"),
        (["source=files"], "source.path: missing; must be text"),
        (["source=files", "source.pth=x"], "source.pth: no such key; did you mean source.path?"),
        (["data.end=soon"], "data.end=soon: must be a date, YYYY-MM-DD, or a moment, YYYY-MM-DDTHH:MM"),
        (["data.tickers=[]"], "data.tickers=[]: names no ticker"),
        (["data.tickers=[IBM,IBM]"], "data.tickers=['IBM', 'IBM']: names a ticker twice"),
        (["data.tickers=[NOPE]"], "source=sample: has no ticker 'NOPE'; it has AAPL, IBM, MSFT, GOOG, FB"),
        (["data.end=1999-12-31", "data.tickers=[IBM]"], "IBM: no bars in data.start=null, data.end=1999-12-31; ask for a longer data.period or other data.tickers"),
        (["data.health.calendar=XXXX"], None),
        (["output=next.xlsx"], "output=next.xlsx: must end in .csv or .parquet"),
        (["output=no/next.csv"], "output=no/next.csv: no is no folder; make it first"),
        (["output="], "output=: must name a .csv or .parquet file"),
        (["run=again"], None),
        (["what"], "what: cannot be read (missing EQUAL at '<EOF>'); write key=value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes_are_refused_in_one_line_and_leave_nothing_behind(runs, predict, tmp_path, words, message):
    done = predict(f"run={runs['panel']}", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert message is None or done.err == f"{message}\n"
    assert list(tmp_path.iterdir()) == []


def test_several_tickers_are_too_many_for_a_single_model(runs, predict):
    done = predict(f"run={runs['single']}", "data.tickers=[AAPL,IBM]")
    assert done.err == (
        "data.tickers=['AAPL', 'IBM']: the model forecasts one ticker at a time; ask once for each, or train a panel "
        "strategy\n"
    )


def test_a_multiple_model_wants_its_tickers(runs, predict):
    done = predict(f"run={runs['multiple']}", "data.tickers=[AAPL,MSFT]")
    assert done.err == (
        "data.tickers=['AAPL', 'MSFT']: the model sees its tickers side by side and wants ['AAPL', 'IBM']\n"
    )


def test_no_run_named(predict):
    done = predict("data.tickers=[IBM]")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "run: missing; name a run directory: python -m forecast.predict run=outputs/DATE/TIME\n"
    )


def test_no_run_there(predict):
    done = predict("run=nowhere")
    assert (done.code, done.err) == (2, "nowhere: no finished run here (manifest.json is missing)\n")


def test_an_altered_run_is_refused(runs, predict, tmp_path):
    copy = shutil.copytree(runs["single"], tmp_path / "copy")
    with (copy / "config.yaml").open("a") as file:
        file.write("\n")
    done = predict("run=copy")
    assert (done.code, done.out) == (2, "")
    assert done.err == "copy/config.yaml: was altered since the run wrote it\n"


def test_as_a_process_of_its_own(runs, tmp_path):
    command = [sys.executable, "-m", "forecast.predict"]

    def start(*words):
        return warm.run([*command, *words], cwd=tmp_path, env=environment(REPOSITORY))

    done = start(f"run={runs['single']}", "data.tickers=[IBM]")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("IBM ")
    refused = start(f"run={runs['single']}", "data.tickerz=[IBM]")
    assert (refused.returncode, refused.stdout) == (2, "")
    helped = start("--help")
    assert helped.returncode == 0
    assert "run=outputs/DATE/TIME" in helped.stdout
