"""What a run's tables and records say of each other: baselines, intervals and tests stand on the model's own rows."""

import json

import numpy as np
import pandas as pd
import pytest

import forecast
from forecast.bundle import verify
from forecast.data.sources import SampleSource
from forecast.evaluate import from_table

SMALL = ["trainer=smoke", "tracker=none", "data.period=5y", "model.hidden_size=4", "plots=false"]
KEYS = ["ticker", "date", "split", "step"]


@pytest.fixture(scope="module", params=["no_processing_single", "range_multiple", "range_panel"])
def run(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param) / "run"
    return forecast.run(*SMALL, f"data={request.param}", "data.horizon=2", directory=directory)


def test_baselines_stand_on_the_models_rows_and_their_figures_on_their_table(run):
    table = run.forecasts
    judged = table[table["split"] != "train"].reset_index(drop=True)
    others = pd.read_parquet(run.directory / "baselines.parquet")
    pd.testing.assert_frame_equal(judged[KEYS], others[KEYS])
    np.testing.assert_array_equal(judged["naive"], others["naive"])
    record = run.evaluation["baselines"]
    assert record["failed"] == {}
    assert {"naive", "drift", "ridge", "trees"} <= set(record["figures"])
    for name in record["figures"]:
        frame = table.copy()
        frame.loc[frame["split"] != "train", "forecast"] = others[name].to_numpy()
        expected = from_table(frame)
        for split in ("val", "test"):
            for figure, value in record["figures"][name][split].items():
                # the scale of MASE is measured on every training bar, not on the windows of the table
                if figure not in ("rows", "mase") and expected[f"{split}_{figure}"] is not None:
                    assert value == pytest.approx(expected[f"{split}_{figure}"], rel=1e-9, abs=1e-12)
    ranked = {name: figures["val"]["theil_u"] for name, figures in record["figures"].items()}
    assert record["best"] == min(ranked, key=ranked.get)
    dates = judged[judged["step"] == 1].groupby("split")["date"]
    together = dates.size() / dates.nunique()  # tickers a bar: not all of them are there from the first
    assert run.evaluation["target"]["tickers_together"] == pytest.approx(together.to_dict())


def test_intervals_are_on_test_rows_alone_and_hold_what_the_record_says(run):
    table = run.forecasts
    assert list(table.columns) == [*KEYS, "actual", "forecast", "naive", "lower", "upper"]
    tested = table["split"] == "test"
    assert table.loc[tested, ["lower", "upper"]].notna().all(axis=None)
    assert table.loc[~tested, ["lower", "upper"]].isna().all(axis=None)
    rows = table[tested]
    assert (rows["lower"] < rows["forecast"]).all()
    assert (rows["forecast"] < rows["upper"]).all()
    inside = (rows["lower"] <= rows["actual"]) & (rows["actual"] <= rows["upper"])
    assert run.metrics["test_coverage"] == pytest.approx(inside.mean(), abs=1e-12)
    below = (rows["lower"] - rows["actual"]).clip(lower=0) + (rows["actual"] - rows["upper"]).clip(lower=0)
    winkler = (rows["upper"] - rows["lower"] + 2 / 0.1 * below).mean()
    assert run.metrics["test_winkler"] == pytest.approx(winkler, rel=1e-9)


def test_the_bundle_gives_the_last_days_intervals(run):
    predictor = forecast.load(run.directory)
    source = SampleSource()
    tickers = predictor.tickers
    bars = {ticker: source.bars(ticker) for ticker in tickers}
    forecasts = predictor.predict(bars[tickers[0]] if predictor.scope == "single" else bars)
    assert (forecasts["lower"] < forecasts["forecast"]).all()
    assert (forecasts["forecast"] < forecasts["upper"]).all()
    # About as wide as on the last test day, as a share of the last price and of the volatility forecast; the widths
    # have only seen one outcome more.
    last = run.forecasts.query("split == 'test'").groupby(["ticker", "step"]).last()
    spread = predictor.intervals.spread

    def spreads(tables):
        windows = predictor.windows(tables)
        return dict(zip(windows.names, spread(windows.windows), strict=True))

    forecast_names = set(forecasts["ticker"])
    bars = {
        name: table for name, table in bars.items() if predictor.scope != "single" or name in forecast_names
    }
    now, horizon = spreads(bars), int(forecasts["step"].max())
    before = spreads({name: table.iloc[:-horizon] for name, table in bars.items()})
    for row in forecasts.itertuples():
        there = last.loc[(row.ticker, row.step)]
        assert (row.upper - row.lower) / row.naive / now[row.ticker] == pytest.approx(
            (there["upper"] - there["lower"]) / there["naive"] / before[row.ticker], rel=0.1
        )


def test_the_value_at_risk_stands_beside_the_forecasts(run):
    import pandas as pd

    risk = pd.read_parquet(run.directory / "risk.parquet")
    assert list(risk.columns) == [*KEYS, "var_1", "es_1", "var_5", "es_5"]
    rows = run.forecasts.query("split == 'test'")
    pd.testing.assert_frame_equal(risk[KEYS], rows[KEYS].reset_index(drop=True))
    assert (risk["es_5"] <= risk["var_5"]).all()
    assert (risk["var_1"] <= risk["var_5"]).all()
    first = (risk["step"] == 1).to_numpy()
    came = (rows["actual"] / rows["naive"] - 1).to_numpy()[first]
    below = (came < risk["var_5"].to_numpy()[first]).mean()
    assert run.metrics["test_var_5_violations"] == pytest.approx(below, abs=1e-12)
    assert "risk.parquet" in verify(run.directory)["files"]


def test_the_record_is_in_the_manifest_strict_and_repeated_by_flat_figures(run):
    text = (run.directory / "evaluation.json").read_text()
    record = json.loads(text, parse_constant=pytest.fail)
    assert record == run.evaluation
    assert {"evaluation.json", "baselines.parquet", "intervals.json", "golden.safetensors"} <= set(
        verify(run.directory)["files"]
    )
    test = record["significance"]["against"]["naive"]["squared"]["overall"]
    assert run.metrics["test_dm_p"] == test["p"]
    assert all(value is None or np.isfinite(value) for value in run.metrics.values())
    rows = run.forecasts.query("split == 'test' and step == 1")
    moved = rows[rows["actual"] != rows["naive"]]
    right = np.sign(moved["forecast"] - moved["naive"]) == np.sign(moved["actual"] - moved["naive"])
    low, high = run.metrics["test_direction_low"], run.metrics["test_direction_high"]
    assert low < run.metrics["test_direction"] < high
    assert 0 < right.mean() < 1


def test_without_any_of_it_a_run_is_what_it_was(tmp_path):
    plain = forecast.run(
        *SMALL,
        "baselines=none",
        "intervals=none",
        "evaluation.significance=null",
        "evaluation.economics=null",
        "evaluation.risk=null",
        directory=tmp_path / "run",
    )
    assert list(plain.forecasts.columns) == [*KEYS, "actual", "forecast", "naive"]
    assert not (plain.directory / "baselines.parquet").exists()
    assert not (plain.directory / "intervals.json").exists()
    assert not (plain.directory / "risk.parquet").exists()
    assert "test_coverage" not in plain.metrics
    assert "test_dm_p" not in plain.metrics
    assert forecast.load(plain.directory).predict(SampleSource().bars("AAPL")).shape[0] == 1


def test_a_network_of_quantiles_gives_the_intervals(tmp_path):
    run = forecast.run(*SMALL, "trainer.loss=quantile", directory=tmp_path / "run")
    rows = run.forecasts.query("split == 'test'")
    assert (rows["lower"] < rows["upper"]).all()
    relative = (rows["upper"] - rows["lower"]) / rows["naive"]
    assert relative.nunique() > len(rows) / 2  # as wide as the network says, which differs from day to day
    assert run.metrics["test_pinball_50"] == pytest.approx(run.metrics["test_mae"] / 2, rel=1e-6)
    assert run.metrics["test_pinball_5"] > 0
    assert 0.8 < run.metrics["test_coverage"] < 1
