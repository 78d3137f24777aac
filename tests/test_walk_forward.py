"""A walk-forward run: every fold is fitted as if it were the only one, and sees nothing of what comes after."""

import json

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast.bundle import load, verify_golden
from forecast.evaluate import from_table

KEYS = ["ticker", "date", "split", "step"]
SMALL = [
    "trainer=smoke",
    "tracker=none",
    "plots=false",
    "data=no_processing_panel",
    "data.tickers=[AAPL,IBM]",
    "data.period=4y",
    "model.hidden_size=4",
    "evaluation=walk_forward",
    "evaluation.step=40",
    "evaluation.val_days=60",
]


def walk(directory, *more):
    return forecast.run(*SMALL, *more, directory=directory)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return walk(tmp_path_factory.mktemp("three") / "run", "evaluation.folds=3")


def test_the_table_and_the_figures_hold_all_folds(three):
    table = three.forecasts
    assert not table.duplicated([*KEYS, "fold"]).any()
    assert sorted(table["fold"].unique()) == [0, 1, 2]
    assert not table[table["split"] == "test"].duplicated(KEYS).any()
    counts = table.groupby(["fold", "split"]).size()
    assert [counts[fold, "test"] for fold in range(3)] == [80, 80, 80]
    assert set(table.loc[table["split"] == "train", "fold"]) == {0}
    # Validation rows that folds share count once, as the last of them forecast it.
    assert table[table["split"] == "val"].duplicated(KEYS).any()
    expected = from_table(table.drop_duplicates(KEYS, keep="last"))
    for name, value in expected.items():
        if "_mase" not in name and value is not None:
            assert three.metrics[name] == pytest.approx(value, rel=1e-9), name
    folds = json.loads((three.directory / "evaluation.json").read_text())["folds"]
    for fold in folds:
        own = from_table(table[table["fold"] == fold["fold"]])
        assert fold["metrics"]["test_theil_u"] == pytest.approx(own["test_theil_u"], rel=1e-9)
        assert fold["ratios"]["test"] == pytest.approx(own["test_theil_u"], rel=1e-9)
        assert fold["train"][1] < fold["val"][0] < fold["val"][1] < fold["test"][0] < fold["test"][1]
    assert three.metrics["epochs"] == len(three.history) == sum(fold["epochs"] for fold in folds) == 6


def test_a_fold_is_fitted_from_the_seeds_first_weights_whatever_came_before(three, tmp_path):
    last = walk(tmp_path / "last", "evaluation.folds=1").forecasts
    of_three = three.forecasts.query("fold == 2 and split != 'train'").drop(columns="fold")
    pd.testing.assert_frame_equal(
        last[last["split"] != "train"].reset_index(drop=True), of_three.reset_index(drop=True)
    )
    assert verify_golden(three.directory, load(three.directory)) == 80


@pytest.mark.usefixtures("ray_cluster")
def test_several_folds_at_once_on_ray_give_the_same_bytes(three, tmp_path):
    parallel = walk(tmp_path / "run", "evaluation.folds=3", "evaluation.parallel=2")
    for name in ("forecasts.parquet", "model.safetensors"):
        assert (parallel.directory / name).read_bytes() == (three.directory / name).read_bytes()
    assert parallel.metrics | {"seconds": 0} == three.metrics | {"seconds": 0}


def test_never_fitted_again(three, tmp_path):
    once = walk(tmp_path / "run", "evaluation.folds=3", "evaluation.refit_every=null")
    assert once.metrics["epochs"] == 2
    assert [fold["refit"] for fold in once.evaluation["folds"]] == [True, False, False]
    first = {
        name: run.forecasts.query("fold == 0")["forecast"].to_numpy()
        for name, run in [("a", once), ("b", three)]
    }
    np.testing.assert_array_equal(first["a"], first["b"])
    later = {
        name: run.forecasts.query("fold == 2")["forecast"].to_numpy()
        for name, run in [("a", once), ("b", three)]
    }
    assert (later["a"] != later["b"]).any()


def test_a_fold_sees_nothing_of_the_days_after_it(three, tmp_path):
    bars = tmp_path / "bars"
    bars.mkdir()
    from forecast.data.sources import SampleSource

    end = pd.Timestamp(three.evaluation["folds"][0]["test"][1])
    rng = np.random.default_rng(0)
    for ticker in ("AAPL", "IBM"):
        table = SampleSource().bars(ticker)
        later = table.index > end
        table.loc[later, ["Open", "High", "Low", "Close"]] *= rng.uniform(0.9, 1.1, later.sum())[:, None]
        table.to_csv(bars / f"{ticker}.csv")
    spoilt = walk(
        tmp_path / "run", "evaluation.folds=3", "source=files", f"source.path={bars}", "source.adjust=false"
    )
    for run in (three, spoilt):
        assert set(run.forecasts["fold"]) == {0, 1, 2}
    first = [run.forecasts.query("fold == 0").reset_index(drop=True) for run in (three, spoilt)]
    pd.testing.assert_frame_equal(*first)
    assert (
        not three.forecasts.query("fold == 2")
        .reset_index(drop=True)
        .equals(spoilt.forecasts.query("fold == 2").reset_index(drop=True))
    )
