"""Promotion and rollback: order, rules, what is kept, what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from champion.made_up import made_up_run
from safetensors.torch import load_file, save_file

from forecast import bundle
from forecast.champion import ChampionConfig, current, promote, promotion, rollback
from forecast.champion.metadata import list_champions
from forecast.champion.promotion import replay_check
from forecast.champion.store import ChampionStore
from forecast.errors import UserError


@pytest.fixture
def no_replay(monkeypatch):
    """Made-up runs hold no network: only their manifests are checked."""
    monkeypatch.setattr(promotion, "replay_check", lambda directory, named: len(bundle.verify(directory)))


@pytest.fixture
def made(tmp_path):
    return lambda name, **how: made_up_run(tmp_path / "runs" / name, **how)


def number(place: ChampionConfig) -> int:
    promoted = current(place)
    assert promoted is not None
    assert promoted.metadata == json.loads((Path(place.directory) / "metadata.json").read_text())
    return int(promoted.metadata["number"])


@pytest.mark.usefixtures("no_replay")
class TestPromotion:
    def test_goes_back_one_by_one(self, place, made):
        for name in "abc":
            assert promote(made(name), champion=place).changed
        assert number(place) == 3
        assert rollback(champion=place).metadata["number"] == 2
        assert number(place) == 2
        assert rollback(champion=place).metadata["number"] == 1
        with pytest.raises(UserError, match="no champion before 1-a is kept"):
            rollback(champion=place)
        assert number(place) == 1

    def test_goes_back_past_those_that_were_rolled_back(self, place, made):
        for name in "ab":
            promote(made(name), champion=place)
        rollback(champion=place)
        assert promote(made("c"), champion=place).metadata["number"] == 3
        assert rollback(champion=place).metadata["number"] == 1

    def test_is_given_again_to_one_that_is_kept(self, place, made):
        for name in "abc":
            promote(made(name), champion=place)
        kept = Path(place.directory).parent / "champions" / "1-a"
        promoted = promote(kept, champion=place)
        assert (promoted.changed, number(place)) == (True, 1)
        assert len(ChampionStore(Path(place.directory)).folders) == 3
        assert rollback(champion=place).metadata["number"] == 3

    def test_stays_where_the_same_run_is_promoted(self, place, made):
        promote(made("a"), champion=place)
        for same in (made("a"), Path(place.directory)):
            promoted = promote(same, champion=place)
            assert not promoted.changed
            assert "nothing to do: it is the champion already" in promoted.text
        assert [event["name"] for event in ChampionStore(Path(place.directory)).history] == ["1-a"]

    def test_there_is_none_yet(self, place, tmp_path):
        assert current(place) is None
        with pytest.raises(UserError, match="no champion to roll back"):
            rollback(champion=place)
        assert list(tmp_path.iterdir()) == []

    def test_is_not_given_back_to_one_that_was_altered(self, place, made):
        for name in "ab":
            promote(made(name), champion=place)
        folder = Path(place.directory).parent / "champions" / "1-a"
        (folder / "scaler.json").write_text("{}")
        with pytest.raises(UserError, match=r"scaler\.json: was altered"):
            rollback(champion=place)
        assert number(place) == 2
        assert "was altered" in list_champions(place)

    def test_leaves_one_that_was_damaged(self, place, made):
        for name in "ab":
            promote(made(name), champion=place)
        shutil.rmtree(Path(place.directory).resolve() / "plots")
        (Path(place.directory) / "metadata.json").unlink()
        with pytest.raises(UserError, match="is missing"):
            current(place)
        assert rollback(champion=place).metadata["number"] == 1

    def test_is_listed_with_those_before(self, place, made):
        for name in "abc":
            promote(made(name, ratio=1.5), champion=place)
        rollback(champion=place)
        lines = list_champions(place).splitlines()
        assert [line[0] for line in lines] == [" ", "*", "-"]
        assert all("does not beat tomorrow = today (RMSE ratio: val 1.500" in line for line in lines)


@pytest.mark.usefixtures("no_replay")
class TestWhatIsKept:
    def test_the_latest_and_the_one_to_go_back_to(self, tmp_path, made):
        place = ChampionConfig(directory=str(tmp_path / "champion"), keep=2)
        for name in "abcd":
            promoted = promote(made(name), champion=place)
        assert "removed, more than champion.keep=2: 1-a" in promoted.text
        assert names(place) == ["2-b", "3-c", "4-d"]
        rollback(champion=place)
        rollback(champion=place)  # 2; 3 and 4 were rolled back
        promote(made("e"), champion=place)
        assert names(place) == ["2-b", "4-d", "5-e"]
        assert rollback(champion=place).metadata["number"] == 2

    def test_what_the_user_put_there(self, place, made):
        promote(made("a"), champion=place)
        mine = Path(place.directory).parent / "champions" / "notes"
        mine.mkdir()
        promote(made("b"), champion=place)
        assert mine.is_dir()
        assert names(place) == ["1-a", "2-b"]

    def test_what_was_beside_a_run_is_not_taken_along(self, place, made):
        run = made("a")
        (run / "mine.txt").write_text("mine")
        (run / "mlflow.json").write_text("{}")
        (run / "audit.json").write_text('{"passed": false}')
        promoted = promote(run, champion=place)
        assert not (promoted.folder / "mine.txt").exists()
        assert (promoted.folder / "run.log").read_text() == "done\n"
        assert "audit.json" in bundle.verify(promoted.folder)["files"]
        assert promoted.metadata["audit"] == "not run"


def names(place: ChampionConfig) -> list[str]:
    return [folder.name for folder in ChampionStore(Path(place.directory)).folders]


@pytest.mark.usefixtures("no_replay")
class TestRules:
    @pytest.mark.parametrize("ratio", [1.0, 1.5])
    def test_skill(self, tmp_path, made, ratio):
        place = ChampionConfig(directory=str(tmp_path / "outputs" / "champion"), require_skill=True)
        with pytest.raises(UserError, match=r"champion.require_skill=true: .* does not beat") as said:
            promote(made("a", ratio=ratio), champion=place)
        assert "\n" not in str(said.value)
        assert not (tmp_path / "outputs").exists()
        assert promote(made("b", ratio=0.999), champion=place).changed

    @pytest.mark.parametrize("audit", [None, '{"passed": false}', '{"passed": "yes"}', "{", "[]"])
    def test_audit(self, tmp_path, made, audit):
        place = ChampionConfig(directory=str(tmp_path / "outputs" / "champion"), require_audit=True)
        run = made("a")
        if audit is not None:
            (run / "audit.json").write_text(audit)
        with pytest.raises(UserError, match=r"champion.require_audit=true: .* holds no passed audit"):
            promote(run, champion=place)
        assert not (tmp_path / "outputs").exists()
        (run / "audit.json").write_text('{"passed": true}')
        assert promote(run, champion=place).metadata["audit"] == "passed"


@pytest.mark.usefixtures("no_replay")
class TestThePlace:
    def test_is_somebody_elses_folder(self, place, made):
        Path(place.directory).mkdir(parents=True)
        with pytest.raises(UserError, match="is no link made here"):
            promote(made("a"), champion=place)
        assert os.listdir(Path(place.directory).parent) == ["champion"]

    def test_leads_elsewhere(self, place, made, tmp_path):
        Path(place.directory).parent.mkdir()
        os.symlink(tmp_path, place.directory)
        with pytest.raises(UserError, match=r"leads to .*; remove the link"):
            promote(made("a"), champion=place)
        assert os.listdir(Path(place.directory).parent) == ["champion"]

    def test_is_below_a_file(self, tmp_path, made):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"cannot be written .*; there is no champion yet"):
            promote(made("a"), champion=ChampionConfig(directory=str(tmp_path / "file" / "champion")))

    @pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
    def test_is_on_a_file_system_without_links(self, place, made, tmp_path, monkeypatch, code):
        def refuse(*_, **__):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "symlink", refuse)
        with pytest.raises(UserError, match="no link can be made there") as said:
            promote(made("a"), champion=place)
        assert "\n" not in str(said.value)
        assert not (tmp_path / "outputs").exists()

    def test_may_be_moved_with_all_in_it(self, place, made, tmp_path):
        for name in "ab":
            promote(made(name), champion=place)
        os.rename(tmp_path / "outputs", tmp_path / "elsewhere")
        moved = ChampionConfig(directory=str(tmp_path / "elsewhere" / "champion"))
        assert number(moved) == 2
        assert rollback(champion=moved).metadata["number"] == 1


def test_a_run_is_hashed_where_it_is_taken_from_and_once_copied(world, place, monkeypatch):
    """Neither the new manifest nor the replay, which is in a process of its own as a rule, hashes it once more."""
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file, kind):
        hashed.append(Path(file.name).name)
        return digest(file, kind)

    def replayed(directory, named):
        monkeypatch.setattr(sys, "argv", ["promotion", str(directory)])
        assert promotion.main() == 0, named
        return 1

    monkeypatch.setattr(hashlib, "file_digest", counted)
    monkeypatch.setattr(promotion, "collect_rarely", lambda: None)
    monkeypatch.setattr(promotion, "replay_check", replayed)
    promote(world.runs[0], champion=place)
    assert hashed.count("model.safetensors") == hashed.count("forecasts.parquet") == 2
    assert hashed.count("config.yaml") == 3  # what made it the champion was added


@pytest.mark.usefixtures("quick_proof")
@pytest.mark.parametrize("wanted", [True, False])
def test_what_a_job_of_a_sweep_has_not_drawn_is_drawn_where_plots_are_wanted(world, tmp_path, place, wanted):
    run = shutil.copytree(world.runs[0], tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("plots: false", f"plots: {str(wanted).lower()}"))
    bundle.finish(run, version="1")
    assert not (run / "plots").exists()
    drawn = sorted(path.stem for path in promote(run, champion=place).folder.glob("plots/*.png"))
    assert drawn == (["errors", "forecast_test", "learning_curves", "moves"] if wanted else [])


@pytest.mark.usefixtures("cold_python")
class TestReplays:
    def test_forecasts_that_differ_are_not_promoted(self, world, tmp_path, place):
        """The manifest fits the files, but the weights are not those that made the forecasts."""
        good = promote(world.runs[0], champion=place)
        run = shutil.copytree(world.runs[1], tmp_path / "run")
        weights = load_file(run / "model.safetensors")
        with torch.no_grad():
            for weight in (
                weights.values()
            ):  # a network that hardly moves answers within 1e-6 of the price all the same
                weight.add_(0.5)
        save_file(weights, run / "model.safetensors")
        bundle.finish(run, version="1")
        with pytest.raises(UserError, match="does not give the forecasts it was recorded with") as said:
            promote(run, champion=place)
        assert str(said.value).startswith(f"{run}: ")
        assert str(said.value).endswith("; it is not promoted")
        assert "\n" not in str(said.value)
        promoted = current(place)
        assert promoted is not None
        assert promoted.folder == good.folder
        assert sorted(os.listdir(good.folder.parent)) == [
            ".lock",
            good.folder.name,
            "decisions.jsonl",
            "history.json",
        ]

    def test_a_plug_in_is_found_as_it_was_here_or_named(self, world, tmp_path, monkeypatch):
        run = shutil.copytree(world.runs[0], tmp_path / "run")
        text = (run / "config.yaml").read_text()
        assert "forecast.model.LayeredNetwork" in text
        (run / "config.yaml").write_text(text.replace("forecast.model.LayeredNetwork", "mine.Net"))
        bundle.finish(run, version="1")
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "mine.py").write_text("from forecast.model import LayeredNetwork as Net\n")
        monkeypatch.syspath_prepend(tmp_path / "plugins")
        assert replay_check(run, named="it") > 50
        monkeypatch.undo()
        with pytest.raises(UserError, match=r"it: was made with mine\.Net, which cannot be imported"):
            replay_check(run, named="it")
