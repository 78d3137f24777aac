"""One job from end to end: what it trains with and on, when it promotes, and when it leaves all as it was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from retraining import BARS, write_bars

import forecast
from forecast import bundle
from forecast.champion import ChampionConfig, promotion, rollback
from forecast.champion.candidate import from_directory
from forecast.champion.store import ChampionStore
from forecast.config import origin
from forecast.errors import SourceError, UserError
from forecast.serve import retraining
from forecast.serve.retraining import NotPromotedError, downloading, newer_bars, training_config
from forecast.serve.training_jobs import Comparison
from forecast.serve.training_process import status_of

pytestmark = pytest.mark.usefixtures("quick_proof")
BAD = ("trainer.learning_rate=0.5", "trainer.max_epochs=1")
FIGURES = (("new model", "newcomer"), ("champion", "champion"))


def champion_of(world):
    return world.link.resolve() if world.link.exists() else None


def config_of(directory):
    return OmegaConf.load(directory / "config.yaml")


def data_of(directory):
    return json.loads((directory / "data.json").read_text())


def refuse(*_, **__):
    raise UserError("no longer what it was")


class TestTrain:
    def test_without_a_champion_makes_a_run_and_says_how_to_promote_it(self, world):
        state = world.train("train")
        assert (state.state, state.error, state.comparison) == ("kept", None, None)
        assert "there was no champion to compare it with" in state.message
        assert f"forecast.champion export {state.model_path}" in state.message
        assert champion_of(world) is None
        bundle.verify(Path(state.model_path))
        assert state.metrics == json.loads((Path(state.model_path) / "metrics.json").read_text())

    def test_promotes_what_does_no_worse_than_the_champion(self, world):
        world.promote(world.another_run("bad", *BAD))
        state = world.train("train")
        assert (state.state, state.error) == ("promoted", None)
        assert state.comparison.newcomer < state.comparison.champion
        assert f"of the champion {state.comparison.champion:.6g}" in state.message
        assert str(champion_of(world)) == str(world.link.resolve()) == state.model_path
        bundle.verify(champion_of(world))
        assert state.metrics == json.loads((champion_of(world) / "metrics.json").read_text())
        assert state.progress["epoch"] == state.progress["max_epochs"] == 2
        assert state.progress["val_rmse"] > 0

    def test_of_a_worse_model_leaves_the_better_champion(self, world):
        """A server on any run displaced the champion, however bad its model was."""
        before = world.promote()
        state = world.train("train", bundle=world.another_run("bad", *BAD))
        assert state.state == "kept"
        assert state.comparison.newcomer > state.comparison.champion
        *_, refused = ChampionStore(world.link).decisions()
        assert (refused["decision"], refused["name"]) == ("refused", "run")  # and no absolute path
        figures = (f"of the {who} {getattr(state.comparison, name):.6g}" for who, name in FIGURES)
        assert all(figure in state.message for figure in figures)
        assert champion_of(world) == before.resolve()

    @pytest.mark.parametrize("kind", ["train", "update"])
    def test_of_something_else_leaves_the_champion(self, world, kind):
        before = world.promote()
        state = world.train(kind, bundle=world.another_run("further", "data.horizon=3"))
        assert state.state == "kept"
        assert "forecasts something else than the champion" in state.message
        assert "horizon 3 instead of 1" in state.message
        assert champion_of(world) == before.resolve()

    @pytest.mark.parametrize("change", ["promotion", "rollback", "removal"])
    def test_replaces_only_the_champion_it_started_from(self, world, change):
        world.promote(world.another_run("bad", *BAD))
        started_from = world.promote(world.another_run("other", "seed=1"))
        job = world.job("train")
        if change == "promotion":
            world.promote(world.another_run("third", "seed=2"))
        elif change == "rollback":
            rollback(champion=ChampionConfig(directory=str(world.link)))
        else:
            world.link.unlink()
        now = champion_of(world)
        state = world.train(job=job)
        assert state.state == "kept"
        assert f"{started_from.name} was the champion when this began" in state.message
        assert champion_of(world) == now

    def test_loses_the_race_under_the_lock(self, world, monkeypatch):
        """The champion changes after the comparison, while the promotion waits for the lock."""
        world.promote(world.another_run("bad", *BAD))
        other = world.another_run("other", "seed=1")
        compare = retraining.compare

        def slow(candidate, champion):
            found = compare(candidate, champion)
            world.promote(other)
            return found

        monkeypatch.setattr(retraining, "compare", slow)
        state = world.train("train")
        assert state.state == "kept"
        assert "was the champion when this began" in state.message
        assert state.comparison.newcomer < state.comparison.champion
        assert from_directory(champion_of(world)).identity == from_directory(other).identity

    def test_that_gives_the_same_model_again_changes_nothing(self, world):
        before = world.promote()
        state = world.train("train")
        assert state.state == "kept"
        assert "the same model came out again" in state.message
        *_, refused = ChampionStore(world.link).decisions()  # that nothing changed is a decision, too
        assert refused["decision"] == "refused"
        assert refused["why"].startswith("the same model came out again")
        assert champion_of(world) == before.resolve()

    def test_with_the_same_figures_on_the_same_bars_changes_nothing(self, world):
        """A config that differs in what changes no forecast, such as a patience that is never needed."""
        before = world.promote()
        state = world.train("train", bundle=world.another_run("patient", "trainer.patience=9"))
        assert state.state == "kept"
        assert state.comparison.is_equal
        assert f"the same model came out again: {before.name} stays" in state.message
        assert champion_of(world) == before.resolve()

    def test_takes_the_config_of_the_model_and_the_bars_there_are(self, world):
        world.promote(world.another_run("bad", *BAD))
        write_bars(world.bars, BARS + 50)
        state = world.train("train")
        assert state.state == "promoted", state.message
        old, new = config_of(world.run), config_of(champion_of(world))
        for node in ("model", "trainer", "data", "source", "objective", "on_data_change"):
            assert old[node] == new[node]
        assert old.provenance.data_fingerprint != new.provenance.data_fingerprint
        assert data_of(champion_of(world))["rows"] == data_of(world.run)["rows"] + 50
        # and that one can be trained again
        assert world.train("train", bundle=champion_of(world)).state == "kept"

    def test_keeps_to_the_rules_of_the_champion(self, world):
        run = world.another_run("strict", "champion.require_audit=true")
        state = world.train("train", bundle=run)
        assert state.state == "kept"
        assert "champion.require_audit=true" in state.message
        assert champion_of(world) is None

    def test_is_recorded_by_the_tracker_of_the_run(self, world, tmp_path):
        noted = tmp_path / "noted.json"
        run = shutil.copytree(world.run, tmp_path / "run")
        config = config_of(run)
        config.tracker = {"_target_": "retraining.Noted", "path": str(noted)}
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
        bundle.finish(run, version="1")
        with pytest.raises(UserError, match=r"tracker\._target_=retraining\.Noted"):
            world.train("train", bundle=run)
        world.train("train", bundle=run, allow=("retraining",))
        said = json.loads(noted.read_text())
        assert (said["status"], said["epochs"]) == ("FINISHED", 2)
        assert "serve.py" in said["tags"]["started_by"]

    def test_that_cannot_be_promoted_says_so_and_leaves_the_champion(self, world, monkeypatch):
        before = world.promote(world.another_run("bad", *BAD))
        monkeypatch.setattr(promotion, "replay_check", refuse)
        with pytest.raises(NotPromotedError, match="trained, but not promoted: no longer") as failure:
            world.train("train")
        assert "\n" not in str(failure.value)
        assert status_of(failure.value) == 500
        assert champion_of(world) == before.resolve()

    @pytest.mark.parametrize(
        ("node", "target"),
        [
            ("tracker", {"_target_": "os.system", "command": "touch gone"}),
            ("source", {"_target_": "forecast.data.sources.yfinance.os.mkdir", "path": "gone"}),
            ("champion", {"_target_": "forecast.config.ChampionConfig.__init__"}),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_builds_nothing_that_is_not_allowed(self, world, tmp_path, monkeypatch, node, target):
        monkeypatch.chdir(tmp_path)
        run = shutil.copytree(world.run, tmp_path / "run")
        config = config_of(run)
        config[node] = target
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
        bundle.finish(run, version="1")
        with pytest.raises(UserError, match=rf"{node}\._target_.*served"):
            world.train("train", bundle=run)
        assert not (tmp_path / "gone").exists()
        assert champion_of(world) is None

    def test_refuses_a_run_that_was_altered(self, world, tmp_path):
        run = shutil.copytree(world.run, tmp_path / "run")
        (run / "config.yaml").write_text("seed: 1\n")
        with pytest.raises(UserError, match="was altered"):
            world.train("train", bundle=run)


class TestUpdate:
    def test_compares_both_on_the_same_newest_validation_rows(self, world):
        further = world.another_run("further", "data.train_ratio=0.8", "data.val_ratio=0.1")
        world.promote(further)
        write_bars(world.bars, BARS + 50)
        state = world.train("update")
        compared = state.comparison
        new = world.folder / "jobs" / "1" / "run"
        rows = pd.read_parquet(new / "forecasts.parquet").query("split == 'val'")
        trained = data_of(further)["splits"]["train"]["last_day"]
        assert f"{rows['date'].min():%Y-%m-%d}" < trained  # the champion has seen these
        rows = rows[rows["date"] > trained]
        assert 0 < compared.rows == len(rows)
        assert compared.first_day == f"{rows['date'].min():%Y-%m-%d}" > trained
        assert compared.last_day == f"{rows['date'].max():%Y-%m-%d}"
        assert compared.newcomer == pytest.approx(np.sqrt(((rows["actual"] - rows["forecast"]) ** 2).mean()))
        bars = forecast.load(further).predict(pd.read_csv(world.bars / "AAA.csv"), every=True)
        dates = pd.read_csv(world.bars / "AAA.csv", parse_dates=["Date"])["Date"]
        bars["date"] = bars["origin"].map(dict(zip(dates, dates.shift(-1), strict=True)))
        both = rows.merge(bars[["date", "forecast"]], on="date", suffixes=("", "_old"))
        assert len(both) == len(rows)
        old = np.sqrt(((both["actual"] - both["forecast_old"]) ** 2).mean())
        assert compared.champion == pytest.approx(old)
        assert (state.state == "promoted") == (compared.newcomer <= compared.champion)
        assert str(compared.rows) in state.message

    def test_promotes_what_does_not_do_worse(self, world):
        bad = world.another_run("bad", *BAD)
        world.promote(bad)
        write_bars(world.bars, BARS + 150)
        state = world.train("update")
        assert state.state == "promoted", state.message
        assert state.comparison.newcomer < state.comparison.champion
        assert (
            config_of(champion_of(world)).trainer.learning_rate == config_of(world.run).trainer.learning_rate
        )

    def test_keeps_the_champion_that_does_better(self, world):
        bad = world.another_run("bad", *BAD)
        before = world.promote()
        write_bars(world.bars, BARS + 150)
        state = world.train("update", bundle=bad)
        assert state.state == "kept", state.message
        assert state.comparison.newcomer > state.comparison.champion
        assert state.error is None
        assert champion_of(world) == before.resolve()

    def test_takes_the_period_that_is_asked_for_and_all_bars_up_to_now(self, world):
        first, last = data_of(world.run)["first_day"], data_of(world.run)["last_day"]
        run = world.another_run("closed", f"data.start={first}", f"data.end={last}")
        write_bars(world.bars, BARS + 150)
        world.train("update", bundle=run, period="1y")
        made = world.folder / "jobs" / "1" / "run"
        data = config_of(made).data
        assert (data.period, data.start, data.end) == ("1y", None, None)
        assert "data.period=1y" in config_of(made).provenance.overrides
        assert data_of(made)["last_day"] > last
        assert data_of(made)["first_day"] > first

    def test_says_when_a_period_is_too_short_to_train_on(self, world):
        world.promote()
        write_bars(world.bars, BARS + 50)
        state = world.train("update", period="30d")
        assert "period=30d" in state.message
        assert "the champion's own period" in state.message
        assert config_of(world.folder / "jobs" / "1" / "run").data.period == "max"

    def test_without_bars_fails_and_blames_the_source(self, world):
        world.promote()
        (world.bars / "AAA.csv").rename(world.bars / "BBB.csv")
        try:
            with pytest.raises(SourceError, match="AAA"):
                world.train("update")
        finally:
            (world.bars / "BBB.csv").unlink()

    @pytest.mark.parametrize("other", ["data.seq_len=10", "data=range_single"])
    def test_is_compared_with_a_champion_that_looks_at_other_things(self, world, other):
        world.promote(world.another_run("looks", other))
        state = world.train("update")
        assert state.comparison.rows > 20
        assert state.comparison.champion > 0

    def test_is_compared_in_what_is_forecast(self, world):
        """Bars between the origin and what is forecast were left out of account, and all targets compared as prices."""
        weekly = ("target=volatility", "target.span=5", "objective.metric=val_qlike", "intervals=none")
        run = world.another_run("weekly", *weekly)
        world.promote(run)
        state = world.train("update", bundle=run)
        assert (state.state, state.comparison.metric) == ("kept", "val_qlike"), state.message
        assert state.comparison.newcomer == pytest.approx(state.comparison.champion, rel=1e-5)
        config = config_of(run)
        config.target.span = 1
        daily = shutil.copytree(run, world.folder / "daily", dirs_exist_ok=True)
        OmegaConf.save(config, daily / "config.yaml")
        differing = "target volatility/5/garman_klass instead of volatility/1/garman_klass"
        assert differing in retraining.compare(run, daily)

    def test_leaves_what_was_put_there_by_hand(self, world):
        shutil.copytree(world.run, world.link)
        state = world.train("update")
        assert (state.state, "no link made here" in state.message) == ("kept", True)
        assert not world.link.is_symlink()

    def test_that_cannot_be_compared_says_so_and_leaves_the_champion(self, world):
        before = world.promote()
        (before / "model.safetensors").write_bytes(b"")
        with pytest.raises(NotPromotedError, match=r"trained, but not promoted: .* was altered"):
            world.train("update")
        assert champion_of(world) == before.resolve()


class TestDownloads:
    """Of a source that keeps a cache."""

    @pytest.fixture
    def cached(self, world):
        run = shutil.copytree(world.run, world.folder / "cached", dirs_exist_ok=True)
        config = config_of(run)
        config.source = {
            "_target_": "forecast.data.sources.YFinanceSource",
            "cache_dir": str(world.folder / "cache"),
            "offline": True,
            "force_download": False,
        }
        (run / "config.yaml").write_text(OmegaConf.to_yaml(config))
        bundle.finish(run, version="1")
        return run

    def test_are_refused_where_the_config_forbids_them(self, world, cached):
        with pytest.raises(UserError, match=r"source\.offline=true"):
            world.train("update", bundle=cached, force_download=True)
        with pytest.raises(UserError, match="not in the cache"):
            world.train("update", bundle=cached)


def period_config(**data):
    return OmegaConf.create({"data": {"period": "2y", "start": None, "end": None} | data, "source": {}})


@pytest.mark.parametrize(
    ("data", "period", "expected"),
    [
        ({}, None, []),
        ({}, "2y", []),
        ({"end": "2012-12-31"}, None, ["data.end=null"]),
        ({"start": "2001-01-02", "end": "2012-12-31"}, None, ["data.end=null"]),
        (
            {"start": "2001-01-02", "end": "2012-12-31"},
            "30d",
            ["data.end=null", "data.period=30d", "data.start=null"],
        ),
    ],
)
def test_the_end_is_open_and_the_period_is_that_asked_for(data, period, expected):
    assert newer_bars(period_config(**data), period=period) == expected


@pytest.mark.parametrize("period", ["", "banana", "0d", "-1y", "30 d", "1h", "1y,seed=1"])
def test_what_is_no_period_is_refused(period):
    with pytest.raises(UserError, match="period"):
        newer_bars(period_config(), period=period)


def test_what_was_asked_for_is_noted_with_the_run(world):
    found = training_config(world.run, "data.period=1y", allow=[])
    assert found.data.period == "1y"
    assert origin(found)["overrides"][-1] == "data.period=1y"
    assert origin(found)["choices"]["data"] == "no_processing_single"
    with pytest.raises(UserError, match="seq_len"):
        training_config(world.run, "data.seq_len=0", allow=[])


def test_a_source_with_a_cache_is_said_to_pass_it_by():
    given = OmegaConf.create({"source": {"force_download": False, "offline": False}})
    assert downloading(given).force_download is True
    assert given.source.force_download is False
    assert downloading(period_config()) == {}
    with pytest.raises(UserError, match=r"source\.offline=true"):
        downloading(OmegaConf.create({"source": {"force_download": False, "offline": True}}))


def test_other_bars_are_no_fault_though_the_config_says_so_of_replays(world):
    found = training_config(world.run, allow=[])
    assert found.on_data_change == "error"
    assert found.provenance.data_request is None
    assert found.provenance.choices.data == "no_processing_single"


def failure(kind, cause):
    error = kind("it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failure(UserError, None), 400),
        (failure(SourceError, None), 502),
        (failure(SourceError, OSError("unreachable")), 502),
        (failure(UserError, OSError("disk full")), 500),
    ],
)
def test_a_failure_is_said_as_whose_it_is(error, status):
    assert status_of(error) == status


def compared(newcomer, champion, mode):
    return Comparison.of(
        metric="val_x",
        mode=mode,
        newcomer=newcomer,
        champion=champion,
        naive_rmse=1.0,
        rows=1234,
        first_day="2024-01-02",
        last_day="2024-06-28",
    )


@pytest.mark.parametrize(
    ("newcomer", "champion", "mode", "holds"),
    [
        (1.0, 2.0, "min", True),
        (2.0, 1.0, "min", False),
        (1.0, 1.0, "min", True),
        (1.0, 2.0, "max", False),
        (2.0, 1.0, "max", True),
        (1.0, 1.0, "max", True),
        (None, 1.0, "min", False),
        (None, 1.0, "max", False),
        (1.0, None, "min", True),
        (None, None, "max", True),
    ],
)
def test_whoever_does_no_worse_holds(newcomer, champion, mode, holds):
    assert compared(newcomer, champion, mode).holds is holds


def test_both_figures_say_whose_they_are():
    assert compared(1.25, None, "min").text == (
        "val_x of the new model 1.25, of the champion undefined, on the same 1,234 validation rows, "
        "2024-01-02 to 2024-06-28"
    )
