"""A composed config against the signatures of what it would build."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from forecast.config import check
from forecast.errors import UserError

GOOD: dict[str, Any] = {
    "seed": 0,
    "objective": {"metric": "val_rmse", "mode": "min"},
    "on_data_change": "error",
    "source": {"_target_": "parts.Source", "path": "bars"},
    "data": {
        "_target_": "parts.Data",
        "_convert_": "all",
        "tickers": ["A"],
        "scaler": {"_target_": "parts.Scaler"},
    },
    "model": {
        "_target_": "parts.Model",
        "_recursive_": False,
        "layer_config": ["LSTM", {"_target_": "parts.Layer", "width": 4}],
    },
    "trainer": {"_target_": "parts.Trainer"},
    "tracker": {"_target_": "parts.Tracker", "uri": "x", "anything": 3},
}


def config(**changes: Any) -> DictConfig:
    """The good config with dotted keys changed; a value of `...` removes the key."""
    made = OmegaConf.create(copy.deepcopy(GOOD))
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is ...:
            parent, _, last = key.rpartition(".")
            del (OmegaConf.select(made, parent) if parent else made)[last]
        else:
            OmegaConf.update(made, key, value, merge=False, force_add=True)
    return made


def faults(**changes: Any) -> list[str]:
    with pytest.raises(UserError) as refused:
        check(config(**changes))
    return str(refused.value).splitlines()


pytestmark = pytest.mark.usefixtures("parts")


def test_a_good_config_passes():
    check(config())


@pytest.mark.parametrize("changes", [{"trainer": None}, {"tracker": None}, {"data__scaler": None}], ids=str)
def test_what_may_be_null_may_be_null(changes):
    check(config(**changes))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"data__seq_len": 0}, "data.seq_len=0: must be >= 1"),
        ({"model__hidden_size": "abc"}, "model.hidden_size=abc: must be an integer"),
        ({"model__hiden_size": 3}, "model.hiden_size=3: unknown key; did you mean hidden_size?"),
        ({"source__x": 3}, "source.x=3: unknown key; known: path, adjust"),
        ({"trainer__learning_rate": float("nan")}, "trainer.learning_rate=nan: must be a finite number"),
        ({"source__path": "???"}, "source.path: missing; must be text"),
        ({"source__path": ...}, "source.path: missing; must be text"),
        ({"source": ...}, "source: missing; must be a mapping with _target_"),
        ({"source": None}, "source=null: must be a mapping with _target_"),
        ({"data__scaler": "minmax"}, "data.scaler=minmax: must be a mapping with _target_ or null"),
        ({"data__scaler__flor": 1}, "data.scaler.flor=1: unknown key; did you mean floor?"),
        ({"seed": -1}, "seed=-1: must be >= 0"),
        ({"seed": 2**32}, "seed=4294967296: must be <= 4294967295"),
        ({"objective__metric": 3}, "objective.metric=3: must be text; in quotes it is text: '3'"),
        ({"objective__mode": "mn"}, "objective.mode=mn: must be one of min, max; did you mean min?"),
        ({"objective__mood": "min"}, "objective.mood=min: unknown key; did you mean mode?"),
        ({"on_data_change": "stop"}, "on_data_change=stop: must be one of error, warn"),
        (
            {"data__seq_len": "${nope}"},
            "data.seq_len=${nope}: cannot be resolved: Interpolation key 'nope' not found",
        ),
        ({"note": "${nope}"}, "note=${nope}: cannot be resolved: Interpolation key 'nope' not found"),
        ({"note": {"list": ["???"]}}, "note.list[0]: missing"),
        ({"data__columns": ["a", "???"]}, "data.columns[1]: missing; must be text"),
        (
            {"source___target_": "parts.Bond"},
            "source._target_=parts.Bond: cannot be imported: parts has no Bond",
        ),
        (
            {"source___target_": "parts.Sourc"},
            "source._target_=parts.Sourc: cannot be imported: parts has no Sourc; did you mean Source?",
        ),
        (
            {"source___target_": "nowhere.Source"},
            "source._target_=nowhere.Source: cannot be imported: No module named 'nowhere'",
        ),
        (
            {"source___target_": "parts.NOT_CALLABLE"},
            "source._target_=parts.NOT_CALLABLE: cannot be imported: it is no class or function",
        ),
        ({"source___target_": 3}, "source._target_=3: must be text: package.module.Class"),
        ({"source___target_": "???"}, "source._target_: missing"),
        ({"model__layer_config": 3}, "model.layer_config=3: must be a list"),
        (
            {"model__layer_config": ["LSTM", 3]},
            "model.layer_config[1]=3: must be text or a mapping; in quotes it is text: '3'",
        ),
        (
            {"model": "gru"},
            "model=gru: a saved config has no groups to choose from; set plain keys (model.hidden_size=64) "
            "or start afresh with python run.py model=gru",
        ),
    ],
    ids=str,
)
def test_a_fault_is_said_in_one_line(changes, fault):
    assert faults(**changes) == [fault]


def test_keys_that_hold_each_other_are_said():
    assert faults(note={"a": {"x": "${note.b}"}, "b": {"y": "${note.a}"}}) == [
        "note.a.x.y=${note.a}: cannot be resolved: it holds itself",
        "note.b.y.x=${note.b}: cannot be resolved: it holds itself",
    ]


def test_items_of_a_list_are_nodes_too():
    layer = {"_target_": "parts.Layer", "widht": 4}
    assert faults(model__layer_config=["LSTM", layer]) == [
        "model.layer_config[1].widht=4: unknown key; did you mean width?",
        "model.layer_config[1].width: missing; must be an integer",
    ]


def test_arguments_may_stand_in_args_or_come_later():
    check(config(model__layer_config=[{"_target_": "parts.Layer", "_args_": [3, 4]}]))
    check(config(data__scaler={"_target_": "parts.Source", "_partial_": True}))


def test_all_faults_come_at_once():
    said = faults(seed="x", data__seq_len=0, data__ratio=1, model__hidden_size=True, trainer__mode="best")
    assert [line.partition("=")[0] for line in said] == [
        "seed",
        "data.seq_len",
        "data.ratio",
        "model.hidden_size",
        "trainer.mode",
    ]


def test_a_module_that_fails_while_it_is_imported_says_how(parts):
    (parts / "crooked.py").write_text("1 / 0\n")
    assert faults(source___target_="crooked.Source") == [
        "source._target_=crooked.Source: cannot be imported: ZeroDivisionError: division by zero"
    ]


def test_the_record_of_a_saved_config_is_not_checked():
    check(config(provenance={"overrides": ["${nope}", "???"], "_target_": "nowhere"}))


def test_nothing_is_built():
    check(config(source={"_target_": "parts.Faulty"}))
