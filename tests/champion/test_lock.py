"""One at a time, and no folder left behind where nothing was promoted."""

from __future__ import annotations

import os
import threading

import pytest

from forecast.champion import store as store_module
from forecast.champion.store import LOCK, ChampionStore
from forecast.errors import UserError


def test_nothing_is_left_where_nothing_was_promoted(tmp_path):
    store = ChampionStore(tmp_path / "a" / "champion")
    with pytest.raises(RuntimeError), store.lock(pytest.fail):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with store.lock(pytest.fail):
        (store.folder / "result").write_text("")
    assert sorted(os.listdir(store.folder)) == [LOCK, "result"]


def test_a_folder_that_was_there_before_stays(tmp_path):
    (tmp_path / "a").mkdir()
    with ChampionStore(tmp_path / "a" / "champion").lock(pytest.fail):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_who_waits_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "LOCK_TIMEOUT_S", 0.1)
    lines = []
    with ChampionStore(tmp_path / "champion").lock(pytest.fail):
        refused = pytest.raises(UserError, match=r"another export has been at work for 0 s; end it")
        with refused, ChampionStore(tmp_path / "champion").lock(lines.append):
            pytest.fail("two at once")
        assert lines == ["another export is at work; waiting for it to end"]


def test_who_waits_for_a_folder_that_is_removed_meanwhile_makes_it_anew(tmp_path):
    """The first leaves nothing and removes the folder with the lock; the second still gets a lock that holds."""
    store, entered, leave = ChampionStore(tmp_path / "champion"), threading.Event(), threading.Event()
    inside: list[bool] = []

    def first():
        with store.lock(pytest.fail):
            entered.set()
            leave.wait(30)

    def second():
        with ChampionStore(tmp_path / "champion").lock(lambda _: leave.set()):
            inside.append((store.folder / LOCK).is_file())

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join(30)
    assert inside == [True]
