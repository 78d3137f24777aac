"""GET /config: what the served model was made of."""

from __future__ import annotations

import json
from dataclasses import replace

from omegaconf import OmegaConf

from forecast.serve.routes import config
from forecast.serve.routes.config import composed


def test_it_is_the_config_of_the_run(service):
    told = service.get("/config")
    assert told.status == 200
    saved = OmegaConf.to_container(OmegaConf.load(service.folder / "run" / "config.yaml"))
    assert (told.json()["model"], told.json()["data"]) == (saved["model"], saved["data"])
    assert told.json()["training"] == saved["trainer"]
    for name in ("source", "seed", "objective", "provenance"):
        assert told.json()[name] == saved[name]
    assert told.json()["metrics"] == json.loads((service.folder / "run" / "metrics.json").read_text())
    assert service.get("/config/").json()["data"] == saved["data"]


def test_a_run_that_is_no_champion_says_so(service, model):
    told = service.get("/config").json()["metadata"]
    assert set(told) == {"model_version", "loaded_at", "champion"}
    assert (told["model_version"], told["champion"]) == (model.version, False)


def test_a_champion_tells_how_it_became_one(model):
    told = composed(replace(model, metadata={"number": 3, "label": "is ahead"})).metadata
    assert (told["number"], told["label"], told["champion"]) == (3, "is ahead", True)


def test_addresses_of_other_servers_are_withheld(model):
    secret = {"uri": "http://mlflow.internal:5000", "address": "ray.internal:6379"}
    config = {**model.config, **dict.fromkeys(("tracker", "cluster", "champion", "tuner"), secret)}
    assert "internal" not in composed(replace(model, config=config)).model_dump_json()


def test_without_a_model(apart):
    told = apart(config, current=None)("/config")
    assert told.status == 404
    assert told.detail() == "no model is served: outputs/champion is not there yet"
