"""Every option of every group can be built: its keys are its constructor's, its values keep their rules."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import compose
from omegaconf import OmegaConf

from forecast.config import check, locate, signature
from forecast.config.checking import is_node
from forecast.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*/*.yaml"))
CHOSEN = {
    group
    for entry in yaml.safe_load((CONF / "run.yaml").read_text())["defaults"]
    if entry != "_self_"
    for group in entry
} | {"hydra/launcher"}
# What only the user can know.
NEEDED = {
    "source/files": ["source.path=folder"],
    "covariates/columns": ["data.covariates.columns.columns=[Rate]"],
    "covariates/file": [
        "data.covariates.file.ticker=RATES",
        "data.covariates.file.columns=[Rate]",
        "data.covariates.file.source.path=folder",
    ],
    "covariates/events": ["data.covariates.events.path=events.csv"],
}


# Options that do not change other groups are composed together: of each group the first, the second, ...
LOCAL = [option for option in OPTIONS if "@package _global_" not in (CONF / f"{option}.yaml").read_text()]
COLUMNS = [[option for option in LOCAL if option.rpartition("/")[0] == group] for group in sorted(CHOSEN)]
ROWS = [[option for option in row if option] for row in itertools.zip_longest(*COLUMNS)]
TOGETHER = {option: [option] for option in OPTIONS} | {option: row for row in ROWS for option in row}


def composed(option: str) -> Any:
    words: list[str] = []
    for one in TOGETHER[option]:
        group, _, name = one.rpartition("/")
        words += [f"{'' if group in CHOSEN else '+'}{group}={name}", *NEEDED.get(one, [])]
    return compose(*words)


def test_every_file_of_every_group_is_an_option_here():
    files = [path for path in CONF.rglob("*.yaml") if path.parent != CONF]
    assert len(OPTIONS) == len(files) > 0
    assert {option.partition("/")[0] for option in OPTIONS} >= {
        "source",
        "data",
        "model",
        "trainer",
        "tracker",
    }


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_keeps_its_constructors_rules(option):
    check(composed(option))


@pytest.mark.parametrize("option", OPTIONS)
def test_a_misspelt_key_of_any_option_is_refused(option):
    config = OmegaConf.to_container(composed(option), resolve=True)
    group = option.partition("/")[0]
    if (
        not isinstance(config, dict)
        or not is_node(config.get(group))
        or signature_of(config[group]).takes_any_key
    ):
        return
    config[group]["misspelt_key"] = 1
    with pytest.raises(UserError, match=rf"^{group}\.misspelt_key=1: unknown key; known: "):
        check(OmegaConf.create(config))


def test_every_annotation_of_what_the_options_build_can_be_read():
    """A name that only a type checker sees would switch its rule off in silence."""
    targets = {
        target for option in OPTIONS for target in targets_of(OmegaConf.to_container(composed(option)))
    }
    ours = sorted(target for target in targets if target.startswith("forecast."))
    assert len(ours) > 10
    for target in ours:
        for name, parameter in inspect.signature(locate(target)).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            read = signature_of({"_target_": target}).parameters[name].annotation
            assert parameter.annotation is not inspect.Parameter.empty, f"{target}: {name} has no annotation"
            assert read is not Any or parameter.annotation in (Any, "Any"), f"{target}: {name} cannot be read"


def signature_of(node: dict[str, Any]) -> Any:
    return signature(locate(node["_target_"]))


def targets_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if is_node(value):
            yield value["_target_"]
        for item in value.values():
            yield from targets_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from targets_of(item)
