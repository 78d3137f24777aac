"""A run again: from the same words, from its saved config, from Python, and from bars alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import SMALL, Done, run, run_apart
from markets import random_bars

import forecast
from forecast.data.sources import SampleSource

ARGUMENTS = (*SMALL, "tracker=none", "seed=3")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run."""
    folder = tmp_path_factory.mktemp("original")
    assert run(folder, *ARGUMENTS, "hydra.run.dir=run").code == 0
    return folder / "run"


def replay(directory: Path, folder: Path, *arguments: str) -> Done:
    """`directory`'s saved config again, into folder/again."""
    return run(folder, "-cd", str(directory), "-cn", "config", "hydra.run.dir=again", *arguments)


def metrics_of(directory: Path) -> str:
    """metrics.json to the letter, but for the time it took."""
    lines = (directory / "metrics.json").read_text().splitlines()
    kept = [line for line in lines if '"seconds"' not in line]
    assert len(kept) == len(lines) - 1
    return "\n".join(kept)


def saved(directory: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.load(directory / "config.yaml"))


def same_result(directory: Path, other: Path) -> None:
    assert metrics_of(directory) == metrics_of(other)
    for name in ("forecasts.parquet", "model.safetensors", "scaler.json", "history.json", "data.json"):
        assert (directory / name).read_bytes() == (other / name).read_bytes(), name
    assert saved(directory)["provenance"]["identity"] == saved(other)["provenance"]["identity"]


def test_the_same_words_in_another_process(original, tmp_path):
    done = run_apart(tmp_path, *ARGUMENTS, "hydra.run.dir=again", cold=True)
    assert done.code == 0, done.err
    same_result(original, tmp_path / "again")


def test_another_seed_is_another_run(original, tmp_path):
    assert run(tmp_path, *ARGUMENTS, "seed=4", "hydra.run.dir=again").code == 0
    assert metrics_of(original) != metrics_of(tmp_path / "again")
    weights = "model.safetensors"
    assert (original / weights).read_bytes() != (tmp_path / "again" / weights).read_bytes()


def test_from_python(original, tmp_path):
    done = forecast.run(*ARGUMENTS, directory=tmp_path / "again")
    same_result(original, tmp_path / "again")
    assert done.directory == tmp_path / "again"
    assert done.metrics == json.loads((tmp_path / "again" / "metrics.json").read_text())
    pd.testing.assert_frame_equal(done.forecasts, pd.read_parquet(original / "forecasts.parquet"))
    assert all(figure.is_file() for figure in done.figures.values())


def test_a_saved_config(original, tmp_path):
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    assert replay(original, tmp_path).code == 0
    same_result(original, tmp_path / "again")
    assert saved(tmp_path / "again")["provenance"]["choices"]["model"] == "lstm"
    # and that of a replay just as well
    assert replay(tmp_path / "again", tmp_path, "hydra.run.dir=third").code == 0
    same_result(original, tmp_path / "third")
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before


def test_a_saved_config_with_another_value(original, tmp_path):
    assert replay(original, tmp_path, "model.hidden_size=3", "data.period=1y").code == 0
    config = saved(tmp_path / "again")
    assert (config["model"]["hidden_size"], config["data"]["period"], config["seed"]) == (3, "1y", 3)
    assert metrics_of(original) != metrics_of(tmp_path / "again")
    assert config["provenance"]["identity"] != saved(original)["provenance"]["identity"]


@pytest.mark.parametrize("override", ["model=gru", "data=range_single", "trainer=default", "tracker=mlflow"])
def test_a_saved_config_has_no_groups(original, tmp_path, override):
    done = replay(original, tmp_path, override)
    assert (done.code, done.out, list(tmp_path.iterdir())) == (2, "", [])
    assert done.err == (
        f"{override}: a saved config has no groups to choose from; set plain keys (model.hidden_size=64) "
        f"or start afresh with python run.py {override}\n"
    )


def test_a_misspelt_key_of_a_saved_config(original, tmp_path):
    done = replay(original, tmp_path, "model.hiden_size=3")
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert done.err == "model.hiden_size: no such key; did you mean model.hidden_size?\n"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A run whose bars were changed since, by a cent on one day."""
    bars = random_bars(300, seed=0).round(4)
    (tmp_path / "bars").mkdir()
    bars.to_csv(tmp_path / "bars" / "AAPL.csv")
    source = ["source=files", f"source.path={tmp_path / 'bars'}", "data.period=max"]
    assert run(tmp_path, *ARGUMENTS, *source, "hydra.run.dir=first").code == 0
    assert replay(tmp_path / "first", tmp_path).code == 0
    same_result(tmp_path / "first", tmp_path / "again")
    bars.loc[bars.index[100], "Volume"] += 1
    bars.to_csv(tmp_path / "bars" / "AAPL.csv")
    return tmp_path / "first"


def test_a_saved_config_on_changed_bars(changed, tmp_path):
    fingerprint = saved(changed)["provenance"]["data_fingerprint"]

    done = replay(changed, tmp_path, "hydra.run.dir=refused")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("on_data_change=error: the bars differ from those of the saved run")
    assert fingerprint in done.err
    assert done.err.endswith("on_data_change=warn goes on\n")
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "refused").exists()

    done = replay(changed, tmp_path, "hydra.run.dir=warned", "on_data_change=warn")
    assert done.code == 0
    assert "the bars differ from those of the saved run" in done.err
    assert "the bars differ from those of the saved run" in (tmp_path / "warned" / "run.log").read_text()
    assert saved(tmp_path / "warned")["provenance"]["data_fingerprint"] != fingerprint

    # Other bars were asked for: nobody expects the same.
    done = replay(changed, tmp_path, "hydra.run.dir=other", "data.end=2020-12-31")
    assert (done.code, "differ" in done.err) == (0, False)


STRATEGIES = [
    ("range_single", "lstm", []),
    ("no_processing_single", "linear", ["data.anchor=none"]),
    ("no_processing_multiple", "gru", []),
    ("range_multiple", "tcn", []),
    ("no_processing_panel", "lstm_deep", []),
    ("range_panel", "mlp", []),
    ("returns_panel", "ensemble", ["model.members=2", "data.instance_norm=true"]),
    ("returns_single", "linear", ["trainer.loss=quantile", "data.calendar=XNYS"]),
    ("technical_single", "gru", ["data.period=4y", "data.anchor=none", "data.instance_norm=true"]),
    ("technical_multiple", "lstm", ["data.period=4y", "data.calendar=XNYS", "trainer.loss=huber"]),
]


@pytest.mark.parametrize(("strategy", "model", "more"), STRATEGIES, ids=lambda value: str(value))
def test_bars_up_to_a_day_give_the_recorded_forecast(tmp_path, strategy, model, more):
    directory = tmp_path / "run"
    arguments = [*ARGUMENTS, f"data={strategy}", f"model={model}", "data.horizon=3", *more]
    done = forecast.run(*arguments, directory=directory)
    recorded = done.forecasts.set_index(["ticker", "date", "step"])
    predictor = forecast.load(directory)
    source = SampleSource()
    bars = {ticker: source.bars(ticker) for ticker in predictor.tickers}
    days = bars[predictor.tickers[0]].index[-500:-3]

    origins = [days[at] for at in (100, 300, 400, 401, 460, 496)]  # of each split
    seen = set()
    for origin in origins:
        known = {ticker: table.loc[:origin] for ticker, table in bars.items()}
        answers = predictor.predict(known["AAPL"] if strategy.endswith("single") else known)
        assert set(answers["origin"]) == {origin}
        assert len(answers) == 3 * (4 if strategy.endswith("panel") else 1)
        for row in answers.itertuples():
            table = bars[row.ticker]
            day = table.index[table.index.get_loc(origin) + row.step]
            there = recorded.loc[(row.ticker, day, row.step)]
            assert there["forecast"] == pytest.approx(row.forecast, rel=1e-6)
            assert there["naive"] == row.naive == pytest.approx(table["Close"][origin], rel=1e-6)
            seen.add(there["split"])
    assert seen == {"train", "val", "test"}

    if predictor.enough is not None:
        last = {ticker: table.iloc[-predictor.enough :] for ticker, table in known.items()}
        again = predictor.predict(last["AAPL"] if strategy.endswith("single") else last)
        pd.testing.assert_frame_equal(again, answers, rtol=1e-6)
    every = predictor.predict(known["AAPL"] if strategy.endswith("single") else known, every=True)
    last = every[every["origin"] == origins[-1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(last, answers, rtol=1e-6)
