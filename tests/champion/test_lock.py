"""One at a time, whatever becomes of the lock file meanwhile."""

from __future__ import annotations

import fcntl
import os

import pytest

from forecast.champion import lock
from forecast.champion.lock import LOCK, locked
from forecast.errors import UserError


def test_a_lock_on_a_file_that_is_gone_is_none(tmp_path, monkeypatch):
    """Its holder removes it with the folder, between another one's look for it and that one's grasp."""
    folder = tmp_path / "champions"
    grasps = []
    real = fcntl.flock

    def too_late(descriptor, how):
        if not grasps:
            (folder / LOCK).unlink()
            folder.rmdir()
        grasps.append(descriptor)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with locked(folder, say=pytest.fail, who="it"):
        assert len(grasps) == 2
        held = os.stat(folder / LOCK)
        assert os.path.samestat(held, os.fstat(grasps[-1]))


def test_nothing_is_left_where_nothing_came_of_it(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError), locked(folder, say=pytest.fail, who="it"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with locked(folder, say=pytest.fail, who="it"):
        (folder / "result").write_text("")
    assert sorted(os.listdir(folder)) == [LOCK, "result"]


def test_what_was_there_before_stays(tmp_path):
    folder = tmp_path / "a"
    (tmp_path / "a").mkdir()
    with locked(folder, say=pytest.fail, who="it"):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_who_waits_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "WAIT_S", 0.0)
    said = []
    with locked(tmp_path, say=pytest.fail, who="it"):
        refused = pytest.raises(UserError, match=r"^it: another export has been at work for 0 s; end it")
        with refused, locked(tmp_path, say=said.append, who="it"):
            pytest.fail("two at once")
        assert said == ["another export is at work; waiting for it to end"]
