"""Which runs are the same run, and which requests the same request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from composed import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from forecast.config import data_request, identity
from forecast.config.identities import source_hash
from forecast.errors import UserError


def named(*overrides: str, fingerprint: str = "f", version: str = "1") -> str:
    return identity(compose(*overrides), fingerprint=fingerprint, version=version)


def leaves(node: Any, key: str = "") -> list[str]:
    """Dotted keys of the values in a config."""
    if isinstance(node, DictConfig):
        return [leaf for name in node for leaf in leaves(node[name], f"{key}.{name}".lstrip("."))]
    return [key]


def test_it_is_short_and_the_same_in_every_process():
    code = "from forecast.config import *; print(identity(compose(), fingerprint='f', version='1'))"
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == named()
    assert len(named()) == 16
    assert int(named(), 16) >= 0


@pytest.mark.parametrize(
    "overrides",
    [
        ["tracker=none"],
        ["tracker.experiment_name=other"],
        ["champion=none"],
        ["champion.require_skill=true"],
        ["source=yfinance"],
        ["on_data_change=warn"],
        ["plots=false"],
        ["trainer.progress=off"],
        ["hydra.run.dir=elsewhere"],
        ["data.batch_size=32"],
        ["objective={mode:min,metric:val_theil_u_by_ticker}"],
    ],
    ids=str,
)
def test_what_cannot_change_the_result_does_not_change_the_name(overrides):
    assert named(*overrides) == named()


def test_everything_else_does():
    config = compose()
    same = ("tracker", "champion", "cluster", "tuner", "source", "on_data_change", "trainer.progress")
    same += ("plots",)
    keys = [key for key in leaves(config) if not key.startswith(same)]
    names = {named()}
    for key in keys:
        changed = config.copy()
        with open_dict(changed):
            OmegaConf.update(changed, key, "another value")
        names.add(identity(changed, fingerprint="f", version="1"))
    assert len(keys) > 30
    assert len(names) == len(keys) + 1


def test_covariates_are_part_of_it_but_not_where_they_come_from():
    none = compose()
    with open_dict(none):
        del none.data.covariates  # as a run of before there were any saved its config
    assert identity(none, fingerprint="f", version="1") == named()
    node = "data.covariates.rate={_target_:forecast.data.covariates.PastCovariate,ticker:R,lag:%s,source:{path:%s}}"
    there, elsewhere, later = (named("+" + node % words) for words in ((1, "a"), (1, "b"), (2, "a")))
    assert there == elsewhere != named() != later != there


def test_data_and_package_are_part_of_it():
    assert len({named(), named(fingerprint="g"), named(version="2")}) == 3


def test_it_does_not_matter_how_a_number_was_typed_or_where_a_value_stood():
    assert named("trainer.gradient_clip=1") == named("trainer.gradient_clip=1.0")
    assert named("model.hidden_size=${data.batch_size}") == named("model.hidden_size=32")
    assert named("data.shuffle=true") != named("data.shuffle=1")


def test_a_saved_configs_record_is_no_part_of_it():
    config = compose()
    with open_dict(config):
        config.provenance = {"identity": "x"}
        config.metadata = {"run_id": "x"}
    assert identity(config, fingerprint="f", version="1") == named()


def test_what_is_not_set_has_no_name():
    with pytest.raises(UserError, match=r"^note: missing$"):
        named("+note=???")


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("source.offline=true", True),
        ("source.pace_s=9", True),
        ("model=gru", True),
        ("data.seq_len=5", True),
        ("source.adjust=false", False),
        ("data.tickers=[MSFT]", False),
        ("data.period=1y", False),
        ("data.end=2010-01-01", False),
        ("data.health.prices=drop", False),
        ("covariates=calendar", False),
    ],
    ids=str,
)
def test_a_request_is_the_same_when_the_same_bars_are_asked_for(override, same):
    assert (
        data_request(compose("source=yfinance", override)) == data_request(compose("source=yfinance"))
    ) is same


PLUGIN = """
from plugin_helper import factor


class Features:
    def __init__(self, *, days=1): ...

    def compute(self, bars):
        return bars * factor
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A class from outside, in a module that imports another."""
    (tmp_path / "plugin_module.py").write_text(PLUGIN)
    (tmp_path / "plugin_helper.py").write_text("factor = 2\n")
    (tmp_path / "README.md").write_text("about it")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """As a new process would find them."""
    for name in ("plugin_module", "plugin_helper"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("file", "changed"), [("plugin_module.py", True), ("plugin_helper.py", True), ("README.md", False)]
)
def test_the_source_of_a_class_from_outside_is_part_of_it(plugin, file, changed):
    asked = "data.features._target_=plugin_module.Features"
    before = named(asked)
    forget()
    assert named(asked) == before
    path = plugin / file
    path.write_text(path.read_text() + "\n")
    forget()
    assert (named(asked) != before) is changed
    # What names it not is what it was: of a source of bars, the bars are what counts.
    assert named() == named("source._target_=plugin_module.Features")


def test_torchs_version_and_our_own_source_are_part_of_it(monkeypatch):
    from forecast.config import identities

    before = named()
    monkeypatch.setattr(identities, "installed_version", lambda name: f"another {name}")
    other_torch = named()
    monkeypatch.setattr(identities, "own_source", lambda: "edited")
    assert len({before, other_torch, named()}) == 3


def test_of_our_own_source_python_counts_and_nothing_else(tmp_path):
    package = tmp_path / "package" / "deep"
    package.mkdir(parents=True)
    (package / "module.py").write_text("x = 1")
    before = source_hash(tmp_path / "package")
    (package / "notes.md").write_text("about it")
    assert source_hash(tmp_path / "package") == before
    (package / "module.py").write_text("x = 2")
    edited = source_hash(tmp_path / "package")
    (package / "module.py").rename(package / "moved.py")
    assert len({before, edited, source_hash(tmp_path / "package")}) == 3
