"""What is no price is served in its own unit, as it was recorded: by a window, from the source, and by the protocol."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from forgery import rewrite_manifest
from service import in_process, wait, window
from trained import run_without_plots

from forecast.data.sources import SampleSource
from forecast.serve.monitoring import Monitoring, Outcomes

COLUMNS = ["Open", "High", "Low", "Close", "Volume"]
# target, model, unit, columns of a row, what makes closes alone too little
CASES = {
    "volatility": ("har", "percent a year", COLUMNS, "High, Low"),
    "range": ("trees", "fraction", COLUMNS[1:], "High, Low"),
    "volume": ("naive", "shares", COLUMNS[1:], "Volume"),
    "direction": ("ridge", "probability", COLUMNS[1:], None),
    "return": ("lstm", "log return", COLUMNS[1:], None),
}


@pytest.fixture(scope="module", params=CASES)
def served(request, tmp_path_factory):
    """A server of one target, its run and the row of CASES."""
    model, *facts = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    plain = ("trainer=smoke", "tracker=none", "baselines=none", "data.period=4y", "data.horizon=2")
    run_without_plots(*plain, f"target={request.param}", f"model={model}", directory=folder / "run")
    watch = Monitoring(outcomes=Outcomes(file="outcomes.db"))
    with in_process(folder / "run", folder / "served", watch=watch, deadline_s=60.0) as app:
        yield app, pd.read_parquet(folder / "run" / "forecasts.parquet"), request.param, *facts


def test_windows_get_what_the_run_recorded(served):
    app, table, target, unit, columns, needed = served
    bars = SampleSource().bars("AAPL")[COLUMNS]
    # what was forecast of the last day but one, from the bars up to the one before
    tested = table[(table["split"] == "test") & (table["step"] == 1)].sort_values("date").iloc[-2]
    last = bars.index.get_loc(tested["date"]) - 1
    rows = bars[columns].to_numpy()[last - 99 : last + 1]
    body = {"sequence": rows.tolist(), "ticker": "AAPL"}
    answer = app.post("/infer", body).json()
    assert (answer["target"], answer["unit"]) == (target, unit)
    assert answer["prediction"] == pytest.approx(tested["forecast"], rel=1e-6, abs=1e-9)
    assert len(answer["forecast"]) == 2
    tensor = {
        "name": "sequence",
        "shape": [1, *rows.shape],
        "datatype": "FP64",
        "data": rows.ravel().tolist(),
    }
    protocol = app.post("/v2/models/champion/infer", {"inputs": [tensor]}).json()
    assert (protocol["parameters"]["target"], protocol["parameters"]["unit"]) == (target, unit)
    assert protocol["outputs"][0]["data"] == pytest.approx(answer["forecast"], rel=1e-6)
    closes = app.post("/infer", {"sequence": rows[:, columns.index("Close")].tolist()})
    if needed is None:
        assert (closes.status, closes.json()["unit"]) == (200, unit)
    else:
        assert closes.status == 400
        assert f"target={target} is made of {needed}" in closes.detail()


def test_the_latest_bars_and_the_facts(served):
    app, _, target, unit, columns, _ = served
    answer = app.get("/forecast/AAPL").json()
    assert (answer["target"], answer["unit"], len(answer["forecast"])) == (target, unit, 2)
    bars = SampleSource().bars("AAPL")[columns].to_numpy()[-100:]
    by_window = app.post("/infer", {"sequence": bars.tolist()}).json()
    days = [day["prediction"] for day in answer["forecast"]]
    assert days == pytest.approx(by_window["forecast"], rel=1e-6, abs=1e-9)
    assert app.get("/readyz").status == 200
    card = app.get("/ui/model").json()
    assert (card["target"], card["unit"], card["columns"]) == (target, unit, columns)
    document = app.get("/openapi.json").json()
    (example,) = document["components"]["schemas"]["Infer"]["examples"]
    assert app.post("/infer", example).status == 200


def test_without_open_the_bars_range_stands_for_it(served):
    app, _, target, *_ = served
    if target != "volatility":
        return
    bars = SampleSource().bars("AAPL")[COLUMNS].to_numpy()[-100:]
    whole, without = (app.post("/infer", {"sequence": rows.tolist()}).json() for rows in (bars, bars[:, 1:]))
    assert without["prediction"] == pytest.approx(whole["prediction"], rel=0.2)
    assert "rows without Open" in without["warnings"][0]
    assert (
        app.post("/infer", {"sequence": bars[:, 2:].tolist()})
        .detail()
        .startswith("sequence: rows of 3 numbers; expected 5: Open, High, Low, Close, Volume")
    )


def test_outcomes_are_in_the_unit(served):
    app, _, _, _, columns, _ = served
    bars = SampleSource().bars("AAPL")[columns].to_numpy()[-160:]
    for start in range(60):
        assert (
            app.post("/infer", {"sequence": bars[start : start + 100].tolist(), "ticker": "AAPL"}).status
            == 200
        )

    def known():
        return app.get("/monitor").json()["outcomes"]["model"]

    wait(lambda: known()["outcomes"] >= 100, "outcomes")
    assert np.isfinite(known()["rmse_ratio"])
    assert 0.1 < known()["rmse_ratio"] < 2.5


def test_intervals_that_do_not_hold_say_so_in_every_answer(bundle, tmp_path):
    run = shutil.copytree(bundle, tmp_path / "run")
    record = json.loads((run / "evaluation.json").read_text())
    record["intervals"]["test"] = {"90": {"coverage": 0.78, "p": 0.0004, "fails": "low", "tickers": {}}}
    (run / "evaluation.json").write_text(json.dumps(record))
    rewrite_manifest(run)
    with in_process(run, tmp_path / "served") as app:
        answers = app.post("/infer", {"sequence": window()}).json(), app.get("/forecast/AAPL").json()
        for answer in answers:
            assert any(
                line.startswith("90 % intervals do not hold: they held 78.0 %") for line in answer["warnings"]
            )
        assert any("do not hold" in line for line in app.get("/ui/model").json()["warnings"])
