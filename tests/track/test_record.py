from __future__ import annotations

from pathlib import Path

import pytest

from forecast.track.delivery import FILE, Epoch, Record


def _record() -> Record:
    return Record(
        uri="sqlite:////x/mlflow.db",
        experiment_name="forecast",
        run_directory_id="1f",
        name="run",
        params={"seed": "0"},
        tags={"strategy": "range_single"},
        start_time=5,
        epochs=[Epoch(0, 6, {"val_rmse": 1.0})],
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    _record().save(tmp_path)
    assert Record.load(tmp_path) == _record()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"uri": 1, "unknown": 2}'])
def test_a_file_of_another_make_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=FILE):
        Record.load(tmp_path)


def test_what_is_not_a_number_is_never_written(tmp_path: Path) -> None:
    record = _record()
    record.metrics = {"val_rmse": float("nan")}
    with pytest.raises(ValueError, match="JSON"):
        record.save(tmp_path)
    assert not (tmp_path / FILE).exists()
