"""python -m forecast.update: what POST /train/update does, for cron; the exit code says what came of it."""

import json

import pytest
from retraining import BARS, write_bars

from forecast.champion.store import ChampionStore
from forecast.update import main


@pytest.fixture
def words(world, monkeypatch):
    monkeypatch.chdir(world.folder)
    return [f"champion={world.link}", f"folder={world.folder / 'jobs'}"]


@pytest.mark.usefixtures("quick_proof")
def test_the_exit_code_says_what_came_of_it(world, words, capsys):
    assert main(words) == 2
    assert "there is no champion to retrain" in capsys.readouterr().err
    before = world.promote(world.another_run("bad", "trainer.learning_rate=0.5", "trainer.max_epochs=1"))
    for wrong in ("period=banana", "perod=1y", "period", "force_download=yes"):
        assert main([*words, wrong]) == 2
    capsys.readouterr()
    write_bars(world.bars, BARS + 50)
    code, shown = main(words), capsys.readouterr().out
    assert "of the champion" in shown
    changed = world.link.resolve() != before.resolve()
    assert code == (0 if changed else 3)
    assert shown.startswith("promoted as 2-" if changed else "not promoted: ")
    by = ChampionStore(world.link).decisions()[-1]["by"]
    assert ": forecast.update, update 20" in by, "not the server"


@pytest.mark.usefixtures("quick_proof")
def test_every_decision_is_in_the_log(world):
    world.promote(world.another_run("bad", "trainer.learning_rate=0.5", "trainer.max_epochs=1"))
    promoted = world.train("train")
    refused = world.train(
        "train", bundle=world.another_run("worse", "trainer.learning_rate=0.9", "trainer.start=zero")
    )
    assert (promoted.state, refused.state) == ("promoted", "kept")
    lines = (world.link.with_name("champions") / "decisions.jsonl").read_text().splitlines()
    first, second, third = map(json.loads, lines)
    assert [line["decision"] for line in (first, second, third)] == ["promoted", "promoted", "refused"]
    assert first["by"]
    assert second["by"] == "serve.py, train 1"
    assert second["name"] == world.link.resolve().name
    assert f"{promoted.comparison.newcomer:.6g}" in second["why"]
    assert f"{refused.comparison.champion:.6g}" in third["why"]
    assert third["name"].endswith("run")
    assert all(line["at"].endswith("Z") for line in (first, second, third))
