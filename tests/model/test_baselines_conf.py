"""The group `baselines`: how its list is changed from the command line, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from composed import compose

from forecast.config import build, check
from forecast.data.target import Close, Target
from forecast.errors import UserError

RUN = yaml.safe_load((Path(__file__).parents[2] / "conf" / "run.yaml").read_text("utf-8"))
DEFAULT = ["naive", "drift", "historical_mean", "moving_average", "ridge", "trees"]
OF_VOLATILITY = [
    "moving_average",
    "ewma",
    "har",
    "har_leverage",
    "har_pooled",
    "garch",
    "gjr",
    "ridge",
    "trees",
]


def composed(option, *overrides):
    plus = "" if any("baselines" in entry for entry in RUN["defaults"] if entry != "_self_") else "+"
    return compose(f"{plus}baselines={option}", *overrides)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["default"], DEFAULT),
        (["all"], [*DEFAULT, "arima", "ets"]),
        (["default", "~baselines.members.trees"], [name for name in DEFAULT if name != "trees"]),
        (["default", "baselines.members.ridge=null"], [name for name in DEFAULT if name != "ridge"]),
        (
            ["default", "+baselines.members.week._target_=forecast.model.MovingAverage"],
            [*DEFAULT, "week"],
        ),
        (
            ["default", "+baselines.members.month={_target_:forecast.model.MovingAverage,window:21}"],
            [*DEFAULT, "month"],
        ),
        (["default", "baselines.members={}"], ["naive"]),
    ],
    ids=lambda value: value[-1],
)  # fmt: skip
def test_members(arguments, names):
    config = composed(*arguments)
    if arguments[-1].endswith("={}"):
        names = DEFAULT  # Hydra merges an empty mapping, it does not replace
    check(config)
    assert build(config.baselines, target=Close()).names == names


def test_a_list_names_those_that_run_whatever_the_target():
    config = compose("baselines=[har,ewma]", "baselines.members.ewma.decay=0.8")
    check(config)
    assert build(config.baselines, target=Close()).names == ["naive", "har", "ewma"]
    assert config.baselines.members.ewma.decay == 0.8
    assert compose("baselines=none").baselines is None
    with pytest.raises(UserError, match=r"baselines=hra: no such option; --help lists those of baselines"):
        compose("baselines=[har,hra]")


def test_each_can_be_named_alone_and_is_as_among_all():
    every = compose("baselines=all").baselines.members
    for name, node in every.items():
        alone = compose(f"baselines={name}").baselines.members
        assert list(alone) == [name]
        assert {key: alone[name][key] for key in node} == dict(node)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("volatility", OF_VOLATILITY),
        ("range", [name for name in OF_VOLATILITY if name not in ("garch", "gjr")]),
        ("volume", ["moving_average", "seasonal_mean", "ewma", "har", "har_pooled", "ridge", "trees"]),
        ("direction", ["training_share", "ridge", "trees"]),
        ("return", ["training_mean", "ridge", "trees"]),
    ],
)
def test_the_target_says_what_it_is_measured_by(target, names):
    config = compose(f"target={target}", "+baselines.members.mine._target_=forecast.model.Naive")
    check(config)
    assert build(config.baselines, target=build(config.target)).names == ["naive", *names, "mine"]


def test_a_target_of_ones_own_is_measured_by_what_suits_any_values():
    class Mine(Target):
        pass

    names = build(composed("all").baselines, target=Mine()).names
    assert names == ["naive", "moving_average", "training_mean", "ewma", "har", "ridge", "trees"]


def test_only_those_that_are_named():
    config = compose("baselines.only=[har,naive,trees]")
    check(config)
    assert build(config.baselines, target=Close()).names == ["naive", "har", "trees"]
    with pytest.raises(
        UserError, match=r"^baselines.only=\['harr'\]: harr is no member; members are drift, "
    ):
        build(compose("baselines.only=[harr]").baselines, target=Close())


def test_values_arrive():
    config = composed(
        "default", "baselines.members.ridge.alphas=[3]", "baselines.members.moving_average.window=9"
    )
    members = build(config.baselines).members
    assert (members["ridge"].alphas, members["moving_average"].window) == ([3.0], 9)


def test_none():
    config = composed("none")
    check(config)
    assert config.baselines is None


def test_defaults_of_code_and_conf_agree():
    for name, node in composed("all").baselines.members.items():
        kind = type(build({"_target_": node._target_}))
        if name not in ("har_leverage", "har_pooled", "gjr"):  # another one of the same class
            assert vars(build(node)) == vars(kind()), name


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("baselines.members.moving_average.window=0", "baselines.members.moving_average.window=0: must be >= 1"),
        ("baselines.members.ridge.alphas=[]", "baselines.members.ridge.alphas=[]: must have at least 1 item or null"),
        ("baselines.members.ridge.alphas=[0]", "baselines.members.ridge.alphas[0]=0: must be > 0"),
        ("+baselines.members.ridge.alpha=1", "baselines.members.ridge.alpha=1: unknown key; did you mean alphas?"),
        ("baselines.members.trees.leaves=many", "baselines.members.trees.leaves=many: must be an integer"),
        ("baselines.members.trees=7", "baselines.members.trees=7: must be a mapping with _target_ or null"),
        (
            "baselines.members.drift._target_=forecast.model.Drifts",
            "baselines.members.drift._target_=forecast.model.Drifts: cannot be imported: "
            "forecast.model has no Drifts; did you mean Drift?",
        ),
        ("+baselines.window=3", "baselines.window=3: unknown key; known: members, only"),
    ],
)  # fmt: skip
def test_refused_before_anything_runs(override, line):
    with pytest.raises(UserError) as caught:
        check(composed("default", override))
    assert str(caught.value) == line


def test_what_is_no_baseline():
    config = composed("default", "+baselines.members.mine._target_=builtins.dict")
    with pytest.raises(UserError, match=r"^baselines\.members\.mine: gives a dict, must give a forecaster"):
        build(config.baselines)
