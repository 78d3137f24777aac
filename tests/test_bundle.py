"""The run directory: its manifest, its verification, and no files of others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast.bundle import is_finished, load, read_golden, verify, verify_golden
from forecast.data.sources import SampleSource
from forecast.errors import UserError

SMALL = ["trainer=smoke", "tracker=none", "data.period=3y", "model.hidden_size=4", "plots=false"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    directory.mkdir()
    (directory / "mine.txt").write_text("not the run's")
    return forecast.run(*SMALL, "plots=true", directory=directory)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.directory, tmp_path / "copy")


def test_everything_promised_is_there_and_json_is_strict(finished):
    names = {path.relative_to(finished.directory).as_posix() for path in finished.directory.rglob("*")}
    promised = {
        "config.yaml",
        "metrics.json",
        "forecasts.parquet",
        "model.safetensors",
        "scaler.json",
        "report.html",
    }
    assert promised | {"run.log", "manifest.json", "data.json", "plots/forecast_test.png"} <= names
    assert not [name for name in names if name.endswith((".tmp", ".pkl", ".pt", ".ckpt"))]
    for path in finished.directory.glob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


def test_other_files_in_the_folder_are_not_in_the_manifest(copy):
    assert "mine.txt" not in verify(copy)["files"]
    (copy / "mine.txt").write_text("changed")
    forecast.load(copy)


@pytest.mark.parametrize(
    "name", ["config.yaml", "model.safetensors", "scaler.json", "metrics.json", "plots/moves.png"]
)
@pytest.mark.parametrize("how", ["altered", "missing", "a link"])
def test_altered_or_missing_files_are_refused(copy, name, how, tmp_path):
    path = copy / name
    if how == "altered":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "missing":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=name) as refused:
        forecast.load(copy)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 99, "version": "9", "files": {}}',
        '{"format": 2, "version": "1", "files": {"../x": ""}}',
        '{"format": 2, "version": "1", "files": {}}',
    ],
)
def test_a_damaged_manifest_is_refused(copy, content):
    (copy.parent / "x").write_text("")
    (copy / "manifest.json").write_text(content)
    with pytest.raises(UserError):
        forecast.load(copy)


def test_a_run_that_fails_in_an_old_directory_leaves_nothing_of_the_old_one(copy):
    with pytest.raises(RuntimeError, match="learning_rate"):
        forecast.run(*SMALL, "trainer.learning_rate=1e30", "trainer.gradient_clip=null", directory=copy)
    assert not is_finished(copy)
    assert not (copy / "metrics.json").exists()
    assert not (copy / "forecasts.parquet").exists()
    assert (copy / "mine.txt").exists()


OLD_RUN = Path(__file__).parent / "old_run"
# A network that moves: with these, its forecasts differ in the last bits from processor to processor.
MOVING = ["trainer.learning_rate=0.03", "trainer.weight_decay=0", "model.hidden_size=32", "baselines=none"]


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    directory = tmp_path_factory.mktemp("moving") / "run"
    return forecast.run(*SMALL, *MOVING, "trainer.threads=2", directory=directory).directory


def python(code, *arguments, **variables):
    """Run code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


VERIFY = "import sys; from forecast.bundle import load, verify_golden; d = sys.argv[1]; print(verify_golden(d, load(d)))"


def test_a_run_loads_on_another_kind_of_processor(moving):
    old = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}
    done = python(VERIFY, moving, **old)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(read_golden(moving).windows))), done.stderr


FORK = """
import os, sys, torch
from forecast.bundle import load, read_golden
torch.set_num_threads(2)
predictor, golden = load(sys.argv[1]), read_golden(sys.argv[1])
child = os.fork()
if child == 0:
    predictor.forecast_windows(golden.windows, golden.names)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


def test_loading_starts_no_threads_that_a_forked_process_would_wait_for(moving):
    done = python(FORK, moving, OMP_NUM_THREADS="2")
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr


def test_a_run_of_before_the_redesign_loads_and_proves_itself():
    assert verify_golden(OLD_RUN, load(OLD_RUN)) == 30
    predictor = load(OLD_RUN)
    bars = predictor_bars(OLD_RUN)
    recorded = pd.read_parquet(OLD_RUN / "forecasts.parquet").set_index("date")["forecast"]
    answer = predictor.predict(bars.iloc[:-1])
    assert recorded[bars.index[-1]] == pytest.approx(answer["forecast"].item(), rel=1e-6)


def predictor_bars(directory):
    from forecast.config import build, compose_saved

    config = compose_saved(directory)
    return build(config.source).bars(config.data.tickers[0])


def test_other_weights_are_noticed(moving, tmp_path):
    from safetensors.numpy import load_file, save_file

    copy = shutil.copytree(moving, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["1.bias"] = weights["1.bias"] + np.float32(1e-3)
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(UserError, match="does not give the forecasts it was recorded with"):
        verify_golden(copy, load(copy, verify=False))
    with pytest.raises(UserError, match=r"model\.safetensors: was altered"):
        load(copy)


@pytest.mark.parametrize(
    "model", ["naive", "drift", "historical_mean", "moving_average", "ridge", "trees", "ets"]
)
@pytest.mark.parametrize("strategy", ["range_single", "range_panel"])
def test_a_model_without_a_network_runs_loads_and_forecasts_the_same(model, strategy, tmp_path):
    plan = [f"model={model}", f"data={strategy}", "data.horizon=2", "baselines=none"]
    if model == "moving_average":
        plan.append("model.window=30")  # looks further back than a window
    words = [word for word in SMALL if not word.startswith("model.")]
    finished = forecast.run(*words, *plan, directory=tmp_path / "run")
    predictor = load(finished.directory)
    assert verify_golden(finished.directory, predictor) > 0
    source = SampleSource()
    bars = {ticker: source.bars(ticker).iloc[:-40] for ticker in predictor.tickers}
    recorded = finished.forecasts.set_index(["ticker", "date", "step"])["forecast"]
    first = source.bars("AAPL").index[-755]  # of data.period=3y
    for row in predictor.predict({ticker: own.loc[first:] for ticker, own in bars.items()}).itertuples():
        day = source.bars(row.ticker).index[-41 + row.step]
        if model != "historical_mean":  # it knows bars that the run did not have
            assert recorded[row.ticker, day, row.step] == pytest.approx(row.forecast, rel=1e-6)
    if predictor.enough is not None:
        few = predictor.predict({ticker: own.iloc[-predictor.enough :] for ticker, own in bars.items()})
        pd.testing.assert_frame_equal(few, predictor.predict(bars), rtol=1e-6)


def raw(last=None):
    bars = SampleSource().bars("AAPL")
    return bars if last is None else bars.loc[:last]


def test_bars_in_any_honest_form_give_the_same_forecast(finished):
    predictor = forecast.load(finished.directory)
    expected = predictor.predict(raw())
    assert expected["origin"].iloc[0] == raw().index[-1]
    as_column = raw().reset_index()
    with_zone = raw().tz_localize("America/New_York")
    as_text = raw().set_axis(raw().index.strftime("%Y-%m-%d"), axis=0)
    pairs = raw().set_axis(pd.MultiIndex.from_product([["AAPL"], raw().columns]), axis=1)
    without_open = raw().drop(columns="Open")
    for bars in (as_column, with_zone, as_text, pairs, without_open, {"AAPL": raw()}):
        pd.testing.assert_frame_equal(predictor.predict(bars), expected)


def test_adjusted_prices_are_used_as_in_training(finished):
    bars = raw()
    half = bars.assign(**{"Adj Close": bars["Close"]})
    half.loc[half.index < half.index[-5], ["Open", "High", "Low", "Close"]] *= 2.0  # a split not yet undone
    predictor = forecast.load(finished.directory)
    pd.testing.assert_frame_equal(predictor.predict(half), predictor.predict(bars))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda bars: bars.iloc[-5:], "5 bars, but the model looks back over 20"),
        (lambda bars: bars.iloc[::-1], "ascending"),
        (lambda bars: bars.drop(columns="Close"), "no Close"),
        (lambda bars: bars.rename(columns=str.lower), "no Close"),
        (lambda bars: bars.drop(columns="Volume"), "no Volume"),
        (lambda bars: bars.assign(High=bars["High"].where(bars.index != bars.index[-3])), "a gap or a NaN"),
        (
            lambda bars: bars.assign(Close=bars["Close"].where(bars.index != bars.index[-3], 0.0)),
            "a Close of 0 or less",
        ),
        (lambda bars: bars.assign(Volume=-1.0), "negative Volume"),
        (lambda bars: bars.assign(Close="x"), "is no number"),
        (lambda bars: {"AAPL": bars, "IBM": bars}, "one ticker at a time"),
    ],
)
def test_bars_that_cannot_be_forecast_are_refused_in_one_line(finished, spoil, message):
    with pytest.raises(UserError, match=message) as refused:
        forecast.load(finished.directory).predict(spoil(raw()))
    assert "\n" not in str(refused.value)


def test_trainer_none_is_no_run():
    with pytest.raises(UserError, match="trainer=none"):
        forecast.run("trainer=none", "tracker=none")
