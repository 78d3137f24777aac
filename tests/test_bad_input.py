"""What a user may get wrong: one clear line, exit code 2, no directory, no run in the tracker."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import SMALL, Done, run, run_apart
from composed import compose
from markets import random_bars

from forecast import pipeline
from forecast.config import check, run_directory
from forecast.errors import UserError

# Where the message quotes paths, these come on top.
LONGEST_LINE = 420


def arguments_of(folder: Path, *arguments: str) -> list[str]:
    """A small run, recorded in a store of its own."""
    store = f"tracker.uri=sqlite:///{folder / 'mlflow.db'}"
    return [*SMALL, store, f"hydra.run.dir={folder / 'run'}", *arguments]


def refused(folder: Path, done: Done, *words: str) -> None:
    """One line that says all the words; and the folder holds what it held before."""
    assert (done.code, done.out) == (2, ""), done
    assert done.err.endswith("\n")
    one_line(folder, done.err, *words)


def refused_here(folder: Path, arguments: Iterable[str], *words: str) -> None:
    """The same of what `python run.py` does with the arguments, without Hydra's start and the command around it."""

    def run() -> None:
        config = compose(*arguments)
        check(config)
        if config.trainer is None:
            pipeline.check_data(config)
        else:
            pipeline.run(config, run_directory(config))

    with contextlib.chdir(folder), pytest.raises(UserError) as error:
        run()
    one_line(folder, str(error.value), *words)


def one_line(folder: Path, text: str, *words: str) -> None:
    (line,) = text.splitlines()
    assert "Traceback" not in line
    assert len(line.replace(str(folder), "")) <= LONGEST_LINE
    for word in words:
        assert word in line
    left = {path.name for path in folder.iterdir()}
    assert left <= {"bars"}  # neither a run directory, nor a store, nor a run in it


# key=value as typed, and what the one line must say
CONFIGS = [
    ("data.tickers=[NOPE]", ["source=sample", "'NOPE'", "AAPL, IBM, MSFT, GOOG, FB"]),
    ("data.tickers=[aapl]", ["'aapl'", "did you mean AAPL?"]),
    ("data.tickers=[]", ["data.tickers=[]", "names no ticker"]),
    ("data.tickers=AAPL", ["data.tickers=AAPL", "must be a list or null", "[AAPL]"]),
    ("data.tickers=7203", ["data.tickers=7203", "must be a list or null", "[7203]"]),
    ("data.tickers=[O'X]", ["data.tickers=[O'X]", "text in quotes", "['O\\'X']"]),
    ("data.tickers=choice([^A],[B])", ["'^' after", "data.tickers=choice(['^A'],['B'])"]),
    ("data.tickers=[AAPL,IBM]", ["data.tickers=['AAPL', 'IBM']", "exactly 1", "data=..._multiple"]),
    ("data.tickers=null", ["data.tickers=['AAPL', 'IBM'", "exactly 1", "data=..._panel"]),
    ("data=no_processing_multiple data.tickers=[AAPL]", ["['AAPL']", "at least 2", "data=..._single"]),
    ("data=range_panel data.tickers=[AAPL,AAPL]", ["['AAPL', 'AAPL']", "twice"]),
    ("data.train_ratio=0.8 data.val_ratio=0.2", ["data.train_ratio=0.8", "data.val_ratio=0.2", "less than 1"]),
    ("data.val_ratio=0.0001", ["AAPL", "503 days", "data.val_ratio=0.0001", "longer data.period"]),
    ("data.seq_len=600", ["AAPL", "503 days", "data.seq_len=600", "longer data.period"]),
    ("data.seq_len=100000", ["AAPL", "503 days", "data.seq_len=100000", "shorter windows"]),
    ("data.seq_len=1000000000000", ["data.seq_len=1000000000000", "<= 100000"]),
    ("data.horizon=70", ["AAPL", "no val window", "data.horizon=70"]),
    ("data.horizon=400", ["AAPL", "no train day", "embargo of 400", "data.horizon"]),
    ("data.embargo=2 data.horizon=3", ["data.embargo=2", "at least data.horizon=3", "null"]),
    ("data.embargo=100000", ["AAPL", "embargo of 100000", "shorter data.embargo"]),
    ("data.start=2012-06-01 data.end=2011-06-01", ["data.start=2012-06-01", "data.end=2011-06-01"]),
    ("data.start=2012-13-01", ["data.start=2012-13-01", "YYYY-MM-DD"]),
    ("data.start=2030-01-01", ["AAPL", "data.start=2030-01-01", "2000-03-01 to 2013-03-01"]),
    ("data.period=2years", ["data.period=2years", "max, ytd", "10y"]),
    ("data.period=1d", ["AAPL", "1 days", "longer data.period"]),
    ("data.health.calendar=NYSX", ["data.health.calendar=NYSX", "NYSE"]),
    ("data.scaler._target_=builtins.eval", ["data.scaler", "'builtins.eval'"]),
    ("objective.metric=val_rsme", ["objective.metric=val_rsme", "did you mean val_rmse?"]),
    ("objective.metric=test_rmse", ["objective.metric=test_rmse", "one of train_loss, val_loss, val_rmse"]),
    ("model.layer_config=[LTSM,Linear]", ["model.layer_config[0]=LTSM", "did you mean LSTM?", "GRU"]),
    ("model.layer_config=[Flatten,LSTM,Linear]", ["layer_config[1]=LSTM", "(80,)", "(lookback, features)"]),
    ("model.layer_config=[Linear]", ["layer_config[0]=Linear", "(20, 4)", "(features,)", "Flatten"]),
    ("model.layer_config=[LSTM]", ["layer_config[0]=LSTM", "(4,)", "(1,)", "end with Linear"]),
    ("model.layer_config=[LSTM,{Linear:{in_features:9}}]", ["layer_config[1]=Linear", "(4,)", "9"]),
    ("model.layer_config=[{LSTM:{hidden_sizes:3}},Linear]", ["hidden_sizes=3", "did you mean hidden_size?"]),
    ("model.layer_config=[{LSTM:{hidden_size:0}},Linear]", ["[0]=LSTM", "hidden_size=0", "must be >= 1"]),
    ("model.layer_config=[{_target_:torch.nn.LSTM,hidden_size:3},Linear]", ["torch.nn.LSTM", "'input_size'"]),
    ("model.layer_config=[{_target_:os.system,command:ls},Linear]", ["[0]=os.system", "blocklisted"]),
    ("model.hidden_size=10000000000000", ["layer_config[0]=LSTM", "memory", "model.hidden_size"]),
    ("model.hiden_size=3", ["model.hiden_size", "did you mean model.hidden_size?"]),
    ("model=lsmt", ["model=lsmt", "did you mean lstm?", "gru"]),
    ("data=range_singel", ["data=range_singel", "did you mean range_single?"]),
    ("trainer.learning_rate=nan", ["trainer.learning_rate=nan", "must be a finite number"]),
    ("trainer.precision=bf16-mixed", ["trainer.precision=bf16-mixed", "needs a GPU", "32-true"]),
    ("source=files", ["source.path", "missing"]),
    ("source=files source.path=nowhere", ["source.path=nowhere", "does not exist", "<TICKER>.csv"]),
    ("source=files source.path=/dev/null", ["source.path=/dev/null", "is a file", "<TICKER>.csv"]),
    ("source=synthetic source.num_bars=10", ["AAPL", "10 days", "longer data.period"]),
    ("source=yfinance source.offline=true", ["AAPL", "not in the cache", "source.offline=false"]),
    ("tracker.uri=mlruns", ["tracker.uri='mlruns'", "sqlite:///mlflow.db"]),
    ("trainer=none data.seq_len=1000", ["AAPL", "503 days", "data.seq_len=1000"]),
    ("trainer=none data.tickers=[NOPE]", ["'NOPE'", "AAPL, IBM, MSFT, GOOG, FB"]),
    ("data.seq_len=1,2", ["data.seq_len=1,2", "several values", "-m"]),
    ("data.seq_len", ["data.seq_len", "write key=value"]),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "words"), CONFIGS, ids=[typed for typed, _ in CONFIGS])
def test_a_config_that_cannot_be(tmp_path, typed, words):
    refused_here(tmp_path, arguments_of(tmp_path, *typed.split()), *words)


WHOLE = CONFIGS[::9]


@pytest.mark.parametrize(("typed", "words"), WHOLE, ids=[typed for typed, _ in WHOLE])
def test_a_config_that_cannot_be_by_the_command(tmp_path, typed, words):
    refused(tmp_path, run(tmp_path, *arguments_of(tmp_path, *typed.split())), *words)


@pytest.mark.parametrize("value", ["0", "-3", "ten"])
def test_sizes_that_are_none(tmp_path, value):
    wrong = [f"data.{key}={value}" for key in ("seq_len", "horizon", "batch_size")]
    done = run(tmp_path, *arguments_of(tmp_path, *wrong))
    assert (done.code, done.out, list(tmp_path.iterdir())) == (2, "", [])
    rule = "an integer" if value == "ten" else ">= 1"
    lines = done.err.splitlines()
    assert len(lines) == 3
    for line, typed in zip(lines, wrong, strict=True):
        assert line.startswith(f"{typed}: must be {rule}")


# What breaks a rule of a signature, and the rule.
RULES = {
    "seed=-1": "must be >= 0",
    "objective.mode=up": "must be one of min, max",
    "on_data_change=ignore": "must be one of error, warn",
    "source.adjust=maybe": "must be true or false",
    "data.period=2": "must be text or null; in quotes it is text: '2'",
    "data.start=20120101": "must be text or null; in quotes it is text: '20120101'",
    "data.seq_len=2.5": "must be an integer",
    "data.horizon=1000000000000": "must be <= 100000",
    "data.batch_size=true": "must be an integer",
    "data.train_ratio=1": "must be < 1",
    "data.val_ratio=nan": "must be a finite number",
    "data.embargo=-1": "must be >= 0 or null",
    "data.anchor=first": "must be one of last, none",
    "data.scope=double": "must be one of single, multiple, panel",
    "data.shuffle=null": "must be true or false",
    "data.health.prices=ignore": "must be one of error, drop, keep",
    "data.health.jump_factor=1": "must be > 1",
    "model.layer_config=[]": "must have at least 1 item",
    "model.hidden_size=0": "must be >= 1",
    "model.num_layers=two": "must be an integer",
    "model.dropout=1": "must be < 1",
    "trainer.learning_rate=inf": "must be a finite number",
    "trainer.min_delta=nan": "must be a finite number",
    "trainer.weight_decay=-1": "must be >= 0",
    "trainer.gradient_clip=0": "must be > 0 or null",
    "trainer.max_epochs=0": "must be >= 1",
    "trainer.patience=0": "must be >= 1 or null",
    "trainer.lr_schedule=cosin": "must be one of constant, cosine, plateau; did you mean cosine?",
    "trainer.accelerator=cuda": "must be one of cpu, gpu, auto",
    "trainer.threads=100000": "must be <= 256",
    "tracker.patience_s=nan": "must be a finite number",
}


def test_all_broken_rules_are_named_at_once(tmp_path):
    done = run(tmp_path, *arguments_of(tmp_path, *RULES))
    assert (done.code, done.out, list(tmp_path.iterdir())) == (2, "", [])
    named = set(done.err.splitlines())
    assert named == {f"{typed}: {rule}" for typed, rule in RULES.items()}


def test_an_objective_that_no_epoch_reports_is_named_with_the_other_faults(tmp_path):
    done = run(tmp_path, *arguments_of(tmp_path, "objective.metric=val_rsme", "data.seq_len=0"))
    assert (done.code, done.out, list(tmp_path.iterdir())) == (2, "", [])
    first, second = done.err.splitlines()
    assert first == "data.seq_len=0: must be >= 1"
    assert second.startswith("objective.metric=val_rsme: no epoch reports it; did you mean val_rmse?")


def test_a_mistyped_key_does_not_hide_the_other_faults(tmp_path):
    done = run(tmp_path, "objective.metrik=x", "data.seq_len=0", "nope=1", "evaluation=hldout", "seed=-1")
    assert (done.code, done.out, list(tmp_path.iterdir())) == (2, "", [])
    lines = done.err.splitlines()
    assert {line.partition(":")[0] for line in lines} == {
        "objective.metrik", "data.seq_len=0", "nope", "evaluation=hldout", "seed=-1"
    }  # fmt: skip
    assert len(lines) == 5


def test_every_node_whose_target_is_wrong_is_named_at_once(tmp_path):
    wrong = {
        "data.features._target_=forecast.data.features.Range": "forecast.data.features has no Range",
        "source._target_=nowhere.Source": "No module named 'nowhere'",
        "model.layer_config=[{_target_:torch.nn.Linear},Linear]": "out_features: missing; must be an integer",
    }
    done = run(tmp_path, *arguments_of(tmp_path, *wrong))
    assert (done.code, len(done.err.splitlines()), list(tmp_path.iterdir())) == (2, len(wrong), [])
    for named in wrong.values():
        assert named in done.err


def bars() -> pd.DataFrame:
    return random_bars(300, seed=0).round(4)


def with_cell(column: str, value: object) -> Callable[[], pd.DataFrame]:
    """Bars with one cell changed, that of 2020-03-25."""

    def make() -> pd.DataFrame:
        table = bars().astype(object)
        table.loc["2020-03-25", column] = value
        return table

    return make


def swapped(column: str, other: str) -> pd.DataFrame:
    table = bars()
    table.loc["2020-03-25", [column, other]] = table.loc["2020-03-25", [other, column]].to_numpy()
    return table


def times(factor: float) -> pd.DataFrame:
    """A day with its point in the wrong place."""
    table = bars()
    table.loc["2020-03-25", ["Open", "High", "Low", "Close"]] *= factor
    return table


NO_NUMBER = "2020-03-25", "is no positive number", "data.health.prices=drop"
TABLES: dict[str, tuple[Callable[[], pd.DataFrame], tuple[str, ...]]] = {
    "header only": (lambda: bars().head(0), ("AAPL.csv", "holds no bars")),
    "a column missing": (lambda: bars().drop(columns="Low"), ("AAPL.csv", "no column Low", "needs Date")),
    "no dates": (lambda: bars().reset_index(drop=True), ("AAPL.csv", "no column Date", "needs Date")),
    "text in a price": (with_cell("Close", "n/a?"), ("AAPL.csv, line 62", "Close='n/a?'", "is no number")),
    "two days swapped": (
        lambda: bars().iloc[[*range(60), 61, 60, *range(62, 300)]],
        ("AAPL", "2020-03-25", "comes after 2020-03-26", "data.health.order=drop"),
    ),
    "a day twice": (
        lambda: bars().iloc[[*range(61), *range(60, 300)]],
        ("AAPL", "2020-03-25", "second bar of this day", "data.health.duplicates=drop"),
    ),
    "no price": (with_cell("Close", None), ("AAPL", "Close=nan", *NO_NUMBER)),
    "an infinite price": (with_cell("Open", np.inf), ("AAPL", "Open=inf", *NO_NUMBER)),
    "a negative price": (with_cell("Close", -5), ("AAPL", "Close=-5", *NO_NUMBER)),
    "a negative volume": (with_cell("Volume", -1), ("AAPL", "2020-03-25", "Volume=-1", "prices=drop")),
    "high below low": (
        lambda: swapped("High", "Low"),
        ("AAPL", "2020-03-25", "is below Low=", "data.health.high_low=drop"),
    ),
    "a close above the high": (
        with_cell("Close", 60),
        ("AAPL", "2020-03-25", "Close=60 lies outside", "data.health.high_low=drop"),
    ),
    "a jump of 100 times": (
        lambda: times(100),
        ("AAPL", "2020-03-25", "times the last good Close", "data.health.jumps=drop"),
    ),
    "more than a float32 holds": (
        with_cell("Volume", 1e40),
        ("AAPL", "2020-03-25", "Volume=1e+40", "32-bit", "larger units"),
    ),
    "fewer rows than a window": (
        lambda: bars().head(15),
        ("AAPL", "15 days", "data.seq_len=20", "longer data.period"),
    ),
    "a day that is none": (
        lambda: bars().rename(index=lambda day: "2020-02-31" if f"{day:%F}" == "2020-03-25" else f"{day:%F}"),
        ("AAPL.csv, line 62", "Date='2020-02-31'", "write YYYY-MM-DD"),
    ),
    "a day the other way round": (
        lambda: bars().iloc[:8].rename(index=lambda day: f"{day:%d/%m/%Y}"),
        ("AAPL.csv", "Date='01/01/2020' may be", "source.dates=dmy", "source.dates=mdy"),
    ),
}


def files(folder: Path, **tables: pd.DataFrame) -> list[str]:
    """Overrides that read these tables as CSV."""
    path = folder / "bars"
    path.mkdir()
    for ticker, table in tables.items():
        table.to_csv(path / f"{ticker}.csv", index_label=table.index.name or "row")
    return ["source=files", f"source.path={path}", "data.period=max"]


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be(tmp_path, case):
    make, words = TABLES[case]
    arguments = files(tmp_path, AAPL=make())
    refused_here(tmp_path, arguments_of(tmp_path, *arguments), *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("AAPL.csv", b"", ["AAPL.csv", "is empty", "Date,Open,High,Low,Close,Volume"]),
        ("AAPL.csv", b"\xff\xfe\x00\xd8" * 50, ["AAPL.csv", "UTF-8"]),
        (
            "AAPL.csv",
            b"When;What\n2020-01-02;1\n",
            ["AAPL.csv", "no column", "'When,What'", "source.columns"],
        ),
        (
            "AAPL.csv",
            b"Date,Open,High,Low,Close,Volume\n2020-01-02,1,1,1,1,1\n2020-01-03,1,1,1,1,1,7\n",
            ["AAPL.csv", "line 3"],
        ),
        ("AAPL.parquet", b"PAR1 and then no more", ["AAPL.parquet", "cannot be read"]),
        ("MSFT.csv", b"Date,Open,High,Low,Close,Volume\n", ["source.path=", "'AAPL'", "it has MSFT"]),
        ("notes.txt", b"nothing", ["source.path=", "holds no <TICKER>.csv"]),
    ],
    ids=["empty", "not text", "other names", "a long row", "broken", "another ticker", "no table at all"],
)
def test_a_file_that_cannot_be(tmp_path, name, content, words):
    arguments = files(tmp_path)
    (tmp_path / "bars" / name).write_bytes(content)
    refused_here(tmp_path, arguments_of(tmp_path, *arguments), *words)


@pytest.mark.parametrize("ticker", ["../bars/AAPL", "AAPL.csv"])
def test_a_ticker_never_leads_out_of_the_folder(tmp_path, ticker):
    arguments = files(tmp_path, AAPL=bars())
    done = run(tmp_path, *arguments_of(tmp_path, *arguments, f"data.tickers=['{ticker}']"))
    refused(tmp_path, done, "source.path=", f"'{ticker}'", "it has AAPL")


@pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "disjoint"])
def test_a_ticker_that_ends_years_before_another(tmp_path, overlap):
    old, new = random_bars(2000, seed=1), random_bars(1500, seed=2)
    first = "2015-01-01" if overlap else "2007-01-01"
    old.index = pd.bdate_range(first, periods=2000, name="Date")  # to 2022-08, or to 2014-08
    new.index = pd.bdate_range("2020-01-01", periods=1500, name="Date")  # to 2025-09
    arguments = files(tmp_path, OLD=old, NEW=new)
    strategy = ["data=range_multiple", "data.tickers=[NEW,OLD]"]
    done = run(tmp_path, *arguments_of(tmp_path, *arguments, *strategy))
    last = f"{old.index[-1]:%F}"
    refused(tmp_path, done, "OLD", last, "NEW", "data.end", "data.health.ends_early=keep")


def test_dropping_a_ticker_that_a_multiple_strategy_needs(tmp_path):
    old = random_bars(300, seed=1, first="2010-01-01")
    arguments = files(tmp_path, OLD=old, NEW=bars(), ALSO=random_bars(300, seed=3))
    strategy = ["data=range_multiple", "data.tickers=[NEW,OLD,ALSO]", "data.health.ends_early=drop"]
    done = run(tmp_path, *arguments_of(tmp_path, *arguments, *strategy))
    refused(tmp_path, done, "data.health.ends_early=drop", "OLD", "data=..._panel")


def test_what_is_let_pass_is_noted(tmp_path):
    old = random_bars(300, seed=1, first="2010-01-01")
    arguments = files(tmp_path, OLD=old, NEW=bars(), ALSO=random_bars(300, seed=3))
    strategy = ["data=range_panel", "data.tickers=null", "data.health.ends_early=drop", "tracker=none"]
    done = run(tmp_path, *SMALL, *arguments, *strategy, "hydra.run.dir=run")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert record["tickers"] == ["ALSO", "NEW"]
    named = {(fault["ticker"], fault["kind"], fault["action"]) for fault in record["faults"]}
    assert ("OLD", "ends_early", "dropped") in named


def test_a_fault_that_was_kept_but_cannot_be_used(tmp_path):
    arguments = files(tmp_path, AAPL=with_cell("Volume", -1)())
    done = run(tmp_path, *arguments_of(tmp_path, *arguments, "data.health.prices=keep"))
    refused(tmp_path, done, "AAPL", "2020-03-25", "Volume=-1", "data.health.prices=drop", "data.anchor=none")


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("hydra.run.dir", "bars/below"),
        ("hydra.run.dir", "/proc/nothing"),
        ("hydra.run.dir", "/proc/self"),
        ("hydra.sweep.dir", "bars/below"),
    ],
)
def test_an_output_folder_that_cannot_be_written_to(tmp_path, key, folder):
    (tmp_path / "bars").write_text("a file where a folder should be")
    mode = ["-m"] if key == "hydra.sweep.dir" else []
    done = run(tmp_path, *arguments_of(tmp_path, f"{key}={folder}", *mode))
    refused(tmp_path, done, folder, "cannot be ", "another folder", key)
    assert (tmp_path / "bars").read_text() == "a file where a folder should be"


@pytest.mark.parametrize("room", [1_000, 20_000], ids=["for nothing", "for half of the files"])
def test_a_disk_that_is_full_in_the_middle_of_a_run(tmp_path, room):
    """A real limit: the kernel refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        done = run(tmp_path, *SMALL, "tracker=none", f"hydra.run.dir={tmp_path / 'run'}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.code == 2, done
    line = done.err.splitlines()[-1]
    assert line == (
        f"hydra.run.dir={tmp_path / 'run'}: cannot be written (File too large); make room, or name another folder"
    )
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_same_from_a_shell(tmp_path):
    done = run_apart(tmp_path, *arguments_of(tmp_path, "data.seq_len=600"))
    refused(tmp_path, done, "AAPL", "503 days", "data.seq_len=600", "longer data.period")


def test_a_mistake_does_not_touch_a_run_that_stands_in_the_folder(tmp_path):
    directory = tmp_path / "run"
    arguments = [*SMALL, "tracker=none", f"hydra.run.dir={directory}"]
    assert run(tmp_path, *arguments).code == 0
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    for mistake in ("data.seq_len=0", "data.tickers=[NOPE]", "objective.metric=nope", "data.seq_len=600"):
        assert run(tmp_path, *arguments, mistake).code == 2
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
