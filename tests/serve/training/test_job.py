"""One job from end to end: what it trains with and on, when it promotes, and when it leaves all as it was."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from retraining import BARS, write_bars

import forecast
from forecast import bundle
from forecast.errors import SourceError, UserError

pytestmark = pytest.mark.usefixtures("quick_proof")


def champion_of(world):
    return world.link.resolve() if world.link.exists() else None


def config_of(directory):
    return OmegaConf.load(directory / "config.yaml")


def data_of(directory):
    return json.loads((directory / "data.json").read_text())


class TestTrain:
    def test_makes_a_champion_where_a_plain_run_is_served(self, world):
        state = world.conduct("train", following=world.run)
        assert (state.state, state.error) == ("promoted", None)
        assert str(champion_of(world)) == str(world.link.resolve()) == state.model_path
        bundle.verify(champion_of(world))
        assert state.metrics == json.loads((champion_of(world) / "metrics.json").read_text())
        assert state.progress["epoch"] == state.progress["max_epochs"] == 2
        assert state.progress["val_rmse"] > 0

    def test_that_gives_the_same_model_again_changes_nothing(self, world):
        before = world.promote()
        state = world.conduct("train")
        assert state.state == "kept"
        assert "the same model came out again" in state.message
        assert champion_of(world) == before.resolve()

    def test_takes_the_config_of_the_model_and_the_bars_there_are(self, world):
        world.promote()
        write_bars(world.bars, BARS + 50)
        state = world.conduct("train")
        assert state.state == "promoted", state.message
        old, new = config_of(world.run), config_of(champion_of(world))
        for node in ("model", "trainer", "data", "source", "objective", "on_data_change"):
            assert old[node] == new[node]
        assert old.provenance.data_fingerprint != new.provenance.data_fingerprint
        assert data_of(champion_of(world))["rows"] == data_of(world.run)["rows"] + 50
        # and that one can be trained again
        assert world.conduct("train", bundle=champion_of(world)).state == "kept"

    def test_keeps_to_the_rules_of_the_champion(self, world):
        run = world.another_run("strict", "champion.require_audit=true")
        state = world.conduct("train", bundle=run, following=run)
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
            world.conduct("train", bundle=run)
        world.conduct("train", bundle=run, allow=("retraining",))
        told = json.loads(noted.read_text())
        assert (told["status"], told["epochs"]) == ("FINISHED", 2)
        assert "serve.py" in told["tags"]["started_by"]

    def test_that_cannot_be_promoted_says_so_and_leaves_the_champion(self, world):
        world.link.parent.mkdir(parents=True)
        world.link.with_name("champions").write_text("in the way")
        state = world.conduct("train", following=world.run)
        assert (state.state, state.status) == ("failed", 500)
        assert "trained, but not promoted" in state.error
        assert "\n" not in state.error
        assert not world.link.exists()

    @pytest.mark.parametrize(
        ("node", "target"),
        [
            ("tracker", {"_target_": "os.system", "command": "touch gone"}),
            ("source", {"_target_": "forecast.data.sources.bar_cache.os.mkdir", "path": "gone"}),
            ("champion", {"_target_": "forecast.champion.Champion.__init__"}),
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
            world.conduct("train", bundle=run)
        assert not (tmp_path / "gone").exists()
        assert champion_of(world) is None

    def test_refuses_a_run_that_was_altered(self, world, tmp_path):
        run = shutil.copytree(world.run, tmp_path / "run")
        (run / "config.yaml").write_text("seed: 1\n")
        with pytest.raises(UserError, match="was altered"):
            world.conduct("train", bundle=run)


class TestUpdate:
    def test_compares_both_on_the_same_newest_validation_rows(self, world):
        further = world.another_run("further", "data.train_ratio=0.8", "data.val_ratio=0.1")
        world.promote(further)
        write_bars(world.bars, BARS + 50)
        state = world.conduct("update")
        compared = state.comparison
        new = world.folder / "jobs" / "1" / "run"
        rows = pd.read_parquet(new / "forecasts.parquet").query("split == 'val'")
        trained = data_of(further)["splits"]["train"]["last_day"]
        assert f"{rows['date'].min():%Y-%m-%d}" < trained  # the champion has seen these
        rows = rows[rows["date"] > trained]
        assert 0 < compared["rows"] == len(rows)
        assert compared["first_day"] == f"{rows['date'].min():%Y-%m-%d}" > trained
        assert compared["last_day"] == f"{rows['date'].max():%Y-%m-%d}"
        assert compared["newcomer"] == pytest.approx(
            np.sqrt(((rows["actual"] - rows["forecast"]) ** 2).mean())
        )
        bars = forecast.load(further).predict(pd.read_csv(world.bars / "AAA.csv"), every=True)
        dates = pd.read_csv(world.bars / "AAA.csv", parse_dates=["Date"])["Date"]
        bars["date"] = bars["origin"].map(dict(zip(dates, dates.shift(-1), strict=True)))
        both = rows.merge(bars[["date", "forecast"]], on="date", suffixes=("", "_old"))
        assert len(both) == len(rows)
        old = np.sqrt(((both["actual"] - both["forecast_old"]) ** 2).mean())
        assert compared["champion"] == pytest.approx(old)
        assert (state.state == "promoted") == (compared["newcomer"] <= compared["champion"])
        assert str(compared["rows"]) in state.message

    def test_promotes_what_does_not_do_worse(self, world):
        bad = world.another_run("bad", "trainer.learning_rate=0.5", "trainer.max_epochs=1")
        world.promote(bad)
        write_bars(world.bars, BARS + 150)
        state = world.conduct("update")
        assert state.state == "promoted", state.message
        assert state.comparison["newcomer"] < state.comparison["champion"]
        assert (
            config_of(champion_of(world)).trainer.learning_rate == config_of(world.run).trainer.learning_rate
        )

    def test_keeps_the_champion_that_does_better(self, world):
        bad = world.another_run("bad", "trainer.learning_rate=0.5", "trainer.max_epochs=1")
        before = world.promote()
        write_bars(world.bars, BARS + 150)
        state = world.conduct("update", bundle=bad)
        assert state.state == "kept", state.message
        assert state.comparison["newcomer"] > state.comparison["champion"]
        assert state.error is None
        assert champion_of(world) == before.resolve()

    def test_takes_the_period_that_is_asked_for_and_all_bars_up_to_now(self, world):
        first, last = data_of(world.run)["first_day"], data_of(world.run)["last_day"]
        run = world.another_run("closed", f"data.start={first}", f"data.end={last}")
        write_bars(world.bars, BARS + 150)
        world.conduct("update", bundle=run, following=run, period="1y")
        made = world.folder / "jobs" / "1" / "run"
        data = config_of(made).data
        assert (data.period, data.start, data.end) == ("1y", None, None)
        assert "data.period=1y" in config_of(made).provenance.overrides
        assert data_of(made)["last_day"] > last
        assert data_of(made)["first_day"] > first

    def test_says_when_a_period_is_too_short_to_train_on(self, world):
        world.promote()
        write_bars(world.bars, BARS + 50)
        state = world.conduct("update", period="30d")
        assert "period=30d" in state.message
        assert "the champion's own period" in state.message
        assert config_of(world.folder / "jobs" / "1" / "run").data.period == "max"

    def test_without_bars_fails_and_blames_the_source(self, world):
        world.promote()
        (world.bars / "AAA.csv").rename(world.bars / "BBB.csv")
        try:
            with pytest.raises(SourceError, match="AAA"):
                world.conduct("update")
        finally:
            (world.bars / "BBB.csv").unlink()

    def test_is_not_compared_with_a_champion_of_another_kind(self, world):
        world.promote(world.another_run("longer", "data.seq_len=10"))
        state = world.conduct("update")
        assert state.state == "kept"
        assert "cannot be compared" in state.message

    def test_that_cannot_be_compared_says_so_and_leaves_the_champion(self, world):
        before = world.promote()
        (before / "model.safetensors").write_bytes(b"")
        state = world.conduct("update")
        assert (state.state, state.status) == ("failed", 500)
        assert "trained, but not promoted" in state.error
        assert "was altered" in state.error
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
            world.conduct("update", bundle=cached, force_download=True)
        with pytest.raises(UserError, match="not in the cache"):
            world.conduct("update", bundle=cached)
