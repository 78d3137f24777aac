"""Only folders that were made under watch, and stayed empty, are removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forecast.config.folders import MadeFolders


def test_folders_made_under_watch_are_removed_when_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("before").mkdir()
    folders = MadeFolders()
    with folders.watching():
        Path("before/new/deep").mkdir(parents=True)
        os.makedirs("kept/empty")
        Path("kept/file").touch()
        Path("before").mkdir(exist_ok=True)
        with folders.looking_away():
            Path("a_jobs_own").mkdir()
    monkeypatch.chdir("before")
    folders.remove_empty()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"before", "kept", "kept/file", "a_jobs_own"}


def test_hydras_record_of_a_sweep_keeps_no_folder_but_anything_else_does(tmp_path):
    folders = MadeFolders()
    with folders.watching():
        for name in ("alone", "together"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "multirun.yaml").touch()
    (tmp_path / "together" / "results.csv").touch()
    folders.remove_empty()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["multirun.yaml", "results.csv", "together"]


def test_folders_that_cannot_be_made_are_remembered(tmp_path):
    (tmp_path / "file").touch()
    folders = MadeFolders()
    with folders.watching(), pytest.raises(NotADirectoryError):
        os.mkdir(tmp_path / "file" / "below")
    assert folders.refused == {str(tmp_path / "file" / "below")}
    assert folders.made == []


def test_os_mkdir_is_its_own_again_afterwards():
    mkdir = os.mkdir
    with pytest.raises(ZeroDivisionError), MadeFolders().watching():
        raise ZeroDivisionError
    assert os.mkdir is mkdir
