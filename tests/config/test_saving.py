"""The saved config: everything resolved, and Hydra can run it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from omegaconf import OmegaConf, open_dict

from forecast.config import compose, snapshot, with_metadata
from forecast.config.composing import ASIDE
from forecast.errors import UserError

SAVED = (
    "a saved config has no groups to choose from; set plain keys (model.hidden_size=64) or start afresh with"
)


def read(text: str) -> Any:
    """The task as a replay reads it: by OmegaConf, resolved."""
    loaded = {key: value for key, value in yaml.safe_load(text).items() if key not in ("hydra", "defaults")}
    return OmegaConf.to_container(OmegaConf.create(loaded), resolve=True)


def task(text: str) -> dict[str, Any]:
    return {key: value for key, value in yaml.safe_load(text).items() if key not in (*ASIDE, "defaults")}


def test_it_holds_the_task_resolved_the_provenance_and_hydras_settings():
    saved = yaml.safe_load(
        snapshot(compose("data.embargo=${data.horizon}", "seed=3"), provenance={"identity": "x"})
    )
    assert (saved["seed"], saved["data"]["embargo"]) == (3, 1)
    assert saved["provenance"] == {"identity": "x"}
    assert saved["hydra"]["run"] == {"dir": "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}"}
    assert saved["hydra"]["output_subdir"] is None
    assert "help" not in saved["hydra"]
    assert {"override hydra/job_logging": "none"} in saved["defaults"]
    assert saved["defaults"][-1] == "_self_"


def test_a_directory_from_the_command_line_is_not_saved(tmp_path):
    assert str(tmp_path) not in snapshot(compose(f"hydra.run.dir={tmp_path}"), provenance={})


def test_what_cannot_be_resolved_is_not_saved():
    with pytest.raises(UserError, match=r"^note=\$\{nope\}: cannot be resolved"):
        snapshot(compose("+note=${nope}"), provenance={})


WRITTEN = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters="\n\t")


@settings(max_examples=50)
@given(text=st.text(alphabet=WRITTEN) | st.text(alphabet="\\${}:a.'\"#"))
def test_text_comes_back_as_it_was(text):
    said = {"note": text, "list": [text, {"deep": text}]}
    if text == "???":  # OmegaConf's own word for "not set"
        return
    assert read(snapshot(OmegaConf.create({"seed": 0}), provenance=said))["provenance"] == said


LIKE_OTHERS = [
    "1e3",
    "1_000",
    "0x1f",
    "1:30",
    "2020-01-01",
    "true",
    "Yes",
    "null",
    "~",
    ".nan",
    "-.inf",
    "",
    "\U0001f680",
]


@pytest.mark.parametrize("text", LIKE_OTHERS)
def test_text_that_looks_like_something_else_stays_text(text):
    back = OmegaConf.create(snapshot(OmegaConf.create({"note": text, "more": [text]}), provenance={}))
    assert (back.note, back.more[0]) == (text, text)


@settings(max_examples=50)
@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.none())
def test_numbers_come_back_as_they_were(number):
    back = read(snapshot(OmegaConf.create({"seed": number}), provenance={}))["seed"]
    assert (back, type(back)) == (number, type(number))


def test_a_saved_config_of_a_saved_config_is_the_same():
    config = compose("seed=3")
    first = snapshot(config, provenance={"identity": "first"})
    with open_dict(config):
        config.provenance = {"identity": "first"}
    second = snapshot(config, provenance={"identity": "second"})
    assert task(second) == task(first)
    assert yaml.safe_load(second)["provenance"] == {"identity": "second"}


def test_a_champions_config_is_the_same_but_for_its_metadata():
    text = snapshot(compose("seed=3", "data.tickers=['\\${x}']"), provenance={"identity": "first"})
    champion = with_metadata(text, {"number": 1, "metric_value": 1e-5, "run_id": None, "label": "${naive}"})
    before, after = yaml.safe_load(text), yaml.safe_load(champion)
    assert after.pop("metadata")["label"] == "\\${naive}"  # as OmegaConf reads it: text
    assert after == before
    again = with_metadata(champion, {"number": 2})
    assert yaml.safe_load(again)["metadata"] == {"number": 2}
    config = OmegaConf.create(champion)
    said = OmegaConf.to_container(config.metadata, resolve=True)
    assert said == {"number": 1, "metric_value": 1e-5, "run_id": None, "label": "${naive}"}
    assert task(snapshot(config, provenance={})) == task(text)
    assert "metadata" not in yaml.safe_load(snapshot(config, provenance={}))


FOLDER = ["-cd", "first", "-cn", "config"]
PATH = ["-cp", "first", "-cn", "config"]


@pytest.fixture(scope="module")
def saved_text(tmp_path_factory, make_project, start_in) -> str:
    """The config.yaml of a run that finished."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    asked = ["model=large", "seed=3", "data.tickers=[AAPL,IBM]", "source.path='\\${x}'"]
    assert start_in(folder, *asked, "hydra.run.dir=first").returncode == 0
    return (folder / "first" / "config.yaml").read_text()


@pytest.fixture
def saved(project, saved_text) -> Path:
    """The same, in the project's folder `first`."""
    path = project / "first" / "config.yaml"
    path.parent.mkdir()
    path.write_text(saved_text)
    return path


@pytest.mark.parametrize("way", [FOLDER, PATH], ids=["-cd", "-cp"])
def test_a_replay_saves_the_same_config_in_a_new_directory(start, project, saved, way):
    before = saved.read_text()
    assert task(before)["source"]["path"] == r"\${x}"
    replay = start(*way)
    assert (replay.returncode, replay.stderr) == (0, "")
    directory = Path(replay.stdout.splitlines()[-1])
    assert directory.is_relative_to(project / "outputs")
    assert [path.name for path in directory.iterdir()] == ["config.yaml"]
    assert saved.read_text() == before
    assert (directory / "config.yaml").read_text() == before


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("way", [FOLDER, PATH], ids=["-cd", "-cp"])
def test_a_replay_refuses_another_option(start, project, way):
    refused = start(*way, "model=small", "hydra.run.dir=second")
    assert refused.returncode == 2
    assert refused.stderr == f"model=small: {SAVED} python run.py model=small\n"
    assert not (project / "second").exists()


@pytest.mark.usefixtures("saved")
def test_a_replay_takes_plain_keys_and_says_so(start, project):
    replay = start(*FOLDER, "model.hidden_size=64", "hydra.run.dir=second")
    assert replay.returncode == 0
    made = yaml.safe_load((project / "second" / "config.yaml").read_text())
    assert made["model"]["hidden_size"] == 64
    assert made["provenance"]["choices"]["model"] == "large"
    assert made["provenance"]["overrides"][-1] == "model.hidden_size=64"


@pytest.mark.usefixtures("saved")
def test_a_saved_config_can_be_swept_over(start, project):
    swept = start("-m", *FOLDER, "seed=1,2", "hydra.sweep.dir=sweep")
    assert swept.returncode == 0, swept.stderr
    seeds = [yaml.safe_load((project / "sweep" / job / "config.yaml").read_text())["seed"] for job in "01"]
    assert seeds == [1, 2]
