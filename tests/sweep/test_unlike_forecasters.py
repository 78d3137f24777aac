"""A sweep over a network and forecasters that are none: the best forecaster becomes champion, and serves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from commands import run
from service import in_process

import forecast
from forecast.data.sources import SampleSource

MODELS = ("lstm", "har", "naive", "trees")


@pytest.mark.slow
def test_the_best_forecaster_becomes_champion_and_serves(tmp_path):
    plain = ("trainer=smoke", "tracker=none", "baselines=none", "data.period=4y", "model.hidden_size=4")
    done = run(
        tmp_path,
        "-m",
        "target=volatility",
        f"model={','.join(MODELS)}",
        *(word for word in plain if not word.startswith("model.")),
        "hydra.sweep.dir=sweep",
        "hydra/launcher=basic",
        "champion.directory=champion",
    )
    assert done.code == 0, done.err
    scores = {
        name: json.loads((tmp_path / "sweep" / str(place) / "metrics.json").read_text())[
            "val_theil_u_by_ticker"
        ]
        for place, name in enumerate(MODELS)
    }
    best = min(scores, key=scores.get)
    assert best == "har", scores  # two epochs teach a network less
    rows = [line.split() for line in done.out.splitlines() if " finished " in line]
    starred = [row for row in rows if row[0] == "*"]
    assert [row[3] for row in starred] == ["har"], done.out
    assert {row[-9] if row[0] == "*" else row[2] for row in rows} >= set(MODELS) - {"har"}
    predicted = forecast.future(tmp_path / "champion").table
    with in_process(tmp_path / "champion", tmp_path / "served", deadline_s=60.0) as app:
        answer = app.get("/forecast/AAPL").json()
        assert answer["forecast"][0]["prediction"] == pytest.approx(predicted["forecast"].iloc[0], rel=1e-6)
        bars = SampleSource().bars("AAPL")[["Open", "High", "Low", "Close", "Volume"]].to_numpy()[-60:]
        again = app.post("/infer", {"sequence": bars.tolist(), "ticker": "AAPL"}).json()
        assert again["prediction"] == pytest.approx(predicted["forecast"].iloc[0], rel=1e-6)
    table = pd.read_parquet(tmp_path / "champion" / "forecasts.parquet")
    assert np.isfinite(table["forecast"]).all()
