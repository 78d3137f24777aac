"""Every target through the whole of a run: recorded in its unit, loaded, forecast ahead."""

import json

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast.bundle import verify_golden
from forecast.config import build, compose_saved, conf_folder
from forecast.data.sources import SampleSource
from forecast.data.timing import Bars
from forecast.evaluate.summary import LOSS_WORDS

TARGETS = sorted(path.stem for path in conf_folder().glob("target/*.yaml"))
# A strategy, a model and an evaluation: each scope, and a network, a learner of tables and what learns nothing.
NETWORK = ("data=volatility_single", "model=lstm", "model.hidden_size=4", "data.horizon=2")
RIDGE = ("data=volatility_panel", "data.tickers=[AAPL,IBM]", "model=ridge", "evaluation=walk_forward")
NAIVE = ("data=range_multiple", "data.tickers=[AAPL,IBM]", "model=naive", "evaluation=walk_forward")
QUICK = ("trainer=smoke", "data.period=2y", "baselines=none")
FOLDS = ("evaluation.folds=2", "evaluation.step=40", "evaluation.val_days=60")


def overrides_of(target, setup):
    span = () if target == "close" else ("target.span=3",)
    return (f"target={target}", *setup, *QUICK, *span, *(FOLDS if setup is not NETWORK else ()))


def check_record(directory):
    """What stands in a run directory is what the target says of the bars."""
    config = compose_saved(directory)
    target = build(config.target).of_bars(Bars(interval="1d", calendar="XNYS"))
    table = pd.read_parquet(directory / "forecasts.parquet")
    assert np.isfinite(table[["actual", "forecast", "naive"]].to_numpy()).all()
    for ticker, rows in table.groupby("ticker"):
        values = target.values(SampleSource().bars(ticker))
        in_unit = pd.Series(target.in_unit(values.to_numpy()), values.index)
        np.testing.assert_allclose(rows["actual"], in_unit.loc[rows["date"]], rtol=2e-5, atol=1e-7)
        place = values.index.get_indexer(rows["date"]) - target.lead - rows["step"].to_numpy()
        naive = target.naive(values.to_numpy()[place][:, None])
        np.testing.assert_allclose(rows["naive"], naive, rtol=2e-5, atol=1e-7)
    if target.floor is not None:
        assert (table["forecast"] >= target.floor).all()
    if target.relation == "probability":
        assert table["forecast"].between(0, 1).all()
    return target, table


def check_ahead(directory, target, table):
    """The bars to come: the last forecast of the table from fewer bars, and dates after the last bar."""
    future = forecast.future(directory)
    ahead = future.table
    first = ahead[ahead["ticker"] == table["ticker"].iloc[0]]
    after = Bars(interval="1d", calendar="XNYS").next_times(first["origin"].to_numpy()[:1], 5 + target.lead)
    assert first["date"].to_numpy().tolist() == after[0, target.lead : target.lead + len(first)].tolist()
    errors = json.loads((directory / "evaluation.json").read_text())["target"]["errors"]["test"]
    error = f'times as much as "{target.naive_name}" ({LOSS_WORDS[target.losses[0]][1]})'
    assert any(f"{errors['model'] / errors['naive']:.3f} {error}" in note for note in future.notes), (
        future.notes
    )
    predictor = forecast.load(directory)
    assert verify_golden(directory, predictor) > 0
    bars = {name: SampleSource().bars(name) for name in predictor.tickers}
    cut = {name: own.iloc[: -target.lead - predictor.horizon] for name, own in bars.items()}
    again = predictor.predict(cut if len(cut) > 1 else next(iter(cut.values())))
    for ticker, rows in again.groupby("ticker"):
        own = table[(table["ticker"] == ticker) & (table["split"] == "test")].iloc[-len(rows) :]
        np.testing.assert_allclose(rows["forecast"], own["forecast"], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(rows["naive"], own["naive"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("target", "setup"),
    [
        (target, setup)
        for place, target in enumerate(TARGETS)
        for setup in (NETWORK, (RIDGE, NAIVE)[place % 2])
    ],
)
def test_a_run_of_every_target(trained_runs, target, setup):
    directory = trained_runs(*overrides_of(target, setup))
    kind, table = check_record(directory)
    check_ahead(directory, kind, table)
    tests = json.loads((directory / "evaluation.json").read_text())["significance"]["against"]["naive"]
    overall = next(iter(tests.values()))["overall"]
    assert overall["lags"] == kind.lead + table["step"].max() - 1, "errors of so many origins share bars"
    if setup is NAIVE:
        assert (table["forecast"] == table["naive"]).all()
