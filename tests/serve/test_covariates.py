"""A model that looks at covariates: its columns are named, taken in rows, and fetched for the latest bars."""

from __future__ import annotations

import numpy as np
import pytest
from markets import random_bars
from service import in_process
from trained import run_without_plots

from forecast.data.sources import FileSource
from forecast.data.timing import Bars
from forecast.model.building import build_covariates

BESIDE = ["calendar.weekday_sin+1", "calendar.weekday_cos+1", "x"]


@pytest.fixture(scope="module", params=["single", "multiple"])
def served(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "bars").mkdir()
    for seed, ticker in enumerate(("A", "B", "X")):
        random_bars(300, seed=seed, first="2023-10-02").to_csv(folder / "bars" / f"{ticker}.csv")
    tickers = "[A]" if request.param == "single" else "[A,B]"
    run_without_plots(
        "source=files", f"source.path={folder / 'bars'}", f"data=no_processing_{request.param}",
        f"data.tickers={tickers}", "model=ridge", "trainer=smoke", "tracker=none", "baselines=none",
        "covariates=calendar", "data.covariates.calendar.fields=[weekday]", "data.seq_len=6",
        "+data.covariates.x={_target_:forecast.data.covariates.PastCovariate,ticker:X,transform:log_change}",
        directory=folder / "run",
    )  # fmt: skip
    with in_process(folder / "run", folder / "served", deadline_s=60.0) as app:
        yield app, folder, ["A"] if request.param == "single" else ["A", "B"]


def rows(folder, tickers):
    """What /infer wants: the bars of each ticker, then the covariates of the first."""
    from forecast.config import compose_saved

    source = FileSource(path=str(folder / "bars"))
    covariates = build_covariates(compose_saved(folder / "run"), lead=0, horizon=1)
    bars = covariates.attach("A", source.bars("A"), bars=Bars(calendar="XNYS"), source=source)
    delivered = [source.bars(ticker)[["High", "Low", "Close", "Volume"]] for ticker in tickers]
    return np.concatenate([*delivered, bars[list(covariates.columns)]], axis=1)[-30:]


def test_rows_with_covariates_are_forecast_as_from_the_source(served):
    app, folder, tickers = served
    given = rows(folder, tickers)
    latest = app.get("/forecast/A").json()
    answer = app.post("/infer", {"sequence": given.tolist(), "ticker": "A"})
    assert answer.status == 200, answer.body
    assert answer.json()["prediction"] == pytest.approx(latest["forecast"][0]["prediction"], rel=1e-6)
    other = given.copy()
    other[-1, -1] += 0.5
    assert (
        app.post("/infer", {"sequence": other.tolist()}).json()["prediction"] != answer.json()["prediction"]
    )


def test_which_columns_it_wants(served):
    app, folder, tickers = served
    given = rows(folder, tickers)
    named = app.get("/ui/model").json()["columns"]
    assert named[-3:] == BESIDE
    assert len(named) == given.shape[1] == 4 * len(tickers) + 3
    refused = app.post("/infer", {"sequence": given[:, :-3].tolist()})
    assert refused.status == 400
    assert f"expected {len(named)}: " in refused.detail()
    assert refused.detail().endswith("; " + ", ".join(BESIDE))
    assert "looks at covariates too" in app.post("/infer", {"sequence": given[:, 2].tolist()}).detail()
    spoiled = given.copy()
    spoiled[3, -1] = 1e300
    assert "(x) is not a finite number" in app.post("/infer", {"sequence": spoiled.tolist()}).detail()


def test_it_is_ready_and_gives_an_example_that_works(served):
    app, _, _ = served
    assert app.get("/readyz").status == 200
    (example,) = app.get("/openapi.json").json()["components"]["schemas"]["Infer"]["examples"]
    assert app.post("/infer", example).status == 200
