"""A job's config is the one Hydra composes, to the last key, however it was arrived at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings, strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.ray_tune_sweeper._job import Composer

FILES = {
    "app.yaml": """
defaults: [_self_, net: small, {net@second: large}, {optional extra: null}]
x: 1
lr: 0.1
same: ${lr}
stamp: ${now:%f}
names: [a, b]
deep: {er: {value: 1, other: 2}}
""",
    "net/small.yaml": "width: 1\ndepth: ${x}\n",
    "net/large.yaml": "defaults: [part: round]\nwidth: 8\n",
    "net/part/round.yaml": "radius: 1\n",
    "net/part/square.yaml": "side: 2\n",
    "extra/much.yaml": "much: true\n",
    "elsewhere/optim/adam.yaml": "beta: 0.9\n",
}
LINES = [
    "x=2", "x=null", "x=text", "x='a,b'", "lr=1e-3", "lr=${x}", "same=5", "names=[c]", "names=[]",
    "deep.er.value=3", "deep.er.value='${x}'", "deep.er={value: 9}", "deep={er: {other: 7}}", "deep.er.other=null",
    "net=large", "net=small", "net.width=4", "net@second=small", "second.width=6", "net/part@second.part=square",
    "+extra=much", "extra=much", "extra.much=false", "~net", "~names", "+new=1", "++new.er=1", "+deep.third=3",
    "++deep.er.value=5", "hydra.job.name=other", "net.nope=1", "nope=1", "net=nope", "x={a: 1}", "deep=1",
    "+optim=adam", "optim=adam", "optim.beta=0.5",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def composed(folder: Path) -> Iterator[tuple[ConfigLoader, DictConfig, Composer]]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        hydra = [f"hydra.searchpath=['file://{folder / 'elsewhere'}']", "hydra.job.name=app"]
        config = loader.load_configuration("app", overrides=hydra, run_mode=RunMode.MULTIRUN)
        assert config.stamp
        yield loader, config, Composer(loader, config)


def _resolved(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=False)


def said(compose: Any, *arguments: Any) -> Any:
    """What a composition gives, resolved and not; or how it was refused."""
    try:
        config = compose(*arguments)
        flags = [OmegaConf.is_struct(config), OmegaConf.is_readonly(config.hydra)]
        whole, job = OmegaConf.to_container(config), _resolved(config.hydra.job)
        with open_dict(config):
            del config["hydra"]
        return whole, flags, _resolved(config), job
    except HydraException as error:
        return type(error), str(error)


@settings(
    max_examples=settings().max_examples // 2,  # each is composed twice, which takes Hydra long
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=st.lists(st.sampled_from(LINES), max_size=5))
def test_every_job_is_composed_as_hydra_would(composed: Any, lines: list[str]) -> None:
    loader, config, composer = composed
    assert said(composer.compose, lines) == said(loader.load_sweep_config, config, lines)


def test_values_alone_are_set_without_composing_anew(composed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, config, _ = composed
    composer = Composer(loader, config)
    composer.compose(["net=large", "x=1", "lr=1"])
    monkeypatch.setattr(type(loader), "load_sweep_config", None)
    assert composer.compose(["net=large", "x=2", "lr=3"]).same == 3
    assert composer.compose(["net=large", "x=4", "lr=5"]).x == 4


def test_no_job_sees_what_another_did_to_its_config(composed: Any) -> None:
    _, _, composer = composed
    first = composer.compose(["x=1"])
    first.names.append("c")
    first.hydra.job.name = "mine"
    second = composer.compose(["x=1"])
    assert second.names == ["a", "b"]
    assert second.hydra.job.name == "app"


def test_what_was_resolved_once_stays_for_all_jobs(composed: Any) -> None:
    loader, config, _ = composed
    OmegaConf.clear_cache(config)
    composer = Composer(loader, config)
    composer.compose(["x=1"])
    stamp = config.stamp  # for the first time
    assert {composer.compose([f"x={number}"]).stamp for number in range(3)} == {stamp}
