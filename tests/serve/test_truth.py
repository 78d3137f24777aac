"""What is served is what was recorded, to 1e-6 of the price, whatever the strategy, the engine and the neighbours."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from commands import SMALL
from omegaconf import OmegaConf
from service import serving
from trained import run_without_plots

from forecast.config import build
from forecast.data.features import warm_up
from forecast.serve.engines import ForecastAPI, GreedyLoop
from forecast.serve.model_store import DELIVERED, load_model
from forecast.serve.windows import model_inputs, validate_window

pytestmark = pytest.mark.slow

STRATEGIES = (
    "no_processing_single",
    "range_single",
    "returns_single",
    "technical_single",
    "no_processing_multiple",
    "range_multiple",
    "returns_multiple",
    "technical_multiple",
    "no_processing_panel",
    "range_panel",
    "returns_panel",
    "technical_panel",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a run of a strategy, once."""
    known = {}

    def make(strategy, *also):
        key = (strategy, *also)
        if key not in known:
            folder = tmp_path_factory.mktemp("run")
            plain = ("tracker=none", "baselines=none", "data.period=4y")
            run_without_plots(f"data={strategy}", *SMALL, *plain, *also, directory=folder)
            known[key] = folder
        return known[key]

    return make


def recorded(folder, count):
    """Windows of raw bars that the run tested, spread over its days: sequence, ticker, forecasts, lower, upper."""
    config = OmegaConf.load(folder / "config.yaml")
    facts = json.loads((folder / "scaler.json").read_text("utf-8"))
    source, tickers, horizon = build(config.source), facts["tickers"], facts["horizon"]
    need = facts["lookback"] + (warm_up(build(config.data.features)) or 0)
    bars = {ticker: source.bars(ticker) for ticker in tickers}
    if facts["scope"] == "multiple":
        common = bars[tickers[0]].index
        for table in bars.values():
            common = common.intersection(table.index)
        bars = {ticker: table.loc[common] for ticker, table in bars.items()}
    table = pd.read_parquet(folder / "forecasts.parquet", filters=[("split", "==", "test")])
    found = []
    for ticker in table["ticker"].unique():
        beside = tickers if facts["scope"] == "multiple" else [ticker]
        own = table[table["ticker"] == ticker].set_index(["date", "step"])
        days = own.xs(1, level="step").index
        for day in days[np.linspace(0, len(days) - horizon, count).astype(int)]:
            at = bars[ticker].index.get_loc(day)
            window = np.concatenate(
                [bars[one][list(DELIVERED)].to_numpy()[at - need : at] for one in beside], 1
            )
            stated = [
                own.loc[(ahead, step + 1)] for step, ahead in enumerate(bars[ticker].index[at : at + horizon])
            ]
            found.append((window.tolist(), ticker, stated))
    return found


def columns(stated, name):
    values = [float(row[name]) for row in stated]
    return values if len(values) > 1 else values[0]


def forecasts(model, values):
    """Of the first step."""
    return model.forecast(values, [""] * len(values)).values[:, 0]


def test_all_strategies_are_here():
    from pathlib import Path

    conf = Path(__file__).parents[2] / "conf" / "data"
    # Those of volatility want the Open, which a sequence does not carry; GET /forecast serves them.
    needs_open = {path.stem for path in conf.glob("volatility_*.yaml")}
    assert {path.stem for path in conf.glob("*.yaml")} - {"default"} - needs_open == set(STRATEGIES)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_raw_bars_become_the_windows_of_training(made, strategy):
    """In one pass, among others, one by one."""
    folder = made(strategy)
    served = load_model(folder)
    asked = recorded(folder, 24)
    windows = [validate_window(sequence, ticker, served) for sequence, ticker, _ in asked]
    wanted = np.array([stated[0]["forecast"] for _, _, stated in asked])
    values, refused, _ = model_inputs(windows, served)
    assert not refused
    np.testing.assert_allclose(forecasts(served, values), wanted, rtol=1e-6)
    for place in (0, len(windows) - 1):
        alone, refused, _ = model_inputs([windows[place]], served)
        assert not refused
        assert (alone[0] == values[place]).all()
        np.testing.assert_allclose(forecasts(served, alone), wanted[place], rtol=1e-6)


@pytest.mark.parametrize("engine", ["inline", "workers"])
def test_answers_over_http_are_the_recorded_forecasts(made, tmp_path, engine):
    """Sixteen at a time, good ones and bad ones mixed: no one hurts a neighbour."""
    folder = made("range_panel", "data.horizon=3")
    asked = recorded(folder, 30)
    with serving(tmp_path, f"bundle={folder}", f"engine={engine}", "deadline_s=60") as service:
        bad = {"sequence": [[1.0, 2.0, float(2**70), -3.0]] * 20}

        def ask(place):
            if place % 4 == 3:
                return service.post("/infer", bad)
            sequence, ticker, _ = asked[place % len(asked)]
            return service.post("/infer", {"sequence": sequence, "ticker": ticker})

        with ThreadPoolExecutor(16) as crowd:
            replies = list(crowd.map(ask, range(2 * len(asked))))
        for place, reply in enumerate(replies):
            if place % 4 == 3:
                assert reply.status == 400
                assert "volume must be 0 or more" in reply.detail()
                continue
            answer, (_, _, stated) = reply.json(), asked[place % len(asked)]
            assert answer["prediction"] == pytest.approx(stated[0]["forecast"], rel=1e-6)
            assert answer["forecast"] == pytest.approx(columns(stated, "forecast"), rel=1e-6)
            assert answer["level"] == 0.9
            assert all("intervals" in line for line in answer.get("warnings", []))
            assert answer["model_version"] == f"{folder.name}@{answer['model_version'][-8:]}"
        config = service.get("/config").json()
        assert config["data"]["horizon"] == 3


def test_a_model_with_quantiles_and_an_ensemble(made):
    """Intervals from the network, several networks as one: the same way out."""
    for also in (("trainer.loss=quantile",), ("model=ensemble",)):
        folder = made("no_processing_single", *also)
        served = load_model(folder)
        windows = [validate_window(sequence, ticker, served) for sequence, ticker, _ in recorded(folder, 8)]
        wanted = [stated[0]["forecast"] for _, _, stated in recorded(folder, 8)]
        values, _, _ = model_inputs(windows, served)
        np.testing.assert_allclose(forecasts(served, values), wanted, rtol=1e-6)


def test_a_bound_that_is_not_known_is_null_and_the_forecast_stands(made):
    served = load_model(made("no_processing_single"))
    store = SimpleNamespace(current=served)
    api = ForecastAPI(store=store, monitoring=None, loop=GreedyLoop(), max_batch_size=8)
    sequence, ticker, stated = recorded(served.directory, 2)[0]
    answer = api.predict([validate_window(sequence, ticker, served)])[0]
    spoilt = replace(answer, bounds=np.array([[np.nan], answer.bounds[1]]))
    said = api.encode_response(spoilt)
    assert said["prediction"] == pytest.approx(stated[0]["forecast"], rel=1e-6)
    assert said["lower"] is None
    assert said["upper"] == answer.bounds[1][0]
