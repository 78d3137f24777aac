from __future__ import annotations

import logging

import pytest

from forecast.track.delivery import finite, flatten, name_of, tags_of


def test_nested_config_becomes_dotted_keys() -> None:
    tree = {
        "seed": 0,
        "model": {"lr": 1e-3, "layers": ["LSTM", {"Linear": {"bias": True}}], "extra": {}},
        "x": None,
    }
    assert flatten(tree) == {
        "seed": "0",
        "model.lr": "0.001",
        "model.layers": '["LSTM", {"Linear": {"bias": true}}]',
        "model.extra": "{}",
        "x": "null",
    }


def test_omegaconf_containers_read_like_plain_ones() -> None:
    from omegaconf import OmegaConf

    tree = {"a": {"b": [1, {"c": [2]}]}, "d": "text"}
    assert flatten(OmegaConf.create(tree)) == flatten(tree) == {"a.b": '[1, {"c": [2]}]', "d": "text"}


def test_long_values_are_cut_and_passwords_are_not_sent() -> None:
    flat = flatten({"tickers": ["AAPL"] * 10_000, "uri": "mysql://me:secret@db/x"})
    assert len(flat["tickers"]) == 6000
    assert flat["tickers"].endswith("…")
    assert flat["uri"] == "mysql://me:***@db/x"
    assert len(tags_of({"tickers": "A" * 9000})["tickers"]) == 8000


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("val_rmse", "val_rmse"),
        ("val/rmse", "val/rmse"),
        ("a+b[0]", "a_b_0_"),
        ("/a", "__a"),
        ("a//b", "_a__b"),
    ],
)
def test_names_mlflow_refuses_are_mended(key: str, name: str) -> None:
    assert name_of(key) == name


def test_what_is_not_finite_is_left_out_with_one_note(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="forecast.track")
    noted: set[str] = set()
    for _ in range(3):
        kept = finite({"a": 1, "b": float("nan"), "c": None, "d": float("-inf")}, noted=noted)
        assert kept == {"a": 1.0}
    notes = [record.getMessage() for record in caplog.records]
    assert [note.split(" ")[0] for note in notes] == ["b=nan", "d=-inf"]
