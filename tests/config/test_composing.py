"""Configs from Python, as the command line would compose them, and Hydra's complaints in one line."""

from __future__ import annotations

import composed
import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf import OmegaConf

from forecast.config import build, check, compose, compose_saved, locate, origin, run_directory, snapshot
from forecast.config.composing import conf_folder, readable_override
from forecast.config.renamed import RENAMED
from forecast.errors import UserError


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as error:
        compose(*overrides)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_options_and_keys_are_chosen_as_on_the_command_line():
    config = compose("model=gru", "data=range_single", "model.hidden_size=64")
    assert config.model.layer_config == ["GRU", "Linear"]
    assert config.data.features._target_ == "forecast.data.features.WithRange"
    assert config.model.hidden_size == 64
    assert "hydra" not in config
    assert OmegaConf.is_struct(config)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "seed=3 plots=false model.hidden_size=5 data.health.calendar=null",
        "data=range_single data.tickers=[^GSPC,7203] model.layer_config=[{LSTM:{hidden_size:3}},Linear]",
        "model=average model.members.lstm.hidden_size=3 hydra.run.dir=here data.seq_len=${data.horizon}",
        "+note.mine=1 model._target_=somewhere.Else ~champion trainer=none",
    ],
)
def test_what_tests_compose_is_what_hydra_composes(words):
    ours, hydras = composed.compose(*words.split()), compose(*words.split())
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(hydras)
    assert OmegaConf.is_struct(ours)
    assert origin(ours) == origin(hydras)
    assert run_directory(ours).parts[:-1] == run_directory(hydras).parts[:-1]


def test_the_projects_own_conf_is_found_from_anywhere(tmp_path, monkeypatch):
    expected = compose()
    monkeypatch.chdir(tmp_path)
    assert compose() == expected
    assert conf_folder().name == "conf"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.hiden_size=3", "model.hiden_size: no such key; did you mean model.hidden_size?"),
        ("hidden_size=3", "hidden_size: no such key; did you mean model.hidden_size?"),
        ("modle=gru", "modle: no such key; did you mean model?"),
        ("modle.hidden_size=3", "modle.hidden_size: no such key; did you mean model.hidden_size?"),
        ("hydra.runn=1", "hydra.runn: no such key; did you mean hydra.run?"),
        ("source.path=x", "source.path: no such key; known: adjust"),
        ("seed.x=3", "seed.x: no such key; seed holds no keys"),
        ("model=lsmt", "model=lsmt: no such option; did you mean lstm? options: "),
        ("hydra/launcher=bsic", "hydra/launcher=bsic: no such option; did you mean basic? options: "),
        ("experiment=nope", "experiment=nope: no such option; "),
        (
            "model.hidden_size",
            "model.hidden_size: cannot be read (missing EQUAL at '<EOF>'); write key=value",
        ),
        (
            "data.tickers=[A",
            "data.tickers=[A: cannot be read (no viable alternative at input '[A'); write key=value",
        ),
        (
            "data.tickers[0]=A",
            "data.tickers[0]=A: cannot be read ('[' after 'data.tickers'); write key=value",
        ),
        (
            "source.path=a^b",
            "source.path=a^b: cannot be read ('^' after 'source.path=a'); write key=value, text in quotes: "
            "\"source.path='a^b'\"",
        ),
        (
            "hydra.run.dir=a=b",
            "hydra.run.dir=a=b: cannot be read (mismatched input '=' expecting <EOF>); write key=value, text in quotes: "
            "\"hydra.run.dir='a=b'\"",
        ),
        (
            "hydra.run.dir=/a,b",
            "hydra.run.dir=/a,b: several values; add -m to sweep over them, or write [a,b] for a list, text in quotes: "
            "\"hydra.run.dir='/a,b'\"",
        ),
        (
            "data.covariates={file: source.path=x}",
            "data.covariates={file: source.path=x}: cannot be read (no viable alternative at input '{file: source.path=');"
            " inside of braces write NAME: VALUE, or each key by itself, data.covariates.NAME=VALUE",
        ),
        (
            "data.covariates.file.lag=1",
            "data.covariates.file.lag: no such key; data.covariates is empty; choose an option first: covariates=file",
        ),
        (
            "data.columns=[a^b]",
            "data.columns=[a^b]: cannot be read ('^' after 'data.columns=[a'); write key=value, text in quotes: "
            "\"data.columns=['a^b']\"",
        ),
        (
            "model=[lstm,gru]",
            "model=[lstm,gru]: one option of model is taken, no list; name one, or sweep over them: -m model=lstm,gru",
        ),
        ("seed=1,2", "seed=1,2: several values; add -m to sweep over them, or write [a,b] for a list"),
        (
            "seed=range(1,3)",
            "seed=range(1,3): several values; add -m to sweep over them, or write [a,b] for a list",
        ),
        (
            "tracker=null",
            "Config group override must be a string or a list. Got NoneType; for none, name that option: ",
        ),
        ("+seed=3", "Could not append to config. An item is already at 'seed'. "),
        ("~nope", "Could not delete from config. 'nope' does not exist."),
        ("+hydra/env=x", "hydra/env=x: no such option; "),
        ("hydra.searchpath=3", "hydra.searchpath must be a list of strings. Got: 3"),
    ],
    ids=lambda value: value if "=" in value and ":" not in value else "",
)
def test_what_hydra_refuses_is_said_in_one_line(override, said):
    assert refused(override).startswith(said)


def test_keys_of_a_null_group_are_said():
    assert (
        refused("trainer=none", "trainer.max_epochs=3")
        == "trainer.max_epochs: no such key; trainer holds no keys"
    )


def test_no_state_of_hydra_is_left_behind():
    def state() -> tuple[object, ...]:
        return (
            GlobalHydra.instance().hydra,
            VersionBase.instance().getbase(),
            dict(JobRuntime.instance().conf),
        )

    before = state()
    compose()
    refused("model=nope")
    assert state() == before


def test_a_running_hydra_goes_on_afterwards():
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.2", job_name="outer"):
        running = GlobalHydra.instance().hydra
        compose("model=gru")
        assert GlobalHydra.instance().hydra is running
        assert str(VersionBase.instance().getbase()) == "1.2"
        assert hydra.compose("run", return_hydra_config=True).hydra.job.name == "outer"


def test_without_a_conf_folder_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "forecast.config.composing.__file__", str(tmp_path / "package" / "config" / "composing.py")
    )
    monkeypatch.chdir(tmp_path)
    assert refused() == f"conf/run.yaml: neither beside the package nor in {tmp_path}"


@pytest.mark.parametrize(
    "names",
    [
        ["^GSPC"],
        ["CL=F", "AAPL"],
        ["EURUSD=X"],
        ["M&M.NS"],
        ["7203"],
        ["1E5", "NAN", "TRUE", "null"],
        ["日経225"],
        ["S&P 500"],
        ["BRK-B"],
        ["A"],
        [],
    ],
    ids=str,
)
def test_tickers_are_text_whatever_they_look_like(names):
    for separator in (",", ", "):
        assert composed.compose(f"data.tickers=[{separator.join(names)}]").data.tickers == names
    quoted = ",".join(f"'{name}'" for name in names)
    assert composed.compose(f"data.tickers=[{quoted}]").data.tickers == names


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("data.tickers=[AAPL,IBM]", "data.tickers=[AAPL,IBM]"),
        ("data.tickers=[^GSPC],[CL=F,AAPL],[IBM]", "data.tickers=['^GSPC'],['CL=F','AAPL'],[IBM]"),
        ("data.tickers=^GSPC", "data.tickers='^GSPC'"),
        ("data.tickers=CL=F", "data.tickers='CL=F'"),
        ("+data.tickers=[7203]", "+data.tickers=['7203']"),
        ("data.tickers=choice([A],[B])", "data.tickers=choice([A],[B])"),
        ("data.tickers=[${x}]", "data.tickers=[${x}]"),
        ("data.columns=[7203]", "data.columns=[7203]"),
    ],
)
def test_only_lists_of_tickers_are_read_otherwise(typed, read):
    assert readable_override(typed) == read


def test_none_of_a_group_can_be_said_to_a_saved_config(tmp_path):
    (tmp_path / "config.yaml").write_text(snapshot(compose("seed=3"), provenance={}))
    config = compose_saved(tmp_path, "model.hidden_size=3")
    assert (config.seed, config.model.hidden_size, config.tracker is None) == (3, 3, False)
    with pytest.raises(UserError, match=r"^model=gru: a saved config has no groups"):
        check(compose_saved(tmp_path, "model=gru"))


def test_a_class_is_found_by_an_older_name(tmp_path, monkeypatch):
    monkeypatch.setitem(RENAMED, "forecast.old.Source", "forecast.data.sources.SyntheticSource")
    (tmp_path / "config.yaml").write_text(
        "source: {_target_: forecast.old.Source, seed: 3}\nlist: [{_target_: forecast.old.Source}]\n"
    )
    config = compose_saved(tmp_path)
    assert config.source._target_ == config.list[0]._target_ == "forecast.data.sources.SyntheticSource"
    assert locate("forecast.old.Source") is type(build({"_target_": "forecast.old.Source", "seed": 3}))
