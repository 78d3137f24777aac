"""The run directory: sealed, verified, and nobody else's files in it."""

import json
import shutil

import pandas as pd
import pytest

import forecast
from forecast.bundle import is_finished, verify
from forecast.data.sources import SampleSource
from forecast.errors import UserError

SMALL = ["trainer=smoke", "tracker=none", "data.period=3y", "model.hidden_size=4"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    directory.mkdir()
    (directory / "mine.txt").write_text("not the run's")
    return forecast.run(*SMALL, directory=directory)


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


def test_other_files_in_the_folder_are_left_out_of_the_seal(copy):
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
