from __future__ import annotations

from pathlib import Path

import pytest

from forecast.errors import UserError
from forecast.track import MLflowTracker
from forecast.track.connection import check_uri, redact_password, resolved


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "sqlite:////data/runs/mlflow.db",
        "http://tracking:5000",
        "https://tracking.example.org/mlflow",
        "postgresql+psycopg2://user@db/mlflow",
        "databricks",
    ],
)
def test_taken(uri: str) -> None:
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file:///tmp/mlruns", "no longer records in folders; use sqlite:///mlflow.db"),
        ("./mlruns", "no longer records in folders"),
        ("", "is empty; use sqlite:///mlflow.db"),
        ("localhost:5000", "no longer records in folders"),
        ("foo://x", "unknown scheme, MLflow knows sqlite, http, https"),
        ("sqlite://mlflow.db", "three slashes"),
        ("sqlite:mlflow.db", "three slashes"),
        ("sqlite:///:memory:", "gone with the process"),
        ("sqlite:///", "gone with the process"),
        ("http://", "not the address of a server"),
        ("http://host:notaport", "not the address of a server"),
        ("http://user:secret@host:5000", "MLFLOW_TRACKING_PASSWORD"),
        ("postgresql+psycopg2://user:secret@db/mlflow", "PGPASSWORD"),
        ("mysql://user:secret@db/mlflow", "option file"),
    ],
)
def test_refused_in_one_line(uri: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        MLflowTracker(uri=uri, experiment_name="forecast")
    message = str(caught.value)
    assert message.startswith("tracker.uri=")
    assert said in message
    assert "\n" not in message
    assert "secret" not in message


@pytest.mark.parametrize("name", ["", "  ", "x" * 501], ids=["empty", "blank", "too long"])
def test_experiment_name_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^tracker\.experiment_name=.*1 to 500 letters"):
        MLflowTracker(uri="sqlite:///mlflow.db", experiment_name=name)


def test_relative_database_is_pinned_to_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolved("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert resolved("sqlite:///a/b.db?mode=rw") == f"sqlite:///{tmp_path}/a/b.db?mode=rw"
    assert resolved("http://host:5000") == "http://host:5000"


def test_passwords_are_masked() -> None:
    assert redact_password("at mysql://me:pa-ss@db/x, then") == "at mysql://me:***@db/x, then"
    assert redact_password("http://host:5000/a@b") == "http://host:5000/a@b"


def test_mlflows_environment_stands_above_our_default_and_below_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from forecast.config import compose

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert (compose().tracker.uri, compose().tracker.experiment_name) == ("sqlite:///mlflow.db", "forecast")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert (compose().tracker.uri, compose().tracker.experiment_name) == ("http://host:5000", "mine")
    given = compose("tracker.uri=sqlite:///other.db", "tracker.experiment_name=theirs").tracker
    assert (given.uri, given.experiment_name) == ("sqlite:///other.db", "theirs")


def test_an_address_that_was_not_typed_says_where_it_is_from(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(UserError, match=r"^tracker.uri='./mlruns' \(MLFLOW_TRACKING_URI\): MLflow no longer"):
        check_uri("./mlruns")
