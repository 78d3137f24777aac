"""Covariates through whole runs: seen by every kind of model, fetched again by predictions, caught by the audit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from commands import run
from composed import compose
from markets import Memory, random_bars
from trained import run_without_plots

import forecast
from forecast.audit.__main__ import main as audit
from forecast.config import build
from forecast.data import HealthCheck, MarketData, TimeSeriesScaler
from forecast.data.covariates import CalendarCovariate, PastCovariate
from forecast.data.features import NoProcessing
from forecast.errors import UserError
from forecast.finished_runs import read_run
from forecast.model import Har, Ridge, Trees

HOUR = pd.Timedelta("1h")


def leading(count=900, *, seed=4):
    """Bars whose next return X foretells in part, and X."""
    rng = np.random.default_rng(seed)
    bars, x = random_bars(count, seed=seed), random_bars(count, seed=seed + 1)
    signal = rng.normal(0, 0.01, count)
    moves = np.concatenate(([0.0], signal[:-1])) + rng.normal(0, 0.005, count)
    close = 50 * np.exp(np.cumsum(moves))
    bars = pd.DataFrame(
        {"Open": close, "High": close * 1.001, "Low": close * 0.999, "Close": close, "Volume": 1e6},
        index=bars.index,
    )
    return bars, x.assign(**dict.fromkeys(("Open", "High", "Low", "Close"), 10 + 100 * signal))


def errors(data, forecaster, split="test"):
    """Root mean squared error of a fitted forecaster."""
    forecaster.fit(data)
    windows = data.windows_[split]
    batch = windows.take(np.arange(len(windows)))
    away = forecaster.forecast(batch).values - batch.outcome
    return float(np.sqrt(np.mean(np.square(away))))


@pytest.mark.parametrize("make", [lambda: Har(covariates=True), Ridge, Trees], ids=["har", "ridge", "trees"])
def test_what_leads_is_seen_by_every_learner(make):
    bars, x = leading()
    keys = {"scope": "single", "seq_len": 22, "scaler": TimeSeriesScaler(), "features": NoProcessing()}
    with_x, without = (
        MarketData(source=Memory({"A": bars, "X": x}), tickers=["A"], covariates=covariates, **keys)
        for covariates in ({"x": PastCovariate(ticker="X", lag=0)}, None)
    )
    with_x.prepare()
    without.prepare()
    assert "nothing shows that it was known" in with_x.covariates.unproved["x"]
    assert not without.covariates.unproved
    assert errors(with_x, make()) < 0.8 * errors(without, make())


def test_a_network_sees_what_leads(tmp_path):
    bars, x = leading(500)
    bars.to_csv(tmp_path / "A.csv")
    x.to_csv(tmp_path / "X.csv")
    words = [
        "source=files", f"source.path={tmp_path}", "data.tickers=[A]", "data.health.calendar=null", "model=lstm",
        "model.hidden_size=8", "model.num_layers=1", "trainer.max_epochs=3", "baselines=none", "intervals=none",
        "evaluation.significance=null", "tracker=none", "plots=false",
    ]  # fmt: skip
    with_x = [
        "covariates=vix", "data.covariates.vix.ticker=X", "data.covariates.vix.published=null",
        "data.covariates.vix.transform=level",
    ]  # fmt: skip
    without, seen = (
        forecast.run(*words, *more, directory=tmp_path / f"run{number}").metrics["test_rmse"]
        for number, more in enumerate(([], with_x))
    )
    assert seen < 0.8 * without
    verdict = read_run(tmp_path / "run1").verdict
    assert any(line.startswith("data.covariates.vix: the row of") for line in verdict.warnings)


def test_the_vix_improves_the_volatility_of_the_sp500(tmp_path):
    """Of the same day, published at 16:15, forecast in the evening: 12 % less squared error on test, 29 % on val."""
    import arch.data.sp500
    import arch.data.vix

    vix = arch.data.vix.load()
    arch.data.sp500.load().loc["2014-01-06":].to_csv(tmp_path / "^GSPC.csv", index_label="Date")
    vix.rename(columns={"vix": "Close"}).to_csv(tmp_path / "^VIX.csv", index_label="Date")
    words = [
        "source=files", f"source.path={tmp_path}", "data.tickers=['^GSPC']", "target=volatility", "model=har",
        "baselines=none", "intervals=none", "trainer=smoke", "tracker=none",
    ]  # fmt: skip
    runs = [
        run_without_plots(*words, *more, directory=tmp_path / f"run{number}")
        for number, more in enumerate(([], ["covariates=vix"]))
    ]
    for split in ("val", "test"):
        without, with_vix = (run.metrics[f"{split}_rmse"] ** 2 for run in runs)
        assert with_vix < 0.92 * without, split
        assert runs[1].metrics[f"{split}_rows"] == runs[0].metrics[f"{split}_rows"] > 150


def test_hours_of_the_day_known_ahead_improve_ranges_of_hours():
    """Synthetic: a day's ranges follow two humps, as those of EUR/USD do around the openings of London and New York."""
    rng = np.random.default_rng(8)
    index = pd.date_range("2023-01-02", periods=24 * 400, freq="h", name="Date").as_unit("ns")
    hour = index.hour.to_numpy()
    hump = 1 + 2.5 * np.exp(-np.square((hour - 8) / 1.5)) + 3.5 * np.exp(-np.square((hour - 14) / 2.0))
    level = np.zeros(len(index))
    for place in range(1, len(index)):
        level[place] = 0.95 * level[place - 1] + rng.normal(0, 0.1)
    size = 0.0004 * hump * np.exp(level + rng.normal(0, 0.35, len(index)))
    close = 1.1 * np.exp(np.cumsum(size * rng.normal(0, 0.4, len(index))))
    bars = pd.DataFrame(
        {
            "Open": close,
            "High": close * (1 + size / 2),
            "Low": close * (1 - size / 2),
            "Close": close,
            "Volume": 1.0,
        },
        index=index,
    )
    target = compose("target=range").target
    found = {}
    for name, covariates in (("without", None), ("with", {"hour": CalendarCovariate(fields=["hour"])})):
        data = MarketData(
            source=Memory({"EURUSD": bars}),
            tickers=["EURUSD"],
            scope="single",
            interval="1h",
            calendar=None,
            health=HealthCheck(calendar="24/7"),
            features=NoProcessing(),
            target=build(target),
            seq_len=24,
            scaler=TimeSeriesScaler(),
            covariates=covariates,
        )
        data.prepare()
        found[name] = errors(data, Har(covariates=True))
    assert found["with"] < 0.95 * found["without"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a ticker with a column of its own, of a rate, and a finished run that looks at both."""
    folder = tmp_path_factory.mktemp("covariates")
    bars, x = leading(500)
    (folder / "bars").mkdir()
    (folder / "rates").mkdir()
    bars.assign(Mood=x["Close"].to_numpy()).round(6).to_csv(folder / "bars" / "A.csv")
    weeks = pd.date_range(bars.index[0], bars.index[-1], freq="W-MON", name="Date")
    rates = pd.DataFrame({"Rate": np.linspace(1, 2, len(weeks))}, index=weeks.strftime("%d/%m/%Y"))
    rates.to_csv(folder / "rates" / "WEEKLY.csv", index_label="Date", sep=";", decimal=",")
    done = run(folder, *asked(), "hydra.run.dir=run")
    assert done.code == 0, done.err
    return folder


def asked():
    return [
        "source=files", "source.path=bars", "data.tickers=[A]", "data.horizon=2", "model=ridge", "baselines=none",
        "trainer=smoke", "tracker=none", "plots=false", "covariates=[columns,file,calendar]",
        "data.covariates.columns.columns=[Mood]", "data.covariates.file.source.path=rates",
        "data.covariates.file.ticker=WEEKLY", "data.covariates.file.columns=[Rate]", "data.health.calendar=null",
    ]  # fmt: skip


def test_a_run_says_what_it_looked_at_and_replays_from_anywhere(folder, tmp_path):
    facts = json.loads((folder / "run" / "scaler.json").read_text())
    assert list(facts["covariates"])[:2] == ["columns", "file"]
    assert facts["covariates"]["calendar.weekday_sin+2"] == 2
    notes = json.loads((folder / "run" / "data.json").read_text())["covariates"]
    assert notes["columns"].startswith(
        "Mood of A: 500 rows, one a day, 2020-01-01 to 2021-11-30; the bar of 2021-11-30"
    )
    assert "one every 5 days" in notes["file"]
    saved = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    source = saved["data"]["covariates"]["file"]["source"]
    assert source["path"] == str(folder / "rates")
    assert [(one["separator"], one["decimal"], one["dates"]) for one in source["layouts"]] == [
        (";", ",", "dmy")
    ]
    done = run(tmp_path, "-cd", str(folder / "run"), "-cn", "config", "hydra.run.dir=again")
    assert done.code == 0, done.err
    ours, theirs = (pd.read_parquet(at / "forecasts.parquet") for at in (folder / "run", tmp_path / "again"))
    assert ours.equals(theirs)


def test_predictions_fetch_them_or_want_them(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ahead = forecast.future(folder / "run")
    assert ahead.table["step"].tolist() == [1, 2]
    predictor = forecast.load(folder / "run")
    bars = pd.read_csv(folder / "bars" / "A.csv", index_col="Date", parse_dates=True).iloc[-60:]
    with pytest.raises(
        UserError, match=r"A: the bars have no column columns, file, calendar\.weekday_sin.*a covariate"
    ):
        predictor.predict({"A": bars})
    zeros = predictor.predict({"A": bars.join(pd.DataFrame(0.0, bars.index, list(predictor.covariates)))})
    assert np.isfinite(zeros["forecast"]).all()
    assert not np.allclose(zeros["forecast"], ahead.table["forecast"])
    elsewhere = tmp_path / "moved"
    shutil.copytree(folder / "rates", elsewhere)
    moved = forecast.future(folder / "run", f"data.covariates.file.source.path={elsewhere}")
    assert moved.table.equals(ahead.table)
    with pytest.raises(UserError, match=r"data\.covariates\.file\.lag=3: the model was trained otherwise"):
        forecast.future(folder / "run", "data.covariates.file.lag=3")


def test_a_series_that_has_ended_is_not_forecast_from(folder, tmp_path):
    short = tmp_path / "short"
    short.mkdir()
    lines = (folder / "rates" / "WEEKLY.csv").read_text().splitlines()
    (short / "WEEKLY.csv").write_text("\n".join(lines[:-12]) + "\n")
    with pytest.raises(UserError, match=r"data\.covariates\.file: WEEKLY: .*the last value known is of"):
        forecast.future(folder / "run", f"data.covariates.file.source.path={short}")


@pytest.mark.parametrize(
    ("keys", "code", "message"),
    [
        ([], 0, "known in time: columns, file"),
        (["data.covariates.columns.lag=0"], 1, "covariate columns: the row of"),
    ],
    ids=["as it was known", "of the same bar"],
)
def test_the_audit_catches_a_covariate_without_its_lag(folder, monkeypatch, capsys, keys, code, message):
    monkeypatch.chdir(folder)
    assert audit([*asked(), *keys]) == code
    (line,) = (
        line for line in capsys.readouterr().out.splitlines() if line[8:].startswith("covariates known")
    )
    assert line.startswith("LEAK" if code else "passed")
    assert message in line


def test_a_faulty_key_is_refused_before_anything_is_fetched(tmp_path):
    done = run(tmp_path, "covariates=vix", "data.covariates.vix.lag=-1", "data.covariates.vix.missing=fill")
    assert (done.code, list(tmp_path.iterdir())) == (2, [])
    assert done.err.splitlines() == [
        "data.covariates.vix.lag=-1: must be >= 0 or null",
        "data.covariates.vix.missing=fill: must be one of last, drop, error",
    ]
    for typed, rule in (
        ("vix", "must be a mapping or a list or null"),
        ("{z:{ticker:q}}", "must be a mapping with _target_ or null"),
        ("[{ticker:q}]", "must be a mapping with _target_"),
    ):
        done = run(tmp_path, f"data.covariates={typed}")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert done.err.startswith("data.covariates")
        assert rule in done.err
    with pytest.raises(UserError, match=r"^data\.covariates\.vix\.published=25:00: must be a time of day"):
        build(compose("covariates=vix", "data.covariates.vix.published=25:00").data)
    done = run(tmp_path, "covariates=vix", "trainer=none")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("data.covariates.vix: source=sample: has no ticker '^VIX'")
